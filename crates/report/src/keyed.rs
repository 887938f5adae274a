//! Tables of what logs name, by hashes of it.
//!
//! Whoever sends mail chooses what is hashed, but sees neither a hash nor how long one takes; the seeds
//! are random. Of 128 bits no two texts of a log have the same.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use foldhash::quality::RandomState;

/// A table whose keys may be anything.
pub(crate) type Table<K, V> = HashMap<K, V, RandomState>;

/// A table by the hashes of its keys.
pub(crate) type HashTable<V> = HashMap<[u64; 2], V, RandomState>;

/// What is hashed alike.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hashes([RandomState; 2]);

impl Hashes {
    /// The hash by which something is known.
    pub(crate) fn wide(&self, it: impl Hash) -> [u64; 2] {
        let [one, other] = &self.0;
        [one.hash_one(&it), other.hash_one(&it)]
    }

    /// Half of one, for what may now and then be taken for another.
    pub(crate) fn narrow(&self, it: impl Hash) -> u64 {
        self.0[0].hash_one(it)
    }
}
