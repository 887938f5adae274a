//! Judging by the rules of a `greylist.conf`: bypasses, rules, memory and words as milter-greylist
//! has them. When a triplet passes is said by `decide` here as everywhere.
//!
//! Source: greylist.conf(5); milter-greylist 4.6.4 as observed by running it.

use greylatch_core::{
    Amendment, Attempt, Decision, Field, NewHeader, Outcome, Reason, Ruling, Seconds, Stage,
    Verdict,
};
use greylatch_rules::{AclAction, AclJudgement, AclStage, ClauseKind, ReportWhen, Why};
use greylatch_wording::{
    AnswerAction, AnswerFormats, Escaping, Format, FormatValues, HeaderReport, MilterAnswer,
    MilterGreylistLine, PassCause, RateOverflow, RuleName, milter_answer, x_greylist,
};

use super::{Case, Desk, Visitor};
use crate::acl::{Accepted, Acl, AclCase, AclMessage, AclRecipient, Overflow, Place};
use crate::bypass::access_passes;
use crate::clock;

/// A judgement, and what memory made of it.
struct Judged<'a> {
    case: &'a AclCase<'a>,
    judgement: &'a AclJudgement,
    decision: &'a Decision,
}

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
        if let Some((reason, cause)) = self.bypassed(case.attempt, acl) {
            self.observer.count(reason);
            let accepted = Accepted::AtOnce(vec![cause]);
            let recipient = AclRecipient::unjudged(recipient);
            visitor.message.accept(recipient, accepted);
            return Verdict::Pass { header: None };
        }
        let mut properties = std::mem::take(&mut visitor.message.properties);
        properties.next_recipient();
        let (judgement, overflows) = seen.judge(acl, AclStage::Rcpt, properties);
        self.tell_overflows(acl, &overflows);
        let ruling = self.narrowed(self.acl_ruling(acl, &judgement));
        let decision = self.settle(case, &ruling).await;
        self.observer.count(decision.reason);
        let judged = Judged {
            case: seen,
            judgement: &judgement,
            decision: &decision,
        };
        let verdict = judged.verdict(acl.settings().quiet, self.settings.learning);
        self.tell(&judged, false);
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
            .map(|text| judged.filled(text, Escaping::Header));
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
        let (judgement, overflows) = seen.judge(acl, AclStage::Data, properties);
        self.tell_overflows(acl, &overflows);
        let message = std::mem::take(&mut visitor.message);
        let refused = match judgement.action {
            AclAction::Blacklist => Some(Decision::of(Outcome::Refuse, Reason::Rule)),
            AclAction::Greylist if message.by_default => {
                self.all_by_acl(case, acl, &judgement, &message).await
            }
            _ => None,
        };
        if let Some(decision) = refused {
            self.observer.count(decision.reason);
            let judged = Judged {
                case: seen,
                judgement: &judgement,
                decision: &decision,
            };
            self.tell(&judged, true);
            return judged.verdict(acl.settings().quiet, self.settings.learning);
        }
        let whole = Judged {
            case: seen,
            judgement: &judgement,
            decision: &Decision::of(Outcome::Pass, Reason::Rule),
        };
        let mut headers: Vec<NewHeader> = whole.header_of_rule().into_iter().collect();
        let own = message_header(seen, acl, &message);
        report_accepted(seen, acl, &message, own.as_ref());
        headers.extend(own);
        headers.extend(message.headers);
        Verdict::Amend(headers.into_iter().map(Amendment::AddHeader).collect())
    }

    /// The decision on a message whose recipients are only now greylisted: that of the one who has
    /// to wait longest, `None` when nobody has to.
    async fn all_by_acl(
        &self,
        case: &Case<'_>,
        acl: &Acl,
        judgement: &AclJudgement,
        message: &AclMessage,
    ) -> Option<Decision> {
        let ruling = self.narrowed(self.acl_ruling(acl, judgement));
        let mut longest: Option<Decision> = None;
        for recipient in &message.recipients {
            let address = &recipient.address[..];
            let bare = address.strip_prefix(b"<").unwrap_or(address);
            let mut one = case.attempt.clone();
            one.set(Field::Recipient, bare.strip_suffix(b">").unwrap_or(bare));
            let of_one = Case {
                attempt: &one,
                ..*case
            };
            let decision = self.settle(&of_one, &ruling).await;
            let waits = decision.outcome == Outcome::Defer;
            if waits && longest.is_none_or(|other| other.wait < decision.wait) {
                longest = Some(decision);
            }
        }
        longest
    }

    /// Why a recipient passes before any rule is asked.
    fn bypassed(&self, attempt: &Attempt, acl: &Acl) -> Option<(Reason, PassCause<'static>)> {
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
        if !settings.noaccessdb && access_passes(attempt) {
            self.tell_line(&MilterGreylistLine::AccessDatabaseBypass);
            return Some((Reason::AccessListed, PassCause::AccessDatabase));
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

    fn tell(&self, judged: &Judged<'_>, after_data: bool) {
        let Judged {
            case,
            judgement,
            decision,
        } = judged;
        for text in &judgement.logs {
            self.observer.say(6, &greylatch_wording::escaped(text));
        }
        if judgement.nolog {
            return;
        }
        let subject = &case.log_subject();
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

    fn tell_overflows(&self, acl: &Acl, overflows: &[Overflow]) {
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

    fn tell_line(&self, line: &MilterGreylistLine<'_>) {
        self.observer.say(line.severity(), &line.text());
    }
}

impl Judged<'_> {
    fn verdict(&self, quiet: bool, learning: bool) -> Verdict {
        let action = match (self.decision.outcome, self.judgement.action) {
            (Outcome::Pass, _) => return Verdict::Pass { header: None },
            (Outcome::Defer, _) if learning => return Verdict::Pass { header: None },
            (_, AclAction::Blacklist) => AnswerAction::Blacklist,
            (Outcome::Refuse, _) => AnswerAction::Blacklist,
            (Outcome::Defer, _) => AnswerAction::Greylist { quiet },
        };
        let answer = self.answer(action);
        match answer.outcome {
            Outcome::Refuse => Verdict::Refuse(answer.reply()),
            _ => Verdict::Defer(answer.reply()),
        }
    }

    fn answer(&self, action: AnswerAction) -> MilterAnswer {
        let format = |text: &Option<Vec<u8>>| text.as_deref().map(Format::new);
        let [code, status, text] = [
            format(&self.judgement.code),
            format(&self.judgement.ecode),
            format(&self.judgement.msg),
        ];
        let formats = AnswerFormats {
            code: code.as_ref(),
            status: status.as_ref(),
            text: text.as_ref(),
        };
        self.with_values(|values| milter_answer(action, &formats, values))
    }

    fn filled(&self, template: &[u8], escaping: Escaping) -> Vec<u8> {
        self.with_values(|values| Format::new(template).expand(values, escaping))
    }

    /// What formats speak of, with what was decided.
    fn with_values<T>(&self, of: impl FnOnce(&FormatValues<'_>) -> T) -> T {
        let judgement = self.judgement;
        let groups: Vec<&[u8]> = judgement.groups.iter().map(Vec::as_slice).collect();
        let properties = |name: &[u8]| judgement.properties.value(name).map(<[u8]>::to_vec);
        let id = rule_id(judgement);
        let rule = RuleName {
            line: judgement
                .line
                .map(|line| u32::try_from(line).unwrap_or(u32::MAX)),
            id: &id,
        };
        self.case.with_values(|values| {
            of(&FormatValues {
                groups: &groups,
                properties: Some(&properties),
                outcome: Some(self.decision.outcome),
                rule,
                rule_in_hand: rule,
                elapsed: self.decision.age,
                remaining: self.decision.wait,
                tarpit: judgement.tarpit,
                ..*values
            })
        })
    }

    /// The header that the rule itself wants.
    fn header_of_rule(&self) -> Option<NewHeader> {
        let header = self.judgement.addheader.as_ref()?;
        let line = self.filled(&header.text, Escaping::Header);
        Some(NewHeader {
            line,
            index: header.index,
        })
    }

    /// The recipient as it is told of at the end of the message.
    fn recipient(&self, address: Vec<u8>) -> AclRecipient {
        AclRecipient {
            address,
            line: self.judgement.line,
            acl: rule_id(self.judgement),
            elapsed: self.decision.age,
        }
    }

    /// Writes the record of a recipient that was turned away.
    fn report(&self, acl: &Acl) {
        let Some(stat) = acl.stat() else {
            return;
        };
        let action = match self.judgement.action {
            AclAction::Greylist => AnswerAction::Greylist {
                quiet: acl.settings().quiet,
            },
            _ => AnswerAction::Blacklist,
        };
        let answer = self.answer(action);
        let record = self.with_values(|values| {
            let values = FormatValues {
                answer: Some(&answer),
                outcome: Some(answer.outcome),
                ..*values
            };
            stat.format().expand(&values, Escaping::Line)
        });
        stat.put(record);
    }

    fn accepted(&self) -> Accepted {
        match self.decision.reason {
            Reason::Retry => Accepted::Waited(self.decision.age),
            Reason::Known => Accepted::AtOnce(vec![PassCause::Known]),
            _ if self.judgement.action == AclAction::Greylist => {
                Accepted::AtOnce(vec![PassCause::Rule])
            }
            _ => Accepted::AtOnce(causes_of(self.judgement)),
        }
    }
}

/// Writes the records of those who get the message, the last one first.
fn report_accepted(
    seen: &AclCase<'_>,
    acl: &Acl,
    message: &AclMessage,
    header: Option<&NewHeader>,
) {
    let Some(stat) = acl.stat() else {
        return;
    };
    let header = header.and_then(|header| header.line.strip_prefix(b"X-Greylist: "));
    for recipient in message.recipients.iter().rev() {
        let line = recipient
            .line
            .map(|line| u32::try_from(line).unwrap_or(u32::MAX));
        let record = seen.with_values(|values| {
            let values = FormatValues {
                recipient: &recipient.address,
                outcome: Some(Outcome::Pass),
                rule: RuleName {
                    line,
                    id: &recipient.acl,
                },
                elapsed: recipient.elapsed,
                header: header.unwrap_or_default(),
                ..*values
            };
            stat.format().expand(&values, Escaping::Line)
        });
        stat.put(record);
    }
}

/// The `X-Greylist` header of a message, when it gets one.
fn message_header(seen: &AclCase<'_>, acl: &Acl, message: &AclMessage) -> Option<NewHeader> {
    let report = match acl.settings().report {
        ReportWhen::None => HeaderReport::None,
        ReportWhen::Delays => HeaderReport::Delays,
        ReportWhen::NoDelays => HeaderReport::NoDelays,
        ReportWhen::All => HeaderReport::All,
    };
    if !report.includes(message.delayed.is_some()) {
        return None;
    }
    let text = message.report.clone().unwrap_or_else(|| {
        let delayed: Option<Seconds> = message.delayed;
        seen.with_values(|values| {
            x_greylist(delayed, &message.causes, &message.acl, &values.signature)
        })
    });
    Some(NewHeader {
        line: [b"X-Greylist: ", &text[..]].concat(),
        index: None,
    })
}

/// The rule's id, by default its line; empty when none matched.
fn rule_id(judgement: &AclJudgement) -> Vec<u8> {
    let line = judgement.line.map(|line| line.to_string().into_bytes());
    judgement.id.clone().or(line).unwrap_or_default()
}

/// Why a rule that whitelists did so.
fn causes_of(judgement: &AclJudgement) -> Vec<PassCause<'static>> {
    if judgement.whys.is_empty() {
        return vec![PassCause::Default];
    }
    let mut causes: Vec<PassCause<'static>> = Vec::new();
    for why in &judgement.whys {
        let cause = cause_of(*why, judgement.tarpit);
        if !causes.contains(&cause) {
            causes.push(cause);
        }
    }
    causes
}

fn cause_of(why: Why, tarpit: Option<Seconds>) -> PassCause<'static> {
    match why.kind {
        ClauseKind::Domain => PassCause::Domain,
        ClauseKind::Addr => PassCause::Address,
        ClauseKind::From => PassCause::Sender,
        ClauseKind::Rcpt => PassCause::Recipient,
        ClauseKind::Auth => PassCause::Authenticated,
        ClauseKind::Tls => PassCause::Certificate,
        ClauseKind::Spf => PassCause::Spf(!why.negated),
        ClauseKind::Dkim => PassCause::Dkim,
        ClauseKind::Dnsrbl => PassCause::DnsList(!why.negated),
        ClauseKind::Mx => PassCause::Mx,
        ClauseKind::Macro => PassCause::Macro(!why.negated),
        ClauseKind::Tarpit => PassCause::Tarpit(tarpit.unwrap_or(Seconds(0))),
        ClauseKind::Helo
        | ClauseKind::Header
        | ClauseKind::Body
        | ClauseKind::Geoip
        | ClauseKind::Time
        | ClauseKind::RcptCount
        | ClauseKind::MsgSize
        | ClauseKind::Property => PassCause::Rule,
    }
}
