//! `cargo xtask ci`: everything that is checked before a change lands, and all
//! that CI runs: the cheap stages first, then the tests by kind. After each
//! stage the minutes of all so far are printed; the last summary of
//! cargo-nextest closes the run.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::test::{self, Part};
use crate::workspace::{Workspace, cargo};
use crate::{arrows, docs, peers, shell, tidy};

/// Built from source where it is absent; the version is fixed so that a new
/// check never fails an old commit.
const CARGO_DENY: &str = "0.20.2";

type Check = fn(&Workspace) -> Result<()>;

/// What a stage is made of.
enum Work {
    One(Check),
    Several(&'static [(&'static str, Check)]),
    Tests(Part),
}

/// In the order in which they run.
const STAGES: &[(&str, Work)] = &[
    ("peers", Work::One(peers::run)),
    (
        "lint",
        Work::Several(&[
            ("fmt", fmt),
            ("clippy", clippy),
            ("arrows", arrows::run),
            ("tidy", tidy::run),
            ("docs", docs::check),
            ("deny", deny),
        ]),
    ),
    ("build", Work::One(test::build)),
    ("unit", Work::Tests(Part::Unit)),
    ("MTAs", Work::Tests(Part::MailServers)),
    ("differential", Work::Tests(Part::Differential)),
    ("kills", Work::Tests(Part::Kills)),
    ("fuzz corpus", Work::Tests(Part::FuzzCorpus)),
    ("simulation", Work::Tests(Part::Simulation)),
];

/// Runs all stages up to the first that fails.
///
/// # Errors
/// When a stage fails; the text begins with its name.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut minutes = Vec::new();
    for (at, (name, work)) in STAGES.iter().enumerate() {
        println!("== {name} ({} of {})", at + 1, STAGES.len());
        let begun = Instant::now();
        run_stage(workspace, work).with_context(|| format!("stage {name}"))?;
        minutes.push((*name, begun.elapsed().as_secs_f64() / 60.0));
        // Nothing follows the summary of the last tests.
        if at + 1 < STAGES.len() {
            println!("{}", table(&minutes));
        }
    }
    Ok(())
}

fn run_stage(workspace: &Workspace, work: &Work) -> Result<()> {
    match work {
        Work::One(check) => check(workspace),
        Work::Tests(part) => test::run_part(workspace, *part),
        Work::Several(checks) => {
            for (name, check) in *checks {
                println!("-- {name}");
                check(workspace).context(*name)?;
            }
            Ok(())
        }
    }
}

/// How long each stage took, and all together.
fn table(minutes: &[(&str, f64)]) -> String {
    let stages: Vec<String> = minutes
        .iter()
        .map(|(stage, took)| format!("{stage} {took:.1}"))
        .collect();
    let sum: f64 = minutes.iter().map(|(_, took)| took).sum();
    format!("minutes: {} = {sum:.1}", stages.join(" + "))
}

fn fmt(workspace: &Workspace) -> Result<()> {
    shell::run(
        cargo()
            .args(["fmt", "--all", "--check"])
            .current_dir(&workspace.root),
    )
}

fn clippy(workspace: &Workspace) -> Result<()> {
    shell::run(
        cargo()
            .args(["clippy", "--workspace", "--all-targets", "--"])
            .args(["-D", "warnings"])
            .current_dir(&workspace.root),
    )
}

/// Licences, forbidden crates and sources. Known vulnerabilities are left out:
/// their database is a git repository of its own, so the answer would change
/// with the day and not with the commit.
fn deny(workspace: &Workspace) -> Result<()> {
    let program = cargo_deny(workspace)?;
    // Offline it reads the manifests of all platforms.
    shell::run(
        cargo()
            .args(["fetch", "--quiet"])
            .current_dir(&workspace.root),
    )?;
    shell::run(
        Command::new(program)
            .args(["--offline", "check", "licenses", "bans", "sources"])
            .current_dir(&workspace.root),
    )
}

/// The cargo-deny of the path if it is the right one, else our own, built when
/// it is first needed.
fn cargo_deny(workspace: &Workspace) -> Result<PathBuf> {
    let tools = workspace.target.join("tools");
    let own = tools.join("bin/cargo-deny");
    for program in [PathBuf::from("cargo-deny"), own.clone()] {
        let version = shell::answer(Command::new(&program).arg("--version"))?;
        if version.is_some_and(|version| version.trim() == format!("cargo-deny {CARGO_DENY}")) {
            return Ok(program);
        }
    }
    println!("building cargo-deny {CARGO_DENY}");
    shell::run(
        cargo()
            .args(["install", "--locked", "--debug", "--quiet", "--force"])
            .args(["cargo-deny", "--version", CARGO_DENY, "--root"])
            .arg(tools)
            // Its objects are used once: not into the folder that is kept.
            .env_remove("CARGO_TARGET_DIR")
            .current_dir(&workspace.root),
    )?;
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minutes_of_all_stages_so_far_are_on_one_line() {
        assert_eq!(
            table(&[("peers", 0.26), ("fuzz corpus", 2.0)]),
            "minutes: peers 0.3 + fuzz corpus 2.0 = 2.3"
        );
    }

    #[test]
    fn every_kind_of_test_has_its_stage() {
        let staged: Vec<Part> = STAGES
            .iter()
            .filter_map(|(_, work)| match work {
                Work::Tests(part) => Some(*part),
                _ => None,
            })
            .collect();
        assert_eq!(staged, Part::ALL);
    }
}
