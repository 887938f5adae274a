//! One journal flush for all tasks that are ready together. fjall keeps what is written in a
//! buffer of the process until it is told to hand it to the kernel; no answer leaves before.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

pub(super) struct Flush {
    written: AtomicU64,
    flushed: AtomicU64,
    flushing: Mutex<()>,
    /// How many more flushes are worth being waited for: it lately paid to let others write.
    credit: AtomicU32,
}

/// So many flushes are waited for after one that served several.
const CREDIT: u32 = 16;

impl Flush {
    pub(super) fn new() -> Self {
        Self {
            written: AtomicU64::new(0),
            flushed: AtomicU64::new(0),
            flushing: Mutex::default(),
            credit: AtomicU32::new(0),
        }
    }

    /// Something was written: the ticket to ask for its flush with.
    pub(super) fn wrote(&self) -> u64 {
        self.written.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The ticket of what was written last.
    pub(super) fn last(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    pub(super) fn is_done(&self, ticket: u64) -> bool {
        self.flushed.load(Ordering::Acquire) >= ticket
    }

    /// Whether to let other tasks write first. A lone connection would only lose time by it, so
    /// this follows what the latest flushes served, and tries now and then.
    pub(super) fn is_worth_waiting(&self, ticket: u64) -> bool {
        self.credit.load(Ordering::Relaxed) > 0 || ticket.is_multiple_of(u64::from(CREDIT))
    }

    /// Flushes what was written up to now, unless `ticket` has been served meanwhile.
    pub(super) fn run<E>(
        &self,
        ticket: u64,
        flush: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let _flushing = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.flushed.load(Ordering::Acquire);
        if before >= ticket {
            return Ok(());
        }
        let upto = self.last();
        flush()?;
        self.flushed.store(upto, Ordering::Release);
        let credit = self.credit.load(Ordering::Relaxed);
        let served_several = upto - before > 1;
        let credit = if served_several {
            CREDIT
        } else {
            credit.saturating_sub(1)
        };
        self.credit.store(credit, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_flush_serves_all_that_was_written_before_it() {
        let flush = Flush::new();
        let (first, second) = (flush.wrote(), flush.wrote());
        let mut runs = 0;
        for ticket in [first, second] {
            flush
                .run(ticket, || {
                    runs += 1;
                    Ok::<_, ()>(())
                })
                .expect("it did not fail");
        }
        assert_eq!(runs, 1);
        assert!(flush.is_done(second));
        assert!(flush.is_worth_waiting(second + 1));
    }

    #[test]
    fn a_lone_writer_soon_stops_waiting_for_others() {
        let flush = Flush::new();
        let waits = (0..160).filter(|_| {
            let ticket = flush.wrote();
            let waits = flush.is_worth_waiting(ticket);
            flush
                .run(ticket, || Ok::<_, ()>(()))
                .expect("it did not fail");
            waits
        });
        assert_eq!(waits.count(), 10);
    }

    #[test]
    fn a_failed_flush_serves_nobody() {
        let flush = Flush::new();
        let ticket = flush.wrote();
        assert_eq!(flush.run(ticket, || Err(())), Err(()));
        assert!(!flush.is_done(ticket));
    }
}
