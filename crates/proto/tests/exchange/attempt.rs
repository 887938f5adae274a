//! An attempt as the recorded exchanges show it.

use greylatch_core::{Attempt, Field};

/// The stage, and those of `fields` that were told, by these names.
pub(crate) fn shown(attempt: &Attempt, fields: &[(&str, Field)]) -> String {
    let mut text = format!("{:?}", attempt.stage());
    for (name, field) in fields {
        if let Some(value) = attempt.field(*field) {
            text += &format!(" {name}={}", value.escape_ascii());
        }
    }
    text
}
