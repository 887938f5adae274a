//! What the rules of a `greylist.conf` would say of a recipient; nothing is counted, written down or
//! remembered.

use greylatch_core::{
    Change, Decision, Explanation, Memory, Outcome, Reason, Ruling, Verdict, decide,
};
use greylatch_rules::{AclStage, Properties};
use greylatch_store::StoreError;

use super::held::{has_to_sit, is_tarpit};
use super::judged::Judged;
use super::unbracketed;
use crate::acl::{Acl, AclCase, AclMessage, Place};
use crate::desk::{Case, Desk};
use crate::facts::Findings;

impl Desk {
    pub(in crate::desk) async fn look_by_acl(
        &self,
        case: &Case<'_>,
        acl: &Acl,
    ) -> Result<Explanation, StoreError> {
        let Some(client) = case.client else {
            let decision = Decision::of(Outcome::Pass, Reason::Local);
            return Ok(explained(case, Ruling::Exempt(Reason::Local), decision));
        };
        let place = Place {
            name: self.phrases.hostname(),
            address: acl.settings().localaddr,
        };
        let mut findings = Findings::default();
        let mut inquiry = self.facts.inquiry(&mut findings);
        let name = unbracketed((case.attempt, client), acl, &mut inquiry).await;
        let message = AclMessage::default();
        let seen = AclCase::new((case.attempt, client), case.now, &message, &place)
            .named(name)
            .patient(self.is_patient(case))
            .asked_only();
        if let Some(bypass) = self
            .bypassed(case.attempt, (&seen, acl), &mut inquiry)
            .await
        {
            let decision = Decision::of(Outcome::Pass, bypass.reason);
            return Ok(explained(case, Ruling::Exempt(bypass.reason), decision));
        }
        let stage = AclStage::Rcpt;
        let (judgement, _) = seen
            .judge(acl, stage, Properties::default(), &mut inquiry)
            .await;
        let memory = self.recall(case).await?;
        let ruling = if is_tarpit(&judgement) {
            let terms = acl.terms(&judgement, self.settings.waiting_per_network);
            let greylisted = Ruling::Greylist(terms);
            match has_to_sit(&decide(&greylisted, &memory, case.now)) {
                true => Ruling::Exempt(Reason::Rule),
                false => greylisted,
            }
        } else {
            self.acl_ruling(acl, &judgement)
        };
        let ruling = self.narrowed(ruling);
        let decision = Decision {
            change: Change::default(),
            ..decide(&ruling, &memory, case.now)
        };
        let judged = Judged {
            case: &seen,
            judgement: &judgement,
            decision: &decision,
            found: &findings.told(&seen.about(acl)),
            recipient: None,
        };
        Ok(Explanation {
            verdict: judged.verdict(acl.settings().quiet, self.settings.learning),
            rule: judgement.line.and_then(|line| acl.rule_text(line)),
            triplet: self
                .triplet(case)
                .map_or_else(Vec::new, |triplet| triplet.joined().to_vec()),
            memory,
            ..explained(case, ruling, decision)
        })
    }
}

/// What passes without being looked up.
fn explained(case: &Case<'_>, ruling: Ruling, decision: Decision) -> Explanation {
    Explanation {
        decision,
        rule: None,
        ruling,
        triplet: Vec::new(),
        memory: Memory::default(),
        at: case.now,
        verdict: Verdict::Pass { header: None },
    }
}
