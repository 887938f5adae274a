//! The same random requests to the real Postgrey and to ours, under one fake
//! clock: answers byte for byte, log lines one by one.
//!
//! `GREYLATCH_LONG=1` makes it ten times as long; `GREYLATCH_SEED=N` and
//! `GREYLATCH_SET=NAME` repeat what a failure printed.

use std::collections::BTreeMap;
use std::env;

use anyhow::{Context, Result};
use conformance::{OptionSet, Outcome, Program, Trial, compare, is_long_run, option_sets};

const REQUESTS: usize = 250;

#[test]
fn ours_answers_and_logs_as_postgrey_does() -> Result<()> {
    let programs = [Program::Postgrey, Program::Greylatch];
    let outcome = run_all(programs)?;
    println!(
        "{} requests, {} lines of log; allowed differences: {:?}; kinds of lines: {:#?}",
        outcome.requests, outcome.log_lines, outcome.allowed, outcome.kinds
    );
    assert!(
        outcome.differences.is_empty(),
        "{} differences in {} requests:\n{}",
        outcome.differences.len(),
        outcome.requests,
        outcome.differences.join("\n")
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

fn run_all(programs: [Program; 2]) -> Result<Outcome> {
    let (episodes, requests) = if is_long_run() {
        (20, 2 * REQUESTS)
    } else {
        (2, REQUESTS)
    };
    let only = env::var("GREYLATCH_SET").ok();
    let seeds: Vec<u64> = match env::var("GREYLATCH_SEED") {
        Ok(seed) => vec![seed.parse().context("GREYLATCH_SEED is a number")?],
        Err(_) => (1..=episodes).collect(),
    };
    let mut sum = Outcome::default();
    for (place, set) in option_sets().iter().enumerate() {
        if only.as_ref().is_some_and(|name| name != set.name) {
            continue;
        }
        for seed in &seeds {
            let outcome = compare(&Trial {
                left: (programs[0], set),
                right: (programs[1], set),
                // Another stream for each set; printed, so it can be repeated.
                seed: if seeds.len() == 1 {
                    *seed
                } else {
                    seed * 1_000 + place as u64
                },
                requests,
            })
            .with_context(|| format!("option set {:?}", set.name))?;
            sum.requests += outcome.requests;
            sum.log_lines += outcome.log_lines;
            add(&mut sum.allowed, outcome.allowed);
            add(&mut sum.kinds, outcome.kinds);
            sum.differences.extend(outcome.differences);
        }
    }
    Ok(sum)
}

fn add<K: Ord>(sum: &mut BTreeMap<K, usize>, part: BTreeMap<K, usize>) {
    for (kind, count) in part {
        *sum.entry(kind).or_default() += count;
    }
}
