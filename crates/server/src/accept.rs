//! Room 1, listen: each socket has a task that accepts, each connection a permit and a task.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use greylatch_proto::{
    ControlConversation, GreylistdConversation, MilterConversation, PolicyConversation,
    PolicyOptions,
};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::connection::{ConnectionError, Guest, Patience, serve};
use crate::desk::Desk;
use crate::listen::Bound;
use crate::peers;
use crate::socket::Socket;
use crate::spares::{Counted, counted};
use crate::web::Entrance;

/// What is spoken at a socket.
#[derive(Clone)]
pub(crate) enum Door {
    Policy(Arc<PolicyOptions>),
    Milter,
    Greylistd,
    Http(Entrance),
    Control,
    /// Other mail exchangers tell what they saw.
    Peer,
}

/// What the tasks that accept share.
#[derive(Clone)]
pub(crate) struct Reception {
    pub(crate) desk: Arc<Desk>,
    /// One permit per connection: one more has to wait until another closes.
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) patience: Patience,
    pub(crate) stop: watch::Receiver<bool>,
}

impl Reception {
    async fn permit(&self) -> OwnedSemaphorePermit {
        let permits = self.permits.clone();
        permits
            .acquire_owned()
            .await
            .expect("the permits are never closed")
    }
}

/// After a failed accept, as when files run out, it is tried again so much later.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Accepts at a socket until the daemon stops. Each socket may hold one connection that waits for its
/// permit: a permit that waited for a connection would be kept from the other sockets.
pub(crate) fn accept(
    bound: Bound,
    door: Door,
    reception: Reception,
) -> Counted<impl Future<Output = ()>> {
    counted(accept_until_stop(bound, door, reception))
}

async fn accept_until_stop(bound: Bound, door: Door, reception: Reception) {
    let listening = match listening(&bound) {
        Ok(listening) => listening,
        Err(error) => {
            warn!("a socket cannot be listened on: {error}");
            return;
        }
    };
    let mut stop = reception.stop.clone();
    loop {
        let accepted = tokio::select! {
            accepted = accept_one(&listening, &door, &reception) => accepted,
            _ = stop.wait_for(|stopping| *stopping) => break,
        };
        if let Err(error) = accepted {
            warn!("cannot accept a connection: {error}; trying again");
            sleep(AFTER_FAILURE).await;
        }
    }
    if let Bound::Unix(_, file) = &bound {
        file.remove();
    }
}

fn listening(bound: &Bound) -> io::Result<Listening> {
    match bound {
        Bound::Tcp(socket) => {
            socket.set_nonblocking(true)?;
            Ok(Listening::Tcp(TcpListener::from_std(socket.try_clone()?)?))
        }
        Bound::Unix(socket, _) => {
            socket.set_nonblocking(true)?;
            Ok(Listening::Unix(UnixListener::from_std(
                socket.try_clone()?,
            )?))
        }
    }
}

async fn accept_one(listening: &Listening, door: &Door, reception: &Reception) -> io::Result<()> {
    match listening {
        Listening::Tcp(socket) => {
            let (stream, peer) = socket.accept().await?;
            // Answers are small and each is waited for; a failure only costs time.
            let _ = stream.set_nodelay(true);
            if reception.desk.observer.is_verbose() {
                let local = stream.local_addr()?;
                reception.desk.observer.connected_tcp(peer, local);
            }
            let permit = reception.permit().await;
            receive((Socket::Tcp(stream), peer.ip()), door, reception, permit);
        }
        Listening::Unix(socket) => {
            let (stream, _) = socket.accept().await?;
            if reception.desk.observer.is_verbose() {
                let local = socket.local_addr()?;
                reception.desk.observer.connected_unix(local.as_pathname());
            }
            // The address means something only to those who come by TCP.
            let nowhere = Ipv4Addr::UNSPECIFIED.into();
            let permit = reception.permit().await;
            receive((Socket::Unix(stream), nowhere), door, reception, permit);
        }
    }
    Ok(())
}

fn receive(
    (stream, from): (Socket, IpAddr),
    door: &Door,
    reception: &Reception,
    permit: OwnedSemaphorePermit,
) {
    let Reception {
        desk,
        patience,
        stop,
        ..
    } = reception.clone();
    let door = door.clone();
    tokio::spawn(counted(async move {
        let _open = OpenConnection::count(&desk);
        let served = match door {
            Door::Policy(options) => {
                let conversation = PolicyConversation::new(options);
                let guest = Guest::of::<PolicyConversation>(&desk);
                serve(stream, conversation, guest, patience, stop).await
            }
            Door::Milter => {
                // What was negotiated stays true until the connection ends.
                let rules = desk.rulebook.load_full();
                let conversation = MilterConversation::new(rules.milter.clone());
                let guest = Guest::of::<MilterConversation>(&desk).with_rules(rules);
                serve(stream, conversation, guest, patience.of_milter(), stop).await
            }
            Door::Greylistd => {
                let guest = Guest::of::<GreylistdConversation>(&desk);
                serve(stream, GreylistdConversation::new(), guest, patience, stop).await
            }
            Door::Http(entrance) => entrance.serve((stream, from), stop).await,
            Door::Peer => peers::receive((stream, from), &desk, patience, stop).await,
            Door::Control => {
                let guest = Guest::of::<ControlConversation>(&desk);
                serve(stream, ControlConversation::new(), guest, patience, stop).await
            }
        };
        match served {
            Err(ConnectionError::Io(error)) => debug!("a connection broke: {error}"),
            Err(error) => warn!("a connection was closed: {error}"),
            Ok(()) => {}
        }
        drop(permit);
    }));
}

/// Counts a connection as open until it is dropped, also when its task panics.
struct OpenConnection<'a>(&'a Desk);

impl<'a> OpenConnection<'a> {
    fn count(desk: &'a Desk) -> Self {
        desk.connections.fetch_add(1, Ordering::Relaxed);
        Self(desk)
    }
}

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
