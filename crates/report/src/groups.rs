//! Deliveries put together by what they have in common, and figures of waiting.

use std::cmp::Reverse;
use std::collections::BTreeSet;

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
    /// How long those that came had waited, in seconds.
    pub(crate) waits: Vec<u32>,
    /// How long after the first attempt the second came, in seconds.
    pub(crate) retries: Vec<u32>,
    /// Networks, domains of senders, and recipients of those that came, told apart up to a hundred.
    pub(crate) networks: Few,
    pub(crate) sender_domains: Few,
    pub(crate) recipients: Few,
}

/// Different texts, counted exactly up to [`FEW_MAX`].
#[derive(Debug, Default)]
pub(crate) struct Few(BTreeSet<Vec<u8>>);

/// More than decides anything.
const FEW_MAX: usize = 100;

impl Few {
    pub(crate) fn add(&mut self, text: &[u8]) {
        if self.0.len() < FEW_MAX && !self.0.contains(text) {
            self.0.insert(text.to_vec());
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
}

/// Groups by their names.
pub(crate) type Groups = Table<Vec<u8>, Group>;

/// The group of this name.
pub(crate) fn group<'a>(groups: &'a mut Groups, name: &[u8]) -> &'a mut Group {
    if !groups.contains_key(name) {
        groups.insert(name.to_vec(), Group::default());
    }
    groups.get_mut(name).expect("it was there, or is now")
}

/// The groups that have something by `size`, the largest first, those of one size by name.
pub(crate) fn largest(groups: &Groups, size: impl Fn(&Group) -> u64) -> Vec<(&[u8], &Group)> {
    let mut found: Vec<(&[u8], &Group)> = groups
        .iter()
        .filter(|(_, group)| size(group) > 0)
        .map(|(name, group)| (name.as_slice(), group))
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

/// The domain of a mailbox, `<>` for the null sender; a mailbox without one is its own.
pub(crate) fn domain(mailbox: &[u8]) -> Vec<u8> {
    if mailbox.is_empty() {
        return b"<>".to_vec();
    }
    let behind = mailbox.rsplit(|byte| *byte == b'@').next();
    behind.unwrap_or(mailbox).to_ascii_lowercase()
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
        assert_eq!(domain(b"a@b@Example.org"), b"example.org");
        assert_eq!(domain(b""), b"<>");
        assert_eq!(domain(b"root"), b"root");
    }
}
