//! In place of HTTP where it is not built in: no socket for it can be opened.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::WebError;
use crate::config::Http;
use crate::connection::{ConnectionError, Patience};
use crate::desk::Desk;
use crate::lists::Remark;

/// There is none.
pub(crate) enum Front {}

/// There is none.
#[derive(Clone)]
pub(crate) struct Entrance(Arc<Front>);

impl Front {
    pub(crate) fn open(_: &Http) -> Result<(Self, Vec<Remark>), WebError> {
        Err(WebError::NotBuilt)
    }

    pub(crate) fn read_again(&self, _: &Http) -> Result<(Self, Vec<Remark>), WebError> {
        match *self {}
    }

    pub(crate) fn replace(&self, _: Self) {
        match *self {}
    }
}

impl Entrance {
    pub(crate) fn new(front: &Arc<Front>, _: Arc<Desk>, _: bool, _: Patience) -> Self {
        Self(front.clone())
    }

    pub(crate) async fn serve<S>(
        self,
        _: (S, IpAddr),
        _: watch::Receiver<bool>,
    ) -> Result<(), ConnectionError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match *self.0 {}
    }
}
