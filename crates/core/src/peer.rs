//! What mail exchangers tell one another of triplets, and how milter-greylist, which does so and
//! dumps the same to a file, spells addresses.

use std::net::IpAddr;

use crate::time::Timestamp;

/// What has become of a triplet on another mail exchanger, or on this one for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerEvent {
    /// A first contact has to wait.
    Pending {
        /// Whose it was.
        triplet: PeerTriplet,
        /// From when on a retry passes.
        due: Timestamp,
    },
    /// A triplet has passed, for the first time or again.
    Accepted {
        /// Whose it was.
        triplet: PeerTriplet,
        /// The entry's time before: when it was due, or would have expired. milter-greylist finds
        /// the entry by it, but often tells a wrong one: whoever is told goes by the triplet alone.
        was: Timestamp,
        /// Until when it is remembered; `None`: as whoever is told remembers its own.
        expires: Option<Timestamp>,
    },
    /// All entries of a client were removed.
    Flushed(IpAddr),
}

/// A triplet as a client made it: no identities yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerTriplet {
    /// The client's full address.
    pub client: IpAddr,
    /// The sender without brackets, as the client spelled it; empty for the null sender.
    pub sender: Vec<u8>,
    /// The recipient without brackets.
    pub recipient: Vec<u8>,
}

/// An address as milter-greylist writes it: in brackets, without which it is another one to it, and
/// with `_` for what is no printable ASCII, is blank, or would end it early.
///
/// Source: milter-greylist 4.6.4 as observed by running it.
#[must_use]
pub fn milter_greylist_text(mailbox: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(mailbox.len() + 2);
    text.push(b'<');
    text.extend(mailbox.iter().map(|byte| match byte {
        b'<' | b'>' => b'_',
        b'!'..=b'~' => *byte,
        _ => b'_',
    }));
    text.push(b'>');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_bracketed_and_has_nothing_that_ends_it() {
        for (mailbox, expected) in [
            (&b"a@x.org"[..], &b"<a@x.org>"[..]),
            (b"", b"<>"),
            (b"\"a b\"@x", b"<\"a_b\"@x>"),
            ("utfé@x.org".as_bytes(), b"<utf__@x.org>"),
            (b"a\t\r\n<b>#\x7f@x", b"<a____b_#_@x>"),
        ] {
            assert_eq!(milter_greylist_text(mailbox), expected);
        }
    }
}
