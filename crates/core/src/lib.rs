//! The words of greylisting and the one decision.
//!
//! Everything here is a pure value or a pure function over `std`: no clock, socket, file, log
//! call or async. What a word means follows RFC 6647 (greylisting) and RFC 5321 (SMTP); what
//! Postgrey did is the school called [`Due::FromFirst`], what milter-greylist did is
//! [`Due::AsStored`], and both pass through the same [`decide`].
#![warn(missing_docs)]

mod address;
mod attempt;
mod content;
mod engine;
mod identity;
mod memory;
mod notice;
mod peer;
mod request;
mod ruling;
mod sender;
mod time;
mod verdict;

pub use address::{AddressDialect, Network, NetworkError, postgrey_text};
pub use attempt::{Attempt, Field, Stage};
pub use content::Content;
pub use engine::{decide, settled_by_client};
pub use identity::{Envelope, IdentityRules, School, Triplet};
pub use memory::{Change, ClientRecord, Entry, EntryChange, Memory, Standing};
pub use notice::Notice;
pub use peer::{PeerEvent, PeerTriplet, milter_greylist_text};
pub use request::{Answer, Census, Explanation, Page, Query, Record, Reloaded, Request, Status};
pub use ruling::{ClientExemption, Due, Greylist, RuleId, Ruling, Timing, WindowFrom};
pub use sender::push_early_postgrey_sender;
pub use time::{Seconds, SecondsError, Timestamp};
pub use verdict::{Amendment, Decision, Judgement, NewHeader, Outcome, Reason, Reply, Verdict};
