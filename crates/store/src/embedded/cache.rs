//! The hot cache: records that were read or written lately, and keys that have no record. It is
//! never the only place of anything acknowledged.
//!
//! Of a large store it holds the part that is asked for, so what counts is how many records fit:
//! 28 bytes each here, where a general cache of the same content takes 60 with its keys, links and
//! table. It is a table of small sets; a key belongs to one set, and in a full set one that was not
//! asked for since the others were gives way.
//!
//! It begins small and grows while records have to give way, up to a limit: what a small site
//! remembers then lies close together, in the processor's own caches.
//!
//! Reading takes no lock: a set is in no other cache of the machine, and a locked instruction there
//! holds up everything behind it. Who reads looks at the set's version before and after.
//!
//! Source: H.-J. Boehm, "Can Seqlocks Get Along With Programming Language Memory Models?", MSPC
//! 2012, figure 6.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};
use greylatch_core::{ClientRecord, Entry, Standing, Timestamp};

use crate::format::{RecordKey, Stored, seconds};

pub(super) struct HotCache {
    table: ArcSwap<Table>,
    entries_max: AtomicUsize,
    /// Held by who makes a larger table.
    growing: Mutex<()>,
    /// Keeps anybody from choosing where keys fall, or which are told from one another.
    secret: u64,
}

/// The cache as it is now, for several looks.
pub(super) struct Look<'a> {
    cache: &'a HotCache,
    table: Guard<Arc<Table>>,
}

struct Table {
    sets: Box<[Set]>,
    /// Records that have given way.
    displaced: AtomicUsize,
    /// Who writes into a set holds one of these.
    writing: [Mutex<()>; WRITERS],
}

/// Seven records. What every look needs is one cache line: that and the line of the value are all
/// that it waits for.
#[derive(Default)]
#[repr(C, align(64))]
struct Set {
    /// Odd while somebody writes.
    version: AtomicU32,
    /// A bit for each that was asked for lately.
    asked: AtomicU8,
    /// Where the next victim is looked for.
    hand: AtomicU8,
    tags: [AtomicU64; WAYS],
    values: [[AtomicU64; 2]; WAYS],
}

const WAYS: usize = 7;

const ALL_ASKED: u8 = (1 << WAYS) - 1;

const WRITERS: usize = 64;

/// 1.8 MiB.
const FIRST_ENTRIES: usize = 1 << 16;

/// A table that is full gives way to one so many times as large.
const GROWTH: usize = 2;

/// A set that is written to at each of so many looks is taken for one that does not have the key.
const LOOKS: u32 = 8;

/// The lowest bits of a tag say what the value is; 0 is an empty place.
const KIND_BITS: u32 = 3;
const KIND_MASK: u64 = (1 << KIND_BITS) - 1;

impl HotCache {
    pub(super) fn new(entries_max: usize) -> Self {
        Self {
            table: ArcSwap::from_pointee(Table::new(entries_max.min(FIRST_ENTRIES))),
            entries_max: AtomicUsize::new(entries_max),
            growing: Mutex::default(),
            secret: RandomState::new().hash_one(0) | 1,
        }
    }

    /// Lets it hold so many entries, if the limit was lower.
    pub(super) fn raise_limit(&self, entries: u64) {
        let entries = usize::try_from(entries).unwrap_or(usize::MAX);
        self.entries_max.fetch_max(entries, Ordering::Relaxed);
    }

    /// Makes a larger table in place of a full one, unless somebody does. What was held is read
    /// again; what is set meanwhile may go into the old table, and the new one has no such key.
    fn grow(&self, full: &Table) {
        let larger = (full.capacity() * GROWTH).min(self.entries_max.load(Ordering::Relaxed));
        // A limit that rises little by little must not empty it each time.
        if larger < full.capacity() + full.capacity() / 4 {
            return;
        }
        let Ok(_alone) = self.growing.try_lock() else {
            return;
        };
        if larger > self.table.load().capacity() {
            self.table.store(Arc::new(Table::new(larger)));
        }
    }

    pub(super) fn look(&self) -> Look<'_> {
        Look {
            cache: self,
            table: self.table.load(),
        }
    }

    pub(super) fn set(&self, key: RecordKey, stored: Option<Stored>) {
        let (kind, value) = pack(stored);
        let table = self.table.load();
        table.put(self.place(&key), kind, value);
        if table.is_full() {
            self.grow(&table);
        }
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

impl Look<'_> {
    /// `Some(None)`: there is no such record.
    pub(super) fn get(&self, key: &RecordKey) -> Option<Option<Stored>> {
        let place = self.cache.place(key);
        self.table.sets[self.table.index(place)].get(place.tag)
    }
}

impl Table {
    fn new(entries: usize) -> Self {
        let sets = (entries / WAYS).max(1);
        Self {
            sets: (0..sets).map(|_| Set::default()).collect(),
            displaced: AtomicUsize::new(0),
            writing: [const { Mutex::new(()) }; WRITERS],
        }
    }

    fn capacity(&self) -> usize {
        self.sets.len() * WAYS
    }

    /// Whether so many records have given way that more room is worth reading the others again.
    fn is_full(&self) -> bool {
        self.displaced.load(Ordering::Relaxed) > self.capacity() / 4
    }

    fn index(&self, place: Place) -> usize {
        let wide = u128::from(place.set) * self.sets.len() as u128;
        usize::try_from(wide >> 64).unwrap_or(0)
    }

    fn put(&self, place: Place, kind: u64, value: [u32; 4]) {
        let at = self.index(place);
        // The lock guards no value of its own.
        let _alone = self.writing[at % WRITERS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.sets[at].put(place.tag, kind, value) {
            self.displaced.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Set {
    fn get(&self, tag: u64) -> Option<Option<Stored>> {
        (0..LOOKS).find_map(|_| self.try_get(tag)).flatten()
    }

    /// The outer `None`: somebody writes.
    fn try_get(&self, tag: u64) -> Option<Option<Option<Stored>>> {
        let before = self.version.load(Ordering::Acquire);
        let found = self.find(tag).map(|at| {
            let kind = self.tags[at].load(Ordering::Relaxed) & KIND_MASK;
            (at, kind, self.value(at))
        });
        fence(Ordering::Acquire);
        if before % 2 == 1 || self.version.load(Ordering::Relaxed) != before {
            return None;
        }
        Some(found.map(|(at, kind, value)| {
            self.note_asked(at);
            unpack(kind, value)
        }))
    }

    /// Written only when it changes something. Of two at once one may be lost, which costs at most
    /// one more look at the disk.
    fn note_asked(&self, at: usize) {
        let asked = self.asked.load(Ordering::Relaxed);
        if asked & 1 << at == 0 {
            self.asked.store(asked | 1 << at, Ordering::Relaxed);
        }
    }

    /// Says whether another record gave way. To be called by one at a time.
    fn put(&self, tag: u64, kind: u64, [first, second, third, fourth]: [u32; 4]) -> bool {
        let own = self.find(tag).or_else(|| self.empty());
        let at = own.unwrap_or_else(|| self.victim());
        let version = self.version.load(Ordering::Relaxed);
        self.version
            .store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.tags[at].store(tag | kind, Ordering::Relaxed);
        for (half, [low, high]) in self.values[at]
            .iter()
            .zip([[first, second], [third, fourth]])
        {
            half.store(u64::from(high) << 32 | u64::from(low), Ordering::Relaxed);
        }
        self.version
            .store(version.wrapping_add(2), Ordering::Release);
        own.is_none()
    }

    fn value(&self, at: usize) -> [u32; 4] {
        let [low, high] = self.values[at].each_ref().map(|half| {
            let half = half.load(Ordering::Relaxed);
            [half as u32, (half >> 32) as u32]
        });
        [low[0], low[1], high[0], high[1]]
    }

    fn find(&self, tag: u64) -> Option<usize> {
        self.tags.iter().position(|own| {
            let own = own.load(Ordering::Relaxed);
            own & !KIND_MASK == tag && own & KIND_MASK != 0
        })
    }

    fn empty(&self) -> Option<usize> {
        let is_empty = |tag: &AtomicU64| tag.load(Ordering::Relaxed) & KIND_MASK == 0;
        self.tags.iter().position(is_empty)
    }

    /// One that was not asked for since all others were.
    fn victim(&self) -> usize {
        let mut asked = self.asked.load(Ordering::Relaxed);
        if asked == ALL_ASKED {
            asked = 0;
            self.asked.store(0, Ordering::Relaxed);
        }
        loop {
            let hand = self.hand.load(Ordering::Relaxed);
            self.hand.store(hand.wrapping_add(1), Ordering::Relaxed);
            let at = usize::from(hand) % WAYS;
            if asked & 1 << at == 0 {
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
    use std::thread;

    use super::*;
    use crate::key::{Key, Kind};

    fn key(number: u64) -> RecordKey {
        let hash = blake3::hash(&number.to_le_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.as_bytes()[..16]);
        RecordKey::new(Kind::Client, Key::from_bytes(bytes))
    }

    /// So many as are in whole sets.
    fn whole(entries: usize) -> usize {
        entries / WAYS * WAYS
    }

    #[test]
    fn it_grows_while_records_give_way_and_up_to_its_limit() {
        let first = u64::try_from(FIRST_ENTRIES).expect("it is small");
        let cache = HotCache::new(FIRST_ENTRIES * 3);
        let held = |numbers: std::ops::Range<u64>| {
            numbers
                .clone()
                .for_each(|number| cache.set(key(number), None));
            let held = numbers.filter(|number| cache.look().get(&key(*number)).is_some());
            u64::try_from(held.count()).expect("it is small")
        };
        assert!(held(0..first / 2) > first / 2 - 1_000);
        assert_eq!(cache.table.load().capacity(), whole(FIRST_ENTRIES));
        // Twice: what was there before it grew is read again.
        held(0..first * 3 / 2);
        assert!(held(0..first * 3 / 2) > first * 5 / 4);
        held(0..first * 6);
        assert_eq!(cache.table.load().capacity(), whole(FIRST_ENTRIES * 3));
        cache.raise_limit(first * 4);
        cache.raise_limit(10);
        held(0..first * 6);
        assert_eq!(cache.table.load().capacity(), whole(FIRST_ENTRIES * 4));
        cache.raise_limit(first * 4 + first / 2);
        held(0..first * 6);
        assert_eq!(
            cache.table.load().capacity(),
            whole(FIRST_ENTRIES * 4),
            "emptied for little"
        );
    }

    #[test]
    fn what_is_asked_for_stays_and_what_is_not_goes() {
        let cache = HotCache::new(10_000);
        for number in 0..100_000 {
            cache.set(key(number), None);
            // A few hundred are asked for all the time.
            cache.look().get(&key(number % 500));
        }
        let held = (0..500).filter(|number| cache.look().get(&key(*number)).is_some());
        assert!(held.count() > 450);
        let all = (0..100_000).filter(|number| cache.look().get(&key(*number)).is_some());
        assert!((9_000..=10_000).contains(&all.count()));
    }

    #[test]
    fn one_kind_is_not_taken_for_another() {
        let cache = HotCache::new(100);
        let bytes = Key::from_bytes([7; 16]);
        cache.set(RecordKey::new(Kind::Client, bytes), None);
        assert_eq!(
            cache.look().get(&RecordKey::new(Kind::Client, bytes)),
            Some(None)
        );
        for kind in [Kind::Network, Kind::Triplet] {
            assert_eq!(cache.look().get(&RecordKey::new(kind, bytes)), None);
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
            assert_eq!(cache.look().get(&key(1)), Some(record));
        }
    }

    /// Writers give both halves of a record the same number; no reader ever sees two.
    #[test]
    fn who_reads_while_another_writes_sees_a_whole_record() {
        let cache = HotCache::new(WAYS);
        let written = |number: i64| {
            Stored::Entry(Entry {
                first: Timestamp(number),
                last: Timestamp(number),
                due: Timestamp(number),
                expires: Timestamp(number),
                standing: Standing::Proven,
            })
        };
        let done = AtomicU8::new(0);
        thread::scope(|scope| {
            for writer in 0..2 {
                let (cache, done) = (&cache, &done);
                scope.spawn(move || {
                    for number in 0..200_000 {
                        let other = u64::try_from(number % 7).expect("it is small");
                        cache.set(key(other), Some(written(number * 2 + writer)));
                    }
                    done.fetch_add(1, Ordering::Release);
                });
            }
            while done.load(Ordering::Acquire) < 2 {
                for number in 0..7 {
                    if let Some(Some(Stored::Entry(seen))) = cache.look().get(&key(number)) {
                        assert_eq!(Stored::Entry(seen), written(seen.first.0));
                    }
                }
            }
        });
    }

    #[test]
    fn a_record_takes_28_bytes() {
        assert!(size_of::<Set>() <= 28 * WAYS);
    }
}
