//! Syncing the journal through a descriptor of our own: fjall holds its journal's lock while it
//! syncs, and every writer would wait for the disk.
//!
//! Why this is right: everything to be synced has been flushed to the kernel before the newest
//! journal is looked up. It is in that file, or in an older one, and fjall syncs a journal when
//! it begins the next (Source: fjall 3.1.13, `journal/writer.rs`, `Writer::rotate`).

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fjall::PersistMode;
use tokio::sync::oneshot;

use super::Sync;
use super::engine::Engine;
use super::fault::Fault;

/// The journal that is written now.
struct Journal {
    directory: PathBuf,
    open: Option<(u64, File)>,
}

impl Journal {
    fn sync(&mut self, database: &fjall::Database) -> Result<(), Fault> {
        let Some(newest) = newest(&self.directory)? else {
            return Ok(database.persist(PersistMode::SyncData)?);
        };
        let file = match self.open.take() {
            Some((id, file)) if id == newest => file,
            _ => match File::open(self.directory.join(format!("{newest}.jnl"))) {
                // It was removed meanwhile, with all that was in it safe in tables.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(database.persist(PersistMode::SyncData)?);
                }
                opened => opened?,
            },
        };
        let synced = file.sync_data();
        self.open = Some((newest, file));
        Ok(synced?)
    }
}

/// The number of the newest journal.
fn newest(directory: &Path) -> io::Result<Option<u64>> {
    let mut newest = None;
    for file in fs::read_dir(directory)? {
        let name = file?.file_name();
        let id = name
            .to_str()
            .and_then(|name| name.strip_suffix(".jnl")?.parse().ok());
        newest = newest.max(id);
    }
    Ok(newest)
}

/// Those who wait for the next sync.
#[derive(Default)]
pub(super) struct SyncQueue {
    state: Mutex<Queue>,
    bell: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<oneshot::Sender<()>>,
    stopped: bool,
}

impl SyncQueue {
    /// Tells when what was written before this call is on disk; closed when it will not be told.
    pub(super) fn join(&self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut queue = self.lock();
        if !queue.stopped {
            queue.waiting.push(sender);
            self.bell.notify_one();
        }
        receiver
    }

    pub(super) fn stop(&self) {
        let mut queue = self.lock();
        queue.stopped = true;
        queue.waiting.clear();
        self.bell.notify_one();
    }

    /// Those who wait, when there are any, else after `pause`; `None` at the end.
    fn next(&self, pause: Duration) -> Option<Vec<oneshot::Sender<()>>> {
        let idle = |queue: &mut Queue| queue.waiting.is_empty() && !queue.stopped;
        let waited = self.bell.wait_timeout_while(self.lock(), pause, idle);
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (!queue.stopped).then(|| std::mem::take(&mut queue.waiting))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A list and a flag: whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Between two syncs when nobody waits for one.
const SYNC_PAUSE: Duration = Duration::from_secs(1);

/// The syncing thread: once a second, and whenever somebody waits.
pub(super) fn keep_synced(engine: &Engine, directory: &Path) {
    let mut journal = Journal {
        directory: directory.to_owned(),
        open: None,
    };
    let mut synced = 0;
    while let Some(waiting) = engine.syncs.next(SYNC_PAUSE) {
        let upto = engine.flush.last();
        if upto == synced && waiting.is_empty() {
            continue;
        }
        let answers_wait = engine.sync == Sync::Always && !waiting.is_empty();
        let inside = answers_wait.then(|| engine.gate.enter_aside());
        let done = engine.flush_to(upto).and_then(|()| {
            let synced = journal.sync(&engine.database);
            synced.map_err(|fault| engine.fail(fault))
        });
        drop(inside);
        if done.is_err() {
            // Those who wait are told by their senders being dropped.
            engine.syncs.stop();
            return;
        }
        synced = upto;
        for sender in waiting {
            // Who has stopped waiting is not told.
            let _ = sender.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use std::thread;

    use greylatch_core::{
        Change, Entry, EntryChange, Memory, Network, School, Standing, Timestamp, Triplet,
    };
    use tempfile::TempDir;

    use super::*;
    use crate::embedded::EmbeddedOptions;
    use crate::embedded::engine::Told;
    use crate::embedded::engine::Written;
    use crate::error::StoreError;
    use crate::key::{Keying, Keys};

    fn engine(directory: &Path) -> Engine {
        let options = EmbeddedOptions {
            sync: Sync::Always,
            ..EmbeddedOptions::at(directory)
        };
        Engine::open(&options, 1, channel().0).expect("it opens")
    }

    fn keys(number: u32) -> Keys {
        let sender = format!("sender{number}@example.com");
        let triplet = Triplet::new(School::Native, b"c", sender.as_bytes(), b"r");
        let network = Network::of("192.0.2.0".parse().expect("an address"), 24);
        Keying::Plain.keys(triplet, "192.0.2.10".into(), network, false)
    }

    fn write(engine: &Engine, number: u32) -> u64 {
        let entry = Entry {
            first: Timestamp(1),
            last: Timestamp(2),
            due: Timestamp(3),
            expires: Timestamp(4),
            standing: Standing::Waiting,
        };
        let change = Change {
            entry: EntryChange::Put(entry),
            ..Change::default()
        };
        match engine.write(&keys(number), &Memory::default(), &change) {
            Ok(Written::Ticket(ticket)) => ticket,
            _ => panic!("{number} is not written"),
        }
    }

    fn holds(engine: &Engine, number: u32) -> bool {
        let memory = engine.recall(&keys(number), |_| false, &Told::default());
        memory.expect("it answers").entry.is_some()
    }

    /// Copies a store, with of its journal only the first `kept` bytes.
    fn copy_with_loss(from: &Path, to: &Path, kept: u64) {
        fs::create_dir_all(to).expect("a directory");
        for file in fs::read_dir(from).expect("a directory") {
            let file = file.expect("a file").path();
            let copy = to.join(file.file_name().expect("a name"));
            if file.is_dir() {
                copy_with_loss(&file, &copy, kept);
                continue;
            }
            fs::copy(&file, &copy).expect("it can be copied");
            if copy.extension().is_some_and(|end| end == "jnl") {
                let journal = File::options().write(true).open(&copy).expect("a journal");
                let length = journal.metadata().expect("its length").len();
                journal.set_len(kept).expect("it can be cut");
                journal.set_len(length).expect("zeros come in its place");
            }
        }
    }

    fn written_bytes(directory: &Path) -> u64 {
        let newest = newest(directory).expect("a directory").expect("a journal");
        let bytes = fs::read(directory.join(format!("{newest}.jnl"))).expect("a journal");
        let last = bytes.iter().rposition(|byte| *byte != 0).expect("records");
        u64::try_from(last + 1).expect("a length")
    }

    /// A power cut, simulated below the store: what had been written to the journal since the
    /// last sync becomes zeros, wholly or from any byte on, which is what a file system leaves.
    ///
    /// An assertion of fjall that only debug builds have does not hold for a record cut between
    /// its two lengths, 8 bytes of about 90; those cuts are left out in debug builds.
    #[test]
    fn what_was_synced_survives_the_loss_of_all_that_was_not() {
        let below = TempDir::new().expect("a directory");
        let from = below.path().join("store");
        let engine = engine(&from);
        let mut journal = Journal {
            directory: from.clone(),
            open: None,
        };
        let synced = (0..50).map(|number| write(&engine, number)).max();
        engine
            .flush_to(synced.expect("tickets"))
            .expect("it can be flushed");
        journal.sync(&engine.database).expect("it can be synced");
        let synced = written_bytes(&from);
        let last = (50..100).map(|number| write(&engine, number)).max();
        engine
            .flush_to(last.expect("tickets"))
            .expect("it can be flushed");
        let written = written_bytes(&from);
        assert!(written > synced);
        let mut left_out = 0;
        for (at, kept) in (synced..written).step_by(97).enumerate() {
            let to = below.path().join(at.to_string());
            copy_with_loss(&from, &to, kept);
            let Ok(survivor) = std::panic::catch_unwind(|| super::tests::engine(&to)) else {
                left_out += 1;
                continue;
            };
            for number in 0..50 {
                assert!(holds(&survivor, number), "{number} of {kept} bytes");
            }
            let lost = (50..100)
                .filter(|number| !holds(&survivor, *number))
                .count();
            assert!(lost > 0, "nothing was lost with {kept} of {written} bytes");
            assert!(at > 0 || lost == 50);
        }
        let left_out_max = if cfg!(debug_assertions) { 10 } else { 0 };
        assert!(left_out <= left_out_max, "{left_out} cannot be opened");
    }

    #[tokio::test(start_paused = true)]
    async fn no_answer_leaves_before_its_sync() {
        let below = TempDir::new().expect("a directory");
        let engine = engine(below.path());
        let ticket = write(&engine, 1);
        assert_eq!(engine.durable(ticket).await, Err(StoreError::Stalled));
    }

    #[tokio::test]
    async fn the_syncing_thread_lets_answers_leave() {
        let below = TempDir::new().expect("a directory");
        let engine = Arc::new(engine(below.path()));
        let syncing = Arc::clone(&engine);
        let directory = below.path().to_owned();
        let thread = thread::spawn(move || keep_synced(&syncing, &directory));
        let ticket = write(&engine, 1);
        assert_eq!(engine.durable(ticket).await, Ok(()));
        assert!(engine.flush.is_done(ticket));
        engine.stop_threads();
        thread.join().expect("it ends");
        assert_eq!(engine.durable(ticket).await, Err(StoreError::Closed));
    }
}
