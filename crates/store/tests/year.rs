//! A simulated year: files stay in proportion to what is remembered, and do not grow when that
//! does not.
//!
//! The days are made to pass on tokio's clock too, by which the store's horizon for purging
//! advances; all else runs in real time. The short form plays 110 days of a small host,
//! `GREYLATCH_LONG=1` a year of a larger one.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use greylatch_core::Census;
use greylatch_store::{Embedded, EmbeddedOptions, Store};
use greylatch_testkit::year::{Habits, live};
use tempfile::TempDir;

/// Bytes that a remembered record may take outside of journals.
const BYTES_EACH: u64 = 150;
const JOURNAL_BYTES: u64 = 128 << 20;
/// Memtables that are written out and not yet merged with the rest.
const RUNS: u64 = 4;
/// When what is remembered is as much as it will be: after a lifetime, and some days of purging.
const SETTLED_H: usize = 40 * 24;

/// What there is at the end of an hour.
struct Hour {
    remembered: u64,
    /// Of all files but the journals.
    bytes: u64,
}

struct Form {
    habits: Habits,
    days: u32,
    memtable_bytes: u64,
}

fn form() -> Form {
    if env::var("GREYLATCH_LONG").is_ok() {
        return Form {
            habits: Habits {
                strangers: 10_000,
                newcomers: 6_000,
                regulars: 10_000,
            },
            days: 365,
            memtable_bytes: 1 << 20,
        };
    }
    Form {
        habits: Habits {
            strangers: 600,
            newcomers: 200,
            regulars: 200,
        },
        days: 110,
        memtable_bytes: 128 << 10,
    }
}

#[tokio::test]
async fn a_year_of_traffic_does_not_make_the_files_grow() {
    let form = form();
    let below = TempDir::new().expect("a directory");
    let store = Embedded::start(EmbeddedOptions {
        memtable_bytes: form.memtable_bytes,
        ..EmbeddedOptions::at(below.path())
    });
    let mut seen: Vec<Hour> = Vec::new();
    live(&store, form.habits, form.days, async |now| {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(3_600)).await;
        tokio::time::resume();
        let census = store.sweep(now).await.expect("the store answers");
        let (bytes, journals) = measure(below.path());
        assert!(journals <= JOURNAL_BYTES, "{journals} bytes of journals");
        let remembered = remembered(&census);
        seen.push(Hour { remembered, bytes });
    })
    .await;
    store.close().await.expect("the store closes");
    judge(&seen, form.memtable_bytes);
}

/// Looks at the smallest that the files were: a compaction writes anew what is there before it
/// lets go of the old, and days that pass in milliseconds leave it little time.
fn judge(seen: &[Hour], memtable_bytes: u64) {
    for (week, hours) in seen.chunks_exact(7 * 24).enumerate() {
        let (least, most, remembered) = (least(hours), most(hours), hours[0].remembered);
        println!("week {week}: {remembered} remembered, {least} to {most} bytes");
    }
    let settled = &seen[SETTLED_H..];
    let (early, late) = settled.split_at(settled.len() / 2);
    let (early, late) = (least(early), least(late));
    assert!(late <= early + early / 4, "from {early} bytes to {late}");
    let remembered = seen[SETTLED_H].remembered;
    let allowed = remembered * BYTES_EACH + RUNS * memtable_bytes;
    assert!(late <= allowed, "{late} bytes for {remembered}");
}

fn least(hours: &[Hour]) -> u64 {
    hours.iter().map(|hour| hour.bytes).min().unwrap_or(0)
}

fn most(hours: &[Hour]) -> u64 {
    hours.iter().map(|hour| hour.bytes).max().unwrap_or(0)
}

fn remembered(census: &Census) -> u64 {
    census.waiting + census.proven + census.by_hand + census.clients
}

/// The bytes of the tables and what belongs to them, and of the journals, as they are on disk.
fn measure(directory: &Path) -> (u64, u64) {
    let (mut tables, mut journals) = (0, 0);
    for file in fs::read_dir(directory).expect("a directory") {
        let path = file.expect("a file").path();
        // What was removed meanwhile takes no room.
        let Ok(metadata) = fs::metadata(&path) else {
            continue;
        };
        if metadata.is_dir() {
            let (more_tables, more_journals) = measure(&path);
            tables += more_tables;
            journals += more_journals;
        } else if path.extension().is_some_and(|end| end == "jnl") {
            journals += metadata.blocks() * 512;
        } else {
            tables += metadata.len();
        }
    }
    (tables, journals)
}
