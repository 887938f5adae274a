//! `cargo xtask docs`: the pages of the manual that are made from the doc comments of the
//! configuration: `docs/configuration.md` and `docs/greylatch.toml`. Also says which options
//! have no test that fails when they are ignored, and no reason for their default.
//!
//! Man pages and completions come from the command line's own definitions:
//! `greylatch generate`.

mod options;
mod pages;
mod proofs;

use std::fs;

use anyhow::{Context, Result, bail};

use crate::source::{self, Problem};
use crate::workspace::Workspace;

/// The files that hold the structs of the configuration.
const CONFIG: [&str; 2] = [
    "crates/server/src/config.rs",
    "crates/server/src/config/log.rs",
];

/// Writes the pages.
///
/// # Errors
/// When the configuration is written in a way that is not understood, or a page cannot be
/// written.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    for (path, text) in pages(workspace)? {
        fs::write(workspace.root.join(path), text).with_context(|| path.to_owned())?;
        println!("{path}");
    }
    Ok(())
}

/// Checks that the pages are fresh and that each option has its test and its reason.
///
/// # Errors
/// When something is stale or missing; all is printed.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let mut problems = Vec::new();
    for (path, text) in pages(workspace)? {
        let file = workspace.root.join(path);
        let written = fs::read_to_string(&file).with_context(|| path.to_owned())?;
        problems.extend(stale(path, &written, &text));
    }
    let tables = tables(workspace)?;
    problems.extend(proofs::check(&tables, &source::read_all(workspace)?)?);
    problems.sort();
    for problem in &problems {
        println!("{problem}");
    }
    if !problems.is_empty() {
        bail!("{} things of the manual are not in order", problems.len());
    }
    Ok(())
}

fn pages(workspace: &Workspace) -> Result<[(&'static str, String); 2]> {
    let tables = tables(workspace)?;
    Ok([
        ("docs/configuration.md", pages::manual(&tables)),
        ("docs/greylatch.toml", pages::example(&tables)),
    ])
}

fn tables(workspace: &Workspace) -> Result<Vec<options::Table>> {
    let mut texts = Vec::new();
    for path in CONFIG {
        let text = fs::read_to_string(workspace.root.join(path)).context(path)?;
        texts.push((path, text));
    }
    options::read(&texts)
}

/// The first line in which a page differs from what it should be.
fn stale(path: &str, written: &str, fresh: &str) -> Option<Problem> {
    if written == fresh {
        return None;
    }
    let same = written
        .lines()
        .zip(fresh.lines())
        .take_while(|(one, other)| one == other)
        .count();
    Some(Problem {
        place: path.to_owned(),
        line: same + 1,
        text: "is not what the doc comments of config.rs say: run cargo xtask docs".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_page_is_told_with_its_first_stale_line() {
        assert_eq!(stale("docs/a.md", "a\nb\n", "a\nb\n"), None);
        let problem = stale("docs/a.md", "a\nb\nc\n", "a\nx\nc\n").expect("a problem");
        assert_eq!((problem.place.as_str(), problem.line), ("docs/a.md", 2));
        let cut = stale("docs/a.md", "a\n", "a\nb\n").expect("a problem");
        assert_eq!(cut.line, 2);
    }
}
