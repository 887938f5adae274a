//! The program `greylatch`: which of its names was called, and with what exit code it ends.

mod ahead;
mod arguments;
mod ask;
mod check;
mod control;
mod detach;
mod entries;
mod filter_opensmtpd;
mod getopt_long;
mod milter_greylist;
mod postgrey;
mod postgreyreport;
mod refusal;
mod reload;
mod report;
mod serve;
mod status;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::arguments::{Arguments, Command, Generate};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    if let Some(rest) = personality("postgrey", &words) {
        return postgrey::run(rest);
    }
    if let Some(rest) = personality("postgreyreport", &words) {
        return postgreyreport::run(rest);
    }
    if let Some(rest) = personality("milter-greylist", &words) {
        return milter_greylist::run(rest);
    }
    let arguments = match Arguments::try_parse_from(&words) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nobody is left to tell when standard error is closed.
            let _ = error.print();
            return if error.use_stderr() {
                exit::USAGE.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let done = match arguments.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Ask(arguments) => ask::run(&arguments),
        Command::Entries(arguments) => entries::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Reload(arguments) => reload::run(&arguments),
        Command::FilterOpensmtpd(arguments) => filter_opensmtpd::run(&arguments),
        Command::Generate(what) => generate(&what),
        Command::Postgrey(arguments) => return postgrey::run(&arguments.words),
        Command::Postgreyreport(arguments) => return postgreyreport::run(&arguments.words),
        Command::MilterGreylist(arguments) => return milter_greylist::run(&arguments.words),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(io::stderr(), "greylatch: {error:#}");
            exit::of(&error).into()
        }
    }
}

/// The words behind the name of a personality, when the program was called by it.
fn personality<'a>(name: &str, words: &'a [String]) -> Option<&'a [String]> {
    let (program, rest) = words.split_first()?;
    let called = Path::new(program).file_name()?.to_string_lossy();
    if called == name {
        return Some(rest);
    }
    let (first, rest) = rest.split_first()?;
    (first == name).then_some(rest)
}

fn generate(what: &Generate) -> anyhow::Result<ExitCode> {
    let mut command = Arguments::command();
    match what {
        Generate::Completions { shell } => {
            clap_complete::generate(*shell, &mut command, "greylatch", &mut io::stdout());
        }
        Generate::Man { directory } => clap_mangen::generate_to(command, directory)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Exit codes, as sysexits.h numbers them.
mod exit {
    use greylatch_server::StartError;

    /// The answer is no.
    pub(crate) const NO: u8 = 1;
    /// The command line is wrong.
    pub(crate) const USAGE: u8 = 64;
    /// The daemon, or something it needs, is not there.
    pub(crate) const UNAVAILABLE: u8 = 69;
    /// The configuration is wrong.
    pub(crate) const CONFIGURATION: u8 = 78;

    /// The code of an error that ends the program.
    pub(crate) fn of(error: &anyhow::Error) -> u8 {
        match error.downcast_ref::<StartError>() {
            Some(StartError::Configuration(_) | StartError::Privacy(_) | StartError::Web(_)) => {
                CONFIGURATION
            }
            _ if error.is::<crate::serve::ConfigurationShown>() => CONFIGURATION,
            _ => UNAVAILABLE,
        }
    }
}
