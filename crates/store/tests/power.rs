//! The power goes: with `sync = "always"` nothing that was acknowledged is lost.
//!
//! The store lives on a file system of its own, mounted from a file. What the kernel holds of it
//! in memory only is not in that file. So a copy of the file, made when commits have been
//! acknowledged, while everything stays mounted and open, is the disk that a power cut would
//! leave. The copy is mounted elsewhere, a store is opened in it, and asked for every entry.
//!
//! Needs root, `unshare`, `mkfs.ext4` and loop devices; without them it fails. All mounts are in
//! a namespace that ends with the test.

use std::env;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use greylatch_core::Memory;
use greylatch_store::{Commit, Embedded, EmbeddedOptions, Store, Sync};
use greylatch_testkit::sample::{keys, patient, put, waiting};
use tempfile::TempDir;

const NAME: &str = "nothing_acknowledged_is_lost_when_the_power_goes";
const FOLDER: &str = "GREYLATCH_POWER_FOLDER";

/// Power cuts in one run.
const CUTS: u32 = 8;
/// Commits before each; so many tasks commit at once.
const TASKS: u32 = 8;
const COMMITS_OF_TASK: u32 = 5;
const DISK_BYTES: u64 = 192 << 20;

#[test]
fn nothing_acknowledged_is_lost_when_the_power_goes() {
    if let Some(folder) = env::var_os(FOLDER) {
        return cut_again_and_again(Path::new(&folder));
    }
    let folder = TempDir::new().expect("a folder");
    run(Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(env::current_exe().expect("this program"))
        .args([NAME, "--exact", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder.path()));
}

fn cut_again_and_again(folder: &Path) {
    let disk = folder.join("disk");
    let file = File::create(&disk).expect("a file");
    file.set_len(DISK_BYTES).expect("a sparse file");
    run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&disk));
    let mounted = mount(&disk, &folder.join("mounted"));
    let options = EmbeddedOptions {
        sync: Sync::Always,
        // Small, so that tables are written and journals change between the cuts.
        memtable_bytes: 8 << 10,
        ..patient(mounted.join("store"))
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(3)
        .enable_time()
        .build()
        .expect("a runtime");
    let store = runtime.block_on(async { Arc::new(Embedded::start(options)) });
    for cut in 0..CUTS {
        runtime.block_on(commit_some(&store, cut));
        let left = folder.join(format!("disk-{cut}"));
        copy_at_one_moment(&disk, &left);
        let elsewhere = mount(&left, &folder.join(format!("mounted-{cut}")));
        runtime.block_on(holds_all(&elsewhere.join("store"), cut));
        run(Command::new("umount").arg(&elsewhere));
        fs::remove_file(&left).expect("it can be removed");
    }
}

/// Commits entries from several tasks, until all are acknowledged.
async fn commit_some(store: &Arc<Embedded>, cut: u32) {
    let tasks = (0..TASKS).map(|task| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            for nth in 0..COMMITS_OF_TASK {
                let number = (cut * TASKS + task) * COMMITS_OF_TASK + nth;
                let change = put(waiting(i64::from(number)));
                let done = store
                    .commit(&keys(number), &Memory::default(), &change)
                    .await;
                assert_eq!(done, Ok(Commit::Done));
            }
        })
    });
    let tasks: Vec<_> = tasks.collect();
    for task in tasks {
        task.await.expect("no task panics");
    }
}

/// Opens the store that is left, and asks for all that had been acknowledged.
async fn holds_all(directory: &Path, cut: u32) {
    let store = Embedded::start(patient(directory));
    for number in 0..(cut + 1) * TASKS * COMMITS_OF_TASK {
        let memory = store.load(&keys(number), |_| false).await;
        let entry = memory.expect("the store answers").entry;
        assert_eq!(entry, Some(waiting(number.into())), "{number} after {cut}");
    }
    store.close().await.expect("the store closes");
}

/// Copies `disk` as it is at one moment, though it may be written to meanwhile: what is equal to
/// the copy when it is read once more has been so between the two.
fn copy_at_one_moment(disk: &Path, copy: &Path) {
    for _ in 0..100 {
        let mut into = File::create(copy).expect("a file");
        into.set_len(DISK_BYTES).expect("a sparse file");
        let zeros = vec![0; BLOCK];
        each_block(disk, |at, block| {
            // Blocks of zeros stay holes.
            if block != zeros {
                into.seek(SeekFrom::Start(at)).expect("a place");
                into.write_all(block).expect("it can be written");
            }
            true
        });
        drop(into);
        let mut written = File::open(copy).expect("the copy");
        let mut same = vec![0; BLOCK];
        let is_equal = each_block(disk, |_, block| {
            written.read_exact(&mut same).expect("a block");
            same == block
        });
        if is_equal {
            return;
        }
    }
    panic!("the disk never comes to rest");
}

/// Gives each block with its place until told to stop; says whether it was not.
fn each_block(disk: &Path, mut take: impl FnMut(u64, &[u8]) -> bool) -> bool {
    let mut disk = File::open(disk).expect("the disk");
    let mut block = vec![0; BLOCK];
    (0..DISK_BYTES).step_by(BLOCK).all(|at| {
        disk.read_exact(&mut block).expect("a block");
        take(at, &block)
    })
}

const BLOCK: usize = 64 << 10;

fn mount(disk: &Path, at: &Path) -> PathBuf {
    fs::create_dir(at).expect("a folder");
    run(Command::new("mount").args(["-o", "loop"]).arg(disk).arg(at));
    at.to_owned()
}

fn run(command: &mut Command) {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{command:?} failed (mounting needs root and loop devices), {}:\n{}",
        output.status,
        String::from_utf8_lossy(&said)
    );
}
