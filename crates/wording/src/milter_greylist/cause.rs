//! Why a message was not delayed, in the words of the header and in those of the log.

use greylatch_core::Seconds;

use super::line::LogSubject;
use crate::escape::escaped;

/// Why a message or recipient passes without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassCause<'a> {
    /// A `domain` clause.
    Domain,
    /// An `addr` clause.
    Address,
    /// A `from` clause.
    Sender,
    /// A `rcpt` clause.
    Recipient,
    /// The client has logged in.
    Authenticated,
    /// The client showed a certificate that was verified.
    Certificate,
    /// The MTA's access database, by `{greylist}`.
    AccessDatabase,
    /// The client has fetched mail before (`drac`).
    PopBeforeSmtp,
    /// An `spf` clause or the bypass: whether the check passed.
    Spf(bool),
    /// A `dkim` clause.
    Dkim,
    /// The client has no address of IPv4 or IPv6.
    NoAddress,
    /// The triplet has passed before.
    Known,
    /// A `dnsrbl` clause: whether the client is listed.
    DnsList(bool),
    /// An `mx` clause.
    Mx,
    /// A `urlcheck` clause: whether the check passed.
    Url(bool),
    /// An `sm_macro` clause: whether it is satisfied.
    Macro(bool),
    /// A `geoip` clause: the client's country, and whether that is the one.
    Country(&'a [u8], bool),
    /// A rule without conditions, or no rule in test mode.
    Default,
    /// The client sat through a tarpit of this length.
    Tarpit(Seconds),
    /// A rule, by conditions that have no words of their own.
    Rule,
}

impl PassCause<'_> {
    /// The words of the header; `acl` names the rule where nothing else fits.
    fn header_text(&self, acl: &[u8]) -> String {
        let text = match self {
            Self::Domain => "Sender DNS name whitelisted",
            Self::Address => "Sender IP whitelisted",
            Self::Sender => "Sender e-mail whitelisted",
            Self::Recipient => "Recipient e-mail whitelisted",
            Self::Authenticated => "Sender succeeded SMTP AUTH",
            Self::Certificate => "Sender succeeded STARTTLS authentication",
            Self::AccessDatabase => "Message whitelisted by Sendmail access database",
            Self::PopBeforeSmtp => "Message whitelisted by DRAC access database",
            Self::Spf(true) => "Sender passed SPF test",
            Self::Dkim => "Sender passed DKIM test",
            Self::NoAddress => "Message not sent from an IPv4 neither IPv6 address",
            Self::Known => "IP, sender and recipient auto-whitelisted",
            Self::DnsList(true) => "Sender IP whitelisted by DNSRBL",
            Self::Mx => "Sender IP whitelisted by MX",
            Self::Url(true) => "URL check passed",
            Self::Default => "Default is to whitelist mail",
            Self::Tarpit(length) => return format!("Message whitelisted by tarpit {}s", length.0),
            Self::Spf(false)
            | Self::DnsList(false)
            | Self::Url(false)
            | Self::Macro(_)
            | Self::Country(..)
            | Self::Rule => return format!("ACL {} matched", escaped(acl)),
        };
        text.to_owned()
    }

    /// Its place among the causes in a header, and in a line of the log: both name them in an order
    /// of their own, whatever that of the rule's clauses.
    fn places(&self) -> (u8, u8) {
        match self {
            Self::Domain => (0, 4),
            Self::Address => (1, 0),
            Self::Sender => (2, 5),
            Self::Authenticated => (3, 20),
            Self::AccessDatabase => (4, 20),
            Self::PopBeforeSmtp => (5, 20),
            Self::Spf(true) => (6, 9),
            Self::Dkim => (7, 10),
            Self::NoAddress => (8, 20),
            Self::Certificate => (9, 20),
            Self::Recipient => (10, 6),
            Self::Known => (11, 20),
            Self::DnsList(true) => (12, 1),
            Self::Mx => (13, 2),
            Self::Url(true) => (14, 3),
            Self::Default => (15, 12),
            Self::Tarpit(_) => (16, 11),
            Self::DnsList(false) => (17, 1),
            Self::Url(false) => (17, 3),
            Self::Macro(_) => (17, 7),
            Self::Country(..) => (17, 8),
            Self::Spf(false) => (17, 9),
            Self::Rule => (17, 20),
        }
    }

    /// The words of the log, of this client, sender and recipient. The original has none for some,
    /// and logs lines of their own for the bypasses.
    fn log_text(&self, subject: &LogSubject<'_>) -> Option<String> {
        let client = subject.client;
        Some(match self {
            Self::Domain => format!("sender DNS name {} is whitelisted", escaped(subject.host)),
            Self::Address => format!("address {client} is whitelisted"),
            Self::Sender => format!("sender {} is whitelisted", escaped(subject.sender)),
            Self::Recipient => match subject.recipient {
                Some(recipient) => format!("recipient {} is whitelisted", escaped(recipient)),
                None => "at least one recipient is whitelisted".to_owned(),
            },
            Self::Spf(true) => "sender is SPF-compliant".to_owned(),
            Self::Spf(false) => "sender is not SPF-compliant".to_owned(),
            Self::DnsList(true) => format!("address {client} is in DNSRBL"),
            Self::DnsList(false) => format!("address {client} is not in DNSRBL"),
            Self::Mx => format!("address {client} matches MX record"),
            Self::Url(true) => "URL check passed".to_owned(),
            Self::Url(false) => "URL check not passed".to_owned(),
            Self::Macro(true) => "macro rule is satisfied".to_owned(),
            Self::Macro(false) => "macro rule is not satisfied".to_owned(),
            Self::Country(code, true) => format!("geoip ccode {} is whitelisted", escaped(code)),
            Self::Country(code, false) => {
                format!("geoip ccode {} is not whitelisted", escaped(code))
            }
            Self::Default => "this is the default action".to_owned(),
            Self::Tarpit(_) => "tarpit is requested".to_owned(),
            Self::Dkim => "sender is DKIM-compliant".to_owned(),
            Self::Authenticated
            | Self::Certificate
            | Self::AccessDatabase
            | Self::PopBeforeSmtp
            | Self::NoAddress
            | Self::Known
            | Self::Rule => return None,
        })
    }
}

/// The words of the header for all causes, each once.
pub(super) fn header_texts(causes: &[PassCause<'_>], acl: &[u8]) -> Vec<String> {
    let mut causes = causes.to_vec();
    causes.sort_by_key(|cause| cause.places().0);
    let texts = causes.iter().map(|cause| cause.header_text(acl));
    each_once(texts)
}

/// The words of the log for all causes that have some, each once.
pub(super) fn log_texts(causes: &[PassCause<'_>], subject: &LogSubject<'_>) -> Vec<String> {
    let mut causes = causes.to_vec();
    causes.sort_by_key(|cause| cause.places().1);
    let texts = causes.iter().filter_map(|cause| cause.log_text(subject));
    each_once(texts)
}

fn each_once(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut said: Vec<String> = Vec::new();
    for text in texts {
        if !said.contains(&text) {
            said.push(text);
        }
    }
    said
}
