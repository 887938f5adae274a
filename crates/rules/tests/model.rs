//! The indexes against a matcher that looks at one entry after the other, and hostile text.

use std::net::{IpAddr, Ipv4Addr};

use greylatch_core::{Attempt, Due, Field, Greylist, RuleId, Seconds, Timing, WindowFrom};
use greylatch_rules::{Entry, OwnRules, RuleSet, RuleSpec, Source, Sources, Subject, Then};
use proptest::prelude::*;

fn terms() -> Greylist {
    Greylist {
        timing: Timing {
            delay: Seconds(60),
            retry_window: Seconds(86_400),
            lifetime: Seconds(864_000),
            due: Due::FromFirst,
            window_from: WindowFrom::First,
        },
        exemption: None,
        waiting_max: None,
        network_suffices: false,
    }
}

/// A small generator with a seed, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    /// A name of one to four labels out of a few, so that many names end in one another.
    fn name(&mut self, labels: u64) -> String {
        let count = 1 + self.roll(4);
        let labels: Vec<String> = (0..count)
            .map(|_| format!("l{}", self.roll(labels)))
            .collect();
        labels.join(".")
    }

    fn address(&mut self) -> Ipv4Addr {
        let bits = self.roll(1 << 20) << 12 | self.roll(1 << 12);
        Ipv4Addr::from(u32::try_from(bits).unwrap_or_default())
    }
}

enum Line {
    Name(String),
    Network(u32, u32),
}

impl Line {
    fn holds(&self, name: &str, client: Ipv4Addr) -> bool {
        match self {
            Self::Name(entry) => name == entry || name.ends_with(&format!(".{entry}")),
            Self::Network(bits, prefix) => {
                let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
                u32::from(client) & mask == bits & mask
            }
        }
    }
}

#[test]
fn fifteen_thousand_entries_answer_as_a_look_at_each_would() {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut lines: Vec<Line> = (0..10_000).map(|_| Line::Name(dice.name(40))).collect();
    lines.extend((0..5_000).map(|_| {
        let prefix = u32::try_from(8 + dice.roll(25)).unwrap_or(32);
        Line::Network(dice.address().into(), prefix.max(12))
    }));
    let text: String = lines
        .iter()
        .map(|line| match line {
            Line::Name(name) => format!("{name}\n"),
            Line::Network(bits, prefix) => format!("{}/{prefix}\n", Ipv4Addr::from(*bits)),
        })
        .collect();
    let clients = [Source {
        path: "wl".to_owned(),
        text: text.into_bytes(),
    }];
    let sources = Sources {
        clients: &clients,
        ..Sources::default()
    };
    let (set, diagnostics) = RuleSet::build(terms(), &sources);
    assert_eq!((set.len(), diagnostics.len()), (15_000, 0));
    let (mut listed, probes) = (0, 3_000);
    for _ in 0..probes {
        let (name, client) = (dice.name(60), dice.address());
        let expected = lines.iter().position(|line| line.holds(&name, client));
        let expected = expected.and_then(|at| u32::try_from(at).ok()).map(RuleId);
        let mut attempt = Attempt::new();
        attempt.set(Field::ClientName, name.as_bytes());
        let subject = Subject {
            attempt: &attempt,
            client: Some(IpAddr::V4(client)),
        };
        assert_eq!(set.rule(&subject).rule, expected, "{name} {client}");
        listed += usize::from(expected.is_some());
    }
    assert!(
        (300..2_900).contains(&listed),
        "{listed} of {probes} listed"
    );
}

const DOMAINS: [&str; 5] = [
    "a.example",
    "b.a.example",
    "example",
    "c.example",
    "d.c.example",
];
const USERS: [&str; 3] = ["u", "v", "u+x"];

fn pick(from: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(from).prop_map(str::to_owned)
}

fn mailbox() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => (pick(&USERS), pick(&DOMAINS)).prop_map(|(user, domain)| format!("{user}@{domain}")),
        1 => Just(String::new()),
    ]
}

fn address_entry() -> impl Strategy<Value = String> {
    prop_oneof![
        pick(&DOMAINS),
        pick(&DOMAINS).prop_map(|domain| format!("@{domain}")),
        pick(&USERS).prop_map(|user| format!("{user}@")),
        (pick(&USERS), pick(&DOMAINS)).prop_map(|(user, domain)| format!("{user}@{domain}")),
        Just("/^v/".to_owned()),
    ]
}

fn entries(of: impl Strategy<Value = String>) -> impl Strategy<Value = Option<Vec<Entry>>> {
    let entry = of.prop_map(|text| Entry { text, span: 0..0 });
    prop::option::of(prop::collection::vec(entry, 1..3))
}

fn rule_spec() -> impl Strategy<Value = RuleSpec> {
    let parts = (
        entries(pick(&DOMAINS)),
        entries(prop_oneof![address_entry(), Just("<>".to_owned())]),
        entries(address_entry()),
        prop::option::of(any::<bool>()),
    );
    parts.prop_map(|(name, sender, recipient, authenticated)| RuleSpec {
        span: 0..0,
        client: None,
        name,
        helo: None,
        sender,
        recipient,
        authenticated,
        tls: None,
        then: Then::Exempt,
        delay: None,
    })
}

fn below(value: &str, domain: &str) -> bool {
    value == domain || value.ends_with(&format!(".{domain}"))
}

fn address_holds(entry: &str, address: &str) -> bool {
    if entry == "<>" {
        return address.is_empty();
    }
    if entry == "/^v/" {
        return address.starts_with('v');
    }
    let Some((user, domain)) = address.rsplit_once('@') else {
        return false;
    };
    match entry.rsplit_once('@') {
        None => below(domain, entry),
        Some(("", exact)) => domain == exact,
        Some((base, at)) => {
            let user = user == base || user.starts_with(&format!("{base}+"));
            user && (at.is_empty() || at == domain)
        }
    }
}

fn holds(rule: &RuleSpec, name: &str, sender: &str, recipient: &str, login: &str) -> bool {
    let any = |entries: &Option<Vec<Entry>>, holds: &dyn Fn(&str) -> bool| {
        let entries = entries.as_ref();
        entries.is_none_or(|entries| entries.iter().any(|entry| holds(&entry.text)))
    };
    any(&rule.name, &|entry| below(name, entry))
        && any(&rule.sender, &|entry| address_holds(entry, sender))
        && any(&rule.recipient, &|entry| {
            !recipient.is_empty() && address_holds(entry, recipient)
        })
        && rule
            .authenticated
            .is_none_or(|wanted| wanted != login.is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rules_of_our_own_answer_as_a_look_at_each_would(
        rules in prop::collection::vec(rule_spec(), 0..12),
        name in pick(&DOMAINS),
        sender in mailbox(),
        recipient in mailbox(),
        login in pick(&["", "someone"]),
    ) {
        let config = Source::default();
        let sources = Sources {
            own: Some(OwnRules { source: &config, rules: &rules }),
            ..Sources::default()
        };
        let (set, _) = RuleSet::build(terms(), &sources);
        let bare = |rule: &&RuleSpec| {
            rule.name.is_some()
                || rule.sender.is_some()
                || rule.recipient.is_some()
                || rule.authenticated.is_some()
        };
        let expected = rules
            .iter()
            .filter(bare)
            .position(|rule| holds(rule, &name, &sender, &recipient, &login));
        let mut attempt = Attempt::new();
        attempt.set(Field::ClientName, name.as_bytes());
        attempt.set(Field::Sender, sender.as_bytes());
        attempt.set(Field::Recipient, recipient.as_bytes());
        attempt.set(Field::Login, login.as_bytes());
        let judgement = set.rule(&Subject { attempt: &attempt, client: None });
        let found = judgement.rule.map(|rule| usize::try_from(rule.0).unwrap_or(usize::MAX));
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn no_text_makes_the_reader_panic(
        clients in prop::collection::vec(any::<u8>(), 0..300),
        recipients in prop::collection::vec(any::<u8>(), 0..300),
        value in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        read_and_ask(clients, recipients, &value);
    }

    #[test]
    fn no_pattern_makes_the_reader_panic(
        pattern in "[\\[\\](){}*+?|^$.\\\\:<>=!'&~,a-c0-3PxgkQdwsZhR@-]{1,24}",
        value in "[a-c0-3@.]{0,12}",
    ) {
        let line = format!("/{pattern}/\n").into_bytes();
        read_and_ask(line.clone(), line, value.as_bytes());
    }

    #[test]
    fn no_address_makes_the_reader_panic(line in "[\\[\\]0-9a-f:./ ]{1,24}") {
        read_and_ask(line.clone().into_bytes(), line.into_bytes(), b"::1");
    }
}

fn read_and_ask(clients: Vec<u8>, recipients: Vec<u8>, value: &[u8]) {
    let source = |text| {
        [Source {
            path: "list".to_owned(),
            text,
        }]
    };
    let (clients, recipients) = (source(clients), source(recipients));
    let sources = Sources {
        own: None,
        clients: &clients,
        recipients: &recipients,
    };
    let (set, diagnostics) = RuleSet::build(terms(), &sources);
    for diagnostic in &diagnostics {
        assert!(diagnostic.source.get(diagnostic.span.clone()).is_some());
        assert!(!diagnostic.to_string().contains('\n'));
    }
    let mut attempt = Attempt::new();
    attempt.set(Field::ClientName, value);
    attempt.set(Field::Sender, value);
    attempt.set(Field::Recipient, value);
    let judgement = set.rule(&Subject {
        attempt: &attempt,
        client: Some(Ipv4Addr::LOCALHOST.into()),
    });
    if let Some(rule) = judgement.rule {
        assert!(set.text(rule).is_some());
    }
}
