//! Lines to `/dev/log` as BSD syslog datagrams, many with one system call.
//!
//! Source: RFC 3164 §4.1; syslog(3) leaves the host name out on the local socket.

use std::io::IoSlice;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::process;

use nix::sys::socket::{MsgFlags, MultiHeaders, UnixAddr, sendmmsg};

use super::Lines;
use crate::clock;
use crate::config::Facility;

pub(crate) struct Syslog {
    ident: String,
    facility: Facility,
    socket: Option<UnixDatagram>,
}

/// Datagrams per system call.
const BATCH: usize = 64;

impl Syslog {
    pub(crate) fn new(ident: &str, facility: Facility) -> Self {
        Self {
            ident: ident.to_owned(),
            facility,
            socket: None,
        }
    }

    /// Writes the lines and gives how many could not be sent; a daemon that went away is
    /// connected to again with the next lines.
    pub(crate) fn write(&mut self, lines: &Lines) -> u64 {
        let datagrams = self.datagrams(lines);
        let mut left = &datagrams[..];
        for _ in 0..2 {
            if self.socket.is_none() {
                self.socket = connect("/dev/log");
            }
            let Some(socket) = &self.socket else {
                break;
            };
            left = send(socket, left);
            if left.is_empty() {
                return 0;
            }
            self.socket = None;
        }
        left.len() as u64
    }

    fn datagrams(&self, lines: &Lines) -> Vec<Vec<u8>> {
        let date = clock::syslog_date(clock::now());
        let tag = format!("{date} {}[{}]: ", self.ident, process::id());
        lines
            .iter()
            .map(|(severity, line)| {
                let mut datagram = if severity.is_early() {
                    let priority = Facility::USER.number() * 8 + severity.number();
                    format!("<{priority}>{date} {}: ", self.ident).into_bytes()
                } else {
                    let priority = self.facility.number() * 8 + severity.number();
                    format!("<{priority}>{tag}").into_bytes()
                };
                datagram.extend_from_slice(line);
                datagram
            })
            .collect()
    }
}

fn connect(path: &str) -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect(path).ok()?;
    Some(socket)
}

/// Sends what it can and gives what is left.
fn send<'a>(socket: &UnixDatagram, mut left: &'a [Vec<u8>]) -> &'a [Vec<u8>] {
    let mut headers = MultiHeaders::<UnixAddr>::preallocate(BATCH, None);
    while !left.is_empty() {
        let batch = &left[..left.len().min(BATCH)];
        let slices: Vec<[IoSlice<'_>; 1]> = batch
            .iter()
            .map(|datagram| [IoSlice::new(datagram)])
            .collect();
        let addresses = vec![None; batch.len()];
        let sent = sendmmsg(
            socket.as_raw_fd(),
            &mut headers,
            &slices,
            addresses,
            [],
            MsgFlags::empty(),
        );
        match sent.map(Iterator::count) {
            Ok(sent) if sent > 0 => left = &left[sent.min(batch.len())..],
            _ => return left,
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Severity;

    #[test]
    fn lines_arrive_as_datagrams_with_priority_and_tag() {
        let (near, far) = UnixDatagram::pair().expect("a pair of sockets");
        let mut syslog = Syslog::new("postgrey", Facility::MAIL);
        syslog.socket = Some(near);
        let mut lines = Lines::default();
        for nth in 0..3 {
            lines.push(Severity(5), format!("line {nth}").as_bytes());
        }
        assert_eq!(syslog.write(&lines), 0);
        for nth in 0..3 {
            let mut datagram = [0; 200];
            let length = far.recv(&mut datagram).expect("a datagram");
            let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
            assert!(text.starts_with("<21>"), "{text}");
            assert!(
                text.ends_with(&format!(" postgrey[{}]: line {nth}", process::id())),
                "{text}"
            );
        }
    }

    // option: log.facility log.ident log.to
    #[test]
    fn syslog_gets_the_facility_and_the_name_that_are_told() {
        let log = crate::config::Log {
            to: crate::config::LogTo::Syslog,
            ident: "gl".into(),
            facility: "local1".parse().expect("a facility"),
            ..Default::default()
        };
        let super::super::Sink::Syslog(syslog) = super::super::Sink::open(&log) else {
            panic!("lines go elsewhere");
        };
        let mut lines = Lines::default();
        lines.push(Severity(5), b"a line");
        let datagram = String::from_utf8_lossy(&syslog.datagrams(&lines)[0]).into_owned();
        assert!(datagram.starts_with("<141>"), "{datagram}");
        assert!(datagram.contains(" gl["), "{datagram}");
    }
}
