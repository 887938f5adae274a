//! How a task gives way to others.

use std::future::poll_fn;
use std::task::Poll;

/// Gives every task a turn that is ready on this thread of the runtime, and comes back after them.
///
/// Tokio's own `yield_now` comes back only when the thread has looked at the sockets, and no other
/// thread can do that for it: who gives way so and whose thread is then held up by the disk waits for
/// the disk too. A task that wakes itself lines up behind the others, and any thread may take it.
/// Source: tokio 1.54, `task/yield_now.rs`, `runtime/scheduler/multi_thread/worker.rs`.
pub async fn give_way() {
    let mut is_back = false;
    poll_fn(|cx| {
        if is_back {
            return Poll::Ready(());
        }
        is_back = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_others_have_their_turn_first() {
        let others = Arc::new(AtomicBool::new(false));
        let seen = others.clone();
        let first = tokio::spawn(async move {
            give_way().await;
            seen.load(Ordering::Relaxed)
        });
        let second = tokio::spawn(async move { others.store(true, Ordering::Relaxed) });
        assert!(first.await.expect("it does not panic"));
        second.await.expect("it does not panic");
    }

    #[test]
    fn who_gave_way_goes_on_while_its_thread_is_held_up() {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).build().expect("two threads");
        let (left, over) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(false));
        let (gone_on, over) = (left.clone(), Arc::new(over));
        let released = over.clone();
        let held_up = async move {
            tokio::spawn(async move {
                give_way().await;
                gone_on.store(true, Ordering::Relaxed);
            });
            // It begins, and gives way, on this thread or another; then this one is held up.
            give_way().await;
            while !released.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(1));
            }
        };
        runtime.spawn(held_up);
        for _ in 0..10_000 {
            if left.load(Ordering::Relaxed) {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        over.store(true, Ordering::Relaxed);
        assert!(left.load(Ordering::Relaxed));
    }
}
