//! The seam between the daemon and its stores.

use std::future::Future;

use greylatch_core::{Census, Change, Memory, Page, Query, Record, Timestamp};

use crate::error::StoreError;
use crate::key::Keys;

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// It is written, as durably as the store promises.
    Done,
    /// Somebody was faster; this is there now. Nothing was written.
    Conflict(Memory),
}

/// A store of records. It loads, and sets what is still as it was seen; it may return expired
/// records and knows nothing of delays. `Memory::network_waiting` is not a store's: it stays 0.
///
/// Every method fails with [`StoreError`] alone; which variants occur is the backend's.
pub trait Store: Send + std::marker::Sync {
    /// What is remembered of an attempt. The client is read first; when that is `enough`, the
    /// triplet and the network need not be read.
    fn load(
        &self,
        keys: &Keys,
        enough: impl Fn(&Memory) -> bool + Send,
    ) -> impl Future<Output = Result<Memory, StoreError>> + Send;

    /// Writes a change, if each record that it changes is still as `seen`. Of a network's proven
    /// times the later wins, whatever was seen.
    fn commit(
        &self,
        keys: &Keys,
        seen: &Memory,
        change: &Change,
    ) -> impl Future<Output = Result<Commit, StoreError>> + Send;

    /// Writes records as they are, over whatever is stored under their keys.
    fn put(&self, records: &[Record]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes the records that have the keys of these; says how many there were.
    fn remove(&self, records: &[Record]) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Housekeeping: records that expired before `now` may go. Says what is there.
    fn sweep(&self, now: Timestamp) -> impl Future<Output = Result<Census, StoreError>> + Send;

    /// A page of records, in the order of their keys. A page may be short, even empty, and still
    /// name a next one: a call looks at a bounded number of records.
    fn browse(&self, query: &Query) -> impl Future<Output = Result<Page, StoreError>> + Send;

    /// Whether the store would answer.
    fn ping(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Puts everything on disk and ends; later calls fail with [`StoreError::Closed`].
    fn close(&self) -> impl Future<Output = Result<(), StoreError>> + Send;
}
