//! The bars that the project has set itself, and what was found beside them.

use crate::bench::measure::{Figure, Row};
use crate::bench::report::Size;
use crate::bench::scenario::Population;
use crate::bench::server::Program;

/// A bar and what was found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Check {
    pub(crate) what: String,
    pub(crate) found: f64,
    pub(crate) bar: Bar,
    pub(crate) unit: &'static str,
    /// The share of expected answers behind the figure, 0 to 1.
    pub(crate) expected: f64,
}

/// Which side of a number is good.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bar {
    AtLeast(f64),
    AtMost(f64),
}

impl Check {
    pub(crate) fn is_met(&self) -> bool {
        let good = match self.bar {
            Bar::AtLeast(bar) => self.found >= bar,
            Bar::AtMost(bar) => self.found <= bar,
        };
        // A server that answers wrongly is fast for nothing.
        good && self.expected > 0.999
    }
}

/// A bar for a ratio between two servers under the same load.
struct Relation {
    load: &'static str,
    server: &'static str,
    base: &'static str,
    what: &'static str,
    figure: Figure,
    bar: Bar,
}

const THROUGHPUT: (&str, Figure) = ("throughput", |round| round.throughput);
const CPU: (&str, Figure) = ("CPU per request", |round| round.cpu_us);
const P99: (&str, Figure) = ("p99", |round| round.p99_us);

const fn relation(
    load: &'static str,
    pair: (Program, Program),
    (what, figure): (&'static str, Figure),
    bar: Bar,
) -> Relation {
    Relation {
        load,
        server: pair.0.name(),
        base: pair.1.name(),
        what,
        figure,
        bar,
    }
}

const TO_REFERENCE: (Program, Program) = (Program::Greylatch, Program::Reference);
const TO_POSTGREY: (Program, Program) = (Program::Greylatch, Program::Postgrey);
const SYSLOG: (Program, Program) = (Program::GreylatchSyslog, Program::Reference);
const SYNCED: (Program, Program) = (Program::GreylatchSynced, Program::Postgrey);

const MILTER: (Program, Program) = (Program::GreylatchMilter, Program::ReferenceMilter);

const RELATIONS: &[Relation] = &[
    relation("known", TO_REFERENCE, THROUGHPUT, Bar::AtLeast(0.6)),
    relation("known", TO_REFERENCE, CPU, Bar::AtMost(1.8)),
    relation("whitelisted", TO_REFERENCE, THROUGHPUT, Bar::AtLeast(0.6)),
    relation("whitelisted", TO_REFERENCE, CPU, Bar::AtMost(1.8)),
    relation("exempt", TO_REFERENCE, THROUGHPUT, Bar::AtLeast(0.5)),
    relation("exempt", TO_REFERENCE, CPU, Bar::AtMost(2.0)),
    relation("new", TO_REFERENCE, CPU, Bar::AtMost(4.0)),
    relation("new", TO_POSTGREY, THROUGHPUT, Bar::AtLeast(25.0)),
    relation("new", SYNCED, THROUGHPUT, Bar::AtLeast(5.0)),
    relation("known", SYSLOG, THROUGHPUT, Bar::AtLeast(0.4)),
    relation("known", SYSLOG, CPU, Bar::AtMost(2.5)),
    relation("whitelisted", SYSLOG, THROUGHPUT, Bar::AtLeast(0.4)),
    relation("whitelisted", SYSLOG, CPU, Bar::AtMost(2.5)),
    relation("exempt", SYSLOG, THROUGHPUT, Bar::AtLeast(0.4)),
    relation("exempt", SYSLOG, CPU, Bar::AtMost(2.5)),
    relation("known", MILTER, CPU, Bar::AtMost(2.0)),
    relation("new", MILTER, CPU, Bar::AtMost(5.0)),
    relation("known at 2000/s", TO_REFERENCE, P99, Bar::AtMost(3.0)),
    relation("new at 2000/s", TO_REFERENCE, P99, Bar::AtMost(3.0)),
];

/// The bars of those loads and servers that ran.
pub(crate) fn relations(rows: &[Row]) -> Vec<Check> {
    RELATIONS
        .iter()
        .filter_map(|relation| {
            let own = row(rows, relation.load, relation.server)?;
            let base = row(rows, relation.load, relation.base)?;
            Some(Check {
                what: format!(
                    "{}, {}: {} to {}",
                    relation.load, relation.what, relation.server, relation.base
                ),
                found: own.ratio(base, relation.figure).median,
                bar: relation.bar,
                unit: "x",
                expected: own.least_expected(),
            })
        })
        .collect()
}

/// What it costs more at the larger of two sizes.
pub(crate) fn growth(rows: &[Row], small: &str, large: &str, population: Population) -> Vec<Check> {
    [("new", 1.6), ("known", 2.0)]
        .into_iter()
        .filter_map(|(load, bar)| {
            let own = row(rows, load, large)?;
            let base = row(rows, load, small)?;
            let drawn = match (load, population.skew) {
                ("known", false) => " (drawn evenly; the bar is for --skew)",
                _ => "",
            };
            Some(Check {
                what: format!("{load}, CPU per request: {large} to {small}{drawn}"),
                found: own.ratio(base, CPU.1).median,
                bar: Bar::AtMost(bar),
                unit: "x",
                expected: own.least_expected(),
            })
        })
        .collect()
}

/// The size of a server: its files once it was told of its triplets, its
/// memory also after the loads.
pub(crate) fn size(server: &str, filled: &Size, at_end: &Size) -> Vec<Check> {
    let check = |what: &str, found: f64, bar: f64, unit| Check {
        what: format!("{server}, {what}"),
        found,
        bar: Bar::AtMost(bar),
        unit,
        expected: 1.0,
    };
    let triplets = filled.triplets;
    let resident_max = if triplets > 1_000_000 { 400.0 } else { 150.0 };
    let per_triplet = filled.disk.saturating_sub(JOURNALS) as f64 / triplets as f64;
    let resident = |size: &Size| mib(size.memory.resident);
    vec![
        check(
            "resident when filled",
            resident(filled),
            resident_max,
            " MiB",
        ),
        check(
            "resident after the loads",
            resident(at_end),
            resident_max,
            " MiB",
        ),
        check(
            "files per triplet beyond 128 MiB of journals",
            per_triplet,
            150.0,
            " B",
        ),
    ]
}

const JOURNALS: u64 = 128 << 20;

pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// How soon after its start a server answers whom, in milliseconds.
pub(crate) fn start(server: &str, whitelisted_ms: f64, known_ms: f64) -> Vec<Check> {
    [
        ("a whitelisted client", whitelisted_ms, 100.0),
        ("a known sender", known_ms, 2_000.0),
    ]
    .into_iter()
    .map(|(who, found, bar)| Check {
        what: format!("{server}, answers {who} after kill -9 and start"),
        found,
        bar: Bar::AtMost(bar),
        unit: " ms",
        expected: 1.0,
    })
    .collect()
}

/// The row of that load and server.
pub(crate) fn row<'a>(rows: &'a [Row], load: &str, server: &str) -> Option<&'a Row> {
    rows.iter()
        .find(|row| row.load == load && row.server == server)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::cost::Memory;
    use crate::bench::measure::tests::row;

    #[test]
    fn bars_are_checked_where_both_sides_ran() {
        let rows = [
            row("known", "reference", &[(200.0, 4.0)]),
            row("known", "greylatch", &[(130.0, 8.0)]),
            row("new", "greylatch", &[(100.0, 8.0)]),
        ];
        let checks = relations(&rows);
        let found: Vec<(f64, bool)> = checks
            .iter()
            .map(|check| (check.found, check.is_met()))
            .collect();
        assert_eq!(found, [(0.65, true), (2.0, false)]);
        assert_eq!(
            checks[1].what,
            "known, CPU per request: greylatch to reference"
        );
    }

    #[test]
    fn wrong_answers_meet_no_bar() {
        let mut rows = [
            row("known", "reference", &[(200.0, 4.0)]),
            row("known", "greylatch", &[(200.0, 4.0)]),
        ];
        assert!(relations(&rows).iter().all(Check::is_met));
        rows[1].rounds[0].expected = 0.9;
        assert!(!relations(&rows).iter().any(Check::is_met));
    }

    fn of_size(triplets: u64, resident: u64, disk: u64) -> Size {
        Size {
            server: "big".into(),
            triplets,
            memory: Memory {
                resident,
                peak: resident,
            },
            disk,
        }
    }

    #[test]
    fn files_may_hold_their_journals_besides_the_triplets() {
        let million = of_size(1_000_000, 140 << 20, (128 << 20) + 149_000_000);
        let checks = size("big", &million, &million);
        assert!(checks.iter().all(Check::is_met), "{checks:?}");
        assert_eq!(checks.last().map(|check| check.found), Some(149.0));
    }

    #[test]
    fn memory_may_grow_with_the_number_of_triplets_only() {
        let million = of_size(1_000_000, 140 << 20, 0);
        let grown = of_size(1_000_000, 160 << 20, 0);
        let met = |checks: Vec<Check>| checks.iter().map(Check::is_met).collect::<Vec<_>>();
        assert_eq!(met(size("big", &million, &grown)), [true, false, true]);
        let ten = of_size(10_000_000, 160 << 20, 0);
        assert_eq!(met(size("big", &ten, &ten)), [true, true, true]);
    }

    #[test]
    fn growth_compares_two_sizes_of_the_same_server() {
        let rows = [
            row("new", "at 100000", &[(100.0, 10.0)]),
            row("new", "at 1000000", &[(90.0, 15.0)]),
        ];
        let population = Population {
            known: 1,
            waiting: 1,
            skew: true,
        };
        let checks = growth(&rows, "at 100000", "at 1000000", population);
        assert_eq!(checks.len(), 1);
        assert_eq!((checks[0].found, checks[0].is_met()), (1.5, true));
    }
}
