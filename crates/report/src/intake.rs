//! One log as its blocks come in: cut into messages, of which those that may tell something are kept
//! until they are taken. So several logs can be read side by side in the order of their times, and each
//! on a thread of its own.

use std::collections::VecDeque;
use std::ops::Range;

use greylatch_core::Timestamp;

use crate::entry::Entry;
use crate::journal::json::JsonEntry;
use crate::journal::{FIRST, Journal};
use crate::lines::Lines;
use crate::reader::Writer;
use crate::stamp::Stamps;

/// One log.
pub struct Intake {
    stamps: Stamps,
    form: Form,
    order: Order,
}

enum Form {
    /// Not enough has come to know.
    Unknown(Vec<u8>),
    Lines(Box<Lines>, u64),
    Journal(Box<Journal>),
}

/// What is known of the times of a log.
#[derive(Default)]
struct Order {
    without_time: u64,
    latest: Option<Timestamp>,
    back_s: i64,
}

/// Messages of a log that may tell something, in the order of its lines, until they are taken. What came
/// with one block is held, so it should be empty when the next is fed.
#[derive(Default)]
pub struct Messages {
    text: Vec<u8>,
    messages: VecDeque<HeldMessage>,
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
            order: Order::default(),
        }
    }

    /// Takes the next block, and gives what it tells to `messages`.
    pub fn feed(&mut self, block: &[u8], messages: &mut Messages) {
        if let Form::Unknown(begun) = &mut self.form {
            begun.extend_from_slice(block);
            if begun.len() < FIRST.len() {
                return;
            }
            let begun = std::mem::take(begun);
            self.form = Form::of(&begun);
            self.cut(&begun, messages);
        } else {
            self.cut(block, messages);
        }
    }

    /// Takes what has no end.
    pub fn finish(&mut self, messages: &mut Messages) {
        if let Form::Unknown(begun) = &mut self.form {
            let begun = std::mem::take(begun);
            self.form = Form::of(&begun);
            self.cut(&begun, messages);
        }
        let (order, stamps) = (&mut self.order, &mut self.stamps);
        match &mut self.form {
            Form::Unknown(_) => {}
            Form::Lines(lines, count) => lines.finish(|line| {
                *count += 1;
                messages.keep_line(line, stamps, order);
            }),
            Form::Journal(journal) => journal.finish(|entry| messages.keep(entry, order)),
        }
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
            without_time: self.order.without_time,
            back_s: self.order.back_s,
        }
    }

    fn cut(&mut self, block: &[u8], messages: &mut Messages) {
        let (order, stamps) = (&mut self.order, &mut self.stamps);
        if messages.messages.is_empty() {
            messages.text.clear();
        }
        match &mut self.form {
            Form::Unknown(_) => {}
            Form::Lines(lines, count) => lines.feed(block, |line| {
                *count += 1;
                messages.keep_line(line, stamps, order);
            }),
            Form::Journal(journal) => journal.feed(block, |entry| messages.keep(entry, order)),
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

impl Order {
    fn note(&mut self, at: Timestamp) {
        match self.latest {
            Some(latest) if at < latest => self.back_s = self.back_s.max(latest.since(at).0),
            _ => self.latest = Some(at),
        }
    }
}

impl Messages {
    /// When the message was written that is taken next, if there is one.
    #[must_use]
    pub fn next_at(&self) -> Option<Timestamp> {
        self.messages.front().map(|message| message.at)
    }

    /// Takes the next message.
    pub(crate) fn take(&mut self) -> Option<Message<'_>> {
        let message = self.messages.pop_front()?;
        Some(Message {
            at: message.at,
            writer: message.writer,
            host: &self.text[message.host],
            text: &self.text[message.message],
        })
    }

    fn keep_line(&mut self, line: &[u8], stamps: &mut Stamps, order: &mut Order) {
        if line.first() == Some(&b'{')
            && let Some(json) = JsonEntry::read(line)
        {
            self.keep(json.entry(), order);
        } else {
            self.keep(Entry::of_line(line, stamps), order);
        }
    }

    fn keep(&mut self, entry: Entry<'_>, order: &mut Order) {
        let Some(writer) = Writer::of(entry.program, entry.message) else {
            return;
        };
        let Some(at) = entry.at else {
            order.without_time += 1;
            return;
        };
        order.note(at);
        let host = self.host(entry.host);
        let message = self.push(entry.message);
        self.messages.push_back(HeldMessage {
            at,
            writer,
            host,
            message,
        });
    }

    /// Most messages of a log are of one host.
    fn host(&mut self, host: &[u8]) -> Range<usize> {
        match self.messages.back() {
            Some(last) if self.text[last.host.clone()] == *host => last.host.clone(),
            _ => self.push(host),
        }
    }

    fn push(&mut self, text: &[u8]) -> Range<usize> {
        let start = self.text.len();
        self.text.extend_from_slice(text);
        start..self.text.len()
    }
}
