//! What each clause looks at.

use greylatch_rules::{AclAction, ClauseKind, LocalTime};

use crate::case::{Case, data, matches, matches_message, rcpt};

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
