//! `greylatch reload`: the running server reads its lists and rules again.

use std::process::ExitCode;

use anyhow::bail;
use greylatch_core::{Answer, Request};

use crate::arguments::ControlArguments;
use crate::control::Control;

pub(crate) fn run(arguments: &ControlArguments) -> anyhow::Result<ExitCode> {
    match Control::open(arguments)?.ask(&Request::Reload)? {
        Answer::Done(rules) => {
            println!("reloaded: {rules} rules and list entries");
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("the server gave an answer of another kind: {other:?}"),
    }
}
