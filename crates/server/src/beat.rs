//! Keeps somebody watching the sockets while the disk holds threads up.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;

/// Wakes a thread of the runtime now and then, until what this gives is dropped. The thread that
/// watches the sockets runs what one of them brings without waking another to watch in its place;
/// when the disk then holds it up, nobody would be served any more.
///
/// Source: tokio 1.54, `runtime/scheduler/multi_thread/worker.rs`, `should_notify_others`.
pub(crate) fn beat(runtime: Handle) -> io::Result<mpsc::Sender<()>> {
    let (heart, stopped) = mpsc::channel();
    let work = move || {
        while stopped.recv_timeout(BEAT) == Err(mpsc::RecvTimeoutError::Timeout) {
            runtime.spawn(async {});
        }
    };
    thread::Builder::new().name("beat".into()).spawn(work)?;
    Ok(heart)
}

/// How long sockets may be left alone when a thread is held up.
const BEAT: Duration = Duration::from_millis(50);
