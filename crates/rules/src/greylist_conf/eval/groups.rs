//! What the groups of a rule's patterns hold, for templates that ask.

use std::borrow::Cow;

use super::Evaluation;
use crate::greylist_conf::posix::PosixPattern;
use crate::greylist_conf::tree::{Part, PropertyTest, Test, Wanted};

impl Evaluation<'_> {
    /// Those of the rule that decided.
    pub(super) fn deciding_groups(&self, rule: usize) -> Vec<Vec<u8>> {
        self.groups((rule, usize::MAX))
    }

    /// Those of the clauses before this one, the last clause first.
    pub(super) fn groups(&self, (rule, clause): (usize, usize)) -> Vec<Vec<u8>> {
        let mut groups = Vec::new();
        if !self.set.plan.wants_groups {
            return groups;
        }
        let conf = &self.set.conf;
        let clauses = conf.rules.get(rule).map(|rule| rule.clauses.as_slice());
        let before = clauses.unwrap_or_default().iter().take(clause);
        for clause in before.rev().filter(|clause| !clause.negated) {
            match &clause.test {
                Test::List(number) => {
                    let items = conf.lists.get(*number).map(|list| list.items.as_slice());
                    let mut items = items.unwrap_or_default().iter();
                    groups.extend(
                        items
                            .find_map(|item| self.of_test(item))
                            .into_iter()
                            .flatten(),
                    );
                }
                test => groups.extend(self.of_test(test).into_iter().flatten()),
            }
        }
        groups
    }

    fn of_test(&self, test: &Test) -> Option<Vec<Vec<u8>>> {
        match test {
            Test::Text(part, Wanted::Pattern(pattern)) => self.of_text(*part, pattern),
            Test::Property(name, PropertyTest::Pattern(pattern)) => {
                of_pattern(pattern, self.properties.value(name)?)
            }
            Test::Macro(number) => {
                let test = self.set.conf.macros.get(*number)?;
                let value = (self.subject.macros)(&test.macro_name)?;
                of_pattern(test.pattern()?, value)
            }
            _ => None,
        }
    }

    fn of_text(&self, part: Part, pattern: &PosixPattern) -> Option<Vec<Vec<u8>>> {
        let texts = self.subject.texts(part);
        texts
            .iter()
            .map(Cow::as_ref)
            .find_map(|text| of_pattern(pattern, text))
    }
}

/// The groups of a pattern where it matches; what took no part in it is empty.
fn of_pattern(pattern: &PosixPattern, text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let captures = pattern.regex().captures(text)?;
    let groups = captures.iter().skip(1);
    Some(
        groups
            .map(|group| group.map_or_else(Vec::new, |group| group.as_bytes().to_vec()))
            .collect(),
    )
}
