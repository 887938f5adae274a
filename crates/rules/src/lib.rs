//! Whitelists and rules, from text to a ruling.
//!
//! Pure: the caller reads the files and knows the time. Two languages meet in one ordered list
//! of rules, of which the first that matches decides: rules of our own ([`RuleSpec`]), and the
//! client and recipient lists of Postgrey 1.37 in its own reading. The list is compiled into
//! indexes, so that ten thousand entries cost about what ten do.
//!
//! Client names count as the MTA verified them, by a look-up and one back; a name that it could
//! not verify is `unknown`, and to a rule of our own no name at all.
//!
//! Source: Postfix SMTPD_POLICY_README, "Protocol description" (the verified `client_name` and
//! the unverified `reverse_client_name`).
#![warn(missing_docs)]
#![deny(clippy::indexing_slicing)]

mod diagnostic;
mod greylist_conf;
mod native;
mod pattern;
mod perl;
mod postgrey;
mod set;
mod spec;
mod tables;

pub use diagnostic::{Diagnostic, Severity, Source};
pub use greylist_conf::{
    AclAction, AclJudgement, AclSet, AclStage, AclSubject, AddHeader, ClauseKind, DnsList, DumpAt,
    Dumpfile, Evaluation, Expand, Fact, Fate, GreylistConf, ListenAddress, LocalTime, LogFacility,
    MacroTest, MailStatus, Message, MessageNeeds, Next, Peer, Properties, Property, RateCounted,
    RateLimit, ReportWhen, RunAs, Scope, Settings, Socket, Stat, StatOutput, Statement,
    SyncAddress, TARPIT_MAX, TarpitScope, Why,
};
pub use pattern::{LetterCase, PerlPattern};
pub use set::{Judgement, RuleSet, Subject};
pub use spec::{Entry, OwnRules, RuleSpec, Sources, Then};
