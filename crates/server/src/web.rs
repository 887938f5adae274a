//! The front end over HTTP: who may ask, by token and scope, and how a connection goes. What is said
//! is in `crates/proto/src/http.rs`, who judges is the desk.
//!
//! The only file that knows whether the feature `web` is built in; without it such a socket refuses
//! the start.

#[cfg(feature = "web")]
mod front;
#[cfg(feature = "web")]
mod paced;
#[cfg(feature = "web")]
mod routes;
#[cfg(feature = "web")]
mod serving;
#[cfg(feature = "web")]
mod tls;
#[cfg(feature = "web")]
mod tokens;
#[cfg(not(feature = "web"))]
mod without;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::Config;
use crate::listen::Bound;
use crate::lists::Remark;

#[cfg(feature = "web")]
pub(crate) use front::Front;
#[cfg(feature = "web")]
pub(crate) use serving::Entrance;
#[cfg(not(feature = "web"))]
pub(crate) use without::{Entrance, Front};

/// Why HTTP cannot be spoken as the configuration says.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// There is a TCP socket and no token.
    #[error(
        "listen.http has a TCP socket, at which only who has a token may ask: name a file with \
         tokens in http.token_file, or listen at a unix socket"
    )]
    NoTokens,
    /// Tokens would go over the network in the clear.
    #[error(
        "listen.http has {0}, which other hosts reach, and tokens and addresses would go in the \
         clear: set http.certificate and http.key, or listen at 127.0.0.1, [::1] or a unix socket"
    )]
    Exposed(String),
    /// A certificate without its key, or a key without its certificate.
    #[error("http.certificate and http.key go together: set both or neither")]
    HalfTls,
    /// A file cannot be read.
    #[error("cannot read {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate or key is none.
    #[error("{} cannot be used for TLS: {why}; write a certificate with its chain, and its key, as PEM", .path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A `greylist.conf` decides, whose rules speak of what HTTP does not tell.
    #[error("HTTP is not spoken under a greylist.conf: leave out the socket that is named http")]
    Foreign,
    /// The program was built without it.
    #[error(
        "this program was built without HTTP: leave listen.http empty, or build it with the feature web"
    )]
    NotBuilt,
}

/// What HTTP needs at these sockets; nothing where there are none. What is noticed goes to the
/// remarks. To be called before privileges are dropped, so that only root needs to read tokens and keys.
///
/// # Errors
/// [`WebError`] when HTTP cannot be spoken there as the configuration says.
pub(crate) fn open(
    config: &Config,
    sockets: &[Bound],
    remarks: &mut Vec<Remark>,
) -> Result<Option<Arc<Front>>, WebError> {
    if sockets.is_empty() {
        return Ok(None);
    }
    if config.lists.greylist_conf.is_some() {
        return Err(WebError::Foreign);
    }
    let tcp = sockets.iter().filter_map(|socket| match socket {
        Bound::Tcp(socket) => socket.local_addr().ok(),
        Bound::Unix(..) => None,
    });
    let has_tls = config.http.certificate.is_some();
    for address in tcp {
        if config.http.token_file.is_none() {
            return Err(WebError::NoTokens);
        }
        if !has_tls && !address.ip().to_canonical().is_loopback() {
            return Err(WebError::Exposed(address.to_string()));
        }
    }
    let (front, noticed) = Front::open(&config.http)?;
    remarks.extend(noticed);
    Ok(Some(Arc::new(front)))
}

/// What would be noticed at the start, for `greylatch check`.
pub(crate) fn review(config: &Config) -> Vec<Remark> {
    if config.listen.http.is_empty() {
        return Vec::new();
    }
    match Front::open(&config.http) {
        Ok((_, remarks)) => remarks,
        Err(error) => vec![Remark::Http {
            text: in_full(&error),
            is_error: true,
        }],
    }
}

/// An error with what the system said.
pub(crate) fn in_full(error: &WebError) -> String {
    match error {
        WebError::File { source, .. } => format!("{error}: {source}"),
        _ => error.to_string(),
    }
}
