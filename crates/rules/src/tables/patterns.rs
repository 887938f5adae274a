//! Patterns: all that the linear engine can do are looked for in one pass, the others one by
//! one.

use regex::bytes::{RegexSet, RegexSetBuilder};

use super::{Found, Owner, Position};
use crate::pattern::Pattern;

#[derive(Default)]
pub(crate) struct PatternIndex {
    /// Not yet compiled.
    texts: Vec<(String, Position)>,
    sets: Vec<(RegexSet, Vec<Position>)>,
    backtracking: Vec<(Box<fancy_regex::Regex>, Position)>,
}

impl PatternIndex {
    pub(crate) fn add(&mut self, pattern: Pattern, owner: Owner) {
        match pattern {
            Pattern::Linear(text) => self.texts.push((text, owner.rule)),
            Pattern::Backtracking(regex) => self.backtracking.push((regex, owner.rule)),
        }
    }

    /// Compiles what was added, as one set if that does not grow too large.
    pub(crate) fn seal(&mut self) {
        let mut parts = vec![std::mem::take(&mut self.texts)];
        while let Some(mut part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let set = RegexSetBuilder::new(part.iter().map(|(text, _)| text))
                .unicode(false)
                .case_insensitive(true)
                .size_limit(SET_BYTES_MAX)
                .build();
            match set {
                Ok(set) => {
                    let owners = part.into_iter().map(|(_, rule)| rule);
                    self.sets.push((set, owners.collect()));
                }
                Err(_) if part.len() > 1 => {
                    let half = part.split_off(part.len() / 2);
                    parts.extend([half, part]);
                }
                Err(error) => unreachable!("a pattern that compiled alone compiles: {error}"),
            }
        }
    }

    pub(crate) fn look(&self, value: &[u8], found: &mut Found<'_>) {
        for (set, owners) in &self.sets {
            // Most values match nothing; to tell that needs no list of what matched.
            if !set.is_match(value) {
                continue;
            }
            for at in &set.matches(value) {
                if let Some(rule) = owners.get(at) {
                    found.add_rule(*rule);
                }
            }
        }
        for (regex, rule) in &self.backtracking {
            // Out of steps: what cannot be told does not match.
            if regex.is_match(value).unwrap_or(false) {
                found.add_rule(*rule);
            }
        }
    }
}

/// The largest that one set of patterns may get; it is split in two beyond.
const SET_BYTES_MAX: usize = 64 << 20;
