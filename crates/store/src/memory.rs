//! The store for tests and for trying things out: a map that is gone with the process.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use greylatch_core::{Census, Change, Memory, Page, Query, Record, Timestamp};

use crate::commit::{compare, recall};
use crate::error::StoreError;
use crate::format::{self, Malformed, RecordKey, Stored};
use crate::key::Keys;
use crate::listing::{self, Listing};
use crate::store::{Commit, Store};
use crate::tally::Tally;

/// A map in memory. It holds the same bytes as the embedded store, and fails never.
pub struct MemoryStore {
    records: Mutex<BTreeMap<RecordKey, Vec<u8>>>,
    tally: Tally,
}

impl MemoryStore {
    /// An empty store in which at most `waiting_max` entries may wait; the oldest go first.
    #[must_use]
    pub fn new(waiting_max: u64) -> Self {
        Self {
            records: Mutex::default(),
            tally: Tally::new(waiting_max),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RecordKey, Vec<u8>>> {
        // The map is whole between any two statements: a panic elsewhere leaves it usable.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, bytes: Option<&Vec<u8>>, key: &RecordKey) -> Option<Stored> {
        let stored = bytes.map(|bytes| Stored::decode(key, bytes).expect(OWN));
        self.tally.visible(stored)
    }
}

const OWN: &str = "only what this store encoded is in its map";

impl Store for MemoryStore {
    async fn load(
        &self,
        keys: &Keys,
        enough: impl Fn(&Memory) -> bool + Send,
    ) -> Result<Memory, StoreError> {
        let records = self.lock();
        let memory = recall(keys, enough, |key| {
            Ok::<_, Infallible>(self.read(records.get(key), key))
        });
        Ok(memory.unwrap_or_else(|never| match never {}))
    }

    async fn commit(
        &self,
        keys: &Keys,
        seen: &Memory,
        change: &Change,
    ) -> Result<Commit, StoreError> {
        let mut records = self.lock();
        let read = |key: &RecordKey| Ok::<_, Infallible>(self.read(records.get(key), key));
        let writes = compare(keys, seen, change, read).unwrap_or_else(|never| match never {});
        let Some(writes) = writes else {
            let now = recall(keys, |_| false, read);
            return Ok(Commit::Conflict(now.unwrap_or_else(|never| match never {})));
        };
        for write in writes {
            self.tally.changed(write.old, write.new);
            match write.new {
                Some(_) => records.insert(write.key, write.bytes),
                None => records.remove(&write.key),
            };
        }
        Ok(Commit::Done)
    }

    async fn put(&self, listed: &[Record]) -> Result<(), StoreError> {
        let mut records = self.lock();
        for record in listed {
            let (key, stored, bytes) = format::from_record(record);
            let old = self.read(records.get(&key), &key);
            self.tally.changed(old, Some(stored));
            records.insert(key, bytes);
        }
        Ok(())
    }

    async fn remove(&self, listed: &[Record]) -> Result<u64, StoreError> {
        let mut records = self.lock();
        let mut removed = 0;
        for record in listed {
            let (key, ..) = format::from_record(record);
            let old = self.read(records.remove(&key).as_ref(), &key);
            self.tally.changed(old, None);
            removed += u64::from(old.is_some());
        }
        Ok(removed)
    }

    async fn sweep(&self, now: Timestamp) -> Result<Census, StoreError> {
        let mut records = self.lock();
        let horizon = self.tally.waiting_horizon();
        records.retain(|key, bytes| {
            let expired = format::expiry(bytes).is_some_and(|expires| expires < now);
            let let_go =
                format::waiting_since(key.bytes(), bytes).is_some_and(|first| first < horizon);
            if expired && !let_go {
                self.tally.changed(self.read(Some(bytes), key), None);
            }
            !expired && !let_go
        });
        self.tally.expire(now);
        Ok(self.tally.census())
    }

    async fn browse(&self, query: &Query) -> Result<Page, StoreError> {
        let records = self.lock();
        let (first, last, with_first) = listing::range(query);
        let from = if with_first {
            Bound::Included(first)
        } else {
            Bound::Excluded(first)
        };
        let mut listing = Listing::new(query, &self.tally);
        for (key, bytes) in records.range((from, Bound::Included(last))) {
            let more: Result<bool, Malformed> = listing.offer(key, bytes);
            if !more.expect(OWN) {
                break;
            }
        }
        Ok(listing.page())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
