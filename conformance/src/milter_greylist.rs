//! The real milter-greylist 4.6.4, under the clock of a test.
//!
//! Its package is of Debian 13 and stands on that release's libc, so it is
//! started by the dynamic linker of its own tree. Its log is collected as the
//! system's would.
//! Source: milter-greylist(8), greylist.conf(5), ld.so(8).

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::clock::Clock;
use crate::dev_log::{DevLog, LogLine};
use crate::greylister::{Endpoint, libraries};
use crate::milter::MilterClient;
use crate::peers::peer;
use crate::process::{Daemon, free_port};

/// A running milter-greylist.
pub struct MilterGreylist {
    daemon: Daemon,
    log: DevLog,
    address: SocketAddr,
    dump: PathBuf,
}

impl MilterGreylist {
    /// Starts it in `folder` with these lines of `greylist.conf`, and waits
    /// until it listens. Where it listens and dumps is added, and that it asks
    /// no name server for SPF.
    ///
    /// # Errors
    /// When the package is missing, it finds a mistake, or does not listen
    /// within 20 s.
    pub fn start(folder: &Path, lines: &str, clock: &Clock) -> Result<Self> {
        let root = peer("milter-greylist")?;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let configuration = folder.join("greylist.conf");
        let dump = folder.join("greylist.db");
        fs::write(
            &configuration,
            format!(
                "socket \"inet:{}@{}\"\ndumpfile \"{}\"\nnospf\n{lines}",
                address.port(),
                address.ip(),
                dump.display()
            ),
        )?;
        let mut command = own_linker(&root)?;
        command
            .arg(root.join("usr/sbin/milter-greylist"))
            .args(["-D", "-u", "root", "-P"])
            .arg(folder.join("milter-greylist.pid"))
            .arg("-f")
            .arg(&configuration);
        clock.rule(&mut command)?;
        let log = DevLog::open()?;
        let daemon = Daemon::start(
            log.enclose(&command),
            &folder.join("milter-greylist.stderr"),
        )?;
        let mut original = Self {
            daemon,
            log,
            address,
            dump,
        };
        let listens = MilterClient::wait(&original.endpoint());
        ensure!(
            original.daemon.is_running()?,
            "milter-greylist ended: {}",
            String::from_utf8_lossy(&original.daemon.stderr()?)
        );
        listens?;
        Ok(original)
    }

    /// Where it listens.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::Inet(self.address)
    }

    /// What it has logged.
    ///
    /// # Errors
    /// When it is no syslog.
    pub fn log(&self) -> Result<Vec<LogLine>> {
        self.log.lines()
    }

    /// Ends it by TERM, and gives the dump that it leaves.
    ///
    /// # Errors
    /// When it does not end, or leaves none.
    pub fn stop(self) -> Result<String> {
        Ok(self.end()?.0)
    }

    /// The same, with all that it has logged.
    pub(crate) fn end(self) -> Result<(String, Vec<LogLine>)> {
        self.daemon.terminate()?;
        let dump = fs::read_to_string(&self.dump).context("no dump")?;
        Ok((dump, self.log.lines_when_quiet()?))
    }
}

/// The dynamic linker of the tree `root`, told where the libraries are.
pub(crate) fn own_linker(root: &Path) -> Result<Command> {
    let mut search = libraries(root)?;
    let linkers = search
        .iter()
        .map(fs::read_dir)
        .collect::<Result<Vec<_>, _>>()?;
    let linker = linkers
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("ld-linux"))
        })
        .with_context(|| format!("{} has no libc: run cargo xtask peers", root.display()))?;
    // Some packages put theirs there.
    search.push(root.join("usr/lib"));
    let mut command = Command::new(linker);
    command.arg("--library-path").arg(env::join_paths(search)?);
    Ok(command)
}
