//! How long recipients waited, as the lines of the original's log that defer
//! them tell: what ours says of their passing has to agree.

use std::collections::HashMap;

use super::dumps::first_of;
use crate::greylist_conf::GreylistConf;

/// Who waits, and since when.
pub(crate) struct Waits<'c> {
    conf: &'c GreylistConf,
    waiting: HashMap<String, Wait>,
    /// Where a line that defers a message tells how long another recipient has
    /// to wait, due times are not known.
    is_exact: bool,
    /// Passing without a line before is no fault: the rule says `nolog` or has no
    /// delay, or a line names all recipients though some need not wait, or
    /// another triplet of the client has passed.
    may_be_silent: bool,
    /// A message from the null sender that does not come to its end is deferred
    /// without a line.
    puts_off: bool,
}

struct Wait {
    /// When it was deferred as new, the latest time last.
    since: Vec<i64>,
    due: i64,
}

impl<'c> Waits<'c> {
    pub(crate) fn new(conf: &'c GreylistConf) -> Self {
        let says = |word: &str| conf.text.contains(word);
        Self {
            conf,
            waiting: HashMap::new(),
            is_exact: !conf.defers_messages(),
            may_be_silent: ["lazyaw", "nolog", "greylist 0"].into_iter().any(says)
                || conf.defers_messages(),
            puts_off: says("delayedreject"),
        }
    }

    /// Follows the lines of one session at this time; gives what is wrong, and
    /// with whom.
    pub(crate) fn session<'l>(
        &mut self,
        at: i64,
        known: impl Iterator<Item = &'l str>,
        tried: impl Iterator<Item = &'l str>,
    ) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        // All that passes in a session does so before anything of it waits.
        for line in tried {
            let Some((of, rest)) = split(line, " accepted after ") else {
                continue;
            };
            let told = rest.split(' ').next().and_then(clock_seconds);
            let triplet = self.triplet(of);
            if !self.passed(&triplet, at, told) {
                faults.push((triplet, format!("at {at} this is not so: {line}")));
            }
        }
        for line in known {
            if let Some((of, rest)) = split(line, " delayed for ")
                .or_else(|| split(line, " delayed after DATA phase for "))
                && let Some(left) = rest.split(' ').next().and_then(clock_seconds)
            {
                self.deferred(self.triplet(of), at, left);
            } else if line.contains(": autowhitelisted for another ")
                && !self.may_be_silent
                && let Some(of) = known_triplet(line)
            {
                let triplet = self.triplet(&of);
                let wait = self.waiting.remove(&triplet);
                if wait.is_some_and(|wait| wait.due < at) {
                    let fault = format!("at {at} it had passed without a line: {line}");
                    faults.push((triplet, fault));
                }
            }
        }
        faults
    }

    fn deferred(&mut self, triplet: String, at: i64, left: i64) {
        let due = at + left;
        let is_exact = self.is_exact;
        let wait = self.waiting.entry(triplet).or_insert(Wait {
            since: Vec::new(),
            due,
        });
        if is_exact && wait.due != due {
            wait.since.clear();
        }
        if !is_exact || wait.since.is_empty() {
            wait.since.push(at);
        }
        wait.due = due;
    }

    fn passed(&mut self, triplet: &str, at: i64, told: Option<i64>) -> bool {
        let is_silent = self.puts_off && triplet.contains("] from <> to ");
        let Some(wait) = self.waiting.remove(triplet) else {
            return is_silent;
        };
        let is_due = !self.is_exact || wait.due <= at;
        is_silent || is_due && told.is_some_and(|told| wait.since.contains(&(at - told)))
    }

    /// The words of a triplet, its client by the first address of its network.
    fn triplet(&self, of: &str) -> String {
        let Some((client, rest)) = of.split_once(']') else {
            return of.to_owned();
        };
        match client.parse() {
            Ok(client) => format!("{}]{rest}", first_of(client, self.conf)),
            Err(_) => of.to_owned(),
        }
    }
}

/// `IP from F to R` and what stands behind `what` in a line of one recipient.
fn split<'l>(line: &'l str, what: &str) -> Option<(&'l str, &'l str)> {
    let (before, rest) = line.split_once(what)?;
    let (_, of) = before.split_once("addr ")?;
    let (_, of) = of.split_once('[')?;
    // The name may itself be an address in brackets.
    let of = of.split_once("][").map_or(of, |(_, of)| of);
    Some((of, rest))
}

/// The same of `addr IP from F rcpt R: autowhitelisted …`.
fn known_triplet(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(": addr ")?;
    let (of, _) = rest.split_once(": autowhitelisted")?;
    let (client, rest) = of.split_once(" from ")?;
    let (sender, recipient) = rest.split_once(" rcpt ")?;
    Some(format!("{client}] from {sender} to {recipient}"))
}

/// `HH:MM:SS` in seconds.
pub(crate) fn clock_seconds(text: &str) -> Option<i64> {
    let mut parts = text.split(':').map(|part| part.parse::<i64>().ok());
    let mut next = || parts.next().flatten();
    Some(next()? * 3_600 + next()? * 60 + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::greylist_conf::Traffic;

    const CONF: GreylistConf = GreylistConf {
        name: "a test",
        text: "greylist 60\n",
        traffic: Traffic::Any,
    };

    const OF: &str = "s1m1: addr h[192.0.2.1] from <a@x> to <b@y>";

    #[test]
    fn who_passes_has_waited_that_long() {
        let faults = |passes: &str, at: i64| {
            let mut waits = Waits::new(&CONF);
            let first = format!("{OF} delayed for 00:01:00 (ACL 1)");
            let again = format!("{OF} delayed for 00:00:50 (ACL 1)");
            for (at, line) in [(0, first), (10, again)] {
                let faults = waits.session(at, [line.as_str()].into_iter(), [].into_iter());
                assert_eq!(faults, []);
            }
            waits
                .session(at, [].into_iter(), [passes].into_iter())
                .len()
        };
        let passes = |wait: &str| format!("{OF} accepted after {wait} (ACL 1)");
        assert_eq!(faults(&passes("00:01:10"), 70), 0);
        // Another time, too early, another triplet.
        assert_eq!(faults(&passes("00:01:00"), 70), 1);
        assert_eq!(faults(&passes("00:00:59"), 59), 1);
        assert_eq!(faults(&passes("00:01:10").replace("b@y", "c@y"), 70), 1);
    }

    #[test]
    fn who_is_known_had_passed_with_a_line() {
        let mut waits = Waits::new(&CONF);
        let first = format!("{OF} delayed for 00:01:00 (ACL 1)");
        waits.session(0, [first.as_str()].into_iter(), [].into_iter());
        let known =
            "s3m1: addr 192.0.2.1 from <a@x> rcpt <b@y>: autowhitelisted for another 24:00:00";
        let faults = waits.session(100, [known].into_iter(), [].into_iter());
        assert_eq!(faults.len(), 1);
    }
}
