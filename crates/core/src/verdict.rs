//! What comes out: the verdict with its reason, and the decision that led to it.

use std::fmt;

use crate::memory::Change;
use crate::time::Seconds;

/// What `decide` gives: the outcome, why, and what changes in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Pass, defer or refuse.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// How long is left until a retry passes; zero unless deferred.
    pub wait: Seconds,
    /// How long after the first attempt this one came; zero where no entry was asked.
    pub age: Seconds,
    /// The same as the school tells it: where due times stand as stored, reckoned back from that
    /// time by today's delay.
    pub waited: Seconds,
    /// What changes in memory.
    pub change: Change,
    /// The entry was first seen in the future and has been mended.
    pub clock_corrected: bool,
    /// This pass made the client exempt from now on.
    pub client_now_exempt: bool,
}

impl Decision {
    /// A decision that leaves memory as it is.
    #[must_use]
    pub fn of(outcome: Outcome, reason: Reason) -> Self {
        Self {
            outcome,
            reason,
            wait: Seconds(0),
            age: Seconds(0),
            waited: Seconds(0),
            change: Change::default(),
            clock_corrected: false,
            client_now_exempt: false,
        }
    }
}

/// Pass, defer or refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Greylisting has nothing against this attempt.
    Pass,
    /// Try again later (a 4yz reply).
    Defer,
    /// Do not try again (a 5yz reply).
    Refuse,
}

/// Why an attempt got its verdict: the same word in reply, log, metric, dashboard and manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Never seen, or seen too long ago.
    New,
    /// Seen, but the delay is not over.
    EarlyRetry,
    /// The delay is over: the first pass of this triplet.
    Retry,
    /// This triplet has passed before.
    Known,
    /// The client is on the client list.
    ClientListed,
    /// The recipient is on the recipient list.
    RecipientListed,
    /// Enough mail of this client has passed.
    ClientExempt,
    /// The client has logged in.
    Authenticated,
    /// The client has shown a certificate that the MTA has verified.
    Certified,
    /// The MTA's access database lets the client through.
    AccessListed,
    /// The sender's domain says by SPF that the client may send for it.
    SpfPassed,
    /// The client is this very host.
    Local,
    /// The client is one of our own MX hosts.
    Cluster,
    /// The sender is empty and such mail is exempt.
    NullSender,
    /// Asked at a stage at which nothing is judged.
    Stage,
    /// A rule of the configuration says so.
    Rule,
    /// Set by hand.
    Hand,
    /// Too many entries wait in the client's network.
    Throttled,
    /// The request cannot be judged: something needed is missing or unreadable.
    Unreadable,
    /// The store did not answer in time; the failure policy decides.
    StoreDown,
}

impl Reason {
    /// All reasons, in the order in which status and metrics show them.
    pub const ALL: [Self; 20] = [
        Self::New,
        Self::EarlyRetry,
        Self::Retry,
        Self::Known,
        Self::ClientListed,
        Self::RecipientListed,
        Self::ClientExempt,
        Self::Authenticated,
        Self::Certified,
        Self::AccessListed,
        Self::SpfPassed,
        Self::Local,
        Self::Cluster,
        Self::NullSender,
        Self::Stage,
        Self::Rule,
        Self::Hand,
        Self::Throttled,
        Self::Unreadable,
        Self::StoreDown,
    ];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::EarlyRetry => "early-retry",
            Self::Retry => "retry",
            Self::Known => "known",
            Self::ClientListed => "client-listed",
            Self::RecipientListed => "recipient-listed",
            Self::ClientExempt => "client-exempt",
            Self::Authenticated => "authenticated",
            Self::Certified => "certified",
            Self::AccessListed => "access-listed",
            Self::SpfPassed => "spf-passed",
            Self::Local => "local",
            Self::Cluster => "cluster",
            Self::NullSender => "null-sender",
            Self::Stage => "stage",
            Self::Rule => "rule",
            Self::Hand => "hand",
            Self::Throttled => "throttled",
            Self::Unreadable => "unreadable",
            Self::StoreDown => "store-down",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What a protocol tells the MTA: the outcome and the texts that go with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on; with a header line (without line end) to put on top of the message.
    Pass {
        /// The header line, once per message.
        header: Option<Vec<u8>>,
    },
    /// Go on, with these changes one after the other; only of a whole message, where the protocol
    /// can do so.
    Amend(Vec<Amendment>),
    /// Defer with this reply.
    Defer(Reply),
    /// Refuse with this reply.
    Refuse(Reply),
}

/// A verdict and why, for who asks by a protocol that can tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What to do.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// How long is left until a retry passes; zero unless deferred.
    pub wait: Seconds,
    /// How long after the first attempt this one came; zero where no entry was asked.
    pub age: Seconds,
    /// The rule that decided, as `FILE:LINE: TEXT`, when one did.
    pub rule: Option<String>,
}

/// A change to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amendment {
    /// It gets one more header.
    AddHeader(NewHeader),
    /// The first header of the name in this line, which is without a line end, gets the value in it.
    ChangeHeader(Vec<u8>),
    /// Its body becomes this.
    ReplaceBody(Vec<u8>),
}

/// A header that a message gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewHeader {
    /// The line, without a line end.
    pub line: Vec<u8>,
    /// How many headers stand above it; `None`: all.
    pub index: Option<u32>,
}

/// The text of a deferral or refusal, without line ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The text as written by the administrator, placeholders filled in.
    pub text: Vec<u8>,
    /// The text brings its own enhanced status code (RFC 3463) or reply code.
    pub has_status: bool,
}
