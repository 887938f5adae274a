//! Client networks in a prefix trie: one walk down the bits of an address passes all networks
//! that it lies in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use greylatch_core::Network;
use ipnet::{Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;

use super::{Found, Owner, Owners, Reading};

#[derive(Default)]
pub(super) struct NetworkIndex {
    v4: PrefixMap<Ipv4Net, Owners>,
    v6: PrefixMap<Ipv6Net, Owners>,
}

impl NetworkIndex {
    pub(super) fn add(&mut self, network: Network, reading: Reading, owner: Owner) {
        let prefix = network.prefix();
        let owners = match place(network.address(), reading) {
            IpAddr::V4(address) => self.v4.entry(v4_net(address, prefix)).or_default(),
            IpAddr::V6(address) => {
                // An IPv4 network of Postgrey's lists lies behind 96 zero bits.
                let before = if network.address().is_ipv4() { 96 } else { 0 };
                self.v6.entry(v6_net(address, before + prefix)).or_default()
            }
        };
        owners.add(owner);
    }

    pub(super) fn look(&self, client: IpAddr, reading: Reading, found: &mut Found<'_>) {
        match place(client, reading) {
            IpAddr::V4(address) => {
                let networks = self.v4.cover_values(&v4_net(address, 32));
                networks.for_each(|owners| found.add(owners));
            }
            IpAddr::V6(address) => {
                let networks = self.v6.cover_values(&v6_net(address, 128));
                networks.for_each(|owners| found.add(owners));
            }
        }
    }
}

/// Where an address lies. Postgrey's library keeps IPv4 in the lowest 32 of 128 bits.
fn place(address: IpAddr, reading: Reading) -> IpAddr {
    match (reading, address) {
        (Reading::Postgrey, IpAddr::V4(v4)) => IpAddr::V6(u128::from(u32::from(v4)).into()),
        (_, address) => address,
    }
}

fn v4_net(address: Ipv4Addr, prefix: u8) -> Ipv4Net {
    Ipv4Net::new(address, prefix).expect("a network of core has a prefix within its width")
}

fn v6_net(address: Ipv6Addr, prefix: u8) -> Ipv6Net {
    Ipv6Net::new(address, prefix).expect("a network of core has a prefix within its width")
}
