//! The asking side of HTTP/1.1, also for requests that are not well formed.
//!
//! It sends bytes as given. Source: RFC 9112.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::greylister::Endpoint;
use crate::stream::Stream;

/// Longer than any healthy server needs.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// An answer.
#[derive(Debug, Clone)]
pub struct HttpAnswer {
    /// The code.
    pub status: u16,
    head: String,
    /// What follows the head.
    pub body: Vec<u8>,
}

impl HttpAnswer {
    /// The value of a header, empty without it.
    pub fn header(&self, name: &str) -> &str {
        let value = self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then_some(value.trim())
        });
        value.unwrap_or_default()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("{self:?}"))
    }
}

/// One connection to an HTTP server.
pub struct HttpClient {
    stream: Stream,
    unread: Vec<u8>,
}

impl HttpClient {
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

    /// Sends bytes as they are.
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

    /// The next answer; `None` when the server has closed.
    ///
    /// # Errors
    /// When it is none, or neither comes within 20 s.
    pub fn hear(&mut self) -> Result<Option<HttpAnswer>> {
        let deadline = Instant::now() + ANSWER_MAX;
        loop {
            if let Some(answer) = self.complete()? {
                return Ok(Some(answer));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "no answer within {ANSWER_MAX:?}");
            let mut chunk = [0; 65_536];
            match self.stream.read(&mut chunk, left) {
                Ok(0) if self.unread.is_empty() => return Ok(None),
                Ok(0) => bail!("half an answer: {}", String::from_utf8_lossy(&self.unread)),
                Ok(count) => self.unread.extend_from_slice(&chunk[..count]),
                Err(error) => return Err(error).context("cannot read the answer"),
            }
        }
    }

    /// Sends a request of this method, path, headers (each with its line end) and body, and gives
    /// the answer.
    ///
    /// # Errors
    /// When there is none within 20 s.
    pub fn ask(&mut self, line: &str, headers: &str, body: &[u8]) -> Result<HttpAnswer> {
        self.send(&http_request(line, headers, body))?;
        self.hear()?.context("the server closed")
    }

    fn complete(&mut self) -> Result<Option<HttpAnswer>> {
        let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = String::from_utf8(self.unread[..end].to_vec())?;
        let mut answer = HttpAnswer {
            status: head
                .split(' ')
                .nth(1)
                .context("a status line")?
                .parse()
                .with_context(|| head.clone())?,
            head,
            body: Vec::new(),
        };
        let length: usize = answer.header("content-length").parse().unwrap_or(0);
        let whole = end + 4 + length;
        if self.unread.len() < whole {
            return Ok(None);
        }
        let rest = self.unread.split_off(whole);
        answer.body = std::mem::replace(&mut self.unread, rest).split_off(end + 4);
        Ok(Some(answer))
    }
}

/// A request with the length of its body, which is said to be JSON where there is one.
pub fn http_request(line: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut head = format!("{line} HTTP/1.1\r\nHost: here\r\n{headers}");
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        if !headers.to_ascii_lowercase().contains("content-type") {
            head.push_str("Content-Type: application/json\r\n");
        }
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}
