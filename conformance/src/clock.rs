//! One fake clock for several programs: a file that libfaketime reads at each
//! question for the time.
//!
//! Only the wall clock is faked; the monotonic clock of the programs runs on.
//! Source: libfaketime 0.9.10 README, "4c) Using absolute dates" and
//! "FAKETIME_TIMESTAMP_FILE", "FAKETIME_NO_CACHE", "DONT_FAKE_MONOTONIC".

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::peers::peer;

/// Noon of a Tuesday, in Unix seconds: where each episode begins.
pub const EPISODE_START: i64 = 1_795_521_600;

/// A clock that stands still until it is set.
pub struct Clock {
    file: PathBuf,
    now: i64,
}

impl Clock {
    /// A clock in `folder` that shows `now` (Unix seconds).
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn new(folder: &Path, now: i64) -> Result<Self> {
        let mut clock = Self {
            file: folder.join("clock"),
            now,
        };
        clock.set(now)?;
        Ok(clock)
    }

    /// Unix seconds that every program under this clock sees.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// Moves the clock, forward or back.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set(&mut self, now: i64) -> Result<()> {
        let written = self.file.with_extension("new");
        // A rename, so that nobody reads half a date. Without a leading `@`
        // the time stands still; with it, it would run on.
        fs::write(&written, format!("{}\n", utc_text(now)))?;
        fs::rename(&written, &self.file)?;
        self.now = now;
        Ok(())
    }

    /// Makes the program that `command` starts read this clock.
    ///
    /// # Errors
    /// When libfaketime has not been unpacked.
    pub fn rule(&self, command: &mut Command) -> Result<()> {
        command
            .env("LD_PRELOAD", library()?)
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_NO_CACHE", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
            .env("TZ", "UTC");
        Ok(())
    }
}

fn library() -> Result<PathBuf> {
    let libraries = peer("libfaketime")?.join("usr/lib");
    for entry in fs::read_dir(&libraries).context("libfaketime: run cargo xtask peers")? {
        let library = entry?.path().join("faketime/libfaketimeMT.so.1");
        if library.exists() {
            return Ok(library);
        }
    }
    bail!(
        "no libfaketimeMT.so.1 below {}: run cargo xtask peers",
        libraries.display()
    )
}

/// `YYYY-MM-DD hh:mm:ss` in UTC.
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// `civil_from_days`.
pub(crate) fn utc_text(unix: i64) -> String {
    let (days, second) = (unix.div_euclid(86_400), unix.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(utc_text(0), "1970-01-01 00:00:00");
        assert_eq!(utc_text(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(utc_text(1_709_164_799), "2024-02-28 23:59:59");
        assert_eq!(utc_text(EPISODE_START), "2026-11-24 12:00:00");
    }
}
