//! `greylatch filter-opensmtpd`: the process that OpenSMTPD starts as its filter.

use std::process::ExitCode;

use greylatch_proto::AskAt;
use greylatch_server::run_filter;

use crate::arguments::{FilterOpensmtpdArguments, PhaseArgument};

pub(crate) fn run(arguments: &FilterOpensmtpdArguments) -> anyhow::Result<ExitCode> {
    let at = match arguments.at {
        PhaseArgument::RcptTo => AskAt::RcptTo,
        PhaseArgument::Data => AskAt::Data,
    };
    run_filter(arguments.policy.clone(), at)?;
    Ok(ExitCode::SUCCESS)
}
