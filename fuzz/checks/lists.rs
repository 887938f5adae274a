//! Random bytes as Postgrey's lists and as attempts: reading never panics, every remark points
//! into the list and can be shown on a terminal, whatever rule matches has a text, and another
//! reading says the same.
//!
//! NUL bytes part a client list, a recipient list, and then, as often as there are, the client's
//! address, its name and the recipient of an attempt.

use greylatch_core::{AddressDialect, Attempt, Field};
use greylatch_rules::{RuleSet, Source, Sources, Subject};

use crate::remark::points_into;
use crate::terms::terms;

/// Checks one input.
pub(crate) fn check(input: &[u8]) {
    let mut parts = input.split(|byte| *byte == 0);
    let mut list = |path: &str| Source {
        path: path.into(),
        text: parts.next().unwrap_or_default().to_vec(),
    };
    let (clients, recipients) = (list("clients"), list("recipients"));
    let sources = Sources {
        clients: std::slice::from_ref(&clients),
        recipients: std::slice::from_ref(&recipients),
        own: None,
    };
    let (rules, remarks) = RuleSet::build(terms(), &sources);
    for remark in &remarks {
        let text = if remark.path == "clients" {
            &clients.text
        } else {
            &recipients.text
        };
        points_into(remark, text);
    }
    let (again, remarks_again) = RuleSet::build(terms(), &sources);
    assert_eq!((again.len(), &remarks_again), (rules.len(), &remarks));
    let parts: Vec<&[u8]> = parts.collect();
    for attempt in parts.chunks_exact(3) {
        let client = AddressDialect::Postgrey.parse(attempt[0]);
        let mut asked = Attempt::new();
        asked.set(Field::ClientName, attempt[1]);
        asked.set(Field::Recipient, attempt[2]);
        let subject = Subject {
            attempt: &asked,
            client,
        };
        let judged = rules.rule(&subject);
        assert_eq!(again.rule(&subject), judged);
        assert!(judged.rule.is_none_or(|rule| rules.text(rule).is_some()));
    }
}
