//! The end that tells.

use std::collections::VecDeque;

use greylatch_core::PeerEvent;

use super::{LINE_MAX, command, is_blank, take_line};

/// What one peer is to be told, and how far that is.
///
/// Events are told in the order in which they came (the original tells the latest first, so that
/// after an outage a pass could come before its first contact). An event stays until the peer has
/// acknowledged it; a connection that fails is tried again when there is a next event, or when its owner
/// says so.
///
/// The owner calls [`PeerSender::step`] after each other call and does what it says.
#[derive(Debug)]
pub struct PeerSender {
    events: VecDeque<PeerEvent>,
    events_max: usize,
    state: State,
    /// Something has been queued since the last connection failed.
    wanted: bool,
    unread: Vec<u8>,
    output: Vec<u8>,
    notices: VecDeque<PeerNotice>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No connection.
    Apart,
    /// The banner is outstanding.
    Greeting,
    /// The answer to this version is outstanding.
    Asking(u8),
    /// The peer speaks this version, and nothing is outstanding.
    Ready(u8),
    /// The answer to the first event is outstanding.
    Telling(u8),
    /// The peer said something else than expected.
    Closing,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerStep {
    /// Nothing: no connection, and nothing to tell or nothing new since it failed.
    Rest,
    /// Connect, then call [`PeerSender::connected`] or [`PeerSender::lost`].
    Connect,
    /// Write what there is, then read within the peer's timeout and feed.
    Read,
    /// Keep the connection; nothing is outstanding. What the peer says or that it closes is still
    /// to be fed or told by [`PeerSender::lost`].
    Keep,
    /// Close, and call [`PeerSender::lost`].
    Close,
}

/// What was noticed, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerNotice {
    /// The peer speaks this version.
    Established(u8),
    /// The peer does not speak the version of this command; what it answered.
    Answered {
        /// The code.
        code: Vec<u8>,
        /// The command.
        command: &'static str,
    },
    /// The peer answered something else than expected.
    Unexpected {
        /// The code, or what stood in its place.
        code: Vec<u8>,
        /// How many events wait for it.
        queued: usize,
    },
}

/// Why an event was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unqueued {
    /// The peer has been away for too long.
    #[error("{queued} events wait for this peer already")]
    Full {
        /// How many.
        queued: usize,
    },
    /// Its addresses are longer than a line of the protocol.
    #[error("the addresses are too long for a line of {LINE_MAX} bytes")]
    TooLong,
}

impl PeerSender {
    /// A peer that is told nothing yet; at most so many events wait for it.
    #[must_use]
    pub fn new(events_max: usize) -> Self {
        Self {
            events: VecDeque::new(),
            events_max,
            state: State::Apart,
            wanted: false,
            unread: Vec::new(),
            output: Vec::new(),
            notices: VecDeque::new(),
        }
    }

    /// Queues an event.
    ///
    /// # Errors
    /// [`Unqueued::Full`] and [`Unqueued::TooLong`]; the event is not told, earlier ones are.
    pub fn queue(&mut self, event: PeerEvent) -> Result<(), Unqueued> {
        let longest = command::line(&event, VERSION_MAX).map_or(0, |line| line.len());
        // The line end counts for the original.
        if longest + LINE_END.len() > LINE_MAX {
            return Err(Unqueued::TooLong);
        }
        // Even when it is full: what waits is then tried again.
        self.wanted = true;
        let queued = self.events.len();
        if queued >= self.events_max {
            return Err(Unqueued::Full { queued });
        }
        self.events.push_back(event);
        Ok(())
    }

    /// How many events wait for the peer.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.events.len()
    }

    /// A connection to the peer is open.
    pub fn connected(&mut self) {
        self.state = State::Greeting;
    }

    /// There is no connection: it could not be opened, broke, was closed, or an answer took longer
    /// than the timeout.
    pub fn lost(&mut self) {
        self.state = State::Apart;
        self.wanted = false;
        self.unread.clear();
        self.output.clear();
    }

    /// What waits is told, as if there were a next event.
    pub fn try_again(&mut self) {
        self.wanted = true;
    }

    /// Takes bytes that the peer sent.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// Bytes to be written; the caller writes and clears them.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// What was noticed since the last call, one by one.
    pub fn notice(&mut self) -> Option<PeerNotice> {
        self.notices.pop_front()
    }

    /// What is to be done next.
    pub fn step(&mut self) -> PeerStep {
        loop {
            match self.state {
                State::Apart if self.wanted && !self.events.is_empty() => return PeerStep::Connect,
                State::Apart => return PeerStep::Rest,
                State::Closing => return PeerStep::Close,
                // First, so that what the peer says too early counts wherever it is cut.
                State::Ready(version) => self.tell(version),
                State::Greeting | State::Asking(_) | State::Telling(_) => {}
            }
            match take_line(&mut self.unread) {
                Ok(Some(line)) => self.take(&line),
                Err(_) => self.close(b""),
                Ok(None) if matches!(self.state, State::Ready(_)) => return PeerStep::Keep,
                Ok(None) => return PeerStep::Read,
            }
        }
    }

    /// Says the first event that this version has words for, when there is one.
    fn tell(&mut self, version: u8) {
        while let Some(event) = self.events.front() {
            if let Some(line) = command::line(event, version) {
                self.output.extend(line);
                self.output.extend_from_slice(LINE_END);
                self.state = State::Telling(version);
                return;
            }
            self.events.pop_front();
        }
    }

    fn take(&mut self, line: &[u8]) {
        let code = line.split(is_blank).next().unwrap_or_default();
        match (self.state, code) {
            (State::Greeting, b"200") => self.ask(VERSION_MAX),
            (State::Asking(3), b"803") => self.establish(3),
            (State::Asking(2), b"802") => self.establish(2),
            (State::Asking(version), _) => {
                self.note(PeerNotice::Answered {
                    code: shortened(code),
                    command: version_command(version),
                });
                match version {
                    3 => self.ask(2),
                    _ => self.establish(1),
                }
            }
            (State::Telling(version), b"201") => {
                self.events.pop_front();
                self.state = State::Ready(version);
            }
            _ => self.close(code),
        }
    }

    fn ask(&mut self, version: u8) {
        self.output
            .extend_from_slice(version_command(version).as_bytes());
        self.output.push(b'\n');
        self.state = State::Asking(version);
    }

    fn establish(&mut self, version: u8) {
        self.note(PeerNotice::Established(version));
        self.state = State::Ready(version);
    }

    fn close(&mut self, code: &[u8]) {
        self.note(PeerNotice::Unexpected {
            code: shortened(code),
            queued: self.events.len(),
        });
        self.state = State::Closing;
    }

    fn note(&mut self, notice: PeerNotice) {
        if self.notices.len() < NOTICES_MAX {
            self.notices.push_back(notice);
        }
    }
}

fn version_command(version: u8) -> &'static str {
    if version == 3 { "vers3" } else { "vers2" }
}

/// As much of a code as is shown.
fn shortened(code: &[u8]) -> Vec<u8> {
    code.iter().take(CODE_MAX).copied().collect()
}

/// The version that is asked for first.
const VERSION_MAX: u8 = 3;

/// What ends the line of an event; a version is asked for with LF alone, as the original does.
const LINE_END: &[u8] = b"\r\n";

/// A connection gives four at most.
const NOTICES_MAX: usize = 64;

const CODE_MAX: usize = 16;
