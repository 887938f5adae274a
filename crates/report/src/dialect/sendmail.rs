//! Lines of Sendmail: `QID: Milter: to=.., reject=..` of what a milter has turned away, `from=..` with
//! the client at its end, and `to=..` of what was taken.
//!
//! Source: the lines of Sendmail 8.17.

use crate::queue::MailLine;
use crate::sighting::{split, split_last, without_brackets};

/// Gives what a message tells, to `each`; `is_greylisting` knows the words of a greylister.
pub(crate) fn read<'a>(
    message: &'a [u8],
    is_greylisting: impl Fn(&[u8]) -> bool,
    mut each: impl FnMut(MailLine<'a>),
) -> Option<()> {
    let (id, rest) = split(message, b": ")?;
    if let Some(rest) = rest.strip_prefix(b"Milter: to=") {
        let (recipient, text) = split_last(rest, b", reject=")?;
        if text.first() == Some(&b'4') && is_greylisting(text) {
            let recipient = without_brackets(recipient);
            each(MailLine::TurnedAwayWithin { id, recipient });
            return Some(());
        }
        return None;
    }
    if let Some(rest) = rest.strip_prefix(b"from=") {
        let (sender, rest) = split(rest, b", size=")?;
        let (_, relay) = split_last(rest, b", relay=")?;
        each(MailLine::Envelope {
            id,
            client: Some(client(relay)?),
            sender: Some(without_brackets(sender)),
        });
        return Some(());
    }
    let (recipients, rest) = split(rest.strip_prefix(b"to=")?, b", delay=")?;
    split(rest, b", stat=")?;
    let recipients = split(recipients, b", ctladdr=").map_or(recipients, |(before, _)| before);
    for recipient in recipients.split(|byte| *byte == b',') {
        let recipient = without_brackets(recipient);
        each(MailLine::Taken { id, recipient });
    }
    Some(())
}

/// The confirmed name, empty if there is none, and the address: of `NAME [ADDRESS]`, `[ADDRESS]`, and
/// of both with ` (may be forged)` behind.
fn client(relay: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, behind) = split(relay, b"[")?;
    let (address, behind) = split(behind, b"]")?;
    let name = match behind {
        b"" => name.trim_ascii_end(),
        _ => b"",
    };
    Some((name, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(message: &str) -> Vec<MailLine<'_>> {
        let is_greylisting = |text: &[u8]| memchr::memmem::find(text, b"reylist").is_some();
        let mut told = Vec::new();
        read(message.as_bytes(), is_greylisting, |line| told.push(line));
        told
    }

    fn envelope<'a>(name: &'a [u8], address: &'a [u8], sender: &'a [u8]) -> MailLine<'a> {
        MailLine::Envelope {
            id: b"4AOC0ab1",
            client: Some((name, address)),
            sender: Some(sender),
        }
    }

    fn taken(recipient: &[u8]) -> MailLine<'_> {
        MailLine::Taken {
            id: b"4AOC0ab1",
            recipient,
        }
    }

    #[test]
    fn each_line_of_the_corpus_is_read() {
        for (line, expected) in [
            (
                "4AOC0ab1: Milter: to=<bob@example.org>, reject=451 4.7.1 Greylisting in action, please come back in 00:05:00",
                vec![MailLine::TurnedAwayWithin {
                    id: b"4AOC0ab1",
                    recipient: b"bob@example.org",
                }],
            ),
            (
                "4AOC0ab1: from=<alice@example.com>, size=0, class=0, nrcpts=0, proto=ESMTP, daemon=MTA-v4, relay=mx.example.com [192.0.2.10]",
                vec![envelope(
                    b"mx.example.com",
                    b"192.0.2.10",
                    b"alice@example.com",
                )],
            ),
            (
                "4AOC0ab1: from=<>, size=9, class=0, nrcpts=1, msgid=<x, relay=y>, proto=ESMTP, daemon=MTA-v6, relay=[IPv6:2001:db8::1]",
                vec![envelope(b"", b"IPv6:2001:db8::1", b"")],
            ),
            (
                "4AOC0ab1: from=<a@b>, size=9, class=0, nrcpts=1, proto=SMTP, daemon=MTA, relay=mx.example.com [192.0.2.10] (may be forged)",
                vec![envelope(b"", b"192.0.2.10", b"a@b")],
            ),
            (
                "4AOC0ab1: to=<bob@example.org>,<carol@example.org>, delay=00:00:01, xdelay=00:00:00, mailer=local, pri=30400, dsn=2.0.0, stat=Sent",
                vec![taken(b"bob@example.org"), taken(b"carol@example.org")],
            ),
            (
                "4AOC0ab1: to=bob, ctladdr=<bob@example.org> (1000/1000), delay=00:00:01, mailer=local, stat=Sent",
                vec![taken(b"bob")],
            ),
        ] {
            assert_eq!(told(line), expected, "{line}");
        }
    }

    #[test]
    fn other_lines_are_not_read() {
        for line in [
            "",
            "4AOC0ab1: Milter: to=<bob@example.org>, reject=551 5.7.1 Go away! Greylisted",
            "4AOC0ab1: Milter: to=<bob@example.org>, reject=451 4.7.1 out of memory",
            "4AOC0ab1: Milter add: header: X-Greylist: delayed",
            "4AOC0ab1: from=<a@b>, size=9, class=0, nrcpts=1",
            "4AOC0ab1: to=<bob@example.org>, delay=00:00:01",
            "STARTTLS=server, relay=mx [192.0.2.1], version=TLSv1.3",
        ] {
            assert_eq!(told(line), [], "{line}");
        }
    }
}
