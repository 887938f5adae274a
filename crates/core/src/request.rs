//! What may be asked of the daemon and what it answers, whatever the protocol.
//!
//! MTAs ask [`Request::Judge`], other mail exchangers [`Request::Peer`]; the others are for the
//! control socket, and for protocols in which an administrator speaks as well.

use crate::attempt::Attempt;
use crate::identity::OPAQUE;
use crate::memory::{ClientRecord, Entry, Memory, Standing};
use crate::notice::Notice;
use crate::peer::PeerEvent;
use crate::ruling::Ruling;
use crate::time::{Seconds, Timestamp};
use crate::verdict::{Decision, Reason, Verdict};

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Judge an attempt and remember it.
    Judge(Attempt),
    /// Pass an attempt that lacks something, and say so in the log.
    PassUnread(Box<Attempt>, Notice),
    /// Say what would become of an attempt, remembering nothing.
    Look {
        /// The attempt.
        attempt: Box<Attempt>,
        /// How much later than now to pretend it is.
        later: Seconds,
    },
    /// List what is stored.
    List(Query),
    /// Store records that were exported here or elsewhere.
    Put(Vec<Record>),
    /// Remove every record that a query selects.
    Remove(Query),
    /// Remember an attempt's identity as this, whatever was remembered of it.
    Set {
        /// The attempt.
        attempt: Box<Attempt>,
        /// What it is to be.
        standing: Standing,
    },
    /// Remember nothing of an attempt's identity any more.
    Forget(Attempt),
    /// Take note of what another mail exchanger has seen.
    Peer(PeerEvent),
    /// Say how the daemon is.
    Status,
    /// Read the configuration and the lists again.
    Reload,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Request::Judge`] and [`Request::PassUnread`].
    Verdict(Verdict),
    /// To [`Request::Look`].
    Explained(Box<Explanation>),
    /// To [`Request::List`], and to [`Request::Forget`] with the record that was there.
    Page(Page),
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Reload`].
    Reloaded(Reloaded),
    /// To the others: how many records were touched.
    Done(u64),
    /// It could not be done; why, and what to do.
    Failed(String),
}

/// How a reload went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// How many rules and list entries are in force now.
    pub rules: u64,
    /// Why the old rules stay, when they do.
    pub kept: Option<String>,
    /// What was noticed in the lists and rules, one text each.
    pub remarks: Vec<String>,
}

/// Why an attempt would get its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The decision, of which nothing is remembered.
    pub decision: Decision,
    /// What the rules said.
    pub ruling: Ruling,
    /// The rule that decided, as `file:line: text`, when one did.
    pub rule: Option<String>,
    /// The triplet's three identities, `client/sender/recipient`; empty when unreadable.
    pub triplet: Vec<u8>,
    /// What is remembered.
    pub memory: Memory,
    /// The time it was decided for.
    pub at: Timestamp,
    /// What the MTA would be told.
    pub verdict: Verdict,
}

/// Which records are meant; everything that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The text occurs in the client, sender or recipient.
    pub matching: Option<Vec<u8>>,
    /// The entry's standing.
    pub standing: Option<Standing>,
    /// Client records instead of triplets.
    pub clients: bool,
    /// Only what comes after this key, given by the previous page.
    pub after: Option<[u8; 16]>,
    /// At most so many; 0 means the largest page, 1,000.
    pub limit: u32,
}

/// A page of records, and where the next one begins when there is more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The records in the order of their keys.
    pub records: Vec<Record>,
    /// To be given as [`Query::after`] for the next page.
    pub next: Option<[u8; 16]>,
}

/// One stored record with the text that tells what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A triplet; the fields are empty when the store keeps no text (`privacy`).
    Triplet {
        /// The key it is stored under.
        key: [u8; 16],
        /// Client identity.
        client: Vec<u8>,
        /// Sender identity.
        sender: Vec<u8>,
        /// Recipient.
        recipient: Vec<u8>,
        /// What is remembered.
        entry: Entry,
    },
    /// A client address; the text is empty when the store keeps none.
    Client {
        /// The key it is stored under.
        key: [u8; 16],
        /// The address as text.
        address: Vec<u8>,
        /// What is remembered.
        record: ClientRecord,
    },
}

impl Record {
    /// The words of an opaque identity, where the record is about one.
    #[must_use]
    pub fn words(&self) -> Option<&[u8]> {
        match self {
            Self::Triplet {
                client, recipient, ..
            } if client == OPAQUE => Some(recipient),
            Self::Triplet { .. } | Self::Client { .. } => None,
        }
    }
}

/// How many records of each kind a store holds, expired ones that are still there included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Entries that have not passed.
    pub waiting: u64,
    /// Entries that have passed.
    pub proven: u64,
    /// Entries set by hand.
    pub by_hand: u64,
    /// Client records.
    pub clients: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
}

/// How the daemon is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Since when it runs.
    pub started: Timestamp,
    /// The time of this answer.
    pub now: Timestamp,
    /// The store in words, and its fault when it has one.
    pub store: String,
    /// What the store holds, when it could be asked.
    pub census: Option<Census>,
    /// Verdicts given so far, by reason.
    pub verdicts: Vec<(Reason, u64)>,
    /// Log lines that had to be dropped.
    pub log_dropped: u64,
    /// Requests over HTTP that were turned away for their token, or for want of one.
    pub http_turned_away: u64,
    /// Connections open now.
    pub connections: u32,
    /// The daemon records and passes (`mode = "learn"`).
    pub learning: bool,
}
