//! Format strings filled in.

use std::io::Write;
use std::net::IpAddr;

use greylatch_core::{Network, Outcome, Seconds};

use super::answer::MilterAnswer;
use super::format::{Field, Format, Part, Piece, Unit};
use super::found::{FoundOut, authentication_results, received_spf};
use super::header::Signature;
use super::{clock_parts, clock_text};
use crate::escape::escape;

/// What a format may speak of; everything but the signature may be empty.
#[derive(Clone, Copy)]
pub struct FormatValues<'a> {
    /// Who we are and what time it is.
    pub signature: Signature<'a>,
    /// The client's address, when it has one.
    pub client: Option<IpAddr>,
    /// The client's host name, as the MTA gave it.
    pub host: &'a [u8],
    /// What it said in HELO or EHLO.
    pub helo: &'a [u8],
    /// The sender, with or without brackets.
    pub sender: &'a [u8],
    /// The recipient, with or without brackets; empty at DATA.
    pub recipient: &'a [u8],
    /// What the MTA is told, once that is known.
    pub answer: Option<&'a MilterAnswer>,
    /// The value of the `X-Greylist` header.
    pub header: &'a [u8],
    /// The MTA's macros, by names without braces.
    pub macros: Option<Lookup<'a>>,
    /// What the groups of the rule's patterns matched, the first one first.
    pub groups: &'a [&'a [u8]],
    /// The client's operating system, as guessed from its packets.
    pub system: &'a [u8],
    /// The score of a spam filter.
    pub spam_score: &'a [u8],
    /// What becomes of the recipient.
    pub outcome: Option<Outcome>,
    /// The rule that decided.
    pub rule: RuleName<'a>,
    /// The rule that is being looked at.
    pub rule_in_hand: RuleName<'a>,
    /// How long ago the first attempt was.
    pub elapsed: Seconds,
    /// How long is left until a retry passes.
    pub remaining: Seconds,
    /// The property that matched last.
    pub property: PropertyMatch<'a>,
    /// All properties, by name.
    pub properties: Option<Lookup<'a>>,
    /// What has been found out about client, sender and signatures.
    pub found: Option<&'a FoundOut>,
    /// The tarpit of the rule.
    pub tarpit: Option<Seconds>,
}

impl<'a> FormatValues<'a> {
    /// Values of which only the signature is known.
    #[must_use]
    pub fn new(signature: Signature<'a>) -> Self {
        Self {
            signature,
            client: None,
            host: b"",
            helo: b"",
            sender: b"",
            recipient: b"",
            answer: None,
            header: b"",
            macros: None,
            groups: &[],
            system: b"",
            spam_score: b"",
            outcome: None,
            rule: RuleName::default(),
            rule_in_hand: RuleName::default(),
            elapsed: Seconds(0),
            remaining: Seconds(0),
            property: PropertyMatch::default(),
            properties: None,
            found: None,
            tarpit: None,
        }
    }

    /// A value from outside.
    fn text(&self, field: Field) -> &'a [u8] {
        match field {
            Field::Recipient(part) => address_part(self.recipient, part),
            Field::Sender(part) => address_part(self.sender, part),
            Field::Host(part) => part_at(self.host, part, b'.', false),
            Field::Helo => self.helo,
            Field::Code => self.answer.map_or(b"", |answer| &answer.code),
            Field::Status => self.answer.map_or(b"", |answer| &answer.status),
            Field::Message => self.answer.map_or(b"", |answer| &answer.text),
            Field::Header => self.header,
            Field::DnsLists => self.found.map_or(b"", |found| &found.dns_lists),
            Field::Country => self.found.map_or(b"", |found| &found.country),
            Field::System => self.system,
            Field::SpamScore => self.spam_score,
            Field::RuleId => self.rule.id,
            Field::RuleInHandId => self.rule_in_hand.id,
            Field::PropertyName => self.property.name,
            Field::PropertyValue => self.property.value,
            Field::PropertyRecipient => self.property.recipient,
            Field::Spf => self.found.map_or(b"", FoundOut::spf_word),
            Field::Dkim => self.found.map_or(b"", FoundOut::dkim_word),
            _ => b"",
        }
    }

    /// A value that is made here and holds nothing from outside; `None` for the others.
    fn own_text(&self, field: Field) -> Option<String> {
        Some(match field {
            Field::Client => self.client.map_or_else(String::new, |ip| ip.to_string()),
            Field::ClientReversed => self.client.map_or_else(String::new, reversed),
            Field::Version => self.signature.version.to_owned(),
            Field::ZoneOffset => (self.signature.local_time)("%z"),
            Field::Outcome => match self.outcome {
                Some(Outcome::Pass) => "accept".to_owned(),
                Some(Outcome::Defer) => "tempfail".to_owned(),
                Some(Outcome::Refuse) => "reject".to_owned(),
                None => String::new(),
            },
            Field::Rule => self.rule.line_text(),
            Field::RuleInHand => self.rule_in_hand.line_text(),
            Field::Elapsed(unit) => length_text(self.elapsed, unit),
            Field::Remaining(unit) => length_text(self.remaining, unit),
            Field::Tarpit => self.tarpit.map_or(-1, |tarpit| tarpit.0).to_string(),
            _ => return None,
        })
    }
}

/// Finds a value by its name.
pub type Lookup<'a> = &'a dyn Fn(&[u8]) -> Option<Vec<u8>>;

/// A rule as the original names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleName<'a> {
    /// The last line of its statement; `None`: no rule.
    pub line: Option<u32>,
    /// Its name, by default the line.
    pub id: &'a [u8],
}

impl RuleName<'_> {
    fn line_text(&self) -> String {
        self.line
            .map_or_else(|| "(none)".to_owned(), |line| line.to_string())
    }
}

/// A property that matched a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PropertyMatch<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// The recipient it was set for.
    pub recipient: &'a [u8],
}

/// How values from outside are made safe for where the text goes. What the administrator wrote
/// stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escaping {
    /// Not at all: the text is compared, or a key.
    Raw,
    /// For a log, a record of `stat`, a terminal: as [`escape`] does it.
    Line,
    /// For a header of the message: as `Line`, but a folded value stays folded.
    Header,
    /// For a reply to an SMTP command: only printable ASCII stays.
    ///
    /// Source: RFC 5321 §4.2 (textstring).
    Reply,
}

impl Escaping {
    /// Appends a value from outside.
    pub(super) fn push(self, out: &mut Vec<u8>, value: &[u8]) {
        match self {
            Self::Raw => out.extend_from_slice(value),
            Self::Line => escape(out, value),
            Self::Header => {
                for (nth, line) in folded_lines(value).enumerate() {
                    if nth > 0 {
                        out.extend_from_slice(b"\r\n\t");
                    }
                    escape(out, line);
                }
            }
            Self::Reply => {
                for byte in value {
                    match byte {
                        b' '..=b'~' => out.push(*byte),
                        byte => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
                    }
                }
            }
        }
    }
}

/// The lines of a folded header value: cut where a line end is followed by a blank or TAB. Any
/// other line end would begin a header of its own, and is left in for the escape.
fn folded_lines(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        let fold = text
            .windows(2)
            .position(|pair| matches!(pair, [b'\n', b' ' | b'\t']));
        let Some(fold) = fold else {
            return rest.take();
        };
        let line = &text[..fold];
        rest = Some(text[fold + 1..].trim_ascii_start());
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    })
}

impl Format {
    /// The text for these values.
    #[must_use]
    pub fn expand(&self, values: &FormatValues<'_>, escaping: Escaping) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in &self.pieces {
            let from_outside = match piece {
                Piece::Text(text) => {
                    out.extend_from_slice(text);
                    continue;
                }
                Piece::Time(pattern) => {
                    out.extend_from_slice((values.signature.local_time)(pattern).as_bytes());
                    continue;
                }
                Piece::Masked(prefix) => {
                    if let Some(client) = values.client {
                        let network = Network::of(client, *prefix).address();
                        push_own(&mut out, &network.to_string());
                    }
                    continue;
                }
                Piece::Field(Field::Signature) => {
                    values.signature.push(&mut out, escaping);
                    continue;
                }
                Piece::Field(Field::AuthenticationResults) => {
                    escaping.push(&mut out, &authentication_results(values));
                    continue;
                }
                Piece::Field(Field::ReceivedSpf) => {
                    escaping.push(&mut out, &received_spf(values));
                    continue;
                }
                Piece::Field(field) => match values.own_text(*field) {
                    Some(text) => {
                        push_own(&mut out, &text);
                        continue;
                    }
                    None => values.text(*field),
                },
                Piece::Macro(name) => {
                    let value = values.macros.and_then(|find| find(name));
                    escaping.push(&mut out, &value.unwrap_or_default());
                    continue;
                }
                Piece::Property(name) => {
                    let value = values.properties.and_then(|find| find(name));
                    escaping.push(&mut out, &value.unwrap_or_default());
                    continue;
                }
                Piece::Group(nth) => {
                    let group = nth.checked_sub(1).and_then(|at| values.groups.get(at));
                    group.copied().unwrap_or(b"")
                }
            };
            escaping.push(&mut out, from_outside);
        }
        out
    }
}

fn push_own(out: &mut Vec<u8>, text: &str) {
    write!(out, "{text}").expect("memory takes what is written");
}

fn length_text(length: Seconds, unit: Unit) -> String {
    let [hours, minutes, seconds] = clock_parts(length);
    match unit {
        Unit::Clock => clock_text(length),
        Unit::Total => length.0.max(0).to_string(),
        Unit::Hours => hours.to_string(),
        Unit::Minutes => minutes.to_string(),
        Unit::Seconds => seconds.to_string(),
    }
}

fn address_part(address: &[u8], part: Part) -> &[u8] {
    let address = address.strip_prefix(b"<").unwrap_or(address);
    let address = address.strip_suffix(b">").unwrap_or(address);
    part_at(address, part, b'@', true)
}

/// What stands before (`First`) or behind (`Rest`) the first or last separator; without one all
/// stands before.
fn part_at(text: &[u8], part: Part, separator: u8, last: bool) -> &[u8] {
    let is_separator = |byte: &u8| *byte == separator;
    let at = if last {
        text.iter().rposition(is_separator)
    } else {
        text.iter().position(is_separator)
    };
    match (part, at) {
        (Part::Whole, _) | (Part::First, None) => text,
        (Part::First, Some(at)) => &text[..at],
        (Part::Rest, Some(at)) => &text[at + 1..],
        (Part::Rest, None) => b"",
    }
}

/// An address as DNS lists are asked for it: octets, or nibbles of IPv6, the last one first.
///
/// Source: RFC 5782 §2.1 and §2.4.
fn reversed(client: IpAddr) -> String {
    let parts: Vec<String> = match client {
        IpAddr::V4(v4) => v4.octets().iter().rev().map(u8::to_string).collect(),
        IpAddr::V6(v6) => v6
            .octets()
            .iter()
            .rev()
            .flat_map(|octet| [octet & 15, octet >> 4])
            .map(|nibble| format!("{nibble:x}"))
            .collect(),
    };
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::super::found::{DkimFound, SpfFound};
    use super::*;

    fn local_time(pattern: &str) -> String {
        match pattern {
            "%z" => "+0000".into(),
            "%Z" => "UTC".into(),
            "%a, %d %b %Y %T" => "Tue, 24 Nov 2026 03:45:38".into(),
            other => format!("[{other}]"),
        }
    }

    fn macros(name: &[u8]) -> Option<Vec<u8>> {
        (name == b"j").then(|| b"mx.test".to_vec())
    }

    fn properties(name: &[u8]) -> Option<Vec<u8>> {
        (name == b"plan").then(|| b"gold".to_vec())
    }

    const SIGNATURE: Signature<'static> = Signature {
        product: "milter-greylist",
        version: "4.6.4",
        host: b"mx.test",
        address: b"127.0.0.1",
        local_time: &local_time,
    };

    fn found() -> FoundOut {
        FoundOut {
            spf: Some(SpfFound::Pass),
            dkim: Some(DkimFound::None),
            signer: Vec::new(),
            dns_lists: b"one,two".to_vec(),
            country: b"NZ".to_vec(),
        }
    }

    fn values() -> FormatValues<'static> {
        FormatValues {
            client: Some([192, 0, 2, 10].into()),
            host: b"mail.example.org",
            helo: b"helo.example.org",
            sender: b"<a@x>",
            recipient: b"<b@y>",
            header: b"Delayed",
            macros: Some(&macros),
            groups: &[b"first", b"second"],
            system: b"Plan 9",
            spam_score: b"3.5",
            outcome: Some(Outcome::Defer),
            rule: RuleName {
                line: Some(9),
                id: b"c2",
            },
            rule_in_hand: RuleName {
                line: Some(10),
                id: b"c3",
            },
            elapsed: Seconds(3_723),
            remaining: Seconds(360_061),
            property: PropertyMatch {
                name: b"n",
                value: b"v",
                recipient: b"r",
            },
            properties: Some(&properties),
            tarpit: Some(Seconds(2)),
            ..FormatValues::new(SIGNATURE)
        }
    }

    fn expanded(format: &str, values: &FormatValues<'_>) -> String {
        let text = Format::new(format.as_bytes()).expand(values, Escaping::Raw);
        String::from_utf8(text).expect("the vectors are UTF-8")
    }

    #[test]
    fn every_token_has_its_value() {
        let found = found();
        let values = FormatValues {
            found: Some(&found),
            ..values()
        };
        for (format, expected) in [
            ("%r %mr %sr", "b@y b y"),
            ("%f %mf %sf", "a@x a x"),
            ("%d %md %sd", "mail.example.org mail example.org"),
            (
                "%i %j %I{/24} %I{/99}",
                "192.0.2.10 10.2.0.192 192.0.2.0 192.0.2.10",
            ),
            ("%h %Fx %Hs %Xh", "helo.example.org Plan 9 3.5 Delayed"),
            ("%Mj|%M{if_addr}|%P{plan}|%P{none}", "mx.test||gold|"),
            ("%g{\\1}%g{\\2}|%g{\\3}%g{\\0}", "firstsecond|"),
            ("%T{%Y/%m/%d %T}", "[%Y/%m/%d %T]"),
            ("%v %G", "4.6.4 +0000"),
            (
                "%V",
                "milter-greylist-4.6.4 (mx.test [127.0.0.1]); Tue, 24 Nov 2026 03:45:38 +0000 (UTC)",
            ),
            ("%S %A %a %cA %ca", "tempfail 9 c2 10 c3"),
            ("%E %Et %Eh %Em %Es", "01:02:03 3723 1 2 3"),
            ("%R %Rt %Rh %Rm %Rs", "100:01:01 360061 100 1 1"),
            ("%pn %pv %pr", "n v r"),
            (
                "%D %C %Qs %Qd %QA",
                "one,two NZ pass none mx.test;\r\n\tspf=pass smtp.mailfrom=a@x;\r\n\tdkim=none",
            ),
            ("%t%%", "2%"),
        ] {
            assert_eq!(expanded(format, &values), expected, "{format}");
        }
    }

    #[test]
    fn what_is_not_there_is_empty() {
        let nothing = FormatValues::new(SIGNATURE);
        for (format, expected) in [
            ("%r%mr%sr%f%d%md%sd%i%j%I{/24}%h%Xc%Xe%Xm%Xh%D", ""),
            ("%Mj%P{p}%g{\\1}%C%Fx%Hs%S%a%ca%pn%pv%pr%Qs%Qd%QS", ""),
            ("%A %cA %t %E %Rt", "(none) (none) -1 00:00:00 0"),
        ] {
            assert_eq!(expanded(format, &nothing), expected, "{format}");
        }
        for (outcome, word) in [(Outcome::Pass, "accept"), (Outcome::Refuse, "reject")] {
            let values = FormatValues {
                outcome: Some(outcome),
                ..nothing
            };
            assert_eq!(expanded("%S", &values), word);
        }
    }

    #[test]
    fn addresses_are_taken_apart_at_the_last_at_sign() {
        for (address, mailbox, site) in [
            (&b"<\"a@b\"@x.org>"[..], "\"a@b\"", "x.org"),
            (b"root", "root", ""),
            (b"<>", "", ""),
            (b"@x", "", "x"),
        ] {
            let values = FormatValues {
                sender: address,
                ..values()
            };
            assert_eq!(expanded("%mf", &values), mailbox);
            assert_eq!(expanded("%sf", &values), site);
        }
        let v6 = FormatValues {
            client: Some("2001:db8::9".parse().expect("an address")),
            host: b"[2001:db8::9]",
            ..values()
        };
        assert_eq!(
            expanded("%i %I{/32} %md %sd|%j", &v6),
            "2001:db8::9 2001:db8:: [2001:db8::9] |9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"
        );
    }

    #[test]
    fn values_are_escaped_for_where_they_go_and_the_format_itself_is_not() {
        let found = FoundOut {
            dkim: None,
            ..found()
        };
        let hostile = FormatValues {
            helo: b"\x1b[2J\r\nX: y\xff\x7f",
            sender: "\"é\n \tb".as_bytes(),
            found: Some(&found),
            ..values()
        };
        let format = Format::with_escapes(b"%h|%QA\n");
        let text = |escaping| format.expand(&hostile, escaping);
        let results = "mx.test;\r\n\tspf=pass smtp.mailfrom=\"é\n \tb".as_bytes();
        let raw = [hostile.helo, b"|", results, b"\n"].concat();
        assert_eq!(text(Escaping::Raw), raw);
        let helo = "\\x1b[2J\\x0d\\x0aX: y\\xff\\x7f|mx.test;";
        for (escaping, results) in [
            (
                Escaping::Line,
                "\\x0d\\x0a\\x09spf=pass smtp.mailfrom=\"é\\x0a \\x09b\n",
            ),
            (
                Escaping::Header,
                "\r\n\tspf=pass smtp.mailfrom=\"é\r\n\tb\n",
            ),
            (
                Escaping::Reply,
                "\\x0d\\x0a\\x09spf=pass smtp.mailfrom=\"\\xc3\\xa9\\x0a \\x09b\n",
            ),
        ] {
            let text = String::from_utf8(text(escaping)).expect("UTF-8");
            assert_eq!(text, format!("{helo}{results}"));
        }
    }

    #[test]
    fn a_stat_record_is_the_one_of_its_own_recipient() {
        let format = Format::with_escapes(b"%i %f %r %S %A %a %Xc %Xm|%Xh\\n");
        let answer = MilterAnswer {
            outcome: Outcome::Defer,
            code: b"451".to_vec(),
            status: b"4.7.1".to_vec(),
            text: b"Greylisting in action, please come back in 01:00:00".to_vec(),
        };
        let deferred = FormatValues {
            answer: Some(&answer),
            header: b"",
            rule: RuleName {
                line: Some(9),
                id: b"9",
            },
            ..values()
        };
        assert_eq!(
            format.expand(&deferred, Escaping::Line),
            b"192.0.2.10 a@x b@y tempfail 9 9 451 Greylisting in action, please come back in 01:00:00|\n"
        );
        let passed = FormatValues {
            recipient: b"w2@y",
            answer: None,
            outcome: Some(Outcome::Pass),
            header: b"Recipient e-mail whitelisted, not delayed",
            ..deferred
        };
        assert_eq!(
            format.expand(&passed, Escaping::Line),
            b"192.0.2.10 a@x w2@y accept 9 9  |Recipient e-mail whitelisted, not delayed\n"
        );
    }
}
