//! The control socket: one JSON object per line, each way, one request at a time.
//!
//! Bytes that are no UTF-8 go as `{"hex": "ff00"}` in place of a string. The lines of
//! `greylatch entries export` are the records of this protocol.

mod answer;
mod event;
mod record;
mod request;
mod wire;

use greylatch_core::{Answer, Notice, Request};
use serde_json::Value;

use crate::conversation::{Conversation, ProtocolError, REQUEST_MAX, Step, Ticket};

pub(crate) use self::record::to_json as record_to_value;
pub use self::record::{record_from_json, record_to_json};
pub use self::wire::DecodeError;
pub(crate) use self::wire::{hex, unhex};

/// A question as a line.
#[must_use]
pub fn encode_request(request: &Request) -> Vec<u8> {
    line(&request::to_json(request))
}

/// An answer from its line.
///
/// # Errors
/// [`DecodeError`] says what is missing or of the wrong kind.
pub fn decode_answer(line: &[u8]) -> Result<Answer, DecodeError> {
    answer::from_json(&wire::parse(line)?)
}

fn line(value: &Value) -> Vec<u8> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// One connection to the control socket, the server's side.
#[derive(Debug, Default)]
pub struct ControlConversation {
    unread: Vec<u8>,
    asked: Option<Ticket>,
    last_ticket: Ticket,
    finished: bool,
    output: Vec<u8>,
}

impl ControlConversation {
    /// A connection that has just been opened.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn next_line(&mut self) -> Option<Vec<u8>> {
        let end = self.unread.iter().position(|byte| *byte == b'\n')?;
        let rest = self.unread.split_off(end + 1);
        Some(std::mem::replace(&mut self.unread, rest))
    }
}

impl Conversation for ControlConversation {
    const FRONTEND: &'static str = "control";

    fn feed(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    fn finish(&mut self) {
        self.finished = true;
    }

    fn step(&mut self) -> Result<Step, ProtocolError> {
        if self.asked.is_some() {
            return Ok(Step::Wait);
        }
        while let Some(text) = self.next_line() {
            match wire::parse(&text).and_then(|value| request::from_json(&value)) {
                Ok(request) => {
                    self.last_ticket = self.last_ticket.next();
                    self.asked = Some(self.last_ticket);
                    return Ok(Step::Ask(self.last_ticket, request));
                }
                Err(error) => {
                    let failed = Answer::Failed(error.to_string());
                    self.output.extend(line(&answer::to_json(&failed)));
                }
            }
        }
        if self.unread.len() > REQUEST_MAX {
            return Err(ProtocolError::RequestTooLong { max: REQUEST_MAX });
        }
        Ok(if self.finished {
            Step::Close
        } else {
            Step::Read
        })
    }

    fn answer(&mut self, ticket: Ticket, given: &Answer) {
        if self.asked == Some(ticket) {
            self.asked = None;
            self.output.extend(line(&answer::to_json(given)));
        }
    }

    fn is_midway(&self) -> bool {
        !self.unread.is_empty()
    }

    fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    fn notice(&mut self) -> Option<Notice> {
        None
    }
}

#[cfg(test)]
mod tests {
    use greylatch_core::{
        Attempt, Field, Page, PeerEvent, PeerTriplet, Query, Seconds, Standing, Timestamp,
    };

    use super::*;

    fn triplet() -> PeerTriplet {
        PeerTriplet {
            client: [192, 0, 2, 9].into(),
            sender: b"a\xff@x".to_vec(),
            recipient: b"b@y".to_vec(),
        }
    }

    fn requests() -> Vec<Request> {
        let mut attempt = Attempt::new();
        attempt.set(Field::ClientAddress, b"192.0.2.9");
        attempt.set(Field::Sender, b"\xff\x00@example.com");
        let mut words = Attempt::new();
        words.set(Field::Words, b"some words");
        vec![
            Request::Look {
                attempt: attempt.into(),
                later: Seconds(360),
            },
            Request::List(Query {
                matching: Some(b"ex\xffample".to_vec()),
                standing: Some(Standing::Proven),
                clients: true,
                after: Some([7; 16]),
                limit: 3,
            }),
            Request::Remove(Query::default()),
            Request::Put(vec![]),
            Request::Peer(PeerEvent::Pending {
                triplet: triplet(),
                due: Timestamp(5),
            }),
            Request::Peer(PeerEvent::Accepted {
                triplet: triplet(),
                was: Timestamp(5),
                expires: Some(Timestamp(6)),
            }),
            Request::Peer(PeerEvent::Accepted {
                triplet: triplet(),
                was: Timestamp(5),
                expires: None,
            }),
            Request::Peer(PeerEvent::Flushed([192, 0, 2, 9].into())),
            Request::Set {
                attempt: words.clone().into(),
                standing: Standing::Refused,
            },
            Request::Forget(words),
            Request::Status,
            Request::Reload,
        ]
    }

    #[test]
    fn requests_arrive_as_they_were_sent_wherever_they_are_cut() {
        for request in requests() {
            let bytes = encode_request(&request);
            for cut in 0..bytes.len() {
                let mut conversation = ControlConversation::new();
                conversation.feed(&bytes[..cut]);
                assert_eq!(conversation.step(), Ok(Step::Read));
                conversation.feed(&bytes[cut..]);
                let Ok(Step::Ask(ticket, asked)) = conversation.step() else {
                    panic!("a question for {request:?}");
                };
                assert_eq!(asked, request);
                assert_eq!(conversation.step(), Ok(Step::Wait));
                conversation.answer(ticket, &Answer::Done(3));
                assert_eq!(decode_answer(conversation.output()), Ok(Answer::Done(3)));
            }
        }
    }

    #[test]
    fn a_line_that_is_no_request_is_answered_and_the_next_one_read() {
        let mut conversation = ControlConversation::new();
        conversation.feed(b"{\"ask\":\"dance\"}\nnonsense\n{\"ask\":\"status\"}\n");
        assert!(matches!(
            conversation.step(),
            Ok(Step::Ask(_, Request::Status))
        ));
        let said: Vec<_> = conversation
            .output()
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        assert_eq!(
            decode_answer(&said[0]),
            Ok(Answer::Failed(
                "nothing is known about asking `dance`".into()
            ))
        );
        assert!(matches!(decode_answer(&said[1]), Ok(Answer::Failed(_))));
    }

    #[test]
    fn a_misspelt_query_selects_nothing_instead_of_everything() {
        let mut conversation = ControlConversation::new();
        conversation.feed(
            b"{\"ask\":\"remove\",\"query\":{\"matchin\":\"x\",\"clients\":false,\"limit\":0}}\n",
        );
        assert_eq!(conversation.step(), Ok(Step::Read));
        let failed = Answer::Failed("nothing is known about asking `matchin`".into());
        assert_eq!(decode_answer(conversation.output()), Ok(failed));
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut conversation = ControlConversation::new();
        conversation.feed(&vec![b'x'; REQUEST_MAX + 1]);
        assert_eq!(
            conversation.step(),
            Err(ProtocolError::RequestTooLong { max: REQUEST_MAX })
        );
    }

    #[test]
    fn pages_come_back_as_they_were() {
        let page = Answer::Page(Page {
            records: vec![],
            next: Some([9; 16]),
        });
        assert_eq!(decode_answer(&line(&answer::to_json(&page))), Ok(page));
    }
}
