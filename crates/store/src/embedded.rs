//! The store of one host: a directory with a fjall tree, and what it takes to trust one.
//!
//! What was answered is with the kernel before the answer leaves, so ending the process at any
//! moment loses nothing; a power cut loses at most the last second, or with [`Sync::Always`]
//! nothing. The parts: `engine` reads and writes, `keeper` opens and opens again after a fault,
//! `gate` keeps a stuck disk from stopping the runtime, `flush` and `journal` make durable,
//! `rotate` and `expiry` keep memory and files small, `stripes`, `cache` and `seen` are in front.
//!
//! Limits: entries in the cache, waiting entries, tasks at the disk at once, how long an attempt
//! waits (all in [`EmbeddedOptions`]), and of the files 128 MiB of journals.

mod browse;
mod cache;
mod census;
mod engine;
mod expiry;
mod fault;
mod flush;
mod gate;
mod journal;
mod keeper;
mod phase;
mod place;
mod rotate;
mod seen;
mod stripes;
mod torn;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use greylatch_core::{Census, Change, Memory, Page, Query, Record, Timestamp};
use tokio::time::timeout;

use self::engine::{Engine, Told, Written};
use self::keeper::Keeper;
use self::phase::Life;
use crate::error::StoreError;
use crate::key::Keys;
use crate::store::{Commit, Store};

/// How an embedded store is run.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// Where its files are; made when missing. One process at a time may have it.
    pub directory: PathBuf,
    /// What an answer waits for.
    pub sync: Sync,
    /// Records held in memory in front of the tree at most, about 28 bytes each; a third of all
    /// records when that is more.
    pub cache_entries: usize,
    /// Bytes of the tree's blocks held in memory.
    pub block_cache_bytes: u64,
    /// Entries that may wait in all; beyond it the oldest go first.
    pub waiting_max: u64,
    /// How long an attempt waits for its turn to read or write, or for a sync; one that reads or
    /// writes for longer makes the store [`StoreError::Stalled`].
    pub store_timeout: Duration,
    /// How long an attempt waits for the store to open.
    pub open_wait: Duration,
    /// Tasks that may wait for the disk at once; less than the workers of the runtime, so that a
    /// stuck disk leaves it one. `None`: one less than its workers, and at least one.
    pub inside_max: Option<usize>,
    /// A memtable of about so many bytes is written to a table.
    pub memtable_bytes: u64,
}

impl EmbeddedOptions {
    /// A store in this directory with the default limits.
    #[must_use]
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            sync: Sync::Interval,
            cache_entries: 524_288,
            block_cache_bytes: 32 << 20,
            waiting_max: 4_000_000,
            store_timeout: Duration::from_secs(1),
            open_wait: Duration::from_secs(5),
            inside_max: None,
            memtable_bytes: 10 << 20,
        }
    }
}

/// What an answer waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// The kernel; it is synced to disk once a second. A power cut loses at most that.
    #[default]
    Interval,
    /// The disk: one sync for all that wait.
    Always,
}

/// A store in a directory of this host.
pub struct Embedded {
    life: Arc<Life>,
    keeper: Keeper,
    open_wait: Duration,
}

impl Embedded {
    /// Starts to open the store on a thread of its own and returns at once. A fault is told by
    /// the methods of [`Store`] and logged; it never ends the process.
    #[must_use]
    pub fn start(options: EmbeddedOptions) -> Self {
        let open_wait = options.open_wait;
        let (keeper, life) = Keeper::start(options);
        Self {
            life,
            keeper,
            open_wait,
        }
    }

    async fn engine(&self) -> Result<Arc<Engine>, StoreError> {
        if let Some(engine) = self.life.phase().engine()? {
            return Ok(Arc::clone(engine));
        }
        match timeout(self.open_wait, self.life.opened()).await {
            Ok(phase) => phase.engine()?.cloned().ok_or(StoreError::Opening),
            Err(_) => Err(StoreError::Opening),
        }
    }

    /// What is remembered, if it is in memory; what could be told is noted.
    fn recall_hot(
        &self,
        keys: &Keys,
        enough: impl Fn(&Memory) -> bool,
        told: &mut Told,
    ) -> Result<Option<Memory>, StoreError> {
        let phase = self.life.phase();
        let engine = phase.engine()?;
        Ok(engine.and_then(|engine| engine.recall_hot(keys, enough, told)))
    }

    async fn write(&self, records: &[Record], keep: bool) -> Result<u64, StoreError> {
        let engine = self.engine().await?;
        let (mut ticket, mut found) = (0, 0);
        for slice in records.chunks(RECORDS_AT_ONCE) {
            let _inside = engine.enter_to_write().await?;
            let (last, here) = engine.write_records(slice, keep)?;
            ticket = last;
            found += here;
        }
        engine.durable(ticket).await?;
        Ok(found)
    }

    /// Runs what takes long where it holds up no connection.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Engine) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let engine = self.engine().await?.answering()?;
        let done = tokio::task::spawn_blocking(move || work(&engine)).await;
        done.unwrap_or_else(|error| Err(StoreError::Down(error.to_string())))
    }
}

/// Records written under one set of locks when many come at once.
const RECORDS_AT_ONCE: usize = 64;

impl Store for Embedded {
    async fn load(
        &self,
        keys: &Keys,
        enough: impl Fn(&Memory) -> bool + Send,
    ) -> Result<Memory, StoreError> {
        let mut told = Told::default();
        if let Some(memory) = self.recall_hot(keys, &enough, &mut told)? {
            return Ok(memory);
        }
        let engine = self.engine().await?;
        let _inside = engine.gate.enter().await?;
        engine.recall(keys, enough, &told)
    }

    async fn commit(
        &self,
        keys: &Keys,
        seen: &Memory,
        change: &Change,
    ) -> Result<Commit, StoreError> {
        let engine = self.engine().await?;
        let written = {
            let _inside = engine.enter_to_write().await?;
            engine.write(keys, seen, change)?
        };
        match written {
            Written::Ticket(ticket) => {
                engine.durable(ticket).await?;
                Ok(Commit::Done)
            }
            Written::Conflict(memory) => Ok(Commit::Conflict(memory)),
        }
    }

    async fn put(&self, records: &[Record]) -> Result<(), StoreError> {
        self.write(records, true).await.map(drop)
    }

    async fn remove(&self, records: &[Record]) -> Result<u64, StoreError> {
        self.write(records, false).await
    }

    async fn sweep(&self, now: Timestamp) -> Result<Census, StoreError> {
        self.aside(move |engine| engine.sweep(now)).await
    }

    async fn browse(&self, query: &Query) -> Result<Page, StoreError> {
        let query = query.clone();
        self.aside(move |engine| engine.browse(&query)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.engine().await?.answering().map(drop)
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.keeper.close().await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use greylatch_core::{Entry, Network, School, Standing, Triplet};
    use tempfile::TempDir;

    use super::fault::Fault;
    use super::phase::Phase;
    use super::*;
    use crate::key::Keying;

    fn record(number: u8, expires: i64) -> Record {
        record_of(number, Standing::Waiting, expires)
    }

    fn record_of(number: u8, standing: Standing, expires: i64) -> Record {
        Record::Triplet {
            key: [number; 16],
            client: b"c".to_vec(),
            sender: b"s".to_vec(),
            recipient: b"r".to_vec(),
            entry: Entry {
                first: Timestamp(expires - 100),
                last: Timestamp(expires - 50),
                due: Timestamp(expires - 40),
                expires: Timestamp(expires),
                standing,
            },
        }
    }

    async fn listed(store: &Embedded) -> Vec<Record> {
        let page = store.browse(&Query::default()).await;
        page.expect("it answers").records
    }

    /// A store whose deadlines no busy machine meets.
    fn patient(directory: impl Into<PathBuf>) -> EmbeddedOptions {
        EmbeddedOptions {
            store_timeout: Duration::from_mins(1),
            open_wait: Duration::from_mins(1),
            ..EmbeddedOptions::at(directory)
        }
    }

    #[tokio::test]
    async fn after_a_write_error_it_is_opened_again_with_all_it_had() {
        let below = TempDir::new().expect("a directory");
        let store = Embedded::start(patient(below.path()));
        store.put(&[record(1, 1_000)]).await.expect("it answers");
        let engine = store.engine().await.expect("it is open");
        let down = engine.fail(Fault::Io("no space left".into()));
        assert_eq!(down, StoreError::Down("no space left".into()));
        drop(engine);
        assert_eq!(store.ping().await, Err(down));
        let begun = Instant::now();
        while store.ping().await.is_err() && begun.elapsed() < Duration::from_secs(20) {
            tokio::task::yield_now().await;
        }
        assert_eq!(listed(&store).await, [record(1, 1_000)]);
    }

    #[tokio::test]
    async fn what_the_journals_hold_is_written_out_after_a_start_without_any_write() {
        let below = TempDir::new().expect("a directory");
        let store = Embedded::start(patient(below.path()));
        let records: Vec<Record> = (0..100).map(|number| record(number, 1_000)).collect();
        store.put(&records).await.expect("it answers");
        store.close().await.expect("it closes");
        let store = Embedded::start(EmbeddedOptions {
            memtable_bytes: 1_000,
            ..patient(below.path())
        });
        let engine = store.engine().await.expect("it is open");
        let begun = Instant::now();
        while engine.keyspace.table_count() == 0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "it is not");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(listed(&store).await, records);
    }

    #[tokio::test]
    async fn damage_found_while_reading_begins_anew() {
        let below = TempDir::new().expect("a directory");
        let directory = below.path().join("store");
        let store = Embedded::start(patient(&directory));
        store.put(&[record(1, 1_000)]).await.expect("it answers");
        let engine = store.engine().await.expect("it is open");
        let key = [b't'; 17];
        engine
            .keyspace
            .insert(key, b"\x01?")
            .expect("it can be written");
        drop(engine);
        let error = store.browse(&Query::default()).await;
        let damaged = "the files are damaged: a record cannot be read";
        assert_eq!(error, Err(StoreError::Down(damaged.into())));
        let begun = Instant::now();
        while store.ping().await.is_err() && begun.elapsed() < Duration::from_secs(20) {
            tokio::task::yield_now().await;
        }
        assert_eq!(listed(&store).await, []);
        assert!(below.path().join("store.damaged-1").is_dir());
    }

    #[tokio::test]
    async fn an_entry_lies_in_one_place_whatever_it_was_before() {
        let below = TempDir::new().expect("a directory");
        let options = || EmbeddedOptions {
            waiting_max: 2,
            ..patient(below.path())
        };
        let proven = |number| record_of(number, Standing::Proven, 9_000);
        let store = Embedded::start(options());
        // The first has to make room, and comes back as a proven one.
        let waiting = [1, 3, 2].map(|number| record(number, 1_000 * i64::from(number)));
        store.put(&waiting).await.expect("it answers");
        store.put(&[proven(1)]).await.expect("it answers");
        // One that waited is proven, and one proven waits again.
        store.put(&[proven(2)]).await.expect("it answers");
        store.put(&[proven(4)]).await.expect("it answers");
        store.put(&[record(4, 3_000)]).await.expect("it answers");
        store.close().await.expect("it closes");
        let store = Embedded::start(options());
        let all = [proven(1), proven(2), record(3, 3_000), record(4, 3_000)];
        assert_eq!(listed(&store).await, all);
        let engine = store.engine().await.expect("it is open");
        assert_eq!(engine.keyspace.len().expect("it can be read"), all.len());
        assert_eq!(store.remove(&all).await, Ok(4));
        assert!(engine.keyspace.is_empty().expect("it can be read"));
    }

    /// The records that are left after a compaction under this limit, at the time 2,000.
    async fn compacted(waiting_max: u64, records: &[Record]) -> Vec<Record> {
        let below = TempDir::new().expect("a directory");
        let store = Embedded::start(EmbeddedOptions {
            waiting_max,
            ..patient(below.path())
        });
        let engine = store.engine().await.expect("it is open");
        store.put(records).await.expect("it answers");
        store.sweep(Timestamp(2_000)).await.expect("it answers");
        let here = engine.keyspace.len();
        assert_eq!(here.expect("it can be read"), records.len());
        let rotated = engine.keyspace.rotate_memtable_and_wait();
        rotated.expect("it rotates");
        engine.keyspace.major_compact().expect("it compacts");
        let left = listed(&store).await;
        let here = engine.keyspace.len();
        assert_eq!(here.expect("it can be read"), left.len());
        left
    }

    #[tokio::test]
    async fn compactions_purge_what_expired() {
        let [gone, stays] = [record(1, 1_999), record(2, 2_000)];
        assert_eq!(compacted(10, &[gone, stays.clone()]).await, [stays]);
    }

    #[tokio::test]
    async fn compactions_purge_what_made_room() {
        let [gone, one, other] =
            [(1, 3_000), (2, 4_000), (3, 5_000)].map(|(number, expires)| record(number, expires));
        let left = compacted(2, &[gone, one.clone(), other.clone()]).await;
        assert_eq!(left, [one, other]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_does_not_wait_for_ever_for_the_store_to_open() {
        let below = TempDir::new().expect("a directory");
        let life = Arc::new(Life::new());
        let options = patient(below.path());
        let store = Embedded {
            life: Arc::clone(&life),
            open_wait: options.open_wait,
            keeper: Keeper::start(options).0,
        };
        assert_eq!(store.ping().await, Err(StoreError::Opening));
        life.enter(Phase::Closed);
        assert_eq!(store.ping().await, Err(StoreError::Closed));
    }

    #[tokio::test]
    async fn a_stuck_writer_keeps_everybody_else_out() {
        let below = TempDir::new().expect("a directory");
        let store = Embedded::start(EmbeddedOptions {
            store_timeout: Duration::from_millis(1),
            ..patient(below.path())
        });
        let engine = store.engine().await.expect("it is open");
        let stuck = engine.gate.enter().await.expect("nobody is inside");
        while !engine.gate.is_stuck() {
            tokio::task::yield_now().await;
        }
        assert_eq!(store.ping().await, Err(StoreError::Stalled));
        let refused = store.put(&[record(1, 1_000)]).await;
        assert_eq!(refused, Err(StoreError::Stalled));
        drop(stuck);
        assert_eq!(store.put(&[record(1, 1_000)]).await, Ok(()));
    }

    #[tokio::test]
    async fn what_is_in_memory_is_told_while_the_disk_hangs() {
        let below = TempDir::new().expect("a directory");
        let options = || EmbeddedOptions {
            store_timeout: Duration::from_millis(1),
            inside_max: Some(1),
            ..patient(below.path())
        };
        let network = Network::of([192, 0, 2, 0].into(), 24);
        let keys = |sender: &[u8]| {
            let triplet = Triplet::new(School::Native, b"c", sender, b"r");
            Keying::Plain.keys(triplet, "192.0.2.1".into(), network, false)
        };
        let [known, other] = [keys(b"known"), keys(b"other")];
        let store = Embedded::start(options());
        for keys in [&known, &other] {
            let record = Record::Triplet {
                key: keys.triplet().bytes(),
                client: vec![],
                sender: vec![],
                recipient: vec![],
                entry: Entry {
                    first: Timestamp(1),
                    last: Timestamp(2),
                    due: Timestamp(3),
                    expires: Timestamp(4),
                    standing: Standing::Proven,
                },
            };
            store.put(&[record]).await.expect("it answers");
        }
        store.close().await.expect("it closes");
        let store = Embedded::start(options());
        let engine = store.engine().await.expect("it is open");
        let remembered = store.load(&known, |_| false).await;
        assert!(remembered.expect("it answers").entry.is_some());
        let hanging = engine.gate.enter().await.expect("nobody is inside");
        while !engine.gate.is_stuck() {
            tokio::task::yield_now().await;
        }
        let again = store.load(&known, |_| false).await;
        assert!(again.expect("it is in memory").entry.is_some());
        let elsewhere = store.load(&other, |_| false).await;
        assert_eq!(elsewhere, Err(StoreError::Stalled));
        drop(hanging);
        assert!(store.load(&other, |_| false).await.is_ok());
    }
}
