//! Random bytes as a `greylist.conf`: reading never panics, every mistake points into the text,
//! each statement has its line, and a file without an error has no statement with one.

use greylatch_rules::{Fate, GreylistConf, Severity, Source};

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
    for statement in &conf.statements {
        assert!(lines.any(|line| line == statement.line), "{statement:?}");
        let moves = |c: char| c.is_control() && c != '\t';
        assert!(!statement.text.chars().any(moves), "{statement:?}");
    }
    let is_error = |severity: Severity| severity == Severity::Error;
    let told = mistakes.iter().any(|one| is_error(one.severity));
    let mistaken = |fate: &Fate| *fate == Fate::Mistaken;
    assert_eq!(told, conf.statements.iter().any(|one| mistaken(&one.fate)));
}
