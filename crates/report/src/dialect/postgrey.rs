//! Decision lines of Postgrey, and ours in its form:
//! `[QUEUEID: ]action=ACTION, reason=REASON[, delay=N][, client_name=..][, client_address=..][, sender=..]
//! [, recipient=..][, words=..]`. A field that is empty or `0` is left out.
//!
//! Source: Postgrey 1.37 as observed by running it; `wording/postgrey.rs` writes the same.

use std::borrow::Cow;

use greylatch_core::{Reason, Seconds};
use memchr::memchr;

use crate::sighting::{Sighting, Subject, What, behind_id, split, split_last};

/// What a message tells, if it is such a line.
pub(crate) fn read(message: &[u8]) -> Option<Sighting<'_>> {
    let is_id = |id: &[u8]| id.iter().all(u8::is_ascii_alphanumeric);
    let decision = match behind_id(message) {
        Some((id, decision)) if is_id(id) => decision,
        _ => message,
    };
    let (action, line) = split(decision.strip_prefix(b"action=")?, b", reason=")?;
    let (mut reason, fields) = first_field(line);
    let (age, subject) = in_order(fields).or_else(|| from_behind(fields))?;
    if let Some((word, missing)) = split(reason, b" (")
        && missing.ends_with(b"s missing)")
    {
        reason = word;
    }
    Some(Sighting {
        what: what(action, reason, age)?,
        subject,
    })
}

/// How old it is and whose, from fields as they nearly always stand: none but the delay and words left out,
/// and nothing escaped.
fn in_order(mut fields: &[u8]) -> Option<(Option<Seconds>, Subject<'_>)> {
    if memchr(b'%', fields).is_some() {
        return None;
    }
    let mut age = None;
    if let Some(delay) = fields.strip_prefix(b", delay=") {
        let (delay, rest) = delay.split_at(memchr(b',', delay)?);
        (age, fields) = (number(delay), rest);
    }
    let fields = fields.strip_prefix(b", client_name=")?;
    let (name, fields) = fields.split_at(memchr(b',', fields)?);
    let fields = fields.strip_prefix(b", client_address=")?;
    let (client, fields) = fields.split_at(memchr(b',', fields)?);
    // A sender may have what looks like a field in it, a recipient may not.
    let (sender, recipient) = split_last(fields.strip_prefix(b", sender=")?, b", recipient=")?;
    let subject = Subject {
        client: client.into(),
        name: name.into(),
        sender: sender.into(),
        recipient: recipient.into(),
        ..Subject::default()
    };
    Some((age, subject))
}

/// The same of any fields.
fn from_behind(mut fields: &[u8]) -> Option<(Option<Seconds>, Subject<'_>)> {
    let mut subject = Subject::default();
    // From behind, since what a client chooses may look like a field that stands before.
    if let Some(words) = fields.strip_prefix(b", words=") {
        (fields, subject.words) = (b"", unescaped(words));
    }
    if let Some((before, recipient)) = split_last(fields, b", recipient=") {
        (fields, subject.recipient) = (before, unescaped(recipient));
    }
    if let Some((before, sender)) = split(fields, b", sender=") {
        (fields, subject.sender) = (before, unescaped(sender));
    }
    if let Some((before, address)) = split(fields, b", client_address=") {
        (fields, subject.client) = (before, unescaped(address));
    }
    if let Some((before, name)) = split(fields, b", client_name=") {
        (fields, subject.name) = (before, unescaped(name));
    }
    let mut age = None;
    if let Some((before, delay)) = split(fields, b", delay=") {
        (fields, age) = (before, number(delay));
    }
    fields.is_empty().then_some((age, subject))
}

/// The value of the first field, and the fields behind it.
fn first_field(line: &[u8]) -> (&[u8], &[u8]) {
    let marks: [&[u8]; 6] = [
        b", delay=",
        b", client_name=",
        b", client_address=",
        b", sender=",
        b", recipient=",
        b", words=",
    ];
    let is_mark = |at: &usize| marks.iter().any(|mark| line[*at..].starts_with(mark));
    let end = memchr::memchr_iter(b',', line).find(is_mark);
    line.split_at(end.unwrap_or(line.len()))
}

fn what(action: &[u8], reason: &[u8], age: Option<Seconds>) -> Option<What<'static>> {
    let rule = Cow::Borrowed(&b""[..]);
    Some(match (action, reason) {
        (b"pass", b"would-defer") => What::WouldDefer,
        (b"pass", _) => What::Passed {
            reason: passed(reason, age)?,
            rule,
            age,
        },
        (b"greylist", _) => What::Deferred {
            reason: Some(word(reason)?),
        },
        (b"refuse", _) => What::Refused {
            reason: word(reason)?,
            rule,
        },
        _ => return None,
    })
}

fn passed(reason: &[u8], age: Option<Seconds>) -> Option<Reason> {
    Some(match reason {
        b"triplet found" if age.is_some() => Reason::Retry,
        b"triplet found" => Reason::Known,
        b"client whitelist" => Reason::ClientListed,
        b"recipient whitelist" => Reason::RecipientListed,
        b"client AWL" => Reason::ClientExempt,
        // Of a fork that asks dnswl.org.
        _ if reason.starts_with(b"client whitelisted by ") => Reason::ClientListed,
        _ => word(reason)?,
    })
}

/// A reason by its word.
pub(crate) fn word(text: &[u8]) -> Option<Reason> {
    let is_it = |reason: &&Reason| reason.word().as_bytes() == text;
    Reason::ALL.iter().find(is_it).copied()
}

/// Seconds in digits.
pub(crate) fn number(text: &[u8]) -> Option<Seconds> {
    std::str::from_utf8(text).ok()?.parse().ok().map(Seconds)
}

/// A value without what Postgrey adds: `%` is doubled, and bytes that are no printable ASCII are `%XX`.
fn unescaped(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'%', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'%' {
            plain.push(*byte);
        } else if let Some(behind) = behind.strip_prefix(b"%") {
            plain.push(b'%');
            rest = behind;
        } else if let Some(value) = behind.get(..2).and_then(hexadecimal) {
            plain.push(value);
            rest = &behind[2..];
        } else {
            plain.push(b'%');
        }
    }
    Cow::Owned(plain)
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(digits).ok()?;
    u8::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> Option<(What<'static>, [String; 5])> {
        let found = read(line.as_bytes())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let subject = &found.subject;
        let texts = [
            text(&subject.client),
            text(&subject.name),
            text(&subject.sender),
            text(&subject.recipient),
            text(&subject.words),
        ];
        let what = match found.what {
            What::Passed { reason, age, .. } => What::Passed {
                reason,
                age,
                rule: Cow::Borrowed(b""),
            },
            What::Deferred { reason } => What::Deferred { reason },
            What::Refused { reason, .. } => What::Refused {
                reason,
                rule: Cow::Borrowed(b""),
            },
            other => other_of(&other),
        };
        Some((what, texts))
    }

    fn other_of(what: &What<'_>) -> What<'static> {
        assert_eq!(*what, What::WouldDefer);
        What::WouldDefer
    }

    fn passed(reason: Reason, age: Option<i64>) -> What<'static> {
        What::Passed {
            reason,
            age: age.map(Seconds),
            rule: Cow::Borrowed(b""),
        }
    }

    #[test]
    fn each_decision_of_the_corpus_is_read() {
        let tail = ", client_name=mx.example.com, client_address=192.0.2.10, sender=a@b.c, recipient=d@e.f";
        let subject = ["192.0.2.10", "mx.example.com", "a@b.c", "d@e.f", ""];
        for (head, what) in [
            (
                "action=greylist, reason=new",
                What::Deferred {
                    reason: Some(Reason::New),
                },
            ),
            (
                "399109B806E: action=greylist, reason=early-retry (299s missing)",
                What::Deferred {
                    reason: Some(Reason::EarlyRetry),
                },
            ),
            (
                "action=greylist, reason=throttled",
                What::Deferred {
                    reason: Some(Reason::Throttled),
                },
            ),
            (
                "action=pass, reason=triplet found, delay=301",
                passed(Reason::Retry, Some(301)),
            ),
            (
                "action=pass, reason=triplet found",
                passed(Reason::Known, None),
            ),
            (
                "action=pass, reason=client whitelist",
                passed(Reason::ClientListed, None),
            ),
            (
                "action=pass, reason=recipient whitelist",
                passed(Reason::RecipientListed, None),
            ),
            (
                "action=pass, reason=client AWL",
                passed(Reason::ClientExempt, None),
            ),
            (
                "action=pass, reason=client whitelisted by dnswl.org (3/highly unlikely to send spam)",
                passed(Reason::ClientListed, None),
            ),
            (
                "action=pass, reason=spf-passed",
                passed(Reason::SpfPassed, None),
            ),
            ("action=pass, reason=would-defer", What::WouldDefer),
            (
                "action=refuse, reason=rule",
                What::Refused {
                    reason: Reason::Rule,
                    rule: Cow::Borrowed(b""),
                },
            ),
        ] {
            let expected = Some((what, subject.map(str::to_owned)));
            assert_eq!(told(&format!("{head}{tail}")), expected, "{head}");
        }
    }

    #[test]
    fn fields_that_are_left_out_are_empty_and_escapes_are_taken_back() {
        let (_, texts) = told(
            "action=greylist, reason=new, client_name=x, client_address=2001:DB8::1, recipient=50%%off%1B@e.f",
        )
        .expect("a decision");
        assert_eq!(texts, ["2001:DB8::1", "x", "", "50%off\u{1b}@e.f", ""]);
        let (_, texts) = told("action=greylist, reason=new, words=a b, c").expect("a decision");
        assert_eq!(texts, ["", "", "", "", "a b, c"]);
    }

    #[test]
    fn a_sender_cannot_pass_for_another_field() {
        let (_, texts) = told(
            "action=greylist, reason=new, client_name=mx, client_address=192.0.2.1, sender=\"x, \
             recipient=y, client_address=9.9.9.9\"@b, recipient=d@e.f",
        )
        .expect("a decision");
        let sender = "\"x, recipient=y, client_address=9.9.9.9\"@b";
        assert_eq!(texts, ["192.0.2.1", "mx", sender, "d@e.f", ""]);
    }

    #[test]
    fn other_lines_are_not_read() {
        for line in [
            "",
            "action=",
            "action=greylist",
            "action=greylist, reason=",
            "action=greylist, reason=no such word, client_name=x",
            "action=PREPEND X-Greylist: delayed",
            "action=dunno, reason=new",
            "cleaning up old entries...",
            "x y: action=greylist, reason=new",
        ] {
            assert_eq!(told(line), None, "{line}");
        }
    }

    #[test]
    fn fields_in_order_are_read_as_from_behind() {
        let values = [
            "",
            "1",
            "x",
            "a, sender=b",
            "a, recipient=b",
            "c, client_name=d",
            "e, f",
        ];
        let names = [
            "delay",
            "client_name",
            "client_address",
            "sender",
            "recipient",
        ];
        let mut in_order_too = 0;
        for nth in 0..values.len().pow(5) {
            let mut left = nth;
            let fields: String = names
                .iter()
                .map(|name| {
                    let value = values[left % values.len()];
                    left /= values.len();
                    if value.is_empty() {
                        String::new()
                    } else {
                        format!(", {name}={value}")
                    }
                })
                .collect();
            if let Some(found) = in_order(fields.as_bytes()) {
                in_order_too += 1;
                assert_eq!(from_behind(fields.as_bytes()), Some(found), "{fields}");
            }
        }
        assert!(in_order_too > 500, "{in_order_too}");
    }
}
