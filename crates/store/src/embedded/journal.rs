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

use super::engine::Engine;
use super::fault::Fault;
use crate::error::StoreError;

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
    /// Waits until what was written before this call is on disk.
    pub(super) fn join(&self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.lock().waiting.push(sender);
        self.bell.notify_one();
        receiver
    }

    pub(super) fn stop(&self) {
        self.lock().stopped = true;
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
        let inside = (!waiting.is_empty()).then(|| engine.gate.enter_aside());
        let done = engine.flush_to(upto).and_then(|()| {
            let synced = journal.sync(&engine.database);
            synced.map_err(|fault| engine.fail(fault))
        });
        drop(inside);
        if let Err(StoreError::Down(_)) = done {
            // Dropping the senders tells those who wait.
            return;
        }
        synced = upto;
        for sender in waiting {
            // Who has stopped waiting is not told.
            let _ = sender.send(());
        }
    }
}
