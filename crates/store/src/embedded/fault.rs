//! What can go wrong with the files, and what follows from it.

use std::io;

use fjall::LsmError;

use crate::format::Malformed;

/// A fault of the store, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// The disk or the system said no; another try may do.
    #[error("{0}")]
    Io(String),
    /// The files are not what was written; they are moved aside.
    #[error("the files are damaged: {0}")]
    Damaged(String),
    /// The files are of a newer program; they are left alone.
    #[error("the files were written by a newer program: {0}")]
    Newer(String),
}

impl From<fjall::Error> for Fault {
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Io(error) | fjall::Error::Storage(LsmError::Io(error)) => {
                Self::from(error)
            }
            fjall::Error::Locked => Self::Io("another process has the directory".into()),
            fjall::Error::Poisoned => Self::Io("an earlier write failed".into()),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Self::Damaged(error.to_string())
            }
            _ => Self::Io(error.to_string()),
        }
    }
}

impl From<Malformed> for Fault {
    fn from(error: Malformed) -> Self {
        match error {
            Malformed::Damaged => Self::Damaged(error.to_string()),
            Malformed::Newer(_) => Self::Newer(error.to_string()),
        }
    }
}
