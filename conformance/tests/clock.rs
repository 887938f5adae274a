//! The fake clock holds for C and for Rust programs, stands still, and moves
//! when it is told to. All other comparisons stand on this.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use conformance::{Clock, EPISODE_START, scratch_folder};

#[test]
fn programs_in_c_and_in_rust_see_the_same_moment() -> Result<()> {
    let folder = scratch_folder()?;
    let mut clock = Clock::new(folder.path(), EPISODE_START)?;
    assert_eq!(seen_by_both(&clock)?, [EPISODE_START; 2]);
    thread::sleep(Duration::from_millis(1_100));
    assert_eq!(seen_by_both(&clock)?, [EPISODE_START; 2]);
    clock.set(EPISODE_START + 172_801)?;
    assert_eq!(seen_by_both(&clock)?, [EPISODE_START + 172_801; 2]);
    clock.set(1)?;
    assert_eq!(seen_by_both(&clock)?, [1; 2]);
    Ok(())
}

#[test]
fn a_running_program_sees_the_clock_move() -> Result<()> {
    let folder = scratch_folder()?;
    let mut clock = Clock::new(folder.path(), EPISODE_START)?;
    let script = "use strict; $| = 1; while (<STDIN>) { print time(), qq(\\n) }";
    let mut command = Command::new("perl");
    command.args(["-e", script]);
    clock.rule(&mut command)?;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut asking = child.stdin.take().context("it is piped")?;
    let mut answers = BufReader::new(child.stdout.take().context("it is piped")?);
    for moment in [EPISODE_START, EPISODE_START + 299, EPISODE_START - 5] {
        clock.set(moment)?;
        asking.write_all(b"\n")?;
        let mut line = String::new();
        answers.read_line(&mut line)?;
        assert_eq!(line.trim().parse::<i64>()?, moment);
    }
    drop(asking);
    assert!(child.wait()?.success());
    Ok(())
}

fn seen_by_both(clock: &Clock) -> Result<[i64; 2]> {
    let mut date = Command::new("date");
    date.arg("+%s");
    let in_c = output_of(date, clock)?;
    let in_rust = output_of(Command::new(env!("CARGO_BIN_EXE_what_time")), clock)?;
    let (second, slept) = in_rust.split_once(' ').context("it prints two numbers")?;
    // Timers have to go on while the wall clock stands still.
    let slept: u64 = slept.parse()?;
    assert!((50..5_000).contains(&slept), "it slept {slept} ms");
    Ok([in_c.parse()?, second.parse()?])
}

fn output_of(mut command: Command, clock: &Clock) -> Result<String> {
    clock.rule(&mut command)?;
    Ok(String::from_utf8(command.output()?.stdout)?
        .trim()
        .to_owned())
}
