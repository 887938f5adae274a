//! What a report asks the DNS: whether a client belongs to the sender's domain, and whether a list has
//! it.
//!
//! Source: postgreyreport 1.14.3 as observed by running it, with a name server of our own.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use greylatch_report::FatalTriplet;
use greylatch_server::Inquirer;

/// Who is asked what.
pub(super) struct Questions {
    inquirer: Inquirer,
    wanted: Wanted,
    /// The zones of the lists.
    lists: Vec<String>,
    /// What has been told of a domain.
    domains: HashMap<Vec<u8>, Domain>,
    /// Whether a list has a client.
    clients: HashMap<Vec<u8>, bool>,
}

/// Which relations of a client to the sender's domain are of interest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wanted {
    exchanger: bool,
    near_exchanger: bool,
    address: bool,
    near_address: bool,
}

#[derive(Default)]
struct Domain {
    exchangers: Vec<Ipv4Addr>,
    addresses: Vec<Ipv4Addr>,
}

impl Questions {
    /// Gets ready to ask; `check_sender` is a list of `mx`, `mx/24`, `a` and `a/24`, parted by commas,
    /// in which other words do not count.
    ///
    /// # Errors
    /// Why nobody can be asked.
    pub(super) fn new(check_sender: Option<&str>, lists: &[String]) -> Result<Self, String> {
        Ok(Self {
            inquirer: Inquirer::of_system()?,
            wanted: check_sender.map(Wanted::of).unwrap_or_default(),
            lists: lists.to_vec(),
            domains: HashMap::new(),
            clients: HashMap::new(),
        })
    }

    /// Whether one of the lists has the client.
    pub(super) fn is_listed(&mut self, triplet: &FatalTriplet<'_>) -> bool {
        let text = triplet.client_address();
        if let Some(known) = self.clients.get(text) {
            return *known;
        }
        let mut groups: Vec<_> = text.split(|byte| *byte == b'.').collect();
        groups.reverse();
        let reversed = String::from_utf8_lossy(&groups.join(&b'.')).into_owned();
        let has_it = |zone: &String| {
            let name = format!("{reversed}.{zone}");
            !self.inquirer.addresses(&name).is_empty()
        };
        let listed = self.lists.iter().any(has_it);
        self.clients.insert(text.to_vec(), listed);
        listed
    }

    /// What the client has to do with the sender's domain, in the word of the first relation that was
    /// wanted and holds. As in the original `MX` and `A` too mean only the same network of 256.
    pub(super) fn relation(&mut self, triplet: &FatalTriplet<'_>) -> &'static str {
        let wanted = self.wanted;
        if wanted == Wanted::default() {
            return "";
        }
        let Ok(client) = String::from_utf8_lossy(triplet.client_address()).parse::<Ipv4Addr>()
        else {
            return "";
        };
        let domain = self.domain(domain(triplet.sender()));
        let is_near = |other: &Ipv4Addr| other.octets()[..3] == client.octets()[..3];
        let by_exchanger = domain.exchangers.iter().any(is_near);
        let by_address = domain.addresses.iter().any(is_near);
        wanted.word(by_exchanger, by_address)
    }

    fn domain(&mut self, name: &[u8]) -> &Domain {
        let inquirer = &self.inquirer;
        self.domains
            .entry(name.to_vec())
            .or_insert_with(|| match std::str::from_utf8(name) {
                Ok(name) if !name.is_empty() => Domain {
                    exchangers: inquirer.exchanger_addresses(name),
                    addresses: inquirer.addresses(name),
                },
                _ => Domain::default(),
            })
    }
}

impl Wanted {
    fn of(words: &str) -> Self {
        let mut wanted = Self::default();
        for word in words.split(',') {
            match word.to_ascii_lowercase().as_str() {
                "mx" => wanted.exchanger = true,
                "mx/24" => wanted.near_exchanger = true,
                "a" => wanted.address = true,
                "a/24" => wanted.near_address = true,
                _ => {}
            }
        }
        wanted
    }

    fn word(self, by_exchanger: bool, by_address: bool) -> &'static str {
        if by_exchanger && self.exchanger {
            "MX"
        } else if by_exchanger && self.near_exchanger {
            "MX/24"
        } else if by_address && self.address {
            "A"
        } else if by_address && self.near_address {
            "A/24"
        } else {
            ""
        }
    }
}

/// What stands between the first `@` of a sender and the next.
fn domain(sender: &[u8]) -> &[u8] {
    sender
        .split(|byte| *byte == b'@')
        .nth(1)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_relation_that_is_wanted_and_holds_is_told() {
        let words = |words: &str| {
            let wanted = Wanted::of(words);
            [(true, true), (true, false), (false, true), (false, false)]
                .map(|(by_exchanger, by_address)| wanted.word(by_exchanger, by_address))
        };
        assert_eq!(words("mx"), ["MX", "MX", "", ""]);
        assert_eq!(words("a,mx/24"), ["MX/24", "MX/24", "A", ""]);
        assert_eq!(words("A/24,a,MX/24,mx"), ["MX", "MX", "A", ""]);
        assert_eq!(words("a/24"), ["A/24", "", "A/24", ""]);
        assert_eq!(words("mx a, a,foo"), [""; 4]);
    }

    #[test]
    fn the_domain_is_what_stands_between_the_first_two_at_signs() {
        for (sender, expected) in [
            ("a@b@c", "b"),
            ("a@b", "b"),
            ("a", ""),
            ("a@", ""),
            ("", ""),
        ] {
            assert_eq!(domain(sender.as_bytes()), expected.as_bytes(), "{sender}");
        }
    }
}
