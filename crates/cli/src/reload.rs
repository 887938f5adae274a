//! `greylatch reload`: the running server reads its lists and rules again, and says how that went.

use std::process::ExitCode;

use anyhow::bail;
use greylatch_core::{Answer, Request};
use greylatch_wording::escaped;

use crate::arguments::ControlArguments;
use crate::control::Control;

pub(crate) fn run(arguments: &ControlArguments) -> anyhow::Result<ExitCode> {
    let reloaded = match Control::open(arguments)?.ask(&Request::Reload)? {
        Answer::Reloaded(reloaded) => reloaded,
        other => bail!("the server gave an answer of another kind: {other:?}"),
    };
    for line in reloaded.remarks.iter().flat_map(|remark| remark.lines()) {
        eprintln!("{}", escaped(line.as_bytes()));
    }
    match &reloaded.kept {
        Some(why) => {
            for line in format!("greylatch: the old rules stay: {why}").lines() {
                eprintln!("{}", escaped(line.as_bytes()));
            }
            Ok(crate::exit::NO.into())
        }
        None => {
            println!("reloaded: {} rules and list entries", reloaded.rules);
            Ok(ExitCode::SUCCESS)
        }
    }
}
