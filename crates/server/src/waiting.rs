//! How many entries wait in each client network: a bounded table in memory beside the desk.
//!
//! It is no record of the store: a count there would cost a second write with every new triplet,
//! and a count that starts at zero after a restart lets a flooding network store at most one
//! more allowance.

use std::collections::HashMap;
use std::sync::Mutex;

use greylatch_core::{Network, Seconds, Timestamp};

/// Counts of first contacts that have not passed, by network.
pub(crate) struct WaitingNetworks {
    shards: [Mutex<HashMap<Network, Count>>; SHARDS],
    /// A count older than this starts over: what it counted has expired.
    window: Seconds,
}

#[derive(Clone, Copy)]
struct Count {
    waiting: u32,
    since: Timestamp,
}

const SHARDS: usize = 16;

/// Networks remembered per shard, 131,072 in all; those with the fewest waiting give way.
const NETWORKS_MAX: usize = 8_192;

impl WaitingNetworks {
    pub(crate) fn new(window: Seconds) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            window,
        }
    }

    /// How many wait in `network`.
    pub(crate) fn count(&self, network: Network, now: Timestamp) -> u32 {
        let shard = self.lock(network);
        let live = shard.get(&network).filter(|count| self.is_live(count, now));
        live.map_or(0, |count| count.waiting)
    }

    /// One more waits.
    pub(crate) fn add(&self, network: Network, now: Timestamp) {
        let mut shard = self.lock(network);
        if shard.len() >= NETWORKS_MAX && !shard.contains_key(&network) {
            make_room(&mut shard);
        }
        let count = shard.entry(network).or_insert(Count {
            waiting: 0,
            since: now,
        });
        if !self.is_live(count, now) {
            *count = Count {
                waiting: 0,
                since: now,
            };
        }
        count.waiting = count.waiting.saturating_add(1);
    }

    /// One that waited has passed.
    pub(crate) fn remove(&self, network: Network) {
        let mut shard = self.lock(network);
        if let Some(count) = shard.get_mut(&network) {
            count.waiting = count.waiting.saturating_sub(1);
        }
    }

    fn is_live(&self, count: &Count, now: Timestamp) -> bool {
        now.since(count.since) <= self.window
    }

    fn lock(&self, network: Network) -> std::sync::MutexGuard<'_, HashMap<Network, Count>> {
        let spread = match network.address() {
            std::net::IpAddr::V4(address) => u128::from(u32::from(address) >> 8),
            std::net::IpAddr::V6(address) => u128::from(address) >> 64,
        };
        let nth = usize::try_from(spread % SHARDS as u128).expect("a remainder of 16 fits");
        self.shards[nth]
            .lock()
            .expect("no code panics while it holds a shard")
    }
}

/// Drops the networks with the fewest waiting until at most half are left.
fn make_room(shard: &mut HashMap<Network, Count>) {
    let mut waiting: Vec<u32> = shard.values().map(|count| count.waiting).collect();
    let half = waiting.len() / 2;
    let (_, median, _) = waiting.select_nth_unstable(half);
    let median = *median;
    shard.retain(|_, count| count.waiting > median);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(nth: u32) -> Network {
        Network::of(std::net::Ipv4Addr::from(nth << 8).into(), 24)
    }

    #[test]
    fn counts_go_up_with_first_contacts_and_down_with_passes() {
        let networks = WaitingNetworks::new(Seconds(100));
        networks.add(network(1), Timestamp(0));
        networks.add(network(1), Timestamp(1));
        assert_eq!(networks.count(network(1), Timestamp(100)), 2);
        assert_eq!(networks.count(network(2), Timestamp(1)), 0);
        networks.remove(network(1));
        assert_eq!(networks.count(network(1), Timestamp(1)), 1);
        assert_eq!(networks.count(network(1), Timestamp(101)), 0);
        networks.add(network(1), Timestamp(101));
        assert_eq!(networks.count(network(1), Timestamp(101)), 1);
    }

    #[test]
    fn the_table_is_bounded_and_keeps_those_that_flood() {
        let networks = WaitingNetworks::new(Seconds(100));
        for _ in 0..50 {
            networks.add(network(7), Timestamp(0));
        }
        for nth in 0..400_000 {
            networks.add(network(1_000 + nth), Timestamp(0));
        }
        let held: usize = networks
            .shards
            .iter()
            .map(|shard| shard.lock().expect("free").len())
            .sum();
        assert!(held <= SHARDS * NETWORKS_MAX, "{held}");
        assert_eq!(networks.count(network(7), Timestamp(0)), 50);
    }
}
