//! The bytes of one page: the first page's facts, a page's header, an item. Pure; nothing here
//! trusts a number it has read.
//!
//! Source: Berkeley DB 5.3, `src/dbinc/db_page.h`.

use std::path::Path;

use crate::error::ExchangeError;

/// In which order the file keeps the bytes of its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    pub(super) fn u16_at(self, bytes: &[u8], offset: usize) -> Option<u16> {
        let bytes = bytes.get(offset..)?.first_chunk()?;
        Some(match self {
            Self::Little => u16::from_le_bytes(*bytes),
            Self::Big => u16::from_be_bytes(*bytes),
        })
    }

    fn u32_at(self, bytes: &[u8], offset: usize) -> Option<u32> {
        let bytes = bytes.get(offset..)?.first_chunk()?;
        Some(match self {
            Self::Little => u32::from_le_bytes(*bytes),
            Self::Big => u32::from_be_bytes(*bytes),
        })
    }
}

/// The name that Berkeley DB gives a file once and for all.
pub(crate) type Identity = [u8; 20];

/// A place in the transaction logs: number of the log and offset in it. Places order as the
/// records do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lsn {
    pub(crate) log: u32,
    pub(crate) offset: u32,
}

impl Lsn {
    /// The place of the last change of `page`.
    pub(super) fn parse(page: &[u8], order: Order) -> Option<Self> {
        Some(Self {
            log: order.u32_at(page, 0)?,
            offset: order.u32_at(page, 4)?,
        })
    }
}

/// What the first page says about the file.
#[derive(Debug)]
pub(super) struct Meta {
    pub(super) order: Order,
    pub(super) page_size: u32,
    pub(super) last_page: u32,
    pub(super) root: u32,
    pub(super) identity: Identity,
    checksums: bool,
}

impl Meta {
    /// The part of the first page that is defined, and the smallest page size.
    pub(super) const LENGTH: usize = 512;

    pub(super) fn parse(first: &[u8; Self::LENGTH], path: &Path) -> Result<Self, ExchangeError> {
        let path = || path.to_path_buf();
        let number = |order: Order, offset| {
            order
                .u32_at(first, offset)
                .expect("the offsets below are all within 512 bytes")
        };
        let order = match number(Order::Little, 12) {
            MAGIC => Order::Little,
            _ if number(Order::Big, 12) == MAGIC => Order::Big,
            magic => {
                let path = path();
                return Err(ExchangeError::NotBtree { path, magic });
            }
        };
        let version = number(order, 16);
        if version != VERSION {
            let path = path();
            return Err(ExchangeError::Version { path, version });
        }
        let [encryption, kind, meta_flags, _] = number(Order::Little, 24).to_le_bytes();
        if encryption != 0 {
            return Err(ExchangeError::Encrypted { path: path() });
        }
        let header = |field, value| {
            let path = path();
            Err(ExchangeError::Header { path, field, value })
        };
        if kind != KIND_BTREE_META {
            return header("the page type", u32::from(kind));
        }
        let page_size = number(order, 20);
        if !page_size.is_power_of_two() || !(512..=65536).contains(&page_size) {
            return header("the page size", page_size);
        }
        let flags = number(order, 48);
        if flags != 0 {
            let path = path();
            return Err(ExchangeError::OtherKind { path, flags });
        }
        Ok(Self {
            order,
            page_size,
            last_page: number(order, 32),
            root: number(order, 88),
            identity: *first
                .get(52..)
                .and_then(<[u8]>::first_chunk)
                .expect("512 bytes hold it"),
            checksums: meta_flags & META_CHECKSUMS != 0,
        })
    }

    /// Where on a page the item offsets, or an overflow page's data, begin.
    pub(super) fn header_length(&self) -> usize {
        if self.checksums { 32 } else { 26 }
    }

    /// Where on a page the offset of item `index` stands.
    pub(super) fn slot(&self, index: u16) -> u32 {
        // Cannot cut: the header has at most 32 bytes.
        self.header_length() as u32 + 2 * u32::from(index)
    }

    /// Whether a page has room for the offsets of `entries` items.
    pub(super) fn fits(&self, entries: u16) -> bool {
        self.slot(entries) <= self.page_size
    }
}

/// What a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Free,
    Internal,
    Leaf,
    Overflow,
    Unknown(u8),
}

/// The header of every page but the first.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) number: u32,
    pub(super) next: u32,
    pub(super) entries: u16,
    /// The end of the free room; on an overflow page the length of its data.
    pub(super) free_or_length: u16,
    pub(super) level: u8,
    pub(super) kind: Kind,
}

impl Header {
    pub(super) fn parse(page: &[u8], order: Order) -> Option<Self> {
        Some(Self {
            number: order.u32_at(page, 8)?,
            next: order.u32_at(page, 16)?,
            entries: order.u16_at(page, 20)?,
            free_or_length: order.u16_at(page, 22)?,
            level: *page.get(24)?,
            kind: match *page.get(25)? {
                0 => Kind::Free,
                3 => Kind::Internal,
                5 => Kind::Leaf,
                7 => Kind::Overflow,
                kind => Kind::Unknown(kind),
            },
        })
    }
}

/// A key or a value on a leaf.
#[derive(Debug)]
pub(super) enum Item {
    Inline {
        deleted: bool,
        bytes: Vec<u8>,
    },
    /// It stands on a chain of pages of its own.
    Overflow {
        deleted: bool,
        page: u32,
        length: u32,
    },
}

impl Item {
    /// `None` if it does not fit into the page, `Some(Err(type))` if its type is unknown.
    pub(super) fn parse(page: &[u8], offset: usize, order: Order) -> Option<Result<Self, u8>> {
        let length = order.u16_at(page, offset)?;
        let kind = *page.get(offset + 2)?;
        let deleted = kind & ITEM_DELETED != 0;
        Some(match kind & !ITEM_DELETED {
            ITEM_INLINE => {
                let start = offset + 3;
                let bytes = page.get(start..start + usize::from(length))?.to_vec();
                Ok(Self::Inline { deleted, bytes })
            }
            ITEM_OVERFLOW => Ok(Self::Overflow {
                deleted,
                page: order.u32_at(page, offset + 4)?,
                length: order.u32_at(page, offset + 8)?,
            }),
            kind => Err(kind),
        })
    }

    pub(super) fn deleted(&self) -> bool {
        match self {
            Self::Inline { deleted, .. } | Self::Overflow { deleted, .. } => *deleted,
        }
    }

    /// How many bytes of the page it takes.
    pub(super) fn on_page(&self) -> usize {
        match self {
            Self::Inline { bytes, .. } => 3 + bytes.len(),
            Self::Overflow { .. } => 12,
        }
    }
}

const MAGIC: u32 = 0x0005_3162;
const VERSION: u32 = 9;
const KIND_BTREE_META: u8 = 9;
const META_CHECKSUMS: u8 = 1;
const ITEM_INLINE: u8 = 1;
const ITEM_OVERFLOW: u8 = 3;
const ITEM_DELETED: u8 = 0x80;
