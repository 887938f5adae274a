//! What only the network or a count can tell, and what nobody can.

use greylatch_rules::{AclAction, AclStage, Fact, MailStatus, Properties};

use crate::case::{Case, judge, set};

/// Each clause that asks, what it asks, and the statement before it.
const ASKING: [(&str, &str); 9] = [
    ("", "spf fail"),
    ("", "spf self"),
    ("", "mx /24"),
    ("", "geoip \"FR\""),
    ("", "tarpit 5s"),
    ("dnsrbl \"d\" b.org 127.0.0.2\n", "dnsrbl \"d\""),
    ("ratelimit \"r\" rcpt 1/1m\n", "ratelimit \"r\""),
    ("list \"c\" geoip { \"DE\" }\n", "list \"c\""),
    (
        "dnsrbl \"d\" b.org 127.0.0.2\nlist \"l\" dnsrbl { \"d\" }\n",
        "list \"l\"",
    ),
];

#[test]
fn what_nobody_can_tell_matches_neither_way() {
    for (before, clause) in ASKING {
        for (told, plain, negated) in [
            (Some(true), true, false),
            (Some(false), false, true),
            (None, false, false),
        ] {
            for (word, expected) in [("", plain), ("not ", negated)] {
                let text = format!("{before}racl blacklist {word}{clause}\n");
                let set = set(&text);
                let case = Case::default();
                let tell = |_: &Fact| told;
                let seen = judge(&set, AclStage::Rcpt, &case, Properties::default(), tell);
                let is_refused = seen.judgement.action == AclAction::Blacklist;
                assert_eq!(is_refused, expected, "{word}{clause} {told:?}");
                assert_eq!(seen.asked.len(), 1, "{clause}");
            }
        }
    }
    let set = set("dacl blacklist not dkim pass\n");
    let seen = judge(
        &set,
        AclStage::Data,
        &Case::default(),
        Properties::default(),
        |_| None,
    );
    assert_eq!(seen.asked, [Fact::Dkim(MailStatus::Pass)]);
    assert_eq!(seen.judgement.action, AclAction::Whitelist);
}

#[test]
fn an_item_that_is_known_to_hold_decides_a_list_with_unknown_ones() {
    let text = "dnsrbl \"a\" a.org 127.0.0.2\ndnsrbl \"b\" b.org 127.0.0.2\n\
                list \"l\" dnsrbl { \"a\" \"b\" }\n";
    let told = |rule: &str, second: Option<bool>| {
        let set = set(&format!("{text}{rule}\n"));
        let tell = |fact: &Fact| {
            if *fact == Fact::Dnsrbl(0) {
                None
            } else {
                second
            }
        };
        let case = Case::default();
        judge(&set, AclStage::Rcpt, &case, Properties::default(), tell)
            .judgement
            .action
    };
    let (refuse, keep) = ("racl blacklist list \"l\"", "racl blacklist not list \"l\"");
    assert_eq!(told(refuse, Some(true)), AclAction::Blacklist);
    assert_eq!(told(keep, Some(true)), AclAction::Greylist);
    assert_eq!(told(refuse, Some(false)), AclAction::Greylist);
    assert_eq!(told(keep, Some(false)), AclAction::Greylist);
}

#[test]
fn facts_are_asked_when_they_are_reached_and_once() {
    let text = "dnsrbl \"d\" b.org 127.0.0.2\n\
                racl blacklist addr 10.0.0.1 dnsrbl \"d\"\n\
                racl blacklist dnsrbl \"d\" spf fail\n\
                racl blacklist spf fail from x@y.org\n\
                racl greylist not dnsrbl \"d\" spf softfail\n\
                racl whitelist default\nracl continue default\n"
        .replace("racl continue default\n", "");
    let set = set(&text);
    let case = Case::default();
    let seen = judge(&set, AclStage::Rcpt, &case, Properties::default(), |_| {
        Some(false)
    });
    assert_eq!(
        seen.asked,
        [Fact::Dnsrbl(0), Fact::Spf(MailStatus::SoftFail)]
    );
    assert_eq!(seen.judgement.line, Some(6));
}

#[test]
fn a_rate_limit_counts_each_time_it_is_reached() {
    let text = "ratelimit \"r\" rcpt 1/1m key \"%f\"\nratelimit \"s\" session 1/1m\n\
                racl blacklist addr 10.0.0.1 ratelimit \"r\"\n\
                racl blacklist ratelimit \"r\" from x@y.org\n\
                racl blacklist ratelimit \"s\"\nracl blacklist ratelimit \"r\"\n";
    let set = set(text);
    let mut number = 0;
    let case = Case::default();
    let seen = judge(&set, AclStage::Rcpt, &case, Properties::default(), |_| {
        number += 1;
        Some(number != 2)
    });
    let limit = |class, key: &str| Fact::Ratelimit {
        class,
        key: key.into(),
    };
    let r = limit(0, "alice@example.org");
    assert_eq!(seen.asked, [r.clone(), limit(1, "192.0.2.10"), r]);
    assert_eq!(seen.judgement.line, Some(6));
}
