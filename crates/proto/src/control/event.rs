//! What another mail exchanger saw, as JSON.

use std::net::IpAddr;

use greylatch_core::{PeerEvent, PeerTriplet};
use serde_json::{Value, json};

use super::wire::{self, DecodeError};

pub(super) fn to_json(event: &PeerEvent) -> Value {
    let of = |triplet: &PeerTriplet| {
        (
            triplet.client.to_string(),
            wire::from_bytes(&triplet.sender),
            wire::from_bytes(&triplet.recipient),
        )
    };
    match event {
        PeerEvent::Pending { triplet, due } => {
            let (client, sender, recipient) = of(triplet);
            json!({
                "is": "pending", "client": client, "sender": sender, "recipient": recipient,
                "due": due.0,
            })
        }
        PeerEvent::Accepted {
            triplet,
            was,
            expires,
        } => {
            let (client, sender, recipient) = of(triplet);
            json!({
                "is": "accepted", "client": client, "sender": sender, "recipient": recipient,
                "was": was.0, "expires": expires.map(|at| at.0),
            })
        }
        PeerEvent::Flushed(client) => json!({ "is": "flushed", "client": client.to_string() }),
    }
}

pub(super) fn from_json(value: &Value) -> Result<PeerEvent, DecodeError> {
    let triplet = || {
        Ok(PeerTriplet {
            client: client(value)?,
            sender: wire::bytes(value, "sender")?,
            recipient: wire::bytes(value, "recipient")?,
        })
    };
    match wire::string(value, "is")?.as_str() {
        "pending" => Ok(PeerEvent::Pending {
            triplet: triplet()?,
            due: wire::time(value, "due")?,
        }),
        "accepted" => Ok(PeerEvent::Accepted {
            triplet: triplet()?,
            was: wire::time(value, "was")?,
            expires: match wire::optional(value, "expires") {
                Some(_) => Some(wire::time(value, "expires")?),
                None => None,
            },
        }),
        "flushed" => Ok(PeerEvent::Flushed(client(value)?)),
        other => Err(DecodeError::Unknown(other.to_owned())),
    }
}

fn client(value: &Value) -> Result<IpAddr, DecodeError> {
    let text = wire::string(value, "client")?;
    text.parse().map_err(|_| DecodeError::Kind("client"))
}
