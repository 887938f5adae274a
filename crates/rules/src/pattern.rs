//! One pattern, translated and known to compile.

use fancy_regex::BytesMode;
use regex::bytes::RegexBuilder;

use crate::diagnostic::Fault;
use crate::perl;

/// A pattern that compiles.
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
        let translation = perl::translate(perl)?;
        let fault = |reason: String, cure: &str| Fault::new(0..perl.len(), reason, cure);
        if translation.backtracking {
            let built = fancy_regex::RegexBuilder::new(&translation.text)
                .bytes_mode(BytesMode::Ascii)
                .case_insensitive(true)
                .backtrack_limit(BACKTRACK_MAX)
                .delegate_size_limit(PATTERN_BYTES_MAX)
                .build();
            return match built {
                Ok(regex) => Ok(Self::Backtracking(Box::new(regex))),
                Err(error) => Err(fault(
                    format!("the pattern cannot be used: {error}"),
                    "write it without what the message names",
                )),
            };
        }
        match RegexBuilder::new(&translation.text)
            .unicode(false)
            .case_insensitive(true)
            .size_limit(PATTERN_BYTES_MAX)
            .build()
        {
            Ok(_) => Ok(Self::Linear(translation.text)),
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
