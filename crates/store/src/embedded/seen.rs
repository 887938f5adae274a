//! Keys that may be in the tree. A first contact asks for two records that are not there, and the
//! tree takes longest to say no; this filter says it without a look.
//!
//! It errs on one side only: a key that it does not know is in no table, a key that it knows is
//! looked up. So it is asked only once every key that was there at the start has been added
//! (`census` does that), and a key is added before its record is written. Keys are never taken
//! out; when more have been written since the start than it has room for, more of them are looked
//! up in vain, and nothing else changes.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fastbloom::AtomicBloomFilter;

use super::place::Place;

pub(super) struct Seen {
    /// Each has room for twice as many keys as the one before, and is made when it is needed.
    filters: [OnceLock<AtomicBloomFilter>; FILTERS],
    added: AtomicU64,
    complete: AtomicBool,
}

/// 63 filters of the first size, 66 million keys, 95 MiB.
const FILTERS: usize = 6;
/// Keys in the first filter.
const FIRST_KEYS: u64 = 1 << 20;
/// With [`HASHES`] one key in 150 is looked up in vain.
const BITS_PER_KEY: usize = 12;
const HASHES: u32 = 4;

impl Seen {
    pub(super) fn new() -> Self {
        Self {
            filters: [const { OnceLock::new() }; FILTERS],
            added: AtomicU64::new(0),
            complete: AtomicBool::new(false),
        }
    }

    /// The key may be in the tree from now on.
    pub(super) fn add(&self, key: &Place) {
        let nth = filter_of(self.added.fetch_add(1, Ordering::Relaxed));
        let filter = self.filters[nth].get_or_init(|| {
            let keys = usize::try_from(FIRST_KEYS << nth).unwrap_or(usize::MAX);
            AtomicBloomFilter::with_num_bits(keys.saturating_mul(BITS_PER_KEY)).hashes(HASHES)
        });
        filter.insert_hash(key.bits());
    }

    /// Every key that was there at the start has been added.
    pub(super) fn complete(&self) {
        self.complete.store(true, Ordering::Release);
    }

    /// False: there is no such record.
    pub(super) fn may_hold(&self, key: &Place) -> bool {
        if !self.complete.load(Ordering::Acquire) {
            return true;
        }
        // The last written are asked for most.
        let mut filters = self.filters.iter().rev().filter_map(OnceLock::get);
        filters.any(|filter| filter.contains_hash(key.bits()))
    }
}

/// The filter that takes the key that `before` others came before.
fn filter_of(before: u64) -> usize {
    let doublings = (before / FIRST_KEYS + 1).ilog2();
    usize::try_from(doublings).map_or(FILTERS - 1, |nth| nth.min(FILTERS - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> Place {
        let mut bytes = [b't'; 17];
        bytes[1..9].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        Place::try_from(bytes.as_slice()).expect("it is long enough")
    }

    #[test]
    fn until_all_are_there_every_key_may_be() {
        let seen = Seen::new();
        assert!(seen.may_hold(&key(1)));
        seen.complete();
        assert!(!seen.may_hold(&key(1)));
        seen.add(&key(1));
        assert!(seen.may_hold(&key(1)));
    }

    #[test]
    fn what_was_added_is_held_and_little_else() {
        let seen = Seen::new();
        seen.complete();
        let added = FIRST_KEYS + FIRST_KEYS / 2;
        (0..added).for_each(|number| seen.add(&key(number)));
        assert!((0..added).all(|number| seen.may_hold(&key(number))));
        let in_vain = (added..added + 100_000).filter(|number| seen.may_hold(&key(*number)));
        let in_vain = in_vain.count();
        assert!(in_vain < 1_500, "{in_vain}");
    }

    #[test]
    fn each_filter_takes_twice_as_many_as_the_one_before() {
        let first = FIRST_KEYS;
        let filters = [0, first - 1, first, 3 * first - 1, 3 * first, u64::MAX].map(filter_of);
        assert_eq!(filters, [0, 0, 1, 1, 2, FILTERS - 1]);
    }
}
