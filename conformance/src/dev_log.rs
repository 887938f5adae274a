//! A `/dev/log` of its own for a program: a socket that collects what it logs,
//! seen by nobody else.
//!
//! The program runs in a mount namespace whose `/dev` is a folder of ours, so
//! the system may have a log daemon or none.
//!
//! Source: syslog(3), mount(8).

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::enclose::enclose;

/// One datagram of BSD syslog, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Facility times eight and severity.
    pub priority: u8,
    /// Who it says has written it.
    pub ident: String,
    /// The process number behind the name.
    pub pid: Option<u32>,
    /// The rest.
    pub text: String,
}

/// A socket for log lines.
pub struct DevLog {
    folder: TempDir,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
    reader: Option<JoinHandle<()>>,
}

/// Makes `/dev` the folder `$0`, with the few devices that programs need, and
/// becomes the rest.
const ENCLOSE: &str = r#"
set -e
for device in null zero random urandom; do
    : > "$0/$device"
    mount --bind "/dev/$device" "$0/$device"
done
mkdir -p "$0/shm"
mount --rbind /dev/shm "$0/shm"
mount --rbind "$0" /dev
exec "$@"
"#;

/// A log that has grown no more for so long has all that was written.
const QUIET: Duration = Duration::from_millis(300);

impl DevLog {
    /// Listens.
    ///
    /// # Errors
    /// When the socket cannot be made, or no mount namespace can, which needs
    /// root.
    pub fn open() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let socket = UnixDatagram::bind(folder.path().join("log"))?;
        let received = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&received);
        let reader = thread::spawn(move || {
            let mut buffer = [0; 65_536];
            // An empty datagram says that it is over.
            while let Ok(length @ 1..) = socket.recv(&mut buffer) {
                let mut received = into.lock().unwrap_or_else(PoisonError::into_inner);
                received.push(buffer[..length].to_vec());
            }
        });
        let log = Self {
            folder,
            received,
            reader: Some(reader),
        };
        let tried = log.enclose(&Command::new("true")).output()?;
        ensure!(
            tried.status.success(),
            "no mount namespace for a /dev/log of its own, which needs root: {}",
            String::from_utf8_lossy(&tried.stderr)
        );
        Ok(log)
    }

    /// The same command, with this as its `/dev/log`.
    pub fn enclose(&self, command: &Command) -> Command {
        enclose(ENCLOSE, self.folder.path(), command)
    }

    /// What has come so far, in its order.
    ///
    /// # Errors
    /// When something is no line of syslog.
    pub fn lines(&self) -> Result<Vec<LogLine>> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received
            .iter()
            .map(|datagram| {
                let datagram = String::from_utf8_lossy(datagram);
                LogLine::parse(&datagram).with_context(|| format!("no syslog: {datagram:?}"))
            })
            .collect()
    }

    /// The same once it has grown no more for a while: it is read by a thread.
    pub(crate) fn lines_when_quiet(&self) -> Result<Vec<LogLine>> {
        let mut before = self.lines()?;
        loop {
            thread::sleep(QUIET);
            let now = self.lines()?;
            if now.len() == before.len() {
                return Ok(now);
            }
            before = now;
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for DevLog {
    fn drop(&mut self) {
        let told = UnixDatagram::unbound().and_then(|socket| socket.send_to(&[], self.path()));
        if let Some(reader) = self.reader.take()
            && told.is_ok()
        {
            // It does not panic.
            drop(reader.join());
        }
        // A socket is removed with its folder; that the folder can be removed
        // shows that no mount of a test has leaked into this namespace.
        drop(fs::remove_file(self.path()));
    }
}

impl LogLine {
    /// `<PRIORITY>Mmm dd hh:mm:ss IDENT[PID]: TEXT`.
    /// Source: RFC 3164, 4.1.
    fn parse(datagram: &str) -> Option<Self> {
        let (priority, rest) = datagram.strip_prefix('<')?.split_once('>')?;
        let rest = rest.get("Mmm dd hh:mm:ss ".len()..)?;
        let (tag, text) = rest.split_once(": ")?;
        let (ident, pid) = match tag.split_once('[') {
            Some((ident, pid)) => (ident, Some(pid.strip_suffix(']')?.parse().ok()?)),
            None => (tag, None),
        };
        Some(Self {
            priority: priority.parse().ok()?,
            ident: ident.to_owned(),
            pid,
            text: text.trim_end_matches(['\n', '\0']).to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_taken_apart() {
        let line = |pid, text: &str| LogLine {
            priority: 21,
            ident: "postgrey".into(),
            pid,
            text: text.into(),
        };
        assert_eq!(
            LogLine::parse("<21>Nov 24 02:59:28 postgrey[7639]: a: b\n"),
            Some(line(Some(7639), "a: b"))
        );
        assert_eq!(
            LogLine::parse("<21>Nov  4 02:59:28 postgrey: a"),
            Some(line(None, "a"))
        );
        assert_eq!(LogLine::parse("no line"), None);
    }
}
