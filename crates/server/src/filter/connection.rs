//! One connection to a policy server, on which one question is asked at a time.

use std::io;

use greylatch_core::Verdict;
use greylatch_proto::{PolicyAnswer, ProtocolError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::config::Endpoint;

/// Bytes of an answer that are read at once.
const READ_SIZE: usize = 1 << 10;

/// An open connection.
#[derive(Debug)]
pub(super) enum Connection {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it closed the connection without an answer")]
    Closed,
    #[error("{0}")]
    Protocol(#[from] ProtocolError),
    #[error("no answer within {0} s")]
    TooLate(u64),
}

/// Asks on a connection that was kept, or else on a new one; gives the verdict and the connection, to be
/// kept for the next question.
pub(super) async fn ask(
    kept: Option<Connection>,
    policy: &Endpoint,
    question: &[u8],
) -> Result<(Verdict, Connection), AskError> {
    if let Some(mut connection) = kept
        && let Ok(verdict) = connection.ask(question).await
    {
        return Ok((verdict, connection));
    }
    // One that was kept may have been closed since, as by a server that was started again.
    let mut connection = Connection::open(policy).await?;
    let verdict = connection.ask(question).await?;
    Ok((verdict, connection))
}

impl Connection {
    async fn open(policy: &Endpoint) -> io::Result<Self> {
        match policy {
            Endpoint::Unix(path) => Ok(Self::Unix(UnixStream::connect(path).await?)),
            Endpoint::Tcp { host, port } => {
                // Where a server listens on all addresses it is found on the one of this host.
                let host = match &host[..] {
                    "" | "*" => "localhost",
                    host => host,
                };
                let stream = TcpStream::connect((host, *port)).await?;
                // Questions are small and each is waited for; a failure only costs time.
                let _ = stream.set_nodelay(true);
                Ok(Self::Tcp(stream))
            }
        }
    }

    async fn ask(&mut self, question: &[u8]) -> Result<Verdict, AskError> {
        match self {
            Self::Tcp(stream) => exchange(stream, question).await,
            Self::Unix(stream) => exchange(stream, question).await,
        }
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    question: &[u8],
) -> Result<Verdict, AskError> {
    stream.write_all(question).await?;
    let mut answer = PolicyAnswer::default();
    let mut buffer = [0; READ_SIZE];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Err(AskError::Closed);
        }
        if let Some(verdict) = answer.feed(&buffer[..length])? {
            return Ok(verdict);
        }
    }
}
