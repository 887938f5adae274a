//! Rows as text, as milter-greylist 4.6 writes them.

use std::io::{self, Write};

use greylatch_core::milter_greylist_text;

use super::{DumpRow, RowKind};

/// A file being written: its head, rows one by one, and its end.
#[derive(Debug)]
pub struct DumpWriter<W> {
    out: W,
    pending: u64,
    auto: u64,
    tarpit: u64,
}

impl<W: Write> DumpWriter<W> {
    /// Writes the head. `by` is who writes, with version, as in `milter-greylist-4.6.4`; `on` the
    /// local time as `2026-11-24 03:25:01`.
    ///
    /// # Errors
    ///
    /// What `out` says.
    pub fn new(mut out: W, by: &str, on: &str) -> io::Result<Self> {
        write!(
            out,
            "#\n\
             # milter-greylist databases, dumped by {by} on {on}.\n\
             # DO NOT EDIT while milter-greylist is running, changes will be overwritten.\n\
             #\n\n\n\
             #\n# stored tuples\n#\n\
             # Sender IP\tSender e-mail\tRecipient e-mail\tTime accepted\tUnsuccessful shortest tarpit\n"
        )?;
        Ok(Self {
            out,
            pending: 0,
            auto: 0,
            tarpit: 0,
        })
    }

    /// Writes a row; with the time in words behind it, as `2033-05-18 03:33:19` in local time,
    /// unless `dump_no_time_translation` is set.
    ///
    /// # Errors
    ///
    /// What the writer says.
    pub fn row(&mut self, row: &DumpRow, when_in_words: Option<&str>) -> io::Result<()> {
        let mut line = row.client.to_string().into_bytes();
        line.push(b'\t');
        line.extend(milter_greylist_text(&row.sender));
        line.push(b'\t');
        line.extend(milter_greylist_text(&row.recipient));
        let when = row.when.0.clamp(0, EPOCH_MAX);
        match row.kind {
            RowKind::Pending => {
                self.pending += 1;
                write!(line, "\t{when} ")?;
            }
            RowKind::Auto => {
                self.auto += 1;
                write!(line, "\t{when} AUTO")?;
            }
            RowKind::Tarpit { shortest } => {
                self.tarpit += 1;
                write!(line, "\t{when}\t{} TARPIT", shortest.0.max(0))?;
            }
        }
        if let Some(words) = when_in_words {
            // A pending row ends in a blank already.
            let gap = if line.ends_with(b" ") { "" } else { " " };
            write!(line, "{gap}# {words}")?;
        }
        line.push(b'\n');
        self.out.write_all(&line)
    }

    /// Writes the end, and gives back what was written to.
    ///
    /// # Errors
    ///
    /// What the writer says, also when it is flushed.
    pub fn finish(mut self) -> io::Result<W> {
        let Self {
            pending,
            auto,
            tarpit,
            ..
        } = self;
        let records = pending + auto + tarpit;
        write!(
            self.out,
            "#\n# Summary: {records} records, {pending} greylisted, {auto} whitelisted, {tarpit} tarpitted\n#\n"
        )?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// The original reads a time into 32 bits; a later one would wrap to before 1970, and the row
/// be gone.
const EPOCH_MAX: i64 = i32::MAX as i64;

#[cfg(test)]
mod tests {
    use greylatch_core::{Seconds, Timestamp};

    use super::*;
    use crate::milter_greylist::DumpRows;

    fn row(client: &str, addresses: (&str, &str), when: i64, kind: RowKind) -> DumpRow {
        DumpRow {
            client: client.parse().unwrap(),
            sender: addresses.0.into(),
            recipient: addresses.1.into(),
            when: Timestamp(when),
            kind,
        }
    }

    fn rows() -> Vec<(DumpRow, &'static str)> {
        let shortest = Seconds(0);
        vec![
            (
                row("192.0.2.50", ("p@x", "q@y"), 1_999_999_998, RowKind::Auto),
                "2033-05-18 03:33:18",
            ),
            (
                row(
                    "2001:db8::9",
                    ("p@x", "q@y"),
                    1_999_999_999,
                    RowKind::Pending,
                ),
                "2033-05-18 03:33:19",
            ),
            (
                row(
                    "192.0.2.10",
                    ("z@x", "zz@y"),
                    1_795_494_489,
                    RowKind::Tarpit { shortest },
                ),
                "2026-11-24 04:28:09",
            ),
        ]
    }

    fn written(rows: &[(DumpRow, &str)], with_words: bool) -> String {
        let mut writer =
            DumpWriter::new(Vec::new(), "milter-greylist-4.6.4", "2026-11-24 03:25:01").unwrap();
        for (row, words) in rows {
            writer.row(row, with_words.then_some(*words)).unwrap();
        }
        String::from_utf8(writer.finish().unwrap()).unwrap()
    }

    /// Source: milter-greylist 4.6.4, the dump of a run with an entry of each kind.
    const WITH_WORDS: &str = "#
# milter-greylist databases, dumped by milter-greylist-4.6.4 on 2026-11-24 03:25:01.
# DO NOT EDIT while milter-greylist is running, changes will be overwritten.
#


#
# stored tuples
#
# Sender IP\tSender e-mail\tRecipient e-mail\tTime accepted\tUnsuccessful shortest tarpit
192.0.2.50\t<p@x>\t<q@y>\t1999999998 AUTO # 2033-05-18 03:33:18
2001:db8::9\t<p@x>\t<q@y>\t1999999999 # 2033-05-18 03:33:19
192.0.2.10\t<z@x>\t<zz@y>\t1795494489\t0 TARPIT # 2026-11-24 04:28:09
#
# Summary: 3 records, 1 greylisted, 1 whitelisted, 1 tarpitted
#
";

    #[test]
    fn the_file_is_as_the_original_writes_it() {
        assert_eq!(written(&rows(), true), WITH_WORDS);
        let without: String = WITH_WORDS
            .split_inclusive('\n')
            .map(|line| match line.split_once("# 20") {
                Some((row, _)) if line.contains("\t<") => match row.trim_end() {
                    // A pending row ends in the blank.
                    bare if bare.ends_with("999") => format!("{bare} \n"),
                    bare => format!("{bare}\n"),
                },
                _ => line.to_owned(),
            })
            .collect();
        assert_eq!(written(&rows(), false), without);
    }

    #[test]
    fn what_is_written_is_read_again() {
        for with_words in [true, false] {
            let text = written(&rows(), with_words);
            let read: Result<Vec<_>, _> = DumpRows::from_reader(text.as_bytes()).collect();
            let expected: Vec<_> = rows().into_iter().map(|(row, _)| row).collect();
            assert_eq!(read, Ok(expected));
        }
    }

    #[test]
    fn the_summary_counts_each_kind() {
        let kinds = [RowKind::Pending, RowKind::Auto, RowKind::Auto];
        let tarpit = RowKind::Tarpit {
            shortest: Seconds(1),
        };
        let rows: Vec<_> = kinds
            .into_iter()
            .chain([tarpit; 3])
            .map(|kind| (row("192.0.2.1", ("a@x", "b@y"), 5, kind), ""))
            .collect();
        let summary = "# Summary: 6 records, 1 greylisted, 2 whitelisted, 3 tarpitted\n#\n";
        assert!(written(&rows, false).ends_with(summary));
    }

    #[test]
    fn no_address_breaks_a_row() {
        let hostile = row(
            "192.0.2.1",
            ("a b\t\n#\x1bé>@x", "<>\r"),
            5,
            RowKind::Pending,
        );
        let text = written(&[(hostile, "words")], true);
        let line = text.lines().find(|line| line.contains("words")).unwrap();
        assert_eq!(line, "192.0.2.1\t<a_b__#____@x>\t<___>\t5 # words");
        let read: Vec<_> = DumpRows::from_reader(text.as_bytes()).collect();
        assert_eq!(read.len(), 1);
    }

    #[test]
    fn a_time_that_the_original_cannot_hold_is_the_latest_it_can() {
        for (when, written_as) in [(9_999_999_999, "\t2147483647 "), (-1, "\t0 ")] {
            let row = row("192.0.2.1", ("a@x", "b@y"), when, RowKind::Pending);
            assert!(written(&[(row, "")], false).contains(written_as));
        }
    }
}
