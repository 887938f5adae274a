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
    pub(super) fn header_text(&self, acl: &[u8]) -> String {
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

    /// The words of the log, of this client, sender and recipient. The original has none for the
    /// bypasses, of which it logs lines of their own; here they are those of the header.
    pub(super) fn log_text(&self, subject: &LogSubject<'_>, acl: &[u8]) -> String {
        let client = subject.client;
        match self {
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
            Self::Authenticated
            | Self::Certificate
            | Self::AccessDatabase
            | Self::PopBeforeSmtp
            | Self::Dkim
            | Self::NoAddress
            | Self::Known
            | Self::Rule => self.header_text(acl),
        }
    }
}

/// The texts joined by `, `, each once.
pub(super) fn joined(texts: impl Iterator<Item = String>) -> String {
    let mut said: Vec<String> = Vec::new();
    for text in texts {
        if !said.contains(&text) {
            said.push(text);
        }
    }
    said.join(", ")
}
