//! Random bytes as client, sender and recipient: forming identities never panics, they are what they
//! are made of, and an address or a duration that was read is read again from its text.
//!
//! Lines are the client's address, the sender, the recipient and a duration.

use greylatch_core::{
    AddressDialect, Attempt, Field, IdentityRules, School, Seconds, Triplet, postgrey_text,
};

/// Checks one input.
pub(crate) fn check(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let [client, sender, recipient, duration] = [line(), line(), line(), line()];
    if let Some(address) = AddressDialect::Postgrey.parse(client) {
        let text = postgrey_text(address);
        let again = AddressDialect::Postgrey.parse(text.as_bytes());
        assert_eq!(again, Some(address), "{text}");
    }
    let address = AddressDialect::Strict.parse(client);
    let client = address.unwrap_or([192, 0, 2, 10].into());
    for school in SCHOOLS {
        let identity = IdentityRules {
            school,
            ipv4_prefix: 24,
            ipv6_prefix: 64,
        };
        let triplet = |sender: &[u8]| identity.triplet(client, &attempt(sender, recipient));
        let made = triplet(sender);
        assert!(made.joined().iter().all(|byte| !byte.is_ascii_uppercase()));
        parts_join(&made);
        assert!(identity.network(client).contains(client));
        assert!(!identity.client_text(client).is_empty());
    }
    let parsed = str::from_utf8(duration).ok().map(str::parse::<Seconds>);
    if let Some(Ok(seconds)) = parsed {
        assert_eq!(seconds.to_string().parse(), Ok(seconds));
    }
}

const SCHOOLS: [School; 3] = [
    School::Native,
    School::Postgrey { by_host: false },
    School::Postgrey { by_host: true },
];

fn attempt(sender: &[u8], recipient: &[u8]) -> Attempt {
    let mut attempt = Attempt::new();
    attempt.set(Field::Sender, sender);
    attempt.set(Field::Recipient, recipient);
    attempt
}

fn parts_join(triplet: &Triplet) {
    let parts = [triplet.client(), triplet.sender(), triplet.recipient()];
    assert_eq!(parts.join(&b'/'), triplet.joined());
}
