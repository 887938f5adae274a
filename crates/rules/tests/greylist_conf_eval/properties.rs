//! What an evaluation keeps: properties, words for the log, groups, reasons.

use greylatch_rules::{AclAction, AclStage, ClauseKind, Fact, Properties, Why};

use crate::case::{Case, judge, matches, rcpt, set};

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
