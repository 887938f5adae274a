//! Counts for `ratelimit` clauses: how much came lately, by class and key.
//!
//! A window slides in ten slots. Classes do not share counts as they do in milter-greylist, where
//! one with a short window also forgets what another has counted.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use greylatch_core::{Seconds, Timestamp};

/// Counts in memory; they begin anew with the process.
#[derive(Default)]
pub(crate) struct Rates {
    counts: Mutex<HashMap<Counted, Window>>,
}

/// What is counted now.
pub(crate) struct Event<'a> {
    /// The name of the class.
    pub(crate) class: &'a [u8],
    /// What is counted apart within it.
    pub(crate) key: Vec<u8>,
    /// How much this adds.
    pub(crate) amount: u64,
    /// The time over which is counted.
    pub(crate) window: Seconds,
}

/// A class, and what is counted apart within it.
type Counted = (Vec<u8>, Vec<u8>);

#[derive(Clone, Copy)]
struct Window {
    slots: [u64; SLOTS],
    /// The number of the newest slot since the beginning of time.
    newest: i64,
    /// When something came last.
    last: Timestamp,
    /// The time over which is counted.
    length: Seconds,
    /// The length of a slot in thousandths of a second.
    slot_ms: i64,
}

const SLOTS: usize = 10;

/// Keys that are counted at once; when there are more, those go of which nothing came lately.
const KEYS_MAX: usize = 100_000;

impl Rates {
    /// Counts an event and gives how much there was within its window, this included.
    pub(crate) fn count(&self, event: Event<'_>, now: Timestamp) -> u64 {
        let fresh = Window::of(&event, now);
        // A count is whole between any two statements: a panic elsewhere leaves it usable.
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (event.class.to_vec(), event.key);
        if counts.len() >= KEYS_MAX && !counts.contains_key(&key) {
            counts.retain(|_, window| window.is_live(now));
            if counts.len() >= KEYS_MAX {
                counts.clear();
            }
        }
        let window = counts.entry(key).or_insert(fresh);
        window.add(event.amount, fresh);
        window.sum()
    }

    /// How much there would be with this event, which is not counted.
    pub(crate) fn would_be(&self, event: Event<'_>, now: Timestamp) -> u64 {
        let fresh = Window::of(&event, now);
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (event.class.to_vec(), event.key);
        let mut window = counts.get(&key).copied().unwrap_or(fresh);
        window.add(event.amount, fresh);
        window.sum()
    }
}

impl Window {
    /// An empty one at this time.
    fn of(event: &Event<'_>, now: Timestamp) -> Self {
        let slot_ms = (event.window.0.max(1).saturating_mul(1_000) / SLOTS as i64).max(1);
        Self {
            slots: [0; SLOTS],
            newest: now.0.saturating_mul(1_000) / slot_ms,
            last: now,
            length: event.window,
            slot_ms,
        }
    }

    /// Counts at the time of an empty window.
    fn add(&mut self, amount: u64, fresh: Self) {
        if self.slot_ms != fresh.slot_ms || fresh.last.since(self.last) > fresh.length {
            *self = fresh;
        }
        self.advance(fresh.newest, fresh.last);
        let at = self.newest.rem_euclid(SLOTS as i64) as usize;
        self.slots[at] = self.slots[at].saturating_add(amount);
    }

    fn sum(&self) -> u64 {
        let slots = self.slots.iter();
        slots.fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Goes on to a slot and empties those between. As in the original they are a ring: exactly one
    /// round later nothing is emptied, and a clock that steps back goes round to its slot.
    fn advance(&mut self, slot: i64, now: Timestamp) {
        let (count, passed) = (SLOTS as i64, slot.saturating_sub(self.newest));
        if passed <= -count {
            self.slots = [0; SLOTS];
        }
        for step in 1..=passed.rem_euclid(count) {
            let at = self.newest.wrapping_add(step).rem_euclid(count) as usize;
            self.slots[at] = 0;
        }
        (self.newest, self.last) = (slot, now);
    }

    fn is_live(&self, now: Timestamp) -> bool {
        let slot = now.0.saturating_mul(1_000) / self.slot_ms;
        slot.saturating_sub(self.newest) < SLOTS as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(rates: &Rates, class: &str, key: &str, now: i64) -> u64 {
        let event = Event {
            class: class.as_bytes(),
            key: key.into(),
            amount: 1,
            window: Seconds(20),
        };
        rates.count(event, Timestamp(now))
    }

    #[test]
    fn what_came_within_the_window_counts() {
        let rates = Rates::default();
        let counted = [0, 1, 5, 19].map(|now| count(&rates, "r", "a", now));
        assert_eq!(counted, [1, 2, 3, 4]);
        // The slot of the first two has gone.
        assert_eq!(count(&rates, "r", "a", 20), 3);
        // One round after the last nothing has gone, and a second later all.
        assert_eq!(count(&rates, "r", "a", 40), 4);
        assert_eq!(count(&rates, "r", "a", 61), 1);
        // Back by a slot is on by nine: what came in the slot before stays.
        assert_eq!(count(&rates, "r", "a", 59), 2);
        assert_eq!(count(&rates, "r", "a", 200), 1);
        assert_eq!(count(&rates, "r", "a", 100), 1);
    }

    #[test]
    fn classes_and_keys_are_counted_apart() {
        let rates = Rates::default();
        assert_eq!(count(&rates, "one", "a", 0), 1);
        assert_eq!(count(&rates, "one", "b", 0), 1);
        assert_eq!(count(&rates, "other", "a", 0), 1);
        assert_eq!(count(&rates, "one", "a", 0), 2);
        let asked = || Event {
            class: b"one",
            key: b"a".to_vec(),
            amount: 1,
            window: Seconds(20),
        };
        for _ in 0..2 {
            assert_eq!(rates.would_be(asked(), Timestamp(1)), 3);
        }
    }

    #[test]
    fn a_window_below_ten_seconds_divides_by_nothing() {
        let rates = Rates::default();
        for (window, now) in [(1, 0), (0, 0), (-5, 0), (9, i64::MAX), (9, i64::MIN)] {
            let event = Event {
                class: b"short",
                key: Vec::new(),
                amount: u64::MAX,
                window: Seconds(window),
            };
            assert!(rates.count(event, Timestamp(now)) > 0);
        }
    }

    #[test]
    fn keys_are_bounded() {
        let rates = Rates::default();
        for key in 0..KEYS_MAX + 10 {
            count(&rates, "r", &key.to_string(), 0);
        }
        let held = rates.counts.lock().expect("nobody panics").len();
        assert!(held <= KEYS_MAX, "{held}");
    }
}
