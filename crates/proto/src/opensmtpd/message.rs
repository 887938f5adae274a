//! What one line says: its fields, before anybody asks what they mean for a session.
//!
//! Source: smtpd-filters(7), "PROTOCOL", "REPORT EVENTS", "FILTER REQUESTS": fields are separated by `|`,
//! which only the last one may contain.

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// `config|KEY|VALUE`.
    Config { key: &'a [u8], value: &'a [u8] },
    /// `report|VERSION|TIME|smtp-in|NAME|SESSION|...`.
    Event(Event<'a>),
    /// `filter|VERSION|TIME|smtp-in|PHASE|SESSION|TOKEN|...`.
    Question(Question<'a>),
}

/// Something has happened in a session.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event<'a> {
    pub(super) version: Version,
    pub(super) name: &'a [u8],
    pub(super) session: u64,
    /// The fields behind the session.
    pub(super) fields: Fields<'a>,
}

/// A session waits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question<'a> {
    /// `None` when it is not spoken here.
    pub(super) version: Option<Version>,
    pub(super) version_text: &'a [u8],
    pub(super) phase: &'a [u8],
    pub(super) session: u64,
    pub(super) token: u64,
    /// The one field behind the token.
    pub(super) parameter: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads a line; `None` when it is of no kind that smtpd sends, or an event of a version that is not
    /// spoken here.
    pub(super) fn read(line: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(Some(line));
        match fields.next()? {
            b"config" => Some(Self::Config {
                key: fields.next()?,
                value: fields.rest().unwrap_or_default(),
            }),
            b"report" => {
                let version = Version::read(fields.next()?)?;
                let name = what(&mut fields)?;
                let session = number(fields.next()?)?;
                Some(Self::Event(Event {
                    version,
                    name,
                    session,
                    fields,
                }))
            }
            b"filter" => {
                let version_text = fields.next()?;
                Some(Self::Question(Question {
                    version: Version::read(version_text),
                    version_text,
                    phase: what(&mut fields)?,
                    session: number(fields.next()?)?,
                    token: number(fields.next()?)?,
                    parameter: fields.rest().unwrap_or_default(),
                }))
            }
            _ => None,
        }
    }
}

/// The event or phase, behind the time and the only subsystem that is registered for.
fn what<'a>(fields: &mut Fields<'a>) -> Option<&'a [u8]> {
    let _time = fields.next()?;
    (fields.next()? == b"smtp-in").then(|| fields.next())?
}

/// A session or a token, as smtpd prints it: up to 16 hexadecimal digits.
fn number(text: &[u8]) -> Option<u64> {
    // Else a sign would be taken for a part of the number.
    if !text.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}

/// A version of the protocol that is spoken here: the number behind `0.`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u8);

impl Version {
    const OLDEST: Self = Self(4);
    const NEWEST: Self = Self(7);

    /// From this version on an answer names the session first, then the token.
    pub(super) const SESSION_FIRST: Self = Self(5);
    /// From this version on the result of MAIL and RCPT stands before the address.
    pub(super) const RESULT_FIRST: Self = Self(6);
    /// From this version on the result of AUTH stands before the name.
    pub(super) const AUTH_RESULT_FIRST: Self = Self(7);

    /// `None` for a version that is not spoken here.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let version = Self(text.strip_prefix("0.")?.parse().ok()?);
        (Self::OLDEST..=Self::NEWEST)
            .contains(&version)
            .then_some(version)
    }
}

/// What is left of a line; `None` behind its last field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fields<'a>(Option<&'a [u8]>);

impl<'a> Fields<'a> {
    /// The next field.
    pub(super) fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0?;
        let end = memchr::memchr(b'|', rest);
        self.0 = end.and_then(|end| rest.get(end + 1..));
        rest.get(..end.unwrap_or(rest.len()))
    }

    /// All that is left, as one field.
    pub(super) fn rest(self) -> Option<&'a [u8]> {
        self.0
    }

    /// All that is left, as a field with `|` in it and a last one without.
    pub(super) fn rest_and_last(self) -> Option<(&'a [u8], &'a [u8])> {
        let rest = self.0?;
        let end = memchr::memrchr(b'|', rest)?;
        Some((rest.get(..end)?, rest.get(end + 1..)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_field_may_hold_the_separator() {
        let line = b"report|0.6|1.5|smtp-in|tx-mail|8e63f05c74d19df0|e10979c5|ok|a+x|y@example.net";
        let Some(Message::Event(event)) = Message::read(line) else {
            panic!("an event");
        };
        assert_eq!(
            (event.name, event.session),
            (&b"tx-mail"[..], 0x8e63_f05c_74d1_9df0)
        );
        let mut fields = event.fields;
        assert_eq!(fields.next(), Some(&b"e10979c5"[..]));
        assert_eq!(fields.rest(), Some(&b"ok|a+x|y@example.net"[..]));
        assert_eq!(
            fields.rest_and_last(),
            Some((&b"ok|a+x"[..], &b"y@example.net"[..]))
        );
    }

    #[test]
    fn what_smtpd_does_not_send_is_not_read() {
        for line in [
            "",
            "config",
            "greetings|0.6",
            "report|0.6|1.5|smtp-in|link-connect",
            "report|0.6|1.5|smtp-out|link-connect|01",
            "report|0.8|1.5|smtp-in|link-connect|01",
            "filter|0.6|1.5|smtp-in|data|01",
            "filter|0.6|1.5|smtp-in|data||02|",
            "filter|0.6|1.5|smtp-in|data|+1|02|",
            "filter|0.6|1.5|smtp-in|data|01|12345678901234567|",
        ] {
            assert_eq!(Message::read(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn versions_are_numbers() {
        for (text, version) in [
            ("0.4", Some(Version(4))),
            ("0.7", Some(Version(7))),
            ("0.3", None),
            ("0.8", None),
            ("0.42", None),
            ("1.5", None),
            ("0.", None),
            ("", None),
        ] {
            assert_eq!(Version::read(text.as_bytes()), version, "{text}");
        }
    }
}
