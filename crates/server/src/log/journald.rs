//! Lines to systemd's journal by its native protocol.
//!
//! Source: systemd "Native Journal Protocol" (fields as `NAME=value` lines in one datagram; no
//! line here holds a line end, so the simple form is enough).

use std::os::unix::net::UnixDatagram;

use super::Lines;
use crate::config::Facility;

pub(crate) struct Journald {
    head: String,
    socket: Option<UnixDatagram>,
}

const SOCKET: &str = "/run/systemd/journal/socket";

impl Journald {
    pub(crate) fn new(ident: &str, facility: Facility) -> Self {
        let facility = facility.number();
        let pid = std::process::id();
        Self {
            head: format!(
                "SYSLOG_IDENTIFIER={ident}\nSYSLOG_FACILITY={facility}\nSYSLOG_PID={pid}\n"
            ),
            socket: UnixDatagram::unbound().ok(),
        }
    }

    /// Writes the lines and gives how many could not be sent.
    pub(crate) fn write(&self, lines: &Lines) -> u64 {
        let mut lost = 0;
        for (severity, line) in lines.iter() {
            let mut datagram =
                format!("PRIORITY={}\n{}MESSAGE=", severity.number(), self.head).into_bytes();
            datagram.extend_from_slice(line);
            datagram.push(b'\n');
            let sent = self
                .socket
                .as_ref()
                .map(|socket| socket.send_to(&datagram, SOCKET));
            lost += u64::from(!matches!(sent, Some(Ok(_))));
        }
        lost
    }
}

/// Whether our standard error is connected to the journal.
///
/// Source: systemd.exec(5), `$JOURNAL_STREAM`: device and inode of the stream.
pub(crate) fn is_our_stderr() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    nix::sys::stat::fstat(std::io::stderr())
        .is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}
