//! Judging by the rules of a `greylist.conf`: bypasses, rules, memory and words as milter-greylist
//! has them. When a triplet passes is said by `decide` here as everywhere.
//!
//! Source: greylist.conf(5); milter-greylist 4.6.4 as observed by running it.

mod ending;
mod held;
mod judged;
mod look;
mod telling;

use std::net::IpAddr;

use greylatch_core::{Attempt, Decision, Field, Outcome, Reason, Ruling, Verdict};
use greylatch_rules::{AclAction, AclJudgement, AclStage, Fact, MailStatus};
use greylatch_wording::PassCause;

pub(super) use self::held::Sitting;
use self::held::is_tarpit;
use self::judged::Judged;
use super::{Case, Desk, Visitor};
use crate::acl::{Accepted, Acl, AclCase, AclMessage, AclRecipient, Place, is_whole};
use crate::bypass::{access_passes, is_judged};
use crate::clock;
use crate::facts::Inquiry;

impl Desk {
    /// Judges a recipient, or at its end the message.
    pub(super) async fn judge_by_acl(
        &self,
        visitor: &mut Visitor,
        attempt: &Attempt,
        acl: &Acl,
    ) -> Verdict {
        let number = attempt.message();
        if number == 0 || visitor.message.number != number {
            visitor.message = AclMessage::begun(number);
        }
        let case = self.open(attempt, clock::now());
        let Some(client) = case.client else {
            self.observer.count(Reason::Local);
            visitor.message.accept(
                AclRecipient::unjudged(Vec::new()),
                Accepted::AtOnce(vec![PassCause::NoAddress]),
            );
            return Verdict::Pass { header: None };
        };
        let place = Place {
            name: self.phrases.hostname(),
            address: acl.settings().localaddr,
        };
        let mut inquiry = self.facts.inquiry(&mut visitor.message.findings);
        let name = unbracketed((attempt, client), acl, &mut inquiry).await;
        // A milter's MTA alone waits, and tells the end of a message.
        let patient = match number {
            0 => None,
            _ => self.is_patient(&case),
        };
        let seen = AclCase::new((attempt, client), case.now, &visitor.message, &place)
            .named(name)
            .patient(patient);
        if is_whole(attempt) {
            self.message_by_acl(visitor, &case, (&seen, acl)).await
        } else if is_judged(attempt) {
            self.recipient_by_acl(visitor, &case, (&seen, acl)).await
        } else {
            self.observer.count(Reason::Stage);
            Verdict::Pass { header: None }
        }
    }

    async fn recipient_by_acl(
        &self,
        visitor: &mut Visitor,
        case: &Case<'_>,
        (seen, acl): (&AclCase<'_>, &Acl),
    ) -> Verdict {
        let recipient = seen.recipient().unwrap_or_default().to_vec();
        let mut inquiry = self.facts.going_on(&mut visitor.message.findings);
        let bypassed = self.bypassed(case.attempt, (seen, acl), &mut inquiry).await;
        let message = &mut visitor.message;
        if let Some(bypass) = bypassed {
            self.observer.count(bypass.reason);
            self.tell_bypass(&bypass, (seen, case.attempt), message);
            let accepted = Accepted::AtOnce(vec![bypass.cause]);
            message.accept(AclRecipient::unjudged(recipient), accepted);
            message.by_default = false;
            return Verdict::Pass { header: None };
        }
        self.tell_asked(acl, seen);
        message.properties.next_recipient();
        let mut judgement = self
            .judge_at(AclStage::Rcpt, case, (seen, acl), message)
            .await;
        let (ruling, sat_through) = if is_tarpit(&judgement) {
            let rule = (acl, &mut judgement);
            self.held(case, rule, &mut visitor.sitting).await
        } else {
            (self.acl_ruling(acl, &judgement), None)
        };
        let ruling = self.narrowed(ruling);
        let decision = self.settle(case, &ruling).await;
        self.observer.count(decision.reason);
        self.tell_entry(acl, &seen.log_subject(), &decision);
        let judged = Judged {
            case: seen,
            judgement: &judgement,
            decision: &decision,
            found: &message.findings.told(&seen.about(acl)),
            recipient: None,
        };
        let mut verdict = judged.verdict(acl.settings().quiet, self.settings.learning);
        if matches!(verdict, Verdict::Pass { .. }) {
            self.tell(&judged);
            let accepted = AclRecipient {
                sat_through,
                ..judged.recipient(recipient)
            };
            message.accept(accepted, judged.accepted());
        } else if is_put_off(case.attempt, acl, &decision) {
            message.accept(judged.recipient(recipient), Accepted::Silently);
            message.put_off(&judgement, &decision);
            verdict = Verdict::Pass { header: None };
        } else {
            self.tell(&judged);
            judged.report_turned_away(acl, &recipient);
        }
        message.by_default = judgement.action == AclAction::Whitelist && judgement.whys.is_empty();
        message.last = Some(Box::new(judgement));
        verdict
    }

    /// What the rules say at a stage, with what they want written down and removed.
    async fn judge_at(
        &self,
        stage: AclStage,
        case: &Case<'_>,
        (seen, acl): (&AclCase<'_>, &Acl),
        message: &mut AclMessage,
    ) -> AclJudgement {
        let properties = std::mem::take(&mut message.properties);
        let mut inquiry = self.facts.going_on(&mut message.findings);
        let (judgement, overflows) = seen.judge(acl, stage, properties, &mut inquiry).await;
        self.tell_overflows(acl, &overflows);
        self.tell_logs(&judgement);
        self.tell_matches(acl, seen, &judgement);
        if let Some(line) = judgement.flushaddr {
            self.flush_by_rule(seen, case, line).await;
        }
        message.properties = judgement.properties.clone();
        judgement
    }

    /// Why a recipient passes before any rule is asked.
    async fn bypassed(
        &self,
        attempt: &Attempt,
        (seen, acl): (&AclCase<'_>, &Acl),
        inquiry: &mut Inquiry<'_>,
    ) -> Option<Bypass> {
        let bypass = |reason, cause| Some(Bypass { reason, cause });
        let settings = acl.settings();
        let asks_login = settings.noauth || acl.set().conf().has_auth_clause;
        if !asks_login && !attempt.text(Field::Login).is_empty() {
            return bypass(Reason::Authenticated, PassCause::Authenticated);
        }
        if !asks_login && !attempt.text(Field::CertSubject).is_empty() {
            return bypass(Reason::Certified, PassCause::Certificate);
        }
        let asks_spf = settings.nospf || acl.set().conf().has_spf_clause;
        if !asks_spf {
            let spf = Fact::Spf(MailStatus::Pass);
            if inquiry.look_up(&spf, &seen.about(acl)).await == Some(true) {
                return bypass(Reason::SpfPassed, PassCause::Spf(true));
            }
        }
        if !settings.noaccessdb && access_passes(attempt) {
            return bypass(Reason::AccessListed, PassCause::AccessDatabase);
        }
        None
    }

    fn acl_ruling(&self, acl: &Acl, judgement: &AclJudgement) -> Ruling {
        match judgement.action {
            AclAction::Whitelist | AclAction::Continue => Ruling::Exempt(Reason::Rule),
            AclAction::Blacklist => Ruling::Refuse,
            AclAction::Greylist => {
                Ruling::Greylist(acl.terms(judgement, self.settings.waiting_per_network))
            }
        }
    }
}

/// The name of a client of which the MTA gives the address alone (`unbracket`), if it leads back.
async fn unbracketed(
    (attempt, client): (&Attempt, IpAddr),
    acl: &Acl,
    inquiry: &mut Inquiry<'_>,
) -> Option<Vec<u8>> {
    let is_named = !matches!(
        attempt.text(Field::ClientName),
        b"" | b"unknown" | [b'[', ..]
    );
    if is_named || !acl.settings().unbracket {
        return None;
    }
    inquiry.name(client).await
}

/// Why a recipient passes before any rule.
struct Bypass {
    reason: Reason,
    cause: PassCause<'static>,
}

/// Whether a recipient of the null sender is taken now and deferred at the end of the message:
/// callouts, which send nothing, are not deferred then.
///
/// Source: greylist.conf(5), "delayedreject".
fn is_put_off(attempt: &Attempt, acl: &Acl, decision: &Decision) -> bool {
    acl.settings().delayedreject
        && decision.outcome == Outcome::Defer
        && attempt.text(Field::Sender).is_empty()
}
