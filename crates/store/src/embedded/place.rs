//! Where a record lies in the tree: under its own key, but a triplet that waits under `w` instead
//! of `t`. Most of what is written waits and is never asked for again, and each merge writes again
//! all that lies between the keys it merges: apart, what waits costs the same however much else is
//! remembered.
//!
//! A triplet lies in one of its two places; one write moves it. Whoever reads asks for the lasting
//! place first.

use crate::format::{Malformed, RecordKey, Stored};
use crate::key::Kind;
use greylatch_core::{Entry, Standing};

/// The key of a record in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place([u8; 17]);

const TRIPLET: u8 = Kind::Triplet as u8;
const WAITING: u8 = b'w';

impl Place {
    /// Where this record of that key lies.
    pub(super) fn of(key: &RecordKey, stored: &Stored) -> Self {
        match stored {
            Stored::Entry(Entry {
                standing: Standing::Waiting,
                ..
            }) => Self::under(WAITING, key),
            _ => Self(*key.bytes()),
        }
    }

    /// Where records of that key can lie, in the order in which they are to be looked for.
    pub(super) fn all(key: &RecordKey) -> impl Iterator<Item = Self> {
        let waiting = (key.bytes()[0] == TRIPLET).then(|| Self::under(WAITING, key));
        [Self(*key.bytes())].into_iter().chain(waiting)
    }

    /// What lies there.
    pub(super) fn record_key(self) -> Result<RecordKey, Malformed> {
        let mut bytes = self.0;
        if bytes[0] == WAITING {
            bytes[0] = TRIPLET;
        }
        RecordKey::try_from(bytes.as_slice())
    }

    pub(super) fn bytes(&self) -> &[u8; 17] {
        &self.0
    }

    /// Two hashes: one is the same for all places of a key, the other differs from place to place.
    /// The key is a hash already, its kind is spread.
    pub(super) fn hash(&self) -> [u64; 2] {
        let half = |at: usize| {
            let mut bits = [0; 8];
            bits.copy_from_slice(&self.0[at..at + 8]);
            u64::from_le_bytes(bits)
        };
        let kind = u64::from(self.0[0]).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        [half(1), half(9) ^ kind]
    }

    fn under(kind: u8, key: &RecordKey) -> Self {
        let mut bytes = *key.bytes();
        bytes[0] = kind;
        Self(bytes)
    }
}

impl TryFrom<&[u8]> for Place {
    type Error = Malformed;

    fn try_from(bytes: &[u8]) -> Result<Self, Malformed> {
        bytes.try_into().map(Self).map_err(|_| Malformed::Damaged)
    }
}
