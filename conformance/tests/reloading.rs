//! `greylatch reload`: its answer comes after the reload, and says how it went.

use std::fs;
use std::process::Output;

use anyhow::{Result, ensure};
use conformance::{Message, Native, scratch_folder};

const GOOD: &str = "lists.clients = [\"DIR/clients\"]\ngreylist.shipped_lists = false\n";

fn said(output: &Output) -> (Option<i32>, String, String) {
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn what_a_reload_has_read_holds_for_the_next_question() -> Result<()> {
    let folder = scratch_folder()?;
    let list = folder.path().join("clients");
    fs::write(&list, "")?;
    let server = Native::start(folder.path(), GOOD)?;
    for nth in 1..=50 {
        // Each round adds a client and asks about it at once.
        let client = format!("192.0.2.{nth}");
        let text = fs::read_to_string(&list)?;
        fs::write(&list, format!("{text}{client}\n"))?;
        let told = said(&server.tool("reload", &[])?);
        let expected = format!("reloaded: {nth} rules and list entries\n");
        ensure!(told == (Some(0), expected, String::new()), "{told:?}");
        let message = Message::of((&client, "unknown"), "a@example.com", "b@example.org");
        let action = server.ask_at(1_000, &message.with("protocol_state", "RCPT"))?;
        ensure!(action == "DUNNO", "{action}");
    }
    Ok(())
}

#[test]
fn a_mistake_keeps_the_old_rules_and_is_told() -> Result<()> {
    let folder = scratch_folder()?;
    let (list, file) = (
        folder.path().join("clients"),
        folder.path().join("greylatch.toml"),
    );
    fs::write(&list, "192.0.2.7\n")?;
    let server = Native::start(folder.path(), GOOD)?;
    let configuration = fs::read_to_string(&file)?;

    fs::write(&list, "192.0.2.8\n/(/\n")?;
    let (code, out, error) = said(&server.tool("reload", &[])?);
    ensure!((code, out.as_str()) == (Some(1), ""), "{code:?} {out}");
    ensure!(error.contains(&list.display().to_string()), "{error}");
    ensure!(
        error
            .ends_with("greylatch: the old rules stay: the lists, rules or tokens have mistakes\n"),
        "{error}"
    );

    fs::write(&file, format!("{configuration}greylist.dealy = \"5m\"\n"))?;
    let (code, _, error) = said(&server.tool("reload", &[])?);
    ensure!(code == Some(1), "{code:?}");
    ensure!(
        error
            .starts_with("greylatch: the old rules stay: the configuration cannot be read again: "),
        "{error}"
    );
    ensure!(error.contains("unknown field `dealy`"), "{error}");

    for (client, expected) in [("192.0.2.7", "DUNNO"), ("192.0.2.8", "DEFER_IF_PERMIT")] {
        let message = Message::of((client, "unknown"), "a@example.com", "b@example.org");
        let action = server.ask_at(1_000, &message.with("protocol_state", "RCPT"))?;
        ensure!(action.starts_with(expected), "{client}: {action}");
    }
    Ok(())
}
