//! The records of a Berkeley DB Btree file, version 9, in either byte order, with or without page
//! checksums (which are skipped, not verified).
//!
//! The leaf pages are taken in the order of the file, not along their `next` links: each page is
//! read once whatever it says, so no link can loop or lead astray, a damaged page costs what stood
//! on it and nothing else, and a disk reads ahead. The records therefore come in no particular
//! order. In a file whose last change was not written out completely, a page split may be half
//! done, and the records of the moved half come twice; in a complete file each comes once.
//! The index pages are read only to count the leaves they name, so that a leaf page that was
//! overwritten by zeros (which would look free) is noticed.
//!
//! Not here: writing, duplicates, record numbers, subdatabases, encryption.
//!
//! Source: Berkeley DB 5.3, `src/dbinc/db_page.h`, "GENERIC METADATA PAGE HEADER", "BTREE METADATA
//! PAGE LAYOUT", "BTREE/HASH MAIN PAGE LAYOUT", "BTREE PAGE LAYOUT"; that freed pages get the type
//! 0: observed with Berkeley DB 5.3.28.

mod page;

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use self::page::{Header, Item, Kind, Meta};
pub(crate) use self::page::{Identity, Lsn};
use crate::error::{Damage, DamageKind, ExchangeError};

/// One key and its value, and the leaf page they stood on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) page: u32,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// Walks the leaves of a Btree. A damaged place is an `Err` between records; the walk goes on.
#[derive(Debug)]
pub(crate) struct Leaves<R> {
    pages: PageSource<R>,
    current: u32,
    leaf: Option<Leaf>,
    overflow_reads: u32,
    leaves_named: Option<u64>,
    leaves_found: u64,
    ending: Ending,
}

/// Where the walk stands on the current leaf.
#[derive(Debug)]
struct Leaf {
    buffer: Vec<u8>,
    items: u16,
    next: u16,
    /// Bytes of items taken so far; a sound page never exceeds its own size.
    taken: usize,
}

/// What is left to say behind the last page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Missing,
    LeafCount,
    Over,
}

impl<R: Read + Seek> Leaves<R> {
    /// Reads the first page of `reader`; `path` is for the error.
    pub(crate) fn open(reader: R, path: &Path) -> Result<Self, ExchangeError> {
        Ok(Self {
            pages: PageSource::open(reader, path)?,
            current: 0,
            leaf: None,
            overflow_reads: 0,
            leaves_named: None,
            leaves_found: 0,
            ending: Ending::Missing,
        })
    }

    /// How many pages the file has, a last incomplete one included.
    pub(crate) fn pages(&self) -> u32 {
        self.pages.count()
    }

    /// The page that is being read.
    pub(crate) fn current(&self) -> u32 {
        self.current
    }

    /// Goes to the next page and sets it up when it is a leaf.
    fn turn_page(&mut self) -> Result<(), Damage> {
        self.current += 1;
        let buffer = self.pages.read(self.current)?;
        let order = self.pages.meta.order;
        let damage = |offset, kind| Damage {
            page: self.current,
            offset,
            kind,
        };
        let header =
            Header::parse(&buffer, order).ok_or_else(|| damage(0, DamageKind::CutShort))?;
        let kind = match header.kind {
            Kind::Unknown(kind) => return Err(damage(25, DamageKind::PageType(kind))),
            // A free page may be all zeros, its number too.
            Kind::Free => return Ok(()),
            kind => kind,
        };
        if header.number != self.current {
            return Err(damage(8, DamageKind::WrongNumber(header.number)));
        }
        let holds_items = matches!(kind, Kind::Leaf | Kind::Internal);
        if holds_items && !self.pages.meta.fits(header.entries) {
            return Err(damage(20, DamageKind::ItemCount(header.entries)));
        }
        match kind {
            Kind::Internal if header.level == LEVEL_ABOVE_LEAVES => {
                *self.leaves_named.get_or_insert(0) += u64::from(header.entries);
            }
            Kind::Leaf => {
                self.leaves_found += 1;
                self.leaf = Some(Leaf {
                    buffer,
                    items: header.entries,
                    next: 0,
                    taken: 0,
                });
            }
            _ => {}
        }
        Ok(())
    }

    /// The next record of `leaf`: `Ok(None)` for a deleted one.
    fn record(&mut self, leaf: &mut Leaf) -> Result<Option<Record>, Damage> {
        let first = leaf.next;
        leaf.next = leaf.next.saturating_add(2);
        let key = self.item(leaf, first)?;
        if first + 1 >= leaf.items {
            return Err(self.damage(20, DamageKind::NoValue));
        }
        let value = self.item(leaf, first + 1)?;
        if key.deleted() || value.deleted() {
            return Ok(None);
        }
        Ok(Some(Record {
            page: self.current,
            key: self.bytes(&key)?,
            value: self.bytes(&value)?,
        }))
    }

    /// The item number `index` of `leaf`, its bytes copied out when they stand on the page.
    fn item(&self, leaf: &mut Leaf, index: u16) -> Result<Item, Damage> {
        let slot = self.pages.meta.slot(index);
        let order = self.pages.meta.order;
        let outside = || self.damage(slot, DamageKind::ItemPlace);
        let offset = order
            .u16_at(&leaf.buffer, slot as usize)
            .ok_or_else(outside)?;
        let item = match Item::parse(&leaf.buffer, usize::from(offset), order) {
            Some(Ok(item)) => item,
            Some(Err(kind)) => {
                return Err(self.damage(u32::from(offset) + 2, DamageKind::ItemType(kind)));
            }
            None => return Err(outside()),
        };
        leaf.taken += item.on_page();
        if leaf.taken > leaf.buffer.len() {
            leaf.next = leaf.items;
            return Err(outside());
        }
        Ok(item)
    }

    fn bytes(&mut self, item: &Item) -> Result<Vec<u8>, Damage> {
        match item {
            Item::Inline { bytes, .. } => Ok(bytes.clone()),
            &Item::Overflow { page, length, .. } => self.overflow(page, length),
        }
    }

    /// The bytes of a long item, which stand on a chain of pages of their own.
    fn overflow(&mut self, first: u32, length: u32) -> Result<Vec<u8>, Damage> {
        if length > ITEM_MAX {
            return Err(self.damage(0, DamageKind::OverflowLength(length)));
        }
        let mut bytes = Vec::new();
        let mut page = first;
        while bytes.len() < length as usize {
            if page == 0 || page >= self.pages() {
                return Err(self.damage(0, DamageKind::OverflowPage(page)));
            }
            // Each page belongs to one item, so that a sound file is through after one reading of
            // all; this bounds what a hostile one can make us do.
            self.overflow_reads = self.overflow_reads.saturating_add(1);
            if self.overflow_reads > self.pages() {
                return Err(self.damage(0, DamageKind::OverflowReused));
            }
            let buffer = self.pages.read(page)?;
            let header = Header::parse(&buffer, self.pages.meta.order)
                .filter(|header| header.kind == Kind::Overflow && header.number == page)
                .ok_or_else(|| self.damage(0, DamageKind::NotOverflow(page)))?;
            let start = self.pages.meta.header_length();
            let end = start + usize::from(header.free_or_length);
            match buffer.get(start..end) {
                Some(part) if !part.is_empty() => bytes.extend_from_slice(part),
                _ => return Err(self.damage(0, DamageKind::NotOverflow(page))),
            }
            page = header.next;
        }
        if bytes.len() != length as usize {
            return Err(self.damage(0, DamageKind::OverflowLength(length)));
        }
        Ok(bytes)
    }

    /// The checks that need the whole file, one at a time.
    fn end(&mut self) -> Option<Damage> {
        if self.ending == Ending::Missing {
            self.ending = Ending::LeafCount;
            let missing = self.pages.meta.last_page.saturating_add(1);
            let missing = missing.saturating_sub(self.pages());
            if missing > 0 {
                return Some(Damage {
                    page: self.pages(),
                    offset: 0,
                    kind: DamageKind::PagesMissing(missing),
                });
            }
        }
        if self.ending == Ending::LeafCount {
            self.ending = Ending::Over;
            // Without an index page the root is the only leaf.
            let named = self.leaves_named.unwrap_or(1);
            let found = self.leaves_found;
            if named != found {
                return Some(Damage {
                    page: self.pages.meta.root,
                    offset: 0,
                    kind: DamageKind::LeafCount { named, found },
                });
            }
        }
        None
    }

    fn damage(&self, offset: u32, kind: DamageKind) -> Damage {
        Damage {
            page: self.current,
            offset,
            kind,
        }
    }
}

impl<R: Read + Seek> Iterator for Leaves<R> {
    type Item = Result<Record, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(mut leaf) = self.leaf.take()
                && leaf.next < leaf.items
            {
                let record = self.record(&mut leaf);
                self.leaf = Some(leaf);
                match record.transpose() {
                    None => continue,
                    outcome => return outcome,
                }
            }
            if self.current.saturating_add(1) >= self.pages() {
                return self.end().map(Err);
            }
            if let Err(damage) = self.turn_page() {
                return Some(Err(damage));
            }
        }
    }
}

/// The pages of a file, read one at a time.
#[derive(Debug)]
pub(crate) struct PageSource<R> {
    reader: R,
    length: u64,
    meta: Meta,
}

impl<R: Read + Seek> PageSource<R> {
    /// Reads the first page of `reader`; `path` is for the error.
    pub(crate) fn open(mut reader: R, path: &Path) -> Result<Self, ExchangeError> {
        let io_error = |source| ExchangeError::Io {
            path: path.to_path_buf(),
            source,
        };
        let length = reader.seek(SeekFrom::End(0)).map_err(io_error)?;
        if length < Meta::LENGTH as u64 {
            return Err(ExchangeError::TooShort {
                path: path.to_path_buf(),
                length,
            });
        }
        let mut first = [0; Meta::LENGTH];
        reader.seek(SeekFrom::Start(0)).map_err(io_error)?;
        reader.read_exact(&mut first).map_err(io_error)?;
        Ok(Self {
            reader,
            length,
            meta: Meta::parse(&first, path)?,
        })
    }

    /// The name that Berkeley DB gave the file once and for all.
    pub(crate) fn identity(&self) -> Identity {
        self.meta.identity
    }

    /// The place in the logs of the last change of a page; `None` if the page cannot be read.
    pub(crate) fn lsn(&mut self, number: u32) -> Option<Lsn> {
        let page = self.read(number).ok()?;
        Lsn::parse(&page, self.meta.order)
    }

    fn count(&self) -> u32 {
        let pages = self.length.div_ceil(u64::from(self.meta.page_size));
        u32::try_from(pages).unwrap_or(u32::MAX)
    }

    fn read(&mut self, number: u32) -> Result<Vec<u8>, Damage> {
        let size = self.meta.page_size as usize;
        let mut buffer = vec![0; size];
        let start = u64::from(number) * size as u64;
        self.reader
            .seek(SeekFrom::Start(start))
            .and_then(|_| self.reader.read_exact(&mut buffer))
            .map_err(|error| Damage {
                page: number,
                offset: 0,
                kind: match error.kind() {
                    io::ErrorKind::UnexpectedEof => DamageKind::CutShort,
                    kind => DamageKind::Unreadable(kind),
                },
            })?;
        Ok(buffer)
    }
}

/// Leaves are at level 1.
const LEVEL_ABOVE_LEAVES: u8 = 2;

/// The longest item that is read. Postgrey's longest key has three attributes of 512 bytes.
const ITEM_MAX: u32 = 64 * 1024;
