//! The dialect `logfmt`: `key=value` fields, quoted where needed.

use greylatch_core::Field;

use crate::escape::escaped;
use crate::record::DecisionRecord;

/// Appends the decision line; its fields are those of `docs/log-fields.md`.
pub fn logfmt_line(out: &mut Vec<u8>, record: &DecisionRecord<'_>) {
    let decision = record.decision;
    let attempt = record.attempt;
    push(out, "verdict", record.verdict().as_bytes());
    push(out, "reason", decision.reason.word().as_bytes());
    push(out, "frontend", record.frontend.as_bytes());
    push(out, "client", attempt.text(Field::ClientAddress));
    if let Some(net) = record.net {
        push(out, "net", net.to_string().as_bytes());
    }
    push(out, "name", attempt.text(Field::ClientName));
    push(out, "sender", attempt.text(Field::Sender));
    push(out, "recipient", attempt.text(Field::Recipient));
    if let Some(words) = attempt.field(Field::Words) {
        push(out, "words", words);
    }
    if decision.wait.0 > 0 {
        push(out, "wait_s", decision.wait.0.to_string().as_bytes());
    }
    if decision.age.0 > 0 {
        push(out, "age_s", decision.age.0.to_string().as_bytes());
    }
    if let Some(store_ms) = record.store_ms {
        push(out, "store_ms", store_ms.to_string().as_bytes());
    }
    if let Some(rule) = record.rule {
        push(out, "rule", rule.as_bytes());
    }
    if !attempt.text(Field::QueueId).is_empty() {
        push(out, "queue_id", attempt.text(Field::QueueId));
    }
}

fn push(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    if !out.is_empty() {
        out.push(b' ');
    }
    out.extend_from_slice(key.as_bytes());
    out.push(b'=');
    let text = escaped(value);
    if text.is_empty() || text.contains([' ', '"', '=', '\\']) {
        out.push(b'"');
        out.extend_from_slice(text.replace('\\', "\\\\").replace('"', "\\\"").as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use greylatch_core::{Attempt, Decision, Outcome, Reason, Seconds};

    use super::*;

    #[test]
    fn values_are_quoted_where_needed() {
        let mut attempt = Attempt::new();
        attempt.set(Field::ClientAddress, b"192.0.2.9");
        attempt.set(Field::ClientName, b"mx.example.com");
        attempt.set(Field::Recipient, b"\"a b\"@example.org");
        attempt.set(Field::QueueId, b"4F9");
        let decision = Decision {
            wait: Seconds(60),
            ..Decision::of(Outcome::Defer, Reason::New)
        };
        let mut line = Vec::new();
        logfmt_line(
            &mut line,
            &DecisionRecord {
                frontend: "policy",
                attempt: &attempt,
                net: "192.0.2.0/24".parse().ok(),
                store_ms: Some(3),
                decision: &decision,
                header_sent: false,
                rule: Some("greylatch.toml:3: greylist"),
                would_defer: false,
            },
        );
        assert_eq!(
            String::from_utf8_lossy(&line),
            "verdict=defer reason=new frontend=policy client=192.0.2.9 net=192.0.2.0/24 name=mx.example.com sender=\"\" \
             recipient=\"\\\"a b\\\"@example.org\" wait_s=60 store_ms=3 rule=\"greylatch.toml:3: greylist\" queue_id=4F9"
        );
    }
}
