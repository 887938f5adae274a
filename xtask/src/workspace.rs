//! What cargo knows of the workspace.
//!
//! Source: the Cargo Book, "cargo metadata", "JSON format".

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell;

/// The workspace as cargo sees it.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The folder of the first Cargo.toml.
    pub(crate) root: PathBuf,
    /// Where cargo builds; honours `CARGO_TARGET_DIR`.
    pub(crate) target: PathBuf,
    /// Its crates.
    pub(crate) crates: Vec<Crate>,
}

/// What one Cargo.toml says.
#[derive(Debug)]
pub(crate) struct Crate {
    /// The package's name.
    pub(crate) name: String,
    /// Its folder from the root, for example `crates/core`.
    pub(crate) folder: String,
    /// All its dependencies, whatever their table, features or platform.
    pub(crate) dependencies: Vec<Dependency>,
}

/// A line under `[dependencies]`, `[dev-dependencies]` or `[build-dependencies]`.
#[derive(Debug)]
pub(crate) struct Dependency {
    /// The package's name, also when the line renames it.
    pub(crate) name: String,
    /// True under `[dev-dependencies]`.
    pub(crate) for_tests: bool,
}

impl Workspace {
    /// Asks cargo.
    ///
    /// # Errors
    /// When cargo fails or answers something else than its manual says.
    pub(crate) fn load() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let text = shell::output(
            cargo()
                .args(["metadata", "--no-deps", "--format-version", "1"])
                .arg("--manifest-path")
                .arg(manifest),
        )?;
        let metadata: Value = serde_json::from_str(&text).context("cargo metadata")?;
        let root = PathBuf::from(text_of(&metadata, "workspace_root")?);
        let crates = list_of(&metadata, "packages")?
            .iter()
            .map(|package| Crate::read(package, &root))
            .collect::<Result<_>>()?;
        Ok(Self {
            root,
            crates,
            target: text_of(&metadata, "target_directory")?.into(),
        })
    }

    /// The folder of the unpacked programs; the tests find it by
    /// `GREYLATCH_PEERS`.
    pub(crate) fn peers(&self) -> PathBuf {
        self.target.join("peers")
    }
}

impl Crate {
    fn read(package: &Value, root: &Path) -> Result<Self> {
        let manifest = Path::new(text_of(package, "manifest_path")?);
        let folder = manifest.parent().context("a manifest without a folder")?;
        let dependencies = list_of(package, "dependencies")?
            .iter()
            .map(|dependency| {
                Ok(Dependency {
                    name: text_of(dependency, "name")?.to_owned(),
                    for_tests: dependency["kind"] == "dev",
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            name: text_of(package, "name")?.to_owned(),
            folder: folder.strip_prefix(root)?.to_string_lossy().into_owned(),
            dependencies,
        })
    }
}

/// The cargo that runs us, else the one in the path.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn text_of<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key]
        .as_str()
        .with_context(|| format!("cargo metadata has no {key}"))
}

fn list_of<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value[key]
        .as_array()
        .with_context(|| format!("cargo metadata has no {key}"))
}
