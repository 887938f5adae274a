//! The daemon: sockets, clock, signals, reload, and the desk where rules, store and engine meet.
//!
//! One attempt goes through `listen`, `connection` and the conversation of its protocol to
//! `desk`, and back through `observe`. [`run`] is the whole of it; the rest of what is public is
//! for the program's other commands.

mod accept;
mod acl;
mod backend;
mod bypass;
pub mod clock;
mod config;
mod connection;
mod daemon;
mod desk;
mod dry;
mod dump;
mod facts;
mod filter;
mod identity;
mod instance;
mod launch;
mod listen;
mod lists;
mod log;
mod observe;
mod paths;
mod peers;
mod phrases;
mod privacy;
mod rehearsal;
mod socket;
mod spares;
mod takeover;
mod tarpit;
mod waiting;
mod watched;
mod web;

pub use config::*;
pub use daemon::identity_rules;
pub use dry::{Review, look_dry, review};
pub use facts::Inquirer;
pub use filter::run_filter;
pub use identity::OwnerError;
pub use launch::{Launch, Personality, StartError, run};
pub use listen::ListenError;
pub use lists::Remark;
pub use paths::{control_path, store_url};
pub use privacy::PrivacyError;
pub use rehearsal::Rehearsal;
pub use web::WebError;
