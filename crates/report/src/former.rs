//! Triplets of what logs tell, formed as the engine forms them, and the hashes by which they are known.

use std::hash::Hash;
use std::net::IpAddr;

use greylatch_core::{AddressDialect, Envelope, IdentityRules, School, Triplet};

use crate::keyed::{Hashes, Wide};
use crate::sighting::Subject;

/// Forms triplets: clients, senders and recipients are one where the engine takes them for one.
#[derive(Clone, Debug)]
pub(crate) struct Former {
    pub(crate) identity: IdentityRules,
    hashes: Hashes,
}

/// By what a delivery is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// The hash of client, sender and recipient.
    pub(crate) triplet: Wide,
    /// The hash of sender and recipient.
    pub(crate) pair: u64,
}

/// What an attempt was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Delivery(Key),
    /// A whole message, or it is not said.
    Unsaid,
    /// The client's address cannot be read.
    Unreadable,
}

impl Former {
    pub(crate) fn new(identity: IdentityRules) -> Self {
        Self {
            identity,
            hashes: Hashes::default(),
        }
    }

    /// What a subject wanted.
    pub(crate) fn target(&self, subject: &Subject<'_>) -> Target {
        match self.form(subject) {
            None if subject.client.is_empty() => Target::Unsaid,
            None => Target::Unreadable,
            Some(_) if subject.recipient.is_empty() && subject.words.is_empty() => Target::Unsaid,
            Some(triplet) => Target::Delivery(self.key(&triplet)),
        }
    }

    /// Its triplet; none when the client's address cannot be read.
    pub(crate) fn form(&self, subject: &Subject<'_>) -> Option<Triplet> {
        if !subject.words.is_empty() {
            return Some(self.identity.opaque(&subject.words));
        }
        let client = self.address(&subject.client)?;
        let envelope = Envelope {
            sender: &subject.sender,
            recipient: &subject.recipient,
        };
        Some(self.identity.triplet_of(client, envelope))
    }

    /// A client's address as its server reads it.
    pub(crate) fn address(&self, client: &[u8]) -> Option<IpAddr> {
        let dialect = match self.identity.school {
            School::Postgrey { .. } => AddressDialect::Postgrey,
            School::MilterGreylist | School::Native => AddressDialect::Strict,
        };
        dialect.parse(strip_tag(client))
    }

    /// The hash by which anything may be known.
    pub(crate) fn hash(&self, it: impl Hash) -> Wide {
        self.hashes.wide(it)
    }

    /// Half of the hash of a text.
    pub(crate) fn half(&self, text: &[u8]) -> u64 {
        self.hashes.narrow(text)
    }

    fn key(&self, triplet: &Triplet) -> Key {
        let (sender, recipient) = (triplet.sender(), triplet.recipient());
        Key {
            triplet: self.hash((triplet.client(), sender, recipient)),
            pair: self.hashes.narrow((sender, recipient)),
        }
    }
}

/// What subjects wanted of late. A greylister and its MTA tell the same of one attempt, and to form a
/// triplet takes longer than to find it here.
#[derive(Debug)]
pub(crate) struct Recent {
    /// By the hash of what a subject is made of; the later of two that have one place.
    targets: Vec<Option<(u64, Target)>>,
}

/// Subjects that are remembered.
const RECENT_MAX: usize = 1 << 13;

impl Recent {
    /// What a subject wanted, as `former` has it; it is the same one each time.
    pub(crate) fn target(&mut self, former: &Former, subject: &Subject<'_>) -> Target {
        if !subject.words.is_empty() {
            return former.target(subject);
        }
        let fields = (&subject.client, &subject.sender, &subject.recipient);
        let hash = former.hashes.narrow(fields);
        // Its low bits are as good as any.
        let place = &mut self.targets[hash as usize % RECENT_MAX];
        match place {
            Some((known, target)) if *known == hash => *target,
            _ => {
                let target = former.target(subject);
                *place = Some((hash, target));
                target
            }
        }
    }
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            targets: vec![None; RECENT_MAX],
        }
    }
}

/// An address without the tag that Sendmail puts before those of IPv6.
fn strip_tag(client: &[u8]) -> &[u8] {
    client.strip_prefix(b"IPv6:").unwrap_or(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_what_is_formed() {
        let identity = IdentityRules {
            school: School::Native,
            ipv4_prefix: 24,
            ipv6_prefix: 64,
        };
        let former = Former::new(identity);
        let mut recent = Recent::default();
        let subjects: Vec<Subject<'_>> = ["192.0.2.9", "192.0.2.10", "nowhere", ""]
            .into_iter()
            .flat_map(|client| ["r@x", "s@x", ""].map(|recipient| (client, recipient)))
            .flat_map(|about| ["", "words"].map(|words| (about, words)))
            .map(|((client, recipient), words)| Subject {
                client: client.as_bytes().into(),
                recipient: recipient.as_bytes().into(),
                words: words.as_bytes().into(),
                ..Subject::default()
            })
            .collect();
        for subject in subjects.iter().chain(&subjects) {
            let target = recent.target(&former, subject);
            assert_eq!(target, former.target(subject), "{subject:?}");
        }
        let targets = |nth: usize| former.target(&subjects[nth]);
        assert_eq!(targets(0), targets(6));
        assert!(targets(0) != targets(2));
        assert_eq!(targets(4), Target::Unsaid);
        assert_eq!(targets(12), Target::Unreadable);
        assert_eq!(targets(18), Target::Unsaid);
    }
}
