//! Pages of records, for listing, searching and moving them.

use greylatch_core::{Page, Query, Record};

use crate::format::{self, Malformed, RecordKey, Stored};
use crate::key::{Key, Kind};
use crate::tally::Tally;

/// Records on one page at most.
const PAGE_MAX: usize = 1_000;
/// Records looked at for one page at most.
const LOOKED_AT_MAX: usize = 100_000;

/// The first and last key that a query can mean, and whether the first one itself is meant.
pub(crate) fn range(query: &Query) -> (RecordKey, RecordKey, bool) {
    let kind = if query.clients {
        Kind::Client
    } else {
        Kind::Triplet
    };
    let key = |bytes| RecordKey::new(kind, Key::from_bytes(bytes));
    let first = key(query.after.unwrap_or([0; 16]));
    (first, key([u8::MAX; 16]), query.after.is_none())
}

/// A page under way.
pub(crate) struct Listing<'a> {
    query: &'a Query,
    tally: &'a Tally,
    page: Page,
    looked_at: usize,
    last: [u8; 16],
}

impl<'a> Listing<'a> {
    pub(crate) fn new(query: &'a Query, tally: &'a Tally) -> Self {
        Self {
            query,
            tally,
            page: Page::default(),
            looked_at: 0,
            last: [0; 16],
        }
    }

    /// Looks at the next record; false when the page ends before it.
    pub(crate) fn offer(&mut self, key: &RecordKey, bytes: &[u8]) -> Result<bool, Malformed> {
        if self.page.records.len() >= self.limit() || self.looked_at >= LOOKED_AT_MAX {
            self.page.next = Some(self.last);
            return Ok(false);
        }
        self.looked_at += 1;
        self.last.copy_from_slice(&key.bytes()[1..]);
        let stored = Stored::decode(key, bytes)?;
        if self.tally.visible(Some(stored)).is_some()
            && let Some(record) = format::record(key, bytes)?
            && self.selects(&record)
        {
            self.page.records.push(record);
        }
        Ok(true)
    }

    pub(crate) fn page(self) -> Page {
        self.page
    }

    fn limit(&self) -> usize {
        match self.query.limit {
            0 => PAGE_MAX,
            limit => PAGE_MAX.min(usize::try_from(limit).unwrap_or(PAGE_MAX)),
        }
    }

    fn selects(&self, record: &Record) -> bool {
        let (texts, standing): (&[&[u8]], _) = match record {
            Record::Triplet {
                client,
                sender,
                recipient,
                entry,
                ..
            } => (&[client, sender, recipient], Some(entry.standing)),
            Record::Client { address, .. } => (&[address], None),
        };
        let stands = self
            .query
            .standing
            .is_none_or(|wanted| standing == Some(wanted));
        stands
            && self
                .query
                .matching
                .as_ref()
                .is_none_or(|part| texts.iter().any(|text| occurs(part, text)))
    }
}

fn occurs(part: &[u8], text: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}
