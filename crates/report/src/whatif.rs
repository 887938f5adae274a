//! The attempts of a log judged once more, by another configuration, and both outcomes side by side.
//!
//! A log has the attempts that senders made under the answers that they got. Who passed did not come again;
//! so where the other configuration asks for a longer wait, the log may have no attempt that is late enough,
//! and then it is not known when it would have passed.

use std::collections::BTreeMap;

use greylatch_core::{Decision, IdentityRules, Outcome, Timestamp, Triplet};

use crate::delivery::Delivery;
use crate::groups::{organisation, percentile};
use crate::ledger::{DEFER, DELIVERIES_MAX, Ledger, PASS, Period, REFUSE};
use crate::reader::Reader;
use crate::sighting::{Sighting, Subject, What};
use crate::sightings::Sightings;
use crate::table::{Cell, Report, Table};

/// An attempt of a log, to be judged again.
#[derive(Clone, Copy, Debug)]
pub struct Replayed<'a> {
    /// When it was made.
    pub at: Timestamp,
    /// The client's address.
    pub client: &'a [u8],
    /// The client's confirmed name, or `unknown`.
    pub name: &'a [u8],
    /// The envelope sender.
    pub sender: &'a [u8],
    /// The envelope recipient.
    pub recipient: &'a [u8],
}

/// Attempts as they were logged, and as they would have been.
pub struct WhatIf {
    logged: Ledger,
    other: Ledger,
    /// What was refused by each, by triplet.
    refused: [BTreeMap<Vec<u8>, Refused>; 2],
}

/// A delivery that was refused.
struct Refused {
    text: [Vec<u8>; 3],
    provider: Vec<u8>,
}

impl WhatIf {
    /// Nothing has been judged.
    #[must_use]
    pub fn new(identity: IdentityRules, period: Period) -> Self {
        let logged = Ledger::new(identity, period);
        let other = logged.like();
        Self {
            logged,
            other,
            refused: [BTreeMap::new(), BTreeMap::new()],
        }
    }

    /// Reads for both.
    #[must_use]
    pub fn reader(&self, words: &str) -> Reader {
        self.logged.reader(words)
    }

    /// Takes what was read, leaves nothing of it, and lets `judge` decide on it again. Only the
    /// greylister's own lines count, and only those of one recipient.
    pub fn take(
        &mut self,
        sightings: &mut Sightings,
        mut judge: impl FnMut(&Replayed<'_>) -> Decision,
    ) {
        sightings.take(|at, sighting, target| {
            let subject = &sighting.subject;
            let by_mta = matches!(sighting.what, What::TurnedAway | What::Taken);
            if by_mta || subject.recipient.is_empty() || subject.client.is_empty() {
                return;
            }
            let name = if subject.name.is_empty() {
                b"unknown"
            } else {
                &subject.name[..]
            };
            let decision = judge(&Replayed {
                at,
                client: &subject.client,
                name,
                sender: &subject.sender,
                recipient: &subject.recipient,
            });
            self.logged.tell(at, sighting, target);
            let reason = decision.reason;
            let what = match decision.outcome {
                Outcome::Pass => What::Passed {
                    reason,
                    rule: b"".into(),
                    age: None,
                },
                Outcome::Defer => What::Deferred {
                    reason: Some(reason),
                },
                Outcome::Refuse => What::Refused {
                    reason,
                    rule: b"".into(),
                },
            };
            for (nth, what) in [&sighting.what, &what].into_iter().enumerate() {
                let is_refused = matches!(what, What::Refused { .. }) && self.logged.period.has(at);
                if is_refused && let Some(triplet) = self.logged.former.form(subject) {
                    note_refused(&mut self.refused[nth], &triplet, subject);
                }
            }
            let subject = subject.clone();
            self.other.tell(at, &Sighting { what, subject }, target);
        });
    }

    /// Both side by side.
    #[must_use]
    pub fn report(&self) -> Report {
        let pairs = self.pairs();
        Report {
            tables: vec![
                self.summary(&pairs),
                by_provider(&pairs),
                self.changes(&pairs),
            ],
        }
    }

    /// Deliveries that had to wait or were refused by either, by their triplets.
    fn pairs(&self) -> BTreeMap<Vec<u8>, Pair<'_>> {
        let mut pairs: BTreeMap<Vec<u8>, Pair<'_>> = BTreeMap::new();
        for (ledger, is_other) in [(&self.logged, false), (&self.other, true)] {
            for case in ledger.cases() {
                let triplet = case.triplet();
                let pair = pairs.entry(triplet.joined().to_vec()).or_insert(Pair {
                    text: [case.address(), case.sender(), case.recipient()],
                    provider: provider(case.name(), &triplet),
                    fates: [Fate::AtOnce; 2],
                });
                pair.fates[usize::from(is_other)] = Fate::of(case.delivery);
            }
        }
        for (nth, refused) in self.refused.iter().enumerate() {
            for (triplet, refused) in refused {
                let pair = pairs.entry(triplet.clone()).or_insert_with(|| Pair {
                    text: refused.text.each_ref().map(Vec::as_slice),
                    provider: refused.provider.clone(),
                    fates: [Fate::AtOnce; 2],
                });
                if pair.fates[nth] == Fate::AtOnce {
                    pair.fates[nth] = Fate::Refused;
                }
            }
        }
        pairs
    }

    fn summary(&self, pairs: &BTreeMap<Vec<u8>, Pair<'_>>) -> Table {
        let mut table = Table::new(
            "what-if",
            "As it was, and as it would have been",
            "Still waiting: by the other configuration, no attempt in the log comes late enough.",
            &[
                ("figure", "FIGURE"),
                ("logged", "AS LOGGED"),
                ("other", "OTHER"),
            ],
        )
        .whole();
        let mut row = |name: &str, logged: Cell, other: Cell| {
            table
                .rows
                .push(vec![Cell::Text(name.to_owned()), logged, other]);
        };
        for (name, verdict) in [
            ("attempts passed", PASS),
            ("attempts deferred", DEFER),
            ("attempts refused", REFUSE),
        ] {
            let count = |ledger: &Ledger| {
                let counts = ledger.counts.verdicts.iter();
                let of_it = counts.filter(|((of, _), _)| *of == verdict);
                Cell::Count(of_it.map(|(_, count)| *count).sum())
            };
            row(name, count(&self.logged), count(&self.other));
        }
        for (name, wanted) in [
            ("deliveries that had to wait and passed", "waited"),
            ("deliveries still waiting at the end", "still waiting"),
            ("deliveries refused", "refused"),
            ("that fare otherwise by the other, at once", "at once"),
        ] {
            let count = |nth: usize| {
                let of_it = pairs
                    .values()
                    .filter(|pair| pair.fates[nth].word() == wanted);
                Cell::count(of_it.count())
            };
            row(name, count(0), count(1));
        }
        let waits = [0, 1].map(|nth| waits(pairs.values(), nth));
        for percent in [50, 90, 99] {
            let [logged, other] = [0, 1].map(|nth| Cell::seconds(percentile(&waits[nth], percent)));
            row(&format!("waited, {percent} of 100 at most"), logged, other);
        }
        table
    }

    fn changes(&self, pairs: &BTreeMap<Vec<u8>, Pair<'_>>) -> Table {
        let mut table = Table::new(
            "what-if-changes",
            "Deliveries that would have fared otherwise",
            "",
            &[
                ("client", "CLIENT"),
                ("sender", "SENDER"),
                ("recipient", "RECIPIENT"),
                ("logged", "AS LOGGED"),
                ("logged_wait_s", "WAITED"),
                ("other", "OTHER"),
                ("other_wait_s", "WAITED"),
            ],
        );
        for pair in pairs.values() {
            let [logged, other] = pair.fates;
            if logged == other {
                continue;
            }
            let mut cells: Vec<Cell> = pair.text.iter().map(|text| Cell::text(text)).collect();
            for fate in pair.fates {
                cells.push(Cell::Text(fate.word().to_owned()));
                cells.push(Cell::seconds(fate.waited_s()));
            }
            table.rows.push(cells);
        }
        table
    }
}

/// Takes note of a refused delivery, of so many as a ledger holds.
fn note_refused(
    refused: &mut BTreeMap<Vec<u8>, Refused>,
    triplet: &Triplet,
    subject: &Subject<'_>,
) {
    if refused.len() < DELIVERIES_MAX {
        let text = [&subject.client, &subject.sender, &subject.recipient];
        let name = if *subject.name == b"unknown"[..] {
            b""
        } else {
            &subject.name[..]
        };
        refused
            .entry(triplet.joined().to_vec())
            .or_insert_with(|| Refused {
                text: text.map(|text| text.to_vec()),
                provider: provider(name, triplet),
            });
    }
}

fn provider(name: &[u8], triplet: &Triplet) -> Vec<u8> {
    match name {
        b"" => triplet.client().to_vec(),
        name => organisation(name),
    }
}

/// A delivery by both.
struct Pair<'a> {
    text: [&'a [u8]; 3],
    provider: Vec<u8>,
    fates: [Fate; 2],
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    AtOnce,
    Waited(u32),
    StillWaiting,
    Refused,
}

impl Fate {
    fn of(delivery: &Delivery) -> Self {
        delivery.waited_s().map_or(Self::StillWaiting, Self::Waited)
    }

    fn word(self) -> &'static str {
        match self {
            Self::AtOnce => "at once",
            Self::Waited(_) => "waited",
            Self::StillWaiting => "still waiting",
            Self::Refused => "refused",
        }
    }

    fn waited_s(self) -> Option<u32> {
        match self {
            Self::Waited(waited_s) => Some(waited_s),
            Self::AtOnce | Self::StillWaiting | Self::Refused => None,
        }
    }
}

/// How long those that waited had to, in order.
fn waits<'a>(pairs: impl Iterator<Item = &'a Pair<'a>>, nth: usize) -> Vec<u32> {
    let mut waits: Vec<u32> = pairs
        .filter_map(|pair| pair.fates[nth].waited_s())
        .collect();
    waits.sort_unstable();
    waits
}

fn by_provider(pairs: &BTreeMap<Vec<u8>, Pair<'_>>) -> Table {
    let mut table = Table::new(
        "what-if-wait",
        "The same by provider",
        "",
        &[
            ("provider", "PROVIDER"),
            ("logged", "WAITED AS LOGGED"),
            ("logged_p50_s", "50 OF 100"),
            ("other", "WAITED BY OTHER"),
            ("other_p50_s", "50 OF 100"),
            ("other_still", "STILL WAITING"),
            ("other_at_once", "AT ONCE"),
        ],
    );
    let mut providers: BTreeMap<&[u8], Vec<&Pair<'_>>> = BTreeMap::new();
    for pair in pairs.values() {
        providers.entry(&pair.provider).or_default().push(pair);
    }
    let mut providers: Vec<_> = providers.into_iter().collect();
    providers.sort_by_key(|(_, of_it)| std::cmp::Reverse(of_it.len()));
    for (name, of_it) in providers {
        let [logged, other] = [0, 1].map(|nth| waits(of_it.iter().copied(), nth));
        let count =
            |fate: Fate| Cell::count(of_it.iter().filter(|pair| pair.fates[1] == fate).count());
        table.rows.push(vec![
            Cell::text(name),
            Cell::count(logged.len()),
            Cell::seconds(percentile(&logged, 50)),
            Cell::count(other.len()),
            Cell::seconds(percentile(&other, 50)),
            count(Fate::StillWaiting),
            count(Fate::AtOnce),
        ]);
    }
    table
}
