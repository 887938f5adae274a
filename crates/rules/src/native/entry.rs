//! One entry of a condition: what it may look like in which condition.

use greylatch_core::{Network, NetworkError};

use crate::pattern::{Pattern, between_slashes};
use crate::tables::{Part, Test};

/// What is wrong, and the cure.
type Mistake = (String, String);

/// Reads an entry of the condition on `part`.
pub(super) fn read(part: Part, text: &str) -> Result<Test, Mistake> {
    match part {
        Part::Client => network(text),
        Part::Name | Part::Helo => pattern_or(text, |text| name(part, text)),
        Part::Sender if text.is_empty() || text == "<>" => Ok(Test::Null),
        Part::Sender | Part::Recipient => pattern_or(text, address),
    }
}

fn mistake<T>(message: impl Into<String>, cure: impl Into<String>) -> Result<T, Mistake> {
    Err((message.into(), cure.into()))
}

fn network(text: &str) -> Result<Test, Mistake> {
    match text.parse::<Network>() {
        Ok(network) => Ok(Test::Network(as_clients_come(network))),
        Err(error @ NetworkError::Prefix { .. }) => {
            mistake(error.to_string(), "write for example 192.0.2.0/24")
        }
        Err(NetworkError::Address) if text.bytes().any(|byte| byte.is_ascii_alphabetic()) => {
            mistake(
                NetworkError::Address.to_string(),
                "names belong into the condition name",
            )
        }
        Err(error) => mistake(
            error.to_string(),
            "write for example 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32",
        ),
    }
}

/// An IPv4-mapped client arrives as IPv4, so a mapped network is the IPv4 network.
fn as_clients_come(network: Network) -> Network {
    let canonical = network.address().to_canonical();
    match network.prefix().checked_sub(96) {
        Some(prefix) if canonical.is_ipv4() && network.address().is_ipv6() => {
            Network::of(canonical, prefix)
        }
        _ => network,
    }
}

fn pattern_or(
    text: &str,
    other: impl FnOnce(&str) -> Result<Test, Mistake>,
) -> Result<Test, Mistake> {
    match between_slashes(text.as_bytes()) {
        Some(pattern) => match Pattern::read(pattern) {
            Ok(pattern) => Ok(Test::Pattern(pattern)),
            Err(fault) => Err((fault.message, fault.cure)),
        },
        None if text.len() > 1 && text.starts_with('/') && text.ends_with('/') => mistake(
            "a pattern has at least one character and no white space",
            "write \\s for white space",
        ),
        None => other(text),
    }
}

fn name(part: Part, text: &str) -> Result<Test, Mistake> {
    if text.contains('@') {
        return mistake(
            "a host name has no @",
            "addresses belong into the conditions sender and recipient",
        );
    }
    if part == Part::Helo && text.starts_with('[') && text.ends_with(']') {
        return Ok(Test::Domain(text.to_ascii_lowercase().into_bytes()));
    }
    if part == Part::Name && text.parse::<Network>().is_ok() {
        return mistake(
            "an address is no client name",
            "addresses belong into the condition client",
        );
    }
    domain(text).map(Test::Domain)
}

/// A domain in lower case, without the forms that other programs use for "and all below it".
fn domain(text: &str) -> Result<Vec<u8>, Mistake> {
    let bare = text.trim_start_matches("*.").trim_matches('.');
    if bare != text && !bare.is_empty() {
        return mistake(
            "this is no domain",
            format!("write {bare}, which is the domain and all below it"),
        );
    }
    let fits = |character: char| {
        character.is_ascii_alphanumeric()
            || matches!(character, '.' | '-' | '_')
            || !character.is_ascii()
    };
    if bare.is_empty() || bare.contains("..") || !bare.chars().all(fits) {
        return mistake(
            "this is no domain",
            "write for example example.org, or a pattern between slashes",
        );
    }
    Ok(bare.to_ascii_lowercase().into_bytes())
}

fn address(text: &str) -> Result<Test, Mistake> {
    if let Some(inner) = text
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix('>'))
    {
        return mistake(
            "the angle brackets are not part of the address",
            format!("write {inner}"),
        );
    }
    let Some((user, host)) = text.rsplit_once('@') else {
        return domain(text).map(Test::Domain);
    };
    if user == "*" && !host.is_empty() {
        return mistake(
            "the star is not a wildcard",
            format!("write @{host} for everyone at that domain"),
        );
    }
    if !user.starts_with('"') && user.contains(|character: char| character.is_whitespace()) {
        return mistake(
            "this is no address",
            "write for example user@example.org, user@ or example.org",
        );
    }
    let literal = host.starts_with('[') && host.ends_with(']');
    let host = match host {
        "" => None,
        host if literal => Some(host.to_ascii_lowercase().into_bytes()),
        host => Some(domain(host)?),
    };
    match (user, host) {
        ("", None) => mistake(
            "this is no address",
            "write for example user@example.org, user@ or example.org",
        ),
        ("", Some(host)) => Ok(Test::ExactDomain(host)),
        (user, host) => Ok(Test::Mailbox(user.to_ascii_lowercase().into_bytes(), host)),
    }
}
