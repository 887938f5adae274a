//! A reply as the packet of a milter.
//!
//! Source: Sendmail's `libmilter/docs/smfi_setreply.html` and `smfi_setmlreply.html` (class of the
//! code, at most 32 lines of 980 bytes, no line end within); traces of Sendmail 8.17.1 and Postfix
//! 3.7.11: a `%` that is not doubled is lost, or makes Sendmail refuse the recipient for good; an
//! enhanced status of another class than the code's makes Postfix take the whole reply for malformed
//! and answer `451 4.3.5 Server configuration problem`.

use greylatch_core::Reply;

use super::wire;
use crate::reply::{Class, ReplyParts};

/// Bytes of one line of a reply, and lines.
const LINE_MAX: usize = 980;
const LINES_MAX: usize = 32;

/// Adds the packet with this reply.
pub(super) fn push_reply(out: &mut Vec<u8>, class: Class, reply: &Reply) {
    let parts = ReplyParts::of(class, reply, LINE_MAX * LINES_MAX);
    wire::push(out, wire::reply::REPLY_CODE, |out| {
        let mut lines = parts.text().chunks(LINE_MAX).peekable();
        let mut next = Some(lines.next().unwrap_or_default());
        while let Some(line) = next {
            next = lines.next();
            let (separator, end): (u8, &[u8]) = match next {
                Some(_) => (b'-', b"\r\n"),
                None => (b' ', b"\0"),
            };
            parts.push_status(separator, out);
            push_doubled(out, line);
            out.extend_from_slice(end);
        }
    });
}

fn push_doubled(out: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        out.push(*byte);
        if *byte == b'%' {
            out.push(b'%');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(class: Class, text: &[u8]) -> String {
        let reply = Reply {
            text: text.to_vec(),
            has_status: text.first().is_some_and(u8::is_ascii_digit),
        };
        let mut out = Vec::new();
        push_reply(&mut out, class, &reply);
        let content = out.split_off(5);
        assert_eq!(out[4], b'y');
        assert_eq!(
            u32::from_be_bytes([out[0], out[1], out[2], out[3]]) as usize,
            content.len() + 1
        );
        String::from_utf8(content).expect("ASCII")
    }

    #[test]
    fn a_text_gets_the_status_that_it_does_not_bring() {
        let pairs = [
            ("wait", "451 4.7.1 wait\0"),
            ("4.2.0 wait", "451 4.2.0 wait\0"),
            ("450 wait", "450 4.7.1 wait\0"),
            ("450 4.2.0 wait", "450 4.2.0 wait\0"),
            (
                "550 4.7.1 wait",
                "451 4.7.1 Greylisted, please try again later\0",
            ),
            ("450 5.7.1 wait", "450 4.7.1 wait\0"),
            ("20% of 3", "451 4.7.1 20%% of 3\0"),
            ("7 days", "451 4.7.1 7 days\0"),
            ("", "451 4.7.1 \0"),
        ];
        for (text, expected) in pairs {
            assert_eq!(said(Class::Defer, text.as_bytes()), expected, "{text}");
        }
        assert_eq!(said(Class::Refuse, b"no"), "550 5.7.1 no\0");
    }

    #[test]
    fn what_an_mta_would_not_take_is_not_said() {
        let plain = "451 4.7.1 Greylisted, please try again later\0";
        let long = [b'x'; LINE_MAX * LINES_MAX + 1];
        let bad: [&[u8]; 6] = [
            b"550 wait",
            b"250 ok",
            b"line\r\nend",
            b"nul\0",
            b"caf\xc3\xa9",
            &long,
        ];
        for text in bad {
            assert_eq!(said(Class::Defer, text), plain, "{text:?}");
        }
    }

    #[test]
    fn a_long_text_becomes_several_lines() {
        let text = [b'x'; LINE_MAX + 1];
        let said = said(Class::Refuse, &text);
        let lines: Vec<&str> = said.split("\r\n").collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("550-5.7.1 xxx"));
        assert_eq!(lines[1], "550 5.7.1 x\0");
    }
}
