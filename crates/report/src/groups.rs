//! Deliveries put together by what they have in common, and figures of waiting.

use memchr::memrchr;

use crate::keyed::{HashTable, Hashes, Wide};

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
    /// Who those that came were from and for; of providers.
    pub(crate) met: Met,
}

/// Networks, domains of senders, and recipients.
#[derive(Debug, Default)]
pub(crate) struct Met(Option<Box<AllMet>>);

#[derive(Debug, Default)]
struct AllMet {
    networks: Few,
    sender_domains: Few,
    recipients: Few,
    /// The first domain of a sender in the order of bytes.
    sender_domain: Option<Vec<u8>>,
}

impl Met {
    /// Takes note of a sender's domain, and of the hashes of it, a network and a recipient.
    pub(crate) fn add(&mut self, sender_domain: &[u8], hashes: MetHashes) {
        let met = self.0.get_or_insert_default();
        met.networks.add(hashes.network);
        met.recipients.add(hashes.recipient);
        let is_first = |first: &Vec<u8>| sender_domain < first.as_slice();
        if met.sender_domains.add(hashes.sender_domain)
            && met.sender_domain.as_ref().is_none_or(is_first)
        {
            met.sender_domain = Some(sender_domain.to_vec());
        }
    }

    pub(crate) fn networks(&self) -> usize {
        self.0.as_ref().map_or(0, |met| met.networks.count())
    }

    pub(crate) fn sender_domains(&self) -> usize {
        self.0.as_ref().map_or(0, |met| met.sender_domains.count())
    }

    pub(crate) fn sender_domain(&self) -> Option<&[u8]> {
        self.0.as_ref()?.sender_domain.as_deref()
    }

    pub(crate) fn recipients(&self) -> usize {
        self.0.as_ref().map_or(0, |met| met.recipients.count())
    }
}

/// Hashes of what was met.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MetHashes {
    pub(crate) network: u64,
    pub(crate) sender_domain: u64,
    pub(crate) recipient: u64,
}

/// Different texts by their hashes in order, counted exactly up to [`FEW_MAX`].
#[derive(Debug, Default)]
struct Few(Vec<u64>);

/// More than decides anything.
const FEW_MAX: usize = 100;

impl Few {
    /// Gives whether it is none of those before, as far as they are told apart.
    fn add(&mut self, hash: u64) -> bool {
        let Err(place) = self.0.binary_search(&hash) else {
            return false;
        };
        if self.0.len() < FEW_MAX {
            self.0.insert(place, hash);
        }
        true
    }

    fn count(&self) -> usize {
        self.0.len()
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
}

/// Groups by their names.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// By the hashes of names; the names themselves would have to be fetched for each delivery.
    places: HashTable<Wide, u32>,
    hashes: Hashes,
    groups: Vec<(Vec<u8>, Group)>,
}

impl Groups {
    /// The place of the group of this name, for [`Groups::at`].
    pub(crate) fn place(&mut self, name: &[u8]) -> u32 {
        // There are not more than deliveries.
        let next = self.groups.len() as u32;
        let place = *self.places.entry(self.hashes.wide(name)).or_insert(next);
        if place == next {
            self.groups.push((name.to_vec(), Group::default()));
        }
        place
    }

    /// The group at a place.
    pub(crate) fn at(&mut self, place: u32) -> &mut Group {
        &mut self.groups[place as usize].1
    }

    /// The group of this name.
    pub(crate) fn named(&mut self, name: &[u8]) -> &mut Group {
        let place = self.place(name);
        self.at(place)
    }

    /// Puts waits and retries in order.
    pub(crate) fn sort(&mut self) {
        self.groups.iter_mut().for_each(|(_, group)| group.sort());
    }
}

/// The first of groups that have something by a size, and how many more there are.
pub(crate) struct Largest<'a> {
    pub(crate) groups: Vec<(&'a [u8], &'a Group)>,
    pub(crate) left: usize,
}

/// The groups that have something by `size`, the largest first, those of one size by name; only so many,
/// all if `rows` is 0.
pub(crate) fn largest(groups: &Groups, rows: usize, size: impl Fn(&Group) -> u64) -> Largest<'_> {
    let named = groups.groups.iter();
    let mut found: Vec<(&[u8], &Group)> = named
        .map(|(name, group)| (name.as_slice(), group))
        .filter(|(_, group)| size(group) > 0)
        .collect();
    let order = |one: &(&[u8], &Group), other: &(&[u8], &Group)| {
        size(other.1)
            .cmp(&size(one.1))
            .then_with(|| one.0.cmp(other.0))
    };
    let mut left = 0;
    if rows > 0 && rows < found.len() {
        left = found.len() - rows;
        found.select_nth_unstable_by(rows, order);
        found.truncate(rows);
    }
    found.sort_unstable_by(order);
    Largest {
        groups: found,
        left,
    }
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
    fn a_hundred_are_told_apart_and_the_first_by_name_is_known_of_all() {
        let mut met = Met::default();
        for (count, nth) in (0..250_u64).map(|nth| nth * 77 % 250).enumerate() {
            let count = count.min(FEW_MAX);
            assert_eq!([met.sender_domains(), met.recipients()], [count; 2]);
            let hashes = MetHashes {
                network: nth % 7,
                sender_domain: nth,
                recipient: 250 - nth,
            };
            for _ in 0..2 {
                met.add(format!("{:03}", 250 - nth).as_bytes(), hashes);
            }
        }
        assert_eq!(met.networks(), 7);
        assert_eq!(met.sender_domain(), Some(&b"001"[..]));
    }

    #[test]
    fn the_largest_come_first_and_those_of_one_size_by_name() {
        let mut groups = Groups::default();
        for nth in 0..50_u64 {
            groups
                .named(format!("{:02}", nth * 7 % 50).as_bytes())
                .never = nth * 7 % 50 / 4;
        }
        let names = |rows: usize| {
            let largest = largest(&groups, rows, |group| group.never);
            let names = largest.groups.iter().map(|(name, _)| name.to_vec());
            (names.collect::<Vec<_>>(), largest.left)
        };
        let (all, left) = names(0);
        assert_eq!((all.len(), left), (46, 0));
        assert_eq!(all[..3], [b"48".to_vec(), b"49".to_vec(), b"44".to_vec()]);
        for rows in [1, 2, 3, 45, 46, 47] {
            let shown = rows.min(46);
            assert_eq!(names(rows), (all[..shown].to_vec(), 46 - shown), "{rows}");
        }
    }
}
