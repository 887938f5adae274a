//! Deliveries that were greylisted and never made it, found as postgreyreport finds them.
//!
//! A triplet of the log is fatal unless the database has it, by the client's address or by its
//! network, with a success. The log is read first, and the database afterwards, in whatever order its
//! records come; so what is held in memory grows with what was greylisted and with nothing else.
//!
//! Source: postgreyreport 1.14.3 as observed by running it.

use memchr::memchr;
use thiserror::Error;

use crate::formed::{
    FormedTriplet, FormedTriplets, Stamp, TripletFormer, address, chain_of, network,
};
use crate::keyed::{HashTable, Hashes};
use crate::shelf::Shelf;
use crate::texts::Texts;

/// All greylisted triplets of a log, and which of them have passed.
#[derive(Debug, Default)]
pub struct FatalTriplets {
    /// Keys and names of the rows.
    texts: Texts,
    rows: Shelf<Row>,
    /// The newest row of each chain, by the hash of what its rows have in common.
    chains: HashTable<u64, u32>,
    hashes: Hashes,
    /// How many deferrals have been counted.
    counted: u64,
}

/// One triplet, known by its network or by its address. A triplet has two rows when its client's name
/// hid its network in some lines and not in others.
#[derive(Debug)]
struct Row {
    /// `ADDRESS/SENDER/RECIPIENT`, in lower case.
    key: Span,
    name: Span,
    by_network: bool,
    passed: bool,
    tries: u32,
    /// The number of its last deferral.
    last: u64,
    stamp: Stamp,
    /// An older row of its chain.
    next: Option<u32>,
}

/// A piece of the text.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    length: u32,
}

/// The log names more than can be held: 4 GiB of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the log names more greylisted deliveries than can be held at once ({rows} are); report on a \
     part of it"
)]
pub struct TooManyTriplets {
    /// How many there are already.
    pub rows: usize,
}

impl FatalTriplets {
    /// Nothing has been read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forms the triplets that are counted here.
    #[must_use]
    pub fn former(&self) -> TripletFormer {
        TripletFormer::new(self.hashes.clone())
    }

    /// Counts deferrals, and leaves none of them.
    ///
    /// # Errors
    /// [`TooManyTriplets`] when no more can be held.
    pub fn count(&mut self, formed: &mut FormedTriplets) -> Result<(), TooManyTriplets> {
        let counted = formed.each().try_for_each(|one| self.count_one(&one));
        formed.clear();
        counted
    }

    fn count_one(&mut self, one: &FormedTriplet<'_>) -> Result<(), TooManyTriplets> {
        let at = match self.find(one) {
            Some(at) => at,
            None => self.add(one)?,
        };
        if self.piece(self.rows[at].name) != one.name {
            self.rows[at].name = self.push(one.name)?;
        }
        self.counted += 1;
        let row = &mut self.rows[at];
        row.tries = row.tries.saturating_add(1);
        row.last = self.counted;
        row.stamp = one.stamp;
        Ok(())
    }

    /// Takes note of a key of the database, `CLIENT/SENDER/RECIPIENT`, that has passed.
    pub fn has_passed(&mut self, key: &[u8]) {
        let mut next = self.chains.get(&self.hashes.narrow(chain_of(key))).copied();
        while let Some(at) = next {
            let row = &self.rows[at as usize];
            next = row.next;
            if is_known_as(self.piece(row.key), row.by_network, key) {
                self.rows[at as usize].passed = true;
            }
        }
    }

    /// Those that never made it, by address, and those of one address by sender and recipient.
    pub fn fatal(&self) -> impl Iterator<Item = FatalTriplet<'_>> {
        let mut order: Vec<(u64, usize)> = Vec::with_capacity(self.rows.len());
        for (at, row) in self.rows.range(0..self.rows.len()) {
            if !row.passed {
                order.push((address_number(self.piece(row.key)), at));
            }
        }
        order.sort_unstable_by(|(number, at), (other_number, other)| {
            let (row, other) = (&self.rows[*at], &self.rows[*other]);
            let by_text = || self.piece(row.key).cmp(self.piece(other.key));
            let by_time = || row.last.cmp(&other.last);
            number
                .cmp(other_number)
                .then_with(by_text)
                .then_with(by_time)
        });
        let mut rows = order
            .into_iter()
            .map(|(_, at)| self.view(&self.rows[at]))
            .peekable();
        std::iter::from_fn(move || {
            let mut one = rows.next()?;
            // Of two rows of one triplet the later tells the name, the time and the network.
            while let Some(mut later) = rows.next_if(|later| later.key == one.key) {
                later.tries = later.tries.saturating_add(one.tries);
                one = later;
            }
            Some(one)
        })
    }

    fn view(&self, row: &Row) -> FatalTriplet<'_> {
        FatalTriplet {
            key: self.piece(row.key),
            client_name: self.piece(row.name),
            tries: row.tries,
            stamp: row.stamp,
            by_network: row.by_network,
        }
    }

    fn find(&self, one: &FormedTriplet<'_>) -> Option<usize> {
        let mut next = self.chains.get(&one.chain).copied();
        while let Some(at) = next {
            let row = &self.rows[at as usize];
            if row.by_network == one.by_network && self.piece(row.key) == one.key {
                return Some(at as usize);
            }
            next = row.next;
        }
        None
    }

    fn add(&mut self, one: &FormedTriplet<'_>) -> Result<usize, TooManyTriplets> {
        let at = self.rows.len();
        let number = u32::try_from(at).map_err(|_| TooManyTriplets { rows: at })?;
        let row = Row {
            key: self.push(one.key)?,
            name: self.push(one.name)?,
            by_network: one.by_network,
            passed: false,
            tries: 0,
            last: 0,
            stamp: one.stamp,
            next: self.chains.insert(one.chain, number),
        };
        self.rows.push(row);
        Ok(at)
    }

    fn push(&mut self, text: &[u8]) -> Result<Span, TooManyTriplets> {
        let full = |_| TooManyTriplets {
            rows: self.rows.len(),
        };
        let length = u32::try_from(text.len()).map_err(full)?;
        let start = u32::try_from(self.texts.push(&[text])).map_err(full)?;
        Ok(Span { start, length })
    }

    fn piece(&self, span: Span) -> &[u8] {
        self.texts
            .piece(u64::from(span.start), span.length as usize)
    }
}

/// A delivery that never made it.
#[derive(Clone, Copy, Debug)]
pub struct FatalTriplet<'a> {
    /// `ADDRESS/SENDER/RECIPIENT`.
    key: &'a [u8],
    client_name: &'a [u8],
    tries: u32,
    stamp: Stamp,
    by_network: bool,
}

impl<'a> FatalTriplet<'a> {
    /// The client's IPv4 address.
    #[must_use]
    pub fn client_address(&self) -> &'a [u8] {
        address(self.key)
    }

    /// The client's name in its last deferral.
    #[must_use]
    pub fn client_name(&self) -> &'a [u8] {
        self.client_name
    }

    /// The sender as it is known, in lower case; one with a `/` ends before that.
    #[must_use]
    pub fn sender(&self) -> &'a [u8] {
        self.field(1)
    }

    /// The recipient in lower case; when the sender has a `/`, what stands behind that.
    #[must_use]
    pub fn recipient(&self) -> &'a [u8] {
        self.field(2)
    }

    /// Whether the original may be wrong about it: the client's name hid its network, so that only its
    /// full address was looked for, or the sender has a BATV tag, which is another with each mail.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        !self.by_network || self.sender().starts_with(b"prvs=")
    }

    /// How often it was deferred.
    pub(crate) fn tries(&self) -> u32 {
        self.tries
    }

    /// The first 15 bytes of the line that tells of its last deferral.
    pub(crate) fn stamp(&self) -> &[u8] {
        self.stamp.text()
    }

    /// What it shares with others of its network: the network, or the whole address when the client's
    /// name hides that; and which of the two it is.
    pub(crate) fn network(&self) -> (&'a [u8], bool) {
        let address = self.client_address();
        if self.by_network {
            (network(address), true)
        } else {
            (address, false)
        }
    }

    fn field(&self, nth: usize) -> &'a [u8] {
        let mut rest = self.key;
        for _ in 0..nth {
            let end = memchr(b'/', rest);
            rest = end.map_or(&[][..], |end| &rest[end + 1..]);
        }
        &rest[..memchr(b'/', rest).unwrap_or(rest.len())]
    }
}

/// Whether the database means a row, `ADDRESS/SENDER/RECIPIENT`, by `known_as`.
fn is_known_as(row: &[u8], by_network: bool, known_as: &[u8]) -> bool {
    if row == known_as {
        return true;
    }
    let (own, other) = (address(row), address(known_as));
    let of_network = by_network
        && other
            .strip_suffix(b".0")
            .is_some_and(|other| other == network(own));
    of_network && row[own.len()..] == known_as[other.len()..]
}

/// The groups of the address that a key begins with, as one number.
fn address_number(key: &[u8]) -> u64 {
    let mut number = 0;
    let mut group = 0;
    for byte in address(key) {
        if byte.is_ascii_digit() {
            // Three digits at most: see `Deferred`.
            group = group * 10 + u64::from(byte - b'0');
        } else {
            number = (number + group) << 16;
            group = 0;
        }
    }
    number + group
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postfix::Deferred;

    /// A line of log and the triplet in it.
    fn count(triplets: &mut FatalTriplets, stamp: &str, client: [&str; 2], sender: &str) {
        let deferred = Deferred {
            client_name: client[0].as_bytes(),
            client_address: client[1].as_bytes(),
            sender: sender.as_bytes(),
            recipient: b"Bob@Example.org",
        };
        let mut formed = FormedTriplets::default();
        triplets
            .former()
            .form(&deferred, stamp.as_bytes(), &mut formed);
        triplets.count(&mut formed).expect("there is room");
    }

    /// What is fatal, each as one text.
    fn fatal(triplets: &FatalTriplets) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let each = |one: FatalTriplet<'_>| {
            format!(
                "{} {} {} {} {} {} {}",
                text(one.stamp()),
                one.tries(),
                text(one.client_address()),
                text(one.client_name()),
                text(one.sender()),
                text(one.recipient()),
                one.network().1,
            )
        };
        triplets.fatal().map(each).collect()
    }

    #[test]
    fn deferrals_of_one_triplet_are_one_row_with_the_last_time_and_name() {
        let mut triplets = FatalTriplets::new();
        count(
            &mut triplets,
            "Nov 24 12:00:00 host",
            ["mx1.x", "192.0.2.10"],
            "A-1+e@b",
        );
        count(
            &mut triplets,
            "2026-11-24T12:00:01",
            ["mx2.x", "192.0.2.10"],
            "a-22@B",
        );
        count(&mut triplets, "short", ["mx.x", "10.0.0.9"], "a@b");
        count(&mut triplets, "", ["mx.x", "192.0.2.9"], "a@b");
        assert_eq!(
            fatal(&triplets),
            [
                "short 1 10.0.0.9 mx.x a@b bob@example.org true",
                " 1 192.0.2.9 mx.x a@b bob@example.org true",
                "2026-11-24T12:0 2 192.0.2.10 mx2.x a-#@b bob@example.org true",
            ]
        );
    }

    #[test]
    fn what_has_passed_by_address_or_by_network_is_not_fatal() {
        let rows = [
            ("mx.x", "192.0.2.10", "by-net@b"),
            ("mx.x", "192.0.2.11", "by-net@b"),
            ("unknown", "192.0.2.12", "by-net@b"),
            ("mx.x", "192.0.2.10", "by-address@b"),
            ("unknown", "192.0.2.10", "by-address@b"),
            ("mx.x", "192.0.2.11", "by-address@b"),
            ("mx.x", "192.0.20.10", "by-net@b"),
        ];
        let mut triplets = FatalTriplets::new();
        for (name, address, sender) in rows {
            count(&mut triplets, "", [name, address], sender);
        }
        for key in [
            "192.0.2.0/by-net@b/bob@example.org",
            "192.0.2.10/by-address@b/bob@example.org",
            "192.0.20.10/32/by-net@b/bob@example.org",
            "192.0.20.0/24/by-net@b/bob@example.org",
            "192.0.20.1/by-net@b/bob@example.org",
            "192.0.20.0/by-net@b/bob@example.net",
            "192.0.20.0",
            "2001:db8:0:0:0:0:0:0/by-net@b/bob@example.org",
            "",
        ] {
            triplets.has_passed(key.as_bytes());
        }
        assert_eq!(
            fatal(&triplets),
            [
                " 1 192.0.2.11 mx.x by-address@b bob@example.org true",
                " 1 192.0.2.12 unknown by-net@b bob@example.org false",
                " 1 192.0.20.10 mx.x by-net@b bob@example.org true",
            ]
        );
    }

    #[test]
    fn a_triplet_whose_name_hid_its_network_at_times_is_judged_line_by_line() {
        let mut triplets = FatalTriplets::new();
        for sender in ["passed@b", "never@b"] {
            count(&mut triplets, "one", ["unknown", "192.0.2.10"], sender);
            count(&mut triplets, "two", ["mx.x", "192.0.2.10"], sender);
        }
        triplets.has_passed(b"192.0.2.0/passed@b/bob@example.org");
        assert_eq!(
            fatal(&triplets),
            [
                "two 2 192.0.2.10 mx.x never@b bob@example.org true",
                "one 1 192.0.2.10 unknown passed@b bob@example.org false",
            ]
        );
    }

    #[test]
    fn what_the_original_may_be_wrong_about_is_doubtful() {
        let mut triplets = FatalTriplets::new();
        for (name, sender) in [
            ("mx.x", "a@b"),
            ("unknown", "c@b"),
            ("h2-10.x", "d@b"),
            ("mx.x", "prvs=1234567890=e@b"),
        ] {
            count(&mut triplets, "", [name, "192.0.2.10"], sender);
        }
        let doubtful: Vec<bool> = triplets.fatal().map(|one| one.is_doubtful()).collect();
        assert_eq!(doubtful, [false, true, true, true]);
    }

    #[test]
    fn a_slash_in_a_sender_cuts_it_as_in_the_original() {
        let mut triplets = FatalTriplets::new();
        count(&mut triplets, "", ["mx.x", "192.0.2.10"], "a/b@c");
        assert_eq!(fatal(&triplets), [" 1 192.0.2.10 mx.x a b@c true"]);
        triplets.has_passed(b"192.0.2.0/a/b@c/bob@example.org");
        assert_eq!(fatal(&triplets), [""; 0]);
    }
}
