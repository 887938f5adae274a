//! The records of Berkeley DB's transaction logs, as far as they tell which pages were changed.
//!
//! Source: Berkeley DB 5.3, `src/dbinc/log.h` ("HDR", "LOG_HDR_SUM", `struct __log_persist`),
//! `src/db/db.src`, `src/btree/btree.src`; the file and checkpoint records as `db_printlog` of
//! 5.3.28 shows them.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::{Stop, WhyUnknown};
use crate::btree::{Identity, Lsn};

/// What a record means for the question.
pub(super) enum Meaning {
    /// Pages older than this place are in their files.
    Checkpoint(Lsn),
    /// From now on the file with this identity has this number.
    Open(u32, Identity),
    /// Pages of the file with the number `id` were changed.
    Change {
        id: u32,
        pages: [Option<u32>; 2],
        freed: bool,
    },
    /// A change of a kind that Postgrey does not make.
    OtherChange,
    Nothing,
}

impl Meaning {
    fn change(id: u32, pages: [Option<u32>; 2]) -> Self {
        let freed = false;
        Self::Change { id, pages, freed }
    }
}

/// Shows `visit` the records of one log in order.
pub(super) fn walk(
    directory: &Path,
    log: u32,
    mut visit: impl FnMut(Lsn, Meaning),
) -> Result<(), Stop> {
    let path = directory.join(format!("log.{log:010}"));
    let outcome = File::open(&path).and_then(|file| {
        let mut records = Records {
            reader: BufReader::new(file),
            offset: 0,
            order: ByteOrder::Little,
            body: Vec::new(),
        };
        loop {
            let offset = records.offset;
            let damaged = || Stop::Unknown(WhyUnknown::Damaged { log, offset });
            let mut fields = match records.next()? {
                Step::End => return Ok(Ok(())),
                Step::Damaged => return Ok(Err(damaged())),
                Step::Record(fields) => fields,
            };
            if offset == 0 {
                if let Err(stop) = check_version(&mut fields, log) {
                    return Ok(Err(stop));
                }
            } else if let Some(meaning) = meaning(&mut fields) {
                visit(Lsn { log, offset }, meaning);
            } else {
                return Ok(Err(damaged()));
            }
        }
    });
    outcome.unwrap_or_else(|source| Err(Stop::Io { path, source }))
}

/// The records of a log as bytes.
struct Records {
    reader: BufReader<File>,
    /// Where the next record begins.
    offset: u32,
    order: ByteOrder,
    body: Vec<u8>,
}

/// What comes next in a log.
enum Step<'a> {
    Record(Fields<'a>),
    End,
    Damaged,
}

impl Records {
    fn next(&mut self) -> io::Result<Step<'_>> {
        self.read(RECORD_HEADER)?;
        // Behind the last record is the room that was set aside and not used.
        if self.body.iter().all(|&byte| byte == 0) {
            return Ok(Step::End);
        }
        let Some(header) = self.body.first_chunk() else {
            return Ok(Step::Damaged);
        };
        if self.offset == 0 {
            self.order = ByteOrder::of(*header);
        }
        let [previous, size, checksum] = self.order.numbers(*header);
        let Some(rest) = size
            .checked_sub(RECORD_HEADER)
            .filter(|rest| *rest <= BODY_MAX)
        else {
            return Ok(Step::Damaged);
        };
        self.read(rest)?;
        let next = self.offset.checked_add(size);
        let is_whole = self.body.len() == rest as usize;
        match next {
            Some(next) if is_whole && sum(&self.body) ^ previous ^ size == checksum => {
                self.offset = next;
                let order = self.order;
                let rest = &self.body;
                Ok(Step::Record(Fields { rest, order }))
            }
            _ => Ok(Step::Damaged),
        }
    }

    /// Reads `length` bytes into the body, fewer at the end of the file.
    fn read(&mut self, length: u32) -> io::Result<()> {
        self.body.clear();
        let mut part = self.reader.by_ref().take(u64::from(length));
        part.read_to_end(&mut self.body).map(|_| ())
    }
}

/// The first record says what the file is.
fn check_version(fields: &mut Fields<'_>, log: u32) -> Result<(), Stop> {
    let damaged = Stop::Unknown(WhyUnknown::Damaged { log, offset: 0 });
    match (fields.number(), fields.number()) {
        (Some(LOG_MAGIC), Some(LOG_VERSION)) => Ok(()),
        (Some(LOG_MAGIC), Some(version)) => {
            Err(Stop::Unknown(WhyUnknown::Version { log, version }))
        }
        _ => Err(damaged),
    }
}

fn meaning(fields: &mut Fields<'_>) -> Option<Meaning> {
    let kind = fields.number()?;
    // The transaction and the place of its previous record.
    fields.skip(3)?;
    Some(match kind {
        KIND_CHECKPOINT => Meaning::Checkpoint(Lsn {
            log: fields.number()?,
            offset: fields.number()?,
        }),
        KIND_FILE => opening(fields)?,
        // An item added or removed, a piece of a long item: an operation code comes first.
        41 | 43 => {
            fields.skip(1)?;
            Meaning::change(fields.number()?, [Some(fields.number()?), None])
        }
        // A reference count of a long item, items adjusted, deleted, replaced.
        44 | 55..=58 | 67 => Meaning::change(fields.number()?, [Some(fields.number()?), None]),
        // A page allocated.
        49 => {
            let id = fields.number()?;
            fields.skip(5)?;
            Meaning::change(id, [Some(fields.number()?), None])
        }
        // A page given free.
        50 | 52 => Meaning::Change {
            id: fields.number()?,
            pages: [Some(fields.number()?), None],
            freed: true,
        },
        // A page split in two.
        62 => {
            let id = fields.number()?;
            fields.skip(1)?;
            let left = fields.number()?;
            fields.skip(2)?;
            Meaning::change(id, [Some(left), Some(fields.number()?)])
        }
        // The only page below the root copied over it.
        63 => {
            let id = fields.number()?;
            fields.skip(1)?;
            fields.bytes()?;
            Meaning::change(id, [Some(fields.number()?), None])
        }
        // Transactions; nothing done; files made; links around a page.
        10..=14 | 48 | 143 | 145..=147 => Meaning::Nothing,
        _ => Meaning::OtherChange,
    })
}

/// A file was opened or closed, or is open while a checkpoint is made. It has its number in each
/// case, and a closed file is not changed.
fn opening(fields: &mut Fields<'_>) -> Option<Meaning> {
    fields.skip(1)?;
    fields.bytes()?;
    let identity = Identity::try_from(fields.bytes()?).ok()?;
    Some(Meaning::Open(fields.number()?, identity))
}

/// In which order a log keeps the bytes of its numbers: that of the machine that wrote it.
#[derive(Debug, Clone, Copy)]
enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    /// Told by the header of the first record, whose length is 28 in the right order.
    fn of(header: [u8; 12]) -> Self {
        match Self::Big.numbers(header) {
            [_, 28, _] => Self::Big,
            _ => Self::Little,
        }
    }

    fn number(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    /// Offset of the previous record, length and checksum of this one.
    fn numbers(self, header: [u8; 12]) -> [u32; 3] {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = header;
        [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(|bytes| self.number(bytes))
    }
}

/// The fields of a record that have not been read yet.
struct Fields<'a> {
    rest: &'a [u8],
    order: ByteOrder,
}

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(self.order.number(*number))
    }

    fn skip(&mut self, numbers: usize) -> Option<()> {
        self.rest = self.rest.get(4 * numbers..)?;
        Some(())
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number()? as usize;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }
}

/// The checksum of a record before previous offset and length are mixed in: times 33 and add.
fn sum(body: &[u8]) -> u32 {
    body.iter().fold(0, |sum: u32, &byte| {
        sum.wrapping_mul(33).wrapping_add(u32::from(byte))
    })
}

const RECORD_HEADER: u32 = 12;

/// No record is longer than a log, which has 10 MB.
const BODY_MAX: u32 = 16 << 20;

const LOG_MAGIC: u32 = 0x0004_0988;
const LOG_VERSION: u32 = 19;
const KIND_FILE: u32 = 2;
const KIND_CHECKPOINT: u32 = 11;
