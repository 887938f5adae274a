//! What others learn of what was remembered: the dump file and the peers.

use greylatch_core::{Decision, Entry, EntryChange, Field, PeerEvent, PeerTriplet, Reason};
use greylatch_wording::MilterGreylistLine;

use super::{Case, Desk};
use crate::acl::AclCase;

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
        if self.peers.is_empty() {
            return;
        }
        if let Some(event) = event(case, decision, before) {
            self.peers.tell(&event, &self.observer);
        }
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

fn event(case: &Case<'_>, decision: &Decision, before: Option<Entry>) -> Option<PeerEvent> {
    let EntryChange::Put(entry) = decision.change.entry else {
        return None;
    };
    let triplet = PeerTriplet {
        client: case.client?,
        sender: untagged(case.attempt.text(Field::Sender)).to_vec(),
        recipient: case.attempt.text(Field::Recipient).to_vec(),
    };
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
fn untagged(sender: &[u8]) -> &[u8] {
    let behind = sender.rsplit(|byte| *byte == b'=').next();
    behind.unwrap_or(sender)
}
