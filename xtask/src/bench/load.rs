//! The load generator: connections that ask, measure and check.
//!
//! It shares the machine with the server it measures, so it is kept cheap: one
//! thread in the closed loop, requests that are patched in place, one look at
//! the clock per request.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::bench::dialect::Dialect;
use crate::bench::histogram::Histogram;
use crate::bench::random::Random;
use crate::bench::request::{Kind, Request};
use crate::bench::scenario::{Draw, Population, Scenario};

/// What is asked of whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) socket: &'a Path,
    pub(crate) dialect: Dialect,
    /// False for the reference, which answers the same to all.
    pub(crate) greylists: bool,
    pub(crate) scenario: Scenario,
    pub(crate) population: Population,
    /// The first index of a triplet that this server has not seen.
    pub(crate) fresh: u64,
    pub(crate) connections: u64,
    pub(crate) duration: Duration,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) answers: u64,
    /// Those that were what a correct server says.
    pub(crate) expected: u64,
    pub(crate) elapsed: Duration,
    pub(crate) latency: Histogram,
    /// How many asked for a triplet never seen before.
    pub(crate) new: u64,
    /// Where the next load takes its new triplets from.
    pub(crate) fresh: u64,
}

impl Load {
    fn new() -> Self {
        Self {
            answers: 0,
            expected: 0,
            elapsed: Duration::ZERO,
            latency: Histogram::new(),
            new: 0,
            fresh: 0,
        }
    }

    fn note(&mut self, latency: Duration, is_expected: bool) {
        self.answers += 1;
        self.expected += u64::from(is_expected);
        self.latency.record(latency);
    }

    fn add(&mut self, other: &Self) {
        self.answers += other.answers;
        self.expected += other.expected;
        self.latency.merge(&other.latency);
        self.new += other.new;
        self.fresh = self.fresh.max(other.fresh);
    }
}

/// Each connection asks again as soon as it is answered.
///
/// # Errors
/// When the server closes a connection or does not answer.
pub(crate) fn closed(target: &Target) -> Result<Load> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let patience = target.duration + ANSWER_MAX;
        timeout(patience, all_connections(target))
            .await
            .context("no answer for a long time")?
    })
}

async fn all_connections(target: &Target<'_>) -> Result<Load> {
    let mut lines = Vec::new();
    for _ in 0..target.connections {
        lines.push(Line::connect(target.socket, target.dialect).await?);
    }
    let start = Instant::now();
    let end = start + target.duration;
    let mut tasks = JoinSet::new();
    for (connection, line) in (0..).zip(lines) {
        tasks.spawn(ask_until(end, line, Caller::new(target, connection)));
    }
    let mut total = Load::new();
    while let Some(load) = tasks.join_next().await {
        total.add(&load??);
    }
    total.elapsed = start.elapsed();
    Ok(total)
}

/// One connection after another, or one for all questions.
struct Line {
    stream: UnixStream,
    socket: PathBuf,
    dialect: Dialect,
    answer: [u8; ANSWER_SIZE],
}

impl Line {
    async fn connect(socket: &Path, dialect: Dialect) -> Result<Self> {
        let mut line = Self {
            stream: UnixStream::connect(socket).await?,
            socket: socket.to_owned(),
            dialect,
            answer: [0; ANSWER_SIZE],
        };
        line.greet().await?;
        Ok(line)
    }

    async fn greet(&mut self) -> Result<()> {
        let greeting = self.dialect.greeting();
        if !greeting.is_empty() {
            self.ask(greeting).await?;
        }
        Ok(())
    }

    /// Says this and gives the answer.
    async fn ask(&mut self, question: &[u8]) -> Result<&[u8]> {
        self.stream.write_all(question).await?;
        let mut length = 0;
        while !self.dialect.is_whole(&self.answer[..length]) {
            length += progress(self.stream.read(&mut self.answer[length..]).await?)?;
        }
        Ok(&self.answer[..length])
    }

    /// Makes ready for the next question, where each has a connection of its own.
    async fn renew(&mut self) -> Result<()> {
        if self.dialect.connects_anew() {
            self.stream.write_all(self.dialect.farewell()).await?;
            self.stream = UnixStream::connect(&self.socket).await?;
            self.greet().await?;
        }
        Ok(())
    }
}

async fn ask_until(end: Instant, mut line: Line, mut caller: Caller) -> Result<Load> {
    let mut load = Load::new();
    let mut asked = Instant::now();
    while asked < end {
        let (request, kind) = caller.next();
        let answer = line.ask(request).await?;
        let answered = Instant::now();
        let is_expected = caller.dialect.is_expected(answer, kind, caller.greylists);
        load.note(answered - asked, is_expected);
        line.renew().await?;
        asked = answered;
    }
    load.new = caller.new;
    load.fresh = caller.draw.fresh;
    Ok(load)
}

/// A fixed rate in all, spread evenly over the connections, whatever the
/// answers do. A request that could not go out because its connection still
/// waited is measured from when it was due; one that was late because we woke
/// up late, from when it went out.
///
/// # Errors
/// When the server closes a connection or does not answer.
pub(crate) fn open(target: &Target, rate: u64) -> Result<Load> {
    let mut streams = Vec::new();
    for _ in 0..target.connections {
        let mut stream = BlockingStream::connect(target.socket)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        let greeting = target.dialect.greeting();
        if !greeting.is_empty() {
            stream.write_all(greeting)?;
            read_answer(&mut stream, target.dialect, &mut [0; ANSWER_SIZE])?;
        }
        streams.push(stream);
    }
    let start = Instant::now() + Duration::from_millis(50);
    let schedule = |connection: u64| Schedule {
        first: start + Duration::from_secs_f64(connection as f64 / rate as f64),
        interval: Duration::from_secs_f64(target.connections as f64 / rate as f64),
        end: start + target.duration,
    };
    let loads: Vec<Result<Load>> = thread::scope(|scope| {
        let callers: Vec<_> = (0..)
            .zip(streams)
            .map(|(connection, stream)| {
                let caller = Caller::new(target, connection);
                let schedule = schedule(connection);
                scope.spawn(move || ask_by(&schedule, stream, caller))
            })
            .collect();
        callers
            .into_iter()
            .map(|caller| caller.join().expect("a caller does not panic"))
            .collect()
    });
    let mut total = Load::new();
    for load in loads {
        total.add(&load?);
    }
    total.elapsed = start.elapsed();
    Ok(total)
}

struct Schedule {
    first: Instant,
    interval: Duration,
    end: Instant,
}

fn ask_by(schedule: &Schedule, mut stream: BlockingStream, mut caller: Caller) -> Result<Load> {
    let mut load = Load::new();
    let mut answer = [0; ANSWER_SIZE];
    let mut due = schedule.first;
    while due < schedule.end {
        let wait = due.saturating_duration_since(Instant::now());
        thread::sleep(wait);
        let asked = if wait.is_zero() { due } else { Instant::now() };
        let (request, kind) = caller.next();
        stream.write_all(request)?;
        let length = read_answer(&mut stream, caller.dialect, &mut answer)?;
        let is_expected = caller.is_expected(&answer[..length], kind);
        load.note(asked.elapsed(), is_expected);
        due += schedule.interval;
    }
    load.new = caller.new;
    load.fresh = caller.draw.fresh;
    Ok(load)
}

/// Gives the length of the answer.
fn read_answer(stream: &mut BlockingStream, dialect: Dialect, answer: &mut [u8]) -> Result<usize> {
    let mut length = 0;
    while !dialect.is_whole(&answer[..length]) {
        length += progress(stream.read(&mut answer[length..])?)?;
    }
    Ok(length)
}

fn progress(length: usize) -> Result<usize> {
    ensure!(
        length > 0,
        "the server closed the connection, or its answer is too long"
    );
    Ok(length)
}

/// Longer than any answer we know.
const ANSWER_SIZE: usize = 1_024;

/// A server that is silent for so long has failed.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// One connection's requests.
struct Caller {
    draw: Draw,
    dialect: Dialect,
    greylists: bool,
    plain: Request,
    whitelisted: Request,
    message: u64,
    new: u64,
}

impl Caller {
    fn new(target: &Target, connection: u64) -> Self {
        Self {
            draw: Draw {
                scenario: target.scenario,
                population: target.population,
                random: Random::new(target.fresh * 1_009 + connection),
                fresh: target.fresh + connection,
                step: target.connections,
            },
            dialect: target.dialect,
            greylists: target.greylists,
            plain: Request::new(target.dialect, Kind::Known),
            whitelisted: Request::new(target.dialect, Kind::Whitelisted),
            message: connection << 20,
            new: 0,
        }
    }

    fn is_expected(&self, answer: &[u8], kind: Kind) -> bool {
        self.dialect.is_expected(answer, kind, self.greylists)
    }

    /// The next request and what it asks.
    fn next(&mut self) -> (&[u8], Kind) {
        let (kind, index) = self.draw.next();
        let request = match kind {
            Kind::Whitelisted => &mut self.whitelisted,
            _ => &mut self.plain,
        };
        request.aim(kind, index);
        self.new += u64::from(kind == Kind::New);
        self.message += 1;
        request.set_instance(self.message);
        (request.bytes(), kind)
    }
}

/// Asks one question and gives the answer.
///
/// # Errors
/// When there is none.
pub(crate) fn ask_once(socket: &Path, kind: Kind, index: u64) -> Result<Vec<u8>> {
    let mut request = Request::new(Dialect::Policy, kind);
    request.aim(kind, index);
    let mut stream = BlockingStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.write_all(request.bytes())?;
    let mut answer = vec![0; ANSWER_SIZE];
    let length = read_answer(&mut stream, Dialect::Policy, &mut answer)?;
    answer.truncate(length);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::bench::request::DEFER;

    /// A server that answers `say` to everything, on 2 connections.
    fn parrot(name: &str, say: &'static [u8]) -> std::path::PathBuf {
        let path = env::temp_dir().join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).expect("a socket");
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                thread::spawn(move || {
                    let mut request = [0; 4_096];
                    while stream.read(&mut request).is_ok_and(|length| length > 0) {
                        stream.write_all(say).expect("an asker who listens");
                    }
                });
            }
        });
        path
    }

    fn target(socket: &Path, scenario: Scenario) -> Target<'_> {
        Target {
            socket,
            dialect: Dialect::Policy,
            greylists: true,
            scenario,
            population: Population {
                known: 10,
                waiting: 10,
                skew: false,
            },
            fresh: 5,
            connections: 2,
            duration: Duration::from_millis(100),
        }
    }

    #[test]
    fn the_closed_loop_counts_wrong_answers_as_such() {
        let socket = parrot("greylatch-bench-closed", b"action=DUNNO\n\n");
        let known = closed(&target(&socket, Scenario::Known)).expect("answers");
        assert!(known.answers > 0);
        assert_eq!(known.expected, known.answers);
        let new = closed(&target(&socket, Scenario::New)).expect("answers");
        assert_eq!(new.expected, 0);
        assert!(new.fresh >= 5 + new.answers);
        std::fs::remove_file(socket).expect("our socket");
    }

    #[test]
    fn the_open_loop_keeps_to_its_rate() {
        let socket = parrot("greylatch-bench-open", b"action=DEFER_IF_PERMIT later\n\n");
        let new = open(&target(&socket, Scenario::New), 1_000).expect("answers");
        assert_eq!((new.answers, new.expected), (100, 100));
        let answer = ask_once(&socket, Kind::New, 1).expect("an answer");
        assert!(answer.starts_with(DEFER));
        std::fs::remove_file(socket).expect("our socket");
    }
}
