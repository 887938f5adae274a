//! What the rules say of an attempt before memory is asked: exempt, greylist (and how), refuse.

use crate::time::Seconds;
use crate::verdict::Reason;

/// What the rules say of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Passes without a look at memory, for the reason given.
    Exempt(Reason),
    /// Is greylisted on these terms.
    Greylist(Greylist),
    /// Is refused for good.
    Refuse,
}

/// The terms on which an attempt is greylisted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greylist {
    /// When it may pass, and how long that is remembered.
    pub timing: Timing,
    /// When a client that behaved is no longer asked to wait; `None`: never.
    pub exemption: Option<ClientExemption>,
    /// How many entries may wait in one client network that has none proven; `None`: no limit.
    pub waiting_max: Option<u32>,
    /// A client network that has proven entries passes with any (milter-greylist's `lazyaw`).
    pub network_suffices: bool,
}

/// The delays and lifetimes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a first attempt has to wait. Zero or less passes at once.
    pub delay: Seconds,
    /// How long a waiting entry may be retried before it starts over.
    pub retry_window: Seconds,
    /// How long an entry that passed is remembered after its last use.
    pub lifetime: Seconds,
    /// Where the due time comes from.
    pub due: Due,
    /// What the retry window is counted from.
    pub window_from: WindowFrom,
}

/// Where the due time of an entry comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// First seen plus the delay of today's ruling; an entry has passed when its last attempt
    /// came that late. Postgrey's school.
    FromFirst,
    /// As the ruling of the first attempt set it. milter-greylist's school.
    AsStored,
}

/// What the retry window is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowFrom {
    /// The first attempt.
    First,
    /// The time at which the entry became due.
    Due,
}

/// When a client is exempt because enough of its mail has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientExemption {
    /// How many counted passes make a client exempt. A client without a record is never exempt,
    /// not even with zero.
    pub passes: u32,
    /// At most one pass is counted in this time.
    pub pause: Seconds,
}

/// Which rule decided: its position in the loaded rules, whose text the rules can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(pub u32);
