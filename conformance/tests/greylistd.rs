//! The clients of greylistd at our socket: the ACLs that greylistd-setup-exim4
//! writes for Exim, the tool `greylist`, and any others, answered as the real
//! greylistd answers.

use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use conformance::{
    Clock, Daemon, EPISODE_START, Endpoint, Exim, EximConfiguration, EximSetup, Greylistd, Message,
    Native, Plan, PolicyClient, Serving, SmtpClient, SmtpReply, ask_greylistd, greylatch_binary,
    passed_on, scratch_folder, shipped, wait_for,
};
use tempfile::TempDir;

const NEWCOMER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Longer than any healthy server needs.
const START_MAX: Duration = Duration::from_secs(20);
const BOB: [&str; 1] = ["bob@example.org"];

/// Our daemon in the place of greylistd, under a clock that the test sets.
struct Scene {
    server: Option<Serving>,
    greylist: &'static str,
    clock: Clock,
    folder: TempDir,
}

/// The times of greylistd's own configuration.
const AS_GREYLISTD: &str = "delay = \"600s\"\nretry_window = \"8h\"\nlifetime = \"60d\"\n";

impl Scene {
    fn start() -> Result<Self> {
        Self::start_with("")
    }

    /// With more lines of the table `[greylist]`.
    fn start_with(greylist: &'static str) -> Result<Self> {
        let folder = scratch_folder()?;
        // Exim asks as a user that is not root.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let clock = Clock::new(folder.path(), EPISODE_START)?;
        let mut scene = Self {
            server: None,
            greylist,
            clock,
            folder,
        };
        scene.start_again()?;
        Ok(scene)
    }

    /// Ends the daemon if it runs, and starts it on the same store.
    fn start_again(&mut self) -> Result<()> {
        if let Some(server) = self.server.take() {
            ensure!(server.stop()?.success());
        }
        let socket = self.socket();
        self.server = Some(Serving::start(&Plan {
            listen: &format!(
                "greylistd = [{{ path = \"{}\", owner = \":{}\" }}]",
                socket.display(),
                Exim::GROUP
            ),
            greylist: &(AS_GREYLISTD.to_owned() + self.greylist),
            clock: Some(&self.clock),
            ..Plan::new(self.folder.path(), &self.folder.path().join("store"))
        })?);
        Ok(())
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn ask(&self, message: &str) -> Result<String> {
        ask_greylistd(&self.socket(), &[message.as_bytes()], false)
    }

    fn exim(&self) -> Result<Exim> {
        Exim::start(&EximSetup {
            configuration: EximConfiguration::Greylistd,
            macros: "",
            acl: "",
            sockets: self.folder.path(),
            names: None,
            ipv6: false,
        })
    }
}

/// A reply with its lines joined: Exim breaks long ones.
fn joined(reply: &SmtpReply) -> (u16, String) {
    (reply.code, reply.text.replace('\n', " "))
}

fn deferred(sender: &str) -> (u16, String) {
    let text = format!(
        "127.0.0.2 is not yet authorized to deliver mail from <{sender}> to \
         <bob@example.org>. Please try later."
    );
    (451, text)
}

fn taken() -> SmtpReply {
    SmtpReply {
        code: 250,
        text: "Accepted".into(),
    }
}

#[test]
fn the_acls_of_greylistd_setup_exim4_work_as_they_are() -> Result<()> {
    let mut scene = Scene::start()?;
    let start = scene.clock.now();
    let exim = scene.exim()?;
    let mut client = SmtpClient::connect(NEWCOMER, exim.port())?;
    let (first, _) = client.deliver("new@sender.example", &BOB)?;
    assert_eq!(joined(&first[0]), deferred("new@sender.example"));
    let (replies, _) = client.deliver("new@sender.example", &["stranger@example.org"])?;
    assert_eq!(replies[0].code, 550, "{replies:?}");
    let (replies, end) = client.deliver("", &BOB)?;
    assert_eq!(replies, [taken()]);
    assert_eq!(end.as_ref().map(joined), Some(deferred("")));
    scene.clock.set(start + 599)?;
    let (early, _) = client.deliver("new@sender.example", &BOB)?;
    assert_eq!(joined(&early[0]), deferred("new@sender.example"));
    // What real greylistd forgets.
    scene.start_again()?;
    scene.clock.set(start + 600)?;
    for sender in ["new@sender.example", ""] {
        let (replies, end) = client.deliver(sender, &BOB)?;
        assert_eq!(replies, [taken()], "{sender}");
        assert_eq!(end.context("a message")?.code, 250, "{sender}");
    }
    exim.mailbox("bob", 2)?;
    // Nothing else is remembered: not the stranger, nor what is asked about blackness.
    assert_eq!(
        scene.ask("status 127.0.0.2 new@sender.example stranger@example.org")?,
        "unseen"
    );
    assert_eq!(scene.ask("status 127.0.0.2 bob@example.org")?, "unseen");
    assert_eq!(scene.ask("status 127.0.0.0/24 bob@example.org")?, "white");

    let added = exim.greylist(&["add", "--black", "127.0.0.2", "bad@x.example", BOB[0]])?;
    assert_eq!(String::from_utf8(added.stdout)?, "Added to blacklist\n");
    let (replies, _) = client.deliver("bad@x.example", &BOB)?;
    let text = "127.0.0.2 is blacklisted from delivering mail from <bad@x.example> to \
                <bob@example.org>.";
    assert_eq!(joined(&replies[0]), (550, text.to_owned()));
    Ok(())
}

#[test]
fn mail_goes_on_while_the_daemon_is_away() -> Result<()> {
    let mut scene = Scene::start()?;
    let exim = scene.exim()?;
    let server = scene.server.take().context("it runs")?;
    ensure!(server.stop()?.success());
    let mut client = SmtpClient::connect(NEWCOMER, exim.port())?;
    let (replies, end) = client
        .deliver("new@sender.example", &BOB)
        .with_context(|| exim.log())?;
    assert_eq!(replies, [taken()]);
    assert_eq!(end.context("a message")?.code, 250);
    Ok(())
}

#[test]
fn the_tool_greylist_works_as_it_is() -> Result<()> {
    let mut scene = Scene::start()?;
    let exim = scene.exim()?;
    let key = ["192.0.2.1", "a@b.example", "c@d.example"];
    let greylist = |words: &[&str]| -> Result<(String, Option<i32>)> {
        let done = exim.greylist(words)?;
        Ok((String::from_utf8(done.stdout)?, done.status.code()))
    };
    let with = |words: &[&str]| greylist(&[words, &key].concat());
    let said = |text: &str, code| (format!("{text}\n"), Some(code));
    assert_eq!(with(&["update"])?, said("grey", 0));
    assert_eq!(with(&["check", "--grey"])?, said("true", 0));
    assert_eq!(with(&["check", "--white"])?, said("false", 0));
    assert_eq!(with(&["add"])?, said("Added to whitelist", 0));
    scene.start_again()?;
    assert_eq!(with(&["status"])?, said("white", 0));
    let (list, code) = greylist(&["list"])?;
    let expected = "\nWhitelist data:\n===============\n  Last Seen            Count  Data\n\
                    \x20 2026-11-24 12:00:00      -  192.0.2.0/24 a@b.example c@d.example\n\n";
    assert_eq!((&*list, code), (expected, Some(0)));
    let (stats, _) = greylist(&["stats"])?;
    ensure!(
        stats.starts_with("Statistics since Tue Nov 24 12:00:00 2026 (0 second ago)\n---"),
        "{stats}"
    );
    assert_eq!(greylist(&["mrtg"])?, said("0\n0\n0 second\ngreylatch\n", 0));
    assert_eq!(
        greylist(&["save"])?,
        said("greylistd data has been saved", 0)
    );
    assert_eq!(
        greylist(&["reload"])?,
        said("configuration and data reloaded", 0)
    );
    assert_eq!(with(&["delete"])?, said("Removed from whitelist", 0));
    assert_eq!(with(&["delete"])?.0, "error: Not found\n");
    with(&["update"])?;
    assert_eq!(
        greylist(&["clear"])?,
        said("data and statistics cleared", 0)
    );
    assert_eq!(with(&["status"])?.0, "unseen\n");
    assert_eq!(scene.server.context("it runs")?.verdicts("new")?, 1);
    Ok(())
}

/// Messages, and after how many seconds each is sent.
const MESSAGES: &[(i64, &str)] = &[
    (0, "192.0.2.0/24 a@b.example c@d.example"),
    (0, "192.0.2.0/24 A@B.example C@d.example"),
    (0, "update 192.0.2.0/24 a@b.example c@d.example"),
    (0, "check 192.0.2.0/24 a@b.example c@d.example"),
    (0, "check unknown words"),
    (0, "status unknown words"),
    (0, "status 192.0.2.0/24 a@b.example c@d.example"),
    (0, "--grey 192.0.2.0/24 a@b.example c@d.example"),
    (0, "--white 192.0.2.0/24 a@b.example c@d.example"),
    (0, "--black 192.0.2.0/24 a@b.example c@d.example"),
    (0, "check --grey x y z"),
    (0, "check --white x y z"),
    (0, "check --black x y z"),
    (0, "update --grey x y zz"),
    (0, "status x y zz"),
    (0, "status x y z"),
    (0, "status --white x y zz"),
    (599, "check 192.0.2.0/24 a@b.example c@d.example"),
    (599, "192.0.2.0/24 a@b.example c@d.example"),
    (601, "check 192.0.2.0/24 a@b.example c@d.example"),
    (601, "status 192.0.2.0/24 a@b.example c@d.example"),
    (601, "--white 192.0.2.0/24 a@b.example c@d.example"),
    (601, "status 192.0.2.0/24 a@b.example c@d.example"),
    (601, "x y zz"),
    (601, "delete x y zz"),
    (
        700,
        "2001.0db8.0000.0001.0000.0000.0000.0000/64 a@b.example c@d.example",
    ),
    (
        1301,
        "2001.0db8.0000.0001.0000.0000.0000.0000/64 a@b.example c@d.example",
    ),
    (1301, "add w w w"),
    (1301, "status w w w"),
    (1301, "update w w w"),
    (1301, "--white w w w"),
    (1301, "--black w w w"),
    (1301, "add --black b b b"),
    (1301, "b b b"),
    (1301, "status b b b"),
    (1301, "--black b b b"),
    (1301, "--white b b b"),
    (1301, "--grey b b b"),
    (1301, "add --grey g g g"),
    (1301, "status g g g"),
    (1301, "add --pink p p p"),
    (1301, "add --pink"),
    (1301, "update --pink p p p"),
    (1301, "check --pink p"),
    (1301, "list --pink"),
    (1301, "clear --pink"),
    (1301, "delete --black b b b"),
    (1301, "delete b b b"),
    (1301, "delete w w w"),
    (1301, "delete g g g"),
    (1301, "delete nothing here"),
    (1301, "delete"),
    (1301, "add"),
    (1301, "add --white"),
    (1301, "check"),
    (1301, "status"),
    (1301, "update"),
    (1301, "--grey"),
    (1301, "- a b"),
    (1301, "---grey a b"),
    (1301, "save"),
    (1301, "save x"),
    (1301, "save --x"),
    (1301, "reload"),
    (1301, "reload x"),
    (1301, "   "),
    (1301, "frobnicate"),
    (1301, "FROBNICATE"),
    (1301, " update  192.0.2.9   x@y   z@w  "),
    (1301, "help"),
    (1301, "--help"),
    (1301, "--white --black two words"),
    (1301, "--grey --pink two words"),
    (1301, "--pink --grey two words"),
    (1301, "add --white --black two two"),
    (1301, "status two two"),
    (1301, "add two two --black"),
    (1301, "status two two --black"),
    (1301, "stats x"),
    (1301, "mrtg x"),
    (1301, "list words"),
    (1301, "list --grey words"),
    (1301, "clear x"),
    (1301, "add -white wc"),
    (1301, "add --w wa"),
    (1301, "clear --grey"),
    (1301, "status 192.0.2.9 x@y z@w"),
    (1301, "status two two"),
    (1301, "clear"),
    (1301, "status two two"),
    (1301, "list"),
];

#[test]
fn answers_are_those_of_greylistd() -> Result<()> {
    let mut scene = Scene::start()?;
    let theirs = Greylistd::start(&scene.clock)?;
    let start = scene.clock.now();
    let mut different = String::new();
    for (after, message) in MESSAGES {
        scene.clock.set(start + after)?;
        let ours = scene.ask(message)?;
        let theirs = ask_greylistd(&theirs.socket(), &[message.as_bytes()], false)?;
        if ours != theirs {
            different += &format!("{after} {message}: {theirs:?}, but here {ours:?}\n");
        }
    }
    assert_eq!(different, "");
    Ok(())
}

#[test]
fn who_is_known_by_words_makes_nobody_else_known() -> Result<()> {
    let mut scene = Scene::start_with("exempt_clients_after = 1\n")?;
    let start = scene.clock.now();
    assert_eq!(scene.ask("192.0.2.0/24 bob@example.org")?, "grey");
    scene.clock.set(start + 600)?;
    assert_eq!(scene.ask("192.0.2.0/24 Bob@example.org")?, "white");
    assert_eq!(scene.ask("192.0.2.0/24 cid@example.org")?, "grey");
    assert_eq!(
        scene.ask("192.0.2.0/24 a@x.example cid@example.org")?,
        "grey"
    );
    let server = scene.server.context("it runs")?;
    server.wait_for_log(
        "verdict=defer reason=new frontend=greylistd client=\"\" name=\"\" sender=\"\" \
         recipient=\"\" words=\"192.0.2.0/24 bob@example.org\" wait_s=600",
    )
}

// option: listen.greylistd
#[test]
fn a_message_is_answered_however_it_comes() -> Result<()> {
    let folder = scratch_folder()?;
    let socket = folder.path().join("socket");
    let native = Native::start(folder.path(), "listen.greylistd = [\"unix:DIR/socket\"]\n")?;
    let mode = fs::metadata(&socket)?.permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    // One that says nothing is in nobody's way.
    let silent = UnixStream::connect(&socket)?;
    let ask = |pieces: &[&[u8]], half_close| ask_greylistd(&socket, pieces, half_close);
    assert_eq!(
        ask(&[b"add ", b"some", b" words"], false)?,
        "Added to whitelist"
    );
    assert_eq!(ask(&[b"status some words\n"], false)?, "white");
    assert_eq!(ask(&[b"status some words\r\nclear"], false)?, "white");
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(ask(&[b"status some words"], true)?, "white");
    }
    ensure!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(ask(&[], true)?, "error: No data received");
    assert_eq!(ask(&[b"\xff\x00 \x1b[1m"], true)?, "grey");
    let listed = ask(&[b"list --grey"], true)?;
    ensure!(listed.ends_with("  ?? ?[1m\n"), "{listed:?}");
    drop(silent);
    native.stop()?;
    Ok(())
}

#[test]
fn a_port_for_everybody_is_refused() -> Result<()> {
    let folder = scratch_folder()?;
    let text = check(
        folder.path(),
        "[listen]\ngreylistd = [\"127.0.0.1:10025\"]\n",
    )?;
    ensure!(text.contains("it must be a unix socket"), "{text}");
    Ok(())
}

#[test]
fn a_socket_that_systemd_passes_on_is_greylistds_and_the_others_stay() -> Result<()> {
    let unit = shipped("systemd/greylatch-greylistd.socket")?;
    let setting = |name: &str| unit.lines().find_map(|line| line.strip_prefix(name));
    let name = setting("FileDescriptorName=").context("a name")?;
    assert_eq!(setting("ListenStream="), Some("/run/greylistd/socket"));
    let folder = scratch_folder()?;
    let path = folder.path().join("passed");
    let place = path.to_string_lossy();
    // Another one in the configuration gives way to it.
    let ours = Native::command(folder.path(), "listen.greylistd = [\"unix:DIR/unused\"]\n")?;
    let command = passed_on(name, ("AF_UNIX", &place), &ours)?;
    let mut server = Daemon::start(command, &folder.path().join("stderr"))?;
    let policy = Endpoint::Unix(folder.path().join("policy"));
    wait_for("its policy socket", START_MAX, || {
        ensure!(server.is_running()?, "it ended");
        Ok(PolicyClient::connect(&policy).is_ok())
    })?;
    let ask = |text: &str| ask_greylistd(&path, &[text.as_bytes()], false);
    assert_eq!(ask("update 192.0.2.9 a@x.example b@y.example")?, "grey");
    let message = Message::of(("192.0.2.9", "unknown"), "a@x.example", "b@y.example");
    let answer =
        PolicyClient::connect(&policy)?.ask(&message.with("protocol_state", "RCPT").bytes())?;
    let answer = String::from_utf8(answer)?;
    ensure!(answer.starts_with("action=DEFER_IF_PERMIT"), "{answer}");
    assert_eq!(ask("status 192.0.2.9 a@x.example b@y.example")?, "grey");
    ensure!(!folder.path().join("unused").exists());
    ensure!(server.terminate()?.success());
    // It is systemd's, which goes on listening while the server is away.
    ensure!(path.exists());

    let output = passed_on(name, ("AF_INET", "127.0.0.1"), &ours)?.output()?;
    assert_eq!(output.status.code(), Some(69));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(said.contains("it must be a unix socket"), "{said}");
    Ok(())
}

/// What `greylatch check` says of a configuration that is wrong.
fn check(folder: &Path, configuration: &str) -> Result<String> {
    let path = folder.join("greylatch.toml");
    fs::write(&path, configuration)?;
    let done = Command::new(greylatch_binary()?)
        .args(["check", "--config"])
        .arg(&path)
        .output()?;
    assert_eq!(done.status.code(), Some(78));
    Ok(String::from_utf8([done.stdout, done.stderr].concat())?)
}
