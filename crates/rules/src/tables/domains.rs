//! Domains by their name: a value matches when it is the domain or ends in a dot and it.

use super::{Found, Owner, Owners, TextMap};

#[derive(Default)]
pub(super) struct DomainIndex {
    names: TextMap<Owners>,
    /// Whether some name is so long; endings of other lengths need no look.
    lengths: Vec<bool>,
}

impl DomainIndex {
    pub(super) fn add(&mut self, name: Vec<u8>, owner: Owner) {
        if self.lengths.len() <= name.len() {
            self.lengths.resize(name.len() + 1, false);
        }
        if let Some(length) = self.lengths.get_mut(name.len()) {
            *length = true;
        }
        self.names.entry(name.into()).or_default().add(owner);
    }

    /// `value` is in lower case; each of its endings at a dot is looked up once.
    pub(super) fn look(&self, value: &[u8], found: &mut Found<'_>) {
        let dots = value.iter().enumerate().filter(|(_, byte)| **byte == b'.');
        let behind_dots = dots.filter_map(|(at, _)| value.get(at.saturating_add(1)..));
        for ending in std::iter::once(value).chain(behind_dots) {
            if self.lengths.get(ending.len()) == Some(&true)
                && let Some(owners) = self.names.get(ending)
            {
                found.add(owners);
            }
        }
    }
}
