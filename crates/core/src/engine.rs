//! The one decision: when a triplet passes, for every MTA and every store.
//!
//! Pure: what the rules say, what is remembered and what time it is come in; the outcome, its
//! reason and the change of memory go out. Both schools are here, and nowhere else.
//!
//! Source: RFC 6647 §2.4 and §4 (greylisting by triplet, recommended behaviour); Postgrey 1.37
//! and milter-greylist 4.6 as observed by running them.

use crate::memory::{Change, ClientRecord, Entry, EntryChange, Memory, Standing};
use crate::ruling::{ClientExemption, Due, Greylist, Ruling, Timing, WindowFrom};
use crate::time::{Seconds, Timestamp};
use crate::verdict::{Decision, Outcome, Reason};

/// What becomes of an attempt, given the rules' word, what is remembered, and the time.
#[must_use]
pub fn decide(ruling: &Ruling, memory: &Memory, now: Timestamp) -> Decision {
    match ruling {
        Ruling::Exempt(reason) => Decision::of(Outcome::Pass, *reason),
        Ruling::Refuse => Decision::of(Outcome::Refuse, Reason::Rule),
        Ruling::Greylist(terms) => {
            let client = live_client(terms, memory, now);
            match client.filter(|client| is_exempt(terms, client)) {
                Some(client) => pass_exempt_client(terms, client, now),
                None => greylist(terms, memory, now),
            }
        }
    }
}

/// Whether the rules and the client's record settle the attempt, so that its entry need not be
/// looked up.
#[must_use]
pub fn settled_by_client(ruling: &Ruling, memory: &Memory, now: Timestamp) -> bool {
    match ruling {
        Ruling::Exempt(_) | Ruling::Refuse => true,
        Ruling::Greylist(terms) => {
            live_client(terms, memory, now).is_some_and(|client| is_exempt(terms, &client))
        }
    }
}

fn live_client(terms: &Greylist, memory: &Memory, now: Timestamp) -> Option<ClientRecord> {
    memory
        .client
        .filter(|client| now.since(client.last) <= terms.timing.lifetime)
}

fn is_exempt(terms: &Greylist, client: &ClientRecord) -> bool {
    terms
        .exemption
        .is_some_and(|exemption| client.passes >= exemption.passes)
}

/// An exempt client passes; its record is renewed at most once per pause, and when the clock has
/// stepped back behind it.
fn pass_exempt_client(terms: &Greylist, client: ClientRecord, now: Timestamp) -> Decision {
    let mut decision = Decision::of(Outcome::Pass, Reason::ClientExempt);
    let pause = terms
        .exemption
        .map_or(Seconds(0), |exemption| exemption.pause);
    if now >= client.last.plus(pause) || client.last > now {
        decision.change.client = Some(counted(client.passes, &terms.timing, now));
    }
    decision
}

fn counted(passes: u32, timing: &Timing, now: Timestamp) -> ClientRecord {
    ClientRecord {
        passes: passes.saturating_add(1),
        last: now,
        expires: now.plus(timing.lifetime),
    }
}

fn greylist(terms: &Greylist, memory: &Memory, now: Timestamp) -> Decision {
    match memory.entry.map(|entry| entry.standing) {
        Some(Standing::Allowed) => return Decision::of(Outcome::Pass, Reason::Hand),
        Some(Standing::Refused) => return Decision::of(Outcome::Refuse, Reason::Hand),
        Some(Standing::Waiting | Standing::Proven) | None => {}
    }
    if let Some(decision) = passed_by_network(terms, memory, now) {
        return decision;
    }
    let mut decision = match terms.timing.due {
        Due::FromFirst => from_first(&terms.timing, memory.entry, now),
        Due::AsStored => as_stored(&terms.timing, memory.entry, now),
    };
    if is_throttled(terms, memory, &decision, now) {
        decision.reason = Reason::Throttled;
        decision.change = Change::default();
    }
    if decision.reason == Reason::Retry {
        decision.change.network_proven_until = Some(now.plus(terms.timing.lifetime));
        if let Some(exemption) = terms.exemption {
            count_pass(
                &mut decision,
                terms,
                exemption,
                live_client(terms, memory, now),
                now,
            );
        }
    }
    decision
}

/// A proven network passes where that suffices, and stays proven as an entry of its own would.
fn passed_by_network(terms: &Greylist, memory: &Memory, now: Timestamp) -> Option<Decision> {
    let until = memory
        .network_proven_until
        .filter(|_| terms.network_suffices)?;
    if now > until || terms.timing.lifetime.0 == 0 {
        return None;
    }
    let mut decision = Decision::of(Outcome::Pass, Reason::Known);
    let lifetime = terms.timing.lifetime;
    let renewed = now.plus(lifetime);
    if renewed > until {
        // As with entries, what is stored carries the slack until it is renewed again.
        decision.change.network_proven_until = Some(renewed.plus(Seconds(lifetime.0 / 64)));
    }
    Some(decision)
}

/// A first contact is not written down while too many wait in a network that has none proven.
fn is_throttled(terms: &Greylist, memory: &Memory, decision: &Decision, now: Timestamp) -> bool {
    let full = terms
        .waiting_max
        .is_some_and(|max| memory.network_waiting >= max);
    let proven = memory
        .network_proven_until
        .is_some_and(|until| now <= until);
    full && !proven && decision.outcome == Outcome::Defer && decision.reason == Reason::New
}

/// Counts the first pass of a triplet for its client, at most once per pause.
fn count_pass(
    decision: &mut Decision,
    terms: &Greylist,
    exemption: ClientExemption,
    client: Option<ClientRecord>,
    now: Timestamp,
) {
    if client.is_some_and(|client| now < client.last.plus(exemption.pause)) {
        return;
    }
    let record = counted(client.map_or(0, |client| client.passes), &terms.timing, now);
    decision.client_now_exempt = record.passes == exemption.passes;
    decision.change.client = Some(record);
}

/// Postgrey's school: due is first seen plus today's delay, and an entry has passed when its
/// last attempt came that late.
fn from_first(timing: &Timing, remembered: Option<Entry>, now: Timestamp) -> Decision {
    let live = remembered.filter(|entry| {
        !has_passed(entry, timing)
            || now.since(entry.last) <= timing.lifetime.plus(slack(entry, timing))
    });
    let proven = live.is_some_and(|entry| has_passed(&entry, timing));
    let retried = live
        .filter(|entry| proven || now.since(window_start(entry, timing)) <= timing.retry_window);
    let (first, clock_corrected) = match retried {
        Some(entry) if entry.first > now => (now, true),
        Some(entry) => (entry.first, false),
        None => (now, false),
    };
    let age = now.since(first);
    let wait = Seconds(timing.delay.0.saturating_sub(age.0));
    let (outcome, reason) = match (wait.0 > 0, proven) {
        (true, _) if age.0 == 0 => (Outcome::Defer, Reason::New),
        (true, _) => (Outcome::Defer, Reason::EarlyRetry),
        (false, true) => (Outcome::Pass, Reason::Known),
        (false, false) => (Outcome::Pass, Reason::Retry),
    };
    let passed = outcome == Outcome::Pass;
    let entry = Entry::seen(first, now, timing, passed);
    let mut decision = Decision::of(outcome, reason);
    decision.wait = Seconds(wait.0.max(0));
    decision.age = age;
    decision.waited = age;
    decision.clock_corrected = clock_corrected;
    let same = retried.filter(|old| old.first == first && passed == proven);
    if same.is_none_or(|old| touch_matters(&old, timing, now)) {
        decision.change.entry = EntryChange::Put(entry);
    }
    decision
}

/// milter-greylist's school: due time and expiry stand as the deciding rule gave them.
fn as_stored(timing: &Timing, remembered: Option<Entry>, now: Timestamp) -> Decision {
    let live = remembered.filter(|entry| match entry.standing {
        Standing::Proven => timing.lifetime.0 != 0 && now <= entry.expires,
        _ => now.since(window_start(entry, timing)) <= timing.retry_window,
    });
    let is_far_ahead = |entry: &Entry| {
        entry.standing != Standing::Proven && entry.first > now.plus(CLOCK_BACK_MAX)
    };
    let (entry, clock_corrected) = match live {
        Some(entry) if is_far_ahead(&entry) => (Entry::seen(now, now, timing, false), true),
        Some(entry) => (entry, false),
        None => return first_contact(timing, now),
    };
    let mut decision = Decision::of(Outcome::Pass, Reason::Known);
    decision.age = Seconds(now.since(entry.first).0.max(0));
    decision.waited = Seconds(now.since(entry.due).0.saturating_add(timing.delay.0));
    decision.clock_corrected = clock_corrected;
    if entry.standing == Standing::Proven {
        let renewed = renewed(entry, timing, now);
        let (exact, latest) = (now.plus(timing.lifetime), renewed.expires);
        if entry.expires < exact || entry.expires > latest {
            decision.change.entry = EntryChange::Put(renewed);
        }
    } else if now < entry.due {
        decision.outcome = Outcome::Defer;
        decision.reason = Reason::EarlyRetry;
        decision.wait = entry.due.since(now);
        if clock_corrected {
            decision.change.entry = EntryChange::Put(entry);
        }
    } else {
        decision.reason = Reason::Retry;
        decision.change.entry = if timing.lifetime.0 == 0 {
            EntryChange::Remove
        } else {
            EntryChange::Put(renewed(entry, timing, now))
        };
    }
    decision
}

/// A clock that was set back by no more than this lets an entry wait until its due time all the same;
/// one that had been further ahead would make it wait for too long.
const CLOCK_BACK_MAX: Seconds = Seconds::HOUR;

fn first_contact(timing: &Timing, now: Timestamp) -> Decision {
    let deferred = timing.delay.0 > 0;
    let mut decision = Decision::of(
        if deferred {
            Outcome::Defer
        } else {
            Outcome::Pass
        },
        Reason::New,
    );
    decision.wait = Seconds(timing.delay.0.max(0));
    decision.change.entry = EntryChange::Put(Entry::seen(now, now, timing, false));
    decision
}

/// An entry that passes now; its expiry carries the slack with which it is read without being written
/// until that has been used up.
fn renewed(entry: Entry, timing: &Timing, now: Timestamp) -> Entry {
    Entry {
        last: now,
        expires: now.plus(timing.lifetime).plus(slack(&entry, timing)),
        standing: Standing::Proven,
        ..entry
    }
}

impl Entry {
    /// An entry of which only its first and last attempt are known, as in another greylister's
    /// file: it has passed when the last one came late enough.
    #[must_use]
    pub fn remembered(first: Timestamp, last: Timestamp, timing: &Timing) -> Self {
        Self::seen(first, last, timing, last.since(first) >= timing.delay)
    }

    /// An entry that is set to this `standing` at `now`. One that always passes or is always refused
    /// lasts as long as a store can tell.
    #[must_use]
    pub fn set(standing: Standing, now: Timestamp, timing: &Timing) -> Self {
        let (first, passed) = match standing {
            Standing::Proven => (now.plus(Seconds(-timing.delay.0)), true),
            Standing::Waiting | Standing::Allowed | Standing::Refused => (now, false),
        };
        let seen = Self::seen(first, now, timing, passed);
        let expires = match standing {
            Standing::Waiting | Standing::Proven => seen.expires,
            Standing::Allowed | Standing::Refused => Timestamp::LATEST,
        };
        Self {
            expires,
            standing,
            ..seen
        }
    }

    /// An entry first seen at `first` and last at `last`, that has passed or not.
    fn seen(first: Timestamp, last: Timestamp, timing: &Timing, passed: bool) -> Self {
        let due = first.plus(timing.delay);
        let entry = Self {
            first,
            last,
            due,
            expires: last,
            standing: if passed {
                Standing::Proven
            } else {
                Standing::Waiting
            },
        };
        let expires = if passed {
            last.plus(timing.lifetime).plus(slack(&entry, timing))
        } else {
            last.max(window_start(&entry, timing))
                .plus(timing.retry_window)
        };
        Self { expires, ..entry }
    }
}

/// Postgrey's test for an entry that has passed before, under today's delay.
fn has_passed(entry: &Entry, timing: &Timing) -> bool {
    entry.last.since(entry.first) >= timing.delay
}

fn window_start(entry: &Entry, timing: &Timing) -> Timestamp {
    match timing.window_from {
        WindowFrom::First => entry.first,
        WindowFrom::Due => entry.due,
    }
}

/// How stale the written `last` of an entry may be before it is written again: the more settled
/// an entry, the rarer, but never more than an hour or a 64th of its lifetime. Growing with the
/// entry's age, it keeps `last - first` true to a 64th, which [`has_passed`] rests on.
fn slack(entry: &Entry, timing: &Timing) -> Seconds {
    let settled = entry.last.since(entry.first).0 / 64;
    Seconds(
        settled
            .min(timing.lifetime.0 / 64)
            .clamp(0, Seconds::HOUR.0),
    )
}

fn touch_matters(entry: &Entry, timing: &Timing, now: Timestamp) -> bool {
    now < entry.last || now.since(entry.last) > slack(entry, timing)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn terms(delay: i64) -> Greylist {
        Greylist {
            timing: Timing {
                delay: Seconds(delay),
                retry_window: Seconds(2 * DAY),
                lifetime: Seconds(35 * DAY),
                due: Due::FromFirst,
                window_from: WindowFrom::First,
            },
            exemption: Some(ClientExemption {
                passes: 5,
                pause: Seconds::HOUR,
            }),
            waiting_max: None,
            network_suffices: false,
        }
    }

    /// A memory that changes as `decide` says, as a store without concurrency would.
    struct Latch {
        terms: Greylist,
        memory: Memory,
    }

    impl Latch {
        fn new(terms: Greylist) -> Self {
            Self {
                terms,
                memory: Memory::default(),
            }
        }

        fn at(&mut self, now: i64) -> (Outcome, Reason, i64) {
            let decision = decide(&Ruling::Greylist(self.terms), &self.memory, Timestamp(now));
            match decision.change.entry {
                EntryChange::Keep => {}
                EntryChange::Put(entry) => self.memory.entry = Some(entry),
                EntryChange::Remove => self.memory.entry = None,
            }
            self.memory.client = decision.change.client.or(self.memory.client);
            (decision.outcome, decision.reason, decision.wait.0)
        }
    }

    #[test]
    fn a_retry_passes_exactly_when_the_delay_is_over() {
        let mut latch = Latch::new(terms(300));
        assert_eq!(latch.at(0), (Outcome::Defer, Reason::New, 300));
        assert_eq!(latch.at(0), (Outcome::Defer, Reason::New, 300));
        assert_eq!(latch.at(299), (Outcome::Defer, Reason::EarlyRetry, 1));
        assert_eq!(latch.at(300), (Outcome::Pass, Reason::Retry, 0));
        assert_eq!(latch.at(301), (Outcome::Pass, Reason::Known, 0));
    }

    #[test]
    fn a_retry_after_the_window_starts_over() {
        let mut latch = Latch::new(terms(300));
        latch.at(0);
        assert_eq!(latch.at(2 * DAY), (Outcome::Pass, Reason::Retry, 0));
        let mut late = Latch::new(terms(300));
        late.at(0);
        assert_eq!(late.at(100), (Outcome::Defer, Reason::EarlyRetry, 200));
        assert_eq!(late.at(2 * DAY + 1), (Outcome::Defer, Reason::New, 300));
    }

    #[test]
    fn a_proven_entry_lives_from_its_last_use() {
        let mut latch = Latch::new(terms(300));
        latch.at(0);
        latch.at(300);
        assert_eq!(latch.at(300 + 35 * DAY).1, Reason::Known);
        assert_eq!(latch.at(300 + 70 * DAY).1, Reason::Known);
        assert_eq!(latch.at(300 + 106 * DAY).1, Reason::New);
    }

    #[test]
    fn a_clock_that_steps_back_takes_success_away_but_never_passes_early() {
        let mut latch = Latch::new(terms(300));
        latch.at(1_000);
        assert_eq!(latch.at(1_300).1, Reason::Retry);
        assert_eq!(latch.at(1_100), (Outcome::Defer, Reason::EarlyRetry, 200));
        assert_eq!(latch.at(1_300).1, Reason::Retry);
        let mut future = Latch::new(terms(300));
        future.at(1_000);
        assert_eq!(future.at(500), (Outcome::Defer, Reason::New, 300));
        assert_eq!(future.at(800).1, Reason::Retry);
    }

    #[test]
    fn five_passes_an_hour_apart_exempt_a_client() {
        let mut latch = Latch::new(terms(300));
        for hour in 0..5 {
            latch.memory.entry = None;
            latch.at(hour * 3_600);
            let decision = decide(
                &Ruling::Greylist(latch.terms),
                &latch.memory,
                Timestamp(hour * 3_600 + 300),
            );
            assert_eq!(decision.client_now_exempt, hour == 4);
            assert_eq!(latch.at(hour * 3_600 + 300).1, Reason::Retry);
        }
        latch.memory.entry = None;
        assert_eq!(latch.at(5 * 3_600).1, Reason::ClientExempt);
        assert_eq!(latch.memory.client.map(|client| client.passes), Some(5));
        assert_eq!(latch.at(5 * 3_600 + 300).1, Reason::ClientExempt);
        assert_eq!(latch.memory.client.map(|client| client.passes), Some(6));
    }

    #[test]
    fn a_zero_threshold_still_needs_one_counted_pass() {
        let mut latch = Latch::new(Greylist {
            exemption: Some(ClientExemption {
                passes: 0,
                pause: Seconds::HOUR,
            }),
            ..terms(300)
        });
        assert_eq!(latch.at(0).1, Reason::New);
        assert_eq!(latch.at(300).1, Reason::Retry);
        latch.memory.entry = None;
        assert_eq!(latch.at(301).1, Reason::ClientExempt);
    }

    #[test]
    fn a_settled_entry_is_read_without_being_written() {
        let mut latch = Latch::new(terms(300));
        latch.at(0);
        latch.at(300);
        latch.at(30 * DAY);
        let known = decide(
            &Ruling::Greylist(latch.terms),
            &latch.memory,
            Timestamp(30 * DAY + 3_600),
        );
        assert_eq!(known.change, Change::default());
        let later = decide(
            &Ruling::Greylist(latch.terms),
            &latch.memory,
            Timestamp(30 * DAY + 3_601),
        );
        assert!(matches!(later.change.entry, EntryChange::Put(_)));
    }

    #[test]
    fn one_proven_entry_of_a_network_is_enough_where_that_is_said() {
        let lazy = Greylist {
            network_suffices: true,
            exemption: None,
            ..terms(300)
        };
        let memory = |until| Memory {
            network_proven_until: Some(Timestamp(until)),
            ..Memory::default()
        };
        let at = |terms: Greylist, until| {
            let decision = decide(&Ruling::Greylist(terms), &memory(until), Timestamp(1_000));
            (decision.reason, decision.change)
        };
        let renewed = Change {
            network_proven_until: Some(Timestamp(1_000 + 35 * DAY + 35 * DAY / 64)),
            ..Change::default()
        };
        assert_eq!(at(lazy, 1_000), (Reason::Known, renewed));
        assert_eq!(at(lazy, 999 + 35 * DAY), (Reason::Known, renewed));
        let fresh = at(lazy, 1_000 + 35 * DAY);
        assert_eq!(fresh, (Reason::Known, Change::default()));
        assert_eq!(at(lazy, 999).0, Reason::New);
        assert_eq!(at(terms(300), 2_000).0, Reason::New);
    }

    #[test]
    fn a_full_network_stores_no_more_unless_one_of_it_has_proven_itself() {
        let terms = Greylist {
            waiting_max: Some(1_000),
            ..terms(60)
        };
        let mut memory = Memory {
            network_waiting: 1_000,
            ..Memory::default()
        };
        let full = decide(&Ruling::Greylist(terms), &memory, Timestamp(0));
        assert_eq!(
            (full.outcome, full.reason),
            (Outcome::Defer, Reason::Throttled)
        );
        assert!(full.change.is_empty());
        memory.network_proven_until = Some(Timestamp(0));
        let proven = decide(&Ruling::Greylist(terms), &memory, Timestamp(0));
        assert_eq!(proven.reason, Reason::New);
        memory.network_proven_until = Some(Timestamp(-1));
        assert_eq!(
            decide(&Ruling::Greylist(terms), &memory, Timestamp(0)).reason,
            Reason::Throttled
        );
    }

    fn stored(delay: i64, lifetime: i64) -> Greylist {
        let mut terms = terms(delay);
        terms.exemption = None;
        terms.timing.lifetime = Seconds(lifetime);
        terms.timing.due = Due::AsStored;
        terms.timing.window_from = WindowFrom::Due;
        terms
    }

    #[test]
    fn a_stored_due_time_outlives_a_change_of_the_delay() {
        let mut latch = Latch::new(stored(1_800, DAY));
        assert_eq!(latch.at(0), (Outcome::Defer, Reason::New, 1_800));
        latch.terms = stored(60, DAY);
        assert_eq!(latch.at(60), (Outcome::Defer, Reason::EarlyRetry, 1_740));
        assert_eq!(latch.at(1_800).1, Reason::Retry);
        latch.terms = stored(7_200, DAY);
        assert_eq!(latch.at(1_801).1, Reason::Known);
        assert_eq!(latch.at(1_801 + 2 * DAY).1, Reason::New);
    }

    #[test]
    fn a_lazy_touch_never_shortens_a_life() {
        // Symptom: an entry expired up to an hour too early. Cause: it was left alone by the slack of
        // what was stored, which carried that of the time before. Fix: it is left alone until what it
        // carries is used up.
        let mut latch = Latch::new(stored(60, DAY));
        latch.at(0);
        for (now, expected) in [
            (60, 0),
            (30_000, 0),
            (30_140, 30_000 / 64),
            (30_608, 0),
            (30_609, 30_140 / 64),
            // Back again: no longer than the slack.
            (30_600, 30_609 / 64),
        ] {
            latch.at(now);
            let expires = latch.memory.entry.map(|entry| entry.expires.0);
            assert_eq!(expires.expect("an entry") - (now + DAY), expected, "{now}");
        }
        // Another rule remembers it for a shorter time.
        latch.terms = stored(60, DAY / 2);
        latch.at(30_500);
        let expires = latch.memory.entry.map(|entry| entry.expires.0);
        assert_eq!(expires, Some(30_500 + DAY / 2 + 30_600 / 64));
    }

    #[test]
    fn a_stored_due_time_outlives_a_clock_that_is_set_back_a_little() {
        let set_back = |by: i64| {
            let mut latch = Latch::new(stored(60, DAY));
            latch.at(10_000);
            (latch.at(10_000 - by), latch.at(10_060 - by).1)
        };
        let early = Reason::EarlyRetry;
        assert_eq!(set_back(30), ((Outcome::Defer, early, 90), early));
        assert_eq!(set_back(3_600), ((Outcome::Defer, early, 3_660), early));
        // An entry of the far future begins to wait anew.
        let anew = (Outcome::Defer, early, 60);
        assert_eq!(set_back(3_601), (anew, Reason::Retry));
    }

    #[test]
    fn how_long_was_waited_is_told_by_the_delay_of_today() {
        let waited = |terms: Greylist, memory: Memory, now| {
            let decision = decide(&Ruling::Greylist(terms), &memory, Timestamp(now));
            (decision.reason, decision.age.0, decision.waited.0)
        };
        let mut latch = Latch::new(stored(60, DAY));
        latch.at(0);
        let tomorrow = stored(20, DAY);
        assert_eq!(
            waited(tomorrow, latch.memory, 10),
            (Reason::EarlyRetry, 10, -30)
        );
        assert_eq!(waited(tomorrow, latch.memory, 70), (Reason::Retry, 70, 30));
        let mut native = Latch::new(terms(60));
        native.at(0);
        assert_eq!(
            waited(terms(20), native.memory, 70),
            (Reason::Retry, 70, 70)
        );
    }

    #[test]
    fn a_stored_window_counts_from_the_due_time() {
        let mut latch = Latch::new(stored(1_800, DAY));
        latch.at(0);
        assert_eq!(latch.at(1_800 + 2 * DAY).1, Reason::Retry);
        let mut late = Latch::new(stored(1_800, DAY));
        late.at(0);
        assert_eq!(
            late.at(1_801 + 2 * DAY),
            (Outcome::Defer, Reason::New, 1_800)
        );
    }

    #[test]
    fn without_a_lifetime_a_pass_removes_the_entry() {
        let mut latch = Latch::new(stored(60, 0));
        latch.at(0);
        assert_eq!(latch.at(60).1, Reason::Retry);
        assert_eq!(latch.memory.entry, None);
        assert_eq!(latch.at(61).1, Reason::New);
    }

    #[test]
    fn without_a_delay_the_first_attempt_passes_and_is_written() {
        let mut latch = Latch::new(stored(0, DAY));
        assert_eq!(latch.at(0), (Outcome::Pass, Reason::New, 0));
        assert_eq!(
            latch.memory.entry.map(|entry| entry.standing),
            Some(Standing::Waiting)
        );
        assert_eq!(latch.at(1).1, Reason::Retry);
        assert_eq!(latch.at(2).1, Reason::Known);
    }

    #[test]
    fn a_standing_set_by_hand_decides() {
        let mut latch = Latch::new(terms(300));
        let timing = terms(300).timing;
        for (standing, at, expected) in [
            (Standing::Allowed, 1, (Outcome::Pass, Reason::Hand, 0)),
            (
                Standing::Allowed,
                400 * DAY,
                (Outcome::Pass, Reason::Hand, 0),
            ),
            (Standing::Refused, 1, (Outcome::Refuse, Reason::Hand, 0)),
            (Standing::Proven, 1, (Outcome::Pass, Reason::Known, 0)),
            (
                Standing::Waiting,
                1,
                (Outcome::Defer, Reason::EarlyRetry, 299),
            ),
            (Standing::Waiting, 300, (Outcome::Pass, Reason::Retry, 0)),
        ] {
            latch.memory.entry = Some(Entry::set(standing, Timestamp(0), &timing));
            assert_eq!(latch.at(at), expected, "{standing:?} at {at}");
        }
        let entry = Entry::set(Standing::Refused, Timestamp(0), &timing);
        assert_eq!(entry.expires, Timestamp::LATEST);
    }
}
