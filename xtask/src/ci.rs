//! `cargo xtask ci`: everything that is checked before a change lands, and all
//! that CI runs. The cheap stages come first; the tests come last, so that
//! their summary closes the run.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::workspace::{Workspace, cargo};
use crate::{arrows, docs, shell, test, tidy};

/// Built from source where it is absent; the version is fixed so that a new
/// check never fails an old commit.
const CARGO_DENY: &str = "0.20.2";

type Stage = (&'static str, fn(&Workspace) -> Result<()>);

const STAGES: &[Stage] = &[
    ("fmt", fmt),
    ("clippy", clippy),
    ("arrows", arrows::run),
    ("tidy", tidy::run),
    ("docs", docs::check),
    ("deny", deny),
    ("test", test::run),
];

/// Runs all stages up to the first that fails.
///
/// # Errors
/// When a stage fails; the text begins with its name.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut table = String::from("minutes");
    for (at, (name, stage)) in STAGES.iter().enumerate() {
        println!("== {name} ({} of {})", at + 1, STAGES.len());
        let begun = Instant::now();
        stage(workspace).with_context(|| format!("stage {name}"))?;
        let minutes = begun.elapsed().as_secs_f64() / 60.0;
        table.push_str(&format!("  {name} {minutes:.1}"));
        // Nothing follows the summary of the tests.
        if at + 1 < STAGES.len() {
            println!("{table}");
        }
    }
    Ok(())
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
