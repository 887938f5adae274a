//! What a log tells, kept for the report: deliveries that were deferred, and counts of everything else.

use greylatch_core::{IdentityRules, Reason, Timestamp, Triplet};

use crate::delivery::{Delivery, Second, Teller, Text, second};
use crate::former::{Former, Key, Target};
use crate::keyed::{HashTable, Table, Wide};
use crate::reader::Reader;
use crate::shelf::Shelf;
use crate::sighting::{Sighting, Subject, What};
use crate::sightings::Sightings;
use crate::texts::Texts;

/// Deliveries that are held at most.
pub(crate) const DELIVERIES_MAX: usize = 4_000_000;

/// Bytes of the texts of deliveries that are held at most.
const TEXT_MAX: usize = 1 << 30;

/// Bytes of each text of a delivery.
const FIELD_MAX: usize = 512;

/// Rules, and networks that were throttled, that are told apart at most.
const KINDS_MAX: usize = 10_000;

/// Which attempts are counted, and which deliveries reported: those whose first attempt is in it. What
/// became of them later counts, wherever it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// Nothing before.
    pub since: Option<Timestamp>,
    /// Nothing from then on.
    pub until: Option<Timestamp>,
}

impl Period {
    pub(crate) fn has(self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }
}

/// What logs tell.
pub struct Ledger {
    pub(crate) former: Former,
    pub(crate) period: Period,
    /// Each by the hash of its triplet.
    index: HashTable<Wide, u32>,
    pub(crate) deliveries: Shelf<Delivery>,
    texts: Texts,
    /// Where deliveries are that are told of next, while that is taken.
    found: Vec<Option<u32>>,
    /// When something last passed for each sender and recipient, by their hash, from wherever.
    reached: HashTable<u64, Second>,
    pub(crate) counts: Counts,
}

/// By what a delivery is known, and its place if that has been found.
type Place = (Key, Option<u32>);

/// What is counted of attempts, within the period.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// By verdict and reason.
    pub(crate) verdicts: Table<(&'static str, Reason), u64>,
    /// Exempt and refused, by verdict, reason and rule.
    pub(crate) rules: Table<(&'static str, Reason, Vec<u8>), u64>,
    /// Throttled, by network.
    pub(crate) throttled: Table<Vec<u8>, u64>,
    /// Attempts from clients whose address cannot be read.
    pub(crate) unreadable: u64,
    /// Attempts of deliveries beyond those that are held.
    pub(crate) beyond: u64,
    /// The first and the last attempt of all, in the period or not.
    pub(crate) span: Option<(Timestamp, Timestamp)>,
}

impl Ledger {
    /// Nothing has been told. Clients, senders and recipients are one where the engine takes them for
    /// one under `identity`.
    #[must_use]
    pub fn new(identity: IdentityRules, period: Period) -> Self {
        Self::of(Former::new(identity), period)
    }

    /// An empty one that knows deliveries by the same hashes.
    pub(crate) fn like(&self) -> Self {
        Self::of(self.former.clone(), self.period)
    }

    fn of(former: Former, period: Period) -> Self {
        Self {
            former,
            period,
            index: HashTable::default(),
            deliveries: Shelf::default(),
            texts: Texts::default(),
            found: Vec::new(),
            reached: HashTable::default(),
            counts: Counts::default(),
        }
    }

    /// Reads for this ledger. An MTA's reply is a greylister's when it has `words` in it, in whatever
    /// case.
    #[must_use]
    pub fn reader(&self, words: &str) -> Reader {
        Reader::new(words, self.former.clone())
    }

    /// Takes note of what was read, and leaves nothing of it.
    pub fn take(&mut self, sightings: &mut Sightings) {
        // They are looked for all at once, since each that is looked for alone is waited for: tables of so
        // many are in no cache.
        let mut found = std::mem::take(&mut self.found);
        found.extend(sightings.targets().map(|target| self.find(target)));
        let mut next = found.iter();
        sightings.take(|at, sighting, target| {
            let known = next.next().copied().flatten();
            self.tell_known(at, sighting, (target, known));
        });
        found.clear();
        self.found = found;
    }

    /// A text of a delivery: 0 the address, 1 the name, 2 the sender, 3 the recipient.
    pub(crate) fn field(&self, delivery: &Delivery, nth: usize) -> &[u8] {
        let Text { start, lengths } = delivery.text;
        let lengths = lengths.map(usize::from);
        let before: usize = lengths[..nth].iter().sum();
        let whole = self.texts.piece(start, before + lengths[nth]);
        &whole[before..]
    }

    /// The triplet of a delivery, formed again from its texts: kept of all, they would take more memory
    /// than anything else.
    pub(crate) fn triplet(&self, delivery: &Delivery) -> Triplet {
        let subject = Subject {
            client: self.field(delivery, 0).into(),
            sender: self.field(delivery, 2).into(),
            recipient: self.field(delivery, 3).into(),
            ..Subject::default()
        };
        let words = self.field(delivery, 3);
        let formed = self.former.form(&subject);
        formed.unwrap_or_else(|| self.former.identity.opaque(words))
    }

    /// What its client is known by, as in its triplet.
    pub(crate) fn network(&self, delivery: &Delivery) -> Vec<u8> {
        match self.former.address(self.field(delivery, 0)) {
            Some(client) => self.former.identity.client_identity(client),
            None => self.triplet(delivery).client().to_vec(),
        }
    }

    /// Whether something has passed for the same sender and recipient since, from wherever.
    pub(crate) fn was_reached(&self, delivery: &Delivery, since: Second) -> bool {
        let reached = self.reached.get(&delivery.pair);
        reached.is_some_and(|at| *at >= since)
    }

    /// The place of a delivery, if there is one.
    fn find(&self, target: Target) -> Option<u32> {
        match target {
            Target::Delivery(key) => self.index.get(&key.triplet).copied(),
            Target::Unsaid | Target::Unreadable => None,
        }
    }

    /// Takes note of what a line tells.
    pub(crate) fn tell(&mut self, at: Timestamp, sighting: &Sighting<'_>, target: Target) {
        self.tell_known(at, sighting, (target, None));
    }

    /// The same of a delivery whose place may be known.
    fn tell_known(
        &mut self,
        at: Timestamp,
        sighting: &Sighting<'_>,
        (target, known): (Target, Option<u32>),
    ) {
        let Some(second) = second(at) else {
            return;
        };
        let (first, last) = self.counts.span.unwrap_or((at, at));
        self.counts.span = Some((first.min(at), last.max(at)));
        let subject = &sighting.subject;
        let counts = self.period.has(at);
        let key = match target {
            Target::Delivery(key) => Some((key, known)),
            Target::Unsaid => None,
            Target::Unreadable => {
                self.counts.unreadable += u64::from(counts);
                None
            }
        };
        let early = match &sighting.what {
            What::Passed { age, .. } => {
                let age = age.and_then(|age| u32::try_from(age.0).ok());
                self.passed(second, age, subject, key);
                false
            }
            What::Taken => {
                self.passed(second, None, subject, key);
                false
            }
            What::Deferred { reason } => {
                let early = reason.map(|reason| reason == Reason::EarlyRetry);
                let came = (Teller::Greylister, second, early);
                self.deferred(came, subject, key)
            }
            What::TurnedAway => {
                let came = (Teller::Mta, second, None);
                self.deferred(came, subject, key)
            }
            What::WouldDefer | What::Refused { .. } => false,
        };
        if counts {
            self.counts.count(sighting, early);
            self.count_throttled(sighting, key);
        }
    }

    fn passed(&mut self, at: Second, age: Option<u32>, subject: &Subject<'_>, key: Option<Place>) {
        let Some((key, known)) = key else {
            return;
        };
        if self.reached.len() < DELIVERIES_MAX || self.reached.contains_key(&key.pair) {
            let reached = self.reached.entry(key.pair).or_insert(at);
            *reached = (*reached).max(at);
        }
        let known = match known.or_else(|| self.index.get(&key.triplet).copied()) {
            Some(known) => Some(known as usize),
            None if age.is_some() => self.add(subject, key),
            None => None,
        };
        if let Some(known) = known {
            self.deliveries[known].passed(at, age);
        }
    }

    /// Gives whether it came back too early.
    fn deferred(
        &mut self,
        (teller, at, early): (Teller, Second, Option<bool>),
        subject: &Subject<'_>,
        key: Option<Place>,
    ) -> bool {
        let Some((key, known)) = key else {
            return early.unwrap_or(false);
        };
        let known = match known.or_else(|| self.index.get(&key.triplet).copied()) {
            Some(known) => Some(known as usize),
            None => self.add(subject, key),
        };
        let Some(known) = known else {
            self.counts.beyond += 1;
            return early.unwrap_or(false);
        };
        let has_name = self.deliveries[known].text.lengths[1] > 0;
        if !has_name && is_name(&subject.name) {
            let sender = self.field(&self.deliveries[known], 2).to_vec();
            let subject = Subject {
                sender: sender.into(),
                ..subject.clone()
            };
            if let Some(text) = self.push(&subject) {
                self.deliveries[known].text = text;
            }
        }
        self.deliveries[known].deferred(teller, at, early)
    }

    fn add(&mut self, subject: &Subject<'_>, key: Key) -> Option<usize> {
        if self.deliveries.len() >= DELIVERIES_MAX {
            return None;
        }
        let text = self.push(subject)?;
        let known = self.deliveries.len();
        // It is below four million.
        self.index.insert(key.triplet, known as u32);
        self.deliveries.push(Delivery::new(text, key.pair));
        Some(known)
    }

    fn push(&mut self, subject: &Subject<'_>) -> Option<Text> {
        let name = if is_name(&subject.name) {
            &subject.name[..]
        } else {
            b""
        };
        let recipient = if subject.words.is_empty() {
            &subject.recipient
        } else {
            &subject.words
        };
        let kept = [&subject.client, name, &subject.sender, recipient]
            .map(|text| &text[..text.len().min(FIELD_MAX)]);
        if self.texts.bytes() > TEXT_MAX {
            return None;
        }
        Some(Text {
            start: self.texts.push(&kept),
            // They are 512 at most.
            lengths: kept.map(|text| text.len() as u16),
        })
    }

    fn count_throttled(&mut self, sighting: &Sighting<'_>, key: Option<Place>) {
        let throttled = What::Deferred {
            reason: Some(Reason::Throttled),
        };
        if sighting.what == throttled
            && key.is_some()
            && let Some(triplet) = self.former.form(&sighting.subject)
        {
            count(
                &mut self.counts.throttled,
                triplet.client().to_vec(),
                |_| b"...".to_vec(),
            );
        }
    }
}

impl Counts {
    fn count(&mut self, sighting: &Sighting<'_>, early: bool) {
        let (verdict, reason, rule) = match &sighting.what {
            What::Passed { reason, rule, .. } => (PASS, *reason, Some(rule)),
            What::Refused { reason, rule } => (REFUSE, *reason, Some(rule)),
            What::WouldDefer => (WOULD_DEFER, Reason::New, None),
            What::Deferred { reason } => {
                let judged = if early {
                    Reason::EarlyRetry
                } else {
                    Reason::New
                };
                (DEFER, reason.unwrap_or(judged), None)
            }
            What::TurnedAway | What::Taken => return,
        };
        *self.verdicts.entry((verdict, reason)).or_default() += 1;
        let has_waited = matches!(reason, Reason::Retry | Reason::Known);
        if let Some(rule) = rule
            && !has_waited
        {
            let kind = (verdict, reason, rule[..rule.len().min(FIELD_MAX)].to_vec());
            count(&mut self.rules, kind, |(verdict, reason, _)| {
                (verdict, reason, b"...".to_vec())
            });
        }
    }
}

pub(crate) const PASS: &str = "pass";
pub(crate) const DEFER: &str = "defer";
pub(crate) const REFUSE: &str = "refuse";
pub(crate) const WOULD_DEFER: &str = "would-defer";

/// Counts one more of a kind; beyond [`KINDS_MAX`] as one of the others.
fn count<K: Eq + std::hash::Hash>(counts: &mut Table<K, u64>, kind: K, other: impl Fn(K) -> K) {
    let kind = if counts.len() < KINDS_MAX || counts.contains_key(&kind) {
        kind
    } else {
        other(kind)
    };
    *counts.entry(kind).or_default() += 1;
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name != b"unknown"
}
