//! From rules to a judgement, for a recipient or for a message.
//!
//! The first rule of the stage decides whose clauses all hold; `continue` rules leave values
//! behind and go on. What only the network could tell is asked one fact at a time, and the
//! caller may take as long as it likes. What it cannot tell makes the clause false, negated or
//! not: an outage neither exempts nor refuses anybody.
//!
//! Not here: the bypasses before all rules (authenticated clients, SPF, Sendmail's access
//! database), what a decision does to the memory, and the words of answers.
//!
//! Source: greylist.conf(5), "ACL"; behaviour of milter-greylist 4.6.4.

mod check;
mod compile;
mod groups;
mod index;
mod judgement;
mod property;
mod subject;

pub use judgement::{AclJudgement, ClauseKind, Why};
pub use property::{Properties, Property};
pub use subject::{AclSubject, LocalTime, Message};

use super::GreylistConf;
use super::tree::{AclAction, AclRule, AclStage, MailStatus};
use check::{Outcome, Turn};
use compile::Plan;
use judgement::Kept;

use greylatch_core::Seconds;

/// The rules of a `greylist.conf`, ready to judge.
pub struct AclSet {
    conf: GreylistConf,
    plan: Plan,
}

impl AclSet {
    /// Compiles the rules into indexes.
    #[must_use]
    pub fn new(conf: GreylistConf) -> Self {
        let plan = Plan::of(&conf);
        Self { conf, plan }
    }

    /// What was read.
    #[must_use]
    pub fn conf(&self) -> &GreylistConf {
        &self.conf
    }

    /// Begins to judge; `properties` are those that this message has so far.
    #[must_use]
    pub fn evaluate<'a>(
        &'a self,
        stage: AclStage,
        subject: &'a AclSubject<'a>,
        properties: Properties,
    ) -> Evaluation<'a> {
        let hits = self.plan.index.hits(subject);
        let candidates = self.plan.candidates(&hits, |number| {
            self.conf
                .rules
                .get(number)
                .is_some_and(|rule| rule.stage == stage)
        });
        Evaluation {
            set: self,
            stage,
            subject,
            hits,
            candidates: candidates.into_iter(),
            current: None,
            told: Vec::new(),
            asked: None,
            properties,
            kept: Kept::default(),
            logs: Vec::new(),
            matched: Vec::new(),
        }
    }
}

/// What only the network, or a count, can tell; each is a question for yes or no.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Fact {
    /// The SPF result of the sender is this one; for `SelfPass`, that this host would pass.
    Spf(MailStatus),
    /// The DKIM result of the message is this one.
    Dkim(MailStatus),
    /// The client is in the list with this number in `dnsrbls`.
    Dnsrbl(usize),
    /// The client is within this prefix of a mail exchanger of the sender's domain.
    Mx(u8),
    /// The client is in this country; `ZZ` means in none that is known.
    Country(Vec<u8>),
    /// This event counted, the limit with this number in `ratelimits` is exceeded. Each such
    /// question is an event of its own.
    Ratelimit {
        /// The number of the limit.
        class: usize,
        /// What is counted apart, expanded.
        key: Vec<u8>,
    },
    /// The client has not yet failed to wait so long.
    Tarpit(Seconds),
}

/// What an evaluation needs or has found.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// This has to be told before it goes on.
    Need(Fact),
    /// The judgement.
    Done(Box<AclJudgement>),
}

/// Where a template is expanded.
pub struct Scope<'a> {
    /// The line of the rule that is looked at.
    pub line: usize,
    /// Its id.
    pub id: Option<&'a [u8]>,
    /// What the groups of its patterns hold so far; those of a later clause come first.
    pub groups: &'a [Vec<u8>],
    /// The properties.
    pub properties: &'a Properties,
}

/// Expands a template.
pub type Expand<'e> = dyn Fn(&[u8], &Scope<'_>) -> Vec<u8> + 'e;

/// A judgement under way.
pub struct Evaluation<'a> {
    set: &'a AclSet,
    stage: AclStage,
    subject: &'a AclSubject<'a>,
    /// The conditions that hold, in order.
    hits: Vec<u32>,
    /// The rules that may match, in order.
    candidates: std::vec::IntoIter<usize>,
    /// The rule that is looked at, and how many of its clauses hold.
    current: Option<(usize, usize)>,
    /// What was told; nothing for what could not be.
    told: Vec<(Fact, Option<bool>)>,
    /// What was asked last.
    asked: Option<Fact>,
    properties: Properties,
    kept: Kept,
    logs: Vec<Vec<u8>>,
    matched: Vec<usize>,
}

impl<'a> Evaluation<'a> {
    /// Goes on with what the fact that was asked for last turned out to be, `None` when nobody
    /// could tell (in time); the first time nothing was asked.
    pub fn next(&mut self, told: Option<bool>, expand: &Expand<'_>) -> Next {
        if let Some(fact) = self.asked.take() {
            self.told.push((fact, told));
        }
        let set = self.set;
        loop {
            let Some((number, clause)) = self.current.or_else(|| self.next_rule()) else {
                return Next::Done(Box::new(self.nothing_matched()));
            };
            self.current = Some((number, clause));
            let Some((rule, plan)) = set.plan.rule(&set.conf, number) else {
                self.current = None;
                continue;
            };
            let Some(check) = plan.checks.get(clause) else {
                self.current = None;
                if let Some(judgement) = self.rule_matched(rule, number) {
                    return Next::Done(Box::new(judgement));
                }
                continue;
            };
            let place = (number, clause);
            match self.check(Turn { rule, place }, check, expand) {
                Err(fact) => {
                    self.asked = Some(fact.clone());
                    return Next::Need(fact);
                }
                Ok(outcome) => {
                    // The next question of this kind is an event of its own.
                    self.told
                        .retain(|(fact, _)| !matches!(fact, Fact::Ratelimit { .. }));
                    let holds = match outcome {
                        Outcome::Yes => !check.negated,
                        Outcome::No => check.negated,
                        Outcome::Unknown => false,
                    };
                    self.current = holds.then_some((number, clause + 1));
                }
            }
        }
    }

    fn next_rule(&mut self) -> Option<(usize, usize)> {
        self.candidates.next().map(|number| (number, 0))
    }

    /// Keeps what a rule leaves behind, or judges.
    fn rule_matched(&mut self, rule: &AclRule, number: usize) -> Option<AclJudgement> {
        self.kept.keep(rule);
        if self.set.conf.settings.verbose {
            self.matched.push(rule.line);
        }
        if rule.action == AclAction::Continue {
            return None;
        }
        let settings = &self.set.conf.settings;
        let values = &rule.values;
        let plan = self.set.plan.rule(&self.set.conf, number);
        let whys = plan.map(|(_, plan)| plan.whys.clone()).unwrap_or_default();
        Some(AclJudgement {
            delay: values.delay.unwrap_or(settings.greylist),
            autowhite: values.autowhite.unwrap_or(settings.autowhite),
            tarpit: rule.tarpit().or(settings.tarpit),
            tarpit_scope: values.tarpit_scope.unwrap_or(settings.tarpit_scope),
            maxpeek: values.maxpeek,
            nolog: values.nolog,
            whys,
            groups: self.deciding_groups(number),
            ..self.undecided(rule.action)
        })
    }

    /// RCPT: greylist, or whitelist in a test. DATA: accept.
    fn nothing_matched(&mut self) -> AclJudgement {
        let is_test = self.set.conf.settings.testmode;
        let action = match self.stage {
            AclStage::Rcpt if !is_test => AclAction::Greylist,
            _ => AclAction::Whitelist,
        };
        AclJudgement {
            nolog: self.stage == AclStage::Data && !is_test,
            ..self.undecided(action)
        }
    }

    /// A judgement with the values of `continue` rules and of the file alone.
    fn undecided(&mut self, action: AclAction) -> AclJudgement {
        let settings = &self.set.conf.settings;
        let kept = std::mem::take(&mut self.kept);
        AclJudgement {
            action,
            line: kept.line,
            id: kept.id,
            delay: settings.greylist,
            autowhite: settings.autowhite,
            code: kept.code,
            ecode: kept.ecode,
            msg: kept.msg,
            report: kept.report,
            addheader: kept.addheader,
            addfooter: kept.addfooter,
            subjtag: kept.subjtag,
            flushaddr: kept.flushaddr,
            nolog: false,
            maxpeek: None,
            tarpit: settings.tarpit,
            tarpit_scope: settings.tarpit_scope,
            whys: Vec::new(),
            groups: Vec::new(),
            logs: std::mem::take(&mut self.logs),
            matched: std::mem::take(&mut self.matched),
            properties: std::mem::take(&mut self.properties),
        }
    }
}
