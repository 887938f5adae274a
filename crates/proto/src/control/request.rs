//! Questions as JSON.

use greylatch_core::{Attempt, Field, Query, Record, Request, Seconds, Standing};
use serde_json::{Map, Value, json};

use super::event;
use super::record;
use super::wire::{self, DecodeError};
use crate::policy::FIELDS;

pub(super) fn to_json(request: &Request) -> Value {
    match request {
        Request::Look { attempt, later } => {
            json!({ "ask": "look", "attempt": attempt_to_json(attempt), "later": later.0 })
        }
        Request::List(query) => json!({ "ask": "list", "query": query_to_json(query) }),
        Request::Put(records) => {
            let records: Vec<Value> = records.iter().map(record::to_json).collect();
            json!({ "ask": "put", "records": records })
        }
        Request::Remove(query) => json!({ "ask": "remove", "query": query_to_json(query) }),
        Request::Set { attempt, standing } => {
            let attempt = attempt_to_json(attempt);
            json!({ "ask": "set", "attempt": attempt, "standing": standing.word() })
        }
        Request::Forget(attempt) => {
            json!({ "ask": "forget", "attempt": attempt_to_json(attempt) })
        }
        Request::Status => json!({ "ask": "status" }),
        Request::Reload => json!({ "ask": "reload" }),
        // Other mail exchangers have a socket of their own; here their file is told.
        Request::Peer(told) => json!({ "ask": "peer", "event": event::to_json(told) }),
        // Only MTAs have attempts judged; here it can only be looked at.
        Request::Judge(attempt) => look_now(attempt),
        Request::PassUnread(attempt, _) => look_now(attempt),
    }
}

pub(super) fn from_json(value: &Value) -> Result<Request, DecodeError> {
    let query = || query_from_json(wire::member(value, "query")?);
    let attempt = || attempt_from_json(wire::member(value, "attempt")?);
    match wire::string(value, "ask")?.as_str() {
        "look" => Ok(Request::Look {
            attempt: attempt()?.into(),
            later: Seconds(wire::integer(value, "later")?),
        }),
        "list" => query().map(Request::List),
        "put" => {
            let records = wire::member(value, "records")?;
            let records = records.as_array().ok_or(DecodeError::Kind("records"))?;
            let records: Result<Vec<Record>, _> = records.iter().map(record::from_json).collect();
            records.map(Request::Put)
        }
        "remove" => query().map(Request::Remove),
        "set" => Ok(Request::Set {
            attempt: attempt()?.into(),
            standing: record::standing(value)?,
        }),
        "forget" => attempt().map(Request::Forget),
        "peer" => event::from_json(wire::member(value, "event")?).map(Request::Peer),
        "status" => Ok(Request::Status),
        "reload" => Ok(Request::Reload),
        other => Err(DecodeError::Unknown(other.to_owned())),
    }
}

fn look_now(attempt: &Attempt) -> Value {
    json!({ "ask": "look", "attempt": attempt_to_json(attempt), "later": 0 })
}

fn attempt_to_json(attempt: &Attempt) -> Value {
    let fields = fields().filter_map(|(name, field)| {
        let text = attempt.field(field)?;
        Some((name.to_owned(), wire::from_bytes(text)))
    });
    Value::Object(fields.collect::<Map<_, _>>())
}

fn attempt_from_json(value: &Value) -> Result<Attempt, DecodeError> {
    let mut attempt = Attempt::new();
    for (name, field) in fields() {
        if wire::optional(value, name).is_some() {
            attempt.set(field, &wire::bytes(value, name)?);
        }
    }
    Ok(attempt)
}

/// The fields of an attempt that can be told here, with their names.
fn fields() -> impl Iterator<Item = (&'static str, Field)> {
    FIELDS.into_iter().chain([("words", Field::Words)])
}

fn query_to_json(query: &Query) -> Value {
    json!({
        "matching": query.matching.as_deref().map(wire::from_bytes),
        "standing": query.standing.map(Standing::word),
        "clients": query.clients,
        "after": query.after.map(|key| wire::hex(&key)),
        "limit": query.limit,
    })
}

const QUERY: [&str; 5] = ["matching", "standing", "clients", "after", "limit"];

fn query_from_json(value: &Value) -> Result<Query, DecodeError> {
    // A misspelt member would widen the query, and it may be one that removes.
    let members = value.as_object().ok_or(DecodeError::Kind("query"))?;
    if let Some(unknown) = members.keys().find(|name| !QUERY.contains(&name.as_str())) {
        return Err(DecodeError::Unknown(unknown.clone()));
    }
    let has = |name| wire::optional(value, name).is_some();
    Ok(Query {
        matching: if has("matching") {
            Some(wire::bytes(value, "matching")?)
        } else {
            None
        },
        standing: if has("standing") {
            Some(record::standing(value)?)
        } else {
            None
        },
        clients: wire::flag(value, "clients")?,
        after: if has("after") {
            Some(wire::key(value, "after")?)
        } else {
            None
        },
        limit: wire::small(value, "limit")?,
    })
}
