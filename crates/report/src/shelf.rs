//! A list that only grows, in pieces, so that nothing has to move when more comes.

use std::ops::{Index, IndexMut, Range};

#[derive(Debug)]
pub(crate) struct Shelf<T> {
    /// All but the last are full.
    pieces: Vec<Vec<T>>,
}

/// Items of a piece.
const PIECE: usize = 1 << 12;

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { pieces: Vec::new() }
    }
}

impl<T> Shelf<T> {
    pub(crate) fn len(&self) -> usize {
        match self.pieces.split_last() {
            Some((last, full)) => full.len() * PIECE + last.len(),
            None => 0,
        }
    }

    pub(crate) fn push(&mut self, item: T) {
        match self.pieces.last_mut() {
            Some(piece) if piece.len() < PIECE => piece.push(item),
            _ => {
                let mut piece = Vec::with_capacity(PIECE);
                piece.push(item);
                self.pieces.push(piece);
            }
        }
    }

    /// Those of a range, with their places.
    pub(crate) fn range(&self, range: Range<usize>) -> impl Iterator<Item = (usize, &T)> {
        range.map(|place| (place, &self[place]))
    }
}

impl<T> Index<usize> for Shelf<T> {
    type Output = T;

    fn index(&self, place: usize) -> &T {
        &self.pieces[place / PIECE][place % PIECE]
    }
}

impl<T> IndexMut<usize> for Shelf<T> {
    fn index_mut(&mut self, place: usize) -> &mut T {
        &mut self.pieces[place / PIECE][place % PIECE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_on_it_is_at_its_place() {
        let mut shelf = Shelf::default();
        for number in 0..2 * PIECE + 3 {
            assert_eq!(shelf.len(), number);
            shelf.push(number);
        }
        shelf[PIECE] = 7;
        let last = PIECE - 1..PIECE + 2;
        let found: Vec<_> = shelf.range(last).collect();
        let expected = [
            (PIECE - 1, &(PIECE - 1)),
            (PIECE, &7),
            (PIECE + 1, &(PIECE + 1)),
        ];
        assert_eq!(found, expected);
    }
}
