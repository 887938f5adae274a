//! Which rule decides when several match, and what is told about the lists.

use greylatch_core::{
    AddressDialect, Attempt, Due, Field, Greylist, Reason, RuleId, Ruling, Seconds, Timing,
    WindowFrom,
};
use greylatch_rules::{
    Diagnostic, Judgement, OwnRules, RuleSet, RuleSpec, Severity, Source, Sources, Subject, Then,
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
        waiting_max: Some(1_000),
        network_suffices: false,
    }
}

fn source(path: &str, text: &str) -> Source {
    Source {
        path: path.to_owned(),
        text: text.as_bytes().to_vec(),
    }
}

fn judge(set: &RuleSet, name: &str, address: &str, recipient: &str) -> Judgement {
    let mut attempt = Attempt::new();
    attempt.set(Field::ClientName, name.as_bytes());
    attempt.set(Field::Recipient, recipient.as_bytes());
    set.rule(&Subject {
        attempt: &attempt,
        client: AddressDialect::Postgrey.parse(address.as_bytes()),
    })
}

fn told(diagnostics: &[Diagnostic]) -> Vec<String> {
    let letter = |severity| match severity {
        Severity::Error => "E",
        Severity::Warning => "W",
    };
    diagnostics
        .iter()
        .map(|diagnostic| format!("{} {diagnostic}", letter(diagnostic.severity)))
        .collect()
}

#[test]
fn the_first_match_in_postgreys_order_is_the_rule_that_is_named() {
    let clients = [
        source("one", "# top\n192.0.2.0/24\nexample.org\n192.0.2.7\n"),
        source("two.local", "/mx/\nmx.example.org\n::/0"),
    ];
    let recipients = [source("to", "postmaster@\nexample.net\n")];
    let sources = Sources {
        own: None,
        clients: &clients,
        recipients: &recipients,
    };
    let (set, diagnostics) = RuleSet::build(terms(), &sources);
    assert_eq!(told(&diagnostics), Vec::<String>::new());
    assert_eq!(set.len(), 8);
    let named = |name, address, recipient| {
        let judgement = judge(&set, name, address, recipient);
        let text = judgement.rule.and_then(|rule| set.text(rule));
        (judgement.ruling, text.unwrap_or_default())
    };
    let by_client = |text: &str| (Ruling::Exempt(Reason::ClientListed), text.to_owned());
    assert_eq!(
        named("mx.example.org", "192.0.2.7", "postmaster@example.net"),
        by_client("one:3: example.org")
    );
    assert_eq!(
        named("mx.example.com", "192.0.2.7", "postmaster@example.net"),
        by_client("two.local:1: /mx/")
    );
    assert_eq!(
        named("unknown", "192.0.2.7", "postmaster@example.net"),
        by_client("one:2: 192.0.2.0/24")
    );
    assert_eq!(
        named("unknown", "2001:db8::1", "postmaster@example.net"),
        by_client("two.local:3: ::/0")
    );
    let by_recipient = |text: &str| (Ruling::Exempt(Reason::RecipientListed), text.to_owned());
    assert_eq!(
        named("unknown", "none", "postmaster@example.net"),
        by_recipient("to:1: postmaster@")
    );
    assert_eq!(
        named("unknown", "none", "any@example.net"),
        by_recipient("to:2: example.net")
    );
    assert_eq!(
        named("unknown", "none", "any@example.com"),
        (Ruling::Greylist(terms()), String::new())
    );
}

#[test]
fn an_entry_that_stands_twice_is_named_by_its_first_line() {
    let clients = [source("one", "b.example\n/^a/\na.b.example\nb.example\n")];
    let sources = Sources {
        clients: &clients,
        ..Sources::default()
    };
    let (set, _) = RuleSet::build(terms(), &sources);
    assert_eq!(judge(&set, "b.example", "", "").rule, Some(RuleId(0)));
    assert_eq!(judge(&set, "a.b.example", "", "").rule, Some(RuleId(0)));
    assert_eq!(judge(&set, "a.example", "", "").rule, Some(RuleId(1)));
    assert_eq!(set.text(RuleId(4)), None);
}

#[test]
fn a_rule_of_our_own_comes_before_the_lists() {
    let config = source("greylatch.toml", "[[rule]]\n");
    let rules = [RuleSpec {
        span: 0..8,
        client: None,
        name: None,
        helo: None,
        sender: None,
        recipient: Some(vec![greylatch_rules::Entry {
            text: "postmaster@example.net".to_owned(),
            span: 0..0,
        }]),
        authenticated: None,
        tls: None,
        then: Then::Refuse,
        delay: None,
    }];
    let recipients = [source("to", "postmaster@\n")];
    let sources = Sources {
        own: Some(OwnRules {
            source: &config,
            rules: &rules,
        }),
        clients: &[],
        recipients: &recipients,
    };
    let (set, _) = RuleSet::build(terms(), &sources);
    let refused = judge(&set, "unknown", "", "postmaster@example.net");
    assert_eq!(refused.ruling, Ruling::Refuse);
    assert_eq!(
        refused.rule.and_then(|rule| set.text(rule)).as_deref(),
        Some("greylatch.toml:1: recipient = [\"postmaster@example.net\"], then = \"refuse\"")
    );
    let listed = judge(&set, "unknown", "", "postmaster@example.com");
    assert_eq!(listed.ruling, Ruling::Exempt(Reason::RecipientListed));
}

#[test]
fn without_any_rule_the_general_terms_hold() {
    let (set, diagnostics) = RuleSet::build(terms(), &Sources::default());
    assert_eq!((set.is_empty(), diagnostics.len()), (true, 0));
    assert_eq!(
        judge(&set, "mx.example.org", "192.0.2.1", "a@b.example"),
        Judgement {
            ruling: Ruling::Greylist(terms()),
            rule: None
        }
    );
}

#[test]
fn all_oddities_of_a_client_list_are_told_at_once() {
    let text = "good.example\n\
        two words\n\
        100.64\n\
        010.0.0.1\n\
        192.0.2.300\n\
        1.2.3.4/33\n\
        /a(b/\n\
        /*x/\n\
        /x#y/\n\
        *.star.example\n\
        .dot.example\n\
        !not.example\n\
        10/8\n\
        user@dom.example\n\
        \t[2001:db8::]/32 # bracket\n\
        /[z-a]/\n\
        /a\\p{L}/\n\
        2001:db8::g\n\
        /x/y\n";
    let clients = [source("wl", text)];
    let sources = Sources {
        clients: &clients,
        ..Sources::default()
    };
    let (set, diagnostics) = RuleSet::build(terms(), &sources);
    let expected = [
        "W wl:2:1: doesn't look like a hostname; write one name or address per line",
        "W wl:3:1: two groups are only the network 100.64.0.0/24; \
         write 100.64.0.0/16 for all of it, or 100.64.0.0/24",
        "W wl:4:1: a group with a leading zero is octal, so this is 8.0.0.1/32; \
         write the groups without leading zeros",
        "W wl:5:1: this is no address or network and is passed over; \
         write for example 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32",
        "W wl:6:1: this is no address or network and is passed over; \
         write for example 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32",
        "E wl:7:3: this group is never closed; add ) at its end, or write \\( for a bracket",
        "E wl:8:2: there is nothing that * could repeat; \
         write .* for anything, or \\* for a star",
        "W wl:9:1: the # begins a comment, so this is a literal name and no pattern; \
         write \\x23 for # in a pattern",
        "W wl:10:1: the star is literal; \
         write star.example, which is the domain and all below it",
        "W wl:11:1: a dot in front is literal, so two dots are needed to match; \
         write dot.example, which is the domain and all below it",
        "W wl:12:1: this is a literal host name, ! has no meaning; \
         leave not.example out: a list cannot take anything back",
        "W wl:13:1: this is a literal host name and matches no address; \
         write a whole address or a network such as 192.0.2.0/24",
        "W wl:14:1: this is a literal host name, no client has one with @; \
         put addresses into the recipient list",
        "W wl:15:14: what follows the bracket does not count, so this is 2001:db8::/128; \
         write 2001:db8::/32 without brackets",
        "E wl:16:3: this range ends before it begins; \
         write the smaller end first, or put - last in the class",
        "E wl:17:3: the pattern uses \\p, which is not supported; \
         write it with plain characters, classes and groups",
        "W wl:18:1: this is no address or network and is passed over; \
         write for example 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32",
        "W wl:19:1: this is a literal name and no pattern; \
         write /pattern/, or a name without slashes",
    ];
    assert_eq!(told(&diagnostics), expected);
    assert_eq!(set.len(), 11);
}

#[test]
fn all_oddities_of_a_recipient_list_are_told_at_once() {
    let text = "postmaster@\nJohn Doe <j@d>\n@dom.example\n@\n*@star.example\n/a{2,1}/\n/(?R)/\n";
    let recipients = [source("to", text)];
    let sources = Sources {
        recipients: &recipients,
        ..Sources::default()
    };
    let (_, diagnostics) = RuleSet::build(terms(), &sources);
    let expected = [
        "W to:2:1: doesn't look like an address; write one address or domain per line",
        "W to:3:1: this matches an empty user only; \
         write dom.example for the domain and all below it",
        "W to:4:1: this matches an empty user only; write user@ or a domain",
        "W to:5:1: the star is literal; \
         write star.example, which is the domain and all below it",
        "E to:6:3: this repetition asks for more at least than at most; \
         write the smaller number first",
        "E to:7:2: the pattern uses (?R, which is not supported; \
         write it with plain characters, classes and groups",
    ];
    assert_eq!(told(&diagnostics), expected);
}

#[test]
fn postgreys_own_warnings_can_be_told_in_its_words() {
    let clients = [source("/etc/wl", "a b\n100.64\n")];
    let recipients = [source("/etc/to", "\nx y\n")];
    let sources = Sources {
        own: None,
        clients: &clients,
        recipients: &recipients,
    };
    let (_, diagnostics) = RuleSet::build(terms(), &sources);
    let warnings: Vec<_> = diagnostics
        .iter()
        .filter_map(Diagnostic::postgrey_warning)
        .collect();
    assert_eq!(
        warnings,
        [
            "/etc/wl line 1: doesn't look like a hostname",
            "/etc/to line 2: doesn't look like an address"
        ]
    );
}

#[test]
fn a_line_beyond_the_limit_is_left_out_and_told() {
    let long = "x".repeat(4_097);
    let clients = [source("wl", &format!("{long}\nok.example\n"))];
    let sources = Sources {
        clients: &clients,
        ..Sources::default()
    };
    let (set, diagnostics) = RuleSet::build(terms(), &sources);
    assert_eq!(
        told(&diagnostics),
        ["E wl:1:1: this line has more than 4096 bytes; write one entry per line"]
    );
    assert_eq!(judge(&set, "ok.example", "", "").rule, Some(RuleId(0)));
}
