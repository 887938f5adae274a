//! The rules in force: an ordered list, the first that matches decides.
//!
//! Our own rules come before the lists, so that a rule can greylist or refuse what a list would
//! exempt. The lists keep Postgrey's order: client names, client addresses, recipients.

use std::net::IpAddr;

use greylatch_core::{Attempt, Field, Greylist, RuleId, Ruling};

use crate::diagnostic::{Diagnostic, Lines, printable};
use crate::spec::Sources;
use crate::tables::{Hit, Owner, Part, Position, Reading, Tables, Test};
use crate::{native, postgrey};

/// Rules that never change; a reload builds new ones and swaps.
pub struct RuleSet {
    terms: Greylist,
    paths: Vec<String>,
    rules: Vec<Rule>,
    own: Tables,
    lists: Tables,
    /// Rules that need no look into the tables, first rule first.
    open: Vec<Position>,
}

/// What is to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The attempt.
    pub attempt: &'a Attempt,
    /// The address of the client, read by the dialect that the daemon goes by; `None` when it
    /// has none that can be read.
    pub client: Option<IpAddr>,
}

/// What the rules say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The ruling.
    pub ruling: Ruling,
    /// The rule that said so; `None` when none matched and the general terms hold.
    pub rule: Option<RuleId>,
}

impl RuleSet {
    /// Reads all sources. What is wrong in them is told, not fatal: a bad line or rule is left
    /// out, the others count. `terms` hold where no rule says otherwise.
    #[must_use]
    pub fn build(terms: Greylist, sources: &Sources<'_>) -> (Self, Vec<Diagnostic>) {
        let mut set = Self {
            terms,
            paths: Vec::new(),
            rules: Vec::new(),
            own: Tables::new(Reading::Native),
            lists: Tables::new(Reading::Postgrey),
            open: Vec::new(),
        };
        let mut diagnostics = Vec::new();
        if let Some(own) = sources.own {
            let lines = Lines::of(own.source);
            let path = set.path(lines.path());
            let read = native::read(&lines, own.rules, &terms, &mut diagnostics);
            read.into_iter().for_each(|draft| set.add(path, draft));
        }
        let mut late = Vec::new();
        for source in sources.clients {
            let lines = Lines::of(source);
            let path = set.path(lines.path());
            for draft in postgrey::clients(&lines, &mut diagnostics) {
                if draft.looks_at(Part::Client) {
                    late.push((path, draft));
                } else {
                    set.add(path, draft);
                }
            }
        }
        late.into_iter()
            .for_each(|(path, draft)| set.add(path, draft));
        for source in sources.recipients {
            let lines = Lines::of(source);
            let path = set.path(lines.path());
            let read = postgrey::recipients(&lines, &mut diagnostics);
            read.into_iter().for_each(|draft| set.add(path, draft));
        }
        set.own.seal();
        set.lists.seal();
        (set, diagnostics)
    }

    /// What the rules say of this attempt: the first rule that matches, else greylisting on the
    /// general terms.
    #[must_use]
    pub fn rule(&self, subject: &Subject<'_>) -> Judgement {
        let first = self.first_own(subject);
        let first = first.or_else(|| self.first_hit(&self.lists, subject));
        match first.and_then(|position| Some((position, self.at(position)?))) {
            Some((position, rule)) => Judgement {
                ruling: rule.ruling.clone(),
                rule: Some(RuleId(position)),
            },
            None => Judgement {
                ruling: Ruling::Greylist(self.terms),
                rule: None,
            },
        }
    }

    /// The rule as text for people: `FILE:LINE: TEXT`.
    #[must_use]
    pub fn text(&self, id: RuleId) -> Option<String> {
        let rule = self.at(id.0)?;
        let path = self.paths.get(rule.path)?;
        Some(format!("{path}:{}: {}", rule.line, rule.text))
    }

    /// How many rules and list entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is no rule at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    fn at(&self, position: Position) -> Option<&Rule> {
        self.rules.get(usize::try_from(position).ok()?)
    }

    fn path(&mut self, path: &str) -> usize {
        self.paths.push(path.to_owned());
        self.paths.len() - 1
    }

    fn add(&mut self, path: usize, draft: Draft) {
        let Ok(position) = Position::try_from(self.rules.len()) else {
            return;
        };
        let (reading, flags) = (draft.reading, draft.flags);
        let needs = draft
            .tests
            .iter()
            .fold(0, |all, (part, _)| all | *part as u8);
        let settles = needs.count_ones() == 1 && flags == Flags::default();
        // Of rules that ask the same yes or no alone, only the first gets its turn.
        if needs == 0 && !self.open.iter().any(|open| self.asks(*open, flags)) {
            self.open.push(position);
        }
        let owner = Owner {
            rule: position,
            settles,
        };
        let tables = match reading {
            Reading::Native => &mut self.own,
            Reading::Postgrey => &mut self.lists,
        };
        for (part, test) in draft.tests {
            tables.add(part, test, owner);
        }
        self.rules.push(Rule {
            needs,
            flags,
            ruling: draft.ruling,
            path,
            line: draft.line,
            text: printable(&draft.text).into(),
        });
    }

    /// The first of our own rules that matches, those without a look into the tables included.
    fn first_own(&self, subject: &Subject<'_>) -> Option<Position> {
        let hit = self.first_hit(&self.own, subject);
        let open = self.open.iter().copied();
        let open = open.take_while(|open| hit.is_none_or(|hit| *open < hit));
        let mut open = open.filter(|open| self.flags_hold(*open, subject.attempt));
        open.next().or(hit)
    }

    /// The first rule of these tables that matches. Work grows with the conditions that hold,
    /// not with the rules that there are.
    fn first_hit(&self, tables: &Tables, subject: &Subject<'_>) -> Option<Position> {
        let mut hits = tables.hits(subject.attempt, subject.client);
        hits.sort_unstable();
        hits.chunk_by(|one, other| one.rule == other.rule)
            .find_map(|hits| self.matched(hits, subject.attempt))
    }

    fn matched(&self, hits: &[Hit], attempt: &Attempt) -> Option<Position> {
        let position = hits.first()?.rule;
        let held = hits.iter().fold(0, |all, hit| all | hit.part);
        let rule = self.at(position)?;
        (held == rule.needs && rule.flags.hold(attempt)).then_some(position)
    }

    fn asks(&self, position: Position, flags: Flags) -> bool {
        self.at(position).is_some_and(|rule| rule.flags == flags)
    }

    fn flags_hold(&self, position: Position, attempt: &Attempt) -> bool {
        self.at(position)
            .is_some_and(|rule| rule.flags.hold(attempt))
    }
}

/// A rule as it was read, before it has a position.
pub(crate) struct Draft {
    pub(crate) reading: Reading,
    pub(crate) line: usize,
    pub(crate) text: Vec<u8>,
    pub(crate) tests: Vec<(Part, Test)>,
    pub(crate) flags: Flags,
    pub(crate) ruling: Ruling,
}

impl Draft {
    fn looks_at(&self, part: Part) -> bool {
        self.tests.iter().any(|(other, _)| *other == part)
    }
}

struct Rule {
    /// The parts on which a condition has to hold, as bits.
    needs: u8,
    flags: Flags,
    ruling: Ruling,
    path: usize,
    line: usize,
    text: Box<str>,
}

/// The conditions that are yes or no.
///
/// Source: Postfix SMTPD_POLICY_README, "Protocol description": the `sasl_*` attributes are
/// empty without authentication, `encryption_protocol` is empty with plaintext.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) authenticated: Option<bool>,
    pub(crate) tls: Option<bool>,
}

impl Flags {
    fn hold(self, attempt: &Attempt) -> bool {
        // An MTA that does not send the field has not said no.
        let holds = |wanted: Option<bool>, field| match wanted {
            None => true,
            Some(wanted) => attempt
                .field(field)
                .is_some_and(|value| value.is_empty() != wanted),
        };
        holds(self.authenticated, Field::Login) && holds(self.tls, Field::TlsProtocol)
    }
}

#[cfg(test)]
mod tests {
    use greylatch_core::{Due, Seconds, Timing, WindowFrom};

    use super::*;
    use crate::Source;
    use crate::spec::{OwnRules, RuleSpec, Then};

    #[test]
    fn of_rules_that_ask_the_same_alone_only_the_first_is_asked() {
        let terms = Greylist {
            timing: Timing {
                delay: Seconds(60),
                retry_window: Seconds::DAY,
                lifetime: Seconds::DAY,
                due: Due::FromFirst,
                window_from: WindowFrom::First,
            },
            exemption: None,
            waiting_max: None,
            network_suffices: false,
        };
        let rules: Vec<RuleSpec> = (0..1_000)
            .map(|number| RuleSpec {
                span: 0..0,
                client: None,
                name: None,
                helo: None,
                sender: None,
                recipient: None,
                authenticated: Some(number % 2 == 0),
                tls: (number % 3 == 0).then_some(true),
                then: Then::Exempt,
                delay: None,
            })
            .collect();
        let source = Source::default();
        let sources = Sources {
            own: Some(OwnRules {
                source: &source,
                rules: &rules,
            }),
            ..Sources::default()
        };
        let (set, _) = RuleSet::build(terms, &sources);
        assert_eq!((set.len(), set.open), (1_000, vec![0, 1, 2, 3]));
    }
}
