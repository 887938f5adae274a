//! The daemon while it runs: connections are accepted, signals obeyed, and at the end everything
//! that was asked is answered and everything that was answered is on disk.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};
use std::thread::available_parallelism;
use std::time::Duration;

use arc_swap::ArcSwap;
use greylatch_core::{IdentityRules, Reloaded, School, Seconds};
use greylatch_proto::{PolicyOptions, UnknownRequest};
use greylatch_store::{Keying, Store, StoreError};
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, SetOnce, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{error, warn};

use crate::accept::{Door, Reception, accept};
use crate::backend::{self, Backend};
use crate::clock;
use crate::config::{Config, Identity};
use crate::connection::Patience;
use crate::desk::{Desk, DeskSettings};
use crate::dump::{Changes, Dumping};
use crate::facts::Facts;
use crate::instance::Instances;
use crate::launch::{Personality, StartError, source};
use crate::listen::{Bound, Sockets};
use crate::lists::{ListFiles, Remark, Rulebook};
use crate::log::LogQueue;
use crate::observe::Observer;
use crate::paths::store_directory;
use crate::peers::{self, PEERS_MAX, Peers};
use crate::phrases::Phrases;
use crate::spares::{Spares, counted};
use crate::takeover;
use crate::tarpit::Tarpit;
use crate::waiting::WaitingNetworks;
use crate::watched::Watched;
use crate::web::{self, Entrance, Front};

/// Everything that was made before privileges were dropped.
pub(crate) struct Prepared {
    pub(crate) config: Config,
    pub(crate) config_path: Option<PathBuf>,
    pub(crate) personality: Option<Personality>,
    pub(crate) keying: Keying,
    pub(crate) watched: Watched,
    pub(crate) lists: ListFiles,
    pub(crate) rulebook: Rulebook,
    pub(crate) remarks: Vec<Remark>,
    pub(crate) sockets: Sockets,
    pub(crate) http: Option<Arc<Front>>,
    pub(crate) control: Vec<Bound>,
    pub(crate) signals: Signals,
    pub(crate) ready: Option<Box<dyn FnOnce() + Send>>,
    pub(crate) log: LogQueue,
}

/// How long connections may take to end when the daemon stops.
const DRAIN: Duration = Duration::from_secs(5);

/// How long the store may take to put everything on disk when the daemon stops. What was answered
/// is with the kernel already.
const CLOSE: Duration = Duration::from_secs(5);

/// Connections to the control socket at once; a tool uses one.
const CONTROLS_MAX: u32 = 16;

/// Remarks that are told to who asked for a reload; all are logged.
const REMARKS_MAX: usize = 100;

/// How often expired entries are looked after.
const SWEEP: Duration = Duration::from_secs(60);

/// Runs until a signal ends it.
pub(crate) fn run(prepared: Prepared) -> Result<(), StartError> {
    let cores = available_parallelism().map_or(2, usize::from);
    let workers = cores + STALLED_WORKERS;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .thread_name("greylatch")
        .build()?;
    let spares = Spares::rest(runtime.handle(), workers - 1)?;
    let ended = runtime.block_on(serve(prepared));
    drop(spares);
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

/// Workers beside one per core, so that some are left while others wait for a stalled disk.
const STALLED_WORKERS: usize = 2;

async fn serve(prepared: Prepared) -> Result<(), StartError> {
    let Prepared {
        config,
        config_path,
        personality,
        keying,
        watched,
        lists,
        rulebook,
        remarks,
        sockets,
        http,
        control,
        signals,
        ready,
        log,
    } = prepared;
    let observer = Observer::new(&config, log);
    for remark in &remarks {
        observer.first_remark(remark);
    }
    let backend = backend::open(&config, keying)?;
    let (reloads, reloads_asked) = mpsc::channel(CONTROLS_MAX as usize);
    let desk = Arc::new(desk(&config, rulebook, backend, observer, reloads));
    desk.observer.started();
    let (stop, stopping) = watch::channel(false);
    let reload = Arc::new(Reload {
        config,
        config_path,
        lists: lists.into(),
        http,
        desk: desk.clone(),
    });
    let reception = |permits: u32| Reception {
        desk: desk.clone(),
        permits: Arc::new(Semaphore::new(permits as usize)),
        patience: patience(&reload.config),
        stop: stopping.clone(),
    };
    let mta_reception = reception(reload.config.listen.connections_max);
    let mut accepting = JoinSet::new();
    for (bound, door) in doors(sockets, &reload) {
        accepting.spawn(accept(bound, door, mta_reception.clone()));
    }
    for bound in control {
        accepting.spawn(accept(bound, Door::Control, reception(CONTROLS_MAX)));
    }
    tokio::spawn(counted(sweep(desk.clone())));
    if let Some(Personality::MilterGreylist { .. }) = personality {
        tokio::spawn(counted(peers::run(reception(PEERS_MAX))));
    }
    let dumping = remember(&desk, personality, &reload);
    if let Some(ready) = ready {
        ready();
    }
    tokio::spawn(counted(tell_ready(desk.clone())));
    signals.obey(&reload, reloads_asked, watched).await;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    desk.observer.stopping();
    stop.send_replace(true);
    let connections = reload.config.listen.connections_max;
    let drained = async {
        // Each removes the file of its socket.
        while accepting.join_next().await.is_some() {}
        // Nobody closes these permits.
        let _ = mta_reception.permits.acquire_many(connections).await;
    };
    // A connection that does not end in time is cut; what it was answered is kept all the same.
    let _ = timeout(DRAIN, drained).await;
    close(&desk, dumping).await;
    Ok(())
}

/// How clients, senders and recipients are known under a configuration.
#[must_use]
pub fn identity_rules(config: &Config) -> IdentityRules {
    let school = match config.greylist.identity {
        Identity::Native if config.lists.greylist_conf.is_some() => School::MilterGreylist,
        Identity::Native => School::Native,
        Identity::Postgrey => School::Postgrey { by_host: false },
        Identity::PostgreyByHost => School::Postgrey { by_host: true },
    };
    IdentityRules {
        school,
        ipv4_prefix: config.greylist.ipv4_prefix,
        ipv6_prefix: config.greylist.ipv6_prefix,
    }
}

pub(crate) fn desk(
    config: &Config,
    rulebook: Rulebook,
    backend: Backend,
    observer: Observer,
    reload: mpsc::Sender<oneshot::Sender<Reloaded>>,
) -> Desk {
    let identity = identity_rules(config);
    let instances = match identity.school {
        School::MilterGreylist | School::Native => Instances::large(),
        School::Postgrey { .. } => Instances::as_postgrey(),
    };
    Desk {
        rulebook: ArcSwap::from_pointee(rulebook),
        store: backend.store,
        observer,
        settings: DeskSettings::new(config, identity, backend.keying),
        phrases: Phrases::new(config),
        instances,
        waiting: WaitingNetworks::new(
            config.greylist.retry_window,
            config.greylist.waiting_max.get(),
        ),
        tarpit: Tarpit::new(),
        facts: Facts::new(config),
        connections: AtomicU32::new(0),
        started: clock::now(),
        reload,
        changes: Changes::default(),
        peers: Peers::default(),
        remembers: SetOnce::new(),
    }
}

/// The sockets at which MTAs ask, each with what is spoken there.
fn doors(sockets: Sockets, reload: &Reload) -> impl Iterator<Item = (Bound, Door)> {
    let policy = Door::Policy(Arc::new(policy_options(&reload.config)));
    let (desk, patience) = (reload.desk.clone(), patience(&reload.config));
    let http = reload.http.clone().into_iter().zip([sockets.http]);
    let http = http.flat_map(move |(front, sockets)| {
        let desk = desk.clone();
        sockets.into_iter().map(move |socket| {
            let is_local = matches!(socket, Bound::Unix(..));
            let entrance = Entrance::new(&front, desk.clone(), is_local, patience);
            (socket, Door::Http(entrance))
        })
    });
    let at = |sockets: Vec<Bound>, door: Door| {
        sockets
            .into_iter()
            .map(move |socket| (socket, door.clone()))
    };
    at(sockets.policy, policy)
        .chain(at(sockets.milter, Door::Milter))
        .chain(at(sockets.greylistd, Door::Greylistd))
        .chain(http)
}

fn policy_options(config: &Config) -> PolicyOptions {
    PolicyOptions {
        close_after_answer: config.policy.close_after_answer,
        unknown_request: if config.policy.silent_on_unknown {
            UnknownRequest::Silence
        } else {
            UnknownRequest::Dunno
        },
        defer_action: config.policy.defer_action.clone().into_bytes(),
    }
}

fn patience(config: &Config) -> Patience {
    let length =
        |seconds: Seconds| Duration::from_secs(u64::try_from(seconds.0).unwrap_or(0).max(1));
    Patience {
        idle: length(config.listen.idle_timeout),
        request: length(config.listen.request_timeout),
    }
}

/// The signals that the daemon obeys, caught from when this is made: one that comes before the daemon
/// obeys waits for it.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
}

impl Signals {
    /// Catches them. Whoever sees a socket or the pidfile may send one, so this is done before there
    /// are any.
    ///
    /// # Errors
    /// When the system lets us catch none.
    pub(crate) fn catch() -> io::Result<Self> {
        // Handlers and what they have noted belong to the process, and any runtime passes it on; one
        // with threads must not be there before privileges are dropped.
        // Source: tokio 1, `signal/unix.rs`, `signal/registry.rs`.
        let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
        let _within = runtime.enter();
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Reloads on HUP, when the control socket asks and when the watched file changes; returns when
    /// the daemon is to stop.
    async fn obey(
        mut self,
        reload: &Reload,
        mut asked: mpsc::Receiver<oneshot::Sender<Reloaded>>,
        mut watched: Watched,
    ) {
        loop {
            tokio::select! {
                () = watched.changed() => drop(reload.run()),
                _ = self.hangup.recv() => drop(reload.run()),
                Some(tell) = asked.recv() => {
                    // Who asked may be gone; the reload has run all the same.
                    let _ = tell.send(reload.run());
                }
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.quit.recv() => return,
            }
        }
    }
}

/// What a reload needs: lists and rules are read again; where the configuration cannot be read
/// the old rules stay.
struct Reload {
    config: Config,
    config_path: Option<PathBuf>,
    lists: Mutex<ListFiles>,
    /// What HTTP is spoken with, where it is.
    http: Option<Arc<Front>>,
    desk: Arc<Desk>,
}

impl Reload {
    fn run(&self) -> Reloaded {
        self.desk.observer.reloading();
        let mut remarks = Vec::new();
        let kept = self.replace_rules(&mut remarks).err();
        if let Some(why) = &kept {
            error!("the old rules stay: {why}");
        }
        let more = remarks.len().saturating_sub(REMARKS_MAX);
        let mut texts: Vec<String> = remarks.iter().take(REMARKS_MAX).map(Remark::text).collect();
        if more > 0 {
            texts.push(format!("and {more} more, which are in the log"));
        }
        Reloaded {
            rules: self.desk.rulebook.load().len() as u64,
            kept,
            remarks: texts,
        }
    }

    fn replace_rules(&self, remarks: &mut Vec<Remark>) -> Result<(), String> {
        let config = self
            .config_again()
            .map_err(|why| format!("the configuration cannot be read again: {why}"))?;
        let mut lists = self
            .lists
            .lock()
            .expect("no code panics while it holds the lists");
        let (rulebook, noticed) = lists.rulebook(&config, &source(self.config_path.as_deref()));
        *remarks = noticed;
        // The files named at the start: a socket beyond this host must not lose its TLS.
        let http = self.http.as_ref();
        let http = http.map(|front| front.read_again(&self.config.http));
        let again = match http.transpose() {
            Ok(again) => again.map(|(again, noticed)| {
                remarks.extend(noticed);
                again
            }),
            Err(error) => return Err(web::in_full(&error)),
        };
        remarks
            .iter()
            .for_each(|remark| self.desk.observer.remark(remark));
        if remarks.iter().any(Remark::is_error) {
            return Err("the lists, rules or tokens have mistakes".into());
        }
        self.desk.rulebook.store(Arc::new(rulebook));
        if let (Some(front), Some(again)) = (&self.http, again) {
            front.replace(again);
        }
        self.desk.peers.reloaded();
        Ok(())
    }

    fn config_again(&self) -> Result<Config, String> {
        let Some(path) = &self.config_path else {
            return Ok(self.config.clone());
        };
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        Config::parse(path, &text).map_err(|error| error.to_string())
    }
}

/// Takes over what another program remembered; until that is done attempts wait, and then the
/// failure policy answers.
fn remember(
    desk: &Arc<Desk>,
    personality: Option<Personality>,
    reload: &Arc<Reload>,
) -> Option<Dumping> {
    match personality {
        Some(Personality::Postgrey { dbdir }) => {
            let (desk, reload) = (desk.clone(), reload.clone());
            tokio::spawn(counted(async move {
                takeover::run(&desk, &dbdir, &reload.config).await;
                desk.memory_is_whole();
            }));
            None
        }
        Some(Personality::MilterGreylist { dumpfile }) => {
            let store = store_directory(&reload.config).ok().flatten();
            Some(Dumping::start(desk.clone(), dumpfile, store.as_deref()))
        }
        None => {
            desk.memory_is_whole();
            None
        }
    }
}

async fn sweep(desk: Arc<Desk>) {
    loop {
        sleep(SWEEP).await;
        desk.observer.tell_turned_away();
        desk.waiting.expire(clock::now());
        if let Err(error) = desk.store.sweep(clock::now()).await {
            warn!("expired entries could not be looked after: {error}");
        }
    }
}

/// Tells systemd that we are ready once the store answers.
///
/// Source: sd_notify(3).
async fn tell_ready(desk: Arc<Desk>) {
    while desk.store.ping().await.is_err() {
        sleep(Duration::from_millis(100)).await;
    }
    // Nobody listens when systemd did not start us.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
}

/// Puts everything that was answered on disk.
async fn close(desk: &Desk, dumping: Option<Dumping>) {
    if let Some(dumping) = dumping {
        dumping.end().await;
    }
    let closed = timeout(CLOSE, desk.store.close()).await;
    if let Err(error) = closed.unwrap_or(Err(StoreError::Stalled)) {
        error!("the store could not be closed: {error}");
    }
}
