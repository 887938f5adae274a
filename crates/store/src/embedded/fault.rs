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
        let is_refused = error.raw_os_error().is_some() || error.kind() == io::ErrorKind::WriteZero;
        // No other try makes a file come that should be there.
        if is_refused && error.kind() != io::ErrorKind::NotFound {
            Self::Io(error.to_string())
        } else {
            Self::Damaged(error.to_string())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_refuses_may_be_tried_again_and_what_cannot_be_read_not() {
        let refused = [system(28), io::ErrorKind::WriteZero.into()];
        for error in refused {
            assert!(matches!(Fault::from(error), Fault::Io(_)));
        }
        let unreadable = [
            system(2),
            io::ErrorKind::UnexpectedEof.into(),
            io::Error::other("no such version"),
        ];
        for error in unreadable {
            assert!(matches!(Fault::from(error), Fault::Damaged(_)));
        }
    }

    fn system(code: i32) -> io::Error {
        io::Error::from_raw_os_error(code)
    }
}
