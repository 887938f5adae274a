//! The end of a message: rules of the stage DATA, what was put off until then, and the changes that
//! the message gets.

use greylatch_core::{
    Amendment, Attempt, Decision, NewHeader, Outcome, Reason, Ruling, Seconds, Verdict,
};
use greylatch_rules::{AclAction, AclStage};
use greylatch_wording::{Escaping, LogSubject, MilterGreylistLine};

use super::judged::{Judged, message_header, report_accepted};
use super::{Case, Desk, Visitor};
use crate::acl::{
    Acl, AclCase, AclMessage, AclRecipient, PutOff, Tagged, tagged_subject, with_footer,
};

impl Desk {
    pub(super) async fn message_by_acl(
        &self,
        visitor: &mut Visitor,
        case: &Case<'_>,
        (seen, acl): (&AclCase<'_>, &Acl),
    ) -> Verdict {
        let mut message = std::mem::take(&mut visitor.message);
        if let Some(put_off) = message.put_off.take() {
            return self.say_put_off((seen, acl), &message, &put_off);
        }
        let judgement = self
            .judge_at(AclStage::Data, case, (seen, acl), &mut message)
            .await;
        let is_greylisted = judgement.action == AclAction::Greylist && message.by_default;
        let decisions = if is_greylisted {
            let ruling = self.narrowed(self.acl_ruling(acl, &judgement));
            self.settle_each(case, (seen, acl), &ruling, &message.recipients)
                .await
        } else {
            Vec::new()
        };
        let longest = longest_wait(&decisions);
        let refused = match judgement.action {
            AclAction::Blacklist => Some(Decision::of(Outcome::Refuse, Reason::Rule)),
            _ => longest,
        };
        for one in &decisions {
            message.delayed = message.delayed.max(waited_by(one));
        }
        let decision = refused.unwrap_or(Decision {
            waited: message.delayed,
            ..Decision::of(Outcome::Pass, Reason::Rule)
        });
        let judged = Judged {
            case: seen,
            judgement: &judgement,
            decision: &decision,
            found: &message.findings.told(&seen.about(acl)),
            recipient: longest.and_then(|_| first_address(&message.recipients)),
        };
        self.tell_passed(&judged, &message.recipients, &decisions);
        if refused.is_some() {
            self.observer.count(decision.reason);
        }
        match longest {
            Some(_) => self.tell_each(&judged, &message.recipients, false),
            None if is_greylisted => {}
            None => self.tell(&judged),
        }
        match judged.verdict(acl.settings().quiet, self.settings.learning) {
            Verdict::Pass { .. } => {
                self.have_sat_through(case, &message.recipients).await;
                Verdict::Amend(self.amendments(&judged, case, acl, &message))
            }
            turned_away => {
                for recipient in message.recipients.iter().rev() {
                    judged.report_turned_away(acl, &recipient.address);
                }
                turned_away
            }
        }
    }

    /// Defers a message to recipients of whom one was taken though it has to wait: all of it, since
    /// that is all that can be said now.
    fn say_put_off(
        &self,
        (seen, acl): (&AclCase<'_>, &Acl),
        message: &AclMessage,
        put_off: &PutOff,
    ) -> Verdict {
        let recipients = &message.recipients;
        let judged = Judged {
            case: seen,
            judgement: &put_off.judgement,
            decision: &put_off.decision,
            found: &message.findings.told(&seen.about(acl)),
            recipient: first_address(recipients),
        };
        self.tell_each(&judged, recipients, true);
        for recipient in recipients.iter().rev() {
            judged.report_turned_away(acl, &recipient.address);
        }
        judged.verdict(acl.settings().quiet, false)
    }

    /// What is changed of a message that passes, in the original's order.
    fn amendments(
        &self,
        judged: &Judged<'_>,
        case: &Case<'_>,
        acl: &Acl,
        message: &AclMessage,
    ) -> Vec<Amendment> {
        let mut amendments = self.header_of_rule(judged.header_of_rule());
        amendments.extend(self.content_amendments(judged, case.attempt, acl));
        let decision = Decision {
            waited: message.delayed,
            ..Decision::of(Outcome::Pass, Reason::Rule)
        };
        let last = message.last.as_deref().map(|judgement| Judged {
            judgement,
            decision: &decision,
            ..*judged
        });
        let own = message_header(last.as_ref(), (judged.case, acl), message);
        report_accepted((judged.case, acl), message, judged.found, own.as_ref());
        amendments.extend(own.map(Amendment::AddHeader));
        let of_last = last.as_ref().and_then(Judged::header_of_rule);
        amendments.extend(self.header_of_rule(of_last));
        amendments
    }

    /// The header that a rule wants, if it is a header.
    fn header_of_rule(&self, header: Option<NewHeader>) -> Vec<Amendment> {
        let is_one = |header: &NewHeader| {
            let is_one = header.line.windows(2).any(|window| window == b": ");
            if !is_one {
                self.tell_line(&MilterGreylistLine::BadHeader(&header.line));
            }
            is_one
        };
        let header = header.filter(is_one).map(Amendment::AddHeader);
        header.into_iter().collect()
    }

    /// What the rule wants of subject and body.
    fn content_amendments(
        &self,
        whole: &Judged<'_>,
        attempt: &Attempt,
        acl: &Acl,
    ) -> Vec<Amendment> {
        let Some(content) = attempt.content() else {
            return Vec::new();
        };
        let subject = &whole.case.log_subject();
        let tell = |value| {
            self.tell_line(&MilterGreylistLine::NotChanged {
                subject,
                value,
                kept_max: acl.peek_max(),
            });
        };
        let mut amendments = Vec::new();
        if let Some(footer) = &whole.judgement.addfooter {
            match with_footer(content, &whole.filled(footer, Escaping::Line)) {
                Some(body) => amendments.push(Amendment::ReplaceBody(body)),
                None => tell("addfooter"),
            }
        }
        if let Some(tag) = &whole.judgement.subjtag {
            match tagged_subject(content, &whole.filled(tag, Escaping::Header)) {
                Tagged::Line(line) => amendments.push(Amendment::ChangeHeader(line)),
                Tagged::Already => {}
                Tagged::Unknown => tell("subjtag"),
            }
        }
        amendments
    }

    /// The decisions on recipients that are greylisted only now, at the end of their message.
    async fn settle_each(
        &self,
        case: &Case<'_>,
        (seen, acl): (&AclCase<'_>, &Acl),
        ruling: &Ruling,
        recipients: &[AclRecipient],
    ) -> Vec<Decision> {
        let mut decisions = Vec::with_capacity(recipients.len());
        for recipient in recipients {
            let one = recipient.attempt(case.attempt);
            let of_one = Case {
                attempt: &one,
                ..*case
            };
            let decision = self.settle(&of_one, ruling).await;
            let subject = LogSubject {
                recipient: Some(&recipient.address),
                ..seen.log_subject()
            };
            self.tell_entry(acl, &subject, &decision);
            decisions.push(decision);
        }
        decisions
    }
}

/// The decision on the one who has to wait longest, `None` when nobody has to.
fn longest_wait(decisions: &[Decision]) -> Option<Decision> {
    let waiting = decisions.iter().filter(|one| one.outcome == Outcome::Defer);
    waiting.max_by_key(|one| one.wait).copied()
}

/// How long a recipient had waited that passes now; nothing of one that had passed before.
fn waited_by(decision: &Decision) -> Seconds {
    match decision.reason {
        Reason::Retry => decision.waited,
        _ => Seconds(0),
    }
}

/// Whom the original speaks of when it defers a message: the recipient that was taken first.
fn first_address(recipients: &[AclRecipient]) -> Option<&[u8]> {
    recipients.first().map(|recipient| &recipient.address[..])
}
