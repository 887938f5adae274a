//! The bytes of a record, version 1. Integers are little-endian; times are seconds since
//! 1970-01-01 00:00:00 UTC in 32 bits without sign, so from 1970 until 2106-02-07 06:28:15:
//! earlier and later times are stored as the nearest of these.
//!
//! The key is the kind (`c` client, `n` network, `t` triplet) and the 16 bytes of [`Key`].
//!
//! ```text
//! at   triplet            client             network
//!  0   version, 1         version, 1         version, 1
//!  1   expires            expires            proven until
//!  5   standing           passes
//!  6   first
//!  9                      last
//! 10   last
//! 13                      length, address
//! 14   due
//! 18   3 x length, text
//! ```
//!
//! Standing: 0 waiting, 1 proven, 2 allowed, 3 refused. Texts are the identities of client,
//! sender and recipient, each behind its length in 16 bits; with privacy the record ends where
//! they would begin. Version and expiry stay where they are in every later version: what purges
//! records reads nothing else.

use greylatch_core::{ClientRecord, Entry, Record, Standing, Timestamp};

use crate::key::{Key, Kind};

/// The version that is written.
const VERSION: u8 = 1;
const ENTRY_BYTES: usize = 18;
const CLIENT_BYTES: usize = 13;

/// Kind and key together: what a record is stored under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RecordKey([u8; 17]);

impl RecordKey {
    pub(crate) fn new(kind: Kind, key: Key) -> Self {
        let mut bytes = [kind as u8; 17];
        bytes[1..].copy_from_slice(&key.bytes());
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8; 17] {
        &self.0
    }

    /// The kind and the two halves of the key, which a hash has made even already.
    pub(crate) fn parts(&self) -> [u64; 3] {
        let half = |at: usize| {
            let mut bits = [0; 8];
            bits.copy_from_slice(&self.0[at..at + 8]);
            u64::from_le_bytes(bits)
        };
        [u64::from(self.0[0]), half(1), half(9)]
    }
}

impl TryFrom<&[u8]> for RecordKey {
    type Error = Malformed;

    fn try_from(bytes: &[u8]) -> Result<Self, Malformed> {
        bytes.try_into().map(Self).map_err(|_| Malformed::Damaged)
    }
}

/// What is stored of one record, without its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    Entry(Entry),
    Client(ClientRecord),
    /// A network has proven entries until then.
    Network(Timestamp),
}

impl Stored {
    /// The same, with its times as the format can hold them.
    pub(crate) fn storable(self) -> Self {
        let clamp = |time: Timestamp| Timestamp(i64::from(seconds(time)));
        match self {
            Self::Entry(entry) => Self::Entry(Entry {
                first: clamp(entry.first),
                last: clamp(entry.last),
                due: clamp(entry.due),
                expires: clamp(entry.expires),
                standing: entry.standing,
            }),
            Self::Client(record) => Self::Client(ClientRecord {
                passes: record.passes,
                last: clamp(record.last),
                expires: clamp(record.expires),
            }),
            Self::Network(until) => Self::Network(clamp(until)),
        }
    }

    /// The bytes of the record with its text: three fields for a triplet, one for a client.
    pub(crate) fn encode(&self, text: &[&[u8]]) -> Vec<u8> {
        let text_bytes: usize = text.iter().map(|field| field.len() + 2).sum();
        let mut bytes = Vec::with_capacity(ENTRY_BYTES + text_bytes);
        bytes.push(VERSION);
        let put = |bytes: &mut Vec<u8>, time| bytes.extend_from_slice(&seconds(time).to_le_bytes());
        match self {
            Self::Entry(entry) => {
                put(&mut bytes, entry.expires);
                bytes.push(standing_byte(entry.standing));
                for time in [entry.first, entry.last, entry.due] {
                    put(&mut bytes, time);
                }
            }
            Self::Client(record) => {
                put(&mut bytes, record.expires);
                bytes.extend_from_slice(&record.passes.to_le_bytes());
                put(&mut bytes, record.last);
            }
            Self::Network(until) => put(&mut bytes, *until),
        }
        if text.iter().any(|field| !field.is_empty()) {
            for field in text {
                let length = u16::try_from(field.len()).unwrap_or(u16::MAX);
                bytes.extend_from_slice(&length.to_le_bytes());
                bytes.extend_from_slice(&field[..usize::from(length)]);
            }
        }
        bytes
    }

    /// Reads a record, but not its text.
    pub(crate) fn decode(key: &RecordKey, bytes: &[u8]) -> Result<Self, Malformed> {
        match bytes.first() {
            Some(&VERSION) => {}
            Some(&version) if version > VERSION => return Err(Malformed::Newer(version)),
            _ => return Err(Malformed::Damaged),
        }
        let expires = time_at(bytes, 1)?;
        match key.0[0] {
            b't' => Ok(Self::Entry(Entry {
                expires,
                standing: standing(*bytes.get(5).ok_or(Malformed::Damaged)?)?,
                first: time_at(bytes, 6)?,
                last: time_at(bytes, 10)?,
                due: time_at(bytes, 14)?,
            })),
            b'c' => Ok(Self::Client(ClientRecord {
                expires,
                passes: number_at(bytes, 5)?,
                last: time_at(bytes, 9)?,
            })),
            b'n' => Ok(Self::Network(expires)),
            _ => Err(Malformed::Damaged),
        }
    }
}

/// When the record expires, whatever its kind and version.
pub(crate) fn expiry(bytes: &[u8]) -> Option<Timestamp> {
    time_at(bytes, 1).ok()
}

/// The first attempt of an entry that waits; `None` for every other record.
pub(crate) fn waiting_since(key: &[u8], bytes: &[u8]) -> Option<Timestamp> {
    let waits = matches!(key.first(), Some(b't' | b'w')) && bytes.get(5) == Some(&0);
    if waits { time_at(bytes, 6).ok() } else { None }
}

/// A record as it is listed; networks are not listed.
pub(crate) fn record(key: &RecordKey, bytes: &[u8]) -> Result<Option<Record>, Malformed> {
    let mut short = [0; 16];
    short.copy_from_slice(&key.0[1..]);
    Ok(match Stored::decode(key, bytes)? {
        Stored::Entry(entry) => {
            let [client, sender, recipient] = fields(bytes, ENTRY_BYTES)?;
            Some(Record::Triplet {
                key: short,
                client,
                sender,
                recipient,
                entry,
            })
        }
        Stored::Client(record) => {
            let [address] = fields(bytes, CLIENT_BYTES)?;
            Some(Record::Client {
                key: short,
                address,
                record,
            })
        }
        Stored::Network(_) => None,
    })
}

/// What a listed record is stored under, and its bytes.
pub(crate) fn from_record(record: &Record) -> (RecordKey, Stored, Vec<u8>) {
    match record {
        Record::Triplet {
            key,
            client,
            sender,
            recipient,
            entry,
        } => {
            let stored = Stored::Entry(*entry).storable();
            let bytes = stored.encode(&[client, sender, recipient]);
            (
                RecordKey::new(Kind::Triplet, Key::from_bytes(*key)),
                stored,
                bytes,
            )
        }
        Record::Client {
            key,
            address,
            record,
        } => {
            let stored = Stored::Client(*record).storable();
            let bytes = stored.encode(&[address]);
            (
                RecordKey::new(Kind::Client, Key::from_bytes(*key)),
                stored,
                bytes,
            )
        }
    }
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("a record cannot be read")]
    Damaged,
    #[error("a record has format version {0}, written by a newer program")]
    Newer(u8),
}

pub(crate) fn seconds(time: Timestamp) -> u32 {
    u32::try_from(time.0.max(0)).unwrap_or(u32::MAX)
}

fn number_at(bytes: &[u8], at: usize) -> Result<u32, Malformed> {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    four.map(u32::from_le_bytes).ok_or(Malformed::Damaged)
}

fn time_at(bytes: &[u8], at: usize) -> Result<Timestamp, Malformed> {
    number_at(bytes, at).map(|seconds| Timestamp(i64::from(seconds)))
}

fn standing_byte(standing: Standing) -> u8 {
    match standing {
        Standing::Waiting => 0,
        Standing::Proven => 1,
        Standing::Allowed => 2,
        Standing::Refused => 3,
    }
}

fn standing(byte: u8) -> Result<Standing, Malformed> {
    match byte {
        0 => Ok(Standing::Waiting),
        1 => Ok(Standing::Proven),
        2 => Ok(Standing::Allowed),
        3 => Ok(Standing::Refused),
        _ => Err(Malformed::Damaged),
    }
}

/// The texts from `at` on; all are empty where none are kept.
fn fields<const N: usize>(bytes: &[u8], mut at: usize) -> Result<[Vec<u8>; N], Malformed> {
    let mut fields = std::array::from_fn(|_| Vec::new());
    if bytes.len() == at {
        return Ok(fields);
    }
    for field in &mut fields {
        let two = bytes.get(at..at + 2).and_then(|two| two.try_into().ok());
        let length = usize::from(two.map(u16::from_le_bytes).ok_or(Malformed::Damaged)?);
        at += 2;
        *field = bytes
            .get(at..at + length)
            .ok_or(Malformed::Damaged)?
            .to_vec();
        at += length;
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn triplet() -> Record {
        Record::Triplet {
            key: [0xab; 16],
            client: b"192.0.2.0/24".to_vec(),
            sender: b"a@b".to_vec(),
            recipient: b"c@d".to_vec(),
            entry: Entry {
                first: Timestamp(0x0102_0304),
                last: Timestamp(0x1112_1314),
                due: Timestamp(0x2122_2324),
                expires: Timestamp(0x3132_3334),
                standing: Standing::Proven,
            },
        }
    }

    fn client() -> Record {
        Record::Client {
            key: [0xcd; 16],
            address: b"192.0.2.1".to_vec(),
            record: ClientRecord {
                passes: 5,
                last: Timestamp(0x1112_1314),
                expires: Timestamp(0x3132_3334),
            },
        }
    }

    #[test]
    fn the_format_does_not_move() {
        let (key, _, bytes) = from_record(&triplet());
        assert_eq!(hex(key.bytes()), format!("74{}", "ab".repeat(16)));
        assert_eq!(
            hex(&bytes),
            "013433323101040302011413121124232221\
             0c003139322e302e322e302f323403006140620300634064"
        );
        let (key, _, bytes) = from_record(&client());
        assert_eq!(hex(key.bytes()), format!("63{}", "cd".repeat(16)));
        assert_eq!(
            hex(&bytes),
            "0134333231050000001413121109003139322e302e322e31"
        );
        let network = Stored::Network(Timestamp(0x3132_3334));
        assert_eq!(hex(&network.encode(&[])), "0134333231");
    }

    #[test]
    fn what_is_written_is_read_again() {
        for record in [triplet(), client()] {
            let (key, stored, bytes) = from_record(&record);
            assert_eq!(Stored::decode(&key, &bytes), Ok(stored));
            assert_eq!(super::record(&key, &bytes), Ok(Some(record)));
            assert_eq!(expiry(&bytes), Some(Timestamp(0x3132_3334)));
        }
    }

    #[test]
    fn without_text_a_record_ends_early() {
        let (key, stored, _) = from_record(&triplet());
        let bytes = stored.encode(&[b"", b"", b""]);
        assert_eq!(bytes.len(), ENTRY_BYTES);
        assert_eq!(Stored::decode(&key, &bytes), Ok(stored));
        let Ok(Some(Record::Triplet { client, entry, .. })) = super::record(&key, &bytes) else {
            panic!("a triplet");
        };
        assert_eq!((client, Stored::Entry(entry)), (Vec::new(), stored));
    }

    #[test]
    fn times_beyond_the_format_become_the_nearest() {
        let far = |seconds| Stored::Network(Timestamp(seconds)).storable();
        assert_eq!(far(-1), Stored::Network(Timestamp(0)));
        assert_eq!(far(i64::MAX), Stored::Network(Timestamp(0xffff_ffff)));
    }

    #[test]
    fn bytes_cut_anywhere_or_newer_are_refused() {
        for record in [triplet(), client()] {
            let (key, _, bytes) = from_record(&record);
            let fixed = if key.bytes()[0] == b't' {
                ENTRY_BYTES
            } else {
                CLIENT_BYTES
            };
            for cut in 0..bytes.len() {
                let whole = super::record(&key, &bytes[..cut]);
                assert_eq!(whole.is_ok(), cut == fixed, "{cut}");
            }
            let newer = [&[2], &bytes[1..]].concat();
            assert_eq!(Stored::decode(&key, &newer), Err(Malformed::Newer(2)));
        }
    }
}
