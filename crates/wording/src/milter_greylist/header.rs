//! The `X-Greylist` header.

use greylatch_core::Seconds;

use super::cause::{PassCause, header_texts};
use super::clock_text;
use super::expand::Escaping;

/// When the header is added: `report` in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderReport {
    /// Never.
    None,
    /// To messages that were delayed.
    Delays,
    /// To messages that were not.
    NoDelays,
    /// Always.
    All,
}

impl HeaderReport {
    /// Whether a message gets the header.
    #[must_use]
    pub fn includes(self, delayed: bool) -> bool {
        match self {
            Self::None => false,
            Self::Delays => delayed,
            Self::NoDelays => !delayed,
            Self::All => true,
        }
    }
}

/// Who writes a header, where and when.
#[derive(Clone, Copy)]
pub struct Signature<'a> {
    /// The program.
    pub product: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The MTA's name: its macro `j`, else the name of this host.
    pub host: &'a [u8],
    /// The address that the client came to: the macro `{if_addr}`, else `localaddr` of the
    /// configuration; empty when neither is there.
    pub address: &'a [u8],
    /// The local time as a pattern of strftime(3) has it.
    pub local_time: &'a dyn Fn(&str) -> String,
}

impl Signature<'_> {
    /// Appends `PRODUCT-VERSION (HOST [ADDRESS]); DATE ZONE`.
    pub(super) fn push(&self, out: &mut Vec<u8>, escaping: Escaping) {
        out.extend_from_slice(format!("{}-{} (", self.product, self.version).as_bytes());
        escaping.push(out, self.host);
        out.extend_from_slice(b" [");
        // Sendmail tags such an address; where nobody does, the original does.
        if self.address.contains(&b':') && !is_tagged(self.address) {
            out.extend_from_slice(b"IPv6:");
        }
        let address = match self.address {
            b"" => b"0.0.0.0",
            address => address,
        };
        escaping.push(out, address);
        out.extend_from_slice(b"]); ");
        // One by one: a pattern with a zone in parentheses is not known to every strftime.
        let [date, offset, zone] = ["%a, %d %b %Y %T", "%z", "%Z"].map(self.local_time);
        out.extend_from_slice(format!("{date} {offset} ({zone})").as_bytes());
    }
}

fn is_tagged(address: &[u8]) -> bool {
    let tag = address.get(..5);
    tag.is_some_and(|tag| tag.eq_ignore_ascii_case(b"IPv6:"))
}

/// The value of the header of a message: `delayed` how long its slowest recipient had to wait,
/// `None` when none had to; `causes` why it had not, and `acl` the rule where no cause has words.
#[must_use]
pub fn x_greylist(
    delayed: Option<Seconds>,
    causes: &[PassCause<'_>],
    acl: &[u8],
    signature: &Signature<'_>,
) -> Vec<u8> {
    let text = match delayed {
        Some(length) => format!("Delayed for {}", clock_text(length)),
        None => {
            let causes: &[PassCause<'_>] = match causes {
                [] => &[PassCause::Rule],
                causes => causes,
            };
            format!("{}, not delayed", header_texts(causes, acl).join(", "))
        }
    };
    let mut value = text.into_bytes();
    value.extend_from_slice(b" by ");
    signature.push(&mut value, Escaping::Header);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local_time(pattern: &str) -> String {
        match pattern {
            "%z" => "+0000",
            "%Z" => "UTC",
            "%a, %d %b %Y %T" => "Tue, 24 Nov 2026 03:25:38",
            _ => "?",
        }
        .into()
    }

    const SIGNATURE: Signature<'static> = Signature {
        product: "milter-greylist",
        version: "4.6.4",
        host: b"mx.test",
        address: b"127.0.0.1",
        local_time: &local_time,
    };

    const TAIL: &str =
        "by milter-greylist-4.6.4 (mx.test [127.0.0.1]); Tue, 24 Nov 2026 03:25:38 +0000 (UTC)";

    fn value(delayed: Option<i64>, causes: &[PassCause<'_>]) -> String {
        let value = x_greylist(delayed.map(Seconds), causes, b"6", &SIGNATURE);
        String::from_utf8(value).expect("UTF-8")
    }

    #[test]
    fn a_delayed_message_says_how_long() {
        assert_eq!(
            value(Some(3), &[PassCause::Address]),
            format!("Delayed for 00:00:03 {TAIL}")
        );
    }

    #[test]
    fn a_message_that_was_not_delayed_says_why() {
        for (cause, text) in [
            (PassCause::Domain, "Sender DNS name whitelisted"),
            (PassCause::Address, "Sender IP whitelisted"),
            (PassCause::Sender, "Sender e-mail whitelisted"),
            (PassCause::Recipient, "Recipient e-mail whitelisted"),
            (PassCause::Authenticated, "Sender succeeded SMTP AUTH"),
            (
                PassCause::Certificate,
                "Sender succeeded STARTTLS authentication",
            ),
            (
                PassCause::AccessDatabase,
                "Message whitelisted by Sendmail access database",
            ),
            (
                PassCause::PopBeforeSmtp,
                "Message whitelisted by DRAC access database",
            ),
            (PassCause::Spf(true), "Sender passed SPF test"),
            (PassCause::Spf(false), "ACL 6 matched"),
            (PassCause::Dkim, "Sender passed DKIM test"),
            (
                PassCause::NoAddress,
                "Message not sent from an IPv4 neither IPv6 address",
            ),
            (
                PassCause::Known,
                "IP, sender and recipient auto-whitelisted",
            ),
            (PassCause::DnsList(true), "Sender IP whitelisted by DNSRBL"),
            (PassCause::DnsList(false), "ACL 6 matched"),
            (PassCause::Mx, "Sender IP whitelisted by MX"),
            (PassCause::Url(true), "URL check passed"),
            (PassCause::Url(false), "ACL 6 matched"),
            (PassCause::Macro(true), "ACL 6 matched"),
            (PassCause::Country(b"NZ", true), "ACL 6 matched"),
            (PassCause::Default, "Default is to whitelist mail"),
            (
                PassCause::Tarpit(Seconds(2)),
                "Message whitelisted by tarpit 2s",
            ),
            (PassCause::Rule, "ACL 6 matched"),
        ] {
            assert_eq!(value(None, &[cause]), format!("{text}, not delayed {TAIL}"));
        }
        assert_eq!(
            value(None, &[]),
            format!("ACL 6 matched, not delayed {TAIL}")
        );
    }

    #[test]
    fn several_causes_are_said_once_each_in_their_order() {
        let causes = [
            PassCause::Rule,
            PassCause::Recipient,
            PassCause::Address,
            PassCause::Recipient,
            PassCause::Macro(true),
        ];
        assert_eq!(
            value(None, &causes),
            format!(
                "Sender IP whitelisted, Recipient e-mail whitelisted, ACL 6 matched, not delayed {TAIL}"
            )
        );
    }

    #[test]
    fn the_signature_has_an_address_in_any_case_and_nothing_that_breaks_a_header() {
        for (host, address, expected) in [
            (&b"mx.test"[..], &b""[..], "mx.test [0.0.0.0]"),
            (b"mx.test", b"::1", "mx.test [IPv6:::1]"),
            (b"mx.test", b"IPv6:::1", "mx.test [IPv6:::1]"),
            (
                b"mx.test",
                b"ipv6:2001:db8::1",
                "mx.test [ipv6:2001:db8::1]",
            ),
            (b"mx\r\nX: y", b"1\n2", "mx\\x0d\\x0aX: y [1\\x0a2]"),
        ] {
            let signature = Signature {
                host,
                address,
                ..SIGNATURE
            };
            let value = x_greylist(Some(Seconds(0)), &[], b"", &signature);
            let value = String::from_utf8(value).expect("UTF-8");
            assert!(value.contains(&format!("({expected});")), "{value}");
        }
    }

    #[test]
    fn a_report_is_asked_for_by_mode() {
        for (report, delayed, not_delayed) in [
            (HeaderReport::None, false, false),
            (HeaderReport::Delays, true, false),
            (HeaderReport::NoDelays, false, true),
            (HeaderReport::All, true, true),
        ] {
            assert_eq!(report.includes(true), delayed, "{report:?}");
            assert_eq!(report.includes(false), not_delayed, "{report:?}");
        }
    }
}
