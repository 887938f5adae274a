//! Where the other programs are: the unpacked peers, our own binary, and
//! whether this is the long run.
//!
//! Nothing is fetched here; `cargo xtask peers` does that.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::greylister::libraries;

/// The folder into which the peer `name` was unpacked: `GREYLATCH_PEERS/name`,
/// by default `target/peers/name` of this workspace.
///
/// # Errors
/// When it is not there; the text says how to get it.
pub fn peer(name: &str) -> Result<PathBuf> {
    let peers = match env::var_os("GREYLATCH_PEERS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers"),
    };
    let folder = peers.join(name);
    ensure!(
        folder.is_dir(),
        "{name} is not in {}: run cargo xtask peers",
        peers.display()
    );
    folder
        .canonicalize()
        .with_context(|| format!("cannot resolve {}", folder.display()))
}

/// The program `usr/bin/NAME` of the peer `name`, with the libraries that lie beside it.
///
/// # Errors
/// When it is not there; the text says how to get it.
pub fn peer_program(name: &str) -> Result<Command> {
    let root = peer(name)?;
    let mut command = Command::new(root.join("usr/bin").join(name));
    command.env("LD_LIBRARY_PATH", env::join_paths(libraries(&root)?)?);
    Ok(command)
}

/// Our program: `GREYLATCH_BIN`, by default the binary beside the running test.
///
/// # Errors
/// When it is not there; the text says how to build it.
pub fn greylatch_binary() -> Result<PathBuf> {
    let binary = match env::var_os("GREYLATCH_BIN") {
        Some(path) => PathBuf::from(path),
        None => env::current_exe()?
            .parent()
            .and_then(Path::parent)
            .context("the test program is in no target folder")?
            .join("greylatch"),
    };
    ensure!(
        binary.is_file(),
        "{} is missing: run cargo build",
        binary.display()
    );
    Ok(binary)
}

/// True when `GREYLATCH_LONG=1` asks for the long form of the tests.
pub fn is_long_run() -> bool {
    env::var_os("GREYLATCH_LONG").is_some_and(|value| value == "1")
}
