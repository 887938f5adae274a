//! Tables of what logs name, by hashes of it.
//!
//! Whoever sends mail chooses what is hashed, but sees neither a hash nor how long one takes; the seeds
//! are random. Of 128 bits no two texts of a log have the same.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};

use foldhash::quality::RandomState;

/// A table whose keys may be anything.
pub(crate) type Table<K, V> = HashMap<K, V, RandomState>;

/// A table by the hashes of its keys.
pub(crate) type HashTable<K, V> = HashMap<K, V, BuildHasherDefault<AsItIs>>;

/// The hash of something, which stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wide(u64, u64);

/// What is hashed alike.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hashes([RandomState; 2]);

/// Gives a hash for what is one already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AsItIs(u64);

impl Hash for Wide {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

impl Hashes {
    /// The hash by which something is known.
    pub(crate) fn wide(&self, it: impl Hash) -> Wide {
        let [one, other] = &self.0;
        Wide(one.hash_one(&it), other.hash_one(&it))
    }

    /// Half of one, for what may once in a thousand million logs be taken for another, or is compared.
    pub(crate) fn narrow(&self, it: impl Hash) -> u64 {
        self.0[0].hash_one(it)
    }
}

impl Hasher for AsItIs {
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    /// Not in use: keys are one number.
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
