//! The least that any server does, to measure ours against: reads requests,
//! finds their fields, lets the mail go on and logs one line. It remembers
//! nothing and decides nothing.
//!
//! As in our server: tokio with its threads, a task per connection, fields as
//! slices of the read buffer, and lines that a thread of its own writes in
//! batches.
//!
//! Source: Postfix SMTPD_POLICY_README, "Protocol description".

mod milter;

use std::fs::OpenOptions;
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Builder;

use crate::bench::dialect::Dialect;

/// Serves at `socket` until it is killed; logs to `log`, else to standard error.
///
/// # Errors
/// When it cannot listen or open its log.
pub(crate) fn run(dialect: Dialect, socket: &Path, log: Option<&Path>) -> Result<()> {
    let sink: Box<dyn Write + Send> = match log {
        Some(path) => Box::new(
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .with_context(|| format!("cannot open {}", path.display()))?,
        ),
        None => Box::new(io::stderr()),
    };
    let log = Arc::new(Log::default());
    let writer = Arc::clone(&log);
    thread::spawn(move || writer.write_to(sink));
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = UnixListener::bind(socket)
            .with_context(|| format!("cannot listen at {}", socket.display()))?;
        loop {
            let (stream, _) = listener.accept().await?;
            let log = Arc::clone(&log);
            // A client that breaks off ends its own connection only.
            tokio::spawn(async move {
                match dialect {
                    Dialect::Policy => serve(stream, &log).await.ok(),
                    Dialect::Milter => milter::serve(stream, &log).await.ok(),
                }
            });
        }
    })
}

/// Lines on their way out. The tasks share it with the writing thread, so no
/// single owner would do; it is locked for one copy only.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<u8>>,
    arrived: Condvar,
}

/// Lines are gathered for so long before they are written together.
const GATHER: Duration = Duration::from_millis(5);

impl Log {
    fn put(&self, line: &[u8]) {
        let mut lines = self.lock();
        let was_empty = lines.is_empty();
        lines.extend_from_slice(line);
        drop(lines);
        if was_empty {
            self.arrived.notify_one();
        }
    }

    fn write_to(&self, mut sink: impl Write) {
        let mut batch = Vec::new();
        loop {
            let mut lines = self.lock();
            while lines.is_empty() {
                lines = self.arrived.wait(lines).expect(UNPOISONED);
            }
            drop(lines);
            thread::sleep(GATHER);
            std::mem::swap(&mut *self.lock(), &mut batch);
            if let Err(error) = sink.write_all(&batch) {
                eprintln!("the log cannot be written: {error}");
                return;
            }
            batch.clear();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.lines.lock().expect(UNPOISONED)
    }
}

const UNPOISONED: &str = "nobody panics with the lock held";

async fn serve(mut stream: UnixStream, log: &Log) -> io::Result<()> {
    let mut input = Vec::with_capacity(READ_SIZE);
    let mut line = Vec::new();
    let mut output = Vec::new();
    loop {
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        let mut used = 0;
        while let Some((fields, length)) = Fields::parse(&input[used..]) {
            fields.describe(&mut line);
            log.put(&line);
            output.extend_from_slice(b"action=DUNNO\n\n");
            used += length;
        }
        input.drain(..used);
        if !output.is_empty() {
            stream.write_all(&output).await?;
            output.clear();
        }
    }
}

const READ_SIZE: usize = 16 << 10;

/// What of a request a decision would look at.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fields<'a> {
    client_name: &'a [u8],
    client_address: &'a [u8],
    sender: &'a [u8],
    recipient: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The first request and its length, or `None` while it is not complete.
    fn parse(input: &'a [u8]) -> Option<(Self, usize)> {
        let mut fields = Self::default();
        let mut rest = input;
        loop {
            let start = rest;
            // The fastest search for a byte in std.
            let length = rest.skip_until(b'\n').ok()?;
            let line = start[..length].strip_suffix(b"\n")?;
            if line.is_empty() {
                return Some((fields, input.len() - rest.len()));
            }
            fields.take(line);
        }
    }

    fn take(&mut self, line: &'a [u8]) {
        let Some(at) = line.iter().position(|byte| *byte == b'=') else {
            return;
        };
        let value = &line[at + 1..];
        match &line[..at] {
            b"client_name" => self.client_name = value,
            b"client_address" => self.client_address = value,
            b"sender" => self.sender = value,
            b"recipient" => self.recipient = value,
            _ => {}
        }
    }

    /// A line as long as Postgrey's.
    fn describe(&self, line: &mut Vec<u8>) {
        line.clear();
        for part in [
            b"action=pass, reason=triplet found, client_name=",
            self.client_name,
            b", client_address=",
            self.client_address,
            b", sender=",
            self.sender,
            b", recipient=",
            self.recipient,
            b"\n",
        ] {
            line.extend_from_slice(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] = b"request=smtpd_access_policy\nclient_address=192.0.2.1\n\
        client_name=mx.example\nsender=a=b@c.example\nrecipient=r@example.org\nsize=\n\n";

    #[test]
    fn a_request_is_found_when_complete_and_not_before() {
        let expected = Fields {
            client_name: b"mx.example",
            client_address: b"192.0.2.1",
            sender: b"a=b@c.example",
            recipient: b"r@example.org",
        };
        let two = [REQUEST, REQUEST].concat();
        assert_eq!(Fields::parse(&two), Some((expected, REQUEST.len())));
        for cut in 0..REQUEST.len() {
            assert_eq!(Fields::parse(&REQUEST[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn its_log_line_has_the_fields_of_postgreys() {
        let (fields, _) = Fields::parse(REQUEST).expect("a request");
        let mut line = Vec::new();
        fields.describe(&mut line);
        assert_eq!(
            String::from_utf8_lossy(&line),
            "action=pass, reason=triplet found, client_name=mx.example, \
             client_address=192.0.2.1, sender=a=b@c.example, recipient=r@example.org\n"
        );
    }
}
