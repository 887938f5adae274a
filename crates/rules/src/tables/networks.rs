//! Client networks in a prefix trie: one walk down the bits of an address passes all networks
//! that it lies in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use greylatch_core::Network;
use ipnet::{Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;

use super::{Found, Owner, Owners, Reading};

#[derive(Default)]
pub(crate) struct NetworkIndex {
    v4: PrefixMap<Ipv4Net, Owners>,
    v6: PrefixMap<Ipv6Net, Owners>,
}

impl NetworkIndex {
    pub(crate) fn add(&mut self, network: Network, owner: Owner) {
        let prefix = network.prefix();
        let owners = match network.address() {
            IpAddr::V4(address) => self.v4.entry(v4_net(address, prefix)).or_default(),
            IpAddr::V6(address) => self.v6.entry(v6_net(address, prefix)).or_default(),
        };
        owners.add(owner);
    }

    pub(crate) fn look(&self, client: IpAddr, reading: Reading, found: &mut Found<'_>) {
        let (v4, v6) = match (reading, client) {
            (Reading::Native, IpAddr::V4(v4)) => (Some(v4), None),
            (Reading::Native, IpAddr::V6(v6)) => (None, Some(v6)),
            // Postgrey's library keeps IPv4 in the lowest 32 of 128 bits.
            (Reading::Postgrey, IpAddr::V4(v4)) => {
                let wide = Ipv6Addr::from(u128::from(u32::from(v4)));
                (Some(v4), Some(wide))
            }
            (Reading::Postgrey, IpAddr::V6(v6)) => {
                let narrow = u32::try_from(u128::from(v6)).ok();
                (narrow.map(Ipv4Addr::from), Some(v6))
            }
        };
        if let Some(address) = v4 {
            let networks = self.v4.cover_values(&v4_net(address, 32));
            networks.for_each(|owners| found.add(owners));
        }
        if let Some(address) = v6.filter(|_| !self.v6.is_empty()) {
            let networks = self.v6.cover_values(&v6_net(address, 128));
            networks.for_each(|owners| found.add(owners));
        }
    }
}

fn v4_net(address: Ipv4Addr, prefix: u8) -> Ipv4Net {
    Ipv4Net::new(address, prefix).expect("a network of core has a prefix within its width")
}

fn v6_net(address: Ipv6Addr, prefix: u8) -> Ipv6Net {
    Ipv6Net::new(address, prefix).expect("a network of core has a prefix within its width")
}
