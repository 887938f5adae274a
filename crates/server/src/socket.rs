//! A connection's socket, read and written by bare system calls.
//!
//! In the C library `recv` and `send` are places at which a thread can be cancelled. To get ready for
//! that, and the layers above, cost about a tenth of what a known sender takes.
//!
//! Source: pthreads(7), "Cancellation points"; glibc 2.36, `sysdeps/unix/sysv/linux/sysdep-cancel.h`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connected stream socket.
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(cx),
            Self::Unix(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Works with the socket; when that says that it would block, the socket is ready no more.
    fn work<R>(
        &self,
        interest: Interest,
        work: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        match self {
            Self::Tcp(stream) => stream.try_io(interest, || work(stream.as_fd())),
            Self::Unix(stream) => stream.try_io(interest, || work(stream.as_fd())),
        }
    }

    fn inner(&mut self) -> Pin<&mut (dyn AsyncWrite + Unpin)> {
        match self {
            Self::Tcp(stream) => Pin::new(stream),
            Self::Unix(stream) => Pin::new(stream),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_read_ready(cx))?;
            let unfilled = room.initialize_unfilled();
            let mut taken = None;
            let done = self.work(Interest::READABLE, |socket| {
                let (length, _) = recv(socket, &mut *unfilled, RecvFlags::empty())?;
                taken = Some(length);
                if 0 < length && length < unfilled.len() {
                    // It took all there was: to ask again before more comes would be in vain.
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(())
            });
            match (taken, done) {
                (Some(length), _) => {
                    room.advance(length);
                    return Poll::Ready(Ok(()));
                }
                (None, Err(error)) if !is_for_now(&error) => return Poll::Ready(Err(error)),
                (None, _) => {}
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_write_ready(cx))?;
            let sent = self.work(Interest::WRITABLE, |socket| {
                Ok(send(socket, bytes, SendFlags::NOSIGNAL)?)
            });
            match sent {
                Err(error) if is_for_now(&error) => {}
                sent => return Poll::Ready(sent),
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_shutdown(cx)
    }
}

/// Whether it is only to be tried again, at once or when the socket is ready.
fn is_for_now(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, WouldBlock};
    matches!(error.kind(), WouldBlock | Interrupted)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream as StdTcpStream};
    use std::os::unix::net::UnixStream as StdUnixStream;
    use std::thread;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// More than a socket holds.
    const MUCH: usize = 8 << 20;

    fn unix() -> (Socket, StdUnixStream) {
        let (own, other) = StdUnixStream::pair().expect("a pair");
        own.set_nonblocking(true).expect("ours");
        let own = UnixStream::from_std(own).expect("within a runtime");
        (Socket::Unix(own), other)
    }

    fn tcp() -> (Socket, StdTcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let other = StdTcpStream::connect(listener.local_addr().expect("bound"));
        let (own, _) = listener.accept().expect("a connection");
        own.set_nonblocking(true).expect("ours");
        let own = TcpStream::from_std(own).expect("within a runtime");
        (Socket::Tcp(own), other.expect("a connection"))
    }

    /// What comes in pieces is read in pieces, to the end.
    async fn reads_all(mut socket: Socket, mut other: impl Write + Send + 'static) {
        let mut room = [0; 4];
        other.write_all(b"ab").expect("room");
        assert_eq!(socket.read(&mut room).await.ok(), Some(2));
        // Nothing is there: it has to wait, and is woken by what comes.
        let early = poll_fn(|cx| {
            let mut room = ReadBuf::new(&mut room);
            Poll::Ready(Pin::new(&mut socket).poll_read(cx, &mut room))
        });
        assert!(early.await.is_pending());
        let sent = thread::spawn(move || {
            other.write_all(b"cdefg").expect("room");
            other
        });
        assert_eq!(socket.read(&mut room).await.ok(), Some(4));
        assert_eq!(&room, b"cdef");
        assert_eq!(socket.read(&mut room).await.ok(), Some(1));
        drop(sent.join());
        assert_eq!(socket.read(&mut room).await.ok(), Some(0));
    }

    /// What does not fit waits until the other side has read.
    async fn writes_all(mut socket: Socket, mut other: impl Read + Send + 'static) {
        let read = thread::spawn(move || {
            let mut all = Vec::new();
            other.read_to_end(&mut all).expect("ours to read");
            all
        });
        let much: Vec<u8> = (0..MUCH).map(|nth| (nth % 251) as u8).collect();
        socket.write_all(&much).await.expect("it is read");
        socket.shutdown().await.expect("it is open");
        assert!(read.join().is_ok_and(|all| all == much));
    }

    #[tokio::test]
    async fn what_comes_is_read_to_its_end() {
        let (socket, other) = unix();
        reads_all(socket, other).await;
        let (socket, other) = tcp();
        reads_all(socket, other).await;
    }

    #[tokio::test]
    async fn what_is_written_arrives() {
        let (socket, other) = unix();
        writes_all(socket, other).await;
        let (socket, other) = tcp();
        writes_all(socket, other).await;
    }

    #[tokio::test]
    async fn who_has_gone_is_an_error_and_no_signal() {
        let (mut socket, other) = unix();
        drop(other);
        let written = socket.write_all(b"late").await;
        let kind = written.map_err(|error| error.kind());
        assert_eq!(kind, Err(io::ErrorKind::BrokenPipe));
    }
}
