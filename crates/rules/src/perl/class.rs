//! Perl's bracketed classes as sets of bytes: what `[` or `&&` mean inside a class differs
//! between engines, a list of ranges does not.

use super::cursor::Cursor;
use crate::diagnostic::Fault;

/// A set of bytes, or all but a set.
#[derive(Clone, Copy, Default)]
pub(super) struct ByteSet {
    low: u128,
    high: u128,
    negated: bool,
}

impl ByteSet {
    fn add(&mut self, byte: u8) {
        let bit = 1 << (byte & 0x7F);
        if byte < 0x80 {
            self.low |= bit;
        } else {
            self.high |= bit;
        }
    }

    fn has(self, byte: u8) -> bool {
        let half = if byte < 0x80 { self.low } else { self.high };
        half & (1 << (byte & 0x7F)) != 0
    }

    fn join(&mut self, other: Self) {
        self.low |= other.low;
        self.high |= other.high;
    }

    fn complement(self) -> Self {
        Self {
            low: !self.low,
            high: !self.high,
            negated: self.negated,
        }
    }

    fn where_true(holds: impl Fn(u8) -> bool) -> Self {
        let mut set = Self::default();
        (0..=u8::MAX)
            .filter(|byte| holds(*byte))
            .for_each(|byte| set.add(byte));
        set
    }

    /// `\d`, `\w`, `\s`, `\h`, `\v` and, in capitals, their opposites.
    ///
    /// Source: perlrecharclass(1), "Backslash sequences"; `\h` and `\v` know two bytes of
    /// Latin-1 that `\s` does not.
    pub(super) fn of_escape(letter: u8) -> Option<Self> {
        let set = match letter.to_ascii_lowercase() {
            b'd' => Self::where_true(|byte| byte.is_ascii_digit()),
            b'w' => Self::where_true(is_word),
            b's' => Self::where_true(is_space),
            b'h' => Self::where_true(|byte| matches!(byte, b'\t' | b' ' | 0xA0)),
            b'v' => Self::where_true(|byte| matches!(byte, b'\n'..=b'\r' | 0x85)),
            _ => return None,
        };
        Some(if letter.is_ascii_uppercase() {
            set.complement()
        } else {
            set
        })
    }

    fn of_posix(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"alpha" => Self::where_true(|byte| byte.is_ascii_alphabetic()),
            b"digit" => Self::where_true(|byte| byte.is_ascii_digit()),
            b"alnum" => Self::where_true(|byte| byte.is_ascii_alphanumeric()),
            b"upper" => Self::where_true(|byte| byte.is_ascii_uppercase()),
            b"lower" => Self::where_true(|byte| byte.is_ascii_lowercase()),
            b"punct" => Self::where_true(|byte| byte.is_ascii_punctuation()),
            b"space" => Self::where_true(is_space),
            b"blank" => Self::where_true(|byte| matches!(byte, b'\t' | b' ')),
            b"cntrl" => Self::where_true(|byte| byte.is_ascii_control()),
            b"graph" => Self::where_true(|byte| byte.is_ascii_graphic()),
            b"print" => Self::where_true(|byte| byte.is_ascii_graphic() || byte == b' '),
            b"xdigit" => Self::where_true(|byte| byte.is_ascii_hexdigit()),
            b"word" => Self::where_true(is_word),
            b"ascii" => Self::where_true(|byte| byte.is_ascii()),
            _ => return None,
        })
    }

    /// Appends the set as a class that every engine reads alike.
    pub(super) fn push_to(self, text: &mut String) {
        text.push_str(if self.negated { "[^" } else { "[" });
        let mut next = 0_u16;
        while let Ok(first) = u8::try_from(next) {
            let run = (first..=u8::MAX).take_while(|byte| self.has(*byte));
            if let Some(last) = run.last() {
                text.push_str(&format!("\\x{first:02X}-\\x{last:02X}"));
                next = u16::from(last);
            }
            next += 1;
        }
        text.push(']');
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Perl's `\s` has the vertical tab, unlike `is_ascii_whitespace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ')
}

/// Reads the class whose opening bracket, at `at`, has just been read.
pub(super) fn read(cursor: &mut Cursor<'_>, at: usize) -> Result<ByteSet, Fault> {
    let mut set = ByteSet {
        negated: cursor.eat(b'^'),
        ..ByteSet::default()
    };
    let mut first = true;
    loop {
        let item_at = cursor.at();
        let item = match cursor.next() {
            None => {
                return Err(Fault::new(
                    at..at + 1,
                    "this class is never closed",
                    "add ] at its end, or write \\[ for a bracket",
                ));
            }
            Some(b']') if !first => return Ok(set),
            Some(byte) => read_item(cursor, byte, item_at)?,
        };
        first = false;
        let Item::Byte(from) = item else {
            if let Item::Set(several) = item {
                set.join(several);
            }
            continue;
        };
        match range_end(cursor)? {
            None => set.add(from),
            Some(Item::Byte(to)) if to < from => {
                return Err(Fault::new(
                    item_at..cursor.at(),
                    "this range ends before it begins",
                    "write the smaller end first, or put - last in the class",
                ));
            }
            Some(Item::Byte(to)) => (from..=to).for_each(|byte| set.add(byte)),
            Some(Item::Set(several)) => {
                set.add(from);
                set.add(b'-');
                set.join(several);
            }
        }
    }
}

enum Item {
    Byte(u8),
    Set(ByteSet),
}

/// The item behind a dash, when the dash makes a range.
fn range_end(cursor: &mut Cursor<'_>) -> Result<Option<Item>, Fault> {
    let dash_at = cursor.at();
    if !cursor.eat(b'-') {
        return Ok(None);
    }
    match cursor.peek() {
        None | Some(b']') => {
            cursor.back_to(dash_at);
            Ok(None)
        }
        Some(byte) => {
            let at = cursor.at();
            cursor.next();
            read_item(cursor, byte, at).map(Some)
        }
    }
}

fn read_item(cursor: &mut Cursor<'_>, byte: u8, at: usize) -> Result<Item, Fault> {
    if byte == b'['
        && let Some(set) = posix(cursor)
    {
        return set.map(Item::Set);
    }
    if byte != b'\\' {
        return Ok(Item::Byte(byte));
    }
    let Some(letter) = cursor.next() else {
        return Ok(Item::Byte(byte));
    };
    if let Some(set) = ByteSet::of_escape(letter) {
        return Ok(Item::Set(set));
    }
    match letter {
        b'b' => Ok(Item::Byte(0x08)),
        b'N' | b'R' | b'p' | b'P' | b'X' => Err(Fault::new(
            at..at + 2,
            "this escape has no meaning inside a class",
            "write the characters themselves",
        )),
        _ => cursor.byte_escape(letter, at).map(Item::Byte),
    }
}

/// `[:name:]` or `[:^name:]`, its first bracket already read; `None` when it is none, so that
/// the bracket is a plain character.
fn posix(cursor: &mut Cursor<'_>) -> Option<Result<ByteSet, Fault>> {
    let at = cursor.at();
    let ahead = cursor.ahead().strip_prefix(b":")?;
    let length = ahead.windows(2).position(|pair| pair == b":]")?;
    let name = ahead.get(..length)?;
    let (name, negated) = match name.strip_prefix(b"^") {
        Some(name) => (name, true),
        None => (name, false),
    };
    if !name.iter().all(u8::is_ascii_alphabetic) {
        return None;
    }
    cursor.back_to(at + length + 3);
    let set = ByteSet::of_posix(name).map(|set| if negated { set.complement() } else { set });
    Some(set.ok_or_else(|| {
        Fault::new(
            at - 1..cursor.at(),
            "there is no class of this name",
            "write for example [:alpha:], [:digit:] or [:alnum:]",
        )
    }))
}
