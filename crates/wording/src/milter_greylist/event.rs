//! Log lines about the daemon: its files, its reloads, and the other mail exchangers.

use std::net::IpAddr;
use std::time::Duration;

use crate::escape::escaped;

/// Something that happened to the daemon.
#[derive(Clone, Copy, Debug)]
pub enum MilterGreylistEvent<'a> {
    /// The dump file could not be read, and nothing is remembered: two lines in the original.
    NoDump(&'a str),
    /// The configuration is being read again.
    Reloading(&'a str),
    /// It has been.
    Reloaded(&'a str, Duration),
    /// So many records were written to the dump file.
    Dumped {
        /// How many.
        records: u64,
        /// How long that took.
        took: Duration,
    },
    /// So many changes are about to be written; with `verbose` only.
    Dumping(u64),
    /// It ends as it should.
    Ended,
    /// The dump at the end; whether there was something to write.
    FinalDump(bool),
    /// A peer has connected.
    PeerConnected(IpAddr),
    /// Somebody has connected who is no peer.
    NoPeer(IpAddr),
    /// The socket for peers cannot be opened; why.
    PeersUnbound(&'a str),
    /// A connection to a peer speaks this version of the protocol.
    PeerEstablished {
        /// The peer, as the configuration names it.
        peer: &'a str,
        /// 1 to 3.
        version: u8,
    },
    /// A peer did not know a command.
    PeerAnswered {
        /// The peer.
        peer: &'a str,
        /// The code it answered.
        code: &'a [u8],
        /// The command.
        command: &'a str,
    },
    /// A peer answered something else than expected, and the connection is closed.
    PeerUnexpected {
        /// The peer.
        peer: &'a str,
        /// What it answered.
        reply: &'a [u8],
        /// How many events wait for it.
        queued: usize,
    },
    /// A peer is away for so long that no more is kept for it.
    PeerOverflow {
        /// The peer.
        peer: &'a str,
        /// How many events wait for it.
        queued: usize,
    },
}

impl MilterGreylistEvent<'_> {
    /// The syslog severity.
    ///
    /// Source: RFC 5424 §6.2.1, table 2 (3 error, 4 warning, 6 informational, 7 debug).
    #[must_use]
    pub fn severity(&self) -> u8 {
        match self {
            Self::NoDump(_) | Self::PeersUnbound(_) | Self::Ended => 3,
            Self::NoPeer(_) | Self::PeerUnexpected { .. } | Self::PeerOverflow { .. } => 4,
            Self::Reloading(_)
            | Self::Reloaded(..)
            | Self::FinalDump(_)
            | Self::PeerConnected(_)
            | Self::PeerEstablished { .. } => 6,
            Self::Dumping(_) | Self::Dumped { .. } | Self::PeerAnswered { .. } => 7,
        }
    }

    /// The lines, of which only one event has two.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        if let Self::NoDump(path) = self {
            return vec![
                format!("cannot read dumpfile \"{}\"", escaped(path.as_bytes())),
                "starting with an empty greylist".to_owned(),
            ];
        }
        vec![self.text()]
    }

    fn text(&self) -> String {
        let own = |text: &str| escaped(text.as_bytes());
        match self {
            Self::NoDump(_) => String::new(),
            Self::Reloading(path) => format!("reloading config file \"{}\"", own(path)),
            Self::Reloaded(path, took) => {
                let took = took.as_secs_f64();
                format!("reloaded config file \"{}\" in {took:.6}s", own(path))
            }
            Self::Dumped { records, took } => {
                format!("dumping {records} records in {:.6}s", took.as_secs_f64())
            }
            Self::Dumping(changes) => format!("dumping {changes} modifications"),
            Self::Ended => "smfi_main() returned 0".to_owned(),
            Self::FinalDump(true) => "Final database dump".to_owned(),
            Self::FinalDump(false) => "Final database dump: no change to dump".to_owned(),
            Self::PeerConnected(address) => {
                format!("Incoming MX sync connection from {address}")
            }
            Self::NoPeer(address) => format!("Remote host {address} is not a peer MX"),
            Self::PeersUnbound(why) => format!("cannot start MX sync, bind failed: {}", own(why)),
            Self::PeerEstablished { peer, version } => {
                let peer = own(peer);
                format!("Connection to {peer} established, protocol version {version}")
            }
            Self::PeerAnswered {
                peer,
                code,
                command,
            } => format!(
                "peer {} answered code {} to command {command}",
                own(peer),
                escaped(code),
            ),
            Self::PeerUnexpected {
                peer,
                reply,
                queued,
            } => format!(
                "Unexpected reply \"{}\" from peer {} closing connection ({queued} entries queued)",
                escaped(reply),
                own(peer),
            ),
            Self::PeerOverflow { peer, queued } => format!(
                "peer {} queue overflow ({queued} entries), discarding new entry",
                own(peer),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_told(expected: &[(MilterGreylistEvent<'_>, u8, &[&str])]) {
        for (event, severity, texts) in expected {
            assert_eq!(event.texts(), *texts);
            assert_eq!(event.severity(), *severity, "{texts:?}");
        }
    }

    #[test]
    fn files_and_reloads_are_told_in_the_originals_words() {
        assert_told(&[
            (
                MilterGreylistEvent::NoDump("/var/db/greylist.db"),
                3,
                &[
                    "cannot read dumpfile \"/var/db/greylist.db\"",
                    "starting with an empty greylist",
                ],
            ),
            (
                MilterGreylistEvent::Reloading("g.conf"),
                6,
                &["reloading config file \"g.conf\""],
            ),
            (
                MilterGreylistEvent::Reloaded("g.conf", Duration::from_micros(164)),
                6,
                &["reloaded config file \"g.conf\" in 0.000164s"],
            ),
            (
                MilterGreylistEvent::Dumped {
                    records: 3,
                    took: Duration::from_micros(1_000_012),
                },
                7,
                &["dumping 3 records in 1.000012s"],
            ),
            (
                MilterGreylistEvent::Dumping(2),
                7,
                &["dumping 2 modifications"],
            ),
            (MilterGreylistEvent::Ended, 3, &["smfi_main() returned 0"]),
            (
                MilterGreylistEvent::FinalDump(true),
                6,
                &["Final database dump"],
            ),
            (
                MilterGreylistEvent::FinalDump(false),
                6,
                &["Final database dump: no change to dump"],
            ),
        ]);
    }

    #[test]
    fn peers_are_told_in_the_originals_words() {
        let peer = "192.0.2.9";
        assert_told(&[
            (
                MilterGreylistEvent::PeerConnected([127, 0, 0, 9].into()),
                6,
                &["Incoming MX sync connection from 127.0.0.9"],
            ),
            (
                MilterGreylistEvent::NoPeer([127, 0, 0, 77].into()),
                4,
                &["Remote host 127.0.0.77 is not a peer MX"],
            ),
            (
                MilterGreylistEvent::PeersUnbound("Address already in use"),
                3,
                &["cannot start MX sync, bind failed: Address already in use"],
            ),
            (
                MilterGreylistEvent::PeerEstablished { peer, version: 3 },
                6,
                &["Connection to 192.0.2.9 established, protocol version 3"],
            ),
            (
                MilterGreylistEvent::PeerAnswered {
                    peer,
                    code: b"102",
                    command: "vers3",
                },
                7,
                &["peer 192.0.2.9 answered code 102 to command vers3"],
            ),
            (
                MilterGreylistEvent::PeerUnexpected {
                    peer,
                    reply: b"106\x1b",
                    queued: 2,
                },
                4,
                &[
                    "Unexpected reply \"106\\x1b\" from peer 192.0.2.9 closing connection (2 entries queued)",
                ],
            ),
            (
                MilterGreylistEvent::PeerOverflow { peer, queued: 1024 },
                4,
                &["peer 192.0.2.9 queue overflow (1024 entries), discarding new entry"],
            ),
        ]);
    }
}
