//! What is wrong or odd in a list or a rule, with the place and the cure.
//!
//! Nothing is printed here: the program draws the line with its caret, the server logs the
//! one-liner. A diagnostic never stops the reading, so that all of them are told at once.

use std::fmt;
use std::ops::Range;

/// One file as the caller read it: a list, or the configuration that holds the rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// How the file is called in diagnostics and in [`RuleSet::text`](crate::RuleSet::text).
    pub path: String,
    /// Its bytes; they need not be UTF-8.
    pub text: Vec<u8>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The line or rule does not count; a reload with such a file should keep the old rules.
    Error,
    /// It counts as the format says, or is skipped as the format says, but was hardly meant so.
    Warning,
}

/// One mistake or oddity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The file.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The column of its first character, from 1, in characters.
    pub column: usize,
    /// The line as it can be shown: control bytes and invalid UTF-8 as `\xNN`.
    pub source: String,
    /// The bytes of `source` that it is about.
    pub span: Range<usize>,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What to do or to write instead: lower case, no full stop.
    pub cure: String,
    postgrey_says_so: bool,
}

impl Diagnostic {
    /// What Postgrey prints for this line (without a line end), for the few that it mentions.
    #[must_use]
    pub fn postgrey_warning(&self) -> Option<String> {
        self.postgrey_says_so
            .then(|| format!("{} line {}: {}", self.path, self.line, self.message))
    }

    pub(crate) fn said_by_postgrey(mut self) -> Self {
        self.postgrey_says_so = true;
        self
    }
}

impl fmt::Display for Diagnostic {
    /// `FILE:LINE:COLUMN: message; cure`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            line,
            column,
            message,
            cure,
            ..
        } = self;
        write!(f, "{path}:{line}:{column}: {message}; {cure}")
    }
}

/// A mistake in a piece of text, at these bytes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: Range<usize>,
    pub(crate) message: String,
    pub(crate) cure: String,
}

impl Fault {
    pub(crate) fn new(
        at: Range<usize>,
        message: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self {
            at,
            message: message.into(),
            cure: cure.into(),
        }
    }

    /// The same mistake in a text that has `offset` more bytes in front.
    pub(crate) fn moved(mut self, offset: usize) -> Self {
        self.at = self.at.start.saturating_add(offset)..self.at.end.saturating_add(offset);
        self
    }
}

/// A source whose lines can be found.
pub(crate) struct Lines<'a> {
    source: &'a Source,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn of(source: &'a Source) -> Self {
        let ends = source.text.iter().enumerate();
        let after = ends.filter_map(|(at, byte)| (*byte == b'\n').then_some(at.saturating_add(1)));
        Self {
            source,
            starts: std::iter::once(0).chain(after).collect(),
        }
    }

    pub(crate) fn path(&self) -> &'a str {
        &self.source.path
    }

    /// Each line with the offset of its first byte, without its line feed.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &'a [u8])> {
        let lines = self.source.text.split(|byte| *byte == b'\n');
        self.starts.iter().copied().zip(lines)
    }

    /// The number of the line, from 1, in which the byte at `offset` stands.
    pub(crate) fn number(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset).max(1)
    }

    pub(crate) fn error(&self, fault: Fault) -> Diagnostic {
        self.diagnose(Severity::Error, fault)
    }

    pub(crate) fn warning(&self, fault: Fault) -> Diagnostic {
        self.diagnose(Severity::Warning, fault)
    }

    fn diagnose(&self, severity: Severity, fault: Fault) -> Diagnostic {
        let line = self.number(fault.at.start);
        let start = self.starts.get(line.saturating_sub(1)).copied();
        let rest = self.source.text.get(start.unwrap_or(0)..);
        let text = rest.unwrap_or_default();
        let text = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let shown = text.get(..SHOWN_MAX).unwrap_or(text);
        let from = fault.at.start.saturating_sub(start.unwrap_or(0));
        let from = from.min(shown.len());
        let to = from.saturating_add(fault.at.len()).min(shown.len());
        let (before, rest) = shown.split_at(from);
        let (about, after) = rest.split_at(to.saturating_sub(from));
        let mut source = printable(before);
        let span_start = source.len();
        source.push_str(&printable(about));
        let span = span_start..source.len();
        source.push_str(&printable(after));
        Diagnostic {
            severity,
            path: self.source.path.clone(),
            line,
            column: String::from_utf8_lossy(before).chars().count() + 1,
            source,
            span,
            // Both may repeat what stands there.
            message: printable(fault.message.as_bytes()),
            cure: printable(fault.cure.as_bytes()),
            postgrey_says_so: false,
        }
    }
}

/// Text that a terminal can be given: control bytes but the tab, and what is not UTF-8, as
/// `\xNN`.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() && character != '\t' {
                let mut utf8 = [0; 4];
                escape(character.encode_utf8(&mut utf8).as_bytes(), &mut shown);
            } else {
                shown.push(character);
            }
        }
        escape(chunk.invalid(), &mut shown);
    }
    shown
}

fn escape(bytes: &[u8], shown: &mut String) {
    for byte in bytes {
        shown.push_str(&format!("\\x{byte:02x}"));
    }
}

/// The longest part of a line that a diagnostic shows, in bytes.
const SHOWN_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &[u8]) -> Source {
        Source {
            path: "list".to_owned(),
            text: text.to_vec(),
        }
    }

    #[test]
    fn a_place_is_told_in_lines_and_characters() {
        let source = source("first\n\tgrün x\r\n".as_bytes());
        let lines = Lines::of(&source);
        let diagnostic = lines.error(Fault::new(13..14, "it is so", "change it"));
        assert_eq!(diagnostic.to_string(), "list:2:7: it is so; change it");
        assert_eq!(diagnostic.source, "\tgrün x");
        assert_eq!(diagnostic.source.get(diagnostic.span), Some("x"));
    }

    #[test]
    fn what_would_hurt_a_terminal_is_shown_escaped() {
        let source = source(b"a\x1b[31m\xff b\x00c");
        let diagnostic = Lines::of(&source).warning(Fault::new(7..10, "\x1b", "\x07"));
        assert_eq!(diagnostic.to_string(), "list:1:8: \\x1b; \\x07");
        assert_eq!(diagnostic.source, "a\\x1b[31m\\xff b\\x00c");
        assert_eq!(
            diagnostic.source.get(diagnostic.span.clone()),
            Some(" b\\x00")
        );
    }

    #[test]
    fn a_place_outside_the_text_is_brought_inside() {
        let source = source(b"");
        let diagnostic = Lines::of(&source).error(Fault::new(90..95, "odd", "none"));
        assert_eq!((diagnostic.line, diagnostic.column), (1, 1));
        assert_eq!(diagnostic.span, 0..0);
    }
}
