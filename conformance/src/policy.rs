//! The asking side of the Postfix policy protocol, also for requests that are
//! not well formed.
//!
//! It sends bytes as given and never mends them.
//! Source: Postfix `SMTPD_POLICY_README`, "Protocol description".

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::greylister::Endpoint;
use crate::stream::Stream;

/// Longer than any healthy server needs, shorter than Postfix's own patience.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The bytes of one answer, its blank line included.
    Answer(Vec<u8>),
    /// The server closed the connection; the bytes that came before it, which
    /// are no complete answer.
    Closed(Vec<u8>),
    /// Nothing complete within the time allowed.
    Silence,
}

/// One connection to a policy server.
pub struct PolicyClient {
    stream: Stream,
    unread: Vec<u8>,
}

impl PolicyClient {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(endpoint: &Endpoint) -> Result<Self> {
        Ok(Self {
            stream: Stream::connect(endpoint)?,
            unread: Vec::new(),
        })
    }

    /// Sends `bytes` as they are.
    ///
    /// # Errors
    /// When the server has closed, or takes nothing for 10 s.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.send(bytes)?)
    }

    /// Says that nothing more will be sent, and goes on listening.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn half_close(&mut self) -> Result<()> {
        Ok(self.stream.half_close()?)
    }

    /// The next answer, or what comes in its place within `limit`.
    ///
    /// # Errors
    /// When the connection fails in another way than being closed.
    pub fn hear(&mut self, limit: Duration) -> Result<Heard> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\n\n") {
                let rest = self.unread.split_off(end + 2);
                return Ok(Heard::Answer(std::mem::replace(&mut self.unread, rest)));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Heard::Silence);
            }
            let mut chunk = [0; 8192];
            match self.stream.read(&mut chunk, left) {
                Ok(0) => return Ok(Heard::Closed(std::mem::take(&mut self.unread))),
                Ok(count) => self.unread.extend_from_slice(&chunk[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                        return Ok(Heard::Closed(std::mem::take(&mut self.unread)));
                    }
                    _ => return Err(error).context("cannot read the answer"),
                },
            }
        }
    }

    /// Sends one request and gives its answer.
    ///
    /// # Errors
    /// When there is no answer within 10 s.
    pub fn ask(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        self.send(request)?;
        match self.hear(ANSWER_MAX)? {
            Heard::Answer(answer) => Ok(answer),
            other => bail!(
                "no answer but {other:?} to {:?}",
                String::from_utf8_lossy(request)
            ),
        }
    }

    /// Sends requests one behind the other and gives the answers that came in
    /// their order; fewer when the server closed meanwhile.
    ///
    /// # Errors
    /// When it neither answers nor closes within 10 s, or has closed before.
    pub fn ask_together(&mut self, requests: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
        self.send(&requests.concat())?;
        let mut answers = Vec::new();
        while answers.len() < requests.len() {
            match self.hear(ANSWER_MAX)? {
                Heard::Answer(answer) => answers.push(answer),
                Heard::Closed(_) => break,
                Heard::Silence => bail!("answer {} did not come", answers.len()),
            }
        }
        Ok(answers)
    }
}
