//! What comes of a ledger: the tables of the report.

mod attempts;
mod waiting;

pub(crate) use waiting::never;

use greylatch_core::Seconds;

use crate::delivery::timestamp;
use crate::found::{Case, Found};
use crate::intake::IntakeCounts;
use crate::ledger::Ledger;
use crate::reader::Reader;
use crate::table::{Cell, Report, Table};

/// What the logs were, for the table of what was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Files, standard input among them.
    pub files: u64,
    /// Files that could not be read, or not to their end.
    pub broken: u64,
    /// What became of their lines, in all.
    pub counts: IntakeCounts,
}

impl Sources {
    /// Adds what became of the lines of one more file.
    pub fn add(&mut self, counts: IntakeCounts, is_broken: bool) {
        self.files += 1;
        self.broken += u64::from(is_broken);
        self.counts.lines += counts.lines;
        self.counts.too_long += counts.too_long;
        self.counts.without_time += counts.without_time;
        self.counts.back_s = self.counts.back_s.max(counts.back_s);
    }
}

impl Ledger {
    /// The report on what was told, with what was found. Of the tables with a row for each
    /// delivery or group, only so many are made, all if `rows` is 0.
    #[must_use]
    pub fn report(
        &self,
        reader: &Reader,
        sources: &Sources,
        mut found: Found,
        rows: usize,
    ) -> Report {
        let never = self.never(&mut found.by_client, rows);
        let mut tables = vec![
            self.summary(&found),
            read(reader, sources, self),
            self.verdicts(),
            never_came_back(&never, &found),
        ];
        tables.extend(waiting::never_by(&found, rows));
        tables.push(waiting::wait(&found, rows));
        tables.push(waiting::wait_histogram(&found));
        tables.push(waiting::first_retry(&found, rows));
        tables.push(waiting::early_retries(&found, rows));
        tables.push(self.exempt());
        tables.push(waiting::candidates(&found));
        tables.push(self.refused());
        tables.push(self.throttled());
        Report { tables }
    }

    fn summary(&self, found: &Found) -> Table {
        let mut table = Table::new(
            "summary",
            "Summary",
            "A delivery is one client network, sender and recipient; it is reported when its first \
             attempt lies in the period, and what became of it later counts.",
            &[("figure", "FIGURE"), ("value", "VALUE")],
        )
        .whole();
        let mut row =
            |name: &str, cell: Cell| table.rows.push(vec![Cell::Text(name.to_owned()), cell]);
        if let Some((first, last)) = self.counts.span {
            row("log from", Cell::Time(first));
            row("log to", Cell::Time(last));
        }
        let told = |wanted: &str| {
            let of_it =
                |((verdict, _), count): (&(&str, _), &u64)| (*verdict == wanted).then_some(*count);
            Cell::Count(self.counts.verdicts.iter().filter_map(of_it).sum())
        };
        row("attempts passed", told(crate::ledger::PASS));
        row("attempts deferred", told(crate::ledger::DEFER));
        row("attempts refused", told(crate::ledger::REFUSE));
        row(
            "attempts that would have waited",
            told(crate::ledger::WOULD_DEFER),
        );
        let tally = &found.by_envelope.tally;
        for (name, count) in [
            ("deliveries that had to wait", tally.all),
            ("came back", tally.all - tally.never),
            ("never came back", tally.never),
            ("of those, may still come", tally.young),
            ("of those, reached from elsewhere", tally.elsewhere),
            ("known by the MTA's lines alone", tally.told_by_mta),
        ] {
            row(name, Cell::Count(count));
        }
        if tally.all > 0 {
            for percent in [50, 90, 99] {
                let waited = crate::groups::percentile(&found.by_envelope.all.waits, percent);
                row(
                    &format!("waited, {percent} of 100 at most"),
                    Cell::seconds(waited),
                );
            }
        }
        table
    }
}

fn read(reader: &Reader, sources: &Sources, ledger: &Ledger) -> Table {
    let mut table = Table::new(
        "read",
        "What was read",
        "Lines that tell something but not when, or that cannot be understood, are left out.",
        &[("figure", "FIGURE"), ("value", "VALUE")],
    )
    .whole();
    let counts = &sources.counts;
    for (name, count) in [
        ("files", sources.files),
        ("files not read to their end", sources.broken),
        ("lines", counts.lines),
        ("lines that told something", reader.told()),
        ("lines of more than 64 KiB, left out", counts.too_long),
        ("lines without a time, left out", counts.without_time),
        (
            "decisions not understood, left out",
            reader.not_understood(),
        ),
        ("client addresses not understood", ledger.counts.unreadable),
        ("attempts beyond what is held", ledger.counts.beyond),
    ] {
        table
            .rows
            .push(vec![Cell::Text(name.to_owned()), Cell::Count(count)]);
    }
    let back = Cell::Length(Seconds(counts.back_s));
    table.rows.push(vec![
        Cell::Text("times go back by at most".to_owned()),
        back,
    ]);
    table
}

fn never_came_back(never: &[Case<'_>], found: &Found) -> Table {
    let mut table = Table::new(
        "never-came-back",
        "Never came back",
        "MAY COME: seen less than a day before the end of the log. ELSEWHERE: the same sender reached the \
         same recipient from another network.",
        &[
            ("client", "CLIENT"),
            ("name", "NAME"),
            ("network", "NETWORK"),
            ("sender", "SENDER"),
            ("recipient", "RECIPIENT"),
            ("tries", "TRIES"),
            ("first", "FIRST"),
            ("last", "LAST"),
            ("may_come", "MAY COME"),
            ("elsewhere", "ELSEWHERE"),
        ],
    );
    for case in never {
        let Some(course) = case.delivery.course() else {
            continue;
        };
        table.rows.push(vec![
            Cell::text(case.address()),
            Cell::text(case.name()),
            Cell::text(case.triplet().client()),
            Cell::text(case.sender()),
            Cell::text(case.recipient()),
            Cell::Count(u64::from(course.deferrals)),
            Cell::Time(timestamp(course.first)),
            Cell::Time(timestamp(course.last)),
            Cell::Flag(case.young),
            Cell::Flag(case.elsewhere),
        ]);
    }
    // There are not more than deliveries, which have places in memory.
    table.not_made = found.by_envelope.tally.never as usize - never.len();
    table
}
