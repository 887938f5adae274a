//! Answers that are held back (`tarpit`): how many at once, and who did not sit one through.
//!
//! Whoever is made to wait counts as one who does not until its message has ended: the MTA sees a
//! client that has hung up only when it has answered it.
//!
//! Source: milter-greylist 4.6.4 as observed by running it.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use greylatch_core::{Seconds, Timestamp, Triplet};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Answers held back at once: a quarter of the connections that there may be by default.
const HOLDS_MAX: usize = 1_024;

/// Triplets remembered that have not sat one through; the oldest gives way and is held once more.
const IMPATIENT_MAX: usize = 65_536;

/// Who is held, and who was in vain.
pub(crate) struct Tarpit {
    room: Arc<Semaphore>,
    /// Hashes alone, by a key of this process.
    hasher: RandomState,
    impatient: Mutex<Impatient>,
}

/// An answer that is to be held back for so long; it takes room until it is dropped.
pub(crate) struct Hold {
    pub(crate) length: Seconds,
    _room: Option<OwnedSemaphorePermit>,
}

impl Tarpit {
    pub(crate) fn new() -> Self {
        Self::holding(HOLDS_MAX, IMPATIENT_MAX)
    }

    fn holding(holds_max: usize, impatient_max: usize) -> Self {
        Self {
            room: Arc::new(Semaphore::new(holds_max)),
            hasher: RandomState::new(),
            impatient: Mutex::new(Impatient {
                until: HashMap::new(),
                order: VecDeque::new(),
                max: impatient_max,
            }),
        }
    }

    /// Whether this triplet was held and has not sat it through.
    pub(crate) fn is_impatient(&self, triplet: &Triplet, now: Timestamp) -> bool {
        let hash = self.hasher.hash_one(triplet.joined());
        let until = self.with(|impatient| impatient.until.get(&hash).copied());
        until.is_some_and(|until| now <= until)
    }

    /// Makes room to hold an answer to this triplet, which counts as impatient until it has sat
    /// through or that time has come; `None` when too many are held.
    pub(crate) fn hold(
        &self,
        triplet: &Triplet,
        length: Seconds,
        until: Timestamp,
    ) -> Option<Hold> {
        let room = match length.0 {
            // It has sat so long before.
            ..=0 => None,
            _ => Some(self.room.clone().try_acquire_owned().ok()?),
        };
        let hash = self.hasher.hash_one(triplet.joined());
        self.with(|impatient| impatient.add(hash, until));
        Some(Hold {
            length,
            _room: room,
        })
    }

    /// This triplet has sat it through.
    pub(crate) fn sat_through(&self, triplet: &Triplet) {
        let hash = self.hasher.hash_one(triplet.joined());
        self.with(|impatient| impatient.until.remove(&hash));
    }

    fn with<T>(&self, of: impl FnOnce(&mut Impatient) -> T) -> T {
        // It is whole between any two statements: a panic elsewhere leaves it usable.
        of(&mut self
            .impatient
            .lock()
            .unwrap_or_else(PoisonError::into_inner))
    }
}

struct Impatient {
    /// Until when each counts.
    until: HashMap<u64, Timestamp>,
    /// In the order in which they came; those that have sat through are still there.
    order: VecDeque<(u64, Timestamp)>,
    max: usize,
}

impl Impatient {
    fn add(&mut self, hash: u64, until: Timestamp) {
        if self.order.len() >= self.max
            && let Some((oldest, its)) = self.order.pop_front()
            && self.until.get(&oldest) == Some(&its)
        {
            self.until.remove(&oldest);
        }
        self.order.push_back((hash, until));
        self.until.insert(hash, until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use greylatch_core::School;

    const NOW: Timestamp = Timestamp(1_000);
    const LATER: Timestamp = Timestamp(2_000);

    fn triplet(recipient: &[u8]) -> Triplet {
        Triplet::new(School::MilterGreylist, b"192.0.2.9", b"a@x", recipient)
    }

    #[test]
    fn who_is_held_is_impatient_until_it_has_sat_through() {
        let tarpit = Tarpit::new();
        let one = triplet(b"b@y");
        assert!(!tarpit.is_impatient(&one, NOW));
        let hold = tarpit.hold(&one, Seconds(2), LATER);
        assert_eq!(hold.map(|hold| hold.length), Some(Seconds(2)));
        assert!(tarpit.is_impatient(&one, LATER));
        assert!(!tarpit.is_impatient(&one, LATER.plus(Seconds(1))));
        assert!(!tarpit.is_impatient(&triplet(b"c@y"), NOW));
        tarpit.sat_through(&one);
        assert!(!tarpit.is_impatient(&one, NOW));
    }

    #[test]
    fn no_more_are_held_than_there_is_room_for() {
        let tarpit = Tarpit::holding(1, 9);
        let first = tarpit.hold(&triplet(b"b@y"), Seconds(2), LATER);
        assert!(first.is_some());
        assert!(tarpit.hold(&triplet(b"c@y"), Seconds(2), LATER).is_none());
        assert!(!tarpit.is_impatient(&triplet(b"c@y"), NOW));
        // Who need not wait any more takes no room.
        assert!(tarpit.hold(&triplet(b"d@y"), Seconds(0), LATER).is_some());
        drop(first);
        assert!(tarpit.hold(&triplet(b"c@y"), Seconds(2), LATER).is_some());
    }

    #[test]
    fn the_oldest_that_is_impatient_gives_way() {
        let tarpit = Tarpit::holding(9, 2);
        for recipient in [b"b@y", b"c@y", b"d@y"] {
            drop(tarpit.hold(&triplet(recipient), Seconds(1), LATER));
        }
        let known = [b"b@y", b"c@y", b"d@y"].map(|one| tarpit.is_impatient(&triplet(one), NOW));
        assert_eq!(known, [false, true, true]);
    }
}
