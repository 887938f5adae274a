//! `cargo xtask test`: the peers, the program, then all tests. The runner's own
//! summary is the last that is printed.
//!
//! `cargo xtask ci` runs the same tests as several parts; every test is in
//! exactly one of them, whatever its name.
//!
//! Source: the nextest manual, "Filterset DSL".

use anyhow::{Result, bail, ensure};

use crate::peers;
use crate::shell;
use crate::source;
use crate::workspace::{Workspace, cargo};

/// The tests by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// What no other part takes.
    Unit,
    /// Real mail servers talk to the built program.
    MailServers,
    /// The real Postgrey beside the built program.
    Differential,
    /// Processes that are killed, disks that fill or stick, power that goes.
    Kills,
    /// The inputs that fuzzing began with or found.
    FuzzCorpus,
    /// Random traffic from seeds, against a model or a description; a year of traffic.
    Simulation,
}

impl Part {
    /// All of them, in the order in which `ci` runs them.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 6] = [
        Self::Unit,
        Self::MailServers,
        Self::Differential,
        Self::Kills,
        Self::FuzzCorpus,
        Self::Simulation,
    ];

    /// Which tests a part claims; what two claim is of the first. Unit tests
    /// are those that nobody claims.
    const CLAIMS: &[(Part, &str)] = &[
        (Part::FuzzCorpus, "binary(=corpus)"),
        (
            Part::Simulation,
            "binary(=simulation) | binary(=year) | binary(=http_schema)",
        ),
        (
            Part::Kills,
            "binary(/^(endurance|disk_faults|faults|floods|killed|power)/) \
             | test(/loss_of_all|killed/)",
        ),
        (
            Part::MailServers,
            "package(=conformance) \
             & binary(/^(exim|greylistd|haraka|http|milter|one_memory|opensmtpd|postfix|sendmail)/)",
        ),
        (Part::Differential, "package(=conformance)"),
    ];

    /// Which tests these are. Whatever the claims are, the parts together are
    /// all tests and no test is in two.
    pub(crate) fn filter(self) -> String {
        let own = Self::CLAIMS.iter().position(|(part, _)| *part == self);
        let before = &Self::CLAIMS[..own.unwrap_or(Self::CLAIMS.len())];
        let mut filter = match own {
            Some(at) => format!("({})", Self::CLAIMS[at].1),
            None => "all()".to_owned(),
        };
        for (_, claim) in before {
            filter.push_str(&format!(" - ({claim})"));
        }
        filter
    }
}

/// Runs all tests of the workspace with cargo-nextest, or with cargo where that
/// is absent.
///
/// # Errors
/// When a peer cannot be had, something does not build, or a test fails.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    peers::run(workspace)?;
    build_program(workspace)?;
    run_examples(workspace)?;
    if has_nextest()? {
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

/// Builds the program and all tests.
///
/// # Errors
/// When something does not build, or cargo-nextest is absent.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    if !has_nextest()? {
        bail!("cargo-nextest is needed: cargo install --locked cargo-nextest");
    }
    build_program(workspace)?;
    run_tests(workspace, &["nextest", "run", "--workspace", "--no-run"])
}

/// Runs the tests of one kind, and with the unit tests the examples in the
/// documentation.
///
/// # Errors
/// When one fails, or there is none.
pub(crate) fn run_part(workspace: &Workspace, part: Part) -> Result<()> {
    if part == Part::Unit {
        run_examples(workspace)?;
    }
    let filter = part.filter();
    run_tests(
        workspace,
        &[
            "nextest",
            "run",
            "--workspace",
            "--no-fail-fast",
            "--no-tests=fail",
            "--filterset",
            &filter,
        ],
    )
}

/// Tests of the whole program start this binary.
fn build_program(workspace: &Workspace) -> Result<()> {
    shell::run(
        cargo()
            .args(["build", "--package", "greylatch"])
            .current_dir(&workspace.root),
    )
}

fn has_nextest() -> Result<bool> {
    Ok(shell::answer(cargo().args(["nextest", "--version"]))?.is_some())
}

fn run_examples(workspace: &Workspace) -> Result<()> {
    if has_examples(workspace)? {
        run_tests(workspace, &["test", "--workspace", "--doc"])?;
    }
    Ok(())
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
fn has_examples(workspace: &Workspace) -> Result<bool> {
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_part_but_the_rest_claims_tests() {
        let claims = |part: &Part| Part::CLAIMS.iter().filter(|(of, _)| of == part).count();
        let counts = Part::ALL.map(|part| claims(&part));
        assert_eq!(counts, [0, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn every_claim_excludes_those_before_it_and_the_unit_tests_are_the_rest() {
        let excluded = |part: Part| part.filter().matches(" - (").count();
        for (at, (part, claim)) in Part::CLAIMS.iter().enumerate() {
            assert!(part.filter().starts_with(&format!("({claim})")));
            assert_eq!(excluded(*part), at);
        }
        assert!(Part::Unit.filter().starts_with("all() - ("));
        assert_eq!(excluded(Part::Unit), Part::CLAIMS.len());
    }

    #[test]
    fn the_corpus_of_every_fuzz_target_is_replayed() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let names = |folder: &str| -> Vec<_> {
            let files = fs::read_dir(root.join(folder)).expect("a folder");
            files
                .map(|file| file.expect("a file").path())
                .map(|path| path.file_stem().expect("a name").to_owned())
                .collect()
        };
        let replays: Vec<String> = names("crates")
            .iter()
            .map(|of| root.join("crates").join(of).join("tests/corpus.rs"))
            .filter_map(|path| fs::read_to_string(path).ok())
            .collect();
        let targets = names("fuzz/fuzz_targets");
        assert!(targets.len() > 2, "{targets:?}");
        for target in targets {
            let replay = format!("replay(\"{}\",", target.display());
            assert!(
                replays.iter().any(|test| test.contains(&replay)),
                "{} is in no crates/*/tests/corpus.rs",
                target.display()
            );
        }
    }
}
