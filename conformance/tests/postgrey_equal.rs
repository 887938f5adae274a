//! The same random requests to the real Postgrey and to ours, under one fake
//! clock: answers byte for byte, log lines one by one.
//!
//! `GREYLATCH_LONG=1` makes it ten times as long; `GREYLATCH_SEED=N` and
//! `GREYLATCH_SET=NAME` repeat what a failure printed.

use std::collections::BTreeMap;
use std::env;
use std::thread;

use anyhow::{Context, Result, ensure};
use conformance::{OptionSet, Outcome, Program, Trial, compare, is_long_run, option_sets};

const REQUESTS: usize = 250;
/// How many differences a failure prints.
const SHOWN: usize = 10;
/// What random traffic has to bring about to be worth comparing.
const KINDS: &[&str] = &[
    "attribute missing",
    "client AWL",
    "client whitelist",
    "connect",
    "correcting date",
    "early-retry",
    "ignoring garbage",
    "new",
    "recipient whitelist",
    "triplet found",
    "triplet found after a delay",
    "unrecognized request",
    "whitelisted ",
];

#[test]
fn ours_answers_and_logs_as_postgrey_does() -> Result<()> {
    let programs = [Program::Postgrey, Program::Greylatch];
    let outcome = run_all(programs)?;
    println!(
        "{} requests, {} lines of log; allowed differences: {:?}; kinds of lines: {:#?}",
        outcome.requests, outcome.log_lines, outcome.allowed, outcome.kinds
    );
    if env::var_os("GREYLATCH_SET").is_none() {
        for kind in KINDS {
            assert!(
                outcome.kinds.contains_key(*kind),
                "no line tells of: {kind}"
            );
        }
    }
    assert!(
        outcome.differences.is_empty(),
        "{} differences in {} requests, the first of them:\n{}",
        outcome.differences.len(),
        outcome.requests,
        outcome.differences[..outcome.differences.len().min(SHOWN)].join("\n")
    );
    Ok(())
}

#[test]
fn postgrey_beside_itself_shows_no_difference() -> Result<()> {
    let set = OptionSet::new("defaults", &[]);
    let outcome = compare(&Trial {
        left: (Program::Postgrey, &set),
        right: (Program::Postgrey, &set),
        seed: 1,
        requests: 200,
    })?;
    assert_eq!(outcome.differences, Vec::<String>::new());
    assert_eq!(outcome.requests, 200);
    assert!(outcome.log_lines >= 190, "{outcome:?}");
    Ok(())
}

#[test]
fn another_delay_is_seen() -> Result<()> {
    let outcome = against_a_changed_postgrey(OptionSet::new("changed", &["--delay=301"]))?;
    assert!(outcome.differences[0].contains("action="), "{outcome:?}");
    Ok(())
}

#[test]
fn another_verbosity_is_seen() -> Result<()> {
    let outcome = against_a_changed_postgrey(OptionSet::new("changed", &["--quiet"]))?;
    assert!(outcome.differences[0].contains("log line 0"), "{outcome:?}");
    Ok(())
}

fn against_a_changed_postgrey(changed: OptionSet) -> Result<Outcome> {
    compare(&Trial {
        left: (Program::Postgrey, &OptionSet::new("defaults", &[])),
        right: (Program::Postgrey, &changed),
        seed: 2,
        requests: 400,
    })
}

/// Runs every option set, on two threads.
fn run_all(programs: [Program; 2]) -> Result<Outcome> {
    let only = env::var("GREYLATCH_SET").ok();
    let sets: Vec<(usize, OptionSet)> = option_sets()
        .into_iter()
        .enumerate()
        .filter(|(_, set)| only.as_ref().is_none_or(|name| name == set.name))
        .collect();
    ensure!(!sets.is_empty(), "there is no option set {only:?}");
    let (first, second) = sets.split_at(sets.len() / 2);
    thread::scope(|scope| {
        let other = scope.spawn(|| run_sets(programs, second));
        let mut sum = run_sets(programs, first)?;
        merge(&mut sum, other.join().expect("it does not panic")?);
        Ok(sum)
    })
}

fn run_sets(programs: [Program; 2], sets: &[(usize, OptionSet)]) -> Result<Outcome> {
    let (episodes, requests) = if is_long_run() {
        (20, 2 * REQUESTS)
    } else {
        (2, REQUESTS)
    };
    let given: Option<u64> = match env::var("GREYLATCH_SEED") {
        Ok(seed) => Some(seed.parse().context("GREYLATCH_SEED is a number")?),
        Err(_) => None,
    };
    let mut sum = Outcome::default();
    for (place, set) in sets {
        // Another stream for each set.
        let seeds: Vec<u64> = match given {
            Some(seed) => vec![seed],
            None => (1..=episodes)
                .map(|episode| episode * 1_000 + *place as u64)
                .collect(),
        };
        for seed in seeds {
            let trial = Trial {
                left: (programs[0], set),
                right: (programs[1], set),
                seed,
                requests,
            };
            let outcome =
                compare(&trial).with_context(|| format!("seed {seed}, set {:?}", set.name))?;
            merge(&mut sum, outcome);
        }
    }
    Ok(sum)
}

fn merge(sum: &mut Outcome, part: Outcome) {
    sum.requests += part.requests;
    sum.log_lines += part.log_lines;
    sum.differences.extend(part.differences);
    add(&mut sum.allowed, part.allowed);
    add(&mut sum.kinds, part.kinds);
}

fn add<K: Ord>(sum: &mut BTreeMap<K, usize>, part: BTreeMap<K, usize>) {
    for (kind, count) in part {
        *sum.entry(kind).or_default() += count;
    }
}
