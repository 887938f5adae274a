//! What was found, as tables for people and as JSON for programs.

use anyhow::Result;
use serde_json::{Value, json};

use crate::bench::bars::{Bar, Check, mib, row};
use crate::bench::cost::Memory;
use crate::bench::measure::{Figure, Row};
use crate::bench::server::Program;

/// The size of a server at the end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Size {
    pub(crate) server: String,
    /// How many triplets it had been told of, new ones included.
    pub(crate) triplets: u64,
    pub(crate) memory: Memory,
    pub(crate) disk: u64,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
    pub(crate) sizes: Vec<Size>,
    pub(crate) checks: Vec<Check>,
}

impl Report {
    pub(crate) fn print(&self) {
        println!("\n{}", aligned(&self.loads()));
        println!("{}", aligned(&self.footprints()));
        println!("{}", aligned(&self.bars()));
        println!(
            "Medians; each ratio is the median of the rounds' ratios, in parentheses their extremes. \
             \nRatios beside a figure are to the reference in the same round, x pg to Postgrey's throughput. \
             \nCPU is the server's, user and system, with what it did after the load; load us is the generator's."
        );
    }

    fn loads(&self) -> Vec<Vec<String>> {
        let mut table = vec![cells(&[
            "load", "server", "req/s", "x ref", "x pg", "CPU us", "x ref", "p50 us", "x ref",
            "p99 us", "x ref", "expected", "logged", "load us",
        ])];
        for own in &self.rows {
            let reference = row(&self.rows, &own.load, reference_of(&own.server));
            let postgrey = row(&self.rows, &own.load, Program::Postgrey.name());
            let with_ratio = |digits: usize, figure: Figure| {
                let ratio = reference.map_or_else(String::new, |base| ratio(own, base, figure));
                [format!("{:.digits$}", own.median(figure)), ratio]
            };
            let mut line = vec![own.load.clone(), own.server.clone()];
            line.extend(with_ratio(0, |round| round.throughput));
            line.push(postgrey.map_or_else(String::new, |base| {
                format!("{:.1}", own.ratio(base, |round| round.throughput).median)
            }));
            line.extend(with_ratio(2, |round| round.cpu_us));
            line.extend(with_ratio(0, |round| round.p50_us));
            line.extend(with_ratio(0, |round| round.p99_us));
            line.push(percent(own.least_expected()));
            line.push(percent(own.median(|round| round.logged)));
            line.push(format!("{:.2}", own.median(|round| round.generator_us)));
            table.push(line);
        }
        table
    }

    fn footprints(&self) -> Vec<Vec<String>> {
        let mut table = vec![cells(&[
            "server",
            "triplets",
            "VmRSS MiB",
            "VmHWM MiB",
            "disk MiB",
            "disk B/triplet",
        ])];
        for size in &self.sizes {
            let per_triplet = match size.triplets {
                0 => String::new(),
                triplets => format!("{:.1}", size.disk as f64 / triplets as f64),
            };
            table.push(vec![
                size.server.clone(),
                size.triplets.to_string(),
                format!("{:.1}", mib(size.memory.resident)),
                format!("{:.1}", mib(size.memory.peak)),
                format!("{:.1}", mib(size.disk)),
                per_triplet,
            ]);
        }
        table
    }

    fn bars(&self) -> Vec<Vec<String>> {
        let mut table = vec![cells(&["bar", "", "found", "expected", ""])];
        for check in &self.checks {
            let bar = match check.bar {
                Bar::AtLeast(bar) => format!("at least {}{}", number(bar), check.unit),
                Bar::AtMost(bar) => format!("at most {}{}", number(bar), check.unit),
            };
            table.push(vec![
                check.what.clone(),
                bar,
                format!("{}{}", number(check.found), check.unit),
                percent(check.expected),
                if check.is_met() { "met" } else { "MISSED" }.to_owned(),
            ]);
        }
        table
    }

    /// All of it, each round apart.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub(crate) fn json(&self) -> Result<String> {
        let rows: Vec<Value> = self.rows.iter().map(row_json).collect();
        let sizes: Vec<Value> = self
            .sizes
            .iter()
            .map(|size| {
                json!({ "server": size.server, "triplets": size.triplets, "disk": size.disk,
                        "resident": size.memory.resident, "peak": size.memory.peak })
            })
            .collect();
        let checks: Vec<Value> = self
            .checks
            .iter()
            .map(|check| {
                let (side, bar) = match check.bar {
                    Bar::AtLeast(bar) => ("at_least", bar),
                    Bar::AtMost(bar) => ("at_most", bar),
                };
                json!({ "what": check.what, "found": check.found, side: bar,
                        "unit": check.unit.trim(), "expected": check.expected,
                        "met": check.is_met() })
            })
            .collect();
        let all = json!({ "loads": rows, "sizes": sizes, "bars": checks });
        Ok(serde_json::to_string_pretty(&all)?)
    }
}

/// The server that does nothing but answer, by the same protocol.
fn reference_of(server: &str) -> &'static str {
    if server.ends_with("-milter") {
        Program::ReferenceMilter.name()
    } else {
        Program::Reference.name()
    }
}

fn row_json(row: &Row) -> Value {
    let rounds: Vec<Value> = row
        .rounds
        .iter()
        .map(|round| {
            json!({ "throughput": round.throughput, "cpu_us": round.cpu_us,
                    "p50_us": round.p50_us, "p99_us": round.p99_us,
                    "expected": round.expected, "logged": round.logged,
                    "generator_us": round.generator_us })
        })
        .collect();
    json!({ "load": row.load, "server": row.server, "rounds": rounds })
}

fn ratio(own: &Row, base: &Row, figure: Figure) -> String {
    if own.server == base.server {
        return String::new();
    }
    let ratio = own.ratio(base, figure);
    format!("{:.2} ({:.2}-{:.2})", ratio.median, ratio.least, ratio.most)
}

/// A share with the digits that tell 99.99 % from all; never rounded up to all.
fn percent(share: f64) -> String {
    if share.is_nan() {
        return "not counted".to_owned();
    }
    format!("{:.2}%", (share * 10_000.0).floor() / 100.0)
}

fn number(number: f64) -> String {
    if number >= 100.0 {
        format!("{number:.0}")
    } else {
        format!("{number:.2}")
    }
}

fn cells(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Columns as wide as their widest cell: texts to the left, and what begins
/// like a number to the right.
fn aligned(table: &[Vec<String>]) -> String {
    let columns = table.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = table.iter().filter_map(|line| line.get(column));
        cells.map(String::len).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let is_number = |column: usize| {
        let mut cells = table.iter().skip(1).filter_map(|line| line.get(column));
        cells.all(|cell| cell.is_empty() || cell.starts_with(|c: char| c.is_ascii_digit()))
    };
    let right: Vec<bool> = (0..columns).map(is_number).collect();
    let mut text = String::new();
    for line in table {
        let mut row = String::new();
        for (column, cell) in line.iter().enumerate() {
            let width = widths[column];
            if right[column] {
                row.push_str(&format!("{cell:>width$}  "));
            } else {
                row.push_str(&format!("{cell:<width$}  "));
            }
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::measure::tests::row;

    #[test]
    fn columns_are_aligned_numbers_to_the_right() {
        let table = [
            cells(&["load", "req/s", ""]),
            cells(&["known", "7", "met"]),
            cells(&["new", "1200", "MISSED"]),
        ];
        assert_eq!(
            aligned(&table),
            "load   req/s\nknown      7  met\nnew     1200  MISSED\n"
        );
    }

    #[test]
    fn a_share_is_never_rounded_up_to_all() {
        assert_eq!(percent(1.0), "100.00%");
        assert_eq!(percent(0.999_999), "99.99%");
    }

    #[test]
    fn the_json_has_every_round_and_every_bar() {
        let report = Report {
            rows: vec![row("known", "greylatch", &[(1.0, 2.0), (3.0, 4.0)])],
            sizes: Vec::new(),
            checks: vec![Check {
                what: "x".into(),
                found: 3.0,
                bar: Bar::AtMost(2.0),
                unit: " ms",
                expected: 1.0,
            }],
        };
        let json: Value = serde_json::from_str(&report.json().expect("JSON")).expect("JSON");
        assert_eq!(json["loads"][0]["rounds"][1]["cpu_us"], 4.0);
        assert_eq!(json["bars"][0]["at_most"], 2.0);
        assert_eq!(json["bars"][0]["met"], false);
    }
}
