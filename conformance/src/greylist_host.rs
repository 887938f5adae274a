//! A host that runs with a `greylist.conf`: ours under the name of
//! milter-greylist, or the real one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::clock::Clock;
use crate::enclose::{with_etc, without_syslog};
use crate::greylister::Endpoint;
use crate::milter::{MilterClient, Offer};
use crate::milter_greylist::own_linker;
use crate::neighbours::Neighbours;
use crate::peers::{greylatch_binary, peer};
use crate::process::{Daemon, hang_up, wait_for};
use crate::stream::Stream;

const LOG_MAX: Duration = Duration::from_secs(20);
const START_MAX: Duration = Duration::from_secs(20);

/// Which program it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Greylatch, as the personality milter-greylist.
    Ours,
    /// milter-greylist 4.6.4.
    Real,
}

/// A running host. Its dump file is `greylist.db` in its folder.
pub struct GreylistHost {
    daemon: Daemon,
    folder: PathBuf,
}

impl GreylistHost {
    /// Starts it in `folder` with the statements `conf`, behind those that name
    /// its socket and its dump file, and waits until it listens.
    ///
    /// # Errors
    /// When it ends, or does not listen within 20 s; the text has what it wrote.
    pub fn start(whose: Whose, folder: &Path, conf: &str, clock: Option<&Clock>) -> Result<Self> {
        let command = command(whose, folder, conf, clock)?;
        Self::listening(command, folder)
    }

    /// The same at one of two neighbours, by the real time.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_at(
        whose: Whose,
        folder: &Path,
        conf: &str,
        (hosts, place): (&Neighbours, usize),
    ) -> Result<Self> {
        let command = command(whose, folder, conf, None)?;
        Self::listening(hosts.run_at(place, &command), folder)
    }

    /// The same by the real time, with the files in `etc` in place of those of the system's `/etc`.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_within(whose: Whose, folder: &Path, conf: &str, etc: &Path) -> Result<Self> {
        let command = command(whose, folder, conf, None)?;
        Self::listening(with_etc(etc, &command), folder)
    }

    fn listening(command: Command, folder: &Path) -> Result<Self> {
        let mut daemon = Daemon::start(command, &folder.join("stderr"))?;
        let socket = Endpoint::Unix(folder.join("socket"));
        wait_for("its socket", START_MAX, || {
            ensure!(
                daemon.is_running()?,
                "it ended at start: {}",
                String::from_utf8_lossy(&daemon.stderr()?)
            );
            Ok(MilterClient::connect(&socket).is_ok())
        })?;
        Ok(Self {
            daemon,
            folder: folder.to_owned(),
        })
    }

    /// A connection on which this client has been told of.
    ///
    /// # Errors
    /// When the filter does not agree.
    pub fn open(&self, client: &str) -> Result<MilterClient> {
        let socket = Endpoint::Unix(self.folder.join("socket"));
        MilterClient::open(&socket, Offer::of_version(6), client)
    }

    /// The answer to the only recipient of a message of `client`: `c` when it
    /// passes, else the reply.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn ask(&self, client: &str, sender: &str, recipient: &str) -> Result<String> {
        let mut filter = self.open(client)?;
        let answers = filter.envelope(sender, &[recipient])?;
        filter.send('Q', b"")?;
        answers.into_iter().next().context("no answer")
    }

    /// The rows of the dump file, without their dates; none when it is not there.
    pub fn dumped(&self) -> Vec<String> {
        rows(&self.folder.join("greylist.db"))
    }

    /// Waits until the dump file has a row that begins like this.
    ///
    /// # Errors
    /// When it has none within 20 s; the text has what is there.
    pub fn wait_for_row(&self, row: &str) -> Result<()> {
        let is_there = || Ok(self.dumped().iter().any(|other| other.starts_with(row)));
        wait_for(row, LOG_MAX, is_there)
            .with_context(|| format!("{:?}, {}", self.dumped(), self.log().unwrap_or_default()))
    }

    /// What it has written to standard error so far.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.daemon.stderr()?).into_owned())
    }

    /// Waits until the log has `text`.
    ///
    /// # Errors
    /// When it has not within 20 s; the text has the whole log.
    pub fn wait_for_log(&self, text: &str) -> Result<()> {
        wait_for(text, LOG_MAX, || Ok(self.log()?.contains(text)))
            .with_context(|| format!("the log is {}", self.log().unwrap_or_default()))
    }

    /// Runs one of our tools against it, which has to be ours.
    ///
    /// # Errors
    /// When the program cannot be started, or the control socket is not there
    /// within 20 s.
    pub fn tool(&self, name: &str, words: &[&str]) -> Result<Output> {
        let control = self.folder.join("greylatch/control");
        // It is bound last, after the socket that was waited for.
        let endpoint = Endpoint::Unix(control.clone());
        wait_for("its control socket", START_MAX, || {
            Ok(Stream::connect(&endpoint).is_ok())
        })?;
        Command::new(greylatch_binary()?)
            .args([name, "--control"])
            .arg(control)
            .args(words)
            .output()
            .context("a tool of greylatch")
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// Lets it have no more than so many files open.
    ///
    /// # Errors
    /// When prlimit(1) fails.
    pub fn limit_files(&self, most: u32) -> Result<()> {
        let status = Command::new("prlimit")
            .arg(format!("--pid={}", self.daemon.pid()))
            .arg(format!("--nofile={most}"))
            .status()
            .context("prlimit")?;
        ensure!(status.success(), "prlimit: {status}");
        Ok(())
    }

    /// Sends it HUP.
    ///
    /// # Errors
    /// When it is gone.
    pub fn hang_up(&self) -> Result<()> {
        hang_up(self.daemon.pid())
    }

    /// Ends it by TERM and gives all that it wrote to standard error.
    ///
    /// # Errors
    /// When it does not end, or not well.
    pub fn stop(self) -> Result<String> {
        let status = self.daemon.terminate()?;
        let log = fs::read(self.folder.join("stderr"))?;
        let log = String::from_utf8_lossy(&log).into_owned();
        ensure!(status.success(), "it ended with {status}: {log}");
        Ok(log)
    }
}

fn rows(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let rows = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut rows: Vec<String> = rows
        .map(|line| {
            line.split(" #")
                .next()
                .unwrap_or(line)
                .trim_end()
                .to_owned()
        })
        .map(|line| {
            line.split("# ")
                .next()
                .unwrap_or_default()
                .trim_end()
                .to_owned()
        })
        .collect();
    rows.sort();
    rows
}

/// Writes these statements into the folder, behind three lines that name its
/// socket and its dump file, and gives the file.
pub(crate) fn write_conf(folder: &Path, conf: &str) -> Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let path = folder.join("greylist.conf");
    let usual = format!(
        "socket \"{0}/socket\"\ndumpfile \"{0}/greylist.db\"\nuser \"root\"\n",
        folder.display()
    );
    fs::write(&path, usual + conf)?;
    Ok(path)
}

/// The command of a program with its configuration, which is written.
fn command(whose: Whose, folder: &Path, conf: &str, clock: Option<&Clock>) -> Result<Command> {
    let path = write_conf(folder, conf)?;
    let mut command = match whose {
        Whose::Ours => {
            let mut command = Command::new(greylatch_binary()?);
            command.arg("milter-greylist");
            if let Some(clock) = clock {
                clock.rule(&mut command)?;
            }
            command
        }
        Whose::Real => real(clock)?,
    };
    command.args(["-D", "-f"]).arg(&path);
    Ok(match whose {
        Whose::Ours => without_syslog(&command),
        Whose::Real => command,
    })
}

/// The real one, with the libc of its own release.
fn real(clock: Option<&Clock>) -> Result<Command> {
    let root = peer("milter-greylist")?;
    let mut command = own_linker(&root)?;
    if let Some(clock) = clock {
        clock.rule(&mut command)?;
    }
    command.arg(root.join("usr/sbin/milter-greylist"));
    Ok(command)
}
