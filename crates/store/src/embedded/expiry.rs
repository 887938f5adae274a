//! What may be purged: records that expired before a horizon, and waiting entries that had to
//! make room. Purging is housekeeping within fjall's compactions; whether a record still counts
//! is decided when it is read.
//!
//! The horizon never passes the newest time that was in the store when it was opened by more
//! than the time since then and an hour: a wrong clock may hide records, but purges none.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fjall::compaction::filter::{
    CompactionFilter, CompactionFilterResult, Context, Factory, ItemAccessor, Verdict,
};
use greylatch_core::{Seconds, Timestamp};
// The system's own monotonic clock, which a test can advance by a year.
use tokio::time::Instant;

use crate::format;
use crate::tally::Tally;

/// Until when expired records may be purged.
pub(super) struct Horizon {
    purge_before: AtomicI64,
    anchor: Mutex<Anchor>,
}

#[derive(Clone, Copy)]
enum Anchor {
    /// The store is still being counted.
    Unknown,
    /// It was empty.
    Empty,
    /// A time that had come when this was noted.
    At(Timestamp, Instant),
}

impl Horizon {
    pub(super) fn new() -> Self {
        Self {
            purge_before: AtomicI64::new(i64::MIN),
            anchor: Mutex::new(Anchor::Unknown),
        }
    }

    /// The newest time in the store has been found, `None` in an empty one. The first word counts.
    pub(super) fn anchor(&self, newest: Option<Timestamp>) {
        let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*anchor, Anchor::Unknown) {
            *anchor = newest.map_or(Anchor::Empty, |newest| Anchor::At(newest, Instant::now()));
        }
    }

    /// Moves towards `now`, as far as it may, and says how far that is.
    pub(super) fn advance(&self, now: Timestamp) -> Timestamp {
        let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*anchor, Anchor::Empty) {
            *anchor = Anchor::At(now, Instant::now());
        }
        if let Anchor::At(newest, noted) = *anchor {
            let passed = i64::try_from(noted.elapsed().as_secs()).unwrap_or(i64::MAX);
            let limit = newest.plus(Seconds(passed)).plus(Seconds::HOUR);
            self.purge_before
                .fetch_max(now.min(limit).0, Ordering::AcqRel);
        }
        self.purge_before()
    }

    fn purge_before(&self) -> Timestamp {
        Timestamp(self.purge_before.load(Ordering::Acquire))
    }
}

/// Makes the filter that fjall runs records through when it compacts.
pub(super) struct Purging {
    pub(super) horizon: Arc<Horizon>,
    pub(super) tally: Arc<Tally>,
}

impl Factory for Purging {
    fn name(&self) -> &'static str {
        "expired"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(Purge {
            before: self.horizon.purge_before(),
            waiting_before: self.tally.waiting_horizon(),
        })
    }
}

/// The horizons as they were when a compaction began.
struct Purge {
    before: Timestamp,
    waiting_before: Timestamp,
}

impl CompactionFilter for Purge {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> CompactionFilterResult {
        let value = item.value()?;
        Ok(if self.is_over(item.key(), &value) {
            // A tombstone: an older version of the record may lie in a level below.
            Verdict::Remove
        } else {
            Verdict::Keep
        })
    }
}

impl Purge {
    fn is_over(&self, key: &[u8], value: &[u8]) -> bool {
        let expired = format::expiry(value).is_some_and(|expires| expires < self.before);
        let made_room =
            format::waiting_since(key, value).is_some_and(|first| first < self.waiting_before);
        expired || made_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_far_ahead_moves_the_horizon_by_an_hour() {
        let horizon = Horizon::new();
        assert_eq!(horizon.advance(Timestamp(10_000)), Timestamp(i64::MIN));
        horizon.anchor(Some(Timestamp(1_000)));
        assert_eq!(horizon.advance(Timestamp(2_000)), Timestamp(2_000));
        let far = horizon.advance(Timestamp(1_000_000));
        assert!((4_600..4_660).contains(&far.0), "{far:?}");
        assert_eq!(horizon.advance(Timestamp(0)), far);
    }

    #[test]
    fn an_empty_store_takes_the_first_time_it_is_told() {
        let horizon = Horizon::new();
        horizon.anchor(None);
        assert_eq!(horizon.advance(Timestamp(5_000)), Timestamp(5_000));
    }
}
