//! milter-greylist's dump file `greylist.db`: rows of text, read and written, and what they mean to
//! our own memory.
//!
//! The reader takes the files of all versions, also those of two sections, and addresses that the
//! original writes but cannot read again. The writer makes what the original makes, so that its
//! tools go on working and a way back loses nothing. Not here: when a file is read or written.
//!
//! Source: milter-greylist 4.6.4 as observed by running it.

mod memory;
mod reader;
mod writer;

use std::net::IpAddr;

use greylatch_core::{Seconds, Timestamp};

pub use self::memory::merge_entries;
pub use self::reader::{DumpCounts, DumpFault, DumpFaultKind, DumpRows};
pub use self::writer::DumpWriter;

/// One row of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpRow {
    /// The client's full address; an IPv4-mapped one is the IPv4 address.
    pub client: IpAddr,
    /// The sender without brackets, in the case it was written in; empty for the null sender.
    pub sender: Vec<u8>,
    /// The recipient without brackets.
    pub recipient: Vec<u8>,
    /// For a pending row from when on a retry passes, for the others until when the row counts.
    pub when: Timestamp,
    /// What the row stands for.
    pub kind: RowKind,
}

/// What a row stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// Waits to be tried again.
    Pending,
    /// Has passed: `AUTO`.
    Auto,
    /// Did not sit through a tarpit: `TARPIT`.
    Tarpit {
        /// The shortest time it sat through in vain.
        shortest: Seconds,
    },
}
