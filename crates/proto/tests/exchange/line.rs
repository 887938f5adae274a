//! The lines of recorded exchanges of text.

/// The bytes of a line: `\r`, `\0`, `\xNN` and `\\` stand for bytes, `\N{M}` for N times the letter M;
/// a `\` at its end takes the line end away.
pub(crate) fn bytes(line: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\\') {
        out.extend_from_slice(before.as_bytes());
        rest = match after.chars().next() {
            None => return out,
            Some('r') => {
                out.push(b'\r');
                &after[1..]
            }
            Some('0') => {
                out.push(0);
                &after[1..]
            }
            Some('x') => {
                out.push(u8::from_str_radix(&after[1..3], 16).expect("two digits"));
                &after[3..]
            }
            Some('\\') => {
                out.push(b'\\');
                &after[1..]
            }
            Some(_) => {
                let (count, after) = after.split_once('{').expect("a count and a text");
                let (text, after) = after.split_once('}').expect("the end of the text");
                out.extend(text.repeat(count.parse().expect("a count")).bytes());
                after
            }
        };
    }
    out.extend_from_slice(rest.as_bytes());
    out.push(b'\n');
    out
}
