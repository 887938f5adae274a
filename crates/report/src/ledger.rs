//! What a log tells, kept for the report: deliveries that were deferred, and counts of everything else.

use std::net::IpAddr;

use greylatch_core::{AddressDialect, Envelope, IdentityRules, Reason, School, Timestamp, Triplet};

use crate::delivery::{Delivery, Second, Teller, Text, second};
use crate::intake::Messages;
use crate::keyed::{HashTable, Hashes, Table};
use crate::reader::Reader;
use crate::sighting::{Sighting, Subject, What};

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
    pub(crate) identity: IdentityRules,
    pub(crate) period: Period,
    /// Each by the hash of its triplet.
    index: HashTable<u32>,
    pub(crate) deliveries: Vec<Delivery>,
    text: Vec<u8>,
    /// When something last passed for each sender and recipient, by their hash, from wherever.
    reached: Table<u64, Second>,
    hashes: Hashes,
    pub(crate) counts: Counts,
}

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
        Self {
            identity,
            period,
            index: HashTable::default(),
            deliveries: Vec::new(),
            text: Vec::new(),
            reached: Table::default(),
            hashes: Hashes::default(),
            counts: Counts::default(),
        }
    }

    /// An empty one whose hashes are the same.
    pub(crate) fn like(&self) -> Self {
        Self {
            hashes: self.hashes.clone(),
            ..Self::new(self.identity, self.period)
        }
    }

    /// Takes the next message that a log holds; false when it holds none.
    pub fn take(&mut self, reader: &mut Reader, log: &mut Messages) -> bool {
        reader.read(log, |at, sighting| self.tell(at, sighting))
    }

    /// A text of a delivery: 0 the address, 1 the name, 2 the sender, 3 the recipient.
    pub(crate) fn field(&self, delivery: &Delivery, nth: usize) -> &[u8] {
        let Text { start, lengths } = delivery.text;
        let before: usize = lengths[..nth]
            .iter()
            .map(|length| usize::from(*length))
            .sum();
        // What was pushed to a vector has a place in memory.
        let start = start as usize + before;
        &self.text[start..start + usize::from(lengths[nth])]
    }

    /// The triplet of a delivery, formed again from its texts.
    pub(crate) fn triplet(&self, delivery: &Delivery) -> Triplet {
        let subject = Subject {
            client: self.field(delivery, 0).into(),
            sender: self.field(delivery, 2).into(),
            recipient: self.field(delivery, 3).into(),
            ..Subject::default()
        };
        let words = self.field(delivery, 3);
        self.form(&subject)
            .unwrap_or_else(|| self.identity.opaque(words))
    }

    /// What its client is known by, as in its triplet.
    pub(crate) fn network(&self, delivery: &Delivery) -> Vec<u8> {
        match self.address(self.field(delivery, 0)) {
            Some(client) => self.identity.client_identity(client),
            None => self.triplet(delivery).client().to_vec(),
        }
    }

    /// Whether something has passed for the same sender and recipient since, from wherever.
    pub(crate) fn was_reached(&self, triplet: &Triplet, since: Second) -> bool {
        let reached = self.reached.get(&self.pair(triplet));
        reached.is_some_and(|at| *at >= since)
    }

    /// Takes note of what a line tells.
    pub(crate) fn tell(&mut self, at: Timestamp, sighting: &Sighting<'_>) {
        let Some(second) = second(at) else {
            return;
        };
        let (first, last) = self.counts.span.unwrap_or((at, at));
        self.counts.span = Some((first.min(at), last.max(at)));
        let subject = &sighting.subject;
        let triplet = self.form(subject);
        let counts = self.period.has(at);
        if triplet.is_none() && !subject.client.is_empty() && counts {
            self.counts.unreadable += 1;
        }
        let of_one = !subject.recipient.is_empty() || !subject.words.is_empty();
        let triplet = triplet.filter(|_| of_one);
        let early = match &sighting.what {
            What::Passed { age, .. } => {
                let age = age.and_then(|age| u32::try_from(age.0).ok());
                self.passed(second, age, subject, triplet.as_ref());
                false
            }
            What::Taken => {
                self.passed(second, None, subject, triplet.as_ref());
                false
            }
            What::Deferred { reason } => {
                let early = reason.map(|reason| reason == Reason::EarlyRetry);
                let came = (Teller::Greylister, second, early);
                self.deferred(came, subject, triplet.as_ref())
            }
            What::TurnedAway => {
                let came = (Teller::Mta, second, None);
                self.deferred(came, subject, triplet.as_ref())
            }
            What::WouldDefer | What::Refused { .. } => false,
        };
        if counts {
            self.counts.count(sighting, early);
            self.count_throttled(sighting, triplet.as_ref());
        }
    }

    fn passed(
        &mut self,
        at: Second,
        age: Option<u32>,
        subject: &Subject<'_>,
        triplet: Option<&Triplet>,
    ) {
        let Some(triplet) = triplet else {
            return;
        };
        let pair = self.pair(triplet);
        if self.reached.len() < DELIVERIES_MAX || self.reached.contains_key(&pair) {
            let reached = self.reached.entry(pair).or_insert(at);
            *reached = (*reached).max(at);
        }
        let known = match self.index.get(&self.hash(triplet)) {
            Some(known) => Some(*known as usize),
            None if age.is_some() => self.add(subject, triplet),
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
        triplet: Option<&Triplet>,
    ) -> bool {
        let Some(triplet) = triplet else {
            return early.unwrap_or(false);
        };
        let known = match self.index.get(&self.hash(triplet)) {
            Some(known) => Some(*known as usize),
            None => self.add(subject, triplet),
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

    fn add(&mut self, subject: &Subject<'_>, triplet: &Triplet) -> Option<usize> {
        if self.deliveries.len() >= DELIVERIES_MAX {
            return None;
        }
        let text = self.push(subject)?;
        let known = self.deliveries.len();
        // It is below four million.
        self.index.insert(self.hash(triplet), known as u32);
        self.deliveries.push(Delivery::new(text));
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
        let start = self.text.len();
        let mut lengths = [0; 4];
        let fields = [
            &subject.client[..],
            name,
            &subject.sender[..],
            &recipient[..],
        ];
        for (length, field) in lengths.iter_mut().zip(fields) {
            let field = &field[..field.len().min(FIELD_MAX)];
            // It is 512 at most.
            *length = field.len() as u16;
            self.text.extend_from_slice(field);
        }
        if self.text.len() > TEXT_MAX {
            self.text.truncate(start);
            return None;
        }
        Some(Text {
            start: start as u64,
            lengths,
        })
    }

    pub(crate) fn form(&self, subject: &Subject<'_>) -> Option<Triplet> {
        if !subject.words.is_empty() {
            return Some(self.identity.opaque(&subject.words));
        }
        let client = self.address(&subject.client)?;
        let envelope = Envelope {
            sender: &subject.sender,
            recipient: &subject.recipient,
        };
        Some(self.identity.triplet_of(client, envelope))
    }

    /// A client's address as its server reads it.
    fn address(&self, client: &[u8]) -> Option<IpAddr> {
        let dialect = match self.identity.school {
            School::Postgrey { .. } => AddressDialect::Postgrey,
            School::MilterGreylist | School::Native => AddressDialect::Strict,
        };
        dialect.parse(strip_tag(client))
    }

    fn hash(&self, triplet: &Triplet) -> [u64; 2] {
        let fields = (triplet.client(), triplet.sender(), triplet.recipient());
        self.hashes.wide(fields)
    }

    fn pair(&self, triplet: &Triplet) -> u64 {
        self.hashes.narrow((triplet.sender(), triplet.recipient()))
    }

    fn count_throttled(&mut self, sighting: &Sighting<'_>, triplet: Option<&Triplet>) {
        let throttled = What::Deferred {
            reason: Some(Reason::Throttled),
        };
        if sighting.what == throttled
            && let Some(triplet) = triplet
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

/// An address without the tag that Sendmail puts before those of IPv6.
fn strip_tag(client: &[u8]) -> &[u8] {
    client.strip_prefix(b"IPv6:").unwrap_or(client)
}
