//! Tells a server of a population before it is measured, by the protocol
//! itself: pipelined, and with `policy_test_time`, so that what would take
//! hours takes seconds.

use std::ops::Range;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::bench::request::{DEFER, DUNNO, EXEMPT_CLIENTS, Kind, PREPEND, Request};
use crate::bench::scenario::Population;
use crate::bench::server::{Program, Server};

/// Makes the known triplets known and the exempt clients exempt. The known ones
/// are settled, so that no measured request of theirs is worth a write: the
/// older an entry, the rarer it is touched (`slack` in `crates/core`), and one
/// of this age after three quarters of an hour.
///
/// # Errors
/// When the server does not answer as a greylisting server must.
pub(crate) fn fill(server: &Server, population: Population) -> Result<()> {
    let mut done = 0;
    while done < population.known {
        let slice = done..(done + SLICE).min(population.known);
        done = slice.end;
        let now = now()?;
        step(server, Kind::Known, slice.clone(), now - SETTLED, DEFER)?;
        step(server, Kind::Known, slice, now, PREPEND)?;
        server.take_log()?;
    }
    let now = now()?;
    for pass in 0..PASSES {
        let clients = pass * EXEMPT_CLIENTS..(pass + 1) * EXEMPT_CLIENTS;
        let at = now - (PASSES + 1 - pass) * HOUR;
        step(server, Kind::Exempt, clients.clone(), at - 400, DEFER)?;
        step(server, Kind::Exempt, clients, at, PREPEND)?;
    }
    // Once more now: what counts the passes of a client does so once an hour.
    step(server, Kind::Exempt, 0..EXEMPT_CLIENTS, now, DUNNO)?;
    server.take_log()?;
    Ok(())
}

/// Makes the waiting triplets wait, from now on.
///
/// # Errors
/// When the server does not answer as a greylisting server must.
pub(crate) fn fill_waiting(server: &Server, population: Population) -> Result<()> {
    step(
        server,
        Kind::EarlyRetry,
        0..population.waiting,
        now()?,
        DEFER,
    )?;
    server.take_log()?;
    Ok(())
}

const HOUR: u64 = 3_600;

/// The age of a known triplet; a retry counts as one for two days.
const SETTLED: u64 = 47 * HOUR;

/// So many passes, an hour apart, exempt a client. Source: postgrey(8),
/// `--auto-whitelist-clients`.
const PASSES: u64 = 5;

/// The log is emptied after so many triplets.
const SLICE: u64 = 200_000;

fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

/// One request each for many triplets of a kind.
#[derive(Clone)]
struct Step {
    kind: Kind,
    indexes: Range<u64>,
    /// The time that the requests bring.
    at: u64,
    /// What the answers must begin with.
    expected: &'static [u8],
    /// Requests under way on one connection; their answers fit into any
    /// socket's buffer.
    pipelined: u64,
}

/// Asks, and checks that all is answered as expected.
fn step(
    server: &Server,
    kind: Kind,
    indexes: Range<u64>,
    at: u64,
    expected: &'static [u8],
) -> Result<()> {
    let asked = indexes.end - indexes.start;
    let step = Step {
        kind,
        indexes,
        at,
        expected,
        pipelined: match server.program {
            // It keeps answers back when more than its 8 KiB buffer comes at
            // once, until the next request: 32 requests, 30 answers.
            Program::Postgrey => 8,
            _ => 32,
        },
    };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let good = runtime.block_on(step.run(&server.socket()))?;
    ensure!(
        good * 1_000 >= asked * 999,
        "{}: of {asked} {kind:?} requests in advance only {good} were answered with {}; it says:\n{}",
        server.label,
        String::from_utf8_lossy(expected).trim(),
        server.complaints()?
    );
    Ok(())
}

const CONNECTIONS: u64 = 8;

/// A server that is silent for so long has failed.
const ANSWER_MAX: Duration = Duration::from_secs(30);

impl Step {
    /// Gives the number of answers that were as expected.
    async fn run(&self, socket: &Path) -> Result<u64> {
        let Range { start, end } = self.indexes;
        let mut tasks = JoinSet::new();
        for part in 0..CONNECTIONS {
            let bound = |part: u64| start + (end - start) * part / CONNECTIONS;
            let mut step = self.clone();
            step.indexes = bound(part)..bound(part + 1);
            tasks.spawn(step.run_on(UnixStream::connect(socket).await?));
        }
        let mut good = 0;
        while let Some(part) = tasks.join_next().await {
            good += part??;
        }
        Ok(good)
    }

    async fn run_on(self, mut stream: UnixStream) -> Result<u64> {
        let mut request = Request::timed(self.kind);
        request.set_time(self.at);
        let mut output = Vec::new();
        let mut input = Vec::new();
        let mut good = 0;
        let mut next = self.indexes.start;
        while next < self.indexes.end {
            let batch = next..(next + self.pipelined).min(self.indexes.end);
            next = batch.end;
            let asked = batch.end - batch.start;
            output.clear();
            for index in batch {
                request.aim(self.kind, index);
                // A message for each, so that each first pass has its header.
                request.set_instance(index);
                output.extend_from_slice(request.bytes());
            }
            stream.write_all(&output).await?;
            input.clear();
            while ends(&input) < asked {
                let read = timeout(ANSWER_MAX, stream.read_buf(&mut input));
                let length = read.await.context("a request was not answered")??;
                ensure!(length > 0, "the server closed the connection");
            }
            good += answers(&input)
                .filter(|answer| answer.starts_with(self.expected))
                .count() as u64;
        }
        Ok(good)
    }
}

fn ends(input: &[u8]) -> u64 {
    input.windows(2).filter(|pair| *pair == b"\n\n").count() as u64
}

/// The answers: one line each, with an empty line behind it.
fn answers(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    input
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| line.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipelined_answers_are_told_apart() {
        let input = b"action=DUNNO\n\naction=DEFER_IF_PERMIT x\n\naction=DU";
        assert_eq!(ends(input), 2);
        let heads: Vec<bool> = answers(input)
            .map(|answer| answer.starts_with(DUNNO))
            .collect();
        assert_eq!(heads, [true, false, false]);
    }
}
