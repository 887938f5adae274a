//! Known answers for Postgrey's lists: what an entry matches and what it does not. Each in
//! the three tables was asked of the statements by which Postgrey 1.37 reads and matches its
//! lists, run alone with NetAddr::IP 4.079 under Perl 5.36.

use std::net::IpAddr;

use greylatch_core::{
    AddressDialect, Attempt, Due, Field, Greylist, Reason, Ruling, Seconds, Timing, WindowFrom,
};
use greylatch_rules::{Diagnostic, Judgement, RuleSet, Source, Sources, Subject};

fn terms() -> Greylist {
    Greylist {
        timing: Timing {
            delay: Seconds(300),
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

fn source(path: &str, text: &[u8]) -> Source {
    Source {
        path: path.to_owned(),
        text: text.to_vec(),
    }
}

fn lists(clients: &str, recipients: &str) -> (RuleSet, Vec<Diagnostic>) {
    let sources = Sources {
        clients: &[source("clients", clients.as_bytes())],
        recipients: &[source("recipients", recipients.as_bytes())],
        own: None,
    };
    RuleSet::build(terms(), &sources)
}

fn judge(set: &RuleSet, name: &[u8], address: &str, recipient: &[u8]) -> Judgement {
    let mut attempt = Attempt::new();
    attempt.set(Field::ClientName, name);
    attempt.set(Field::ClientAddress, address.as_bytes());
    attempt.set(Field::Recipient, recipient);
    let client: Option<IpAddr> = AddressDialect::Postgrey.parse(address.as_bytes());
    set.rule(&Subject {
        attempt: &attempt,
        client,
    })
}

const NAMES: &[(&str, &str, bool)] = &[
    ("example.org", "example.org", true),
    ("example.org", "mx.example.org", true),
    ("example.org", "a.b.example.org", true),
    ("example.org", "EXAMPLE.ORG", true),
    ("Example.ORG", "mx.example.org", true),
    ("example.org", "xexample.org", false),
    ("example.org", "example.org.evil", false),
    ("example.org", "exampleXorg", false),
    ("example.org", "example.org.", false),
    ("example.org", "org", false),
    ("example.org", "", false),
    (".leading.example", "x.leading.example", false),
    (".leading.example", "x..leading.example", true),
    ("*.star.example", "a.star.example", false),
    ("*.star.example", "*.star.example", true),
    ("!not.example", "not.example", false),
    ("10", "10", true),
    ("10", "x.10", true),
    ("10", "10.x", false),
    ("10/8", "x.10/8", true),
    ("1.2.3.4-1.2.3.9", "1.2.3.4-1.2.3.9", true),
    ("1.2.3.4/123", "1.2.3.4/123", true),
    ("1.2.3.4.5", "x.1.2.3.4.5", true),
    ("1234.2.3.4", "1234.2.3.4", true),
    ("user@dom", "user@dom", true),
    ("unknown", "unknown", true),
    ("//", "//", true),
    ("/a b/", "/a b/", false),
    ("/half", "x./half", true),
    ("x # comment", "x", true),
    ("  \t spaced.example \t", "spaced.example", true),
    ("/^mail\\d+\\.example\\.org$/", "mail17.example.org", true),
    ("/^mail\\d+\\.example\\.org$/", "mail.example.org", false),
    ("/^mail\\d+\\.example\\.org$/", "MAIL17.EXAMPLE.ORG", true),
    ("/pool/", "a.pool.example", true),
    ("/a/b/", "xa/by", true),
    ("/[[:digit:]]{2}-/", "x12-", true),
    ("/(?i-xsm:foo)/", "xFOOx", true),
    ("/(?^:foo)/", "foo", true),
    ("/(?^:foo)/", "FOO", false),
    ("/(?!x)y/", "ay", true),
    ("/^(?!mail)\\w+\\.example$/", "mailer.example", false),
    ("/^(?!mail)\\w+\\.example$/", "relay.example", true),
    ("/(?<=mx)\\d/", "mx7", true),
    ("/(a+)-\\1$/", "aa-aa", true),
    ("/(a+)-\\1$/", "aa-ab", false),
    ("/^a++b/", "aaab", true),
    ("/^a++a/", "aaaa", false),
    ("/foo\\Z/", "xfoo", true),
    ("/\\<x\\>/", "<x>", true),
    ("/a{,2}b/", "b", true),
    ("/x{y}/", "x{y}", true),
    ("/[a&&b]/", "&", true),
    ("/[[x]/", "[", true),
    ("/[]x]/", "]", true),
    ("/^[^.]+$/", "host", true),
    ("/^[^.]+$/", "host.example", false),
    ("/[\\w-.]+@/", "a.b-c@", true),
    ("/^\\N{2}x$/", "abx", true),
    ("/a|{1}/", "b", false),
    ("/^\\h*\\x41\\101\\x{41}$/", "aaa", true),
    ("/^(?:a){2,3}$/", "aaaa", false),
    ("/^[a-c\\d]+$/", "b7", true),
    ("/^[^\\W_]+$/", "a_b", false),
    ("/^\\.mail\\-x$/", ".mail-x", true),
    ("/(?<d>\\d)-\\k<d>/", "a4-4", true),
    ("/(?<d>\\d)-\\g{-1}/", "a4-5", false),
    ("/(?<d>\\d)-\\g{-1}/", "a4-4", true),
    ("/(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)\\10/", "abcdefghijj", true),
    ("/^(?!y)MX/", "mx.example", true),
    ("/^(?>a|ab)c/", "abc", false),
    ("/\\bmx\\b/", "in.mx.example", true),
    ("/\\bmx\\b/", "in.mx1.example", false),
];

#[test]
fn host_names_match_as_postgrey_matches_them() {
    for (entry, name, expected) in NAMES {
        let (set, _) = lists(&format!("{entry}\n"), "");
        let judgement = judge(&set, name.as_bytes(), "198.51.100.1", b"a@b.example");
        let listed = judgement.ruling == Ruling::Exempt(Reason::ClientListed);
        assert_eq!(listed, *expected, "{entry:?} and {name:?}");
    }
}

#[test]
fn patterns_see_bytes_and_not_characters() {
    let asked = |list: &[u8], name: &[u8]| {
        let clients = [source("clients", list)];
        let sources = Sources {
            clients: &clients,
            ..Sources::default()
        };
        let (set, diagnostics) = RuleSet::build(terms(), &sources);
        assert_eq!(diagnostics, []);
        judge(&set, name, "", b"").rule.is_some()
    };
    assert!(asked(b"/^.$/", b"\xFF"));
    assert!(asked(b"/^..$/", "\u{e9}".as_bytes()));
    assert!(!asked(b"/^.$/", "\u{e9}".as_bytes()));
    assert!(asked(b"/^\xE9[\xE8-\xEA]$/", b"\xE9\xEA"));
    assert!(!asked(b"/^\xE9$/", b"\xC9"));
    assert!(asked(b"/^(?!x).\xE9$/", b"\xFF\xE9"));
    assert!(!asked(b"/^\\w$/", b"\xE9"));
    assert!(asked(b"n\xE9.example", b"mx.N\xE9.example"));
    assert!(!asked(b"n\xE9.example", b"mx.N\xC9.example"));
}

const ADDRESSES: &[(&str, &str, bool)] = &[
    ("192.0.2.1", "192.0.2.1", true),
    ("192.0.2.1", "192.0.2.2", false),
    ("192.0.2.77/24", "192.0.2.0", true),
    ("192.0.2.77/24", "192.0.3.0", false),
    ("192.0.2.300", "192.0.2.44", false),
    ("1.2.3.4/33", "1.2.3.4", false),
    ("1.2.3.4/08", "1.9.9.9", true),
    ("1.2.3.4/00", "203.0.113.9", true),
    ("010.0.0.1", "8.0.0.1", true),
    ("010.0.0.1", "10.0.0.1", false),
    ("010.0.0.1", "010.0.0.1", true),
    ("08.0.0.1", "8.0.0.1", false),
    ("192.0.2.1", "192.0.2.01", true),
    ("0.0.0.0/0", "203.0.113.9", true),
    ("0.0.0.0/0", "::c000:201", true),
    ("0.0.0.0/0", "2001:db8::1", false),
    ("0.0.0.0/0", "::ffff:192.0.2.1", false),
    ("203.0.113", "203.0.113.200", true),
    ("203.0.113", "203.0.114.0", false),
    ("010.1.2", "8.1.2.3", true),
    ("1.2.300", "1.2.44.1", false),
    ("100.64", "100.64.0.9", true),
    ("100.64", "100.64.1.9", false),
    ("1.256", "1.0.1.0", false),
    ("2001:db8::/32", "2001:db8:1::1", true),
    ("2001:DB8::5/32", "2001:db8:ffff::", true),
    ("2001:db8::/32", "2001:db9::1", false),
    ("2001:db8::1", "2001:db8:0:0:0:0:0:1", true),
    ("[2001:db8::1]", "2001:db8::1", true),
    ("[2001:db8::/32]", "2001:db8:7::1", true),
    ("[2001:db8::]/32", "2001:db8:7::1", false),
    ("[2001:db8::]/32", "2001:db8::", true),
    ("2001:db8::1/129", "2001:db8::1", false),
    ("2001:db8:::1", "2001:db8::1", false),
    ("::/0", "192.0.2.1", true),
    ("::/0", "2001:db8::1", true),
    ("::c000:201", "192.0.2.1", true),
    ("::192.0.2.1", "192.0.2.1", true),
    ("::010.0.0.1", "10.0.0.1", true),
    ("192.0.2.1", "::c000:201", true),
    ("192.0.2.1", "::ffff:192.0.2.1", false),
    ("::ffff:192.0.2.0/120", "::ffff:192.0.2.1", true),
    ("::ffff:192.0.2.0/120", "192.0.2.1", false),
    ("::1/032", "::9", true),
    ("2001:db8::1 64", "2001:db8::99", true),
    ("2001:db8:: /32", "2001:db8::", false),
    ("2001:db8::/ffff:ffff::", "2001:db8:9::", true),
    ("/192/", "192.0.2.1", false),
    ("1:2:3", "1:2:3::", false),
];

#[test]
fn addresses_match_as_postgreys_library_matches_them() {
    for (entry, address, expected) in ADDRESSES {
        let (set, _) = lists(&format!("{entry}\n"), "");
        let judgement = judge(&set, b"unknown", address, b"a@b.example");
        let listed = judgement.ruling == Ruling::Exempt(Reason::ClientListed);
        assert_eq!(listed, *expected, "{entry:?} and {address:?}");
    }
}

const RECIPIENTS: &[(&str, &str, bool)] = &[
    ("user@dom.example", "user@dom.example", true),
    ("user@dom.example", "USER@Dom.Example", true),
    ("user@dom.example", "user+ext@dom.example", true),
    ("user@dom.example", "user+a+b@dom.example", true),
    ("user@dom.example", "user+@dom.example", false),
    ("user@dom.example", "user+a@b@dom.example", false),
    ("user@dom.example", "user@sub.dom.example", false),
    ("user@dom.example", "xuser@dom.example", false),
    ("user@dom.example", "user-x@dom.example", false),
    ("user@dom.example", "user@dom.example.org", false),
    ("user@dom.example", "user", false),
    ("a@b@c", "a@b@c", true),
    ("a@b@c", "a+x@b@c", true),
    ("a@b@c", "a@c", false),
    ("postmaster@", "POSTMASTER@X", true),
    ("postmaster@", "postmaster+x@any.example", true),
    ("postmaster@", "postmaster+@any.example", false),
    ("postmaster@", "postmaster@", true),
    ("postmaster@", "postmaster-x@x", false),
    ("postmaster@", "postmaster", false),
    ("plus+ext@dom", "plus+ext@dom", true),
    ("plus+ext@dom", "plus+ext+x@dom", true),
    ("plus+ext@dom", "plus@dom", false),
    ("dom2.example", "a@dom2.example", true),
    ("dom2.example", "a@sub.dom2.example", true),
    ("dom2.example", "a@xdom2.example", false),
    ("dom2.example", "a@dom2.example.org", false),
    ("dom2.example", "sub.dom2.example", true),
    ("dom2.example", "dom2.example", false),
    ("dom2.example", "a@b@dom2.example", true),
    ("dom2.example", "a.dom2.example@x", false),
    ("@dom.example", "@dom.example", true),
    ("@dom.example", "+ext@dom.example", true),
    ("@dom.example", "a@dom.example", false),
    ("@", "@x", true),
    ("@", "a@x", false),
    ("*@x", "*@x", true),
    ("*@x", "a@x", false),
    ("/^list-.*@/", "LIST-9@x", true),
    ("/^list-.*@/", "a-list-9@x", false),
    ("/^$/", "", true),
    ("dom2.example", "", false),
    ("user@dom.example # note", "user@dom.example", true),
];

#[test]
fn recipients_match_as_postgrey_matches_them() {
    for (entry, recipient, expected) in RECIPIENTS {
        let (set, _) = lists("", &format!("{entry}\n"));
        let judgement = judge(&set, b"unknown", "198.51.100.1", recipient.as_bytes());
        let listed = judgement.ruling == Ruling::Exempt(Reason::RecipientListed);
        assert_eq!(listed, *expected, "{entry:?} and {recipient:?}");
    }
}
