//! Questions and answers over HTTP: JSON bodies and query strings, published in `docs/openapi.yaml`.
//!
//! Only what is said is here, as with the other protocols; methods, paths, tokens and the bytes of HTTP
//! itself are the server's. A body or query with mistakes is answered with all of them, each with its
//! place and cure; nothing that is misspelt counts as left out.
//!
//! Source: RFC 8259 (JSON), RFC 9457 (problem details).

mod answer;
mod members;
mod problem;
mod query;

use greylatch_core::{AddressDialect, Attempt, Field, Request, Stage, Standing};
use serde_json::Value;

use self::members::Members;

pub use self::answer::{encode_count, encode_judgement, encode_page};
pub use self::problem::{HttpFault, HttpProblem, encode_problem};
pub use self::query::{decode_list, decode_removal};

/// The fields of an attempt with their names in a question, which are those of the log.
const FIELDS: [(&str, Field); 9] = [
    ("client", Field::ClientAddress),
    ("name", Field::ClientName),
    ("helo", Field::Helo),
    ("sender", Field::Sender),
    ("recipient", Field::Recipient),
    ("login", Field::Login),
    ("tls", Field::TlsProtocol),
    ("queue_id", Field::QueueId),
    ("instance", Field::Instance),
];

/// Without these nothing can be judged or set.
const NEEDED: [&str; 3] = ["client", "sender", "recipient"];

/// Longer values are cut, as in the policy protocol.
const VALUE_MAX: usize = 512;

/// How a client is called whose name the MTA has not confirmed.
///
/// Source: Postfix SMTPD_POLICY_README, "Protocol description" (`client_name`).
const UNKNOWN: &[u8] = b"unknown";

/// An attempt to be judged, from the body of a question.
///
/// # Errors
/// [`HttpProblem::Json`] or [`HttpProblem::Faults`], with every mistake.
pub fn decode_check(body: &[u8]) -> Result<Attempt, HttpProblem> {
    let mut members = Members::read(body)?;
    let mut attempt = Attempt::new();
    attempt.set(Field::ClientName, UNKNOWN);
    for (name, field) in FIELDS {
        set(&mut members, &mut attempt, name, field);
    }
    let stages = [("rcpt", Stage::Rcpt), ("data", Stage::Data)];
    if let Some(stage) = members.word("stage", &stages) {
        attempt.set_stage(stage);
    }
    let count = members.count("recipient_count").unwrap_or(1);
    attempt.set(Field::RecipientCount, count.to_string().as_bytes());
    members.finish()?;
    Ok(attempt)
}

/// What is to be remembered of a client, sender and recipient from now on, from the body of a
/// question.
///
/// # Errors
/// As [`decode_check`].
pub fn decode_standing(body: &[u8]) -> Result<Request, HttpProblem> {
    let mut members = Members::read(body)?;
    let mut attempt = Attempt::new();
    for (name, field) in FIELDS {
        if NEEDED.contains(&name) {
            set(&mut members, &mut attempt, name, field);
        }
    }
    let by_hand =
        [Standing::Allowed, Standing::Refused].map(|standing| (standing.word(), standing));
    members.need("standing");
    let standing = members.word("standing", &by_hand);
    members.finish()?;
    Ok(Request::Set {
        attempt: attempt.into(),
        standing: standing.unwrap_or(Standing::Allowed),
    })
}

/// Takes one member over into the attempt.
fn set(members: &mut Members, attempt: &mut Attempt, name: &'static str, field: Field) {
    if NEEDED.contains(&name) {
        members.need(name);
    }
    let Some(text) = members.text(name) else {
        return;
    };
    let text = text.into_bytes();
    if field == Field::ClientAddress && AddressDialect::Strict.parse(&text).is_none() {
        members.fault(
            name,
            "is no address; write an IPv4 or IPv6 address, for example \"192.0.2.9\"",
        );
        return;
    }
    attempt.set(field, text.get(..VALUE_MAX).unwrap_or(&text));
}

fn to_line(value: &Value) -> Vec<u8> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}
