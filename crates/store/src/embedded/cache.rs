//! The hot cache: records that were read or written lately, and keys that have no record. It is
//! never the only place of anything acknowledged.
//!
//! Of a large store it holds the part that is asked for, so what counts is how many records fit:
//! 25 bytes each here, where a general cache of the same content takes 60 with its keys, links and
//! table. It is a table of small sets; a key belongs to one set, and in a full set one that was not
//! asked for since the others were gives way.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use greylatch_core::{ClientRecord, Entry, Standing, Timestamp};

use crate::format::{RecordKey, Stored, seconds};

pub(super) struct HotCache {
    table: RwLock<Table>,
    /// Keeps anybody from choosing where keys fall, or which are told from one another.
    secret: u64,
}

struct Table {
    sets: Box<[Mutex<Set>]>,
}

/// Eight records; the tags stand together, as they are looked through.
#[derive(Default)]
struct Set {
    tags: [u64; WAYS],
    values: [[u32; 4]; WAYS],
    /// A bit for each that was asked for lately.
    asked: u8,
    /// Where the next victim is looked for.
    hand: u8,
}

const WAYS: usize = 8;

/// The lowest bits of a tag say what the value is; 0 is an empty place.
const KIND_BITS: u32 = 3;
const KIND_MASK: u64 = (1 << KIND_BITS) - 1;

impl HotCache {
    pub(super) fn new(entries_max: usize) -> Self {
        Self {
            table: RwLock::new(Table::new(entries_max)),
            secret: RandomState::new().hash_one(0) | 1,
        }
    }

    /// Makes room for so many entries, if there is less; what was held is read again.
    pub(super) fn grow_to(&self, entries: u64) {
        let entries = usize::try_from(entries).unwrap_or(usize::MAX);
        let capacity = self.with_table(Table::capacity);
        if entries > capacity {
            let larger = Table::new(entries.max(capacity + capacity / 4));
            *self.table.write().unwrap_or_else(PoisonError::into_inner) = larger;
        }
    }

    /// `Some(None)`: there is no such record.
    pub(super) fn get(&self, key: &RecordKey) -> Option<Option<Stored>> {
        let place = self.place(key);
        self.with_table(|table| table.set(place).get(place.tag))
    }

    pub(super) fn set(&self, key: RecordKey, stored: Option<Stored>) {
        let place = self.place(&key);
        let (kind, value) = pack(stored);
        self.with_table(|table| table.set(place).put(place.tag, kind, value));
    }

    fn with_table<T>(&self, of: impl FnOnce(&Table) -> T) -> T {
        of(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Set and tag come from different halves of the key, which is a hash already: one record is
    /// taken for another once in 2^61 keys of a set.
    fn place(&self, key: &RecordKey) -> Place {
        let [kind, set, tag] = key.parts();
        let spread = |bits: u64| {
            let wide =
                u128::from(bits ^ self.secret) * u128::from(MIX ^ self.secret.rotate_left(32) | 1);
            (wide >> 64) as u64 ^ wide as u64
        };
        Place {
            set: spread(set ^ kind),
            tag: spread(tag ^ kind.rotate_left(32)) & !KIND_MASK,
        }
    }
}

/// Source: the fractional part of the golden ratio, as in Knuth, "The Art of Computer Programming",
/// volume 3, 6.4.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Clone, Copy)]
struct Place {
    set: u64,
    tag: u64,
}

impl Table {
    fn new(entries: usize) -> Self {
        let sets = entries.div_ceil(WAYS).max(1);
        Self {
            sets: (0..sets).map(|_| Mutex::default()).collect(),
        }
    }

    fn capacity(&self) -> usize {
        self.sets.len() * WAYS
    }

    fn set(&self, place: Place) -> MutexGuard<'_, Set> {
        let wide = u128::from(place.set) * self.sets.len() as u128;
        let at = usize::try_from(wide >> 64).unwrap_or(0);
        // A record is whole between any two statements: a panic elsewhere leaves it usable.
        self.sets[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Set {
    fn get(&mut self, tag: u64) -> Option<Option<Stored>> {
        let at = self.find(tag)?;
        self.asked |= 1 << at;
        Some(unpack(self.tags[at] & KIND_MASK, self.values[at]))
    }

    fn put(&mut self, tag: u64, kind: u64, value: [u32; 4]) {
        let at = self.find(tag).unwrap_or_else(|| self.victim());
        self.tags[at] = tag | kind;
        self.values[at] = value;
    }

    fn find(&self, tag: u64) -> Option<usize> {
        let found = |own: &u64| own & !KIND_MASK == tag && own & KIND_MASK != 0;
        self.tags.iter().position(found)
    }

    /// An empty place, else one that was not asked for since all others were.
    fn victim(&mut self) -> usize {
        if let Some(empty) = self.tags.iter().position(|tag| tag & KIND_MASK == 0) {
            return empty;
        }
        if self.asked == u8::MAX {
            self.asked = 0;
        }
        loop {
            let at = usize::from(self.hand) % WAYS;
            self.hand = self.hand.wrapping_add(1);
            if self.asked & 1 << at == 0 {
                return at;
            }
        }
    }
}

/// What a record is, never 0, and its four numbers: the times are those that the format can hold,
/// as in all that is stored.
fn pack(stored: Option<Stored>) -> (u64, [u32; 4]) {
    match stored {
        None => (1, [0; 4]),
        Some(Stored::Client(record)) => {
            let [last, expires] = [record.last, record.expires].map(seconds);
            (2, [record.passes, last, expires, 0])
        }
        Some(Stored::Network(until)) => (3, [seconds(until), 0, 0, 0]),
        Some(Stored::Entry(entry)) => {
            let numbers = [entry.first, entry.last, entry.due, entry.expires];
            let standing = match entry.standing {
                Standing::Waiting => 4,
                Standing::Proven => 5,
                Standing::Allowed => 6,
                Standing::Refused => 7,
            };
            (standing, numbers.map(seconds))
        }
    }
}

fn unpack(kind: u64, numbers: [u32; 4]) -> Option<Stored> {
    let [first, second, third, fourth] = numbers.map(|number| Timestamp(i64::from(number)));
    let standing = match kind {
        2 => {
            return Some(Stored::Client(ClientRecord {
                passes: numbers[0],
                last: second,
                expires: third,
            }));
        }
        3 => return Some(Stored::Network(first)),
        4 => Standing::Waiting,
        5 => Standing::Proven,
        6 => Standing::Allowed,
        7 => Standing::Refused,
        _ => return None,
    };
    Some(Stored::Entry(Entry {
        first,
        last: second,
        due: third,
        expires: fourth,
        standing,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Key, Kind};

    fn key(number: u64) -> RecordKey {
        let hash = blake3::hash(&number.to_le_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.as_bytes()[..16]);
        RecordKey::new(Kind::Client, Key::from_bytes(bytes))
    }

    #[test]
    fn it_grows_and_never_shrinks() {
        let cache = HotCache::new(1_000);
        cache.grow_to(50_000);
        cache.grow_to(10);
        (0..20_000).for_each(|number| cache.set(key(number), None));
        let held = (0..20_000).filter(|number| cache.get(&key(*number)).is_some());
        assert!(held.count() > 19_000);
    }

    #[test]
    fn what_is_asked_for_stays_and_what_is_not_goes() {
        let cache = HotCache::new(10_000);
        for number in 0..100_000 {
            cache.set(key(number), None);
            // A few hundred are asked for all the time.
            cache.get(&key(number % 500));
        }
        let held = (0..500).filter(|number| cache.get(&key(*number)).is_some());
        assert!(held.count() > 450);
        let all = (0..100_000).filter(|number| cache.get(&key(*number)).is_some());
        assert!((9_000..=10_000).contains(&all.count()));
    }

    #[test]
    fn one_kind_is_not_taken_for_another() {
        let cache = HotCache::new(100);
        let bytes = Key::from_bytes([7; 16]);
        cache.set(RecordKey::new(Kind::Client, bytes), None);
        assert_eq!(cache.get(&RecordKey::new(Kind::Client, bytes)), Some(None));
        for kind in [Kind::Network, Kind::Triplet] {
            assert_eq!(cache.get(&RecordKey::new(kind, bytes)), None);
        }
    }

    #[test]
    fn records_come_out_as_they_went_in_and_the_last_one_counts() {
        let mut records = vec![
            None,
            Some(Stored::Client(ClientRecord {
                passes: 7,
                last: Timestamp(8),
                expires: Timestamp(9),
            })),
            Some(Stored::Network(Timestamp(10))),
        ];
        records.extend(Standing::ALL.map(|standing| {
            Some(Stored::Entry(Entry {
                first: Timestamp(1),
                last: Timestamp(2),
                due: Timestamp(3),
                expires: Timestamp(i64::from(u32::MAX)),
                standing,
            }))
        }));
        let cache = HotCache::new(8);
        for record in records {
            cache.set(key(1), record);
            assert_eq!(cache.get(&key(1)), Some(record));
        }
    }

    #[test]
    fn a_record_takes_25_bytes() {
        assert!(size_of::<Mutex<Set>>() <= 26 * WAYS);
    }
}
