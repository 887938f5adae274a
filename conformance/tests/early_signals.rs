//! Signals that come as soon as there is a socket or a pidfile, before the daemon does anything else.
//!
//! Symptom: a HUP in the first millisecond ended the daemon. Cause: signals were caught when the runtime
//! started, after the sockets were bound. They are caught before.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use conformance::{
    Daemon, Native, greylatch_binary, hang_up, own_user_options, scratch_folder, wait_for,
};

const TRIES: usize = 25;
const LIMIT: Duration = Duration::from_secs(20);

/// By what name it runs, what is seen of it at first, and what it says when it reloads.
const CASES: &[(&str, &str, &str)] = &[
    ("serve", "policy", "HUP received: reloading whitelists..."),
    ("serve", "control", "HUP received: reloading whitelists..."),
    (
        "postgrey",
        "policy",
        "HUP received: reloading whitelists...",
    ),
    ("milter-greylist", "milter", "reading lists and rules again"),
    ("milter-greylist", "pid", "reading lists and rules again"),
];

fn command(folder: &Path, name: &str) -> Result<Command> {
    if name == "serve" {
        return Native::command(folder, "");
    }
    let within = |file: &str| folder.join(file).to_string_lossy().into_owned();
    let mut command = Command::new(greylatch_binary()?);
    command.arg(name);
    if name == "postgrey" {
        fs::create_dir(folder.join("db"))?;
        command.arg(format!("--unix={}", within("policy")));
        command.arg(format!("--dbdir={}", within("db")));
        command.args(own_user_options()?);
    } else {
        fs::write(folder.join("conf"), "racl greylist default\n")?;
        for (option, file) in [
            ("-f", "conf"),
            ("-p", "milter"),
            ("-P", "pid"),
            ("-d", "dump"),
        ] {
            command.arg(option).arg(within(file));
        }
        command.args(["-D", "-u", "root"]);
    }
    Ok(command)
}

/// Starts it, and waits without a pause, so that nothing of the first moment is missed.
fn start_and_see(folder: &Path, name: &str, seen: &str) -> Result<Daemon> {
    let mut daemon = Daemon::start(command(folder, name)?, &folder.join("stderr"))?;
    let begun = Instant::now();
    while !folder.join(seen).exists() {
        ensure!(begun.elapsed() < LIMIT, "{seen} does not come");
        if begun.elapsed() > Duration::from_secs(1) {
            ensure!(daemon.is_running()?, "it ended: {}", log_of(&daemon)?);
        }
    }
    Ok(daemon)
}

fn log_of(daemon: &Daemon) -> Result<String> {
    Ok(String::from_utf8_lossy(&daemon.stderr()?).into_owned())
}

#[test]
fn a_hup_in_the_first_moment_reloads_and_ends_nothing() -> Result<()> {
    for (name, seen, line) in CASES {
        for nth in 0..TRIES {
            let folder = scratch_folder()?;
            let mut daemon = start_and_see(folder.path(), name, seen)?;
            hang_up(daemon.pid())?;
            wait_for("the reload", LIMIT, || {
                let log = log_of(&daemon)?;
                let runs = daemon.is_running()?;
                ensure!(runs, "{name}, {seen}, try {nth}: it ended: {log}");
                Ok(log.contains(line))
            })?;
            ensure!(daemon.terminate()?.success());
        }
    }
    Ok(())
}

#[test]
fn a_term_in_the_first_moment_ends_it_in_order() -> Result<()> {
    for (name, seen, _) in CASES {
        for nth in 0..TRIES {
            let folder = scratch_folder()?;
            let daemon = start_and_see(folder.path(), name, seen)?;
            let status = daemon.terminate()?;
            ensure!(status.success(), "{name}, {seen}, try {nth}: {status}");
            for left in ["policy", "control", "milter", "pid"] {
                let is_left = folder.path().join(left).exists();
                ensure!(!is_left, "{name}, {seen}, try {nth}: {left} is left");
            }
        }
    }
    Ok(())
}
