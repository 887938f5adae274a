//! One line of a policy request: what it says, and how it is kept until it is complete.
//!
//! Source: Postgrey 1.37 as observed by running it: leading `=` are skipped, the value begins
//! behind the first `=` that has a name before it, nothing is trimmed, values are cut.

/// What a complete line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// An empty line: the request is complete.
    End,
    /// `name=value`.
    Attribute {
        /// At least one byte.
        name: &'a [u8],
        /// At most [`VALUE_MAX`] bytes.
        value: &'a [u8],
    },
    /// Anything else; at most [`GARBAGE_KEPT`] bytes of it.
    Garbage(&'a [u8]),
}

/// A value is cut to so many bytes.
pub(super) const VALUE_MAX: usize = 512;

/// So many bytes of a line that is no attribute are shown.
const GARBAGE_KEPT: usize = 100;

/// So much of a line is held: `=` that are skipped, the longest name that could be known and its
/// `=`, the longest value. What follows is counted, not kept.
const LINE_KEPT: usize = GARBAGE_KEPT + VALUE_MAX + 1 + VALUE_MAX;

impl<'a> Line<'a> {
    /// Reads a line without its LF; one CR at its end is dropped.
    #[inline]
    pub(super) fn read(line: &'a [u8]) -> Self {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Self::End;
        }
        Self::read_text(line)
    }

    fn read_text(line: &'a [u8]) -> Self {
        let named = line
            .iter()
            .position(|byte| *byte != b'=')
            .and_then(|start| line.get(start..))
            .unwrap_or_default();
        let split = equals_sign(named).and_then(|end| named.split_at_checked(end));
        match split {
            Some((name, value)) => Self::Attribute {
                name,
                value: first(value.get(1..).unwrap_or_default(), VALUE_MAX),
            },
            None => Self::Garbage(first(line, GARBAGE_KEPT)),
        }
    }
}

/// Where the first `=` is. A name is short: to look at eight bytes in one step costs less than to set
/// out for a search.
///
/// Source: S. E. Anderson, "Bit Twiddling Hacks", "Determine if a word has a zero byte"; the lowest
/// byte that it finds is one.
fn equals_sign(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    let (words, rest) = text.as_chunks::<8>();
    for (nth, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word) ^ (ONES * b'=' as u64);
        let zeros = word.wrapping_sub(ONES) & !word & HIGHS;
        if zeros != 0 {
            return Some(nth * 8 + zeros.trailing_zeros() as usize / 8);
        }
    }
    let in_rest = rest.iter().position(|byte| *byte == b'=')?;
    Some(words.len() * 8 + in_rest)
}

/// A line of which the end has not arrived.
///
/// Invariant: [`PartialLine::read`] says of the pieces what [`Line::read`] says of the whole.
#[derive(Debug, Default)]
pub(super) struct PartialLine {
    kept: Vec<u8>,
    /// There is more than what is kept.
    cut: bool,
    /// What is not kept holds a `=`.
    equals_cut: bool,
}

impl PartialLine {
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Adds a piece of the line.
    pub(super) fn push(&mut self, piece: &[u8]) {
        let piece = self.without_excess_equals(piece);
        let room = LINE_KEPT.saturating_sub(self.kept.len());
        let (kept, rest) = piece.split_at_checked(room).unwrap_or((piece, &[]));
        self.kept.extend_from_slice(kept);
        self.cut |= !rest.is_empty();
        self.equals_cut |= rest.contains(&b'=');
    }

    /// Of the `=` at the start of a line only those that could be shown as garbage are kept, so
    /// that they leave room for the name and value behind them.
    fn without_excess_equals<'a>(&self, piece: &'a [u8]) -> &'a [u8] {
        if !self.kept.iter().all(|byte| *byte == b'=') {
            return piece;
        }
        let equals = piece.iter().take_while(|byte| **byte == b'=').count();
        let room = GARBAGE_KEPT.saturating_sub(self.kept.len());
        piece.get(equals.saturating_sub(room)..).unwrap_or_default()
    }

    /// What the line says, now that it is complete.
    pub(super) fn read(&self) -> Line<'_> {
        if !self.cut {
            return Line::read(&self.kept);
        }
        match Line::read_text(&self.kept) {
            // A name that long is not known, whatever its value.
            Line::Garbage(_) if self.equals_cut => Line::Attribute {
                name: &self.kept,
                value: b"",
            },
            line => line,
        }
    }

    /// Forgets the line.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
        self.cut = false;
        self.equals_cut = false;
    }
}

fn first(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(..length).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute<'a>(name: &'a str, value: &'a str) -> Line<'a> {
        Line::Attribute {
            name: name.as_bytes(),
            value: value.as_bytes(),
        }
    }

    #[test]
    fn the_first_equals_sign_is_found_wherever_it_is() {
        // Beside bytes that differ from it by one or by the highest bit.
        for others in [b"<", b">", b"\xbd", b"\x00", b"\xff", b"="] {
            for length in 0..20 {
                for at in 0..=length {
                    let mut text = others.repeat(length);
                    if let Some(byte) = text.get_mut(at) {
                        *byte = b'=';
                    }
                    let expected = text.iter().position(|byte| *byte == b'=');
                    assert_eq!(equals_sign(&text), expected, "{text:?}");
                }
            }
        }
    }

    #[test]
    fn a_line_is_read_as_postgrey_reads_it() {
        assert_eq!(Line::read(b""), Line::End);
        assert_eq!(Line::read(b"\r"), Line::End);
        assert_eq!(Line::read(b"a=b=c"), attribute("a", "b=c"));
        assert_eq!(Line::read(b"=recipient=x"), attribute("recipient", "x"));
        assert_eq!(Line::read(b"===a="), attribute("a", ""));
        assert_eq!(Line::read(b"=value"), Line::Garbage(b"=value"));
        assert_eq!(Line::read(b"==="), Line::Garbage(b"==="));
        assert_eq!(Line::read(b"request = foo"), attribute("request ", " foo"));
        assert_eq!(Line::read(b"a=b\r"), attribute("a", "b"));
        assert_eq!(Line::read(b"a=b\rc\r\r"), attribute("a", "b\rc\r"));
        assert_eq!(Line::read(b"\r\r"), Line::Garbage(b"\r"));
        assert_eq!(Line::read(&[b'g'; 101]), Line::Garbage(&[b'g'; 100]));
    }

    #[test]
    fn a_line_in_pieces_says_what_the_whole_line_says() {
        let n = |byte: &str, count: usize| byte.repeat(count);
        let lines = [
            n("=", 3_000),
            n("=", 3_000) + "recipient=" + &n("x", 600) + "\r",
            n("=", 99) + "recipient=" + &n("x", 511) + "\r",
            n("k", 513) + "=v",
            n("k", 1_200) + "=v",
            n("k", 1_200) + "=",
            n("k", 1_200),
            n("=", 200) + &n("k", 1_200),
            "sender=".to_owned() + &n("s", 512) + "\r",
            "sender=".to_owned() + &n("s", 511) + "\r\r",
            "sender=".to_owned() + &n("s", 1_117) + "\r",
            "sender=".to_owned() + &n("s", 1_118) + "\r",
            "g".to_owned() + &n("\r", 1_124),
            "g".to_owned() + &n("\r", 1_125),
        ];
        for line in &lines {
            let line = line.as_bytes();
            for size in [1, 7, 100, 1_125, 5_000] {
                let mut partial = PartialLine::default();
                for piece in line.chunks(size) {
                    partial.push(piece);
                }
                match (partial.read(), Line::read(line)) {
                    (
                        Line::Attribute { name: a, value: v },
                        Line::Attribute { name: b, value: w },
                    ) if a.len() > VALUE_MAX && b.len() > VALUE_MAX => {
                        assert!(v == w || v.is_empty());
                    }
                    (pieces, whole) => assert_eq!(pieces, whole, "pieces of {size}"),
                }
                assert!(partial.kept.len() <= LINE_KEPT);
            }
        }
    }
}
