//! The sending side of SMTP, with a source address of one's own choice.
//!
//! It speaks line by line, without pipelining, and shows every reply as it is.
//! Source: RFC 5321, sections 3 and 4.2.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, socket};

const REPLY_MAX: Duration = Duration::from_secs(60);

/// A reply of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpReply {
    /// The three digits.
    pub code: u16,
    /// What follows them, the lines joined by line ends.
    pub text: String,
}

/// A session with an SMTP server of this host.
pub struct SmtpClient {
    stream: BufReader<TcpStream>,
}

impl SmtpClient {
    /// The command by which the one user of a server logs in, where there is one.
    /// Source: RFC 4616; the name is `ann` and the password `secret`.
    pub const LOGIN: &str = "AUTH PLAIN AGFubgBzZWNyZXQ=";

    /// Connects from `source` to `port` of 127.0.0.1, or of ::1 from an address of IPv6, and says EHLO.
    ///
    /// # Errors
    /// When nobody listens or the server does not want us.
    pub fn connect(source: impl Into<IpAddr>, port: u16) -> Result<Self> {
        let source = source.into();
        let (family, host) = match source {
            IpAddr::V4(_) => (AddressFamily::Inet, Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(_) => (AddressFamily::Inet6, Ipv6Addr::LOCALHOST.into()),
        };
        let descriptor = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        let from = SocketAddr::new(source, 0);
        let to = SocketAddr::new(host, port);
        bind(descriptor.as_raw_fd(), &SockaddrStorage::from(from))?;
        connect(descriptor.as_raw_fd(), &SockaddrStorage::from(to))?;
        let stream = TcpStream::from(descriptor);
        stream.set_read_timeout(Some(REPLY_MAX))?;
        let mut client = Self {
            stream: BufReader::new(stream),
        };
        let greeting = client.reply()?;
        ensure!(greeting.code == 220, "greeted with {greeting:?}");
        let hello = client.command("EHLO client.example")?;
        ensure!(hello.code == 250, "EHLO got {hello:?}");
        Ok(client)
    }

    /// Sends one line and gives the reply to it.
    ///
    /// # Errors
    /// When the server closes, or says nothing for 60 s.
    pub fn command(&mut self, line: &str) -> Result<SmtpReply> {
        self.send(line)?;
        self.reply().with_context(|| format!("after {line}"))
    }

    /// Sends one line to which there is no reply, such as one of a message.
    ///
    /// # Errors
    /// When the server has closed.
    pub fn send(&mut self, line: &str) -> Result<()> {
        let bytes = format!("{line}\r\n");
        Ok(self.stream.get_mut().write_all(bytes.as_bytes())?)
    }

    /// Sends one message: the replies to each RCPT, and that to the end of the
    /// data if any recipient was taken.
    ///
    /// # Errors
    /// When the server refuses anything else.
    pub fn deliver(
        &mut self,
        sender: &str,
        recipients: &[&str],
    ) -> Result<(Vec<SmtpReply>, Option<SmtpReply>)> {
        let mail = self.command(&format!("MAIL FROM:<{sender}>"))?;
        ensure!(mail.code == 250, "MAIL got {mail:?}");
        let mut replies = Vec::new();
        for recipient in recipients {
            replies.push(self.command(&format!("RCPT TO:<{recipient}>"))?);
        }
        if !replies.iter().any(|reply| reply.code == 250) {
            self.command("RSET")?;
            return Ok((replies, None));
        }
        let data = self.command("DATA")?;
        ensure!(data.code == 354, "DATA got {data:?}");
        let end = self.command("Subject: greylisting\r\n\r\nA line.\r\n.")?;
        Ok((replies, Some(end)))
    }

    /// The next reply.
    ///
    /// # Errors
    /// When the server closes, or says nothing for 60 s.
    pub fn reply(&mut self) -> Result<SmtpReply> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let count = self.stream.read_line(&mut line)?;
            ensure!(count >= 4, "{line:?} is no reply");
            let line = line.trim_end();
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                let code = line.get(..3).context("a reply begins with three digits")?;
                return Ok(SmtpReply {
                    code: code.parse()?,
                    text: lines.join("\n"),
                });
            }
        }
    }
}
