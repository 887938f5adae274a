//! Floods of first contacts: random recipients from one network, then from
//! 100,000. Files and memory stay bounded, who is proven passes all the time,
//! and an honest newcomer passes on his retry.
//!
//! `GREYLATCH_LONG=1` sends 10 million requests each with the default limits,
//! instead of 50,000 with smaller ones; its time is then that of ten thousand
//! requests a second. By milter it is a fifth of that.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use conformance::{
    GreylistHost, Message, Plan, Serving, Whose, attempt_from, is_long_run, resident_kib,
    scratch_folder, unix_now, wait_for,
};
use serde_json::Value;

const CONNECTIONS: u64 = 8;
/// Requests that are under way on one connection together.
const TOGETHER: u64 = 100;
const PROVEN: &str = "203.0.113.9";
const HONEST: &str = "198.51.100.9";

/// How large a flood is, and what it may cost.
struct Size {
    requests: u64,
    /// How many networks a flood from many comes from.
    networks: u64,
    /// Requests in one second of the time that they tell.
    rate: u64,
    waiting_max: u64,
    resident_kib_max: u64,
}

const SHORT: Size = Size {
    requests: 50_000,
    networks: 2_000,
    rate: 250,
    waiting_max: 20_000,
    resident_kib_max: 150 << 10,
};

const LONG: Size = Size {
    requests: 10_000_000,
    networks: 100_000,
    rate: 10_000,
    waiting_max: 4_000_000,
    resident_kib_max: 400 << 10,
};

#[test]
fn a_flood_from_one_network_is_not_remembered() -> Result<()> {
    flooded("one network", &size(), |nth| {
        format!("192.0.2.{}", nth.wrapping_mul(0x9e37_79b9) % 256)
    })
}

#[test]
fn a_flood_from_many_networks_stays_bounded() -> Result<()> {
    let size = size();
    flooded("many networks", &size, |nth| {
        let network = nth.wrapping_mul(0x9e37_79b9) % size.networks;
        let [_, high, middle, low] = u32::try_from(network).expect("below 100,000").to_be_bytes();
        format!("{}.{middle}.{low}.{}", 20 + high, nth % 256)
    })
}

/// All that milter-greylist remembers lies in its memory, and when there is none left it ends.
///
/// Source: README of milter-greylist 4.6.4, "Known problems".
#[test]
fn a_flood_by_milter_does_not_use_memory_up() -> Result<()> {
    let size = size();
    // No more than half of what may wait: beyond, each network has its share.
    let guesses = size.requests / 5;
    let folder = scratch_folder()?;
    let rules = "nospf\nracl whitelist from a@x.example\nracl greylist default delay 1h\n";
    let host = GreylistHost::start(Whose::Ours, folder.path(), rules, None)?;
    let started = Instant::now();
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        let senders: Vec<_> = (0..CONNECTIONS)
            .map(|_| scope.spawn(|| guess_recipients(&host, &next, guesses)))
            .collect();
        for sender in senders {
            sender.join().expect("it does not panic")?;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    let took = started.elapsed();
    let told = host.tool("status", &["--json"])?;
    let status: Value = serde_json::from_slice(&told.stdout)?;
    let waiting = status["census"]["waiting"].as_u64().context("no count")?;
    let resident = resident_kib(host.pid())?;
    println!("by milter: {took:?}, {waiting} waiting, {resident} KiB resident");
    assert_eq!(waiting, guesses);
    assert!(resident < size.resident_kib_max, "{resident} KiB");
    let said = host.ask("mx.sender.example 192.0.2.9", "a@x.example", "b@y.example")?;
    assert_eq!(said, "c");
    host.stop()?;
    Ok(())
}

/// Names recipients who were not named before, up to number `to`; each is to wait.
fn guess_recipients(host: &GreylistHost, next: &AtomicU64, to: u64) -> Result<()> {
    loop {
        let first = next.fetch_add(TOGETHER, Ordering::Relaxed);
        if first >= to {
            return Ok(());
        }
        let [_, high, middle, low] = u32::try_from(first / TOGETHER)?.to_be_bytes();
        let mut filter = host.open(&format!("mx.bulk.example {}.{middle}.{low}.9", 20 + high))?;
        let guesses = (first..first + TOGETHER).map(|nth| format!("guess{nth}@here.example"));
        let guesses: Vec<String> = guesses.collect();
        let guesses: Vec<&str> = guesses.iter().map(String::as_str).collect();
        let answers = filter.envelope("flood@bulk.example", &guesses)?;
        ensure!(answers.len() == guesses.len(), "{} answers", answers.len());
        for answer in answers {
            ensure!(answer.starts_with("y451 "), "{answer}");
        }
        filter.send('Q', b"")?;
    }
}

fn size() -> Size {
    if is_long_run() { LONG } else { SHORT }
}

/// Floods a server from the clients that `client` names, with pauses in which
/// others are seen to be served.
fn flooded(name: &str, size: &Size, client: impl Fn(u64) -> String + Sync) -> Result<()> {
    let folder = scratch_folder()?;
    let store = folder.path().join("store");
    let greylist = format!("waiting_max = {}", size.waiting_max);
    let mut serving = Serving::start(&Plan {
        greylist: &greylist,
        tables: "[log]\nto = \"stderr\"\nlevel = \"quiet\"",
        ..Plan::new(folder.path(), &store)
    })?;
    let flood = Flood {
        size,
        begun: unix_now()?,
        client: &client,
    };
    let prove = |at: i64| letter(PROVEN, at);
    is_remembered(&serving, &prove(flood.begun - 100))?;
    says(&serving, &prove(flood.begun), "PREPEND ")?;
    let started = Instant::now();
    let at = |part: u64| size.requests * part / 10;
    flood.send(&serving, 0, at(4))?;
    let met = flood.time(at(4));
    is_remembered(&serving, &letter(HONEST, met))?;
    says(&serving, &prove(met), "DUNNO")?;
    flood.send(&serving, at(4), at(8))?;
    let later = flood.time(at(8));
    ensure!(later >= met + 60, "the flood is too short");
    says(&serving, &letter(HONEST, later), "PREPEND ")?;
    says(&serving, &prove(later), "DUNNO")?;
    flood.send(&serving, at(8), at(10))?;
    says(&serving, &letter(HONEST, flood.time(at(10))), "DUNNO")?;
    let took = started.elapsed();
    let status = serving.status()?;
    let waiting = status["census"]["waiting"].as_u64().context("no count")?;
    let by_policy = serving.verdicts("store-down")?;
    let resident = resident_kib(serving.daemon().pid())?;
    let bytes = disk_bytes(&store)?;
    println!(
        "{name}: {} requests in {took:?}, {by_policy} by policy, {waiting} waiting, \
         {resident} KiB resident, {bytes} bytes on disk",
        size.requests
    );
    assert!(waiting <= size.waiting_max, "{waiting} wait");
    assert!(resident < size.resident_kib_max, "{resident} KiB");
    // 150 bytes an entry and 128 MiB of journals, and as much again for what
    // is being rewritten.
    let bytes_max = 2 * 150 * size.waiting_max + (128 << 20);
    assert!(bytes < bytes_max, "{bytes} bytes");
    assert!(serving.stop()?.success());
    Ok(())
}

struct Flood<'a, C> {
    size: &'a Size,
    begun: i64,
    client: &'a C,
}

impl<C: Fn(u64) -> String + Sync> Flood<'_, C> {
    /// The time that request `nth` tells.
    fn time(&self, nth: u64) -> i64 {
        self.begun + i64::try_from(nth / self.size.rate).expect("a small number")
    }

    /// Sends the requests `from..to`; each is to wait, or passes by policy.
    fn send(&self, serving: &Serving, from: u64, to: u64) -> Result<()> {
        let next = AtomicU64::new(from);
        thread::scope(|scope| {
            let senders: Vec<_> = (0..CONNECTIONS)
                .map(|_| scope.spawn(|| self.send_some(serving, &next, to)))
                .collect();
            for sender in senders {
                sender.join().expect("it does not panic")?;
            }
            Ok(())
        })
    }

    fn send_some(&self, serving: &Serving, next: &AtomicU64, to: u64) -> Result<()> {
        let mut client = serving.connect()?;
        loop {
            let first = next.fetch_add(TOGETHER, Ordering::Relaxed);
            if first >= to {
                return Ok(());
            }
            let requests: Vec<Vec<u8>> = (first..to.min(first + TOGETHER))
                .map(|nth| self.request(nth))
                .collect();
            let answers = client.ask_together(&requests)?;
            ensure!(answers.len() == requests.len(), "it closed");
            for answer in answers {
                let expected =
                    answer.starts_with(b"action=DEFER_IF_PERMIT ") || answer == b"action=DUNNO\n\n";
                ensure!(expected, "{}", answer.escape_ascii());
            }
        }
    }

    fn request(&self, nth: u64) -> Vec<u8> {
        attempt_from(&(self.client)(nth), "flood@bulk.example")
            .with("recipient", format!("guess{nth}@here.example"))
            .with("policy_test_time", self.time(nth).to_string())
            .bytes()
    }
}

fn letter(client: &str, at: i64) -> Message {
    attempt_from(client, "person@sender.example").with("policy_test_time", at.to_string())
}

/// Asks until the answer is a deferral: a store that is busy with a flood lets
/// mail pass, which is no harm.
fn is_remembered(serving: &Serving, letter: &Message) -> Result<()> {
    wait_for("a deferral", Duration::from_secs(60), || {
        let answer = serving.connect()?.ask(&letter.bytes())?;
        Ok(answer.starts_with(b"action=DEFER_IF_PERMIT "))
    })
}

/// As above for an answer that is not that of the failure policy: it comes
/// again until it is the expected one, or a deferral.
fn says(serving: &Serving, letter: &Message, expected: &str) -> Result<()> {
    let expected = format!("action={expected}");
    wait_for(&expected, Duration::from_secs(60), || {
        let answer = serving.connect()?.ask(&letter.bytes())?;
        ensure!(
            !answer.starts_with(b"action=DEFER"),
            "{}",
            answer.escape_ascii()
        );
        Ok(answer.starts_with(expected.as_bytes()))
    })
}

/// Bytes that the files below `folder` take on disk.
fn disk_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for file in fs::read_dir(folder)? {
        let file = file?;
        // A table may be removed meanwhile.
        let Ok(known) = file.metadata() else {
            continue;
        };
        bytes += if known.is_dir() {
            disk_bytes(&file.path()).unwrap_or(0)
        } else {
            known.blocks() * 512
        };
    }
    Ok(bytes)
}
