//! Keys: what records are found by, the same on every host and in every store.
//!
//! A key is the first 16 bytes of BLAKE3 over a kind byte and the fields, each behind its length
//! as four little-endian bytes. No protocol and no store is known here.

use greylatch_core::{Network, Triplet};
use sha1::{Digest, Sha1};
use smallvec::SmallVec;

/// Most keys are made of no more, so that nothing is allocated for them.
const USUAL_BYTES: usize = 256;

/// The key of one record of one [`Kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; 16]);

impl Key {
    /// The key that has these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of the key, as in `Record` and `Query::after` of the core.
    #[must_use]
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }
}

/// What a record is about. The byte stands before the key in a store and inside its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A client address.
    Client = b'c',
    /// A client network.
    Network = b'n',
    /// A triplet.
    Triplet = b't',
}

/// How keys are made, and whether the text they are made of is kept beside the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keying {
    /// Of the text itself, which is kept.
    Plain,
    /// With a secret; no text is kept.
    Keyed([u8; 32]),
    /// Of the 40 hexadecimal digits of the text's SHA-1, as a Postgrey that ran with `--privacy`
    /// has left them; no text is kept.
    Sha1,
}

impl Keying {
    /// The keys of one attempt. With `with_network` a load reads the network's record as well.
    #[must_use]
    pub fn keys(
        &self,
        triplet: Triplet,
        client: String,
        network: Network,
        with_network: bool,
    ) -> Keys {
        Keys {
            triplet: match self {
                Self::Sha1 => self.of_text(Kind::Triplet, triplet.joined()),
                _ if triplet.is_keyed_joined() => self.of_text(Kind::Triplet, triplet.joined()),
                _ => self.hash(
                    Kind::Triplet,
                    &[triplet.client(), triplet.sender(), triplet.recipient()],
                ),
            },
            client: self.of_text(Kind::Client, client.as_bytes()),
            network,
            with_network,
            keying: *self,
            text: matches!(self, Self::Plain).then(|| KeyText { triplet, client }),
        }
    }

    /// The key of a record known by one text: a Postgrey key text (`client/sender/recipient`) or
    /// a client's address as `IdentityRules::client_text` of the core gives it.
    #[must_use]
    pub fn of_text(&self, kind: Kind, text: &[u8]) -> Key {
        match self {
            Self::Sha1 => self.of_postgrey_hash(kind, &sha1_hex(text)),
            Self::Plain | Self::Keyed(_) => self.hash(kind, &[text]),
        }
    }

    /// The key of a record of which a Postgrey with `--privacy` has left only the SHA-1, in
    /// lower-case hexadecimal digits. An attempt finds it only under [`Keying::Sha1`].
    #[must_use]
    pub fn of_postgrey_hash(&self, kind: Kind, digits: &[u8; 40]) -> Key {
        self.hash(kind, &[digits])
    }

    /// How keys are made, in words that tell every two ways apart and no secret: what stands
    /// behind "kept".
    #[must_use]
    pub fn mark(&self) -> String {
        match self {
            Self::Plain => "without a secret".into(),
            Self::Keyed(secret) => {
                let hash = blake3::keyed_hash(secret, b"the mark of this secret").to_hex();
                format!("with the secret {}", &hash[..16])
            }
            Self::Sha1 => "with the hashes of Postgrey".into(),
        }
    }

    /// Whether the text is kept beside the records.
    #[must_use]
    pub fn keeps_text(&self) -> bool {
        matches!(self, Self::Plain)
    }

    fn hash(&self, kind: Kind, fields: &[&[u8]]) -> Key {
        let mut input = SmallVec::<[u8; USUAL_BYTES]>::new();
        input.push(kind as u8);
        for field in fields {
            let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
            input.extend_from_slice(&length.to_le_bytes());
            input.extend_from_slice(field);
        }
        let hash = match self {
            Self::Keyed(secret) => blake3::keyed_hash(secret, &input),
            Self::Plain | Self::Sha1 => blake3::hash(&input),
        };
        let mut key = [0; 16];
        key.copy_from_slice(&hash.as_bytes()[..16]);
        Key(key)
    }
}

/// The keys of one attempt, and the text that is stored beside its records.
#[derive(Clone, Debug)]
pub struct Keys {
    triplet: Key,
    client: Key,
    network: Network,
    with_network: bool,
    keying: Keying,
    text: Option<KeyText>,
}

#[derive(Clone, Debug)]
struct KeyText {
    triplet: Triplet,
    client: String,
}

impl Keys {
    /// The triplet's key.
    #[must_use]
    pub fn triplet(&self) -> Key {
        self.triplet
    }

    /// The client's key.
    #[must_use]
    pub fn client(&self) -> Key {
        self.client
    }

    /// From now on a load reads the network's record as well.
    pub fn read_network(&mut self) {
        self.with_network = true;
    }

    /// The network's key. It is made when asked for: few attempts need it.
    pub(crate) fn network(&self) -> Key {
        self.keying
            .of_text(Kind::Network, self.network.to_string().as_bytes())
    }

    /// Whether a load reads the network's record.
    pub(crate) fn with_network(&self) -> bool {
        self.with_network
    }

    /// The three fields of the triplet, empty where no text is kept.
    pub(crate) fn triplet_text(&self) -> [&[u8]; 3] {
        self.text.as_ref().map_or([b"", b"", b""], |text| {
            let triplet = &text.triplet;
            [triplet.client(), triplet.sender(), triplet.recipient()]
        })
    }

    /// The client's address, empty where no text is kept.
    pub(crate) fn client_text(&self) -> &[u8] {
        self.text
            .as_ref()
            .map_or(b"", |text| text.client.as_bytes())
    }
}

fn sha1_hex(text: &[u8]) -> [u8; 40] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = [0; 40];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(Sha1::digest(text)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;
    use greylatch_core::School;

    const POSTGREY: School = School::Postgrey { by_host: false };

    fn keys(keying: Keying, school: School, parts: [&str; 3]) -> Keys {
        let [client, sender, recipient] = parts.map(str::as_bytes);
        let network = Network::of("192.0.2.0".parse().expect("an address"), 24);
        keying.keys(
            Triplet::new(school, client, sender, recipient),
            "192.0.2.10".into(),
            network,
            false,
        )
    }

    #[test]
    fn the_hashes_are_those_that_postgrey_has_left() {
        // Source: Postgrey 1.37 with --privacy, as observed by running it.
        let vectors: [(&[u8], &[u8; 40]); 3] = [
            (
                b"192.0.2.0/alice@example.com/bob@example.org",
                b"d52386f47397ae38d521e00f0919ac29071e5de3",
            ),
            (
                b"198.51.100.77",
                b"7e2f0eff7464db35c9c07e8f72fef8dabbb08a7b",
            ),
            (
                b"2001:DB8:1:2:0:0:0:ABCD",
                b"20e328e7f9d1f89e77dd0395bc61bd81d2dd5ec4",
            ),
        ];
        for (text, digits) in vectors {
            assert_eq!(&sha1_hex(text), digits);
            assert_eq!(
                Keying::Sha1.of_text(Kind::Client, text),
                Keying::Sha1.of_postgrey_hash(Kind::Client, digits)
            );
        }
        let parts = ["192.0.2.0", "alice@example.com", "bob@example.org"];
        assert_eq!(
            keys(Keying::Sha1, POSTGREY, parts).triplet(),
            Keying::Sha1.of_postgrey_hash(Kind::Triplet, vectors[0].1)
        );
    }

    #[test]
    fn the_keys_of_every_host_are_the_same() {
        let parts = ["192.0.2.0", "alice@example.com", "bob@example.org"];
        let hex = |key: Key| {
            let digits = key.bytes().map(|byte| format!("{byte:02x}"));
            digits.concat()
        };
        assert_eq!(
            [
                hex(keys(Keying::Plain, POSTGREY, parts).triplet()),
                hex(keys(Keying::Plain, School::Native, parts).triplet()),
                hex(keys(Keying::Keyed([7; 32]), School::Native, parts).triplet()),
                hex(keys(Keying::Plain, School::Native, parts).client()),
                hex(keys(Keying::Plain, School::Native, parts).network()),
            ],
            [
                "6ee81674eabfcec0a60ecb5ccd8be372",
                "1a865aacc978b956d3fe025b02a7e1cd",
                "c0bc47484ac56ebb8c1a85b202767bc3",
                "7935b9d98b6801aef58f1fd93cd1269b",
                "a71598a5594d5727cb48e3b1dc91cd93",
            ]
        );
    }

    #[test]
    fn a_slash_joins_two_triplets_only_in_postgreys_school() {
        let (one, other) = (["c", "a/b@x", "d"], ["c", "a", "b@x/d"]);
        for (school, same) in [(POSTGREY, true), (School::Native, false)] {
            let equal = keys(Keying::Plain, school, one).triplet()
                == keys(Keying::Plain, school, other).triplet();
            assert_eq!(equal, same);
        }
        let hashed = [one, other].map(|parts| keys(Keying::Sha1, School::Native, parts).triplet());
        assert_eq!(hashed[0], hashed[1]);
    }

    #[test]
    fn every_way_of_making_keys_has_a_mark_of_its_own() {
        let ways = [
            Keying::Plain,
            Keying::Sha1,
            Keying::Keyed([0; 32]),
            Keying::Keyed([1; 32]),
        ];
        let mut marks = ways.map(|keying| keying.mark()).to_vec();
        assert_eq!(marks[3], "with the secret 8c731485c2c6ca18");
        marks.sort();
        marks.dedup();
        assert_eq!(marks.len(), ways.len());
    }

    #[test]
    fn text_is_kept_only_with_plain_keys() {
        let parts = ["c", "s", "r"];
        assert_eq!(
            keys(Keying::Plain, POSTGREY, parts).triplet_text(),
            [b"c", b"s", b"r"]
        );
        for keying in [Keying::Keyed([1; 32]), Keying::Sha1] {
            let keys = keys(keying, POSTGREY, parts);
            assert_eq!(keys.triplet_text(), [b"", b"", b""]);
            assert_eq!(keys.client_text(), b"");
        }
    }
}
