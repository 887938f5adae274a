//! Lines of Exim's main log: what was turned away in the words of a greylister, and what arrived and
//! was delivered.
//!
//! Source: the Exim specification, "Log files" (fields of lines, the signs of arrival and delivery).

use crate::queue::MailLine;
use crate::sighting::{Subject, split, split_last, without_brackets};

/// What a message tells; `is_greylisting` knows the words of a greylister.
pub(crate) fn read(message: &[u8], is_greylisting: impl Fn(&[u8]) -> bool) -> Option<MailLine<'_>> {
    if let Some((before, after)) = split_last(message, b" temporarily rejected RCPT ") {
        return turned_away(before, after, is_greylisting).map(MailLine::TurnedAway);
    }
    let (id, rest) = split(message, b" ")?;
    if !is_id(id) {
        return None;
    }
    if rest == b"Completed" || rest.starts_with(b"Completed ") {
        return Some(MailLine::Done { id });
    }
    let (sign, rest) = split(rest, b" ")?;
    match sign {
        b"<=" => {
            let (sender, fields) = split(rest, b" ")?;
            let (_, host) = split(fields, b"H=")?;
            Some(MailLine::Envelope {
                id,
                client: Some(client(host)?),
                sender: Some(without_brackets(sender)),
            })
        }
        // Delivered, to one more, put off, or given up: it was taken.
        b"=>" | b"->" | b"**" | b"==" => {
            let (fields, _) = split(rest, b" R=").unwrap_or((rest, b""));
            let recipient = match split_last(fields, b" <") {
                Some((_, original)) => original.strip_suffix(b">")?,
                None => split(fields, b": ").map_or(fields, |(address, _)| address),
            };
            Some(MailLine::Taken { id, recipient })
        }
        _ => None,
    }
}

/// `[..] H=NAME (HELO) [ADDRESS] .. F=<S>` before, `<R>: TEXT` behind.
fn turned_away<'a>(
    before: &'a [u8],
    after: &'a [u8],
    is_greylisting: impl Fn(&[u8]) -> bool,
) -> Option<Subject<'a>> {
    let (recipient, text) = split(after, b": ")?;
    if !is_greylisting(text) {
        return None;
    }
    let (fields, sender) = split_last(before, b" F=")?;
    let (name, address) = client(split(fields, b"H=")?.1)?;
    Some(Subject {
        client: address.into(),
        name: name.into(),
        sender: without_brackets(sender).into(),
        recipient: without_brackets(recipient).into(),
        ..Subject::default()
    })
}

/// The confirmed name, empty if there is none, and the address: of `NAME [ADDRESS]`,
/// `NAME (HELO) [ADDRESS]` and `(HELO) [ADDRESS]`, whose HELO may be an address in brackets itself.
fn client(host: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, behind) = match host.first()? {
        b'(' | b'[' => (&b""[..], host),
        _ => split(host, b" ")?,
    };
    let behind = match behind.strip_prefix(b"(") {
        Some(helo) => split(helo, b") ")?.1,
        None => behind,
    };
    let (address, _) = split(behind.strip_prefix(b"[")?, b"]")?;
    Some((name, address))
}

/// `1abCde-000001-AB`, or longer since 4.97.
///
/// Source: the Exim specification, "Message identification".
fn is_id(text: &[u8]) -> bool {
    let mut parts = text.split(|byte| *byte == b'-');
    let mut is_part = |lengths: std::ops::RangeInclusive<usize>| {
        parts.next().is_some_and(|part| {
            lengths.contains(&part.len()) && part.iter().all(u8::is_ascii_alphanumeric)
        })
    };
    is_part(6..=6) && is_part(6..=11) && is_part(2..=4) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::sample::{away, is_greylisting};

    fn told(message: &str) -> Option<MailLine<'_>> {
        read(message.as_bytes(), is_greylisting)
    }

    #[test]
    fn what_was_turned_away_is_read() {
        for (line, expected) in [
            (
                "H=mx.example.com [192.0.2.10] F=<alice@example.com> temporarily rejected RCPT <bob@example.org>: greylisted",
                away("192.0.2.10", "mx.example.com", "alice@example.com"),
            ),
            (
                "[1234] H=mx.example.com (helo) [192.0.2.10]:4711 X=TLS1.3:x:256 CV=no F=<> temporarily rejected RCPT <bob@example.org>: greylisted",
                away("192.0.2.10", "mx.example.com", ""),
            ),
            (
                "H=([192.0.2.10]) [2001:db8::1] F=<a@b> temporarily rejected RCPT <bob@example.org>: Greylisting in action",
                away("2001:db8::1", "", "a@b"),
            ),
            (
                "H=mx [192.0.2.10] F=<a@b> temporarily rejected RCPT <bob@example.org>: Sender verify failed",
                None,
            ),
            (
                "H=mx [192.0.2.10] F=<a@b> rejected RCPT <bob@example.org>: greylisted",
                None,
            ),
        ] {
            assert_eq!(told(line), expected, "{line}");
        }
    }

    #[test]
    fn what_was_taken_is_read() {
        let id = &b"1tF5gK-000001-2a"[..];
        let taken = |recipient| Some(MailLine::Taken { id, recipient });
        for (line, expected) in [
            (
                "1tF5gK-000001-2a <= alice@example.com H=mx.example.com [192.0.2.10] P=esmtp S=512 id=x@y",
                Some(MailLine::Envelope {
                    id,
                    client: Some((b"mx.example.com", b"192.0.2.10")),
                    sender: Some(b"alice@example.com"),
                }),
            ),
            (
                "1tF5gK-000001-2a => bob <bob@example.org> R=localuser T=local_delivery",
                taken(b"bob@example.org"),
            ),
            (
                "1tF5gK-000001-2a -> carol@example.org R=dnslookup T=remote_smtp H=x [192.0.2.3]",
                taken(b"carol@example.org"),
            ),
            (
                "1tF5gK-000001-2a ** dave@example.org: Unrouteable address",
                taken(b"dave@example.org"),
            ),
            ("1tF5gK-000001-2a Completed", Some(MailLine::Done { id })),
            (
                "1tF5gK-00000001abc-2a4b Completed QT=1s",
                Some(MailLine::Done {
                    id: b"1tF5gK-00000001abc-2a4b",
                }),
            ),
            (
                "1tF5gK-000001-2a <= <> R=1tF5gK-000001-2b U=Debian-exim P=local",
                None,
            ),
            ("End queue run: pid=1", None),
            ("no host name found for IP address 192.0.2.1", None),
            ("", None),
        ] {
            assert_eq!(told(line), expected, "{line}");
        }
    }
}
