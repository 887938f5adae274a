//! Spare workers of the runtime, which rest while one of them is enough.
//!
//! One worker serves all that an ordinary mail system asks, and more cheaply than several would:
//! connections and records stay in the caches of one core, and nobody has to wake anybody. But the
//! disk may hold its thread up, and a large host may ask more than one core can answer. So somebody
//! measures all the time how long it takes until what comes has its turn, and rouses a spare when
//! that is long.
//!
//! A worker rests in a task that holds up its thread. To the runtime it is busy; what waits for it
//! and no other would have to wait with it, so it rests only when nothing does.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Duration;

use greylatch_store::give_way;
use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use crate::clock::monotonic;

/// How often is measured how long what comes has to wait.
const BEAT: Duration = Duration::from_millis(50);

/// What comes may wait so long. When it waits longer twice in a row, a spare is roused.
const LATE: Duration = Duration::from_millis(20);

/// A spare that was roused stays awake until nothing has been late for so long, and for twice as long
/// each time it is missed soon after.
const CALM: Duration = Duration::from_secs(1);
const CALM_MAX: Duration = Duration::from_secs(60);

/// No spare rests longer without a look at its queue.
const REST: Duration = Duration::from_secs(1);

/// The spare workers of a runtime, at rest or not, until this is dropped.
pub(crate) struct Spares {
    resting: Arc<Resting>,
    watch: Option<JoinHandle<()>>,
}

impl Spares {
    /// Lets so many workers of a runtime rest, which must be fewer than it has.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn rest(runtime: &Handle, count: usize) -> io::Result<Self> {
        Self::rest_at_most(REST, runtime, count)
    }

    fn rest_at_most(at_most: Duration, runtime: &Handle, count: usize) -> io::Result<Self> {
        let resting = Arc::new(Resting {
            at_most,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let (watched, handle) = (resting.clone(), runtime.clone());
        let work = move || watched.watch(&handle);
        let watch = thread::Builder::new().name("spares".into()).spawn(work)?;
        for _ in 0..count {
            runtime.spawn(be_spare(resting.clone()));
        }
        Ok(Self {
            resting,
            watch: Some(watch),
        })
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        self.resting.state().is_over = true;
        self.resting.changed.notify_all();
        if let Some(watch) = self.watch.take() {
            // It does nothing that panics.
            let _ = watch.join();
        }
    }
}

struct Resting {
    /// Spares look so often whether something was left in their queue all the same.
    at_most: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// How many rest.
    count: usize,
    /// How many of these are to rise.
    roused: usize,
    /// When something was last late.
    late_at: Option<Instant>,
    /// How long from then on whoever is awake stays so.
    calm: Duration,
    is_over: bool,
}

impl State {
    /// Lets one more rise, if one rests. Where it rested too early it stays awake for longer.
    fn rouse(&mut self) {
        let now = monotonic();
        if self.roused < self.count {
            self.roused += 1;
            self.calm = match self.late_at {
                Some(at) if now.duration_since(at) < self.calm * 2 => CALM_MAX.min(self.calm * 2),
                _ => CALM,
            };
        }
        self.late_at = Some(now);
    }

    /// How long a spare has to stay awake still.
    fn until_calm(&self) -> Option<Duration> {
        let calm_at = self.late_at? + self.calm;
        calm_at.checked_duration_since(monotonic())
    }
}

impl Resting {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no code panics while it holds the state of the spares")
    }

    /// Measures until it is over.
    fn watch(&self, runtime: &Handle) {
        let mut asked = ask(runtime);
        let mut was_late = false;
        let mut state = self.state();
        loop {
            let wait = |state: &mut State| !state.is_over;
            let waited = self.changed.wait_timeout_while(state, BEAT, wait);
            state = waited.expect("nobody panics with the state").0;
            if state.is_over {
                return;
            }
            let is_late = asked.get().is_none_or(|waited| *waited > LATE);
            // Once is any hiccup of the machine.
            if is_late && was_late {
                state.rouse();
                self.changed.notify_all();
            }
            was_late = is_late;
            drop(state);
            asked = ask(runtime);
            state = self.state();
        }
    }

    /// Holds up this thread until the spare is roused, or for long enough to look.
    fn lie_down(&self) {
        let mut state = self.state();
        state.count += 1;
        let rest = |state: &mut State| state.roused == 0 && !state.is_over;
        let rested = self.changed.wait_timeout_while(state, self.at_most, rest);
        state = rested.expect("nobody panics with the state").0;
        state.roused = state.roused.saturating_sub(1);
        state.count -= 1;
    }
}

/// Asks the runtime for a turn in its queues; what this gives will hold how long that took.
fn ask(runtime: &Handle) -> Arc<OnceLock<Duration>> {
    let asked = Arc::<OnceLock<_>>::default();
    let (answer, start) = (asked.clone(), monotonic());
    runtime.spawn(async move {
        // A worker takes this from the common queue between others of its own, which wait longer.
        give_way().await;
        let _ = answer.set(start.elapsed());
    });
    asked
}

async fn be_spare(resting: Arc<Resting>) {
    let mut is_alone = false;
    loop {
        loop {
            let until_calm = match &*resting.state() {
                state if state.is_over => return,
                state => state.until_calm(),
            };
            let Some(left) = until_calm else { break };
            sleep(left).await;
            is_alone = false;
        }
        if !is_alone {
            until_alone().await;
        }
        let before = turns();
        resting.lie_down();
        give_way().await;
        is_alone = turns() == before;
    }
}

/// A task of ours whose turns are counted, so that no spare rests while it waits for one. To be used
/// of all that is spawned.
pub(crate) fn counted<F: Future>(work: F) -> Counted<F> {
    Counted(Box::pin(work))
}

pub(crate) struct Counted<F>(Pin<Box<F>>);

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        TURNS.set(TURNS.get().wrapping_add(1));
        self.0.as_mut().poll(cx)
    }
}

thread_local! {
    /// How many turns tasks of ours have had on this thread.
    static TURNS: Cell<u64> = const { Cell::new(0) };
}

/// Which thread this is, and how many turns tasks of ours have had on it.
fn turns() -> (ThreadId, u64) {
    (thread::current().id(), TURNS.get())
}

/// Waits until no task of ours waits for the worker that this runs on.
///
/// Tasks that gave way have their turns again only when the worker has looked at the sockets, all of
/// them then, as has who gives way here. Who lines up at the back after that and is the next to have
/// a turn has nobody behind: others line up when another task runs, or when the sockets are looked
/// at, and the last of those runs first. Source: tokio 1.54, `runtime/scheduler/defer.rs` and
/// `runtime/scheduler/multi_thread/worker.rs`, `park_internal`, `schedule_local`, `next_local_task`.
async fn until_alone() {
    loop {
        let before = turns();
        yield_now().await;
        give_way().await;
        if turns() == before {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
