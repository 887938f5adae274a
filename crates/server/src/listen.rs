//! Room 1, listen: sockets are bound before privileges are dropped, and removed at the end.

use std::env;
use std::fs;
use std::io;
use std::net::{TcpListener, ToSocketAddrs};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::socket::{Backlog, listen};
use nix::sys::stat::{Mode, umask};
use tracing::warn;

use crate::config::{Endpoint, Listener};
use crate::identity::{Owner, OwnerError};

/// A socket that listens.
#[derive(Debug)]
pub(crate) enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// The sockets at which MTAs ask, by what is spoken there.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    pub(crate) policy: Vec<Bound>,
    pub(crate) milter: Vec<Bound>,
    pub(crate) greylistd: Vec<Bound>,
    pub(crate) http: Vec<Bound>,
}

/// The file of a unix socket, to be removed when we stop unless it is another's by then.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    inode: Option<u64>,
}

impl SocketFile {
    /// A socket that somebody else made and removes, for example systemd.
    fn foreign() -> Self {
        Self {
            path: PathBuf::new(),
            inode: None,
        }
    }

    pub(crate) fn remove(&self) {
        let ours = fs::symlink_metadata(&self.path).ok().map(|meta| meta.ino());
        if self.inode.is_some() && ours == self.inode {
            // Another may have removed it since; there is nobody left to tell.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Why a socket could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The host has no address.
    #[error("cannot find an address for {endpoint}")]
    Resolve {
        /// Where we were to listen.
        endpoint: String,
        /// What the system said.
        source: io::Error,
    },
    /// The address cannot be bound.
    #[error("cannot listen on {endpoint}")]
    Bind {
        /// Where we were to listen.
        endpoint: String,
        /// What the system said.
        source: io::Error,
    },
    /// Another server answers at this unix socket.
    #[error("cannot listen on unix:{}: another server is answering there; stop it first", .0.display())]
    InUse(PathBuf),
    /// A file is in the way that is no socket.
    #[error("cannot listen on unix:{}: this file is no socket; remove it or choose another path", .0.display())]
    NoSocket(PathBuf),
    /// Who can connect to it may change what is remembered.
    #[error(
        "the socket that was passed on by the name greylistd has a TCP address, and it must be a unix \
         socket: write ListenStream= with a path"
    )]
    GreylistdTcp,
    /// The owner of a unix socket is not known.
    #[error("cannot give unix:{} to its owner", .path.display())]
    Owner {
        /// The socket.
        path: PathBuf,
        /// Who is not known.
        source: OwnerError,
    },
}

/// Binds every address of a listener.
pub(crate) fn bind(listener: &Listener, backlog: u32) -> Result<Vec<Bound>, ListenError> {
    match &listener.at {
        Endpoint::Tcp { host, port } => bind_tcp(&listener.at, host, *port, backlog),
        Endpoint::Unix(path) => Ok(vec![bind_unix(path, listener, backlog)?]),
    }
}

/// The sockets that systemd passed, if it passed any. At one whose `FileDescriptorName=` is
/// `milter`, `greylistd` or `http` that protocol is spoken, at all others the policy protocol.
///
/// # Errors
/// [`ListenError::GreylistdTcp`]: it is held to the rule of `listen.greylistd`.
///
/// Source: sd_listen_fds(3), systemd.socket(5).
pub(crate) fn passed() -> Result<Sockets, ListenError> {
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let names: Vec<&str> = names.split(':').collect();
    let mut fds = listenfd::ListenFd::from_env();
    let mut sockets = Sockets::default();
    for nth in 0..fds.len() {
        let bound = if let Ok(Some(socket)) = fds.take_unix_listener(nth) {
            Bound::Unix(socket, SocketFile::foreign())
        } else if let Ok(Some(socket)) = fds.take_tcp_listener(nth) {
            Bound::Tcp(socket)
        } else {
            continue;
        };
        let those = match names.get(nth) {
            Some(&"milter") => &mut sockets.milter,
            Some(&"greylistd") => &mut sockets.greylistd,
            Some(&"http") => &mut sockets.http,
            _ => &mut sockets.policy,
        };
        those.push(bound);
    }
    let is_tcp = |bound: &Bound| matches!(bound, Bound::Tcp(_));
    match sockets.greylistd.iter().any(is_tcp) {
        true => Err(ListenError::GreylistdTcp),
        false => Ok(sockets),
    }
}

fn bind_tcp(at: &Endpoint, host: &str, port: u16, backlog: u32) -> Result<Vec<Bound>, ListenError> {
    let resolved = match host {
        "" | "*" => "[::]:0".to_socket_addrs(),
        host => (host, port).to_socket_addrs(),
    };
    let addresses = resolved.map_err(|source| ListenError::Resolve {
        endpoint: at.to_string(),
        source,
    })?;
    let mut bound = Vec::new();
    let mut failed = None;
    for mut address in addresses {
        address.set_port(port);
        let is_every = host.is_empty() || host == "*";
        let socket = TcpListener::bind(address).or_else(|source| {
            // A host without IPv6 still has every address of IPv4.
            let every_v4 = (std::net::Ipv4Addr::UNSPECIFIED, port);
            let v4 = is_every.then(|| TcpListener::bind(every_v4).ok());
            v4.flatten().ok_or(source)
        });
        match socket {
            Ok(socket) => {
                set_backlog(&socket, backlog);
                bound.push(Bound::Tcp(socket));
            }
            Err(source) => failed = Some(source),
        }
    }
    match failed {
        Some(source) if bound.is_empty() => Err(ListenError::Bind {
            endpoint: at.to_string(),
            source,
        }),
        Some(source) => {
            warn!("not every address of {at} can be listened on: {source}");
            Ok(bound)
        }
        None => Ok(bound),
    }
}

fn bind_unix(path: &Path, listener: &Listener, backlog: u32) -> Result<Bound, ListenError> {
    let failed = |source| ListenError::Bind {
        endpoint: format!("unix:{}", path.display()),
        source,
    };
    if listener.replaces {
        // What cannot be removed is told by the bind that fails then.
        let _ = fs::remove_file(path);
    } else {
        remove_stale(path)?;
    }
    let before = umask(Mode::from_bits_truncate(0o177));
    let socket = UnixListener::bind(path);
    umask(before);
    let socket = socket.map_err(failed)?;
    set_backlog(&socket, backlog);
    if let Some(owner) = &listener.owner {
        let owner_failed = |source| ListenError::Owner {
            path: path.to_owned(),
            source,
        };
        Owner::find(owner)
            .and_then(|owner| owner.give(path))
            .map_err(owner_failed)?;
    }
    let mode = listener.mode.unwrap_or(Listener::MODE);
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
    let inode = fs::symlink_metadata(path).ok().map(|meta| meta.ino());
    Ok(Bound::Unix(
        socket,
        SocketFile {
            path: path.to_owned(),
            inode,
        },
    ))
}

/// Removes a socket that nobody answers at, as a server that was killed leaves behind.
fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let Ok(meta) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !meta.file_type().is_socket() {
        return Err(ListenError::NoSocket(path.to_owned()));
    }
    if UnixStream::connect(path).is_ok() {
        return Err(ListenError::InUse(path.to_owned()));
    }
    fs::remove_file(path).map_err(|source| ListenError::Bind {
        endpoint: format!("unix:{}", path.display()),
        source,
    })
}

/// A second listen(2) changes the backlog of a socket; where it cannot, the first one stands.
fn set_backlog(socket: &impl AsFd, backlog: u32) {
    let backlog = i32::try_from(backlog)
        .ok()
        .and_then(|backlog| Backlog::new(backlog).ok());
    let _ = listen(&socket.as_fd(), backlog.unwrap_or(Backlog::MAXCONN));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(path: &Path) -> Listener {
        Listener {
            at: Endpoint::Unix(path.to_owned()),
            mode: Some(0o640),
            owner: None,
            replaces: false,
        }
    }

    #[test]
    fn a_socket_that_was_left_behind_is_replaced_and_removed_at_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("policy");
        drop(UnixListener::bind(&path).expect("the first server"));
        assert!(path.exists());
        let bound = bind(&unix(&path), 16).expect("the second server");
        let mode = fs::metadata(&path)
            .expect("the socket")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o640);
        let [Bound::Unix(_, file)] = &bound[..] else {
            panic!("one unix socket, not {bound:?}");
        };
        file.remove();
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_in_use_and_a_file_that_is_no_socket_are_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("policy");
        let _server = UnixListener::bind(&path).expect("a server");
        assert!(matches!(bind(&unix(&path), 16), Err(ListenError::InUse(_))));
        let file = folder.path().join("file");
        fs::write(&file, "precious").expect("a file");
        assert!(matches!(
            bind(&unix(&file), 16),
            Err(ListenError::NoSocket(_))
        ));
        assert_eq!(fs::read(&file).expect("the file"), b"precious");
    }
}
