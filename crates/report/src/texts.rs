//! Texts that are kept to the end. They lie in pieces, so that none has to move when more come.

/// Kept texts.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    pieces: Vec<Vec<u8>>,
}

/// Bytes of a piece; more only where one text has more.
const PIECE: usize = 1 << PIECE_BITS;
const PIECE_BITS: u32 = 20;

impl Texts {
    /// Keeps parts as one text, and gives its place.
    pub(crate) fn push(&mut self, parts: &[&[u8]]) -> u64 {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let has_room = |piece: &Vec<u8>| piece.len() + length <= PIECE && piece.len() < PIECE;
        if !self.pieces.last().is_some_and(has_room) {
            self.pieces.push(Vec::with_capacity(PIECE.max(length)));
        }
        let number = self.pieces.len() - 1;
        let piece = &mut self.pieces[number];
        let start = piece.len();
        for part in parts {
            piece.extend_from_slice(part);
        }
        (number as u64) << PIECE_BITS | start as u64
    }

    /// So many bytes from a place on, of the text that was kept there.
    pub(crate) fn piece(&self, place: u64, length: usize) -> &[u8] {
        // What was pushed to vectors has a place in memory.
        let piece = &self.pieces[(place >> PIECE_BITS) as usize];
        let start = (place & (PIECE as u64 - 1)) as usize;
        &piece[start..start + length]
    }

    /// How many bytes they take.
    pub(crate) fn bytes(&self) -> usize {
        self.pieces.len() * PIECE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_any_length_are_found_again() {
        let mut texts = Texts::default();
        let kept: Vec<Vec<u8>> = [0, 1, PIECE - 2, 1, 1, 2 * PIECE + 1, 3, PIECE, 0]
            .into_iter()
            .zip(b'a'..)
            .map(|(length, letter)| vec![letter; length])
            .collect();
        let places: Vec<u64> = kept
            .iter()
            .map(|text| {
                let (one, other) = text.split_at(text.len() / 2);
                texts.push(&[one, other])
            })
            .collect();
        for (place, text) in places.into_iter().zip(&kept) {
            assert!(texts.piece(place, text.len()) == text, "{place}");
        }
    }
}
