//! The dialect `postgrey`: the lines that Postgrey 1.37 writes, byte for byte, with control bytes
//! and broken UTF-8 escaped.
//!
//! Source: Postgrey 1.37 as observed by running it.

use std::net::IpAddr;

use greylatch_core::{Field, Notice, Outcome, Reason, postgrey_text};

use crate::record::DecisionRecord;

/// How grave a line is to Postgrey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Always written, syslog `err`.
    Error,
    /// Always written, syslog `warning`.
    Warning,
    /// As a warning, said by Perl's `warn`: in syslog with [`POSTGREY_COMPLAINT`] before it.
    Complaint,
    /// Not written with `--quiet`, syslog `notice`.
    Notice,
    /// Written with `--verbose` only, syslog `info`.
    Info,
}

impl Level {
    /// The number of the syslog severity.
    ///
    /// Source: RFC 5424 §6.2.1, table 2.
    #[must_use]
    pub fn severity(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Warning | Self::Complaint => 4,
            Self::Notice => 5,
            Self::Info => 6,
        }
    }
}

/// What stands before a complaint in syslog.
pub const POSTGREY_COMPLAINT: &[u8] = b"WARNING: ";

/// What stands in syslog before the reason for which it does not start.
pub const POSTGREY_END: &[u8] = b"FATAL: ";

/// Appends the decision line.
pub fn postgrey_line(out: &mut Vec<u8>, record: &DecisionRecord<'_>) {
    let attempt = record.attempt;
    if is_true(attempt.text(Field::QueueId)) {
        value(out, attempt.text(Field::QueueId));
        out.extend_from_slice(b": ");
    }
    action(out, record);
    for (name, field) in [
        (", client_name=", Field::ClientName),
        (", client_address=", Field::ClientAddress),
        (", sender=", Field::Sender),
        (", recipient=", Field::Recipient),
        (", words=", Field::Words),
    ] {
        let text = attempt.text(field);
        if is_true(text) {
            out.extend_from_slice(name.as_bytes());
            value(out, text);
        }
    }
}

/// Perl takes an empty text and `0` for false.
fn is_true(text: &[u8]) -> bool {
    !text.is_empty() && text != b"0"
}

fn action(out: &mut Vec<u8>, record: &DecisionRecord<'_>) {
    let decision = record.decision;
    let word: &str = match (decision.outcome, decision.reason) {
        (Outcome::Defer, _) if record.would_defer => "action=pass, reason=would-defer",
        (Outcome::Defer, Reason::New) => "action=greylist, reason=new",
        (Outcome::Defer, Reason::EarlyRetry) => {
            let missing = format!(
                "action=greylist, reason=early-retry ({}s missing)",
                decision.wait.0
            );
            out.extend_from_slice(missing.as_bytes());
            return;
        }
        (Outcome::Pass, Reason::Retry) if record.header_sent => {
            let delay = format!(
                "action=pass, reason=triplet found, delay={}",
                decision.age.0
            );
            out.extend_from_slice(delay.as_bytes());
            return;
        }
        (Outcome::Pass, Reason::Retry | Reason::Known) => "action=pass, reason=triplet found",
        (Outcome::Pass, Reason::ClientListed) => "action=pass, reason=client whitelist",
        (Outcome::Pass, Reason::RecipientListed) => "action=pass, reason=recipient whitelist",
        (Outcome::Pass, Reason::ClientExempt) => "action=pass, reason=client AWL",
        (outcome, reason) => {
            let action: &[u8] = match outcome {
                Outcome::Pass => b"action=pass, reason=",
                Outcome::Defer => b"action=greylist, reason=",
                Outcome::Refuse => b"action=refuse, reason=",
            };
            out.extend_from_slice(action);
            out.extend_from_slice(reason.word().as_bytes());
            return;
        }
    };
    out.extend_from_slice(word.as_bytes());
}

/// Appends a value as Postgrey writes it to standard error: each `%` doubled, and every byte that
/// is no printable ASCII as `%XX`.
fn value(out: &mut Vec<u8>, text: &[u8]) {
    // Looking at every byte lets many be looked at in one step.
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') & (*byte != b'%');
    if text.iter().fold(true, |plain, byte| plain & is_plain(byte)) {
        out.extend_from_slice(text);
        return;
    }
    for byte in text {
        match byte {
            b'%' => out.extend_from_slice(b"%%"),
            b' '..=b'~' => out.push(*byte),
            byte => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
}

/// Appends the line about a client that has just become exempt.
pub fn postgrey_exempted(out: &mut Vec<u8>, name: &[u8], client: IpAddr) {
    let address = postgrey_text(client).to_ascii_uppercase();
    out.extend_from_slice(b"whitelisted: ");
    if is_true(name) {
        value(out, name);
        out.extend_from_slice(format!("[{address}]").as_bytes());
    } else {
        out.extend_from_slice(address.as_bytes());
    }
}

/// Appends the line about something that a protocol noticed; gives its level.
pub fn postgrey_notice(out: &mut Vec<u8>, notice: &Notice) -> Level {
    let mut quoted = |before: &str, text: &[u8], after: &str| {
        out.extend_from_slice(before.as_bytes());
        value(out, text);
        out.extend_from_slice(after.as_bytes());
    };
    match notice {
        Notice::Garbage(text) => {
            quoted("ignoring garbage: <", text, ">");
            Level::Warning
        }
        Notice::UnknownRequest(text) => {
            quoted("unrecognized request type: '", text, "'");
            Level::Error
        }
        Notice::MissingAttribute(name) => {
            quoted("attribute missing: ", name.as_bytes(), "");
            Level::Complaint
        }
        Notice::UnknownVersion(text) => {
            quoted("unknown protocol version: '", text, "'");
            Level::Error
        }
        Notice::UnreadableAddress(text) => {
            quoted("can't parse client_address from postfix: ", text, "");
            Level::Complaint
        }
    }
}

#[cfg(test)]
mod tests {
    use greylatch_core::{Attempt, Decision, Seconds};

    use super::*;

    fn line(fields: &[(Field, &[u8])], decision: Decision, header_sent: bool) -> String {
        let mut attempt = Attempt::new();
        fields
            .iter()
            .for_each(|(field, text)| attempt.set(*field, text));
        let record = DecisionRecord {
            net: None,
            store_ms: None,
            frontend: "policy",
            attempt: &attempt,
            decision: &decision,
            header_sent,
            rule: None,
            would_defer: false,
        };
        let mut out = Vec::new();
        postgrey_line(&mut out, &record);
        String::from_utf8(out).expect("escaped")
    }

    #[test]
    fn decisions_are_written_in_postgreys_words() {
        let fields: [(Field, &[u8]); 5] = [
            (Field::QueueId, b"399109B806E"),
            (Field::ClientName, b"mx.example.com"),
            (Field::ClientAddress, b"192.0.2.10"),
            (Field::Sender, b"%s%n@x\x1b"),
            (Field::Recipient, b"bob@example.org"),
        ];
        let tail = ", client_name=mx.example.com, client_address=192.0.2.10, sender=%%s%%n@x%1B, recipient=bob@example.org";
        let early = Decision {
            wait: Seconds(1),
            ..Decision::of(Outcome::Defer, Reason::EarlyRetry)
        };
        assert_eq!(
            line(&fields, early, false),
            format!("399109B806E: action=greylist, reason=early-retry (1s missing){tail}")
        );
        let retry = Decision {
            age: Seconds(300),
            ..Decision::of(Outcome::Pass, Reason::Retry)
        };
        let fields = &fields[1..];
        assert_eq!(
            line(fields, retry, true),
            format!("action=pass, reason=triplet found, delay=300{tail}")
        );
        assert_eq!(
            line(fields, retry, false),
            format!("action=pass, reason=triplet found{tail}")
        );
        let known = [
            (Outcome::Defer, Reason::New, "action=greylist, reason=new"),
            (
                Outcome::Pass,
                Reason::ClientListed,
                "action=pass, reason=client whitelist",
            ),
            (
                Outcome::Pass,
                Reason::RecipientListed,
                "action=pass, reason=recipient whitelist",
            ),
            (
                Outcome::Pass,
                Reason::ClientExempt,
                "action=pass, reason=client AWL",
            ),
            (
                Outcome::Pass,
                Reason::Known,
                "action=pass, reason=triplet found",
            ),
            (
                Outcome::Defer,
                Reason::Throttled,
                "action=greylist, reason=throttled",
            ),
            (
                Outcome::Pass,
                Reason::StoreDown,
                "action=pass, reason=store-down",
            ),
        ];
        for (outcome, reason, expected) in known {
            assert_eq!(
                line(fields, Decision::of(outcome, reason), false),
                format!("{expected}{tail}")
            );
        }
    }

    #[test]
    fn empty_values_and_zero_are_left_out() {
        let fields: [(Field, &[u8]); 3] = [
            (Field::ClientName, b""),
            (Field::Sender, b"0"),
            (Field::Recipient, b"b@c"),
        ];
        let new = Decision::of(Outcome::Defer, Reason::New);
        assert_eq!(
            line(&fields, new, false),
            "action=greylist, reason=new, recipient=b@c"
        );
    }

    #[test]
    fn notices_have_postgreys_levels() {
        let known = [
            (
                Notice::Garbage(b"hello world".to_vec()),
                Level::Warning,
                "ignoring garbage: <hello world>",
            ),
            (
                Notice::UnknownRequest(vec![]),
                Level::Error,
                "unrecognized request type: ''",
            ),
            (
                Notice::MissingAttribute("sender"),
                Level::Complaint,
                "attribute missing: sender",
            ),
            (
                Notice::UnknownVersion(b"0.8".to_vec()),
                Level::Error,
                "unknown protocol version: '0.8'",
            ),
            (
                Notice::UnreadableAddress(b"unknown".to_vec()),
                Level::Complaint,
                "can't parse client_address from postfix: unknown",
            ),
        ];
        for (notice, level, expected) in known {
            let mut out = Vec::new();
            assert_eq!(postgrey_notice(&mut out, &notice), level);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    #[test]
    fn a_client_that_is_exempt_now_is_named() {
        let mut out = Vec::new();
        postgrey_exempted(
            &mut out,
            b"mx.example.com",
            "192.0.2.10".parse().expect("an address"),
        );
        assert_eq!(out, b"whitelisted: mx.example.com[192.0.2.10]");
        out.clear();
        postgrey_exempted(&mut out, b"", "2001:db8::1".parse().expect("an address"));
        assert_eq!(out, b"whitelisted: 2001:DB8:0:0:0:0:0:1");
    }
}
