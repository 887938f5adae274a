//! One opened tree: reads through the cache, compare-and-set under stripes, durable answers.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fjall::compaction::Leveled;
use fjall::config::PartitioningPolicy;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use greylatch_core::{Census, Change, Memory, Record, Timestamp};
use tokio::time::timeout;

use super::cache::{HotCache, Look};
use super::expiry::{Horizon, Purging};
use super::fault::Fault;
use super::flush::Flush;
use super::gate::{Gate, Inside};
use super::journal::{SyncQueue, keep_synced};
use super::keeper::Order;
use super::place::Place;
use super::rotate::{Rotation, keep_rotating};
use super::seen::Seen;
use super::stripes::Stripes;
use super::{EmbeddedOptions, Sync, census};
use crate::commit::{Write, compare, recall, touched};
use crate::error::StoreError;
use crate::format::{self, RecordKey, Stored};
use crate::key::Keys;
use crate::tally::Tally;
use crate::turn::give_way;

pub(super) struct Engine {
    pub(super) database: Database,
    pub(super) keyspace: Keyspace,
    pub(super) tally: Arc<Tally>,
    pub(super) horizon: Arc<Horizon>,
    pub(super) flush: Flush,
    pub(super) gate: Gate,
    pub(super) rotation: Rotation,
    pub(super) syncs: SyncQueue,
    pub(super) seen: Seen,
    stripes: Stripes,
    cache: HotCache,
    pub(super) sync: Sync,
    patience: Duration,
    fault: OnceLock<Fault>,
    /// Nothing more comes after the end has begun.
    closing: AtomicBool,
    keeper: Sender<Order>,
}

/// Records that one attempt has been told of already, absent ones too.
#[derive(Default)]
pub(super) struct Told([Option<(RecordKey, Option<Stored>)>; 3]);

impl Told {
    fn note(&mut self, key: RecordKey, known: Option<Stored>) {
        if let Some(place) = self.0.iter_mut().find(|place| place.is_none()) {
            *place = Some((key, known));
        }
    }

    fn of(&self, key: &RecordKey) -> Option<Option<Stored>> {
        let mut told = self.0.iter().flatten();
        told.find(|(other, _)| other == key)
            .map(|(_, known)| *known)
    }
}

/// What became of a change.
pub(super) enum Written {
    /// It is in the tree; durable when the ticket is served.
    Ticket(u64),
    Conflict(Memory),
}

/// fjall's workers. Of two the first puts back what is to be merged, again and again, as long as the
/// second merges. One alone could wait for itself for ever when inserts ask it to rotate memtables;
/// they do not (`rotate`).
///
/// Source: fjall 3.1.13, `worker_pool.rs` (`worker_tick`).
const WORKERS: usize = 1;
/// So many flushes are merged into the level below at once. Keys are hashes, so each merge writes
/// all of that level again: more at once is what makes a new record in a large store cheap.
const FIRST_LEVEL_RUNS: u8 = 8;
/// With this the level below the first holds 256 MiB.
const TABLE_BYTES: u64 = 32 << 20;
/// Of a large store one record in so many may be in the cache.
const CACHED_SHARE: u64 = 3;
/// The smallest that fjall takes.
const JOURNALS_BYTES_MAX: u64 = 64 << 20;

impl Engine {
    pub(super) fn open(
        options: &EmbeddedOptions,
        inside_max: usize,
        keeper: Sender<Order>,
    ) -> Result<Self, Fault> {
        let tally = Arc::new(Tally::new(options.waiting_max));
        let horizon = Arc::new(Horizon::new());
        let purging = Arc::new(Purging {
            horizon: Arc::clone(&horizon),
            tally: Arc::clone(&tally),
        });
        let database = Database::builder(&options.directory)
            .manual_journal_persist(true)
            .worker_threads(WORKERS)
            .cache_size(options.block_cache_bytes)
            .max_journaling_size(JOURNALS_BYTES_MAX)
            .with_compaction_filter_factories(Arc::new(move |_| Some(purging.clone())))
            .open()?;
        let keyspace = database.keyspace("records", || {
            KeyspaceCreateOptions::default()
                .manual_journal_persist(true)
                .max_memtable_size(u64::MAX)
                // Uncut, the filter and the index of a large table are read whole, 600 KB each, for
                // a single key that is in no cache.
                .filter_block_partitioning_policy(PartitioningPolicy::new([false, true]))
                .index_block_partitioning_policy(PartitioningPolicy::new([false, false, true]))
                // What is not there is known before (`seen`).
                .expect_point_read_hits(true)
                .compaction_strategy(Arc::new(
                    Leveled::default()
                        .with_l0_threshold(FIRST_LEVEL_RUNS)
                        .with_table_target_size(TABLE_BYTES),
                ))
        })?;
        Ok(Self {
            database,
            keyspace,
            tally,
            horizon,
            flush: Flush::new(),
            gate: Gate::new(inside_max, options.store_timeout),
            rotation: Rotation::new(options.memtable_bytes),
            syncs: SyncQueue::default(),
            seen: Seen::new(),
            stripes: Stripes::new(),
            cache: HotCache::new(options.cache_entries),
            sync: options.sync,
            patience: options.store_timeout,
            fault: OnceLock::new(),
            closing: AtomicBool::new(false),
            keeper,
        })
    }

    /// Starts the threads that live as long as the engine is in use.
    pub(super) fn start_threads(
        self: &Arc<Self>,
        directory: &Path,
    ) -> Result<Vec<JoinHandle<()>>, Fault> {
        if self.keyspace.is_empty()? {
            self.horizon.anchor(None);
        }
        let records = self.keyspace.iter();
        let directory = directory.to_owned();
        let spawn = |name: &str, work: Box<dyn FnOnce(&Engine) + Send>| {
            let engine = Arc::clone(self);
            let builder = thread::Builder::new().name(name.into());
            builder.spawn(move || work(&engine))
        };
        Ok(vec![
            spawn(
                "store:sync",
                Box::new(move |engine| keep_synced(engine, &directory)),
            )?,
            spawn("store:rotate", Box::new(keep_rotating))?,
            spawn(
                "store:count",
                Box::new(|engine| census::count(engine, records)),
            )?,
        ])
    }

    /// Tells the threads to end.
    pub(super) fn stop_threads(&self) {
        self.closing.store(true, Ordering::Release);
        self.rotation.stop();
        self.syncs.stop();
    }

    /// An error once it has failed or is ending.
    pub(super) fn usable(&self) -> Result<(), StoreError> {
        if let Some(fault) = self.fault.get() {
            return Err(StoreError::Down(fault.to_string()));
        }
        if self.closing.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        Ok(())
    }

    /// This engine, unless the disk is known not to answer.
    pub(super) fn answering(self: Arc<Self>) -> Result<Arc<Self>, StoreError> {
        if self.gate.is_stuck() {
            return Err(StoreError::Stalled);
        }
        Ok(self)
    }

    /// Notes a fault and has the store opened again; gives the error to answer with.
    pub(super) fn fail(&self, fault: Fault) -> StoreError {
        let first = self.fault.set(fault).is_ok();
        if first {
            // Without a keeper the process is ending.
            let _ = self.keeper.send(Order::Failed);
        }
        StoreError::Down(self.fault.get().map(Fault::to_string).unwrap_or_default())
    }

    pub(super) fn fault(&self) -> Option<&Fault> {
        self.fault.get()
    }

    /// What is remembered, if it can be told without the disk; what could be told is noted.
    pub(super) fn recall_hot(
        &self,
        keys: &Keys,
        enough: impl Fn(&Memory) -> bool,
        told: &mut Told,
    ) -> Option<Memory> {
        let cache = self.cache.look();
        let mut hot = |key: &RecordKey| {
            let known = self.hot(&cache, key)?;
            told.note(*key, known);
            Some(known)
        };
        recall(keys, enough, |key| hot(key).ok_or(())).ok()
    }

    /// What is remembered, from the disk but for what has been told. To be called inside the gate.
    pub(super) fn recall(
        &self,
        keys: &Keys,
        enough: impl Fn(&Memory) -> bool,
        told: &Told,
    ) -> Result<Memory, StoreError> {
        recall(keys, enough, |key| match told.of(key) {
            Some(known) => Ok(known),
            None => self.read(key),
        })
    }

    /// A turn to write, when the disk has taken enough of what was written before.
    pub(super) async fn enter_to_write(&self) -> Result<Inside<'_>, StoreError> {
        self.rotation.room(self.patience).await?;
        self.gate.enter().await
    }

    /// Compares and sets. To be called inside the gate.
    pub(super) fn write(
        &self,
        keys: &Keys,
        seen: &Memory,
        change: &Change,
    ) -> Result<Written, StoreError> {
        {
            let _held = self.stripes.hold(touched(keys, change));
            let writes = compare(keys, seen, change, |key| self.read_held(key))?;
            if let Some(writes) = writes {
                return self.insert(&writes).map(Written::Ticket);
            }
        }
        let now = self.recall(keys, |_| false, &Told::default());
        now.map(Written::Conflict)
    }

    /// Writes or removes records as they are. To be called inside the gate.
    pub(super) fn write_records(
        &self,
        records: &[Record],
        keep: bool,
    ) -> Result<(u64, u64), StoreError> {
        let records: Vec<_> = records.iter().map(format::from_record).collect();
        let _held = self.stripes.hold(records.iter().map(|(key, ..)| *key));
        let mut found = 0;
        let mut ticket = self.flush.last();
        for (key, stored, bytes) in records {
            let old = self.read_held(&key)?;
            found += u64::from(old.is_some());
            let new = keep.then_some(stored);
            ticket = self.insert(&[Write {
                key,
                old,
                new,
                bytes,
            }])?;
        }
        Ok((ticket, found))
    }

    /// Waits until what the ticket stands for is durable.
    pub(super) async fn durable(&self, ticket: u64) -> Result<(), StoreError> {
        if self.sync == Sync::Always {
            return match timeout(self.patience, self.syncs.join()).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(self.fault.get().map_or(StoreError::Closed, |fault| {
                    StoreError::Down(fault.to_string())
                })),
                Err(_) => Err(StoreError::Stalled),
            };
        }
        if self.flush.is_worth_waiting(ticket) {
            give_way().await;
        }
        if self.flush.is_done(ticket) {
            return Ok(());
        }
        let _inside = self.gate.enter().await?;
        self.flush_to(ticket)
    }

    pub(super) fn flush_to(&self, ticket: u64) -> Result<(), StoreError> {
        let flushed = self
            .flush
            .run(ticket, || self.database.persist(PersistMode::Buffer));
        flushed.map_err(|error| self.fail(error.into()))
    }

    pub(super) fn sweep(&self, now: Timestamp) -> Result<Census, StoreError> {
        self.tally.expire(self.horizon.advance(now));
        let bytes = self.database.disk_space();
        let census = self.tally.census();
        let records = census.waiting + census.proven + census.by_hand + census.clients;
        self.cache.raise_limit(records / CACHED_SHARE);
        Ok(Census {
            disk_bytes: bytes.map_err(|error| self.fail(error.into()))?,
            ..census
        })
    }

    /// Puts everything on disk. To be called when nobody writes any more.
    pub(super) fn persist(&self) -> Result<(), Fault> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }

    /// The record as far as it can be told without the disk; the outer `None`: it cannot.
    fn hot(&self, cache: &Look<'_>, key: &RecordKey) -> Option<Option<Stored>> {
        if let Some(known) = cache.get(key) {
            return Some(self.tally.visible(known));
        }
        // It costs less to say so again than to remember it.
        let may_be = Place::all(key).any(|place| self.seen.may_hold(&place));
        (!may_be).then_some(None)
    }

    fn read(&self, key: &RecordKey) -> Result<Option<Stored>, StoreError> {
        if let Some(known) = self.cache.look().get(key) {
            return Ok(self.tally.visible(known));
        }
        let version = self.stripes.version(key);
        let stored = self.fetch(key)?;
        self.stripes
            .fill(key, version, || self.cache.set(*key, stored));
        Ok(self.tally.visible(stored))
    }

    /// The record as it is told to one who holds its stripe and will set the cache.
    fn read_held(&self, key: &RecordKey) -> Result<Option<Stored>, StoreError> {
        match self.hot(&self.cache.look(), key) {
            Some(known) => Ok(known),
            None => Ok(self.tally.visible(self.fetch(key)?)),
        }
    }

    fn fetch(&self, key: &RecordKey) -> Result<Option<Stored>, StoreError> {
        let read = || {
            for place in Place::all(key).filter(|place| self.seen.may_hold(place)) {
                if let Some(value) = self.keyspace.get(place.bytes())? {
                    return Ok(Some(Stored::decode(key, &value)?));
                }
            }
            Ok(None)
        };
        read().map_err(|fault: Fault| self.fail(fault))
    }

    /// Writes records whose stripes are held.
    fn insert(&self, writes: &[Write]) -> Result<u64, StoreError> {
        if writes.is_empty() {
            return Ok(self.flush.last());
        }
        let bytes = writes.iter().map(|write| write.bytes.len() as u64 + 17);
        let bytes = bytes.sum();
        self.put(writes).map_err(|error| self.fail(error.into()))?;
        for write in writes {
            self.cache.set(write.key, write.new);
            self.tally.changed(write.old, write.new);
        }
        self.rotation.wrote(bytes);
        Ok(self.flush.wrote())
    }

    fn put(&self, writes: &[Write]) -> fjall::Result<()> {
        let mut steps = writes.iter().flat_map(|write| self.steps(write));
        let (first, second) = (steps.next(), steps.next());
        if let (Some((place, bytes)), None) = (first, second) {
            return match bytes {
                Some(bytes) => self.keyspace.insert(*place.bytes(), bytes),
                None => self.keyspace.remove(*place.bytes()),
            };
        }
        let mut batch = self.database.batch();
        for (place, bytes) in first.into_iter().chain(second).chain(steps) {
            match bytes {
                Some(bytes) => batch.insert(&self.keyspace, *place.bytes(), bytes),
                None => batch.remove(&self.keyspace, *place.bytes()),
            }
        }
        batch.commit()
    }

    /// What is to be written where, and removed where there is no text: the record may have lain
    /// elsewhere. Where an old one lay is known, unless it is told as gone and still in the tree.
    fn steps<'a>(&self, write: &'a Write) -> impl Iterator<Item = (Place, Option<&'a [u8]>)> {
        let here = write.new.map(|new| Place::of(&write.key, &new));
        let there = write.old.map(|old| Place::of(&write.key, &old));
        let others = Place::all(&write.key).filter(move |other| Some(*other) != here);
        let gone = others.filter(move |other| match there {
            Some(there) => *other == there,
            None => self.seen.may_hold(other),
        });
        if let Some(place) = here {
            self.seen.add(&place);
        }
        let put = here.map(|place| (place, Some(&*write.bytes)));
        gone.map(|place| (place, None)).chain(put)
    }
}
