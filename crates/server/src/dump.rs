//! milter-greylist's dump file, so that its tools go on working and a way back loses nothing: read
//! at the start unless we wrote it ourselves, written as `dumpfreq` says and at the end.
//!
//! Nothing here knows the form of the file; that is in `crates/exchange`.

mod mark;
mod reading;
mod writing;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use greylatch_core::Timestamp;
use greylatch_rules::{DumpAt, Settings};
use greylatch_wording::MilterGreylistEvent;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};
use tracing::error;

use self::mark::Mark;
use crate::clock::{self, monotonic};
use crate::desk::Desk;
use crate::spares::counted;

/// How often what is remembered has changed, and what of it has been told.
pub(crate) struct Changes {
    count: AtomicU64,
    told: Notify,
    /// Of entries that were over by then, in Unix seconds, the log has told if it is to.
    over_told: AtomicI64,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            count: AtomicU64::new(0),
            told: Notify::new(),
            over_told: AtomicI64::new(clock::now().0),
        }
    }
}

impl Changes {
    pub(crate) fn note(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.told.notify_one();
    }

    fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Until when entries that are over have been told of.
    pub(crate) fn over_told(&self) -> Timestamp {
        Timestamp(self.over_told.load(Ordering::Relaxed))
    }

    fn tell_over(&self, until: Timestamp) {
        self.over_told.store(until.0, Ordering::Relaxed);
    }
}

/// The dump file being kept.
pub(crate) struct Dumping {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// How long the last dump may take; what is remembered is in the store all the same.
const END: Duration = Duration::from_secs(60);

/// Changes that come so soon after one another are written at once.
const TOGETHER: Duration = Duration::from_millis(100);

/// With `dumpfreq -1`, how often it is looked whether that still holds.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

impl Dumping {
    /// Reads the file and goes on to write it. `store` is the directory of our store.
    pub(crate) fn start(desk: Arc<Desk>, path: PathBuf, store: Option<&Path>) -> Self {
        let (end, ended) = oneshot::channel();
        let keeper = Keeper {
            mark: Mark::new(store),
            desk,
            path,
            written: 0,
        };
        Self {
            end,
            task: tokio::spawn(counted(keeper.run(ended))),
        }
    }

    /// Writes what has not been written yet.
    pub(crate) async fn end(self) {
        // It fails only when nothing is to be written any more.
        let _ = self.end.send(());
        if timeout(END, self.task).await.is_err() {
            error!("the dump file stays as it was: it was not written within {END:?}");
        }
    }
}

struct Keeper {
    desk: Arc<Desk>,
    path: PathBuf,
    mark: Mark,
    /// How many changes the file has.
    written: u64,
}

impl Keeper {
    async fn run(mut self, mut ended: oneshot::Receiver<()>) {
        let read = tokio::select! {
            biased;
            // A file that has not been read wholly is not written over.
            _ = &mut ended => return,
            read = reading::run(&self.desk, &self.path, &self.mark) => read,
        };
        self.desk.memory_is_whole();
        match read {
            Ok(reading::Found::Same) => self.written = self.desk.changes.count(),
            // What the file has not is to come into it.
            Ok(reading::Found::Other) => self.desk.changes.note(),
            Err(error) => {
                error!("the dump file is left alone until the next start: {error}");
                return;
            }
        }
        loop {
            tokio::select! {
                biased;
                _ = &mut ended => break,
                () = self.due() => self.write().await,
            }
        }
        self.say(&MilterGreylistEvent::Ended);
        let changed = self.is_behind();
        self.say(&MilterGreylistEvent::FinalDump(changed));
        if changed {
            self.write().await;
        }
    }

    fn is_behind(&self) -> bool {
        self.desk.changes.count() != self.written
    }

    /// Waits until the file is to be written.
    async fn due(&self) {
        loop {
            match settings(&self.desk, |settings| settings.dumpfreq) {
                Some(DumpAt::EachChange) => {
                    self.desk.changes.told.notified().await;
                    sleep(TOGETHER).await;
                }
                Some(DumpAt::Every(length)) => {
                    let length = u64::try_from(length.0).unwrap_or(0).max(1);
                    sleep(Duration::from_secs(length)).await;
                }
                Some(DumpAt::Exit) | None => {
                    sleep(LOOK_AGAIN).await;
                    continue;
                }
            }
            if self.is_behind() {
                return;
            }
        }
    }

    /// Writes the file; when that fails, the old one stays and this is tried again when due.
    async fn write(&mut self) {
        let (begun, changes) = (monotonic(), self.desk.changes.count());
        self.say(&MilterGreylistEvent::Dumping(
            changes.wrapping_sub(self.written),
        ));
        let (desk, path, runtime) = (self.desk.clone(), self.path.clone(), Handle::current());
        let written = spawn_blocking(move || writing::write(&desk, &path, &runtime)).await;
        match written {
            Ok(Ok(records)) => {
                self.written = changes;
                self.mark.set(&self.path);
                self.say(&MilterGreylistEvent::Dumped {
                    records,
                    took: begun.elapsed(),
                });
            }
            Ok(Err(error)) => error!("the dump file stays as it was: {error}"),
            Err(panic) => error!("the dump file stays as it was: {panic}"),
        }
    }

    fn say(&self, event: &MilterGreylistEvent<'_>) {
        self.desk.observer.happened(event);
    }
}

/// What the `greylist.conf` in force says.
fn settings<T>(desk: &Desk, of: impl FnOnce(&Settings) -> T) -> Option<T> {
    desk.rulebook.load().acl().map(|acl| of(acl.settings()))
}
