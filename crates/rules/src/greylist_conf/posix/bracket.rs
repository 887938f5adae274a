//! Bracket expressions of POSIX patterns, as sets of bytes.

use super::Translator;
use crate::diagnostic::Fault;

/// The bytes that a bracket expression holds.
struct Bytes([bool; 256]);

impl Bytes {
    fn add(&mut self, wanted: impl Fn(u8) -> bool) {
        for (byte, held) in (0..=u8::MAX).zip(&mut self.0) {
            *held |= wanted(byte);
        }
    }

    /// As the engine takes it; letter case goes before the complement, as in glibc.
    fn class(mut self, negated: bool) -> String {
        let before = self.0;
        let held = |byte: u8| before.get(usize::from(byte)) == Some(&true);
        self.add(|byte| held(byte.to_ascii_lowercase()) || held(byte.to_ascii_uppercase()));
        if negated {
            self.0.iter_mut().for_each(|held| *held = !*held);
            if let Some(line_end) = self.0.get_mut(usize::from(b'\n')) {
                *line_end = false;
            }
        }
        let mut class = String::from("[");
        for (byte, held) in (0..=u8::MAX).zip(&self.0) {
            if *held {
                class.push_str(&format!("\\x{byte:02x}"));
            }
        }
        if class.len() == 1 {
            class.push_str(r"^\x00-\xff");
        }
        class.push(']');
        class
    }
}

/// One end of a range, or what is no range.
enum Item {
    Byte(u8),
    Class(fn(&u8) -> bool),
}

impl Translator<'_> {
    /// What stands behind the opening bracket, the closing one included.
    pub(super) fn bracket(&mut self) -> Result<String, Fault> {
        let start = self.at - 1;
        let negated = self.take_if(b'^');
        let mut bytes = Bytes([false; 256]);
        let mut first = true;
        loop {
            if !first && self.take_if(b']') {
                return Ok(bytes.class(negated));
            }
            first = false;
            let item_start = self.at;
            let low = match self.item(start)? {
                Item::Class(class) => {
                    bytes.add(|byte| class(&byte));
                    continue;
                }
                Item::Byte(byte) => byte,
            };
            let behind = self.text.get(self.at + 1);
            if self.peek() != Some(b'-') || matches!(behind, None | Some(b']')) {
                bytes.add(|byte| byte == low);
                continue;
            }
            self.at += 1;
            match self.item(start)? {
                Item::Byte(high) if low <= high => bytes.add(|byte| (low..=high).contains(&byte)),
                _ => {
                    return Err(Fault::new(
                        item_start..self.at,
                        "this range has no end behind its beginning",
                        "write the smaller character first, and a - that is meant itself last",
                    ));
                }
            }
        }
    }

    fn item(&mut self, start: usize) -> Result<Item, Fault> {
        let open = Fault::new(
            start..self.text.len(),
            "this bracket is not closed",
            r"close it with ], or write \[ for the bracket itself",
        );
        let Some(byte) = self.take() else {
            return Err(open);
        };
        let Some(kind @ (b':' | b'.' | b'=')) = self.peek().filter(|_| byte == b'[') else {
            return Ok(Item::Byte(byte));
        };
        let inside = self.text.get(self.at + 1..).unwrap_or_default();
        let Some(length) = inside.windows(2).position(|pair| pair == [kind, b']']) else {
            return Err(open);
        };
        let name = inside.get(..length).unwrap_or_default();
        let item_start = self.at - 1;
        self.at += length + 3;
        match (kind, name) {
            (b':', name) => class(name).map(Item::Class),
            (_, [byte]) => Some(Item::Byte(*byte)),
            _ => None,
        }
        .ok_or_else(|| {
            Fault::new(
                item_start..self.at,
                "no class of characters has this name",
                "write for example [:alpha:], [:digit:], [:alnum:] or [:space:]",
            )
        })
    }
}

/// The class of this name in the C locale.
fn class(name: &[u8]) -> Option<fn(&u8) -> bool> {
    Some(match name {
        b"alpha" => u8::is_ascii_alphabetic,
        b"digit" => u8::is_ascii_digit,
        b"alnum" => u8::is_ascii_alphanumeric,
        b"upper" => u8::is_ascii_uppercase,
        b"lower" => u8::is_ascii_lowercase,
        b"punct" => u8::is_ascii_punctuation,
        b"xdigit" => u8::is_ascii_hexdigit,
        b"graph" => u8::is_ascii_graphic,
        b"cntrl" => u8::is_ascii_control,
        b"print" => |byte| matches!(byte, b' '..=b'~'),
        b"space" => |byte| matches!(byte, b'\t'..=b'\r' | b' '),
        b"blank" => |byte| matches!(byte, b'\t' | b' '),
        _ => return None,
    })
}
