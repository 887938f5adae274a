//! What both have dumped at the end, row by row.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::clock::EPISODE_START;
use crate::greylist_conf::GreylistConf;

/// Whom a row is about, and whether it has passed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowOf {
    /// The client, or the first address of its network.
    client: IpAddr,
    sender: String,
    recipient: String,
    passed: bool,
}

/// The rows of a dump that still count, by whom they are about: their times.
pub(crate) type Rows = BTreeMap<RowOf, Vec<i64>>;

/// How a time of ours stands to that of the original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    /// They are one.
    Same,
    /// Ours is later by no more than an entry that is touched lazily may be.
    Touched,
    /// They differ.
    Different,
}

/// The rows of a dump. Those of the original are known by the first address of
/// their network, as ours are.
pub(crate) fn rows(dump: &str, conf: &GreylistConf, now: i64) -> Rows {
    let mut rows = Rows::new();
    for line in dump.lines().filter(|line| !line.starts_with('#')) {
        let row = line.split('#').next().unwrap_or_default().trim_end();
        let mut words = row.split(['\t', ' ']);
        let mut word = || words.next().unwrap_or_default().to_owned();
        let (client, sender, recipient) = (word(), word(), word());
        let (Ok(client), Ok(time)) = (client.parse(), word().parse::<i64>()) else {
            continue;
        };
        let passed = row.ends_with(" AUTO");
        if passed && time < now {
            continue;
        }
        let of = RowOf {
            client: first_of(client, conf),
            sender,
            recipient,
            passed,
        };
        rows.entry(of).or_default().push(time);
    }
    rows
}

impl RowOf {
    /// Whom it is about, in words.
    pub(crate) fn triplet(&self) -> String {
        format!(
            "{}] from {} to {}",
            self.client, self.sender, self.recipient
        )
    }

    /// How both tell its time; `None` where one has no such row.
    pub(crate) fn times(
        &self,
        (known, tried): (&Rows, &Rows),
        conf: &GreylistConf,
        now: i64,
    ) -> Times {
        match (
            known.get(self).map(Vec::as_slice),
            tried.get(self).map(Vec::as_slice),
        ) {
            (Some(known), Some(tried)) if known == tried => Times::Same,
            (Some([known]), Some([tried])) if self.may_be((*known, *tried), conf) => Times::Touched,
            // It is over for the original.
            (None, Some([tried])) if self.may_be((now - 1, *tried), conf) => Times::Touched,
            _ => Times::Different,
        }
    }

    /// Whether a row of ours may expire then where that of the original expires
    /// at the other time: an entry that has passed is written again when that
    /// moves its expiry by a 64th of its age or of its lifetime, or an hour.
    fn may_be(&self, (known, tried): (i64, i64), conf: &GreylistConf) -> bool {
        let age_max = known - EPISODE_START;
        let slack = (age_max / 64)
            .min(lifetimes(conf).into_iter().max().unwrap_or(0) / 64)
            .min(3_600);
        self.passed && (known..=known + slack).contains(&tried)
    }
}

/// The first address of the client's network.
pub(crate) fn first_of(client: IpAddr, conf: &GreylistConf) -> IpAddr {
    let prefix = |word: &str, usual: u32| {
        let after = conf.text.split(&format!("{word} /")).nth(1);
        after
            .and_then(|rest| rest.lines().next()?.parse().ok())
            .unwrap_or(usual)
    };
    match client {
        IpAddr::V4(v4) => {
            let left = 32 - prefix("subnetmatch", 32);
            let mask = u32::MAX.checked_shl(left).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let left = 128 - prefix("subnetmatch6", 128);
            let mask = u128::MAX.checked_shl(left).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
    }
}

/// The lifetimes that a configuration gives, in seconds.
pub(crate) fn lifetimes(conf: &GreylistConf) -> Vec<i64> {
    let told = conf.text.split("autowhite ").skip(1).filter_map(|rest| {
        let word = rest.split_whitespace().next()?;
        let unit = match word.chars().last()? {
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => 1,
        };
        let number = word.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        Some(number.parse::<i64>().ok()? * unit)
    });
    let mut all: Vec<i64> = told.collect();
    if !conf.text.contains("\nautowhite ") {
        all.push(86_400);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::greylist_conf::Traffic;

    const CONF: GreylistConf = GreylistConf {
        name: "a test",
        text: "greylist 60\nsubnetmatch /24\nsubnetmatch6 /64\nautowhite 2h\n",
        traffic: Traffic::Any,
    };

    fn times(known: &str, tried: &str, now: i64) -> Vec<Times> {
        let [known, tried] = [known, tried].map(|dump| rows(dump, &CONF, now));
        let all = known.keys().chain(tried.keys());
        all.map(|of| of.times((&known, &tried), &CONF, now))
            .collect()
    }

    #[test]
    fn rows_are_told_apart() {
        let start = EPISODE_START;
        let row = |client: &str, time: i64, auto: &str| {
            format!("# c\n{client}\t<a@x>\t<b@y>\t{time}{auto} # date\n")
        };
        let pending = |client, time| row(client, time, "");
        let both = [Times::Same; 2];
        // A network is known by its first address.
        let known = pending("192.0.2.10", start + 60);
        assert_eq!(
            times(&known, &pending("192.0.2.0", start + 60), start),
            both
        );
        assert_eq!(
            times(&known, &pending("192.0.2.0", start + 61), start),
            [Times::Different; 2]
        );
        assert_eq!(
            times(&known, &pending("192.0.3.0", start + 60), start),
            [Times::Different; 2]
        );
        // Two hours have a 64th of 112 seconds; so young an entry has none.
        let auto = |time| row("192.0.2.0", time, " AUTO");
        let at = start + 100_000;
        for (later, expected) in [
            (0, Times::Same),
            (112, Times::Touched),
            (113, Times::Different),
            (-1, Times::Different),
        ] {
            let found = times(&auto(at), &auto(at + later), start);
            assert_eq!(found, [expected; 2], "{later}");
        }
        assert_eq!(times("", &auto(at), at - 100), [Times::Touched]);
        assert_eq!(times("", &auto(at), at - 200), [Times::Different]);
        assert_eq!(times(&auto(at), "", at), [Times::Different]);
        // It is over for both.
        assert_eq!(times(&auto(at), "", at + 1), []);
    }
}
