//! What a decision line is made of, whatever the dialect.

use greylatch_core::{Attempt, Decision, Network, Outcome};

/// One decision, as it is logged.
#[derive(Clone, Copy, Debug)]
pub struct DecisionRecord<'a> {
    /// The front end that the attempt came by.
    pub frontend: &'static str,
    /// The attempt.
    pub attempt: &'a Attempt,
    /// The network that the client counts as, for the dialects with fields.
    pub net: Option<Network>,
    /// How long the store took, in milliseconds, when it was asked; for the dialects with fields.
    pub store_ms: Option<u64>,
    /// What was decided.
    pub decision: &'a Decision,
    /// The MTA was given a header for this message.
    pub header_sent: bool,
    /// The rule that decided, as `file:line: text`.
    pub rule: Option<&'a str>,
    /// It passed only because the daemon is learning.
    pub would_defer: bool,
}

impl DecisionRecord<'_> {
    /// The verdict as a word: `pass`, `defer`, `refuse`, or `would-defer` while learning.
    pub(crate) fn verdict(&self) -> &'static str {
        match self.decision.outcome {
            Outcome::Defer if self.would_defer => "would-defer",
            Outcome::Pass => "pass",
            Outcome::Defer => "defer",
            Outcome::Refuse => "refuse",
        }
    }
}
