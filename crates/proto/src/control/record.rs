//! Records as JSON: what `greylatch entries export` writes and `import` reads, one a line.

use greylatch_core::{ClientRecord, Entry, Record, Standing};
use serde_json::{Value, json};

use super::wire::{self, DecodeError};

/// A record as one line, without its end.
#[must_use]
pub fn record_to_json(record: &Record) -> String {
    to_json(record).to_string()
}

/// A record from one line.
///
/// # Errors
/// [`DecodeError`] says what is missing or of the wrong kind.
pub fn record_from_json(line: &str) -> Result<Record, DecodeError> {
    from_json(&wire::parse(line.as_bytes())?)
}

pub(crate) fn to_json(record: &Record) -> Value {
    match record {
        Record::Triplet {
            key,
            client,
            sender,
            recipient,
            entry,
        } => json!({
            "key": wire::hex(key),
            "client": wire::from_bytes(client),
            "sender": wire::from_bytes(sender),
            "recipient": wire::from_bytes(recipient),
            "standing": entry.standing.word(),
            "first": entry.first.0,
            "last": entry.last.0,
            "due": entry.due.0,
            "expires": entry.expires.0,
        }),
        Record::Client {
            key,
            address,
            record,
        } => json!({
            "key": wire::hex(key),
            "address": wire::from_bytes(address),
            "passes": record.passes,
            "last": record.last.0,
            "expires": record.expires.0,
        }),
    }
}

pub(super) fn from_json(value: &Value) -> Result<Record, DecodeError> {
    // A key is needed only where there is no text to make one of.
    let key = match wire::optional(value, "key") {
        Some(_) => wire::key(value, "key")?,
        None => [0; 16],
    };
    if wire::optional(value, "address").is_some() {
        return Ok(Record::Client {
            key,
            address: wire::bytes(value, "address")?,
            record: ClientRecord {
                passes: wire::small(value, "passes")?,
                last: wire::time(value, "last")?,
                expires: wire::time(value, "expires")?,
            },
        });
    }
    Ok(Record::Triplet {
        key,
        client: wire::bytes(value, "client")?,
        sender: wire::bytes(value, "sender")?,
        recipient: wire::bytes(value, "recipient")?,
        entry: entry(value)?,
    })
}

pub(super) fn entry(value: &Value) -> Result<Entry, DecodeError> {
    Ok(Entry {
        first: wire::time(value, "first")?,
        last: wire::time(value, "last")?,
        due: wire::time(value, "due")?,
        expires: wire::time(value, "expires")?,
        standing: standing(value)?,
    })
}

pub(super) fn standing(value: &Value) -> Result<Standing, DecodeError> {
    let word = wire::string(value, "standing")?;
    let mut all = Standing::ALL.into_iter();
    all.find(|standing| standing.word() == word)
        .ok_or(DecodeError::Kind("standing"))
}

#[cfg(test)]
mod tests {
    use greylatch_core::Timestamp;

    use super::*;

    #[test]
    fn records_come_back_as_they_were() {
        let entry = |standing| Entry {
            first: Timestamp(-1),
            last: Timestamp(2),
            due: Timestamp(3),
            expires: Timestamp(i64::MAX),
            standing,
        };
        for standing in Standing::ALL {
            let record = Record::Triplet {
                key: [0xab; 16],
                client: b"192.0.2.0/24".to_vec(),
                sender: b"\xff\"\\\n@x".to_vec(),
                recipient: vec![],
                entry: entry(standing),
            };
            let line = record_to_json(&record);
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(record_from_json(&line), Ok(record));
        }
        let client = Record::Client {
            key: [1; 16],
            address: b"192.0.2.1".to_vec(),
            record: ClientRecord {
                passes: 5,
                last: Timestamp(1),
                expires: Timestamp(2),
            },
        };
        assert_eq!(record_from_json(&record_to_json(&client)), Ok(client));
    }

    #[test]
    fn what_is_wrong_in_a_line_is_named() {
        assert_eq!(record_from_json("{}"), Err(DecodeError::Missing("client")));
        let line = r#"{"client":"a","sender":"b","recipient":"c","first":"x","last":1,"due":1,"expires":1,"standing":"waiting"}"#;
        assert_eq!(record_from_json(line), Err(DecodeError::Kind("first")));
        assert_eq!(
            record_from_json(&line.replace("\"x\"", "1").replace("waiting", "sitting")),
            Err(DecodeError::Kind("standing"))
        );
        assert!(matches!(
            record_from_json("nonsense"),
            Err(DecodeError::Json(_))
        ));
    }
}
