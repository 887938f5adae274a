//! What is written down of a judgement.

use greylatch_core::{Decision, Outcome, Reason};
use greylatch_rules::{AclAction, AclJudgement};
use greylatch_wording::{LogSubject, MilterGreylistLine, RateOverflow};

use super::judged::{Judged, causes_of, rule_id};
use crate::acl::{Acl, AclCase, AclRecipient, Overflow};
use crate::desk::Desk;

impl Desk {
    /// Writes down what `log` clauses say.
    pub(super) fn tell_logs(&self, judgement: &AclJudgement) {
        for text in &judgement.logs {
            self.observer.say(6, &greylatch_wording::escaped(text));
        }
    }

    /// Writes down what became of a recipient or, at its end, of a message; of one that has to wait
    /// for each of its recipients, the last one first.
    pub(super) fn tell(&self, judged: &Judged<'_>, all: &[AclRecipient]) {
        let own = judged.case.log_subject();
        if all.is_empty() {
            self.tell_decision(judged, &own);
        }
        for recipient in all.iter().rev() {
            let recipient = Some(&recipient.address[..]);
            self.tell_decision(judged, &LogSubject { recipient, ..own });
        }
    }

    /// Writes down which recipients of a message that was greylisted at its end need not wait.
    pub(super) fn tell_passed(
        &self,
        (case, judgement): (&AclCase<'_>, &AclJudgement),
        recipients: &[AclRecipient],
        decisions: &[Decision],
    ) {
        for (recipient, decision) in recipients.iter().zip(decisions).rev() {
            if decision.outcome == Outcome::Pass {
                let judged = Judged {
                    case,
                    judgement,
                    decision,
                };
                self.tell(&judged, std::slice::from_ref(recipient));
            }
        }
    }

    fn tell_decision(&self, judged: &Judged<'_>, subject: &LogSubject<'_>) {
        let Judged {
            judgement,
            decision,
            ..
        } = judged;
        if judgement.nolog {
            return;
        }
        let acl = &rule_id(judgement)[..];
        let causes = &causes_of(judgement)[..];
        let line = match (judgement.action, decision.outcome, decision.reason) {
            (_, Outcome::Refuse, _) | (AclAction::Blacklist, ..) => {
                MilterGreylistLine::Blacklisted { subject, acl }
            }
            (AclAction::Whitelist | AclAction::Continue, ..) => MilterGreylistLine::Skipped {
                subject,
                causes,
                acl,
            },
            (_, Outcome::Defer, _) => MilterGreylistLine::Delayed {
                subject,
                wait: decision.wait,
                acl,
                after_data: false,
            },
            (_, _, Reason::Known) => MilterGreylistLine::Known {
                subject,
                lifetime: judgement.autowhite,
            },
            (_, _, Reason::Retry) => MilterGreylistLine::Accepted {
                subject,
                elapsed: decision.age,
                acl,
            },
            _ => return,
        };
        self.tell_line(&line);
    }

    pub(super) fn tell_overflows(&self, acl: &Acl, overflows: &[Overflow]) {
        for overflow in overflows {
            let Some(limit) = acl.set().conf().ratelimits.get(overflow.class) else {
                continue;
            };
            self.tell_line(&MilterGreylistLine::RateOverflow(RateOverflow {
                class: &limit.name,
                count: overflow.count,
                limit: limit.limit,
                unit: limit.counted.unit(),
                per: limit.window,
                key: &overflow.key,
            }));
        }
    }

    pub(super) fn tell_line(&self, line: &MilterGreylistLine<'_>) {
        self.observer.say(line.severity(), &line.text());
    }
}
