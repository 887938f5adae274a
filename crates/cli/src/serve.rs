//! `greylatch serve`: the server under its own name.

use std::fmt;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use greylatch_server::{Config, Endpoint, Launch, store_url};

use crate::arguments::ServeArguments;
use crate::check;

pub(crate) fn run(arguments: &ServeArguments) -> anyhow::Result<ExitCode> {
    let config = configuration(arguments.config.as_deref())?;
    if arguments.config.is_none() {
        hint(&config);
    }
    greylatch_server::run(Launch {
        config,
        config_path: arguments.config.clone(),
        personality: None,
        pidfile: None,
        ready: None,
        last_words: None,
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The configuration of a file, or the defaults.
pub(crate) fn configuration(path: Option<&Path>) -> anyhow::Result<Config> {
    let Some(path) = path else {
        return Ok(Config::default());
    };
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Config::parse(path, &text).map_err(|error| {
        let color = io::stderr().is_terminal();
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(io::stderr(), "{}", check::draw_config(&error, color));
        ConfigurationShown {
            problems: error.problems.len(),
        }
        .into()
    })
}

/// The configuration has problems, and they have been shown.
#[derive(Debug)]
pub(crate) struct ConfigurationShown {
    problems: usize,
}

impl fmt::Display for ConfigurationShown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.problems == 1 {
            "problem"
        } else {
            "problems"
        };
        write!(
            f,
            "the configuration has {} {noun}, shown above",
            self.problems
        )
    }
}

impl std::error::Error for ConfigurationShown {}

/// What a first-time user needs to know, on standard error before the log begins.
fn hint(config: &Config) {
    let place = config
        .listen
        .policy
        .first()
        .map(|listener| match &listener.at {
            Endpoint::Tcp { .. } => format!("inet:{}", listener.at),
            Endpoint::Unix(path) => format!("unix:{}", path.display()),
        });
    let text = format!(
        "greylatch: no configuration file, so the defaults hold; entries are kept in {}\n\
         greylatch: put this into main.cf, behind reject_unauth_destination in smtpd_recipient_restrictions:\n\
         \n    check_policy_service {{ {}, timeout=5s, default_action=DUNNO }}\n\n",
        store_url(config),
        place.unwrap_or_default(),
    );
    // Nobody is left to tell when standard error is closed.
    let _ = write!(io::stderr(), "{text}");
}
