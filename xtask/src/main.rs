//! `cargo xtask`: what a developer of Greylatch runs beside cargo itself.
//!
//! One file per command. Nothing here is part of the program that we ship.

mod arrows;
mod bench;
mod ci;
mod docs;
mod peers;
mod shell;
mod sim;
mod source;
mod test;
mod tidy;
mod workspace;

use std::env;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  arrows   check which crate knows which, and who may say what
  bench    measure our server beside the real Postgrey and a reference (bench --help)
  bench-report
           measure our reports beside the real postgreyreport on a large log
  ci       all that is checked before a change lands, in stages: the peers, fmt,
           clippy, arrows, tidy, docs, deny, the build, then the tests by kind
  docs     make the manual's pages of the configuration; with --check see that they are
           fresh, and that each option has its test and its reason
  peers    fetch and unpack the real programs that the tests talk to
  sim      replay a simulation that failed: sim --seed N
  test     fetch the peers, build the program, run all tests
  tidy     check sizes, names, what is left behind and what is public for nobody
";

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    match words {
        ["arrows"] => arrows::run(&Workspace::load()?),
        ["bench", options @ ..] => bench::run(&Workspace::load()?, options),
        ["bench-reference", places @ ..] => bench::run_reference(places),
        ["bench-report", options @ ..] => bench::reading::run(&Workspace::load()?, options),
        ["ci"] => ci::run(&Workspace::load()?),
        ["docs"] => docs::write(&Workspace::load()?),
        ["docs", "--check"] => docs::check(&Workspace::load()?),
        ["peers"] => peers::run(&Workspace::load()?),
        ["sim", "--seed", seed] => sim::run(&Workspace::load()?, seed),
        ["test"] => test::run(&Workspace::load()?),
        ["tidy"] => tidy::run(&Workspace::load()?),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => bail!("unknown command {:?}\n\n{USAGE}", words.join(" ")),
    }
}
