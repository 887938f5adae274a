//! The way of a log line out: a bounded queue, and one thread that writes in batches.
//!
//! Whoever logs never waits: a line that does not fit is dropped and counted, and the count is
//! written as soon as lines go out again. What a line says is made in `crates/wording`.

pub(crate) mod diagnostics;
mod journald;
mod stderr;
mod syslog;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, mpsc};
use std::thread;
use std::time::Duration;

use crate::config::{Log, LogTo};

/// How grave a line is, by its number in RFC 5424 §6.2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Severity(pub(crate) u8);

impl Severity {
    pub(crate) const CRITICAL: Self = Self(2);
    pub(crate) const WARNING: Self = Self(4);

    /// The same, of a line that Postgrey says before it has opened its log: in syslog it has the
    /// facility `user`, and no process number.
    pub(crate) fn early(self) -> Self {
        Self(self.0 | EARLY)
    }

    fn is_early(self) -> bool {
        self.0 & EARLY != 0
    }

    /// The number alone.
    fn number(self) -> u8 {
        self.0 & !EARLY
    }
}

/// No severity has this bit.
const EARLY: u8 = 0x80;

/// Where lines are put.
#[derive(Clone)]
pub(crate) struct LogQueue {
    shared: Arc<Shared>,
}

struct Shared {
    pending: Mutex<Pending>,
    arrived: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Pending {
    lines: Lines,
    closed: bool,
}

/// Lines one behind the other, each with its severity and length in front.
#[derive(Default)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
}

impl Lines {
    pub(crate) fn push(&mut self, severity: Severity, line: &[u8]) {
        let line = &line[..line.len().min(LINE_MAX)];
        let length = u16::try_from(line.len()).expect("LINE_MAX is below 64 KiB");
        self.bytes.push(severity.0);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(line);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Severity, &[u8])> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let (head, tail) = rest.split_first_chunk::<3>()?;
            let (line, tail) = tail.split_at(usize::from(u16::from_le_bytes([head[1], head[2]])));
            rest = tail;
            Some((Severity(head[0]), line))
        })
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// A line is cut at this length, in bytes.
const LINE_MAX: usize = 4_096;

/// Lines that wait for the writer are at most so many bytes.
const QUEUE_MAX: usize = 4 << 20;

/// Lines are gathered for so long before they are written together.
const GATHER: Duration = Duration::from_millis(5);

/// How long the last lines may take when the daemon stops.
const LAST_LINES: Duration = Duration::from_secs(2);

/// A place that takes lines; it may block, only the writing thread waits for it.
pub(crate) enum Sink {
    Stderr(stderr::Stderr),
    Syslog(syslog::Syslog),
    Journald(journald::Journald),
}

impl Sink {
    fn open(log: &Log) -> Self {
        match log.to {
            LogTo::Stderr => Self::Stderr(stderr::Stderr),
            LogTo::Syslog => Self::Syslog(syslog::Syslog::new(&log.ident, log.facility)),
            LogTo::Journald => Self::Journald(journald::Journald::new(&log.ident, log.facility)),
            LogTo::Auto if journald::is_our_stderr() => {
                Self::Journald(journald::Journald::new(&log.ident, log.facility))
            }
            LogTo::Auto => Self::Stderr(stderr::Stderr),
        }
    }

    /// Writes the lines; gives how many were lost.
    fn write(&mut self, lines: &Lines) -> u64 {
        match self {
            Self::Stderr(sink) => sink.write(lines),
            Self::Syslog(sink) => sink.write(lines),
            Self::Journald(sink) => sink.write(lines),
        }
    }
}

/// The writing thread; [`LogWriter::finish`] waits for the last lines.
pub(crate) struct LogWriter {
    queue: LogQueue,
    done: mpsc::Receiver<()>,
}

impl LogQueue {
    /// Starts the writing thread for the place that the configuration names.
    pub(crate) fn start(log: &Log) -> std::io::Result<(Self, LogWriter)> {
        let queue = Self {
            shared: Arc::new(Shared {
                pending: Mutex::default(),
                arrived: Condvar::new(),
                dropped: AtomicU64::new(0),
            }),
        };
        let mut sink = Sink::open(log);
        let (tell, done) = mpsc::channel();
        let writing = queue.clone();
        thread::Builder::new().name("log".into()).spawn(move || {
            writing.write_until_closed(&mut sink);
            // The receiver is gone when nobody waits for the last lines any more.
            let _ = tell.send(());
        })?;
        let writer = LogWriter {
            queue: queue.clone(),
            done,
        };
        Ok((queue, writer))
    }

    /// Puts a line; never waits for the place it goes to.
    pub(crate) fn put(&self, severity: Severity, line: &[u8]) {
        let mut pending = self.lock();
        if pending.lines.bytes.len() + line.len() > QUEUE_MAX {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let was_empty = pending.lines.is_empty();
        pending.lines.push(severity, line);
        drop(pending);
        if was_empty {
            self.shared.arrived.notify_one();
        }
    }

    /// How many lines were dropped since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.shared
            .pending
            .lock()
            .expect("no code panics while it holds the queue")
    }

    fn write_until_closed(&self, sink: &mut Sink) {
        let mut batch = Lines::default();
        let mut said = 0;
        loop {
            let mut pending = self.lock();
            while pending.lines.is_empty() && !pending.closed {
                pending = self
                    .shared
                    .arrived
                    .wait(pending)
                    .expect("no code panics while it holds the queue");
            }
            std::mem::swap(&mut pending.lines, &mut batch);
            let closed = pending.closed;
            drop(pending);
            let dropped = self.dropped();
            if dropped > said {
                let line = format!("{} log lines were dropped", dropped - said);
                batch.push(Severity::WARNING, line.as_bytes());
                said = dropped;
            }
            let lost = sink.write(&batch);
            self.shared.dropped.fetch_add(lost, Ordering::Relaxed);
            batch.bytes.clear();
            if closed {
                return;
            }
            thread::sleep(GATHER);
        }
    }
}

impl LogWriter {
    /// Waits until all lines are written, two seconds at most.
    pub(crate) fn finish(self) {
        self.queue.lock().closed = true;
        self.queue.shared.arrived.notify_one();
        // A place that takes nothing any more must not keep the daemon from stopping.
        let _ = self.done.recv_timeout(LAST_LINES);
    }
}

#[cfg(test)]
impl LogQueue {
    /// A queue that nobody writes out.
    pub(crate) fn unwritten() -> Self {
        Self {
            shared: Arc::new(Shared {
                pending: Mutex::default(),
                arrived: Condvar::new(),
                dropped: AtomicU64::new(0),
            }),
        }
    }

    /// The lines in it.
    pub(crate) fn texts(&self) -> Vec<String> {
        let pending = self.lock();
        let lines = pending.lines.iter();
        lines
            .map(|(_, line)| String::from_utf8_lossy(line).into_owned())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_as_they_went_in() {
        let mut lines = Lines::default();
        lines.push(Severity(5), b"one");
        lines.push(Severity::WARNING, b"");
        lines.push(Severity(5), &[b'x'; 5_000]);
        let out: Vec<(Severity, usize)> = lines
            .iter()
            .map(|(severity, line)| (severity, line.len()))
            .collect();
        assert_eq!(
            out,
            [(Severity(5), 3), (Severity(4), 0), (Severity(5), LINE_MAX)]
        );
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let queue = LogQueue::unwritten();
        for _ in 0..2_000 {
            queue.put(Severity(5), &[b'x'; 4_000]);
        }
        assert!(queue.lock().lines.bytes.len() <= QUEUE_MAX + 3);
        assert!(queue.dropped() > 900, "{}", queue.dropped());
        let written = queue.texts().len();
        assert_eq!(written as u64 + queue.dropped(), 2_000);
    }
}
