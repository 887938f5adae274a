//! Requests over HTTP that are turned away for what is wrong with their token: each is counted, and a
//! line of the log stands for as many as have come since the last, so that guessing does not fill it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use greylatch_core::Timestamp;

/// Counts them, and knows how many no line has told of yet.
#[derive(Default)]
pub(crate) struct TurnedAway {
    count: AtomicU64,
    told: AtomicU64,
    /// When, in whole seconds, a line was last due.
    told_at: AtomicU64,
}

/// A line is due at once, and the next one so many seconds later.
const AGAIN_S: u64 = 10;

impl TurnedAway {
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Counts one more; the line to write about it, if one is due.
    pub(super) fn note(&self, from: Option<IpAddr>, why: &str, now: Timestamp) -> Option<String> {
        self.count.fetch_add(1, Ordering::Relaxed);
        let untold = self.untold(now)?;
        let from = from.map_or_else(
            || "at a unix socket".to_owned(),
            |from| format!("from {}", from.to_canonical()),
        );
        let more = match untold - 1 {
            0 => String::new(),
            more => format!(", and {more} more since that was last said"),
        };
        Some(format!(
            "a request over HTTP {from} was turned away: {why}{more}"
        ))
    }

    /// The line about those that were not told of when they came, if there are such and it is due.
    pub(super) fn rest(&self, now: Timestamp) -> Option<String> {
        let untold = self.untold(now)?;
        Some(format!(
            "{untold} more requests over HTTP were turned away since that was last said"
        ))
    }

    /// How many there are to tell of, when it is time; they count as told then.
    fn untold(&self, now: Timestamp) -> Option<u64> {
        let now = u64::try_from(now.0).unwrap_or(0);
        let told_at = self.told_at.load(Ordering::Relaxed);
        if now.abs_diff(told_at) < AGAIN_S || self.count() == self.told.load(Ordering::Relaxed) {
            return None;
        }
        self.told_at
            .compare_exchange(told_at, now, Ordering::Relaxed, Ordering::Relaxed)
            .ok()?;
        let count = self.count();
        let told = self.told.swap(count, Ordering::Relaxed);
        count.checked_sub(told).filter(|untold| *untold > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHY: &str = "its token is wrong";

    #[test]
    fn the_first_is_told_at_once_and_the_others_in_sums() {
        let turned_away = TurnedAway::default();
        let from = Some("::ffff:192.0.2.9".parse().expect("an address"));
        let note = |from, at| turned_away.note(from, WHY, Timestamp(at));
        let line = "a request over HTTP from 192.0.2.9 was turned away: its token is wrong";
        assert_eq!(note(from, 1_000).as_deref(), Some(line));
        for at in [1_000, 1_005, 1_009] {
            assert_eq!(note(from, at), None);
        }
        let line = "a request over HTTP at a unix socket was turned away: its token is wrong, \
                    and 3 more since that was last said";
        assert_eq!(note(None, 1_010).as_deref(), Some(line));
        assert_eq!(turned_away.count(), 5);
    }

    #[test]
    fn what_was_not_told_when_it_came_is_told_later_and_once() {
        let turned_away = TurnedAway::default();
        let rest = |at| turned_away.rest(Timestamp(at));
        assert_eq!(rest(1_000), None);
        assert!(turned_away.note(None, WHY, Timestamp(1_001)).is_some());
        assert_eq!(rest(1_020), None);
        assert!(turned_away.note(None, WHY, Timestamp(1_021)).is_some());
        assert_eq!(turned_away.note(None, WHY, Timestamp(1_022)), None);
        assert_eq!(turned_away.note(None, WHY, Timestamp(1_023)), None);
        assert_eq!(rest(1_030), None);
        let line = "2 more requests over HTTP were turned away since that was last said";
        assert_eq!(rest(1_031).as_deref(), Some(line));
        assert_eq!(rest(1_041), None);
        // A clock that goes back does not silence it.
        assert!(turned_away.note(None, WHY, Timestamp(500)).is_some());
    }
}
