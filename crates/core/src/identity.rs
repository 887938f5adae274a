//! Who is at the three corners of a triplet, and the text by which each is known.

use std::net::IpAddr;

use crate::address::{Network, postgrey_text, push_number, push_postgrey_text, push_text};
use crate::attempt::{Attempt, Field};
use crate::sender::{
    push_milter_greylist_recipient, push_milter_greylist_sender, push_native_sender,
    push_postgrey_sender,
};

/// How identities are formed; belongs to the configuration of the daemon, never to a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentityRules {
    /// Whose way of forming them.
    pub school: School,
    /// Prefix length of an IPv4 client's network, 0 to 32.
    pub ipv4_prefix: u8,
    /// Prefix length of an IPv6 client's network, 0 to 128.
    pub ipv6_prefix: u8,
}

/// Sender and recipient as the client said them.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// Empty for the null sender.
    pub sender: &'a [u8],
    /// The recipient.
    pub recipient: &'a [u8],
}

/// Whose way of forming identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum School {
    /// Postgrey 1.37's, by network or (`--lookup-by-host`) by address.
    Postgrey {
        /// The client is known by its full address.
        by_host: bool,
    },
    /// milter-greylist 4.6's, whose clients are told apart by `subnetmatch`. It compares entries that
    /// wait by case, and those that passed without; here case never counts.
    MilterGreylist,
    /// Our own.
    Native,
}

impl IdentityRules {
    /// The network that a client counts with.
    #[must_use]
    pub fn network(&self, client: IpAddr) -> Network {
        let prefix = if client.is_ipv4() {
            self.ipv4_prefix
        } else {
            self.ipv6_prefix
        };
        Network::of(client, prefix)
    }

    /// The triplet of an attempt that `client` makes.
    #[must_use]
    pub fn triplet(&self, client: IpAddr, attempt: &Attempt) -> Triplet {
        let envelope = Envelope {
            sender: attempt.text(Field::Sender),
            recipient: attempt.text(Field::Recipient),
        };
        self.triplet_of(client, envelope)
    }

    /// The triplet of an attempt of which no more than this is known.
    #[must_use]
    pub fn triplet_of(&self, client: IpAddr, envelope: Envelope<'_>) -> Triplet {
        let Envelope { sender, recipient } = envelope;
        Triplet::form(
            self.school,
            |text| self.push_client(text, client),
            |text| match self.school {
                School::Postgrey { .. } => push_postgrey_sender(text, sender),
                School::MilterGreylist => push_milter_greylist_sender(text, sender),
                School::Native => push_native_sender(text, sender, recipient),
            },
            |text| match self.school {
                School::MilterGreylist => push_milter_greylist_recipient(text, recipient),
                School::Postgrey { .. } | School::Native => text.extend_from_slice(recipient),
            },
        )
    }

    /// The triplet of an attempt of which only opaque words are known. They stand for the recipient;
    /// no client is known by this name.
    #[must_use]
    pub fn opaque(&self, words: &[u8]) -> Triplet {
        Triplet::new(self.school, OPAQUE, b"", words)
    }

    /// The identity of a client, as it stands in its triplets.
    #[must_use]
    pub fn client_identity(&self, client: IpAddr) -> Vec<u8> {
        let mut text = Vec::new();
        self.push_client(&mut text, client);
        text.make_ascii_lowercase();
        text
    }

    fn push_client(&self, text: &mut Vec<u8>, client: IpAddr) {
        match self.school {
            School::Postgrey { by_host: true } => {
                push_postgrey_text(text, client);
                let width: &[u8] = if client.is_ipv4() { b"/32" } else { b"/128" };
                text.extend_from_slice(width);
            }
            School::Postgrey { by_host: false } => {
                push_postgrey_text(text, self.network(client).address());
            }
            School::MilterGreylist | School::Native => {
                let network = self.network(client);
                push_text(text, network.address());
                text.push(b'/');
                push_number(text, network.prefix());
            }
        }
    }

    /// The text by which one client address is known.
    #[must_use]
    pub fn client_text(&self, client: IpAddr) -> String {
        match (self.school, client) {
            (_, IpAddr::V4(_)) => postgrey_text(client),
            (School::Postgrey { .. }, _) => postgrey_text(client).to_ascii_uppercase(),
            (School::MilterGreylist | School::Native, _) => client.to_string(),
        }
    }
}

/// What stands for the client of an opaque identity.
pub(crate) const OPAQUE: &[u8] = b"words";

/// Client, sender and recipient as they are remembered, in ASCII lower case, in one buffer:
/// `client/sender/recipient`, which is also the text of Postgrey's key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Triplet {
    text: Vec<u8>,
    client_end: usize,
    sender_end: usize,
    joined_key: bool,
}

impl Triplet {
    /// A triplet of identities that are formed already.
    #[must_use]
    pub fn new(school: School, client: &[u8], sender: &[u8], recipient: &[u8]) -> Self {
        Self::form(
            school,
            |text| text.extend_from_slice(client),
            |text| text.extend_from_slice(sender),
            |text| text.extend_from_slice(recipient),
        )
    }

    /// A triplet whose parts these add, all in one buffer.
    fn form(
        school: School,
        client: impl FnOnce(&mut Vec<u8>),
        sender: impl FnOnce(&mut Vec<u8>),
        recipient: impl FnOnce(&mut Vec<u8>),
    ) -> Self {
        let mut text = Vec::with_capacity(USUAL_BYTES);
        client(&mut text);
        let client_end = text.len();
        text.push(b'/');
        sender(&mut text);
        let sender_end = text.len();
        text.push(b'/');
        recipient(&mut text);
        text.make_ascii_lowercase();
        Self {
            text,
            client_end,
            sender_end,
            joined_key: matches!(school, School::Postgrey { .. }),
        }
    }

    /// The client's identity.
    #[must_use]
    pub fn client(&self) -> &[u8] {
        &self.text[..self.client_end]
    }

    /// The sender's identity, empty for the null sender.
    #[must_use]
    pub fn sender(&self) -> &[u8] {
        &self.text[self.client_end + 1..self.sender_end]
    }

    /// The recipient.
    #[must_use]
    pub fn recipient(&self) -> &[u8] {
        &self.text[self.sender_end + 1..]
    }

    /// All three joined by `/`.
    #[must_use]
    pub fn joined(&self) -> &[u8] {
        &self.text
    }

    /// Whether the joined text is the key, as in Postgrey, where a `/` in an address can make
    /// two triplets one; otherwise the three fields are.
    #[must_use]
    pub fn is_keyed_joined(&self) -> bool {
        self.joined_key
    }
}

/// Most triplets have no more bytes.
const USUAL_BYTES: usize = 96;

#[cfg(test)]
mod tests {
    use super::*;

    fn triplet(school: School, client: &str, sender: &str) -> String {
        let rules = IdentityRules {
            school,
            ipv4_prefix: 24,
            ipv6_prefix: 64,
        };
        let mut attempt = Attempt::new();
        attempt.set(Field::Sender, sender.as_bytes());
        attempt.set(Field::Recipient, b"Bob@Example.org");
        let client = client.parse().expect("an address");
        String::from_utf8(rules.triplet(client, &attempt).joined().to_vec()).expect("UTF-8")
    }

    #[test]
    fn postgreys_keys_are_its_own_text() {
        let by_net = School::Postgrey { by_host: false };
        let by_host = School::Postgrey { by_host: true };
        let vectors = [
            (
                by_net,
                "192.0.2.10",
                "Alice@example.com",
                "192.0.2.0/alice@example.com/bob@example.org",
            ),
            (
                by_net,
                "2001:db8:1:2::abcd",
                "a@b",
                "2001:db8:1:2:0:0:0:0/a@b/bob@example.org",
            ),
            (
                by_net,
                "::ffff:192.0.2.9",
                "a@b",
                "0:0:0:0:0:0:0:0/a@b/bob@example.org",
            ),
            (by_net, "192.0.2.10", "", "192.0.2.0//bob@example.org"),
            (
                by_host,
                "192.0.2.10",
                "a@b",
                "192.0.2.10/32/a@b/bob@example.org",
            ),
            (
                by_host,
                "2001:db8:1:2::abcd",
                "a@b",
                "2001:db8:1:2:0:0:0:abcd/128/a@b/bob@example.org",
            ),
        ];
        for (school, client, sender, expected) in vectors {
            assert_eq!(triplet(school, client, sender), expected);
        }
    }

    #[test]
    fn milter_greylist_drops_what_stands_before_the_last_equals_sign() {
        let vectors = [
            ("bounce-1234=bob@list.org", "bob@list.org"),
            ("prvs=abc=alice@l.org", "alice@l.org"),
            ("SRS0=aa=bb=dom.org=User@fwd.org", "user@fwd.org"),
            ("utf\u{e9}@x.org", "utf__@x.org"),
            ("\"a b\"@x.org", "\"a_b\"@x.org"),
            ("", ""),
        ];
        for (sender, known) in vectors {
            let triplet = triplet(School::MilterGreylist, "192.0.2.10", sender);
            assert_eq!(triplet, format!("192.0.2.0/24/{known}/bob@example.org"));
        }
    }

    #[test]
    fn words_are_one_identity_whatever_they_say() {
        for school in [School::Native, School::Postgrey { by_host: false }] {
            let rules = IdentityRules {
                school,
                ipv4_prefix: 24,
                ipv6_prefix: 64,
            };
            let words = rules.opaque(b"192.0.2.0/24 Bob@example.org");
            assert_eq!(words.joined(), b"words//192.0.2.0/24 bob@example.org");
            assert_eq!(words.client(), b"words");
            assert_eq!(words.recipient(), b"192.0.2.0/24 bob@example.org");
        }
    }

    #[test]
    fn the_corners_of_a_triplet_are_given_back() {
        let triplet = Triplet::new(School::Native, b"192.0.2.0/24", b"A/b@c", b"d/E@f");
        assert_eq!(triplet.client(), b"192.0.2.0/24");
        assert_eq!(triplet.sender(), b"a/b@c");
        assert_eq!(triplet.recipient(), b"d/e@f");
    }
}
