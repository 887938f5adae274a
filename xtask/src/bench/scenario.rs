//! What the load consists of: six mixtures of kinds, and who is drawn.

use crate::bench::random::Random;
use crate::bench::request::{EXEMPT_CLIENTS, Kind};

/// A load of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    New,
    EarlyRetry,
    Known,
    Exempt,
    Whitelisted,
    Mixed,
}

impl Scenario {
    pub(crate) const ALL: [Self; 6] = [
        Self::Known,
        Self::Exempt,
        Self::Whitelisted,
        Self::EarlyRetry,
        Self::Mixed,
        // Last, since it makes the stores larger.
        Self::New,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::EarlyRetry => "early-retry",
            Self::Known => "known",
            Self::Exempt => "exempt",
            Self::Whitelisted => "whitelisted",
            Self::Mixed => "mixed",
        }
    }

    /// The scenario of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|scenario| scenario.name() == name)
    }

    /// True when there must be triplets that wait.
    pub(crate) fn needs_waiting(self) -> bool {
        matches!(self, Self::EarlyRetry | Self::Mixed)
    }

    fn kind(self, random: &mut Random) -> Kind {
        match self {
            Self::New => Kind::New,
            Self::EarlyRetry => Kind::EarlyRetry,
            Self::Known => Kind::Known,
            Self::Exempt => Kind::Exempt,
            Self::Whitelisted => Kind::Whitelisted,
            Self::Mixed => mixed(random.below(100)),
        }
    }
}

/// A site at which half of all attempts is mail that it knows in one way or
/// another: known 30 %, exempt 15 %, whitelisted 10 %, new 35 %, early
/// retries 10 %.
fn mixed(percent: u64) -> Kind {
    match percent {
        0..30 => Kind::Known,
        30..45 => Kind::Exempt,
        45..55 => Kind::Whitelisted,
        55..90 => Kind::New,
        _ => Kind::EarlyRetry,
    }
}

/// Whom a server has been told of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Population {
    /// Triplets that passed.
    pub(crate) known: u64,
    /// Triplets that wait.
    pub(crate) waiting: u64,
    /// Draw the known ones with the skew of real mail.
    pub(crate) skew: bool,
}

/// One connection's part of a load.
#[derive(Debug, Clone)]
pub(crate) struct Draw {
    pub(crate) scenario: Scenario,
    pub(crate) population: Population,
    pub(crate) random: Random,
    /// The next index of a triplet that nobody has used, and the distance to
    /// the one after it.
    pub(crate) fresh: u64,
    pub(crate) step: u64,
}

impl Draw {
    /// Who asks next.
    pub(crate) fn next(&mut self) -> (Kind, u64) {
        let kind = self.scenario.kind(&mut self.random);
        let population = self.population;
        let index = match kind {
            Kind::Known if population.skew => self.random.skewed_below(population.known),
            Kind::Known => self.random.below(population.known),
            Kind::EarlyRetry => self.random.below(population.waiting),
            // Any sender of one of these clients.
            Kind::Exempt => self.random.below(EXEMPT_CLIENTS << 10),
            Kind::Whitelisted | Kind::New => {
                self.fresh += self.step;
                self.fresh - self.step
            }
        };
        (kind, index)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn draw(scenario: Scenario, connection: u64) -> Draw {
        Draw {
            scenario,
            population: Population {
                known: 100,
                waiting: 10,
                skew: false,
            },
            random: Random::new(connection),
            fresh: connection,
            step: 3,
        }
    }

    #[test]
    fn no_two_connections_draw_the_same_new_triplet() {
        let mut seen = HashSet::new();
        for connection in 0..3 {
            let mut draw = draw(Scenario::New, connection);
            for _ in 0..100 {
                let (kind, index) = draw.next();
                assert_eq!(kind, Kind::New);
                assert!(seen.insert(index), "{index} twice");
            }
        }
        assert_eq!(seen.len(), 300);
    }

    #[test]
    fn a_mixture_keeps_to_its_shares_and_its_population() {
        let mut draw = draw(Scenario::Mixed, 1);
        let mut new = 0;
        for _ in 0..10_000 {
            let (kind, index) = draw.next();
            match kind {
                Kind::New => new += 1,
                Kind::Known => assert!(index < 100),
                Kind::EarlyRetry => assert!(index < 10),
                Kind::Exempt | Kind::Whitelisted => {}
            }
        }
        assert!((3_300..3_700).contains(&new), "{new}");
    }

    #[test]
    fn scenarios_are_found_by_their_names() {
        for scenario in Scenario::ALL {
            assert_eq!(Scenario::named(scenario.name()), Some(scenario));
        }
        assert_eq!(Scenario::named("knwon"), None);
    }
}
