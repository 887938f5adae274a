//! Lines of milter-greylist, and ours in its form; `wording/milter_greylist/line.rs` writes the same.
//! Where ours is silent as the original is not, or the other way round, both are read.
//!
//! Source: milter-greylist 4.6.4 as observed by running it.

use std::borrow::Cow;

use greylatch_core::{Reason, Seconds};

use crate::sighting::{Sighting, Subject, What, client, split, split_last, without_brackets};

/// What a message tells, if it is such a line.
pub(crate) fn read(message: &[u8]) -> Option<Sighting<'_>> {
    if let Some((_, rest)) = split(message, b": skipping greylist because ") {
        return skipped(rest);
    }
    if let Some((_, rest)) = split(message, b": addr ") {
        return addressed(rest);
    }
    if let Some((_, rest)) = split(message, b": Sender IP ") {
        return spf(rest);
    }
    let bypassed = if message == b"whitelisted by {greylist}" {
        Reason::AccessListed
    } else if message.starts_with(b"User ")
        && message.ends_with(b" authenticated, bypassing greylisting")
    {
        Reason::Authenticated
    } else if message.starts_with(b"STARTTLS succeeded for DN=")
        && message.ends_with(b", bypassing greylisting")
    {
        Reason::Certified
    } else {
        return None;
    };
    Some(passed(
        Subject::default(),
        bypassed,
        Cow::Borrowed(b""),
        None,
    ))
}

fn passed<'a>(
    subject: Subject<'a>,
    reason: Reason,
    rule: Cow<'a, [u8]>,
    age: Option<Seconds>,
) -> Sighting<'a> {
    Sighting {
        what: What::Passed { reason, rule, age },
        subject,
    }
}

/// Behind `QID: addr `: `HOST[IP] from FROM to RCPT WHAT (ACL ID)`, or `IP from FROM rcpt RCPT:
/// autowhitelisted for another ..`.
fn addressed(rest: &[u8]) -> Option<Sighting<'_>> {
    if let Some((before, _)) = split_last(rest, b": autowhitelisted for another ") {
        let (address, addresses) = split(before, b" from ")?;
        let (sender, recipient) = pair(addresses, b" rcpt ")?;
        let subject = subject(address, b"", sender, recipient);
        return Some(passed(subject, Reason::Known, Cow::Borrowed(b""), None));
    }
    let (line, acl) = split_last(rest, b" (ACL ")?;
    let acl = acl.strip_suffix(b")")?;
    let (name, address, line) = client(line)?;
    let line = line.strip_prefix(b" from ")?;
    let (line, verdict) = verdict(line)?;
    // At the end of a message the recipients may be left out.
    let (sender, recipient) = pair(line, b" to ").unwrap_or((line, b""));
    let subject = subject(address, name, sender, recipient);
    let rule = named(acl, b"");
    Some(match verdict {
        Told::Delayed => Sighting {
            what: What::Deferred {
                // Whether it came too early is known by what came before.
                reason: None,
            },
            subject,
        },
        Told::Accepted(age) => passed(subject, Reason::Retry, Cow::Borrowed(b""), Some(age)),
        Told::Blacklisted => Sighting {
            what: What::Refused {
                reason: Reason::Rule,
                rule,
            },
            subject,
        },
    })
}

enum Told {
    Delayed,
    Accepted(Seconds),
    Blacklisted,
}

/// The verdict at the end of a line, and what stands before it.
fn verdict(line: &[u8]) -> Option<(&[u8], Told)> {
    if let Some(before) = line.strip_suffix(b" blacklisted") {
        return Some((before, Told::Blacklisted));
    }
    if let Some((before, length)) = split_last(line, b" accepted after ") {
        return Some((before, Told::Accepted(clock(length)?)));
    }
    let (before, length) = split_last(line, b" for ")?;
    clock(length)?;
    let before = before
        .strip_suffix(b" delayed")
        .or_else(|| before.strip_suffix(b" delayed after DATA phase"))?;
    Some((before, Told::Delayed))
}

/// Behind `QID: skipping greylist because `: `WHY, (from=FROM, rcpt=RCPT, addr=HOST[IP]) ACL ID`.
fn skipped(rest: &[u8]) -> Option<Sighting<'_>> {
    let (line, acl) = split_last(rest, b") ACL ")?;
    let (line, at) = split_last(line, b", addr=")?;
    let (name, address, _) = client(at)?;
    let (line, recipient) = split_last(line, b", rcpt=")?;
    let (why, sender) = split(line, b"(from=")?;
    let recipient = if recipient == b"(nil)" {
        b""
    } else {
        recipient
    };
    let subject = subject(address, name, sender, recipient);
    Some(passed(subject, Reason::Rule, named(acl, cause(why)), None))
}

/// Behind `QID: Sender IP `: `IP and address FROM are SPF-compliant, bypassing greylist`.
fn spf(rest: &[u8]) -> Option<Sighting<'_>> {
    let line = rest.strip_suffix(b" are SPF-compliant, bypassing greylist")?;
    let (address, sender) = split(line, b" and address ")?;
    let subject = subject(address, b"", sender, b"");
    Some(passed(subject, Reason::SpfPassed, Cow::Borrowed(b""), None))
}

/// Sender and recipient with a word between them, in brackets or not.
fn pair<'a>(text: &'a [u8], between: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    if text.starts_with(b"<") && text.ends_with(b">") {
        let mark = [b">", between, b"<"].concat();
        let at = memchr::memmem::find(text, &mark)?;
        let recipient = at + mark.len() - 1;
        return Some((&text[..=at], &text[recipient..]));
    }
    split(text, between)
}

fn subject<'a>(
    client: &'a [u8],
    name: &'a [u8],
    sender: &'a [u8],
    recipient: &'a [u8],
) -> Subject<'a> {
    Subject {
        client: client.into(),
        name: name.into(),
        sender: without_brackets(sender).into(),
        recipient: without_brackets(recipient).into(),
        words: Cow::default(),
    }
}

/// A rule by its name, and by what in it made the mail pass.
fn named(acl: &[u8], cause: &[u8]) -> Cow<'static, [u8]> {
    let mut text = b"ACL ".to_vec();
    text.extend_from_slice(acl);
    if !cause.is_empty() {
        text.extend_from_slice(b": ");
        text.extend_from_slice(cause);
    }
    Cow::Owned(text)
}

/// What a cause is, without whose: a report counts by it.
fn cause(why: &[u8]) -> &[u8] {
    const CAUSES: [(&[u8], &[u8]); 15] = [
        (b"sender DNS name ", b"domain"),
        (b"recipient ", b"rcpt"),
        (b"at least one recipient ", b"rcpt"),
        (b"is not in DNSRBL", b"not in dnsrbl"),
        (b"is in DNSRBL", b"dnsrbl"),
        (b"matches MX record", b"mx"),
        (b"is not SPF-compliant", b"no spf"),
        (b"is SPF-compliant", b"spf"),
        (b"is DKIM-compliant", b"dkim"),
        (b"URL check", b"urlcheck"),
        (b"macro rule", b"sm_macro"),
        (b"geoip", b"geoip"),
        (b"tarpit", b"tarpit"),
        (b"default action", b"default"),
        (b"address ", b"addr"),
    ];
    let is_it = |(mark, _): &&(&[u8], &[u8])| memchr::memmem::find(why, mark).is_some();
    match CAUSES.iter().find(is_it) {
        Some((_, name)) => name,
        None if why.starts_with(b"sender ") => b"from",
        None => b"",
    }
}

/// `HH:MM:SS`.
fn clock(text: &[u8]) -> Option<Seconds> {
    let mut total = 0_i64;
    let mut parts = 0;
    for part in text.split(|byte| *byte == b':') {
        let part: i64 = std::str::from_utf8(part).ok()?.parse().ok()?;
        total = total.checked_mul(60)?.checked_add(part)?;
        parts += 1;
    }
    (parts == 3).then_some(Seconds(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'a>(name: &'a str, recipient: &'a str) -> Subject<'a> {
        Subject {
            client: b"192.0.2.10".into(),
            name: name.as_bytes().into(),
            sender: b"a@x.org".into(),
            recipient: recipient.as_bytes().into(),
            words: Cow::default(),
        }
    }

    fn pass(reason: Reason, rule: &str, age: Option<i64>) -> What<'_> {
        What::Passed {
            reason,
            rule: rule.as_bytes().into(),
            age: age.map(Seconds),
        }
    }

    #[test]
    fn each_line_of_the_corpus_is_read() {
        let deferred = What::Deferred { reason: None };
        let mail = "mail.example.org";
        for (line, what, subject) in [
            (
                "QID1: addr mail.example.org[192.0.2.10] from <a@x.org> to <b@y.net> delayed for 01:00:00 (ACL 6)",
                deferred.clone(),
                of(mail, "b@y.net"),
            ),
            (
                "(unknown id): addr mail.example.org[192.0.2.10] from <a@x.org> to <b@y.net> delayed after DATA phase for 100:00:00 (ACL 6)",
                deferred,
                of(mail, "b@y.net"),
            ),
            (
                "QID1: addr mail.example.org[192.0.2.10] from <a@x.org> to <b@y.net> accepted after 00:05:01 (ACL 6)",
                pass(Reason::Retry, "", Some(301)),
                of(mail, "b@y.net"),
            ),
            (
                "QID1: addr 192.0.2.10 from <a@x.org> rcpt <b@y.net>: autowhitelisted for another 24:00:00",
                pass(Reason::Known, "", None),
                of("", "b@y.net"),
            ),
            (
                "QID1: addr mail.example.org[192.0.2.10] from <a@x.org> to <bl@y.net> blacklisted (ACL c2)",
                What::Refused {
                    reason: Reason::Rule,
                    rule: b"ACL c2".into(),
                },
                of(mail, "bl@y.net"),
            ),
            (
                "QID1: addr mail.example.org[192.0.2.10] from <a@x.org> blacklisted (ACL c2)",
                What::Refused {
                    reason: Reason::Rule,
                    rule: b"ACL c2".into(),
                },
                of(mail, ""),
            ),
            (
                "QID1: skipping greylist because recipient <w@y.net> is whitelisted, (from=<a@x.org>, rcpt=<w@y.net>, addr=mail.example.org[192.0.2.10]) ACL c2",
                pass(Reason::Rule, "ACL c2: rcpt", None),
                of(mail, "w@y.net"),
            ),
            (
                "QID1: skipping greylist because this is the default action, (from=<a@x.org>, rcpt=(nil), addr=mail.example.org[192.0.2.10]) ACL 9",
                pass(Reason::Rule, "ACL 9: default", None),
                of(mail, ""),
            ),
            (
                "QID1: Sender IP 192.0.2.10 and address <a@x.org> are SPF-compliant, bypassing greylist",
                pass(Reason::SpfPassed, "", None),
                of("", ""),
            ),
            (
                "User joe authenticated, bypassing greylisting",
                pass(Reason::Authenticated, "", None),
                Subject::default(),
            ),
        ] {
            let expected = Sighting { what, subject };
            assert_eq!(read(line.as_bytes()), Some(expected), "{line}");
        }
    }

    #[test]
    fn causes_are_named_without_whose_they_are() {
        for (why, name) in [
            ("address 192.0.2.1 is whitelisted, ", "addr"),
            ("address 192.0.2.1 is not in DNSRBL, ", "not in dnsrbl"),
            ("sender DNS name mx.x is whitelisted, ", "domain"),
            ("sender <a@b> is whitelisted, ", "from"),
            ("sender is SPF-compliant, ", "spf"),
            ("", ""),
        ] {
            assert_eq!(cause(why.as_bytes()), name.as_bytes(), "{why}");
        }
    }

    #[test]
    fn other_lines_are_not_read() {
        for line in [
            "",
            "QID1: addr ",
            "QID1: addr 192.0.2.10 flushed, removed 2 grey and autowhite (ACL 8)",
            "QID1: addr m[192.0.2.10] from <a@x.org> to <b@y.net> delayed for soon (ACL 6)",
            "QID1: addr m[192.0.2.10] from <a@x.org> to <b@y.net> delayed for 01:00:00",
            "reloading config file \"/etc/mail/greylist.conf\"",
            "(local): 192.0.2.1 from <a@b> to <c@d>: greylisted entry timed out",
        ] {
            assert_eq!(read(line.as_bytes()), None, "{line}");
        }
    }
}
