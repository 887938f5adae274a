//! What the recipients of one message have left for its end: milter-greylist tells of all of them in
//! one header. It begins anew with each message, which the original forgets to do.

use greylatch_core::{NewHeader, Seconds};
use greylatch_rules::Properties;
use greylatch_wording::PassCause;

use crate::facts::Findings;

/// One message of a connection.
#[derive(Default)]
pub(crate) struct AclMessage {
    /// Which one of its connection; 0 where the protocol does not tell.
    pub(crate) number: u32,
    /// The recipients that were accepted.
    pub(crate) recipients: Vec<AclRecipient>,
    /// What `set` clauses have set.
    pub(crate) properties: Properties,
    /// How long the slowest recipient had to wait.
    pub(crate) delayed: Option<Seconds>,
    /// Why the last of those who had not to wait had not.
    pub(crate) causes: Vec<PassCause<'static>>,
    /// The rule that decided last, by its id.
    pub(crate) acl: Vec<u8>,
    /// The header's text where a rule has one of its own.
    pub(crate) report: Option<Vec<u8>>,
    /// Headers of rules, of the recipient that was judged last.
    pub(crate) headers: Vec<NewHeader>,
    /// The recipients were let through by nothing but a `default` rule.
    pub(crate) by_default: bool,
    /// What the outside has told about it.
    pub(crate) findings: Findings,
}

/// A recipient that was accepted, and what is told of it at the end.
pub(crate) struct AclRecipient {
    /// In brackets.
    pub(crate) address: Vec<u8>,
    /// The last line of the rule that decided.
    pub(crate) line: Option<usize>,
    /// The rule's id.
    pub(crate) acl: Vec<u8>,
    /// How long ago the first attempt was.
    pub(crate) elapsed: Seconds,
}

impl AclRecipient {
    /// One that no rule was asked about.
    pub(crate) fn unjudged(address: Vec<u8>) -> Self {
        Self {
            address,
            line: None,
            acl: Vec::new(),
            elapsed: Seconds(0),
        }
    }
}

/// Recipients kept of one message; an MTA takes a few hundred.
///
/// Source: RFC 5321 §4.5.3.1.8 (at least 100 must be taken).
const RECIPIENTS_MAX: usize = 10_000;

/// How a recipient came to be accepted.
pub(crate) enum Accepted {
    /// It had waited so long.
    Waited(Seconds),
    /// It had not to, for these reasons.
    AtOnce(Vec<PassCause<'static>>),
}

impl AclMessage {
    pub(crate) fn begun(number: u32) -> Self {
        Self {
            number,
            ..Self::default()
        }
    }

    pub(crate) fn accept(&mut self, recipient: AclRecipient, accepted: Accepted) {
        if self.recipients.len() < RECIPIENTS_MAX {
            self.recipients.push(recipient);
        }
        match accepted {
            Accepted::Waited(length) => {
                self.delayed = Some(self.delayed.map_or(length, |most| most.max(length)));
            }
            // Of several, those of the last one are told.
            Accepted::AtOnce(causes) => self.causes = causes,
        }
    }
}
