//! The sessions of the server, put together from its events, and the attempts that a question is about.
//!
//! Source: smtpd-filters(7), "REPORT EVENTS"; `lka_report.c` of protocol 0.4 for the older orders.

use std::collections::HashMap;
use std::net::IpAddr;

use greylatch_core::{Attempt, Field, Stage};

use super::AskAt;
use super::message::{Event, Fields, Question, Version};

/// Sessions that are known at once; the oldest gives way, and what it asks from then on proceeds.
const SESSIONS_MAX: usize = 4_096;

/// Recipients that are kept of one message to be asked about at DATA; RFC 5321 §4.5.3.1.8 has every
/// server take as many.
pub(super) const RECIPIENTS_MAX: usize = 100;

/// A value is cut to so many bytes, as the policy protocol does: so that a triplet is the same whatever
/// way it was asked about.
const VALUE_MAX: usize = 512;

/// All sessions.
#[derive(Debug)]
pub(super) struct Sessions {
    at: AskAt,
    known: HashMap<u64, Session>,
    /// How many have begun so far.
    begun: u64,
}

#[derive(Debug, Default)]
struct Session {
    /// How many had begun with it.
    nth: u64,
    /// `None` of a client that came by no network.
    client: Option<IpAddr>,
    /// The name that the client's address leads to and that leads back to it.
    name: Option<Vec<u8>>,
    helo: Vec<u8>,
    login: Vec<u8>,
    tls: Vec<u8>,
    message: Option<Message>,
}

/// A message whose sender was accepted.
#[derive(Debug)]
struct Message {
    id: Vec<u8>,
    sender: Vec<u8>,
    /// Those that were accepted, where they are needed; at most [`RECIPIENTS_MAX`].
    recipients: Vec<Vec<u8>>,
}

impl Sessions {
    pub(super) fn new(at: AskAt) -> Self {
        Self {
            at,
            known: HashMap::new(),
            begun: 0,
        }
    }

    /// Takes note of an event; one without the fields that it should have is ignored.
    pub(super) fn hear(&mut self, event: &Event) {
        match event.name {
            b"link-connect" => {
                if let Some(session) = Session::connected(event.fields) {
                    self.begin(event.session, session);
                }
            }
            b"link-disconnect" => {
                self.known.remove(&event.session);
            }
            _ => {
                let at = self.at;
                if let Some(session) = self.known.get_mut(&event.session) {
                    // Without a field nothing is known of what it should have told.
                    let _ignored = session.hear(event, at);
                }
            }
        }
    }

    fn begin(&mut self, id: u64, session: Session) {
        if self.known.len() >= SESSIONS_MAX {
            let oldest = self.known.iter().min_by_key(|(_, session)| session.nth);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.known.remove(&oldest);
            }
        }
        self.begun += 1;
        let nth = self.begun;
        self.known.insert(id, Session { nth, ..session });
    }

    /// The attempts that a question is about; none when it is none of ours or when too little is known.
    pub(super) fn attempts(&self, question: &Question) -> Vec<Attempt> {
        let Some((session, message)) = self
            .known
            .get(&question.session)
            .and_then(|session| Some((session, session.message.as_ref()?)))
        else {
            return Vec::new();
        };
        let attempt = |stage, recipient: &[u8]| {
            session.attempt(question.session, message, (stage, recipient))
        };
        match (question.phase, self.at) {
            (b"rcpt-to", AskAt::RcptTo) => {
                let recipient = without_brackets(question.parameter);
                attempt(Stage::Rcpt, recipient).into_iter().collect()
            }
            (b"data", _) => {
                let recipients = message.recipients.iter();
                recipients
                    .filter_map(|recipient| attempt(Stage::Data, recipient))
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}

impl Session {
    /// `None` when the client's address cannot be read.
    fn connected(mut fields: Fields) -> Option<Self> {
        let name = fields.next()?;
        let is_confirmed = fields.next()? == b"pass";
        let source = fields.next()?;
        let client = match source.strip_prefix(b"unix:") {
            Some(_) => None,
            None => Some(address(source)?),
        };
        let has_name = is_confirmed && !name.is_empty();
        Some(Self {
            client,
            name: has_name.then(|| kept(name)),
            ..Self::default()
        })
    }

    /// `None` when a field is missing.
    fn hear(&mut self, event: &Event, at: AskAt) -> Option<()> {
        let mut fields = event.fields;
        match event.name {
            b"link-identify" => {
                let _method = fields.next()?;
                self.helo = kept(fields.rest()?);
            }
            // TLSv1.3:TLS_AES_256_GCM_SHA384:256
            b"link-tls" => {
                let protocol = fields.rest()?.split(|byte| *byte == b':').next()?;
                self.tls = kept(protocol);
            }
            b"link-auth" => {
                let (result, name) = if event.version >= Version::AUTH_RESULT_FIRST {
                    (fields.next()?, fields.rest()?)
                } else {
                    let (name, result) = fields.rest_and_last()?;
                    (result, name)
                };
                if result == b"pass" {
                    self.login = kept(name);
                }
            }
            b"tx-mail" => {
                let (id, sender) = accepted(event.version, fields)?;
                self.message = Some(Message {
                    id: kept(id),
                    sender: kept(sender),
                    recipients: Vec::new(),
                });
            }
            b"tx-rcpt" => {
                let (_, recipient) = accepted(event.version, fields)?;
                self.message.as_mut()?.add(recipient, at);
            }
            // Before another message, and behind one.
            b"tx-begin" | b"tx-commit" | b"tx-rollback" => self.message = None,
            _ => {}
        }
        Some(())
    }

    /// What is asked about one recipient; `None` where there is nothing to ask.
    fn attempt(&self, id: u64, message: &Message, to: (Stage, &[u8])) -> Option<Attempt> {
        // Who came by no network sits on this very host.
        let client = self.client?;
        let (stage, recipient) = to;
        let mut attempt = Attempt::new();
        attempt.set_stage(stage);
        attempt.set(Field::ClientAddress, client.to_string().as_bytes());
        let name = self.name.as_deref().unwrap_or(b"unknown");
        attempt.set(Field::ClientName, name);
        attempt.set(Field::Helo, &self.helo);
        attempt.set(Field::Sender, &message.sender);
        attempt.set(Field::Recipient, &kept(recipient));
        // As Postfix counts: those that were accepted. Each is asked about alone.
        let count: &[u8] = match stage {
            Stage::Data => b"1",
            _ => b"0",
        };
        attempt.set(Field::RecipientCount, count);
        attempt.set(Field::QueueId, &message.id);
        let instance = [format!("{id:016x}.").as_bytes(), &message.id].concat();
        attempt.set(Field::Instance, &instance);
        attempt.set(Field::Login, &self.login);
        attempt.set(Field::TlsProtocol, &self.tls);
        Some(attempt)
    }
}

impl Message {
    fn add(&mut self, recipient: &[u8], at: AskAt) {
        let is_needed = at == AskAt::Data || self.sender.is_empty();
        let is_known = || self.recipients.iter().any(|known| known == recipient);
        if is_needed && self.recipients.len() < RECIPIENTS_MAX && !is_known() {
            self.recipients.push(kept(recipient));
        }
    }
}

/// The message's name and the address of a MAIL or RCPT that was accepted.
fn accepted<'a>(version: Version, mut fields: Fields<'a>) -> Option<(&'a [u8], &'a [u8])> {
    let id = fields.next()?;
    let (result, address) = if version >= Version::RESULT_FIRST {
        (fields.next()?, fields.rest()?)
    } else {
        let (address, result) = fields.rest_and_last()?;
        (result, address)
    };
    (result == b"ok").then(|| (id, without_brackets(address)))
}

/// `192.0.2.1:25` or `[2001:db8::1]:25`.
fn address(source: &[u8]) -> Option<IpAddr> {
    let (address, _port) = std::str::from_utf8(source).ok()?.rsplit_once(':')?;
    let inner = address
        .strip_prefix('[')
        .and_then(|address| address.strip_suffix(']'));
    inner.unwrap_or(address).parse().ok()
}

/// smtpd says addresses without their brackets, and without parameters.
fn without_brackets(address: &[u8]) -> &[u8] {
    let inner = address
        .strip_prefix(b"<")
        .and_then(|address| address.strip_suffix(b">"));
    inner.unwrap_or(address)
}

fn kept(value: &[u8]) -> Vec<u8> {
    value.get(..VALUE_MAX).unwrap_or(value).to_vec()
}
