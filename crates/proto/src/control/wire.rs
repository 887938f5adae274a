//! The pieces that requests, answers and records are made of.

use greylatch_core::Timestamp;
use serde_json::{Value, json};

/// Why a line cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is no JSON.
    #[error("not a JSON object: {0}")]
    Json(String),
    /// A member is missing.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A member is of the wrong kind or out of range.
    #[error("`{0}` is not what is expected there")]
    Kind(&'static str),
    /// A question of a kind that there is not.
    #[error("nothing is known about asking `{0}`")]
    Unknown(String),
}

pub(super) fn parse(line: &[u8]) -> Result<Value, DecodeError> {
    serde_json::from_slice(line).map_err(|error| DecodeError::Json(error.to_string()))
}

/// A member that has to be there.
pub(super) fn member<'a>(value: &'a Value, name: &'static str) -> Result<&'a Value, DecodeError> {
    value
        .get(name)
        .filter(|member| !member.is_null())
        .ok_or(DecodeError::Missing(name))
}

/// A member that may be missing or null.
pub(super) fn optional<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.get(name).filter(|member| !member.is_null())
}

pub(super) fn integer(value: &Value, name: &'static str) -> Result<i64, DecodeError> {
    member(value, name)?.as_i64().ok_or(DecodeError::Kind(name))
}

pub(super) fn natural(value: &Value, name: &'static str) -> Result<u64, DecodeError> {
    member(value, name)?.as_u64().ok_or(DecodeError::Kind(name))
}

pub(super) fn small(value: &Value, name: &'static str) -> Result<u32, DecodeError> {
    u32::try_from(natural(value, name)?).map_err(|_| DecodeError::Kind(name))
}

pub(super) fn time(value: &Value, name: &'static str) -> Result<Timestamp, DecodeError> {
    integer(value, name).map(Timestamp)
}

pub(super) fn flag(value: &Value, name: &'static str) -> Result<bool, DecodeError> {
    member(value, name)?
        .as_bool()
        .ok_or(DecodeError::Kind(name))
}

pub(super) fn string(value: &Value, name: &'static str) -> Result<String, DecodeError> {
    let text = member(value, name)?
        .as_str()
        .ok_or(DecodeError::Kind(name))?;
    Ok(text.to_owned())
}

/// Bytes as a string, or as `{"hex": …}` when they are no UTF-8.
pub(super) fn from_bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "hex": hex(bytes) }),
    }
}

pub(super) fn bytes(value: &Value, name: &'static str) -> Result<Vec<u8>, DecodeError> {
    let member = member(value, name)?;
    match (member.as_str(), member.get("hex").and_then(Value::as_str)) {
        (Some(text), _) => Ok(text.as_bytes().to_vec()),
        (None, Some(digits)) => unhex(digits).ok_or(DecodeError::Kind(name)),
        (None, None) => Err(DecodeError::Kind(name)),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            let is_hex = pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit);
            let pair = std::str::from_utf8(pair).ok().filter(|_| is_hex)?;
            u8::from_str_radix(pair, 16).ok()
        })
        .collect()
}

pub(super) fn key(value: &Value, name: &'static str) -> Result<[u8; 16], DecodeError> {
    let digits = member(value, name)?
        .as_str()
        .ok_or(DecodeError::Kind(name))?;
    let bytes = unhex(digits).ok_or(DecodeError::Kind(name))?;
    bytes.try_into().map_err(|_| DecodeError::Kind(name))
}
