//! `cargo xtask arrows`: which crate may know which, which outside crates each
//! may use, and which words of the outside world it may say.
//!
//! The table is the map of ARCHITECTURE.md as code. Cargo.toml decides what a
//! crate can reach; `arrows/words.rs` scans what it does with it.

mod words;

use anyhow::{Result, bail};

use crate::source::{self, Problem};
use crate::workspace::{Crate, Workspace};

/// What a crate may name under `[dependencies]`.
struct Arrows {
    name: &'static str,
    /// Crates of the workspace.
    inside: &'static [&'static str],
    /// Other crates; each line stands with its reason.
    outside: &'static [&'static [&'static str]],
}

const CORE: &str = "greylatch-core";
const RULES: &str = "greylatch-rules";
const PROTO: &str = "greylatch-proto";
const STORE: &str = "greylatch-store";
const SERVER: &str = "greylatch-server";
const WORDING: &str = "greylatch-wording";
const EXCHANGE: &str = "greylatch-exchange";
const REPORT: &str = "greylatch-report";
const TESTKIT: &str = "greylatch-testkit";

/// Typed errors without boilerplate.
const ERRORS: &[&str] = &["thiserror"];
/// JSON where a protocol or a listing is JSON.
const JSON: &[&str] = &["serde", "serde_json"];
/// The one runtime.
const RUNTIME: &[&str] = &["tokio"];
/// Diagnostics.
const DIAGNOSTICS: &[&str] = &["tracing"];
/// Errors that only a person reads: programs, never libraries.
const REPORTS: &[&str] = &["anyhow"];
/// Files, users, sockets and signals beyond `std`.
const SYSTEM: &[&str] = &["nix"];

const TABLE: &[Arrows] = &[
    // Pure words: nothing at all, so that it can be read and tested alone.
    Arrows {
        name: CORE,
        inside: &[],
        outside: &[],
    },
    Arrows {
        name: RULES,
        // wording: the format strings of greylist.conf only.
        inside: &[CORE, WORDING],
        outside: &[
            ERRORS,
            // Patterns as Perl means them, where possible in linear time.
            &["regex", "fancy-regex"],
            // Networks and the trie that finds them.
            &["ipnet", "prefix-trie"],
            // A quick hash for texts that only an administrator puts in.
            &["foldhash"],
            // The organisational domain of a name.
            &["psl"],
            // The grammar of greylist.conf.
            &["winnow"],
        ],
    },
    Arrows {
        name: PROTO,
        inside: &[CORE],
        // memchr: the search for line ends is most of the work of reading.
        outside: &[ERRORS, JSON, &["memchr"]],
    },
    Arrows {
        name: STORE,
        inside: &[CORE],
        outside: &[
            ERRORS,
            RUNTIME,
            DIAGNOSTICS,
            SYSTEM,
            // The embedded store: tree and key hash.
            &["fjall", "blake3"],
            // The table of the cache and the open engine, changed while attempts read them; what
            // one attempt writes, without an allocation.
            &["arc-swap", "smallvec"],
            // In tests: a text within a file.
            &["memchr"],
            // The keys that a Postgrey with --privacy has left.
            &["sha1"],
        ],
    },
    Arrows {
        name: SERVER,
        inside: &[CORE, RULES, PROTO, STORE, WORDING, EXCHANGE],
        outside: &[
            ERRORS,
            JSON,
            RUNTIME,
            DIAGNOSTICS,
            SYSTEM,
            // How diagnostics reach the operator.
            &["tracing-subscriber"],
            // greylatch.toml, with carets.
            &["toml", "annotate-snippets"],
            // Readiness and sockets that systemd hands over.
            &["sd-notify", "listenfd"],
            // What a connection reads and writes: nix calls the C library, which makes each call
            // ready to be cancelled.
            &["rustix"],
            // What the daemon gives up after start.
            &["landlock", "seccompiler"],
            // The rules, changed while attempts read them.
            &["arc-swap"],
            // HTTP: routes, and connections, of which the timeouts are ours.
            &["axum", "http-body-util", "hyper", "hyper-util"],
            // HTTP beyond this host, and tokens compared without telling how far they agree.
            &["tokio-rustls", "subtle"],
            // Local time in log lines.
            &["jiff"],
            // What rules ask of the DNS: the resolver, SPF; here rustls only says that the
            // resolver's TLS, which comes along with SPF, trusts nobody.
            &["hickory-resolver", "mail-auth", "rustls"],
            // Which country a client is in.
            &["maxminddb"],
        ],
    },
    Arrows {
        name: WORDING,
        inside: &[CORE],
        outside: &[ERRORS, JSON],
    },
    Arrows {
        name: EXCHANGE,
        inside: &[CORE],
        outside: &[ERRORS],
    },
    Arrows {
        name: REPORT,
        inside: &[CORE, WORDING],
        outside: &[
            ERRORS,
            // Our own lines in JSON, and the report in JSON.
            &["serde_json"],
            // The search for line ends and for one word is most of the work of reading.
            &["memchr"],
            // The organisational domain of a client's name.
            &["psl"],
            // The hashes of tables that are looked into for millions of lines.
            &["foldhash"],
        ],
    },
    Arrows {
        name: "greylatch",
        // proto: the client's end of the control socket. rules: remarks drawn with carets, patterns of
        // Perl. wording: the words of `ask`.
        inside: &[CORE, SERVER, EXCHANGE, PROTO, REPORT, RULES, WORDING],
        outside: &[
            REPORTS,
            JSON,
            SYSTEM,
            // The command line, its completions and man pages.
            &["clap", "clap_complete", "clap_mangen"],
            // Progress and tables for people.
            &["indicatif", "comfy-table"],
            // Carets under what is wrong in a file.
            &["annotate-snippets"],
            // `ask --at`, and the times of log lines that are local.
            &["jiff"],
            // Rotated logs.
            &["flate2", "zstd"],
            // Memory.
            &["mimalloc"],
        ],
    },
    Arrows {
        name: TESTKIT,
        inside: &[CORE, RULES, PROTO, STORE, SERVER],
        outside: &[REPORTS, RUNTIME, &["proptest", "tempfile"]],
    },
    // Speaks to built programs from outside, as an MTA does.
    Arrows {
        name: "conformance",
        inside: &[],
        outside: &[REPORTS, JSON, SYSTEM, &["tempfile"]],
    },
    Arrows {
        name: "xtask",
        inside: &[],
        // The runtime: the load of `bench` and the reference beside it.
        outside: &[REPORTS, JSON, RUNTIME],
    },
];

/// What any crate's tests may use besides what the crate may.
const FOR_TESTS: &[&str] = &[
    "anyhow",
    "insta",
    "proptest",
    "serde_json",
    "snapbox",
    "tempfile",
    "tokio",
    TESTKIT,
];

/// Checks the whole workspace.
///
/// # Errors
/// When an arrow or a word is not allowed; all are printed.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut problems = check_edges(&workspace.crates);
    for source in source::read_all(workspace)? {
        problems.extend(words::check(&source));
    }
    problems.sort();
    for problem in &problems {
        println!("{problem}");
    }
    if !problems.is_empty() {
        bail!("{} arrows point where the map has none", problems.len());
    }
    println!("arrows: {} crates as on the map", workspace.crates.len());
    Ok(())
}

fn check_edges(crates: &[Crate]) -> Vec<Problem> {
    crates.iter().flat_map(check_crate).collect()
}

fn check_crate(declared: &Crate) -> Vec<Problem> {
    let problem = |text: String| Problem {
        place: format!("{}/Cargo.toml", declared.folder),
        line: 0,
        text,
    };
    let Some(arrows) = TABLE.iter().find(|arrows| arrows.name == declared.name) else {
        return vec![problem(format!(
            "{} is not on the map: add it to xtask/src/arrows.rs and ARCHITECTURE.md",
            declared.name
        ))];
    };
    declared
        .dependencies
        .iter()
        .filter(|dependency| {
            let name = dependency.name.as_str();
            let is_test_tool = dependency.for_tests && FOR_TESTS.contains(&name);
            !is_test_tool && !arrows.allow(name)
        })
        .map(|dependency| {
            problem(format!(
                "{} may not depend on {}: a new arrow is discussed first",
                declared.name, dependency.name
            ))
        })
        .collect()
}

impl Arrows {
    fn allow(&self, name: &str) -> bool {
        self.inside.contains(&name) || self.outside.iter().any(|line| line.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn declared(name: &str, dependencies: &[(&str, bool)]) -> Crate {
        Crate {
            name: name.into(),
            folder: "crates/x".into(),
            dependencies: dependencies
                .iter()
                .map(|(name, for_tests)| Dependency {
                    name: (*name).into(),
                    for_tests: *for_tests,
                })
                .collect(),
        }
    }

    fn texts(crates: &[Crate]) -> Vec<String> {
        check_edges(crates)
            .into_iter()
            .map(|problem| problem.text)
            .collect()
    }

    #[test]
    fn a_forbidden_edge_inside_is_reported() {
        assert_eq!(
            texts(&[declared(PROTO, &[(CORE, false), (STORE, false)])]),
            ["greylatch-proto may not depend on greylatch-store: \
                 a new arrow is discussed first"]
        );
    }

    #[test]
    fn core_may_use_no_outside_crate() {
        assert_eq!(
            texts(&[declared(CORE, &[("thiserror", false)])]),
            ["greylatch-core may not depend on thiserror: a new arrow is discussed first"]
        );
    }

    #[test]
    fn a_test_tool_is_for_tests_alone() {
        assert_eq!(
            texts(&[declared(RULES, &[("proptest", true), (TESTKIT, true)])]),
            Vec::<String>::new()
        );
        assert_eq!(
            texts(&[declared(RULES, &[("proptest", false)])]),
            ["greylatch-rules may not depend on proptest: a new arrow is discussed first"]
        );
    }

    #[test]
    fn a_crate_that_is_not_on_the_map_is_reported() {
        assert_eq!(
            texts(&[declared("greylatch-utils", &[])]),
            [
                "greylatch-utils is not on the map: add it to xtask/src/arrows.rs \
                 and ARCHITECTURE.md"
            ]
        );
    }

    #[test]
    fn every_permitted_edge_inside_leads_to_a_crate_of_the_table() {
        for arrows in TABLE {
            for inside in arrows.inside {
                assert!(TABLE.iter().any(|other| other.name == *inside), "{inside}");
            }
        }
    }
}
