//! What is written down of a judgement.

use greylatch_core::{Outcome, Reason};
use greylatch_rules::AclAction;
use greylatch_wording::{LogSubject, MilterGreylistLine, RateOverflow};

use super::judged::{Judged, causes_of, rule_id};
use crate::acl::{Acl, AclRecipient, Overflow};
use crate::desk::Desk;

impl Desk {
    /// Writes down what became of a recipient or, at its end, of a message; of a message that
    /// waits for each of its recipients.
    pub(super) fn tell(&self, judged: &Judged<'_>, all: &[AclRecipient]) {
        for text in &judged.judgement.logs {
            self.observer.say(6, &greylatch_wording::escaped(text));
        }
        if judged.judgement.nolog {
            return;
        }
        let own = judged.case.log_subject();
        if all.is_empty() {
            self.tell_decision(judged, &own, false);
        }
        for recipient in all {
            let recipient = Some(&recipient.address[..]);
            self.tell_decision(judged, &LogSubject { recipient, ..own }, true);
        }
    }

    fn tell_decision(&self, judged: &Judged<'_>, subject: &LogSubject<'_>, after_data: bool) {
        let Judged {
            judgement,
            decision,
            ..
        } = judged;
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
                after_data,
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
