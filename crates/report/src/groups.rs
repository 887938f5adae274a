//! Deliveries put together by what they have in common, and figures of waiting.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use memchr::memrchr;

use crate::keyed::Table;

/// What is counted of the deliveries of one group.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// That came back and passed.
    pub(crate) came: u64,
    /// That did not.
    pub(crate) never: u64,
    /// Of those, how many reached their recipient from elsewhere.
    pub(crate) elsewhere: u64,
    /// Attempts that were deferred.
    pub(crate) tries: u64,
    /// Attempts that came back too early.
    pub(crate) early: u64,
    /// Deliveries with such an attempt.
    pub(crate) with_early: u64,
    /// How long those that came had waited, in seconds; of providers and of all.
    pub(crate) waits: Vec<u32>,
    /// How long after the first attempt the second came, in seconds; of senders' domains and of all.
    pub(crate) retries: Vec<u32>,
    /// Networks, domains of senders, and recipients of those that came; of providers.
    pub(crate) networks: Few,
    pub(crate) sender_domains: Few,
    pub(crate) recipients: Few,
}

/// Different texts, counted exactly up to [`FEW_MAX`]; of more those that are first in the order of
/// bytes.
#[derive(Debug, Default)]
pub(crate) struct Few(BTreeSet<Vec<u8>>);

/// More than decides anything.
const FEW_MAX: usize = 100;

impl Few {
    pub(crate) fn add(&mut self, text: &[u8]) {
        let is_full = self.0.len() >= FEW_MAX;
        let is_behind = |last: &Vec<u8>| text >= last.as_slice();
        if is_full && self.0.last().is_some_and(is_behind) || self.0.contains(text) {
            return;
        }
        self.0.insert(text.to_vec());
        if is_full {
            self.0.pop_last();
        }
    }

    fn join(&mut self, others: Self) {
        for other in others.0 {
            self.add(&other);
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The first in the order of bytes.
    pub(crate) fn first(&self) -> Option<&[u8]> {
        self.0.first().map(Vec::as_slice)
    }
}

impl Group {
    pub(crate) fn deliveries(&self) -> u64 {
        self.came + self.never
    }

    /// Puts waits and retries in order.
    pub(crate) fn sort(&mut self) {
        self.waits.sort_unstable();
        self.retries.sort_unstable();
    }

    /// Adds other deliveries.
    pub(crate) fn join(&mut self, other: Self) {
        self.came += other.came;
        self.never += other.never;
        self.elsewhere += other.elsewhere;
        self.tries += other.tries;
        self.early += other.early;
        self.with_early += other.with_early;
        self.waits.extend(other.waits);
        self.retries.extend(other.retries);
        self.networks.join(other.networks);
        self.sender_domains.join(other.sender_domains);
        self.recipients.join(other.recipients);
    }
}

/// Groups by their names.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    places: Table<Vec<u8>, u32>,
    groups: Vec<Group>,
}

impl Groups {
    /// The place of the group of this name, for [`Groups::at`].
    pub(crate) fn place(&mut self, name: &[u8]) -> u32 {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        // There are not more than deliveries.
        let place = self.groups.len() as u32;
        self.places.insert(name.to_vec(), place);
        self.groups.push(Group::default());
        place
    }

    /// The group at a place.
    pub(crate) fn at(&mut self, place: u32) -> &mut Group {
        &mut self.groups[place as usize]
    }

    /// The group of this name.
    pub(crate) fn named(&mut self, name: &[u8]) -> &mut Group {
        let place = self.place(name);
        self.at(place)
    }

    /// Adds those of other deliveries.
    pub(crate) fn join(&mut self, mut others: Self) {
        for (name, place) in others.places {
            let other = std::mem::take(&mut others.groups[place as usize]);
            self.named(&name).join(other);
        }
    }

    /// Puts waits and retries in order.
    pub(crate) fn sort(&mut self) {
        self.groups.iter_mut().for_each(Group::sort);
    }
}

/// The groups that have something by `size`, the largest first, those of one size by name.
pub(crate) fn largest(groups: &Groups, size: impl Fn(&Group) -> u64) -> Vec<(&[u8], &Group)> {
    let named = groups.places.iter();
    let mut found: Vec<(&[u8], &Group)> = named
        .map(|(name, place)| (name.as_slice(), &groups.groups[*place as usize]))
        .filter(|(_, group)| size(group) > 0)
        .collect();
    found.sort_unstable_by_key(|(name, group)| (Reverse(size(group)), *name));
    found
}

/// The value that so many percent do not exceed, of sorted ones: the nearest rank.
pub(crate) fn percentile(sorted: &[u32], percent: usize) -> Option<u32> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// Where the bars of a histogram of waits begin, in seconds.
pub(crate) const STEPS_S: [u32; 12] = [
    0, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400,
];

/// How many values lie in each step; the last has no end.
pub(crate) fn histogram(values: &[u32]) -> [u64; STEPS_S.len()] {
    let mut counts = [0; STEPS_S.len()];
    for value in values {
        let step = STEPS_S.partition_point(|start| start <= value);
        counts[step - 1] += 1;
    }
    counts
}

/// The registrable domain of a confirmed name, or the name when it has none.
///
/// Source: the public suffix list, "Formal Algorithm".
pub(crate) fn organisation(name: &[u8]) -> Vec<u8> {
    let name = name.strip_suffix(b".").unwrap_or(name).to_ascii_lowercase();
    match psl::domain(&name) {
        Some(domain) => domain.as_bytes().to_vec(),
        None => name,
    }
}

/// Makes `domain` that of a mailbox, `<>` for the null sender; a mailbox without one is its own.
pub(crate) fn put_domain(domain: &mut Vec<u8>, mailbox: &[u8]) {
    domain.clear();
    if mailbox.is_empty() {
        domain.extend_from_slice(b"<>");
        return;
    }
    let start = memrchr(b'@', mailbox).map_or(0, |at| at + 1);
    domain.extend_from_slice(&mailbox[start..]);
    domain.make_ascii_lowercase();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let values: Vec<u32> = (1..=10).collect();
        for (percent, value) in [(50, 5), (90, 9), (99, 10), (100, 10), (0, 1)] {
            assert_eq!(percentile(&values, percent), Some(value), "{percent}");
        }
        assert_eq!(percentile(&[7], 50), Some(7));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn a_value_is_in_the_step_that_it_begins() {
        let counts = histogram(&[0, 59, 60, 299, 300, 86_399, 86_400, u32::MAX]);
        assert_eq!(counts, [2, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 2]);
    }

    #[test]
    fn names_are_known_by_their_organisation() {
        for (name, organisation_name) in [
            (
                "mail-eopbgr1.outbound.protection.outlook.com",
                "outlook.com",
            ),
            ("MX1.Example.CO.UK.", "example.co.uk"),
            ("localhost", "localhost"),
            ("co.uk", "co.uk"),
        ] {
            assert_eq!(organisation(name.as_bytes()), organisation_name.as_bytes());
        }
        let mut domain = b"before".to_vec();
        for (mailbox, expected) in [
            ("a@b@Example.org", "example.org"),
            ("", "<>"),
            ("root", "root"),
            ("a@", ""),
        ] {
            put_domain(&mut domain, mailbox.as_bytes());
            assert_eq!(domain, expected.as_bytes(), "{mailbox}");
        }
    }

    #[test]
    fn of_many_texts_the_first_hundred_are_told_apart_in_whatever_order_they_come() {
        let texts = || (0..250_u32).map(|nth| format!("{:03}", nth * 77 % 250));
        let few = |texts: &mut dyn Iterator<Item = String>| {
            let mut few = Few::default();
            texts.for_each(|text| few.add(text.as_bytes()));
            few
        };
        let mut one = few(&mut texts().take(125));
        assert_eq!(one.count(), FEW_MAX);
        one.join(few(&mut texts().skip(125)));
        let all = few(&mut texts().chain(texts()));
        assert_eq!(one.0, all.0);
        assert_eq!(all.first(), Some(&b"000"[..]));
        assert_eq!(all.0.last().map(Vec::as_slice), Some(&b"099"[..]));
    }
}
