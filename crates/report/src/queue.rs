//! What MTAs say of one message in several lines, put together by its queue id.
//!
//! Postfix names client, sender and recipient in lines of their own, Exim sender and recipient,
//! Sendmail what a milter has turned away before it says whose that was. What is held is bounded: when
//! there is too much, the oldest message goes.

use std::collections::VecDeque;

use greylatch_core::Timestamp;

use crate::keyed::{HashTable, Hashes};
use crate::sighting::{Sighting, Subject, What};

/// What a line of an MTA says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MailLine<'a> {
    /// A recipient was told to come back, in the words of a greylister.
    TurnedAway(Subject<'a>),
    /// The same of the message with this queue id.
    TurnedAwayWithin {
        /// The queue id.
        id: &'a [u8],
        /// The recipient.
        recipient: &'a [u8],
    },
    /// Whose a message is, or a part of that.
    Envelope {
        /// The queue id.
        id: &'a [u8],
        /// The client's name and address.
        client: Option<(&'a [u8], &'a [u8])>,
        /// The sender.
        sender: Option<&'a [u8]>,
    },
    /// It was taken for this recipient, whatever became of it then.
    Taken {
        /// The queue id.
        id: &'a [u8],
        /// The recipient.
        recipient: &'a [u8],
    },
    /// Nothing more will be said of it.
    Done {
        /// The queue id.
        id: &'a [u8],
    },
}

/// Messages of which not all has been said, at most so many.
pub(crate) const QUEUE_MAX: usize = 65_536;

/// Recipients that are kept of a message until it is known whose it is.
const RECIPIENTS_MAX: usize = 100;

/// Bytes that are kept of a name or address.
const TEXT_MAX: usize = 512;

/// What is known of messages in the queues of MTAs.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// By the hash of host and queue id, half of which is enough for so few.
    messages: HashTable<u64, Envelope>,
    /// In the order in which they came, with some that have gone.
    order: VecDeque<u64>,
    hashes: Hashes,
}

#[derive(Debug)]
struct Envelope {
    at: Timestamp,
    client: Option<(Vec<u8>, Vec<u8>)>,
    sender: Option<Vec<u8>>,
    turned_away: Vec<(Timestamp, Vec<u8>)>,
}

impl Queue {
    /// Gives what is complete with a line of `host`, written at `at`.
    pub(crate) fn read(
        &mut self,
        host: &[u8],
        at: Timestamp,
        line: MailLine<'_>,
        each: &mut dyn FnMut(Timestamp, Sighting<'_>),
    ) {
        match line {
            MailLine::TurnedAway(subject) => {
                let what = What::TurnedAway;
                each(at, Sighting { what, subject });
            }
            MailLine::TurnedAwayWithin { id, recipient } => {
                let message = self.message(host, id, at);
                if message.turned_away.len() < RECIPIENTS_MAX {
                    message.turned_away.push((at, kept(recipient)));
                }
            }
            MailLine::Envelope { id, client, sender } => {
                let message = self.message(host, id, at);
                if let Some((name, address)) = client {
                    message.client = Some((kept(name), kept(address)));
                }
                if let Some(sender) = sender {
                    message.sender = Some(kept(sender));
                }
                message.tell_turned_away(each);
            }
            MailLine::Taken { id, recipient } => {
                if let Some(message) = self.messages.get(&self.hashes.narrow((host, id)))
                    && let Some(subject) = message.subject(recipient)
                {
                    let what = What::Taken;
                    each(message.at, Sighting { what, subject });
                }
            }
            MailLine::Done { id } => {
                self.messages.remove(&self.hashes.narrow((host, id)));
            }
        }
    }

    fn message(&mut self, host: &[u8], id: &[u8], at: Timestamp) -> &mut Envelope {
        let key = self.hashes.narrow((host, id));
        if !self.messages.contains_key(&key) {
            self.make_room();
            self.order.push_back(key);
        }
        let new = || Envelope {
            at,
            client: None,
            sender: None,
            turned_away: Vec::new(),
        };
        self.messages.entry(key).or_insert_with(new)
    }

    /// Of a message that has gone the place in the order goes when it is the oldest.
    fn make_room(&mut self) {
        while self.order.len() >= QUEUE_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.messages.remove(&oldest);
        }
    }
}

impl Envelope {
    fn subject<'a>(&'a self, recipient: &'a [u8]) -> Option<Subject<'a>> {
        let (name, address) = self.client.as_ref()?;
        Some(Subject {
            client: address.into(),
            name: name.into(),
            sender: self.sender.as_ref()?.into(),
            recipient: recipient.into(),
            ..Subject::default()
        })
    }

    /// Says what was turned away as soon as it is known of whom.
    fn tell_turned_away(&mut self, each: &mut dyn FnMut(Timestamp, Sighting<'_>)) {
        if self.client.is_none() || self.sender.is_none() {
            return;
        }
        for (at, recipient) in std::mem::take(&mut self.turned_away) {
            if let Some(subject) = self.subject(&recipient) {
                let what = What::TurnedAway;
                each(at, Sighting { what, subject });
            }
        }
    }
}

fn kept(text: &[u8]) -> Vec<u8> {
    text[..text.len().min(TEXT_MAX)].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(queue: &mut Queue, at: i64, line: MailLine<'_>) -> Vec<String> {
        let mut told = Vec::new();
        queue.read(b"mail", Timestamp(at), line, &mut |at, sighting| {
            let subject = &sighting.subject;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let what = if sighting.what == What::Taken {
                "taken"
            } else {
                "away"
            };
            told.push(format!(
                "{} {what} {} {} {}",
                at.0,
                text(&subject.client),
                text(&subject.sender),
                text(&subject.recipient)
            ));
        });
        told
    }

    fn envelope<'a>(
        client: Option<(&'a [u8], &'a [u8])>,
        sender: Option<&'a [u8]>,
    ) -> MailLine<'a> {
        MailLine::Envelope {
            id: b"ID",
            client,
            sender,
        }
    }

    #[test]
    fn a_message_is_put_together_and_forgotten() {
        let mut queue = Queue::default();
        let taken = || MailLine::Taken {
            id: b"ID",
            recipient: b"r",
        };
        let client = Some((&b"mx"[..], &b"192.0.2.1"[..]));
        assert_eq!(told(&mut queue, 1, taken()), [""; 0]);
        assert_eq!(told(&mut queue, 2, envelope(client, None)), [""; 0]);
        assert_eq!(told(&mut queue, 3, taken()), [""; 0]);
        assert_eq!(told(&mut queue, 4, envelope(None, Some(b"s"))), [""; 0]);
        assert_eq!(told(&mut queue, 5, taken()), ["2 taken 192.0.2.1 s r"]);
        assert_eq!(told(&mut queue, 6, MailLine::Done { id: b"ID" }), [""; 0]);
        assert_eq!(told(&mut queue, 7, taken()), [""; 0]);
    }

    #[test]
    fn what_was_turned_away_waits_for_its_envelope() {
        let mut queue = Queue::default();
        let away = |recipient| MailLine::TurnedAwayWithin {
            id: b"ID",
            recipient,
        };
        assert_eq!(told(&mut queue, 1, away(b"r")), [""; 0]);
        assert_eq!(told(&mut queue, 2, away(b"q")), [""; 0]);
        let client = Some((&b""[..], &b"192.0.2.1"[..]));
        assert_eq!(
            told(&mut queue, 3, envelope(client, Some(b"s"))),
            ["1 away 192.0.2.1 s r", "2 away 192.0.2.1 s q"]
        );
        assert_eq!(told(&mut queue, 4, envelope(client, Some(b"s"))), [""; 0]);
    }

    #[test]
    fn of_too_many_messages_the_oldest_goes() {
        let mut queue = Queue::default();
        for number in 0..=QUEUE_MAX {
            let id = number.to_string();
            let line = MailLine::Envelope {
                id: id.as_bytes(),
                client: Some((b"", b"192.0.2.1")),
                sender: Some(b"s"),
            };
            told(&mut queue, 0, line);
        }
        let taken = |id| MailLine::Taken {
            id,
            recipient: b"r",
        };
        assert_eq!(queue.messages.len(), QUEUE_MAX);
        assert_eq!(told(&mut queue, 1, taken(b"0")), [""; 0]);
        assert_eq!(told(&mut queue, 1, taken(b"1")), ["0 taken 192.0.2.1 s r"]);
    }
}
