//! `greylatch entries`: what is remembered, as a table, as JSON lines, and back.

mod foreign;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::process::ExitCode;

use anyhow::{Context, bail};
use comfy_table::{Table, presets};
use greylatch_core::{Answer, Query, Record, Request, Standing};
use greylatch_proto::{record_from_json, record_to_json};
use greylatch_server::clock;
use greylatch_wording::escaped;

use crate::arguments::{
    EntriesAction, EntriesArguments, ForeignArgument, Selection, StandingArgument,
};
use crate::control::Control;

/// Records sent to the server at once, and bytes of the lines they are read from. A request holds
/// a record in the same words, and the server takes one of up to 1 MiB.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 256 << 10;

pub(crate) fn run(arguments: &EntriesArguments) -> anyhow::Result<ExitCode> {
    let mut control = Control::open(&arguments.control)?;
    match &arguments.action {
        EntriesAction::List(selection) => list(&mut control, selection),
        EntriesAction::Export(selection) => export(&mut control, selection),
        EntriesAction::Remove(selection) => remove(&mut control, selection),
        EntriesAction::Import { from, file } => match file {
            Some(path) => {
                let file =
                    File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
                import_from(&mut control, *from, BufReader::new(file))
            }
            None => import_from(&mut control, *from, io::stdin().lock()),
        },
    }
}

fn query(selection: &Selection) -> Query {
    Query {
        matching: selection
            .matching
            .as_ref()
            .map(|text| text.clone().into_bytes()),
        standing: selection.standing.map(|standing| match standing {
            StandingArgument::Waiting => Standing::Waiting,
            StandingArgument::Proven => Standing::Proven,
            StandingArgument::Allowed => Standing::Allowed,
            StandingArgument::Refused => Standing::Refused,
        }),
        clients: selection.clients,
        after: None,
        limit: 0,
    }
}

fn list(control: &mut Control, selection: &Selection) -> anyhow::Result<ExitCode> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(if selection.clients {
        vec!["CLIENT", "PASSES", "LAST"]
    } else {
        vec!["CLIENT", "SENDER", "RECIPIENT", "STANDING", "FIRST", "LAST"]
    });
    let count = control.each_record(query(selection), |record| {
        table.add_row(row(record));
        Ok(())
    })?;
    if count == 0 {
        return Ok(crate::exit::NO.into());
    }
    writeln!(io::stdout(), "{table}")?;
    Ok(ExitCode::SUCCESS)
}

fn row(record: &Record) -> Vec<String> {
    let time = |at| clock::local(at, "%Y-%m-%d %H:%M:%S");
    match record {
        Record::Triplet {
            client,
            sender,
            recipient,
            entry,
            ..
        } => vec![
            escaped(client),
            if sender.is_empty() {
                "<>".into()
            } else {
                escaped(sender)
            },
            escaped(recipient),
            entry.standing.word().into(),
            time(entry.first),
            time(entry.last),
        ],
        Record::Client {
            address, record, ..
        } => {
            vec![
                escaped(address),
                record.passes.to_string(),
                time(record.last),
            ]
        }
    }
}

fn export(control: &mut Control, selection: &Selection) -> anyhow::Result<ExitCode> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    control.each_record(query(selection), |record| {
        Ok(writeln!(out, "{}", record_to_json(record))?)
    })?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn remove(control: &mut Control, selection: &Selection) -> anyhow::Result<ExitCode> {
    if selection.matching.is_none() && selection.standing.is_none() && !selection.all {
        bail!("name what to remove: a text, --standing, or --all");
    }
    match control.ask(&Request::Remove(query(selection)))? {
        Answer::Done(count) => {
            println!("removed: {count}");
            Ok(if count == 0 {
                crate::exit::NO.into()
            } else {
                ExitCode::SUCCESS
            })
        }
        other => bail!("the server gave an answer of another kind: {other:?}"),
    }
}

fn import_from(
    control: &mut Control,
    from: Option<ForeignArgument>,
    lines: impl BufRead,
) -> anyhow::Result<ExitCode> {
    match from {
        Some(ForeignArgument::MilterGreylist) => foreign::import(control, lines),
        None => import(control, lines),
    }
}

fn import(control: &mut Control, lines: impl BufRead) -> anyhow::Result<ExitCode> {
    let mut batch = Vec::with_capacity(BATCH);
    let (mut stored, mut refused, mut bytes) = (0, 0, 0);
    for (nth, line) in lines.lines().enumerate() {
        let line = line.with_context(|| format!("line {} cannot be read", nth + 1))?;
        if line.trim().is_empty() {
            continue;
        }
        match record_from_json(&line) {
            Ok(record) => {
                // The batch goes first when this one would make it too long.
                if bytes + line.len() > BATCH_BYTES && !batch.is_empty() {
                    stored += put(control, std::mem::take(&mut batch))?;
                    bytes = 0;
                }
                bytes += line.len();
                batch.push(record);
            }
            Err(error) => {
                refused += 1;
                writeln!(io::stderr(), "line {}: {error}", nth + 1)?;
            }
        }
        if batch.len() >= BATCH {
            stored += put(control, std::mem::take(&mut batch))?;
            bytes = 0;
        }
    }
    stored += put(control, batch)?;
    println!("imported: {stored}, refused: {refused}");
    Ok(if refused > 0 {
        crate::exit::NO.into()
    } else {
        ExitCode::SUCCESS
    })
}

fn put(control: &mut Control, batch: Vec<Record>) -> anyhow::Result<u64> {
    match control.ask(&Request::Put(batch))? {
        Answer::Done(count) => Ok(count),
        other => bail!("the server gave an answer of another kind: {other:?}"),
    }
}
