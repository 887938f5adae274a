//! Format strings as the administrator writes them, parsed once. Filling them in is in
//! `expand.rs`.
//!
//! A token that is not known is printed as it stands, a single `%` at the end is dropped, and
//! `%%` is one `%` whatever follows.

/// A text with places to be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    pub(super) pieces: Vec<Piece>,
}

/// A piece of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// As it stands.
    Text(Vec<u8>),
    /// Something to be filled in.
    Field(Field),
    /// `%I{/N}`: the client's address, the bits behind the first N cleared.
    Masked(u8),
    /// `%Mj`, `%M{name}`: a macro of the MTA, by its name without braces.
    Macro(Vec<u8>),
    /// `%g{\N}`: what the N-th group of the rule's patterns matched.
    Group(usize),
    /// `%T{…}`: the local time as strftime(3) has it.
    Time(String),
    /// `%P{name}`: a property.
    Property(Vec<u8>),
}

/// What may be filled in and needs no argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Recipient(Part),
    Sender(Part),
    Host(Part),
    Client,
    ClientReversed,
    Helo,
    Code,
    Status,
    Message,
    Header,
    DnsLists,
    Version,
    Signature,
    ZoneOffset,
    Country,
    System,
    SpamScore,
    Outcome,
    Rule,
    RuleId,
    RuleInHand,
    RuleInHandId,
    Elapsed(Unit),
    Remaining(Unit),
    PropertyName,
    PropertyValue,
    PropertyRecipient,
    Spf,
    Dkim,
    AuthenticationResults,
    ReceivedSpf,
    Tarpit,
}

/// Which part of an address (at its `@`) or of a host name (at its first dot).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    First,
    Rest,
}

/// How a length of time is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Clock,
    Total,
    Hours,
    Minutes,
    Seconds,
}

/// The names behind the `%`.
const FIELDS: [(&str, Field); 46] = [
    ("r", Field::Recipient(Part::Whole)),
    ("mr", Field::Recipient(Part::First)),
    ("sr", Field::Recipient(Part::Rest)),
    ("f", Field::Sender(Part::Whole)),
    ("mf", Field::Sender(Part::First)),
    ("sf", Field::Sender(Part::Rest)),
    ("d", Field::Host(Part::Whole)),
    ("md", Field::Host(Part::First)),
    ("sd", Field::Host(Part::Rest)),
    ("i", Field::Client),
    ("j", Field::ClientReversed),
    ("h", Field::Helo),
    ("Xc", Field::Code),
    ("Xe", Field::Status),
    ("Xm", Field::Message),
    ("Xh", Field::Header),
    ("D", Field::DnsLists),
    ("v", Field::Version),
    ("V", Field::Signature),
    ("G", Field::ZoneOffset),
    ("C", Field::Country),
    ("Fx", Field::System),
    ("Hs", Field::SpamScore),
    ("S", Field::Outcome),
    ("A", Field::Rule),
    ("a", Field::RuleId),
    ("cA", Field::RuleInHand),
    ("ca", Field::RuleInHandId),
    ("E", Field::Elapsed(Unit::Clock)),
    ("Et", Field::Elapsed(Unit::Total)),
    ("Eh", Field::Elapsed(Unit::Hours)),
    ("Em", Field::Elapsed(Unit::Minutes)),
    ("Es", Field::Elapsed(Unit::Seconds)),
    ("R", Field::Remaining(Unit::Clock)),
    ("Rt", Field::Remaining(Unit::Total)),
    ("Rh", Field::Remaining(Unit::Hours)),
    ("Rm", Field::Remaining(Unit::Minutes)),
    ("Rs", Field::Remaining(Unit::Seconds)),
    ("pn", Field::PropertyName),
    ("pv", Field::PropertyValue),
    ("pr", Field::PropertyRecipient),
    ("Qs", Field::Spf),
    ("Qd", Field::Dkim),
    ("QA", Field::AuthenticationResults),
    ("QS", Field::ReceivedSpf),
    ("t", Field::Tarpit),
];

impl Format {
    /// Parses a format string. There is no wrong one.
    #[must_use]
    pub fn new(text: &[u8]) -> Self {
        let mut pieces = Vec::new();
        let mut plain = Vec::new();
        let mut rest = text;
        while let Some(percent) = rest.iter().position(|byte| *byte == b'%') {
            let (before, behind) = rest.split_at(percent);
            plain.extend_from_slice(before);
            let behind = &behind[1..];
            rest = match (behind.first(), token(behind)) {
                (None, _) => behind,
                (Some(b'%'), _) => {
                    plain.push(b'%');
                    &behind[1..]
                }
                (Some(_), Some((piece, rest))) => {
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    }
                    pieces.push(piece);
                    rest
                }
                (Some(_), None) => {
                    plain.push(b'%');
                    behind
                }
            };
        }
        plain.extend_from_slice(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Self { pieces }
    }

    /// Parses the format string of a `stat` or `addfooter`, in which `\n`, `\t` and the other
    /// escapes of C stand for one byte each.
    #[must_use]
    pub fn with_escapes(text: &[u8]) -> Self {
        Self::new(&unescape(text))
    }

    /// The names, without braces, of the MTA's macros that it needs.
    pub fn macros(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Macro(name) => Some(&name[..]),
            _ => None,
        })
    }
}

/// The token at the beginning of what follows a `%`, and what is behind it.
fn token(text: &[u8]) -> Option<(Piece, &[u8])> {
    if let Some(found) = token_with_argument(text) {
        return Some(found);
    }
    let (name, field) = FIELDS
        .iter()
        .filter(|(name, _)| text.starts_with(name.as_bytes()))
        .max_by_key(|(name, _)| name.len())?;
    Some((Piece::Field(*field), &text[name.len()..]))
}

fn token_with_argument(text: &[u8]) -> Option<(Piece, &[u8])> {
    let (letter, behind) = text.split_first()?;
    let Some(braced) = behind.strip_prefix(b"{") else {
        let name = behind.first().filter(|byte| byte.is_ascii_alphanumeric())?;
        return (*letter == b'M').then(|| (Piece::Macro(vec![*name]), &behind[1..]));
    };
    let end = braced.iter().position(|byte| *byte == b'}')?;
    let (argument, rest) = (&braced[..end], &braced[end + 1..]);
    let piece = match letter {
        b'M' => Piece::Macro(argument.to_vec()),
        b'P' => Piece::Property(argument.to_vec()),
        b'T' => Piece::Time(String::from_utf8_lossy(argument).into_owned()),
        b'I' => Piece::Masked(number(argument.strip_prefix(b"/")?)?.try_into().ok()?),
        b'g' => Piece::Group(number(argument.strip_prefix(b"\\")?)?),
        _ => return None,
    };
    Some((piece, rest))
}

fn number(digits: &[u8]) -> Option<usize> {
    // The standard library would also take a sign.
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

/// The text with the escapes of C replaced; one that C does not know stays.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, behind)) = rest.split_first() {
        let escaped = behind.first().filter(|_| *byte == b'\\');
        let replaced = escaped.and_then(|letter| match letter {
            b'n' => Some(b'\n'),
            b't' => Some(b'\t'),
            b'r' => Some(b'\r'),
            b'a' => Some(0x07),
            b'b' => Some(0x08),
            b'f' => Some(0x0c),
            b'v' => Some(0x0b),
            b'\\' | b'"' => Some(*letter),
            _ => None,
        });
        plain.push(replaced.unwrap_or(*byte));
        rest = if replaced.is_some() {
            &behind[1..]
        } else {
            behind
        };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Piece {
        Piece::Text(text.into())
    }

    fn pieces(format: &str) -> Vec<Piece> {
        Format::new(format.as_bytes()).pieces
    }

    #[test]
    fn every_name_is_a_token_of_its_own() {
        for (name, field) in FIELDS {
            assert_eq!(pieces(&format!("%{name}")), [Piece::Field(field)], "{name}");
            let others = FIELDS.iter().filter(|(other, _)| *other == name);
            assert_eq!(others.count(), 1, "{name}");
        }
    }

    #[test]
    fn the_longest_name_counts() {
        assert_eq!(
            pieces("%Et%E %Ex%mrx"),
            [
                Piece::Field(Field::Elapsed(Unit::Total)),
                Piece::Field(Field::Elapsed(Unit::Clock)),
                text(" "),
                Piece::Field(Field::Elapsed(Unit::Clock)),
                text("x"),
                Piece::Field(Field::Recipient(Part::First)),
                text("x"),
            ]
        );
    }

    #[test]
    fn two_percent_signs_are_one_and_what_is_unknown_stays() {
        for (format, expected) in [
            ("20%% lost", "20% lost"),
            ("%%r", "%r"),
            ("%%%%r", "%%r"),
            ("%q %mx %X %p %c %Q %F %H", "%q %mx %X %p %c %Q %F %H"),
            (
                "%I{24} %g{1} %g{\\x} %g{\\} %I{/x} %I{/999} %k{x} %M- %M{open",
                "%I{24} %g{1} %g{\\x} %g{\\} %I{/x} %I{/999} %k{x} %M- %M{open",
            ),
            ("lost at the end %", "lost at the end "),
            ("%%%", "%"),
        ] {
            assert_eq!(pieces(format), [text(expected)], "{format}");
        }
        assert_eq!(pieces("%"), []);
        assert_eq!(pieces(""), []);
    }

    #[test]
    fn arguments_stand_in_braces() {
        assert_eq!(
            pieces("%Mj%M{if_addr}%g{\\12}%T{%Y/%m/%d %T}%I{/24}%P{p}"),
            [
                Piece::Macro(b"j".to_vec()),
                Piece::Macro(b"if_addr".to_vec()),
                Piece::Group(12),
                Piece::Time("%Y/%m/%d %T".into()),
                Piece::Masked(24),
                Piece::Property(b"p".to_vec()),
            ]
        );
        let format = Format::new(b"%Mj %r %M{if_addr}");
        let macros: Vec<_> = format.macros().collect();
        assert_eq!(macros, [&b"j"[..], b"if_addr"]);
    }

    #[test]
    fn escapes_count_where_they_are_asked_for() {
        assert_eq!(Format::new(b"a\\n").pieces, [text("a\\n")]);
        assert_eq!(
            Format::with_escapes(b"a\\tb\\\\n\\q\\\"\\r\\n\\").pieces,
            [text("a\tb\\n\\q\"\r\n\\")]
        );
    }
}
