//! The other mail exchangers that a `greylist.conf` names: they are told what happens here, and what
//! they tell is taken note of. What came from one is not passed on.
//!
//! An attempt puts its event into a queue and goes on; the protocol is in `crates/proto`.
//!
//! Source: greylist.conf(5); milter-greylist 4.6.4 as observed by running it.

mod place;
mod teller;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use greylatch_core::PeerEvent;
use greylatch_proto::PeerConversation;
use greylatch_rules::{Peer, SyncAddress};
use greylatch_wording::MilterGreylistEvent;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;

use self::place::{addresses, is_local, sync_port};
use self::teller::{Calling, Teller};
use crate::accept::{Door, Reception, accept};
use crate::config::{Endpoint, Listener};
use crate::connection::{ConnectionError, Guest, Patience, serve};
use crate::desk::Desk;
use crate::listen::{self, Bound, ListenError};
use crate::observe::Observer;
use crate::spares::counted;

/// The peers in force.
#[derive(Default)]
pub(crate) struct Peers {
    lines: ArcSwap<Vec<Line>>,
    /// There is one.
    there: watch::Sender<bool>,
    reloaded: Notify,
}

/// One peer, and the way to who tells it.
#[derive(Clone)]
struct Line {
    calling: Calling,
    events: mpsc::Sender<PeerEvent>,
}

/// Events on their way to the task of one peer, where `syncmaxqlen` bounds what waits.
const EVENTS_MAX: usize = 1_024;

/// Connections of peers at once; each has one.
pub(crate) const PEERS_MAX: u32 = 64;

/// How long a connection of a peer may be quiet: it is kept for the next event.
const QUIET_MAX: Duration = Duration::from_secs(24 * 3_600);

/// How long it may take to find out who has connected.
const NAMES: Duration = Duration::from_secs(5);

/// Source: strace of milter-greylist 4.6.4.
const BACKLOG: u32 = 5;

impl Peers {
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.load().is_empty()
    }

    /// Tells every peer; nobody waits for that.
    pub(crate) fn tell(&self, event: &PeerEvent, observer: &Observer) {
        for line in self.lines.load().iter() {
            let sent = line.events.try_send(event.clone());
            // When it is closed the peer is this host itself.
            if let Err(mpsc::error::TrySendError::Full(_)) = sent {
                observer.happened(&MilterGreylistEvent::PeerOverflow {
                    peer: &line.calling.peer.host,
                    queued: EVENTS_MAX,
                });
            }
        }
    }

    /// The configuration has been read again.
    pub(crate) fn reloaded(&self) {
        self.reloaded.notify_one();
    }

    /// Whether who has connected from `address` is a peer.
    async fn admits(&self, address: IpAddr, observer: &Observer) -> bool {
        let address = address.to_canonical();
        let admitted = timeout(NAMES, self.has(address)).await == Ok(true);
        observer.happened(&if admitted {
            MilterGreylistEvent::PeerConnected(address)
        } else {
            MilterGreylistEvent::NoPeer(address)
        });
        admitted
    }

    /// Waits until there are no peers any more.
    async fn gone(&self) {
        // It fails only when the daemon is gone, too.
        let _ = self.there.subscribe().wait_for(|there| !there).await;
    }

    async fn has(&self, address: IpAddr) -> bool {
        if is_local(address) {
            return false;
        }
        let lines = self.lines.load_full();
        for line in lines.iter() {
            let known = addresses(&line.calling.peer.host).await;
            if known.is_ok_and(|known| known.contains(&address)) {
                return true;
            }
        }
        false
    }
}

/// Keeps the peers as the configuration says, and listens for them once there is one. A change of
/// `syncaddr` counts from the next start.
pub(crate) async fn run(reception: Reception) {
    let desk = reception.desk.clone();
    let mut listens = false;
    loop {
        let wanted = wanted(&desk);
        let has_peers = !wanted.is_empty();
        desk.peers.there.send_replace(has_peers);
        replace_lines(&desk, wanted);
        if has_peers && !listens {
            match listen_at(sync_address(&desk)) {
                Ok(sockets) => {
                    listens = true;
                    for bound in sockets {
                        tokio::spawn(accept(bound, Door::Peer, reception.clone()));
                    }
                }
                Err(why) => desk
                    .observer
                    .happened(&MilterGreylistEvent::PeersUnbound(&why)),
            }
        }
        desk.peers.reloaded.notified().await;
    }
}

/// Hears a connection from `from` until either side ends it.
pub(crate) async fn receive<S>(
    (mut stream, from): (S, IpAddr),
    desk: &Desk,
    patience: Patience,
    stop: watch::Receiver<bool>,
) -> Result<(), ConnectionError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let guest = || Guest::of::<PeerConversation>(desk);
    if !desk.peers.admits(from, &desk.observer).await {
        return serve(stream, PeerConversation::refused(), guest(), patience, stop).await;
    }
    let patient = Patience {
        idle: patience.idle.max(QUIET_MAX),
        ..patience
    };
    let told = serve(
        &mut stream,
        PeerConversation::new(),
        guest(),
        patient,
        stop.clone(),
    );
    tokio::select! {
        told = told => return told,
        () = desk.peers.gone() => {}
    }
    let farewell = PeerConversation::dismissed();
    serve(stream, farewell, guest(), patience, stop).await
}

/// What the `greylist.conf` in force says of peers.
fn wanted(desk: &Desk) -> Vec<Calling> {
    let rulebook = desk.rulebook.load();
    let Some(settings) = rulebook.acl().map(|acl| acl.settings()) else {
        return Vec::new();
    };
    let port = sync_port(settings.syncaddr.port);
    let calling = |peer: &Peer| Calling {
        peer: peer.clone(),
        from: settings.syncsrcaddr.address,
        port,
        queue_max: usize::try_from(settings.syncmaxqlen).unwrap_or(usize::MAX),
    };
    settings.peers.iter().map(calling).collect()
}

/// Peers that stay keep what waits for them.
fn replace_lines(desk: &Arc<Desk>, wanted: Vec<Calling>) {
    let old = desk.peers.lines.load_full();
    let line = |calling: Calling| {
        let same = old.iter().find(|line| line.calling == calling);
        same.cloned().unwrap_or_else(|| {
            let (events, told) = mpsc::channel(EVENTS_MAX);
            let teller = Teller::new(calling.clone(), told, desk.clone());
            tokio::spawn(counted(teller.run()));
            Line { calling, events }
        })
    };
    let lines = wanted.into_iter().map(line).collect();
    desk.peers.lines.store(Arc::new(lines));
}

fn sync_address(desk: &Desk) -> SyncAddress {
    let rulebook = desk.rulebook.load();
    let acl = rulebook.acl();
    acl.map_or_else(SyncAddress::default, |acl| acl.settings().syncaddr)
}

fn listen_at(address: SyncAddress) -> Result<Vec<Bound>, String> {
    let host = address.address.map_or("*".into(), |at| at.to_string());
    let listener = Listener {
        at: Endpoint::Tcp {
            host,
            port: sync_port(address.port),
        },
        mode: None,
        owner: None,
        replaces: false,
    };
    listen::bind(&listener, BACKLOG).map_err(|error| match error {
        ListenError::Bind { source, .. } => source.to_string(),
        other => other.to_string(),
    })
}
