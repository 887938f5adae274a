//! How many records of each kind there are, and which waiting entries have to make room.
//!
//! Counts are kept in memory by commits. Waiting entries are counted by when they were first
//! seen, so that the oldest can go first: when there are too many, a horizon rises, and what was
//! first seen before it counts as absent. Nothing is searched for and nothing is deleted here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use greylatch_core::{Census, Entry, Standing, Timestamp};

use crate::format::Stored;

/// Waiting entries are told apart by their first attempt this finely.
const FIRST_BUCKET_S: i64 = 10;
/// All records are told apart by their expiry this finely.
const EXPIRY_BUCKET_S: i64 = 6 * 3_600;

/// The counts of one store.
pub(crate) struct Tally {
    counts: Mutex<Counts>,
    /// Waiting entries first seen before this count as absent.
    waiting_horizon: AtomicI64,
    waiting_max: u64,
}

#[derive(Default)]
struct Counts {
    /// By first attempt and by expiry, in buckets. A count may be below zero until all that was
    /// stored at the start has been counted.
    waiting: BTreeMap<(i64, i64), i64>,
    waiting_total: i64,
    /// By expiry in buckets: proven, by hand, clients.
    lasting: BTreeMap<i64, [i64; 3]>,
    /// Buckets of expiry before this have been let go.
    expiry_horizon: i64,
}

impl Tally {
    /// No records yet; at most `waiting_max` entries may wait.
    pub(crate) fn new(waiting_max: u64) -> Self {
        Self {
            counts: Mutex::default(),
            waiting_horizon: AtomicI64::new(i64::MIN),
            waiting_max,
        }
    }

    /// Waiting entries first seen before this count as absent.
    pub(crate) fn waiting_horizon(&self) -> Timestamp {
        Timestamp(self.waiting_horizon.load(Ordering::Acquire))
    }

    /// The record, unless it had to make room.
    pub(crate) fn visible(&self, stored: Option<Stored>) -> Option<Stored> {
        stored.filter(|stored| !self.is_let_go(stored))
    }

    fn is_let_go(&self, stored: &Stored) -> bool {
        matches!(stored, Stored::Entry(Entry { standing: Standing::Waiting, first, .. })
            if *first < self.waiting_horizon())
    }

    /// A record has become another, has come or has gone.
    pub(crate) fn changed(&self, old: Option<Stored>, new: Option<Stored>) {
        let mut counts = self.lock();
        for (stored, step) in [(old, -1), (new, 1)] {
            if let Some(stored) = self.visible(stored) {
                counts.add(&stored, step);
            }
        }
        if counts.waiting_total > 0 && counts.waiting_total.unsigned_abs() > self.waiting_max {
            self.make_room(&mut counts);
        }
    }

    /// What expired before `now` is no longer counted.
    pub(crate) fn expire(&self, now: Timestamp) {
        let mut counts = self.lock();
        let horizon = now.0.div_euclid(EXPIRY_BUCKET_S);
        if horizon <= counts.expiry_horizon {
            return;
        }
        counts.expiry_horizon = horizon;
        counts.lasting = counts.lasting.split_off(&horizon);
        let mut gone = 0;
        counts.waiting.retain(|(_, expires), count| {
            let stays = *expires >= horizon;
            gone += if stays { 0 } else { *count };
            stays
        });
        counts.waiting_total -= gone;
    }

    /// The counts; bytes on disk are not known here.
    pub(crate) fn census(&self) -> Census {
        let counts = self.lock();
        let mut lasting = [0_i64; 3];
        for bucket in counts.lasting.values() {
            for (sum, count) in lasting.iter_mut().zip(bucket) {
                *sum += count;
            }
        }
        let [proven, by_hand, clients] = lasting.map(|count| count.max(0).unsigned_abs());
        Census {
            waiting: counts.waiting_total.max(0).unsigned_abs(),
            proven,
            by_hand,
            clients,
            disk_bytes: 0,
        }
    }

    /// Raises the horizon over the oldest buckets until the rest is few enough.
    fn make_room(&self, counts: &mut Counts) {
        while counts.waiting_total.max(0).unsigned_abs() > self.waiting_max {
            let Some(((first, _), count)) = counts.waiting.pop_first() else {
                return;
            };
            counts.waiting_total -= count;
            let horizon = (first + 1).saturating_mul(FIRST_BUCKET_S);
            self.waiting_horizon.fetch_max(horizon, Ordering::AcqRel);
        }
        // Buckets that share the last first-attempt are behind the horizon now as well.
        let horizon = self.waiting_horizon().0.div_euclid(FIRST_BUCKET_S);
        while let Some(bucket) = counts.waiting.first_entry()
            && bucket.key().0 < horizon
        {
            counts.waiting_total -= bucket.remove();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // A count is whole between any two statements: a panic elsewhere leaves it usable.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn add(&mut self, stored: &Stored, step: i64) {
        let bucket = |time: Timestamp| time.0.div_euclid(EXPIRY_BUCKET_S);
        let (expires, class) = match stored {
            Stored::Entry(entry) => match entry.standing {
                Standing::Waiting => (bucket(entry.expires), None),
                Standing::Proven => (bucket(entry.expires), Some(0)),
                Standing::Allowed | Standing::Refused => (bucket(entry.expires), Some(1)),
            },
            Stored::Client(record) => (bucket(record.expires), Some(2)),
            Stored::Network(_) => return,
        };
        if expires < self.expiry_horizon {
            return;
        }
        match (class, stored) {
            (Some(class), _) => self.lasting.entry(expires).or_default()[class] += step,
            (None, Stored::Entry(entry)) => {
                let key = (entry.first.0.div_euclid(FIRST_BUCKET_S), expires);
                let count = self.waiting.entry(key).or_default();
                *count += step;
                if *count == 0 {
                    self.waiting.remove(&key);
                }
                self.waiting_total += step;
            }
            (None, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(first: i64) -> Option<Stored> {
        Some(Stored::Entry(Entry {
            first: Timestamp(first),
            last: Timestamp(first),
            due: Timestamp(first + 60),
            expires: Timestamp(first + 172_800),
            standing: Standing::Waiting,
        }))
    }

    #[test]
    fn the_oldest_waiting_entries_make_room() {
        let tally = Tally::new(3);
        for first in [0, 100, 200] {
            tally.changed(None, waiting(first));
        }
        assert_eq!(tally.census().waiting, 3);
        assert_eq!(tally.visible(waiting(0)), waiting(0));
        tally.changed(None, waiting(300));
        assert_eq!(tally.census().waiting, 3);
        assert_eq!(tally.visible(waiting(0)), None);
        assert_eq!(tally.visible(waiting(100)), waiting(100));
    }

    #[test]
    fn what_has_been_let_go_is_not_counted_down_again() {
        let tally = Tally::new(1);
        tally.changed(None, waiting(0));
        tally.changed(None, waiting(100));
        tally.changed(waiting(0), None);
        assert_eq!(tally.census().waiting, 1);
        tally.changed(waiting(100), None);
        assert_eq!(tally.census().waiting, 0);
    }

    #[test]
    fn expired_buckets_are_no_longer_counted() {
        let tally = Tally::new(10);
        tally.changed(None, waiting(0));
        tally.expire(Timestamp(172_799));
        assert_eq!(tally.census().waiting, 1);
        tally.expire(Timestamp(172_800 + EXPIRY_BUCKET_S));
        assert_eq!(tally.census().waiting, 0);
        tally.changed(waiting(0), None);
        assert_eq!(tally.census().waiting, 0);
    }
}
