//! What messages tell, on its way from the thread that reads them to the ledger.

use std::borrow::Cow;

use greylatch_core::Timestamp;

use crate::former::Target;
use crate::sighting::{Sighting, Subject, What};

/// What was told and is not taken yet, in its order.
#[derive(Debug, Default)]
pub struct Sightings {
    text: Vec<u8>,
    held: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    at: Timestamp,
    /// Without its rule.
    what: What<'static>,
    target: Target,
    /// Where its texts end, which follow one another: client, name, sender, recipient, words, rule.
    ends: [usize; 6],
}

/// Bytes of texts, and sightings, from which on they should be taken.
const TEXT_FULL: usize = 128 << 10;
const HELD_FULL: usize = 1_024;

impl Sightings {
    /// Whether it is time to take them.
    pub(crate) fn are_full(&self) -> bool {
        self.text.len() >= TEXT_FULL || self.held.len() >= HELD_FULL
    }

    pub(crate) fn push(&mut self, at: Timestamp, sighting: &Sighting<'_>, target: Target) {
        let subject = &sighting.subject;
        let (what, rule) = without_rule(&sighting.what);
        let mut ends = [0; 6];
        let texts = [
            &subject.client[..],
            &subject.name,
            &subject.sender,
            &subject.recipient,
            &subject.words,
            rule,
        ];
        for (end, text) in ends.iter_mut().zip(texts) {
            self.text.extend_from_slice(text);
            *end = self.text.len();
        }
        self.held.push(Held {
            at,
            what,
            target,
            ends,
        });
    }

    /// What they were for.
    pub(crate) fn targets(&self) -> impl Iterator<Item = Target> {
        self.held.iter().map(|held| held.target)
    }

    /// Gives each, and leaves none.
    pub(crate) fn take(&mut self, mut each: impl FnMut(Timestamp, &Sighting<'_>, Target)) {
        let mut start = 0;
        for held in &self.held {
            let mut next = |nth: usize| {
                let text = &self.text[start..held.ends[nth]];
                start = held.ends[nth];
                Cow::Borrowed(text)
            };
            let subject = Subject {
                client: next(0),
                name: next(1),
                sender: next(2),
                recipient: next(3),
                words: next(4),
            };
            let what = with_rule(&held.what, next(5));
            each(held.at, &Sighting { what, subject }, held.target);
        }
        self.text.clear();
        self.held.clear();
    }
}

fn without_rule<'a>(what: &'a What<'_>) -> (What<'static>, &'a [u8]) {
    const NONE: Cow<'static, [u8]> = Cow::Borrowed(b"");
    match what {
        What::Passed { reason, rule, age } => {
            let (reason, age) = (*reason, *age);
            let rest = What::Passed {
                reason,
                rule: NONE,
                age,
            };
            (rest, rule)
        }
        What::Refused { reason, rule } => {
            let reason = *reason;
            (What::Refused { reason, rule: NONE }, rule)
        }
        What::Deferred { reason } => (What::Deferred { reason: *reason }, b""),
        What::WouldDefer => (What::WouldDefer, b""),
        What::TurnedAway => (What::TurnedAway, b""),
        What::Taken => (What::Taken, b""),
    }
}

fn with_rule<'a>(what: &What<'static>, rule: Cow<'a, [u8]>) -> What<'a> {
    match what {
        What::Passed { reason, age, .. } => What::Passed {
            reason: *reason,
            rule,
            age: *age,
        },
        What::Refused { reason, .. } => What::Refused {
            reason: *reason,
            rule,
        },
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use greylatch_core::{Reason, Seconds};

    use super::*;

    #[test]
    fn what_was_told_is_taken_as_it_was() {
        let subject = |text: &'static str| Subject {
            client: text.as_bytes().into(),
            name: b"name".into(),
            sender: b"".into(),
            recipient: b"recipient".into(),
            words: b"words".into(),
        };
        let reason = Reason::Rule;
        let told: Vec<Sighting<'_>> = [
            What::Passed {
                reason,
                rule: b"rule".into(),
                age: Some(Seconds(5)),
            },
            What::Refused {
                reason,
                rule: b"other rule".into(),
            },
            What::Deferred {
                reason: Some(reason),
            },
            What::Deferred { reason: None },
            What::WouldDefer,
            What::TurnedAway,
            What::Taken,
        ]
        .into_iter()
        .zip(["a", "bc", "", "d", "e", "f", "ghi"])
        .map(|(what, text)| Sighting {
            what,
            subject: subject(text),
        })
        .collect();
        let mut sightings = Sightings::default();
        for _ in 0..2 {
            for (at, sighting) in (0..).zip(&told) {
                sightings.push(Timestamp(at), sighting, Target::Unsaid);
            }
            let mut taken = Vec::new();
            sightings.take(|at, sighting, target| {
                assert_eq!(target, Target::Unsaid);
                let expected = usize::try_from(at.0).map(|at| &told[at]);
                assert_eq!(Ok(sighting), expected);
                taken.push(at.0);
            });
            assert_eq!(taken, [0, 1, 2, 3, 4, 5, 6]);
        }
        while !sightings.are_full() {
            sightings.push(Timestamp(0), &told[0], Target::Unsaid);
        }
        assert_eq!(sightings.held.len(), HELD_FULL);
    }
}
