//! Mail that a server has delivered, in the mbox format.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::wait_for;

const DELIVERY_MAX: Duration = Duration::from_secs(30);

/// The text of a mailbox once `count` messages are in it.
///
/// # Errors
/// When they do not come within 30 s; the text has those that did.
pub(crate) fn mailbox(path: &Path, count: usize) -> Result<String> {
    let mut text = String::new();
    wait_for("the mail", DELIVERY_MAX, || {
        text = fs::read_to_string(path).unwrap_or_default();
        // An mbox message ends with an empty line once it is complete.
        Ok(text.matches("From ").count() >= count && text.ends_with("\n\n"))
    })
    .with_context(|| format!("mail in {}: {text:?}", path.display()))?;
    Ok(text)
}

/// The headers of that name in all messages of a mailbox, each one line.
pub fn headers<'a>(mailbox: &'a str, name: &str) -> Vec<&'a str> {
    let is_header = |line: &&str| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(':'))
    };
    mailbox.lines().filter(is_header).collect()
}
