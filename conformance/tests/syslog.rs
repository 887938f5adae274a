//! With `-d` both log to syslog: the same datagrams, by priority, name and
//! text.
//!
//! What only Postgrey's server library and database say is left out
//! (docs/postgrey.md, "What differs, and why").

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use conformance::{
    DevLog, Endpoint, LogLine, Message, PolicyClient, Program, hang_up, own_user_options,
    scratch_folder, terminate, wait_for,
};

const PROGRAMS: [Program; 2] = [Program::Postgrey, Program::Greylatch];
const LIMIT: Duration = Duration::from_secs(20);

/// A greylister in the background; ended when dropped.
struct Background {
    folder: PathBuf,
    pid: u32,
}

impl Background {
    fn start(program: Program, folder: &Path, options: &[String], log: &DevLog) -> Result<Self> {
        fs::create_dir_all(folder.join("db"))?;
        let mut command = program.command()?;
        command.args(own_user_options()?).args([
            "-d".to_owned(),
            format!("--dbdir={}", folder.join("db").display()),
            format!("--unix={}", folder.join("socket").display()),
            format!("--pidfile={}", folder.join("pid").display()),
        ]);
        command.args(options);
        let output = log.enclose(&command).output()?;
        ensure!(output.status.success(), "{program:?}: {output:?}");
        let mut pid: Option<u32> = None;
        wait_for("its pidfile", LIMIT, || {
            let text = fs::read_to_string(folder.join("pid")).unwrap_or_default();
            pid = text.trim_end().parse().ok();
            // One that was left behind names no process.
            Ok(pid.is_some_and(|pid| Path::new(&format!("/proc/{pid}")).exists()))
        })
        .with_context(|| format!("{program:?} wrote {:?}", log.lines()))?;
        let background = Self {
            folder: folder.to_owned(),
            pid: pid.context("it has come")?,
        };
        wait_for("its socket", LIMIT, || Ok(background.connect().is_ok()))?;
        // Postgrey listens before it does, and would end with its pidfile left behind.
        wait_for("its ear for TERM", LIMIT, || catches_term(background.pid))?;
        Ok(background)
    }

    fn connect(&self) -> Result<PolicyClient> {
        PolicyClient::connect(&Endpoint::Unix(self.folder.join("socket")))
    }

    fn hang_up(&self) -> Result<()> {
        hang_up(self.pid)
    }

    fn stop(&self) -> Result<()> {
        // It is nobody's child: ask again until it hears.
        wait_for("its end", LIMIT, || {
            terminate(self.pid)?;
            std::thread::sleep(Duration::from_millis(100));
            Ok(!self.folder.join("pid").exists())
        })?;
        // Its last lines may come after its pidfile has gone.
        wait_for("its last word", LIMIT, || Ok(has_ended(self.pid)))
    }
}

/// Whether a process has ended, waited for or not.
/// Source: proc_pid_status(5), `State`.
fn has_ended(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status"));
    status.map_or(true, |status| status.contains("\nState:\tZ"))
}

/// Whether a process has a handler for TERM, signal 15.
/// Source: proc_pid_status(5), `SigCgt`.
fn catches_term(pid: u32) -> Result<bool> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mut lines = status.lines();
    let caught = lines.find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = u64::from_str_radix(caught.context("no SigCgt")?.trim(), 16)?;
    Ok(caught & 1 << 14 != 0)
}

impl Drop for Background {
    fn drop(&mut self) {
        if self.folder.join("pid").exists() {
            // A test has failed already; this only cleans up.
            drop(self.stop());
        }
    }
}

/// All that can be logged by asking, one kind after the other.
fn requests() -> Vec<Vec<u8>> {
    let client = ("192.0.2.10", "mx.example.com");
    // Each is new, so that it does not matter in which second it comes.
    let new = |recipient| Message::of(client, "alice@example.com", recipient);
    let listed = Message::of(
        ("192.0.2.11", "listed.example"),
        "a@b.example",
        "c@d.example",
    );
    vec![
        new("bob@example.org").bytes(),
        new("cid@example.org")
            .with("queue_id", "399109B806E")
            .bytes(),
        listed.bytes(),
        Message::of(client, "%s%n@example.com", "postmaster@example.org").bytes(),
        Message::new().with("client_address", "192.0.2.10").bytes(),
        new("dan@example.org").with_line("hello world").bytes(),
    ]
}

#[test]
fn the_datagrams_are_those_of_postgrey() -> Result<()> {
    let postgrey = everything_logged(Program::Postgrey, &[])?;
    let ours = everything_logged(Program::Greylatch, &[])?;
    assert_eq!(ours, postgrey);
    Ok(())
}

#[test]
fn with_another_facility_and_little_to_say_too() -> Result<()> {
    let options = ["--quiet", "--syslog-facility=local3"];
    let postgrey = everything_logged(Program::Postgrey, &options)?;
    let ours = everything_logged(Program::Greylatch, &options)?;
    assert_eq!(ours, postgrey);
    Ok(())
}

#[test]
fn what_keeps_it_from_starting_is_logged_as_postgrey_logs_it() -> Result<()> {
    let known = [
        (
            "--dbdir=DIR/missing",
            "ERROR: can't open lock file: DIR/missing/postgrey.lock",
        ),
        (
            "--pidfile=DIR/used",
            "Pid_file already exists for running process (PID)... aborting",
        ),
        (
            "--user=nobody-of-ours",
            "ERROR: No such user \"nobody-of-ours\"",
        ),
        ("--group=nobodies", "ERROR: No such group \"nobodies\""),
    ];
    for (option, reason) in known {
        let expected = format!("<18>postgrey[ANOTHER PID]: FATAL: {reason}");
        // Postgrey may say more than one thing.
        let postgrey = refused(Program::Postgrey, option, &expected)?;
        assert!(postgrey.contains(&expected), "{option}: {postgrey:?}");
        let ours = refused(Program::Greylatch, option, &expected)?;
        assert_eq!(ours, [expected], "{option}");
    }
    Ok(())
}

#[test]
fn a_pidfile_that_was_left_behind_is_overwritten_with_a_warning() -> Result<()> {
    for program in PROGRAMS {
        let folder = scratch_folder()?;
        let log = DevLog::open()?;
        // No process has this number: it is beyond the largest.
        // Source: proc(5), `pid_max`.
        fs::write(folder.path().join("pid"), "4194305\n")?;
        let background = Background::start(program, folder.path(), &[], &log)?;
        background.stop()?;
        let lines = shown(&log.lines()?, background.pid, folder.path());
        // Postgrey says it before it goes into the background, so with another number.
        let expected = "<20>postgrey: WARNING: Pid_file \"DIR/pid\" already exists.  Overwriting!";
        assert!(
            lines.iter().any(|line| unnumbered(line) == expected),
            "{program:?}: {lines:#?}"
        );
    }
    Ok(())
}

fn unnumbered(line: &str) -> String {
    line.replace("[PID]", "").replace("[ANOTHER PID]", "")
}

/// What a program logs that does not start: the lines of severity `crit`, of which one is
/// `expected`.
fn refused(program: Program, option: &str, expected: &str) -> Result<Vec<String>> {
    let folder = scratch_folder()?;
    let log = DevLog::open()?;
    fs::create_dir_all(folder.path().join("db"))?;
    // A process that runs, and no server.
    let pid = std::process::id();
    fs::write(folder.path().join("used"), format!("{pid}\n"))?;
    let mut command = program.command()?;
    command.args(own_user_options()?).args([
        "-d".to_owned(),
        format!("--dbdir={}", folder.path().join("db").display()),
        format!("--unix={}", folder.path().join("socket").display()),
        option.replace("DIR", &folder.path().display().to_string()),
    ]);
    log.enclose(&command).output()?;
    let mut critical = Vec::new();
    wait_for(expected, LIMIT, || {
        critical = shown(&log.lines()?, 0, folder.path());
        critical.retain(|line| line.starts_with("<18>"));
        critical
            .iter_mut()
            .for_each(|line| *line = line.replace(&format!("({pid})"), "(PID)"));
        Ok(critical.iter().any(|line| line == expected))
    })
    .with_context(|| format!("{program:?} {option}: {critical:?}"))?;
    Ok(critical)
}

/// Waits until a text has been logged so many times; does `meanwhile` again and again.
fn until_logged(
    log: &DevLog,
    (times, text): (usize, &str),
    mut meanwhile: impl FnMut() -> Result<()>,
) -> Result<()> {
    wait_for(text, LIMIT, || {
        meanwhile()?;
        let lines = log.lines()?;
        let told = lines.iter().filter(|line| line.text.contains(text));
        Ok(told.count() == times)
    })
}

/// What a program with these options logs from start to end.
fn everything_logged(program: Program, options: &[&str]) -> Result<Vec<String>> {
    let folder = scratch_folder()?;
    let log = DevLog::open()?;
    let [clients, recipients] = ["clients", "recipients"].map(|name| folder.path().join(name));
    fs::write(&clients, "listed.example\ntwo words\n")?;
    fs::write(&recipients, "postmaster@\nnot an address\n")?;
    let mut words = vec![
        format!("--whitelist-clients={}", clients.display()),
        format!("--whitelist-clients={}/missing", folder.path().display()),
        format!("--whitelist-recipients={}", recipients.display()),
    ];
    words.extend(options.iter().map(|&word| word.to_owned()));
    let background = Background::start(program, folder.path(), &words, &log)?;
    let mut client = background.connect()?;
    for request in requests() {
        client.ask(&request)?;
        // Another connection: Postgrey lets one request's attributes live on in the next.
        client = background.connect()?;
    }
    client.send(&Message::bare().with("request", "foo").bytes())?;
    until_logged(&log, (1, "request type: 'foo'"), || Ok(()))?;
    fs::write(&clients, "listed.example\n\n\nnow three words\n")?;
    background.hang_up()?;
    // Perl can miss a signal that comes just before it begins to wait; a connection wakes it.
    until_logged(&log, (2, "recipients line 2"), || {
        background.connect().map(drop)
    })?;
    background.stop()?;
    Ok(shown(&log.lines()?, background.pid, folder.path()))
}

/// Lines as text, without what differs between two runs, and without what only Postgrey's server
/// library says.
fn shown(lines: &[LogLine], pid: u32, folder: &Path) -> Vec<String> {
    let folder = folder.display().to_string();
    lines
        .iter()
        // How often we had to connect is chance.
        .filter(|line| !line.text.contains(" CONNECT "))
        .filter(|line| !LIBRARY.iter().any(|said| line.text.starts_with(said)))
        .map(|line| {
            let by = match line.pid {
                None => "",
                Some(number) if number == pid => "[PID]",
                Some(_) => "[ANOTHER PID]",
            };
            let text = line.text.replace(&folder, "DIR");
            let text = text.replace(&format!("pid({pid})"), "pid(PID)");
            format!("<{}>{}{by}: {}", line.priority, line.ident, undated(&text))
        })
        .collect()
}

/// The beginnings of lines that docs/postgrey.md says we do not write.
const LIBRARY: [&str; 3] = ["Process Backgrounded", "Binding to ", "Setting gid to "];

/// The text without the date that may stand before it.
fn undated(text: &str) -> String {
    let date = |c: char| c.is_ascii_digit() || "/:-".contains(c);
    match text.split_once(' ') {
        Some((first, rest)) if first.len() == 19 && first.chars().all(date) => {
            format!("DATE {rest}")
        }
        _ => text.to_owned(),
    }
}
