//! A judgement in words: the answer, the headers, the records of the report.

use greylatch_core::{Decision, NewHeader, Outcome, Reason, Seconds, Verdict};
use greylatch_rules::{AclAction, AclJudgement, ClauseKind, ReportWhen, Why};
use greylatch_wording::{
    AnswerAction, AnswerFormats, Escaping, Format, FormatValues, FoundOut, HeaderReport,
    MilterAnswer, PassCause, RuleName, milter_answer, x_greylist,
};

use crate::acl::{Accepted, Acl, AclCase, AclMessage, AclRecipient, property_match};

/// A judgement, and what memory made of it.
pub(super) struct Judged<'a> {
    pub(super) case: &'a AclCase<'a>,
    pub(super) judgement: &'a AclJudgement,
    pub(super) decision: &'a Decision,
    /// What formats may say of what was found out.
    pub(super) found: &'a FoundOut,
    /// Whom formats speak of where the case is of a whole message.
    pub(super) recipient: Option<&'a [u8]>,
}

impl Judged<'_> {
    pub(super) fn verdict(&self, quiet: bool, learning: bool) -> Verdict {
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

    pub(super) fn answer(&self, action: AnswerAction) -> MilterAnswer {
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

    pub(super) fn filled(&self, template: &[u8], escaping: Escaping) -> Vec<u8> {
        self.with_values(|values| Format::new(template).expand(values, escaping))
    }

    /// What formats speak of, with what was decided.
    pub(super) fn with_values<T>(&self, of: impl FnOnce(&FormatValues<'_>) -> T) -> T {
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
                property: property_match(&judgement.properties),
                found: Some(self.found),
                rule,
                rule_in_hand: rule,
                recipient: self.recipient.unwrap_or(values.recipient),
                elapsed: self.decision.waited,
                remaining: self.decision.wait,
                tarpit: judgement.tarpit,
                ..*values
            })
        })
    }

    /// The header that the rule itself wants.
    pub(super) fn header_of_rule(&self) -> Option<NewHeader> {
        let header = self.judgement.addheader.as_ref()?;
        let line = self.filled(&header.text, Escaping::Header);
        Some(NewHeader {
            line,
            index: header.index,
        })
    }

    /// The recipient as it is told of at the end of the message.
    pub(super) fn recipient(&self, address: Vec<u8>) -> AclRecipient {
        AclRecipient {
            address,
            line: self.judgement.line,
            acl: rule_id(self.judgement),
            elapsed: self.decision.waited,
            sat_through: None,
        }
    }

    /// Writes the record of a recipient that was turned away.
    pub(super) fn report_turned_away(&self, acl: &Acl, recipient: &[u8]) {
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
                recipient,
                answer: Some(&answer),
                outcome: Some(answer.outcome),
                ..*values
            };
            stat.format().expand(&values, Escaping::Line)
        });
        stat.put(record);
    }

    pub(super) fn accepted(&self) -> Accepted {
        match self.decision.reason {
            Reason::Retry => Accepted::Waited(self.decision.waited),
            Reason::Known => Accepted::AtOnce(vec![PassCause::Known]),
            _ if self.judgement.action == AclAction::Greylist => Accepted::Silently,
            _ => Accepted::AtOnce(causes_of(self.judgement)),
        }
    }
}

/// Writes the records of those who get the message, the last one first.
pub(super) fn report_accepted(
    (seen, acl): (&AclCase<'_>, &Acl),
    message: &AclMessage,
    found: &FoundOut,
    header: Option<&NewHeader>,
) {
    let Some(stat) = acl.stat() else {
        return;
    };
    let header = header.and_then(|header| header.line.strip_prefix(b"X-Greylist: "));
    let properties = |name: &[u8]| message.properties.value(name).map(<[u8]>::to_vec);
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
                properties: Some(&properties),
                property: property_match(&message.properties),
                found: Some(found),
                ..*values
            };
            stat.format().expand(&values, Escaping::Line)
        });
        stat.put(record);
    }
}

/// The `X-Greylist` header of a message, when it gets one; `last` is the judgement of the recipient
/// that was judged last.
pub(super) fn message_header(
    last: Option<&Judged<'_>>,
    (seen, acl): (&AclCase<'_>, &Acl),
    message: &AclMessage,
) -> Option<NewHeader> {
    let report = match acl.settings().report {
        ReportWhen::None => HeaderReport::None,
        ReportWhen::Delays => HeaderReport::Delays,
        ReportWhen::NoDelays => HeaderReport::NoDelays,
        ReportWhen::All => HeaderReport::All,
    };
    let delayed = Some(message.delayed).filter(|length| length.0 > 0);
    if !report.includes(delayed.is_some()) {
        return None;
    }
    let of_rule =
        last.and_then(|last| Some(last.filled(last.judgement.report.as_ref()?, Escaping::Header)));
    let text = of_rule.unwrap_or_else(|| {
        let rule = last.map(|last| rule_id(last.judgement)).unwrap_or_default();
        seen.with_values(|values| x_greylist(delayed, &message.causes, &rule, &values.signature))
    });
    Some(NewHeader {
        line: [b"X-Greylist: ", &text[..]].concat(),
        index: None,
    })
}

/// The rule's id, by default its line; empty when none matched.
pub(super) fn rule_id(judgement: &AclJudgement) -> Vec<u8> {
    let line = judgement.line.map(|line| line.to_string().into_bytes());
    judgement.id.clone().or(line).unwrap_or_default()
}

/// Why a rule that whitelists did so.
pub(super) fn causes_of(judgement: &AclJudgement) -> Vec<PassCause<'static>> {
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
        | ClauseKind::Property
        | ClauseKind::Log
        | ClauseKind::Set => PassCause::Rule,
    }
}
