//! Lines out of the bytes that were fed, however they were cut.

use memchr::memchr;

/// So much of a line is kept: every event and question of an address that mail can have fits. What
/// follows is dropped up to the end of the line.
const LINE_KEPT: usize = 4 << 10;

/// So many bytes of a line that cannot be read are shown.
const SHOWN: usize = 100;

/// One line without its end.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) text: Vec<u8>,
    /// There was more.
    pub(super) is_cut: bool,
}

impl Line {
    /// As much as is shown.
    pub(super) fn beginning(&self) -> Vec<u8> {
        self.text.get(..SHOWN).unwrap_or(&self.text).to_vec()
    }
}

/// What was fed and not read yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    unread: Vec<u8>,
    /// Where the next line, or its next piece, begins.
    from: usize,
    /// The line whose end has not come.
    partial: Line,
}

impl Lines {
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// The next complete line.
    pub(super) fn next(&mut self) -> Option<Line> {
        let unread = self.unread.get(self.from..).unwrap_or_default();
        let end = memchr(b'\n', unread);
        let piece = end.and_then(|end| unread.get(..end)).unwrap_or(unread);
        let room = LINE_KEPT.saturating_sub(self.partial.text.len());
        self.partial.is_cut |= piece.len() > room;
        let kept = piece.get(..room).unwrap_or(piece);
        self.partial.text.extend_from_slice(kept);
        if let Some(end) = end {
            self.from += end + 1;
            return Some(std::mem::take(&mut self.partial));
        }
        self.unread.clear();
        self.from = 0;
        None
    }

    pub(super) fn is_midway(&self) -> bool {
        !self.partial.text.is_empty()
    }
}
