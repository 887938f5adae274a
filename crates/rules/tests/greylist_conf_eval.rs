//! What the rules of a `greylist.conf` say: known answers, facts that nobody can tell, and the
//! indexes beside a look at each rule.

use std::net::IpAddr;
use std::path::Path;

use greylatch_core::Seconds;
use greylatch_rules::{
    AclAction, AclJudgement, AclSet, AclStage, AclSubject, ClauseKind, Fact, GreylistConf,
    LocalTime, MailStatus, Message, Next, Properties, Scope, Source, TarpitScope, Why,
};
use proptest::prelude::*;

/// A subject that owns what it says.
#[derive(Clone)]
struct Case {
    client: IpAddr,
    host: &'static str,
    helo: Option<&'static str>,
    sender: &'static str,
    recipients: Vec<&'static str>,
    auth: Option<&'static str>,
    certificate: Option<&'static str>,
    macros: Vec<(&'static str, &'static str)>,
    time: LocalTime,
    recipients_accepted: u64,
    headers: Vec<&'static str>,
    body: &'static str,
    size: u64,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            client: IpAddr::from([192, 0, 2, 10]),
            host: "mail.example.org",
            helo: Some("mail.example.org"),
            sender: "<alice@example.org>",
            recipients: vec!["<bob@example.net>"],
            auth: None,
            certificate: None,
            macros: Vec::new(),
            time: LocalTime::default(),
            recipients_accepted: 0,
            headers: Vec::new(),
            body: "",
            size: 0,
        }
    }
}

/// What an evaluation asked for and found.
struct Seen {
    asked: Vec<Fact>,
    judgement: AclJudgement,
}

fn set(text: &str) -> AclSet {
    let (conf, diagnostics) = GreylistConf::read(&Source {
        path: "f".to_owned(),
        text: text.as_bytes().to_vec(),
    });
    assert_eq!(diagnostics, [], "{text}");
    AclSet::new(conf)
}

/// A little of what templates can say.
fn expand(template: &[u8], scope: &Scope<'_>) -> Vec<u8> {
    let group = |number: usize| scope.groups.get(number).cloned().unwrap_or_default();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut out = text(template);
    for (token, value) in [
        ("%g{\\1}", text(&group(0))),
        ("%g{\\2}", text(&group(1))),
        ("%g{\\3}", text(&group(2))),
        ("%i", "192.0.2.10".to_owned()),
        ("%d", "mail.example.org".to_owned()),
        ("%f", "alice@example.org".to_owned()),
        ("%cA", scope.line.to_string()),
        ("%ca", text(scope.id.unwrap_or(b"-"))),
        ("%P{p}", text(scope.properties.value(b"p").unwrap_or(b""))),
        (
            "%pn",
            scope
                .properties
                .matched()
                .map(|one| text(&one.name))
                .unwrap_or_default(),
        ),
    ] {
        out = out.replace(token, &value);
    }
    out.into_bytes()
}

fn judge(
    set: &AclSet,
    stage: AclStage,
    case: &Case,
    properties: Properties,
    mut tell: impl FnMut(&Fact) -> Option<bool>,
) -> Seen {
    let headers: Vec<&[u8]> = case.headers.iter().map(|line| line.as_bytes()).collect();
    let recipients: Vec<&[u8]> = case.recipients.iter().map(|one| one.as_bytes()).collect();
    let macros = |name: &[u8]| -> Option<&[u8]> {
        let found = case
            .macros
            .iter()
            .find(|(known, _)| known.as_bytes() == name);
        found.map(|(_, value)| value.as_bytes())
    };
    let subject = AclSubject {
        client: case.client,
        host: case.host.as_bytes(),
        helo: case.helo.map(str::as_bytes),
        raw_sender: case.sender.as_bytes(),
        sender: match case.sender.rsplit_once('=') {
            Some((_, behind)) => behind.as_bytes(),
            None => case.sender.as_bytes(),
        },
        recipients: &recipients,
        auth: case.auth.map(str::as_bytes),
        certificate: case.certificate.map(str::as_bytes),
        macros: &macros,
        time: case.time,
        recipients_accepted: case.recipients_accepted,
        message: (stage == AclStage::Data).then_some(Message {
            headers: &headers,
            body: case.body.as_bytes(),
            size: case.size,
        }),
    };
    let mut evaluation = set.evaluate(stage, &subject, properties);
    let mut asked = Vec::new();
    let mut told = None;
    loop {
        match evaluation.next(told, &expand) {
            Next::Done(judgement) => {
                return Seen {
                    asked,
                    judgement: *judgement,
                };
            }
            Next::Need(fact) => {
                told = tell(&fact);
                asked.push(fact);
            }
        }
    }
}

/// The judgement of a recipient without any facts.
fn rcpt(text: &str, case: &Case) -> AclJudgement {
    judge(
        &set(text),
        AclStage::Rcpt,
        case,
        Properties::default(),
        |_| None,
    )
    .judgement
}

fn data(text: &str, case: &Case) -> AclJudgement {
    judge(
        &set(text),
        AclStage::Data,
        case,
        Properties::default(),
        |_| None,
    )
    .judgement
}

/// Whether a rule with these clauses matches.
#[track_caller]
fn matches(clauses: &str, case: &Case) -> bool {
    let before = clauses.rfind('\n').map_or(0, |at| at + 1);
    let (before, clauses) = clauses.split_at(before);
    let text = format!("{before}racl blacklist {clauses}\nracl whitelist default\n");
    rcpt(&text, case).action == AclAction::Blacklist
}

#[track_caller]
fn matches_message(clauses: &str, case: &Case) -> bool {
    data(&format!("dacl blacklist {clauses}\n"), case).action == AclAction::Blacklist
}

#[test]
fn without_a_rule_everything_is_greylisted() {
    let judgement = rcpt("greylist 5m\nautowhite 1d\n", &Case::default());
    assert_eq!(judgement.action, AclAction::Greylist);
    assert_eq!((judgement.line, judgement.id), (None, None));
    assert_eq!(
        (judgement.delay, judgement.autowhite),
        (Seconds(300), Seconds::DAY)
    );
    assert_eq!(judgement.whys, []);
    assert!(!judgement.nolog);
}

#[test]
fn in_a_test_what_no_rule_matches_is_accepted() {
    let text = "testmode\nracl greylist addr 10.0.0.1\n";
    assert_eq!(rcpt(text, &Case::default()).action, AclAction::Whitelist);
    assert!(!data(text, &Case::default()).nolog);
}

#[test]
fn a_message_that_no_rule_matches_is_accepted_in_silence() {
    let judgement = data("racl blacklist default\n", &Case::default());
    assert_eq!(
        (judgement.action, judgement.line),
        (AclAction::Whitelist, None)
    );
    assert!(judgement.nolog);
}

#[test]
fn the_first_rule_that_matches_decides() {
    let text = "racl greylist addr 10.0.0.0/8\nracl blacklist addr 192.0.2.0/24 from x@y.org\n\
                racl whitelist addr 192.0.2.0/24\nracl greylist default\n";
    let judgement = rcpt(text, &Case::default());
    assert_eq!(
        (judgement.action, judgement.line),
        (AclAction::Whitelist, Some(3))
    );
    let why = Why {
        kind: ClauseKind::Addr,
        negated: false,
    };
    assert_eq!(judgement.whys, [why]);
    let other = Case {
        client: "198.51.100.1".parse().unwrap(),
        ..Case::default()
    };
    let judgement = rcpt(text, &other);
    assert_eq!(
        (judgement.action, judgement.line),
        (AclAction::Greylist, Some(4))
    );
    assert_eq!(judgement.whys, []);
}

#[test]
fn the_stages_do_not_see_each_other() {
    let text = "dacl blacklist from /./ msg \"d\"\nracl greylist default msg \"r\"\n";
    assert_eq!(rcpt(text, &Case::default()).line, Some(2));
    assert_eq!(data(text, &Case::default()).line, Some(1));
}

#[test]
fn continue_leaves_words_behind_but_no_times() {
    let text = "racl \"c2\" continue rcpt /bob/ msg \"m\" code \"450\" ecode \"4.7.9\" report \"r\" \
                addheader \"X: y\", 1 subjtag \"s\" addfooter \"f\" delay 9h autowhite 9d nolog \
                maxpeek 9 flushaddr\n\
                racl blacklist from x@y.org\n\
                racl greylist default delay 5m ecode \"4.7.2\"\n";
    let judgement = rcpt(text, &Case::default());
    assert_eq!(
        (judgement.action, judgement.line),
        (AclAction::Greylist, Some(3))
    );
    assert_eq!(judgement.id.as_deref(), Some(b"c2".as_slice()));
    assert_eq!(judgement.msg.as_deref(), Some(b"m".as_slice()));
    assert_eq!(judgement.code.as_deref(), Some(b"450".as_slice()));
    assert_eq!(judgement.ecode.as_deref(), Some(b"4.7.2".as_slice()));
    assert_eq!(judgement.report.as_deref(), Some(b"r".as_slice()));
    assert_eq!(judgement.subjtag.as_deref(), Some(b"s".as_slice()));
    assert_eq!(judgement.addfooter.as_deref(), Some(b"f".as_slice()));
    assert_eq!(
        judgement.addheader.map(|header| header.index),
        Some(Some(1))
    );
    assert_eq!(
        (judgement.delay, judgement.autowhite),
        (Seconds(300), Seconds::DAY)
    );
    assert_eq!((judgement.nolog, judgement.maxpeek), (false, None));
    assert_eq!(judgement.flushaddr, Some(1));
    assert_eq!(judgement.whys, []);
}

#[test]
fn values_of_the_deciding_rule_are_in_force() {
    let text = "tarpit 3s\nracl \"i\" greylist from /alice/ delay 1h autowhite 2h nolog maxpeek 7 \
                flushaddr tarpit_scope command\n";
    let judgement = rcpt(text, &Case::default());
    assert_eq!(judgement.id.as_deref(), Some(b"i".as_slice()));
    assert_eq!(
        (judgement.delay, judgement.autowhite),
        (Seconds(3_600), Seconds(7_200))
    );
    assert_eq!((judgement.nolog, judgement.maxpeek), (true, Some(7)));
    assert_eq!(judgement.flushaddr, Some(2));
    assert_eq!(judgement.tarpit, Some(Seconds(3)));
    assert_eq!(judgement.tarpit_scope, TarpitScope::Command);
    let set = set("racl whitelist tarpit 65s\n");
    let case = Case::default();
    let seen = judge(&set, AclStage::Rcpt, &case, Properties::default(), |_| {
        Some(true)
    });
    assert_eq!(seen.asked, [Fact::Tarpit(Seconds(65))]);
    assert_eq!(seen.judgement.tarpit, Some(Seconds(65)));
}

#[test]
fn client_clauses_look_at_address_and_name() {
    let case = Case::default();
    assert!(matches("addr 192.0.2.0/24", &case));
    assert!(!matches("addr 192.0.2.11", &case));
    assert!(!matches("addr ::/0", &case));
    assert!(matches("not addr 10.0.0.0/8", &case));
    for (domain, loose, exact) in [
        ("example.org", true, true),
        ("mail.example.org", true, true),
        ("ample.ORG", true, false),
        (".example.org", true, false),
        ("xmail.example.org", false, false),
        ("example.net", false, false),
    ] {
        assert_eq!(
            matches(&format!("domain {domain}"), &case),
            loose,
            "{domain}"
        );
        let strict = format!("domainexact\ndomain {domain}");
        assert_eq!(matches(&strict, &case), exact, "{domain}");
    }
    assert!(matches("domain /^MAIL\\./", &case));
    let unnamed = Case {
        host: "[192.0.2.10]",
        ..Case::default()
    };
    assert!(matches("domain /^\\[192/", &unnamed));
    assert!(!matches(
        "domain /./",
        &Case {
            host: "",
            ..Case::default()
        }
    ));
}

#[test]
fn a_helo_name_is_equal_to_its_expanded_text() {
    let case = Case::default();
    assert!(matches("helo \"Mail.example.org\"", &case));
    assert!(!matches("helo \"example.org\"", &case));
    assert!(matches("helo \"%d\"", &case));
    assert!(!matches("helo \"%i\"", &case));
    assert!(matches("helo /example/", &case));
    assert!(matches(
        "list \"h\" helo { \"x\" \"%d\" }\nlist \"h\"",
        &case
    ));
    assert!(!matches(
        "helo /./",
        &Case {
            helo: None,
            ..Case::default()
        }
    ));
}

#[test]
fn addresses_are_compared_with_and_without_brackets() {
    for sender in ["<Alice@Example.org>", "alice@example.org"] {
        let case = Case {
            sender,
            ..Case::default()
        };
        assert!(matches("from alice@example.org", &case), "{sender}");
        assert!(matches("from /@example\\.org>$/", &case), "{sender}");
        assert!(matches("from /@example\\.org$/", &case), "{sender}");
        assert!(matches("from /^<alice/", &case), "{sender}");
        assert!(matches("from /^alice/", &case), "{sender}");
        assert!(!matches("from lice@example.org", &case), "{sender}");
        assert!(!matches("from /^example/", &case), "{sender}");
    }
    let null = Case {
        sender: "<>",
        ..Case::default()
    };
    assert!(matches("from /^<>$/", &null));
    let batv = Case {
        sender: "<prvs=abc=alice@example.org>",
        ..Case::default()
    };
    assert!(matches("from alice@example.org", &batv));
    assert!(!matches("rawfrom alice@example.org", &batv));
    assert!(matches("rawfrom prvs=abc=alice@example.org", &batv));
    assert!(matches("rawfrom /^<prvs=/", &batv));
    assert!(matches("rcpt BOB@example.net", &Case::default()));
    let why = rcpt("racl whitelist rawfrom /./\n", &Case::default()).whys;
    assert_eq!(why.first().map(|why| why.kind), Some(ClauseKind::From));
}

#[test]
fn any_recipient_of_a_message_counts() {
    let case = Case {
        recipients: vec!["<a@x.org>", "<b@y.org>"],
        ..Case::default()
    };
    assert!(matches_message("rcpt b@y.org", &case));
    assert!(matches_message("rcpt /^<a/ rcpt /^<b/", &case));
    assert!(!matches_message("not rcpt a@x.org", &case));
    assert!(!matches_message("rcpt c@z.org", &case));
}

#[test]
fn who_authenticated_is_compared_exactly() {
    let case = Case {
        auth: Some("Joe"),
        certificate: Some("/CN=mx"),
        ..Case::default()
    };
    assert!(matches("auth \"Joe\"", &case));
    assert!(!matches("auth \"joe\"", &case));
    assert!(matches("auth /^jo/", &case));
    assert!(matches("tls \"/CN=mx\"", &case));
    assert!(!matches("auth /.*/", &Case::default()));
    assert!(matches("not auth /.*/", &Case::default()));
}

#[test]
fn macros_are_compared_or_missing() {
    let case = Case {
        macros: vec![("{verify}", "OK"), ("i", "")],
        ..Case::default()
    };
    let test = |wanted: &str| matches(&format!("sm_macro \"m\" {wanted}\nsm_macro \"m\""), &case);
    assert!(test("\"{verify}\" \"OK\""));
    assert!(!test("\"{verify}\" \"ok\""));
    assert!(test("\"{verify}\" /^ok$/"));
    assert!(!test("\"{verify}\" unset"));
    assert!(!test("\"i\" unset"));
    assert!(test("\"{other}\" unset"));
    assert!(!test("\"{other}\" \"OK\""));
    assert!(!test("\"{other}\" /.*/"));
}

#[test]
fn time_is_local() {
    let case = Case {
        time: LocalTime {
            minute: 30,
            hour: 9,
            day: 24,
            month: 11,
            weekday: 2,
        },
        ..Case::default()
    };
    assert!(matches("time \"* * * * *\"", &case));
    assert!(matches("time \"*/10 8-17 24 11 1-5\"", &case));
    for other in [
        "31 * * * *",
        "* 10 * * *",
        "* * 23 * *",
        "* * * 12 *",
        "* * * * 0,7",
    ] {
        assert!(!matches(&format!("time \"{other}\""), &case), "{other}");
    }
}

#[test]
fn recipients_and_sizes_are_counted() {
    let case = Case {
        recipients_accepted: 5,
        size: 2_048,
        ..Case::default()
    };
    for (comparison, holds) in [
        ("> 4", true),
        ("> 5", false),
        (">= 5", true),
        ("== 5", true),
    ] {
        assert_eq!(
            matches(&format!("rcptcount {comparison}"), &case),
            holds,
            "{comparison}"
        );
    }
    for (comparison, holds) in [("< 3k", true), ("<= 2k", true), ("!= 2k", false)] {
        assert_eq!(
            matches_message(&format!("msgsize {comparison}"), &case),
            holds
        );
    }
    // Nothing is known of a property that is not set.
    assert!(!matches("rcptcount != $n", &case));
    assert!(matches("set $n=4 rcptcount > $n", &case));
}

#[test]
fn messages_are_searched_line_by_line() {
    let case = Case {
        headers: vec!["Subject: Buy now", "X-A: b"],
        body: "Hello\r\nthere we go\n",
        ..Case::default()
    };
    assert!(matches_message("header \"Subject: Buy\"", &case));
    assert!(!matches_message("header \"subject: buy\"", &case));
    assert!(matches_message("header /^subject: buy now$/", &case));
    assert!(!matches_message(
        "header \"Buy now\nX-A\"".replace('\n', " ").as_str(),
        &case
    ));
    assert!(matches_message("body \"there we\"", &case));
    assert!(matches_message("body /^hello$/", &case));
    assert!(!matches_message("body /hello.*there/", &case));
    assert!(matches_message("set $p=\"we go\" body $p", &case));
    assert!(matches_message("set $p=\"/^X-[a-z]:/\" header $p", &case));
    assert!(!matches_message("set $p=\"/(/\" header $p", &case));
    assert!(!matches_message("header $p", &case));
    let list = "list \"l\" body { \"nothing\" /go$/ }\ndacl blacklist list \"l\"\n";
    assert_eq!(data(list, &case).line, Some(2));
}

#[test]
fn a_list_holds_when_any_item_does() {
    let text = "list \"a\" addr { 10.0.0.0/8 192.0.2.0/24 }\nlist \"f\" from { x@y.org /^<ali/ }\n";
    let case = Case::default();
    assert!(matches(&format!("{text}list \"a\" list \"f\""), &case));
    assert!(!matches(&format!("{text}list \"a\" not list \"f\""), &case));
    assert!(matches(&format!("{text}list \"a\" addr 192.0.2.10"), &case));
    let judgement = rcpt(
        &format!("{text}racl whitelist not list \"x\"\n").replace("\"x\"", "\"f\""),
        &case,
    );
    assert_eq!(judgement.action, AclAction::Greylist);
}

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

#[test]
fn properties_last_as_long_as_they_should() {
    let text = "racl continue set $n+=2 rset $once=\"x\" set $p=\"%f\"\n\
                racl blacklist $n >= 4 log \"%pn %P{p} %cA %ca\"\n\
                racl greylist $once \"X\" $P /^alice/ not $none \"\" $n <= $n\n";
    let set = set(text);
    let case = Case::default();
    let first = judge(&set, AclStage::Rcpt, &case, Properties::default(), |_| None).judgement;
    assert_eq!(first.line, Some(3));
    assert_eq!(first.properties.value(b"N"), Some(b"2".as_slice()));
    assert_eq!(first.properties.value(b"once"), Some(b"x".as_slice()));
    let matched = first.properties.matched().unwrap();
    assert_eq!(matched.name, b"p");
    assert_eq!(
        matched.recipient.as_deref(),
        Some(b"<bob@example.net>".as_slice())
    );
    let mut properties = first.properties;
    properties.next_recipient();
    assert_eq!(properties.value(b"once"), None);
    let second = judge(&set, AclStage::Rcpt, &case, properties, |_| None).judgement;
    assert_eq!(second.line, Some(2));
    // What matched last still does, one that is only for one recipient alone does not.
    assert_eq!(second.logs, [b"p alice@example.org 2 -".to_vec()]);
    let once = self::set("racl continue rset $once=\"x\"\nracl greylist $once \"x\"\n");
    let judgement = judge(&once, AclStage::Rcpt, &case, Properties::default(), |_| {
        None
    })
    .judgement;
    let mut properties = judgement.properties;
    assert_eq!(
        properties.matched().map(|one| &one.name[..]),
        Some(&b"once"[..])
    );
    properties.next_recipient();
    assert_eq!(properties.matched(), None);
    assert_eq!(second.properties.value(b"n"), Some(b"4".as_slice()));
}

#[test]
fn a_property_may_be_a_glob() {
    let case = Case::default();
    assert!(matches("set $g=\"*@example.*\" *$g \"%f\"", &case));
    assert!(!matches("set $g=\"*@example\" *$g \"%f\"", &case));
    assert!(!matches("*$g \"%f\"", &case));
}

#[test]
fn what_is_logged_is_told_even_of_rules_that_do_not_match() {
    let text = "racl blacklist log \"seen %f\" from x@y.org\nracl \"i\" greylist log \"%ca\"\n";
    let logs = rcpt(text, &Case::default()).logs;
    assert_eq!(logs, [b"seen alice@example.org".to_vec(), b"i".to_vec()]);
}

#[test]
fn groups_of_a_later_clause_come_first() {
    let text = "extendedregex\nlist \"l\" rcpt { /nobody(x)/ /^<(b)ob/ }\n\
                racl greylist from /(al)(x)?i/ list \"l\" helo /^(mail)\\./ not addr 10.0.0.1 \
                log \"%g{\\1} %g{\\2}\" msg \"%g{\\1}\"\n";
    let judgement = rcpt(text, &Case::default());
    let groups: Vec<&[u8]> = judgement.groups.iter().map(Vec::as_slice).collect();
    assert_eq!(groups, [b"mail".as_slice(), b"b", b"al", b""]);
    assert_eq!(judgement.logs, [b"mail b".to_vec()]);
    let without = rcpt("racl greylist from /\\(a\\)/\n", &Case::default());
    assert_eq!(without.groups, Vec::<Vec<u8>>::new());
}

#[test]
fn reasons_name_kinds_once_and_negation() {
    let text = "list \"a\" addr { 192.0.2.0/24 }\n\
                racl whitelist list \"a\" rcpt /bob/ rcpt /net/ not from x@y.org log \"x\" set $p=1\n";
    let whys = rcpt(text, &Case::default()).whys;
    let why = |kind, negated| Why { kind, negated };
    let expected = [
        why(ClauseKind::Addr, false),
        why(ClauseKind::Rcpt, false),
        why(ClauseKind::From, true),
        why(ClauseKind::Log, false),
        why(ClauseKind::Set, false),
    ];
    assert_eq!(whys, expected);
    // A rate alone is no reason: the rule is a default one.
    let text = "ratelimit \"r\" rcpt 1 / 1m\nracl whitelist ratelimit \"r\"\n";
    let told = |_: &Fact| Some(true);
    let (set, case) = (set(text), Case::default());
    let judgement = judge(&set, AclStage::Rcpt, &case, Properties::default(), told).judgement;
    assert_eq!((judgement.line, judgement.whys), (Some(2), vec![]));
}

#[test]
fn where_no_rule_decides_the_last_that_matched_is_named() {
    let text = "racl continue from alice@example.org\nracl \"c\" continue from x@y.org\n\
                racl continue default addheader \"X: %A\"\n";
    let judgement = rcpt(text, &Case::default());
    assert_eq!((judgement.line, judgement.id), (Some(3), None));
    let judgement = rcpt("racl continue from x@y.org\n", &Case::default());
    assert_eq!(judgement.line, None);
}

#[test]
fn one_line_rules_are_tried_before_all_others_the_last_first() {
    let text = "racl blacklist default\nfrom alice@example.org\ntestmode\nrcpt bob@example.net\n";
    let judgement = rcpt(text, &Case::default());
    assert_eq!(
        (judgement.action, judgement.line),
        (AclAction::Greylist, Some(4))
    );
}

/// The realistic files, each beside clients: file, client address and name, sender, recipient,
/// and what is told of each fact; then the action and the line of the rule, `-` for none.
#[test]
fn realistic_files_give_their_verdicts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/greylist_conf");
    let table = include_str!("greylist_conf_verdicts.txt");
    let rows = table
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    for row in rows {
        let words: Vec<&'static str> = row.split_ascii_whitespace().collect();
        let &[
            file,
            client,
            host,
            sender,
            recipient,
            told,
            "->",
            action,
            line,
        ] = words.as_slice()
        else {
            panic!("{row}");
        };
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let case = Case {
            client: client.parse().unwrap(),
            host,
            helo: Some(host),
            sender,
            recipients: vec![recipient],
            ..Case::default()
        };
        let tell = |_: &Fact| match told {
            "yes" => Some(true),
            "no" => Some(false),
            _ => None,
        };
        let seen = judge(
            &set(&text),
            AclStage::Rcpt,
            &case,
            Properties::default(),
            tell,
        );
        let judgement = seen.judgement;
        let found = format!("{:?}", judgement.action).to_lowercase();
        let found_line = judgement
            .line
            .map_or("-".to_owned(), |line| line.to_string());
        assert_eq!(
            (found.as_str(), found_line.as_str()),
            (action, line),
            "{row}"
        );
    }
}

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
