//! The language of milter-greylist's `greylist.conf`: from the text to settings, definitions
//! and rules.
//!
//! The whole grammar of 4.6 is read, and some more that it refuses (see `lexer`). A statement
//! with a mistake in it costs itself and nothing else; all mistakes are told at once. A rule
//! that asks what only a foreign daemon could answer (LDAP, a URL, p0f, SpamAssassin, DNS
//! updates) is left out whole and loudly: without the clause it would match more than was
//! meant.
//!
//! Source: greylist.conf(5), milter-greylist 4.6.4.

mod clause;
mod definition;
mod eval;
mod foreign;
mod lexer;
mod needs;
mod posix;
mod remark;
mod rule;
mod setting;
mod settings;
mod statement;
mod tree;
mod value;

pub use clause::TARPIT_MAX;
pub use eval::{
    AclJudgement, AclSet, AclSubject, ClauseKind, Evaluation, Expand, Fact, LocalTime, Message,
    Next, Properties, Property, Scope, Why,
};
pub use needs::MessageNeeds;
pub use remark::{Fate, Statement};
pub use settings::{
    DumpAt, Dumpfile, ListenAddress, LogFacility, Peer, ReportWhen, RunAs, Settings, Socket, Stat,
    StatOutput, SyncAddress, TarpitScope,
};
pub use tree::{
    AclAction, AclStage, AddHeader, DnsList, MacroTest, MailStatus, RateCounted, RateLimit,
};

use crate::diagnostic::{Diagnostic, Source};
use tree::{AclList, AclRule};

/// A `greylist.conf` as it was read.
#[derive(Clone, Debug, Default)]
pub struct GreylistConf {
    /// What it says of the program as a whole.
    pub settings: Settings,
    /// The DNS lists that rules may ask, by their number.
    pub dnsrbls: Vec<DnsList>,
    /// The tests of macros.
    pub macros: Vec<MacroTest>,
    /// The rate limits that rules may ask, by their number.
    pub ratelimits: Vec<RateLimit>,
    /// Some rule has an `auth` or `tls` clause, so that the bypass for authenticated clients
    /// does not hold; rules that were left out count.
    pub has_auth_clause: bool,
    /// Some rule has an `spf` clause, so that the bypass for SPF does not hold.
    pub has_spf_clause: bool,
    /// Each statement and what became of it.
    pub statements: Vec<Statement>,
    /// Patterns were extended ones at the end of the file.
    pub(crate) extended: bool,
    pub(crate) lists: Vec<AclList>,
    /// In the order of their evaluation.
    pub(crate) rules: Vec<AclRule>,
}

impl GreylistConf {
    /// Reads the text; with all mistakes in it, in the order of their lines.
    #[must_use]
    pub fn read(source: &Source) -> (Self, Vec<Diagnostic>) {
        statement::Reader::new(source).read()
    }

    /// All texts of the file in which something may be filled in, macros of the MTA for example.
    pub fn templates(&self) -> impl Iterator<Item = &[u8]> {
        let rules = self.rules.iter().flat_map(AclRule::templates);
        let keys = self.ratelimits.iter().map(|limit| &limit.key[..]);
        let stat = self.settings.stat.iter().map(|stat| &stat.format[..]);
        rules.chain(keys).chain(stat)
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may panic")]
mod tests;
