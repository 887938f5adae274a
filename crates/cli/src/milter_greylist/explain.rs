//! `greylatch check --milter-greylist`: a `greylist.conf`, statement by statement.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use greylatch_rules::{Fate, GreylistConf, Source, Statement};

use super::errors;
use crate::{check, exit};

/// Says what became of each statement of the file, and what is wrong in it.
pub(crate) fn explain(path: &Path) -> anyhow::Result<ExitCode> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let source = Source {
        path: path.display().to_string(),
        text,
    };
    let (conf, diagnostics) = GreylistConf::read(&source);
    let color = io::stdout().is_terminal();
    let mut out = io::stdout().lock();
    for diagnostic in &diagnostics {
        writeln!(out, "{}", check::draw_line(diagnostic, color))?;
    }
    for statement in &conf.statements {
        tell(&mut out, statement)?;
    }
    for note in conf.notes() {
        writeln!(out, "note: {note}")?;
    }
    Ok(match errors(&diagnostics) {
        Some(_) => exit::CONFIGURATION.into(),
        None => ExitCode::SUCCESS,
    })
}

fn tell(out: &mut impl Write, statement: &Statement) -> io::Result<()> {
    let (word, why) = match &statement.fate {
        Fate::Active => ("active", None),
        Fate::NoEffect(why) => ("no effect", Some(why)),
        Fate::Dropped(why) => ("LEFT OUT", Some(why)),
        Fate::Mistaken => ("MISTAKEN", None),
    };
    writeln!(out, "{:>5}  {word:<9}  {}", statement.line, statement.text)?;
    let remarks = why.into_iter().chain(&statement.differences);
    for remark in remarks {
        writeln!(out, "{:18}{remark}", "")?;
    }
    Ok(())
}
