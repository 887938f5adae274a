//! What is written down of a judgement.

use greylatch_core::{Attempt, Decision, Field, Outcome, Reason};
use greylatch_rules::{AclAction, AclJudgement};
use greylatch_wording::{LogSubject, MilterGreylistLine, PassCause, RateOverflow};

use super::Bypass;
use super::judged::{Judged, causes_of, rule_id};
use crate::acl::{Acl, AclCase, AclMessage, AclRecipient, Overflow};
use crate::desk::Desk;

impl Desk {
    /// Writes down what `log` clauses say.
    pub(super) fn tell_logs(&self, judgement: &AclJudgement) {
        for text in &judgement.logs {
            self.observer.say(6, &greylatch_wording::escaped(text));
        }
    }

    /// Writes down who is asked about; with `verbose` only, as all of these.
    pub(super) fn tell_asked(&self, acl: &Acl, case: &AclCase<'_>) {
        if acl.settings().verbose {
            self.tell_line(&MilterGreylistLine::Asked(&case.log_subject()));
        }
    }

    /// Writes down which rules have matched.
    pub(super) fn tell_matches(&self, acl: &Acl, case: &AclCase<'_>, judgement: &AclJudgement) {
        for line in &judgement.matched {
            let rule = acl.rule_in_log(*line).unwrap_or_default();
            self.tell_line(&MilterGreylistLine::Matched {
                subject: &case.log_subject(),
                rule: rule.as_bytes(),
            });
        }
    }

    /// Writes down what became of an entry.
    pub(super) fn tell_entry(&self, acl: &Acl, subject: &LogSubject<'_>, decision: &Decision) {
        if !acl.settings().verbose {
            return;
        }
        match decision.reason {
            Reason::New => self.tell_line(&MilterGreylistLine::Created {
                subject,
                length: decision.wait,
            }),
            Reason::Retry | Reason::Known => {
                self.tell_line(&MilterGreylistLine::Removed(subject));
            }
            _ => {}
        }
    }

    /// Writes down why a recipient passes before any rule; of what is of the message, only once.
    pub(super) fn tell_bypass(
        &self,
        bypass: &Bypass,
        (case, attempt): (&AclCase<'_>, &Attempt),
        message: &mut AclMessage,
    ) {
        let subject = &case.log_subject();
        let line = match bypass.cause {
            PassCause::Authenticated => MilterGreylistLine::LoginBypass(attempt.text(Field::Login)),
            PassCause::Certificate => {
                MilterGreylistLine::CertificateBypass(attempt.text(Field::CertSubject))
            }
            PassCause::AccessDatabase => MilterGreylistLine::AccessDatabaseBypass,
            _ => MilterGreylistLine::SpfBypass(subject),
        };
        let is_of_message = bypass.cause != PassCause::AccessDatabase;
        if is_of_message && std::mem::replace(&mut message.bypass_told, true) {
            return;
        }
        self.observer.say_unsorted(line.severity(), &line.text());
    }

    /// Writes down what became of a recipient or, at its end, of a message.
    pub(super) fn tell(&self, judged: &Judged<'_>) {
        self.tell_decision(judged, &judged.case.log_subject(), false);
    }

    /// Writes down what became of a message for each of its recipients, the last one first.
    pub(super) fn tell_each(
        &self,
        judged: &Judged<'_>,
        recipients: &[AclRecipient],
        after_data: bool,
    ) {
        let own = judged.case.log_subject();
        for recipient in recipients.iter().rev() {
            let recipient = Some(&recipient.address[..]);
            self.tell_decision(judged, &LogSubject { recipient, ..own }, after_data);
        }
    }

    /// Writes down which recipients of a message that was greylisted at its end need not wait.
    pub(super) fn tell_passed(
        &self,
        judged: &Judged<'_>,
        recipients: &[AclRecipient],
        decisions: &[Decision],
    ) {
        for (recipient, decision) in recipients.iter().zip(decisions).rev() {
            if decision.outcome == Outcome::Pass {
                let one = Judged {
                    decision,
                    ..*judged
                };
                self.tell_each(&one, std::slice::from_ref(recipient), false);
            }
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
            // So much is said whatever the rule says.
            (AclAction::Greylist, _, Reason::Known) => MilterGreylistLine::Known {
                subject,
                lifetime: judgement.autowhite,
            },
            _ if judgement.nolog => return,
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
            (_, _, Reason::Retry) if judgement.delay.0 > 0 => MilterGreylistLine::Accepted {
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
