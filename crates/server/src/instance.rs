//! One header per message: which messages have got theirs already. A bounded table beside the
//! desk; the oldest message gives way.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;

/// The messages that got a header lately, by the `instance` their MTA gave them.
pub(crate) struct Instances {
    ring: Mutex<Ring>,
}

struct Ring {
    /// Hashes of instances, and where the next one goes.
    slots: Vec<u64>,
    next: usize,
}

impl Instances {
    /// Remembers as many as Postgrey: ten, which at first all hold the instance `0`.
    pub(crate) fn as_postgrey() -> Self {
        Self::holding(10)
    }

    /// Remembers as many messages as can be under way at once on a large host.
    pub(crate) fn large() -> Self {
        Self::holding(1_024)
    }

    fn holding(slots: usize) -> Self {
        let ring = Ring {
            slots: vec![hash(b"0"); slots],
            next: 0,
        };
        Self {
            ring: Mutex::new(ring),
        }
    }

    /// Whether this message has no header yet; from now on it has. A question without an
    /// instance always counts as a new message.
    pub(crate) fn is_new(&self, instance: Option<&[u8]>) -> bool {
        let Some(instance) = instance else {
            return true;
        };
        let hash = hash(instance);
        let mut ring = self
            .ring
            .lock()
            .expect("no code panics while it holds the ring");
        if ring.slots.contains(&hash) {
            return false;
        }
        let next = ring.next;
        ring.slots[next] = hash;
        ring.next = (next + 1) % ring.slots.len();
        true
    }
}

fn hash(instance: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    instance.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_gets_one_header() {
        let instances = Instances::as_postgrey();
        assert!(instances.is_new(Some(b"i1")));
        assert!(!instances.is_new(Some(b"i1")));
        assert!(instances.is_new(Some(b"")));
        assert!(!instances.is_new(Some(b"")));
        assert!(instances.is_new(None));
        assert!(instances.is_new(None));
    }

    #[test]
    fn postgreys_slots_hold_zero_at_first_and_forget_after_ten() {
        let instances = Instances::as_postgrey();
        assert!(!instances.is_new(Some(b"0")));
        assert!(instances.is_new(Some(b"old")));
        for nth in 1..=9 {
            assert!(instances.is_new(Some(format!("i{nth}").as_bytes())));
            assert!(!instances.is_new(Some(b"old")));
        }
        assert!(instances.is_new(Some(b"i10")));
        assert!(instances.is_new(Some(b"old")));
    }
}
