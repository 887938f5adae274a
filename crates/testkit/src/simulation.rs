//! Random traffic against a model of what greylisting promises, under a clock that jumps.
//! A seed replays a run exactly: `cargo xtask sim --seed N`.
//!
//! The model knows neither the engine's arithmetic nor the store. It holds to three promises:
//! nothing passes before it has waited the delay by the clock that the server saw; a retry after
//! the delay and well inside the window passes, if the clock did not step back behind the first
//! attempt; and nothing panics, whatever the clock does.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use greylatch_core::{Outcome, Reason, Timestamp};
use greylatch_store::Store;

use crate::dice::Dice;
use crate::scenario::Latch;

/// Plays `steps` attempts.
///
/// # Panics
/// When a promise is broken, naming seed and step.
pub async fn simulate<S: Store>(seed: u64, steps: u32, store: &S) {
    let mut dice = Dice::new(seed);
    let mut latch = Latch::new(store);
    let mut now = START;
    let mut model = HashMap::<Who, Seen>::new();
    for step in 0..steps {
        now = tick(&mut dice, now);
        let who = Who {
            client: dice.below(4),
            sender: dice.below(6),
            recipient: dice.below(3),
        };
        let client = IpAddr::V4(Ipv4Addr::new(
            192,
            0,
            2,
            u8::try_from(who.client).unwrap_or(0),
        ));
        let sender = format!("s{}@example.com", who.sender);
        let recipient = format!("r{}@example.org", who.recipient);
        let at = Timestamp(now);
        let decision = latch.ask(at, client, [&sender, &recipient]).await;
        if decision.reason == Reason::ClientExempt {
            // It passes for its client's sake, and nothing is written down of the triplet.
            continue;
        }
        // All clients are of one network, so the triplet is of sender and recipient.
        let seen = model.entry(Who { client: 0, ..who }).or_insert(Seen {
            first: now,
            low: now,
            passed: false,
        });
        let trace =
            format!("cargo xtask sim --seed {seed}: step {step} at {now}: {decision:?} {seen:?}");
        if decision.outcome == Outcome::Pass && !seen.passed {
            assert!(now - seen.first >= DELAY, "passes early: {trace}");
        }
        let waited = now - seen.first;
        let steady = seen.low >= seen.first;
        if !seen.passed && steady && (DELAY..=WINDOW).contains(&waited) {
            assert_eq!(decision.outcome, Outcome::Pass, "retry waits: {trace}");
        }
        seen.learn(now, decision.outcome == Outcome::Pass);
        if decision.reason == Reason::New || decision.clock_corrected {
            *seen = Seen {
                first: now,
                low: now,
                passed: false,
            };
        }
    }
}

const START: i64 = 1_800_000_000;
const DELAY: i64 = 60;
const WINDOW: i64 = 2 * 86_400;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Who {
    client: u64,
    sender: u64,
    recipient: u64,
}

/// What the model knows of a triplet.
#[derive(Debug)]
struct Seen {
    first: i64,
    /// The lowest that the clock has been at an attempt since.
    low: i64,
    passed: bool,
}

impl Seen {
    fn learn(&mut self, now: i64, passed: bool) {
        self.low = self.low.min(now);
        self.passed |= passed;
    }
}

/// Mostly a little later; sometimes much later, and sometimes the clock steps.
fn tick(dice: &mut Dice, now: i64) -> i64 {
    let by = |dice: &mut Dice, most| i64::try_from(dice.below(most)).unwrap_or(0);
    match dice.below(100) {
        0..60 => now + by(dice, 30),
        60..90 => now + by(dice, 900),
        90..95 => now + by(dice, 86_400),
        95..97 => now + by(dice, 40 * 86_400),
        97..99 => now - by(dice, 7_200),
        _ => now - by(dice, 40 * 86_400),
    }
}
