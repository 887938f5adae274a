//! `cargo xtask bench`: how fast and how small our server is, beside the real
//! Postgrey and beside a server that does nothing but answer
//! (`cargo xtask bench-reference`).
//!
//! All servers run side by side and are measured in turns, so that the figures
//! that count, their ratios, hold on any machine. The generator shares the
//! machine with them. Nothing is kept: the results are printed.

mod bars;
mod cost;
mod dialect;
mod histogram;
mod load;
mod measure;
mod options;
mod plan;
mod preload;
mod random;
pub(crate) mod reading;
mod reference;
mod report;
mod request;
mod scenario;
mod server;
mod syslog;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::bench::dialect::Dialect;
use crate::bench::options::Options;
use crate::bench::server::Places;
use crate::shell;
use crate::workspace::{Workspace, cargo};

/// Measures as the words behind `bench` say.
///
/// # Errors
/// When a word is wrong, a server is missing, or one fails under load. A bar
/// that is missed is no error.
pub(crate) fn run(workspace: &Workspace, words: &[&str]) -> Result<()> {
    if words == ["--help"] {
        print!("{}", options::USAGE);
        return Ok(());
    }
    let options = Options::parse(words)?;
    if cfg!(debug_assertions) {
        return run_optimised("bench", words);
    }
    let places = places(workspace, &options)?;
    fs::create_dir_all(&places.folder)?;
    let report = match options.triplets {
        Some(triplets) => plan::at_size(&options, &places, triplets)?,
        None => plan::side_by_side(&options, &places)?,
    };
    report.print();
    if let Some(path) = &options.json {
        fs::write(path, report.json()?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Serves as the reference until it is killed: [--milter] SOCKET [LOGFILE].
///
/// # Errors
/// When it cannot listen.
pub(crate) fn run_reference(words: &[&str]) -> Result<()> {
    let (dialect, words) = match words {
        ["--milter", rest @ ..] => (Dialect::Milter, rest),
        words => (Dialect::Policy, words),
    };
    match words {
        [socket] => reference::run(dialect, Path::new(socket), None),
        [socket, log] => reference::run(dialect, Path::new(socket), Some(Path::new(log))),
        _ => bail!("usage: cargo xtask bench-reference [--milter] SOCKET [LOGFILE]"),
    }
}

/// Runs ourselves again, built as what we measure is built: generator and
/// reference must not be slow for want of optimisation.
fn run_optimised(command: &str, words: &[&str]) -> Result<()> {
    shell::run(
        cargo()
            .args([
                "run",
                "--quiet",
                "--release",
                "--package",
                "xtask",
                "--",
                command,
            ])
            .args(words),
    )
}

fn places(workspace: &Workspace, options: &Options) -> Result<Places> {
    let built = workspace.target.join("release/greylatch");
    let is_needed = options.triplets.is_some()
        || options.syslog
        || options.servers.iter().any(|program| program.is_ours());
    if is_needed && options.greylatch.is_none() {
        shell::run(cargo().args(["build", "--release", "--package", "greylatch"]))?;
    }
    let places = Places {
        greylatch: absolute(options.greylatch.as_deref().unwrap_or(&built))?,
        // Its lists serve all, so it must be there in any case.
        postgrey: absolute(&workspace.peers().join("postgrey"))?,
        folder: match &options.folder {
            Some(folder) => absolute(folder)?,
            None => workspace.target.join("bench"),
        },
    };
    ensure!(
        places.postgrey.is_dir(),
        "{} is missing: run cargo xtask peers",
        places.postgrey.display()
    );
    Ok(places)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| path.display().to_string())
}
