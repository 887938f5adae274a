//! Where to listen: `HOST:PORT` or `unix:PATH`, for a unix socket with mode and owner.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{self, Deserializer};

/// One place to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP address; a name stands for every address that it has.
    Tcp {
        /// The host: an address, a name, or empty for all addresses of this machine.
        host: String,
        /// The port; 0 lets the system choose one.
        port: u16,
    },
    /// A unix stream socket.
    Unix(PathBuf),
}

/// An endpoint and, for a unix socket, who may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub at: Endpoint,
    /// Permissions of the unix socket; `None`: those that are usual for what is spoken there.
    pub mode: Option<u32>,
    /// `user`, `user:group` or `:group` that the unix socket is given to.
    pub owner: Option<String>,
    /// Whatever stands in the way of the unix socket is removed first, as Postgrey does; else only
    /// a socket that nobody answers at.
    pub replaces: bool,
}

impl Listener {
    /// Everyone on this host may ask, as with Postgrey.
    pub(crate) const MODE: u32 = 0o666;

    /// Its owner and group may ask, as with greylistd.
    const GUARDED_MODE: u32 = 0o660;

    /// A listener with the usual permissions.
    #[must_use]
    pub fn new(at: Endpoint) -> Self {
        Self {
            at,
            mode: None,
            owner: None,
            replaces: false,
        }
    }

    pub(super) fn tcp(address: &str) -> Self {
        Self::new(
            address
                .parse()
                .expect("the default address is written in this crate"),
        )
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.is_empty() {
                true => Err(EndpointError::Path),
                false => Ok(Self::Unix(PathBuf::from(path))),
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or(EndpointError::Port)?;
        let port = port.parse().map_err(|_| EndpointError::Port)?;
        let inner = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        if inner.is_none() && host.contains(':') {
            return Err(EndpointError::Brackets);
        }
        let host = inner.unwrap_or(host).to_owned();
        Ok(Self::Tcp { host, port })
    }
}

/// Why a text is no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// `unix:` without a path.
    #[error("no path behind \"unix:\"; write for example \"unix:/run/greylatch/policy\"")]
    Path,
    /// No port, or not a number up to 65535.
    #[error("no port; write \"HOST:PORT\" or \"unix:PATH\", for example \"127.0.0.1:10023\"")]
    Port,
    /// An IPv6 address without brackets.
    #[error("put an IPv6 address into brackets, for example \"[::1]:10023\"")]
    Brackets,
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::text::from_text(deserializer)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Table(Socket),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Socket {
    path: PathBuf,
    mode: Option<String>,
    owner: Option<String>,
}

impl<'de> Deserialize<'de> for Listener {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer).map_err(|_| {
            de::Error::custom(
                "write \"HOST:PORT\", \"unix:PATH\" or { path = \"PATH\", mode = \"0660\", owner = \"USER:GROUP\" }",
            )
        })?;
        match written {
            Written::Text(text) => text.parse().map(Self::new).map_err(de::Error::custom),
            Written::Table(socket) => {
                let mode = match &socket.mode {
                    None => None,
                    Some(digits) => Some(
                        u32::from_str_radix(digits, 8)
                            .ok()
                            .filter(|mode| *mode <= 0o777)
                            .ok_or_else(|| {
                                de::Error::custom("mode must be octal, for example \"0660\"")
                            })?,
                    ),
                };
                Ok(Self {
                    at: Endpoint::Unix(socket.path),
                    mode,
                    owner: socket.owner,
                    replaces: false,
                })
            }
        }
    }
}

/// Listeners for a protocol by which whoever can connect may change what is remembered: unix
/// sockets, which have permissions.
pub(super) fn guarded<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Listener>, D::Error> {
    let listeners = grouped(deserializer)?;
    for listener in &listeners {
        if let Endpoint::Tcp { .. } = listener.at {
            return Err(de::Error::custom(format!(
                "whoever can connect here may empty the memory, so it must be a unix socket; write \
                 \"unix:/run/greylistd/socket\" instead of \"{}\"",
                listener.at
            )));
        }
    }
    Ok(listeners)
}

/// Listeners of which a unix socket is for its owner and group.
pub(super) fn grouped<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Listener>, D::Error> {
    let mut listeners = Vec::<Listener>::deserialize(deserializer)?;
    for listener in &mut listeners {
        listener.mode.get_or_insert(Listener::GUARDED_MODE);
    }
    Ok(listeners)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_and_printed() {
        for text in [
            "127.0.0.1:10023",
            "[::1]:10023",
            "localhost:0",
            ":10023",
            "unix:/run/x y",
        ] {
            let endpoint: Endpoint = text.parse().expect(text);
            assert_eq!(endpoint.to_string(), text);
        }
        assert_eq!(
            "::1:10023".parse::<Endpoint>(),
            Err(EndpointError::Brackets)
        );
        assert_eq!("10023".parse::<Endpoint>(), Err(EndpointError::Port));
        assert_eq!("host:port".parse::<Endpoint>(), Err(EndpointError::Port));
        assert_eq!("unix:".parse::<Endpoint>(), Err(EndpointError::Path));
    }
}
