//! What log lines say, one file for each who writes them.
//!
//! A dialect reads a message and knows nothing of the lines before and behind it. Fields that clients
//! choose may hold anything; what is ambiguous is read so that a sender or recipient is as long as it
//! can be, and never another field.

pub(crate) mod exim;
pub(crate) mod fields;
pub(crate) mod milter_greylist;
pub(crate) mod postfix;
pub(crate) mod postgrey;
pub(crate) mod sendmail;

/// What the tests of the MTAs' dialects share.
#[cfg(test)]
mod sample {
    use crate::queue::MailLine;
    use crate::sighting::Subject;

    /// Whether a refusal speaks of greylisting.
    pub(super) fn is_greylisting(text: &[u8]) -> bool {
        memchr::memmem::find(text, b"reylist").is_some()
    }

    /// An attempt for bob@example.org was turned away.
    pub(super) fn away<'a>(
        client: &'a str,
        name: &'a str,
        sender: &'a str,
    ) -> Option<MailLine<'a>> {
        Some(MailLine::TurnedAway(Subject {
            client: client.as_bytes().into(),
            name: name.as_bytes().into(),
            sender: sender.as_bytes().into(),
            recipient: b"bob@example.org".into(),
            ..Subject::default()
        }))
    }
}
