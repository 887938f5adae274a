//! What is remembered of a triplet, a client and a network, and how a decision changes it.

use crate::time::Timestamp;

/// What the store knows when an attempt is decided. Records may be older than their lifetime:
/// only `decide` judges age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The triplet's entry.
    pub entry: Option<Entry>,
    /// The client address's record.
    pub client: Option<ClientRecord>,
    /// Until when the client's network counts as one that has proven entries.
    pub network_proven_until: Option<Timestamp>,
    /// How many entries wait in the client's network.
    pub network_waiting: u32,
}

/// One remembered triplet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The first attempt that counts.
    pub first: Timestamp,
    /// The latest attempt that was written down.
    pub last: Timestamp,
    /// From when on a retry passes, as the ruling of the first attempt set it.
    pub due: Timestamp,
    /// After this the entry counts as absent.
    pub expires: Timestamp,
    /// What the entry stands for.
    pub standing: Standing,
}

/// What an entry stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Has not passed yet.
    Waiting,
    /// Has passed after waiting.
    Proven,
    /// Passes always; set by hand.
    Allowed,
    /// Is refused always; set by hand.
    Refused,
}

impl Standing {
    /// All standings.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Proven, Self::Allowed, Self::Refused];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Proven => "proven",
            Self::Allowed => "allowed",
            Self::Refused => "refused",
        }
    }
}

/// What is remembered of one client address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientRecord {
    /// Passes counted, at most one per pause.
    pub passes: u32,
    /// When the last pass was counted.
    pub last: Timestamp,
    /// After this the record counts as absent.
    pub expires: Timestamp,
}

/// What a decision changes in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The triplet's entry.
    pub entry: EntryChange,
    /// The client address's record, when it changes.
    pub client: Option<ClientRecord>,
    /// The client's network has a proven entry until this time; the later of two wins.
    pub network_proven_until: Option<Timestamp>,
}

impl Change {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entry == EntryChange::Keep
            && self.client.is_none()
            && self.network_proven_until.is_none()
    }
}

/// What happens to an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EntryChange {
    /// It stays as it is.
    #[default]
    Keep,
    /// It becomes this.
    Put(Entry),
    /// It goes.
    Remove,
}
