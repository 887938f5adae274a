//! Rows from text. A line that is none is told with its number, and reading goes on behind it; of
//! the file no more than one line is held.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::IpAddr;
use std::path::Path;

use greylatch_core::{AddressDialect, Seconds, Timestamp};
use thiserror::Error;

use super::{DumpRow, RowKind};
use crate::error::ExchangeError;

/// The rows of a file in its order. An `Err` is a line that was skipped.
#[derive(Debug)]
pub struct DumpRows<R = BufReader<File>> {
    reader: R,
    line: Vec<u8>,
    number: u64,
    counts: DumpCounts,
    ended: bool,
}

impl DumpRows {
    /// Opens the file at `path`.
    ///
    /// # Errors
    ///
    /// [`ExchangeError::Io`] if it cannot be opened; also when it is not there, which is how every
    /// milter-greylist begins.
    pub fn open(path: &Path) -> Result<Self, ExchangeError> {
        let file = File::open(path).map_err(|source| ExchangeError::Io {
            path: path.to_path_buf(),
            source,
        })?;
        Ok(Self::from_reader(BufReader::new(file)))
    }
}

impl<R: BufRead> DumpRows<R> {
    /// Takes an open file, or its bytes.
    pub fn from_reader(reader: R) -> Self {
        Self {
            reader,
            line: Vec::new(),
            number: 0,
            counts: DumpCounts::default(),
            ended: false,
        }
    }

    /// What has been given and skipped so far.
    pub fn counts(&self) -> DumpCounts {
        self.counts
    }

    /// Reads the next line without its end; `None` at the end of the file.
    fn next_line(&mut self) -> Option<Result<(), DumpFaultKind>> {
        self.line.clear();
        let (mut length, mut began) = (0_usize, false);
        loop {
            let bytes = match self.reader.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(DumpFaultKind::Unreadable(error.kind())));
                }
            };
            if bytes.is_empty() {
                self.ended = true;
                return began.then(|| line_length(length));
            }
            began = true;
            let end = bytes.iter().position(|&byte| byte == b'\n');
            let piece = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
            let room = LINE_MAX.saturating_sub(self.line.len()).min(piece.len());
            self.line
                .extend_from_slice(piece.get(..room).unwrap_or_default());
            length = length.saturating_add(piece.len());
            let taken = piece.len() + usize::from(end.is_some());
            self.reader.consume(taken);
            if end.is_some() {
                return Some(line_length(length));
            }
        }
    }
}

fn line_length(length: usize) -> Result<(), DumpFaultKind> {
    if length > LINE_MAX {
        return Err(DumpFaultKind::TooLong);
    }
    Ok(())
}

/// The longest line, in bytes: two addresses of the original's longest (324 bytes) and more.
const LINE_MAX: usize = 4096;

impl<R: BufRead> Iterator for DumpRows<R> {
    type Item = Result<DumpRow, DumpFault>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let read = self.next_line()?;
            self.number = self.number.saturating_add(1);
            let row = match read.map(|()| row(&self.line)) {
                Ok(None) => continue,
                Ok(Some(row)) => row,
                Err(kind) => Err(kind),
            };
            self.counts.count(&row);
            return Some(row.map_err(|kind| DumpFault {
                line: self.number,
                kind,
            }));
        }
        None
    }
}

/// What has been read so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DumpCounts {
    /// Rows that wait.
    pub pending: u64,
    /// Rows that have passed.
    pub auto: u64,
    /// Rows of tarpits.
    pub tarpit: u64,
    /// Lines that were skipped.
    pub skipped: u64,
}

impl DumpCounts {
    fn count<E>(&mut self, row: &Result<DumpRow, E>) {
        let counter = match row.as_ref().map(|row| row.kind) {
            Ok(RowKind::Pending) => &mut self.pending,
            Ok(RowKind::Auto) => &mut self.auto,
            Ok(RowKind::Tarpit { .. }) => &mut self.tarpit,
            Err(_) => &mut self.skipped,
        };
        *counter += 1;
    }
}

/// A line that gave no row. Reading goes on behind it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {kind}")]
pub struct DumpFault {
    /// The line, counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub kind: DumpFaultKind,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DumpFaultKind {
    /// The system could not read it; nothing behind it is read either.
    #[error("the file cannot be read ({0})")]
    Unreadable(io::ErrorKind),
    /// It is longer than any row.
    #[error("the line is longer than {LINE_MAX} bytes")]
    TooLong,
    /// It has less than the four columns.
    #[error("{0} columns, a row has address, sender, recipient and time")]
    Columns(usize),
    /// The first column is no IPv4 or IPv6 address.
    #[error("`{}` is no address", .0.escape_ascii())]
    Address(Vec<u8>),
    /// The time is no number, or larger than any time.
    #[error("`{}` is no time in seconds", .0.escape_ascii())]
    Time(Vec<u8>),
    /// Behind the time is what no version writes there.
    #[error("`{}` behind the time is neither AUTO nor TARPIT", .0.escape_ascii())]
    Kind(Vec<u8>),
}

/// The row of a line; `None` when the line is empty or a comment.
fn row(line: &[u8]) -> Option<Result<DumpRow, DumpFaultKind>> {
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(b"#") {
        return None;
    }
    // The writer puts TABs between the columns, so blanks within one (what an MTA left behind an
    // address) do no harm; a file edited by hand may have blanks instead.
    let by_tabs = columns(line, |byte| byte == b'\t').and_then(parse);
    Some(by_tabs.or_else(|_| columns(line, |byte| byte.is_ascii_whitespace()).and_then(parse)))
}

/// The text of the columns.
struct Columns<'a> {
    client: &'a [u8],
    sender: &'a [u8],
    recipient: &'a [u8],
    /// The time and what is behind it.
    rest: &'a [u8],
}

fn columns(line: &[u8], is_separator: fn(u8) -> bool) -> Result<Columns<'_>, DumpFaultKind> {
    let mut rest = line;
    let mut found = 0;
    let mut next = || {
        let (column, behind) = cut(rest, is_separator);
        rest = behind;
        found += usize::from(!column.is_empty());
        column
    };
    let (client, sender, recipient) = (next(), next(), next());
    let rest = rest.trim_ascii();
    if rest.is_empty() {
        return Err(DumpFaultKind::Columns(found));
    }
    Ok(Columns {
        client,
        sender,
        recipient,
        rest,
    })
}

/// The first column, and what is behind the separators that follow it.
fn cut(text: &[u8], is_separator: fn(u8) -> bool) -> (&[u8], &[u8]) {
    let is_end = |byte: &u8| is_separator(*byte);
    let end = text.iter().position(is_end).unwrap_or(text.len());
    let (column, behind) = text.split_at_checked(end).unwrap_or((text, &[]));
    let begin = behind.iter().position(|byte| !is_end(byte));
    let rest = begin.and_then(|begin| behind.get(begin..));
    (column, rest.unwrap_or_default())
}

fn parse(columns: Columns<'_>) -> Result<DumpRow, DumpFaultKind> {
    let client =
        address(columns.client).ok_or_else(|| DumpFaultKind::Address(columns.client.to_vec()))?;
    let before_comment = columns.rest.split(|&byte| byte == b'#').next();
    let mut words = before_comment
        .unwrap_or_default()
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    let when = words.next().unwrap_or_default();
    let when = Timestamp(number(when).ok_or_else(|| DumpFaultKind::Time(when.to_vec()))?);
    let kind = match (words.next(), words.next(), words.next()) {
        (None, ..) => RowKind::Pending,
        (Some(word), None, _) if word.eq_ignore_ascii_case(b"AUTO") => RowKind::Auto,
        (Some(shortest), Some(word), None) if word.eq_ignore_ascii_case(b"TARPIT") => {
            let shortest = number(shortest).ok_or_else(|| DumpFaultKind::Kind(shortest.to_vec()));
            RowKind::Tarpit {
                shortest: Seconds(shortest?),
            }
        }
        (Some(word), ..) => return Err(DumpFaultKind::Kind(word.to_vec())),
    };
    Ok(DumpRow {
        client,
        sender: mailbox(columns.sender),
        recipient: mailbox(columns.recipient),
        when,
        kind,
    })
}

fn address(text: &[u8]) -> Option<IpAddr> {
    AddressDialect::Strict.parse(text)
}

/// What is between the brackets; without brackets the first word.
fn mailbox(column: &[u8]) -> Vec<u8> {
    let column = column.trim_ascii();
    let end = match column.strip_prefix(b"<") {
        Some(inner) => return upto(inner, |byte| byte == b'>').to_vec(),
        None => upto(column, |byte| byte.is_ascii_whitespace()),
    };
    end.to_vec()
}

fn upto(text: &[u8], is_end: fn(u8) -> bool) -> &[u8] {
    cut(text, is_end).0
}

/// A number without sign.
fn number(digits: &[u8]) -> Option<i64> {
    // The standard library would also take a sign.
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Vec<Result<DumpRow, DumpFault>> {
        DumpRows::from_reader(text).collect()
    }

    fn row(client: &str, sender: &str, recipient: &str, when: i64, kind: RowKind) -> DumpRow {
        DumpRow {
            client: client.parse().unwrap(),
            sender: sender.into(),
            recipient: recipient.into(),
            when: Timestamp(when),
            kind,
        }
    }

    fn one(line: &str) -> Result<DumpRow, DumpFaultKind> {
        let mut rows = read(line.as_bytes());
        assert_eq!(rows.len(), 1, "{line}");
        rows.remove(0).map_err(|fault| fault.kind)
    }

    #[test]
    fn rows_of_every_kind_are_read_in_every_spelling() {
        let (pending, auto) = (RowKind::Pending, RowKind::Auto);
        let tarpit = |shortest| RowKind::Tarpit {
            shortest: Seconds(shortest),
        };
        let v4 = |kind| row("192.0.2.1", "a@x", "b@y", 1_999_999_999, kind);
        for (line, expected) in [
            // As 4.6.4 writes them, with and without the time in words.
            (
                "192.0.2.1\t<a@x>\t<b@y>\t1999999999 # 2033-05-18 03:33:19",
                v4(pending),
            ),
            ("192.0.2.1\t<a@x>\t<b@y>\t1999999999 ", v4(pending)),
            (
                "192.0.2.1\t<a@x>\t<b@y>\t1999999999 AUTO # 2033-05-18",
                v4(auto),
            ),
            ("192.0.2.1\t<a@x>\t<b@y>\t1999999999 AUTO", v4(auto)),
            (
                "192.0.2.1\t<a@x>\t<b@y>\t1999999999\t7 TARPIT # 2033",
                v4(tarpit(7)),
            ),
            // By hand: blanks, no brackets, other case, no space before the comment, CR LF.
            ("192.0.2.1 a@x b@y 1999999999", v4(pending)),
            ("  192.0.2.1   <a@x> \t b@y\t\t1999999999  auto  ", v4(auto)),
            ("192.0.2.1 <a@x>\t<b@y> 1999999999 0 Tarpit", v4(tarpit(0))),
            ("192.0.2.1\t<a@x>\t<b@y>\t1999999999#AUTO", v4(pending)),
            ("192.0.2.1\t<a@x>\t<b@y>\t1999999999 AUTO\r\n", v4(auto)),
            // What the original writes and skips when it reads it.
            (
                "192.0.2.1\t<a@x> NOTIFY=NEVER\t<b@y> ORCPT=<c@z>\t1999999999 AUTO",
                v4(auto),
            ),
            (
                "2001:db8::9\t<a@[1.2.3.4]>\t<\"b c\"@y>\t1999999999 ",
                row(
                    "2001:db8::9",
                    "a@[1.2.3.4]",
                    "\"b c\"@y",
                    1_999_999_999,
                    pending,
                ),
            ),
            // The null sender, a name without domain, a `#` in an address, a mapped address.
            (
                "::ffff:192.0.2.1\t<>\t<postmaster>\t5 AUTO",
                row("192.0.2.1", "", "postmaster", 5, auto),
            ),
            (
                "192.0.2.1 #a@x <b#c@y> 5",
                row("192.0.2.1", "#a@x", "b#c@y", 5, pending),
            ),
            // Beyond 32 bits, where the original wraps.
            (
                "192.0.2.1 <a@x> <b@y> 9999999999 AUTO",
                row("192.0.2.1", "a@x", "b@y", 9_999_999_999, auto),
            ),
        ] {
            assert_eq!(one(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn a_line_that_is_no_row_says_why() {
        use DumpFaultKind::{Address, Columns, Kind, Time};
        for (line, expected) in [
            ("x", Columns(1)),
            ("192.0.2.1\t<a@x>\t<b@y>", Columns(3)),
            ("192.0.2.1 <a@x> <b@y> ", Columns(3)),
            ("mx.example <a@x> <b@y> 5", Address(b"mx.example".into())),
            (
                "192.0.2.256\t<a@x>\t<b@y>\t5",
                Address(b"192.0.2.256".into()),
            ),
            ("192.0.2.1 <a@x> <b@y> # 5", Time(b"".into())),
            ("192.0.2.1 <a@x> <b@y> -5 AUTO", Time(b"-5".into())),
            ("192.0.2.1 <a@x> <b@y> +5", Time(b"+5".into())),
            (
                "192.0.2.1 <a@x> <b@y> 99999999999999999999",
                Time(b"99999999999999999999".into()),
            ),
            ("192.0.2.1 <a@x> <b@y> 5 GREY", Kind(b"GREY".into())),
            ("192.0.2.1 <a@x> <b@y> 5 AUTO 5", Kind(b"AUTO".into())),
            ("192.0.2.1 <a@x> <b@y> 5 x TARPIT", Kind(b"x".into())),
            ("192.0.2.1 <a@x> <b@y> 5 1 TARPIT 2", Kind(b"1".into())),
        ] {
            assert_eq!(one(line), Err(expected), "{line}");
        }
    }

    #[test]
    fn a_bad_line_costs_itself_and_is_named_by_its_number() {
        let long = "x".repeat(LINE_MAX + 1);
        let text = format!(
            "# one\n\n192.0.2.1 a@x b@y 5\nbad\x7f\n{long}\n192.0.2.1 a@x b@y 6 AUTO\n#\n1 2 3 4\n192.0.2.1 a@x b@y 7 0 TARPIT"
        );
        let mut rows = DumpRows::from_reader(text.as_bytes());
        let shown: Vec<String> = rows
            .by_ref()
            .map(|row| match row {
                Ok(row) => row.when.0.to_string(),
                Err(fault) => fault.to_string(),
            })
            .collect();
        assert_eq!(
            shown,
            [
                "5",
                "line 4: 1 columns, a row has address, sender, recipient and time",
                "line 5: the line is longer than 4096 bytes",
                "6",
                "line 8: `1` is no address",
                "7",
            ]
        );
        let counts = DumpCounts {
            pending: 1,
            auto: 1,
            tarpit: 1,
            skipped: 3,
        };
        assert_eq!(rows.counts(), counts);
    }

    #[test]
    fn what_is_told_of_a_bad_line_holds_no_control_bytes() {
        let fault = read(b"\x1b[2J\xff <a@x> <b@y> 5").remove(0);
        assert_eq!(
            fault.unwrap_err().to_string(),
            "line 1: `\\x1b[2J\\xff` is no address"
        );
    }

    #[test]
    fn a_line_of_the_longest_length_is_read_and_the_rest_of_a_longer_one_is_skipped() {
        let row = |pad: usize| format!("192.0.2.1 a@x b@y 5 #{}\n", "x".repeat(pad));
        let fixed = row(0).len() - 1;
        let text = row(LINE_MAX - fixed) + &row(LINE_MAX - fixed + 1) + &row(0);
        // Pieces of every size, so that an end of line falls on every place.
        for size in [1, 7, 64, 100_000] {
            let reader = BufReader::with_capacity(size, text.as_bytes());
            let rows: Vec<_> = DumpRows::from_reader(reader).collect();
            let faults: Vec<_> = rows.iter().map(Result::is_err).collect();
            assert_eq!(faults, [false, true, false], "{size}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_on_is_told_once() {
        struct Failing(u8);
        impl io::Read for Failing {
            fn read(&mut self, mut out: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                match self.0 {
                    1 => io::Write::write(&mut out, b"192.0.2.1 a@x b@y 5\n192.0.2.2 a@"),
                    2 => Err(io::ErrorKind::Interrupted.into()),
                    _ => Err(io::ErrorKind::PermissionDenied.into()),
                }
            }
        }
        let mut rows = DumpRows::from_reader(BufReader::new(Failing(0)));
        let kind = DumpFaultKind::Unreadable(io::ErrorKind::PermissionDenied);
        assert!(rows.next().is_some_and(|row| row.is_ok()));
        assert_eq!(rows.next(), Some(Err(DumpFault { line: 2, kind })));
        assert_eq!(rows.next(), None);
    }
}
