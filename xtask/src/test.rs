//! `cargo xtask test`: the peers, the program, then all tests. The runner's own
//! summary is the last that is printed.

use anyhow::{Result, ensure};

use crate::peers;
use crate::shell;
use crate::source;
use crate::workspace::{Workspace, cargo};

/// Runs all tests of the workspace with cargo-nextest, or with cargo where that
/// is absent.
///
/// # Errors
/// When a peer cannot be had, something does not build, or a test fails.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    peers::run(workspace)?;
    // Tests of the whole program start this binary.
    shell::run(
        cargo()
            .args(["build", "--package", "greylatch"])
            .current_dir(&workspace.root),
    )?;
    if has_doc_tests(workspace)? {
        run_tests(workspace, &["test", "--workspace", "--doc"])?;
    }
    if shell::answer(cargo().args(["nextest", "--version"]))?.is_some() {
        run_tests(
            workspace,
            &["nextest", "run", "--workspace", "--no-fail-fast"],
        )
    } else {
        println!("cargo-nextest is absent: using cargo test, without time limits");
        run_tests(
            workspace,
            &["test", "--workspace", "--all-targets", "--no-fail-fast"],
        )
    }
}

fn run_tests(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    let binary = workspace.target.join("debug/greylatch");
    ensure!(binary.is_file(), "{} was not built", binary.display());
    shell::run(
        cargo()
            .args(arguments)
            .current_dir(&workspace.root)
            .env("GREYLATCH_PEERS", workspace.peers())
            .env("GREYLATCH_BIN", binary),
    )
}

/// True when any library has an example in its documentation. Looking costs
/// milliseconds, building the documentation of all crates for nothing minutes.
fn has_doc_tests(workspace: &Workspace) -> Result<bool> {
    Ok(source::read_all(workspace)?.iter().any(|source| {
        source.path.starts_with("crates/")
            && source.is_rust()
            && source
                .text
                .lines()
                .map(str::trim_start)
                .any(|line| line.starts_with("/// ```") || line.starts_with("//! ```"))
    }))
}
