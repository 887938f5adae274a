//! The hot cache: records that were read or written lately, and keys that have no record. It is
//! never the only place of anything acknowledged.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

use crate::format::{RecordKey, Stored};

type Slots = Cache<
    RecordKey,
    Option<Stored>,
    UnitWeighter,
    Seeded,
    DefaultLifecycle<RecordKey, Option<Stored>>,
>;

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

    /// `Some(None)`: there is no such record.
    pub(super) fn get(&self, key: &RecordKey) -> Option<Option<Stored>> {
        self.0.get(key)
    }

    pub(super) fn set(&self, key: RecordKey, stored: Option<Stored>) {
        self.0.insert(key, stored);
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
