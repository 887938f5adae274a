//! Rules of our own, from their parsed form to tests. A rule with a mistake in it is left out
//! whole: leaving out a condition would make it match more than was asked for.

mod entry;

use std::ops::Range;

use greylatch_core::{Greylist, Reason, Ruling, Timing};

use crate::diagnostic::{Diagnostic, Fault, Lines};
use crate::set::{Draft, Flags};
use crate::spec::{Entry, RuleSpec, Then};
use crate::tables::{Part, Reading, Test};

/// The rules without mistakes, in their order.
pub(crate) fn read(
    lines: &Lines<'_>,
    rules: &[RuleSpec],
    terms: &Greylist,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for spec in rules {
        let mut faults = Vec::new();
        let tests = tests(spec, &mut faults);
        let flags = Flags {
            authenticated: spec.authenticated,
            tls: spec.tls,
        };
        faults.extend(whole_rule_fault(spec, flags));
        if faults.is_empty() {
            drafts.push(Draft {
                reading: Reading::Native,
                line: lines.number(spec.span.start),
                text: text(spec).into_bytes(),
                tests,
                flags,
                ruling: ruling(spec, terms),
            });
        }
        let errors = faults.into_iter().map(|fault| lines.error(fault));
        diagnostics.extend(errors);
    }
    drafts
}

fn tests(spec: &RuleSpec, faults: &mut Vec<Fault>) -> Vec<(Part, Test)> {
    let mut tests = Vec::new();
    for (word, part, entries) in conditions(spec) {
        if entries.is_empty() {
            faults.push(Fault::new(
                spec.span.clone(),
                format!("{word} is an empty list, which nothing can match"),
                "name at least one, or leave the condition out",
            ));
        }
        for Entry { text, span } in entries {
            match entry::read(part, text) {
                Ok(test) => tests.push((part, test)),
                Err((message, cure)) => faults.push(Fault::new(span.clone(), message, cure)),
            }
        }
    }
    tests
}

/// The conditions that are there.
fn conditions(spec: &RuleSpec) -> impl Iterator<Item = (&'static str, Part, &[Entry])> {
    [
        ("client", Part::Client, &spec.client),
        ("name", Part::Name, &spec.name),
        ("helo", Part::Helo, &spec.helo),
        ("sender", Part::Sender, &spec.sender),
        ("recipient", Part::Recipient, &spec.recipient),
    ]
    .into_iter()
    .filter_map(|(word, part, entries)| Some((word, part, entries.as_deref()?)))
}

fn whole_rule_fault(spec: &RuleSpec, flags: Flags) -> Option<Fault> {
    let place: Range<usize> = spec.span.clone();
    if spec.delay.is_some() && spec.then != Then::Greylist {
        return Some(Fault::new(
            place,
            format!("delay has no meaning with then = \"{}\"", spec.then.word()),
            "leave delay out, or write then = \"greylist\"",
        ));
    }
    let bare = conditions(spec).next().is_none() && flags == Flags::default();
    bare.then(|| {
        Fault::new(
            place,
            "a rule without a condition would match everything",
            "write for example client = [\"0.0.0.0/0\", \"::/0\"] if that is meant",
        )
    })
}

fn ruling(spec: &RuleSpec, terms: &Greylist) -> Ruling {
    match spec.then {
        Then::Exempt => Ruling::Exempt(Reason::Rule),
        Then::Refuse => Ruling::Refuse,
        Then::Greylist => Ruling::Greylist(Greylist {
            timing: Timing {
                delay: spec.delay.unwrap_or(terms.timing.delay),
                ..terms.timing
            },
            ..*terms
        }),
    }
}

/// The rule on one line, as it could be written; long lists are cut.
fn text(spec: &RuleSpec) -> String {
    let mut parts = Vec::new();
    for (word, _, entries) in conditions(spec) {
        let shown = entries.iter().take(ENTRIES_SHOWN);
        let mut shown: Vec<String> = shown.map(|entry| format!("{:?}", entry.text)).collect();
        if entries.len() > ENTRIES_SHOWN {
            shown.push(format!("{} more", entries.len() - ENTRIES_SHOWN));
        }
        parts.push(format!("{word} = [{}]", shown.join(", ")));
    }
    let flags = [("authenticated", spec.authenticated), ("tls", spec.tls)];
    for (word, wanted) in flags {
        parts.extend(wanted.map(|wanted| format!("{word} = {wanted}")));
    }
    parts.push(format!("then = \"{}\"", spec.then.word()));
    parts.extend(spec.delay.map(|delay| format!("delay = \"{delay}\"")));
    parts.join(", ")
}

/// How many entries of one condition the text of a rule shows.
const ENTRIES_SHOWN: usize = 3;
