//! Running the real postgreyreport, or ours under its name, and comparing what they print.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::enclose::with_etc;
use crate::greylister::{own_user_options, perl_command};
use crate::peers::greylatch_binary;

/// Which program reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reporter {
    /// The real postgreyreport.
    Original,
    /// Ours, called as `greylatch postgreyreport`.
    Greylatch,
}

/// What a program has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// Lines of standard output, those of one address sorted.
    pub lines: Vec<String>,
    /// Lines of standard error, without the places in a script and without our note.
    pub complaints: Vec<String>,
    /// What ours notes at the end about those that the original may be wrong about.
    pub note: Option<String>,
    /// The exit code; none when it was killed.
    pub code: Option<i32>,
}

/// What is reported on.
#[derive(Debug, Clone, Copy)]
pub struct ReportCase<'a> {
    /// The log, read from standard input.
    pub log: &'a Path,
    /// Where the database is.
    pub dbdir: &'a Path,
    /// Where the program runs.
    pub folder: &'a Path,
    /// Files in place of those of the system's `/etc`.
    pub etc: Option<&'a Path>,
}

impl Reporter {
    /// Reports with these options.
    ///
    /// # Errors
    /// When the program is not there.
    pub fn report(self, case: &ReportCase, options: &[&str]) -> Result<Reported> {
        let mut command = match self {
            Self::Original => perl_command("usr/bin/postgreyreport", &[])?,
            Self::Greylatch => {
                let mut command = Command::new(greylatch_binary()?);
                command.arg("postgreyreport");
                command
            }
        };
        let [user, _] = own_user_options()?;
        command
            .arg(user)
            .arg(format!("--dbdir={}", case.dbdir.display()))
            .args(options)
            .env("LC_ALL", "C");
        if let Some(etc) = case.etc {
            command = with_etc(etc, &command);
        }
        command
            .current_dir(case.folder)
            .stdin(File::open(case.log).with_context(|| case.log.display().to_string())?)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let output = command.output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let complaints = text(&output.stderr);
        let mut complaints: Vec<String> = complaints.lines().map(without_place).collect();
        let is_note = |line: &mut String| self == Self::Greylatch && line.starts_with("NOTE: ");
        let note = complaints.pop_if(is_note);
        Ok(Reported {
            lines: sorted(&text(&output.stdout)),
            complaints,
            note,
            code: output.status.code(),
        })
    }
}

impl Reported {
    /// What this one says and `other` does not, and the other way round: a few lines for people.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let seen = |one: &Self| (one.lines.clone(), one.complaints.clone(), one.code);
        if seen(self) == seen(other) {
            return None;
        }
        let lines = |one: &Self, two: &Self| {
            let two: BTreeSet<&String> = two.lines.iter().collect();
            let only = one.lines.iter().filter(|line| !two.contains(line));
            only.take(5).cloned().collect::<Vec<String>>()
        };
        Some(format!(
            "{} and {} lines, codes {:?} and {:?}, complaints {:?} and {:?}\n  only left: {:#?}\n  only \
             right: {:#?}",
            self.lines.len(),
            other.lines.len(),
            self.code,
            other.code,
            self.complaints,
            other.complaints,
            lines(self, other),
            lines(other, self)
        ))
    }
}

/// The lines, each run of lines of one address sorted: their order is chance in the original. The
/// lines of a group have no address of their own and are such a run too.
fn sorted(text: &str) -> Vec<String> {
    let address = |line: &str| {
        let mut words = line.split([' ', '\t']);
        words.find_map(groups)
    };
    let lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let mut sorted = Vec::with_capacity(lines.len());
    for run in lines.chunk_by(|one, next| address(one) == address(next)) {
        let mut run = run.to_vec();
        run.sort();
        sorted.extend(run);
    }
    sorted
}

/// The four numbers of an address, which may begin with zeros.
fn groups(word: &str) -> Option<[u16; 4]> {
    let numbers = word.split('.').map(|group| group.parse().ok());
    let numbers: Vec<u16> = numbers.collect::<Option<_>>()?;
    numbers.try_into().ok()
}

/// A complaint of Perl without ` at SCRIPT line N, <> line M.`.
fn without_place(line: &str) -> String {
    let place = line.find(" at /").filter(|_| line.contains(" line "));
    line[..place.unwrap_or(line.len())].to_owned()
}
