//! A `/dev/log` where the system has none: takes datagrams and counts them.
//! It is no syslog daemon; it writes nothing.
//!
//! Source: syslog(3), unix(7).

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result};

const DEV_LOG: &str = "/dev/log";

/// A socket at `/dev/log`; it goes away with this.
pub(crate) struct Syslog {
    counter: Counter,
}

/// Counts the lines that came; none when the system's own daemon takes them.
/// Shared with the thread that reads, which is the only one to add.
#[derive(Clone)]
pub(crate) struct Counter(Option<Arc<AtomicU64>>);

impl Syslog {
    /// Listens at `/dev/log`, unless somebody does already.
    ///
    /// # Errors
    /// When it may not.
    pub(crate) fn open() -> Result<Self> {
        if UnixDatagram::unbound()?.connect(DEV_LOG).is_ok() {
            println!("{DEV_LOG} is the system's: its lines are not counted");
            return Ok(Self {
                counter: Counter(None),
            });
        }
        remove_stale();
        let socket = UnixDatagram::bind(DEV_LOG)
            .with_context(|| format!("cannot make {DEV_LOG}, which needs root"))?;
        let lines = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lines);
        thread::spawn(move || {
            let mut line = [0; 8_192];
            while socket.recv(&mut line).is_ok() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Ok(Self {
            counter: Counter(Some(lines)),
        })
    }

    pub(crate) fn counter(&self) -> Counter {
        self.counter.clone()
    }
}

impl Counter {
    /// How many lines came since the last time; `None` when nobody counts.
    pub(crate) fn take(&self) -> Option<u64> {
        let lines = self.0.as_ref()?;
        Some(lines.swap(0, Ordering::Relaxed))
    }
}

/// Removes a socket at which nobody listens, as a run that was interrupted
/// leaves behind.
fn remove_stale() {
    if fs::symlink_metadata(DEV_LOG).is_ok_and(|file| file.file_type().is_socket()) {
        // If it cannot be removed, binding says so.
        let _ = fs::remove_file(DEV_LOG);
    }
}

impl Drop for Syslog {
    fn drop(&mut self) {
        if self.counter.0.is_some() {
            // Nothing to be done when it is gone already.
            let _ = fs::remove_file(DEV_LOG);
        }
    }
}
