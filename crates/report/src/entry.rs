//! One message of a log, whoever wrote it: when, from which host and program, and what it says.
//!
//! What it says is read by the dialects.

use greylatch_core::Timestamp;

use crate::sighting::split;
use crate::stamp::{Stamps, without_priority};

/// A message of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// When it was written, if the line says so.
    pub(crate) at: Option<Timestamp>,
    /// The host that wrote it; empty where the line names none.
    pub(crate) host: &'a [u8],
    /// The program, without the number of its process; empty where the line names none.
    pub(crate) program: &'a [u8],
    /// What it says.
    pub(crate) message: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Reads a line: a time, `HOST PROGRAM[PID]: ` or `PROGRAM[PID]: `, and the message. Each of the
    /// first two may be missing. Or one in the form of RFC 5424.
    pub(crate) fn of_line(line: &'a [u8], stamps: &mut Stamps) -> Self {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.first() == Some(&b'<')
            && let Some(entry) = Self::of_protocol(line, stamps)
        {
            return entry;
        }
        let (at, rest) = match stamps.read(line) {
            Some(stamp) => (Some(stamp.at), stamp.rest),
            None => (None, line),
        };
        let (host, program, message) = origin(rest);
        Self {
            at,
            host,
            program,
            message,
        }
    }
}

impl<'a> Entry<'a> {
    /// `<PRIORITY>1 TIME HOST PROGRAM PID KIND DATA MESSAGE`, where `-` stands for what is not known.
    ///
    /// Source: RFC 5424 §6 (its names: TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG).
    fn of_protocol(line: &'a [u8], stamps: &mut Stamps) -> Option<Self> {
        let text = without_priority(line).strip_prefix(b"1 ")?;
        let (at, text) = match text.strip_prefix(b"- ") {
            Some(text) => (None, text),
            None => {
                let stamp = stamps.read(text)?;
                (Some(stamp.at), stamp.rest)
            }
        };
        let (host, text) = split(text, b" ")?;
        let (program, text) = split(text, b" ")?;
        let (_pid, text) = split(text, b" ")?;
        let (_kind, text) = split(text, b" ")?;
        let message = behind_data(text)?;
        let known = |word: &'a [u8]| if word == b"-" { &b""[..] } else { word };
        Some(Self {
            at,
            host: known(host),
            program: known(program),
            message: message.strip_prefix(BYTE_ORDER_MARK).unwrap_or(message),
        })
    }
}

/// What may stand before a message to say that it is UTF-8. Source: RFC 5424 §6.4.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What stands behind `-` or `[ID NAME="VALUE" ..][..]` and a blank. In a value `"`, `\` and `]` have a
/// `\` before them.
///
/// Source: RFC 5424 §6.3.
fn behind_data(text: &[u8]) -> Option<&[u8]> {
    let mut text = text;
    if let Some(rest) = text.strip_prefix(b"-") {
        text = rest;
    } else {
        while let Some(mut element) = text.strip_prefix(b"[") {
            let mut is_value = false;
            text = loop {
                let (byte, rest) = element.split_first()?;
                element = match byte {
                    b'\\' if is_value => rest.get(1..)?,
                    b']' if !is_value => break rest,
                    byte => {
                        is_value ^= *byte == b'"';
                        rest
                    }
                };
            };
        }
    }
    text.strip_prefix(b" ")
        .or_else(|| text.is_empty().then_some(text))
}

/// The host, the program and what stands behind them.
fn origin(text: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let first = name_length(text);
    if let Some((program, message)) = first.and_then(|length| program(text, length)) {
        return (b"", program, message);
    }
    let host_end = match first {
        // As most hosts end.
        Some(length) if text[length] == b' ' => Some(length),
        _ => memchr::memchr(b' ', &text[..text.len().min(HOST_MAX)]),
    };
    if let Some(end) = host_end
        && let behind = &text[end + 1..]
        && let Some(length) = name_length(behind)
        && let Some((program, message)) = program(behind, length)
    {
        return (&text[..end], program, message);
    }
    (b"", b"", text)
}

/// How many bytes of a program's name a text begins with, if they have an end.
fn name_length(text: &[u8]) -> Option<usize> {
    let text = &text[..text.len().min(PROGRAM_MAX)];
    text.iter().position(|byte| !OF_NAME[usize::from(*byte)])
}

/// `PROGRAM: ` or `PROGRAM[PID]: `, whose name has so many bytes, and what stands behind it.
fn program(text: &[u8], name_length: usize) -> Option<(&[u8], &[u8])> {
    let (name, behind) = text.split_at(name_length);
    let behind = match behind.strip_prefix(b"[") {
        Some(number) => {
            let digits = number.iter().take_while(|byte| byte.is_ascii_digit());
            number[digits.count()..].strip_prefix(b"]")?
        }
        None => behind,
    };
    let message = behind.strip_prefix(b":")?;
    // `a:b` is no program, and neither is the address of an IPv6 client.
    let message = message
        .strip_prefix(b" ")
        .or_else(|| message.is_empty().then_some(message))?;
    (!name.is_empty()).then_some((name, message))
}

/// Which bytes a program's name is made of.
const OF_NAME: [bool; 256] = {
    let mut of_name = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        of_name[byte] = matches!(
            byte as u8,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/'
        );
        byte += 1;
    }
    of_name
};

/// The longest names that are looked for. Source: RFC 5424 §6 (HOSTNAME 255, APP-NAME 48; more here,
/// since a program may be named by its path).
const HOST_MAX: usize = 256;
const PROGRAM_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> (bool, String, String, String) {
        let zone = Box::new(Timestamp);
        let mut stamps = Stamps::new(Timestamp(1_800_000_000), zone);
        let entry = Entry::of_line(line.as_bytes(), &mut stamps);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            entry.at.is_some(),
            text(entry.host),
            text(entry.program),
            text(entry.message),
        )
    }

    type Row = (&'static str, bool, &'static str, &'static str, &'static str);

    fn each_is_read(rows: &[Row]) {
        for (line, at, host, program, message) in rows {
            let expected = (*at, (*host).into(), (*program).into(), (*message).into());
            assert_eq!(read(line), expected, "{line}");
        }
    }

    #[test]
    fn host_and_program_stand_before_the_message_or_not() {
        each_is_read(&[
            (
                "Nov 24 12:00:00 mail postfix/smtpd[15962]: NOQUEUE: reject",
                true,
                "mail",
                "postfix/smtpd",
                "NOQUEUE: reject",
            ),
            (
                "2026-11-24T12:00:00Z mx.example milter-greylist: x: addr\r",
                true,
                "mx.example",
                "milter-greylist",
                "x: addr",
            ),
            (
                "<21>Nov 24 02:59:29 postgrey[7639]: action=pass, reason=x",
                true,
                "",
                "postgrey",
                "action=pass, reason=x",
            ),
            (
                "2026-11-24 12:00:00 H=(mx) [2001:db8::1]: F=<> x",
                true,
                "",
                "",
                "H=(mx) [2001:db8::1]: F=<> x",
            ),
            (
                "2026-11-24 12:00:00 1abcde-000001-00 <= a@b H=c",
                true,
                "",
                "",
                "1abcde-000001-00 <= a@b H=c",
            ),
            (
                "2026-11-24T12:00:00.1Z verdict=pass reason=x",
                true,
                "",
                "",
                "verdict=pass reason=x",
            ),
            (
                "action=pass, reason=x",
                false,
                "",
                "",
                "action=pass, reason=x",
            ),
            ("", false, "", "", ""),
        ]);
    }

    #[test]
    fn lines_of_rfc_5424_are_read_past_their_structured_data() {
        each_is_read(&[
            (
                "<22>1 2026-11-24T12:00:00.5Z mail postfix/smtpd 77 - - NOQUEUE: reject",
                true,
                "mail",
                "postfix/smtpd",
                "NOQUEUE: reject",
            ),
            (
                "<22>1 2026-11-24T12:00:00Z - postgrey - ID7 [a@1 b=\"\\\"]\\]\"][c] \u{feff}action=pass",
                true,
                "",
                "postgrey",
                "action=pass",
            ),
            ("<22>1 - mail - - - - x: y", false, "mail", "", "x: y"),
            ("<22>1 - mail a - - -", false, "mail", "a", ""),
        ]);
    }
}
