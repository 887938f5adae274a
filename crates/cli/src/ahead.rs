//! What a thread of its own makes, a few pieces ahead of whoever takes them.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// The taker's end: pieces `T`, and `R` when there are no more.
pub(crate) struct Ahead<T, R> {
    coming: Receiver<T>,
    emptied: SyncSender<T>,
    making: JoinHandle<R>,
}

/// The maker's end.
pub(crate) struct Outlet<T> {
    out: SyncSender<T>,
    back: Receiver<T>,
}

/// Pieces that wait to be taken.
const AHEAD_MAX: usize = 4;

impl<T: Default + Send + 'static, R: Send + 'static> Ahead<T, R> {
    /// Begins to make them; `name` is the thread's.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub(crate) fn begin(
        name: &str,
        make: impl FnOnce(&Outlet<T>) -> R + Send + 'static,
    ) -> io::Result<Self> {
        let (out, coming) = sync_channel(AHEAD_MAX);
        let (emptied, back) = sync_channel(AHEAD_MAX);
        let outlet = Outlet { out, back };
        let making = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || make(&outlet))?;
        Ok(Self {
            coming,
            emptied,
            making,
        })
    }

    /// The next piece, `None` when there are no more. One that was emptied is filled again.
    pub(crate) fn next(&mut self, emptied: T) -> Option<T> {
        // When nobody wants it, it goes.
        let _ = self.emptied.try_send(emptied);
        self.coming.recv().ok()
    }

    /// What came of it; pieces that were not taken are lost.
    pub(crate) fn end(self) -> R {
        drop(self.coming);
        let ended = self.making.join();
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl<T: Default> Outlet<T> {
    /// Hands a piece over, and gives an empty one; `None` when no more are taken.
    pub(crate) fn hand_over(&self, full: T) -> Option<T> {
        self.out.send(full).ok()?;
        Some(self.back.try_recv().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_in_their_order_and_what_came_of_it_at_the_end() {
        let mut numbers = Ahead::begin("numbers", |outlet| {
            let handed = (1..=10).map_while(|number| outlet.hand_over(vec![number]));
            handed.count()
        })
        .expect("there is a thread");
        let mut taken = Vec::new();
        while let Some(piece) = numbers.next(Vec::new()) {
            taken.extend(piece);
        }
        assert_eq!(taken, (1..=10).collect::<Vec<u8>>());
        assert_eq!(numbers.end(), 10);
    }

    #[test]
    fn the_maker_ends_when_no_more_is_taken() {
        let mut endless = Ahead::begin(
            "endless",
            |outlet| while outlet.hand_over(0_u8).is_some() {},
        )
        .expect("there is a thread");
        assert_eq!(endless.next(0), Some(0));
        endless.end();
    }
}
