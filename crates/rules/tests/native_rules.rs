//! Rules of our own: what each condition matches, and what is told of mistakes.

use std::net::IpAddr;

use greylatch_core::{Attempt, Due, Field, Greylist, Reason, Ruling, Seconds, Timing, WindowFrom};
use greylatch_rules::{
    Diagnostic, Entry, OwnRules, RuleSet, RuleSpec, Source, Sources, Subject, Then,
};

fn terms() -> Greylist {
    Greylist {
        timing: Timing {
            delay: Seconds(60),
            retry_window: Seconds(2 * 86_400),
            lifetime: Seconds(35 * 86_400),
            due: Due::FromFirst,
            window_from: WindowFrom::First,
        },
        exemption: None,
        waiting_max: None,
        network_suffices: false,
    }
}

/// A rule that is written alone on the line `line` of a file of such lines.
fn spec(line: usize, conditions: &[(&str, &[&str])], then: Then) -> RuleSpec {
    let at = line * LINE.len();
    let entries = |word: &str| {
        let (_, texts) = conditions.iter().find(|(other, _)| *other == word)?;
        let entries = texts.iter().map(|text| Entry {
            text: (*text).to_owned(),
            span: at + 5..at + 9,
        });
        Some(entries.collect())
    };
    RuleSpec {
        span: at..at + 4,
        client: entries("client"),
        name: entries("name"),
        helo: entries("helo"),
        sender: entries("sender"),
        recipient: entries("recipient"),
        authenticated: None,
        tls: None,
        then,
        delay: None,
    }
}

const LINE: &str = "rule text\n";

fn build(rules: &[RuleSpec]) -> (RuleSet, Vec<Diagnostic>) {
    let config = Source {
        path: "greylatch.toml".to_owned(),
        text: LINE.repeat(20).into_bytes(),
    };
    let sources = Sources {
        own: Some(OwnRules {
            source: &config,
            rules,
        }),
        ..Sources::default()
    };
    RuleSet::build(terms(), &sources)
}

fn ruling(set: &RuleSet, fields: &[(Field, &str)]) -> Ruling {
    let mut attempt = Attempt::new();
    for (field, value) in fields {
        attempt.set(*field, value.as_bytes());
    }
    let client: Option<IpAddr> = std::str::from_utf8(attempt.text(Field::ClientAddress))
        .ok()
        .and_then(|text| text.parse().ok());
    let subject = Subject {
        attempt: &attempt,
        client,
    };
    set.rule(&subject).ruling
}

/// Condition, entry, value, whether it matches.
const KNOWN: &[(&str, &str, &str, bool)] = &[
    ("client", "192.0.2.7", "192.0.2.7", true),
    ("client", "192.0.2.7", "192.0.2.8", false),
    ("client", "192.0.2.7", "::c000:207", false),
    ("client", "192.0.2.0/24", "192.0.2.255", true),
    ("client", "0.0.0.0/0", "203.0.113.1", true),
    ("client", "0.0.0.0/0", "2001:db8::1", false),
    ("client", "::/0", "192.0.2.1", false),
    ("client", "::/0", "2001:db8::1", true),
    ("client", "2001:db8::/32", "2001:db8:1::1", true),
    ("client", "::ffff:192.0.2.0/120", "192.0.2.1", true),
    ("client", "::ffff:192.0.2.0/120", "192.0.3.1", false),
    ("client", "192.0.2.7", "unknown", false),
    ("name", "example.org", "mx.Example.org", true),
    ("name", "example.org", "example.org", true),
    ("name", "example.org", "badexample.org", false),
    ("name", "/^mx\\d/", "MX3.example.org", true),
    ("name", "/^mx\\d/", "a.mx3.example.org", false),
    ("name", "/./", "unknown", false),
    ("name", "/^/", "", false),
    ("helo", "example.org", "mx.example.org", true),
    ("helo", "[192.0.2.1]", "[192.0.2.1]", true),
    ("helo", "/^\\[/", "[192.0.2.9]", true),
    ("helo", "unknown", "unknown", true),
    ("sender", "<>", "", true),
    ("sender", "", "", true),
    ("sender", "<>", "a@b.example", false),
    ("sender", "example.org", "", false),
    ("sender", "example.org", "a@example.org", true),
    ("sender", "example.org", "a@sub.Example.ORG", true),
    ("sender", "example.org", "a@badexample.org", false),
    ("sender", "example.org", "sub.example.org", false),
    ("sender", "@example.org", "a@example.org", true),
    ("sender", "@example.org", "a@sub.example.org", false),
    ("sender", "user@example.org", "User+list@example.org", true),
    ("sender", "user@example.org", "user+@example.org", false),
    ("sender", "user@example.org", "user@sub.example.org", false),
    ("sender", "user@", "user@any.example", true),
    ("sender", "user@", "users@any.example", false),
    ("sender", "\"a b\"@example.org", "\"a b\"@example.org", true),
    ("sender", "a@b@example.org", "a@b@example.org", true),
    ("sender", "example.org", "a@b@example.org", true),
    ("sender", "/^bounce-/", "BOUNCE-1@x.example", true),
    ("recipient", "postmaster@", "POSTMASTER@example.net", true),
    ("recipient", "postmaster@", "postmaster", false),
    ("recipient", "/^/", "", false),
    ("recipient", "a@[192.0.2.1]", "a@[192.0.2.1]", true),
];

#[test]
fn each_condition_matches_what_it_says() {
    for (word, entry, value, expected) in KNOWN {
        let (set, diagnostics) = build(&[spec(0, &[(word, &[entry])], Then::Refuse)]);
        assert_eq!(diagnostics, [], "{entry:?}");
        let field = match *word {
            "client" => Field::ClientAddress,
            "name" => Field::ClientName,
            "helo" => Field::Helo,
            "sender" => Field::Sender,
            _ => Field::Recipient,
        };
        let refused = ruling(&set, &[(field, value)]) == Ruling::Refuse;
        assert_eq!(refused, *expected, "{word}: {entry:?} and {value:?}");
        let without = ruling(&set, &[]);
        assert_eq!(without, Ruling::Greylist(terms()), "absent: {entry:?}");
    }
}

#[test]
fn the_entries_of_a_condition_are_alternatives_and_the_conditions_are_all_needed() {
    let conditions: [(&str, &[&str]); 2] = [
        ("name", &["a.example", "b.example"]),
        ("recipient", &["user@", "example.org"]),
    ];
    let (set, _) = build(&[spec(0, &conditions, Then::Refuse)]);
    let asked = |name, recipient| {
        let fields = [(Field::ClientName, name), (Field::Recipient, recipient)];
        ruling(&set, &fields) == Ruling::Refuse
    };
    assert!(asked("mx.a.example", "user@example.net"));
    assert!(asked("b.example", "any@example.org"));
    assert!(asked("b.example", "user@example.org"));
    assert!(!asked("c.example", "user@example.org"));
    assert!(!asked("a.example", "any@example.net"));
}

#[test]
fn the_first_rule_that_matches_decides() {
    let domain: [(&str, &[&str]); 1] = [("recipient", &["example.org"])];
    let user: [(&str, &[&str]); 1] = [("recipient", &["user@example.org"])];
    let slow = RuleSpec {
        delay: Some(Seconds(600)),
        ..spec(0, &user, Then::Greylist)
    };
    let (set, diagnostics) = build(&[slow, spec(1, &domain, Then::Exempt)]);
    assert_eq!(diagnostics, []);
    let Ruling::Greylist(found) = ruling(&set, &[(Field::Recipient, "user@example.org")]) else {
        panic!("the first rule greylists");
    };
    let mut expected = terms();
    expected.timing.delay = Seconds(600);
    assert_eq!(found, expected);
    assert_eq!(
        ruling(&set, &[(Field::Recipient, "other@example.org")]),
        Ruling::Exempt(Reason::Rule)
    );
}

#[test]
fn a_rule_without_lists_keeps_its_place_among_the_others() {
    let flag = |authenticated, tls, then| RuleSpec {
        authenticated,
        tls,
        ..spec(0, &[], then)
    };
    let rules = [
        spec(0, &[("recipient", &["first@"])], Then::Refuse),
        flag(Some(true), None, Then::Exempt),
        flag(None, Some(false), Then::Refuse),
        spec(0, &[("recipient", &["last@"])], Then::Exempt),
    ];
    let (set, _) = build(&rules);
    let asked = |login, tls, recipient| {
        let fields = [
            (Field::Login, login),
            (Field::TlsProtocol, tls),
            (Field::Recipient, recipient),
        ];
        ruling(&set, &fields)
    };
    let exempt = Ruling::Exempt(Reason::Rule);
    assert_eq!(asked("me", "", "first@x.example"), Ruling::Refuse);
    assert_eq!(asked("me", "", "any@x.example"), exempt);
    assert_eq!(asked("", "", "last@x.example"), Ruling::Refuse);
    assert_eq!(asked("", "TLSv1.3", "last@x.example"), exempt);
    assert_eq!(
        asked("", "TLSv1.3", "any@x.example"),
        Ruling::Greylist(terms())
    );
}

#[test]
fn what_the_mta_did_not_say_is_neither_yes_nor_no() {
    for wanted in [true, false] {
        let rule = RuleSpec {
            authenticated: Some(wanted),
            ..spec(0, &[], Then::Refuse)
        };
        let (set, _) = build(&[rule]);
        assert_eq!(ruling(&set, &[]), Ruling::Greylist(terms()));
        let login = if wanted { "me" } else { "" };
        assert_eq!(ruling(&set, &[(Field::Login, login)]), Ruling::Refuse);
    }
}

const TOLD: [&str; 18] = [
    "greylatch.toml:1:6: prefix length must be a number from 0 to 32; \
         write for example 192.0.2.0/24",
    "greylatch.toml:1:6: not an IPv4 or IPv6 address; names belong into the condition name",
    "greylatch.toml:1:6: not an IPv4 or IPv6 address; \
         write for example 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32",
    "greylatch.toml:2:6: this is no domain; \
         write example.org, which is the domain and all below it",
    "greylatch.toml:2:6: an address is no client name; \
         addresses belong into the condition client",
    "greylatch.toml:2:6: a host name has no @; \
         addresses belong into the conditions sender and recipient",
    "greylatch.toml:2:6: this is no domain; \
         write for example example.org, or a pattern between slashes",
    "greylatch.toml:3:6: the angle brackets are not part of the address; write a@b.example",
    "greylatch.toml:3:6: the star is not a wildcard; \
         write @b.example for everyone at that domain",
    "greylatch.toml:3:6: this is no address; \
         write for example user@example.org, user@ or example.org",
    "greylatch.toml:3:6: this is no address; \
         write for example user@example.org, user@ or example.org",
    "greylatch.toml:4:6: this group is never closed; \
         add ) at its end, or write \\( for a bracket",
    "greylatch.toml:4:6: a pattern has at least one character and no white space; \
         write \\s for white space",
    "greylatch.toml:4:6: this is no domain; \
         write example.org, which is the domain and all below it",
    "greylatch.toml:4:6: this is no domain; \
         write for example example.org, or a pattern between slashes",
    "greylatch.toml:5:1: helo is an empty list, which nothing can match; \
         name at least one, or leave the condition out",
    "greylatch.toml:6:1: a rule without a condition would match everything; \
         write for example client = [\"0.0.0.0/0\", \"::/0\"] if that is meant",
    "greylatch.toml:10:1: delay has no meaning with then = \"exempt\"; \
         leave delay out, or write then = \"greylist\"",
];

#[test]
fn mistakes_are_told_with_their_cures_all_at_once() {
    let delay = RuleSpec {
        delay: Some(Seconds(60)),
        ..spec(9, &[("recipient", &["a@"])], Then::Exempt)
    };
    let rules = [
        spec(
            0,
            &[("client", &["192.0.2.0/33", "mx.example.org", "192.0.2"])],
            Then::Exempt,
        ),
        spec(
            1,
            &[("name", &["*.example.org", "192.0.2.1", "a@b", "a..b"])],
            Then::Exempt,
        ),
        spec(
            2,
            &[(
                "sender",
                &["<a@b.example>", "*@b.example", "@", "a b@c.example"],
            )],
            Then::Exempt,
        ),
        spec(
            3,
            &[("recipient", &["/a(b/", "/a b/", ".example.org", "a@-x y"])],
            Then::Exempt,
        ),
        spec(4, &[("helo", &[])], Then::Exempt),
        spec(5, &[], Then::Exempt),
        delay,
        spec(10, &[("name", &["ok.example"])], Then::Exempt),
    ];
    let (set, diagnostics) = build(&rules);
    let told: Vec<String> = diagnostics.iter().map(Diagnostic::to_string).collect();
    assert_eq!(told, TOLD);
    assert_eq!(set.len(), 1);
}

#[test]
fn a_rule_with_one_bad_entry_is_left_out_whole() {
    let conditions: [(&str, &[&str]); 2] = [
        ("name", &["ok.example", "*.bad.example"]),
        ("recipient", &["a@ok.example"]),
    ];
    let (set, _) = build(&[spec(0, &conditions, Then::Refuse)]);
    let fields = [
        (Field::ClientName, "ok.example"),
        (Field::Recipient, "a@ok.example"),
    ];
    assert_eq!(ruling(&set, &fields), Ruling::Greylist(terms()));
}

#[test]
fn a_backtracking_pattern_that_runs_out_of_steps_does_not_match() {
    let pattern = "/^(?:(?=a)a|(?=a)a)*c|z$/";
    let (set, diagnostics) = build(&[spec(0, &[("helo", &[pattern])], Then::Refuse)]);
    assert_eq!(diagnostics, []);
    let asked = |length: usize| {
        let value = "a".repeat(length) + "z";
        ruling(&set, &[(Field::Helo, &value)])
    };
    assert_eq!(asked(5), Ruling::Refuse);
    assert_eq!(asked(16), Ruling::Greylist(terms()));
}

#[test]
fn the_text_of_a_rule_is_how_it_could_be_written() {
    let conditions: [(&str, &[&str]); 2] = [
        ("client", &["192.0.2.1"]),
        ("recipient", &["a@", "b@", "c@", "d@", "e@"]),
    ];
    let rule = RuleSpec {
        tls: Some(false),
        delay: Some(Seconds(90)),
        ..spec(3, &conditions, Then::Greylist)
    };
    let (set, _) = build(&[rule]);
    assert_eq!(
        set.text(greylatch_core::RuleId(0)).as_deref(),
        Some(
            "greylatch.toml:4: client = [\"192.0.2.1\"], recipient = [\"a@\", \"b@\", \"c@\", \
             2 more], tls = false, then = \"greylist\", delay = \"90s\""
        )
    );
}
