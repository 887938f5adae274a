//! greylistd's line protocol: one message in, one answer out, then the end.
//!
//! A message has no end of its own: greylistd takes what one read gives it. Here it is complete at a
//! line end, when the other side closes its half, when it is as long as greylistd reads, or when
//! nothing more came for a moment. The answer has no line end either.
//!
//! Source: greylistd 0.9.0.2 as observed by running it; greylist(1).

mod command;
mod key;
mod listing;
mod statistics;

use std::collections::VecDeque;

use greylatch_core::{
    Answer, Attempt, Notice, Page, Query, Record, Request, Seconds, Standing, Verdict,
};

use self::command::{Command, List, Named};
use self::listing::Listing;
use crate::conversation::{Conversation, ProtocolError, Step, Ticket};

/// One connection on which greylistd's protocol is spoken.
#[derive(Debug, Default)]
pub struct GreylistdConversation {
    state: State,
    message: Vec<u8>,
    ticket: Ticket,
    output: Vec<u8>,
}

#[derive(Debug, Default)]
enum State {
    /// The message is being read.
    #[default]
    Reading,
    /// This is to be asked.
    Asking(Request, Errand),
    /// This was asked.
    Asked(Errand),
    /// All is said.
    Closing,
}

/// What an answer is wanted for.
#[derive(Debug)]
enum Errand {
    /// To say which list the key counts as, or whether it is one of these.
    Judge(Vec<Named>),
    /// To say on which list the key is.
    Status,
    Add(List),
    Delete,
    Stats,
    Mrtg,
    List(Listing),
    Reload,
    /// To remove what these select as well.
    Clear(VecDeque<Query>),
}

/// greylistd reads no more of a message.
const MESSAGE_MAX: usize = 16_384;

/// A message of which nothing more came for so long is complete.
const QUIET_MS: u32 = 50;

impl GreylistdConversation {
    /// A connection that has just been opened.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the message for complete.
    fn complete(&mut self) {
        let message = std::mem::take(&mut self.message);
        self.state = match Command::read(&message) {
            Ok(command) => self.begin(command),
            Err(fault) => self.end(&format!("error: {fault}")),
        };
    }

    /// Says what is the last.
    fn end(&mut self, text: &str) -> State {
        self.output.extend_from_slice(text.as_bytes());
        State::Closing
    }

    fn begin(&mut self, command: Command) -> State {
        let (request, errand) = match command {
            // What is black is so by hand or by a rule: to remember the attempt changes nothing of it.
            Command::Update(attempt, named) if named == [Named::List(List::Black)] => {
                (look(attempt), Errand::Judge(named))
            }
            Command::Update(attempt, named) => (Request::Judge(attempt), Errand::Judge(named)),
            Command::Check(attempt, named) => (look(attempt), Errand::Judge(named)),
            Command::Status(attempt) => (look(attempt), Errand::Status),
            Command::Add(list, attempt) => {
                let (attempt, standing) = (attempt.into(), list.by_hand());
                (Request::Set { attempt, standing }, Errand::Add(list))
            }
            Command::Delete(attempt) => (Request::Forget(attempt), Errand::Delete),
            Command::Stats => (Request::Status, Errand::Stats),
            Command::Mrtg => (Request::Status, Errand::Mrtg),
            Command::List(lists) => return self.list_on(Listing::of(lists)),
            Command::Clear(lists) => return self.clear_on(selections(&lists)),
            Command::Reload => (Request::Reload, Errand::Reload),
            // Whatever was answered is stored.
            Command::Save => return self.end("greylistd data has been saved"),
        };
        State::Asking(request, errand)
    }

    fn list_on(&mut self, mut listing: Listing) -> State {
        match listing.next() {
            Some(query) => State::Asking(Request::List(query), Errand::List(listing)),
            None => State::Closing,
        }
    }

    fn clear_on(&mut self, mut selections: VecDeque<Query>) -> State {
        match selections.pop_front() {
            Some(query) => State::Asking(Request::Remove(query), Errand::Clear(selections)),
            None => self.end("data and statistics cleared"),
        }
    }

    fn say(&mut self, errand: Errand, answer: &Answer) -> State {
        match (errand, answer) {
            (Errand::Judge(named), answer) => self.end(&judged(&named, list_in(answer))),
            (_, Answer::Failed(why)) => self.end(&format!("error: {why}")),
            (Errand::Status, Answer::Explained(told)) => self.end(statistics::standing(told)),
            (Errand::Add(list), _) => self.end(&format!("Added to {}list", list.word())),
            (Errand::Delete, Answer::Page(page)) => self.end(&removed(page)),
            (Errand::Stats, Answer::Status(status)) => self.end(&statistics::stats(status)),
            (Errand::Mrtg, Answer::Status(status)) => self.end(&statistics::mrtg(status)),
            (Errand::List(mut listing), Answer::Page(page)) => {
                listing.push(&mut self.output, page);
                self.list_on(listing)
            }
            (Errand::Clear(selections), _) => self.clear_on(selections),
            (Errand::Reload, Answer::Reloaded(reloaded)) => match &reloaded.kept {
                None => self.end("configuration and data reloaded"),
                Some(why) => self.end(&format!("error: {why}")),
            },
            // An answer to another question; nothing is known of what was asked.
            _ => self.end("error: no answer"),
        }
    }
}

fn look(attempt: Attempt) -> Request {
    Request::Look {
        attempt: attempt.into(),
        later: Seconds(0),
    }
}

/// The list that a key counts as. What cannot be judged passes.
fn list_in(answer: &Answer) -> List {
    let verdict = match answer {
        Answer::Verdict(verdict) => Some(verdict),
        Answer::Explained(explanation) => Some(&explanation.verdict),
        _ => None,
    };
    match verdict {
        Some(Verdict::Defer(_)) => List::Grey,
        Some(Verdict::Refuse(_)) => List::Black,
        Some(Verdict::Pass { .. } | Verdict::Amend(_)) | None => List::White,
    }
}

/// The list, or whether it is one of those that were named.
fn judged(named: &[Named], list: List) -> String {
    if named.is_empty() {
        return list.word().into();
    }
    for name in named {
        match name {
            Named::List(one) if *one == list => return "true".into(),
            Named::List(_) => {}
            Named::Unknown(name) => return format!("error: '{name}' is not a known state"),
        }
    }
    "false".into()
}

fn removed(page: &Page) -> String {
    match page.records.first() {
        Some(Record::Triplet { entry, .. }) => {
            format!("Removed from {}list", List::of(entry.standing).word())
        }
        Some(Record::Client { .. }) | None => "error: Not found".into(),
    }
}

/// What to remove so that these lists are empty; everything, where none is named.
fn selections(lists: &[List]) -> VecDeque<Query> {
    if lists.is_empty() {
        let clients = Query {
            clients: true,
            ..Query::default()
        };
        return [Query::default(), clients].into();
    }
    let of = |standing: &Standing| Query {
        standing: Some(*standing),
        ..Query::default()
    };
    lists
        .iter()
        .flat_map(|list| list.standings().iter().map(of))
        .collect()
}

impl Conversation for GreylistdConversation {
    const FRONTEND: &'static str = "greylistd";

    fn feed(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Reading) {
            return;
        }
        let mut ended = false;
        for byte in bytes {
            ended = self.message.len() == MESSAGE_MAX || *byte == b'\n' && self.has_words();
            if ended {
                break;
            }
            self.message.push(*byte);
        }
        if ended || self.message.len() == MESSAGE_MAX {
            self.complete();
        }
    }

    fn finish(&mut self) {
        if matches!(self.state, State::Reading) {
            self.complete();
        }
    }

    fn step(&mut self) -> Result<Step, ProtocolError> {
        Ok(match std::mem::replace(&mut self.state, State::Closing) {
            State::Reading => {
                self.state = State::Reading;
                Step::Read
            }
            State::Asking(request, errand) => {
                self.ticket = self.ticket.next();
                self.state = State::Asked(errand);
                Step::Ask(self.ticket, request)
            }
            State::Asked(errand) => {
                self.state = State::Asked(errand);
                Step::Wait
            }
            State::Closing => Step::Close,
        })
    }

    fn answer(&mut self, ticket: Ticket, answer: &Answer) {
        if ticket != self.ticket {
            return;
        }
        self.state = match std::mem::replace(&mut self.state, State::Closing) {
            State::Asked(errand) => self.say(errand, answer),
            other => other,
        };
    }

    fn is_midway(&self) -> bool {
        matches!(self.state, State::Reading) && !self.message.is_empty()
    }

    fn quiet_ms(&self) -> Option<u32> {
        self.is_midway().then_some(QUIET_MS)
    }

    fn quiet(&mut self) {
        if self.is_midway() {
            self.complete();
        }
    }

    fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    fn notice(&mut self) -> Option<Notice> {
        None
    }
}

impl GreylistdConversation {
    /// Whether anything but blanks has come.
    fn has_words(&self) -> bool {
        !self.message.iter().all(u8::is_ascii_whitespace)
    }
}

#[cfg(test)]
mod tests {
    use greylatch_core::Field;

    use super::*;

    #[test]
    fn a_message_ends_at_a_line_end_or_when_it_is_as_long_as_greylistd_reads() {
        let mut conversation = GreylistdConversation::new();
        conversation.feed(b"\n \n");
        assert_eq!(conversation.step(), Ok(Step::Read));
        conversation.feed(b"add --pink x\nsave");
        assert_eq!(conversation.step(), Ok(Step::Close));
        assert_eq!(conversation.output(), b"error: No such list: 'pink'");

        let mut conversation = GreylistdConversation::new();
        conversation.feed(&[b'x'; MESSAGE_MAX - 1]);
        assert_eq!(conversation.step(), Ok(Step::Read));
        conversation.feed(b"yz");
        let Ok(Step::Ask(_, Request::Judge(attempt))) = conversation.step() else {
            panic!("a question");
        };
        assert_eq!(attempt.text(Field::Words).len(), MESSAGE_MAX);
    }

    #[test]
    fn silence_ends_what_has_begun_alone() {
        let mut conversation = GreylistdConversation::new();
        assert_eq!(conversation.quiet_ms(), None);
        conversation.quiet();
        assert_eq!(conversation.step(), Ok(Step::Read));
        conversation.feed(b"save");
        assert_eq!(conversation.quiet_ms(), Some(QUIET_MS));
        conversation.quiet();
        assert_eq!(conversation.step(), Ok(Step::Close));
        assert_eq!(conversation.output(), b"greylistd data has been saved");
        assert_eq!(conversation.quiet_ms(), None);
    }

    #[test]
    fn what_cannot_be_judged_passes_and_what_cannot_be_done_is_told() {
        for (message, said) in [
            ("x y", "white"),
            ("--grey x y", "false"),
            ("check x y", "white"),
            ("add x y", "error: no store"),
            ("delete x y", "error: no store"),
            ("status x y", "error: no store"),
            ("list", "error: no store"),
            ("stats", "error: no store"),
            ("clear", "error: no store"),
        ] {
            let mut conversation = GreylistdConversation::new();
            conversation.feed(message.as_bytes());
            conversation.quiet();
            let Ok(Step::Ask(ticket, _)) = conversation.step() else {
                panic!("a question for {message}");
            };
            conversation.answer(ticket, &Answer::Failed("no store".into()));
            assert_eq!(conversation.step(), Ok(Step::Close));
            let heard = String::from_utf8_lossy(conversation.output()).into_owned();
            assert_eq!(heard, said, "{message}");
        }
    }
}
