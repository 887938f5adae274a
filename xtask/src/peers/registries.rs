//! Peers from the registries of Python and Node.js, with the interpreter of the system: each in a
//! folder of its own, from a list in which every package has its version and its hashes. Nothing of
//! them runs while they are installed.
//!
//! To run one (ROOT is its folder):
//!
//! - `schemathesis`: `python3 -m schemathesis.cli` with `PYTHONPATH=ROOT`.
//! - `aiosmtpd`: `python3 -m aiosmtpd` likewise.
//! - `haraka`: `node ROOT/node_modules/Haraka/bin/haraka -c FOLDER`.
//!
//! A list is made anew by `pip-compile --generate-hashes` of one line `NAME==VERSION`, and by
//! `npm install --package-lock-only --omit=optional` beside `package.json`.
//! Source: the pip manual, "Repeatable Installs", `pip install`; the npm manual, `npm ci`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::remove;
use crate::shell;

/// A peer from a registry.
struct Packaged {
    /// The name of its folder.
    name: &'static str,
    /// What it is run by, and asked for its version.
    interpreter: &'static str,
    /// Its list with the names under which it is read.
    lists: &'static [(&'static str, &'static str)],
    /// What stands before its version in the first of the lists, and behind it.
    version: [&'static str; 2],
    install: fn(&Path) -> Command,
}

const PACKAGED: &[Packaged] = &[
    Packaged {
        name: "schemathesis",
        interpreter: "python3",
        lists: &[(
            "requirements.txt",
            include_str!("schemathesis/requirements.txt"),
        )],
        version: ["\nschemathesis==", " "],
        install: install_python,
    },
    Packaged {
        name: "aiosmtpd",
        interpreter: "python3",
        lists: &[(
            "requirements.txt",
            include_str!("aiosmtpd/requirements.txt"),
        )],
        version: ["aiosmtpd==", " "],
        install: install_python,
    },
    Packaged {
        name: "haraka",
        interpreter: "node",
        lists: &[
            ("package.json", include_str!("haraka/package.json")),
            (
                "package-lock.json",
                include_str!("haraka/package-lock.json"),
            ),
        ],
        version: ["\"Haraka\": \"", "\""],
        install: install_node,
    },
];

/// Fetches those that are not there as their lists say, and prints their versions.
///
/// # Errors
/// When an interpreter is missing, a package is not what its hash says, or the network is away.
pub(super) fn run(peers: &Path) -> Result<()> {
    for peer in PACKAGED {
        let root = peers.join(peer.name);
        let plan = peer.plan()?;
        let stamp = "plan";
        if fs::read_to_string(root.join(stamp)).unwrap_or_default() != plan {
            // Renamed when complete, so that a test never sees half of it.
            let fresh = peers.join(format!("{}.new", peer.name));
            remove(&fresh)?;
            fs::create_dir_all(&fresh)?;
            for (name, text) in peer.lists {
                fs::write(fresh.join(name), text)?;
            }
            println!("fetching {}", peer.name);
            shell::output(&mut (peer.install)(&fresh)).with_context(|| peer.name)?;
            fs::write(fresh.join(stamp), plan)?;
            remove(&root)?;
            fs::rename(&fresh, &root)?;
        }
        let version = peer.version().context("its list has no version")?;
        println!("  {:<18} {version}", peer.name);
    }
    Ok(())
}

impl Packaged {
    /// What changes when other things should be installed: packages may be built for one version of
    /// the interpreter.
    fn plan(&self) -> Result<String> {
        let version = shell::answer(Command::new(self.interpreter).arg("--version"))?
            .with_context(|| format!("{} is needed for {}", self.interpreter, self.name))?;
        let lists: Vec<&str> = self.lists.iter().map(|(_, text)| *text).collect();
        Ok(format!("{version}{}", lists.join("\n")))
    }

    fn version(&self) -> Option<&'static str> {
        let (_, list) = self.lists.first()?;
        let [before, behind] = self.version;
        let (_, rest) = list.split_once(before)?;
        Some(rest.split_once(behind)?.0)
    }
}

fn install_python(root: &Path) -> Command {
    let mut command = Command::new("python3");
    command
        .args(["-m", "pip", "install", "--quiet", "--require-hashes"])
        .args(["--only-binary", ":all:", "--no-deps", "--no-compile"])
        .args([
            "--disable-pip-version-check",
            "--root-user-action",
            "ignore",
        ])
        .args(["--target", ".", "--requirement", "requirements.txt"])
        .current_dir(root);
    command
}

fn install_node(root: &Path) -> Command {
    let mut command = Command::new("npm");
    command
        .args(["ci", "--ignore-scripts", "--omit=optional", "--omit=dev"])
        .args(["--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(root);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_names_the_version_of_its_peer_and_a_hash_for_each_package() {
        for peer in PACKAGED {
            let version = peer.version().expect("a version");
            assert!(
                version.starts_with(|first: char| first.is_ascii_digit()),
                "{version}"
            );
        }
        for (name, text) in PACKAGED.iter().flat_map(|peer| peer.lists) {
            let count = |part| text.matches(part).count();
            match *name {
                "requirements.txt" => {
                    // The first hash of each stands behind its version.
                    let hashed = text.split("==").skip(1).filter(|rest| {
                        let next = rest.split_once('\n').map(|(_, next)| next);
                        next.is_some_and(|next| next.starts_with("    --hash=sha256:"))
                    });
                    assert_eq!(hashed.count(), count("=="));
                }
                "package-lock.json" => {
                    let packages = count("\"node_modules/");
                    assert!(packages > 10, "{packages}");
                    assert_eq!(count("\"integrity\": \"sha512-"), packages);
                }
                _ => {}
            }
        }
    }
}
