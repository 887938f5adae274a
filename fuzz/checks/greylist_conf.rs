//! Random bytes as a `greylist.conf`: reading never panics, every mistake points into the text,
//! each statement has its line, a file without an error has no statement with one, and the
//! rules come to a judgement of any message.

use std::net::Ipv4Addr;

use greylatch_rules::{
    AclAction, AclSet, AclStage, AclSubject, Fate, GreylistConf, LocalTime, Message, Next,
    Properties, Severity, Source,
};

use crate::remark::points_into;

/// Checks one input.
pub(crate) fn check(input: &[u8]) {
    let source = Source {
        path: "greylist.conf".into(),
        text: input.into(),
    };
    let (conf, mistakes) = GreylistConf::read(&source);
    mistakes.iter().for_each(|one| points_into(one, input));
    let mut lines = 1..=input.split(|byte| *byte == b'\n').count();
    assert!(conf.notes().len() <= 3);
    for statement in &conf.statements {
        assert!(lines.any(|line| line == statement.line), "{statement:?}");
        let moves = |c: char| c.is_control() && c != '\t';
        assert!(!statement.text.chars().any(moves), "{statement:?}");
    }
    let told = mistakes.iter().any(|one| one.severity == Severity::Error);
    let mistaken = conf.statements.iter().any(|one| one.fate == Fate::Mistaken);
    assert_eq!(told, mistaken);
    let set = AclSet::new(conf);
    let mut properties = Properties::default();
    for stage in [AclStage::Rcpt, AclStage::Rcpt, AclStage::Data] {
        properties = judge(&set, stage, properties, input);
        properties.next_recipient();
    }
}

/// Parts of the input are what the rules judge.
fn judge(set: &AclSet, stage: AclStage, properties: Properties, input: &[u8]) -> Properties {
    let mut words = input.split(|byte| byte.is_ascii_whitespace());
    let mut word = || words.next().unwrap_or_default();
    let (host, sender, recipient, helo) = (word(), word(), word(), word());
    let headers = [host];
    let recipients = [recipient];
    let subject = AclSubject {
        client: Ipv4Addr::LOCALHOST.into(),
        host,
        helo: Some(helo),
        raw_sender: sender,
        sender,
        recipients: &recipients,
        auth: None,
        certificate: Some(helo),
        macros: &|name| (name.len() > 3).then_some(host),
        time: LocalTime::default(),
        recipients_accepted: 1,
        message: (stage == AclStage::Data).then_some(Message {
            headers: &headers,
            body: input,
            size: 7,
        }),
    };
    let mut evaluation = set.evaluate(stage, &subject, properties);
    let mut asked = 0;
    loop {
        let told = [Some(false), None, Some(true)][asked % 3];
        let expand = |template: &[u8], scope: &greylatch_rules::Scope<'_>| {
            let property = scope.properties.value(b"p").unwrap_or_default();
            [template, property, scope.groups.concat().as_slice()].concat()
        };
        match evaluation.next(told, &expand) {
            Next::Need(_) => asked += 1,
            Next::Done(judgement) => {
                assert_ne!(judgement.action, AclAction::Continue);
                let known = |line| set.conf().statements.iter().any(|one| one.line == line);
                assert!(judgement.line.is_none_or(known));
                let is_asked = stage == AclStage::Rcpt || set.conf().message_needs().judged;
                assert!(is_asked || judgement.line.is_none());
                return judgement.properties;
            }
        }
    }
}
