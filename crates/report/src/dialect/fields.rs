//! Our decision lines in the forms `logfmt` and `json`. Their fields are those of `docs/log-fields.md`.

use std::borrow::Cow;

use greylatch_core::Seconds;
use serde_json::{Map, Value};

use super::postgrey::{number, word};
use crate::sighting::{Sighting, Subject, What};

/// What a message tells, if it is such a line.
pub(crate) fn read(message: &[u8]) -> Option<Sighting<'_>> {
    match message.first()? {
        b'{' => json(message),
        b'v' if message.starts_with(b"verdict=") => logfmt(message),
        _ => None,
    }
}

/// The fields that a report needs.
#[derive(Default)]
struct Fields<'a> {
    verdict: Cow<'a, [u8]>,
    reason: Cow<'a, [u8]>,
    rule: Cow<'a, [u8]>,
    age: Option<Seconds>,
    subject: Subject<'a>,
}

impl<'a> Fields<'a> {
    fn set(&mut self, key: &[u8], value: Cow<'a, [u8]>) {
        let subject = &mut self.subject;
        let text = match key {
            b"verdict" => &mut self.verdict,
            b"reason" => &mut self.reason,
            b"rule" => &mut self.rule,
            b"client" => &mut subject.client,
            b"name" => &mut subject.name,
            b"sender" => &mut subject.sender,
            b"recipient" => &mut subject.recipient,
            b"words" => &mut subject.words,
            b"age_s" => {
                self.age = number(&value).filter(|age| age.0 > 0);
                return;
            }
            _ => return,
        };
        *text = value;
    }

    fn told(self) -> Option<Sighting<'a>> {
        let reason = word(&self.reason)?;
        let what = match &self.verdict[..] {
            b"pass" => What::Passed {
                reason,
                rule: self.rule,
                age: self.age,
            },
            b"defer" => What::Deferred {
                reason: Some(reason),
            },
            b"would-defer" => What::WouldDefer,
            b"refuse" => What::Refused {
                reason,
                rule: self.rule,
            },
            _ => return None,
        };
        Some(Sighting {
            what,
            subject: self.subject,
        })
    }
}

fn logfmt(message: &[u8]) -> Option<Sighting<'_>> {
    let mut fields = Fields::default();
    let mut rest = message;
    while !rest.is_empty() {
        let equals = memchr::memchr(b'=', rest)?;
        let (key, behind) = (&rest[..equals], &rest[equals + 1..]);
        let (value, behind) = match behind.strip_prefix(b"\"") {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = memchr::memchr(b' ', behind).unwrap_or(behind.len());
                (Cow::Borrowed(&behind[..end]), &behind[end..])
            }
        };
        fields.set(key, value);
        rest = behind.strip_prefix(b" ").unwrap_or(behind);
        if rest.len() == behind.len() && !rest.is_empty() {
            return None;
        }
    }
    fields.told()
}

/// A value up to its closing quote, and what stands behind that.
fn unquoted(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let end = memchr::memchr2(b'"', b'\\', text)?;
    if text[end] == b'"' {
        return Some((Cow::Borrowed(&text[..end]), &text[end + 1..]));
    }
    let mut value = text[..end].to_vec();
    let mut rest = &text[end..];
    loop {
        let (byte, behind) = rest.split_first()?;
        rest = behind;
        match byte {
            b'"' => return Some((Cow::Owned(value), rest)),
            b'\\' => {
                let (escaped, behind) = rest.split_first()?;
                value.push(*escaped);
                rest = behind;
            }
            byte => value.push(*byte),
        }
    }
}

fn json(message: &[u8]) -> Option<Sighting<'_>> {
    let object: Map<String, Value> = serde_json::from_slice(message).ok()?;
    let mut fields = Fields::default();
    for (key, value) in object {
        let text = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            _ => continue,
        };
        fields.set(key.as_bytes(), Cow::Owned(text.into_bytes()));
    }
    fields.told()
}

#[cfg(test)]
mod tests {
    use greylatch_core::Reason;

    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let logfmt = "verdict=pass reason=retry frontend=policy client=192.0.2.9 net=192.0.2.0/24 \
            name=mx.example.com sender=\"\" recipient=\"\\\"a b\\\"@example.org\" age_s=301 store_ms=3 \
            rule=\"greylatch.toml:3: greylist\" queue_id=4F9";
        let json = r#"{"msg":"pass <> to <\"a b\"@example.org> from 192.0.2.9: retry","verdict":"pass","reason":"retry","frontend":"policy","client":"192.0.2.9","net":"192.0.2.0/24","name":"mx.example.com","sender":"","recipient":"\"a b\"@example.org","wait_s":0,"age_s":301,"store_ms":3,"rule":"greylatch.toml:3: greylist","queue_id":"4F9"}"#;
        let expected = Sighting {
            what: What::Passed {
                reason: Reason::Retry,
                rule: b"greylatch.toml:3: greylist".into(),
                age: Some(Seconds(301)),
            },
            subject: Subject {
                client: b"192.0.2.9".into(),
                name: b"mx.example.com".into(),
                recipient: b"\"a b\"@example.org".into(),
                ..Subject::default()
            },
        };
        for line in [logfmt, json] {
            assert_eq!(read(line.as_bytes()).as_ref(), Some(&expected), "{line}");
        }
    }

    #[test]
    fn each_verdict_is_read() {
        for (verdict, reason, what) in [
            (
                "defer",
                "new",
                What::Deferred {
                    reason: Some(Reason::New),
                },
            ),
            ("would-defer", "new", What::WouldDefer),
            (
                "refuse",
                "rule",
                What::Refused {
                    reason: Reason::Rule,
                    rule: b"".into(),
                },
            ),
        ] {
            let line = format!("verdict={verdict} reason={reason} client=192.0.2.9");
            let told = read(line.as_bytes()).map(|found| found.what);
            assert_eq!(told, Some(what), "{line}");
        }
    }

    #[test]
    fn other_lines_are_not_read() {
        for line in [
            "verdict=pass",
            "verdict=pass reason=x",
            "verdict=x reason=new",
            "verdict=pass reason=new sender=\"",
            "verdict=pass reason=new sender=\"\"x",
            "verdict=pass reason=new sender",
            "{\"verdict\":\"pass\"}",
            "{\"verdict\":\"pass\",",
            "{",
            "[1]",
        ] {
            assert_eq!(read(line.as_bytes()), None, "{line}");
        }
    }
}
