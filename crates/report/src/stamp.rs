//! The time at the head of a log line.
//!
//! Sources: RFC 3164 §4.1.2 (`Nov 24 12:00:00`, in local time and without a year), RFC 3339 §5.6, and
//! the Exim specification, "Log files" (`2026-11-24 12:00:00`, with `+timezone` in `log_selector` and a
//! zone behind it).

use greylatch_core::{Seconds, Timestamp};

/// How the times of log lines are understood.
pub struct Stamps {
    /// No line is from later than this.
    latest: Timestamp,
    /// The year of that.
    year: i64,
    /// Which time a local one is; both are seconds since the beginning of 1970, the local one as a
    /// clock on the wall would count them.
    zone: Zone,
    /// The last quarter of an hour that was asked for, and its distance to UTC.
    known: Option<(i64, i64)>,
    /// What the last line with a traditional time began with, and which time that was.
    last: Option<([u8; TRADITIONAL], Timestamp)>,
}

/// As long as a traditional time is with the blank behind it, but for rare ones.
const TRADITIONAL: usize = "Nov 24 12:00:00 ".len();

type Zone = Box<dyn Fn(i64) -> Timestamp + Send>;

/// A time, and where the line goes on behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp<'a> {
    /// The time.
    pub(crate) at: Timestamp,
    /// What stands behind it, without the blank.
    pub(crate) rest: &'a [u8],
}

impl Stamps {
    /// Local times are understood by `zone`; of the years that a time without one may be from, it is
    /// the last that is not a day later than `latest`.
    #[must_use]
    pub fn new(latest: Timestamp, zone: Zone) -> Self {
        let latest = latest.plus(Seconds::DAY);
        Self {
            latest,
            year: year_of(latest),
            zone,
            known: None,
            last: None,
        }
    }

    /// Reads the time that a line begins with, behind a priority if there is one.
    pub(crate) fn read<'a>(&mut self, line: &'a [u8]) -> Option<Stamp<'a>> {
        let line = without_priority(line);
        if let Some((last, at)) = &self.last
            && let Some((head, rest)) = line.split_first_chunk()
            && head == last
        {
            return Some(Stamp { at: *at, rest });
        }
        match line.first()? {
            b'0'..=b'9' => self.full(line),
            b'A'..=b'Z' => {
                let stamp = self.traditional(line)?;
                self.remember(line, stamp);
                Some(stamp)
            }
            _ => None,
        }
    }

    /// Many lines are of one second. What decides of a traditional time ends with its blank.
    fn remember(&mut self, line: &[u8], stamp: Stamp<'_>) {
        let head = &line[..line.len() - stamp.rest.len()];
        if head.ends_with(b" ") {
            self.last = head.try_into().ok().map(|head| (head, stamp.at));
        }
    }

    /// `Nov 24 12:00:00 `, the day with a blank, a zero or nothing before one digit.
    fn traditional<'a>(&mut self, line: &'a [u8]) -> Option<Stamp<'a>> {
        let month = MONTHS.iter().position(|name| line.starts_with(name))?;
        let mut text = Cursor(line.get(3..)?);
        text.byte(b' ')?;
        let _ = text.byte(b' ');
        let day = text.number(1, 2)?;
        text.byte(b' ')?;
        let second = text.time()?;
        text.fraction();
        text.end()?;
        let month = i64::try_from(month).ok()? + 1;
        // The 29th of February may be eight years back.
        let at = (0..=8).find_map(|back| {
            let days = days(self.year - back, month, day)?;
            let at = self.local(days * DAY_S + second);
            (at <= self.latest).then_some(at)
        })?;
        Some(Stamp { at, rest: text.0 })
    }

    /// `2026-11-24T12:00:00.123+01:00 `, or with a blank in the place of the `T`; without a zone it is
    /// local.
    fn full<'a>(&mut self, line: &'a [u8]) -> Option<Stamp<'a>> {
        let mut text = Cursor(line);
        let year = text.number(4, 4)?;
        text.byte(b'-')?;
        let month = text.number(2, 2)?;
        text.byte(b'-')?;
        let day = text.number(2, 2)?;
        let separate = text.byte(b'T').is_none();
        if separate {
            text.byte(b' ')?;
        }
        let second = days(year, month, day)? * DAY_S + text.time()?;
        text.fraction();
        if separate && matches!(text.0, [b' ', b'+' | b'-', b'0'..=b'9', ..]) {
            text.byte(b' ')?;
        }
        let at = match text.zone() {
            Some(east) => Timestamp(second - east),
            None => self.local(second),
        };
        text.end()?;
        Some(Stamp { at, rest: text.0 })
    }

    fn local(&mut self, second: i64) -> Timestamp {
        let quarter = second.div_euclid(QUARTER_S);
        if let Some((known, distance)) = self.known
            && known == quarter
        {
            return Timestamp(second - distance);
        }
        let at = (self.zone)(second);
        self.known = Some((quarter, second - at.0));
        at
    }
}

const DAY_S: i64 = 86_400;

/// No zone changes its distance to UTC but at a full quarter of an hour.
const QUARTER_S: i64 = 900;

const MONTHS: [&[u8]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// A line without `<22>` at its head.
///
/// Source: RFC 3164 §4.1.1.
pub(crate) fn without_priority(line: &[u8]) -> &[u8] {
    let inside = line.strip_prefix(b"<").unwrap_or_default();
    let digits = inside
        .iter()
        .take(4)
        .take_while(|byte| byte.is_ascii_digit());
    match digits.count() {
        length @ 1..=3 if inside.get(length) == Some(&b'>') => &inside[length + 1..],
        _ => line,
    }
}

/// What of a line has not been read.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn byte(&mut self, wanted: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[wanted])?;
        Some(())
    }

    /// A number of so many digits.
    fn number(&mut self, min: usize, max: usize) -> Option<i64> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit());
        let length = digits.take(max).count();
        if length < min {
            return None;
        }
        let (digits, rest) = self.0.split_at(length);
        self.0 = rest;
        let worth = |number, digit: &u8| number * 10 + i64::from(digit - b'0');
        Some(digits.iter().fold(0, worth))
    }

    /// `HH:MM:SS` as seconds of a day; a leap second is the one before it.
    fn time(&mut self) -> Option<i64> {
        let hour = self.number(2, 2).filter(|hour| *hour < 24)?;
        self.byte(b':')?;
        let minute = self.number(2, 2).filter(|minute| *minute < 60)?;
        self.byte(b':')?;
        let second = self.number(2, 2).filter(|second| *second <= 60)?;
        Some(hour * 3_600 + minute * 60 + second.min(59))
    }

    fn fraction(&mut self) {
        if let [b'.' | b',', rest @ ..] = self.0 {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
            self.0 = &rest[digits.count()..];
        }
    }

    /// `Z`, `+01:00` or `+0100` as seconds east of UTC.
    fn zone(&mut self) -> Option<i64> {
        if self.byte(b'Z').is_some() {
            return Some(0);
        }
        let sign = match self.0.first()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let mut behind = Cursor(&self.0[1..]);
        let hours = behind.number(2, 2)?;
        let _ = behind.byte(b':');
        let minutes = behind.number(2, 2)?;
        self.0 = behind.0;
        Some(sign * (hours * 3_600 + minutes * 60))
    }

    /// A time ends with a blank or with the line.
    fn end(&mut self) -> Option<()> {
        if self.0.is_empty() {
            return Some(());
        }
        self.byte(b' ')
    }
}

/// Days since the beginning of 1970; `None` for a day that is not in the calendar.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || day < 1 || day > length_of(year, month) {
        return None;
    }
    let shifted = if month > 2 { year } else { year - 1 };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted - era * 400;
    let from_march = (month + 9) % 12;
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

fn length_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The year of a time, in UTC.
fn year_of(at: Timestamp) -> i64 {
    let day = at.0.div_euclid(DAY_S);
    // The mean length of a year comes within one of it.
    let near = 1970 + day.div_euclid(366);
    (near..)
        .take_while(|year| days(*year, 1, 1).is_some_and(|first| first <= day))
        .last()
        .unwrap_or(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2027-01-03 00:00:00 UTC.
    const LATEST: i64 = 1_798_934_400;

    /// An hour east of UTC.
    fn stamps() -> Stamps {
        let zone = |second| Timestamp(second - 3_600);
        Stamps::new(Timestamp(LATEST), Box::new(zone))
    }

    fn read(line: &str) -> Option<(i64, &str)> {
        let stamp = stamps().read(line.as_bytes())?;
        Some((
            stamp.at.0,
            std::str::from_utf8(stamp.rest).expect("it is a text"),
        ))
    }

    #[test]
    fn times_of_all_kinds_are_understood() {
        // 2026-11-24 12:00:00 UTC.
        let noon = 1_795_521_600;
        for (line, at) in [
            ("2026-11-24T12:00:00Z x", noon),
            ("2026-11-24T12:00:00.123456+00:00 x", noon),
            ("2026-11-24T13:30:00+0130 x", noon),
            ("2026-11-24T07:00:00-05:00 x", noon),
            ("2026-11-24T12:00:00.123456789Z x", noon),
            ("2026-11-24T13:00:00 x", noon),
            ("2026-11-24 13:00:00 x", noon),
            ("2026-11-24 12:00:00.123 +0000 x", noon),
            ("Nov 24 13:00:00 x", noon),
            ("<22>Nov 24 13:00:00 x", noon),
            ("Nov 24 13:00:00.5 x", noon),
            ("Nov  4 13:00:00 x", noon - 20 * DAY_S),
            ("Nov 04 13:00:00 x", noon - 20 * DAY_S),
            ("Nov 4 13:00:00 x", noon - 20 * DAY_S),
        ] {
            assert_eq!(read(line), Some((at, "x")), "{line}");
        }
        assert_eq!(read("2026-11-24 13:00:00"), Some((noon, "")));
    }

    #[test]
    fn the_year_is_the_last_that_is_not_later_than_the_log() {
        // 2027-01-01 00:00:00 UTC.
        let new_year = 1_798_761_600;
        for (line, at) in [
            ("Dec 31 23:59:59 x", new_year - 3_601),
            ("Jan  1 00:00:00 x", new_year - 3_600),
            ("Jan  3 12:00:00 x", LATEST + 11 * 3_600),
            // More than a day later than the log, it is of the year before.
            ("Jan  5 00:00:00 x", new_year - 361 * DAY_S - 3_600),
            // The last of that day was in 2024.
            ("Feb 29 01:00:00 x", 1_709_164_800),
        ] {
            assert_eq!(read(line), Some((at, "x")), "{line}");
        }
    }

    #[test]
    fn lines_of_one_second_after_one_another_are_of_it_and_others_are_not() {
        // 2026-11-24 12:00:00 UTC.
        let noon = 1_795_521_600;
        let mut stamps = stamps();
        for (line, at, rest) in [
            ("Nov 24 13:00:00 x", noon, "x"),
            ("<22>Nov 24 13:00:00 y", noon, "y"),
            ("Nov 24 13:00:01 x", noon + 1, "x"),
            ("Nov 24 13:00:00.5 x", noon, "x"),
            ("Nov 24 13:00:00", noon, ""),
            ("Nov 24 13:00:02 x", noon + 2, "x"),
        ] {
            let expected = Stamp {
                at: Timestamp(at),
                rest: rest.as_bytes(),
            };
            assert_eq!(stamps.read(line.as_bytes()), Some(expected), "{line}");
        }
        assert_eq!(stamps.read(b"Nov 24 13:00:02x"), None);
    }

    #[test]
    fn what_is_no_time_is_none() {
        for line in [
            "",
            "x",
            "Nov",
            "Nov 24",
            "Nov 31 12:00:00 x",
            "Nov 24 24:00:00 x",
            "Nov 24 12:00:00x",
            "2026-13-24T12:00:00Z x",
            "2026-02-29T12:00:00Z x",
            "2026-11-24T12:00:00+1 x",
            "2026-11-24T12:00 x",
            "2026-11-24",
            "99999999999",
            "<22",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn years_begin_on_their_first_day() {
        for (year, first) in [(1970, 0), (1972, 730), (2000, 10_957), (2027, 20_819)] {
            assert_eq!(days(year, 1, 1), Some(first));
            assert_eq!(year_of(Timestamp(first * DAY_S)), year);
            assert_eq!(year_of(Timestamp(first * DAY_S - 1)), year - 1);
        }
    }
}
