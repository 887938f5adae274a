//! A log cut into lines as its blocks come in, whatever their size.

use memchr::{memchr, memrchr};

/// The longest line that is looked at, in bytes without its end.
///
/// Source: RFC 5424 §6.1 (2048 octets of a message should be taken).
pub const LINE_MAX: usize = 64 << 10;

/// The lines of a log. A longer line than [`LINE_MAX`] is left out and counted.
#[derive(Debug, Default)]
pub struct Lines {
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
    /// What has come of the present line is too long already and was let go.
    leaving_out: bool,
    too_long: u64,
}

impl Lines {
    /// The first block has not come yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives each line that ends in `block`, without its line feed.
    pub fn feed(&mut self, block: &[u8], mut each: impl FnMut(&[u8])) {
        let Some(last) = memrchr(b'\n', block) else {
            self.begin(block);
            return;
        };
        let (mut whole, rest) = block.split_at(last + 1);
        while let Some(end) = memchr(b'\n', whole) {
            let line = &whole[..end];
            whole = &whole[end + 1..];
            if self.begun.is_empty() && !self.leaving_out {
                self.give(line, &mut each);
            } else {
                self.begin(line);
                self.end(&mut each);
            }
        }
        self.begin(rest);
    }

    /// Gives the last line, if it has no line feed.
    pub fn finish(&mut self, mut each: impl FnMut(&[u8])) {
        if !self.begun.is_empty() || self.leaving_out {
            self.end(&mut each);
        }
    }

    /// How many lines were left out because they are too long.
    #[must_use]
    pub fn too_long(&self) -> u64 {
        self.too_long
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
        each(&line);
        self.begun = line;
        self.begun.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of `log` fed in blocks of `size`, and how many were too long.
    fn cut(log: &[u8], size: usize) -> (Vec<Vec<u8>>, u64) {
        let mut lines = Lines::new();
        let mut given = Vec::new();
        for block in log.chunks(size) {
            lines.feed(block, |line| given.push(line.to_vec()));
        }
        lines.finish(|line| given.push(line.to_vec()));
        (given, lines.too_long())
    }

    #[test]
    fn blocks_of_any_size_give_the_same_lines() {
        let log = b"one\n\ntwo \r\nthree";
        let expected: Vec<Vec<u8>> = [&b"one"[..], b"", b"two \r", b"three"]
            .map(<[u8]>::to_vec)
            .to_vec();
        for size in 1..=log.len() {
            assert_eq!(cut(log, size), (expected.clone(), 0), "{size}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out_and_counted_however_it_comes() {
        let longest = vec![b'x'; LINE_MAX];
        let too_long = vec![b'y'; LINE_MAX + 1];
        let log = [&b"a\n"[..], &too_long, b"\n", &longest, b"\nb\n", &too_long].concat();
        let expected = vec![b"a".to_vec(), longest.clone(), b"b".to_vec()];
        for size in [1, 1000, LINE_MAX, LINE_MAX + 1, log.len()] {
            assert_eq!(cut(&log, size), (expected.clone(), 2), "{size}");
        }
    }
}
