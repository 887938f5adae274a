//! A `greylist.conf`, which counts from when it was saved.

use std::future::pending;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::sleep;

use crate::config::Config;

/// The file, and which state of it was read. milter-greylist looks at each message.
///
/// Made before the file is read, so that whoever saves it meanwhile is seen.
pub(crate) struct Watched {
    path: Option<PathBuf>,
    read: Option<Stamp>,
    /// At the last look.
    seen: Option<Stamp>,
}

/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What tells one state of a file from another.
#[derive(Clone, Copy, PartialEq)]
struct Stamp {
    modified: SystemTime,
    length: u64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let about = path.metadata().ok()?;
        Some(Self {
            modified: about.modified().ok()?,
            length: about.len(),
            inode: about.ino(),
        })
    }
}

impl Watched {
    pub(crate) fn new(config: &Config) -> Self {
        let path = config.lists.greylist_conf.as_ref();
        Self::at(path.map(|foreign| foreign.path.clone()))
    }

    fn at(path: Option<PathBuf>) -> Self {
        let read = path.as_deref().and_then(Stamp::of);
        Self {
            path,
            read,
            seen: read,
        }
    }

    /// Waits until the file is another than before; for ever where there is none.
    ///
    /// It must have rested from one look to the next: until then it may be half written, and another
    /// saving within the same tick of the file system's clock would leave the same time.
    pub(crate) async fn changed(&mut self) {
        let Some(path) = &self.path else {
            return pending().await;
        };
        loop {
            sleep(LOOK).await;
            let before = self.seen;
            self.seen = Stamp::of(path);
            // A file that is away is about to come back.
            if self.seen.is_some() && self.seen == before && self.seen != self.read {
                self.read = self.seen;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::PathBuf;
    use std::time::{Duration, SystemTime};

    use tempfile::TempDir;
    use tokio::time::{Instant, timeout};

    use super::{LOOK, Watched};

    type TestResult = Result<(), Box<dyn std::error::Error>>;

    const LONG: Duration = Duration::from_secs(60);

    fn saved() -> std::io::Result<(TempDir, PathBuf, Watched)> {
        let folder = TempDir::new()?;
        let path = folder.path().join("greylist.conf");
        fs::write(&path, "racl whitelist default\n")?;
        let watched = Watched::at(Some(path.clone()));
        Ok((folder, path, watched))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_saved_before_the_first_look_is_seen() -> TestResult {
        let (_folder, path, mut watched) = saved()?;
        fs::write(&path, "racl blacklist default # longer\n")?;
        timeout(LONG, watched.changed()).await?;
        assert!(timeout(LONG, watched.changed()).await.is_err());
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_text_at_another_time_is_seen_and_an_untouched_file_is_not() -> TestResult {
        let (_folder, path, mut watched) = saved()?;
        assert!(timeout(LONG, watched.changed()).await.is_err());
        File::options()
            .write(true)
            .open(&path)?
            .set_modified(SystemTime::now() - LONG)?;
        timeout(LONG, watched.changed()).await?;
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_being_written_is_waited_for() -> TestResult {
        let (_folder, path, mut watched) = saved()?;
        let began = Instant::now();
        for length in 1..10 {
            fs::write(&path, "#".repeat(length))?;
            assert!(timeout(LOOK, watched.changed()).await.is_err());
        }
        fs::remove_file(&path)?;
        assert!(timeout(LONG, watched.changed()).await.is_err());
        fs::write(&path, "racl blacklist default\n")?;
        timeout(LONG, watched.changed()).await?;
        assert!(began.elapsed() > LOOK * 9 + LONG);
        Ok(())
    }
}
