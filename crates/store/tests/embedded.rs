//! What only a store in a directory can get wrong: opening again, damage, locks, traces on disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use greylatch_core::{Memory, Query, Timestamp};
use greylatch_store::{Commit, Embedded, Keying, Keys, Store, StoreError};
use greylatch_testkit::sample::{keys, keys_with, patient, put, waiting};
use memchr::memmem;
use tempfile::TempDir;

fn start(directory: &Path) -> Embedded {
    Embedded::start(patient(directory))
}

async fn write(store: &Embedded, keys: &Keys) {
    let done = store
        .commit(keys, &Memory::default(), &put(waiting(1_000)))
        .await;
    assert_eq!(done, Ok(Commit::Done));
}

async fn holds(store: &Embedded, keys: &Keys) -> bool {
    let memory = store.load(keys, |_| false).await;
    let entry = memory.expect("the store answers").entry;
    assert!(entry.is_none_or(|entry| entry == waiting(1_000)));
    entry.is_some()
}

/// Asks until the store answers as expected, for at most 20 seconds.
async fn until_ping(store: &Embedded, expected: impl Fn(&Result<(), StoreError>) -> bool) {
    let begun = Instant::now();
    loop {
        let ping = store.ping().await;
        if expected(&ping) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{ping:?}");
        tokio::task::yield_now().await;
    }
}

fn files(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in fs::read_dir(below).expect("a directory") {
        let path = file.expect("a file").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn journal(directory: &Path) -> PathBuf {
    let journal = files(directory)
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "jnl"));
    journal.expect("a journal")
}

#[tokio::test]
async fn what_was_written_is_there_when_it_is_opened_again() {
    let below = TempDir::new().expect("a directory");
    for round in 0..3 {
        let store = start(below.path());
        for number in 0..round * 100 {
            assert!(holds(&store, &keys(number)).await);
        }
        for number in round * 100..(round + 1) * 100 {
            write(&store, &keys(number)).await;
        }
        store.close().await.expect("the store closes");
        assert_eq!(store.ping().await, Err(StoreError::Closed));
    }
    let store = start(below.path());
    let mut counted = 0;
    let begun = Instant::now();
    while counted < 300 && begun.elapsed() < Duration::from_secs(20) {
        let census = store.sweep(Timestamp(2_000)).await;
        counted = census.expect("the store answers").waiting;
    }
    assert_eq!(counted, 300, "counted behind the opening");
}

#[tokio::test]
async fn with_privacy_no_text_is_on_disk() {
    let written = |keying| async move {
        let below = TempDir::new().expect("a directory");
        let store = start(below.path());
        write(&store, &keys_with(keying, 7)).await;
        assert!(holds(&store, &keys_with(keying, 7)).await);
        let listed = store.browse(&Query::default()).await;
        assert_eq!(listed.expect("the store answers").records.len(), 1);
        store.close().await.expect("the store closes");
        let texts: [&[u8]; 3] = [b"sender7", b"192.0.2", b"bob@example"];
        files(below.path()).iter().any(|path| {
            let bytes = fs::read(path).expect("a file");
            texts
                .iter()
                .any(|text| memmem::find(&bytes, text).is_some())
        })
    };
    assert!(written(Keying::Plain).await, "plain keys keep the text");
    assert!(!written(Keying::Keyed([9; 32])).await);
    assert!(!written(Keying::Sha1).await);
}

#[tokio::test]
async fn one_process_at_a_time_has_the_directory() {
    let below = TempDir::new().expect("a directory");
    let first = start(below.path());
    write(&first, &keys(1)).await;
    let second = start(below.path());
    let locked = StoreError::Down("another process has the directory".into());
    assert_eq!(second.ping().await, Err(locked));
    first.close().await.expect("the store closes");
    until_ping(&second, Result::is_ok).await;
    assert!(holds(&second, &keys(1)).await);
}

#[tokio::test]
async fn a_damaged_store_is_moved_aside_and_begun_anew() {
    let damages: [fn(&Path); 2] = [
        |directory| fs::write(directory.join("version"), b"?").expect("it can be written"),
        |directory| {
            let path = journal(directory);
            let mut bytes = fs::read(&path).expect("a journal");
            let text = memmem::find(&bytes, b"sender50").expect("a record");
            bytes[text] ^= 0x10;
            fs::write(&path, bytes).expect("it can be written");
        },
    ];
    for damage in damages {
        let below = TempDir::new().expect("a directory");
        let directory = below.path().join("store");
        let store = start(&directory);
        for number in 0..100 {
            write(&store, &keys(number)).await;
        }
        store.close().await.expect("the store closes");
        damage(&directory);
        let store = start(&directory);
        until_ping(&store, Result::is_ok).await;
        assert!(!holds(&store, &keys(1)).await);
        write(&store, &keys(1)).await;
        assert!(holds(&store, &keys(1)).await);
        store.close().await.expect("the store closes");
        assert!(below.path().join("store.damaged-1").is_dir());
        let store = start(&directory);
        assert!(holds(&store, &keys(1)).await);
        assert!(!below.path().join("store.damaged-2").exists());
    }
}

#[tokio::test]
async fn a_newer_format_is_left_alone() {
    let below = TempDir::new().expect("a directory");
    let store = start(below.path());
    write(&store, &keys(1)).await;
    store.close().await.expect("the store closes");
    let format = below.path().join("greylatch-format");
    fs::write(&format, "2\n").expect("it can be written");
    let store = start(below.path());
    let newer = "the files were written by a newer program: format 2, not 1";
    assert_eq!(store.ping().await, Err(StoreError::Down(newer.into())));
    store.close().await.expect("the store closes");
    fs::write(&format, "1\n").expect("it can be written");
    assert!(holds(&start(below.path()), &keys(1)).await);
}

#[tokio::test]
async fn what_the_system_refuses_is_tried_again() {
    let below = TempDir::new().expect("a directory");
    let directory = below.path().join("store");
    fs::write(&directory, "in the way").expect("it can be written");
    let store = start(&directory);
    assert!(matches!(store.ping().await, Err(StoreError::Down(_))));
    fs::remove_file(&directory).expect("it can be removed");
    until_ping(&store, Result::is_ok).await;
    write(&store, &keys(1)).await;
    assert!(holds(&store, &keys(1)).await);
}
