//! The words by which a message to greylistd knows an attempt.

use std::net::{IpAddr, Ipv6Addr};

use greylatch_core::{Attempt, Field};

/// The attempt that a key is about: `ADDRESS SENDER RECIPIENT`, the address perhaps that of a
/// network; any other words mean nothing to us, and are one identity together.
pub(super) fn attempt(words: &[&[u8]]) -> Attempt {
    let mut attempt = Attempt::new();
    if let [client, sender, recipient] = words
        && let Some(client) = address(client)
    {
        attempt.set(Field::ClientAddress, client.to_string().as_bytes());
        attempt.set(Field::Sender, sender);
        attempt.set(Field::Recipient, recipient);
    } else {
        attempt.set(Field::Words, &words.join(&b' '));
    }
    attempt
}

/// An address, without the length of a mask behind it.
fn address(word: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(word).ok()?;
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, length.parse::<u8>().ok()?),
        None => (text, 0),
    };
    let address = address
        .parse()
        .ok()
        .or_else(|| dotted(address).map(IpAddr::V6))?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    (length <= bits).then_some(address)
}

/// An IPv6 address as Exim's `${mask:}` writes it: eight groups of four digits with dots between,
/// since colons stand between the items of its lists.
///
/// Source: the Exim specification, "Expansion items", `${mask:`.
fn dotted(text: &str) -> Option<Ipv6Addr> {
    let mut groups = [0; 8];
    let mut texts = text.split('.');
    for group in &mut groups {
        let digits = texts.next().filter(|digits| digits.len() == 4)?;
        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        *group = u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
    }
    texts.next().is_none().then(|| groups.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_known_by_their_address() {
        for (word, expected) in [
            ("192.0.2.9", Some("192.0.2.9")),
            ("192.0.2.0/24", Some("192.0.2.0")),
            ("192.0.2.0/33", None),
            ("192.0.2.0/", None),
            ("192.0.2", None),
            ("2001:db8::1", Some("2001:db8::1")),
            (
                "2001.0db8.0000.0001.0000.0000.0000.0000/64",
                Some("2001:db8:0:1::"),
            ),
            ("2001.0db8.0000.0001.0000.0000.0000.0000/129", None),
            ("2001.0db8.0000.0001.0000.0000.0000", None),
            ("2001.0db8.0000.0001.0000.0000.0000.0000.0000", None),
            ("2001.+db8.0000.0001.0000.0000.0000.0000", None),
            ("mx.example.org", None),
            ("\u{e9}", None),
        ] {
            let found = address(word.as_bytes()).map(|address| address.to_string());
            assert_eq!(found.as_deref(), expected, "{word}");
        }
    }
}
