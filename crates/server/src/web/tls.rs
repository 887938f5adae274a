//! TLS at TCP sockets: a certificate with its key, nothing asked of clients.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::WebError;
use super::front::unreadable;

/// What speaks TLS with this certificate, versions 1.2 and 1.3.
///
/// # Errors
/// When a file cannot be read, or is not what it should be.
pub(super) fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, WebError> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(certificate, error))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(chain, secret)
        })
        .map_err(|error| WebError::Tls {
            path: certificate.to_owned(),
            why: error.to_string(),
        })?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn unusable(path: &Path, error: PemError) -> WebError {
    match error {
        PemError::Io(source) => unreadable(path, source),
        error => WebError::Tls {
            path: path.to_owned(),
            why: error.to_string(),
        },
    }
}
