//! An entry of systemd's journal as `journalctl -o json` writes it: one JSON object in a line.
//!
//! Source: journalctl(1), `--output=json`: a field that is no printable UTF-8 is a list of its bytes,
//! one that an entry has several times a list of its values, and one that is too large `null`.

use greylatch_core::Timestamp;
use memchr::memmem;
use serde_json::{Map, Value};

use super::time;
use crate::entry::Entry;

/// What a report needs of such an entry.
pub(crate) struct JsonEntry {
    at: Option<Timestamp>,
    host: Vec<u8>,
    program: Vec<u8>,
    message: Vec<u8>,
}

impl JsonEntry {
    /// Reads a line, if it is one of these.
    pub(crate) fn read(line: &[u8]) -> Option<Self> {
        if line.first() != Some(&b'{') || memmem::find(line, b"\"MESSAGE\"").is_none() {
            return None;
        }
        let fields: Map<String, Value> = serde_json::from_slice(line).ok()?;
        let field = |name: &str| fields.get(name).and_then(bytes);
        Some(Self {
            at: time(&field("__REALTIME_TIMESTAMP")?),
            host: field("_HOSTNAME").unwrap_or_default(),
            program: field("SYSLOG_IDENTIFIER").unwrap_or_default(),
            message: field("MESSAGE")?,
        })
    }

    pub(crate) fn entry(&self) -> Entry<'_> {
        Entry {
            at: self.at,
            host: &self.host,
            program: &self.program,
            message: &self.message,
        }
    }
}

/// A value, or the first of several.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Array(values) => match values.first()? {
            Value::Number(_) => {
                let byte = |value: &Value| u8::try_from(value.as_u64()?).ok();
                values.iter().map(byte).collect()
            }
            // No value holds another that has several.
            Value::Array(inner) if inner.iter().any(Value::is_array) => None,
            first => bytes(first),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_whatever_its_fields_are_written_as() {
        let line = br#"{"MESSAGE":[97,255],"__REALTIME_TIMESTAMP":"1795521600999999","_HOSTNAME":["mail","x"],"SYSLOG_IDENTIFIER":"postfix/smtpd","X":null}"#;
        let read = JsonEntry::read(line).expect("it is one");
        let expected = Entry {
            at: Some(Timestamp(1_795_521_600)),
            host: b"mail",
            program: b"postfix/smtpd",
            message: b"a\xff",
        };
        assert_eq!(read.entry(), expected);
    }

    #[test]
    fn other_lines_are_none() {
        for line in [
            &b"{\"MESSAGE\":\"x\"}"[..],
            b"{\"MESSAGE\":null,\"__REALTIME_TIMESTAMP\":\"1\"}",
            b"{\"MESSAGE\":[256],\"__REALTIME_TIMESTAMP\":\"1\"}",
            b"{\"MESSAGE\":[[[1]]],\"__REALTIME_TIMESTAMP\":\"1\"}",
            b"{\"MESSAGE\":\"x\",\"__REALTIME_TIMESTAMP\":\"1\"",
            b"{\"verdict\":\"pass\"}",
            b"x \"MESSAGE\"",
        ] {
            assert!(JsonEntry::read(line).is_none(), "{}", line.escape_ascii());
        }
    }
}
