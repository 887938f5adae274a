//! One round of load on one server, and what several rounds say together.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::bench::cost;
use crate::bench::load::{self, Load, Target};
use crate::bench::scenario::{Population, Scenario};
use crate::bench::server::Server;
use crate::bench::syslog::Counter;

/// How a round is driven.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Loop {
    /// As fast as it answers.
    Closed,
    /// So many requests per second.
    Open(u64),
}

/// The figures of one round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Round {
    /// Answers per second.
    pub(crate) throughput: f64,
    /// The server's CPU time per answer, in microseconds, with the work that
    /// it put off until after the load.
    pub(crate) cpu_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// The share of answers that were what a correct server says, 0 to 1.
    pub(crate) expected: f64,
    /// Log lines per answer; NaN when they went elsewhere.
    pub(crate) logged: f64,
    /// The generator's own CPU time per answer, in microseconds.
    pub(crate) generator_us: f64,
}

/// A server and what has been asked of it.
pub(crate) struct Contestant {
    pub(crate) server: Server,
    pub(crate) population: Population,
    /// The first index of a triplet that it has not seen.
    pub(crate) fresh: u64,
    /// How many new triplets it was told of.
    pub(crate) new: u64,
    /// Counts the log lines of a server that does not log to a file.
    pub(crate) syslog: Option<Counter>,
}

/// How long and by how many.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) connections: u64,
    pub(crate) duration: Duration,
    pub(crate) rounds: usize,
}

impl Contestant {
    /// Warms it up and measures one round.
    ///
    /// # Errors
    /// When it fails or ends.
    pub(crate) fn round(&mut self, scenario: Scenario, by: Loop, effort: Effort) -> Result<Round> {
        self.load(scenario, by, effort, effort.duration / 8)?;
        self.settle()?;
        self.take_lines()?;
        let before = cost::cpu(self.server.pid())?;
        let own_before = cost::cpu(std::process::id())?;
        let load = self.load(scenario, by, effort, effort.duration)?;
        let generator = cost::cpu(std::process::id())?.saturating_sub(own_before);
        self.settle()?;
        let used = cost::cpu(self.server.pid())?.saturating_sub(before);
        let answers = load.answers as f64;
        let per_answer_us = |used: Duration| used.as_secs_f64() * 1e6 / answers;
        Ok(Round {
            throughput: answers / load.elapsed.as_secs_f64(),
            cpu_us: per_answer_us(used),
            p50_us: load.latency.percentile_us(0.50),
            p99_us: load.latency.percentile_us(0.99),
            expected: load.expected as f64 / answers,
            logged: self.take_lines()? / answers,
            generator_us: per_answer_us(generator),
        })
    }

    /// Has a server that greylists asked for known triplets as often as it has such: each came
    /// back at least once, drawn as they will be, so what a site asks for most is in its memory. It
    /// was told of them in the order of their numbers, which leaves there what came last.
    ///
    /// # Errors
    /// When it fails or ends.
    pub(crate) fn warm_up(&mut self, effort: Effort) -> Result<()> {
        let mut left = match self.server.program.greylists() {
            true => self.population.known,
            false => 0,
        };
        while left > 0 {
            let load = self.load(Scenario::Known, Loop::Closed, effort, WARM_UP_STEP)?;
            left = left.saturating_sub(load.answers);
        }
        self.settle()
    }

    fn load(
        &mut self,
        scenario: Scenario,
        by: Loop,
        effort: Effort,
        duration: Duration,
    ) -> Result<Load> {
        let socket = self.server.measured_socket();
        let target = Target {
            socket: &socket,
            dialect: self.server.program.dialect(),
            greylists: self.server.program.greylists(),
            scenario,
            population: self.population,
            fresh: self.fresh,
            connections: effort.connections,
            duration,
        };
        let load = match by {
            Loop::Closed => load::closed(&target),
            Loop::Open(rate) => load::open(&target, rate),
        }?;
        self.fresh = load.fresh;
        self.new += load.new;
        Ok(load)
    }

    /// The log lines since the last time; NaN when nobody counted them.
    fn take_lines(&self) -> Result<f64> {
        let lines = match &self.syslog {
            Some(counter) => counter.take(),
            None => Some(self.server.take_log()?),
        };
        Ok(lines.map_or(f64::NAN, |lines| lines as f64))
    }

    /// Waits until the work that the server put off is done, so that it is
    /// charged to this load and does not disturb the next.
    fn settle(&self) -> Result<()> {
        let end = Instant::now() + SETTLE_MAX;
        let mut used = cost::cpu(self.server.pid())?;
        while Instant::now() < end {
            thread::sleep(SETTLE_STEP);
            let now = cost::cpu(self.server.pid())?;
            if now.saturating_sub(used) < SETTLE_STEP / 20 {
                break;
            }
            used = now;
        }
        Ok(())
    }
}

const WARM_UP_STEP: Duration = Duration::from_secs(5);
const SETTLE_STEP: Duration = Duration::from_millis(60);
const SETTLE_MAX: Duration = Duration::from_secs(5);

/// One server under one load.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// The load's name.
    pub(crate) load: String,
    /// The server's name.
    pub(crate) server: String,
    pub(crate) rounds: Vec<Round>,
}

/// One of the figures of a round.
pub(crate) type Figure = fn(&Round) -> f64;

impl Row {
    /// The median of a figure over the rounds.
    pub(crate) fn median(&self, figure: Figure) -> f64 {
        median(self.rounds.iter().map(figure).collect())
    }

    /// The share of expected answers in the worst round.
    pub(crate) fn least_expected(&self) -> f64 {
        let shares = self.rounds.iter().map(|round| round.expected);
        shares.fold(1.0, f64::min)
    }

    /// The median of the ratios to the rounds of `base` that ran beside ours,
    /// and their extremes.
    pub(crate) fn ratio(&self, base: &Self, figure: Figure) -> Ratio {
        let ratios: Vec<f64> = self
            .rounds
            .iter()
            .zip(&base.rounds)
            .map(|(own, base)| figure(own) / figure(base))
            .collect();
        Ratio {
            least: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            most: ratios.iter().copied().fold(0.0, f64::max),
            median: median(ratios),
        }
    }
}

/// A ratio over several rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

/// The middle one, or the mean of the two in the middle; NaN for none.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let half = figures.len() / 2;
    match figures.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => figures[half],
        _ => f64::midpoint(figures[half - 1], figures[half]),
    }
}

/// Runs the rounds of one load on all contestants, one after the other and
/// again, so that what else the machine does meets all alike.
///
/// # Errors
/// When one of them fails.
pub(crate) fn interleaved(
    contestants: &mut [Contestant],
    scenario: Scenario,
    by: Loop,
    effort: Effort,
) -> Result<Vec<Row>> {
    let load = match by {
        Loop::Closed => scenario.name().to_owned(),
        Loop::Open(rate) => format!("{} at {rate}/s", scenario.name()),
    };
    let mut rows: Vec<Row> = contestants
        .iter()
        .map(|contestant| Row {
            load: load.clone(),
            server: contestant.server.label.clone(),
            rounds: Vec::new(),
        })
        .collect();
    for _ in 0..effort.rounds {
        for (contestant, row) in contestants.iter_mut().zip(&mut rows) {
            row.rounds.push(contestant.round(scenario, by, effort)?);
        }
    }
    Ok(rows)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A row whose rounds have these throughputs and CPU times.
    pub(crate) fn row(load: &str, server: &str, figures: &[(f64, f64)]) -> Row {
        Row {
            load: load.into(),
            server: server.into(),
            rounds: figures
                .iter()
                .map(|(throughput, cpu_us)| Round {
                    throughput: *throughput,
                    cpu_us: *cpu_us,
                    p50_us: 10.0,
                    p99_us: 100.0 * cpu_us,
                    expected: 1.0,
                    logged: 1.0,
                    generator_us: 3.0,
                })
                .collect(),
        }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(vec![]).is_nan());
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // The machine was twice as slow in the second round, for both.
        let base = row(
            "known",
            "reference",
            &[(100.0, 1.0), (50.0, 2.0), (100.0, 1.0)],
        );
        let own = row(
            "known",
            "greylatch",
            &[(80.0, 1.5), (40.0, 3.0), (60.0, 2.0)],
        );
        let ratio = own.ratio(&base, |round| round.throughput);
        assert_eq!(
            ratio,
            Ratio {
                median: 0.8,
                least: 0.6,
                most: 0.8
            }
        );
        assert_eq!(own.ratio(&base, |round| round.cpu_us).median, 1.5);
        assert_eq!(own.median(|round| round.throughput), 60.0);
    }
}
