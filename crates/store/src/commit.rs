//! What a commit writes: the comparing half of compare-and-set, for stores that hold a lock.

use greylatch_core::{Change, EntryChange, Memory};

use smallvec::SmallVec;

use crate::format::{RecordKey, Stored};
use crate::key::{Keys, Kind};

/// One record to write.
pub(crate) struct Write {
    pub(crate) key: RecordKey,
    pub(crate) old: Option<Stored>,
    pub(crate) new: Option<Stored>,
    /// The bytes of `new`.
    pub(crate) bytes: Vec<u8>,
}

/// What one attempt writes.
pub(crate) type Writes = SmallVec<[Write; 2]>;

/// The keys of all records that a change touches.
pub(crate) fn touched(keys: &Keys, change: &Change) -> impl Iterator<Item = RecordKey> {
    let entry =
        (change.entry != EntryChange::Keep).then(|| RecordKey::new(Kind::Triplet, keys.triplet()));
    let client = change
        .client
        .map(|_| RecordKey::new(Kind::Client, keys.client()));
    let network = change
        .network_proven_until
        .map(|_| RecordKey::new(Kind::Network, keys.network()));
    entry.into_iter().chain(client).chain(network)
}

/// Reads what is there now; `None` when it is not what was seen.
pub(crate) fn compare<E>(
    keys: &Keys,
    seen: &Memory,
    change: &Change,
    mut read: impl FnMut(&RecordKey) -> Result<Option<Stored>, E>,
) -> Result<Option<Writes>, E> {
    let mut writes = Writes::new();
    for key in touched(keys, change) {
        let old = read(&key)?;
        let (expected, new, text): (_, _, &[&[u8]]) = match key.bytes()[0] {
            b't' => (
                seen.entry.map(Stored::Entry),
                match change.entry {
                    EntryChange::Put(entry) => Some(Stored::Entry(entry)),
                    EntryChange::Keep | EntryChange::Remove => None,
                },
                &keys.triplet_text(),
            ),
            b'c' => (
                seen.client.map(Stored::Client),
                change.client.map(Stored::Client),
                &[keys.client_text()],
            ),
            _ => {
                let until = change.network_proven_until.map(Stored::Network);
                let until = until.map(Stored::storable);
                if let (Some(Stored::Network(old)), Some(Stored::Network(new))) = (old, until)
                    && new <= old
                {
                    continue;
                }
                (old, until, &[])
            }
        };
        if expected.map(Stored::storable) != old {
            return Ok(None);
        }
        let new = new.map(Stored::storable);
        let bytes = new.map(|new| new.encode(text)).unwrap_or_default();
        writes.push(Write {
            key,
            old,
            new,
            bytes,
        });
    }
    Ok(Some(writes))
}

/// Memory as these reads give it; what is `enough` ends it early.
pub(crate) fn recall<E>(
    keys: &Keys,
    enough: impl Fn(&Memory) -> bool,
    mut read: impl FnMut(&RecordKey) -> Result<Option<Stored>, E>,
) -> Result<Memory, E> {
    let mut memory = Memory::default();
    if let Some(Stored::Client(client)) = read(&RecordKey::new(Kind::Client, keys.client()))? {
        memory.client = Some(client);
        if enough(&memory) {
            return Ok(memory);
        }
    }
    if let Some(Stored::Entry(entry)) = read(&RecordKey::new(Kind::Triplet, keys.triplet()))? {
        memory.entry = Some(entry);
    }
    if keys.with_network()
        && let Some(Stored::Network(until)) = read(&RecordKey::new(Kind::Network, keys.network()))?
    {
        memory.network_proven_until = Some(until);
    }
    Ok(memory)
}
