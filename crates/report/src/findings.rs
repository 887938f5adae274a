//! What comes of a ledger: the tables of the report.

mod attempts;
mod waiting;

pub(crate) use waiting::never;

use std::net::IpAddr;

use greylatch_core::{Seconds, Timestamp, Triplet};

use crate::delivery::{Delivery, timestamp};
use crate::groups::{Groups, domain, group, organisation};
use crate::intake::IntakeCounts;
use crate::ledger::Ledger;
use crate::reader::Reader;
use crate::table::{Cell, Report, Table};

/// A delivery that was seen less long before the end of the log than this may still come back.
///
/// Source: RFC 5321 §4.5.4.1 (senders try for days); most of those that come at all come within hours.
const YOUNG_S: i64 = 86_400;

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

/// A delivery of the period, and what became of it.
pub(crate) struct Case<'a> {
    ledger: &'a Ledger,
    pub(crate) delivery: &'a Delivery,
    /// The client's address, if it is one.
    address: Option<IpAddr>,
    /// It did not come back, or always too early.
    pub(crate) never: bool,
    /// But the same sender has reached the same recipient from elsewhere.
    pub(crate) elsewhere: bool,
    /// It may still come.
    pub(crate) young: bool,
}

impl<'a> Case<'a> {
    pub(crate) fn address(&self) -> &'a [u8] {
        self.ledger.field(self.delivery, 0)
    }

    pub(crate) fn name(&self) -> &'a [u8] {
        self.ledger.field(self.delivery, 1)
    }

    pub(crate) fn sender(&self) -> &'a [u8] {
        self.ledger.field(self.delivery, 2)
    }

    pub(crate) fn recipient(&self) -> &'a [u8] {
        self.ledger.field(self.delivery, 3)
    }

    /// Formed again: kept of all deliveries, they would take more memory than anything else.
    pub(crate) fn triplet(&self) -> Triplet {
        self.ledger.triplet(self.delivery)
    }
}

/// Groups of all kinds.
#[derive(Default)]
pub(crate) struct AllGroups {
    pub(crate) networks: Groups,
    pub(crate) organisations: Groups,
    pub(crate) sender_domains: Groups,
    pub(crate) recipients: Groups,
    /// By organisation, or by network where a client has no confirmed name.
    pub(crate) providers: Groups,
    pub(crate) all: Groups,
}

impl Ledger {
    /// The report on what was told. Of the table with a row for each delivery, only so many are made,
    /// all if `rows` is 0.
    #[must_use]
    pub fn report(&self, reader: &Reader, sources: &Sources, rows: usize) -> Report {
        let cases = self.cases();
        let mut groups = AllGroups::default();
        for case in &cases {
            groups.add(case);
        }
        groups.sort();
        let mut tables = vec![
            self.summary(&cases, &groups),
            read(reader, sources, self),
            self.verdicts(),
            never_came_back(&cases, rows),
        ];
        tables.extend(waiting::never_by(&groups));
        tables.push(waiting::wait(&groups));
        tables.push(waiting::wait_histogram(&groups));
        tables.push(waiting::first_retry(&groups));
        tables.push(waiting::early_retries(&groups));
        tables.push(self.exempt());
        tables.push(waiting::candidates(&groups));
        tables.push(self.refused());
        tables.push(self.throttled());
        Report { tables }
    }

    /// The deliveries whose first attempt is in the period.
    pub(crate) fn cases(&self) -> Vec<Case<'_>> {
        let end = self.counts.span.map_or(Timestamp(0), |(_, last)| last);
        let mut cases: Vec<Case<'_>> = self
            .deliveries
            .iter()
            .filter_map(|delivery| self.case(delivery, end))
            .collect();
        // Addresses by their numbers, what is none behind them; those of one by their triplets.
        let by_address = |case: &Case<'_>| (case.address.is_none(), case.address);
        cases.sort_unstable_by_key(by_address);
        for of_one in cases.chunk_by_mut(|one, next| one.address == next.address) {
            of_one.sort_by_cached_key(|case| {
                let triplet = case.triplet().joined().to_vec();
                (triplet, case.delivery.first())
            });
        }
        cases
    }

    fn case<'a>(&'a self, delivery: &'a Delivery, end: Timestamp) -> Option<Case<'a>> {
        let first = delivery.first()?;
        if !self.period.has(timestamp(first)) {
            return None;
        }
        let never = delivery.is_open();
        let last = delivery.course().map_or(first, |course| course.last);
        let address = std::str::from_utf8(self.field(delivery, 0)).ok();
        Some(Case {
            ledger: self,
            elsewhere: never && self.was_reached(&self.triplet(delivery), first),
            young: never && end.since(timestamp(last)).0 < YOUNG_S,
            delivery,
            address: address.and_then(|text| text.parse().ok()),
            never,
        })
    }

    fn summary(&self, cases: &[Case<'_>], groups: &AllGroups) -> Table {
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
        let count = |what: &dyn Fn(&Case<'_>) -> bool| {
            Cell::count(cases.iter().filter(|case| what(case)).count())
        };
        row("deliveries that had to wait", Cell::count(cases.len()));
        row("came back", count(&|case| !case.never));
        row("never came back", count(&|case| case.never));
        row("of those, may still come", count(&|case| case.young));
        row(
            "of those, reached from elsewhere",
            count(&|case| case.elsewhere),
        );
        row(
            "known by the MTA's lines alone",
            count(&|case| case.delivery.is_told_by_mta()),
        );
        if let Some(all) = groups.all.get(&b"all"[..]) {
            for percent in [50, 90, 99] {
                let waited = crate::groups::percentile(&all.waits, percent);
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

fn never_came_back(cases: &[Case<'_>], rows: usize) -> Table {
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
    let never = || cases.iter().filter(|case| case.never);
    let made = if rows == 0 { usize::MAX } else { rows };
    for case in never().take(made) {
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
    table.not_made = never().skip(made).count();
    table
}

impl AllGroups {
    fn add(&mut self, case: &Case<'_>) {
        let network = &case.ledger.network(case.delivery)[..];
        let sender_domain = &domain(case.sender())[..];
        let add = |groups: &mut Groups, name: &[u8]| {
            group(groups, name).add(case, network, sender_domain);
        };
        add(&mut self.networks, network);
        add(&mut self.sender_domains, sender_domain);
        add(&mut self.recipients, &case.recipient().to_ascii_lowercase());
        add(&mut self.all, b"all");
        if case.name().is_empty() {
            add(&mut self.providers, network);
        } else {
            let organisation = organisation(case.name());
            add(&mut self.organisations, &organisation);
            add(&mut self.providers, &organisation);
        }
    }

    fn sort(&mut self) {
        let all = [
            &mut self.networks,
            &mut self.organisations,
            &mut self.sender_domains,
            &mut self.recipients,
            &mut self.providers,
            &mut self.all,
        ];
        for group in all.into_iter().flat_map(|groups| groups.values_mut()) {
            group.waits.sort_unstable();
            group.retries.sort_unstable();
        }
    }
}

impl crate::groups::Group {
    fn add(&mut self, case: &Case<'_>, network: &[u8], sender_domain: &[u8]) {
        if case.never {
            self.never += 1;
            self.elsewhere += u64::from(case.elsewhere);
        } else {
            self.came += 1;
            self.networks.add(network);
            self.sender_domains.add(sender_domain);
            self.recipients.add(case.recipient());
        }
        if let Some(course) = case.delivery.course() {
            self.tries += u64::from(course.deferrals);
            self.early += u64::from(course.early);
            self.with_early += u64::from(course.early > 0);
        }
        self.waits.extend(case.delivery.waited_s());
        self.retries.extend(case.delivery.retried_after_s());
    }
}
