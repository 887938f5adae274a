//! Workers of a real runtime that rest, rise, and leave nobody behind.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::*;

const WORKERS: usize = 4;

/// So long that whoever rises was roused.
const LONG: Duration = Duration::from_secs(3600);

/// A runtime of which all workers but one rest.
fn rested() -> (Runtime, Spares) {
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(WORKERS).enable_all().build();
    let runtime = runtime.expect("four threads can be started");
    let spares = Spares::rest_at_most(LONG, runtime.handle(), WORKERS - 1);
    let spares = spares.expect("a thread can be started");
    until_rested(&spares);
    (runtime, spares)
}

fn until_rested(spares: &Spares) {
    let start = monotonic();
    while spares.resting.state().count < WORKERS - 1 {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "some do not rest"
        );
        thread::sleep(Duration::from_millis(1));
    }
}

/// The threads on which a hundred tasks run that are started from outside, one after the other.
fn threads_at_work(runtime: &Runtime) -> HashSet<ThreadId> {
    let run = |_| runtime.block_on(runtime.spawn(async { thread::current().id() }));
    (0..100).map(run).map(|id| id.expect("it ran")).collect()
}

#[test]
fn one_worker_serves_while_the_others_rest() {
    let (runtime, _spares) = rested();
    // One more where a hiccup of this machine roused it.
    assert!(threads_at_work(&runtime).len() <= 2);
}

#[test]
fn a_spare_serves_while_the_threads_of_others_are_held_up() {
    let (runtime, spares) = rested();
    let released = Arc::new(AtomicBool::new(false));
    for _ in 1..WORKERS {
        let released = released.clone();
        runtime.spawn(async move {
            while !released.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(1));
            }
        });
    }
    let (tell, told) = oneshot::channel();
    runtime.spawn(async {
        sleep(Duration::from_millis(1)).await;
        tell.send(()).expect("it is waited for");
    });
    let told = runtime.block_on(async { timeout(Duration::from_secs(20), told).await });
    released.store(true, Ordering::Relaxed);
    assert_eq!(told, Ok(Ok(())));
    drop(spares);
}

#[test]
fn who_was_roused_stays_awake_for_longer_each_time_it_is_missed_soon_after() {
    let mut state = State {
        count: 3,
        ..State::default()
    };
    let mut calm = || {
        state.rouse();
        state.calm
    };
    assert_eq!([calm(), calm(), calm()], [CALM, CALM * 2, CALM * 4]);
    // Nobody is left.
    assert_eq!(calm(), CALM * 4);
    state.roused = 0;
    state.late_at = monotonic().checked_sub(CALM * 8);
    state.rouse();
    assert_eq!((state.roused, state.calm), (1, CALM));
}

#[test]
fn a_spare_rests_again_when_all_is_calm() {
    let (_runtime, spares) = rested();
    spares.resting.state().rouse();
    spares.resting.changed.notify_all();
    let is_awake = || spares.resting.state().count < WORKERS - 1;
    let start = monotonic();
    while !is_awake() {
        assert!(start.elapsed() < Duration::from_secs(10), "none rises");
        thread::sleep(Duration::from_millis(1));
    }
    until_rested(&spares);
    assert!(start.elapsed() > CALM / 2, "it rose for nothing");
}

/// Lets a hundred connections take turns while spares rise and rest; `turn` is how one gives way.
fn connections_wait_with_no_spare<T, F>(turn: T)
where
    T: Fn() -> F + Copy + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let (runtime, spares) = rested();
    let ended = Arc::new(AtomicBool::new(false));
    let longest_ms = Arc::new(AtomicU64::new(0));
    let connections = (0..100).map(|_| {
        let (ended, longest_ms) = (ended.clone(), longest_ms.clone());
        runtime.spawn(counted(async move {
            while !ended.load(Ordering::Relaxed) {
                let start = monotonic();
                turn().await;
                let waited = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
                longest_ms.fetch_max(waited, Ordering::Relaxed);
            }
        }))
    });
    let connections: Vec<_> = connections.collect();
    for _ in 0..100 {
        {
            let mut state = spares.resting.state();
            state.roused = state.count;
            // They take part for a while.
            state.late_at = Some(monotonic());
            state.calm = Duration::from_millis(5);
            spares.resting.changed.notify_all();
        }
        thread::sleep(Duration::from_millis(10));
    }
    ended.store(true, Ordering::Relaxed);
    for connection in connections {
        let ended = runtime.block_on(async { timeout(Duration::from_secs(20), connection).await });
        ended.expect("it has its turns").expect("it does not panic");
    }
    let longest = Duration::from_millis(longest_ms.load(Ordering::Relaxed));
    assert!(longest < Duration::from_secs(1), "one waited {longest:?}");
}

#[test]
fn no_connection_waits_in_the_queue_of_a_spare_that_rests() {
    connections_wait_with_no_spare(give_way);
}

#[test]
fn no_connection_that_gave_way_waits_for_a_spare_that_rests() {
    connections_wait_with_no_spare(yield_now);
}

#[test]
fn spares_end_with_the_runtime() {
    let (runtime, spares) = rested();
    drop(spares);
    // It waits for its workers.
    drop(runtime);
}
