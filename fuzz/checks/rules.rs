//! Random text as rules of our own and as attempts: reading never panics, every mistake points
//! into the text, a rule with a mistake is left out, and what matches has a text.
//!
//! Each line is a condition, its first byte saying on what, the rest being the entry; an empty
//! line ends a rule. After a line `---` come, line by line, an attempt's client address, client
//! name, HELO name, sender and recipient.

use std::ops::Range;

use greylatch_core::{AddressDialect, Attempt, Field, Seconds};
use greylatch_rules::{Entry, OwnRules, RuleSet, RuleSpec, Source, Sources, Subject, Then};

use crate::remark::points_into;
use crate::terms::terms;

/// Checks one input.
pub(crate) fn check(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    let (written, attempts) = text.split_once("\n---\n").unwrap_or((text, ""));
    let specs = specs(written);
    let source = Source {
        path: "greylatch.toml".into(),
        text: text.into(),
    };
    let sources = Sources {
        own: Some(OwnRules {
            source: &source,
            rules: &specs,
        }),
        ..Sources::default()
    };
    let (rules, mistakes) = RuleSet::build(terms(), &sources);
    mistakes
        .iter()
        .for_each(|one| points_into(one, text.as_bytes()));
    assert!(rules.len() <= specs.len());
    assert!(rules.len() == specs.len() || !mistakes.is_empty());
    let lines: Vec<&str> = attempts.lines().collect();
    for lines in lines.chunks_exact(5) {
        let mut attempt = Attempt::new();
        let fields = [
            Field::ClientName,
            Field::Helo,
            Field::Sender,
            Field::Recipient,
        ];
        for (field, line) in fields.into_iter().zip(&lines[1..]) {
            attempt.set(field, line.as_bytes());
        }
        let judged = rules.rule(&Subject {
            attempt: &attempt,
            client: AddressDialect::Strict.parse(lines[0].as_bytes()),
        });
        assert!(judged.rule.is_none_or(|rule| rules.text(rule).is_some()));
    }
}

fn specs(text: &str) -> Vec<RuleSpec> {
    let mut specs = Vec::new();
    let (mut spec, mut start) = (empty(0..0), 0);
    for line in text.split('\n') {
        let span = start..start + line.len();
        start = span.end + 1;
        if line.is_empty() {
            let next = empty(span);
            specs.push(std::mem::replace(&mut spec, next));
        } else {
            add(&mut spec, line, span);
        }
    }
    specs.push(spec);
    specs
}

fn empty(span: Range<usize>) -> RuleSpec {
    RuleSpec {
        span,
        client: None,
        name: None,
        helo: None,
        sender: None,
        recipient: None,
        authenticated: None,
        tls: None,
        then: Then::Exempt,
        delay: None,
    }
}

fn add(spec: &mut RuleSpec, line: &str, span: Range<usize>) {
    let mut letters = line.chars();
    let condition = letters.next();
    let text = letters.as_str().to_owned();
    let at = span.end - text.len()..span.end;
    let entry = Entry { text, span: at };
    let entries = match condition {
        Some('c') => &mut spec.client,
        Some('n') => &mut spec.name,
        Some('h') => &mut spec.helo,
        Some('s') => &mut spec.sender,
        Some('r') => &mut spec.recipient,
        Some('a') => return spec.authenticated = Some(entry.text.is_empty()),
        Some('t') => return spec.tls = Some(entry.text.is_empty()),
        Some('d') => return spec.delay = entry.text.parse::<Seconds>().ok(),
        Some('g') => return spec.then = Then::Greylist,
        _ => return spec.then = Then::Refuse,
    };
    entries.get_or_insert_default().push(entry);
}
