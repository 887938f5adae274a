//! What opening cuts off. A journal that a power cut has torn is read up to the tear and shortened
//! to it, and fjall says nothing; bytes that went bad on the disk look the same and may have more
//! behind them.
//!
//! Source: fjall 3.1.13, `journal/reader.rs` and `journal/batch_reader.rs` (`truncate_to`).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The journals of a directory, each with where its text ends: space is taken in advance, and is
/// zero.
pub(super) struct JournalEnds(Vec<(PathBuf, u64)>);

impl JournalEnds {
    pub(super) fn of(directory: &Path) -> io::Result<Self> {
        let mut ends = Vec::new();
        for file in fs::read_dir(directory)? {
            let path = file?.path();
            if path.extension().is_some_and(|ending| ending == "jnl") {
                let end = end(&path)?;
                ends.push((path, end));
            }
        }
        Ok(Self(ends))
    }

    /// Bytes of text in all of them together.
    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|(_, end)| end).sum()
    }

    /// The journals that have become shorter, each with the bytes that it lost. To be asked before
    /// anything is written; one that is gone has been read and is no longer needed.
    pub(super) fn lost(&self) -> impl Iterator<Item = (&Path, u64)> {
        self.0.iter().filter_map(|(path, before)| {
            let now = end(path).ok()?;
            (now < *before).then(|| (path.as_path(), before - now))
        })
    }
}

/// Bytes looked at together.
const BLOCK: usize = 64 << 10;

/// Behind the last byte that is not zero.
fn end(path: &Path) -> io::Result<u64> {
    let file = File::open(path)?;
    let mut block = vec![0; BLOCK];
    let mut upto = file.metadata()?.len();
    while upto > 0 {
        let length = upto.min(BLOCK as u64);
        let start = upto - length;
        let part = &mut block[..usize::try_from(length).unwrap_or(BLOCK)];
        file.read_exact_at(part, start)?;
        if let Some(last) = part.iter().rposition(|byte| *byte != 0) {
            return Ok(start + last as u64 + 1);
        }
        upto = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use greylatch_core::{Entry, Record, Standing, Timestamp};
    use tempfile::TempDir;

    use super::super::{Embedded, EmbeddedOptions};
    use super::*;
    use crate::store::Store;

    async fn open(directory: &Path) -> Embedded {
        let store = Embedded::start(EmbeddedOptions {
            open_wait: Duration::from_mins(1),
            ..EmbeddedOptions::at(directory)
        });
        store.ping().await.expect("it opens");
        store
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_known_to_be_lost() {
        let below = TempDir::new().expect("a directory");
        let store = open(below.path()).await;
        let record = |number| Record::Triplet {
            key: [number; 16],
            client: b"c".to_vec(),
            sender: b"s".to_vec(),
            recipient: b"r".to_vec(),
            entry: Entry {
                first: Timestamp(1),
                last: Timestamp(2),
                due: Timestamp(3),
                expires: Timestamp(4),
                standing: Standing::Proven,
            },
        };
        for number in 0..3 {
            store.put(&[record(number)]).await.expect("it answers");
        }
        store.close().await.expect("it closes");

        let whole = JournalEnds::of(below.path()).expect("it can be read");
        open(below.path()).await.close().await.expect("it closes");
        assert_eq!(whole.lost().count(), 0);

        let (path, end) = whole.0.first().expect("a journal");
        let mut bytes = fs::read(path).expect("it can be read");
        bytes.truncate(usize::try_from(*end).expect("it is short"));
        // A torn record: its last byte never reached the disk.
        bytes.pop();
        bytes.resize(1 << 20, 0);
        fs::write(path, bytes).expect("it can be written");
        let torn = JournalEnds::of(below.path()).expect("it can be read");
        open(below.path()).await.close().await.expect("it closes");
        let lost: Vec<(&Path, u64)> = torn.lost().collect();
        assert!(
            matches!(lost[..], [(journal, bytes)] if journal == path && (1..200).contains(&bytes)),
            "{lost:?}"
        );
    }

    #[test]
    fn the_end_is_found_in_any_block() {
        let below = TempDir::new().expect("a directory");
        let path = below.path().join("0.jnl");
        for (length, last) in [
            (0, 0),
            (5, 0),
            (5, 5),
            (BLOCK * 3, 1),
            (BLOCK * 3 + 7, BLOCK + 1),
        ] {
            let mut bytes = vec![0; length];
            if last > 0 {
                bytes[last - 1] = 7;
            }
            fs::write(&path, bytes).expect("it can be written");
            assert_eq!(end(&path).expect("it can be read"), last as u64);
        }
    }
}
