//! The main job with a real Postfix: a new sender waits, a retry passes with
//! one header, the exempt pass at once, and two hosts share one memory.

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use conformance::{
    Clock, Daemon, Door, EPISODE_START, Endpoint, Greylister, PolicyClient, Postfix, PostfixSetup,
    Program, Setting, SmtpClient, SmtpReply, free_port, greylatch_binary, scratch_folder, wait_for,
};

const THREE: [&str; 3] = ["ann@example.org", "bob@example.org", "cid@example.org"];
const RECIPIENTS: [&str; 5] = [
    "ann@example.org",
    "bob@example.org",
    "cid@example.org",
    "dan@example.org",
    "postmaster@example.org",
];
const NEWCOMER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// On the list of exempt clients; in another /24 than the newcomer.
const EXEMPT: Ipv4Addr = Ipv4Addr::new(127, 0, 9, 9);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 3, 3);

#[test]
fn postgrey_does_the_main_job() -> Result<()> {
    under_the_name_of_postgrey(Program::Postgrey)
}

#[test]
fn ours_does_the_main_job_as_postgrey() -> Result<()> {
    under_the_name_of_postgrey(Program::Greylatch)
}

#[test]
fn ours_does_the_main_job_under_its_own_name() -> Result<()> {
    let folder = scratch_folder()?;
    let mut clock = Clock::new(folder.path(), EPISODE_START)?;
    let (server, policy) = serve(folder.path(), &clock)?;
    let seen = main_job(&policy, &mut clock, 60)?;
    for deferred in &seen.deferred {
        ensure!(
            deferred.text.contains("Greylisted"),
            "deferred with {deferred:?}"
        );
    }
    two_hosts(&policy, &mut clock, 60)?;
    ensure!(server.terminate()?.success());
    Ok(())
}

#[test]
fn mail_passes_when_the_greylister_is_gone() -> Result<()> {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    let postfix = start_postfix(nobody, None)?;
    let mut client = SmtpClient::connect(NEWCOMER, postfix.port())?;
    let (replies, end) = client.deliver("new@sender.example", &THREE[..1])?;
    assert_eq!(codes(&replies), [250]);
    assert_eq!(end.map(|reply| reply.code), Some(250));
    Ok(())
}

/// What the main job showed.
struct Seen {
    deferred: Vec<SmtpReply>,
    delivered: String,
}

fn under_the_name_of_postgrey(program: Program) -> Result<()> {
    let folder = scratch_folder()?;
    let mut clock = Clock::new(folder.path(), EPISODE_START)?;
    let server = Greylister::start(
        program,
        &Setting {
            folder: folder.path(),
            door: Door::Inet,
            options: &postgrey_options(folder.path())?,
            clock: Some(&clock),
        },
    )?;
    let Endpoint::Inet(policy) = *server.endpoint() else {
        anyhow::bail!("it was started with a port");
    };
    let seen = main_job(&policy, &mut clock, 300)?;
    for (deferred, recipient) in seen.deferred.iter().zip(THREE) {
        let text = format!(
            "4.2.0 <{recipient}>: Recipient address rejected: Greylisted, \
             see http://postgrey.schweikert.ch/help/example.org.html"
        );
        assert_eq!(deferred, &SmtpReply { code: 450, text });
    }
    let header = "\nX-Greylist: delayed 300 seconds by postgrey-1.37 at mx.example.org; \
                  Tue, 24 Nov 2026 12:05:00 UTC\n";
    ensure!(seen.delivered.contains(header), "{}", seen.delivered);
    two_hosts(&policy, &mut clock, 300)?;
    ensure!(server.stop()?.success());
    Ok(())
}

/// A newcomer waits and passes, others pass at once.
fn main_job(policy: &SocketAddr, clock: &mut Clock, delay: i64) -> Result<Seen> {
    let postfix = start_postfix(*policy, None)?;
    let start = clock.now();
    let mut client = SmtpClient::connect(NEWCOMER, postfix.port())?;
    let (deferred, end) = client.deliver("new@sender.example", &THREE)?;
    ensure!(codes(&deferred) == [450; 3], "{deferred:?}");
    ensure!(end.is_none());
    clock.set(start + delay - 1)?;
    let (early, _) = client.deliver("new@sender.example", &THREE)?;
    ensure!(codes(&early) == [450; 3], "{early:?}");
    clock.set(start + delay)?;
    let (passed, end) = client.deliver("new@sender.example", &THREE)?;
    ensure!(codes(&passed) == [250; 3], "{passed:?}");
    ensure!(end.is_some_and(|reply| reply.code == 250));
    let mut delivered = String::new();
    for recipient in THREE {
        delivered = postfix.mailbox(recipient, 1)?;
        let headers = delivered.matches("\nX-Greylist: ").count();
        ensure!(headers == 1, "{headers} headers: {delivered}");
    }
    // Known now: no header any more, and no waiting.
    let (known, _) = client.deliver("new@sender.example", &THREE)?;
    ensure!(codes(&known) == [250; 3], "{known:?}");
    let again = postfix.mailbox(THREE[0], 2)?;
    ensure!(again.matches("\nX-Greylist: ").count() == 1, "{again}");

    let mut exempt = SmtpClient::connect(EXEMPT, postfix.port())?;
    let (replies, _) = exempt.deliver("other@sender.example", &["dan@example.org"])?;
    ensure!(codes(&replies) == [250], "{replies:?}");
    let mut other = SmtpClient::connect(OTHER, postfix.port())?;
    let (replies, _) = other.deliver(
        "other@sender.example",
        &["postmaster@example.org", "dan@example.org"],
    )?;
    ensure!(codes(&replies) == [250, 450], "{replies:?}");
    let exempted = postfix.mailbox("dan@example.org", 1)?;
    ensure!(!exempted.contains("X-Greylist"), "{exempted}");
    Ok(Seen {
        deferred,
        delivered,
    })
}

/// A newcomer at the backup waits, and passes after the delay at either host.
fn two_hosts(policy: &SocketAddr, clock: &mut Clock, delay: i64) -> Result<()> {
    let primary = start_postfix(*policy, None)?;
    let backup = start_postfix(*policy, Some(primary.port()))?;
    let start = clock.now();
    let mut client = SmtpClient::connect(NEWCOMER, backup.port())?;
    let to = ["ann@example.org"];
    let (first, _) = client.deliver("backup@sender.example", &to)?;
    ensure!(codes(&first) == [450], "{first:?}");
    let mut elsewhere = SmtpClient::connect(NEWCOMER, primary.port())?;
    let (early, _) = elsewhere.deliver("backup@sender.example", &to)?;
    ensure!(codes(&early) == [450], "{early:?}");
    clock.set(start + delay)?;
    let (passed, _) = client.deliver("backup@sender.example", &to)?;
    ensure!(codes(&passed) == [250], "{passed:?}");
    // The primary takes it from the backup, whose host it trusts.
    let relayed = primary.mailbox(to[0], 1)?;
    ensure!(relayed.matches("\nX-Greylist: ").count() == 1, "{relayed}");
    let (known, _) = elsewhere.deliver("backup@sender.example", &to)?;
    ensure!(codes(&known) == [250], "{known:?}");
    Ok(())
}

fn start_postfix(policy: SocketAddr, primary: Option<u16>) -> Result<Postfix> {
    Postfix::start(&PostfixSetup {
        policy: &format!("inet:{policy}"),
        recipients: &RECIPIENTS,
        primary,
        ..PostfixSetup::default()
    })
}

fn codes(replies: &[SmtpReply]) -> Vec<u16> {
    replies.iter().map(|reply| reply.code).collect()
}

fn postgrey_options(folder: &Path) -> Result<Vec<OsString>> {
    let clients = folder.join("clients");
    let recipients = folder.join("recipients");
    fs::write(&clients, format!("{EXEMPT}\n"))?;
    fs::write(&recipients, "postmaster@\nabuse@\n")?;
    Ok(vec![
        format!("--whitelist-clients={}", clients.display()).into(),
        format!("--whitelist-recipients={}", recipients.display()).into(),
        "--hostname=mx.example.org".into(),
    ])
}

/// Starts `greylatch serve` with the manual's configuration, the clients of
/// this test exempt as there.
fn serve(folder: &Path, clock: &Clock) -> Result<(Daemon, SocketAddr)> {
    let policy = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    let shown = folder.display();
    let configuration = folder.join("greylatch.toml");
    fs::write(
        &configuration,
        format!(
            "[listen]\n\
             policy = [\"{policy}\"]\n\
             control = \"unix:{shown}/control\"\n\
             [store]\n\
             url = \"embedded:{shown}/store\"\n\
             [log]\n\
             to = \"stderr\"\n\
             [[rule]]\n\
             recipient = [\"postmaster@\", \"abuse@\"]\n\
             then = \"exempt\"\n\
             [[rule]]\n\
             client = [\"{EXEMPT}\"]\n\
             then = \"exempt\"\n"
        ),
    )?;
    let mut command = Command::new(greylatch_binary()?);
    command.arg("serve").arg("--config").arg(&configuration);
    clock.rule(&mut command)?;
    let mut daemon = Daemon::start(command, &folder.join("stderr"))?;
    let endpoint = Endpoint::Inet(policy);
    wait_for("its port", Duration::from_secs(20), || {
        ensure!(
            daemon.is_running()?,
            "it ended: {}",
            String::from_utf8_lossy(&daemon.stderr()?)
        );
        Ok(PolicyClient::connect(&endpoint).is_ok())
    })
    .context("greylatch serve")?;
    Ok((daemon, policy))
}
