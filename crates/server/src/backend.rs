//! The store that the configuration names.

use std::path::PathBuf;
use std::time::Duration;

use greylatch_store::{AnyStore, EmbeddedOptions, Keying};

use crate::config::{Config, Sync};
use crate::launch::StartError;
use crate::paths::{records_directory, store_directory};

/// A store, and how its keys are made.
pub(crate) struct Backend {
    pub(crate) store: AnyStore,
    pub(crate) keying: Keying,
}

/// Opens the store; an embedded one goes on opening on a thread of its own.
pub(crate) fn open(config: &Config, keying: Keying) -> Result<Backend, StartError> {
    let store = match store_directory(config)? {
        Some(directory) => AnyStore::embedded(embedded(config, records_directory(&directory))),
        None => AnyStore::memory(config.greylist.waiting_max.get().into()),
    };
    Ok(Backend { store, keying })
}

fn embedded(config: &Config, directory: PathBuf) -> EmbeddedOptions {
    EmbeddedOptions {
        sync: match config.store.sync {
            Sync::Interval => greylatch_store::Sync::Interval,
            Sync::Always => greylatch_store::Sync::Always,
        },
        cache_entries: config.store.cache_entries as usize,
        waiting_max: config.greylist.waiting_max.get().into(),
        store_timeout: Duration::from_millis(config.store.timeout_ms.into()),
        ..EmbeddedOptions::at(directory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // option: store.sync store.timeout_ms store.cache_entries
    #[test]
    fn the_embedded_store_is_opened_as_the_configuration_says() {
        let mut config = Config::default();
        config.store.sync = Sync::Always;
        config.store.timeout_ms = 1_234;
        config.store.cache_entries = 77;
        let options = embedded(&config, "/x".into());
        assert_eq!(
            (options.sync, options.store_timeout, options.cache_entries),
            (
                greylatch_store::Sync::Always,
                Duration::from_millis(1_234),
                77
            )
        );
    }
}
