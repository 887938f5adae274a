//! Attempts for the tests, and how rules judge them.

use std::net::IpAddr;

use greylatch_rules::{
    AclAction, AclJudgement, AclSet, AclStage, AclSubject, Fact, GreylistConf, LocalTime, Message,
    Next, Properties, Scope, Source,
};

/// A subject that owns what it says.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) client: IpAddr,
    pub(crate) host: &'static str,
    pub(crate) helo: Option<&'static str>,
    pub(crate) sender: &'static str,
    pub(crate) recipients: Vec<&'static str>,
    pub(crate) auth: Option<&'static str>,
    pub(crate) certificate: Option<&'static str>,
    pub(crate) macros: Vec<(&'static str, &'static str)>,
    pub(crate) time: LocalTime,
    pub(crate) recipients_accepted: u64,
    pub(crate) headers: Vec<&'static str>,
    pub(crate) body: &'static str,
    pub(crate) size: u64,
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
pub(crate) struct Seen {
    pub(crate) asked: Vec<Fact>,
    pub(crate) judgement: AclJudgement,
}

pub(crate) fn set(text: &str) -> AclSet {
    let (conf, diagnostics) = GreylistConf::read(&Source {
        path: "f".to_owned(),
        text: text.as_bytes().to_vec(),
    });
    assert_eq!(diagnostics, [], "{text}");
    AclSet::new(conf)
}

/// A little of what templates can say.
pub(crate) fn expand(template: &[u8], scope: &Scope<'_>) -> Vec<u8> {
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

pub(crate) fn judge(
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
pub(crate) fn rcpt(text: &str, case: &Case) -> AclJudgement {
    judge(
        &set(text),
        AclStage::Rcpt,
        case,
        Properties::default(),
        |_| None,
    )
    .judgement
}

pub(crate) fn data(text: &str, case: &Case) -> AclJudgement {
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
pub(crate) fn matches(clauses: &str, case: &Case) -> bool {
    let before = clauses.rfind('\n').map_or(0, |at| at + 1);
    let (before, clauses) = clauses.split_at(before);
    let text = format!("{before}racl blacklist {clauses}\nracl whitelist default\n");
    rcpt(&text, case).action == AclAction::Blacklist
}

#[track_caller]
pub(crate) fn matches_message(clauses: &str, case: &Case) -> bool {
    data(&format!("dacl blacklist {clauses}\n"), case).action == AclAction::Blacklist
}
