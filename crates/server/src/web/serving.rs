//! Rooms 1 and 8 for a connection on which HTTP is spoken.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::pin;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::front::Front;
use super::paced::Paced;
use super::routes;
use crate::connection::{ConnectionError, Patience};
use crate::desk::Desk;

/// Where those who ask over HTTP come in.
#[derive(Clone)]
pub(crate) struct Entrance {
    router: Router,
    front: Arc<Front>,
    is_local: bool,
    patience: Patience,
}

/// The head of a request.
const HEAD_MAX: usize = 16 << 10;

impl Entrance {
    /// The entrance at a socket; at a local one permissions say who may come in, and nothing is
    /// encrypted.
    pub(crate) fn new(
        front: &Arc<Front>,
        desk: Arc<Desk>,
        is_local: bool,
        patience: Patience,
    ) -> Self {
        let room = routes::Room {
            desk,
            front: front.clone(),
            is_local,
            patience: patience.request,
        };
        Self {
            router: routes::router(room),
            front: front.clone(),
            is_local,
            patience,
        }
    }

    /// Serves one connection until either side ends it; `from` is where it comes from by TCP.
    pub(crate) async fn serve<S>(
        self,
        (stream, from): (S, IpAddr),
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), ConnectionError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match self.front.tls().filter(|_| !self.is_local) {
            None => self.converse((stream, from), stop).await,
            Some(acceptor) => {
                let shaken = tokio::select! {
                    shaken = self.shake(acceptor, stream) => shaken?,
                    _ = stop.wait_for(|stopping| *stopping) => return Ok(()),
                };
                self.converse((shaken, from), stop).await
            }
        }
    }

    async fn shake<S>(
        &self,
        acceptor: TlsAcceptor,
        stream: S,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static + use<S>, ConnectionError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match timeout(self.patience.request, acceptor.accept(stream)).await {
            Ok(shaken) => Ok(shaken?),
            Err(_) => Err(ConnectionError::TooSlow),
        }
    }

    async fn converse<S>(
        self,
        (stream, from): (S, IpAddr),
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), ConnectionError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = Paced::new(stream, self.patience.request);
        let midway = stream.midway();
        let caller = routes::Caller((!self.is_local).then_some(from));
        let routes = TowerToHyperService::new(self.router);
        let service = service_fn(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(caller);
            routes.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // Also what a connection may wait for its next request.
            .header_read_timeout(self.patience.request)
            .max_buf_size(HEAD_MAX)
            // Who has said all may say so and still be answered.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            _ = stop.wait_for(|stopping| *stopping) => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        match ended {
            Ok(()) => Ok(()),
            Err(error) if error.is_timeout() && !midway.load(Ordering::Relaxed) => Ok(()),
            Err(error) if error.is_timeout() => Err(ConnectionError::TooSlow),
            Err(error) if is_not_taken(&error) => Err(ConnectionError::NotTaken),
            Err(error) => Err(ConnectionError::Io(io::Error::other(error))),
        }
    }
}

/// Whether an answer was not taken in time.
fn is_not_taken(error: &hyper::Error) -> bool {
    let cause = error
        .source()
        .and_then(<dyn Error>::downcast_ref::<io::Error>);
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
}
