//! How many entries wait in each client network: a bounded table in memory beside the desk.
//!
//! It is no record of the store: a count there would cost a second write with every new triplet,
//! and a count that starts at zero after a restart lets a flooding network store at most one
//! more allowance.
//!
//! When many wait in all, each network may have only its share: a flood from many networks then
//! stops being remembered before the oldest entries have to make room, which may be those of
//! honest senders.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use greylatch_core::{Network, Seconds, Timestamp};

/// Counts of first contacts that have not passed, by network.
pub(crate) struct WaitingNetworks {
    shards: [Mutex<HashMap<Network, Count>>; SHARDS],
    /// A count older than this starts over: what it counted has expired.
    window: Seconds,
    /// How many may wait in all.
    waiting_max: u32,
    /// How many wait in all, and in how many networks.
    waiting: AtomicU32,
    networks: AtomicU32,
}

#[derive(Clone, Copy)]
struct Count {
    waiting: u32,
    since: Timestamp,
}

const SHARDS: usize = 16;

/// Networks remembered per shard, 131,072 in all; those with the fewest waiting give way.
const NETWORKS_MAX: usize = 8_192;

/// The least that a network may have waiting.
const SHARE_MIN: u32 = 4;

impl WaitingNetworks {
    pub(crate) fn new(window: Seconds, waiting_max: u32) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            window,
            waiting_max,
            waiting: AtomicU32::new(0),
            networks: AtomicU32::new(0),
        }
    }

    /// How many may wait in one network where `max` is the limit: that, and when half of all
    /// that may wait do, no more than an equal share of the other half.
    pub(crate) fn allowance(&self, max: u32) -> u32 {
        let half = self.waiting_max / 2;
        if self.waiting.load(Ordering::Relaxed) < half {
            return max;
        }
        let share = half / self.networks.load(Ordering::Relaxed).max(1);
        max.min(share.max(SHARE_MIN))
    }

    /// Lets go of the counts that are over.
    pub(crate) fn expire(&self, now: Timestamp) {
        for shard in &self.shards {
            let mut shard = shard.lock().expect("no code panics while it holds a shard");
            self.retain(&mut shard, |count| now.since(count.since) <= self.window);
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
            self.make_room(&mut shard);
        }
        let count = shard.entry(network).or_insert_with(|| {
            self.networks.fetch_add(1, Ordering::Relaxed);
            Count {
                waiting: 0,
                since: now,
            }
        });
        if !self.is_live(count, now) {
            self.waiting.fetch_sub(count.waiting, Ordering::Relaxed);
            *count = Count {
                waiting: 0,
                since: now,
            };
        }
        if count.waiting < u32::MAX {
            count.waiting += 1;
            self.waiting.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One that waited has passed.
    pub(crate) fn remove(&self, network: Network) {
        let mut shard = self.lock(network);
        if let Some(count) = shard.get_mut(&network).filter(|count| count.waiting > 0) {
            count.waiting -= 1;
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Drops the networks with the fewest waiting until at most half are left.
    fn make_room(&self, shard: &mut HashMap<Network, Count>) {
        let mut waiting: Vec<u32> = shard.values().map(|count| count.waiting).collect();
        let half = waiting.len() / 2;
        let (_, median, _) = waiting.select_nth_unstable(half);
        let median = *median;
        self.retain(shard, |count| count.waiting > median);
    }

    fn retain(&self, shard: &mut HashMap<Network, Count>, stays: impl Fn(&Count) -> bool) {
        shard.retain(|_, count| {
            let stays = stays(count);
            if !stays {
                self.waiting.fetch_sub(count.waiting, Ordering::Relaxed);
                self.networks.fetch_sub(1, Ordering::Relaxed);
            }
            stays
        });
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

#[cfg(test)]
mod tests {
    use super::*;

    fn network(nth: u32) -> Network {
        Network::of(std::net::Ipv4Addr::from(nth << 8).into(), 24)
    }

    #[test]
    fn counts_go_up_with_first_contacts_and_down_with_passes() {
        let networks = WaitingNetworks::new(Seconds(100), 1_000_000);
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
    fn when_many_wait_each_network_has_its_share() {
        let networks = WaitingNetworks::new(Seconds(100), 200);
        for nth in 0..10 {
            for _ in 0..10 {
                assert_eq!(networks.allowance(1_000), 1_000);
                networks.add(network(nth), Timestamp(0));
            }
        }
        assert_eq!(networks.allowance(1_000), 10);
        assert_eq!(networks.allowance(7), 7);
        for nth in 10..50 {
            networks.add(network(nth), Timestamp(50));
        }
        assert_eq!(networks.allowance(1_000), SHARE_MIN);
        networks.expire(Timestamp(101));
        assert_eq!(networks.allowance(1_000), 1_000);
        for nth in 10..50 {
            networks.remove(network(nth));
            networks.remove(network(nth));
        }
        assert_eq!(networks.waiting.load(Ordering::Relaxed), 0);
        assert_eq!(networks.networks.load(Ordering::Relaxed), 40);
    }

    #[test]
    fn the_table_is_bounded_and_keeps_those_that_flood() {
        let networks = WaitingNetworks::new(Seconds(100), 1_000_000);
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
        assert_eq!(networks.networks.load(Ordering::Relaxed) as usize, held);
    }
}
