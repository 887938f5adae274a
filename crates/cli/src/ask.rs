//! `greylatch ask`: what would become of one attempt, and why; of the running server, or dry.

use std::process::ExitCode;

use anyhow::{bail, ensure};
use greylatch_core::{Answer, Attempt, Explanation, Field, Outcome, Request, Seconds};
use greylatch_server::{clock, look_dry};
use greylatch_wording::{escaped, explain};
use serde_json::json;

use crate::arguments::AskArguments;
use crate::control::Control;
use crate::serve;

pub(crate) fn run(arguments: &AskArguments) -> anyhow::Result<ExitCode> {
    let attempt = attempt(arguments);
    let later = arguments.at.unwrap_or(Seconds(0));
    let explanation = if arguments.dry {
        let config = serve::configuration(arguments.control.config.as_deref())?;
        look_dry(
            &config,
            arguments.control.config.as_deref(),
            &attempt,
            arguments.at,
        )?
    } else {
        let attempt = attempt.into();
        match Control::open(&arguments.control)?.ask(&Request::Look { attempt, later })? {
            Answer::Explained(explanation) => *explanation,
            other => bail!("the server gave an answer of another kind: {other:?}"),
        }
    };
    ensure!(
        !explanation.triplet.is_empty() || explanation.decision.outcome != Outcome::Defer,
        "the client's address cannot be read: {}",
        arguments.client
    );
    if arguments.json {
        println!("{}", as_json(&explanation));
    } else {
        let mut text = Vec::new();
        explain(&mut text, &explanation, &|at| {
            clock::local(at, "%Y-%m-%d %H:%M:%S")
        });
        print!("{}", String::from_utf8_lossy(&text));
    }
    Ok(match explanation.decision.outcome {
        Outcome::Pass => ExitCode::SUCCESS,
        Outcome::Defer | Outcome::Refuse => crate::exit::NO.into(),
    })
}

fn attempt(arguments: &AskArguments) -> Attempt {
    let sender = if arguments.sender == "<>" {
        ""
    } else {
        &arguments.sender
    };
    let mut attempt = Attempt::new();
    attempt.set(Field::ClientAddress, arguments.client.as_bytes());
    attempt.set(Field::ClientName, arguments.name.as_bytes());
    attempt.set(Field::Helo, arguments.helo.as_bytes());
    attempt.set(Field::Sender, sender.as_bytes());
    attempt.set(Field::Recipient, arguments.recipient.as_bytes());
    attempt.set(Field::Login, arguments.login.as_bytes());
    attempt
}

fn as_json(explanation: &Explanation) -> serde_json::Value {
    let decision = &explanation.decision;
    json!({
        "verdict": match decision.outcome {
            Outcome::Pass => "pass",
            Outcome::Defer => "defer",
            Outcome::Refuse => "refuse",
        },
        "reason": decision.reason.word(),
        "rule": explanation.rule,
        "triplet": escaped(&explanation.triplet),
        "wait_s": decision.wait.0,
        "age_s": decision.age.0,
        "at": explanation.at.0,
        "entry": explanation.memory.entry.map(|entry| json!({
            "first": entry.first.0,
            "last": entry.last.0,
            "due": entry.due.0,
            "expires": entry.expires.0,
        })),
        "client_passes": explanation.memory.client.map_or(0, |client| client.passes),
    })
}
