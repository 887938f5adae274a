//! One log as its blocks come in: cut into messages, of which those that may tell something are held
//! until they are taken. So several logs can be read side by side in the order of their times.

use std::collections::VecDeque;
use std::ops::Range;

use greylatch_core::Timestamp;

use crate::entry::Entry;
use crate::journal::{FIRST, Journal};
use crate::lines::Lines;
use crate::reader::Writer;
use crate::stamp::Stamps;

/// One log. It holds what came with the last block, so it should be fed when it holds nothing.
pub struct Intake {
    stamps: Stamps,
    form: Form,
    held: Held,
}

enum Form {
    /// Not enough has come to know.
    Unknown(Vec<u8>),
    Lines(Box<Lines>, u64),
    Journal(Box<Journal>),
}

#[derive(Default)]
struct Held {
    text: Vec<u8>,
    messages: VecDeque<HeldMessage>,
    without_time: u64,
    latest: Option<Timestamp>,
    back_s: i64,
}

struct HeldMessage {
    at: Timestamp,
    writer: Writer,
    host: Range<usize>,
    message: Range<usize>,
}

/// A message that may tell something.
pub(crate) struct Message<'a> {
    pub(crate) at: Timestamp,
    pub(crate) writer: Writer,
    pub(crate) host: &'a [u8],
    pub(crate) text: &'a [u8],
}

/// What became of the lines of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntakeCounts {
    /// Lines, or entries of a journal.
    pub lines: u64,
    /// Longer than [`crate::LINE_MAX`], and left out.
    pub too_long: u64,
    /// Would tell something, but not when.
    pub without_time: u64,
    /// By how many seconds a time was before one that stood earlier, at most.
    pub back_s: i64,
}

impl Intake {
    /// A log whose times are understood by `stamps`.
    #[must_use]
    pub fn new(stamps: Stamps) -> Self {
        Self {
            stamps,
            form: Form::Unknown(Vec::new()),
            held: Held::default(),
        }
    }

    /// Takes the next block.
    pub fn feed(&mut self, block: &[u8]) {
        if let Form::Unknown(begun) = &mut self.form {
            begun.extend_from_slice(block);
            if begun.len() < FIRST.len() {
                return;
            }
            let begun = std::mem::take(begun);
            self.form = Form::of(&begun);
            self.cut(&begun);
        } else {
            self.cut(block);
        }
    }

    /// Takes what has no end.
    pub fn finish(&mut self) {
        if let Form::Unknown(begun) = &mut self.form {
            let begun = std::mem::take(begun);
            self.form = Form::of(&begun);
            self.cut(&begun);
        }
        let (held, stamps) = (&mut self.held, &mut self.stamps);
        match &mut self.form {
            Form::Unknown(_) => {}
            Form::Lines(lines, count) => lines.finish(|line| {
                *count += 1;
                held.keep(Entry::of_line(line, stamps));
            }),
            Form::Journal(journal) => journal.finish(|entry| held.keep(entry)),
        }
    }

    /// When the message was written that is taken next, if one is held.
    #[must_use]
    pub fn next_at(&self) -> Option<Timestamp> {
        self.held.messages.front().map(|message| message.at)
    }

    /// What became of its lines.
    #[must_use]
    pub fn counts(&self) -> IntakeCounts {
        let (lines, too_long) = match &self.form {
            Form::Unknown(_) => (0, 0),
            Form::Lines(lines, count) => (count + lines.too_long(), lines.too_long()),
            Form::Journal(journal) => (journal.entries(), journal.too_long()),
        };
        IntakeCounts {
            lines,
            too_long,
            without_time: self.held.without_time,
            back_s: self.held.back_s,
        }
    }

    /// Takes the next message.
    pub(crate) fn take(&mut self) -> Option<Message<'_>> {
        let held = &mut self.held;
        let message = held.messages.pop_front()?;
        Some(Message {
            at: message.at,
            writer: message.writer,
            host: &held.text[message.host],
            text: &held.text[message.message],
        })
    }

    fn cut(&mut self, block: &[u8]) {
        let (held, stamps) = (&mut self.held, &mut self.stamps);
        if held.messages.is_empty() {
            held.text.clear();
        }
        match &mut self.form {
            Form::Unknown(_) => {}
            Form::Lines(lines, count) => lines.feed(block, |line| {
                *count += 1;
                held.keep(Entry::of_line(line, stamps));
            }),
            Form::Journal(journal) => journal.feed(block, |entry| held.keep(entry)),
        }
    }
}

impl Form {
    fn of(begun: &[u8]) -> Self {
        if begun.starts_with(FIRST) {
            return Self::Journal(Box::default());
        }
        Self::Lines(Box::new(Lines::all()), 0)
    }
}

impl Held {
    fn keep(&mut self, entry: Entry<'_>) {
        let Some(writer) = Writer::of(entry.program, entry.message) else {
            return;
        };
        let Some(at) = entry.at else {
            self.without_time += 1;
            return;
        };
        match self.latest {
            Some(latest) if at < latest => self.back_s = self.back_s.max(latest.since(at).0),
            _ => self.latest = Some(at),
        }
        let host = self.push(entry.host);
        let message = self.push(entry.message);
        self.messages.push_back(HeldMessage {
            at,
            writer,
            host,
            message,
        });
    }

    fn push(&mut self, text: &[u8]) -> Range<usize> {
        let start = self.text.len();
        self.text.extend_from_slice(text);
        start..self.text.len()
    }
}
