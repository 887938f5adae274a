//! What the recipients of one message have left for its end: milter-greylist tells of all of them in
//! one header. It begins anew with each message, which the original forgets to do.

use greylatch_core::{Attempt, Decision, Field, Seconds, Timestamp};
use greylatch_rules::{AclJudgement, Properties};
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
    /// How long the slowest recipient had to wait; zero when none had to.
    pub(crate) delayed: Seconds,
    /// Why the last of those whom a rule or memory let pass had not to wait.
    pub(crate) causes: Vec<PassCause<'static>>,
    /// What the rules said of the recipient that was judged last: its values count for the message.
    pub(crate) last: Option<Box<AclJudgement>>,
    /// The last recipient was let through by nothing but a `default` rule.
    pub(crate) by_default: bool,
    /// A recipient was taken and has to wait all the same: the one who has to wait longest.
    pub(crate) put_off: Option<Box<PutOff>>,
    /// The log has said why no rule is asked: a login, a certificate or SPF.
    pub(crate) bypass_told: bool,
    /// What the outside has told about it.
    pub(crate) findings: Findings,
}

/// A deferral that is said at the end of the message only (`delayedreject`).
pub(crate) struct PutOff {
    pub(crate) judgement: AclJudgement,
    pub(crate) decision: Decision,
}

/// A recipient that was accepted, and what is told of it at the end.
pub(crate) struct AclRecipient {
    /// In brackets.
    pub(crate) address: Vec<u8>,
    /// The last line of the rule that decided.
    pub(crate) line: Option<usize>,
    /// The rule's id.
    pub(crate) acl: Vec<u8>,
    /// How long it had waited.
    pub(crate) elapsed: Seconds,
    /// The client was held for it.
    pub(crate) sat_through: Option<SatThrough>,
}

/// What comes of having sat a tarpit through.
pub(crate) struct SatThrough {
    /// How long that is remembered.
    pub(crate) lifetime: Seconds,
    /// When the triplet would have passed without, as peers were told when it was held.
    pub(crate) due: Timestamp,
}

impl AclRecipient {
    /// One that no rule was asked about.
    pub(crate) fn unjudged(address: Vec<u8>) -> Self {
        Self {
            address,
            line: None,
            acl: Vec::new(),
            elapsed: Seconds(0),
            sat_through: None,
        }
    }

    /// The attempt on this recipient alone, of that on the whole message.
    pub(crate) fn attempt(&self, whole: &Attempt) -> Attempt {
        let address = &self.address[..];
        let bare = address.strip_prefix(b"<").unwrap_or(address);
        let mut one = whole.clone();
        one.set(Field::Recipient, bare.strip_suffix(b">").unwrap_or(bare));
        one
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
    /// It is to wait all the same, or nothing is to be told of it.
    Silently,
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
            Accepted::Waited(length) => self.delayed = self.delayed.max(length),
            // Of several, those of the last one are told.
            Accepted::AtOnce(causes) => self.causes = causes,
            Accepted::Silently => {}
        }
    }

    /// Keeps a deferral for the end, unless another one is longer.
    pub(crate) fn put_off(&mut self, judgement: &AclJudgement, decision: &Decision) {
        let longest = self.put_off.as_ref().map(|other| other.decision.wait);
        if longest.is_none_or(|longest| longest <= decision.wait) {
            self.put_off = Some(Box::new(PutOff {
                judgement: judgement.clone(),
                decision: *decision,
            }));
        }
    }
}
