//! Ours under the name of milter-greylist, logging to syslog, so that facility and
//! severity are seen.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::clock::Clock;
use crate::dev_log::{DevLog, LogLine};
use crate::greylist_host::write_conf;
use crate::greylister::Endpoint;
use crate::milter::MilterClient;
use crate::peers::greylatch_binary;
use crate::process::Daemon;

/// A running daemon of ours.
pub(crate) struct Ours {
    daemon: Daemon,
    log: DevLog,
    folder: PathBuf,
}

impl Ours {
    /// Starts it in `folder` with these statements, behind three lines of the
    /// test's own.
    pub(crate) fn start(folder: &Path, conf: &str, clock: &Clock) -> Result<Self> {
        let path = write_conf(folder, conf)?;
        let mut command = Command::new(greylatch_binary()?);
        command.args(["milter-greylist", "-D", "-f"]).arg(&path);
        clock.rule(&mut command)?;
        let log = DevLog::open()?;
        let daemon = Daemon::start(log.enclose(&command), &folder.join("stderr"))?;
        let mut ours = Self {
            daemon,
            log,
            folder: folder.to_owned(),
        };
        let listens = MilterClient::wait(&ours.endpoint());
        ensure!(
            ours.daemon.is_running()?,
            "it ended: {}",
            String::from_utf8_lossy(&ours.daemon.stderr()?)
        );
        listens?;
        Ok(ours)
    }

    /// Where it listens.
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::Unix(self.folder.join("socket"))
    }

    /// Ends it by TERM, and gives the dump that it leaves, and its log.
    pub(crate) fn end(self) -> Result<(String, Vec<LogLine>)> {
        self.daemon.terminate()?;
        let dump = fs::read_to_string(self.folder.join("greylist.db"))?;
        Ok((dump, self.log.lines_when_quiet()?))
    }
}
