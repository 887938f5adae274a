//! A report: tables of figures, whatever they are printed as. Texts in them are escaped already, as far
//! as control characters go.

use greylatch_core::{Seconds, Timestamp};
use greylatch_wording::escaped;

/// A report.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Its tables, in the order in which they are read.
    pub tables: Vec<Table>,
}

/// A table of a report.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// By which it is asked for, and named in JSON.
    pub name: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// How it is to be read.
    pub note: &'static str,
    /// What stands in its columns.
    pub columns: Vec<Column>,
    /// The rows; each has a cell for each column.
    pub rows: Vec<Vec<Cell>>,
    /// How many more there are, which were not made.
    pub(crate) not_made: usize,
    /// The column of numbers that a picture shows, and the one that names them.
    pub(crate) picture: Option<(usize, usize)>,
    /// It says nothing unless all its rows are shown, of which there are few.
    pub(crate) is_whole: bool,
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in JSON and CSV.
    pub key: &'static str,
    /// Its head for people.
    pub head: &'static str,
}

/// A cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing is known.
    Nothing,
    /// A text without control characters.
    Text(String),
    /// How many.
    Count(u64),
    /// How long.
    Length(Seconds),
    /// When.
    Time(Timestamp),
    /// A part of a whole, 0 to 1.
    Share(f64),
    /// Yes or no.
    Flag(bool),
}

impl Table {
    pub(crate) fn new(
        name: &'static str,
        title: &'static str,
        note: &'static str,
        columns: &[(&'static str, &'static str)],
    ) -> Self {
        let columns = columns.iter().map(|(key, head)| Column { key, head });
        Self {
            name,
            title,
            note,
            columns: columns.collect(),
            rows: Vec::new(),
            not_made: 0,
            picture: None,
            is_whole: false,
        }
    }

    /// The same, to be shown with all its rows.
    pub(crate) fn whole(mut self) -> Self {
        self.is_whole = true;
        self
    }

    /// The rows that are shown when there should be at most so many, all if `rows` is 0; and how many
    /// are left out.
    pub(crate) fn shown(&self, rows: usize) -> (&[Vec<Cell>], usize) {
        if rows == 0 || self.is_whole {
            return (&self.rows, self.not_made);
        }
        let shown = rows.min(self.rows.len());
        (&self.rows[..shown], self.rows.len() - shown + self.not_made)
    }
}

impl Cell {
    /// Bytes from outside, escaped.
    pub(crate) fn text(bytes: &[u8]) -> Self {
        Self::Text(escaped(bytes))
    }

    pub(crate) fn seconds(seconds: Option<u32>) -> Self {
        seconds.map_or(Self::Nothing, |seconds| {
            Self::Length(Seconds(i64::from(seconds)))
        })
    }

    pub(crate) fn count(count: usize) -> Self {
        Self::Count(count as u64)
    }

    /// A part of a whole, if there is one.
    pub(crate) fn share(part: u64, whole: u64) -> Self {
        if whole == 0 {
            return Self::Nothing;
        }
        // Counts of a log are far below 2^53.
        Self::Share(part as f64 / whole as f64)
    }

    /// For people; `when` writes a time.
    pub(crate) fn shown(&self, when: &dyn Fn(Timestamp) -> String) -> String {
        match self {
            Self::Nothing => "-".to_owned(),
            Self::Text(text) => text.clone(),
            Self::Count(count) => count.to_string(),
            Self::Length(length) => length_text(length.0),
            Self::Time(at) => when(*at),
            Self::Share(share) => format!("{:.1} %", share * 100.0),
            Self::Flag(true) => "yes".to_owned(),
            Self::Flag(false) => "no".to_owned(),
        }
    }

    /// For programs: lengths in seconds, times in seconds since 1970.
    pub(crate) fn plain(&self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Text(text) => text.clone(),
            Self::Count(count) => count.to_string(),
            Self::Length(length) => length.0.to_string(),
            Self::Time(at) => at.0.to_string(),
            Self::Share(share) => format!("{share:.4}"),
            Self::Flag(flag) => flag.to_string(),
        }
    }

    /// Whether it is a number, and so stands at the right of its column.
    pub(crate) fn is_number(&self) -> bool {
        matches!(self, Self::Count(_) | Self::Length(_) | Self::Share(_))
    }
}

/// `58s`, `5m 01s`, `2h 05m`, `3d 04h`.
pub(crate) fn length_text(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_written_for_people_and_for_programs() {
        let when = |at: Timestamp| format!("at {}", at.0);
        for (cell, shown, plain) in [
            (Cell::Nothing, "-", ""),
            (Cell::text(b"a\x1b[2J"), "a\\x1b[2J", "a\\x1b[2J"),
            (Cell::Count(7), "7", "7"),
            (Cell::seconds(Some(58)), "58s", "58"),
            (Cell::seconds(Some(301)), "5m 01s", "301"),
            (Cell::seconds(Some(7_500)), "2h 05m", "7500"),
            (Cell::seconds(Some(273_700)), "3d 04h", "273700"),
            (Cell::Time(Timestamp(5)), "at 5", "5"),
            (Cell::share(1, 3), "33.3 %", "0.3333"),
            (Cell::share(0, 0), "-", ""),
            (Cell::Flag(true), "yes", "true"),
        ] {
            assert_eq!(cell.shown(&when), shown);
            assert_eq!(cell.plain(), plain);
        }
    }
}
