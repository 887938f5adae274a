//! From messages of a log to what they tell: who wrote one is known by the program's name, or where
//! there is none by how it begins; then its dialect reads it.

use greylatch_core::Timestamp;
use memchr::{memchr2_iter, memmem};

use crate::dialect::postfix::Service;
use crate::dialect::{exim, fields, milter_greylist, postfix, postgrey, sendmail};
use crate::former::{Former, Recent};
use crate::intake::{Message, Messages};
use crate::queue::Queue;
use crate::sighting::{Sighting, behind_id};
use crate::sightings::Sightings;

/// Who writes a message that may tell something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// A greylister whose lines are decisions: Postgrey, or ours under its own name.
    Decisions,
    MilterGreylist,
    Postfix(Service),
    Sendmail,
    Exim,
}

impl Writer {
    /// Who writes a message of this program; `None` when it cannot tell anything.
    pub(crate) fn of(program: &[u8], message: &[u8]) -> Option<Self> {
        let rest = behind_id(message).map(|(_, rest)| rest);
        if is_decision(message, rest) {
            return Some(Self::Decisions);
        }
        if program.is_empty() {
            return if memmem::find(message, b"ACL ").is_some()
                || message.starts_with(b"(unknown id)")
            {
                Some(Self::MilterGreylist)
            } else {
                is_of_exim(message).then_some(Self::Exim)
            };
        }
        let folder = program.iter().rposition(|byte| *byte == b'/');
        let name = &program[folder.map_or(0, |slash| slash + 1)..];
        if folder.is_some()
            && let Some(service) = Service::of(name)
        {
            let may_tell = rest.is_some_and(|rest| service.may_tell(rest));
            return may_tell.then_some(Self::Postfix(service));
        }
        match name {
            b"milter-greylist" => Some(Self::MilterGreylist),
            b"sendmail" | b"sm-mta" => Some(Self::Sendmail),
            b"exim" | b"exim4" => Some(Self::Exim),
            _ => None,
        }
    }
}

/// Whether a message, or what stands behind its queue id, begins as a decision line of Postgrey or ours does.
fn is_decision(message: &[u8], behind_id: Option<&[u8]>) -> bool {
    match message.first() {
        Some(b'{') => memmem::find(message, b"\"verdict\":").is_some(),
        Some(b'v') if message.starts_with(b"verdict=") => true,
        Some(b'a') if message.starts_with(b"action=") => true,
        Some(byte) if byte.is_ascii_alphanumeric() => {
            behind_id.is_some_and(|rest| rest.starts_with(b"action="))
        }
        _ => false,
    }
}

fn is_of_exim(message: &[u8]) -> bool {
    memmem::find(message, b" temporarily rejected RCPT ").is_some()
        || [
            &b" <= "[..],
            b" => ",
            b" -> ",
            b" ** ",
            b" == ",
            b" Completed",
        ]
        .iter()
        .any(|sign| memmem::find(&message[..message.len().min(48)], sign).is_some())
}

/// Reads messages, and remembers what is said of one message in several lines.
pub struct Reader {
    /// What a reply of a greylister has in it, in lower case.
    words: Vec<u8>,
    queue: Queue,
    read: Read,
    told: u64,
    not_understood: u64,
}

/// What has been read and not given.
struct Read {
    former: Former,
    recent: Recent,
    sightings: Sightings,
}

impl Reader {
    pub(crate) fn new(words: &str, former: Former) -> Self {
        Self {
            words: words.as_bytes().to_ascii_lowercase(),
            queue: Queue::default(),
            read: Read {
                former,
                recent: Recent::default(),
                sightings: Sightings::default(),
            },
            told: 0,
            not_understood: 0,
        }
    }

    /// How many lines have told something.
    #[must_use]
    pub(crate) fn told(&self) -> u64 {
        self.told
    }

    /// How many lines begin as decisions do, and cannot be understood.
    #[must_use]
    pub(crate) fn not_understood(&self) -> u64 {
        self.not_understood
    }

    /// Takes the next message of a log; false when it holds none. When there is so much of what was read
    /// that it should be taken, `full` does so.
    pub fn read(&mut self, log: &mut Messages, full: &mut dyn FnMut(&mut Sightings)) -> bool {
        let Some(message) = log.take() else {
            return false;
        };
        let tells = match message.writer {
            Writer::Decisions => self.decision(&message, full),
            Writer::MilterGreylist => {
                let sighting = milter_greylist::read(message.text);
                self.read.add_told(sighting, message.at, full)
            }
            Writer::Postfix(_) | Writer::Sendmail | Writer::Exim => self.mail(&message, full),
        };
        self.told += u64::from(tells);
        true
    }

    /// What has been read since `full` was last called.
    pub fn rest(&mut self) -> Sightings {
        std::mem::take(&mut self.read.sightings)
    }

    fn decision(&mut self, message: &Message<'_>, full: &mut dyn FnMut(&mut Sightings)) -> bool {
        let sighting = fields::read(message.text).or_else(|| postgrey::read(message.text));
        self.not_understood += u64::from(sighting.is_none());
        self.read.add_told(sighting, message.at, full)
    }

    fn mail(&mut self, message: &Message<'_>, full: &mut dyn FnMut(&mut Sightings)) -> bool {
        let words = &self.words;
        let is_greylisting = |text: &[u8]| has_words(text, words);
        let (host, at) = (message.host, message.at);
        let (queue, read) = (&mut self.queue, &mut self.read);
        let mut give = |line| {
            queue.read(host, at, line, &mut |at, sighting| {
                read.add(at, &sighting, full);
            });
        };
        let line = match message.writer {
            Writer::Postfix(service) => postfix::read(service, message.text, is_greylisting),
            Writer::Exim => exim::read(exim_message(message.text), is_greylisting),
            _ => return sendmail::read(message.text, is_greylisting, give).is_some(),
        };
        let tells = line.is_some();
        line.into_iter().for_each(&mut give);
        tells
    }
}

impl Read {
    fn add(
        &mut self,
        at: Timestamp,
        sighting: &Sighting<'_>,
        full: &mut dyn FnMut(&mut Sightings),
    ) {
        let target = self.recent.target(&self.former, &sighting.subject);
        self.sightings.push(at, sighting, target);
        if self.sightings.are_full() {
            full(&mut self.sightings);
        }
    }

    /// Adds what a message tells, and gives whether it tells anything.
    fn add_told(
        &mut self,
        sighting: Option<Sighting<'_>>,
        at: Timestamp,
        full: &mut dyn FnMut(&mut Sightings),
    ) -> bool {
        if let Some(sighting) = &sighting {
            self.add(at, sighting, full);
        }
        sighting.is_some()
    }
}

/// Whether a reply has words in it, in whatever case.
fn has_words(text: &[u8], words: &[u8]) -> bool {
    let Some(first) = words.first() else {
        return true;
    };
    memchr2_iter(*first, first.to_ascii_uppercase(), text).any(|at| {
        let word = text[at..].get(..words.len());
        word.is_some_and(|word| word.eq_ignore_ascii_case(words))
    })
}

/// A message of Exim without what its log selectors and syslog put before it: a time, `[PID] `.
///
/// Source: the Exim specification, "Log files" (`log_selector = +pid`, `syslog_timestamp`).
fn exim_message(text: &[u8]) -> &[u8] {
    const STAMP: usize = "2026-11-24 12:00:00 ".len();
    let has_stamp =
        text.len() > STAMP && text[4] == b'-' && text[13] == b':' && text[0].is_ascii_digit();
    let text = if has_stamp { &text[STAMP..] } else { text };
    let Some(number) = text.strip_prefix(b"[") else {
        return text;
    };
    let digits = number.iter().take_while(|byte| byte.is_ascii_digit());
    number[digits.count()..].strip_prefix(b"] ").unwrap_or(text)
}
