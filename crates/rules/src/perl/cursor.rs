//! A place in a pattern that moves forward, and the small readings that several parts share.

use std::ops::Range;

use crate::diagnostic::Fault;

pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A repetition with numbers.
pub(super) struct Counted {
    pub(super) text: String,
    /// It asks for more at least than at most; Perl finds that nowhere.
    pub(super) backwards: bool,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The offset of the next byte.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn back_to(&mut self, at: usize) {
        self.at = at;
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    pub(super) fn ahead(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(super) fn between(&self, place: Range<usize>) -> &'a [u8] {
        let end = place.end.min(self.bytes.len());
        self.bytes.get(place.start..end).unwrap_or_default()
    }

    /// What stands before the next `end`, which is passed over; `None` when there is no end.
    pub(super) fn until(&mut self, end: u8) -> Option<&'a [u8]> {
        let ahead = self.ahead();
        let length = ahead.iter().position(|byte| *byte == end)?;
        self.at += length + 1;
        ahead.get(..length)
    }

    /// The decimal number that begins with the digit just read.
    pub(super) fn decimal(&mut self, first: u8) -> usize {
        let mut number = usize::from(first - b'0');
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            number = number
                .saturating_mul(10)
                .saturating_add((digit - b'0').into());
            self.at += 1;
        }
        number
    }

    /// Up to three octal digits; `None` when there is none, or the value is no byte.
    pub(super) fn octal(&mut self) -> Option<u8> {
        let (mut value, mut digits) = (0_u16, 0);
        while let (Some(digit @ b'0'..=b'7'), 0..3) = (self.peek(), digits) {
            value = value * 8 + u16::from(digit - b'0');
            self.at += 1;
            digits += 1;
        }
        (digits > 0).then_some(value)?.try_into().ok()
    }

    /// The rest of `{2}`, `{2,}`, `{2,5}` or `{,5}` in the spelling of our engines; without one
    /// the brace is a plain character, and nothing is passed over.
    pub(super) fn counted(&mut self) -> Option<Counted> {
        let ahead = self.ahead();
        let length = ahead.iter().position(|byte| *byte == b'}')?;
        let inner = std::str::from_utf8(ahead.get(..length)?).ok()?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let (least, most) = match inner.split_once(',') {
            Some((least, most)) => (least, Some(most)),
            None => (inner, None),
        };
        let named = !least.is_empty() || most.is_some_and(|most| !most.is_empty());
        if !named || !digits(least) || !most.is_none_or(digits) {
            return None;
        }
        let value = |text: &str| match text {
            "" => 0,
            digits => digits.parse().unwrap_or(u32::MAX),
        };
        self.at += length + 1;
        let least_value = value(least);
        Some(match most {
            None => Counted {
                text: format!("{{{least_value}}}"),
                backwards: false,
            },
            Some(most) => Counted {
                text: format!("{{{least_value},{most}}}"),
                backwards: !most.is_empty() && value(most) < least_value,
            },
        })
    }

    /// Whether a `{` that comes next begins a repetition.
    pub(super) fn is_before_counted(&mut self) -> bool {
        let at = self.at;
        let counted = self.eat(b'{') && self.counted().is_some();
        self.back_to(at);
        counted
    }

    /// The one byte that an escape stands for, its letter already read; a letter that means
    /// nothing to Perl stands for itself.
    pub(super) fn byte_escape(&mut self, letter: u8, at: usize) -> Result<u8, Fault> {
        let byte = match letter {
            b'n' => Some(b'\n'),
            b'r' => Some(b'\r'),
            b't' => Some(b'\t'),
            b'f' => Some(0x0C),
            b'a' => Some(0x07),
            b'e' => Some(0x1B),
            b'c' => self.next().map(|of| of.to_ascii_uppercase() ^ 0x40),
            b'x' => self.hexadecimal(),
            b'0'..=b'7' => {
                self.at -= 1;
                self.octal()
            }
            b'o' if self.eat(b'{') => self.braced(8),
            other => Some(other),
        };
        byte.ok_or_else(|| {
            Fault::new(
                at..self.at,
                "this escape stands for no byte",
                "write \\xNN with two hexadecimal digits",
            )
        })
    }

    fn hexadecimal(&mut self) -> Option<u8> {
        if self.eat(b'{') {
            return self.braced(16);
        }
        let mut value = 0_u8;
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(16)) else {
                break;
            };
            value = (value << 4) | u8::try_from(digit).ok()?;
            self.at += 1;
        }
        Some(value)
    }

    fn braced(&mut self, radix: u32) -> Option<u8> {
        let digits = std::str::from_utf8(self.until(b'}')?).ok()?;
        u8::from_str_radix(digits.trim(), radix).ok()
    }
}
