//! A verdict's text as a reply that every MTA takes; how it is wrapped is for the protocol.
//!
//! Source: RFC 5321 §4.2 (codes), RFC 3463 §2 (enhanced status); traces of Sendmail 8.17.1 and Postfix
//! 3.7.11: an enhanced status of another class than the code's makes Postfix take the whole reply for
//! malformed and answer `451 4.3.5 Server configuration problem`.

use greylatch_core::Reply;

/// Defer or refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Defer,
    Refuse,
}

impl Class {
    /// The first digit of its codes.
    fn digit(self) -> u8 {
        match self {
            Self::Defer => b'4',
            Self::Refuse => b'5',
        }
    }

    /// The reply code and the enhanced status where the text brings none.
    fn status(self) -> [&'static [u8]; 2] {
        match self {
            Self::Defer => [b"451", b"4.7.1"],
            Self::Refuse => [b"550", b"5.7.1"],
        }
    }

    /// What is said in place of a text that an MTA would not take.
    fn plain_text(self) -> &'static [u8] {
        match self {
            Self::Defer => b"Greylisted, please try again later",
            Self::Refuse => b"Mail from you is not accepted here",
        }
    }
}

/// A reply in its parts, of which the code has the class that was asked for and the text is printable
/// ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReplyParts<'a> {
    class: Class,
    code: &'a [u8],
    status: &'a [u8],
    text: &'a [u8],
}

impl<'a> ReplyParts<'a> {
    /// The parts of `reply`; a plain text in its place where an MTA would not take it, or when it is
    /// longer than `text_max` bytes.
    pub(crate) fn of(class: Class, reply: &'a Reply, text_max: usize) -> Self {
        let [code, status] = class.status();
        let told = Told::read(&reply.text, reply.has_status);
        let fits = told
            .code
            .is_none_or(|code| code.first() == Some(&class.digit()))
            && told.text.len() <= text_max
            && told.text.iter().all(|byte| matches!(byte, b' '..=b'~'));
        if !fits {
            return Self {
                class,
                code,
                status,
                text: class.plain_text(),
            };
        }
        Self {
            class,
            code: told.code.unwrap_or(code),
            status: told.status.unwrap_or(status),
            text: told.text,
        }
    }

    /// The same with the usual code in place of 421, upon which an MTA closes the session and what it
    /// has said of other recipients is lost.
    pub(crate) fn keeping_the_session(self) -> Self {
        let code = match self.code {
            b"421" => self.class.status()[0],
            code => code,
        };
        Self { code, ..self }
    }

    /// The text without code and status.
    pub(crate) fn text(&self) -> &'a [u8] {
        self.text
    }

    /// The reply code.
    pub(crate) fn code(&self) -> &'a [u8] {
        self.code
    }

    /// Adds the enhanced status.
    pub(crate) fn push_enhanced(&self, out: &mut Vec<u8>) {
        // Code and status are of one class, or Postfix takes neither.
        out.push(self.class.digit());
        out.extend_from_slice(self.status.get(1..).unwrap_or_default());
    }

    /// Adds code and status, with `separator` between them and a blank behind.
    pub(crate) fn push_status(&self, separator: u8, out: &mut Vec<u8>) {
        out.extend_from_slice(self.code);
        out.push(separator);
        self.push_enhanced(out);
        out.push(b' ');
    }
}

/// A text and what status it brings.
struct Told<'a> {
    code: Option<&'a [u8]>,
    status: Option<&'a [u8]>,
    text: &'a [u8],
}

impl<'a> Told<'a> {
    fn read(text: &'a [u8], has_status: bool) -> Self {
        let mut told = Self {
            code: None,
            status: None,
            text,
        };
        if !has_status {
            return told;
        }
        if let Some((word, rest)) = word(told.text)
            && is_code(word)
        {
            (told.code, told.text) = (Some(word), rest);
        }
        if let Some((word, rest)) = word(told.text)
            && is_enhanced(word)
        {
            (told.status, told.text) = (Some(word), rest);
        }
        told
    }
}

/// The first word and what stands behind the blank after it.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b' ', text).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end)?;
    Some((word, rest.get(1..).unwrap_or_default()))
}

/// Whether it is a reply code. Source: RFC 5321 §4.2.
pub(crate) fn is_code(word: &[u8]) -> bool {
    word.len() == 3 && word.iter().all(u8::is_ascii_digit)
}

/// Whether it is an enhanced status of a deferral or refusal. Source: RFC 3463 §2.
pub(crate) fn is_enhanced(word: &[u8]) -> bool {
    let parts: Vec<&[u8]> = word.split(|byte| *byte == b'.').collect();
    let [class, subject, detail] = parts[..] else {
        return false;
    };
    let number = |part: &[u8], digits| {
        (1..=digits).contains(&part.len()) && part.iter().all(u8::is_ascii_digit)
    };
    matches!(class, b"4" | b"5") && number(subject, 3) && number(detail, 3)
}
