//! Faults beside the disk, told to a serving daemon: damaged files, a log that
//! nobody reads, a clock that steps, more connections than there may be, clients
//! that are slow. Answers go on, nobody else notices anything, and it is well
//! again without a restart.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use conformance::{
    Asker, Clock, Daemon, EPISODE_START, Heard, Plan, Serving, attempt, private_dev,
    raise_file_limit, scratch_folder, wait_for, with_neighbour,
};

const KNOWN: &str = "known@sender.example";
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long nothing must come until it counts as silence.
const SILENCE: Duration = Duration::from_millis(150);
const RECOVERY_MAX: Duration = Duration::from_secs(60);
const DUNNO: &[u8] = b"action=DUNNO\n\n";

#[test]
fn damaged_files_are_moved_aside_and_serving_goes_on() -> Result<()> {
    for damage in [flip_journal, truncate_version, garble_tables] {
        let folder = scratch_folder()?;
        let store = folder.path().join("store");
        let serving = start(folder.path(), &store)?;
        let mut asker = Asker::new(&serving)?;
        asker.prove(KNOWN)?;
        asker.prove("other@sender.example")?;
        drop(asker);
        assert!(serving.stop()?.success());
        damage(&store.join("records"))?;
        let mut serving = start(folder.path(), &store)?;
        with_neighbour(serving.endpoint(), || {
            let mut asker = Asker::new(&serving)?;
            asker.until_well()?;
            serving.wait_for_log("the store is down: the files are damaged")?;
            serving
                .wait_for_log("store/records.damaged-1; an empty one is begun, and every sender")?;
            // It was forgotten, and is learned again.
            asker.prove(KNOWN)?;
            asker.nobody_is_forgotten()
        })?;
        assert!(store.join("records.damaged-1").is_dir());
        // What the administrator asks at is where it was.
        assert!(serving.verdicts("retry")? > 0);
        assert!(serving.daemon().is_running()?);
        assert!(serving.stop()?.success());
    }
    Ok(())
}

#[test]
fn standard_error_that_nobody_reads_delays_no_answer() -> Result<()> {
    let folder = scratch_folder()?;
    let pipe = folder.path().join("stderr");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU)?;
    // For writing too: a pipe without a reader cannot be opened for writing.
    let mut reader = File::options()
        .read(true)
        .write(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(&pipe)?;
    let store = folder.path().join("store");
    let plan = plan(folder.path(), &store);
    let daemon = Daemon::start(plan.command()?, &pipe)?;
    let serving = Serving::of(daemon, &plan)?;
    with_neighbour(serving.endpoint(), || fill_the_log(&serving))?;
    // Somebody reads again: what was dropped is said, and lines come as before.
    let mut said = Vec::new();
    let mut client = serving.connect()?;
    wait_for("lines of log", RECOVERY_MAX, || {
        let mut chunk = vec![0; 1 << 20];
        match reader.read(&mut chunk) {
            Ok(count) => said.extend_from_slice(&chunk[..count]),
            Err(error) => ensure!(error.kind() == ErrorKind::WouldBlock, "{error}"),
        }
        client.ask(&attempt("afterwards@sender.example").bytes())?;
        let text = String::from_utf8_lossy(&said);
        let dropped = text.find(" log lines were dropped");
        Ok(dropped.is_some_and(|at| text[at..].contains("sender=afterwards@")))
    })
}

#[test]
fn a_syslog_that_nobody_reads_delays_no_answer() -> Result<()> {
    let folder = scratch_folder()?;
    private_dev(folder.path())?;
    let socket = UnixDatagram::bind("/dev/log")?;
    let store = folder.path().join("store");
    let serving = Serving::start(&Plan {
        tables: "[log]\nto = \"syslog\"\nformat = \"logfmt\"",
        ..plan(folder.path(), &store)
    })?;
    with_neighbour(serving.endpoint(), || fill_the_log(&serving))?;
    lines_come(&serving, &socket, "read-again@sender.example")?;
    // Gone: the lines meanwhile are lost and counted, nothing else happens.
    drop(socket);
    fs::remove_file("/dev/log")?;
    let lost = log_dropped(&serving)?;
    with_neighbour(serving.endpoint(), || {
        wait_for("lost lines", RECOVERY_MAX, || {
            serving
                .connect()?
                .ask(&attempt("meanwhile@sender.example").bytes())?;
            Ok(log_dropped(&serving)? > lost)
        })
    })?;
    let socket = UnixDatagram::bind("/dev/log")?;
    lines_come(&serving, &socket, "there-again@sender.example")?;
    assert!(serving.stop()?.success());
    Ok(())
}

#[test]
fn a_clock_that_steps_neither_passes_early_nor_forgets() -> Result<()> {
    let folder = scratch_folder()?;
    let mut clock = Clock::new(folder.path(), EPISODE_START)?;
    let store = folder.path().join("store");
    let serving = Serving::start(&Plan {
        clock: Some(&clock),
        ..plan(folder.path(), &store)
    })?;
    let mut asker = Asker::new(&serving)?;
    let mut says = |sender: &str| -> Result<String> { Ok(asker.ask(attempt(sender))?.reason) };
    assert_eq!(says(KNOWN)?, "new");
    clock.set(EPISODE_START + 60)?;
    assert_eq!(says(KNOWN)?, "retry");
    let today = EPISODE_START + 86_400;
    clock.set(today)?;
    assert_eq!(says("waiting@sender.example")?, "new");
    // An hour back: nobody passes early, who is known stays known.
    clock.set(today - 3_600)?;
    assert_eq!(says(KNOWN)?, "known");
    assert_eq!(says("waiting@sender.example")?, "new");
    clock.set(today - 3_600 + 59)?;
    assert_eq!(says("waiting@sender.example")?, "early-retry");
    // Twenty years on: all has expired, as far as one can tell.
    clock.set(today + 20 * 365 * 86_400)?;
    assert_eq!(says("stranger@sender.example")?, "new");
    // Status has what has expired looked after.
    serving.status()?;
    // Right again: nothing was purged meanwhile, and the stranger starts over.
    clock.set(today + 60)?;
    assert_eq!(says(KNOWN)?, "known");
    assert_eq!(says("waiting@sender.example")?, "retry");
    assert_eq!(says("stranger@sender.example")?, "new");
    drop(asker);
    assert!(serving.stop()?.success());
    Ok(())
}

#[test]
fn one_connection_too_many_waits_until_another_closes() -> Result<()> {
    const CONNECTIONS: usize = 4_096;
    raise_file_limit(CONNECTIONS as u64 + 200)?;
    let folder = scratch_folder()?;
    let store = folder.path().join("store");
    let mut serving = start(folder.path(), &store)?;
    let request = attempt("somebody@sender.example")
        .with("recipient", "postmaster@here.example")
        .bytes();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = serving.connect()?;
        assert_eq!(client.ask(&request)?, DUNNO);
        clients.push(client);
    }
    assert_eq!(serving.status()?["connections"], CONNECTIONS + 1);
    let mut late = serving.connect()?;
    late.send(&request)?;
    assert_eq!(late.hear(SILENCE)?, Heard::Silence);
    assert_eq!(clients[7].ask(&request)?, DUNNO);
    clients.pop();
    assert_eq!(late.hear(ANSWER_MAX)?, Heard::Answer(DUNNO.to_vec()));
    assert!(serving.daemon().is_running()?);
    assert!(serving.stop()?.success());
    Ok(())
}

#[test]
fn connections_leave_the_store_the_files_it_needs() -> Result<()> {
    let folder = scratch_folder()?;
    let store = folder.path().join("store");
    let mut serving = Serving::start(&Plan {
        files_max: Some(100),
        ..plan(folder.path(), &store)
    })?;
    serving.wait_for_log("only 50 connections at once, because only 100 open files are allowed")?;
    let mut asker = Asker::new(&serving)?;
    asker.prove(KNOWN)?;
    let request = attempt("somebody@sender.example")
        .with("recipient", "postmaster@here.example")
        .bytes();
    let mut clients = Vec::new();
    for _ in 1..50 {
        let mut client = serving.connect()?;
        assert_eq!(client.ask(&request)?, DUNNO);
        clients.push(client);
    }
    let mut late = serving.connect()?;
    late.send(&request)?;
    assert_eq!(late.hear(SILENCE)?, Heard::Silence);
    asker.is_known(KNOWN)?;
    assert_eq!(asker.newcomer()?.reason, "new");
    clients.pop();
    assert_eq!(late.hear(ANSWER_MAX)?, Heard::Answer(DUNNO.to_vec()));
    assert_eq!(serving.verdicts("store-down")?, 0);
    drop(asker);
    assert!(serving.daemon().is_running()?);
    assert!(serving.stop()?.success());
    Ok(())
}

#[test]
fn slow_clients_lose_their_connection_and_nobody_else_anything() -> Result<()> {
    let folder = scratch_folder()?;
    let store = folder.path().join("store");
    let serving = Serving::start(&Plan {
        listen: "request_timeout = \"3s\"",
        ..plan(folder.path(), &store)
    })?;
    let request = attempt("slow@sender.example").bytes();
    with_neighbour(serving.endpoint(), || {
        // One byte a second.
        let mut slow = serving.connect()?;
        let mut sent = 0;
        let heard = loop {
            ensure!(sent < 60, "it was never closed");
            if slow.send(&request[sent..=sent]).is_err() {
                break Heard::Closed(Vec::new());
            }
            sent += 1;
            match slow.hear(Duration::from_secs(1))? {
                Heard::Silence => {}
                heard => break heard,
            }
        };
        assert_eq!(heard, Heard::Closed(Vec::new()));
        serving.wait_for_log("a connection was closed: a request was not complete in time")?;
        // One that never reads.
        let mut deaf = serving.connect()?;
        let many = request.repeat(200);
        let mut given = 0;
        while deaf.send(&many).is_ok() {
            given += 200;
            ensure!(given < 1_000_000, "it took {given} requests");
        }
        serving.wait_for_log("a connection was closed: an answer was not taken in time")
    })?;
    assert!(serving.stop()?.success());
    Ok(())
}

fn flip_journal(store: &Path) -> Result<()> {
    let journal = files(store, "jnl")?;
    let path = journal.first().context("no journal")?;
    let mut bytes = fs::read(path)?;
    let at = bytes
        .windows(7)
        .position(|text| text == b"sender.")
        .context("no record in the journal")?;
    bytes[at] ^= 0x20;
    Ok(fs::write(path, bytes)?)
}

fn truncate_version(store: &Path) -> Result<()> {
    Ok(fs::write(store.join("version"), "FJ")?)
}

/// Everything in the folders of tables becomes nonsense of the same length.
fn garble_tables(store: &Path) -> Result<()> {
    for keyspace in fs::read_dir(store.join("keyspaces"))? {
        for file in fs::read_dir(keyspace?.path())? {
            let path = file?.path();
            if path.is_file() {
                let length = fs::metadata(&path)?.len();
                fs::write(&path, vec![0xa5; usize::try_from(length)?])?;
            }
        }
    }
    Ok(())
}

fn files(folder: &Path, end: &str) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == end) {
            found.push(path);
        }
    }
    Ok(found)
}

/// Asks until lines of log have been dropped; the answers are those always
/// given.
fn fill_the_log(serving: &Serving) -> Result<()> {
    let request = attempt(&format!("{}@sender.example", "x".repeat(400)))
        .with("recipient", format!("postmaster@{}", "y".repeat(400)))
        .bytes();
    let mut client = serving.connect()?;
    wait_for("dropped lines", RECOVERY_MAX, || {
        client.send(&request.repeat(200))?;
        for _ in 0..200 {
            let heard = client.hear(ANSWER_MAX)?;
            ensure!(heard == Heard::Answer(DUNNO.to_vec()), "{heard:?}");
        }
        Ok(log_dropped(serving)? > 0)
    })
}

fn log_dropped(serving: &Serving) -> Result<u64> {
    let status = serving.status()?;
    status["log_dropped"].as_u64().context("no number")
}

/// Reads what comes until the loss has been said and `sender` is named.
fn lines_come(serving: &Serving, socket: &UnixDatagram, sender: &str) -> Result<()> {
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    let (mut told, mut named) = (false, false);
    let mut client = serving.connect()?;
    wait_for("lines of log", RECOVERY_MAX, || {
        client.ask(&attempt(sender).bytes())?;
        let mut datagram = [0; 8_192];
        while let Ok(length) = socket.recv(&mut datagram) {
            let text = String::from_utf8_lossy(&datagram[..length]);
            told |= text.contains(" log lines were dropped");
            named |= text.contains(sender);
        }
        Ok(told && named)
    })
}

fn plan<'a>(folder: &'a Path, store: &'a Path) -> Plan<'a> {
    Plan {
        greylist: "exempt_clients_after = 0",
        ..Plan::new(folder, store)
    }
}

fn start(folder: &Path, store: &Path) -> Result<Serving> {
    Serving::start(&plan(folder, store))
}
