//! Client addresses and networks: how the text that an MTA sends becomes an address.
//!
//! Names are never resolved here. Two dialects exist because Postgrey reads addresses as its
//! libraries do (octal groups, partial addresses), and a site that moves must find its clients.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// How the text of a client address is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressDialect {
    /// As Postgrey 1.37 with NetAddr::IP reads it: groups with a leading zero are octal, fewer
    /// than four groups are filled as inet_aton(3) does, a prefix length behind the address is
    /// ignored, and an IPv4-mapped IPv6 address stays IPv6.
    Postgrey,
    /// Plain IPv4 or IPv6, also in brackets, with an `IPv6:` tag or a zone; an IPv4-mapped
    /// address is the IPv4 address.
    Strict,
}

impl AddressDialect {
    /// The address that `text` stands for, or `None` when it stands for none.
    #[must_use]
    pub fn parse(self, text: &[u8]) -> Option<IpAddr> {
        let text = std::str::from_utf8(text).ok()?;
        match self {
            Self::Postgrey => postgrey_address(text),
            Self::Strict => strict_address(text),
        }
    }
}

fn strict_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let text = text
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(text);
    let text = match text.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => &text[5..],
        _ => text,
    };
    let (text, _zone) = text.split_once('%').unwrap_or((text, ""));
    let address: IpAddr = text.parse().ok()?;
    Some(address.to_canonical())
}

fn postgrey_address(text: &str) -> Option<IpAddr> {
    match text {
        "localhost" => return Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        "any" | "default" => return Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        _ => {}
    }
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address = if address.contains(':') {
        IpAddr::V6(address.parse::<Ipv6Addr>().ok()?)
    } else {
        IpAddr::V4(inet_aton(address)?)
    };
    let width = if address.is_ipv4() { 32 } else { 128 };
    match prefix {
        Some(prefix) if prefix.parse::<u8>().ok()? > width => None,
        _ => Some(address),
    }
}

/// Decimal and octal groups as inet_aton(3) reads them; the last group fills what is left.
fn inet_aton(text: &str) -> Option<Ipv4Addr> {
    // What MTAs send; every spelling beside it takes the long way.
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let groups: Vec<&str> = text.split('.').collect();
    let (last, leading) = groups.split_last()?;
    if leading.len() > 3 {
        return None;
    }
    let mut bits = 0_u32;
    for group in leading {
        bits = (bits << 8) | u32::from(u8::try_from(group_value(group)?).ok()?);
    }
    let left = 32 - 8 * u32::try_from(leading.len()).ok()?;
    let last = group_value(last)?;
    if left < 32 && last >= 1 << left {
        return None;
    }
    let high = bits.checked_shl(left).unwrap_or(0);
    Some(Ipv4Addr::from(high | last))
}

fn group_value(group: &str) -> Option<u32> {
    if !group.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match group.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => u32::from_str_radix(octal, 8).ok(),
        _ => group.parse().ok(),
    }
}

/// An address as Postgrey writes it: IPv4 dotted, IPv6 as eight groups without leading zeros
/// or compression, in lower case.
#[must_use]
pub fn postgrey_text(address: IpAddr) -> String {
    let mut text = Vec::with_capacity(IPV4_TEXT_MAX);
    push_postgrey_text(&mut text, address);
    String::from_utf8(text).expect("digits and separators are ASCII")
}

/// Adds what [`postgrey_text`] gives.
pub(crate) fn push_postgrey_text(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => push_ipv4(out, address),
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h] = address.segments();
            let text = format!("{a:x}:{b:x}:{c:x}:{d:x}:{e:x}:{f:x}:{g:x}:{h:x}");
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// Adds an address as RFC 5952 has it.
pub(crate) fn push_text(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => push_ipv4(out, address),
        IpAddr::V6(address) => out.extend_from_slice(address.to_string().as_bytes()),
    }
}

/// Adds a dotted address. Every attempt forms two of them; by `Display` each takes as long as
/// the rest of its identity.
fn push_ipv4(out: &mut Vec<u8>, address: Ipv4Addr) {
    for (nth, octet) in address.octets().into_iter().enumerate() {
        if nth > 0 {
            out.push(b'.');
        }
        push_number(out, octet);
    }
}

/// Adds a number in decimal digits.
pub(crate) fn push_number(out: &mut Vec<u8>, number: u8) {
    let [hundreds, tens, ones] = [number / 100, number / 10 % 10, number % 10];
    if hundreds > 0 {
        out.push(b'0' + hundreds);
    }
    if number >= 10 {
        out.push(b'0' + tens);
    }
    out.push(b'0' + ones);
}

/// The longest dotted address.
const IPV4_TEXT_MAX: usize = 15;

/// A network: an address whose host bits are zero, and a prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The network of `prefix` bits that `address` lies in; a longer prefix than the address
    /// has bits means the address itself.
    #[must_use]
    pub fn of(address: IpAddr, prefix: u8) -> Self {
        match address {
            IpAddr::V4(v4) => {
                let prefix = prefix.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                let bits = u32::from(v4) & mask;
                Self {
                    address: IpAddr::V4(bits.into()),
                    prefix,
                }
            }
            IpAddr::V6(v6) => {
                let prefix = prefix.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                let bits = u128::from(v6) & mask;
                Self {
                    address: IpAddr::V6(bits.into()),
                    prefix,
                }
            }
        }
    }

    /// The first address of the network.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// The prefix length in bits.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether `address` lies in the network; IPv4 and IPv6 never lie in one another.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && Self::of(address, self.prefix).address == self.address
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// Reads `192.0.2.0/24`, `2001:db8::/32` or a bare address; host bits may be set.
    ///
    /// # Errors
    /// [`NetworkError::Address`] and [`NetworkError::Prefix`] say which part is wrong.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
        let width: u8 = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => width,
            Some(digits) => digits
                .parse()
                .ok()
                .filter(|prefix| *prefix <= width)
                .ok_or(NetworkError::Prefix { max: width })?,
        };
        Ok(Self::of(address, prefix))
    }
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkError {
    /// The part before the slash is no address.
    Address,
    /// The part behind the slash is no prefix length.
    Prefix {
        /// The longest prefix that this kind of address has.
        max: u8,
    },
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => f.write_str("not an IPv4 or IPv6 address"),
            Self::Prefix { max } => write!(f, "prefix length must be a number from 0 to {max}"),
        }
    }
}

impl std::error::Error for NetworkError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn postgrey(text: &str) -> Option<String> {
        AddressDialect::Postgrey
            .parse(text.as_bytes())
            .map(postgrey_text)
    }

    #[test]
    fn postgreys_dialect_reads_what_its_libraries_read() {
        let known = [
            ("192.0.2.9", Some("192.0.2.9")),
            ("192.0.2", Some("192.0.0.2")),
            ("1.2", Some("1.0.0.2")),
            ("10", Some("0.0.0.10")),
            ("192.0.2.010", Some("192.0.2.8")),
            ("010.001.002.003", Some("8.1.2.3")),
            ("192.0.2.9/24", Some("192.0.2.9")),
            ("::ffff:192.0.2.9", Some("0:0:0:0:0:ffff:c000:209")),
            ("2001:DB8::1", Some("2001:db8:0:0:0:0:0:1")),
            ("1.2.3.4.5", None),
            ("256.1.1.1", None),
            ("0x7f.1", None),
            (" 192.0.2.9", None),
            ("[192.0.2.9]", None),
            ("fe80::1%eth0", None),
            ("2001:db8:::1", None),
            ("unknown", None),
            ("", None),
            ("192.0.2.9/33", None),
        ];
        for (text, expected) in known {
            assert_eq!(postgrey(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn addresses_are_written_as_the_standard_library_writes_them() {
        let addresses = ["0.0.0.0", "9.10.99.100", "255.255.255.255", "2001:db8::1"];
        for text in addresses {
            let mut written = Vec::new();
            push_text(&mut written, text.parse().expect("an address"));
            assert_eq!(String::from_utf8_lossy(&written), text);
        }
    }

    #[test]
    fn the_strict_dialect_knows_brackets_tags_and_mapped_addresses() {
        let strict = |text: &str| AddressDialect::Strict.parse(text.as_bytes());
        assert_eq!(strict("[192.0.2.9]"), "192.0.2.9".parse().ok());
        assert_eq!(strict("IPv6:2001:db8::1"), "2001:db8::1".parse().ok());
        assert_eq!(strict("::ffff:192.0.2.9"), "192.0.2.9".parse().ok());
        assert_eq!(strict("fe80::1%eth0"), "fe80::1".parse().ok());
        assert_eq!(strict("192.0.2.010"), None);
        assert_eq!(strict("unknown"), None);
        assert_eq!(AddressDialect::Strict.parse(b"192.0.2.9\0"), None);
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let network: Network = "192.0.2.77/24".parse().expect("a network");
        assert_eq!(network.to_string(), "192.0.2.0/24");
        assert!(network.contains("192.0.2.255".parse().expect("an address")));
        assert!(!network.contains("192.0.3.0".parse().expect("an address")));
        assert!(!network.contains("::ffff:192.0.2.1".parse().expect("an address")));
        let all: Network = "0.0.0.0/0".parse().expect("a network");
        assert!(all.contains("203.0.113.9".parse().expect("an address")));
        assert_eq!(
            "192.0.2.0/33".parse::<Network>(),
            Err(NetworkError::Prefix { max: 32 })
        );
        assert_eq!("192.0.2/24".parse::<Network>(), Err(NetworkError::Address));
    }
}
