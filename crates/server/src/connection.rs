//! Rooms 1 and 8 for one connection: bytes in, what the conversation asks goes to the desk, bytes
//! out. One task owns a connection; a fault of the other side ends this connection only.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use greylatch_proto::{Conversation, ProtocolError, Step};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};

use crate::clock::monotonic;
use crate::desk::{Desk, Visitor};
use crate::lists::Rulebook;
use crate::tarpit::Hold;

/// How long things may take on a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Nothing is asked.
    pub(crate) idle: Duration,
    /// A request has begun and does not end, or an answer is not taken.
    pub(crate) request: Duration,
}

/// A milter's connection is quiet while a message's content goes by.
///
/// Source: Sendmail's `libmilter/docs/smfi_settimeout.html` (7,210 s).
const MILTER_IDLE: Duration = Duration::from_secs(7_210);

impl Patience {
    pub(crate) fn of_milter(self) -> Self {
        Self {
            idle: self.idle.max(MILTER_IDLE),
            ..self
        }
    }
}

/// Who asks, and at which desk.
pub(crate) struct Guest<'a> {
    desk: &'a Desk,
    visitor: Visitor,
}

impl<'a> Guest<'a> {
    pub(crate) fn of<C: Conversation>(desk: &'a Desk) -> Self {
        Self {
            desk,
            visitor: Visitor::new(C::FRONTEND),
        }
    }

    /// A guest for whom these rules stay in force.
    pub(crate) fn with_rules(self, rules: Arc<Rulebook>) -> Self {
        Self {
            visitor: self.visitor.with_rules(rules),
            ..self
        }
    }
}

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    #[error("{0}")]
    Protocol(#[from] ProtocolError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("a request was not complete in time")]
    TooSlow,
    #[error("an answer was not taken in time")]
    NotTaken,
}

/// Serves one connection until either side ends it.
pub(crate) async fn serve<S, C>(
    mut stream: S,
    mut conversation: C,
    guest: Guest<'_>,
    patience: Patience,
    mut stop: watch::Receiver<bool>,
) -> Result<(), ConnectionError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Conversation,
{
    let Guest { desk, mut visitor } = guest;
    let timer = Timer::new(patience);
    let mut bells = Bells {
        alarm: pin!(sleep_until(timer.alarm())),
        timer,
        stopping: stop.clone(),
        // Made once: to wait for the end anew at each read would cost as much as the read.
        stopped: pin!(stop.wait_for(|stopping| *stopping)),
        are_set: false,
    };
    loop {
        let step = conversation.step();
        while let Some(notice) = conversation.notice() {
            desk.notice(&mut visitor, &notice);
        }
        if step.is_err() {
            // What was asked before the stream broke is still answered.
            flush(&mut stream, conversation.output(), patience).await?;
        }
        match step? {
            Step::Ask(ticket, request) => {
                let answer = desk.answer(&mut visitor, request).await;
                if let Some(hold) = visitor.hold() {
                    flush(&mut stream, conversation.output(), patience).await?;
                    let waits = tokio::select! {
                        biased;
                        waits = sit(&mut stream, &mut conversation, &hold) => waits?,
                        _ = bells.stopped.as_mut() => false,
                    };
                    if !waits {
                        return Ok(());
                    }
                }
                conversation.answer(ticket, &answer);
                bells.timer.asked();
                if conversation.output().len() > OUTPUT_MAX {
                    flush(&mut stream, conversation.output(), patience).await?;
                }
            }
            Step::Read | Step::Wait => {
                flush(&mut stream, conversation.output(), patience).await?;
                if !conversation.is_midway() {
                    bells.timer.rests();
                }
                let mut quiet = pin!(conversation.quiet_ms().map(quiet_for));
                let roused =
                    poll_fn(
                        |task| match poll_feed(&mut stream, &mut conversation, task) {
                            Poll::Ready(fed) => Poll::Ready(fed.map(Roused::Read)),
                            Poll::Pending => bells.poll(quiet.as_mut().as_pin_mut(), task).map(Ok),
                        },
                    );
                match roused.await? {
                    Roused::Read(0) => conversation.finish(),
                    Roused::Read(_) => bells.timer.received(),
                    Roused::Late if bells.timer.is_in_request() => {
                        return Err(ConnectionError::TooSlow);
                    }
                    Roused::Late | Roused::Stopping => return Ok(()),
                    Roused::Quiet => conversation.quiet(),
                }
            }
            Step::Close => return flush(&mut stream, conversation.output(), patience).await,
        }
    }
}

/// What ended the wait for bytes.
enum Roused {
    /// So many bytes; none when the other side will send no more.
    Read(usize),
    /// The other side has taken too long.
    Late,
    /// The other side has been quiet for as long as the conversation wanted to know.
    Quiet,
    /// The daemon stops.
    Stopping,
}

/// What ends the wait for bytes when none come.
struct Bells<'a, E> {
    timer: Timer,
    alarm: Pin<&'a mut Sleep>,
    stopping: watch::Receiver<bool>,
    stopped: Pin<&'a mut E>,
    /// Alarm and end will wake this task.
    are_set: bool,
}

impl<E: Future> Bells<'_, E> {
    /// To listen to each costs as much as a read, and most often none has rung since the last time.
    fn poll<Q>(&mut self, quiet: Option<Pin<&mut Q>>, task: &mut Context<'_>) -> Poll<Roused>
    where
        Q: Future<Output = ()>,
    {
        let has_rung = self.alarm.is_elapsed() || self.stopping.has_changed().unwrap_or(true);
        if !self.are_set || has_rung {
            self.are_set = true;
            if self
                .timer
                .poll_expired(self.alarm.as_mut(), task)
                .is_ready()
            {
                return Poll::Ready(Roused::Late);
            }
            if self.stopped.as_mut().poll(task).is_ready() {
                return Poll::Ready(Roused::Stopping);
            }
        }
        match quiet {
            Some(quiet) => quiet.poll(task).map(|()| Roused::Quiet),
            None => Poll::Pending,
        }
    }
}

/// Holds an answer back; says whether the other side is still there then. What it says meanwhile
/// is kept for later, as much as is read at once.
async fn sit<S, C>(stream: &mut S, conversation: &mut C, hold: &Hold) -> io::Result<bool>
where
    S: AsyncRead + Unpin,
    C: Conversation,
{
    let end = sleep(Duration::from_secs(hold.length.0.try_into().unwrap_or(0)));
    tokio::pin!(end);
    let mut buffer = vec![0; READ_SIZE];
    let mut room = buffer.len();
    loop {
        tokio::select! {
            biased;
            () = end.as_mut() => return Ok(true),
            read = stream.read(&mut buffer[..room]), if room > 0 => match read? {
                0 => return Ok(false),
                length => {
                    conversation.feed(&buffer[..length]);
                    room -= length;
                }
            },
        }
    }
}

async fn quiet_for(quiet_ms: u32) {
    sleep(Duration::from_millis(quiet_ms.into())).await;
}

/// Bytes read at once: about fifteen requests of Postfix.
const READ_SIZE: usize = 16 << 10;

thread_local! {
    /// What has just been read, until the conversation has it: one for all connections of a thread,
    /// which is in the core's nearest cache, and costs memory only once.
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_SIZE].into());
}

/// Reads what is there and feeds it to the conversation; gives how many bytes, none at the end.
fn poll_feed<S, C>(
    stream: &mut S,
    conversation: &mut C,
    task: &mut Context<'_>,
) -> Poll<io::Result<usize>>
where
    S: AsyncRead + Unpin,
    C: Conversation,
{
    READ.with_borrow_mut(|buffer| {
        let mut room = ReadBuf::new(buffer);
        ready!(Pin::new(stream).poll_read(task, &mut room))?;
        if !room.filled().is_empty() {
            conversation.feed(room.filled());
        }
        Poll::Ready(Ok(room.filled().len()))
    })
}

/// Answers to pipelined requests are sent when they pass so many bytes.
const OUTPUT_MAX: usize = 64 << 10;

async fn flush<S: AsyncWrite + Unpin>(
    stream: &mut S,
    output: &mut Vec<u8>,
    patience: Patience,
) -> Result<(), ConnectionError> {
    if output.is_empty() {
        return Ok(());
    }
    // As a rule all of it fits at once, and nothing has to be timed.
    let first = poll_fn(|task| Poll::Ready(Pin::new(&mut *stream).poll_write(task, output))).await;
    let done = match first {
        Poll::Ready(length) => length?,
        Poll::Pending => 0,
    };
    let written = match output.get(done..) {
        None | Some([]) => Ok(Ok(())),
        Some(rest) => timeout(patience.request, stream.write_all(rest)).await,
    };
    output.clear();
    match written {
        Ok(written) => Ok(written?),
        Err(_) => Err(ConnectionError::NotTaken),
    }
}

/// When the other side has been quiet, or slow, for too long. The alarm is set again only when it
/// goes off, so that a busy connection costs the timer wheel nothing.
struct Timer {
    patience: Patience,
    /// Since when nothing was asked.
    idle_since: Instant,
    /// Since when a request has been arriving.
    request_since: Option<Instant>,
}

impl Timer {
    fn new(patience: Patience) -> Self {
        Self {
            patience,
            idle_since: monotonic(),
            request_since: None,
        }
    }

    fn asked(&mut self) {
        // A request that came whole was asked when it came: one look at the clock is enough.
        self.idle_since = self.request_since.take().unwrap_or_else(monotonic);
    }

    /// Nothing has begun: the other side may take its time.
    fn rests(&mut self) {
        if let Some(since) = self.request_since.take() {
            self.idle_since = since;
        }
    }

    fn received(&mut self) {
        self.request_since.get_or_insert_with(monotonic);
    }

    fn is_in_request(&self) -> bool {
        self.request_since.is_some()
    }

    /// The next time at which something may be over.
    fn alarm(&self) -> Instant {
        let idle = self.idle_since + self.patience.idle;
        match self.request_since {
            Some(since) => idle.min(since + self.patience.request),
            None => idle.min(monotonic() + self.patience.request),
        }
    }

    /// Ready when it is over.
    fn poll_expired(&self, mut alarm: Pin<&mut Sleep>, task: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(alarm.as_mut().poll(task));
            let now = monotonic();
            let slow = self
                .request_since
                .is_some_and(|since| now >= since + self.patience.request);
            if slow || now >= self.idle_since + self.patience.idle {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(self.alarm());
        }
    }
}
