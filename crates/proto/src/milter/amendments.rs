//! Changes to a message as packets, said between its end and the last word about it.
//!
//! Source: Sendmail's `libmilter/docs/smfi_addheader.html`, `smfi_insheader.html`,
//! `smfi_chgheader.html` (the first header of a name has index 1; lines of a value are parted by LF
//! alone, and each but the first begins with a blank) and `smfi_replacebody.html` (pieces are put
//! together; line ends are CR LF); `xxfi_negotiate.html` (`SMFIP_HDR_LEADSPC`: the MTA adds no space).

use greylatch_core::Amendment;

use super::negotiation::Agreement;
use super::wire::{self, CONTENT_MAX, reply};

/// Adds the packets of a change that was agreed on.
pub(super) fn push(out: &mut Vec<u8>, amendment: &Amendment, agreement: &Agreement) {
    match amendment {
        Amendment::AddHeader(header) if agreement.adds_headers() => {
            let index = header.index.filter(|_| agreement.inserts_headers());
            let (kind, index) = match index {
                Some(index) => (reply::INSERT_HEADER, Some(index)),
                None => (reply::ADD_HEADER, None),
            };
            push_header(out, (kind, index), &header.line, agreement);
        }
        Amendment::ChangeHeader(line) if agreement.changes_headers() => {
            push_header(out, (reply::CHANGE_HEADER, Some(FIRST)), line, agreement);
        }
        Amendment::ReplaceBody(body) if agreement.changes_body() => push_body(out, body),
        Amendment::AddHeader(_) | Amendment::ChangeHeader(_) | Amendment::ReplaceBody(_) => {}
    }
}

/// Which of the headers of one name is changed.
const FIRST: u32 = 1;

fn push_header(
    out: &mut Vec<u8>,
    (kind, number): (u8, Option<u32>),
    line: &[u8],
    agreement: &Agreement,
) {
    let (name, value) = match memchr::memchr(b':', line).and_then(|at| line.split_at_checked(at)) {
        Some((name, value)) => (name, value.get(1..).unwrap_or_default().trim_ascii_start()),
        None => return,
    };
    wire::push(out, kind, |out| {
        if let Some(number) = number {
            out.extend_from_slice(&number.to_be_bytes());
        }
        push_text(out, name);
        // Who was told the spaces is left to tell them.
        if agreement.spaces_headers() {
            out.push(b' ');
        }
        push_text(out, value);
    });
}

/// Adds a string. What would end the line becomes a blank, but for the line ends of a folded value.
fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        let goes_on = matches!(after.first(), Some(b' ' | b'\t'));
        match byte {
            b'\r' if after.first() == Some(&b'\n') => {}
            b'\n' if goes_on => out.push(b'\n'),
            b'\n' | b'\r' | 0 => out.push(b' '),
            byte => out.push(*byte),
        }
        rest = after;
    }
    out.push(0);
}

fn push_body(out: &mut Vec<u8>, body: &[u8]) {
    let mut pieces = body.chunks(CONTENT_MAX);
    // An empty body takes the place of another only when it is said.
    let first = pieces.next().unwrap_or_default();
    for piece in std::iter::once(first).chain(pieces) {
        wire::push(out, reply::REPLACE_BODY, |out| out.extend_from_slice(piece));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        push_text(&mut out, text);
        out
    }

    #[test]
    fn a_folded_value_stays_folded_and_no_line_begins_within_it() {
        assert_eq!(text(b"one\n\ttwo\r\n three"), b"one\n\ttwo\n three\0");
        assert_eq!(
            text(b"one\nX-Two: a\r\nX-Three: b\rc\0d"),
            b"one X-Two: a X-Three: b c d\0"
        );
        assert_eq!(text(b"end\n"), b"end \0");
    }

    #[test]
    fn a_long_body_goes_in_pieces_that_an_mta_takes() {
        for (length, pieces) in [
            (0, vec![0]),
            (CONTENT_MAX, vec![CONTENT_MAX]),
            (2 * CONTENT_MAX + 1, vec![CONTENT_MAX, CONTENT_MAX, 1]),
        ] {
            let mut out = Vec::new();
            push_body(&mut out, &vec![b'x'; length]);
            let mut rest = &out[..];
            let mut lengths = Vec::new();
            while let Some(packet) = wire::cut(rest).expect("packets") {
                assert_eq!(packet.command, reply::REPLACE_BODY);
                lengths.push(packet.content.len());
                rest = &rest[packet.length..];
            }
            assert_eq!((lengths, rest), (pieces, &b""[..]));
        }
    }
}
