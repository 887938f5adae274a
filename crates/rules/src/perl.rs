//! Perl's regular expressions, spelt so that our engines understand them as Perl does.
//!
//! Values are bytes, as they are to Postgrey: classes know ASCII alone, a dot is any byte but
//! the line feed. What our linear engine cannot do (look-around, back references, possessive
//! and atomic groups) goes to a backtracking one with a limit. Values never hold line ends, so
//! `$` and `\Z` are simply the end.
//!
//! Source: perlre(1), perlrecharclass(1), perlrebackslash(1), of Perl 5.36.

mod class;
mod cursor;

use std::ops::Range;

use crate::diagnostic::Fault;
use class::ByteSet;
use cursor::Cursor;

/// A pattern in the spelling of our engines.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Translation {
    /// The pattern, to be compiled without Unicode and without regard to case.
    pub(crate) text: String,
    /// Only the backtracking engine can do it.
    pub(crate) backtracking: bool,
}

/// Translates the text between the slashes; the places in a [`Fault`] are offsets in it.
pub(crate) fn translate(pattern: &[u8]) -> Result<Translation, Fault> {
    let mut translator = Translator {
        cursor: Cursor::new(pattern),
        text: String::with_capacity(pattern.len()),
        backtracking: false,
        open: Vec::new(),
        groups: 0,
        groups_in_all: count_groups(pattern),
        last: Last::Nothing,
    };
    while let Some(byte) = translator.cursor.next() {
        translator.step(byte)?;
    }
    if let Some(at) = translator.open.pop() {
        return Err(Fault::new(
            at..at + 1,
            "this group is never closed",
            "add ) at its end, or write \\( for a bracket",
        ));
    }
    Ok(Translation {
        text: translator.text,
        backtracking: translator.backtracking,
    })
}

struct Translator<'a> {
    cursor: Cursor<'a>,
    text: String,
    backtracking: bool,
    /// Where the groups begin that are open.
    open: Vec<usize>,
    /// How many capturing groups have begun.
    groups: usize,
    groups_in_all: usize,
    last: Last,
}

/// What stands before a quantifier.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Atom,
    Quantified,
}

impl Translator<'_> {
    fn step(&mut self, byte: u8) -> Result<(), Fault> {
        let at = self.cursor.at() - 1;
        match byte {
            b'\\' => return self.escape(at),
            b'[' => {
                let class = class::read(&mut self.cursor, at)?;
                class.push_to(&mut self.text);
            }
            b'(' => return self.open_group(at),
            b')' => return self.close_group(at),
            b'|' => {
                self.text.push('|');
                self.last = Last::Nothing;
                return Ok(());
            }
            b'*' | b'+' | b'?' => return self.quantify(at, char::from(byte).to_string()),
            b'{' if self.last != Last::Nothing => match self.cursor.counted() {
                Some(counted) if counted.backwards => {
                    return Err(Fault::new(
                        at..self.cursor.at(),
                        "this repetition asks for more at least than at most",
                        "write the smaller number first",
                    ));
                }
                Some(counted) => return self.quantify(at, counted.text),
                None => self.literal(byte),
            },
            b'.' | b'^' | b'$' => self.text.push(char::from(byte)),
            _ => self.literal(byte),
        }
        self.last = Last::Atom;
        Ok(())
    }

    fn literal(&mut self, byte: u8) {
        if byte.is_ascii_alphanumeric() {
            self.text.push(char::from(byte));
        } else {
            self.text.push_str(&format!("\\x{byte:02X}"));
        }
    }

    fn quantify(&mut self, at: usize, quantifier: String) -> Result<(), Fault> {
        let place = at..self.cursor.at();
        match self.last {
            Last::Atom => {}
            Last::Nothing => {
                let cure = match quantifier.as_str() {
                    "*" => "write .* for anything, or \\* for a star".to_owned(),
                    other => format!("write \\{other} for the character itself"),
                };
                let message = format!("there is nothing that {quantifier} could repeat");
                return Err(Fault::new(place, message, cure));
            }
            Last::Quantified => {
                return Err(Fault::new(
                    place,
                    "a repetition cannot be repeated",
                    "keep one of the two, or put the inner one into (?:...)",
                ));
            }
        }
        self.text.push_str(&quantifier);
        if self.cursor.eat(b'?') {
            self.text.push('?');
        } else if self.cursor.eat(b'+') {
            self.text.push('+');
            self.backtracking = true;
        }
        self.last = Last::Quantified;
        Ok(())
    }

    fn escape(&mut self, at: usize) -> Result<(), Fault> {
        let Some(letter) = self.cursor.next() else {
            return Err(Fault::new(
                at..at + 1,
                "the pattern ends in a backslash",
                "write \\\\ for a backslash, or leave it out",
            ));
        };
        self.last = Last::Atom;
        if let Some(set) = ByteSet::of_escape(letter) {
            set.push_to(&mut self.text);
            return Ok(());
        }
        match letter {
            b'A' | b'b' | b'B' | b'z' => self.assertion(letter),
            b'Z' => self.text.push_str("\\z"),
            b'G' | b'K' => {
                self.backtracking = true;
                self.assertion(letter);
            }
            b'R' => self.text.push_str("(?:\\r\\n|[\\n-\\r\\x85])"),
            b'N' if self.cursor.peek() != Some(b'{') || self.cursor.is_before_counted() => {
                self.text.push_str("[^\\n]");
            }
            b'N' | b'p' | b'P' | b'X' => return Err(self.unsupported(at..at + 2)),
            b'g' | b'k' => return self.named_reference(at, letter),
            b'1'..=b'9' => return self.numbered_reference(at, letter),
            _ => {
                let byte = self.cursor.byte_escape(letter, at)?;
                self.literal(byte);
            }
        }
        Ok(())
    }

    fn assertion(&mut self, letter: u8) {
        self.text.push('\\');
        self.text.push(char::from(letter));
    }

    /// `\1` to `\9` are references; longer numbers are when there are so many groups, and
    /// octal otherwise.
    fn numbered_reference(&mut self, at: usize, first: u8) -> Result<(), Fault> {
        let number = self.cursor.decimal(first);
        if number < 10 || number <= self.groups_in_all {
            return self.reference(at, number);
        }
        self.cursor.back_to(at + 1);
        match self.cursor.octal() {
            Some(byte) => {
                self.literal(byte);
                Ok(())
            }
            None => self.reference(at, number),
        }
    }

    fn reference(&mut self, at: usize, number: usize) -> Result<(), Fault> {
        if number == 0 || number > self.groups_in_all {
            return Err(Fault::new(
                at..self.cursor.at(),
                "there is no group of this number",
                format!("the pattern has {} groups", self.groups_in_all),
            ));
        }
        self.backtracking = true;
        self.text.push_str(&format!("(?:\\{number})"));
        Ok(())
    }

    /// `\g1`, `\g{1}`, `\g{-1}`, `\g{name}`, `\k<name>`, `\k'name'`, `\k{name}`.
    fn named_reference(&mut self, at: usize, letter: u8) -> Result<(), Fault> {
        let name = match (letter, self.cursor.next()) {
            (_, Some(b'{')) => self.cursor.until(b'}'),
            (b'k', Some(b'<')) => self.cursor.until(b'>'),
            (b'k', Some(b'\'')) => self.cursor.until(b'\''),
            (b'g', Some(first @ b'0'..=b'9')) => {
                let number = self.cursor.decimal(first);
                return self.reference(at, number);
            }
            _ => None,
        };
        let name = name.and_then(|name| std::str::from_utf8(name).ok());
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Err(Fault::new(
                at..self.cursor.at(),
                "the reference names no group",
                "write \\1 or \\k<name>",
            ));
        };
        if let Ok(number) = name.parse::<usize>() {
            return self.reference(at, number);
        }
        if let Some(back) = name.strip_prefix('-')
            && let Ok(back) = back.parse::<usize>()
        {
            let number = (self.groups + 1).saturating_sub(back);
            return self.reference(at, number);
        }
        self.backtracking = true;
        self.text.push_str(&format!("(?:\\k<{name}>)"));
        Ok(())
    }

    fn open_group(&mut self, at: usize) -> Result<(), Fault> {
        self.open.push(at);
        self.last = Last::Nothing;
        if self.cursor.peek() == Some(b'*') {
            return Err(self.unsupported(at..at + 2));
        }
        if !self.cursor.eat(b'?') {
            self.groups += 1;
            self.text.push('(');
            return Ok(());
        }
        match self.cursor.next() {
            Some(b':') => self.text.push_str("(?:"),
            Some(kind @ (b'=' | b'!' | b'>')) => self.look(&format!("(?{}", char::from(kind))),
            Some(b'<') => match self.cursor.peek() {
                Some(kind @ (b'=' | b'!')) => {
                    self.cursor.next();
                    self.look(&format!("(?<{}", char::from(kind)));
                }
                _ => return self.named_group(at, b'>'),
            },
            Some(b'\'') => return self.named_group(at, b'\''),
            Some(b'P') if self.cursor.eat(b'<') => return self.named_group(at, b'>'),
            Some(b'#') => {
                // A comment is no atom: what stood before it may still be repeated, which
                // nobody writes.
                self.open.pop();
                if self.cursor.until(b')').is_none() {
                    return Err(self.unsupported(at..at + 3));
                }
            }
            Some(flag) => return self.flags(at, flag),
            None => return Err(self.unsupported(at..at + 2)),
        }
        Ok(())
    }

    fn look(&mut self, opening: &str) {
        self.backtracking = true;
        self.text.push_str(opening);
    }

    fn named_group(&mut self, at: usize, end: u8) -> Result<(), Fault> {
        self.groups += 1;
        let name = self.cursor.until(end).unwrap_or_default();
        let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        if name.is_empty() || !name.iter().all(word) {
            return Err(self.unsupported(at..at + 3));
        }
        let name = String::from_utf8_lossy(name);
        self.text.push_str(&format!("(?P<{name}>"));
        Ok(())
    }

    /// `(?i)`, `(?i-s:`, `(?^i:`; the character-set flags mean nothing to bytes.
    fn flags(&mut self, at: usize, first: u8) -> Result<(), Fault> {
        let (mut on, mut off) = (String::new(), String::new());
        let (mut negative, mut next) = (false, Some(first));
        loop {
            match next {
                Some(b'^') if self.cursor.at() == at + 3 => off.push_str("ims"),
                Some(b'-') => negative = true,
                Some(flag @ (b'i' | b'm' | b's')) => {
                    let flag = char::from(flag);
                    off.retain(|other| other != flag);
                    on.retain(|other| other != flag);
                    if negative { &mut off } else { &mut on }.push(flag);
                }
                Some(b'a' | b'd' | b'l' | b'u' | b'p') => {}
                Some(b'x' | b'n') if negative => {}
                Some(end @ (b':' | b')')) => {
                    self.push_flags(&on, &off, end);
                    return Ok(());
                }
                _ => return Err(self.unsupported(at..self.cursor.at())),
            }
            next = self.cursor.next();
        }
    }

    fn push_flags(&mut self, on: &str, off: &str, end: u8) {
        let dash = if off.is_empty() { "" } else { "-" };
        let nothing = on.is_empty() && off.is_empty();
        if end == b')' {
            self.open.pop();
        }
        match (end, nothing) {
            (b':', true) => self.text.push_str("(?:"),
            (_, true) => {}
            _ => {
                let end = char::from(end);
                self.text.push_str(&format!("(?{on}{dash}{off}{end}"));
            }
        }
    }

    fn close_group(&mut self, at: usize) -> Result<(), Fault> {
        if self.open.pop().is_none() {
            return Err(Fault::new(
                at..at + 1,
                "this bracket closes a group that was never opened",
                "write \\) for a bracket, or add ( before it",
            ));
        }
        self.text.push(')');
        self.last = Last::Atom;
        Ok(())
    }

    fn unsupported(&self, place: Range<usize>) -> Fault {
        let what = self.cursor.between(place.clone());
        Fault::new(
            place,
            format!(
                "the pattern uses {}, which is not supported",
                String::from_utf8_lossy(what)
            ),
            "write it with plain characters, classes and groups",
        )
    }
}

/// How many capturing groups the pattern has; brackets in classes are not looked at closely,
/// since the number only tells long references from octal bytes.
fn count_groups(pattern: &[u8]) -> usize {
    let mut cursor = Cursor::new(pattern);
    let mut groups = 0;
    while let Some(byte) = cursor.next() {
        match (byte, cursor.peek()) {
            (b'\\', _) => drop(cursor.next()),
            (b'(', Some(b'?')) => {
                let ahead = cursor.ahead();
                let named = [&b"?<"[..], b"?'", b"?P<"];
                let look = [&b"?<="[..], b"?<!"];
                let is = |starts: &[&[u8]]| starts.iter().any(|start| ahead.starts_with(start));
                groups += usize::from(is(&named) && !is(&look));
            }
            (b'(', _) => groups += 1,
            _ => {}
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelt(perl: &str) -> (String, bool) {
        let translation = translate(perl.as_bytes()).expect("a pattern");
        (translation.text, translation.backtracking)
    }

    #[test]
    fn what_engines_read_differently_is_spelt_out() {
        let known = [
            (r"^mx\d+\.a$", r"^mx[\x30-\x39]+\x2Ea$", false),
            (r"[a&&b]\Z", r"[\x26-\x26\x61-\x62]\z", false),
            (r"[^]-]", r"[^\x2D-\x2D\x5D-\x5D]", false),
            (r"\<x\>", r"\x3Cx\x3E", false),
            ("x{y}{2}", r"x\x7By\x7D{2}", false),
            ("é", r"\xC3\xA9", false),
            ("(?^i:a)(?-x:b)", "(?i-ms:a)(?:b)", false),
            ("a*+", "a*+", true),
            (r"(a)\1", r"(a)(?:\1)", true),
            (r"\12\0", r"\x0A\x00", false),
        ];
        for (perl, text, backtracking) in known {
            assert_eq!(spelt(perl), (text.to_owned(), backtracking), "{perl}");
        }
    }

    #[test]
    fn a_mistake_is_placed_where_it_stands() {
        let known = [
            ("a(b", 1..2),
            ("ab)", 2..3),
            ("a[b", 1..2),
            ("a[z-a]", 2..5),
            ("a**", 2..3),
            ("a|+", 2..3),
            ("a{3,1}", 1..6),
            (r"ab\", 2..3),
            (r"a\2", 1..3),
            (r"a\x{100}", 1..8),
            ("a[[:nope:]]", 2..10),
            ("a(*FAIL)", 1..3),
            ("a(?{b})", 1..4),
        ];
        for (perl, place) in known {
            let fault = translate(perl.as_bytes()).expect_err("a mistake");
            assert_eq!(fault.at, place, "{perl}: {}", fault.message);
        }
    }
}
