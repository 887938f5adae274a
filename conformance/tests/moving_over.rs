//! Stopping Postgrey, starting ours on its folder, and going back: nobody who
//! was known is asked to wait again.
//!
//! `GREYLATCH_LONG=1` does it with 10,000 triplets instead of 1,000.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use conformance::{
    Clock, Door, EPISODE_START, Greylister, Message, Program, Setting, is_long_run, scratch_folder,
};

const DUNNO: &[u8] = b"action=DUNNO\n\n";
const DELAY: i64 = 300;
/// Clients that the auto-whitelist knows at the end.
const KNOWN_CLIENTS: usize = 3;

#[test]
fn ours_knows_whom_postgrey_knew_and_postgrey_knows_them_afterwards() -> Result<()> {
    move_there_and_back(&[])
}

#[test]
fn the_same_holds_with_hashed_keys() -> Result<()> {
    move_there_and_back(&["--privacy"])
}

#[test]
fn the_same_holds_by_host() -> Result<()> {
    move_there_and_back(&["--lookup-by-host"])
}

fn move_there_and_back(extra: &[&str]) -> Result<()> {
    let count = if is_long_run() { 10_000 } else { 1_000 };
    let folder = scratch_folder()?;
    let mut clock = Clock::new(folder.path(), EPISODE_START)?;
    let options = options(folder.path(), extra)?;

    let postgrey = start(Program::Postgrey, folder.path(), &options, &clock)?;
    let mut now = EPISODE_START;
    make_known(&postgrey, count, &mut clock)?;
    now += DELAY;
    now = whitelist_clients(&postgrey, now, &mut clock)?;
    let waiting_since = now;
    ask_waiting(&postgrey, "action=DEFER_IF_PERMIT ")?;
    ensure!(postgrey.stop()?.success());
    let before = database(folder.path())?;

    // Half of the delay has passed for those who wait.
    clock.set(now + DELAY / 2)?;
    let ours = start(Program::Greylatch, folder.path(), &options, &clock)?;
    all_known(&ours, count)?;
    ask_waiting(&ours, "action=DEFER_IF_PERMIT ")?;
    clock.set(waiting_since + DELAY)?;
    ask_waiting(
        &ours,
        "action=PREPEND X-Greylist: delayed 300 seconds by postgrey-1.37 at ",
    )?;
    ensure!(ours.stop()?.success());
    ensure!(
        database(folder.path())? == before,
        "ours has written to the database of Postgrey"
    );

    // What was learnt is kept over a start of ours.
    let ours = start(Program::Greylatch, folder.path(), &options, &clock)?;
    ask_waiting(&ours, "action=DUNNO")?;
    ensure!(ours.stop()?.success());

    let postgrey = start(Program::Postgrey, folder.path(), &options, &clock)?;
    all_known(&postgrey, count)?;
    ensure!(postgrey.stop()?.success());
    Ok(())
}

/// The sender number `place`, from one of some hundred networks.
fn triplet(place: usize) -> Message {
    let address = match place % 3 {
        0 => format!("2001:db8:{:x}::25", place % 200),
        _ => format!("198.18.{}.{}", place % 250, 1 + place / 250 % 250),
    };
    Message::of(
        (&address, "mx.example.test"),
        // Nothing that the normalisation of senders would join.
        &format!("user-x{place}y@sender.example"),
        "bob@example.org",
    )
}

fn make_known(server: &Greylister, count: usize, clock: &mut Clock) -> Result<()> {
    let mut client = server.connect()?;
    for place in 0..count {
        let answer = client.ask(&triplet(place).bytes())?;
        ensure!(
            answer.starts_with(b"action=DEFER_IF_PERMIT "),
            "{}",
            answer.escape_ascii()
        );
    }
    clock.set(clock.now() + DELAY)?;
    for place in 0..count {
        let answer = client.ask(&triplet(place).bytes())?;
        ensure!(
            answer.starts_with(b"action=PREPEND "),
            "{}",
            answer.escape_ascii()
        );
    }
    Ok(())
}

/// Brings a few clients over the threshold of two; gives the time it is then.
fn whitelist_clients(server: &Greylister, start: i64, clock: &mut Clock) -> Result<i64> {
    let mut now = start;
    let mut client = server.connect()?;
    for round in 0..2 {
        let asks: Vec<Vec<u8>> = (0..KNOWN_CLIENTS)
            .map(|place| client_mail(place, round).bytes())
            .collect();
        for later in [3_600, DELAY] {
            now += later;
            clock.set(now)?;
            for ask in &asks {
                client.ask(ask)?;
            }
        }
    }
    for place in 0..KNOWN_CLIENTS {
        ensure!(client.ask(&client_mail(place, 99).bytes())? == DUNNO);
    }
    Ok(now)
}

fn client_mail(place: usize, round: usize) -> Message {
    let address = ["203.0.113.1", "203.0.114.2", "2001:db8:abcd::1"][place];
    Message::of(
        (address, "big.example.test"),
        &format!("letter{round}x@big.example"),
        "carol@example.org",
    )
}

fn all_known(server: &Greylister, count: usize) -> Result<()> {
    let mut client = server.connect()?;
    for place in 0..count {
        let answer = client.ask(&triplet(place).bytes())?;
        ensure!(
            answer == DUNNO,
            "sender {place} of {count} is not known: {}",
            answer.escape_ascii()
        );
    }
    for place in 0..KNOWN_CLIENTS {
        let answer = client.ask(&client_mail(place, 1_000).bytes())?;
        ensure!(
            answer == DUNNO,
            "client {place} is not known: {}",
            answer.escape_ascii()
        );
    }
    Ok(())
}

/// Asks for one who has been seen once.
fn ask_waiting(server: &Greylister, expected: &str) -> Result<()> {
    let answer = server.connect()?.ask(
        &Message::of(
            ("192.0.2.1", "new.example.test"),
            "new@comer.example",
            "d@e.example",
        )
        .bytes(),
    )?;
    ensure!(
        answer.starts_with(expected.as_bytes()),
        "{} where {expected:?} was expected",
        answer.escape_ascii()
    );
    Ok(())
}

/// The triplets and clients as Postgrey has stored them.
fn database(folder: &Path) -> Result<[Vec<u8>; 2]> {
    let dbdir = folder.join("db");
    Ok([
        fs::read(dbdir.join("postgrey.db"))?,
        fs::read(dbdir.join("postgrey_clients.db"))?,
    ])
}

fn options(folder: &Path, extra: &[&str]) -> Result<Vec<OsString>> {
    let list = folder.join("empty");
    fs::write(&list, "")?;
    let list = list.display();
    let mut options: Vec<OsString> = extra.iter().map(OsString::from).collect();
    for word in [
        format!("--whitelist-clients={list}"),
        format!("--whitelist-recipients={list}"),
        format!("--delay={DELAY}"),
        "--auto-whitelist-clients=2".to_owned(),
    ] {
        options.push(word.into());
    }
    Ok(options)
}

fn start(
    program: Program,
    folder: &Path,
    options: &[OsString],
    clock: &Clock,
) -> Result<Greylister> {
    Greylister::start(
        program,
        &Setting {
            folder,
            door: Door::Unix,
            options,
            clock: Some(clock),
        },
    )
}
