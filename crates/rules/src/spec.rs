//! What rules are made of, as the caller read it: rules of our own in parsed form, and
//! Postgrey's lists as text. Where they stand in which file is the caller's knowledge.

use std::ops::Range;

use greylatch_core::Seconds;

use crate::diagnostic::Source;

/// All that a [`RuleSet`](crate::RuleSet) is built from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sources<'a> {
    /// Our own rules; they come first, in their order.
    pub own: Option<OwnRules<'a>>,
    /// Client lists in Postgrey's format, in the order in which they were named.
    pub clients: &'a [Source],
    /// Recipient lists in Postgrey's format.
    pub recipients: &'a [Source],
}

/// Our own rules, and the file that they were read from.
#[derive(Clone, Copy, Debug)]
pub struct OwnRules<'a> {
    /// The file, so that mistakes can be shown in it.
    pub source: &'a Source,
    /// The rules in their order.
    pub rules: &'a [RuleSpec],
}

/// One rule of our own, not yet checked.
///
/// The entries of one condition are alternatives, the conditions are all needed. A condition
/// that is absent is `None`; one without entries is a mistake, since leaving it out would widen
/// the rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSpec {
    /// Where the rule stands: bytes of the file.
    pub span: Range<usize>,
    /// Client addresses and networks: `192.0.2.7`, `192.0.2.0/24`, `2001:db8::/32`.
    pub client: Option<Vec<Entry>>,
    /// Forward-confirmed client names: `example.org` is the domain and all below it, `/re/` a
    /// pattern. A client without such a name matches nothing.
    pub name: Option<Vec<Entry>>,
    /// What the client called itself, written as in `name`.
    pub helo: Option<Vec<Entry>>,
    /// Senders: `user@example.org` (extensions as in `user+list@` included), `user@` at any
    /// domain, `example.org` and all below it, `@example.org` exactly that domain, `<>` or the
    /// empty text the null sender, `/re/` a pattern.
    pub sender: Option<Vec<Entry>>,
    /// Recipients, written as in `sender`.
    pub recipient: Option<Vec<Entry>>,
    /// Whether the client has logged in.
    pub authenticated: Option<bool>,
    /// Whether the connection is encrypted.
    pub tls: Option<bool>,
    /// What follows when all conditions hold.
    pub then: Then,
    /// With [`Then::Greylist`]: how long a first attempt has to wait, instead of the delay that
    /// holds for all.
    pub delay: Option<Seconds>,
}

/// One alternative of a condition, and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The text.
    pub text: String,
    /// Bytes of the file.
    pub span: Range<usize>,
}

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Pass at once.
    Exempt,
    /// Greylist, also where a later rule or list would exempt.
    Greylist,
    /// Refuse for good.
    Refuse,
}

impl Then {
    /// The word for it in the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Exempt => "exempt",
            Self::Greylist => "greylist",
            Self::Refuse => "refuse",
        }
    }
}
