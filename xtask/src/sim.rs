//! `cargo xtask sim --seed N`: the simulation that failed, once more.

use anyhow::{Context, Result};

use crate::shell;
use crate::workspace::{Workspace, cargo};

/// Replays the simulation of `seed` on every store.
///
/// # Errors
/// When `seed` is no number, or a promise is broken.
pub(crate) fn run(workspace: &Workspace, seed: &str) -> Result<()> {
    let seed: u64 = seed
        .parse()
        .with_context(|| format!("{seed:?} is no seed"))?;
    shell::run(
        cargo()
            .args(["test", "--package", "greylatch-store"])
            .args(["--test", "simulation"])
            .env("GREYLATCH_SEED", seed.to_string())
            .current_dir(&workspace.root),
    )
}
