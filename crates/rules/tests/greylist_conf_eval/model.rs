//! Random rules: the indexes find what a look at each rule finds.

use std::net::IpAddr;

use proptest::prelude::*;

use crate::case::{Case, rcpt};

/// A clause with what it means, looked at alone.
#[derive(Clone, Debug)]
enum Simple {
    Addr(u8, u8),
    Domain(&'static str),
    From(&'static str),
    FromPattern(&'static str),
    Rcpt(&'static str),
}

impl Simple {
    fn text(&self) -> String {
        match self {
            Self::Addr(last, prefix) => format!("addr 192.0.2.{last}/{prefix}"),
            Self::Domain(name) => format!("domain {name}"),
            Self::From(address) => format!("from {address}"),
            Self::FromPattern(pattern) => format!("from /{pattern}/"),
            Self::Rcpt(address) => format!("rcpt {address}"),
        }
    }

    fn holds(&self, last: u8, case: &Case) -> bool {
        match self {
            Self::Addr(network, prefix) => last >> (32 - prefix) == network >> (32 - prefix),
            Self::Domain(name) => case.host.ends_with(name),
            Self::From(address) => case.sender == format!("<{address}>"),
            Self::FromPattern(pattern) => case.sender.contains(pattern),
            Self::Rcpt(address) => case.recipients == [format!("<{address}>")],
        }
    }
}

const ADDRESSES: [&str; 4] = ["a@x.org", "b@x.org", "a@y.org", "aa@x.org"];
const BRACKETED: [&str; 4] = ["<a@x.org>", "<b@x.org>", "<a@y.org>", "<aa@x.org>"];
const NAMES: [&str; 5] = ["x.org", "mx.x.org", "amx.x.org", "y.org", "org"];

fn simple() -> impl Strategy<Value = Simple> {
    prop_oneof![
        (any::<u8>(), 25..=32_u8).prop_map(|(last, prefix)| Simple::Addr(last & 15, prefix)),
        prop::sample::select(NAMES.to_vec()).prop_map(Simple::Domain),
        prop::sample::select(ADDRESSES.to_vec()).prop_map(Simple::From),
        prop::sample::select(vec!["a@", "x.org", "b"]).prop_map(Simple::FromPattern),
        prop::sample::select(ADDRESSES.to_vec()).prop_map(Simple::Rcpt),
    ]
}

/// A rule of clauses of different kinds, some negated, some in a list of its own.
fn rule() -> impl Strategy<Value = Vec<(bool, bool, Simple)>> {
    prop::collection::vec((any::<bool>(), any::<bool>(), simple()), 1..3).prop_map(|mut clauses| {
        let kind = |clause: &Simple| std::mem::discriminant(clause);
        if let [(_, _, first), (_, is_list, second)] = clauses.as_mut_slice() {
            *is_list |= kind(first) == kind(second);
        }
        clauses
    })
}

proptest! {
    #[test]
    fn the_indexes_find_what_a_look_at_each_rule_finds(
        rules in prop::collection::vec(rule(), 0..12),
        last in 0..16_u8,
        host in prop::sample::select(NAMES.to_vec()),
        sender in prop::sample::select(BRACKETED.to_vec()),
        recipient in prop::sample::select(BRACKETED.to_vec()),
    ) {
        let case = Case {
            client: IpAddr::from([192, 0, 2, last]),
            host,
            sender,
            recipients: vec![recipient],
            ..Case::default()
        };
        let mut text = String::new();
        let mut expected = None;
        let mut line = 0;
        for (number, rule) in rules.iter().enumerate() {
            let mut clauses = Vec::new();
            for (at, (negated, is_list, clause)) in rule.iter().enumerate() {
                let not = if *negated { "not " } else { "" };
                let mut written = clause.text();
                if *is_list {
                    let (kind, item) = written.split_once(' ').unwrap();
                    text.push_str(&format!("list \"{number}-{at}\" {kind} {{ {item} }}\n"));
                    line += 1;
                    written = format!("list \"{number}-{at}\"");
                }
                clauses.push(format!("{not}{written}"));
            }
            text.push_str(&format!("racl blacklist {}\n", clauses.join(" ")));
            line += 1;
            let holds = |(negated, _, clause): &(bool, bool, Simple)| {
                clause.holds(last, &case) != *negated
            };
            if expected.is_none() && rule.iter().all(holds) {
                expected = Some(line);
            }
        }
        prop_assert_eq!(rcpt(&text, &case).line, expected, "{}", text);
    }
}
