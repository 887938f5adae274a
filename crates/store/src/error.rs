//! Why a store could not do what it was asked.

/// Why a store could not do what it was asked. None of these loses what was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It is not open yet, and was waited for as long as allowed.
    #[error("the store is still being opened")]
    Opening,
    /// It cannot take more just now: earlier writes are still on their way to the disk.
    #[error("the store is busy writing out what it has")]
    Busy,
    /// The disk has not answered an earlier write in time.
    #[error("the disk does not answer")]
    Stalled,
    /// It failed and is being opened again; the fault in words.
    #[error("the store is down: {0}")]
    Down(String),
    /// It has been closed.
    #[error("the store is closed")]
    Closed,
}
