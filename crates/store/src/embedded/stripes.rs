//! Striped locks with versions: who writes a record holds its stripe, and each write moves the
//! stripe's version, so that a reader knows whether what it read is still the newest.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use smallvec::SmallVec;

use crate::format::RecordKey;

const STRIPES: usize = 512;

/// An attempt writes no more records.
const USUAL: usize = 3;

pub(super) struct Stripes(Box<[Stripe]>);

#[derive(Default)]
struct Stripe {
    lock: Mutex<()>,
    version: AtomicU64,
}

/// The stripes of some records, held.
pub(super) struct Held<'a> {
    stripes: SmallVec<[(&'a Stripe, MutexGuard<'a, ()>); USUAL]>,
}

impl Stripes {
    pub(super) fn new() -> Self {
        Self((0..STRIPES).map(|_| Stripe::default()).collect())
    }

    /// Takes the stripes of all these records, each once and in order of their index: two
    /// writers never wait for one another.
    pub(super) fn hold(&self, keys: impl Iterator<Item = RecordKey>) -> Held<'_> {
        let mut indexes: SmallVec<[usize; USUAL]> = keys.map(|key| index(&key)).collect();
        indexes.sort_unstable();
        indexes.dedup();
        let stripes = indexes.into_iter().map(|index| {
            let stripe = &self.0[index];
            (stripe, stripe.hold())
        });
        Held {
            stripes: stripes.collect(),
        }
    }

    /// The version of a record's stripe, to be noted before the record is read.
    pub(super) fn version(&self, key: &RecordKey) -> u64 {
        self.0[index(key)].version.load(Ordering::Acquire)
    }

    /// Runs `fill` under the record's stripe if its version is still `noted` and nobody has it:
    /// a fill is not worth waiting for a writer, who may wait for the disk.
    pub(super) fn fill(&self, key: &RecordKey, noted: u64, fill: impl FnOnce()) {
        let stripe = &self.0[index(key)];
        if let Ok(_held) = stripe.lock.try_lock()
            && stripe.version.load(Ordering::Acquire) == noted
        {
            fill();
        }
    }
}

impl Stripe {
    fn hold(&self) -> MutexGuard<'_, ()> {
        // The lock guards no value of its own.
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held<'_> {
    /// The versions move last, behind everything that was written and before the stripes are let
    /// go: who noted an older version fills nothing, and who notes the new one reads the new
    /// record.
    fn drop(&mut self) {
        for (stripe, _) in &self.stripes {
            stripe.version.fetch_add(1, Ordering::AcqRel);
        }
    }
}

fn index(key: &RecordKey) -> usize {
    usize::from(key.bytes()[15]) << 1 & (STRIPES - 1) | usize::from(key.bytes()[16] & 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Key, Kind};

    fn key(byte: u8) -> RecordKey {
        RecordKey::new(Kind::Triplet, Key::from_bytes([byte; 16]))
    }

    fn fills(stripes: &Stripes, noted: u64) -> bool {
        let mut filled = false;
        stripes.fill(&key(1), noted, || filled = true);
        filled
    }

    #[test]
    fn what_was_read_before_or_during_a_write_fills_nothing() {
        let stripes = Stripes::new();
        let before = stripes.version(&key(1));
        assert!(fills(&stripes, before));
        let held = stripes.hold([key(1), key(2), key(1)].into_iter());
        let during = stripes.version(&key(1));
        assert!(!fills(&stripes, during), "somebody writes");
        drop(held);
        assert!(!fills(&stripes, before));
        assert!(!fills(&stripes, during));
        assert!(fills(&stripes, stripes.version(&key(1))));
    }
}
