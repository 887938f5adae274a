//! The keys of `postgrey.db`, of whatever version, in the form that Postgrey 1.37 gives them.
//!
//! Not here: making a key from an attempt, which is the engine's; SHA-1.
//!
//! Source: keys made by Postgrey 1.35, 1.36 and 1.37 and read with `db_dump -p`.

use std::net::{IpAddr, Ipv6Addr};

/// What a triplet is known by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TripletKey {
    /// The text that Postgrey 1.37 makes for the same triplet, `CLIENT/SENDER/RECIPIENT` in lower
    /// case. CLIENT is a network address (`192.0.2.0`, `2001:db8:1:2:0:0:0:0`: eight groups, no
    /// compression) or with `--lookup-by-host` `192.0.2.10/32`, `2001:db8:1:2:0:0:0:abcd/128`.
    ///
    /// The masks that 1.36 wrote behind network addresses are gone. A full address without a mask
    /// (1.36 and older with `--lookup-by-host` or for names that look like a pool; 1.37 with
    /// `--ipv4cidr=32`) stays one without a mask, since nothing tells which of them it was. What
    /// stands for CLIENT but is no address stays as it is.
    Plain(Vec<u8>),
    /// With `--privacy`: 40 lower-case hexadecimal digits, the SHA-1 of the text above (of the
    /// text of its own time, if an older Postgrey wrote it).
    Hashed([u8; 40]),
}

impl TripletKey {
    /// `None` if no Postgrey makes such a key.
    pub(super) fn from_stored(stored: &[u8]) -> Option<Self> {
        if let Some(digits) = hashed(stored) {
            return Some(Self::Hashed(digits));
        }
        let (client, mut rest) = cut(stored, b'/')?;
        let address = str::from_utf8(client).ok()?.parse::<IpAddr>();
        let Ok(address) = address else {
            return rest.contains(&b'/').then(|| Self::Plain(stored.to_vec()));
        };
        let mut key = match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => eight_groups(address),
        }
        .into_bytes();
        if let Some((mask, behind)) = mask(rest, &address) {
            if is_host(mask, &address) {
                key.extend_from_slice(b"/");
                key.extend_from_slice(mask.to_string().as_bytes());
            }
            rest = behind;
        }
        if !rest.contains(&b'/') {
            return None;
        }
        key.push(b'/');
        key.extend_from_slice(rest);
        Some(Self::Plain(key))
    }

    /// The three parts of a plain key, for people to read; `None` for a hashed one.
    ///
    /// `/` may stand in addresses and is not marked, so a sender without `@` but with `/` is cut
    /// at the wrong place. The key itself is not affected.
    pub fn parts(&self) -> Option<Parts<'_>> {
        let Self::Plain(key) = self else {
            return None;
        };
        let (client, mut rest) = cut(key, b'/')?;
        let mut client_length = client.len();
        let address = str::from_utf8(client)
            .ok()
            .and_then(|text| text.parse().ok());
        if let Some((_, behind)) = address.and_then(|address| mask(rest, &address)) {
            // Up to the slash behind the mask.
            client_length = key.len() - behind.len() - 1;
            rest = behind;
        }
        let (sender, recipient) = sender_and_recipient(rest)?;
        Some(Parts {
            client: key.get(..client_length)?,
            sender,
            recipient,
        })
    }
}

/// The parts of a triplet's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The client's network or address, with `/32` or `/128` when looked up by host.
    pub client: &'a [u8],
    /// The sender as Postgrey normalised it, empty for the null sender.
    pub sender: &'a [u8],
    /// The recipient.
    pub recipient: &'a [u8],
}

/// The 40 digits of a key that `--privacy` hashed.
pub(super) fn hashed(stored: &[u8]) -> Option<[u8; 40]> {
    let digits: [u8; 40] = stored.try_into().ok()?;
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    digits.iter().all(is_digit).then_some(digits)
}

/// What stands before and behind the first `separator`.
fn cut(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == separator)?;
    let (before, behind) = bytes.split_at(at);
    Some((before, behind.get(1..)?))
}

/// The prefix length at the beginning of `rest`, if there is one, and what is behind its slash.
/// A sender that is a bare number looks the same unless no recipient would remain.
fn mask<'a>(rest: &'a [u8], address: &IpAddr) -> Option<(u8, &'a [u8])> {
    let (digits, behind) = cut(rest, b'/')?;
    let mask: u8 = match digits {
        [b'0'] => 0,
        [b'1'..=b'9', ..] if digits.iter().all(u8::is_ascii_digit) => {
            str::from_utf8(digits).ok()?.parse().ok()?
        }
        _ => return None,
    };
    let longest = if address.is_ipv4() { 32 } else { 128 };
    (mask <= longest && behind.contains(&b'/')).then_some((mask, behind))
}

fn is_host(mask: u8, address: &IpAddr) -> bool {
    mask == if address.is_ipv4() { 32 } else { 128 }
}

/// The spelling of IPv6 addresses in Postgrey's keys.
fn eight_groups(address: Ipv6Addr) -> String {
    let [a, b, c, d, e, f, g, h] = address.segments();
    format!("{a:x}:{b:x}:{c:x}:{d:x}:{e:x}:{f:x}:{g:x}:{h:x}")
}

fn sender_and_recipient(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some(recipient) = rest.strip_prefix(b"/") {
        return Some((b"", recipient));
    }
    // Domains contain no slash: the first one behind the first @ ends the sender.
    if let Some(at) = rest.iter().position(|&byte| byte == b'@') {
        let (_, domain) = rest.split_at(at);
        if let Some(slash) = domain.iter().position(|&byte| byte == b'/') {
            let (sender, recipient) = rest.split_at(at + slash);
            return Some((sender, recipient.get(1..)?));
        }
    }
    cut(rest, b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(stored: &str) -> String {
        match TripletKey::from_stored(stored.as_bytes()) {
            Some(TripletKey::Plain(key)) => String::from_utf8(key).unwrap(),
            other => panic!("{stored}: {other:?}"),
        }
    }

    #[test]
    fn keys_of_every_version_become_those_of_1_37() {
        for (stored, key) in [
            // 1.37
            ("192.0.2.0/a@b/c@d", "192.0.2.0/a@b/c@d"),
            ("192.0.2.10/32/a@b/c@d", "192.0.2.10/32/a@b/c@d"),
            (
                "2001:db8:1:2:0:0:0:abcd/128/a@b/c@d",
                "2001:db8:1:2:0:0:0:abcd/128/a@b/c@d",
            ),
            ("192.0.2.0//c@d", "192.0.2.0//c@d"),
            // 1.36
            ("192.0.2.0/24/a@b/c@d", "192.0.2.0/a@b/c@d"),
            ("192.0.2.0/24//c@d", "192.0.2.0//c@d"),
            (
                "2001:db8:1:2:0:0:0:0/64/a@b/c@d",
                "2001:db8:1:2:0:0:0:0/a@b/c@d",
            ),
            ("0:0:0:0:0:0:0:0/20/a@b/c@d", "0:0:0:0:0:0:0:0/a@b/c@d"),
            // 1.35 and older
            (
                "2001:db8:1:2::abcd/a@b/c@d",
                "2001:db8:1:2:0:0:0:abcd/a@b/c@d",
            ),
            (
                "::ffff:192.0.2.0/a@b/c@d",
                "0:0:0:0:0:ffff:c000:200/a@b/c@d",
            ),
            // No masks
            ("192.0.2.0/33/a@b/c@d", "192.0.2.0/33/a@b/c@d"),
            ("192.0.2.0/024/a@b/c@d", "192.0.2.0/024/a@b/c@d"),
            ("192.0.2.0/24/c@d", "192.0.2.0/24/c@d"),
            ("unknown/24/a@b/c@d", "unknown/24/a@b/c@d"),
        ] {
            assert_eq!(plain(stored), key, "{stored}");
        }
    }

    #[test]
    fn forty_lower_case_hexadecimal_digits_are_a_hash_and_nothing_else_is() {
        let digits = b"d52386f47397ae38d521e00f0919ac29071e5de3";
        assert_eq!(
            TripletKey::from_stored(digits),
            Some(TripletKey::Hashed(*digits))
        );
        assert_eq!(
            TripletKey::from_stored(b"D52386f47397ae38d521e00f0919ac29071e5de3"),
            None
        );
        assert_eq!(
            TripletKey::from_stored(b"d52386f47397ae38d521e00f0919ac29071e5de"),
            None
        );
    }

    #[test]
    fn what_has_no_three_parts_is_no_key() {
        for stored in [
            "",
            "/",
            "192.0.2.0",
            "192.0.2.0/a@b",
            "192.0.2.0/24/",
            "unknown/a@b",
        ] {
            let key = TripletKey::from_stored(stored.as_bytes());
            let expected = (stored == "192.0.2.0/24/").then(|| TripletKey::Plain(stored.into()));
            assert_eq!(key, expected, "{stored}");
        }
    }

    #[test]
    fn the_parts_are_cut_at_the_first_slash_behind_the_senders_domain() {
        for (key, client, sender, recipient) in [
            ("192.0.2.0/a@b/c@d", "192.0.2.0", "a@b", "c@d"),
            ("192.0.2.0//c@d", "192.0.2.0", "", "c@d"),
            ("192.0.2.10/32/a@b/c@d", "192.0.2.10/32", "a@b", "c@d"),
            ("192.0.2.10/32//c/c@d", "192.0.2.10/32", "", "c/c@d"),
            ("192.0.2.0/a/b@c/d/e@f", "192.0.2.0", "a/b@c", "d/e@f"),
            ("192.0.2.0/root/c@d", "192.0.2.0", "root", "c@d"),
            ("192.0.2.0/root/c/c@d", "192.0.2.0", "root", "c/c@d"),
            ("192.0.2.0/24/c@d", "192.0.2.0", "24", "c@d"),
            (
                "2001:db8:1:2:0:0:0:0/a@b/",
                "2001:db8:1:2:0:0:0:0",
                "a@b",
                "",
            ),
        ] {
            let key = TripletKey::from_stored(key.as_bytes()).unwrap();
            let expected = Parts {
                client: client.as_bytes(),
                sender: sender.as_bytes(),
                recipient: recipient.as_bytes(),
            };
            assert_eq!(key.parts(), Some(expected), "{key:?}");
        }
        assert_eq!(TripletKey::Hashed([b'0'; 40]).parts(), None);
    }
}
