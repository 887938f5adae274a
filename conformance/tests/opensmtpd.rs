//! The main job with a real OpenSMTPD and our filter: a new sender waits, a retry passes, at RCPT or at
//! DATA, and smtpd stays up and takes mail whatever becomes of the daemon.

use std::fs;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use conformance::{
    Clock, EPISODE_START, Native, OpenSmtpd, OpenSmtpdSetup, Plan, Serving, SmtpClient, SmtpReply,
    free_port, greylatch_binary, manual_block, scratch_folder, wait_for,
};
use tempfile::TempDir;

const THREE: [&str; 3] = ["ann@example.org", "bob@example.org", "cid@example.org"];
const NEWCOMER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const FRIEND: Ipv4Addr = Ipv4Addr::new(127, 0, 2, 2);
const NAMELESS: Ipv4Addr = Ipv4Addr::new(127, 0, 3, 3);
const HOSTS: &str = "127.0.2.2 mx.friend.example\n";
const RULES: &str = "[[rule]]\nname = [\"friend.example\"]\nthen = \"exempt\"\n\
                     [[rule]]\nsender = [\"known@even.example\"]\nthen = \"exempt\"\n\
                     [[rule]]\nsender = [\"bad@x.example\"]\nthen = \"refuse\"\n";

/// Within this time a question is answered, and a little for the way.
const ANSWERED: Duration = Duration::from_millis(6_500);

/// OpenSMTPD asks our daemon, under a clock that the test sets.
struct Scene {
    smtpd: OpenSmtpd,
    server: Option<Serving>,
    greylist: &'static str,
    clock: Clock,
    /// Its files are in use until the programs have ended.
    folder: TempDir,
}

impl Scene {
    /// With options of the filter and lines of the table `[greylist]`.
    fn start(options: &str, greylist: &'static str) -> Result<Self> {
        let folder = scratch_folder()?;
        let clock = Clock::new(folder.path(), EPISODE_START)?;
        let server = serve(folder.path(), greylist, &clock)?;
        let smtpd = OpenSmtpd::start(&OpenSmtpdSetup {
            policy: &format!("unix:{}", folder.path().join("policy").display()),
            options,
            hosts: HOSTS,
        })?;
        Ok(Self {
            smtpd,
            server: Some(server),
            greylist,
            clock,
            folder,
        })
    }

    fn connect(&self, from: Ipv4Addr) -> Result<SmtpClient> {
        SmtpClient::connect(from, self.smtpd.port())
    }

    fn server(&mut self) -> Result<&mut Serving> {
        self.server.as_mut().context("it was killed")
    }

    /// The answer to a first attempt of a newcomer.
    fn first(&self, sender: &str) -> Result<SmtpReply> {
        first(&self.smtpd, sender)
    }

    /// Starts the daemon that was killed.
    fn serve_again(&mut self) -> Result<()> {
        self.server = Some(serve(self.folder.path(), self.greylist, &self.clock)?);
        Ok(())
    }

    fn wait_until_it_asks(&self) -> Result<()> {
        wait_until_deferred(|sender| self.first(sender))
            .with_context(|| self.smtpd.log().unwrap_or_default())
    }
}

fn first(smtpd: &OpenSmtpd, sender: &str) -> Result<SmtpReply> {
    let mut client = SmtpClient::connect(NEWCOMER, smtpd.port())?;
    let (replies, _) = client.deliver(sender, &THREE[..1])?;
    replies.into_iter().next().context("one reply")
}

/// Waits until the filter asks, as what new senders hear shows.
fn wait_until_deferred(first: impl Fn(&str) -> Result<SmtpReply>) -> Result<()> {
    let mut nth = 0;
    wait_for("a deferral", Duration::from_secs(20), || {
        nth += 1;
        Ok(first(&format!("again{nth}@sender.example"))? == deferred(60))
    })
}

fn serve(folder: &Path, greylist: &str, clock: &Clock) -> Result<Serving> {
    Serving::start(&Plan {
        greylist,
        tables: RULES,
        clock: Some(clock),
        ..Plan::new(folder, &folder.join("store"))
    })
}

fn deferred(seconds: i64) -> SmtpReply {
    SmtpReply {
        code: 451,
        text: format!("4.7.1 Greylisted, please try again in {seconds} seconds"),
    }
}

fn codes(replies: &[SmtpReply]) -> Vec<u16> {
    replies.iter().map(|reply| reply.code).collect()
}

/// MAIL and RCPTs, all of which are taken, then DATA; the message, if that is taken too.
fn deliver_at_data(
    client: &mut SmtpClient,
    sender: &str,
    recipients: &[&str],
) -> Result<SmtpReply> {
    for command in [format!("MAIL FROM:<{sender}>")]
        .into_iter()
        .chain(recipients.iter().map(|to| format!("RCPT TO:<{to}>")))
    {
        let reply = client.command(&command)?;
        ensure!(reply.code == 250, "{command} got {reply:?}");
    }
    let data = client.command("DATA")?;
    if data.code == 354 {
        return client.command("Subject: greylisting\r\n\r\nA line.\r\n.");
    }
    ensure!(client.command("RSET")?.code == 250);
    Ok(data)
}

#[test]
fn a_newcomer_waits_and_passes_at_each_recipient() -> Result<()> {
    let mut scene = Scene::start("", "")?;
    let start = scene.clock.now();
    let mut client = scene.connect(NEWCOMER)?;
    let (first, end) = client.deliver("new@sender.example", &THREE[..2])?;
    assert_eq!(first, [deferred(60), deferred(60)]);
    ensure!(end.is_none());
    scene.clock.set(start + 59)?;
    let (early, _) = client.deliver("new@sender.example", &THREE[..2])?;
    assert_eq!(early, [deferred(1), deferred(1)]);
    // One that is new among those that have waited.
    scene.clock.set(start + 60)?;
    let (mixed, end) = client.deliver("new@sender.example", &THREE)?;
    assert_eq!(codes(&mixed), [250, 250, 451]);
    assert_eq!(mixed[2], deferred(60));
    assert_eq!(end.context("a message")?.code, 250);
    for user in ["ann", "bob"] {
        let mailbox = scene.smtpd.mailbox(user, 1)?;
        ensure!(mailbox[0].contains("A line."), "{mailbox:?}");
    }
    // Both logs call the message by one name.
    let log = scene.smtpd.log()?;
    let (_, name) = log.split_once(" msgid=").context("a message")?;
    let name = name.split(' ').next().context("its name")?;
    scene.server()?.wait_for_log(&format!("queue_id={name}"))?;
    // Of somebody else nothing is known, and whom smtpd does not know it refuses after the question.
    let (other, _) = client.deliver("other@sender.example", &THREE[..1])?;
    assert_eq!(other, [deferred(60)]);
    let (unknown, _) = client.deliver("new@sender.example", &["nemo@example.org"])?;
    assert_eq!(unknown, [deferred(60)]);
    scene.clock.set(start + 120)?;
    let (unknown, _) = client.deliver("new@sender.example", &["nemo@example.org"])?;
    assert_eq!(codes(&unknown), [550]);
    Ok(())
}

#[test]
fn at_data_one_new_recipient_defers_the_message() -> Result<()> {
    let mut scene = Scene::start(" --at data", "")?;
    let start = scene.clock.now();
    let mut client = scene.connect(NEWCOMER)?;
    let to = &THREE[..2];
    assert_eq!(
        deliver_at_data(&mut client, "new@sender.example", to)?,
        deferred(60)
    );
    scene.clock.set(start + 60)?;
    let taken = deliver_at_data(&mut client, "new@sender.example", to)?;
    assert_eq!(taken.code, 250);
    scene.smtpd.mailbox("ann", 1)?;
    scene.smtpd.mailbox("bob", 1)?;
    let mixed = deliver_at_data(&mut client, "new@sender.example", &THREE)?;
    assert_eq!(mixed, deferred(60));
    scene.clock.set(start + 120)?;
    let mixed = deliver_at_data(&mut client, "new@sender.example", &THREE)?;
    assert_eq!(mixed.code, 250);
    scene.smtpd.mailbox("cid", 1)?;
    // Whom smtpd does not know is not asked about.
    let asked = scene.server()?.verdicts("new")?;
    let (unknown, _) = client.deliver("x@sender.example", &["nemo@example.org"])?;
    assert_eq!(codes(&unknown), [550]);
    assert_eq!(scene.server()?.verdicts("new")?, asked);
    Ok(())
}

#[test]
fn bounces_are_judged_where_the_configuration_says() -> Result<()> {
    let mut scene = Scene::start("", "")?;
    let start = scene.clock.now();
    let mut client = scene.connect(NEWCOMER)?;
    let (first, _) = client.deliver("", &THREE[..1])?;
    assert_eq!(first, [deferred(60)]);
    scene.clock.set(start + 60)?;
    assert_eq!(deliver_at_data(&mut client, "", &THREE[..1])?.code, 250);
    drop(scene);

    let mut scene = Scene::start("", "null_sender = \"data\"")?;
    let start = scene.clock.now();
    let mut client = scene.connect(NEWCOMER)?;
    assert_eq!(deliver_at_data(&mut client, "", &THREE[..1])?, deferred(60));
    scene.clock.set(start + 60)?;
    assert_eq!(deliver_at_data(&mut client, "", &THREE[..1])?.code, 250);
    scene.smtpd.mailbox("ann", 1)?;
    Ok(())
}

#[test]
fn names_count_and_refusals_are_for_good() -> Result<()> {
    let scene = Scene::start("", "")?;
    let to = &THREE[..1];
    let (friend, _) = scene.connect(FRIEND)?.deliver("new@x.example", to)?;
    assert_eq!(codes(&friend), [250]);
    let (nameless, _) = scene.connect(NAMELESS)?.deliver("new@x.example", to)?;
    assert_eq!(nameless, [deferred(60)]);
    let (bad, _) = scene.connect(NAMELESS)?.deliver("bad@x.example", to)?;
    let text = "5.7.1 Mail from you is not accepted here".to_owned();
    assert_eq!(bad, [SmtpReply { code: 550, text }]);
    Ok(())
}

#[test]
fn smtpd_starts_without_the_daemon_and_asks_once_it_is_there() -> Result<()> {
    let folder = scratch_folder()?;
    let place = format!("127.0.0.1:{}", free_port()?);
    let smtpd = OpenSmtpd::start(&OpenSmtpdSetup {
        policy: &place,
        options: "",
        hosts: HOSTS,
    })?;
    let first = |sender: &str| first(&smtpd, sender);
    assert_eq!(first("early@sender.example")?.code, 250);
    let _server = Native::start(folder.path(), &format!("listen.policy = [\"{place}\"]"))?;
    wait_until_deferred(first).with_context(|| smtpd.log().unwrap_or_default())
}

#[test]
fn a_daemon_that_is_killed_and_started_again_costs_no_mail() -> Result<()> {
    let mut scene = Scene::start("", "")?;
    let mut open = scene.connect(NEWCOMER)?;
    assert_eq!(scene.first("early@sender.example")?, deferred(60));
    ensure!(open.command("MAIL FROM:<open@sender.example>")?.code == 250);
    // Killed, as by the system.
    scene.server = None;
    assert_eq!(open.command("RCPT TO:<ann@example.org>")?.code, 250);
    ensure!(open.command("DATA")?.code == 354);
    assert_eq!(open.command("Subject: x\r\n\r\nA line.\r\n.")?.code, 250);
    scene.smtpd.mailbox("ann", 1)?;
    ensure!(open.command("MAIL FROM:<open@sender.example>")?.code == 250);
    scene.serve_again()?;
    scene.wait_until_it_asks()?;
    // The session that has seen it all is asked about as well, and what was remembered still is.
    assert_eq!(open.command("RCPT TO:<bob@example.org>")?, deferred(60));
    let start = scene.clock.now();
    scene.clock.set(start + 60)?;
    assert_eq!(scene.first("early@sender.example")?.code, 250);
    ensure!(scene.smtpd.is_running()?, "{}", scene.smtpd.log()?);
    let log = scene.smtpd.log()?;
    ensure!(log.contains("greylist: cannot ask unix:"), "{log}");
    assert_eq!(
        log.matches("mail passes until it answers").count(),
        1,
        "{log}"
    );
    assert_eq!(log.matches("answers again").count(), 1, "{log}");
    Ok(())
}

#[test]
fn the_filter_ends_with_smtpd_and_not_before() -> Result<()> {
    let scene = Scene::start("", "")?;
    let place = scene.folder.path().display().to_string();
    let filters = || processes("filter-opensmtpd", &place);
    // smtpd listens before it has started the filter, and serves after that.
    assert_eq!(scene.first("early@sender.example")?, deferred(60));
    let first = filters()?;
    assert_eq!(first.len(), 1);
    for nth in 0..5 {
        let reply = scene.first(&format!("new{nth}@sender.example"))?;
        assert_eq!(reply, deferred(60));
    }
    assert_eq!(filters()?, first, "it was not started again");
    let Scene { smtpd, .. } = scene;
    drop(smtpd);
    wait_for("the end of the filter", Duration::from_secs(10), || {
        Ok(filters()?.is_empty())
    })
}

/// The processes that were started with both of these among their words.
fn processes(word: &str, place: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for process in fs::read_dir("/proc")? {
        let process = process?.path();
        // It may have ended since, or be no process.
        let words = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
        // The shell that smtpd starts it by has them as well.
        if words.starts_with("/usr/bin/greylatch") && words.contains(word) && words.contains(place)
        {
            found.push(process.display().to_string());
        }
    }
    Ok(found)
}

#[test]
fn a_daemon_that_hangs_holds_mail_up_for_five_seconds_and_not_everybodys() -> Result<()> {
    let mut scene = Scene::start("", "")?;
    assert_eq!(scene.first("early@sender.example")?, deferred(60));
    scene.server()?.daemon().hang(true)?;
    let began = Instant::now();
    assert_eq!(scene.first("hung@sender.example")?.code, 250);
    let waited = began.elapsed();
    ensure!(
        waited > Duration::from_secs(4) && waited < ANSWERED,
        "{waited:?}"
    );
    // One session tries again; no other waits for it.
    let probe = scene.connect(NEWCOMER)?;
    let probing = thread::spawn(move || -> Result<_> {
        let mut probe = probe;
        thread::sleep(Duration::from_millis(200));
        probe.deliver("probe@sender.example", &THREE[..1])
    });
    thread::sleep(Duration::from_millis(700));
    let began = Instant::now();
    for nth in 0..20 {
        assert_eq!(scene.first(&format!("hung{nth}@sender.example"))?.code, 250);
    }
    ensure!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    let (replies, _) = probing.join().ok().context("the probe")??;
    assert_eq!(codes(&replies), [250]);
    scene.server()?.daemon().hang(false)?;
    scene.wait_until_it_asks()?;
    ensure!(scene.smtpd.is_running()?, "{}", scene.smtpd.log()?);
    Ok(())
}

#[test]
fn two_hundred_sessions_at_once_each_get_their_own_answer() -> Result<()> {
    let mut scene = Scene::start("", "")?;
    let mut clients = Vec::new();
    for nth in 0..200_u8 {
        let mut client = scene.connect(Ipv4Addr::new(127, 1, nth, 1))?;
        let sender = match nth % 2 {
            0 => "known@even.example",
            _ => "new@odd.example",
        };
        ensure!(client.command(&format!("MAIL FROM:<{sender}>"))?.code == 250);
        clients.push(client);
    }
    for recipient in THREE {
        for client in &mut clients {
            client.send(&format!("RCPT TO:<{recipient}>"))?;
        }
        for (nth, client) in clients.iter_mut().enumerate() {
            let reply = client.reply()?;
            match nth % 2 {
                0 => assert_eq!(reply.code, 250, "session {nth}"),
                _ => assert_eq!(reply, deferred(60), "session {nth}"),
            }
        }
    }
    assert_eq!(scene.server()?.verdicts("new")?, 300);
    ensure!(scene.smtpd.is_running()?, "{}", scene.smtpd.log()?);
    Ok(())
}

#[test]
fn an_input_that_does_not_wait_is_waited_for() -> Result<()> {
    let (mut smtpd, stream) = UnixStream::pair()?;
    stream.set_nonblocking(true)?;
    smtpd.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut filter = Command::new(greylatch_binary()?)
        .arg("filter-opensmtpd")
        .stdin(OwnedFd::from(stream.try_clone()?))
        .stdout(OwnedFd::from(stream))
        .spawn()?;
    thread::sleep(Duration::from_millis(300));
    smtpd.write_all(b"config|ready\n")?;
    let mut said = String::new();
    while !said.ends_with("register|ready\n") {
        let mut buffer = [0; 4_096];
        let length = smtpd.read(&mut buffer)?;
        ensure!(length > 0, "it has ended");
        said.push_str(std::str::from_utf8(&buffer[..length])?);
    }
    drop(smtpd);
    ensure!(filter.wait()?.success());
    Ok(())
}

#[test]
fn the_manual_and_the_shipped_configuration_say_the_same() -> Result<()> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/opensmtpd/smtpd.conf");
    let shipped = fs::read_to_string(shipped)?;
    for word in ["filter \"greylist\"", "listen on"] {
        let block = manual_block("opensmtpd.md", word)?;
        ensure!(shipped.contains(&block), "not in it: {block}");
    }
    Ok(())
}
