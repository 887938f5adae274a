//! What `subjtag` and `addfooter` make of a message.

use greylatch_core::Content;

/// The header of this name with the tag in front of its value.
pub(crate) enum Tagged {
    /// The line that takes the place of the first one of this name.
    Line(Vec<u8>),
    /// Nothing is to be done: it has the tag, or there is no such header.
    Already,
    /// It may stand behind what is kept of the message.
    Unknown,
}

/// The subject with a tag in front.
pub(crate) fn tagged_subject(content: &Content, tag: &[u8]) -> Tagged {
    let values = content.headers().map(value_of_subject);
    match values.flatten().next() {
        Some(value) if contains(value, tag) => Tagged::Already,
        Some(value) => Tagged::Line([b"Subject: ", tag, value].concat()),
        None if content.is_whole() => Tagged::Already,
        None => Tagged::Unknown,
    }
}

fn value_of_subject(line: &[u8]) -> Option<&[u8]> {
    let (name, value) = line.split_at_checked(NAME.len())?;
    name.eq_ignore_ascii_case(NAME)
        .then(|| value.trim_ascii_start())
}

const NAME: &[u8] = b"Subject:";

/// Nothing is contained in everything.
fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

/// The body with lines behind it; `None` when not all of it is kept.
pub(crate) fn with_footer(content: &Content, footer: &[u8]) -> Option<Vec<u8>> {
    if !content.is_whole() {
        return None;
    }
    let mut body = Vec::with_capacity(content.body().len() + footer.len() + 2 * LINE_END.len());
    body.extend_from_slice(content.body());
    end_line(&mut body);
    for line in footer.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        body.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
        body.extend_from_slice(LINE_END);
    }
    Some(body)
}

/// Source: RFC 5322 §2.1.
const LINE_END: &[u8] = b"\r\n";

fn end_line(text: &mut Vec<u8>) {
    if text.last().is_some_and(|last| *last != b'\n') {
        text.extend_from_slice(LINE_END);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(headers: &[(&str, &str)], body: &str, max: usize) -> Content {
        let mut content = Content::new(max);
        for (name, value) in headers {
            content.add_header(name.as_bytes(), value.as_bytes());
        }
        content.add_body(body.as_bytes());
        content
    }

    #[test]
    fn a_footer_stands_on_lines_of_its_own_and_nothing_is_lost() {
        for (body, footer, expected) in [
            ("one\r\ntwo\r\n", "-- \nus", "one\r\ntwo\r\n-- \r\nus\r\n"),
            ("unterminated", "us\r\n", "unterminated\r\nus\r\n"),
            ("bare\n", "us\n", "bare\nus\r\n"),
            ("", "us", "us\r\n"),
            ("\r\n", "\n\nus", "\r\n\r\n\r\nus\r\n"),
        ] {
            let body = with_footer(&content(&[], body, 100), footer.as_bytes());
            assert_eq!(body.as_deref(), Some(expected.as_bytes()));
        }
        assert_eq!(with_footer(&content(&[], "too long", 7), b"us"), None);
    }

    fn tagged(headers: &[(&str, &str)], max: usize) -> Option<String> {
        match tagged_subject(&content(headers, "too long", max), b"[S] ") {
            Tagged::Line(line) => Some(String::from_utf8(line).expect("UTF-8")),
            Tagged::Already => Some("already".into()),
            Tagged::Unknown => None,
        }
    }

    #[test]
    fn the_first_subject_is_tagged_once() {
        let line = |text: &str| Some(text.to_owned());
        let subject = |value| tagged(&[("To", "us"), ("SUBJECT", value), ("Subject", "2")], 100);
        assert_eq!(subject("hi"), line("Subject: [S] hi"));
        assert_eq!(subject("hi\n\tthere"), line("Subject: [S] hi\n\tthere"));
        assert_eq!(subject(""), line("Subject: [S] "));
        assert_eq!(subject("Re: [S] hi"), line("already"));
        assert_eq!(tagged(&[("Subjects", "hi")], 100), line("already"));
        // It is enough that the subject is kept.
        assert_eq!(tagged(&[("Subject", "hi")], 13), line("Subject: [S] hi"));
        assert_eq!(tagged(&[("Subject", "hi")], 12), None);
    }
}
