//! What every remark about a list or a rule has to be.

use greylatch_rules::Diagnostic;

/// Its line, column and span are there, and nothing in it can move a cursor.
pub(crate) fn points_into(remark: &Diagnostic, text: &[u8]) {
    let lines = text.split(|byte| *byte == b'\n').count();
    assert!((1..=lines).contains(&remark.line), "{remark:?}");
    assert!(remark.column >= 1, "{remark:?}");
    assert!(
        remark.source.get(remark.span.clone()).is_some(),
        "{remark:?}"
    );
    for shown in [remark.to_string(), remark.source.clone()] {
        let moves = |c: char| c.is_control() && c != '\t';
        assert!(!shown.chars().any(moves), "{shown:?}");
    }
}
