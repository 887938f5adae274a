//! The end that is told.

use greylatch_core::{Answer, Notice, Request};

use super::command::Command;
use super::{LINE_MAX, take_line};
use crate::conversation::{Conversation, ProtocolError, Step, Ticket};

/// A connection that a peer has opened to tell what it saw.
///
/// An event that could not be taken note of is not answered, and the connection closed: the peer
/// keeps it and tells it again.
#[derive(Debug)]
pub struct PeerConversation {
    unread: Vec<u8>,
    asked: Option<Ticket>,
    last_ticket: Ticket,
    /// Nothing more will be fed.
    finished: bool,
    closing: bool,
    output: Vec<u8>,
}

impl PeerConversation {
    /// A connection that a peer has just opened.
    #[must_use]
    pub fn new() -> Self {
        Self {
            unread: Vec::new(),
            asked: None,
            last_ticket: Ticket::default(),
            finished: false,
            closing: false,
            output: b"200 Yeah, what do you want?\n".to_vec(),
        }
    }

    /// A connection that somebody else has opened: it is told to go away.
    #[must_use]
    pub fn refused() -> Self {
        Self {
            closing: true,
            output: b"106 You have no permission to talk, go away!\n".to_vec(),
            ..Self::new()
        }
    }

    /// What takes the place of a connection because there are no peers any more; what is asked
    /// just then goes unanswered.
    #[must_use]
    pub fn dismissed() -> Self {
        Self {
            closing: true,
            output: b"105 No more peers, shutting down!\n".to_vec(),
            ..Self::new()
        }
    }

    /// Answers a line, or gives what it asks.
    fn obey(&mut self, line: &[u8]) -> Option<Request> {
        match Command::parse(line) {
            Ok(Command::Tell(event)) => return Some(Request::Peer(event)),
            Ok(Command::Version(version)) => {
                let answer =
                    format!("80{version} Yes, I speak version {version}, what do you think?\n");
                self.output.extend_from_slice(answer.as_bytes());
            }
            Ok(Command::Help) => self.output.extend_from_slice(HELP),
            Ok(Command::Quit) => {
                self.output.extend_from_slice(b"202 Good bye\n");
                self.closing = true;
            }
            Err(refusal) => refusal.push(&mut self.output),
        }
        None
    }
}

impl Default for PeerConversation {
    fn default() -> Self {
        Self::new()
    }
}

impl Conversation for PeerConversation {
    const FRONTEND: &'static str = "peer";

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
        while !self.closing {
            let line = take_line(&mut self.unread)
                .map_err(|_| ProtocolError::RequestTooLong { max: LINE_MAX })?;
            let Some(line) = line else {
                return Ok(if self.finished {
                    Step::Close
                } else {
                    Step::Read
                });
            };
            if let Some(request) = self.obey(&line) {
                self.last_ticket = self.last_ticket.next();
                self.asked = Some(self.last_ticket);
                return Ok(Step::Ask(self.last_ticket, request));
            }
        }
        Ok(Step::Close)
    }

    fn answer(&mut self, ticket: Ticket, answer: &Answer) {
        if self.asked != Some(ticket) {
            return;
        }
        self.asked = None;
        match answer {
            Answer::Done(_) => self
                .output
                .extend_from_slice(b"201 All right, I'll do that\n"),
            _ => self.closing = true,
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

/// Its first line is the original's.
const HELP: &[u8] = b"\
203 Help? Sure, we have help here:
203 quit
203 help
203 vers2
203 vers3
203 add addr IP from SENDER rcpt RECIPIENT date SECONDS
203 del addr IP from SENDER rcpt RECIPIENT date SECONDS
203 del2 addr IP from SENDER rcpt RECIPIENT date SECONDS aw SECONDS
203 flush addr IP
";
