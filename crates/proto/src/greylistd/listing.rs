//! greylistd's tables of what is on its lists.

use std::collections::VecDeque;

use greylatch_core::{Entry, Page, Query, Record, Standing, Timestamp};

use super::command::{List, plain};

/// A listing in the making: what is still to be asked, page by page.
#[derive(Debug)]
pub(super) struct Listing {
    /// The lists with their standings, the one that is asked about first.
    sections: VecDeque<(List, Standing)>,
    /// Where its next page begins.
    after: Option<[u8; 16]>,
    /// The list whose heading was written last.
    headed: Option<List>,
}

impl Listing {
    /// A listing of these, or of all where none is named.
    pub(super) fn of(lists: Vec<List>) -> Self {
        let lists = if lists.is_empty() {
            List::ALL.to_vec()
        } else {
            lists
        };
        let standings = |list: List| list.standings().iter().map(move |one| (list, *one));
        Self {
            sections: lists.into_iter().flat_map(standings).collect(),
            after: None,
            headed: None,
        }
    }

    /// What to ask for next.
    pub(super) fn next(&mut self) -> Option<Query> {
        let (_, standing) = self.sections.front()?;
        Some(Query {
            standing: Some(*standing),
            after: self.after,
            ..Query::default()
        })
    }

    /// Writes the page that was asked for. A list without entries has no heading.
    pub(super) fn push(&mut self, out: &mut Vec<u8>, page: &Page) {
        let Some((list, _)) = self.sections.front().copied() else {
            return;
        };
        for record in &page.records {
            let Record::Triplet { entry, .. } = record else {
                continue;
            };
            if self.headed != Some(list) {
                push_heading(out, list);
                self.headed = Some(list);
            }
            push_row(out, entry, &key_in(record));
        }
        self.after = page.next;
        if page.next.is_none() {
            self.sections.pop_front();
        }
    }
}

fn push_heading(out: &mut Vec<u8>, list: List) {
    let (title, line) = match list {
        List::White => ("Whitelist data:", "==============="),
        List::Grey => ("Greylist data:", "=============="),
        List::Black => ("Blacklist data:", "==============="),
    };
    let heading = format!("\n{title}\n{line}\n  Last Seen            Count  Data\n");
    out.extend_from_slice(heading.as_bytes());
}

/// How often it was seen is not remembered.
fn push_row(out: &mut Vec<u8>, entry: &Entry, key: &str) {
    let row = format!("  {}{:>7}  {key}\n", date_and_time(entry.last), "-");
    out.extend_from_slice(row.as_bytes());
}

/// The words of a record; a dash where none are kept.
fn key_in(record: &Record) -> String {
    let Record::Triplet {
        client,
        sender,
        recipient,
        ..
    } = record
    else {
        return "-".into();
    };
    if let Some(words) = record.words() {
        return plain(words);
    }
    let sender: &[u8] = if sender.is_empty() { b"<>" } else { sender };
    match client.is_empty() {
        true => "-".into(),
        false => plain(&[client, sender, recipient].join(&b' ')),
    }
}

/// `2026-11-24 12:00:00`, in UTC.
pub(super) fn date_and_time(at: Timestamp) -> String {
    let ([year, month, day], [hour, minute, second]) = calendar(at);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// `Tue Nov 24 12:00:00 2026`, in UTC.
///
/// Source: asctime(3).
pub(super) fn asctime(at: Timestamp) -> String {
    let ([year, month, day], [hour, minute, second]) = calendar(at);
    // 1970 began on a Thursday.
    let weekday = at.0.div_euclid(86_400).rem_euclid(7);
    let name = |names: &'static str, place: i64| {
        let start = usize::try_from(place * 3).unwrap_or_default();
        names.get(start..start + 3).unwrap_or_default()
    };
    format!(
        "{} {} {day:>2} {hour:02}:{minute:02}:{second:02} {year}",
        name("ThuFriSatSunMonTueWed", weekday),
        name("JanFebMarAprMayJunJulAugSepOctNovDec", month - 1),
    )
}

/// Year, month and day, and hour, minute and second, in UTC.
///
/// Years are counted from March, in eras of 400: so the leap day is the last day of a year.
fn calendar(at: Timestamp) -> ([i64; 3], [i64; 3]) {
    // Days since 1 March of the year 0.
    let days = at.0.div_euclid(86_400) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let leaps = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leaps) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12 + 1;
    let year = 400 * era + year_of_era + i64::from(month <= 2);
    let second = at.0.rem_euclid(86_400);
    (
        [year, month, day],
        [second / 3_600, second / 60 % 60, second % 60],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (at, long, short) in [
            (0, "Thu Jan  1 00:00:00 1970", "1970-01-01 00:00:00"),
            (
                951_782_399,
                "Mon Feb 28 23:59:59 2000",
                "2000-02-28 23:59:59",
            ),
            (
                951_782_400,
                "Tue Feb 29 00:00:00 2000",
                "2000-02-29 00:00:00",
            ),
            (
                951_868_800,
                "Wed Mar  1 00:00:00 2000",
                "2000-03-01 00:00:00",
            ),
            (
                1_795_521_600,
                "Tue Nov 24 12:00:00 2026",
                "2026-11-24 12:00:00",
            ),
            (
                4_294_967_295,
                "Sun Feb  7 06:28:15 2106",
                "2106-02-07 06:28:15",
            ),
            (-1, "Wed Dec 31 23:59:59 1969", "1969-12-31 23:59:59"),
        ] {
            assert_eq!(asctime(Timestamp(at)), long);
            assert_eq!(date_and_time(Timestamp(at)), short);
        }
    }
}
