//! What others learn of what was remembered: the dump file, the peers and the log.

use std::net::IpAddr;

use greylatch_core::{Decision, Entry, EntryChange, Field, PeerEvent, PeerTriplet, Reason};
use greylatch_wording::{LogSubject, MilterGreylistLine};

use super::{Case, Desk};
use crate::acl::{Acl, AclCase};

impl Desk {
    /// Notes that a decision has changed memory, in which `before` was the entry.
    pub(super) fn tell_neighbours(
        &self,
        case: &Case<'_>,
        decision: &Decision,
        before: Option<Entry>,
    ) {
        if decision.change.is_empty() {
            return;
        }
        self.changes.note();
        self.tell_if_over(case, decision, before);
        if self.peers.is_empty() {
            return;
        }
        if let Some(event) = event(case, decision, before) {
            self.peers.tell(&event, &self.observer);
        }
    }

    /// Writes down that an entry was over before it could be of use, unless that has been done.
    fn tell_if_over(&self, case: &Case<'_>, decision: &Decision, before: Option<Entry>) {
        let told = self.changes.over_told();
        let is_over = before.is_some_and(|entry| (told..case.now).contains(&entry.expires));
        if let Some(client) = case
            .client
            .filter(|_| decision.reason == Reason::New && is_over)
        {
            let sender = untagged(case.attempt.text(Field::Sender));
            self.tell_over(client, sender, case.attempt.text(Field::Recipient));
        }
    }

    /// Writes down that an entry is over, its addresses without brackets, where `logexpired` or
    /// `verbose` wants to know.
    pub(crate) fn tell_over(&self, client: IpAddr, sender: &[u8], recipient: &[u8]) {
        let rulebook = self.rulebook.load();
        let settings = rulebook.acl().map(Acl::settings);
        if !settings.is_some_and(|settings| settings.logexpired || settings.verbose) {
            return;
        }
        let bracketed = |address: &[u8]| [b"<", address, b">"].concat();
        let line = MilterGreylistLine::TimedOut(&LogSubject {
            queue_id: None,
            host: b"",
            client,
            sender: &bracketed(sender),
            recipient: Some(&bracketed(recipient)),
        });
        self.observer.say_unsorted(line.severity(), &line.text());
    }

    /// Removes all entries of a client, here and at the peers, because the rule on this line says so.
    pub(super) async fn flush_by_rule(&self, seen: &AclCase<'_>, case: &Case<'_>, line: usize) {
        let Some(client) = case.client else {
            return;
        };
        self.peers.tell(&PeerEvent::Flushed(client), &self.observer);
        match self.flush(client).await {
            Ok(removed) => {
                let acl = line.to_string();
                let line = MilterGreylistLine::Flushed {
                    subject: &seen.log_subject(),
                    removed,
                    acl: acl.as_bytes(),
                };
                self.observer.say(line.severity(), &line.text());
            }
            Err(error) => self.observer.store_failed(&error),
        }
    }
}

/// Of whom peers are told.
pub(super) fn peer_triplet(case: &Case<'_>) -> Option<PeerTriplet> {
    Some(PeerTriplet {
        client: case.client?,
        sender: untagged(case.attempt.text(Field::Sender)).to_vec(),
        recipient: case.attempt.text(Field::Recipient).to_vec(),
    })
}

fn event(case: &Case<'_>, decision: &Decision, before: Option<Entry>) -> Option<PeerEvent> {
    let EntryChange::Put(entry) = decision.change.entry else {
        return None;
    };
    let triplet = peer_triplet(case)?;
    match decision.reason {
        Reason::New => Some(PeerEvent::Pending {
            triplet,
            due: entry.due,
        }),
        Reason::Retry => Some(PeerEvent::Accepted {
            triplet,
            was: entry.due,
            expires: Some(entry.expires),
        }),
        Reason::Known => Some(PeerEvent::Accepted {
            triplet,
            was: before.map_or(entry.expires, |before| before.expires),
            expires: Some(entry.expires),
        }),
        _ => None,
    }
}

/// The sender as milter-greylist knows it: what stands behind the last `=`.
///
/// Source: milter-greylist 4.6.4 as observed by running it.
pub(super) fn untagged(sender: &[u8]) -> &[u8] {
    let behind = sender.rsplit(|byte| *byte == b'=').next();
    behind.unwrap_or(sender)
}
