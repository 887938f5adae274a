//! All the stores there are. The only file that names them together.

use greylatch_core::{Census, Change, Memory, Page, Query, Record, Timestamp};

use crate::embedded::{Embedded, EmbeddedOptions};
use crate::error::StoreError;
use crate::key::Keys;
use crate::memory::MemoryStore;
use crate::store::{Commit, Store};

/// Any of the stores.
pub enum AnyStore {
    /// In memory, gone with the process.
    Memory(MemoryStore),
    /// In a directory of this host.
    Embedded(Embedded),
}

impl AnyStore {
    /// A store in memory in which at most `waiting_max` entries may wait.
    #[must_use]
    pub fn memory(waiting_max: u64) -> Self {
        Self::Memory(MemoryStore::new(waiting_max))
    }

    /// A store in a directory. It is opened on a thread of its own: this returns at once, and
    /// the first attempts wait.
    #[must_use]
    pub fn embedded(options: EmbeddedOptions) -> Self {
        Self::Embedded(Embedded::start(options))
    }
}

impl Store for AnyStore {
    async fn load(
        &self,
        keys: &Keys,
        enough: impl Fn(&Memory) -> bool + Send,
    ) -> Result<Memory, StoreError> {
        match self {
            Self::Memory(store) => store.load(keys, enough).await,
            Self::Embedded(store) => store.load(keys, enough).await,
        }
    }

    async fn commit(
        &self,
        keys: &Keys,
        seen: &Memory,
        change: &Change,
    ) -> Result<Commit, StoreError> {
        match self {
            Self::Memory(store) => store.commit(keys, seen, change).await,
            Self::Embedded(store) => store.commit(keys, seen, change).await,
        }
    }

    async fn put(&self, records: &[Record]) -> Result<(), StoreError> {
        match self {
            Self::Memory(store) => store.put(records).await,
            Self::Embedded(store) => store.put(records).await,
        }
    }

    async fn remove(&self, records: &[Record]) -> Result<u64, StoreError> {
        match self {
            Self::Memory(store) => store.remove(records).await,
            Self::Embedded(store) => store.remove(records).await,
        }
    }

    async fn sweep(&self, now: Timestamp) -> Result<Census, StoreError> {
        match self {
            Self::Memory(store) => store.sweep(now).await,
            Self::Embedded(store) => store.sweep(now).await,
        }
    }

    async fn browse(&self, query: &Query) -> Result<Page, StoreError> {
        match self {
            Self::Memory(store) => store.browse(query).await,
            Self::Embedded(store) => store.browse(query).await,
        }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        match self {
            Self::Memory(store) => store.ping().await,
            Self::Embedded(store) => store.ping().await,
        }
    }

    async fn close(&self) -> Result<(), StoreError> {
        match self {
            Self::Memory(store) => store.close().await,
            Self::Embedded(store) => store.close().await,
        }
    }
}
