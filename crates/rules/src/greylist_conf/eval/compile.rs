//! Rules as an evaluation goes through them, and which of them it has to look at.

use std::collections::HashMap;

use super::index::Index;
use super::judgement::{ClauseKind, Why};
use crate::greylist_conf::GreylistConf;
use crate::greylist_conf::tree::{AclRule, Clause, Test};

/// How the rules of a file are evaluated.
pub(super) struct Plan {
    pub(super) index: Index,
    rules: Vec<RulePlan>,
    /// The rules that can only match when this condition holds.
    by_condition: HashMap<u32, Vec<usize>>,
    /// The rules that may match in any case.
    always: Vec<usize>,
    /// Some template asks for the groups of patterns.
    pub(super) wants_groups: bool,
}

#[derive(Default)]
pub(super) struct RulePlan {
    pub(super) checks: Vec<Check>,
    /// The reasons that it gives when it matches.
    pub(super) whys: Vec<Why>,
}

/// A clause: it holds when its condition does, or any of the tests.
pub(super) struct Check {
    pub(super) negated: bool,
    pub(super) condition: Option<u32>,
    pub(super) tests: Vec<Test>,
}

impl Plan {
    pub(super) fn of(conf: &GreylistConf) -> Self {
        let mut compiler = Compiler {
            conf,
            index: Index::new(conf.settings.domainexact),
            conditions: 0,
            lists: HashMap::new(),
        };
        let rules = conf.rules.iter().map(|rule| compiler.rule(rule));
        let rules: Vec<RulePlan> = rules.collect();
        let mut by_condition: HashMap<u32, Vec<usize>> = HashMap::new();
        let mut always = Vec::new();
        for (number, plan) in rules.iter().enumerate() {
            match plan.key() {
                Some(condition) => by_condition.entry(condition).or_default().push(number),
                None => always.push(number),
            }
        }
        compiler.index.seal();
        Self {
            index: compiler.index,
            rules,
            by_condition,
            always,
            wants_groups: wants_groups(conf),
        }
    }

    pub(super) fn rule<'a>(
        &'a self,
        conf: &'a GreylistConf,
        number: usize,
    ) -> Option<(&'a AclRule, &'a RulePlan)> {
        conf.rules.get(number).zip(self.rules.get(number))
    }

    /// The rules, of those that `are_asked`, that may match when these conditions hold, in
    /// order.
    pub(super) fn candidates(&self, hits: &[u32], are_asked: impl Fn(usize) -> bool) -> Vec<usize> {
        let keyed = hits.iter().filter_map(|hit| self.by_condition.get(hit));
        let keyed = keyed.flatten();
        let all = keyed.chain(&self.always).copied();
        let mut candidates: Vec<usize> = all.filter(|number| are_asked(*number)).collect();
        candidates.sort_unstable();
        candidates
    }
}

impl RulePlan {
    /// A condition without which the rule does not match, nor does anything else.
    fn key(&self) -> Option<u32> {
        for check in &self.checks {
            if check.tests.iter().any(does_something) {
                return None;
            }
            if let Some(condition) = check.condition
                && !check.negated
                && check.tests.is_empty()
            {
                return Some(condition);
            }
        }
        None
    }
}

/// Asking it counts, logs or sets something, so it has to be asked in its turn.
fn does_something(test: &Test) -> bool {
    matches!(
        test,
        Test::Ratelimit(_) | Test::Log(_) | Test::Set(_) | Test::Tarpit(_)
    ) || matches!(test, Test::Property(..))
}

struct Compiler<'a> {
    conf: &'a GreylistConf,
    index: Index,
    conditions: u32,
    /// A list that several rules name is one condition; with what no index holds.
    lists: HashMap<usize, (Option<u32>, Vec<Test>)>,
}

impl Compiler<'_> {
    fn rule(&mut self, rule: &AclRule) -> RulePlan {
        let mut plan = RulePlan::default();
        for clause in &rule.clauses {
            let why = self.kind(&clause.test).map(|kind| Why {
                kind,
                negated: clause.negated,
            });
            plan.whys.extend(why.filter(|why| !plan.whys.contains(why)));
            plan.checks.push(self.check(clause));
        }
        plan
    }

    fn check(&mut self, clause: &Clause) -> Check {
        let (condition, tests) = match &clause.test {
            Test::List(number) => self.list(*number),
            test => self.alternatives(std::slice::from_ref(test)),
        };
        Check {
            negated: clause.negated,
            condition,
            tests,
        }
    }

    fn list(&mut self, number: usize) -> (Option<u32>, Vec<Test>) {
        if let Some(known) = self.lists.get(&number) {
            return known.clone();
        }
        let items = self
            .conf
            .lists
            .get(number)
            .map(|list| list.items.as_slice());
        let made = self.alternatives(items.unwrap_or_default());
        self.lists.insert(number, made.clone());
        made
    }

    fn alternatives(&mut self, tests: &[Test]) -> (Option<u32>, Vec<Test>) {
        let condition = self.conditions;
        let mut any = false;
        let mut rest = Vec::new();
        for test in tests {
            if self.index.add(test, condition) {
                any = true;
            } else {
                rest.push(test.clone());
            }
        }
        self.conditions += u32::from(any);
        (any.then_some(condition), rest)
    }

    fn kind(&self, test: &Test) -> Option<ClauseKind> {
        match test {
            Test::List(number) => {
                let list = self.conf.lists.get(*number)?;
                list.items.first().and_then(ClauseKind::of)
            }
            test => ClauseKind::of(test),
        }
    }
}

/// Whether some template has `%g`.
fn wants_groups(conf: &GreylistConf) -> bool {
    let mut all = conf.templates();
    all.any(|template| template.windows(2).any(|pair| pair == b"%g"))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::super::{AclSubject, LocalTime};
    use super::*;
    use crate::diagnostic::Source;

    fn candidates(text: &str) -> usize {
        let (conf, mistakes) = GreylistConf::read(&Source {
            path: "f".to_owned(),
            text: text.as_bytes().to_vec(),
        });
        assert_eq!(mistakes, []);
        let plan = Plan::of(&conf);
        let subject = AclSubject {
            client: IpAddr::from([10, 0, 0, 7]),
            host: b"mx.n6.example",
            helo: None,
            raw_sender: b"<a5@x.org>",
            sender: b"<a5@x.org>",
            recipients: &[b"<b3@y.org>"],
            auth: None,
            certificate: None,
            macros: &|_| None,
            time: LocalTime::default(),
            recipients_accepted: 0,
            message: None,
        };
        plan.candidates(&plan.index.hits(&subject), |_| true).len()
    }

    fn rules(count: usize) -> String {
        let rule = |n: usize| {
            let address = format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255);
            match n % 5 {
                0 => format!("racl whitelist not rcpt x@y.org from a{n}@x.org spf\n"),
                1 => format!("racl whitelist spf domain .n{n}.example\n"),
                2 => format!("racl whitelist addr {address} rcpt b@c.org\n"),
                3 => format!("racl blacklist rcpt b{n}@y.org\n"),
                _ => format!("racl blacklist from /^<c{n}@/\n"),
            }
        };
        (0..count).map(rule).collect()
    }

    #[test]
    fn rules_that_are_looked_at_do_not_grow_with_those_that_are_there() {
        assert_eq!(candidates(&rules(10)), 4);
        assert_eq!(candidates(&rules(10_000)), 4);
    }

    #[test]
    fn a_clause_that_counts_is_asked_though_a_later_one_does_not_hold() {
        let before = "ratelimit \"r\" rcpt 1/1m\n";
        let count = |rule: &str| candidates(&format!("{before}racl greylist {rule}\n"));
        assert_eq!(count("ratelimit \"r\" addr 192.0.2.1"), 1);
        assert_eq!(count("log \"x\" addr 192.0.2.1"), 1);
        assert_eq!(count("set $p=1 addr 192.0.2.1"), 1);
        assert_eq!(count("addr 192.0.2.1 ratelimit \"r\""), 0);
    }
}
