//! Telling one peer: a task that connects when there is something to tell, keeps the connection, and
//! goes on to take events whatever the peer does.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use greylatch_core::PeerEvent;
use greylatch_proto::{PeerNotice, PeerSender, PeerStep, Unqueued};
use greylatch_rules::Peer;
use greylatch_wording::MilterGreylistEvent;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::warn;

use super::place::{addresses, is_local};
use crate::desk::Desk;

/// How a peer is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Calling {
    pub(super) peer: Peer,
    /// The address it is called from; `None`: any.
    pub(super) from: Option<IpAddr>,
    pub(super) port: u16,
    /// How many events may wait for it.
    pub(super) queue_max: usize,
}

/// Who tells it.
pub(super) struct Teller {
    calling: Calling,
    events: mpsc::Receiver<PeerEvent>,
    sender: PeerSender,
    desk: Arc<Desk>,
}

/// A peer without a timeout is waited for so long.
const PATIENCE_MAX: Duration = Duration::from_secs(24 * 3_600);

/// A peer for whom events wait is tried again after this, and before when there is another event.
const AGAIN: Duration = Duration::from_secs(10);

/// Bytes read at once; answers are short.
const READ_SIZE: usize = 1 << 10;

/// What came of waiting for a peer.
enum Heard {
    Bytes(Vec<u8>),
    /// The connection is gone; why.
    Lost(String),
    /// There is nothing more to tell: the peer is none any more.
    Dismissed,
}

impl Teller {
    pub(super) fn new(
        calling: Calling,
        events: mpsc::Receiver<PeerEvent>,
        desk: Arc<Desk>,
    ) -> Self {
        Self {
            sender: PeerSender::new(calling.queue_max),
            calling,
            events,
            desk,
        }
    }

    /// Tells until the peer is none any more, or turns out to be this host.
    pub(super) async fn run(mut self) {
        let mut stream: Option<TcpStream> = None;
        loop {
            let step = self.sender.step();
            self.log_notices();
            match (step, stream.as_mut()) {
                (PeerStep::Rest, _) => match self.rest().await {
                    Some(Some(event)) => self.queue(event),
                    Some(None) => self.sender.try_again(),
                    None => return,
                },
                (PeerStep::Connect, _) => {
                    let opening = within(self.patience(), connect(self.calling.clone()));
                    match self.while_queueing(opening).await {
                        None | Some(Ok(None)) => return,
                        Some(Ok(opened)) => {
                            stream = opened;
                            self.sender.connected();
                        }
                        Some(Err(error)) => {
                            self.tell_trouble("cannot sync with", &error.to_string());
                            self.sender.lost();
                        }
                    }
                }
                (PeerStep::Read | PeerStep::Keep, Some(open)) => {
                    let patience = match step {
                        PeerStep::Read => self.patience(),
                        _ => PATIENCE_MAX,
                    };
                    match self.hear(open, step, patience).await {
                        Some(Heard::Bytes(bytes)) => self.sender.feed(&bytes),
                        Some(Heard::Lost(why)) => {
                            stream = None;
                            self.tell_trouble("lost connection with", &why);
                            self.sender.lost();
                        }
                        Some(Heard::Dismissed) => return,
                        // An event has come.
                        None => {}
                    }
                }
                (PeerStep::Close, _) | (PeerStep::Read | PeerStep::Keep, None) => {
                    stream = None;
                    self.sender.lost();
                }
            }
        }
    }

    /// Waits for an event, or while others wait for the peer until it is tried again; `None` when
    /// nothing can come any more.
    async fn rest(&mut self) -> Option<Option<PeerEvent>> {
        let event = self.events.recv();
        if self.sender.queued() == 0 {
            return event.await.map(Some);
        }
        match timeout(AGAIN, event).await {
            Ok(event) => event.map(Some),
            Err(_) => Some(None),
        }
    }

    /// Writes what there is and waits for what the peer says; with [`PeerStep::Keep`] an event ends
    /// the waiting.
    async fn hear(
        &mut self,
        open: &mut TcpStream,
        step: PeerStep,
        patience: Duration,
    ) -> Option<Heard> {
        let output = std::mem::take(self.sender.output());
        let mut buffer = vec![0; READ_SIZE];
        let exchange = within(patience, async {
            open.write_all(&output).await?;
            open.read(&mut buffer).await
        });
        let read = if step == PeerStep::Keep {
            tokio::select! {
                read = exchange => Some(read),
                event = self.events.recv() => match event {
                    Some(event) => {
                        self.queue(event);
                        return None;
                    }
                    None => None,
                },
            }
        } else {
            self.while_queueing(exchange).await
        };
        Some(match read {
            None => Heard::Dismissed,
            Some(Ok(0)) => Heard::Lost("it closed the connection".into()),
            Some(Ok(length)) => {
                buffer.truncate(length);
                Heard::Bytes(buffer)
            }
            Some(Err(error)) => Heard::Lost(error.to_string()),
        })
    }

    /// Waits for `work`, and queues what comes meanwhile; `None` when nothing can come any more.
    async fn while_queueing<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                event = self.events.recv() => self.queue(event?),
            }
        }
    }

    fn queue(&mut self, event: PeerEvent) {
        match self.sender.queue(event) {
            Ok(()) => {}
            Err(Unqueued::Full { queued }) => {
                self.desk
                    .observer
                    .happened(&MilterGreylistEvent::PeerOverflow {
                        peer: &self.calling.peer.host,
                        queued,
                    });
            }
            Err(error @ Unqueued::TooLong) => {
                warn!("peer {} is not told: {error}", self.calling.peer.host);
            }
        }
    }

    fn log_notices(&mut self) {
        let peer = &self.calling.peer.host[..];
        while let Some(notice) = self.sender.notice() {
            let event = match &notice {
                PeerNotice::Established(version) => MilterGreylistEvent::PeerEstablished {
                    peer,
                    version: *version,
                },
                PeerNotice::Answered { code, command } => MilterGreylistEvent::PeerAnswered {
                    peer,
                    code,
                    command,
                },
                PeerNotice::Unexpected { code, queued } => MilterGreylistEvent::PeerUnexpected {
                    peer,
                    reply: code,
                    queued: *queued,
                },
            };
            self.desk.observer.happened(&event);
        }
    }

    fn tell_trouble(&self, what: &str, why: &str) {
        warn!(
            "{what} peer {}: {why} ({} entries queued)",
            self.calling.peer.host,
            self.sender.queued()
        );
    }

    fn patience(&self) -> Duration {
        let length = self.calling.peer.timeout.map(|length| length.0);
        let length = length.and_then(|length| u64::try_from(length).ok());
        length
            .filter(|length| *length > 0)
            .map_or(PATIENCE_MAX, Duration::from_secs)
            .min(PATIENCE_MAX)
    }
}

/// Opens a connection; `None` when the peer is this host itself.
async fn connect(calling: Calling) -> io::Result<Option<TcpStream>> {
    let addresses = addresses(&calling.peer.host).await?;
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "it has no address");
    for address in &addresses {
        if is_local(*address) {
            return Ok(None);
        }
        match open(*address, &calling).await {
            Ok(stream) => return Ok(Some(stream)),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn open(address: IpAddr, calling: &Calling) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    let alike = |from: &IpAddr| from.is_ipv4() == address.is_ipv4();
    if let Some(from) = calling.from.filter(alike) {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    socket.connect(SocketAddr::new(address, calling.port)).await
}

/// `work`, which fails when it takes longer.
async fn within<T>(length: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let done = timeout(length, work).await;
    done.unwrap_or_else(|_| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {length:?}"),
        ))
    })
}
