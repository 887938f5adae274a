//! Where the store and the control socket are when the configuration does not say.

use std::env;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::config::{Config, Endpoint};
use crate::launch::StartError;

/// The store in force: the configured one, else a directory of the user's state directory.
#[must_use]
pub fn store_url(config: &Config) -> String {
    match &config.store.url {
        Some(url) => url.clone(),
        None => format!("embedded:{}", state_directory().display()),
    }
}

/// The control socket in force: the configured one, else `control` in the store's directory, or
/// in the state directory when the store has none.
#[must_use]
pub fn control_path(config: &Config) -> PathBuf {
    match &config.listen.control {
        Some(Endpoint::Unix(path)) => path.clone(),
        _ => {
            let directory = store_directory(config).ok().flatten();
            directory.unwrap_or_else(state_directory).join("control")
        }
    }
}

/// The directory of the embedded store; `None` for a store that has none.
pub(crate) fn store_directory(config: &Config) -> Result<Option<PathBuf>, StartError> {
    let url = store_url(config);
    match url.split_once(':') {
        Some(("embedded", path)) if !path.is_empty() => Ok(Some(PathBuf::from(path))),
        Some(("memory", "")) => Ok(None),
        _ => Err(StartError::StoreUrl { url }),
    }
}

/// Where the records are, in the directory of the store: what is damaged is moved aside within that
/// directory, which is the daemon's own, and takes neither socket nor secret with it.
pub(crate) fn records_directory(store: &Path) -> PathBuf {
    store.join("records")
}

/// Source: systemd.exec(5) `$STATE_DIRECTORY`; XDG Base Directory Specification
/// `$XDG_STATE_HOME`; hier(7) /var/lib for root.
fn state_directory() -> PathBuf {
    let set = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(directory) = set("STATE_DIRECTORY") {
        return directory;
    }
    if let Some(state) = set("XDG_STATE_HOME") {
        return state.join("greylatch");
    }
    match set("HOME") {
        Some(home) if !geteuid().is_root() => home.join(".local/state/greylatch"),
        _ => Path::new("/var/lib/greylatch").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_and_its_control_socket_are_found() {
        let mut config = Config::default();
        config.store.url = Some("embedded:/x/y".into());
        assert_eq!(
            store_directory(&config).expect("a store"),
            Some("/x/y".into())
        );
        assert_eq!(control_path(&config), Path::new("/x/y/control"));
        config.listen.control = Some(Endpoint::Unix("/run/c".into()));
        assert_eq!(control_path(&config), Path::new("/run/c"));
        config.store.url = Some("memory:".into());
        assert_eq!(store_directory(&config).expect("a store"), None);
        for wrong in ["embedded:", "memory", "mongodb://x", "memory:x"] {
            config.store.url = Some(wrong.into());
            assert!(
                matches!(store_directory(&config), Err(StartError::StoreUrl { .. })),
                "{wrong}"
            );
        }
    }
}
