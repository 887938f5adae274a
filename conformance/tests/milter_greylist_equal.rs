//! The same random sessions to the real milter-greylist and to ours, under one
//! fake clock: answers, changes of messages, log lines and dumps.
//!
//! `GREYLATCH_LONG=1` makes it twelve times as long; `GREYLATCH_SEED=N` and
//! `GREYLATCH_SET=NAME` repeat what a failure printed.

use std::collections::BTreeMap;
use std::env;
use std::thread;

use anyhow::{Context, Result, ensure};
use conformance::{GREYLIST_CONFS, GreylistConf, GreylistOutcome, compare_greylists, is_long_run};

/// For each configuration.
const SESSIONS: usize = 12;
/// How many differences a failure prints.
const SHOWN: usize = 60;

#[test]
fn ours_does_what_milter_greylist_does() -> Result<()> {
    let only = env::var("GREYLATCH_SET").ok();
    let confs: Vec<GreylistConf> = GREYLIST_CONFS
        .iter()
        .filter(|conf| match &only {
            Some(name) => name == conf.name,
            None => true,
        })
        .copied()
        .collect();
    ensure!(!confs.is_empty(), "there is no configuration {only:?}");
    // The original takes seconds to end, in which it does nothing.
    let quarter = confs.len().div_ceil(4);
    let parts = thread::scope(|scope| {
        let running: Vec<_> = confs
            .chunks(quarter)
            .map(|part| scope.spawn(|| run(part)))
            .collect();
        let done = running
            .into_iter()
            .map(|part| part.join().expect("it does not panic"));
        done.collect::<Result<Vec<_>>>()
    })?;
    let mut sum = GreylistOutcome::default();
    for part in parts.into_iter().flatten() {
        merge(&mut sum, part);
    }
    println!(
        "{} sessions under {} configurations, {} answers, {} lines of log, {} rows; allowed: {:?}",
        sum.sessions,
        confs.len(),
        sum.answers,
        sum.log_lines,
        sum.rows,
        sum.allowed
    );
    assert!(
        sum.differences.is_empty(),
        "{} differences, the first of them:\n{}",
        sum.differences.len(),
        sum.differences[..sum.differences.len().min(SHOWN)].join("\n")
    );
    Ok(())
}

/// Each of these changes on our side shows in another place.
#[test]
fn another_configuration_is_seen() -> Result<()> {
    let conf = GREYLIST_CONFS.iter().find(|conf| conf.name == "delays");
    let conf = conf.context("a configuration")?;
    for (from, to, place) in [
        ("delay 2m", "delay 3m", "please come back in 00:02:00"),
        ("racl \"fast\"", "racl \"slow\"", "log of"),
        ("delay 30s", "delay 31s", "dump at"),
    ] {
        let changed = conf.text.replace(from, to);
        ensure!(changed != conf.text, "{from} is in the configuration");
        let outcome = compare_greylists(conf, Some(&changed), 1, SESSIONS)?;
        let seen = outcome.differences.iter().any(|one| one.contains(place));
        assert!(seen, "{from}: {:#?}", outcome.differences);
    }
    Ok(())
}

fn run(confs: &[GreylistConf]) -> Result<Vec<GreylistOutcome>> {
    let seed: u64 = match env::var("GREYLATCH_SEED") {
        Ok(seed) => seed.parse().context("GREYLATCH_SEED is a number")?,
        Err(_) => 1,
    };
    let sessions = SESSIONS * if is_long_run() { 12 } else { 1 };
    let outcomes = confs
        .iter()
        .map(|conf| compare_greylists(conf, None, seed, sessions).with_context(|| conf.name));
    outcomes.collect()
}

fn merge(sum: &mut GreylistOutcome, part: GreylistOutcome) {
    sum.sessions += part.sessions;
    sum.answers += part.answers;
    sum.log_lines += part.log_lines;
    sum.rows += part.rows;
    sum.differences.extend(part.differences);
    add(&mut sum.allowed, part.allowed);
}

fn add<K: Ord>(sum: &mut BTreeMap<K, usize>, part: BTreeMap<K, usize>) {
    for (kind, count) in part {
        *sum.entry(kind).or_default() += count;
    }
}
