//! Whether a clause holds.

use super::compile::Check;
use super::property::{Property, glob_matches};
use super::{Evaluation, Expand, Fact, Scope};
use crate::greylist_conf::posix::PosixPattern;
use crate::greylist_conf::tree::{
    AclRule, Assign, AssignedValue, Assignment, Comparison, MacroWanted, Operand, Part,
    PropertyTest, Test, Wanted,
};

/// What is known of a clause before its negation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Yes,
    No,
    /// Nobody could tell.
    Unknown,
}

impl From<bool> for Outcome {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

/// The clause that is looked at.
#[derive(Clone, Copy)]
pub(super) struct Turn<'r> {
    pub(super) rule: &'r AclRule,
    /// The number of the rule and of the clause.
    pub(super) place: (usize, usize),
}

impl Evaluation<'_> {
    /// # Errors
    /// The fact that has to be told first.
    pub(super) fn check(
        &mut self,
        turn: Turn<'_>,
        check: &Check,
        expand: &Expand<'_>,
    ) -> Result<Outcome, Fact> {
        let holds = |condition| self.hits.binary_search(&condition).is_ok();
        if check.condition.is_some_and(holds) {
            return Ok(Outcome::Yes);
        }
        let mut outcome = Outcome::No;
        for test in &check.tests {
            match self.test(turn, test, expand)? {
                Outcome::Yes => return Ok(Outcome::Yes),
                Outcome::Unknown => outcome = Outcome::Unknown,
                Outcome::No => {}
            }
        }
        Ok(outcome)
    }

    fn test(&mut self, turn: Turn<'_>, test: &Test, expand: &Expand<'_>) -> Result<Outcome, Fact> {
        let subject = self.subject;
        let fact = match test {
            Test::Spf(status) => Fact::Spf(*status),
            Test::Dkim(status) => Fact::Dkim(*status),
            Test::Dnsrbl(number) => Fact::Dnsrbl(*number),
            Test::Country(country) => Fact::Country(country.clone()),
            Test::Mx(prefix) => Fact::Mx(*prefix),
            Test::Tarpit(time) => Fact::Tarpit(*time),
            Test::Ratelimit(class) => {
                // It counts once, whatever its key has become.
                let is_this = |fact: &Fact| matches!(fact, Fact::Ratelimit { class: told, .. } if told == class);
                if let Some((_, told)) = self.told.iter().find(|(fact, _)| is_this(fact)) {
                    return Ok(told.map_or(Outcome::Unknown, Outcome::from));
                }
                let limit = self.set.conf.ratelimits.get(*class);
                let template = limit.map(|limit| limit.key.as_slice());
                Fact::Ratelimit {
                    class: *class,
                    key: self.expanded(turn, template.unwrap_or_default(), expand),
                }
            }
            Test::Macro(number) => return Ok(self.macro_holds(*number).into()),
            Test::Time(times) => return Ok(subject.time.is_in(times).into()),
            Test::RcptCount(comparison) => {
                return Ok(self.compare(subject.recipients_accepted, comparison).into());
            }
            Test::MsgSize(comparison) => {
                let size = subject.message.map_or(0, |message| message.size);
                return Ok(self.compare(size, comparison).into());
            }
            Test::Log(template) => {
                let text = self.expanded(turn, template, expand);
                self.logs.push(text);
                return Ok(Outcome::Yes);
            }
            Test::Set(assignment) => {
                self.assign(turn, assignment, expand);
                return Ok(Outcome::Yes);
            }
            Test::Property(name, test) => {
                return Ok(self.property_holds(turn, (name, test), expand).into());
            }
            Test::Text(part, wanted) => {
                return Ok(self.text_holds(turn, (*part, wanted), expand).into());
            }
            // Both are in the index.
            Test::Addr(_) | Test::List(_) => return Ok(Outcome::No),
        };
        self.ask(fact)
    }

    fn ask(&self, fact: Fact) -> Result<Outcome, Fact> {
        match self.told.iter().find(|(told, _)| *told == fact) {
            None => Err(fact),
            Some((_, None)) => Ok(Outcome::Unknown),
            Some((_, Some(holds))) => Ok((*holds).into()),
        }
    }

    fn expanded(&self, turn: Turn<'_>, template: &[u8], expand: &Expand<'_>) -> Vec<u8> {
        if !template.contains(&b'%') {
            return template.to_vec();
        }
        let groups = self.groups(turn.place);
        let scope = Scope {
            line: turn.rule.line,
            id: turn.rule.id.as_deref(),
            groups: &groups,
            properties: &self.properties,
        };
        expand(template, &scope)
    }

    fn macro_holds(&self, number: usize) -> bool {
        let Some(test) = self.set.conf.macros.get(number) else {
            return false;
        };
        let value = (self.subject.macros)(&test.macro_name);
        match (&test.wanted, value) {
            (MacroWanted::Unset, value) => value.is_none(),
            (MacroWanted::Equal(wanted), Some(value)) => wanted == value,
            (MacroWanted::Pattern(pattern), Some(value)) => pattern.regex().is_match(value),
            (_, None) => false,
        }
    }

    /// Nothing is more or less than a property that is not set.
    fn compare(&self, left: u64, comparison: &Comparison) -> bool {
        let right = match &comparison.right {
            Operand::Number(number) => Some(*number),
            Operand::Property(name) => self.properties.number(name),
        };
        let left = i64::try_from(left).unwrap_or(i64::MAX);
        right.is_some_and(|right| comparison.operator.holds(left, right))
    }

    fn assign(&mut self, turn: Turn<'_>, assignment: &Assignment, expand: &Expand<'_>) {
        let value = match &assignment.value {
            AssignedValue::Template(template) => self.expanded(turn, template, expand),
            AssignedValue::Property(name) => match self.properties.value(name) {
                Some(value) => value.to_vec(),
                None if assignment.how == Assign::Set => Vec::new(),
                None => return,
            },
        };
        let recipient = match self.subject.recipients {
            [only] if self.subject.message.is_none() => Some(*only),
            _ => None,
        };
        let property = Property::new(&assignment.name, value, recipient)
            .for_one_recipient(assignment.one_recipient);
        self.properties.assign(property, assignment.how);
    }

    fn property_holds(
        &mut self,
        turn: Turn<'_>,
        (name, test): (&[u8], &PropertyTest),
        expand: &Expand<'_>,
    ) -> bool {
        let holds = match test {
            PropertyTest::Compare(Comparison { operator, right }) => {
                let left = self.properties.number(name);
                // Beside another property, one that is not set is zero.
                return match right {
                    Operand::Number(right) => left.is_some_and(|left| operator.holds(left, *right)),
                    Operand::Property(other) => {
                        let right = self.properties.number(other).unwrap_or(0);
                        operator.holds(left.unwrap_or(0), right)
                    }
                };
            }
            _ if self.properties.value(name).is_none() => false,
            PropertyTest::Equal(template) => {
                let text = self.expanded(turn, template, expand);
                let value = self.properties.value(name);
                value.is_some_and(|value| value.eq_ignore_ascii_case(&text))
            }
            PropertyTest::Glob(template) => {
                let text = self.expanded(turn, template, expand);
                let value = self.properties.value(name);
                value.is_some_and(|value| glob_matches(value, &text))
            }
            PropertyTest::Pattern(pattern) => {
                let value = self.properties.value(name);
                value.is_some_and(|value| pattern.regex().is_match(value))
            }
        };
        if holds {
            self.properties.note_match(name);
        }
        holds
    }

    /// Text clauses that no index holds.
    fn text_holds(
        &mut self,
        turn: Turn<'_>,
        (part, wanted): (Part, &Wanted),
        expand: &Expand<'_>,
    ) -> bool {
        match wanted {
            Wanted::Literal(template) => {
                let text = self.expanded(turn, template, expand);
                let helo = self.subject.helo.unwrap_or_default();
                helo.eq_ignore_ascii_case(&text)
            }
            Wanted::Property(name) => {
                let Some(property) = self.properties.named(name) else {
                    return false;
                };
                let texts = self.subject.texts(part);
                let holds = match property.value.as_slice() {
                    [b'/', inner @ .., b'/'] => PosixPattern::read(inner, self.set.conf.extended)
                        .is_ok_and(|pattern| {
                            texts.iter().any(|text| pattern.regex().is_match(text))
                        }),
                    literal => texts.iter().any(|text| contains(text, literal)),
                };
                if holds {
                    self.properties.note_match(name);
                }
                holds
            }
            Wanted::Pattern(_) => false,
        }
    }
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || text.windows(wanted.len()).any(|window| window == wanted)
}
