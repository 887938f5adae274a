//! What is run in which order: all servers under all loads, or ours at two
//! sizes.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::bench::bars::{self, Check};
use crate::bench::cost;
use crate::bench::load::ask_once;
use crate::bench::measure::{Contestant, Effort, Loop, interleaved};
use crate::bench::options::Options;
use crate::bench::preload;
use crate::bench::report::{Report, Size};
use crate::bench::request::{DUNNO, Kind};
use crate::bench::scenario::{Population, Scenario};
use crate::bench::server::{Places, Program, Server};
use crate::bench::syslog::Syslog;

/// All servers under all loads.
///
/// # Errors
/// When one of them fails.
pub(crate) fn side_by_side(options: &Options, places: &Places) -> Result<Report> {
    let syslog = options.syslog.then(Syslog::open).transpose()?;
    let mut contestants = Vec::new();
    for program in &options.servers {
        let population = population(*program, options);
        contestants.push(contestant(*program, program.name(), population, places)?);
    }
    if let Some(syslog) = &syslog {
        let program = Program::GreylatchSyslog;
        let population = population(program, options);
        let mut contestant = contestant(program, program.name(), population, places)?;
        contestant.syslog = Some(syslog.counter());
        contestants.push(contestant);
    }
    let effort = options.effort();
    let mut report = Report::default();
    for scenario in &options.loads {
        prepare(*scenario, &contestants)?;
        let rows = interleaved(&mut contestants, *scenario, Loop::Closed, effort)?;
        report.rows.extend(rows);
    }
    report.sizes = sizes(&contestants)?;
    if options.rate > 0 {
        // Postgrey does not reach the rate on every disk.
        contestants.retain(|contestant| {
            [Program::Reference, Program::Greylatch].contains(&contestant.server.program)
        });
        for scenario in [Scenario::Known, Scenario::New] {
            let by = Loop::Open(options.rate);
            let effort = Effort {
                // A tail needs more answers than a mean.
                duration: effort.duration * 2,
                ..effort
            };
            report
                .rows
                .extend(interleaved(&mut contestants, scenario, by, effort)?);
        }
    }
    report.checks = bars::relations(&report.rows);
    Ok(report)
}

/// Ours at 100,000 and at `triplets` known triplets.
///
/// # Errors
/// When a server fails.
pub(crate) fn at_size(options: &Options, places: &Places, triplets: u64) -> Result<Report> {
    let mut report = Report::default();
    let small = format!("greylatch at {SMALL}");
    let large = format!("greylatch at {triplets}");
    let population = |known| Population {
        known,
        waiting: WAITING,
        skew: options.skew,
    };
    let mut contestants = vec![contestant(
        Program::Reference,
        Program::Reference.name(),
        population(triplets),
        places,
    )?];
    if triplets != SMALL {
        let small = contestant(Program::Greylatch, &small, population(SMALL), places)?;
        contestants.push(small);
    }
    let begun = Instant::now();
    let filled = contestant(Program::Greylatch, &large, population(triplets), places)?;
    contestants.push(filled);
    println!(
        "filled with {triplets} triplets in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    for contestant in &contestants {
        settle(&contestant.server)?;
    }
    let filled = sizes(&contestants)?;
    for contestant in &mut contestants {
        contestant.warm_up(options.effort())?;
    }
    for scenario in [Scenario::Known, Scenario::New] {
        let rows = interleaved(&mut contestants, scenario, Loop::Closed, options.effort())?;
        report.rows.extend(rows);
    }
    report.checks = bars::growth(&report.rows, &small, &large, population(triplets));
    report.sizes = sizes(&contestants)?;
    for (before, after) in filled.iter().zip(&report.sizes) {
        if after.server == large {
            report.checks.extend(bars::size(&large, before, after));
        }
    }
    for contestant in &mut contestants {
        if contestant.server.label == large {
            report.checks.extend(start(contestant)?);
        }
    }
    Ok(report)
}

/// Waits until a server rests from what it was told in advance: to write that out is not what the
/// loads cost.
fn settle(server: &Server) -> Result<()> {
    let begun = Instant::now();
    let mut before = cost::cpu(server.pid())?;
    while begun.elapsed() < SETTLE_MAX {
        thread::sleep(SETTLE_LOOK);
        let spent = cost::cpu(server.pid())?;
        if spent - before < SETTLE_LOOK / 50 {
            break;
        }
        before = spent;
    }
    let seconds = begun.elapsed().as_secs();
    println!("{} rested after {seconds} s", server.label);
    Ok(())
}

const SETTLE_MAX: Duration = Duration::from_secs(120);
const SETTLE_LOOK: Duration = Duration::from_secs(2);

/// What the larger size is compared to.
const SMALL: u64 = 100_000;

const WAITING: u64 = 20_000;

/// Whom a server is told of; Postgrey, which syncs for each, of fewer.
fn population(program: Program, options: &Options) -> Population {
    let divisor = match (program, options.quick) {
        (Program::Postgrey, true) => 20,
        (Program::Postgrey, false) => 10,
        _ => 1,
    };
    Population {
        known: 20_000 / divisor,
        waiting: WAITING / divisor,
        skew: options.skew,
    }
}

/// Starts a server and tells it of its population.
fn contestant(
    program: Program,
    label: &str,
    population: Population,
    places: &Places,
) -> Result<Contestant> {
    println!("start {label}");
    let server = Server::start(program, label, places)?;
    if program.greylists() {
        preload::fill(&server, population)?;
    }
    Ok(Contestant {
        server,
        population,
        fresh: 0,
        new: 0,
        syslog: None,
    })
}

/// Makes triplets wait where a load asks for such.
fn prepare(scenario: Scenario, contestants: &[Contestant]) -> Result<()> {
    println!("load {}", scenario.name());
    for contestant in contestants {
        if scenario.needs_waiting() && contestant.server.program.greylists() {
            preload::fill_waiting(&contestant.server, contestant.population)?;
        }
    }
    Ok(())
}

fn sizes(contestants: &[Contestant]) -> Result<Vec<Size>> {
    contestants
        .iter()
        .map(|contestant| {
            let server = &contestant.server;
            let population = contestant.population;
            Ok(Size {
                server: server.label.clone(),
                triplets: if server.program.greylists() {
                    population.known + contestant.new
                } else {
                    0
                },
                memory: cost::memory(server.pid())?,
                disk: server.disk()?,
            })
        })
        .collect()
}

/// Kills a server, starts it again, and looks how soon it answers whom.
fn start(contestant: &mut Contestant) -> Result<Vec<Check>> {
    let started = contestant.server.restart()?;
    let socket = contestant.server.socket();
    let whitelisted = ask_once(&socket, Kind::Whitelisted, 1)?;
    let whitelisted_ms = started.elapsed().as_secs_f64() * 1e3;
    ensure!(
        whitelisted.starts_with(DUNNO),
        "a whitelisted client was not let in"
    );
    let mut known = ask_once(&socket, Kind::Known, 1)?;
    while !known.starts_with(DUNNO) && started.elapsed() < START_MAX {
        thread::sleep(Duration::from_millis(10));
        known = ask_once(&socket, Kind::Known, 1)?;
    }
    // Forgotten senders must not cost the figures that were found before.
    let known_ms = if known.starts_with(DUNNO) {
        started.elapsed().as_secs_f64() * 1e3
    } else {
        f64::INFINITY
    };
    let label = &contestant.server.label;
    Ok(bars::start(label, whitelisted_ms, known_ms))
}

/// A sender that is not known by then is forgotten.
const START_MAX: Duration = Duration::from_secs(30);
