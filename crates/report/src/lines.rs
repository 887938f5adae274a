//! A log cut into lines as its blocks come in, whatever their size.

use memchr::memmem::Finder;
use memchr::{memchr, memchr_iter, memrchr};

/// The longest line that is looked at, in bytes without its end.
///
/// Source: RFC 5424 §6.1 (2048 octets of a message should be taken).
pub const LINE_MAX: usize = 64 << 10;

/// The lines of a log, all of them or those that have a word in them. A line longer than [`LINE_MAX`],
/// with the word or without, is left out and counted.
#[derive(Debug)]
pub struct Lines {
    word: Option<Finder<'static>>,
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
    /// What has come of the present line is too long already and was let go.
    leaving_out: bool,
    too_long: u64,
}

impl Lines {
    /// Those with `word`; nothing has come yet.
    #[must_use]
    pub fn with(word: &'static [u8]) -> Self {
        Self {
            word: Some(Finder::new(word)),
            ..Self::all()
        }
    }

    /// All of them; nothing has come yet.
    pub(crate) fn all() -> Self {
        Self {
            word: None,
            begun: Vec::new(),
            leaving_out: false,
            too_long: 0,
        }
    }

    /// Gives each line that ends in `block` and has the word, without its line feed.
    pub fn feed(&mut self, block: &[u8], mut each: impl FnMut(&[u8])) {
        let Some(last) = memrchr(b'\n', block) else {
            self.begin(block);
            return;
        };
        let (mut whole, rest) = block.split_at(last + 1);
        if (self.leaving_out || !self.begun.is_empty())
            && let Some(end) = memchr(b'\n', whole)
        {
            self.begin(&whole[..end]);
            self.end(&mut each);
            whole = &whole[end + 1..];
        }
        if self.word.is_none() {
            self.give_all(whole, &mut each);
            self.begin(rest);
            return;
        }
        // Most lines lack the word: it is searched for across them.
        while let Some(at) = self.find(whole) {
            let start = memrchr(b'\n', &whole[..at]).map_or(0, |end| end + 1);
            self.pass_over(&whole[..start]);
            let line = &whole[start..];
            let end = memchr(b'\n', line).expect("the last byte is one");
            self.give(&line[..end], &mut each);
            whole = &line[end + 1..];
        }
        self.pass_over(whole);
        self.begin(rest);
    }

    /// Gives the last line, if it has no line feed.
    pub fn finish(&mut self, mut each: impl FnMut(&[u8])) {
        if self.leaving_out || !self.begun.is_empty() {
            self.end(&mut each);
        }
    }

    /// How many lines were left out because they are too long.
    #[must_use]
    pub fn too_long(&self) -> u64 {
        self.too_long
    }

    /// Where the next line that counts has something.
    fn find(&self, lines: &[u8]) -> Option<usize> {
        match &self.word {
            Some(word) => word.find(lines),
            None => (!lines.is_empty()).then_some(0),
        }
    }

    fn give_all(&mut self, lines: &[u8], each: &mut impl FnMut(&[u8])) {
        let mut start = 0;
        for end in memchr_iter(b'\n', lines) {
            self.give(&lines[start..end], each);
            start = end + 1;
        }
    }

    /// Counts the lines that are too long among whole ones.
    fn pass_over(&mut self, lines: &[u8]) {
        if lines.len() > LINE_MAX {
            let mut start = 0;
            for end in memchr_iter(b'\n', lines) {
                self.too_long += u64::from(end - start > LINE_MAX);
                start = end + 1;
            }
        }
    }

    fn give(&mut self, line: &[u8], each: &mut impl FnMut(&[u8])) {
        if line.len() > LINE_MAX {
            self.too_long += 1;
        } else {
            each(line);
        }
    }

    fn begin(&mut self, part: &[u8]) {
        if self.leaving_out {
            return;
        }
        if self.begun.len() + part.len() > LINE_MAX {
            self.begun.clear();
            self.leaving_out = true;
            return;
        }
        self.begun.extend_from_slice(part);
    }

    fn end(&mut self, each: &mut impl FnMut(&[u8])) {
        if self.leaving_out {
            self.leaving_out = false;
            self.too_long += 1;
            return;
        }
        let line = std::mem::take(&mut self.begun);
        if self.word.is_none() || self.find(&line).is_some() {
            each(&line);
        }
        self.begun = line;
        self.begun.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of `log` with an `e`, fed in blocks of `size`, and how many were too long.
    fn cut(log: &[u8], size: usize) -> (Vec<Vec<u8>>, u64) {
        let mut lines = Lines::with(b"e");
        let mut given = Vec::new();
        for block in log.chunks(size) {
            lines.feed(block, |line| given.push(line.to_vec()));
        }
        lines.finish(|line| given.push(line.to_vec()));
        (given, lines.too_long())
    }

    #[test]
    fn blocks_of_any_size_give_the_same_lines() {
        let log = b"one\n\ntwo\nthree and e\r\n\n\nfour\nfive";
        let expected: Vec<Vec<u8>> = [&b"one"[..], b"three and e\r", b"five"]
            .map(<[u8]>::to_vec)
            .to_vec();
        for size in 1..=log.len() {
            assert_eq!(cut(log, size), (expected.clone(), 0), "{size}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out_and_counted_however_it_comes() {
        let longest = vec![b'e'; LINE_MAX];
        let with_word = vec![b'e'; LINE_MAX + 1];
        let without = vec![b'x'; LINE_MAX + 1];
        let log = [
            &b"e\n"[..],
            &with_word,
            b"\n",
            &without,
            b"\nx\n",
            &longest,
            b"\nbe\n",
        ];
        let log = [&log.concat()[..], &without, b"\n", &with_word].concat();
        let expected = vec![b"e".to_vec(), longest.clone(), b"be".to_vec()];
        for size in [1, 1000, LINE_MAX, LINE_MAX + 1, 2 * LINE_MAX, log.len()] {
            assert_eq!(cut(&log, size), (expected.clone(), 4), "{size}");
        }
    }
}
