//! Properties: variables that rules set and ask, for as long as a message lasts.

use crate::greylist_conf::tree::Assign;

/// The properties of a message so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    all: Vec<Property>,
    matched: Option<Property>,
}

/// A property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// Its name without the dollar sign; letter case does not count.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// The recipient for which it was set, if it was for one.
    pub recipient: Option<Vec<u8>>,
    one_recipient: bool,
}

impl Properties {
    /// The value of a property.
    #[must_use]
    pub fn value(&self, name: &[u8]) -> Option<&[u8]> {
        self.named(name).map(|property| property.value.as_slice())
    }

    /// The property that a clause has matched last, as it was then.
    #[must_use]
    pub fn matched(&self) -> Option<&Property> {
        self.matched.as_ref()
    }

    /// Forgets those that are only for one recipient; to be called before the next.
    pub fn next_recipient(&mut self) {
        self.all.retain(|property| !property.one_recipient);
        self.matched.take_if(|property| property.one_recipient);
    }

    /// A clause matches this property.
    pub(super) fn note_match(&mut self, name: &[u8]) {
        self.matched = self.named(name).cloned();
    }

    pub(super) fn named(&self, name: &[u8]) -> Option<&Property> {
        self.all
            .iter()
            .find(|property| property.name.eq_ignore_ascii_case(name))
    }

    /// Its value as a number, as far as it begins with one.
    pub(super) fn number(&self, name: &[u8]) -> Option<i64> {
        self.value(name).map(number)
    }

    pub(super) fn assign(&mut self, mut new: Property, how: Assign) {
        let before = self.number(&new.name).unwrap_or(0);
        let sum = match how {
            Assign::Set => None,
            Assign::Add => Some(before.saturating_add(number(&new.value))),
            Assign::Subtract => Some(before.saturating_sub(number(&new.value))),
        };
        if let Some(sum) = sum {
            new.value = sum.to_string().into_bytes();
        }
        // A value that is made of itself could double at each recipient.
        new.value.truncate(VALUE_LENGTH_MAX);
        self.all
            .retain(|property| !property.name.eq_ignore_ascii_case(&new.name));
        self.all.push(new);
    }
}

impl Property {
    pub(super) fn new(name: &[u8], value: Vec<u8>, recipient: Option<&[u8]>) -> Self {
        Self {
            name: name.to_vec(),
            value,
            recipient: recipient.map(<[u8]>::to_vec),
            one_recipient: false,
        }
    }

    pub(super) fn for_one_recipient(self, one_recipient: bool) -> Self {
        Self {
            one_recipient,
            ..self
        }
    }
}

/// The number that a text begins with, as C's `atoi` reads it; 0 if it begins with none.
pub(super) fn number(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] | digits => (1, digits),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let add = |sum: i64, digit: &u8| {
        sum.saturating_mul(10)
            .saturating_add(i64::from(digit - b'0'))
    };
    digits.fold(0, add) * sign
}

/// Whether the glob, of `*`, `?`, `[...]` and `\`, matches the whole text, in any letter case.
///
/// Source: glob(7).
pub(super) fn glob_matches(glob: &[u8], text: &[u8]) -> bool {
    let (mut glob, mut text) = (glob, text);
    // Where to go on when what follows the last star did not fit.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (glob, text) {
            ([b'*', rest @ ..], _) => {
                glob = rest;
                retry = Some((rest, text));
                continue;
            }
            ([], []) => return true,
            (_, [first, rest @ ..]) if let Some(behind) = one_matches(glob, *first) => {
                (glob, text) = (behind, rest);
                continue;
            }
            _ => {}
        }
        let Some((behind, [_, shorter @ ..])) = retry else {
            return false;
        };
        (glob, text) = (behind, shorter);
        retry = Some((behind, shorter));
    }
}

/// What of the glob is left when its first piece matches the byte.
fn one_matches(glob: &[u8], byte: u8) -> Option<&[u8]> {
    match glob {
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => match bracket(rest, byte) {
            Some((true, rest)) => Some(rest),
            Some((false, _)) => None,
            None => (byte == b'[').then_some(rest),
        },
        [b'\\', first, rest @ ..] | [first, rest @ ..] => {
            first.eq_ignore_ascii_case(&byte).then_some(rest)
        }
        [] => None,
    }
}

/// Whether the bracket, of which the opening is taken, holds the byte, and what is behind it;
/// none if it is not closed.
fn bracket(glob: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let (negated, mut rest) = match glob {
        [b'!' | b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let byte = byte.to_ascii_lowercase();
    let mut held = false;
    let mut first = true;
    loop {
        match rest {
            [] => return None,
            [b']', behind @ ..] if !first => return Some((held != negated, behind)),
            [low, b'-', high, behind @ ..] if *high != b']' => {
                let range = low.to_ascii_lowercase()..=high.to_ascii_lowercase();
                held |= range.contains(&byte);
                rest = behind;
            }
            [one, behind @ ..] => {
                held |= one.eq_ignore_ascii_case(&byte);
                rest = behind;
            }
        }
        first = false;
    }
}

/// The longest value, in bytes.
const VALUE_LENGTH_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        for (text, expected) in [
            ("12", 12),
            (" -3x", -3),
            ("+4", 4),
            ("x", 0),
            ("", 0),
            ("99999999999999999999", i64::MAX),
        ] {
            assert_eq!(number(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_value_that_is_made_of_itself_does_not_grow_for_ever() {
        let mut properties = Properties::default();
        for _ in 0..20 {
            let value = properties.value(b"p").unwrap_or(b"ab").repeat(2);
            properties.assign(Property::new(b"p", value, None), Assign::Set);
        }
        assert_eq!(
            properties.value(b"P").map(<[u8]>::len),
            Some(VALUE_LENGTH_MAX)
        );
    }

    #[test]
    fn globs_match_the_whole_text() {
        let matches = |glob: &str, text: &str| glob_matches(glob.as_bytes(), text.as_bytes());
        for (glob, text) in [
            ("*", ""),
            ("*@Example.org", "a@b@example.ORG"),
            ("a?c*e", "abcde"),
            ("[a-c]x[!d]", "BXe"),
            ("[]]", "]"),
            (r"\*", "*"),
            ("[x", "[x"),
            ("**a*", "bab"),
        ] {
            assert!(matches(glob, text), "{glob} {text}");
        }
        for (glob, text) in [
            ("", "a"),
            ("a", "ab"),
            ("?", ""),
            ("*b", "abc"),
            ("[!a]", "A"),
        ] {
            assert!(!matches(glob, text), "{glob} {text}");
        }
        // In time that does not explode.
        let glob = "*a".repeat(100);
        assert!(!matches(&glob, &"b".repeat(4_000)));
    }
}
