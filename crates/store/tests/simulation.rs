//! Random traffic under a clock that jumps, against a model, on every store.
//!
//! `cargo xtask sim --seed N` sets `GREYLATCH_SEED=N` and replays what a failure printed.

use std::env;

use greylatch_store::{AnyStore, EmbeddedOptions, Store};
use greylatch_testkit::sample::patient;
use greylatch_testkit::simulation;
use tempfile::TempDir;

/// The seeds of this run: the one that is asked for, else the first `count`.
fn seeds(count: u64) -> Vec<u64> {
    match env::var("GREYLATCH_SEED") {
        Ok(seed) => vec![seed.parse().expect("GREYLATCH_SEED is a number")],
        Err(_) => (0..count).collect(),
    }
}

#[tokio::test]
async fn random_traffic_keeps_the_promises() {
    for seed in seeds(200) {
        simulation::simulate(seed, STEPS, &AnyStore::memory(1_000_000)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_traffic_keeps_the_promises_on_disk() {
    let below = TempDir::new().expect("a directory");
    for seed in seeds(4) {
        let store = AnyStore::embedded(EmbeddedOptions {
            // Far fewer than the records of a run, so that the tree is read as well.
            cache_entries: 5,
            ..patient(below.path().join(seed.to_string()))
        });
        simulation::simulate(seed, STEPS, &store).await;
        store.close().await.expect("the store closes");
    }
}

/// A run of more would not go where a run of so many does not.
const STEPS: u32 = 500;
