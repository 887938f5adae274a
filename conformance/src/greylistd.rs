//! The real greylistd of the unpacked package, and the asking side of its
//! protocol.
//!
//! Source: greylistd(8), greylist(1).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::clock::Clock;
use crate::greylister::Endpoint;
use crate::installed::{Installed, User};
use crate::process::{Daemon, wait_for};
use crate::stream::Stream;

const START_MAX: Duration = Duration::from_secs(20);
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A running greylistd, with the configuration that the package brings.
pub struct Greylistd {
    daemon: Daemon,
    installed: Installed,
}

impl Greylistd {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// When the package is missing, this user may not, or it does not listen
    /// within 20 s; the text has what it wrote.
    pub fn start(clock: &Clock) -> Result<Self> {
        let installed = Installed::new(&["greylistd"], &[OWN_USER])?;
        for place in ["run/greylistd", "var/lib/greylistd"] {
            installed.make(place, Some(&OWN_USER))?;
        }
        let mut command = Command::new("/usr/sbin/greylistd");
        clock.rule(&mut command)?;
        let command = installed.enclose(&command);
        let daemon = Daemon::start(command, &installed.path("stderr"))?;
        let mut greylistd = Self { daemon, installed };
        greylistd.wait_until_it_listens()?;
        Ok(greylistd)
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.installed.path("run/greylistd/socket")
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let endpoint = Endpoint::Unix(self.socket());
        wait_for("greylistd", START_MAX, || {
            let stderr = self.daemon.stderr()?;
            let said = String::from_utf8_lossy(&stderr);
            ensure!(self.daemon.is_running()?, "it ended: {said}");
            Ok(Stream::connect(&endpoint).is_ok())
        })
    }
}

const OWN_USER: User = User {
    name: "greylist",
    number: 59_910,
};

/// Sends `pieces` one after the other, and gives the answer.
///
/// # Errors
/// When the server does not answer and close within 10 s.
pub fn ask_greylistd(socket: &Path, pieces: &[&[u8]], half_close: bool) -> Result<String> {
    let mut stream = Stream::connect(&Endpoint::Unix(socket.to_owned()))?;
    for piece in pieces {
        stream.send(piece)?;
    }
    if half_close {
        stream.half_close()?;
    }
    let mut answer = Vec::new();
    loop {
        let mut chunk = [0; 8192];
        match stream.read(&mut chunk, ANSWER_MAX) {
            Ok(0) => return Ok(String::from_utf8(answer)?),
            Ok(count) => answer.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => bail!("no end but {error} after {answer:?}"),
        }
    }
}
