//! What can be said without a running daemon: a configuration reviewed, an attempt judged against
//! an empty memory.

use std::path::Path;

use greylatch_core::{Attempt, Explanation, Seconds};
use greylatch_rules::Source;

use crate::clock;
use crate::config::Config;
use crate::launch::StartError;
use crate::lists::{ListFiles, Remark};
use crate::rehearsal::Rehearsal;
use crate::web;

/// What a configuration comes to.
pub struct Review {
    /// Every remark about its rules and lists.
    pub remarks: Vec<Remark>,
    /// How many rules and list entries are in force.
    pub rules: usize,
}

/// Reads the lists and rules of a configuration; `path` and `text` are its file.
#[must_use]
pub fn review(config: &Config, path: Option<&Path>, text: Vec<u8>) -> Review {
    let path = path
        .map(|path| path.display().to_string())
        .unwrap_or_default();
    let (rulebook, mut remarks) = ListFiles::default().rulebook(config, &Source { path, text });
    remarks.extend(web::review(config));
    Review {
        remarks,
        rules: rulebook.len(),
    }
}

/// What would become of an attempt with an empty memory; with `later`, of its retry so much later.
///
/// # Errors
/// [`StartError`] when the configuration cannot be run.
pub fn look_dry(
    config: &Config,
    path: Option<&Path>,
    attempt: &Attempt,
    later: Option<Seconds>,
) -> Result<Explanation, StartError> {
    let mut rehearsal = Rehearsal::new(config, path)?;
    let now = clock::now();
    if later.is_some() {
        rehearsal.judge(attempt.clone(), now);
    }
    let later = later.unwrap_or(Seconds(0));
    let explanation = rehearsal.look(attempt.clone(), now, later);
    rehearsal.finish();
    Ok(explanation)
}
