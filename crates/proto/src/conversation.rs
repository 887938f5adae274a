//! What every protocol looks like from outside: one connection as a state machine without I/O.
//!
//! The owner of the connection calls [`Conversation::step`] until it says `Read`, then writes what
//! is in [`Conversation::output`], reads, feeds, and begins again.

use std::collections::VecDeque;

use greylatch_core::{Answer, Notice, Request};

/// One connection.
pub trait Conversation {
    /// What the log calls those who ask this way.
    const FRONTEND: &'static str;

    /// Takes bytes that the other side sent. To be called after [`Step::Read`] only, so that
    /// never more is held than one request and one read.
    fn feed(&mut self, bytes: &[u8]);

    /// The other side has said its last; what it asked completely is still answered.
    fn finish(&mut self);

    /// What is to be done next.
    ///
    /// # Errors
    /// When the stream cannot be read on: the connection is to be closed.
    fn step(&mut self) -> Result<Step, ProtocolError>;

    /// Gives the answer to the question with this ticket; a ticket that is not open is ignored.
    fn answer(&mut self, ticket: Ticket, answer: &Answer);

    /// Whether something has begun to come and is not complete, so that its end may be waited for
    /// only for so long.
    fn is_midway(&self) -> bool;

    /// Where a request may end without saying so: after how many milliseconds in which nothing
    /// comes [`Conversation::quiet`] is to be called.
    fn quiet_ms(&self) -> Option<u32> {
        None
    }

    /// Nothing has come for so long: what came is complete.
    fn quiet(&mut self) {}

    /// Bytes to be written; the caller writes and clears them.
    fn output(&mut self) -> &mut Vec<u8>;

    /// What was noticed since the last call, one by one, for the log. Of a flood only the first
    /// [`NOTICES_MAX`] are kept until they are asked for.
    fn notice(&mut self) -> Option<Notice>;
}

/// What is to be done next with a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write what there is, read more and feed it.
    Read,
    /// An answer is outstanding: give it first, do not read on.
    Wait,
    /// Answer this.
    Ask(Ticket, Request),
    /// Write what there is and close.
    Close,
}

/// Which question an answer belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

impl Ticket {
    pub(crate) fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// Why a connection cannot go on; always the other side's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A request does not end.
    #[error("a request is longer than {max} bytes")]
    RequestTooLong {
        /// The longest request that is read.
        max: usize,
    },
    /// An answer does not end.
    #[error("an answer is longer than {max} bytes")]
    AnswerTooLong {
        /// The longest answer that is read.
        max: usize,
    },
    /// An answer does not say what to do.
    #[error("an answer has no action")]
    NoAction,
    /// More was said than was asked for, so that what comes next cannot be told from it.
    #[error("more was answered than was asked")]
    Unasked,
    /// A packet is longer than any MTA sends unasked.
    #[error("a packet is longer than {max} bytes")]
    PacketTooLong {
        /// The longest content that is read.
        max: usize,
    },
    /// A packet without a command.
    #[error("a packet is empty")]
    EmptyPacket,
    /// A command comes before the negotiation.
    #[error("the connection did not begin with a negotiation")]
    NotNegotiated,
    /// The MTA speaks too old a version of the milter protocol.
    #[error("version {version} of the milter protocol is not spoken here; the least is 2")]
    VersionTooOld {
        /// The version that was offered.
        version: u32,
    },
    /// The content of a command cannot be read.
    #[error("the content of a command {0:?} cannot be read")]
    Malformed(char),
    /// Not known whether an answer is due, so that nothing right can be said any more.
    #[error("a command {0:?} is not known")]
    UnknownCommand(char),
}

/// The longest request, in bytes on the wire.
pub(crate) const REQUEST_MAX: usize = 1 << 20;

/// How many notices wait to be asked for.
pub(crate) const NOTICES_MAX: usize = 64;

/// Notices that nobody has asked for yet.
#[derive(Debug, Default)]
pub(crate) struct Notices(VecDeque<Notice>);

impl Notices {
    pub(crate) fn push(&mut self, notice: Notice) {
        if self.0.len() < NOTICES_MAX {
            self.0.push_back(notice);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Notice> {
        self.0.pop_front()
    }
}
