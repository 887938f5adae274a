//! Syslog facilities by their names in syslog.conf(5).

use std::str::FromStr;

/// A syslog facility.
///
/// Source: RFC 5424 §6.2.1, table 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility(u8);

impl Facility {
    /// Of the mail system.
    pub const MAIL: Self = Self(2);
    /// Of programs that have not said their own.
    pub(crate) const USER: Self = Self(1);

    /// The number in a priority.
    pub(crate) fn number(self) -> u8 {
        self.0
    }
}

/// The first twelve, in the order of their numbers.
const NAMES: [&str; 12] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp",
];

const LOCAL_FIRST: u8 = 16;
const LOCALS: u8 = 8;

/// A name that is none of a facility.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no syslog facility; write {known} or local0 to local7", known = NAMES.join(", "))]
pub struct UnknownFacility(String);

impl FromStr for Facility {
    type Err = UnknownFacility;

    fn from_str(name: &str) -> Result<Self, UnknownFacility> {
        let lower = name.to_ascii_lowercase();
        let local = lower
            .strip_prefix("local")
            .and_then(|nth| nth.parse().ok())
            .filter(|nth| *nth < LOCALS)
            .map(|nth: u8| LOCAL_FIRST + nth);
        let named = || NAMES.iter().position(|known| *known == lower);
        local
            .or_else(|| u8::try_from(named()?).ok())
            .map(Self)
            .ok_or_else(|| UnknownFacility(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facilities_have_their_numbers() {
        let number = |name: &str| name.parse().map(Facility::number).ok();
        assert_eq!(number("kern"), Some(0));
        assert_eq!("mail".parse(), Ok(Facility::MAIL));
        assert_eq!(number("ftp"), Some(11));
        assert_eq!(number("LOCAL7"), Some(23));
        assert_eq!(number("local8"), None);
        let unknown: Result<Facility, _> = "nonsense".parse();
        let text = unknown.expect_err("it is none").to_string();
        assert!(text.starts_with("`nonsense` is no syslog facility; write kern, user, mail,"));
    }
}
