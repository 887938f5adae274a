//! Traffic of many days on a store: strangers who never come back, newcomers who wait and pass,
//! regulars who come again and again. How the files of a store stand this is for its tests.

use std::net::{IpAddr, Ipv4Addr};

use greylatch_core::{Reason, Timestamp};
use greylatch_store::Store;

use crate::dice::Dice;
use crate::scenario::Latch;

/// How much comes in a day.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Senders that try once and are forgotten two days later.
    pub strangers: u32,
    /// Senders that try, wait, pass, and are forgotten 35 days later.
    pub newcomers: u32,
    /// Senders of which every second comes on any day.
    pub regulars: u32,
}

/// Plays so many days; at the end of each hour `watch` is told the time.
///
/// # Panics
/// When an answer is another than greylisting promises.
pub async fn live<S: Store>(
    store: &S,
    habits: Habits,
    days: u32,
    mut watch: impl AsyncFnMut(Timestamp),
) {
    let mut latch = Latch::new(store);
    // An exempt client's triplets are not read: this is about triplets.
    latch.terms.exemption = None;
    let mut dice = Dice::new(1);
    for hour in 0..days * HOURS {
        let now = Timestamp(START + i64::from(hour) * 3_600);
        for stranger in share(habits.strangers, hour) {
            let who = Who(Kind::Stranger, stranger);
            assert_eq!(who.ask(&mut latch, now).await, Reason::New);
        }
        let newcomers = share(habits.newcomers, hour);
        for newcomer in newcomers.clone() {
            let who = Who(Kind::Newcomer, newcomer);
            assert_eq!(who.ask(&mut latch, now).await, Reason::New);
        }
        for newcomer in newcomers {
            let who = Who(Kind::Newcomer, newcomer);
            let later = Timestamp(now.0 + 300);
            assert_eq!(who.ask(&mut latch, later).await, Reason::Retry);
        }
        let now = Timestamp(now.0 + 600);
        for _ in share(habits.regulars / 2, hour) {
            let regular = dice.below(u64::from(habits.regulars));
            Who(Kind::Regular, regular).pass(&mut latch, now).await;
        }
        watch(Timestamp(now.0 + 2_999)).await;
    }
}

/// Noon of some day.
const START: i64 = 1_800_014_400;
const HOURS: u32 = 24;

/// What of a day's amount comes in one hour, counted from the first day on.
fn share(a_day: u32, hour: u32) -> std::ops::Range<u64> {
    let until = |hour: u32| u64::from(a_day) * u64::from(hour) / u64::from(HOURS);
    until(hour)..until(hour + 1)
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Stranger,
    Newcomer,
    Regular,
}

/// A sender of one kind.
struct Who(Kind, u64);

impl Who {
    async fn ask<S: Store>(&self, latch: &mut Latch<'_, S>, now: Timestamp) -> Reason {
        let Self(kind, number) = self;
        // A network for each, since numbers in an address may stand for one another. When they
        // have all been used, who had them first is long forgotten.
        let network = u32::try_from(number % (1 << 22)).unwrap_or(0);
        let client = IpAddr::V4(Ipv4Addr::from((*kind as u32) << 30 | network << 8 | 10));
        let sender = format!("{kind:?}{number}@sender{}.example", number % 1_000);
        let recipient = format!("user{}@example.org", number % 100);
        latch.ask(now, client, [&sender, &recipient]).await.reason
    }

    /// Asks, and a little later once more if it has to wait.
    async fn pass<S: Store>(&self, latch: &mut Latch<'_, S>, now: Timestamp) {
        match self.ask(latch, now).await {
            Reason::New => {
                let later = Timestamp(now.0 + 300);
                assert_eq!(self.ask(latch, later).await, Reason::Retry);
            }
            reason => assert_eq!(reason, Reason::Known),
        }
    }
}
