//! Records and keys to test with.

use std::path::PathBuf;
use std::time::Duration;

use greylatch_core::{Change, Entry, EntryChange, Network, School, Standing, Timestamp, Triplet};
use greylatch_store::{EmbeddedOptions, Keying, Keys};

/// An embedded store whose deadlines no busy machine meets, for tests that are not about them.
#[must_use]
pub fn patient(directory: impl Into<PathBuf>) -> EmbeddedOptions {
    EmbeddedOptions {
        store_timeout: Duration::from_secs(60),
        open_wait: Duration::from_secs(60),
        ..EmbeddedOptions::at(directory)
    }
}

/// Keys of the sender `number`, all of one client and network, with the network read.
#[must_use]
pub fn keys(number: u32) -> Keys {
    keys_with(Keying::Plain, number)
}

/// The same under another keying.
#[must_use]
pub fn keys_with(keying: Keying, number: u32) -> Keys {
    let sender = format!("sender{number}@example.com");
    let client = "192.0.2.10".parse().expect("an address");
    let triplet = Triplet::new(
        School::Native,
        b"192.0.2.0/24",
        sender.as_bytes(),
        b"bob@example.org",
    );
    keying.keys(triplet, "192.0.2.10".into(), Network::of(client, 24), true)
}

/// An entry that has waited since `first` and is forgotten two days later.
#[must_use]
pub fn waiting(first: i64) -> Entry {
    Entry {
        first: Timestamp(first),
        last: Timestamp(first),
        due: Timestamp(first + 60),
        expires: Timestamp(first + 172_800),
        standing: Standing::Waiting,
    }
}

/// The change that writes an entry.
#[must_use]
pub fn put(entry: Entry) -> Change {
    Change {
        entry: EntryChange::Put(entry),
        ..Change::default()
    }
}
