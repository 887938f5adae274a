//! The store that the configuration names, and how its keys are made.

use std::time::Duration;

use greylatch_store::{AnyStore, EmbeddedOptions, Keying};

use crate::config::{Config, Identity, Sync};
use crate::launch::StartError;
use crate::paths::store_directory;

/// Opens the store; an embedded one goes on opening on a thread of its own.
pub(crate) fn open(config: &Config) -> Result<AnyStore, StartError> {
    let waiting_max = u64::from(config.greylist.waiting_max.get());
    let Some(directory) = store_directory(config)? else {
        return Ok(AnyStore::memory(waiting_max));
    };
    Ok(AnyStore::embedded(EmbeddedOptions {
        sync: match config.store.sync {
            Sync::Interval => greylatch_store::Sync::Interval,
            Sync::Always => greylatch_store::Sync::Always,
        },
        cache_entries: config.store.cache_entries as usize,
        waiting_max,
        store_timeout: Duration::from_millis(config.store.timeout_ms.into()),
        ..EmbeddedOptions::at(directory)
    }))
}

/// With privacy the keys go over the SHA-1 that a Postgrey with `--privacy` has left, so that its
/// memory can be taken over; natively they are plain hashes without text.
pub(crate) fn keying(config: &Config) -> Keying {
    match (config.store.privacy, config.greylist.identity) {
        (false, _) => Keying::Plain,
        (true, Identity::Native | Identity::Postgrey | Identity::PostgreyByHost) => Keying::Sha1,
    }
}
