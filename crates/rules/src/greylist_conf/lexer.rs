//! The text of `greylist.conf` as a cursor. What a word is depends on what may stand there, so
//! the reader of a statement asks for what it expects: `/8` behind an address is a prefix, `/8/`
//! behind `from` a pattern.
//!
//! A superset of the original's lexer, which knows one state per line: CR LF, a last line
//! without a line end, a prefix and a pattern on one line, and numbers without blanks around a
//! slash are fine.
//!
//! Source: greylist.conf(5); the token rules of milter-greylist 4.6's `conf_lex.l`.

mod literal;

use std::ops::Range;

use crate::diagnostic::{Fault, printable};

pub(super) use literal::domain_character;

/// A piece of the text and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Token<'a> {
    /// Without quotes or slashes around it.
    pub(super) text: &'a [u8],
    pub(super) span: Range<usize>,
}

/// A word that the language may know, in lower case.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) span: Range<usize>,
}

/// Where the reading stands.
pub(super) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
    /// What stood between a backslash and its line end and was no remark.
    swallowed: Vec<Range<usize>>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            swallowed: Vec::new(),
        }
    }

    /// The next byte of this statement; none where it ends.
    pub(super) fn peek(&mut self) -> Option<u8> {
        self.skip_blanks();
        self.byte().filter(|byte| !matches!(byte, b'\n' | b'#'))
    }

    /// Where the next piece begins.
    pub(super) fn position(&mut self) -> usize {
        self.skip_blanks();
        self.at
    }

    /// Goes behind the line end that ends a statement; false at the end of the text.
    pub(super) fn next_line(&mut self) -> bool {
        self.skip_blanks();
        if self.byte() == Some(b'#') {
            self.at = self.line_end();
        }
        let there = self.at < self.text.len();
        self.at += usize::from(self.byte() == Some(b'\n'));
        there
    }

    /// Goes to the line end that ends the statement, whatever stands before it. A backslash
    /// only continues the line where it is the last but a remark: it may be one of a pattern.
    pub(super) fn skip_statement(&mut self) {
        while let Some(byte) = self.byte() {
            match byte {
                b'\n' => break,
                b'#' => self.at = self.line_end(),
                b'\\' if self.is_last_on_line() => self.at = self.line_end() + 1,
                b'"' => self.at = self.closing(b'"').map_or(self.at, |at| at) + 1,
                _ => self.at += 1,
            }
        }
        self.at = self.at.min(self.text.len());
    }

    /// The end of what was read of this statement.
    pub(super) fn here(&self) -> usize {
        self.at
    }

    /// What was taken last was a digit, and so no unit.
    pub(super) fn is_behind_digit(&self) -> bool {
        let before = self.at.checked_sub(1).and_then(|at| self.text.get(at));
        before.is_some_and(u8::is_ascii_digit)
    }

    pub(super) fn take_swallowed(&mut self) -> Vec<Range<usize>> {
        std::mem::take(&mut self.swallowed)
    }

    /// Takes the byte if it comes next.
    pub(super) fn take_if(&mut self, wanted: u8) -> bool {
        let there = self.peek() == Some(wanted);
        self.at += usize::from(there);
        there
    }

    /// Takes a word of the language, with the colon that many may have.
    pub(super) fn word(&mut self) -> Option<Word> {
        let (word, end) = self.look_at_word()?;
        self.at = end;
        Some(word)
    }

    /// The word that comes next, in lower case.
    pub(super) fn peek_word(&mut self) -> Option<Word> {
        self.look_at_word().map(|(word, _)| word)
    }

    fn look_at_word(&mut self) -> Option<(Word, usize)> {
        self.peek()?;
        let token = self.run(domain_character);
        let text = str::from_utf8(token.text).ok()?.to_ascii_lowercase();
        let end = token.span.end;
        let colon = self.text.get(end) == Some(&b':');
        let word = Word {
            text,
            span: token.span,
        };
        (!word.text.is_empty()).then_some((word, end + usize::from(colon)))
    }

    /// What comes next as long as `wanted` holds; it is not taken.
    fn run(&self, wanted: fn(u8) -> bool) -> Token<'a> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| !wanted(*byte));
        let length = length.unwrap_or(rest.len());
        Token {
            text: rest.get(..length).unwrap_or_default(),
            span: self.at..self.at + length,
        }
    }

    /// `"text"` on one line. A backslash before a quote stays, as the quote does.
    pub(super) fn quoted(&mut self) -> Result<Option<Token<'a>>, Fault> {
        let string = self.delimited(b'"', "string", "end it with \" on the same line")?;
        match string {
            Some(token) if token.text.len() > STRING_LENGTH_MAX => Err(Fault::new(
                token.span,
                format!("the string is longer than {STRING_LENGTH_MAX} bytes"),
                "write a shorter one",
            )),
            other => Ok(other),
        }
    }

    /// `/pattern/` on one line.
    pub(super) fn pattern(&mut self) -> Result<Option<Token<'a>>, Fault> {
        let pattern = self.delimited(b'/', "pattern", r"end it with / on the same line")?;
        match pattern {
            Some(token) if token.text.is_empty() => Err(Fault::new(
                token.span,
                "the pattern is empty",
                "write what is looked for, or /.*/ for anything",
            )),
            other => Ok(other),
        }
    }

    fn delimited(
        &mut self,
        delimiter: u8,
        what: &str,
        cure: &str,
    ) -> Result<Option<Token<'a>>, Fault> {
        if self.peek() != Some(delimiter) {
            return Ok(None);
        }
        let start = self.at;
        let Some(end) = self.closing(delimiter) else {
            let line = start..self.content_end();
            return Err(Fault::new(line, format!("the {what} has no end"), cure));
        };
        self.at = end + 1;
        Ok(Some(Token {
            text: self.text.get(start + 1..end).unwrap_or_default(),
            span: start..end + 1,
        }))
    }

    /// Where the delimiter that comes next is closed: at the first on the line that no
    /// backslash stands before, or else at the last, as in the original.
    fn closing(&self, delimiter: u8) -> Option<usize> {
        let start = self.at + 1;
        let mut last = None;
        let mut before = delimiter;
        let rest = self.text.get(start..)?.iter().enumerate();
        for (at, byte) in rest.take_while(|(_, byte)| **byte != b'\n') {
            if *byte == delimiter {
                last = Some(start + at);
                if before != b'\\' {
                    break;
                }
            }
            before = *byte;
        }
        last
    }

    /// That something else was expected here.
    pub(super) fn expected(&mut self, what: &str, cure: impl Into<String>) -> Fault {
        match self.peek() {
            None => Fault::new(self.at..self.at, format!("{what} is missing here"), cure),
            Some(_) => {
                let piece = self.run(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
                let shown = printable(piece.text.get(..SHOWN_MAX).unwrap_or(piece.text));
                Fault::new(piece.span, format!("{shown} is not {what}"), cure)
            }
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while let Some(byte) = self.byte() {
            match byte {
                b' ' | b'\t' => self.at += 1,
                b'\r' if matches!(self.text.get(self.at + 1), None | Some(b'\n')) => self.at += 1,
                b'\\' => self.continue_line(),
                _ => break,
            }
        }
    }

    /// A backslash swallows the rest of its line, the line end included.
    fn continue_line(&mut self) {
        let rest = self.rest_of_line();
        let said = rest.trim_ascii();
        if !said.is_empty() && !said.starts_with(b"#") {
            let start = self.at + 1 + (rest.len() - rest.trim_ascii_start().len());
            self.swallowed.push(start..start + said.len());
        }
        self.at = (self.line_end() + 1).min(self.text.len());
    }

    /// Nothing but a remark follows the byte here on its line.
    fn is_last_on_line(&self) -> bool {
        let rest = self.text.get(self.at + 1..).unwrap_or_default();
        let next = rest
            .iter()
            .find(|byte| !matches!(byte, b' ' | b'\t' | b'\r'));
        next.is_none_or(|byte| matches!(byte, b'\n' | b'#'))
    }

    /// What stands behind the byte here on its line.
    fn rest_of_line(&self) -> &'a [u8] {
        self.text
            .get(self.at + 1..self.line_end())
            .unwrap_or_default()
    }

    fn line_end(&self) -> usize {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == b'\n');
        self.at + length.unwrap_or(rest.len())
    }

    /// The end of the line without what is blank.
    fn content_end(&self) -> usize {
        let line = self.text.get(self.at..self.line_end()).unwrap_or_default();
        self.at + line.trim_ascii_end().len()
    }
}

/// The longest string, in bytes, here as in the original.
const STRING_LENGTH_MAX: usize = 4_096;

/// How much of a wrong word a diagnostic repeats, in bytes.
const SHOWN_MAX: usize = 60;
