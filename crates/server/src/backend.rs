//! The store that the configuration names, and how its keys are made.

use std::time::Duration;

use greylatch_store::{AnyStore, EmbeddedOptions, Keying};

use crate::config::{Config, Sync};
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

/// With privacy the keys go over the text's SHA-1, as a Postgrey with `--privacy` has left them, so
/// that its memory can be taken over; no text is kept.
pub(crate) fn keying(config: &Config) -> Keying {
    if config.store.privacy {
        Keying::Sha1
    } else {
        Keying::Plain
    }
}
