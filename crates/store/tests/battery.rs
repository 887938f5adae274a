//! Every store passes the one battery, and every scenario: a line per store.

use std::fs;
use std::path::Path;

use greylatch_store::{AnyStore, EmbeddedOptions, Store, Sync};
use greylatch_testkit::sample::patient;
use greylatch_testkit::{battery, scenario};
use tempfile::TempDir;

/// Stores in directories of their own below one that is gone at the end.
struct Embedded {
    below: TempDir,
    next: std::cell::Cell<u32>,
    sync: Sync,
}

impl Embedded {
    fn new(sync: Sync) -> Self {
        Self {
            below: TempDir::new().expect("a directory"),
            next: 0.into(),
            sync,
        }
    }

    fn open(&self, waiting_max: u64) -> AnyStore {
        let number = self.next.replace(self.next.get() + 1);
        AnyStore::embedded(EmbeddedOptions {
            waiting_max,
            sync: self.sync,
            // Far fewer than the records of a test, so that the tree is read as well.
            cache_entries: 100,
            ..patient(self.below.path().join(number.to_string()))
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_memory_store_passes_the_battery() {
    battery::run(AnyStore::memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_embedded_store_passes_the_battery() {
    let embedded = Embedded::new(Sync::Interval);
    battery::run(|waiting_max| embedded.open(waiting_max)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_embedded_store_that_always_syncs_passes_the_battery() {
    let embedded = Embedded::new(Sync::Always);
    battery::run(|waiting_max| embedded.open(waiting_max)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scenarios_are_the_same_on_every_store() {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testkit/scenarios");
    let embedded = Embedded::new(Sync::Interval);
    let mut played = 0;
    for file in fs::read_dir(scenarios).expect("the scenarios") {
        let path = file.expect("a file").path();
        let text = fs::read_to_string(&path).expect("a scenario");
        for store in [AnyStore::memory(1_000), embedded.open(1_000)] {
            let differences = scenario::run(&text, &store).await;
            assert_eq!(differences, Vec::<String>::new(), "{}", path.display());
            store.close().await.expect("the store closes");
        }
        played += 1;
    }
    assert_eq!(played, 6);
}
