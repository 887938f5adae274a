//! The conditions of all rules and lists in indexes: a look for each thing that is known of a
//! recipient or a message finds those that hold, however many there are.
//!
//! A condition is known by a number; a list is one condition.

use std::collections::HashMap;

use crate::greylist_conf::tree::{Part, Test, Wanted};
use crate::pattern::Pattern;
use crate::tables::networks::NetworkIndex;
use crate::tables::patterns::PatternIndex;
use crate::tables::{Found, Hit, Owner, Part as TablePart, Reading};

use super::subject::{AclSubject, bare};

#[derive(Default)]
pub(super) struct Index {
    networks: NetworkIndex,
    parts: HashMap<Part, Texts>,
    domainexact: bool,
}

/// The conditions on one part.
#[derive(Default)]
struct Texts {
    /// Literals that the text must equal; for `domain`, that it must end in.
    literals: HashMap<Box<[u8]>, Vec<u32>>,
    /// The lengths of literals, so that endings of other lengths need no look.
    lengths: Vec<usize>,
    patterns: PatternIndex,
    has_patterns: bool,
}

impl Index {
    pub(super) fn new(domainexact: bool) -> Self {
        Self {
            domainexact,
            ..Self::default()
        }
    }

    /// Adds an alternative of a condition; false if no index can hold it.
    pub(super) fn add(&mut self, test: &Test, condition: u32) -> bool {
        match test {
            Test::Addr(network) => {
                self.networks.add(*network, owner(condition));
                true
            }
            Test::Text(part, wanted) => {
                // A HELO name is compared with a template.
                if let (Part::Helo, Wanted::Literal(text)) = (part, wanted)
                    && text.contains(&b'%')
                {
                    return false;
                }
                self.parts
                    .entry(*part)
                    .or_default()
                    .add(*part, wanted, condition)
            }
            _ => false,
        }
    }

    /// To be called once when all conditions are there.
    pub(super) fn seal(&mut self) {
        for texts in self.parts.values_mut() {
            texts.patterns.seal();
            texts.lengths.sort_unstable();
            texts.lengths.dedup();
        }
    }

    /// The conditions that hold, in order.
    pub(super) fn hits(&self, subject: &AclSubject<'_>) -> Vec<u32> {
        let mut hits = Vec::new();
        let mut found = Found::new(TablePart::Client, &mut hits);
        self.networks
            .look(subject.client, Reading::Native, &mut found);
        let mut conditions: Vec<u32> = Vec::new();
        for (part, texts) in &self.parts {
            if texts.has_patterns {
                for text in subject.texts(*part) {
                    let mut found = Found::new(TablePart::Client, &mut hits);
                    texts.patterns.look(&text, &mut found);
                }
            }
            if !texts.literals.is_empty() {
                self.look_literals(*part, texts, subject, &mut conditions);
            }
        }
        conditions.extend(hits.iter().map(|hit: &Hit| hit.rule));
        conditions.sort_unstable();
        conditions.dedup();
        conditions
    }

    fn look_literals(
        &self,
        part: Part,
        texts: &Texts,
        subject: &AclSubject<'_>,
        into: &mut Vec<u32>,
    ) {
        let mut look = |text: &[u8]| {
            into.extend(texts.literals.get(text).into_iter().flatten().copied());
        };
        match part {
            Part::Domain => {
                let host = subject.host.to_ascii_lowercase();
                for length in &texts.lengths {
                    let Some(start) = host.len().checked_sub(*length) else {
                        break;
                    };
                    let (before, ending) = host.split_at_checked(start).unwrap_or_default();
                    let at_label = before.last().is_none_or(|byte| *byte == b'.');
                    if at_label || !self.domainexact {
                        look(ending);
                    }
                }
            }
            Part::From => look(&bare(subject.sender).to_ascii_lowercase()),
            Part::RawFrom => look(&bare(subject.raw_sender).to_ascii_lowercase()),
            Part::Rcpt => {
                for recipient in subject.recipients {
                    look(&bare(recipient).to_ascii_lowercase());
                }
            }
            Part::Helo => look(&subject.helo.unwrap_or_default().to_ascii_lowercase()),
            Part::Auth => subject.auth.into_iter().for_each(look),
            Part::Tls => subject.certificate.into_iter().for_each(look),
            Part::Header | Part::Body => {}
        }
    }
}

impl Texts {
    fn add(&mut self, part: Part, wanted: &Wanted, condition: u32) -> bool {
        match wanted {
            Wanted::Pattern(pattern) => self.add_pattern(pattern.text.clone(), condition),
            // Any line that has it somewhere, in this letter case.
            Wanted::Literal(text) if matches!(part, Part::Header | Part::Body) => {
                self.add_pattern(format!("(?-i:{})", escaped(text)), condition);
            }
            Wanted::Literal(text) => {
                let is_exact = matches!(part, Part::Auth | Part::Tls);
                let text = if is_exact {
                    text.clone()
                } else {
                    text.to_ascii_lowercase()
                };
                self.lengths.push(text.len());
                let conditions = self.literals.entry(text.into()).or_default();
                if conditions.last() != Some(&condition) {
                    conditions.push(condition);
                }
            }
            Wanted::Property(_) => return false,
        }
        true
    }

    fn add_pattern(&mut self, text: String, condition: u32) {
        self.patterns.add(Pattern::Linear(text), owner(condition));
        self.has_patterns = true;
    }
}

/// The bytes as the engine takes them.
fn escaped(text: &[u8]) -> String {
    text.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

/// No condition keeps another from being asked.
fn owner(condition: u32) -> Owner {
    Owner {
        rule: condition,
        settles: false,
    }
}
