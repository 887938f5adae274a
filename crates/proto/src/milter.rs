//! The milter protocol, versions 2 to 6, which Sendmail and Postfix speak to their filters.
//!
//! A connection is one SMTP session with any number of messages. Each recipient is asked about
//! when it is named; of the message itself only what the rules need is asked for. It judges
//! nothing.
//!
//! Source: Sendmail's `include/libmilter/mfdef.h` and `libmilter/docs`; Postfix MILTER_README;
//! traces of Sendmail 8.17.1 and Postfix 3.7.11.

mod amendments;
mod macros;
mod negotiation;
mod session;
mod texts;
mod wire;

use std::sync::Arc;

use greylatch_core::{Amendment, Answer, Attempt, Field, NewHeader, Notice, Request, Verdict};

use self::negotiation::Agreement;
use self::session::Session;
use self::texts::push_reply;
use self::wire::{Packet, command, reply};
use crate::conversation::{Conversation, ProtocolError, Step, Ticket};
use crate::reply::Class;

/// How the protocol is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MilterOptions {
    /// Messages may get a header.
    pub adds_header: bool,
    /// Headers may get another value.
    pub changes_headers: bool,
    /// Messages may get another body.
    pub changes_body: bool,
    /// The message is asked about once more at its end, when it has one recipient or more.
    pub judges_end: bool,
    /// What is told of the message then; nothing by default.
    pub content: ContentWanted,
    /// Macros that are told with each attempt beside the fields, by their names without braces.
    pub macros: Vec<Vec<u8>>,
}

impl Default for MilterOptions {
    fn default() -> Self {
        Self {
            adds_header: true,
            changes_headers: false,
            changes_body: false,
            judges_end: false,
            content: ContentWanted::default(),
            macros: Vec::new(),
        }
    }
}

/// What of a message's content is kept for its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContentWanted {
    /// Its headers.
    pub headers: bool,
    /// Its body.
    pub body: bool,
    /// Its headers with what is behind their colons, which signatures may rest on.
    pub exact: bool,
    /// How long it is, also where more comes than is kept.
    pub size: bool,
    /// The most bytes that are kept.
    pub bytes_max: usize,
}

impl ContentWanted {
    /// The most bytes that are kept, of anything at all.
    fn limit(self) -> Option<usize> {
        (self.headers || self.body).then_some(self.bytes_max)
    }
}

/// One connection on which the milter protocol is spoken.
#[derive(Debug)]
pub struct MilterConversation {
    options: Arc<MilterOptions>,
    agreement: Option<Agreement>,
    session: Session,
    state: State,
    unread: Vec<u8>,
    unread_from: usize,
    finished: bool,
    last_ticket: Ticket,
    output: Vec<u8>,
}

#[derive(Debug)]
enum State {
    /// Packets are being read.
    Reading,
    /// A question is complete.
    Complete(Question),
    /// A question has been asked.
    Asked(Ticket, Asked),
    /// All is said.
    Closing,
    /// The stream cannot be read on.
    Broken(ProtocolError),
}

#[derive(Debug)]
struct Question {
    request: Request,
    about: Asked,
}

/// What a question was about.
#[derive(Debug)]
enum Asked {
    /// A recipient, to be remembered when it is accepted.
    Recipient(Vec<u8>),
    /// The message as a whole.
    Message,
}

impl MilterConversation {
    /// A connection that has just been opened.
    #[must_use]
    pub fn new(options: Arc<MilterOptions>) -> Self {
        Self {
            options,
            agreement: None,
            session: Session::default(),
            state: State::Reading,
            unread: Vec::new(),
            unread_from: 0,
            finished: false,
            last_ticket: Ticket::default(),
            output: Vec::new(),
        }
    }

    /// Reads packets up to one that asks something.
    fn read_unread(&mut self) {
        let unread = std::mem::take(&mut self.unread);
        while matches!(self.state, State::Reading) {
            let rest = unread.get(self.unread_from..).unwrap_or_default();
            let taken = match wire::cut(rest) {
                Ok(None) => break,
                Ok(Some(packet)) => {
                    self.unread_from += packet.length;
                    self.take(packet)
                }
                Err(error) => Err(error),
            };
            if let Err(error) = taken {
                self.state = State::Broken(error);
            }
        }
        self.unread = unread;
        self.unread.drain(..self.unread_from);
        self.unread_from = 0;
    }

    fn take(&mut self, packet: Packet<'_>) -> Result<(), ProtocolError> {
        let Packet {
            command, content, ..
        } = packet;
        if self.agreement.is_none() && command != command::NEGOTIATE {
            return Err(ProtocolError::NotNegotiated);
        }
        match command {
            command::NEGOTIATE => {
                let agreement = Agreement::of(content, &self.options)?;
                agreement.say(&mut self.output, &self.options.macros);
                self.agreement = Some(agreement);
            }
            command::MACROS => self.session.macros.set(content),
            command::CONNECT => {
                let malformed = ProtocolError::Malformed(char::from(command));
                self.session.connect(content).ok_or(malformed)?;
                self.go_on(command);
            }
            command::HELO => {
                self.session.helo(content);
                self.go_on(command);
            }
            command::MAIL => {
                self.session.mail(content, self.options.content.limit());
                self.go_on(command);
            }
            command::RCPT => self.ask_of_recipient(content),
            command::HEADER => {
                if self.options.content.headers {
                    let exact = self.agreement.is_some_and(|agreed| agreed.spaces_headers());
                    self.session.header(content, exact);
                }
                self.go_on(command);
            }
            command::BODY => self.body(content),
            command::END_OF_BODY => {
                self.keep_body(content);
                self.end_of_message();
            }
            command::DATA | command::END_OF_HEADERS | command::UNKNOWN => self.go_on(command),
            command::ABORT => self.session.end_message(),
            command::QUIT_FOR_NEXT => self.session.end(),
            command::QUIT => self.state = State::Closing,
            _ => return Err(ProtocolError::UnknownCommand(char::from(command))),
        }
        Ok(())
    }

    fn ask_of_recipient(&mut self, content: &[u8]) {
        let attempt = self.session.attempt(content, &self.options.macros);
        let recipient = attempt.text(Field::Recipient).to_vec();
        let request = match self.session.missing() {
            Some(missing) => Request::PassUnread(attempt.into(), Notice::MissingAttribute(missing)),
            None => Request::Judge(attempt),
        };
        self.state = State::Complete(Question {
            request,
            about: Asked::Recipient(recipient),
        });
    }

    fn body(&mut self, piece: &[u8]) {
        self.keep_body(piece);
        let skips = self.agreement.is_some_and(|agreed| agreed.skips());
        if skips && self.session.is_cut() {
            self.reply(command::BODY, reply::SKIP);
        } else {
            self.go_on(command::BODY);
        }
    }

    fn keep_body(&mut self, piece: &[u8]) {
        if self.options.content.body {
            self.session.body(piece);
        }
    }

    fn end_of_message(&mut self) {
        let whole = if self.options.judges_end {
            self.session.whole(&self.options.macros)
        } else {
            None
        };
        match whole {
            Some(attempt) => self.ask_of_message(attempt),
            None => self.accept_message(),
        }
    }

    fn ask_of_message(&mut self, attempt: Attempt) {
        self.state = State::Complete(Question {
            request: Request::Judge(attempt),
            about: Asked::Message,
        });
    }

    fn accept_message(&mut self) {
        let top = self.session.take_header().map(|line| {
            let index = Some(0);
            Amendment::AddHeader(NewHeader { line, index })
        });
        self.amend(top.as_slice());
        self.session.end_message();
        self.go_on(command::END_OF_BODY);
    }

    /// Changes the message, where that was agreed on.
    fn amend(&mut self, amendments: &[Amendment]) {
        if let Some(agreement) = &self.agreement {
            for amendment in amendments {
                amendments::push(&mut self.output, amendment, agreement);
            }
        }
    }

    /// Lets the MTA go on, if it waits for an answer to this command.
    fn go_on(&mut self, command: u8) {
        self.reply(command, reply::CONTINUE);
    }

    fn reply(&mut self, command: u8, reply: u8) {
        let agreed = self.agreement.as_ref();
        if agreed.is_none_or(|agreed| agreed.wants_answer(command)) {
            wire::push(&mut self.output, reply, |_| {});
        }
    }

    fn say(&mut self, about: Asked, answer: &Answer) {
        let header = match answer {
            Answer::Verdict(Verdict::Defer(reply)) => {
                push_reply(&mut self.output, Class::Defer, reply);
                return self.turned_away(&about);
            }
            Answer::Verdict(Verdict::Refuse(reply)) => {
                push_reply(&mut self.output, Class::Refuse, reply);
                return self.turned_away(&about);
            }
            Answer::Verdict(Verdict::Amend(amendments)) => {
                self.amend(amendments);
                None
            }
            Answer::Verdict(Verdict::Pass { header }) => header.as_deref(),
            // What cannot be judged passes.
            _ => None,
        };
        match about {
            Asked::Recipient(recipient) => {
                self.session.accepted(&recipient, header);
                self.go_on(command::RCPT);
            }
            Asked::Message => {
                self.session.accepted(b"", header);
                self.accept_message();
            }
        }
    }

    /// A recipient that was turned away leaves the message alive.
    fn turned_away(&mut self, about: &Asked) {
        if matches!(about, Asked::Message) {
            self.session.end_message();
        }
    }
}

impl Conversation for MilterConversation {
    const FRONTEND: &'static str = "milter";

    fn feed(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Closing | State::Broken(_)) {
            self.unread.extend_from_slice(bytes);
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
            State::Complete(question) => {
                let ticket = self.last_ticket.next();
                self.last_ticket = ticket;
                self.state = State::Asked(ticket, question.about);
                Ok(Step::Ask(ticket, question.request))
            }
            asked @ State::Asked(..) => {
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
        match std::mem::replace(&mut self.state, State::Reading) {
            State::Asked(open, about) if open == ticket => self.say(about, answer),
            other => self.state = other,
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
