//! The dialect `json`: one object per line.

use greylatch_core::Field;

use crate::escape::escaped;
use crate::record::DecisionRecord;

/// Appends the decision line; its fields are those of `docs/log-fields.md`, and `msg` is readable
/// alone.
pub fn json_line(out: &mut Vec<u8>, record: &DecisionRecord<'_>) {
    let decision = record.decision;
    let attempt = record.attempt;
    let sender = escaped(attempt.text(Field::Sender));
    let recipient = escaped(attempt.text(Field::Recipient));
    let client = escaped(attempt.text(Field::ClientAddress));
    let verdict = record.verdict();
    let reason = decision.reason.word();
    out.push(b'{');
    let msg = format!("{verdict} <{sender}> to <{recipient}> from {client}: {reason}");
    push(out, "msg", &msg);
    push(out, "verdict", verdict);
    push(out, "reason", reason);
    push(out, "frontend", record.frontend);
    push(out, "client", &client);
    if let Some(net) = record.net {
        push(out, "net", &net.to_string());
    }
    push(out, "name", &escaped(attempt.text(Field::ClientName)));
    push(out, "sender", &sender);
    push(out, "recipient", &recipient);
    if let Some(words) = attempt.field(Field::Words) {
        push(out, "words", &escaped(words));
    }
    number(out, "wait_s", decision.wait.0);
    number(out, "age_s", decision.age.0);
    if let Some(store_ms) = record.store_ms {
        number(out, "store_ms", store_ms);
    }
    if let Some(rule) = record.rule {
        push(out, "rule", &escaped(rule.as_bytes()));
    }
    push(out, "queue_id", &escaped(attempt.text(Field::QueueId)));
    out.push(b'}');
}

fn key(out: &mut Vec<u8>, key: &str) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Appends a text that holds no control characters any more.
fn push(out: &mut Vec<u8>, name: &str, text: &str) {
    key(out, name);
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

fn number(out: &mut Vec<u8>, name: &str, number: impl ToString) {
    key(out, name);
    out.extend_from_slice(number.to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use greylatch_core::{Attempt, Decision, Outcome, Reason};

    use super::*;

    #[test]
    fn any_bytes_give_one_object_on_one_line() {
        let mut attempt = Attempt::new();
        attempt.set(Field::ClientAddress, b"192.0.2.9");
        attempt.set(Field::Sender, b"a\"\\\x1b\xff@example.com");
        let decision = Decision::of(Outcome::Pass, Reason::Known);
        let mut line = Vec::new();
        json_line(
            &mut line,
            &DecisionRecord {
                frontend: "policy",
                attempt: &attempt,
                net: "192.0.2.0/24".parse().ok(),
                store_ms: Some(0),
                decision: &decision,
                header_sent: false,
                rule: None,
                would_defer: false,
            },
        );
        assert_eq!(
            String::from_utf8_lossy(&line),
            r#"{"msg":"pass <a\"\\\\x1b\\xff@example.com> to <> from 192.0.2.9: known","verdict":"pass","reason":"known","frontend":"policy","client":"192.0.2.9","net":"192.0.2.0/24","name":"","sender":"a\"\\\\x1b\\xff@example.com","recipient":"","wait_s":0,"age_s":0,"store_ms":0,"queue_id":""}"#
        );
    }
}
