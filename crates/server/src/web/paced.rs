//! A connection whose other side has to take what it is sent in time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A stream that fails with [`io::ErrorKind::TimedOut`] when what was written is not taken in time.
pub(super) struct Paced<S> {
    stream: S,
    patience: Duration,
    /// Goes off when what is being written has not been taken.
    alarm: Option<Pin<Box<Sleep>>>,
    midway: Arc<AtomicBool>,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            alarm: None,
            midway: Arc::default(),
        }
    }

    /// Whether something has come since something was last sent; goes on telling.
    pub(super) fn midway(&self) -> Arc<AtomicBool> {
        self.midway.clone()
    }

    /// What a write came to, while the time for it lasts.
    fn in_time<T>(
        &mut self,
        task: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_pending() {
            let patience = self.patience;
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep(patience)));
            ready!(alarm.as_mut().poll(task));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(task, buffer);
        if buffer.filled().len() > before {
            self.midway.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.midway.store(false, Ordering::Relaxed);
        let written = Pin::new(&mut self.stream).poll_write(task, bytes);
        self.in_time(task, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(task);
        if flushed.is_ready() {
            // Flushed is what has all been taken: not each piece has the time, but all together.
            self.alarm = None;
        }
        self.in_time(task, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(task);
        self.in_time(task, shut)
    }
}
