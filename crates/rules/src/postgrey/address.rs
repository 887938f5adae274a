//! Addresses and networks in Postgrey's client lists: which entries are addresses, and what its
//! library NetAddr::IP makes of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use greylatch_core::Network;

use crate::diagnostic::Fault;

/// A network, and what is odd about how it was written.
type Read = Result<(Network, Option<Fault>), Fault>;

/// Reads an entry that has the form of an address; `None` when it has not and so is a name.
/// Those that stand for no network are a [`Fault`].
pub(super) fn read(entry: &[u8]) -> Option<Read> {
    let text = std::str::from_utf8(entry).unwrap_or_default();
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let groups: Vec<&str> = address.split('.').collect();
    let dotted = groups.iter().all(|group| is_digits(group, 3));
    match (groups.as_slice(), prefix) {
        ([_, _, _, _], _) if dotted && prefix.is_none_or(|prefix| is_digits(prefix, 2)) => {
            Some(v4(text, &groups, prefix.unwrap_or("32")))
        }
        ([_, _] | [_, _, _], None) if dotted => Some(partial(text, &groups)),
        _ if entry.iter().filter(|byte| **byte == b':').count() >= 2 => Some(v6(entry, text)),
        _ => None,
    }
}

fn is_digits(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn v4(text: &str, groups: &[&str], prefix: &str) -> Read {
    let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 32);
    let (Some(address), Some(prefix)) = (octets(groups), prefix) else {
        return Err(no_network(text));
    };
    let network = Network::of(IpAddr::V4(address), prefix);
    Ok((network, octal(text, groups, network)))
}

fn partial(text: &str, groups: &[&str]) -> Read {
    let Some(address) = octets(groups) else {
        return Err(no_network(text));
    };
    let network = Network::of(IpAddr::V4(address), 24);
    let oddity = match groups {
        [first, second] => {
            let cure = format!("write {first}.{second}.0.0/16 for all of it, or {network}");
            let message = format!("two groups are only the network {network}");
            Some(Fault::new(0..text.len(), message, cure))
        }
        _ => octal(text, groups, network),
    };
    Ok((network, oddity))
}

/// The groups with zeros behind them; a leading zero makes a group octal.
fn octets(groups: &[&str]) -> Option<Ipv4Addr> {
    let mut bits = 0_u32;
    for group in groups {
        let octal = group.len() > 1 && group.starts_with('0');
        let radix = if octal { 8 } else { 10 };
        bits = (bits << 8) | u32::from(u8::from_str_radix(group, radix).ok()?);
    }
    let missing = 4_u32.checked_sub(u32::try_from(groups.len()).ok()?)?;
    Some(Ipv4Addr::from(bits.checked_shl(8 * missing)?))
}

fn octal(text: &str, groups: &[&str], network: Network) -> Option<Fault> {
    let misread = |group: &&str| group.starts_with('0') && group.trim_start_matches('0').len() > 1;
    groups.iter().any(misread).then(|| {
        Fault::new(
            0..text.len(),
            format!("a group with a leading zero is octal, so this is {network}"),
            "write the groups without leading zeros",
        )
    })
}

/// Brackets end an address, and what follows them does not count; a mask stands behind a slash
/// or white space.
fn v6(entry: &[u8], text: &str) -> Read {
    let unusable = || Err(no_network(&String::from_utf8_lossy(entry)));
    let (inner, ignored) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inner, ignored)) => (inner, ignored),
        None => (text, ""),
    };
    let is_gap = |byte: char| byte == '/' || matches!(byte, '\t'..='\r' | ' ');
    let (address, mask) = match inner.split_once(is_gap) {
        Some((address, mask)) => (address, Some(mask)),
        None => (inner, None),
    };
    let prefix = mask.map_or(Some(128), prefix_of);
    let (Some(address), Some(prefix)) = (v6_address(address), prefix) else {
        return unusable();
    };
    let network = Network::of(IpAddr::V6(address), prefix);
    let oddity = (!ignored.is_empty()).then(|| {
        let from = text.len() - ignored.len();
        let cure = format!("write {inner}{ignored} without brackets");
        let message = format!("what follows the bracket does not count, so this is {network}");
        Fault::new(from..text.len(), message, cure)
    });
    Ok((network, oddity))
}

/// As RFC 4291 §2.2 has it, but an IPv4 address at the end may have leading zeros, which are
/// decimal here.
fn v6_address(text: &str) -> Option<Ipv6Addr> {
    let (front, last) = text.rsplit_once(':')?;
    if !last.contains('.') {
        return text.parse().ok();
    }
    let mut plain = String::from(front);
    let mut separator = ':';
    for group in last.split('.') {
        if !is_digits(group, 3) {
            return None;
        }
        let group: u8 = group.parse().ok()?;
        plain.push(separator);
        plain.push_str(&group.to_string());
        separator = '.';
    }
    plain.parse().ok()
}

/// A prefix length, or a mask written as an address.
fn prefix_of(mask: &str) -> Option<u8> {
    if is_digits(mask, 3) {
        return mask.parse().ok().filter(|prefix| *prefix <= 128);
    }
    let bits = match mask.parse::<IpAddr>().ok()? {
        IpAddr::V6(mask) => u128::from(mask),
        IpAddr::V4(mask) => u128::MAX << 32 | u128::from(u32::from(mask)),
    };
    let ones = bits.leading_ones();
    let contiguous = bits.count_ones() == ones;
    contiguous.then(|| u8::try_from(ones).ok()).flatten()
}

fn no_network(text: &str) -> Fault {
    Fault::new(
        0..text.len(),
        "this is no address or network and is passed over",
        "write for example 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32",
    )
}
