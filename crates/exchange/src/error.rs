//! What can be wrong with another program's file: with all of it ([`ExchangeError`]), or with a
//! place in it ([`Damage`]) or one record ([`Skipped`]), after which reading goes on.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// The file as a whole cannot be read.
#[derive(Debug, Error)]
pub enum ExchangeError {
    /// The system does not let us open or read it.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is shorter than the smallest Berkeley DB file.
    #[error("{} is no Berkeley DB file: it has only {length} bytes", path.display())]
    TooShort {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        length: u64,
    },
    /// Its first page does not begin as that of a Btree does.
    #[error(
        "{} is no Berkeley DB Btree: page 0 has the magic {magic:#010x} at offset 12, a Btree has 0x00053162 (is it the right file, or is its first page damaged?)",
        path.display()
    )]
    NotBtree {
        /// The file.
        path: PathBuf,
        /// What stands where the magic should, read as little-endian.
        magic: u32,
    },
    /// A format version that this reader does not know.
    #[error(
        "{} is a Btree of version {version}, this reader knows version 9, that of Berkeley DB 5.3; dump it with its own db_dump and load it with the db_load of 5.3",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// It is encrypted.
    #[error("{} is encrypted; dump it with db_dump -P and load it into an unencrypted file", path.display())]
    Encrypted {
        /// The file.
        path: PathBuf,
    },
    /// Its first page says what cannot be.
    #[error("{} is damaged on page 0: {field} is {value}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// What it holds.
        value: u32,
    },
    /// A Btree with duplicates, records or subdatabases, which Postgrey never makes.
    #[error("{} is a Btree of a kind that Postgrey does not make (flags {flags:#x})", path.display())]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// The Btree flags of page 0.
        flags: u32,
    },
}

/// A damaged place. What stood there is lost; reading goes on behind it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("page {page}, offset {offset}: {kind}")]
pub struct Damage {
    /// The page, counted from 0.
    pub page: u32,
    /// The byte offset in the page.
    pub offset: u32,
    /// What is wrong there.
    pub kind: DamageKind,
}

/// What is wrong at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DamageKind {
    /// The system could not read the page.
    #[error("the page cannot be read ({0})")]
    Unreadable(io::ErrorKind),
    /// The file ends within the page.
    #[error("the file ends within this page")]
    CutShort,
    /// The first page promises pages that the file does not have.
    #[error("the file ends here, page 0 promises {0} more pages")]
    PagesMissing(u32),
    /// The page says that it is another one.
    #[error("the page calls itself page {0}")]
    WrongNumber(u32),
    /// The page is of a type that a Btree does not have.
    #[error("unknown page type {0}")]
    PageType(u8),
    /// The page says that it holds more items than fit.
    #[error("{0} items cannot be on this page")]
    ItemCount(u16),
    /// An item lies outside the page, or the items together are longer than the page.
    #[error("an item does not fit into the page")]
    ItemPlace,
    /// An item of a type that a Btree without duplicates does not have.
    #[error("unknown item type {0}")]
    ItemType(u8),
    /// A key without a value.
    #[error("a key without a value")]
    NoValue,
    /// A long item leads to a page that is not there.
    #[error("a long item goes on at page {0}, which does not exist")]
    OverflowPage(u32),
    /// A long item leads to a page that is no overflow page or has no data.
    #[error("a long item goes on at page {0}, which is no overflow page")]
    NotOverflow(u32),
    /// A long item is longer than anything Postgrey stores, or its pages hold another length.
    #[error("a long item has an impossible length of {0} bytes")]
    OverflowLength(u32),
    /// Long items lead to more pages than the file has: the same pages again and again.
    #[error("long items use the same pages again and again")]
    OverflowReused,
    /// The index names another number of leaf pages than there are.
    #[error("the index names {named} leaf pages, {found} were found")]
    LeafCount {
        /// As many are named by the index pages.
        named: u64,
        /// As many were found.
        found: u64,
    },
}

/// Something that gave no record. Reading goes on behind it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Skipped {
    /// A damaged place in the file.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The key is none that Postgrey makes.
    #[error("page {page}: the key {} is none of Postgrey's", key.escape_ascii())]
    Key {
        /// The page it stands on.
        page: u32,
        /// The key.
        key: Vec<u8>,
    },
    /// The value is none that Postgrey makes; Postgrey itself removes such an entry at night.
    #[error("page {page}: the value {} of {} is none of Postgrey's", value.escape_ascii(), key.escape_ascii())]
    Value {
        /// The page it stands on.
        page: u32,
        /// The key.
        key: Vec<u8>,
        /// The value.
        value: Vec<u8>,
    },
}
