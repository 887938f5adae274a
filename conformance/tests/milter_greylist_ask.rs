//! `greylatch ask` of a daemon whose rules are those of a `greylist.conf`.

use anyhow::{Context, Result, ensure};
use conformance::{GreylistHost, Whose, scratch_folder};

/// Behind three lines of the host's own.
const CONF: &str = "nospf\ngreylist 60\nratelimit \"r\" rcpt 1 / 1h\n\
                    racl \"w\" whitelist rcpt w@y.example\n\
                    racl blacklist addr 192.0.2.66 msg \"No %f\"\n\
                    racl blacklist addr 192.0.2.77 ratelimit \"r\"\n\
                    racl greylist from a@x.example delay 2m autowhite 3d\n";

#[test]
fn ask_says_what_the_rules_would_say_and_by_which() -> Result<()> {
    let folder = scratch_folder()?;
    let host = GreylistHost::start(Whose::Ours, folder.path(), CONF, None)?;
    let ask = |client: &str, sender: &str, recipient: &str| -> Result<String> {
        let told = host.tool("ask", &[client, sender, recipient])?;
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        ensure!(
            !text.is_empty(),
            "{}",
            String::from_utf8_lossy(&told.stderr)
        );
        Ok(text)
    };
    let rule = |line: u32, text: &str| {
        let path = folder.path().join("greylist.conf");
        format!("\n  rule      {}:{line}: {text}\n", path.display())
    };
    let said = ask("192.0.2.9", "b@x.example", "w@y.example")?;
    ensure!(said.starts_with("passes: rule\n"), "{said}");
    let w = rule(7, "racl \"w\" whitelist rcpt w@y.example");
    ensure!(said.contains(&w), "{said}");
    let said = ask("192.0.2.66", "a@x.example", "b@y.example")?;
    ensure!(said.starts_with("is refused: rule\n"), "{said}");
    let said = ask("192.0.2.9", "a@x.example", "b@y.example")?;
    ensure!(said.starts_with("is deferred: new\n"), "{said}");
    let a = rule(10, "racl greylist from a@x.example delay 2m autowhite 3d");
    ensure!(said.contains(&a), "{said}");
    ensure!(said.contains("\n  wait      120 s: "), "{said}");
    ensure!(said.contains("remembered 3d"), "{said}");
    // No rule matches.
    let said = ask("192.0.2.9", "b@x.example", "b@y.example")?;
    ensure!(
        said.starts_with("is deferred: new\n") && !said.contains("rule "),
        "{said}"
    );
    // Nothing of all this was counted or remembered.
    for _ in 0..3 {
        let said = ask("192.0.2.77", "b@x.example", "b@y.example")?;
        ensure!(said.starts_with("is deferred: new\n"), "{said}");
    }
    let answer = host.ask("192.0.2.77", "b@x.example", "b@y.example")?;
    ensure!(answer.starts_with("y451 "), "{answer}");
    let said = ask("192.0.2.77", "b@x.example", "b@y.example")?;
    ensure!(said.starts_with("is refused: rule\n"), "{said}");
    let log = host.stop()?;
    let lines = log.lines().filter(|line| line.contains("192.0.2."));
    assert_eq!(lines.count(), 1, "{log}");
    let told = log.lines().find(|line| line.contains("192.0.2.77"));
    ensure!(
        told.context("a line")?
            .contains(" delayed for 00:01:00 (ACL )"),
        "{log}"
    );
    Ok(())
}
