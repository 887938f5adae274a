//! Where a store is in its life: told by its keeper, read by everybody at each attempt, so that a
//! look costs no lock and touches nothing that others write.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Notify;

use super::engine::Engine;
use crate::error::StoreError;

pub(super) enum Phase {
    Opening,
    Open(Arc<Engine>),
    Down(String),
    Closed,
}

impl Phase {
    /// The engine; `None` while it is being opened for the first time.
    pub(super) fn engine(&self) -> Result<Option<&Arc<Engine>>, StoreError> {
        match self {
            Self::Opening => Ok(None),
            Self::Open(engine) => engine.usable().map(|()| Some(engine)),
            Self::Down(fault) => Err(StoreError::Down(fault.clone())),
            Self::Closed => Err(StoreError::Closed),
        }
    }

    fn is_opening(&self) -> bool {
        matches!(self, Self::Opening)
    }
}

pub(super) struct Life {
    phase: ArcSwap<Phase>,
    moved: Notify,
}

impl Life {
    pub(super) fn new() -> Self {
        Self {
            phase: ArcSwap::from_pointee(Phase::Opening),
            moved: Notify::new(),
        }
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(Arc::new(phase));
        self.moved.notify_waiters();
    }

    /// The phase of now. While this is held, an engine in it is not let go.
    pub(super) fn phase(&self) -> Guard<Arc<Phase>> {
        self.phase.load()
    }

    /// The first phase that is not opening.
    pub(super) async fn opened(&self) -> Guard<Arc<Phase>> {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            // From here on no move is missed.
            moved.as_mut().enable();
            let phase = self.phase();
            if !phase.is_opening() {
                return phase;
            }
            drop(phase);
            moved.await;
        }
    }
}
