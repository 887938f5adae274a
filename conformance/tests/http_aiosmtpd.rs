//! The main job with a real aiosmtpd, a mail server in Python, that asks over HTTP by the module
//! that is shipped for it.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use conformance::{
    Clock, Daemon, EPISODE_START, Plan, Serving, SmtpClient, SmtpReply, free_port, headers, peer,
    python, scratch_folder, wait_for,
};
use tempfile::TempDir;

const NEWCOMER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const BOB: &str = "bob@example.org";
const CID: &str = "cid@example.org";
const START_MAX: Duration = Duration::from_secs(30);

/// How long the module waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// What else may take time beside it.
const SLACK: Duration = Duration::from_secs(3);

/// A running aiosmtpd, started as the module says.
struct Aiosmtpd {
    daemon: Daemon,
    port: u16,
}

impl Aiosmtpd {
    fn start(folder: &Path) -> Result<Self> {
        let port = free_port()?;
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/aiosmtpd");
        let packages = peer("aiosmtpd")?;
        let mut command = python()?;
        command
            .args(["-s", "-B", "-m", "aiosmtpd", "-n", "-l"])
            .arg(format!("127.0.0.1:{port}"))
            .args(["-c", "greylatch.Greylisting"])
            .arg(folder.join("http"))
            .arg(folder.join("mail"))
            .env(
                "PYTHONPATH",
                format!("{}:{}", packages.display(), shipped.display()),
            );
        let daemon = Daemon::start(command, &folder.join("aiosmtpd"))?;
        let mut server = Self { daemon, port };
        wait_for("aiosmtpd", START_MAX, || {
            ensure!(server.daemon.is_running()?, "it ended: {}", server.log()?);
            Ok(TcpStream::connect(("127.0.0.1", port)).is_ok())
        })?;
        Ok(server)
    }

    fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.daemon.stderr()?).into_owned())
    }

    fn connect(&self) -> Result<SmtpClient> {
        SmtpClient::connect(NEWCOMER, self.port)
    }

    /// The replies for these recipients, and that to the end of the message.
    fn deliver(&self, recipients: &[&str]) -> Result<(Vec<SmtpReply>, Option<SmtpReply>)> {
        self.connect()?.deliver("new@x.example", recipients)
    }
}

struct Scene {
    server: Serving,
    clock: Clock,
    folder: TempDir,
}

fn scene(greylist: &str) -> Result<Scene> {
    let folder = scratch_folder()?;
    let clock = Clock::new(folder.path(), EPISODE_START)?;
    let server = Serving::start(&Plan {
        listen: &format!("http = [\"unix:{}/http\"]", folder.path().display()),
        greylist,
        clock: Some(&clock),
        ..Plan::new(folder.path(), &folder.path().join("store"))
    })?;
    Ok(Scene {
        server,
        clock,
        folder,
    })
}

fn codes(replies: &[SmtpReply]) -> Vec<u16> {
    replies.iter().map(|reply| reply.code).collect()
}

#[test]
fn a_new_sender_waits_and_passes_with_one_header() -> Result<()> {
    let mut scene = scene("")?;
    let aiosmtpd = Aiosmtpd::start(scene.folder.path())?;
    let (replies, _) = aiosmtpd.deliver(&[BOB])?;
    let deferred = "4.7.1 Greylisted, please try again in 60 seconds";
    assert_eq!((replies[0].code, &*replies[0].text), (451, deferred));
    scene.clock.set(EPISODE_START + 60)?;
    let (replies, end) = aiosmtpd.deliver(&[BOB, CID])?;
    assert_eq!(codes(&replies), [250, 451]);
    assert_eq!(end.context("an end")?.code, 250);
    let file = fs::read_dir(scene.folder.path().join("mail/new"))?
        .next()
        .context("the mail")??;
    let message = fs::read_to_string(file.path())?;
    assert_eq!(headers(&message, "X-Greylist").len(), 1, "{message}");
    assert!(message.contains("Subject: greylisting"), "{message}");
    let to = headers(&message, "X-RcptTo");
    assert_eq!(
        to,
        [format!("X-RcptTo: {BOB}")],
        "who was deferred gets nothing"
    );
    Ok(())
}

#[test]
fn a_bounce_is_decided_at_the_message_when_told() -> Result<()> {
    let scene = scene("null_sender = \"data\"\n")?;
    let aiosmtpd = Aiosmtpd::start(scene.folder.path())?;
    let (replies, end) = aiosmtpd.connect()?.deliver("", &[BOB])?;
    assert_eq!(
        (codes(&replies), end.context("an end")?.code),
        (vec![250], 451)
    );
    let (replies, end) = aiosmtpd.connect()?.deliver("", &[BOB, CID])?;
    assert_eq!(
        (codes(&replies), end.context("an end")?.code),
        (vec![250, 250], 250)
    );
    Ok(())
}

#[test]
fn mail_goes_on_when_the_daemon_hangs_or_is_away() -> Result<()> {
    let mut scene = scene("")?;
    let aiosmtpd = Aiosmtpd::start(scene.folder.path())?;
    let passes = |within: Duration| -> Result<Duration> {
        let begun = Instant::now();
        let (replies, end) = aiosmtpd.deliver(&[BOB, CID])?;
        ensure!(
            codes(&replies) == [250, 250],
            "{replies:?}: {}",
            aiosmtpd.log()?
        );
        ensure!(end.is_some_and(|end| end.code == 250), "the message");
        ensure!(begun.elapsed() < within, "{:?}", begun.elapsed());
        Ok(begun.elapsed())
    };
    scene.server.daemon().hang(true)?;
    assert!(passes(PATIENCE + SLACK)? >= PATIENCE);
    scene.server.daemon().hang(false)?;
    scene.server.stop()?;
    passes(SLACK)?;
    let log = aiosmtpd.log()?;
    let told = "no answer from Greylatch, mail goes on";
    assert_eq!(log.matches(told).count(), 2, "{log}");
    Ok(())
}
