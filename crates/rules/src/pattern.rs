//! One pattern, translated and known to compile.

use fancy_regex::BytesMode;
use regex::bytes::RegexBuilder;

use crate::diagnostic::Fault;
use crate::perl;

/// A pattern of a rule or list, which compiles.
#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    /// For the linear engine, which takes many at once: the translated text.
    Linear(String),
    /// For the backtracking engine.
    Backtracking(Box<fancy_regex::Regex>),
}

impl Pattern {
    /// Reads the text between the slashes; the places in a [`Fault`] are offsets in it.
    pub(crate) fn read(perl: &[u8]) -> Result<Self, Fault> {
        let (text, engine) = compile(perl, LetterCase::Ignored)?;
        Ok(match engine {
            Engine::Linear(_) => Self::Linear(text),
            Engine::Backtracking(regex) => Self::Backtracking(regex),
        })
    }
}

/// A pattern of Perl that stands alone.
#[derive(Clone, Debug)]
pub struct PerlPattern {
    engine: Engine,
}

/// Whether capital letters differ from small ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterCase {
    /// They do.
    Counts,
    /// They do not.
    Ignored,
}

impl PerlPattern {
    /// Reads a pattern as Perl means it.
    ///
    /// # Errors
    /// What is wrong with it, where, and what to write instead, in one line.
    pub fn new(perl: &[u8], letters: LetterCase) -> Result<Self, String> {
        match compile(perl, letters) {
            Ok((_, engine)) => Ok(Self { engine }),
            Err(fault) => Err(format!(
                "{} (at byte {}); {}",
                fault.message,
                fault.at.start + 1,
                fault.cure
            )),
        }
    }

    /// Whether it occurs in a text, which holds no line end. A pattern that takes too many steps does
    /// not.
    #[must_use]
    pub fn is_in(&self, text: &[u8]) -> bool {
        match &self.engine {
            Engine::Linear(regex) => regex.is_match(text),
            Engine::Backtracking(regex) => regex.is_match(text).unwrap_or(false),
        }
    }
}

#[derive(Clone, Debug)]
enum Engine {
    Linear(regex::bytes::Regex),
    Backtracking(Box<fancy_regex::Regex>),
}

/// Translates and compiles; gives the translated text too.
fn compile(perl: &[u8], letters: LetterCase) -> Result<(String, Engine), Fault> {
    let translation = perl::translate(perl)?;
    let any_case = letters == LetterCase::Ignored;
    let fault = |reason: String, cure: &str| Fault::new(0..perl.len(), reason, cure);
    if translation.backtracking {
        let built = fancy_regex::RegexBuilder::new(&translation.text)
            .bytes_mode(BytesMode::Ascii)
            .case_insensitive(any_case)
            .backtrack_limit(BACKTRACK_MAX)
            .delegate_size_limit(PATTERN_BYTES_MAX)
            .build();
        return match built {
            Ok(regex) => Ok((translation.text, Engine::Backtracking(Box::new(regex)))),
            Err(error) => Err(fault(
                format!("the pattern cannot be used: {error}"),
                "write it without what the message names",
            )),
        };
    }
    match RegexBuilder::new(&translation.text)
        .unicode(false)
        .case_insensitive(any_case)
        .size_limit(PATTERN_BYTES_MAX)
        .build()
    {
        Ok(regex) => Ok((translation.text, Engine::Linear(regex))),
        Err(regex::Error::CompiledTooBig(_)) => Err(fault(
            "the pattern is too large".to_owned(),
            "write fewer or shorter repetitions",
        )),
        Err(error) => {
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default();
            let reason = reason.trim_start_matches("error: ");
            Err(fault(
                format!("the pattern cannot be used: {reason}"),
                "write it without what the message names",
            ))
        }
    }
}

/// The text between the slashes of `/text/`: one byte at least and no white space.
pub(crate) fn between_slashes(entry: &[u8]) -> Option<&[u8]> {
    let inner = entry.strip_prefix(b"/")?.strip_suffix(b"/")?;
    let white = |byte: &u8| matches!(byte, b'\t'..=b'\r' | b' ');
    (!inner.is_empty() && !inner.iter().any(white)).then_some(inner)
}

/// The largest that one compiled pattern may get.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// How many steps a backtracking pattern may take on one value; beyond them it does not match.
const BACKTRACK_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_count_when_they_are_said_to() {
        let is_in = |pattern: &str, letters| {
            let pattern = PerlPattern::new(pattern.as_bytes(), letters).expect("a pattern");
            pattern.is_in(b"450: Greylisted, see")
        };
        assert!(is_in("Grey", LetterCase::Counts));
        assert!(!is_in("grey", LetterCase::Counts));
        assert!(is_in("grey", LetterCase::Ignored));
        assert!(is_in("Grey(?=listed)", LetterCase::Counts));
        assert!(!is_in("grey(?=listed)", LetterCase::Counts));
        assert!(is_in(r"^450: [[:alpha:]]+, see$", LetterCase::Counts));
    }

    #[test]
    fn a_pattern_that_is_none_is_refused_with_place_and_cure() {
        assert_eq!(
            PerlPattern::new(b"a(b", LetterCase::Counts).expect_err("a fault"),
            "this group is never closed (at byte 2); add ) at its end, or write \\( for a bracket"
        );
    }
}
