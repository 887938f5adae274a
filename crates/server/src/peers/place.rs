//! Where peers are: their addresses, the port, and whether one is this host.

use std::fs;
use std::io;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;
use tokio::net::lookup_host;

/// The addresses of a peer, an address itself or a name.
pub(super) async fn addresses(host: &str) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![address.to_canonical()]);
    }
    let found = lookup_host((host, 0)).await?;
    Ok(found.map(|at| at.ip().to_canonical()).collect())
}

/// Whether an address is one of this host's, so that all mail exchangers may have one list of peers.
pub(super) fn is_local(address: IpAddr) -> bool {
    let Ok(interfaces) = getifaddrs() else {
        return false;
    };
    let mut own = interfaces.filter_map(|interface| ip(&interface.address?));
    address.is_unspecified() || own.any(|own| own == address)
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip())))
}

/// The port at which peers listen: the configured one, else that of the service `mxglsync`, else
/// 5252. Source: greylist.conf(5) `syncaddr`.
pub(super) fn sync_port(configured: Option<u16>) -> u16 {
    let service = || service(&fs::read_to_string("/etc/services").ok()?);
    configured.or_else(service).unwrap_or(PORT)
}

const PORT: u16 = 5_252;

/// Source: services(5).
fn service(text: &str) -> Option<u16> {
    text.lines().find_map(|line| {
        let line = line.split('#').next()?;
        let mut words = line.split_whitespace();
        let name = words.next()?;
        let port = words.next()?.strip_suffix("/tcp")?;
        let is_named = name == SERVICE || words.any(|alias| alias == SERVICE);
        is_named.then(|| port.parse().ok())?
    })
}

const SERVICE: &str = "mxglsync";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_the_services_unless_another_is_named() {
        let text = "# mxglsync 1/tcp\nsmtp 25/tcp mail\nmxglsync 9/udp\nmxglsync\t5253/tcp # x\n";
        assert_eq!(service(text), Some(5_253));
        assert_eq!(service("other 7/tcp x mxglsync\n"), Some(7));
        assert_eq!(service("smtp 25/tcp\nmxglsync\n"), None);
        assert_eq!(sync_port(Some(6_000)), 6_000);
    }

    #[test]
    fn an_address_of_an_interface_is_our_own() {
        assert!(is_local([127, 0, 0, 1].into()));
        assert!(is_local([0, 0, 0, 0].into()));
        assert!(!is_local([127, 77, 0, 9].into()));
        assert!(!is_local([192, 0, 2, 200].into()));
    }
}
