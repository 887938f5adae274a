//! `greylatch report` on what real MTAs write into their own logs, without a line of the greylister: who
//! came back and who did not.

use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use conformance::{
    Clock, EPISODE_START, Endpoint, Exim, EximConfiguration, EximSetup, MilterClient, Plan,
    Postfix, PostfixSetup, Sendmail, SendmailSetup, Serving, SmtpClient, free_port,
    greylatch_binary, scratch_folder, shipped, wait_for,
};
use serde_json::Value;

const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const RECIPIENT: &str = "bob@example.org";

/// Longer than an MTA takes to deliver and to write that down.
const DELIVERY_MAX: Duration = Duration::from_secs(30);

fn attempt(port: u16, sender: &str) -> Result<u16> {
    let mut client = SmtpClient::connect(CLIENT, port)?;
    let (replies, _) = client.deliver(sender, &[RECIPIENT])?;
    let reply = replies.first().context("one reply")?;
    Ok(reply.code)
}

fn report(log: &str, folder: &Path) -> Result<Value> {
    fs::write(folder.join("log"), log)?;
    let output = Command::new(greylatch_binary()?)
        .args(["report", "--json", "log"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()?;
    ensure!(output.status.success(), "{}", output.status);
    serde_json::from_slice(&output.stdout).context("it is JSON")
}

/// The senders that did not come back, and how many came back.
fn told(told: &Value) -> Option<(Vec<&str>, u64)> {
    let never = told["never-came-back"].as_array()?;
    let senders = never.iter().filter_map(|row| {
        let is_ours = row["recipient"] == RECIPIENT && row["client"] == CLIENT.to_string();
        row["sender"].as_str().filter(|_| is_ours)
    });
    let summary = told["summary"].as_array()?;
    let came = summary.iter().find(|row| row["figure"] == "came back")?;
    Some((senders.collect(), came["value"].as_u64()?))
}

/// Lines of syslog without their heads, with others.
fn with_heads(program: &str, lines: &str) -> String {
    let head = |line: &str| format!("Nov 24 12:00:00 mail {program}[1]: {line}\n");
    lines.lines().map(head).collect()
}

#[test]
fn each_mtas_own_log_tells_who_came_back() -> Result<()> {
    let folder = scratch_folder()?;
    // The MTAs ask as users that are not root.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    let mut clock = Clock::new(folder.path(), EPISODE_START)?;
    let milter = free_port()?;
    let server = Serving::start(&Plan {
        listen: &format!("milter = [\"127.0.0.1:{milter}\"]"),
        clock: Some(&clock),
        ..Plan::new(folder.path(), &folder.path().join("store"))
    })?;
    MilterClient::wait(&Endpoint::Inet((Ipv4Addr::LOCALHOST, milter).into()))?;
    let by_policy = Postfix::start(&PostfixSetup {
        policy: &format!("unix:{}/policy", folder.path().display()),
        recipients: &[RECIPIENT],
        ..PostfixSetup::default()
    })?;
    let by_milter = Postfix::start(&PostfixSetup {
        recipients: &[RECIPIENT],
        lines: &format!("smtpd_milters = inet:127.0.0.1:{milter}\n"),
        ..PostfixSetup::default()
    })?;
    let sendmail = Sendmail::start(&SendmailSetup {
        filters: &format!("INPUT_MAIL_FILTER(`greylatch', `S=inet:{milter}@127.0.0.1, T=R:4m')dnl"),
        ..SendmailSetup::default()
    })?;
    let exim = Exim::start(&EximSetup {
        configuration: EximConfiguration::Plain,
        macros: &shipped("exim/localmacros.example")?,
        acl: &shipped("exim/greylatch.acl")?,
        sockets: folder.path(),
        names: None,
        ipv6: false,
    })?;
    let ports = [
        by_policy.port(),
        by_milter.port(),
        sendmail.port(),
        exim.port(),
    ];
    for (nth, port) in ports.into_iter().enumerate() {
        for sender in ["lost", "again"] {
            let code = attempt(port, &format!("{sender}{nth}@sender.example"))?;
            ensure!([450, 451].contains(&code), "{nth} {sender}: {code}");
        }
    }
    clock.set(EPISODE_START + 60)?;
    for (nth, port) in ports.into_iter().enumerate() {
        assert_eq!(
            attempt(port, &format!("again{nth}@sender.example"))?,
            250,
            "{nth}"
        );
    }
    let log = |nth: usize| -> Result<String> {
        Ok(match nth {
            0 => by_policy.log()?,
            1 => by_milter.log()?,
            2 => with_heads("sm-mta", &sendmail.log()?),
            _ => exim.log(),
        })
    };
    for nth in 0..ports.len() {
        let lost = format!("lost{nth}@sender.example");
        let expected = Some((vec![lost.as_str()], 1));
        wait_for("the log", DELIVERY_MAX, || {
            Ok(told(&report(&log(nth)?, folder.path())?) == expected)
        })
        .with_context(|| format!("{nth}: {}", log(nth).unwrap_or_default()))?;
    }
    drop(server);
    Ok(())
}
