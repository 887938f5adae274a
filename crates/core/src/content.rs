//! The content of one message: what of its headers and body may be looked at, and how long it is.
//!
//! It holds bytes as they came; nothing is decoded.

/// Headers and body of a message, as far as they fit into so many bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Each line ends in NUL, which no header holds.
    headers: Vec<u8>,
    /// Whether there is a space behind the colon of each header; nothing where that is not told.
    spaced: Vec<bool>,
    body: Vec<u8>,
    has_body: bool,
    size: u64,
    room: usize,
    whole: bool,
}

/// A line end on the wire. Source: RFC 5322 §2.1.
const LINE_END: usize = 2;

impl Content {
    /// Nothing yet, of which at most `max` bytes will be kept.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            headers: Vec::new(),
            spaced: Vec::new(),
            body: Vec::new(),
            has_body: false,
            size: 0,
            room: max,
            whole: true,
        }
    }

    /// Takes a header. One that does not fit is not kept, nor is anything behind it.
    pub fn add_header(&mut self, name: &[u8], value: &[u8]) {
        let line = [name, b": ", value, b"\0"];
        let text: usize = line.iter().map(|part| part.len()).sum();
        let length = text - 1 + LINE_END;
        self.count(length);
        match self.room.checked_sub(length) {
            Some(room) => {
                self.room = room;
                self.headers.reserve(text);
                line.iter()
                    .for_each(|part| self.headers.extend_from_slice(part));
            }
            None => (self.room, self.whole) = (0, false),
        }
    }

    /// Takes a header of which all is told that stands behind its colon.
    pub fn add_exact_header(&mut self, name: &[u8], behind: &[u8]) {
        let value = behind.strip_prefix(b" ");
        if self.whole {
            self.spaced.push(value.is_some());
        }
        self.add_header(name, value.unwrap_or(behind));
    }

    /// Takes a piece of the body, as much of it as fits.
    pub fn add_body(&mut self, piece: &[u8]) {
        if piece.is_empty() {
            return;
        }
        if !self.has_body {
            // The empty line between headers and body belongs to neither.
            self.has_body = true;
            self.count(LINE_END);
        }
        self.count(piece.len());
        let kept = piece.get(..self.room).unwrap_or(piece);
        self.body.extend_from_slice(kept);
        self.room -= kept.len();
        self.whole &= kept.len() == piece.len();
    }

    fn count(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.size = self.size.saturating_add(bytes);
    }

    /// The headers that are kept, each as `Name: value`; a folded value has its line ends.
    pub fn headers(&self) -> impl Iterator<Item = &[u8]> {
        let lines = self.headers.split_inclusive(|byte| *byte == 0);
        lines.map(|line| line.strip_suffix(b"\0").unwrap_or(line))
    }

    /// Whether a space stands behind the colon of the header with this number; `None` where that is not
    /// told.
    #[must_use]
    pub fn is_spaced(&self, number: usize) -> Option<bool> {
        self.spaced.get(number).copied()
    }

    /// The body, as far as it is kept.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The bytes of headers and body that have come, kept or not, with their line ends.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Nothing had to be left out.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(content: &Content) -> Vec<&[u8]> {
        content.headers().collect()
    }

    #[test]
    fn what_fits_is_kept_and_all_is_counted() {
        // "A: b" and a line end, and four bytes of body.
        let mut content = Content::new(10);
        content.add_header(b"A", b"b");
        content.add_body(b"12");
        content.add_body(b"");
        content.add_body(b"34");
        assert_eq!(headers(&content), [b"A: b"]);
        assert_eq!(content.body(), b"1234");
        assert_eq!((content.size(), content.is_whole()), (12, true));
        content.add_body(b"5");
        assert_eq!(content.body(), b"1234");
        assert_eq!((content.size(), content.is_whole()), (13, false));
    }

    #[test]
    fn a_header_is_the_same_with_and_without_a_space_and_that_is_known_where_it_is_told() {
        let mut content = Content::new(100);
        content.add_exact_header(b"A", b" b");
        content.add_exact_header(b"A", b"b");
        content.add_exact_header(b"A", b"\tb");
        assert_eq!(headers(&content), [&b"A: b"[..], b"A: b", b"A: \tb"]);
        let known = [0, 1, 2, 3].map(|number| content.is_spaced(number));
        assert_eq!(known, [Some(true), Some(false), Some(false), None]);
        assert_eq!(content.size(), 6 + 6 + 7);
        let mut content = Content::new(100);
        content.add_header(b"A", b"b");
        assert_eq!(content.is_spaced(0), None);
    }

    #[test]
    fn behind_a_header_that_does_not_fit_nothing_is_kept() {
        let mut content = Content::new(17);
        content.add_header(b"A", b"");
        content.add_header(b"Long", b"too long");
        content.add_header(b"B", b"");
        content.add_body(b"body");
        assert_eq!(headers(&content), [b"A: "]);
        assert_eq!(content.body(), b"");
        assert_eq!((content.size(), content.is_whole()), (32, false));
    }

    #[test]
    fn headers_may_be_empty_and_folded() {
        let mut content = Content::new(100);
        assert_eq!(headers(&content), [b""; 0]);
        content.add_header(b"", b"");
        content.add_header(b"X", b"one\n\ttwo");
        assert_eq!(headers(&content), [&b": "[..], b"X: one\n\ttwo"]);
    }
}
