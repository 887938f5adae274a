//! Whether the policy server is worth asking. Pure: time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// Between two tries to ask a server that did not answer; each time twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LAST: Duration = Duration::from_secs(5);

/// How the server is, as far as is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It answers, or nobody has asked it.
    Well,
    /// It did not answer.
    Away {
        /// When it is asked again.
        next: Instant,
        /// How long it is left alone when it does not answer then.
        pause: Duration,
        /// One question is under way to see whether it is back.
        probing: bool,
        /// Questions that were not asked.
        unasked: u64,
    },
}

impl Health {
    /// Whether a question is to be asked. Of a server that was away one at a time is, so that not
    /// everybody waits for one that hangs.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        let Self::Away {
            next,
            probing,
            unasked,
            ..
        } = self
        else {
            return true;
        };
        if *probing || now < *next {
            *unasked += 1;
            return false;
        }
        *probing = true;
        true
    }

    /// A question was answered. When the server was away: how many were not asked meanwhile.
    pub(super) fn answered(&mut self) -> Option<u64> {
        match std::mem::replace(self, Self::Well) {
            Self::Well => None,
            Self::Away { unasked, .. } => Some(unasked),
        }
    }

    /// A question was not answered; true when the server was well before.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        match self {
            Self::Well => {
                *self = Self::Away {
                    next: now + PAUSE_FIRST,
                    pause: PAUSE_FIRST * 2,
                    probing: false,
                    unasked: 0,
                };
                true
            }
            Self::Away {
                next,
                pause,
                probing,
                ..
            } => {
                // Of many that were under way when it went away only the first counts.
                if *probing {
                    *next = now + *pause;
                    *pause = (*pause * 2).min(PAUSE_LAST);
                    *probing = false;
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_away_is_asked_by_one_at_a_time_and_less_and_less_often() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut health = Health::Well;
        assert!(health.admits(at(0)) && health.admits(at(0)));
        assert!(health.failed(at(1_000)), "news");
        assert!(!health.failed(at(1_010)), "the other that was under way");
        assert!(!health.admits(at(1_099)));
        assert!(health.admits(at(1_100)));
        assert!(!health.admits(at(1_100)), "one is enough");
        assert!(!health.failed(at(6_100)));
        assert!(!health.admits(at(6_299)));
        assert!(health.admits(at(6_300)));
        assert_eq!(health.answered(), Some(3));
        assert_eq!(health, Health::Well);
        assert_eq!(health.answered(), None);
        assert!(health.failed(at(7_000)), "news again");
        assert!(health.admits(at(7_100)), "as at the first time");
    }

    #[tokio::test]
    async fn the_pause_has_an_end() {
        let mut now = Instant::now();
        let mut health = Health::Well;
        health.failed(now);
        for _ in 0..20 {
            now += PAUSE_LAST;
            assert!(health.admits(now));
            health.failed(now);
        }
        assert!(!health.admits(now + PAUSE_LAST - Duration::from_millis(1)));
        assert!(health.admits(now + PAUSE_LAST));
    }
}
