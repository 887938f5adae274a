//! The gate before all that may touch the disk. A read or a write can block the thread it runs on
//! for as long as the disk likes, so fewer may be inside at once than the runtime has workers, and
//! while one is inside for too long nobody else is let near the store.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::error::StoreError;

pub(super) struct Gate {
    permits: Semaphore,
    inside: AtomicU32,
    /// When somebody last came, in milliseconds since `start`: whoever is inside came then or before.
    came_ms: AtomicU64,
    start: Instant,
    patience: Duration,
}

/// Somebody is inside, until this is dropped.
pub(super) struct Inside<'a> {
    gate: &'a Gate,
    _permit: Option<SemaphorePermit<'a>>,
}

impl Gate {
    pub(super) fn new(inside_max: usize, patience: Duration) -> Self {
        Self {
            permits: Semaphore::new(inside_max),
            inside: AtomicU32::new(0),
            came_ms: AtomicU64::new(0),
            start: Instant::now(),
            patience,
        }
    }

    /// Waits for a turn inside, not longer than the gate's patience, and not at all while
    /// somebody is stuck.
    pub(super) async fn enter(&self) -> Result<Inside<'_>, StoreError> {
        let now_ms = self.now_ms();
        if self.is_stuck_at(now_ms) {
            return Err(StoreError::Stalled);
        }
        match self.permits.try_acquire() {
            Ok(permit) => Ok(self.count(Some(permit), now_ms)),
            Err(_) => {
                let permit = self.wait().await?;
                Ok(self.count(Some(permit), self.now_ms()))
            }
        }
    }

    /// Comes in beside those who wait their turn: for a thread of the store's own on which
    /// answers wait.
    pub(super) fn enter_aside(&self) -> Inside<'_> {
        self.count(None, self.now_ms())
    }

    /// Whether somebody has been inside for too long.
    pub(super) fn is_stuck(&self) -> bool {
        self.is_stuck_at(self.now_ms())
    }

    fn is_stuck_at(&self, now_ms: u64) -> bool {
        self.inside.load(Ordering::Acquire) > 0
            && now_ms.saturating_sub(self.came_ms.load(Ordering::Acquire))
                > u64::try_from(self.patience.as_millis()).unwrap_or(u64::MAX)
    }

    async fn wait(&self) -> Result<SemaphorePermit<'_>, StoreError> {
        match timeout(self.patience, self.permits.acquire()).await {
            Ok(permit) => permit.map_err(|_| StoreError::Closed),
            Err(_) if self.is_stuck() => Err(StoreError::Stalled),
            Err(_) => Err(StoreError::Busy),
        }
    }

    fn count<'a>(&'a self, permit: Option<SemaphorePermit<'a>>, now_ms: u64) -> Inside<'a> {
        // The time first: nobody may see an old time with somebody inside.
        self.came_ms.store(now_ms, Ordering::Release);
        self.inside.fetch_add(1, Ordering::AcqRel);
        Inside {
            gate: self,
            _permit: permit,
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.gate.inside.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stuck_writer_is_told_until_it_leaves() {
        let gate = Gate::new(1, Duration::from_millis(1));
        let stuck = gate.enter().await.expect("the gate is open");
        while !gate.is_stuck() {
            tokio::task::yield_now().await;
        }
        assert_eq!(gate.enter().await.err(), Some(StoreError::Stalled));
        drop(stuck);
        assert!(!gate.is_stuck());
        assert!(gate.enter().await.is_ok());
    }
}
