//! Mail exchangers that tell one another what they saw: ours with ours, with a
//! scripted peer in each version of the protocol, and with the real
//! milter-greylist.
//!
//! Each host has an address of its own in 127.0.0.0/8, which belongs to no
//! interface and is therefore somebody else's.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use conformance::{
    Clock, EPISODE_START, GreylistHost, Neighbours, Whose, free_port, scratch_folder, wait_for,
};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn};
use tempfile::TempDir;

const NOW: i64 = EPISODE_START;
const CLIENT: &str = "192.0.2.10";
const RULES: &str = "greylist 30m\nautowhite 1d\ndumpfreq 0\nracl greylist default\n";
const PATIENCE: Duration = Duration::from_secs(10);

/// An address that no other test uses just now.
fn own_address() -> Ipv4Addr {
    static GIVEN: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = process::id().to_be_bytes();
    Ipv4Addr::new(127, high | 0x80, low, GIVEN.fetch_add(1, Ordering::Relaxed))
}

fn reply(wait: &str) -> String {
    format!("y451 4.7.1 Greylisting in action, please come back in {wait}\\x00")
}

/// One host of ours, and the address of a peer that it has.
struct Scene {
    host: GreylistHost,
    clock: Clock,
    ours: SocketAddrV4,
    theirs: SocketAddrV4,
    /// In use until the host has ended.
    folder: TempDir,
}

impl Scene {
    /// With more statements.
    fn start(conf: &str) -> Result<Self> {
        let folder = scratch_folder()?;
        let clock = Clock::new(folder.path(), NOW)?;
        let (ours, theirs, port) = (own_address(), own_address(), free_port()?);
        let peers = format!(
            "peer {theirs} timeout 2s\npeer 127.0.0.1\nsyncaddr {ours} port {port}\n\
             syncsrcaddr {ours}\n{conf}{RULES}"
        );
        let host = GreylistHost::start(Whose::Ours, folder.path(), &peers, Some(&clock))?;
        Ok(Self {
            host,
            clock,
            ours: SocketAddrV4::new(ours, port),
            theirs: SocketAddrV4::new(theirs, port),
            folder,
        })
    }

    /// A connection to it from this address.
    fn call_from(&self, from: Ipv4Addr) -> Result<Caller> {
        let mut stream = None;
        wait_for("the socket for peers", PATIENCE, || {
            stream = connect_from(from, self.ours).ok();
            Ok(stream.is_some())
        })?;
        let stream = stream.context("a connection")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Caller {
            lines: BufReader::new(stream),
        })
    }

    fn call(&self) -> Result<Caller> {
        self.call_from(*self.theirs.ip())
    }

    fn ask(&self, sender: &str) -> Result<String> {
        self.host.ask(CLIENT, sender, "b@y.net")
    }
}

fn connect_from(from: Ipv4Addr, to: SocketAddrV4) -> Result<TcpStream> {
    let socket = socket::socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::empty(),
        None,
    )?;
    let from = SockaddrIn::from(SocketAddrV4::new(from, 0));
    socket::bind(socket.as_raw_fd(), &from)?;
    socket::connect(socket.as_raw_fd(), &SockaddrIn::from(to))?;
    Ok(TcpStream::from(socket))
}

/// A peer that tells.
struct Caller {
    lines: BufReader<TcpStream>,
}

impl Caller {
    fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn say(&mut self, line: &str) -> Result<String> {
        self.lines
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())?;
        self.hear()
    }
}

/// A peer that is told: it answers by the script, and gives what it heard.
struct Told {
    lines: BufReader<TcpStream>,
}

impl Told {
    fn accept(listener: &TcpListener) -> Result<Self> {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"200 fake peer\n")?;
        Ok(Self {
            lines: BufReader::new(stream),
        })
    }

    /// Hears a line and answers it.
    fn hear(&mut self, answer: &str) -> Result<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        self.lines
            .get_mut()
            .write_all(format!("{answer}\n").as_bytes())?;
        Ok(line)
    }
}

const DONE: &str = "201 All right, I'll do that";

#[test]
fn what_a_peer_tells_counts_here() -> Result<()> {
    let scene = Scene::start("")?;
    let mut peer = scene.call()?;
    assert_eq!(peer.hear()?, "200 Yeah, what do you want?");
    let yes = "803 Yes, I speak version 3, what do you think?";
    assert_eq!(peer.say("vers3")?, yes);
    let line = |word: &str, sender: &str, rest: &str| {
        format!("{word} addr {CLIENT} from <{sender}> rcpt <b@y.net> {rest}")
    };
    let (past, soon, later) = (NOW - 60, NOW + 600, NOW + 7200);
    for told in [
        line("add", "early@x", &format!("date {soon}")),
        line("add", "due@x", &format!("date {past}")),
        // The date is often a wrong one, and does not matter.
        line("del2", "proven@x", &format!("date 5 aw {later}")),
        line("del2", "over@x", &format!("date 5 aw {past}")),
        line("del", "ours@x", "date 5"),
        line("add", "flushed@x", &format!("date {past}")).replace(CLIENT, "192.0.2.77"),
        "flush addr 192.0.2.77".to_owned(),
    ] {
        assert_eq!(peer.say(&told)?, DONE, "{told}");
    }
    assert_eq!(peer.say("quit")?, "202 Good bye");
    for (sender, expected) in [
        ("early@x", reply("00:10:00")),
        ("due@x", "c".into()),
        ("Proven@X", "c".into()),
        ("over@x", reply("00:30:00")),
        ("ours@x", "c".into()),
    ] {
        assert_eq!(scene.ask(sender)?, expected, "{sender}");
    }
    let flushed = scene.host.ask("192.0.2.77", "flushed@x", "b@y.net")?;
    assert_eq!(flushed, reply("00:30:00"));
    scene.host.wait_for_log(&format!(
        "Incoming MX sync connection from {}\n",
        scene.theirs.ip()
    ))?;
    Ok(())
}

#[test]
fn who_is_no_peer_is_told_to_go_away() -> Result<()> {
    let scene = Scene::start("")?;
    let stranger = own_address();
    let mut caller = scene.call_from(stranger)?;
    let away = "106 You have no permission to talk, go away!";
    assert_eq!(caller.hear()?, away);
    assert_eq!(caller.lines.read(&mut [0; 8])?, 0);
    // The host itself is in the list, and no peer of its own.
    assert_eq!(scene.call_from(Ipv4Addr::LOCALHOST)?.hear()?, away);
    scene
        .host
        .wait_for_log(&format!("Remote host {stranger} is not a peer MX\n"))?;
    Ok(())
}

#[test]
fn peers_are_dismissed_when_a_reload_leaves_none() -> Result<()> {
    let scene = Scene::start("")?;
    let mut peer = scene.call()?;
    assert_eq!(peer.hear()?, "200 Yeah, what do you want?");
    let path = scene.folder.path().join("greylist.conf");
    let text = fs::read_to_string(&path)?;
    let without = text.lines().filter(|line| !line.starts_with("peer"));
    fs::write(
        &path,
        without.map(|line| format!("{line}\n")).collect::<String>(),
    )?;
    let reloaded = scene.host.tool("reload", &[])?;
    ensure!(reloaded.status.success(), "{reloaded:?}");
    assert_eq!(peer.hear()?, "105 No more peers, shutting down!");
    assert_eq!(peer.lines.read(&mut [0; 8])?, 0);
    let away = "106 You have no permission to talk, go away!";
    assert_eq!(scene.call()?.hear()?, away);
    Ok(())
}

#[test]
fn what_happens_here_is_told_in_the_version_that_the_peer_speaks() -> Result<()> {
    for version in [3, 2, 1] {
        let mut scene = Scene::start("racl blacklist rcpt bad@y.net flushaddr\n")?;
        let listener = TcpListener::bind(scene.theirs)?;
        assert_eq!(scene.ask("tag=A@x.org")?, reply("00:30:00"));
        let mut peer = Told::accept(&listener)?;
        let refused = |asked| format!("102 Invalid command \"vers{asked}\"");
        match version {
            3 => assert_eq!(peer.hear("803 ok")?, "vers3\n"),
            2 => {
                assert_eq!(peer.hear(&refused(3))?, "vers3\n");
                assert_eq!(peer.hear("802 ok")?, "vers2\n");
            }
            _ => {
                assert_eq!(peer.hear(&refused(3))?, "vers3\n");
                assert_eq!(peer.hear(&refused(2))?, "vers2\n");
            }
        }
        let triplet = format!("addr {CLIENT} from <A@x.org> rcpt <b@y.net>");
        let (due, day) = (NOW + 1800, 86_400);
        let add = format!("add {triplet} date {due}\r\n");
        assert_eq!(peer.hear("201 ok")?, add);
        let accepted = |was: i64, until: i64| match version {
            1 => format!("del {triplet} date {was}\r\n"),
            _ => format!("del2 {triplet} date {was} aw {until}\r\n"),
        };
        scene.clock.set(due)?;
        assert_eq!(scene.ask("A@x.org")?, "c");
        let was = due + day;
        assert_eq!(peer.hear("201 ok")?, accepted(due, was));
        // Renewed, at a time that is worth telling.
        scene.clock.set(due + 7200)?;
        assert_eq!(scene.ask("A@x.org")?, "c");
        let renewed = peer.hear("201 ok")?;
        ensure!(
            renewed.starts_with(accepted(was, 0).split(" aw ").next().unwrap_or("del")),
            "{renewed}"
        );
        let bad = scene.host.ask(CLIENT, "z@x.org", "bad@y.net")?;
        ensure!(bad.starts_with("y551"), "{bad}");
        if version == 3 {
            assert_eq!(peer.hear("201 ok")?, format!("flush addr {CLIENT}\r\n"));
        }
        assert_eq!(scene.ask("A@x.org")?, reply("00:30:00"));
        let add = format!("add {triplet} date {}\r\n", due + 9000);
        assert_eq!(peer.hear("201 ok")?, add);
        let established = format!(
            "Connection to {} established, protocol version {version}\n",
            scene.theirs.ip()
        );
        scene.host.wait_for_log(&established)?;
    }
    Ok(())
}

#[test]
fn an_attempt_never_waits_for_a_peer_and_what_was_not_taken_is_told_again() -> Result<()> {
    let scene = Scene::start("syncmaxqlen 3\n")?;
    // Nobody listens.
    assert_eq!(scene.ask("one@x")?, reply("00:30:00"));
    scene.host.wait_for_log("cannot sync with peer")?;
    // Now somebody, who says nothing.
    let listener = TcpListener::bind(scene.theirs)?;
    assert_eq!(scene.ask("two@x")?, reply("00:30:00"));
    let silent = listener.accept()?;
    for sender in ["three@x", "four@x", "five@x"] {
        assert_eq!(scene.ask(sender)?, reply("00:30:00"));
    }
    scene
        .host
        .wait_for_log("queue overflow (3 entries), discarding new entry")?;
    scene.host.wait_for_log("lost connection with peer")?;
    drop(silent);
    // At the next event it is told all that it was not told before, in its order.
    assert_eq!(scene.ask("six@x")?, reply("00:30:00"));
    let mut peer = Told::accept(&listener)?;
    assert_eq!(peer.hear("803 ok")?, "vers3\n");
    for sender in ["one@x", "two@x", "three@x"] {
        let line = peer.hear("201 ok")?;
        ensure!(line.contains(&format!("from <{sender}> ")), "{line}");
    }
    // What it refuses closes the connection, and is told again with the next event.
    assert_eq!(scene.ask("seven@x")?, reply("00:30:00"));
    peer.hear("106 go away")?;
    scene
        .host
        .wait_for_log("Unexpected reply \"106\" from peer")?;
    assert_eq!(scene.ask("eight@x")?, reply("00:30:00"));
    let mut peer = Told::accept(&listener)?;
    peer.hear("803 ok")?;
    for sender in ["seven@x", "eight@x"] {
        let line = peer.hear("201 ok")?;
        ensure!(line.contains(&format!("from <{sender}> ")), "{line}");
    }
    // Without a next event it is told again after a while.
    assert_eq!(scene.ask("nine@x")?, reply("00:30:00"));
    peer.hear("106 go away")?;
    let mut peer = Told::accept(&listener)?;
    peer.hear("803 ok")?;
    let line = peer.hear("201 ok")?;
    ensure!(line.contains("from <nine@x> "), "{line}");
    Ok(())
}

#[test]
fn two_of_ours_know_what_either_saw() -> Result<()> {
    let folder = scratch_folder()?;
    let mut clock = Clock::new(folder.path(), NOW)?;
    let (here, there, port) = (own_address(), own_address(), free_port()?);
    let start = |name: &str, own: Ipv4Addr, other: Ipv4Addr| {
        let conf = format!("peer {other}\nsyncaddr {own} port {port}\nsyncsrcaddr {own}\n{RULES}");
        GreylistHost::start(Whose::Ours, &folder.path().join(name), &conf, Some(&clock))
    };
    let (one, two) = (start("one", here, there)?, start("two", there, here)?);
    for (first, second, sender) in [(&one, &two, "a@x.org"), (&two, &one, "b@x.org")] {
        clock.set(NOW)?;
        let row = |rest: i64| format!("{CLIENT}\t<{sender}>\t<c@y.net>\t{rest}");
        assert_eq!(first.ask(CLIENT, sender, "c@y.net")?, reply("00:30:00"));
        second.wait_for_row(&row(NOW + 1800))?;
        clock.set(NOW + 1800)?;
        // It passes at the other one, and then at the first.
        assert_eq!(second.ask(CLIENT, sender, "c@y.net")?, "c");
        first.wait_for_row(&format!("{} AUTO", row(NOW + 1800 + 86_400)))?;
        assert_eq!(first.ask(CLIENT, sender, "c@y.net")?, "c");
    }
    // What came from a peer is not passed on: each was connected to once.
    assert_eq!(
        one.stop()?.matches("Incoming MX sync connection").count(),
        1
    );
    assert_eq!(
        two.stop()?.matches("Incoming MX sync connection").count(),
        1
    );
    Ok(())
}

#[test]
fn a_peer_that_is_added_by_a_reload_is_told() -> Result<()> {
    let folder = scratch_folder()?;
    let (ours, theirs, port) = (own_address(), own_address(), free_port()?);
    let sync = format!("syncaddr {ours} port {port}\nsyncsrcaddr {ours}\n{RULES}");
    let host = GreylistHost::start(Whose::Ours, folder.path(), &sync, None)?;
    let listener = TcpListener::bind((theirs, port))?;
    host.ask(CLIENT, "a@x.org", "b@y.net")?;
    let path = folder.path().join("greylist.conf");
    let before = fs::read_to_string(&path)?;
    fs::write(&path, format!("{before}peer {theirs}\n"))?;
    let reloaded = host.tool("reload", &[])?;
    ensure!(reloaded.status.success(), "{reloaded:?}");
    host.ask(CLIENT, "b@x.org", "b@y.net")?;
    let mut peer = Told::accept(&listener)?;
    assert_eq!(peer.hear("803 ok")?, "vers3\n");
    let line = peer.hear("201 ok")?;
    ensure!(line.contains("<b@x.org>"), "{line}");
    Ok(())
}

#[test]
fn who_sits_in_a_tarpit_is_told_of_as_one_who_waits_and_then_passes() -> Result<()> {
    let folder = scratch_folder()?;
    let hosts = Neighbours::start()?;
    let (ours, theirs) = (hosts.addresses()[0], hosts.addresses()[1]);
    let conf = format!("nospf\npeer {ours}\npeer {theirs}\nracl whitelist tarpit 1s\n{RULES}");
    let start = |whose, place, name: &str| {
        GreylistHost::start_at(whose, &folder.path().join(name), &conf, (&hosts, place))
    };
    let (one, real) = (
        start(Whose::Ours, 0, "ours")?,
        start(Whose::Real, 1, "real")?,
    );
    for (first, second, sender) in [(&one, &real, "a@x.org"), (&real, &one, "b@x.org")] {
        let mut filter = first.open(CLIENT)?;
        assert_eq!(
            filter.envelope(sender, &["c@y.net", "d@y.net"])?,
            ["c", "c"]
        );
        second.wait_for_row(&format!("{CLIENT}\t<{sender}>\t<c@y.net>\t"))?;
        filter.content()?;
        // The original tells of it when another recipient follows.
        wait_for("what was sat through elsewhere", PATIENCE, || {
            let rows = second.dumped();
            let of = format!("{CLIENT}\t<{sender}>\t<c@y.net>\t");
            let mut rows = rows.iter();
            Ok(rows.any(|row| row.starts_with(&of) && row.ends_with("AUTO")))
        })
        .with_context(|| format!("{:?}", second.dumped()))?;
    }
    one.stop()?;
    real.stop()?;
    Ok(())
}

#[test]
fn one_of_ours_and_the_real_one_know_what_either_saw() -> Result<()> {
    let folder = scratch_folder()?;
    let hosts = Neighbours::start()?;
    let (ours, theirs) = (hosts.addresses()[0], hosts.addresses()[1]);
    let conf = format!("peer {ours}\npeer {theirs}\n{RULES}").replace("30m", "3s");
    let start = |whose, place, name: &str| {
        GreylistHost::start_at(whose, &folder.path().join(name), &conf, (&hosts, place))
    };
    let (one, real) = (
        start(Whose::Ours, 0, "ours")?,
        start(Whose::Real, 1, "real")?,
    );
    let row = |sender: &str| format!("{CLIENT}\t<{sender}>\t<c@y.net>\t");
    for (first, second, sender) in [(&one, &real, "a@x.org"), (&real, &one, "b@x.org")] {
        let waits = first.ask(CLIENT, sender, "c@y.net")?;
        ensure!(waits.starts_with("y451"), "{waits}");
        second.wait_for_row(&row(sender))?;
        wait_for("the delay", PATIENCE, || {
            Ok(second.ask(CLIENT, sender, "c@y.net")? == "c")
        })?;
    }
    // What passed at one has passed at the other, though the real one tells a wrong date of it.
    for (told, sender) in [(&real, "b@x.org"), (&one, "a@x.org")] {
        wait_for("what passed elsewhere", PATIENCE, || {
            let rows = told.dumped();
            let mut rows = rows.iter();
            Ok(rows.any(|other| other.starts_with(&row(sender)) && other.ends_with("AUTO")))
        })
        .with_context(|| format!("{:?}", told.dumped()))?;
    }
    one.stop()?;
    real.stop()?;
    Ok(())
}
