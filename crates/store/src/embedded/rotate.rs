//! Our own rotation of memtables. fjall's worker threads can wait for one another for ever when
//! they rotate by size, and an insert sleeps when tables pile up; so the tree is told never to
//! rotate by itself, this thread does it, and says when it is better not to write at all.
//!
//! Source: fjall 3.1.13, `worker_pool.rs` (`worker_tick`) and `keyspace/mod.rs`
//! (`inner_rotate_memtable`, `local_backpressure`).

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

use super::engine::Engine;
use super::fault::Fault;
use crate::error::StoreError;

/// What is known of the memtables.
pub(super) struct Rotation {
    /// Bytes written since the last rotation.
    pending_bytes: AtomicU64,
    busy: AtomicBool,
    /// Rings when writes are welcome again.
    eased: Notify,
    stopped: Mutex<bool>,
    bell: Condvar,
    memtable_bytes: u64,
}

/// How often the memtable is looked at.
const TICK: Duration = Duration::from_millis(20);
/// A memtable with anything in it is written out after this.
const MEMTABLE_AGE: Duration = Duration::from_secs(600);
/// An insert sleeps from 4 sealed memtables on.
const SEALED_MAX: usize = 2;
/// An insert slows down from 20 runs in the first level on; one flush makes one run.
const FIRST_LEVEL_MAX: usize = 16;
/// The memtable may grow to so many times its size while tables pile up.
const OVERSIZE: u64 = 3;
/// What an entry of the memtable takes beside key and value.
const ENTRY_OVERHEAD: u64 = 64;
/// A flush that makes no progress for so long is a fault.
const FLUSH_PATIENCE: Duration = Duration::from_secs(30);
/// The same behind a merge: of a large store on a slow disk one takes long.
const MERGE_PATIENCE: Duration = Duration::from_mins(10);

impl Rotation {
    pub(super) fn new(memtable_bytes: u64) -> Self {
        Self {
            pending_bytes: AtomicU64::new(0),
            busy: AtomicBool::new(false),
            eased: Notify::new(),
            stopped: Mutex::new(false),
            bell: Condvar::new(),
            memtable_bytes,
        }
    }

    pub(super) fn wrote(&self, bytes: u64) {
        self.pending_bytes
            .fetch_add(bytes + ENTRY_OVERHEAD, Ordering::Relaxed);
    }

    /// Waits while more has been written than the disk has taken: who floods is slowed down to
    /// its pace.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when it lasts for longer than `patience`.
    pub(super) async fn room(&self, patience: Duration) -> Result<(), StoreError> {
        if !self.is_busy() {
            return Ok(());
        }
        let eased = async {
            loop {
                let mut eased = pin!(self.eased.notified());
                // From here on no ringing is missed.
                eased.as_mut().enable();
                if !self.is_busy() {
                    return;
                }
                eased.await;
            }
        };
        timeout(patience, eased).await.map_err(|_| StoreError::Busy)
    }

    fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    fn set_busy(&self, busy: bool) {
        if self.busy.swap(busy, Ordering::AcqRel) && !busy {
            self.eased.notify_waiters();
        }
    }

    pub(super) fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.notify_all();
    }

    /// Rests for `pause`; false at the end.
    pub(super) fn rest(&self, pause: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .bell
            .wait_timeout_while(stopped, pause, |stopped| !*stopped);
        let (stopped, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !*stopped
    }
}

/// The rotating thread.
pub(super) fn keep_rotating(engine: &Engine) {
    let rotation = &engine.rotation;
    let mut rotated = Instant::now();
    let mut progress = (0, 0);
    let mut progressed = Instant::now();
    while rotation.rest(TICK) {
        let sealed = engine.keyspace.sealed_memtable_count();
        let first_level = engine.keyspace.l0_table_count();
        let pending = rotation.pending_bytes.load(Ordering::Relaxed);
        let crowded = sealed >= SEALED_MAX || first_level >= FIRST_LEVEL_MAX;
        let due = pending >= rotation.memtable_bytes
            || (pending > 0 && rotated.elapsed() >= MEMTABLE_AGE);
        if due && !crowded {
            rotation.pending_bytes.fetch_sub(pending, Ordering::Relaxed);
            rotated = Instant::now();
            // fjall syncs the journal at a flush while it holds all writers up: little is left
            // to sync then. Whether this sync worked, the syncing thread has told.
            let _ = engine.syncs.join().blocking_recv();
            if let Err(error) = engine.keyspace.rotate_memtable() {
                engine.fail(error.into());
                return;
            }
        }
        let oversize = pending >= rotation.memtable_bytes.saturating_mul(OVERSIZE);
        rotation.set_busy(crowded && oversize);
        let now = (sealed, engine.keyspace.table_count());
        if sealed == 0 || now != progress {
            progressed = Instant::now();
        } else if progressed.elapsed() > patience(engine) {
            let waited = progressed.elapsed().as_secs();
            let text = format!("no table was written for {waited} s");
            engine.fail(Fault::Io(text));
            return;
        }
        progress = now;
    }
}

/// The worker that flushes is the one that merges.
fn patience(engine: &Engine) -> Duration {
    if engine.database.active_compactions() > 0 {
        MERGE_PATIENCE
    } else {
        FLUSH_PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn writers_wait_for_room_but_not_for_ever() {
        let rotation = Rotation::new(1);
        let patience = Duration::from_millis(300);
        assert_eq!(rotation.room(patience).await, Ok(()));
        rotation.set_busy(true);
        assert_eq!(rotation.room(patience).await, Err(StoreError::Busy));
        let eased = async {
            tokio::time::sleep(patience / 2).await;
            rotation.set_busy(false);
        };
        let (waited, ()) = tokio::join!(rotation.room(patience), eased);
        assert_eq!(waited, Ok(()));
    }
}
