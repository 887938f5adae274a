//! A connection to a server of this host, by either kind of socket.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::Result;

use crate::greylister::Endpoint;

/// How long connecting and sending may take.
const SEND_MAX: Duration = Duration::from_secs(10);

/// A connection to one of the two.
pub(crate) enum Stream {
    Unix(UnixStream),
    Inet(TcpStream),
}

impl Stream {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub(crate) fn connect(endpoint: &Endpoint) -> Result<Self> {
        Ok(match endpoint {
            Endpoint::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_write_timeout(Some(SEND_MAX))?;
                Self::Unix(stream)
            }
            Endpoint::Inet(address) => {
                let stream = TcpStream::connect_timeout(address, SEND_MAX)?;
                stream.set_write_timeout(Some(SEND_MAX))?;
                stream.set_nodelay(true)?;
                Self::Inet(stream)
            }
        })
    }

    /// Sends `bytes` as they are.
    ///
    /// # Errors
    /// When the server has closed, or takes nothing for 10 s.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.write_all(bytes),
            Self::Inet(stream) => stream.write_all(bytes),
        }
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    /// When the connection is gone.
    pub(crate) fn half_close(&self) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
            Self::Inet(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    /// What comes within `limit`; nothing when the server has closed.
    ///
    /// # Errors
    /// Among others when nothing comes.
    pub(crate) fn read(&mut self, chunk: &mut [u8], limit: Duration) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => {
                stream.set_read_timeout(Some(limit))?;
                stream.read(chunk)
            }
            Self::Inet(stream) => {
                stream.set_read_timeout(Some(limit))?;
                stream.read(chunk)
            }
        }
    }
}
