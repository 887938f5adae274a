//! Postgrey's two databases: `postgrey.db` with the triplets and `postgrey_clients.db` with the
//! clients that passed so often that they need not wait, as versions up to 1.37 write them.
//!
//! Not here: which entries still count. That depends on the configuration of the new server.
//!
//! Source: the files of Postgrey 1.37 (Debian 1.37-2, Berkeley DB 5.3.28), made and compared with
//! `db_dump -p`; postgrey(8).

mod key;
mod logs;

use std::fs::File;
use std::io::{Read, Seek};
use std::net::IpAddr;
use std::path::Path;

pub use self::key::{Parts, TripletKey};
pub use self::logs::{Completeness, WhyUnknown};
use crate::btree::{Leaves, Record};
use crate::error::{ExchangeError, Skipped};

/// One of Postgrey's database files, its first page read. It is read once, from front to back, a
/// page at a time; it is never written to.
#[derive(Debug)]
pub struct PostgreyFile<R = File> {
    leaves: Leaves<R>,
}

impl PostgreyFile {
    /// Opens the file at `path`.
    ///
    /// # Errors
    ///
    /// [`ExchangeError::Io`] if it cannot be read; the others if it is no Btree that Postgrey
    /// could have made.
    pub fn open(path: &Path) -> Result<Self, ExchangeError> {
        let file = File::open(path).map_err(|source| ExchangeError::Io {
            path: path.to_path_buf(),
            source,
        })?;
        Self::from_reader(file, path)
    }
}

impl<R: Read + Seek> PostgreyFile<R> {
    /// Takes an open file, or its bytes; `path` only serves to name it in errors.
    ///
    /// # Errors
    ///
    /// As [`PostgreyFile::open`].
    pub fn from_reader(reader: R, path: &Path) -> Result<Self, ExchangeError> {
        Ok(Self {
            leaves: Leaves::open(reader, path)?,
        })
    }

    /// How many pages the file has.
    pub fn pages(&self) -> u32 {
        self.leaves.pages()
    }

    /// The triplets of a `postgrey.db`, with no time later than `now_s` (Unix seconds).
    pub fn triplets(self, now_s: i64) -> Triplets<R> {
        Triplets {
            leaves: self.leaves,
            now_s,
            counts: Counts::default(),
        }
    }

    /// The records as they stand in the file, in no particular order. What is damaged is left out and
    /// counted behind the last: [`Stored::damaged`].
    pub fn stored(self) -> Stored<R> {
        Stored {
            leaves: self.leaves,
            damaged: 0,
        }
    }

    /// The clients of a `postgrey_clients.db`, with no time later than `now_s` (Unix seconds).
    pub fn clients(self, now_s: i64) -> Clients<R> {
        Clients {
            leaves: self.leaves,
            now_s,
            counts: Counts::default(),
        }
    }
}

/// What has been read so far. What an iterator gave as [`Skipped`] is in one of the last two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records that were given.
    pub read: u64,
    /// Of these, those whose times could not be and were set right.
    pub corrected: u64,
    /// Records that were none of Postgrey's.
    pub dropped: u64,
    /// Damaged places.
    pub damaged: u64,
}

impl Counts {
    fn count<T>(&mut self, outcome: Result<(T, Corrected), Skipped>) -> Result<T, Skipped> {
        match &outcome {
            Ok((_, corrected)) => {
                self.read += 1;
                self.corrected += u64::from(corrected.0);
            }
            Err(Skipped::Damaged(_)) => self.damaged += 1,
            Err(Skipped::Key { .. } | Skipped::Value { .. }) => self.dropped += 1,
        }
        outcome.map(|(record, _)| record)
    }
}

/// Whether the times of a record had to be set right.
#[derive(Debug, Clone, Copy)]
struct Corrected(bool);

/// One triplet as Postgrey 1.37 knows it. `first_s <= last_s <= now_s` always holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgreyTriplet {
    /// What it is known by.
    pub key: TripletKey,
    /// When its present waiting began, in Unix seconds.
    pub first_s: i64,
    /// When it was last seen, in Unix seconds. It has waited if this is `--delay` or more behind
    /// `first_s`.
    pub last_s: i64,
}

/// The triplets of a file, in no particular order. An `Err` is something that was skipped.
///
/// In a file that is not [`Completeness::Complete`] a triplet may come twice; the later `last_s`
/// is the right one.
#[derive(Debug)]
pub struct Triplets<R = File> {
    leaves: Leaves<R>,
    now_s: i64,
    counts: Counts,
}

impl<R: Read + Seek> Triplets<R> {
    /// The page that the last item came from, counted from 0.
    pub fn page(&self) -> u32 {
        self.leaves.current()
    }

    /// What has been given and skipped so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

impl<R: Read + Seek> Iterator for Triplets<R> {
    type Item = Result<PostgreyTriplet, Skipped>;

    fn next(&mut self) -> Option<Self::Item> {
        let outcome = self.leaves.next()?;
        let outcome = outcome
            .map_err(Skipped::from)
            .and_then(|record| triplet(record, self.now_s));
        Some(self.counts.count(outcome))
    }
}

fn triplet(record: Record, now_s: i64) -> Result<(PostgreyTriplet, Corrected), Skipped> {
    let Record { page, key, value } = record;
    let Some((stored_first_s, stored_last_s)) = two_numbers(&value) else {
        return Err(Skipped::Value { page, key, value });
    };
    let Some(key) = TripletKey::from_stored(&key) else {
        return Err(Skipped::Key { page, key });
    };
    // A last before the first means "has not waited", and so does an equal one; the due time,
    // which is reckoned from the first, stays what it was.
    let first_s = stored_first_s.min(now_s);
    let last_s = stored_last_s.min(now_s).max(first_s);
    let corrected = Corrected((first_s, last_s) != (stored_first_s, stored_last_s));
    let triplet = PostgreyTriplet {
        key,
        first_s,
        last_s,
    };
    Ok((triplet, corrected))
}

/// The records of a file as they stand: key and value.
#[derive(Debug)]
pub struct Stored<R = File> {
    leaves: Leaves<R>,
    damaged: u64,
}

impl<R: Read + Seek> Stored<R> {
    /// How many damaged places were met so far.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }
}

impl<R: Read + Seek> Iterator for Stored<R> {
    type Item = (Vec<u8>, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.leaves.next()? {
                Ok(record) => return Some((record.key, record.value)),
                Err(_) => self.damaged += 1,
            }
        }
    }
}

/// What Postgrey counted for one client address. `last_s <= now_s` always holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgreyClient {
    /// What the client is known by.
    pub key: ClientKey,
    /// How many triplets of it passed, at most one an hour.
    pub count: u32,
    /// When it was last counted, in Unix seconds.
    pub last_s: i64,
}

/// What a client is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientKey {
    /// Its full address. Postgrey 1.37 takes an IPv4-mapped IPv6 address as IPv6, so does this.
    Address(IpAddr),
    /// With `--privacy`: 40 hexadecimal digits, the SHA-1 of the address as 1.37 prints it (IPv6
    /// in eight groups without zero compression, in upper case).
    Hashed([u8; 40]),
}

impl ClientKey {
    fn from_stored(stored: &[u8]) -> Option<Self> {
        if let Some(digits) = key::hashed(stored) {
            return Some(Self::Hashed(digits));
        }
        let address = str::from_utf8(stored).ok()?.parse().ok()?;
        Some(Self::Address(address))
    }
}

/// The clients of a file, in no particular order. An `Err` is something that was skipped.
///
/// In a file that is not [`Completeness::Complete`] a client may come twice; the higher count is
/// the right one.
#[derive(Debug)]
pub struct Clients<R = File> {
    leaves: Leaves<R>,
    now_s: i64,
    counts: Counts,
}

impl<R: Read + Seek> Clients<R> {
    /// The page that the last item came from, counted from 0.
    pub fn page(&self) -> u32 {
        self.leaves.current()
    }

    /// What has been given and skipped so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

impl<R: Read + Seek> Iterator for Clients<R> {
    type Item = Result<PostgreyClient, Skipped>;

    fn next(&mut self) -> Option<Self::Item> {
        let outcome = self.leaves.next()?;
        let outcome = outcome
            .map_err(Skipped::from)
            .and_then(|record| client(record, self.now_s));
        Some(self.counts.count(outcome))
    }
}

fn client(record: Record, now_s: i64) -> Result<(PostgreyClient, Corrected), Skipped> {
    let Record { page, key, value } = record;
    let Some((count, stored_last_s)) = two_numbers(&value) else {
        return Err(Skipped::Value { page, key, value });
    };
    let Some(key) = ClientKey::from_stored(&key) else {
        return Err(Skipped::Key { page, key });
    };
    let last_s = stored_last_s.min(now_s);
    let client = PostgreyClient {
        key,
        count: u32::try_from(count).unwrap_or(u32::MAX),
        last_s,
    };
    Ok((client, Corrected(last_s != stored_last_s)))
}

/// The first two of the decimal numbers that stand between commas. Postgrey 1.35 and older wrote
/// a third, the client's last octet, which no later version reads.
fn two_numbers(value: &[u8]) -> Option<(i64, i64)> {
    let mut fields = value.split(|&byte| byte == b',');
    let mut number = || {
        let field = fields.next()?;
        // The standard library would also take a sign.
        if !field.iter().all(u8::is_ascii_digit) {
            return None;
        }
        str::from_utf8(field).ok()?.parse::<i64>().ok()
    };
    Some((number()?, number()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_number_is_ignored_and_one_is_too_few() {
        assert_eq!(
            two_numbers(b"1700000000,1700000300"),
            Some((1_700_000_000, 1_700_000_300))
        );
        assert_eq!(two_numbers(b"1,2,10"), Some((1, 2)));
        assert_eq!(two_numbers(b"1,2,"), Some((1, 2)));
        for value in [
            "",
            "1",
            ",",
            "1,",
            ",1",
            "+1,2",
            "-1,2",
            "1,2x",
            "1 ,2",
            "1,99999999999999999999",
        ] {
            assert_eq!(two_numbers(value.as_bytes()), None, "{value}");
        }
    }

    fn times(value: &str) -> (i64, i64, bool) {
        let record = Record {
            page: 1,
            key: b"192.0.2.0/a@b/c@d".to_vec(),
            value: value.as_bytes().to_vec(),
        };
        let (triplet, corrected) = triplet(record, 1000).unwrap();
        (triplet.first_s, triplet.last_s, corrected.0)
    }

    #[test]
    fn impossible_times_are_set_right() {
        assert_eq!(times("400,700"), (400, 700, false));
        assert_eq!(times("1000,1000"), (1000, 1000, false));
        assert_eq!(times("400,1001"), (400, 1000, true));
        assert_eq!(times("1001,1500"), (1000, 1000, true));
        assert_eq!(times("700,400"), (700, 700, true));
        assert_eq!(times("1500,400"), (1000, 1000, true));
    }

    #[test]
    fn a_client_is_known_by_its_address_in_any_spelling() {
        let address = |text: &str| Some(ClientKey::Address(text.parse().unwrap()));
        assert_eq!(ClientKey::from_stored(b"192.0.2.10"), address("192.0.2.10"));
        assert_eq!(
            ClientKey::from_stored(b"2001:DB8:1:2:0:0:0:ABCD"),
            address("2001:db8:1:2::abcd")
        );
        assert_eq!(
            ClientKey::from_stored(b"2001:db8::1"),
            address("2001:db8::1")
        );
        assert_eq!(
            ClientKey::from_stored(b"7e2f0eff7464db35c9c07e8f72fef8dabbb08a7b"),
            Some(ClientKey::Hashed(
                *b"7e2f0eff7464db35c9c07e8f72fef8dabbb08a7b"
            ))
        );
        assert_eq!(ClientKey::from_stored(b"unknown"), None);
        assert_eq!(ClientKey::from_stored(b"\xff"), None);
    }
}
