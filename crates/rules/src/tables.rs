//! The conditions of all rules, in indexes: one look per field finds the rules whose condition
//! on that field holds, however many there are.

mod domains;
mod mailboxes;
pub(crate) mod networks;
pub(crate) mod patterns;

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;

use greylatch_core::{Attempt, Field, Network};

use crate::pattern::Pattern;
use domains::DomainIndex;
use mailboxes::MailboxIndex;
use networks::NetworkIndex;
use patterns::PatternIndex;

/// Texts of an administrator. What a client says is only looked up, never put in, so nobody can
/// make it slow, and a hash that is quick suffices.
type TextMap<T> = HashMap<Box<[u8]>, T, foldhash::fast::RandomState>;

/// The position of a rule; smaller ones come first.
pub(crate) type Position = u32;

/// Whose quirks count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Ours: what is absent or unknown matches nothing.
    Native,
    /// Postgrey's lists: an IPv4 address is the IPv6 address `::a.b.c.d`, an address is split
    /// at its first `@`, a name `unknown` is a name like any other.
    Postgrey,
}

/// What a condition looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Client = 1,
    Name = 2,
    Helo = 4,
    Sender = 8,
    Recipient = 16,
}

/// One alternative of a condition. Names and addresses are in lower case.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    /// The client lies in this network.
    Network(Network),
    /// The value, or the domain of the address, is this domain or lies below it.
    Domain(Vec<u8>),
    /// The domain of the address is exactly this one.
    ExactDomain(Vec<u8>),
    /// The address is `user@domain` or `user+extension@domain`; no domain means any.
    Mailbox(Vec<u8>, Option<Vec<u8>>),
    /// The sender is empty.
    Null,
    /// The pattern is found in the value.
    Pattern(Pattern),
}

/// A rule of which a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hit {
    pub(crate) rule: Position,
    pub(crate) part: u8,
}

/// The conditions of rules read in one way.
pub(crate) struct Tables {
    reading: Reading,
    networks: NetworkIndex,
    names: Values,
    helos: Values,
    senders: Values,
    recipients: Values,
    /// Whether there is any condition.
    any: bool,
}

impl Tables {
    pub(crate) fn new(reading: Reading) -> Self {
        Self {
            reading,
            networks: NetworkIndex::default(),
            names: Values::default(),
            helos: Values::default(),
            senders: Values::default(),
            recipients: Values::default(),
            any: false,
        }
    }

    /// Adds one alternative; `settles` says that the rule has no other condition, so that a
    /// later rule with the same one never gets its turn.
    pub(crate) fn add(&mut self, part: Part, test: Test, owner: Owner) {
        self.any = true;
        let values = match part {
            Part::Client => {
                if let Test::Network(network) = test {
                    self.networks.add(network, owner);
                }
                return;
            }
            Part::Name => &mut self.names,
            Part::Helo => &mut self.helos,
            Part::Sender => &mut self.senders,
            Part::Recipient => &mut self.recipients,
        };
        values.add(test, owner);
    }

    /// To be called once when all conditions are there.
    pub(crate) fn seal(&mut self) {
        for values in [
            &mut self.names,
            &mut self.helos,
            &mut self.senders,
            &mut self.recipients,
        ] {
            values.patterns.seal();
        }
    }

    /// All conditions that hold, in no order.
    pub(crate) fn hits(&self, attempt: &Attempt, client: Option<IpAddr>) -> Vec<Hit> {
        let mut hits = Vec::new();
        if !self.any {
            return hits;
        }
        if let Some(client) = client {
            let mut found = Found::new(Part::Client, &mut hits);
            self.networks.look(client, self.reading, &mut found);
        }
        let name = self.value(attempt, Field::ClientName);
        let name = name.filter(|name| self.reading == Reading::Postgrey || *name != b"unknown");
        if let Some(name) = name {
            self.names.look_name(name, Part::Name, &mut hits);
        }
        if let Some(helo) = self.value(attempt, Field::Helo) {
            self.helos.look_name(helo, Part::Helo, &mut hits);
        }
        // An empty sender is the null sender, an absent one is not known.
        if let Some(sender) = attempt.field(Field::Sender) {
            self.look_address(sender, Part::Sender, &mut hits);
        }
        if let Some(recipient) = self.value(attempt, Field::Recipient) {
            self.look_address(recipient, Part::Recipient, &mut hits);
        }
        hits
    }

    /// A field that says something; to Postgrey an empty value is a value.
    fn value<'a>(&self, attempt: &'a Attempt, field: Field) -> Option<&'a [u8]> {
        let value = attempt.field(field)?;
        (self.reading == Reading::Postgrey || !value.is_empty()).then_some(value)
    }

    fn look_address(&self, address: &[u8], part: Part, hits: &mut Vec<Hit>) {
        let values = match part {
            Part::Sender => &self.senders,
            _ => &self.recipients,
        };
        if !values.any {
            return;
        }
        let mut found = Found::new(part, hits);
        if address.is_empty() {
            found.add(&values.null);
        }
        values.patterns.look(address, &mut found);
        let address = lower(address);
        let at = match self.reading {
            Reading::Native => address.iter().rposition(|byte| *byte == b'@'),
            Reading::Postgrey => address.iter().position(|byte| *byte == b'@'),
        };
        if let Some((user, domain)) = at.and_then(|at| address.split_at_checked(at)) {
            let domain = domain.get(1..).unwrap_or_default();
            values.mailboxes.look(user, domain, &mut found);
            if let Some(owners) = values.exact_domains.get(domain) {
                found.add(owners);
            }
        }
        if let Some(domain) = self.domain_text(&address) {
            values.domains.look(domain, &mut found);
        }
    }

    /// The part of an address in which domains are looked for. To Postgrey a domain is what
    /// stands behind any `@` or dot, so in an address without `@` it may follow a dot.
    fn domain_text<'a>(&self, address: &'a [u8]) -> Option<&'a [u8]> {
        let behind = |at: usize| address.get(at.saturating_add(1)..);
        match address.iter().rposition(|byte| *byte == b'@') {
            Some(at) => behind(at),
            None if self.reading == Reading::Native => None,
            None => behind(address.iter().position(|byte| *byte == b'.')?),
        }
    }
}

/// The conditions on one field that holds text.
#[derive(Default)]
struct Values {
    null: Owners,
    exact_domains: TextMap<Owners>,
    domains: DomainIndex,
    mailboxes: MailboxIndex,
    patterns: PatternIndex,
    /// Whether there is any condition.
    any: bool,
}

impl Values {
    fn add(&mut self, test: Test, owner: Owner) {
        self.any = true;
        match test {
            Test::Network(_) => {}
            Test::Domain(domain) => self.domains.add(domain, owner),
            Test::ExactDomain(domain) => {
                let owners = self.exact_domains.entry(domain.into()).or_default();
                owners.add(owner);
            }
            Test::Mailbox(user, domain) => self.mailboxes.add(user, domain, owner),
            Test::Null => self.null.add(owner),
            Test::Pattern(pattern) => self.patterns.add(pattern, owner),
        }
    }

    fn look_name(&self, name: &[u8], part: Part, hits: &mut Vec<Hit>) {
        if !self.any {
            return;
        }
        let mut found = Found::new(part, hits);
        self.patterns.look(name, &mut found);
        self.domains.look(&lower(name), &mut found);
    }
}

/// The rule that a condition belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) rule: Position,
    /// The rule has no other condition, so that a later rule never gets its turn when this
    /// condition holds.
    pub(crate) settles: bool,
}

/// The rules that share one condition, first rule first.
#[derive(Clone, Debug, Default)]
struct Owners {
    rules: Vec<Position>,
    settled: bool,
}

impl Owners {
    /// Rules come in their order, so one that settles is the last that counts.
    fn add(&mut self, owner: Owner) {
        if !self.settled && self.rules.last() != Some(&owner.rule) {
            self.rules.push(owner.rule);
            self.settled = owner.settles;
        }
    }
}

/// Where the looks into the indexes of one field put what they find.
pub(crate) struct Found<'a> {
    part: Part,
    hits: &'a mut Vec<Hit>,
}

impl<'a> Found<'a> {
    pub(crate) fn new(part: Part, hits: &'a mut Vec<Hit>) -> Self {
        Self { part, hits }
    }

    fn add(&mut self, owners: &Owners) {
        for rule in &owners.rules {
            self.add_rule(*rule);
        }
    }

    fn add_rule(&mut self, rule: Position) {
        self.hits.push(Hit {
            rule,
            part: self.part as u8,
        });
    }
}

fn lower(value: &[u8]) -> Cow<'_, [u8]> {
    if value.iter().any(u8::is_ascii_uppercase) {
        Cow::Owned(value.to_ascii_lowercase())
    } else {
        Cow::Borrowed(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(names: u32) -> Tables {
        let mut tables = Tables::new(Reading::Postgrey);
        let owner = |rule| Owner {
            rule,
            settles: true,
        };
        for rule in 0..names {
            let name = format!("host{rule}.pool{}.example", rule % 7);
            tables.add(Part::Name, Test::Domain(name.into_bytes()), owner(rule));
            let user = format!("user{rule}").into_bytes();
            tables.add(Part::Recipient, Test::Mailbox(user, None), owner(rule));
            let network = Network::of(IpAddr::V4((0x0A00_0000 + (rule << 8)).into()), 24);
            tables.add(Part::Client, Test::Network(network), owner(rule));
        }
        tables.seal();
        tables
    }

    #[test]
    fn what_is_found_does_not_grow_with_what_is_listed() {
        let mut attempt = Attempt::new();
        attempt.set(Field::ClientName, b"mx.host3.pool3.example");
        attempt.set(Field::Recipient, b"user5+x@example.org");
        let client = "10.0.7.9".parse().ok();
        let mut few = tables(10).hits(&attempt, client);
        let mut many = tables(10_000).hits(&attempt, client);
        few.sort_unstable();
        many.sort_unstable();
        let hit = |rule, part| Hit {
            rule,
            part: part as u8,
        };
        let expected = [
            hit(3, Part::Name),
            hit(5, Part::Recipient),
            hit(7, Part::Client),
        ];
        assert_eq!(few, expected);
        assert_eq!(many, expected);
    }

    #[test]
    fn an_entry_listed_ten_thousand_times_is_found_once() {
        let mut tables = Tables::new(Reading::Native);
        for rule in 0..10_000 {
            let owner = Owner {
                rule,
                settles: rule >= 2,
            };
            tables.add(Part::Name, Test::Domain(b"example.org".to_vec()), owner);
            tables.add(Part::Name, Test::Domain(b"example.org".to_vec()), owner);
        }
        let mut attempt = Attempt::new();
        attempt.set(Field::ClientName, b"mx.example.org");
        let rules: Vec<Position> = tables
            .hits(&attempt, None)
            .iter()
            .map(|hit| hit.rule)
            .collect();
        assert_eq!(rules, [0, 1, 2]);
    }
}
