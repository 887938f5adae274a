//! Pages of records out of the tree.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::ops::Bound;

use fjall::{Iter, Readable, UserValue};
use greylatch_core::{Page, Query};

use super::engine::Engine;
use super::fault::Fault;
use super::place::Place;
use crate::error::StoreError;
use crate::format::RecordKey;
use crate::listing::{self, Listing};

impl Engine {
    pub(super) fn browse(&self, query: &Query) -> Result<Page, StoreError> {
        self.page(query).map_err(|fault| self.fail(fault))
    }

    fn page(&self, query: &Query) -> Result<Page, Fault> {
        let (first, last, with_first) = listing::range(query);
        // In one moment: an entry that moves meanwhile is told once.
        let now = self.database.snapshot();
        let ranges = Place::all(&first)
            .zip(Place::all(&last))
            .map(|(first, last)| {
                let from = if with_first {
                    Bound::Included(*first.bytes())
                } else {
                    Bound::Excluded(*first.bytes())
                };
                let range = now.range(&self.keyspace, (from, Bound::Included(*last.bytes())));
                Records(range).peekable()
            });
        let mut ranges: Vec<_> = ranges.collect();
        let mut listing = Listing::new(query, &self.tally);
        while let Some(read) = next_of(&mut ranges) {
            let (key, value) = read?;
            if !listing.offer(&key, &value)? {
                break;
            }
        }
        Ok(listing.page())
    }
}

/// Records as they lie in the tree.
struct Records(Iter);

impl Iterator for Records {
    type Item = Result<(RecordKey, UserValue), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.0.next()?.into_inner().map_err(Fault::from);
        Some(read.and_then(|(key, value)| Ok((Place::try_from(&*key)?.record_key()?, value))))
    }
}

/// The next record of several ranges, by key; an error before any record.
fn next_of(ranges: &mut [Peekable<Records>]) -> Option<<Records as Iterator>::Item> {
    let order = |one: &_, other: &_| match (one, other) {
        (Ok((one, _)), Ok((other, _))) => RecordKey::cmp(one, other),
        (Err(_), _) => Ordering::Less,
        (_, Err(_)) => Ordering::Greater,
    };
    let mut next: Option<&mut Peekable<Records>> = None;
    for range in ranges {
        let Some(head) = range.peek() else { continue };
        let later = next
            .as_mut()
            .and_then(|next| next.peek())
            .is_some_and(|least| order(head, least) != Ordering::Less);
        if !later {
            next = Some(range);
        }
    }
    next?.next()
}
