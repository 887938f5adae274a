//! Opening, closing, and opening again after a fault, on a thread of its own.
//!
//! A write error leaves fjall unusable until every handle is gone and the directory is opened
//! again. Damage moves the directory aside and starts an empty one, because greylisting learns
//! again what it has lost; everything else is tried again, for as long as it takes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::EmbeddedOptions;
use super::engine::Engine;
use super::fault::Fault;
use super::phase::{Life, Phase};
use super::torn::JournalEnds;
use crate::error::StoreError;

/// What the keeper is told.
pub(super) enum Order {
    /// The engine has noted a fault.
    Failed,
    /// Put everything on disk and end; tell how it went.
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// The way to the keeping thread; it ends when this is dropped.
pub(super) struct Keeper {
    orders: Sender<Order>,
}

impl Keeper {
    pub(super) fn start(options: EmbeddedOptions) -> (Self, Arc<Life>) {
        let (orders, taken) = channel();
        let life = Arc::new(Life::new());
        let inside_max = options.inside_max.unwrap_or_else(|| {
            Handle::try_current().map_or(1, |runtime| {
                runtime.metrics().num_workers().saturating_sub(1)
            })
        });
        let keeping = Keeping {
            inside_max: inside_max.max(1),
            options,
            life: Arc::clone(&life),
            // A keeper that hears only itself has nobody left: engines do not keep it alive.
            taken,
        };
        let engines = orders.clone();
        let thread = thread::Builder::new().name("store:keeper".into());
        if let Err(error) = thread.spawn(move || keeping.run(&engines)) {
            tracing::error!(%error, "cannot start the thread that opens the store");
        }
        (Self { orders }, life)
    }

    pub(super) async fn close(&self) -> Result<(), StoreError> {
        let (done, wait) = oneshot::channel();
        if self.orders.send(Order::Close(done)).is_err() {
            return Ok(());
        }
        wait.await.unwrap_or(Ok(()))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Nobody waits for the answer; the thread may be gone already.
        let _ = self.orders.send(Order::Close(oneshot::channel().0));
    }
}

struct Keeping {
    options: EmbeddedOptions,
    inside_max: usize,
    life: Arc<Life>,
    taken: Receiver<Order>,
}

impl Drop for Keeping {
    /// However it ended, nobody waits for a store that will never open.
    fn drop(&mut self) {
        self.life.enter(Phase::Closed);
    }
}

/// Between two tries, doubled from the first to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LAST: Duration = Duration::from_secs(10);

impl Keeping {
    fn run(&self, orders: &Sender<Order>) {
        let mut pause = PAUSE_FIRST;
        loop {
            let fault = match self.open(orders) {
                Ok(engine) => {
                    pause = PAUSE_FIRST;
                    match self.serve(engine) {
                        Some(fault) => fault,
                        None => return,
                    }
                }
                Err(fault) => fault,
            };
            let directory = self.options.directory.display();
            tracing::error!(%directory, "the store is down: {fault}");
            let damaged = matches!(fault, Fault::Damaged(_)) && self.set_aside();
            if damaged && pause == PAUSE_FIRST {
                // The next one begins empty: attempts need only wait a moment.
                self.life.enter(Phase::Opening);
                pause *= 2;
                continue;
            }
            self.life.enter(Phase::Down(fault.to_string()));
            if let Some(done) = self.rest(&fault, pause) {
                self.life.enter(Phase::Closed);
                // Who has stopped waiting is not told.
                let _ = done.send(Ok(()));
                return;
            }
            pause = PAUSE_LAST.min(pause * 2);
        }
    }

    fn open(&self, orders: &Sender<Order>) -> Result<Arc<Engine>, Fault> {
        let opened = catch_unwind(AssertUnwindSafe(|| {
            prepare(&self.options.directory)?;
            let journals = JournalEnds::of(&self.options.directory)?;
            let engine = Engine::open(&self.options, self.inside_max, orders.clone())?;
            tell_lost(&journals);
            // What the journals hold is in memory again, and read anew at each start until it is
            // written out: a process that is killed over and over would take ever longer to open.
            engine.rotation.wrote(journals.bytes());
            Ok(engine)
        }));
        // fjall meets some damage with a panic.
        let opened = opened.unwrap_or_else(|_| Err(Fault::Damaged("opening them panicked".into())));
        opened.map(Arc::new)
    }

    /// Lets the engine be used until it fails, or is told to end: then there is no fault.
    fn serve(&self, engine: Arc<Engine>) -> Option<Fault> {
        let threads = match engine.start_threads(&self.options.directory) {
            Ok(threads) => threads,
            Err(fault) => {
                engine.stop_threads();
                return Some(fault);
            }
        };
        self.life.enter(Phase::Open(Arc::clone(&engine)));
        let order = self.taken.recv();
        engine.stop_threads();
        let fault = match &order {
            Ok(Order::Failed) => engine.fault().cloned(),
            _ => None,
        };
        self.life.enter(match &fault {
            Some(fault) => Phase::Down(fault.to_string()),
            None => Phase::Closed,
        });
        for thread in threads {
            // A thread that panicked has nothing more to tell.
            let _ = thread.join();
        }
        while Arc::strong_count(&engine) > 1 {
            thread::sleep(Duration::from_millis(1));
        }
        let persisted = if fault.is_none() {
            engine.persist()
        } else {
            Ok(())
        };
        drop(engine);
        if let Ok(Order::Close(done)) = order {
            let told = persisted.map_err(|fault| StoreError::Down(fault.to_string()));
            // Who has stopped waiting is not told.
            let _ = done.send(told);
        }
        fault
    }

    /// Rests before the next try; a newer format is left alone for good. `Some` at the end.
    fn rest(
        &self,
        fault: &Fault,
        pause: Duration,
    ) -> Option<oneshot::Sender<Result<(), StoreError>>> {
        loop {
            let order = if matches!(fault, Fault::Newer(_)) {
                self.taken
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                self.taken.recv_timeout(pause)
            };
            match order {
                Ok(Order::Close(done)) => return Some(done),
                Ok(Order::Failed) => {}
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => return Some(oneshot::channel().0),
            }
        }
    }

    /// Moves the damaged directory out of the way, and says whether that worked.
    fn set_aside(&self) -> bool {
        let directory = &self.options.directory;
        match set_aside(directory) {
            Ok(aside) => tracing::error!(
                "the damaged store has been moved to {}; an empty one is begun, and every sender \
                 waits once more",
                aside.display()
            ),
            Err(error) => {
                let directory = directory.display();
                tracing::error!("the damaged store {directory} cannot be moved aside: {error}");
                return false;
            }
        }
        true
    }
}

fn tell_lost(journals: &JournalEnds) {
    for (journal, bytes) in journals.lost() {
        tracing::warn!(
            "the journal {} ended in {bytes} bytes that cannot be read, as after a power cut: what \
             they held is forgotten, and those senders wait once more",
            journal.display()
        );
    }
}

/// Damaged stores are kept up to this number; the last gives way.
const ASIDE_MAX: u32 = 100;

fn set_aside(directory: &Path) -> io::Result<PathBuf> {
    let mut aside = directory.to_owned();
    for number in 1..=ASIDE_MAX {
        let mut name = directory.file_name().unwrap_or_default().to_owned();
        name.push(format!(".damaged-{number}"));
        aside.set_file_name(name);
        if !aside.try_exists()? {
            break;
        }
    }
    if aside.try_exists()? {
        fs::remove_dir_all(&aside)?;
    }
    fs::rename(directory, &aside)?;
    Ok(aside)
}

/// The file that says which format the records have, so that a newer one is left alone.
const FORMAT_FILE: &str = "greylatch-format";
const FORMAT: u32 = 1;

/// Makes the directory, and looks whether it may be opened.
fn prepare(directory: &Path) -> Result<(), Fault> {
    fs::create_dir_all(directory)?;
    let file = directory.join(FORMAT_FILE);
    let text = match fs::read_to_string(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(mark(directory)?);
        }
        read => read?,
    };
    match text.trim().parse::<u32>() {
        Ok(FORMAT) => Ok(()),
        Ok(newer) => Err(Fault::Newer(format!("format {newer}, not {FORMAT}"))),
        Err(_) => Err(Fault::Damaged(format!("{FORMAT_FILE} is no number"))),
    }
}

/// Notes the format on disk before anything else is there: after a power cut an empty note would
/// make the whole store look damaged.
fn mark(directory: &Path) -> io::Result<()> {
    let draft = directory.join(format!("{FORMAT_FILE}.draft"));
    let mut file = File::create(&draft)?;
    writeln!(file, "{FORMAT}")?;
    file.sync_all()?;
    fs::rename(&draft, directory.join(FORMAT_FILE))?;
    File::open(directory)?.sync_all()?;
    // The directory itself may be as young. Who may not look into the one above cannot have made it.
    if let Some(Ok(above)) = directory.parent().map(File::open) {
        above.sync_all()?;
    }
    Ok(())
}
