//! Answers as JSON.

use greylatch_core::{Judgement, Page, Reply, Verdict};
use serde_json::{Value, json};

use crate::control::{hex, record_to_value};
use crate::reply::{Class, ReplyParts};

/// The longest text of a reply: with code and status it fits a line of SMTP.
///
/// Source: RFC 5321 §4.5.3.1.5 (512 octets).
const TEXT_MAX: usize = 480;

/// A verdict with why, and with all that an MTA says or does then.
#[must_use]
pub fn encode_judgement(judgement: &Judgement) -> Vec<u8> {
    let mut value = match &judgement.verdict {
        Verdict::Pass { header } => passed(header.as_deref()),
        // Of one recipient nothing is amended.
        Verdict::Amend(_) => passed(None),
        Verdict::Defer(reply) => turned_away("defer", Class::Defer, reply),
        Verdict::Refuse(reply) => turned_away("refuse", Class::Refuse, reply),
    };
    if let Some(members) = value.as_object_mut() {
        members.insert("reason".into(), judgement.reason.word().into());
        members.insert("wait_s".into(), judgement.wait.0.into());
        members.insert("age_s".into(), judgement.age.0.into());
        members.insert("rule".into(), json!(judgement.rule));
    }
    super::to_line(&value)
}

/// One page of records, in the words of `greylatch entries export`.
#[must_use]
pub fn encode_page(page: &Page) -> Vec<u8> {
    let entries: Vec<Value> = page.records.iter().map(record_to_value).collect();
    super::to_line(&json!({ "entries": entries, "next": page.next.map(|key| hex(&key)) }))
}

/// How many records were touched.
#[must_use]
pub fn encode_count(count: u64) -> Vec<u8> {
    super::to_line(&json!({ "count": count }))
}

fn passed(header: Option<&[u8]>) -> Value {
    json!({ "verdict": "pass", "header": header.and_then(parts_of_header) })
}

fn parts_of_header(line: &[u8]) -> Option<Value> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = line.split_at_checked(colon)?;
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    Some(json!({ "name": to_text(name), "value": to_text(value) }))
}

/// The code of a reply is three digits.
fn turned_away(verdict: &str, class: Class, reply: &Reply) -> Value {
    let parts = ReplyParts::of(class, reply, TEXT_MAX).keeping_the_session();
    let mut status = Vec::new();
    parts.push_enhanced(&mut status);
    let digits = parts.code().iter().map(|digit| u16::from(digit - b'0'));
    let code = digits.fold(0, |code, digit| code * 10 + digit);
    json!({ "verdict": verdict, "code": code, "status": to_text(&status), "text": to_text(parts.text()) })
}

/// What the administrator has written is text; of anything else, a likeness.
fn to_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
