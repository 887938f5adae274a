//! `greylatch report`: what mail logs tell of greylisting, as tables, JSON, CSV or a page.

mod logs;
mod moment;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread::{self, ScopedJoinHandle};

use anyhow::{Context, bail};
use greylatch_core::{Attempt, Field, IdentityRules, Query, School, Timestamp};
use greylatch_report::{
    Found, Ledger, Period, Remembered, Replayed, Report, Sightings, Sources, Table, WhatIf, to_csv,
    to_html, to_json, to_text,
};
use greylatch_server::{Config, Rehearsal, clock, identity_rules};

pub(crate) use self::moment::Moment;
use crate::arguments::{IdentityArgument, ReportArguments, SourceArgument};
use crate::control::Control;
use crate::serve;

pub(crate) fn run(arguments: &ReportArguments) -> anyhow::Result<ExitCode> {
    let config = serve::configuration(arguments.control.config.as_deref())?;
    let identity = identity(arguments.identity, &config);
    let now = clock::now();
    let moment =
        |moment: &Option<Moment>| moment.as_ref().map(|moment| moment.before(now)).transpose();
    let period = Period {
        since: moment(&arguments.since)?,
        until: moment(&arguments.until)?,
    };
    let asked = Asked {
        identity,
        period,
        now,
    };
    let (mut report, is_whole) = match &arguments.what_if {
        Some(other) => what_if(arguments, &asked, other)?,
        None => told(arguments, &asked)?,
    };
    choose(&mut report, &arguments.tables)?;
    print(&report, arguments)?;
    Ok(if is_whole {
        ExitCode::SUCCESS
    } else {
        crate::exit::UNAVAILABLE.into()
    })
}

/// How it is reported.
struct Asked {
    identity: IdentityRules,
    period: Period,
    now: Timestamp,
}

/// The report on logs and memory, and whether the logs were read whole.
fn told(arguments: &ReportArguments, asked: &Asked) -> anyhow::Result<(Report, bool)> {
    let mut ledger = Ledger::new(asked.identity, asked.period);
    let mut report = Report { tables: Vec::new() };
    let mut sources = Sources::default();
    if arguments.from != SourceArgument::Memory {
        let reader = ledger.reader(&arguments.greylist_text);
        let take = |sightings: &mut Sightings| ledger.take(sightings);
        let (reader, read) = logs::read(&arguments.files, asked.now, reader, take)?;
        sources = read;
        report = ledger.report(&reader, &sources, found(&ledger), shown_rows(arguments));
    }
    if arguments.from != SourceArgument::Logs {
        let remembered = remembered(arguments, asked.period)?;
        report.tables.extend(remembered.report().tables);
        if arguments.from == SourceArgument::Both {
            report.tables.push(remembered.differences(&ledger));
        }
    }
    Ok((report, sources.broken == 0))
}

/// What is found of all deliveries, one half on a thread of its own if there is one.
fn found(ledger: &Ledger) -> Found {
    thread::scope(|scope| {
        let find = || ledger.by_client();
        let other = thread::Builder::new().spawn_scoped(scope, find);
        let by_envelope = ledger.by_envelope();
        let by_client = match other.map(ScopedJoinHandle::join) {
            Ok(found) => found.unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => ledger.by_client(),
        };
        Found {
            by_client,
            by_envelope,
        }
    })
}

/// The attempts of the logs, judged once more by another configuration.
fn what_if(
    arguments: &ReportArguments,
    asked: &Asked,
    other: &Path,
) -> anyhow::Result<(Report, bool)> {
    let config = serve::configuration(Some(other))?;
    let mut rehearsal = Rehearsal::new(&config, Some(other))?;
    let mut what_if = WhatIf::new(asked.identity, asked.period);
    let reader = what_if.reader(&arguments.greylist_text);
    let (_, sources) = logs::read(&arguments.files, asked.now, reader, |sightings| {
        what_if.take(sightings, |replayed| {
            rehearsal.judge(attempt(replayed), replayed.at).decision
        });
    })?;
    rehearsal.finish();
    Ok((what_if.report(), sources.broken == 0))
}

fn attempt(replayed: &Replayed<'_>) -> Attempt {
    let mut attempt = Attempt::new();
    attempt.set(Field::ClientAddress, replayed.client);
    attempt.set(Field::ClientName, replayed.name);
    attempt.set(Field::Sender, replayed.sender);
    attempt.set(Field::Recipient, replayed.recipient);
    attempt
}

/// What the running server remembers.
fn remembered(arguments: &ReportArguments, period: Period) -> anyhow::Result<Remembered> {
    let mut remembered = Remembered::new(period);
    let mut control = Control::open(&arguments.control)?;
    control.each_record(Query::default(), |record| {
        remembered.add(record);
        Ok(())
    })?;
    Ok(remembered)
}

/// As the configuration says, unless the command line says otherwise.
fn identity(wanted: Option<IdentityArgument>, config: &Config) -> IdentityRules {
    let rules = identity_rules(config);
    let school = wanted.map_or(rules.school, |wanted| match wanted {
        IdentityArgument::Native => School::Native,
        IdentityArgument::Postgrey => School::Postgrey { by_host: false },
        IdentityArgument::PostgreyByHost => School::Postgrey { by_host: true },
        IdentityArgument::MilterGreylist => School::MilterGreylist,
    });
    IdentityRules { school, ..rules }
}

/// Leaves only the tables that are wanted, in the order in which they were named.
fn choose(report: &mut Report, wanted: &[String]) -> anyhow::Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = report.tables.iter().map(|table| table.name).collect();
    let find = |name: &String| -> anyhow::Result<Table> {
        let found = report.tables.iter().find(|table| table.name == name);
        let table = found.with_context(|| {
            format!(
                "there is no table \"{name}\"; there are {}",
                names.join(", ")
            )
        })?;
        Ok(table.clone())
    };
    let tables = wanted.iter().map(find).collect::<anyhow::Result<_>>()?;
    report.tables = tables;
    Ok(())
}

/// Rows of a table in a terminal or mail, and on a page, when it is not said how many.
const ROWS: usize = 20;
const PAGE_ROWS: usize = 200;

/// How many rows of a table are printed, all if 0: what programs read has all.
fn shown_rows(arguments: &ReportArguments) -> usize {
    if arguments.json || arguments.csv {
        return 0;
    }
    let usual = if arguments.html { PAGE_ROWS } else { ROWS };
    arguments.rows.unwrap_or(usual)
}

fn print(report: &Report, arguments: &ReportArguments) -> anyhow::Result<()> {
    let when = |at: Timestamp| clock::local(at, "%Y-%m-%d %H:%M:%S");
    let text = if arguments.json {
        to_json(report)
    } else if arguments.csv {
        to_csv(csv_table(report)?)
    } else if arguments.html {
        to_html(report, shown_rows(arguments), &when)
    } else {
        to_text(report, shown_rows(arguments), &when)
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever reads may have read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done.context("cannot print the report"),
    }
}

fn csv_table(report: &Report) -> anyhow::Result<&Table> {
    match report.tables.as_slice() {
        [table] => Ok(table),
        tables => match tables.iter().find(|table| table.name == "never-came-back") {
            Some(table) => Ok(table),
            None => bail!("--csv prints one table; name it with --table"),
        },
    }
}
