//! The only place that reads the wall clock and knows the local time zone.

use std::time::{SystemTime, UNIX_EPOCH};

use greylatch_core::Timestamp;
use jiff::tz::TimeZone;
use tokio::time::Instant;

/// The time now, in whole seconds.
#[must_use]
pub fn now() -> Timestamp {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => Timestamp(i64::try_from(since.as_secs()).unwrap_or(i64::MAX)),
        Err(before) => Timestamp(-i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX)),
    }
}

/// A point of the clock that only goes forward, for measuring how long things take.
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

/// A time in the local zone as `strftime(3)` formats it; a time outside of the calendar as a
/// number.
#[must_use]
pub fn local(at: Timestamp, format: &str) -> String {
    match jiff::Timestamp::from_second(at.0) {
        Ok(at) => at
            .to_zoned_datetime(TimeZone::system())
            .strftime(format)
            .to_string(),
        Err(_) => at.0.to_string(),
    }
}

/// The fields of a crontab: minute, hour, day, month, weekday from Sunday on, in local time.
pub(crate) fn cron_fields(at: Timestamp) -> [u8; 5] {
    ["%M", "%H", "%d", "%m", "%w"].map(|field| local(at, field).parse().unwrap_or(0))
}

/// The date of a mail header: `Tue, 24 Nov 2026 02:52:47 UTC`, local time with the zone's
/// abbreviation, as Postgrey writes it.
pub(crate) fn header_date(at: Timestamp) -> String {
    local(at, "%a, %d %b %Y %H:%M:%S %Z")
}

/// The time stamp of a BSD syslog line: `Nov 24 02:52:47`.
///
/// Source: RFC 3164 §4.1.2 (a day below ten has a blank before it).
pub(crate) fn syslog_date(at: Timestamp) -> String {
    local(at, "%b %e %H:%M:%S")
}

/// The time stamp of Postgrey's start and stop lines: `2026/11/24-02:59:28`.
pub(crate) fn event_date(at: Timestamp) -> String {
    local(at, "%Y/%m/%d-%H:%M:%S")
}
