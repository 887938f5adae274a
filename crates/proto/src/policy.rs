//! Postfix policy delegation, which Exim speaks too: attributes in, one action out.
//!
//! It reads what Postgrey reads, oddities included, and differs where Postgrey stops answering or
//! mixes requests up: a bare CR is part of a value, a request has an end, and no attribute lives
//! on into the next request. It judges nothing.
//!
//! Source: Postfix SMTPD_POLICY_README, "Protocol description" and "Simple policy client/server
//! configuration"; Postgrey 1.37 as observed by running it.

mod asker;
mod attribute;
mod draft;
mod line;

use std::sync::Arc;

use greylatch_core::{Answer, Notice, Reply, Request, Verdict};
use memchr::memchr;

use self::draft::{Complete, Draft};
use self::line::{Line, PartialLine};
use crate::conversation::{Conversation, Notices, ProtocolError, REQUEST_MAX, Step, Ticket};

pub use self::asker::{PolicyAnswer, encode_question};
pub(crate) use self::attribute::FIELDS;

/// How the protocol is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyOptions {
    /// Close after the first answered request (Postgrey's `--exim`).
    pub close_after_answer: bool,
    /// What becomes of requests of another type than `smtpd_access_policy`.
    pub unknown_request: UnknownRequest,
    /// The action of a deferral (Postgrey's `--greylist-action`).
    pub defer_action: Vec<u8>,
}

impl Default for PolicyOptions {
    fn default() -> Self {
        Self {
            close_after_answer: false,
            unknown_request: UnknownRequest::Dunno,
            defer_action: b"DEFER_IF_PERMIT".to_vec(),
        }
    }
}

/// What becomes of a request of a type that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownRequest {
    /// No answer, as Postgrey does; Postfix then waits until its timeout.
    Silence,
    /// `DUNNO`.
    Dunno,
}

/// One connection on which the policy protocol is spoken.
#[derive(Debug)]
pub struct PolicyConversation {
    options: Arc<PolicyOptions>,
    state: State,
    draft: Draft,
    /// The line under way.
    line: PartialLine,
    /// Bytes of the request under way.
    request_length: usize,
    /// What was fed and not read yet, from `unread_from` on.
    unread: Vec<u8>,
    unread_from: usize,
    /// Nothing more will be fed.
    finished: bool,
    last_ticket: Ticket,
    output: Vec<u8>,
    notices: Notices,
}

#[derive(Debug)]
enum State {
    /// A request is being read.
    Reading,
    /// A request is complete.
    Complete { request: Request, etrn_domain: bool },
    /// A request has been asked.
    Asked { ticket: Ticket, etrn_domain: bool },
    /// All is said.
    Closing,
    /// The stream cannot be read on.
    Broken(ProtocolError),
}

impl PolicyConversation {
    /// A connection that has just been opened.
    #[must_use]
    pub fn new(options: Arc<PolicyOptions>) -> Self {
        Self {
            options,
            state: State::Reading,
            draft: Draft::default(),
            line: PartialLine::default(),
            request_length: 0,
            unread: Vec::new(),
            unread_from: 0,
            finished: false,
            last_ticket: Ticket::default(),
            output: Vec::new(),
            notices: Notices::default(),
        }
    }

    /// Reads up to the end of a request; gives how many bytes it took.
    fn read(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while matches!(self.state, State::Reading) {
            let Some((piece, after)) = split_line(rest) else {
                if self.count(rest.len()) {
                    self.line.push(rest);
                }
                return bytes.len();
            };
            rest = after;
            if !self.count(piece.len() + 1) {
                break;
            }
            if self.line.is_empty() {
                self.take(Line::read(piece));
            } else {
                self.line.push(piece);
                let mut line = std::mem::take(&mut self.line);
                self.take(line.read());
                line.clear();
                self.line = line;
            }
        }
        bytes.len() - rest.len()
    }

    /// Counts bytes of the request under way; false once there are too many.
    fn count(&mut self, bytes: usize) -> bool {
        self.request_length += bytes;
        let fits = self.request_length <= REQUEST_MAX;
        if !fits {
            self.state = State::Broken(ProtocolError::RequestTooLong { max: REQUEST_MAX });
        }
        fits
    }

    fn take(&mut self, line: Line<'_>) {
        match line {
            Line::Attribute { name, value } => self.draft.set(name, value),
            Line::Garbage(line) => {
                if let Some(notice) = self.draft.garbage(line) {
                    self.notices.push(notice);
                }
            }
            Line::End => self.end_request(),
        }
    }

    fn end_request(&mut self) {
        self.request_length = 0;
        match std::mem::take(&mut self.draft).complete() {
            Complete::Ask {
                request,
                etrn_domain,
            } => {
                self.state = State::Complete {
                    request,
                    etrn_domain,
                };
            }
            Complete::Unknown(kind) => {
                self.notices.push(Notice::UnknownRequest(kind));
                match self.options.unknown_request {
                    UnknownRequest::Silence => {}
                    UnknownRequest::Dunno => self.output.extend_from_slice(DUNNO),
                }
            }
        }
    }

    fn read_unread(&mut self) {
        let unread = std::mem::take(&mut self.unread);
        let taken = self.read(unread.get(self.unread_from..).unwrap_or_default());
        self.unread = unread;
        self.unread_from += taken;
        if self.unread_from >= self.unread.len() {
            self.unread.clear();
            self.unread_from = 0;
        }
    }

    fn say(&mut self, answer: &Answer, etrn_domain: bool) {
        let (action, reply) = match answer {
            Answer::Verdict(Verdict::Pass { header: Some(line) }) => {
                self.output.extend_from_slice(b"action=PREPEND ");
                push_text(&mut self.output, line);
                self.output.extend_from_slice(b"\n\n");
                return;
            }
            Answer::Verdict(Verdict::Defer(reply)) => (&self.options.defer_action[..], reply),
            Answer::Verdict(Verdict::Refuse(reply)) => (&b"REJECT"[..], reply),
            // What cannot be judged passes.
            _ => {
                self.output.extend_from_slice(DUNNO);
                return;
            }
        };
        let status: &[u8] = match answer {
            _ if !etrn_domain || reply.has_status => b"",
            Answer::Verdict(Verdict::Refuse(_)) => b"5.7.1 ",
            _ => b"4.2.0 ",
        };
        push_reply(&mut self.output, action, status, reply);
    }
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (line, rest) = bytes.split_at_checked(memchr(b'\n', bytes)?)?;
    Some((line, rest.get(1..)?))
}

/// The answer that lets Postfix go on with its next restriction.
const DUNNO: &[u8] = b"action=DUNNO\n\n";

fn push_reply(out: &mut Vec<u8>, action: &[u8], status: &[u8], reply: &Reply) {
    out.extend_from_slice(b"action=");
    push_text(out, action);
    out.push(b' ');
    out.extend_from_slice(status);
    push_text(out, &reply.text);
    out.extend_from_slice(b"\n\n");
}

/// Adds a text; what would end a line or a string at the other side becomes a space.
fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(text.iter().map(|byte| match byte {
        b'\n' | b'\r' | 0 => b' ',
        byte => *byte,
    }));
}

impl Conversation for PolicyConversation {
    const FRONTEND: &'static str = "policy";

    fn feed(&mut self, bytes: &[u8]) {
        match self.state {
            State::Closing | State::Broken(_) => {}
            // The common case: nothing waits, so that the bytes are read where they are.
            State::Reading if self.unread.is_empty() => {
                let taken = self.read(bytes);
                let rest = bytes.get(taken..).unwrap_or_default();
                self.unread.extend_from_slice(rest);
            }
            _ => self.unread.extend_from_slice(bytes),
        }
    }

    fn finish(&mut self) {
        self.finished = true;
    }

    fn step(&mut self) -> Result<Step, ProtocolError> {
        if matches!(self.state, State::Reading) {
            self.read_unread();
        }
        match std::mem::replace(&mut self.state, State::Closing) {
            State::Reading if self.finished => Ok(Step::Close),
            State::Reading => {
                self.state = State::Reading;
                Ok(Step::Read)
            }
            State::Complete {
                request,
                etrn_domain,
            } => {
                let ticket = self.last_ticket.next();
                self.last_ticket = ticket;
                self.state = State::Asked {
                    ticket,
                    etrn_domain,
                };
                Ok(Step::Ask(ticket, request))
            }
            asked @ State::Asked { .. } => {
                self.state = asked;
                Ok(Step::Wait)
            }
            State::Closing => Ok(Step::Close),
            State::Broken(error) => {
                self.state = State::Broken(error);
                Err(error)
            }
        }
    }

    fn answer(&mut self, ticket: Ticket, answer: &Answer) {
        match self.state {
            State::Asked {
                ticket: open,
                etrn_domain,
            } if open == ticket => {
                self.say(answer, etrn_domain);
                self.state = if self.options.close_after_answer {
                    State::Closing
                } else {
                    State::Reading
                };
            }
            _ => {}
        }
    }

    fn is_midway(&self) -> bool {
        self.request_length > 0 || !self.line.is_empty()
    }

    fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    fn notice(&mut self) -> Option<Notice> {
        self.notices.pop()
    }
}
