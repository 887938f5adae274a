//! Nothing that was answered is forgotten: a daemon under load is ended by
//! `kill -9` at odd moments, started again, and asked for all it had answered.
//!
//! `GREYLATCH_LONG=1` runs 100 rounds of each form instead of 5.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use conformance::{
    Plan, PolicyClient, Serving, attempt_from, is_long_run, scratch_folder, unix_now, wait_for,
};

const CONNECTIONS: usize = 8;
/// Requests that are under way on one connection together.
const TOGETHER: usize = 16;
const START_MAX: Duration = Duration::from_secs(60);

#[test]
fn nothing_answered_is_forgotten_when_the_daemon_is_killed() -> Result<()> {
    rounds_of_killing("interval")
}

#[test]
fn nothing_answered_is_forgotten_when_it_always_syncs() -> Result<()> {
    rounds_of_killing("always")
}

fn rounds_of_killing(sync: &str) -> Result<()> {
    let rounds = if is_long_run() { 100 } else { 5 };
    let folder = scratch_folder()?;
    let store = folder.path().join("store");
    // A busy machine must not make it answer by policy.
    let storing = format!("sync = \"{sync}\"\ntimeout_ms = 20000");
    let plan = Plan {
        greylist: "waiting_per_network = 0\nexempt_clients_after = 0",
        storing: &storing,
        tables: "[log]\nto = \"stderr\"\nlevel = \"quiet\"",
        ..Plan::new(folder.path(), &store)
    };
    let now = unix_now()?;
    let next = AtomicU64::new(0);
    let mut all = Vec::new();
    for round in 0..rounds {
        let serving = Serving::start(&plan)?;
        until_open(&serving, now)?;
        let lived = Duration::from_millis(20 + round * 37 % 300);
        let fresh = load_until_killed(serving, &next, now, lived)?;
        let serving = Serving::start(&plan)?;
        until_open(&serving, now)?;
        all_are_remembered(&serving, &fresh, now).with_context(|| format!("round {round}"))?;
        all.extend(fresh);
        // Killed again, right after its start.
        drop(serving);
    }
    let serving = Serving::start(&plan)?;
    until_open(&serving, now)?;
    all_are_remembered(&serving, &all, now).context("at the end")?;
    println!("sync = {sync}: {rounds} rounds, {} acknowledged", all.len());
    assert!(serving.stop()?.success());
    Ok(())
}

/// Asks on many connections until the daemon has been killed, and gives the
/// numbers of those that were answered.
fn load_until_killed(
    serving: Serving,
    next: &AtomicU64,
    now: i64,
    lived: Duration,
) -> Result<Vec<u64>> {
    let clients: Vec<PolicyClient> = (0..CONNECTIONS)
        .map(|_| serving.connect())
        .collect::<Result<_>>()?;
    let acknowledged = Mutex::new(Vec::new());
    let started = thread::scope(|scope| {
        for client in clients {
            let acknowledged = &acknowledged;
            scope.spawn(move || ask_until_closed(client, next, now, acknowledged));
        }
        let answered = || acknowledged.lock().expect("nobody panics").len();
        let started = wait_for("a first answer", START_MAX, || Ok(answered() > 0));
        thread::sleep(lived);
        drop(serving);
        started
    });
    started?;
    Ok(acknowledged.into_inner().expect("nobody panics"))
}

fn ask_until_closed(
    mut client: PolicyClient,
    next: &AtomicU64,
    now: i64,
    acknowledged: &Mutex<Vec<u64>>,
) {
    loop {
        let numbers: Vec<u64> = (0..TOGETHER)
            .map(|_| next.fetch_add(1, Ordering::Relaxed))
            .collect();
        let firsts: Vec<Vec<u8>> = numbers
            .iter()
            .map(|number| request(*number, first_try(*number, now)))
            .collect();
        let Ok(answers) = client.ask_together(&firsts) else {
            return;
        };
        // Those that are to pass try again; what became of the others is known.
        let (mut seen, mut again, mut retries) = (Vec::new(), Vec::new(), Vec::new());
        for (number, answer) in numbers.iter().zip(&answers) {
            if !answer.starts_with(b"action=DEFER_IF_PERMIT ") {
                continue;
            }
            if passes(*number) {
                again.push(*number);
                retries.push(request(*number, now - 30));
            } else {
                seen.push(*number);
            }
        }
        acknowledged.lock().expect("nobody panics").extend(seen);
        let Ok(answers) = client.ask_together(&retries) else {
            return;
        };
        let mut acknowledged = acknowledged.lock().expect("nobody panics");
        for (number, answer) in again.iter().zip(&answers) {
            if answer.starts_with(b"action=PREPEND ") {
                acknowledged.push(*number);
            }
        }
    }
}

/// Whether this one tries twice, and passes.
fn passes(number: u64) -> bool {
    number.is_multiple_of(4)
}

fn first_try(number: u64, now: i64) -> i64 {
    if passes(number) { now - 100 } else { now - 30 }
}

/// Those that waited have to wait as long as is left; those that had passed
/// pass.
fn all_are_remembered(serving: &Serving, numbers: &[u64], now: i64) -> Result<()> {
    let failed_before = serving.verdicts("store-down")?;
    let mut client = serving.connect()?;
    for part in numbers.chunks(TOGETHER) {
        let requests: Vec<Vec<u8>> = part
            .iter()
            .map(|number| request(*number, now - 10))
            .collect();
        for (number, answer) in part.iter().zip(client.ask_together(&requests)?) {
            let expected: &[u8] = if passes(*number) {
                b"action=DUNNO\n\n"
            } else {
                b"action=DEFER_IF_PERMIT Greylisted, please try again in 40 seconds\n\n"
            };
            ensure!(answer == expected, "{number}: {}", answer.escape_ascii());
        }
    }
    let failed = serving.verdicts("store-down")? - failed_before;
    ensure!(failed == 0, "{failed} were answered by policy");
    Ok(())
}

/// Until the store answers: what it is asked before does not count.
fn until_open(serving: &Serving, now: i64) -> Result<()> {
    let probe = request(u64::MAX, now);
    wait_for("the store", START_MAX, || {
        let answer = serving.connect()?.ask(&probe)?;
        Ok(answer.starts_with(b"action=DEFER_IF_PERMIT "))
    })
}

fn request(number: u64, at: i64) -> Vec<u8> {
    // A network for each: senders that differ in a number alone count as one.
    let [.., high, middle, low] = number.to_be_bytes();
    let client = format!("{}.{middle}.{low}.9", 20 + high % 200);
    attempt_from(&client, &format!("sender{number}@sender.example"))
        .with("policy_test_time", at.to_string())
        .bytes()
}
