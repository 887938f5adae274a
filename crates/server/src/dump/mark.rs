//! How the dump file looked when we wrote or read it last: another one has been written by somebody
//! else since, and is to be read.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tracing::warn;

/// A file beside our store; none where the store has no directory.
pub(super) struct Mark(Option<PathBuf>);

/// Its name.
const MARK: &str = "dump-as-known";

impl Mark {
    pub(super) fn new(store: Option<&Path>) -> Self {
        Self(store.map(|store| store.join(MARK)))
    }

    /// Whether the dump file is the one that we know.
    pub(super) fn is_of(&self, dump: &Path) -> bool {
        let known = self.0.as_deref().map(fs::read_to_string);
        matches!((known, look(dump)), (Some(Ok(known)), Ok(now)) if known == now)
    }

    /// The dump file is known as it is now.
    pub(super) fn set(&self, dump: &Path) {
        let Some(mark) = &self.0 else {
            return;
        };
        if let Err(error) = look(dump).and_then(|now| fs::write(mark, now)) {
            warn!(
                "{} cannot be written, so the next start reads the dump file: {error}",
                mark.display()
            );
        }
    }
}

fn look(dump: &Path) -> io::Result<String> {
    let found = fs::metadata(dump)?;
    Ok(format!(
        "{}.{:09} {}\n",
        found.mtime(),
        found.mtime_nsec(),
        found.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_until_it_is_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let dump = folder.path().join("greylist.db");
        let mark = Mark::new(Some(folder.path()));
        assert!(!mark.is_of(&dump));
        fs::write(&dump, "one\n").expect("a dump");
        assert!(!mark.is_of(&dump));
        mark.set(&dump);
        assert!(mark.is_of(&dump));
        fs::write(&dump, "another\n").expect("a dump");
        assert!(!mark.is_of(&dump));
        let forgetful = Mark::new(None);
        forgetful.set(&dump);
        assert!(!forgetful.is_of(&dump));
    }
}
