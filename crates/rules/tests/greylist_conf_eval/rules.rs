//! Which rule decides and with what values, and the realistic files beside their clients.

use std::path::Path;

use greylatch_core::Seconds;
use greylatch_rules::{AclAction, AclStage, ClauseKind, Fact, Properties, TarpitScope, Why};

use crate::case::{Case, data, judge, rcpt, set};

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

/// The realistic files, each beside clients: file, client address and name, sender, recipient,
/// and what is told of each fact; then the action and the line of the rule, `-` for none.
#[test]
fn realistic_files_give_their_verdicts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/greylist_conf");
    let table = include_str!("../greylist_conf_verdicts.txt");
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
