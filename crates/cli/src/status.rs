//! `greylatch status`: how the running server is.

use std::process::ExitCode;

use anyhow::bail;
use greylatch_core::{Answer, Request, Seconds, Status};
use greylatch_server::clock;
use serde_json::json;

use crate::arguments::StatusArguments;
use crate::control::Control;

pub(crate) fn run(arguments: &StatusArguments) -> anyhow::Result<ExitCode> {
    let answer = Control::open(&arguments.control)?.ask(&Request::Status)?;
    let Answer::Status(status) = answer else {
        bail!("the server gave an answer of another kind: {answer:?}");
    };
    if arguments.json {
        println!("{}", as_json(&status));
    } else {
        print!("{}", in_words(&status));
    }
    Ok(ExitCode::SUCCESS)
}

fn in_words(status: &Status) -> String {
    let mut text = format!("greylatch {}", status.version);
    if status.learning {
        text.push_str(" (learning: everything passes)");
    }
    let uptime = Seconds(status.now.since(status.started).0.max(0));
    text.push_str(&format!(
        "\nrunning since   {} ({uptime})\nconnections     {}\nstore           {}\n",
        clock::local(status.started, "%Y-%m-%d %H:%M:%S"),
        status.connections,
        status.store,
    ));
    if let Some(census) = status.census {
        text.push_str(&format!(
            "  waiting       {}\n  proven        {}\n  set by hand   {}\n  clients       {}\n  on disk       {} MiB\n",
            census.waiting,
            census.proven,
            census.by_hand,
            census.clients,
            census.disk_bytes >> 20,
        ));
    }
    text.push_str("verdicts\n");
    for (reason, count) in status.verdicts.iter().filter(|(_, count)| *count > 0) {
        text.push_str(&format!("  {:<18}{count}\n", reason.word()));
    }
    if status.http_turned_away > 0 {
        text.push_str(&format!("HTTP turned away  {}\n", status.http_turned_away));
    }
    if status.log_dropped > 0 {
        text.push_str(&format!("log lines dropped {}\n", status.log_dropped));
    }
    text
}

fn as_json(status: &Status) -> serde_json::Value {
    let verdicts: serde_json::Map<String, serde_json::Value> = status
        .verdicts
        .iter()
        .map(|(reason, count)| (reason.word().to_owned(), json!(count)))
        .collect();
    json!({
        "version": status.version,
        "started": status.started.0,
        "now": status.now.0,
        "store": status.store,
        "learning": status.learning,
        "connections": status.connections,
        "log_dropped": status.log_dropped,
        "http_turned_away": status.http_turned_away,
        "census": status.census.map(|census| json!({
            "waiting": census.waiting,
            "proven": census.proven,
            "by_hand": census.by_hand,
            "clients": census.clients,
            "disk_bytes": census.disk_bytes,
        })),
        "verdicts": verdicts,
    })
}

#[cfg(test)]
mod tests {
    use greylatch_core::{Census, Reason, Timestamp};

    use super::*;

    #[test]
    fn status_is_told_in_words() {
        let status = Status {
            version: "1.0".into(),
            started: Timestamp(0),
            now: Timestamp(7_200),
            store: "embedded:/x".into(),
            census: Some(Census {
                waiting: 3,
                proven: 2,
                by_hand: 0,
                clients: 1,
                disk_bytes: 5 << 20,
            }),
            verdicts: vec![(Reason::New, 3), (Reason::Known, 0)],
            log_dropped: 0,
            http_turned_away: 7,
            connections: 4,
            learning: false,
        };
        let text = in_words(&status);
        assert!(
            text.contains(
                "(2h)\nconnections     4\nstore           embedded:/x\n  waiting       3\n"
            ),
            "{text}"
        );
        assert!(
            text.ends_with("verdicts\n  new               3\nHTTP turned away  7\n"),
            "{text}"
        );
    }
}
