//! Lines of Postfix's own services: what smtpd and cleanup have turned away in the words of a
//! greylister, by a policy server or a milter, and whose the messages are that were taken.
//!
//! Source: the lines of Postfix 3.7.11.

use crate::queue::MailLine;
use crate::sighting::{Subject, behind_id, client, split};

/// A service whose lines count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// It takes messages: smtpd, cleanup.
    Takes,
    /// It knows which there are: qmgr.
    Queues,
    /// It delivers them, by whatever way.
    Delivers,
}

impl Service {
    /// A service by its name.
    pub(crate) fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"smtpd" | b"cleanup" => Self::Takes,
            b"qmgr" => Self::Queues,
            b"smtp" | b"lmtp" | b"local" | b"virtual" | b"pipe" | b"error" | b"discard" => {
                Self::Delivers
            }
            _ => return None,
        })
    }

    /// Whether what stands behind a queue id begins like what tells something, which little does.
    pub(crate) fn may_tell(self, rest: &[u8]) -> bool {
        match self {
            Self::Takes => {
                rest.starts_with(b"client=")
                    || rest.starts_with(b"reject: ")
                    || rest.starts_with(b"milter-reject: ")
            }
            Self::Queues => rest.starts_with(b"from=<") || rest == b"removed",
            Self::Delivers => rest.starts_with(b"to=<"),
        }
    }
}

/// What a message of a service tells; `is_greylisting` knows the words of a greylister.
pub(crate) fn read(
    service: Service,
    message: &[u8],
    is_greylisting: impl Fn(&[u8]) -> bool,
) -> Option<MailLine<'_>> {
    let (id, rest) = behind_id(message)?;
    match service {
        Service::Takes => {
            if let Some(client_text) = rest.strip_prefix(b"client=") {
                let (name, address, _) = client(client_text)?;
                return Some(MailLine::Envelope {
                    id,
                    client: Some((name, address)),
                    sender: None,
                });
            }
            turned_away(rest, is_greylisting).map(MailLine::TurnedAway)
        }
        Service::Queues if rest == b"removed" => Some(MailLine::Done { id }),
        Service::Queues => {
            let (sender, _) = split(rest.strip_prefix(b"from=<")?, b">, size=")?;
            Some(MailLine::Envelope {
                id,
                client: None,
                sender: Some(sender),
            })
        }
        Service::Delivers => {
            let (to, _) = split(rest.strip_prefix(b"to=<")?, b">, relay=")?;
            // What the client said, before aliases.
            let recipient = split(to, b">, orig_to=<").map_or(to, |(_, original)| original);
            Some(MailLine::Taken { id, recipient })
        }
    }
}

/// Behind the queue id: `reject: RCPT from NAME[ADDRESS]: 450 TEXT; from=<S> to=<R> proto=..`, with
/// `milter-reject: ` when a milter did it.
fn turned_away(rest: &[u8], is_greylisting: impl Fn(&[u8]) -> bool) -> Option<Subject<'_>> {
    let rest = rest
        .strip_prefix(b"reject: ")
        .or_else(|| rest.strip_prefix(b"milter-reject: "))?;
    // `RCPT`, `DATA` or `END-OF-MESSAGE`: nothing that a client has said.
    let of_stage = |byte: &u8| byte.is_ascii_uppercase() || *byte == b'-';
    let stage = rest.iter().position(|byte| !of_stage(byte))?;
    let (name, address, rest) = client(rest[stage..].strip_prefix(b" from ")?)?;
    let text = rest.strip_prefix(b": ")?;
    if text.first() != Some(&b'4') {
        return None;
    }
    let (text, addresses) = split(text, b"; from=<")?;
    if !is_greylisting(text) {
        return None;
    }
    let (sender, rest) = split(addresses, b"> to=<")?;
    let (recipient, _) = split(rest, b"> proto=")?;
    Some(Subject {
        client: address.into(),
        name: name.into(),
        sender: sender.into(),
        recipient: recipient.into(),
        ..Subject::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::sample::{away, is_greylisting};

    fn told<'a>(service: &str, message: &'a str) -> Option<MailLine<'a>> {
        let service = Service::of(service.as_bytes())?;
        read(service, message.as_bytes(), is_greylisting)
    }

    #[test]
    fn what_was_turned_away_is_read() {
        for (service, line, expected) in [
            (
                "smtpd",
                "NOQUEUE: reject: RCPT from mx.example.com[192.0.2.10]: 450 4.2.0 <bob@example.org>: Recipient address rejected: Greylisted, see x; from=<Alice@example.com> to=<bob@example.org> proto=ESMTP helo=<h>",
                away("192.0.2.10", "mx.example.com", "Alice@example.com"),
            ),
            (
                "smtpd",
                "4B3C1A2F0D: milter-reject: RCPT from unknown[2001:db8::1]: 451 4.7.1 Greylisting in action, please come back in 00:05:00; from=<> to=<bob@example.org> proto=ESMTP helo=<h>",
                away("2001:db8::1", "unknown", ""),
            ),
            (
                "cleanup",
                "4B3C1A2F0D: milter-reject: END-OF-MESSAGE from mx[192.0.2.10]: 4.7.1 Greylisting in action; from=<a@b> to=<bob@example.org> proto=ESMTP helo=<h>",
                away("192.0.2.10", "mx", "a@b"),
            ),
            // What the client calls itself comes last, and does not count.
            (
                "smtpd",
                "NOQUEUE: reject: RCPT from mx[192.0.2.10]: 450 4.2.0 Greylisted; from=<a@b> to=<bob@example.org> proto=ESMTP helo=<x; from=<c@d> to=<e@f> proto=>",
                away("192.0.2.10", "mx", "a@b"),
            ),
        ] {
            assert_eq!(told(service, line), expected, "{line}");
        }
    }

    #[test]
    fn whose_a_message_is_stands_in_three_lines() {
        let client = Some((&b"mx.example.com"[..], &b"192.0.2.10"[..]));
        for (service, line, expected) in [
            (
                "smtpd",
                "399109B806E: client=mx.example.com[192.0.2.10], sasl_method=PLAIN",
                MailLine::Envelope {
                    id: b"399109B806E",
                    client,
                    sender: None,
                },
            ),
            (
                "qmgr",
                "399109B806E: from=<alice@example.com>, size=326, nrcpt=1 (queue active)",
                MailLine::Envelope {
                    id: b"399109B806E",
                    client: None,
                    sender: Some(b"alice@example.com"),
                },
            ),
            (
                "lmtp",
                "399109B806E: to=<bob@example.org>, relay=mail[private/dovecot-lmtp], delay=0.1, status=sent (250)",
                MailLine::Taken {
                    id: b"399109B806E",
                    recipient: b"bob@example.org",
                },
            ),
            (
                "local",
                "399109B806E: to=<root@example.org>, orig_to=<postmaster>, relay=local, delay=0.1, status=sent",
                MailLine::Taken {
                    id: b"399109B806E",
                    recipient: b"postmaster",
                },
            ),
            (
                "qmgr",
                "399109B806E: removed",
                MailLine::Done { id: b"399109B806E" },
            ),
        ] {
            assert_eq!(told(service, line), Some(expected), "{line}");
        }
    }

    #[test]
    fn other_lines_are_not_read() {
        for (service, line) in [
            ("smtpd", "connect from mx.example.com[192.0.2.10]"),
            (
                "smtpd",
                "NOQUEUE: reject: RCPT from mx[192.0.2.10]: 554 5.7.1 Greylisted; from=<a@b> to=<c@d> proto=ESMTP",
            ),
            (
                "smtpd",
                "NOQUEUE: reject: RCPT from mx[192.0.2.10]: 450 4.1.8 Sender address rejected: Domain not found; from=<a@b> to=<c@d> proto=ESMTP",
            ),
            (
                "smtpd",
                "NOQUEUE: reject_warning: RCPT from mx[192.0.2.10]: 450 Greylisted; from=<a@b> to=<c@d> proto=ESMTP",
            ),
            (
                "qmgr",
                "399109B806E: from=<alice@example.com>, status=expired",
            ),
            ("smtp", "connect to mx[192.0.2.10]:25: Connection refused"),
            ("smtp", ""),
        ] {
            assert_eq!(told(service, line), None, "{line}");
        }
    }
}
