//! What a load and a commit cost: CPU time of this process per operation, for new and for known
//! triplets, at a size that is given as first argument (1,000,000 when left out), in a directory
//! that is made for it and removed. Meant for release builds.

use std::fs;
use std::sync::Arc;
use std::time::Instant;

use greylatch_core::{Entry, Memory, Record, Standing, Timestamp};
use greylatch_store::{Commit, Embedded, EmbeddedOptions, Keys, Store, Sync};
use greylatch_testkit::sample::{keys, put, waiting};

/// Tasks that ask at once, as connections would.
const TASKS: u32 = 100;
const ASKED: u32 = 200_000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let size = std::env::args_os().nth(1);
    let size: u32 = size.map_or(1_000_000, |size| {
        size.to_string_lossy()
            .parse()
            .expect("a number of triplets")
    });
    for sync in [Sync::Interval, Sync::Always] {
        let directory = tempfile::TempDir::new().expect("a directory");
        let options = EmbeddedOptions {
            sync,
            ..EmbeddedOptions::at(directory.path())
        };
        let store = Arc::new(Embedded::start(options));
        println!("{sync:?}");
        fill(&store, size).await;
        println!("  {size} triplets: {} MiB resident", resident_mib());
        measure("known", &store, move |at| {
            at.wrapping_mul(2_654_435_761) % size
        })
        .await;
        measure("known, of the newest 20,000", &store, move |at| {
            size - 1 - at % 20_000
        })
        .await;
        measure("new", &store, move |at| size + at).await;
        println!("  resident {} MiB", resident_mib());
        let census = store
            .sweep(Timestamp(1_000))
            .await
            .expect("the store answers");
        println!("  files {} MiB", census.disk_bytes >> 20);
        store.close().await.expect("the store closes");
    }
}

async fn fill(store: &Embedded, size: u32) {
    let proven = Entry {
        standing: Standing::Proven,
        ..waiting(1_000)
    };
    for first in (0..size).step_by(1_000) {
        let records: Vec<Record> = (first..size.min(first + 1_000))
            .map(|number| Record::Triplet {
                key: keys(number).triplet().bytes(),
                client: b"192.0.2.0/24".to_vec(),
                sender: format!("sender{number}@example.com").into_bytes(),
                recipient: b"bob@example.org".to_vec(),
                entry: proven,
            })
            .collect();
        while store.put(&records).await.is_err() {
            tokio::task::yield_now().await;
        }
    }
}

async fn measure(
    name: &str,
    store: &Arc<Embedded>,
    number: impl Fn(u32) -> u32 + Copy + Send + std::marker::Sync + 'static,
) {
    let (begun, cpu) = (Instant::now(), cpu_us());
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let mut refused = 0_u32;
                for at in (task..ASKED).step_by(TASKS as usize) {
                    refused += u32::from(!ask(&store, &keys(number(at))).await);
                    // As a connection that waits for its next request.
                    tokio::task::yield_now().await;
                }
                refused
            })
        })
        .collect();
    let mut refused = 0;
    for task in tasks {
        refused += task.await.expect("no task panics");
    }
    let (wall, cpu) = (begun.elapsed(), cpu_us() - cpu);
    println!(
        "  {name}: {:.1} us CPU, {:.0} /s, {refused} refused",
        cpu as f64 / f64::from(ASKED),
        f64::from(ASKED) / wall.as_secs_f64(),
    );
}

async fn ask(store: &Embedded, keys: &Keys) -> bool {
    let Ok(memory) = store.load(keys, |_| false).await else {
        return false;
    };
    if memory.entry.is_some() {
        return true;
    }
    let done = store
        .commit(keys, &Memory::default(), &put(waiting(1_000)))
        .await;
    done == Ok(Commit::Done)
}

/// CPU time of this process so far. Source: proc(5), /proc/pid/schedstat, per task.
fn cpu_us() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").expect("proc(5)");
    let spent = tasks.filter_map(|task| {
        let stat = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<u64>().ok()
    });
    spent.sum::<u64>() / 1_000
}

/// Source: proc(5), /proc/pid/status, VmRSS in kB.
fn resident_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("proc(5)");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) >> 10
}
