//! Keys that may be in the tree. A first contact asks for two records that are not there, and the
//! tree takes longest to say no; this filter says it without a look.
//!
//! It errs on one side only: a key that it does not know is in no table, a key that it knows is
//! looked up. So it is asked only once every key that was there at the start has been added
//! (`census` does that), and a key is added before its record is written. Keys are never taken
//! out; when more have been written since the start than it has room for, more of them are looked
//! up in vain, and nothing else changes.
//!
//! All bits of a key lie in one cache line, and so do those of the two places of a triplet: a filter
//! of this size is not near the processor, and what a look costs is the lines it waits for.
//!
//! Source: Putze, Sanders, Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", JEA 14 (2009),
//! section 3.1.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::place::Place;

pub(super) struct Seen {
    /// Each has room for twice as many keys as the one before, and is made when it is needed.
    filters: [OnceLock<Filter>; FILTERS],
    added: AtomicU64,
    complete: AtomicBool,
}

/// 63 filters of the first size, 66 million keys, 95 MiB.
const FILTERS: usize = 6;
/// Keys in the first filter.
const FIRST_KEYS: u64 = 1 << 20;
/// With [`MARKS`] one key in 100 is looked up in vain.
const BITS_PER_KEY: u64 = 12;
/// Bits that a key sets.
const MARKS: usize = 4;

struct Filter {
    blocks: Box<[Block]>,
}

/// A cache line.
#[derive(Default)]
#[repr(align(64))]
struct Block([AtomicU64; 8]);

const BLOCK_BITS: u64 = 512;

impl Filter {
    /// With room for so many keys.
    fn new(keys: u64) -> Self {
        let blocks = (keys * BITS_PER_KEY).div_ceil(BLOCK_BITS);
        Self {
            blocks: (0..blocks).map(|_| Block::default()).collect(),
        }
    }

    fn add(&self, place: &Place) {
        for (word, mask) in self.marks(place) {
            word.fetch_or(mask, Ordering::Relaxed);
        }
    }

    fn has(&self, place: &Place) -> bool {
        let mut marks = self.marks(place);
        marks.all(|(word, mask)| word.load(Ordering::Relaxed) & mask != 0)
    }

    /// The words that a key has bits in, and which.
    fn marks(&self, place: &Place) -> impl Iterator<Item = (&AtomicU64, u64)> {
        let [spread, bits] = place.hash();
        let wide = u128::from(spread) * self.blocks.len() as u128;
        // What is left of the product is below the number of blocks.
        let block = &self.blocks[(wide >> 64) as usize];
        (0..MARKS).map(move |nth| {
            let mark = bits >> (9 * nth);
            (&block.0[(mark & 7) as usize], 1 << (mark >> 3 & 63))
        })
    }
}

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
        let filter = self.filters[nth].get_or_init(|| Filter::new(FIRST_KEYS << nth));
        filter.add(key);
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
        filters.any(|filter| filter.has(key))
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
        bytes[1..].copy_from_slice(&blake3::hash(&number.to_le_bytes()).as_bytes()[..16]);
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
