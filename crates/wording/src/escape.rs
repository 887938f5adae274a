//! Bytes from outside, made safe for logs, terminals and listings.

/// Appends `text` with control characters, DEL, invalid UTF-8, and characters that reorder or
/// break lines as `\xNN` of each of their bytes.
///
/// Source: Unicode Standard Annex 9 (directional formatting characters), RFC 3629 (UTF-8).
pub fn escape(out: &mut Vec<u8>, text: &[u8]) {
    if text.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        out.extend_from_slice(text);
        return;
    }
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            let mut bytes = [0; 4];
            let encoded = character.encode_utf8(&mut bytes).as_bytes();
            if is_harmless(character) {
                out.extend_from_slice(encoded);
            } else {
                hexadecimal(out, encoded);
            }
        }
        hexadecimal(out, chunk.invalid());
    }
}

/// The same as a text of its own.
#[must_use]
pub fn escaped(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    escape(&mut out, text);
    String::from_utf8(out).expect("what is not UTF-8 was escaped")
}

fn is_harmless(character: char) -> bool {
    !character.is_control()
        && !matches!(
            character,
            '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}'
        )
}

fn hexadecimal(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.extend_from_slice(b"\\x");
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_harmless_stays_as_it_is() {
        let vectors: [(&[u8], &str); 7] = [
            (b"plain text ~", "plain text ~"),
            (b"esc\x1b[2J", "esc\\x1b[2J"),
            (b"nul\0del\x7f\r\n\t", "nul\\x00del\\x7f\\x0d\\x0a\\x09"),
            ("käse".as_bytes(), "käse"),
            (b"latin\xe9", "latin\\xe9"),
            ("c1\u{85}".as_bytes(), "c1\\xc2\\x85"),
            ("bidi\u{202e}".as_bytes(), "bidi\\xe2\\x80\\xae"),
        ];
        for (text, expected) in vectors {
            assert_eq!(escaped(text), expected);
        }
    }
}
