//! OpenSMTPD's filter protocol, versions 0.4 to 0.7: one stream of lines that tell of every session of
//! the server, with questions among them that are answered in any order.
//!
//! Whatever is in doubt proceeds: a session that is not known, a line that cannot be read, a version that
//! is not spoken. A line of ours that smtpd cannot read ends smtpd, so nothing of a question is sent back
//! as it came but the two numbers that name it.
//!
//! Source: smtpd-filters(7); OpenSMTPD `usr.sbin/smtpd/lka_filter.c` (`lka_filter_process_response` ends
//! the server over a line it cannot read; TOKEN before SESSION in answers up to 0.4), `lka_report.c` of
//! 0.4; a transcript of OpenSMTPD 6.8.0p2.

mod line;
mod message;
mod question;
mod session;

use std::collections::VecDeque;

use greylatch_core::{Answer, Notice, Request};

use self::line::{Line, Lines};
use self::message::{Message, Question, Version};
use self::question::{Address, Questions};
use self::session::Sessions;
use crate::conversation::{Conversation, Notices, ProtocolError, Step, Ticket};

/// When a filter decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AskAt {
    /// At each recipient, before smtpd knows whether there is such a one. The null sender is asked about
    /// at DATA once more, where `greylist.null_sender = "data"` judges it.
    #[default]
    RcptTo,
    /// Once for all recipients that smtpd has accepted; one that is deferred defers the message.
    Data,
}

/// The filter's end of the stream.
#[derive(Debug)]
pub struct FilterConversation {
    at: AskAt,
    lines: Lines,
    handshake: Handshake,
    sessions: Sessions,
    questions: Questions,
    /// The question that is being read.
    doubtful: Option<Address>,
    /// What is to be asked next.
    asked: VecDeque<(Ticket, Request)>,
    /// Nothing more will be fed.
    finished: bool,
    output: Vec<u8>,
    notices: Notices,
}

/// What smtpd has said of itself before it was ready.
#[derive(Debug, Default)]
struct Handshake {
    /// It has named a version that is not spoken here.
    is_foreign: bool,
    /// It has named subsystems, and whether the one that is registered for is among them.
    offers_smtp_in: Option<bool>,
    is_over: bool,
}

/// The events that a session is put together from.
const EVENTS: [&str; 10] = [
    "link-connect",
    "link-disconnect",
    "link-identify",
    "link-tls",
    "link-auth",
    "tx-begin",
    "tx-mail",
    "tx-rcpt",
    "tx-commit",
    "tx-rollback",
];

impl FilterConversation {
    /// A stream of which nothing has come.
    #[must_use]
    pub fn new(at: AskAt) -> Self {
        Self {
            at,
            lines: Lines::default(),
            handshake: Handshake::default(),
            sessions: Sessions::new(at),
            questions: Questions::default(),
            doubtful: None,
            asked: VecDeque::new(),
            finished: false,
            output: Vec::new(),
            notices: Notices::default(),
        }
    }

    /// Lets everything proceed that waits for an answer and forgets all sessions, so that nothing that
    /// may have been left half done counts any more.
    pub fn give_up(&mut self) {
        self.asked.clear();
        if let Some(address) = self.doubtful.take() {
            address.proceed(&mut self.output);
        }
        self.questions.give_up(&mut self.output);
        self.sessions = Sessions::new(self.at);
    }

    fn take(&mut self, line: &Line) {
        match Message::read(&line.text) {
            Some(Message::Question(question)) => self.take_question(&question, line.is_cut),
            // Half of an event would be a wrong one.
            _ if line.is_cut => self.notices.push(Notice::Garbage(line.beginning())),
            Some(Message::Config { key, value }) => self.configure(key, value),
            Some(Message::Event(event)) => self.sessions.hear(&event),
            None => self.notices.push(Notice::Garbage(line.beginning())),
        }
    }

    fn configure(&mut self, key: &[u8], value: &[u8]) {
        let handshake = &mut self.handshake;
        match key {
            b"protocol" if Version::read(value).is_none() => {
                handshake.is_foreign = true;
                self.notices.push(Notice::UnknownVersion(value.to_vec()));
            }
            b"subsystem" => {
                let offered = handshake.offers_smtp_in.unwrap_or(false);
                handshake.offers_smtp_in = Some(offered || value == b"smtp-in");
            }
            b"ready" if !handshake.is_over => {
                handshake.is_over = true;
                // Who registers for nothing is asked nothing, and all mail passes.
                if !handshake.is_foreign && handshake.offers_smtp_in != Some(false) {
                    self.register();
                }
                self.output.extend_from_slice(b"register|ready\n");
            }
            _ => {}
        }
    }

    fn register(&mut self) {
        let phases: &[&str] = match self.at {
            AskAt::RcptTo => &["rcpt-to", "data"],
            AskAt::Data => &["data"],
        };
        let events = EVENTS.iter().map(|event| ("report", event));
        for (stream, name) in events.chain(phases.iter().map(|phase| ("filter", phase))) {
            let line = format!("register|{stream}|smtp-in|{name}\n");
            self.output.extend_from_slice(line.as_bytes());
        }
    }

    fn take_question(&mut self, question: &Question, is_cut: bool) {
        let address = Address::of(question);
        // Before anything can go wrong.
        self.doubtful = Some(address);
        let attempts = match question.version {
            Some(_) if !is_cut => self.sessions.attempts(question),
            Some(_) => Vec::new(),
            None => {
                let version = question.version_text.to_vec();
                self.notices.push(Notice::UnknownVersion(version));
                Vec::new()
            }
        };
        let tickets = self.questions.open(address, attempts.len());
        self.doubtful = None;
        match tickets {
            Some(tickets) => {
                let requests = attempts.into_iter().map(Request::Judge);
                self.asked.extend(tickets.into_iter().zip(requests));
            }
            None => address.proceed(&mut self.output),
        }
    }
}

impl Conversation for FilterConversation {
    const FRONTEND: &'static str = "opensmtpd";

    fn feed(&mut self, bytes: &[u8]) {
        self.lines.feed(bytes);
    }

    fn finish(&mut self) {
        self.finished = true;
    }

    fn step(&mut self) -> Result<Step, ProtocolError> {
        loop {
            if let Some((ticket, request)) = self.asked.pop_front() {
                return Ok(Step::Ask(ticket, request));
            }
            if self.questions.are_full() {
                return Ok(Step::Wait);
            }
            match self.lines.next() {
                Some(line) => self.take(&line),
                None if !self.finished => return Ok(Step::Read),
                None if self.questions.are_open() => return Ok(Step::Wait),
                None => return Ok(Step::Close),
            }
        }
    }

    fn answer(&mut self, ticket: Ticket, answer: &Answer) {
        self.questions.answer(ticket, answer, &mut self.output);
    }

    fn is_midway(&self) -> bool {
        self.lines.is_midway()
    }

    fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    fn notice(&mut self) -> Option<Notice> {
        self.notices.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_was_being_read_proceeds_when_all_is_given_up() {
        let line = b"filter|0.6|1.5|smtp-in|rcpt-to|01|02|a@example.org";
        let Some(Message::Question(question)) = Message::read(line) else {
            panic!("a question");
        };
        let mut conversation = FilterConversation::new(AskAt::RcptTo);
        conversation.doubtful = Some(Address::of(&question));
        conversation.give_up();
        conversation.give_up();
        let said = String::from_utf8_lossy(conversation.output()).into_owned();
        let line = "filter-result|0000000000000001|0000000000000002|proceed\n";
        assert_eq!(said, line);
        conversation.take_question(&question, false);
        assert_eq!(conversation.doubtful, None);
    }
}
