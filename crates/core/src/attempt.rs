//! One delivery attempt as an MTA tells it: at RCPT one recipient, one sender, one client.
//!
//! An [`Attempt`] owns one buffer and offers its fields as slices. It holds bytes as they came
//! (RFC 5321 addresses need not be UTF-8); what they mean is for `identity` and the rules.

use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;

use crate::content::Content;

/// One attempt: the fields that the MTA sent, absent or present, as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    stage: Stage,
    message: u32,
    bytes: Vec<u8>,
    spans: [Option<Span>; Field::COUNT],
    macros: Vec<(Span, Span)>,
    /// Shared, since an attempt is copied for each recipient whom it concerns.
    content: Option<Arc<Content>>,
}

impl Attempt {
    /// An attempt at the RCPT stage without any field.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a field; a field set twice keeps the later value.
    ///
    /// # Panics
    /// When all values together pass 4 GiB; every protocol limits a request far below that.
    pub fn set(&mut self, field: Field, value: &[u8]) {
        let span = self.push(value);
        self.spans[field as usize] = Some(span);
    }

    /// Tells a macro of the MTA, by its name without braces.
    ///
    /// # Panics
    /// As [`Attempt::set`].
    pub fn set_macro(&mut self, name: &[u8], value: &[u8]) {
        let (name, value) = (self.push(name), self.push(value));
        self.macros.push((name, value));
    }

    /// The value of a macro that was told.
    #[must_use]
    pub fn macro_value(&self, name: &[u8]) -> Option<&[u8]> {
        let mut macros = self.macros.iter();
        let found = macros.find(|(own, _)| &self.bytes[own.range()] == name);
        found.map(|(_, value)| &self.bytes[value.range()])
    }

    fn push(&mut self, value: &[u8]) -> Span {
        let start = self.bytes.len();
        if start == 0 {
            self.bytes.reserve(USUAL_BYTES);
        }
        self.bytes.extend_from_slice(value);
        Span::of(start, self.bytes.len())
    }

    /// Sets the stage of the SMTP dialogue that the question was asked at.
    pub fn set_stage(&mut self, stage: Stage) {
        self.stage = stage;
    }

    /// The stage of the SMTP dialogue that the question was asked at.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Sets which message of its connection this is about, counted from 1.
    pub fn set_message(&mut self, number: u32) {
        self.message = number;
    }

    /// Which message of its connection this is about; 0 where the protocol does not tell.
    #[must_use]
    pub fn message(&self) -> u32 {
        self.message
    }

    /// Tells the content of the message, at its end.
    pub fn set_content(&mut self, content: Content) {
        self.content = Some(Arc::new(content));
    }

    /// The content of the message, where it was asked for; only at its end.
    #[must_use]
    pub fn content(&self) -> Option<&Content> {
        self.content.as_deref()
    }

    /// A field, `None` when the MTA did not send it at all.
    #[must_use]
    pub fn field(&self, field: Field) -> Option<&[u8]> {
        self.spans[field as usize].map(|span| &self.bytes[span.range()])
    }

    /// A field, empty when the MTA did not send it or sent it empty.
    #[must_use]
    pub fn text(&self, field: Field) -> &[u8] {
        self.field(field).unwrap_or_default()
    }
}

/// Most attempts have no more bytes, so that their buffer is made once.
const USUAL_BYTES: usize = 256;

/// What an MTA may say of an attempt. The names in comments are those of Postfix.
///
/// Source: Postfix SMTPD_POLICY_README, "Protocol description".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The client's address, `client_address`.
    ClientAddress,
    /// The client's forward-confirmed name or `unknown`, `client_name`.
    ClientName,
    /// The client's name as a milter's MTA tells it, confirmed or not, an address in brackets when
    /// there is none.
    ClientHost,
    /// What the client called itself, `helo_name`.
    Helo,
    /// The envelope sender, empty for the null sender, `sender`.
    Sender,
    /// The envelope recipient, empty at DATA when there are several, `recipient`.
    Recipient,
    /// How many recipients were accepted (counts only from DATA on), `recipient_count`.
    RecipientCount,
    /// The MTA's name for the message in its queue, empty before the first accepted recipient.
    QueueId,
    /// The same for all questions about one message, `instance`.
    Instance,
    /// The login name of an authenticated client, `sasl_username`.
    Login,
    /// The TLS version, empty without TLS, `encryption_protocol`.
    TlsProtocol,
    /// The subject of the client's TLS certificate, when the MTA has verified it.
    CertSubject,
    /// What Sendmail's access database says of the client, macro `{greylist}`.
    Access,
    /// All by which the asker knows it, in place of client, sender and recipient: an opaque identity.
    Words,
    /// What the asker wants the clock to show; honoured only for tests, `policy_test_time`.
    TestTime,
}

impl Field {
    const COUNT: usize = Self::TestTime as usize + 1;
}

/// The stage of the SMTP dialogue that a question is asked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Before any recipient: connect, HELO/EHLO, MAIL.
    Earlier,
    /// RCPT TO, one recipient.
    #[default]
    Rcpt,
    /// DATA, after all recipients.
    Data,
    /// The end of the message.
    EndOfMessage,
    /// Any other command, for example VRFY or ETRN.
    Other,
}

/// A place in the buffer. None begins at zero, so that an absent one takes no room of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start_and_one: NonZeroU32,
    end: u32,
}

impl Span {
    fn of(start: usize, end: usize) -> Self {
        let at = |n: usize| u32::try_from(n).expect("a request is limited to 1 MiB by its codec");
        Self {
            start_and_one: NonZeroU32::MIN.saturating_add(at(start)),
            end: at(end),
        }
    }

    fn range(self) -> Range<usize> {
        self.start_and_one.get() as usize - 1..self.end as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_and_empty_are_told_apart() {
        let mut attempt = Attempt::new();
        attempt.set(Field::Sender, b"");
        assert_eq!(attempt.field(Field::Sender), Some(&b""[..]));
        assert_eq!(attempt.field(Field::Recipient), None);
        assert_eq!(attempt.text(Field::Recipient), b"");
    }

    #[test]
    fn macros_are_found_by_their_names() {
        let mut attempt = Attempt::new();
        attempt.set_macro(b"j", b"mx.example.org");
        attempt.set_macro(b"empty", b"");
        assert_eq!(attempt.macro_value(b"j"), Some(&b"mx.example.org"[..]));
        assert_eq!(attempt.macro_value(b"empty"), Some(&b""[..]));
        assert_eq!(attempt.macro_value(b"{j}"), None);
    }

    #[test]
    fn the_later_value_of_a_field_counts() {
        let mut attempt = Attempt::new();
        attempt.set(Field::Sender, b"first@example.com");
        attempt.set(Field::Helo, b"mail.example.com");
        attempt.set(Field::Sender, b"second@example.com");
        assert_eq!(attempt.text(Field::Sender), b"second@example.com");
        assert_eq!(attempt.text(Field::Helo), b"mail.example.com");
    }
}
