//! POSIX regular expressions, basic and extended, as the linear engine takes them.
//!
//! Read as glibc's `regcomp` does with the flags that milter-greylist gives it: letter case is
//! ignored, and lines are told apart, so that `.` and `[^x]` never match a line end. GNU's
//! additions to the basic form (`\+`, `\?`, `\|`) and its word marks are known.
//! Back-references cannot be told in linear time and are refused.
//!
//! What a group holds may differ where an alternation can match in two ways: POSIX takes the
//! longest, this the first. Whether it matches never differs.
//!
//! Source: POSIX.1-2017, XBD chapter 9 "Regular Expressions"; GNU C Library Manual,
//! "POSIX Regexp Compilation".

mod bracket;

use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};

use crate::diagnostic::Fault;

/// A pattern that compiles.
#[derive(Clone, Debug)]
pub(crate) struct PosixPattern {
    /// As the engine takes it; to be compiled without Unicode, ignoring case.
    pub(crate) text: String,
    compiled: OnceLock<Regex>,
}

impl PosixPattern {
    /// Reads the text between the slashes; the places in a [`Fault`] are offsets in it.
    pub(crate) fn read(posix: &[u8], extended: bool) -> Result<Self, Fault> {
        if posix.len() > PATTERN_LENGTH_MAX {
            return Err(Fault::new(
                0..posix.len(),
                format!("the pattern is longer than {PATTERN_LENGTH_MAX} bytes"),
                "write several shorter ones",
            ));
        }
        let text = Translator::new(posix, extended).translate()?;
        match build(&text) {
            Ok(_) => Ok(Self {
                text,
                compiled: OnceLock::new(),
            }),
            Err(_) => Err(Fault::new(
                0..posix.len(),
                "the pattern is too large or nested too deep",
                "write fewer or shorter repetitions and groups",
            )),
        }
    }

    /// The pattern alone, compiled at its first use: most are only looked for together.
    pub(crate) fn regex(&self) -> &Regex {
        self.compiled.get_or_init(|| {
            build(&self.text).expect("it compiled when it was read, with the same limits")
        })
    }
}

impl PartialEq for PosixPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

fn build(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text)
        .unicode(false)
        .case_insensitive(true)
        .size_limit(PATTERN_BYTES_MAX)
        .build()
}

struct Translator<'a> {
    text: &'a [u8],
    at: usize,
    extended: bool,
    out: String,
    /// Where in `out` the atom begins that a repetition would repeat.
    atom: Option<usize>,
    /// The repetitions that this atom has.
    repeated: Option<Repeat>,
    /// The open groups: where each began in `out` and in the text.
    open: Vec<(usize, usize)>,
    /// A `^` here is an anchor also to the basic form.
    at_start: bool,
}

/// What a piece of the text is.
enum Piece {
    Literal(u8),
    /// In the words of the engine; what comes behind cannot repeat it.
    Anchor(&'static str),
    /// In the words of the engine.
    Class(&'static str),
    Open,
    Close,
    Or,
    Repeat(Repeat),
    Interval,
    Bracket,
    Any,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Any,
    Once,
    Maybe,
    Counted,
}

impl<'a> Translator<'a> {
    fn new(text: &'a [u8], extended: bool) -> Self {
        Self {
            text,
            at: 0,
            extended,
            out: String::from("(?m:"),
            atom: None,
            repeated: None,
            open: Vec::new(),
            at_start: true,
        }
    }

    fn translate(mut self) -> Result<String, Fault> {
        while self.at < self.text.len() {
            let start = self.at;
            let piece = self.piece()?;
            self.write(piece, start)?;
        }
        if let Some((_, at)) = self.open.pop() {
            return Err(Fault::new(
                at..self.text.len(),
                "this group is not closed",
                format!(
                    "close it with {}, or write {} for the parenthesis itself",
                    if self.extended { ")" } else { r"\)" },
                    if self.extended { r"\(" } else { "(" }
                ),
            ));
        }
        self.out.push(')');
        Ok(self.out)
    }

    /// Takes one piece from the text.
    fn piece(&mut self) -> Result<Piece, Fault> {
        let byte = self.take().unwrap_or_default();
        Ok(match byte {
            b'\\' => return self.escaped(),
            b'.' => Piece::Any,
            b'[' => Piece::Bracket,
            b'*' => Piece::Repeat(Repeat::Any),
            b'^' if self.extended || self.at_start => Piece::Anchor("^"),
            b'$' if self.extended || self.at_end() => Piece::Anchor("$"),
            b'(' if self.extended => Piece::Open,
            // Without an open group it is a character like any other.
            b')' if self.extended && !self.open.is_empty() => Piece::Close,
            b'|' if self.extended => Piece::Or,
            b'+' if self.extended => Piece::Repeat(Repeat::Once),
            b'?' if self.extended => Piece::Repeat(Repeat::Maybe),
            b'{' if self.extended => Piece::Interval,
            other => Piece::Literal(other),
        })
    }

    /// What follows a backslash.
    fn escaped(&mut self) -> Result<Piece, Fault> {
        let start = self.at - 1;
        let Some(byte) = self.take() else {
            return Err(Fault::new(
                start..self.at,
                "a backslash ends the pattern",
                r"write \\ for a backslash",
            ));
        };
        let basic = !self.extended;
        Ok(match byte {
            b'(' if basic => Piece::Open,
            b')' if basic => Piece::Close,
            b'{' if basic => Piece::Interval,
            b'|' if basic => Piece::Or,
            b'+' if basic => Piece::Repeat(Repeat::Once),
            b'?' if basic => Piece::Repeat(Repeat::Maybe),
            b'<' => Piece::Anchor(r"\b{start}"),
            b'>' => Piece::Anchor(r"\b{end}"),
            b'b' => Piece::Anchor(r"\b"),
            b'B' => Piece::Anchor(r"\B"),
            b'`' => Piece::Anchor(r"\A"),
            b'\'' => Piece::Anchor(r"\z"),
            b'w' => Piece::Class(r"\w"),
            b'W' => Piece::Class(r"\W"),
            b's' => Piece::Class(r"\s"),
            b'S' => Piece::Class(r"\S"),
            b'1'..=b'9' => {
                return Err(Fault::new(
                    start..self.at,
                    "back-references cannot be used",
                    "write out what the group would have matched",
                ));
            }
            other => Piece::Literal(other),
        })
    }

    fn write(&mut self, piece: Piece, start: usize) -> Result<(), Fault> {
        self.at_start = matches!(piece, Piece::Open | Piece::Or);
        match piece {
            Piece::Literal(byte) => self.literal(byte),
            Piece::Any => self.atom("."),
            Piece::Class(class) => self.atom(class),
            Piece::Bracket => {
                let class = self.bracket()?;
                self.atom(&class);
            }
            Piece::Anchor(anchor) => {
                self.out.push_str(anchor);
                self.atom = None;
            }
            Piece::Open => {
                self.open.push((self.out.len(), start));
                self.out.push('(');
                self.atom = None;
            }
            Piece::Close => {
                let Some((began, _)) = self.open.pop() else {
                    return Err(Fault::new(
                        start..self.at,
                        "no group is open here",
                        "open it with \\(, or write ) for the parenthesis itself",
                    ));
                };
                self.out.push(')');
                self.atom = Some(began);
                self.repeated = None;
            }
            Piece::Or => {
                self.out.push('|');
                self.atom = None;
            }
            Piece::Repeat(repeat) => self.repeat(repeat, start)?,
            Piece::Interval => self.interval(start)?,
        }
        Ok(())
    }

    fn literal(&mut self, byte: u8) {
        if byte.is_ascii_alphanumeric() {
            self.atom(char::from(byte).encode_utf8(&mut [0; 4]));
        } else {
            self.atom(&format!("\\x{byte:02x}"));
        }
    }

    fn atom(&mut self, text: &str) {
        self.atom = Some(self.out.len());
        self.repeated = None;
        self.out.push_str(text);
    }

    fn repeat(&mut self, repeat: Repeat, start: usize) -> Result<(), Fault> {
        let sign = match repeat {
            Repeat::Any => '*',
            Repeat::Once => '+',
            Repeat::Maybe | Repeat::Counted => '?',
        };
        if self.atom.is_none() {
            if self.extended {
                return Err(nothing_to_repeat(start..self.at));
            }
            self.literal(u8::try_from(sign).unwrap_or(b'*'));
            return Ok(());
        }
        self.wrap_if_repeated(repeat);
        if self.repeated != Some(repeat) {
            self.out.push(sign);
        }
        self.repeated = Some(repeat);
        Ok(())
    }

    /// The engine reads a second repetition as a remark on the first.
    fn wrap_if_repeated(&mut self, next: Repeat) {
        if let (Some(atom), Some(before)) = (self.atom, self.repeated)
            && before != next
        {
            self.out.insert_str(atom, "(?:");
            self.out.push(')');
        }
    }

    /// What stands behind the opening brace, the closing one included.
    fn interval(&mut self, start: usize) -> Result<(), Fault> {
        let from = self.number();
        let comma = self.take_if(b',');
        let to = if comma { self.number() } else { from };
        let closed = (self.extended || self.take_if(b'\\')) && self.take_if(b'}');
        let bounds = match (from, comma, to) {
            (None, false, _) => None,
            (from, _, None) => Some(format!("{{{},}}", from.unwrap_or(0))),
            (from, _, Some(to)) if from.unwrap_or(0) <= to => {
                Some(format!("{{{},{to}}}", from.unwrap_or(0)))
            }
            _ => None,
        };
        let most = from.max(to).unwrap_or(0);
        let Some(bounds) = bounds.filter(|_| closed && most <= REPEAT_MAX) else {
            let braces = if self.extended { "{2,5}" } else { r"\{2,5\}" };
            return Err(Fault::new(
                start..self.at,
                "this is no number of repetitions",
                format!("write for example {braces}, with numbers to {REPEAT_MAX}"),
            ));
        };
        if self.atom.is_none() {
            return Err(nothing_to_repeat(start..self.at));
        }
        if let (Some(atom), Some(_)) = (self.atom, self.repeated) {
            self.out.insert_str(atom, "(?:");
            self.out.push(')');
        }
        self.out.push_str(&bounds);
        self.repeated = Some(Repeat::Counted);
        Ok(())
    }

    fn number(&mut self) -> Option<u32> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        let digits = self.text.get(start..self.at)?;
        let digits = str::from_utf8(digits)
            .ok()
            .filter(|text| !text.is_empty())?;
        Some(digits.parse().unwrap_or(u32::MAX))
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn take_if(&mut self, wanted: u8) -> bool {
        let there = self.peek() == Some(wanted);
        self.at += usize::from(there);
        there
    }

    /// To the basic form `$` is an anchor at the end and where an alternative or group ends.
    fn at_end(&self) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        rest.is_empty() || rest.starts_with(br"\)") || rest.starts_with(br"\|")
    }
}

fn nothing_to_repeat(at: std::ops::Range<usize>) -> Fault {
    Fault::new(
        at,
        "nothing stands here that could be repeated",
        r"write a backslash before it if the character itself is meant",
    )
}

/// The longest pattern, in bytes; milter-greylist's own limit is 1024.
const PATTERN_LENGTH_MAX: usize = 4_096;

/// The largest that one compiled pattern may get.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// The most repetitions that can be asked for (glibc's `RE_DUP_MAX`).
const REPEAT_MAX: u32 = 32_767;

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(posix: &str, extended: bool, text: &str) -> bool {
        let pattern = PosixPattern::read(posix.as_bytes(), extended);
        let pattern = pattern.unwrap_or_else(|fault| panic!("{posix}: {fault:?}"));
        pattern.regex().is_match(text.as_bytes())
    }

    #[track_caller]
    fn check(extended: bool, posix: &str, yes: &[&str], no: &[&str]) {
        for text in yes {
            assert!(matches(posix, extended, text), "{posix} on {text}");
        }
        for text in no {
            assert!(!matches(posix, extended, text), "{posix} on {text}");
        }
    }

    #[test]
    fn basic_patterns_are_read_as_posix_says() {
        let basic = |posix, yes: &[&str], no: &[&str]| check(false, posix, yes, no);
        basic("a+b?c|d(e){2}", &["xa+b?c|d(E){2}"], &["aab", "d"]);
        basic(
            r"^<\(ab\)*@x\.org>$",
            &["<@x.org>", "<ABab@x.org>"],
            &["<a@x.org>", "<@xyorg>"],
        );
        basic(r"a\{2,3\}b", &["aab", "aaab"], &["ab"]);
        basic(r"a\{2\}b", &["aab"], &["ab"]);
        basic(r"^a\{,2\}b", &["b", "aab"], &["aaab"]);
        basic(r"a\+b\?c\|d", &["ac", "aabc", "d"], &["c"]);
        basic("*a^b$c", &["*a^b$c"], &["a^b$c"]);
        basic(r"\(*a\)", &["*a"], &["a"]);
        basic(r"\(^a$\|^b\)", &["a", "bc"], &["ab"]);
        basic("^*", &["*"], &["a"]);
        basic(r"x\/y", &["x/y"], &["x\\/y"]);
        basic("a**b", &["b", "aab"], &["a"]);
        basic(r"a*\{2\}$", &["b"], &[]);
        basic(r"\<cat\>", &["the cat sat"], &["concat"]);
        basic("", &["", "anything"], &[]);
    }

    #[test]
    fn extended_patterns_are_read_as_posix_says() {
        let extended = |posix, yes: &[&str], no: &[&str]| check(true, posix, yes, no);
        extended(
            "^(dhcp|ppp)-[0-9]{1,3}\\.",
            &["PPP-12.x"],
            &["ppp-1234.x", "ppp-."],
        );
        extended("a+b?c", &["aabc", "ac"], &["c"]);
        extended("(a|)b$", &["ab", "b"], &["a"]);
        extended("a)b", &["a)b"], &["ab"]);
        extended("a$b|^c", &["c"], &["a$b", "ab"]);
        extended("^a+?$", &["", "aa"], &["b"]);
        extended("(a*)+?x", &["x", "aax"], &["a"]);
        extended("^a{,2}$", &["", "aa"], &["aaa"]);
        extended("^\\+\\?\\|\\(\\)$", &["+?|()"], &[""]);
    }

    #[test]
    fn brackets_hold_what_posix_says() {
        let basic = |posix, yes: &[&str], no: &[&str]| check(false, posix, yes, no);
        basic("^[]^-]$", &["]", "^", "-"], &["a", "\\"]);
        basic("^[^]a]$", &["b"], &["]", "a", "A", "\n"]);
        basic("^[[:digit:][:space:]x-z]$", &["7", " ", "Y"], &["a"]);
        basic(r"^[\.]$", &["\\", "."], &["a"]);
        basic("^[[.-.]-0[=q=]]$", &["-", ".", "0", "Q"], &["1"]);
    }

    #[test]
    fn lines_are_told_apart() {
        check(false, "^b$", &["a\nb"], &["ab"]);
        check(false, "a.b", &["axb"], &["a\nb"]);
    }

    #[test]
    fn bytes_that_are_no_text_are_bytes() {
        let pattern = PosixPattern::read(b"^\xfc[\xe0-\xff]$", false).unwrap();
        assert!(pattern.regex().is_match(b"\xfc\xe4"));
        assert!(!pattern.regex().is_match("üä".as_bytes()));
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_place() {
        let fault = |posix: &str, extended| {
            let fault = PosixPattern::read(posix.as_bytes(), extended).unwrap_err();
            (fault.at, fault.message)
        };
        let tell = |at, message: &str| (at, message.to_owned());
        assert_eq!(fault("a(b", true), tell(1..3, "this group is not closed"));
        assert_eq!(fault(r"a\)", false), tell(1..3, "no group is open here"));
        let nothing = "nothing stands here that could be repeated";
        assert_eq!(fault("*a", true), tell(0..1, nothing));
        assert_eq!(fault("a|+", true), tell(2..3, nothing));
        assert_eq!(fault(r"\{2\}", false), tell(0..5, nothing));
        let number = "this is no number of repetitions";
        assert_eq!(fault("a{x}", true), tell(1..2, number));
        assert_eq!(fault("a{3,2}", true), tell(1..6, number));
        assert_eq!(fault("a{99999}", true), tell(1..8, number));
        assert_eq!(
            fault(r"\(a\)\1", false),
            tell(5..7, "back-references cannot be used")
        );
        assert_eq!(
            fault(r"a\", false),
            tell(1..2, "a backslash ends the pattern")
        );
        let large = "the pattern is too large or nested too deep";
        assert_eq!(fault("((a{999}){999}){999}", true), tell(0..20, large));
    }
}
