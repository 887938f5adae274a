//! Random bytes as the transaction logs beside a database: judging ends and never panics.
//!
//! The input is the log; the database beside it is one that Postgrey was killed over.

use std::fs;
use std::path::Path;

use greylatch_exchange::Completeness;
use tempfile::TempDir;

/// Checks one input.
pub(crate) fn check(input: &[u8]) {
    thread_local! {
        static FOLDER: TempDir = beside(DATABASE);
    }
    FOLDER.with(|folder| {
        fs::write(folder.path().join("log.0000000001"), input).expect("it can be written");
        if let Ok(judged) = Completeness::of(&folder.path().join("postgrey.db")) {
            assert!(!judged.to_string().is_empty());
        }
    });
}

fn beside(database: &[u8]) -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() {
        TempDir::new_in(memory)
    } else {
        TempDir::new()
    };
    let folder = folder.expect("a folder");
    fs::write(folder.path().join("postgrey.db"), database).expect("it can be written");
    folder
}

const DATABASE: &[u8] =
    include_bytes!("../../crates/exchange/tests/fixtures/recovered/postgrey.db");
