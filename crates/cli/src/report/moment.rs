//! A time as it is given on the command line.

use std::str::FromStr;

use anyhow::bail;
use greylatch_core::{Seconds, Timestamp};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// A time, possibly told from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The beginning of a day so many days before today.
    DaysBack(i64),
    /// So long ago.
    Ago(Seconds),
    /// A local time.
    Local(DateTime),
    /// A time that does not depend on where we are.
    At(Timestamp),
}

impl FromStr for Moment {
    type Err = &'static str;

    /// Reads `today`, `yesterday`, `7d`, `2026-11-24`, `2026-11-24 12:00`, `2026-11-24T12:00:00Z`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        match text {
            "today" => return Ok(Self::DaysBack(0)),
            "yesterday" => return Ok(Self::DaysBack(1)),
            _ => {}
        }
        if let Ok(date) = text.parse::<Date>()
            && text.len() == "2026-11-24".len()
        {
            return Ok(Self::Local(date.to_datetime(jiff::civil::Time::midnight())));
        }
        if let Ok(at) = text.parse::<jiff::Timestamp>() {
            return Ok(Self::At(Timestamp(at.as_second())));
        }
        if let Ok(local) = text.parse::<DateTime>() {
            return Ok(Self::Local(local));
        }
        match text.parse::<Seconds>() {
            Ok(ago) => Ok(Self::Ago(ago)),
            Err(_) => Err(
                "no time; write for example 2026-11-24, \"2026-11-24 12:00\", yesterday, today, or 7d for \
                 seven days ago",
            ),
        }
    }
}

impl Moment {
    /// The time that it means, told `now`.
    pub(crate) fn before(self, now: Timestamp) -> anyhow::Result<Timestamp> {
        let zone = TimeZone::system();
        let local = match self {
            Self::At(at) => return Ok(at),
            Self::Ago(ago) => return Ok(now.plus(Seconds(-ago.0))),
            Self::Local(local) => local,
            Self::DaysBack(days) => {
                let today = jiff::Timestamp::from_second(now.0)?
                    .to_zoned_datetime(zone.clone())
                    .date();
                let day = today.checked_sub(jiff::SignedDuration::from_hours(24 * days))?;
                day.to_datetime(jiff::civil::Time::midnight())
            }
        };
        match local_time(local, &zone) {
            Some(at) => Ok(at),
            None => bail!("{local} is outside of the calendar"),
        }
    }
}

/// Which time a clock on the wall means by so many seconds since 1970, counted as it counts.
pub(super) fn on_the_wall(second: i64, zone: &TimeZone) -> Timestamp {
    let shown = jiff::Timestamp::from_second(second);
    let shown = shown.map(|shown| shown.to_zoned_datetime(TimeZone::UTC).datetime());
    let at = shown.ok().and_then(|shown| local_time(shown, zone));
    at.unwrap_or(Timestamp(second))
}

fn local_time(local: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let at = zone.to_timestamp(local).ok()?;
    Some(Timestamp(at.as_second()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_each_of_their_ways() {
        let now = Timestamp(1_795_521_600);
        for (text, at) in [
            ("7d", now.0 - 7 * 86_400),
            ("90s", now.0 - 90),
            ("2026-11-24T12:00:00Z", now.0),
            ("2026-11-24T13:00:00+01:00", now.0),
        ] {
            let moment: Moment = text.parse().expect(text);
            assert_eq!(moment.before(now).ok(), Some(Timestamp(at)), "{text}");
        }
        let midnight = "2026-11-24".parse::<Moment>().expect("a date");
        assert_eq!(midnight, "2026-11-24 00:00".parse().expect("a time"));
        let today: Moment = "today".parse().expect("a word");
        let yesterday: Moment = "yesterday".parse().expect("a word");
        let between = |one: Moment, other: Moment| {
            let (one, other) = (
                one.before(now).expect("a time"),
                other.before(now).expect("a time"),
            );
            other.since(one).0
        };
        // Days may be an hour shorter or longer.
        assert!((23 * 3_600..=25 * 3_600).contains(&between(yesterday, today)));
        for text in ["", "soon", "7", "2026-13-01", "24.11.2026"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_clock_on_the_wall_is_understood_by_its_zone() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        assert_eq!(on_the_wall(3_600, &zone), Timestamp(0));
        assert_eq!(on_the_wall(i64::MAX, &zone), Timestamp(i64::MAX));
    }
}
