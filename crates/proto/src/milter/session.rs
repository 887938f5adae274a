//! What an MTA has told of a connection and of the message under way.

use greylatch_core::{Attempt, Content, Field, Stage};

use super::macros::Macros;
use super::wire;

/// One SMTP session.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) macros: Macros,
    name: Vec<u8>,
    /// `None`: the client came by no network.
    address: Option<Vec<u8>>,
    helo: Vec<u8>,
    connected: bool,
    messages: u32,
    message: Option<Message>,
}

/// The message under way.
#[derive(Debug, Default)]
struct Message {
    sender: Vec<u8>,
    accepted: u64,
    /// The last recipient that was accepted.
    recipient: Vec<u8>,
    /// To be put on top of the message.
    header: Option<Vec<u8>>,
    /// What the message says, where anybody wants to know.
    content: Option<Content>,
}

/// Bytes kept of a value, as by the policy protocol.
const VALUE_MAX: usize = 512;

/// Names that an MTA could not verify by looking them up and back.
///
/// Source: Sendmail's `doc/op/op.me`, `{client_resolve}`.
const UNVERIFIED: [&[u8]; 3] = [b"FAIL", b"FORGED", b"TEMP"];

impl Session {
    /// Takes what the MTA says of a client; `None` when it cannot be read.
    pub(super) fn connect(&mut self, content: &[u8]) -> Option<()> {
        let (name, rest) = wire::string(content);
        let (family, rest) = rest.split_first()?;
        self.name = kept(name).to_vec();
        self.address = match family {
            b'4' | b'6' => {
                let (address, _) = wire::string(rest.get(2..)?);
                Some(kept(without_tag(address)).to_vec())
            }
            b'L' | b'U' => None,
            _ => return None,
        };
        self.helo.clear();
        self.message = None;
        self.connected = true;
        Some(())
    }

    pub(super) fn helo(&mut self, content: &[u8]) {
        self.helo = kept(wire::string(content).0).to_vec();
    }

    /// A message begins, of whose content at most so many bytes are kept.
    pub(super) fn mail(&mut self, content: &[u8], kept_max: Option<usize>) {
        self.messages = self.messages.wrapping_add(1);
        self.message = Some(Message {
            sender: address(wire::string(content).0).to_vec(),
            content: kept_max.map(Content::new),
            ..Message::default()
        });
    }

    /// A header of the message under way; `exact` says that what is behind its colon is all told.
    pub(super) fn header(&mut self, content: &[u8], exact: bool) {
        let (name, rest) = wire::string(content);
        let value = wire::string(rest).0;
        match self.content() {
            Some(kept) if exact => kept.add_exact_header(name, value),
            Some(kept) => kept.add_header(name, value),
            None => {}
        }
    }

    /// A piece of the body of the message under way.
    pub(super) fn body(&mut self, piece: &[u8]) {
        if let Some(kept) = self.content() {
            kept.add_body(piece);
        }
    }

    /// Whether more of the message under way has come than is kept.
    pub(super) fn is_cut(&mut self) -> bool {
        self.content().is_some_and(|kept| !kept.is_whole())
    }

    fn content(&mut self) -> Option<&mut Content> {
        self.message.as_mut()?.content.as_mut()
    }

    /// The message under way is over.
    pub(super) fn end_message(&mut self) {
        self.message = None;
        self.macros.end_message();
    }

    /// The connection is over; another may follow.
    pub(super) fn end(&mut self) {
        let mut macros = std::mem::take(&mut self.macros);
        macros.clear();
        *self = Self {
            macros,
            messages: self.messages,
            ..Self::default()
        };
    }

    /// What the MTA has not told and should have, before a recipient.
    pub(super) fn missing(&self) -> Option<&'static str> {
        if !self.connected {
            return Some("client_address");
        }
        self.message.is_none().then_some("sender")
    }

    /// The attempt to reach one more recipient.
    pub(super) fn attempt(&self, content: &[u8], macros: &[Vec<u8>]) -> Attempt {
        let mut attempt = self.begun(Stage::Rcpt, macros);
        attempt.set(Field::Recipient, address(wire::string(content).0));
        attempt
    }

    /// The message as a whole, when anybody is to get it; its content goes with it.
    pub(super) fn whole(&mut self, macros: &[Vec<u8>]) -> Option<Attempt> {
        let content = self.message.as_mut()?.content.take();
        let message = self.message.as_ref()?;
        if message.accepted == 0 {
            return None;
        }
        let mut attempt = self.begun(Stage::EndOfMessage, macros);
        if let Some(content) = content {
            attempt.set_content(content);
        }
        let only: &[u8] = if message.accepted == 1 {
            &message.recipient
        } else {
            b""
        };
        attempt.set(Field::Recipient, only);
        attempt.set(
            Field::RecipientCount,
            message.accepted.to_string().as_bytes(),
        );
        Some(attempt)
    }

    /// A recipient has been accepted, perhaps with a header for the message.
    pub(super) fn accepted(&mut self, recipient: &[u8], header: Option<&[u8]>) {
        let Some(message) = &mut self.message else {
            return;
        };
        message.accepted += 1;
        message.recipient.clear();
        message.recipient.extend_from_slice(recipient);
        if let (None, Some(header)) = (&message.header, header) {
            message.header = Some(header.to_vec());
        }
    }

    /// The header for this message, once.
    pub(super) fn take_header(&mut self) -> Option<Vec<u8>> {
        self.message.as_mut()?.header.take()
    }

    /// An attempt with all but its recipient.
    fn begun(&self, stage: Stage, macros: &[Vec<u8>]) -> Attempt {
        let mut attempt = Attempt::new();
        attempt.set_stage(stage);
        attempt.set_message(self.messages);
        if let Some(address) = &self.address {
            attempt.set(Field::ClientAddress, address);
        }
        attempt.set(Field::ClientName, self.verified_name());
        attempt.set(Field::ClientHost, &self.name);
        attempt.set(Field::Helo, &self.helo);
        if let Some(message) = &self.message {
            attempt.set(Field::Sender, &message.sender);
        }
        for (field, name) in TOLD {
            // A macro that is not set is not sent.
            let value = self.macros.value(name).unwrap_or_default();
            attempt.set(field, kept(value));
        }
        for name in macros {
            if let Some(value) = self.macros.value(name) {
                attempt.set_macro(name, kept(value));
            }
        }
        let subject = self.macros.value(b"cert_subject");
        if let Some(subject) = subject.filter(|_| self.macros.value(b"verify") == Some(b"OK")) {
            attempt.set(Field::CertSubject, kept(subject));
        }
        attempt
    }

    /// The client's name; `unknown` unless it was verified, as in Postfix.
    fn verified_name(&self) -> &[u8] {
        let resolved = self.macros.value(b"client_resolve");
        let unverified = resolved.is_some_and(|resolved| UNVERIFIED.contains(&resolved));
        if unverified || self.name.starts_with(b"[") {
            b"unknown"
        } else {
            &self.name
        }
    }
}

/// Macros that tell a field as it is.
const TOLD: [(Field, &[u8]); 4] = [
    (Field::QueueId, b"i"),
    (Field::Login, b"auth_authen"),
    (Field::TlsProtocol, b"tls_version"),
    (Field::Access, b"greylist"),
];

fn kept(value: &[u8]) -> &[u8] {
    value.get(..VALUE_MAX).unwrap_or(value)
}

/// An IPv6 address without the tag that Sendmail puts in front.
///
/// Source: RFC 5321 §4.1.3; traces of Sendmail 8.17.1.
fn without_tag(address: &[u8]) -> &[u8] {
    match address.split_at_checked(5) {
        Some((tag, rest)) if tag.eq_ignore_ascii_case(b"IPv6:") => rest,
        _ => address,
    }
}

/// The mailbox in what a client wrote: without brackets, blanks around it and a source route.
///
/// Source: RFC 5321 §4.1.1.3 (source routes are to be ignored) and appendix C.
pub(super) fn address(written: &[u8]) -> &[u8] {
    let written = written.trim_ascii();
    let bare = written.strip_prefix(b"<").unwrap_or(written);
    let bare = bare.strip_suffix(b">").unwrap_or(bare).trim_ascii();
    let routed = bare.first() == Some(&b'@');
    let colon = memchr::memchr(b':', bare).filter(|_| routed);
    let mailbox = colon.and_then(|colon| bare.get(colon + 1..));
    kept(mailbox.unwrap_or(bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_what_is_not_the_mailbox() {
        let pairs = [
            ("<a@example.com>", "a@example.com"),
            ("Alice@Example.COM", "Alice@Example.COM"),
            ("<>", ""),
            ("", ""),
            (" < b@example.com > ", "b@example.com"),
            ("<@relay.test,@other.test:root@sm.test>", "root@sm.test"),
            ("<\"a:b\"@example.com>", "\"a:b\"@example.com"),
            ("<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]"),
            ("<@nobody>", "@nobody"),
        ];
        for (written, mailbox) in pairs {
            assert_eq!(address(written.as_bytes()), mailbox.as_bytes(), "{written}");
        }
        assert_eq!(address(&[b'x'; 2_000]).len(), VALUE_MAX);
    }
}
