//! The hot cache: records that were read or written lately, and keys that have no record. It is
//! never the only place of anything acknowledged.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use greylatch_core::{ClientRecord, Entry, Standing, Timestamp};
use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

use crate::format::{RecordKey, Stored, seconds};

type Slots = Cache<RecordKey, Packed, UnitWeighter, Seeded, DefaultLifecycle<RecordKey, Packed>>;

pub(super) struct HotCache(Slots);

impl HotCache {
    pub(super) fn new(entries_max: usize) -> Self {
        let entries_max = entries_max.max(1);
        let weight_max = u64::try_from(entries_max).unwrap_or(u64::MAX);
        Self(Cache::with(
            entries_max,
            weight_max,
            UnitWeighter,
            Seeded(RandomState::new().hash_one(0)),
            DefaultLifecycle::default(),
        ))
    }

    /// Makes room for so many entries, if there is less.
    pub(super) fn grow_to(&self, entries: u64) {
        if entries > self.0.capacity() {
            self.0.set_capacity(entries);
        }
    }

    /// `Some(None)`: there is no such record.
    pub(super) fn get(&self, key: &RecordKey) -> Option<Option<Stored>> {
        self.0.get(key).map(Packed::unpack)
    }

    pub(super) fn set(&self, key: RecordKey, stored: Option<Stored>) {
        self.0.insert(key, Packed::pack(stored));
    }
}

/// A record in 20 bytes instead of 40: so many more fit, and fewer lines of memory are touched.
/// Its times are those that the format can hold, as in all that is stored.
#[derive(Clone, Copy)]
struct Packed {
    numbers: [u32; 4],
    kind: PackedKind,
}

#[derive(Clone, Copy)]
enum PackedKind {
    Absent,
    Entry(Standing),
    Client,
    Network,
}

impl Packed {
    fn pack(stored: Option<Stored>) -> Self {
        let (kind, numbers) = match stored {
            None => (PackedKind::Absent, [0; 4]),
            Some(Stored::Entry(entry)) => (
                PackedKind::Entry(entry.standing),
                [entry.first, entry.last, entry.due, entry.expires].map(seconds),
            ),
            Some(Stored::Client(record)) => (
                PackedKind::Client,
                [
                    record.passes,
                    seconds(record.last),
                    seconds(record.expires),
                    0,
                ],
            ),
            Some(Stored::Network(until)) => (PackedKind::Network, [seconds(until), 0, 0, 0]),
        };
        Self { numbers, kind }
    }

    fn unpack(self) -> Option<Stored> {
        let time = |nth: usize| Timestamp(i64::from(self.numbers[nth]));
        Some(match self.kind {
            PackedKind::Absent => return None,
            PackedKind::Entry(standing) => Stored::Entry(Entry {
                first: time(0),
                last: time(1),
                due: time(2),
                expires: time(3),
                standing,
            }),
            PackedKind::Client => Stored::Client(ClientRecord {
                passes: self.numbers[0],
                last: time(1),
                expires: time(2),
            }),
            PackedKind::Network => Stored::Network(time(0)),
        })
    }
}

impl Hash for RecordKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.bits());
    }
}

/// Keys are hashes already; a secret factor keeps anybody from choosing where they fall.
#[derive(Clone)]
struct Seeded(u64);

impl BuildHasher for Seeded {
    type Hasher = Spread;

    fn build_hasher(&self) -> Spread {
        Spread(self.0)
    }
}

struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, bits: u64) {
        let wide = u128::from(bits ^ self.0) * 0x9e37_79b9_7f4a_7c15;
        self.0 ^= (wide >> 64) as u64 ^ wide as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Key, Kind};

    #[test]
    fn it_grows_and_never_shrinks() {
        let cache = HotCache::new(1_000);
        cache.grow_to(50_000);
        cache.grow_to(10);
        let key = |number: u16| {
            let mut bytes = [0; 16];
            bytes[..2].copy_from_slice(&number.to_le_bytes());
            RecordKey::new(Kind::Client, Key::from_bytes(bytes))
        };
        (0..20_000).for_each(|number| cache.set(key(number), None));
        let held = (0..20_000).filter(|number| cache.get(&key(*number)).is_some());
        assert_eq!(held.count(), 20_000);
    }

    #[test]
    fn records_come_out_as_they_went_in() {
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
        for record in records {
            assert_eq!(Packed::pack(record).unpack(), record);
        }
        assert_eq!(size_of::<Packed>(), 20);
    }
}
