//! Recipients whose rule is a tarpit: who is held, and what that is good for at the end of the message.

use greylatch_core::{Decision, Field, Outcome, PeerEvent, Reason, Ruling, Seconds, decide};
use greylatch_exchange::{DumpRow, RowKind};
use greylatch_rules::{AclAction, AclJudgement, ClauseKind, TARPIT_MAX, TarpitScope, Why};

use super::{Case, Desk};
use crate::acl::{Acl, AclRecipient, SatThrough};
use crate::desk::neighbours::peer_triplet;
use crate::tarpit::Hold;

/// What a connection knows of its tarpits.
#[derive(Default)]
pub(in crate::desk) struct Sitting {
    /// How long it has been held in all.
    sat: Seconds,
    /// How long it is to be held now.
    pub(in crate::desk) hold: Option<Hold>,
}

impl Desk {
    /// Whether the client may yet be held; `None` where nothing is known of it.
    pub(super) fn is_patient(&self, case: &Case<'_>) -> Option<bool> {
        Some(!self.tarpit.is_impatient(&self.triplet(case)?, case.now))
    }

    /// The ruling on a recipient whose rule is a tarpit, by which the client is held or, if that
    /// cannot be or need not be, greylisted; with what comes of it when it has sat that through. Peers
    /// are told as of somebody who waits.
    pub(super) async fn held(
        &self,
        case: &Case<'_>,
        (acl, judgement): (&Acl, &mut AclJudgement),
        sitting: &mut Sitting,
    ) -> (Ruling, Option<SatThrough>) {
        let terms = acl.terms(judgement, self.settings.waiting_per_network);
        let greylisted = Ruling::Greylist(terms);
        let length = judgement.tarpit.unwrap_or(TARPIT_MAX);
        // Without memory, what is to be done is said where one greylists.
        let has_to = match self.recall(case).await {
            Ok(memory) => has_to_sit(&decide(&greylisted, &memory, case.now)),
            Err(_) => false,
        };
        if has_to
            && !self.settings.learning
            && length <= TARPIT_MAX
            && let Some(triplet) = self.triplet(case)
        {
            let left = match judgement.tarpit_scope {
                TarpitScope::Session => Seconds((length.0 - sitting.sat.0).max(0)),
                TarpitScope::Command => length,
            };
            let timing = terms.timing;
            let due = case.now.plus(timing.delay);
            let until = due.plus(timing.retry_window);
            if let Some(hold) = self.tarpit.hold(&triplet, left, until) {
                sitting.sat = Seconds(sitting.sat.0.saturating_add(left.0));
                sitting.hold = Some(hold);
                if let Some(triplet) = peer_triplet(case) {
                    let pending = PeerEvent::Pending { triplet, due };
                    self.peers.tell(&pending, &self.observer);
                }
                let lifetime = timing.lifetime;
                return (
                    Ruling::Exempt(Reason::Rule),
                    Some(SatThrough { lifetime, due }),
                );
            }
        }
        judgement.action = AclAction::Greylist;
        (greylisted, None)
    }

    /// The message has come to its end: who was held for it has sat that through.
    pub(super) async fn have_sat_through(&self, case: &Case<'_>, recipients: &[AclRecipient]) {
        for recipient in recipients {
            let Some(sat_through) = &recipient.sat_through else {
                continue;
            };
            let one = recipient.attempt(case.attempt);
            let of_one = Case {
                attempt: &one,
                ..*case
            };
            if let Some(triplet) = self.triplet(&of_one) {
                self.tarpit.sat_through(&triplet);
            }
            if sat_through.lifetime.0 > 0 {
                self.remember_patience(&of_one, sat_through).await;
            }
        }
    }

    /// Remembers a triplet as one that has passed, here and at the peers.
    async fn remember_patience(&self, case: &Case<'_>, sat_through: &SatThrough) {
        let Some(triplet) = peer_triplet(case) else {
            return;
        };
        let expires = case.now.plus(sat_through.lifetime);
        let row = DumpRow {
            client: triplet.client,
            sender: case.attempt.text(Field::Sender).to_vec(),
            recipient: triplet.recipient.clone(),
            when: expires,
            kind: RowKind::Auto,
        };
        match self.merge(&row).await {
            Ok(_) => self.peers.tell(
                &PeerEvent::Accepted {
                    triplet,
                    was: sat_through.due,
                    expires: Some(expires),
                },
                &self.observer,
            ),
            Err(error) => self.observer.store_failed(&error),
        }
    }
}

/// Whether memory lets nobody pass, whom greylisting decides on so.
pub(super) fn has_to_sit(decision: &Decision) -> bool {
    decision.outcome == Outcome::Defer || decision.reason == Reason::New
}

/// Whether the rule that decided makes the client wait.
pub(super) fn is_tarpit(judgement: &AclJudgement) -> bool {
    let is_one = |why: &Why| why.kind == ClauseKind::Tarpit && !why.negated;
    let lets_pass = matches!(judgement.action, AclAction::Whitelist | AclAction::Greylist);
    lets_pass && judgement.whys.iter().any(is_one)
}
