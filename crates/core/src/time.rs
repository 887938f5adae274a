//! Points in time and lengths of time, in whole seconds. Nothing here reads a clock.

use std::fmt;
use std::str::FromStr;

/// A point in time: whole seconds since 1970-01-01 00:00:00 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The latest time that stores can tell, in the year 2106.
    pub(crate) const LATEST: Self = Self(u32::MAX as i64);

    /// This point moved later by `length` (earlier when it is negative), saturating.
    #[must_use]
    pub fn plus(self, length: Seconds) -> Self {
        Self(self.0.saturating_add(length.0))
    }

    /// How long after `earlier` this point lies; negative when it lies before.
    #[must_use]
    pub fn since(self, earlier: Self) -> Seconds {
        Seconds(self.0.saturating_sub(earlier.0))
    }
}

/// A length of time in whole seconds; may be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seconds(pub i64);

impl Seconds {
    /// One hour.
    pub const HOUR: Self = Self(3_600);
    /// One day.
    pub const DAY: Self = Self(86_400);

    /// Both lengths together, saturating.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for Seconds {
    /// The largest unit that divides the length: `300` is `5m`, `301` is `301s`, zero is `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS
            .iter()
            .rev()
            .find(|(_, length)| self.0 != 0 && self.0 % length == 0);
        match unit {
            Some((name, length)) => write!(f, "{}{name}", self.0 / length),
            None => write!(f, "{}s", self.0),
        }
    }
}

impl FromStr for Seconds {
    type Err = SecondsError;

    /// Reads `90s`, `5m`, `2h`, `35d`, `1w` and sums such as `1h30m`.
    ///
    /// # Errors
    /// [`SecondsError::Empty`], [`SecondsError::Unit`] for a missing or unknown unit,
    /// [`SecondsError::Number`] for digits that are missing or too many.
    fn from_str(text: &str) -> Result<Self, SecondsError> {
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(SecondsError::Empty);
        }
        let mut total = 0_i64;
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, tail) = rest.split_at(digits);
            let number: i64 = number.parse().map_err(|_| SecondsError::Number)?;
            let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_alphabetic()).len();
            let (unit, tail) = tail.split_at(letters);
            let (_, length) = UNITS
                .iter()
                .find(|(name, _)| *name == unit)
                .ok_or(SecondsError::Unit)?;
            let part = number.checked_mul(*length).ok_or(SecondsError::Number)?;
            total = total.checked_add(part).ok_or(SecondsError::Number)?;
            rest = tail.trim_start();
        }
        Ok(Self(total))
    }
}

/// Why a text is no length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondsError {
    /// Nothing was given.
    Empty,
    /// A number is missing, or larger than any length of time.
    Number,
    /// A number has no unit, or one that is not known.
    Unit,
}

impl fmt::Display for SecondsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "empty length of time; write for example \"60s\"",
            Self::Number => "not a number with a unit; write for example \"60s\" or \"1h30m\"",
            Self::Unit => "unit missing or unknown; use s, m, h, d or w, for example \"60s\"",
        })
    }
}

impl std::error::Error for SecondsError {}

const UNITS: [(&str, i64); 5] = [
    ("s", 1),
    ("m", 60),
    ("h", 3_600),
    ("d", 86_400),
    ("w", 604_800),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_with_their_units() {
        assert_eq!("60s".parse(), Ok(Seconds(60)));
        assert_eq!("1h30m".parse(), Ok(Seconds(5_400)));
        assert_eq!(" 35d ".parse(), Ok(Seconds(3_024_000)));
        assert_eq!("60".parse::<Seconds>(), Err(SecondsError::Unit));
        assert_eq!("".parse::<Seconds>(), Err(SecondsError::Empty));
        assert_eq!("-5s".parse::<Seconds>(), Err(SecondsError::Number));
        assert_eq!(
            "99999999999999999999s".parse::<Seconds>(),
            Err(SecondsError::Number)
        );
        assert_eq!(
            "9223372036854775807w".parse::<Seconds>(),
            Err(SecondsError::Number)
        );
        assert_eq!("5é".parse::<Seconds>(), Err(SecondsError::Unit));
    }

    #[test]
    fn what_is_printed_is_read_again() {
        for seconds in [0, 1, 60, 61, 3_600, 86_400, 604_800, 5_400] {
            let text = Seconds(seconds).to_string();
            assert_eq!(text.parse(), Ok(Seconds(seconds)), "{text}");
        }
        assert_eq!(Seconds(5_400).to_string(), "90m");
    }
}
