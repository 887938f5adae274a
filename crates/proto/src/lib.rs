//! The protocols MTAs speak, as state machines: bytes in, questions out; answers in, bytes out.
//!
//! No socket, clock, log call or async: whoever owns the connection moves the bytes. Nothing is
//! judged here; a protocol only knows how an attempt is told and how a verdict is said.
#![warn(missing_docs)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod control;
mod conversation;
mod greylistd;
mod http;
mod milter;
mod opensmtpd;
mod peers;
mod policy;
mod reply;

pub use control::{
    ControlConversation, DecodeError, decode_answer, encode_request, record_from_json,
    record_to_json,
};
pub use conversation::{Conversation, ProtocolError, Step, Ticket};
pub use greylistd::GreylistdConversation;
pub use http::{
    HttpFault, HttpProblem, decode_check, decode_list, decode_removal, decode_standing,
    encode_count, encode_judgement, encode_page, encode_problem,
};
pub use milter::{ContentWanted, MilterConversation, MilterOptions};
pub use opensmtpd::{AskAt, FilterConversation};
pub use peers::{PeerConversation, PeerNotice, PeerSender, PeerStep, Unqueued};
pub use policy::{
    PolicyAnswer, PolicyConversation, PolicyOptions, UnknownRequest, encode_question,
};
