//! Questions that wait for answers, and how an answer is said.

use std::collections::HashMap;

use greylatch_core::{Answer, Reply, Verdict};

use super::message::{Question, Version};
use super::session::RECIPIENTS_MAX;
use crate::conversation::Ticket;
use crate::reply::{Class, ReplyParts};

/// Attempts that are asked about at once; no more is read while there might be no room for those of one
/// more question.
const OPEN_MAX: usize = 4_096;

/// The longest text of a reply, in bytes: with code, status and line end it fits into a line of RFC 5321
/// §4.5.3.1.5.
const TEXT_MAX: usize = 480;

/// Whose answer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    session: u64,
    token: u64,
    session_first: bool,
}

impl Address {
    pub(super) fn of(question: &Question) -> Self {
        let version = question.version;
        Self {
            session: question.session,
            token: question.token,
            session_first: version.is_none_or(|version| version >= Version::SESSION_FIRST),
        }
    }

    /// Adds the answer that lets the session go on.
    pub(super) fn proceed(self, out: &mut Vec<u8>) {
        self.say(out, |out| out.extend_from_slice(b"proceed"));
    }

    fn reject(self, class: Class, reply: &Reply, out: &mut Vec<u8>) {
        self.say(out, |out| {
            out.extend_from_slice(b"reject|");
            let parts = ReplyParts::of(class, reply, TEXT_MAX).keeping_the_session();
            parts.push_status(b' ', out);
            out.extend_from_slice(parts.text());
        });
    }

    fn say(self, out: &mut Vec<u8>, result: impl FnOnce(&mut Vec<u8>)) {
        let (first, second) = match self.session_first {
            true => (self.session, self.token),
            false => (self.token, self.session),
        };
        out.extend_from_slice(format!("filter-result|{first:016x}|{second:016x}|").as_bytes());
        result(out);
        out.push(b'\n');
    }
}

/// All questions that wait.
#[derive(Debug, Default)]
pub(super) struct Questions {
    open: HashMap<u64, Open>,
    /// The question that an attempt was asked for.
    of_ticket: HashMap<Ticket, u64>,
    last_ticket: Ticket,
    /// How many have been opened so far.
    opened: u64,
}

/// One of them.
#[derive(Debug)]
struct Open {
    address: Address,
    /// Answers that have not come.
    outstanding: usize,
    deferred: Option<Reply>,
    refused: Option<Reply>,
    passed: bool,
}

impl Questions {
    /// Whether answers must come before there is room for another question.
    pub(super) fn are_full(&self) -> bool {
        self.of_ticket.len() + RECIPIENTS_MAX > OPEN_MAX
    }

    /// Opens a question about so many attempts; `None` when there are none.
    pub(super) fn open(&mut self, address: Address, attempts: usize) -> Option<Vec<Ticket>> {
        if attempts == 0 {
            return None;
        }
        self.opened += 1;
        let question = Open {
            address,
            outstanding: attempts,
            deferred: None,
            refused: None,
            passed: false,
        };
        self.open.insert(self.opened, question);
        let mut tickets = Vec::with_capacity(attempts);
        for _ in 0..attempts {
            self.last_ticket = self.last_ticket.next();
            self.of_ticket.insert(self.last_ticket, self.opened);
            tickets.push(self.last_ticket);
        }
        Some(tickets)
    }

    /// Takes an answer, and adds what is said to smtpd when it was the last one.
    pub(super) fn answer(&mut self, ticket: Ticket, answer: &Answer, out: &mut Vec<u8>) {
        let Some(number) = self.of_ticket.remove(&ticket) else {
            return;
        };
        let Some(question) = self.open.get_mut(&number) else {
            return;
        };
        question.hear(answer);
        if question.outstanding == 0 {
            question.say(out);
            self.open.remove(&number);
        }
    }

    pub(super) fn are_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Lets all of them proceed.
    pub(super) fn give_up(&mut self, out: &mut Vec<u8>) {
        for (_, question) in self.open.drain() {
            question.address.proceed(out);
        }
        self.of_ticket.clear();
    }
}

impl Open {
    fn hear(&mut self, answer: &Answer) {
        self.outstanding -= 1;
        match answer {
            Answer::Verdict(Verdict::Defer(reply)) => {
                self.deferred.get_or_insert_with(|| reply.clone());
            }
            Answer::Verdict(Verdict::Refuse(reply)) => {
                self.refused.get_or_insert_with(|| reply.clone());
            }
            // What cannot be judged passes.
            _ => self.passed = true,
        }
    }

    /// One recipient that is deferred defers all, since all come again. What is refused is not coming
    /// again, so that only what is refused to all is.
    fn say(&self, out: &mut Vec<u8>) {
        match (&self.deferred, &self.refused) {
            (Some(reply), _) => self.address.reject(Class::Defer, reply, out),
            (None, Some(reply)) if !self.passed => self.address.reject(Class::Refuse, reply, out),
            _ => self.address.proceed(out),
        }
    }
}
