//! Judging by the rules of a `greylist.conf`: bypasses, rules, memory and words as milter-greylist
//! has them. When a triplet passes is said by `decide` here as everywhere.
//!
//! Source: greylist.conf(5); milter-greylist 4.6.4 as observed by running it.

mod judged;
mod telling;

use greylatch_core::{
    Amendment, Attempt, Decision, Field, NewHeader, Outcome, Reason, Ruling, Stage, Verdict,
};
use greylatch_rules::{AclAction, AclJudgement, AclStage, Fact, MailStatus};
use greylatch_wording::{Escaping, MilterGreylistLine, PassCause};

use self::judged::{Judged, message_header, report_accepted, rule_id};
use super::{Case, Desk, Visitor};
use crate::acl::{
    Accepted, Acl, AclCase, AclMessage, AclRecipient, Place, Tagged, tagged_subject, with_footer,
};
use crate::bypass::access_passes;
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
        let seen = AclCase::new((attempt, client), case.now, &visitor.message, &place);
        match attempt.stage() {
            Stage::Rcpt => self.recipient_by_acl(visitor, &case, (&seen, acl)).await,
            Stage::EndOfMessage => self.message_by_acl(visitor, &case, (&seen, acl)).await,
            Stage::Earlier | Stage::Data | Stage::Other => {
                self.observer.count(Reason::Stage);
                Verdict::Pass { header: None }
            }
        }
    }

    async fn recipient_by_acl(
        &self,
        visitor: &mut Visitor,
        case: &Case<'_>,
        (seen, acl): (&AclCase<'_>, &Acl),
    ) -> Verdict {
        let recipient = seen.recipient().unwrap_or_default().to_vec();
        let mut inquiry = self.facts.inquiry(&mut visitor.message.findings);
        let bypassed = self.bypassed(case.attempt, (seen, acl), &mut inquiry).await;
        if let Some((reason, cause)) = bypassed {
            self.observer.count(reason);
            let accepted = Accepted::AtOnce(vec![cause]);
            let recipient = AclRecipient::unjudged(recipient);
            visitor.message.accept(recipient, accepted);
            return Verdict::Pass { header: None };
        }
        let mut properties = std::mem::take(&mut visitor.message.properties);
        properties.next_recipient();
        let (judgement, overflows) = seen
            .judge(acl, AclStage::Rcpt, properties, &mut inquiry)
            .await;
        self.tell_overflows(acl, &overflows);
        self.tell_logs(&judgement);
        if judgement.flushaddr.is_some() {
            self.flush_by_rule(seen, case, &rule_id(&judgement)).await;
        }
        let ruling = self.narrowed(self.acl_ruling(acl, &judgement));
        let decision = self.settle(case, &ruling).await;
        self.observer.count(decision.reason);
        let judged = Judged {
            case: seen,
            judgement: &judgement,
            decision: &decision,
        };
        let verdict = judged.verdict(acl.settings().quiet, self.settings.learning);
        self.tell(&judged, &[]);
        let message = &mut visitor.message;
        message.properties = judgement.properties.clone();
        if matches!(verdict, Verdict::Pass { .. }) {
            let recipient = judged.recipient(recipient);
            message.accept(recipient, judged.accepted());
        } else {
            judged.report(acl);
        }
        message.acl = rule_id(&judgement);
        message.report = judgement
            .report
            .as_ref()
            .map(|text| judged.filled_for_message(text));
        message.headers = judged.header_of_rule().into_iter().collect();
        message.by_default = judgement.action == AclAction::Whitelist && judgement.whys.is_empty();
        verdict
    }

    async fn message_by_acl(
        &self,
        visitor: &mut Visitor,
        case: &Case<'_>,
        (seen, acl): (&AclCase<'_>, &Acl),
    ) -> Verdict {
        let properties = std::mem::take(&mut visitor.message.properties);
        let mut inquiry = self.facts.inquiry(&mut visitor.message.findings);
        let (judgement, overflows) = seen
            .judge(acl, AclStage::Data, properties, &mut inquiry)
            .await;
        self.tell_overflows(acl, &overflows);
        self.tell_logs(&judgement);
        let mut message = std::mem::take(&mut visitor.message);
        let decisions = match judgement.action {
            AclAction::Greylist if message.by_default => {
                let ruling = self.narrowed(self.acl_ruling(acl, &judgement));
                self.settle_each(case, &ruling, &message.recipients).await
            }
            _ => Vec::new(),
        };
        self.tell_passed((seen, &judgement), &message.recipients, &decisions);
        let refused = match judgement.action {
            AclAction::Blacklist => Some(Decision::of(Outcome::Refuse, Reason::Rule)),
            _ => longest_wait(&decisions),
        };
        if let Some(decision) = refused {
            self.observer.count(decision.reason);
            let judged = Judged {
                case: seen,
                judgement: &judgement,
                decision: &decision,
            };
            let all = match judgement.action {
                AclAction::Greylist => &message.recipients[..],
                _ => &[],
            };
            self.tell(&judged, all);
            return judged.verdict(acl.settings().quiet, self.settings.learning);
        }
        let waited = decisions.iter().filter(|one| one.reason == Reason::Retry);
        message.delayed = message.delayed.max(waited.map(|one| one.age).max());
        let whole = Judged {
            case: seen,
            judgement: &judgement,
            decision: &Decision::of(Outcome::Pass, Reason::Rule),
        };
        let mut amendments = self.headers_of_rule(whole.header_of_rule());
        amendments.extend(self.content_amendments(&whole, case.attempt, acl));
        let own = message_header(seen, acl, &message);
        report_accepted(seen, acl, &message, own.as_ref());
        amendments.extend(own.map(Amendment::AddHeader));
        amendments.extend(self.headers_of_rule(message.headers));
        Verdict::Amend(amendments)
    }

    /// The headers that rules want, as far as they are headers.
    fn headers_of_rule(&self, headers: impl IntoIterator<Item = NewHeader>) -> Vec<Amendment> {
        let mut amendments = Vec::new();
        for header in headers {
            if header.line.windows(2).any(|window| window == b": ") {
                amendments.push(Amendment::AddHeader(header));
            } else {
                self.tell_line(&MilterGreylistLine::BadHeader(&header.line));
            }
        }
        amendments
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
        ruling: &Ruling,
        recipients: &[AclRecipient],
    ) -> Vec<Decision> {
        let mut decisions = Vec::with_capacity(recipients.len());
        for recipient in recipients {
            let address = &recipient.address[..];
            let bare = address.strip_prefix(b"<").unwrap_or(address);
            let mut one = case.attempt.clone();
            one.set(Field::Recipient, bare.strip_suffix(b">").unwrap_or(bare));
            let of_one = Case {
                attempt: &one,
                ..*case
            };
            decisions.push(self.settle(&of_one, ruling).await);
        }
        decisions
    }

    /// Why a recipient passes before any rule is asked.
    async fn bypassed(
        &self,
        attempt: &Attempt,
        (seen, acl): (&AclCase<'_>, &Acl),
        inquiry: &mut Inquiry<'_>,
    ) -> Option<(Reason, PassCause<'static>)> {
        let settings = acl.settings();
        let asks_login = settings.noauth || acl.set().conf().has_auth_clause;
        let login = attempt.text(Field::Login);
        let subject = attempt.text(Field::CertSubject);
        if !asks_login && !login.is_empty() {
            let line = MilterGreylistLine::LoginBypass(login);
            self.tell_line(&line);
            return Some((Reason::Authenticated, PassCause::Authenticated));
        }
        if !asks_login && !subject.is_empty() {
            let line = MilterGreylistLine::CertificateBypass(subject);
            self.tell_line(&line);
            return Some((Reason::Certified, PassCause::Certificate));
        }
        let asks_spf = settings.nospf || acl.set().conf().has_spf_clause;
        if !asks_spf && self.passes_spf((seen, acl), inquiry).await {
            return Some((Reason::SpfPassed, PassCause::Spf(true)));
        }
        if !settings.noaccessdb && access_passes(attempt) {
            self.tell_line(&MilterGreylistLine::AccessDatabaseBypass);
            return Some((Reason::AccessListed, PassCause::AccessDatabase));
        }
        None
    }

    /// Whether the sender's domain lets the client send; said once for a message.
    async fn passes_spf(
        &self,
        (seen, acl): (&AclCase<'_>, &Acl),
        inquiry: &mut Inquiry<'_>,
    ) -> bool {
        let about = seen.about(acl);
        let is_told = inquiry.knows_spf(about.client);
        let passes = inquiry.look_up(&Fact::Spf(MailStatus::Pass), &about).await;
        if passes == Some(true) && !is_told {
            self.tell_line(&MilterGreylistLine::SpfBypass(&seen.log_subject()));
        }
        passes == Some(true)
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

/// The decision on the one who has to wait longest, `None` when nobody has to.
fn longest_wait(decisions: &[Decision]) -> Option<Decision> {
    let waiting = decisions.iter().filter(|one| one.outcome == Outcome::Defer);
    waiting.max_by_key(|one| one.wait).copied()
}
