//! What a line of a log tells of one attempt or one message, whatever the dialect.

use std::borrow::Cow;

use greylatch_core::{Reason, Seconds};
use memchr::{memchr, memchr_iter, memrchr_iter};

/// One attempt, or one message that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sighting<'a> {
    /// What became of it.
    pub(crate) what: What<'a>,
    /// Whose it was.
    pub(crate) subject: Subject<'a>,
}

/// Who wanted to deliver what to whom, as the log has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subject<'a> {
    /// The client's address.
    pub(crate) client: Cow<'a, [u8]>,
    /// The client's confirmed name; empty or `unknown` when it has none.
    pub(crate) name: Cow<'a, [u8]>,
    /// The envelope sender, empty for the null sender.
    pub(crate) sender: Cow<'a, [u8]>,
    /// The envelope recipient; empty when the line is of a whole message.
    pub(crate) recipient: Cow<'a, [u8]>,
    /// Words in the place of all these.
    pub(crate) words: Cow<'a, [u8]>,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What<'a> {
    /// The greylister let it pass.
    Passed {
        /// Why.
        reason: Reason,
        /// The rule, if one decided.
        rule: Cow<'a, [u8]>,
        /// How long ago the first attempt was, where the line says so.
        age: Option<Seconds>,
    },
    /// The greylister told it to come back.
    Deferred {
        /// Why, where the line says so.
        reason: Option<Reason>,
    },
    /// It passed only because the greylister is learning.
    WouldDefer,
    /// The greylister sent it away.
    Refused {
        /// Why.
        reason: Reason,
        /// The rule.
        rule: Cow<'a, [u8]>,
    },
    /// The MTA told it to come back, in the words of a greylister.
    TurnedAway,
    /// The MTA has taken the message.
    Taken,
}

/// The mailbox within `<` and `>`, or the text as it is.
pub(crate) fn without_brackets(text: &[u8]) -> &[u8] {
    let inside = text
        .strip_prefix(b"<")
        .and_then(|text| text.strip_suffix(b">"));
    inside.unwrap_or(text)
}

/// What stands before the first `: ` of a message, as long as a queue id at most, and what stands behind
/// it. Of most messages the first bytes have no colon.
pub(crate) fn behind_id(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b':', &message[..message.len().min(QUEUE_ID_MAX)])?;
    let rest = message[end..].strip_prefix(b": ")?;
    Some((&message[..end], rest))
}

/// Longer than any queue id of Postfix.
const QUEUE_ID_MAX: usize = 32;

/// What stands before the first `mark`, and what stands behind it.
pub(crate) fn split<'a>(text: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    // Marks are short: to look for their first byte costs less than to prepare a search for each.
    let at = memchr_iter(*mark.first()?, text).find(|at| text[*at..].starts_with(mark))?;
    Some((&text[..at], &text[at + mark.len()..]))
}

/// What stands before the last `mark`, and what stands behind it.
pub(crate) fn split_last<'a>(text: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = memrchr_iter(*mark.first()?, text).find(|at| text[*at..].starts_with(mark))?;
    Some((&text[..at], &text[at + mark.len()..]))
}

/// `NAME[ADDRESS]` and what stands behind it. The name has no bracket of its own.
pub(crate) fn client(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name, behind) = split(text, b"[")?;
    let (address, rest) = split(behind, b"]")?;
    Some((name, address, rest))
}
