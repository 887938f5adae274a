//! What stands in front of the desk for HTTP: tokens, and for TCP the certificate, as they were read
//! last.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_rustls::TlsAcceptor;

use super::tokens::{Scope, Tokens};
use super::{WebError, tls};
use crate::config::Http;
use crate::lists::{Remark, reason};

/// Tokens and certificate, which a reload replaces.
pub(crate) struct Front {
    kept: ArcSwap<Kept>,
}

/// What was read last.
#[derive(Default)]
struct Kept {
    tokens: Tokens,
    tls: Option<TlsAcceptor>,
}

impl Front {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// When a file cannot be read, or is no certificate or key.
    pub(crate) fn open(config: &Http) -> Result<(Self, Vec<Remark>), WebError> {
        read(config, None)
    }

    /// Reads it again. A file that cannot be read any more, as after privileges were dropped,
    /// keeps what was read of it.
    ///
    /// # Errors
    /// When a file is no certificate or key.
    pub(crate) fn read_again(&self, config: &Http) -> Result<(Self, Vec<Remark>), WebError> {
        read(config, Some(&self.kept.load()))
    }

    /// Goes on with what was read again.
    pub(crate) fn replace(&self, again: Self) {
        self.kept.store(again.kept.load_full());
    }

    /// How far a token reaches, when it is one of ours.
    pub(super) fn scope(&self, token: &[u8]) -> Option<Scope> {
        self.kept.load().tokens.scope(token)
    }

    /// What TLS is spoken with, when it is.
    pub(super) fn tls(&self) -> Option<TlsAcceptor> {
        self.kept.load().tls.clone()
    }
}

fn read(config: &Http, before: Option<&Arc<Kept>>) -> Result<(Front, Vec<Remark>), WebError> {
    let mut remarks = Vec::new();
    let tokens = match &config.token_file {
        None => Tokens::default(),
        Some(path) => match (fs::read(path), before) {
            (Ok(text), _) => {
                remarks.extend(open_to_others(path));
                Tokens::read(path, &text, &mut remarks)
            }
            (Err(error), Some(before)) => {
                remarks.push(kept(path, &error));
                before.tokens.clone()
            }
            (Err(source), None) => return Err(unreadable(path, source)),
        },
    };
    let tls = match (&config.certificate, &config.key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => match (tls::acceptor(certificate, key), before) {
            (Err(WebError::File { path, source }), Some(before)) => {
                remarks.push(kept(&path, &source));
                before.tls.clone()
            }
            (acceptor, _) => Some(acceptor?),
        },
        _ => return Err(WebError::HalfTls),
    };
    let kept = ArcSwap::from_pointee(Kept { tokens, tls });
    Ok((Front { kept }, remarks))
}

pub(super) fn unreadable(path: &Path, source: io::Error) -> WebError {
    WebError::File {
        path: path.to_owned(),
        source,
    }
}

fn kept(path: &Path, error: &io::Error) -> Remark {
    Remark::Unreadable {
        path: path.to_owned(),
        why: reason(error),
        kept: true,
    }
}

/// Who else may read the tokens may ask as well.
fn open_to_others(path: &Path) -> Option<Remark> {
    let mode = fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o007 != 0).then(|| Remark::Http {
        text: format!(
            "{}: everyone on this host may open it, with mode {:03o}; run chmod o= on it",
            path.display(),
            mode & 0o777
        ),
        is_error: false,
    })
}
