//! The export format of systemd's journal, cut into its entries as blocks of it come in.
//!
//! Source: systemd.io "Journal Export Formats": fields are `NAME=VALUE` lines, or `NAME`, a line feed, 64
//! bits little endian with the length, the value and a line feed; an entry ends with an empty line.

pub(crate) mod json;

use greylatch_core::Timestamp;

use crate::entry::Entry;
use crate::lines::LINE_MAX;

/// What such a file begins with.
pub(crate) const FIRST: &[u8] = b"__CURSOR=";

/// The entries of a journal. A field longer than [`LINE_MAX`] is left out and counted.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// What has come of the present line, number or value.
    begun: Vec<u8>,
    state: State,
    fields: Fields,
    too_long: u64,
    entries: u64,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Line,
    /// The rest of a line that is too long.
    LongLine,
    /// The name of a field whose length comes.
    Length(Vec<u8>),
    /// The name of a field, and how many bytes of it and of its line feed are to come.
    Value { name: Vec<u8>, left: u64 },
    /// The rest of a value that is too long.
    LongValue(u64),
}

#[derive(Debug, Default)]
struct Fields {
    at: Option<Timestamp>,
    host: Vec<u8>,
    program: Vec<u8>,
    message: Option<Vec<u8>>,
}

impl Journal {
    /// Gives each entry that ends in `block`.
    pub(crate) fn feed(&mut self, mut block: &[u8], mut each: impl FnMut(Entry<'_>)) {
        while !block.is_empty() {
            block = self.take(block, &mut each);
        }
    }

    /// Gives the last entry, if it has no empty line behind it.
    pub(crate) fn finish(&mut self, mut each: impl FnMut(Entry<'_>)) {
        if matches!(self.state, State::Line) && !self.begun.is_empty() {
            self.feed(b"\n", &mut each);
        }
        self.end_entry(&mut each);
    }

    pub(crate) fn too_long(&self) -> u64 {
        self.too_long
    }

    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// Takes what belongs together from the beginning of a block, and gives the rest.
    fn take<'a>(&mut self, block: &'a [u8], each: &mut impl FnMut(Entry<'_>)) -> &'a [u8] {
        match std::mem::take(&mut self.state) {
            State::Line => self.line(block, each),
            State::LongLine => match memchr::memchr(b'\n', block) {
                Some(end) => &block[end + 1..],
                None => {
                    self.state = State::LongLine;
                    &[]
                }
            },
            State::Length(name) => {
                let wanted = 8 - self.begun.len();
                let (part, rest) = block.split_at(wanted.min(block.len()));
                self.begun.extend_from_slice(part);
                self.state = match <[u8; 8]>::try_from(self.begun.as_slice()) {
                    Ok(length) => {
                        self.begun.clear();
                        self.value(name, u64::from_le_bytes(length))
                    }
                    Err(_) => State::Length(name),
                };
                rest
            }
            State::Value { name, left } => {
                let (part, rest) = split(block, left);
                self.begun.extend_from_slice(part);
                let left = left - part.len() as u64;
                if left > 0 {
                    self.state = State::Value { name, left };
                } else {
                    let mut value = std::mem::take(&mut self.begun);
                    value.pop();
                    self.fields.set(&name, &value);
                }
                rest
            }
            State::LongValue(left) => {
                let (part, rest) = split(block, left);
                let left = left - part.len() as u64;
                if left > 0 {
                    self.state = State::LongValue(left);
                }
                rest
            }
        }
    }

    fn value(&mut self, name: Vec<u8>, length: u64) -> State {
        let left = length.saturating_add(1);
        if length > LINE_MAX as u64 {
            self.too_long += 1;
            return State::LongValue(left);
        }
        State::Value { name, left }
    }

    fn line<'a>(&mut self, block: &'a [u8], each: &mut impl FnMut(Entry<'_>)) -> &'a [u8] {
        let end = memchr::memchr(b'\n', block);
        let part = &block[..end.unwrap_or(block.len())];
        if self.begun.len() + part.len() > LINE_MAX {
            self.begun.clear();
            self.too_long += 1;
            if end.is_none() {
                self.state = State::LongLine;
            }
        } else {
            self.begun.extend_from_slice(part);
            if end.is_some() {
                self.end_line(each);
            }
        }
        end.map_or(&[], |end| &block[end + 1..])
    }

    fn end_line(&mut self, each: &mut impl FnMut(Entry<'_>)) {
        let line = std::mem::take(&mut self.begun);
        if line.is_empty() {
            self.end_entry(each);
        } else if let Some(equals) = memchr::memchr(b'=', &line) {
            self.fields.set(&line[..equals], &line[equals + 1..]);
        } else {
            self.state = State::Length(line);
            return;
        }
        self.begun = line;
        self.begun.clear();
    }

    fn end_entry(&mut self, each: &mut impl FnMut(Entry<'_>)) {
        let fields = std::mem::take(&mut self.fields);
        if let Some(message) = &fields.message {
            self.entries += 1;
            each(Entry {
                at: fields.at,
                host: &fields.host,
                program: &fields.program,
                message,
            });
        }
    }
}

/// A time in microseconds since 1970.
fn time(text: &[u8]) -> Option<Timestamp> {
    let microseconds: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(Timestamp(microseconds.div_euclid(1_000_000)))
}

/// The beginning of a block, at most so many bytes, and the rest.
fn split(block: &[u8], left: u64) -> (&[u8], &[u8]) {
    let length = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
    block.split_at(length)
}

impl Fields {
    fn set(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"__REALTIME_TIMESTAMP" => self.at = time(value),
            b"_HOSTNAME" => self.host = value.to_vec(),
            b"SYSLOG_IDENTIFIER" => self.program = value.to_vec(),
            b"MESSAGE" => self.message = Some(value.to_vec()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> Vec<u8> {
        let binary = b"action=pass\n\xff";
        let length = (binary.len() as u64).to_le_bytes();
        let long = vec![b'x'; LINE_MAX + 1];
        let long_length = (long.len() as u64).to_le_bytes();
        [
            &b"__CURSOR=s=1\n__REALTIME_TIMESTAMP=1795521600123456\n_HOSTNAME=mail\n"[..],
            b"SYSLOG_IDENTIFIER=postgrey\nMESSAGE=a=b\n\n",
            b"__CURSOR=s=2\n__REALTIME_TIMESTAMP=1795521601000000\nMESSAGE\n",
            &length,
            binary,
            b"\nOTHER\n",
            &long_length,
            &long,
            b"\nX=",
            &long,
            b"\nSYSLOG_IDENTIFIER=y\n\n",
            b"__CURSOR=s=3\nOTHER=z\n\nMESSAGE=last",
        ]
        .concat()
    }

    #[test]
    fn blocks_of_any_size_give_the_same_entries() {
        let journal = journal();
        for size in [1, 2, 7, 100, LINE_MAX, journal.len()] {
            let mut told = Vec::new();
            let mut each = |entry: Entry<'_>| {
                told.push((
                    entry.at.map(|at| at.0),
                    entry.program.to_vec(),
                    entry.message.to_vec(),
                ));
            };
            let mut reading = Journal::default();
            for block in journal.chunks(size) {
                reading.feed(block, &mut each);
            }
            reading.finish(&mut each);
            let expected = [
                (Some(1_795_521_600), b"postgrey".to_vec(), b"a=b".to_vec()),
                (
                    Some(1_795_521_601),
                    b"y".to_vec(),
                    b"action=pass\n\xff".to_vec(),
                ),
                (None, Vec::new(), b"last".to_vec()),
            ];
            assert_eq!(told, expected, "{size}");
            assert_eq!((reading.too_long(), reading.entries()), (2, 3), "{size}");
        }
    }
}
