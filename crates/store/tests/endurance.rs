//! The store under force: ended at random moments, and written to faster than it can compact.
//!
//! `GREYLATCH_LONG=1` runs 100 rounds of the first instead of 10.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use greylatch_core::{Memory, Record};
use greylatch_store::{Commit, Embedded, EmbeddedOptions, Store, StoreError};
use greylatch_testkit::sample::{keys, patient, put, waiting};
use tempfile::TempDir;

const DIRECTORY: &str = "GREYLATCH_KILLED_DIRECTORY";
const FIRST: &str = "GREYLATCH_KILLED_FIRST";
const KILLED: &str = "nothing_acknowledged_is_lost_when_the_process_is_killed";

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    if let Ok(directory) = env::var(DIRECTORY) {
        return write_until_killed(Path::new(&directory));
    }
    let below = TempDir::new().expect("a directory");
    let rounds = if env::var("GREYLATCH_LONG").is_ok() {
        100
    } else {
        10
    };
    let (mut acknowledged, mut first) = (Vec::new(), 0);
    for round in 0..rounds {
        let fresh = kill_one(below.path(), first, 20 + round * 37 % 160);
        assert!(!fresh.is_empty(), "round {round} acknowledged nothing");
        first = fresh.iter().max().copied().unwrap_or(first) + 1_000;
        acknowledged.extend(fresh);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let store = Embedded::start(patient(below.path()));
            for number in &acknowledged {
                let memory = store.load(&keys(*number), |_| false).await;
                let entry = memory.expect("the store answers").entry;
                assert_eq!(entry, Some(waiting(i64::from(*number))), "round {round}");
            }
            store.close().await.expect("the store closes");
        });
    }
}

/// Starts this test as a process of its own, kills it `after_ms` from its first answer, and gives
/// what it had acknowledged.
fn kill_one(directory: &Path, first: u32, after_ms: u64) -> Vec<u32> {
    let mut child = Command::new(env::current_exe().expect("this program"))
        .args([KILLED, "--exact", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the process starts");
    let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut acknowledged = Vec::new();
    let mut begun: Option<Instant> = None;
    for line in lines {
        let line = line.unwrap_or_default();
        let Some(number) = line
            .strip_prefix("ack ")
            .and_then(|number| number.strip_suffix('.'))
        else {
            continue;
        };
        acknowledged.push(number.parse().expect("a number"));
        let begun = *begun.get_or_insert_with(Instant::now);
        if begun.elapsed() >= Duration::from_millis(after_ms) {
            // Again and again until the pipe ends: what it had said before still comes.
            child.kill().expect("it is ours");
        }
    }
    child.wait().expect("it has ended");
    acknowledged
}

fn write_until_killed(directory: &Path) {
    let first: u32 = env::var(FIRST).map_or(0, |first| first.parse().expect("a number"));
    let next = Arc::new(AtomicU32::new(first));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = Arc::new(Embedded::start(patient(directory)));
        for _ in 0..16 {
            let (store, next) = (Arc::clone(&store), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let change = put(waiting(i64::from(number)));
                    let done = store
                        .commit(&keys(number), &Memory::default(), &change)
                        .await;
                    if done == Ok(Commit::Done) {
                        let line = format!("ack {number}.\n");
                        let written = std::io::stdout().lock().write_all(line.as_bytes());
                        written.expect("somebody reads");
                    }
                }
            });
        }
        std::future::pending::<()>().await;
    });
}

#[test]
fn a_flood_of_writes_keeps_journals_and_tables_few() {
    const THREADS: u32 = 4;
    const EACH: u32 = 75_000;
    let below = TempDir::new().expect("a directory");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let store = runtime.block_on(async {
        Arc::new(Embedded::start(EmbeddedOptions {
            memtable_bytes: 256 << 10,
            ..EmbeddedOptions::at(below.path())
        }))
    });
    let writers: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (store, runtime) = (Arc::clone(&store), runtime.handle().clone());
            thread::spawn(move || {
                for first in (thread * EACH..(thread + 1) * EACH).step_by(500) {
                    let records: Vec<Record> = (first..first + 500).map(record).collect();
                    // Busy is the store's way to say: not so fast.
                    while let Err(error) = runtime.block_on(store.put(&records)) {
                        assert_eq!(error, StoreError::Busy);
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().expect("no writer panics");
    }
    let (journals, tables) = (count(below.path(), "jnl"), tables(below.path()));
    assert!(journals <= 3, "{journals} journals");
    assert!((1..=200).contains(&tables), "{tables} tables");
    runtime.block_on(async {
        for number in (0..THREADS * EACH).step_by(997) {
            let memory = store.load(&keys(number), |_| false).await;
            let entry = memory.expect("the store answers").entry;
            assert_eq!(entry, Some(waiting(1_000)));
        }
        store.close().await.expect("the store closes");
    });
}

fn record(number: u32) -> Record {
    Record::Triplet {
        key: keys(number).triplet().bytes(),
        client: b"192.0.2.0/24".to_vec(),
        sender: format!("sender{number}@example.com").into_bytes(),
        recipient: b"bob@example.org".to_vec(),
        entry: waiting(1_000),
    }
}

fn count(directory: &Path, end: &str) -> usize {
    let files = fs::read_dir(directory).expect("a directory");
    let named = files.filter(|file| {
        let path = file.as_ref().expect("a file").path();
        path.extension().is_some_and(|extension| extension == end)
    });
    named.count()
}

fn tables(directory: &Path) -> usize {
    let tables = directory.join("keyspaces/1/tables");
    fs::read_dir(tables).map_or(0, Iterator::count)
}
