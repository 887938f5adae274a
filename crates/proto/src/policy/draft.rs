//! A policy request while its attributes arrive.

use greylatch_core::{Attempt, Field, Notice, Request};

use super::attribute::{Attribute, FIELDS, stage_named};
use super::line::VALUE_MAX;

/// What has been read of one request.
#[derive(Debug, Default)]
pub(super) struct Draft {
    kind: Kind,
    attempt: Attempt,
    /// Bytes that the attempt holds, values that were set again included.
    held: usize,
    /// Whether `etrn_domain` was there.
    etrn_domain: bool,
    /// Lines of this request that were no attributes.
    garbage: usize,
}

/// The type of the request, by the attribute `request`.
#[derive(Debug, Default)]
enum Kind {
    #[default]
    Absent,
    Access,
    Other(Vec<u8>),
}

/// A complete request.
#[derive(Debug)]
pub(super) enum Complete {
    /// It asks about an attempt.
    Ask {
        /// What is asked.
        request: Request,
        /// Whether replies are to be marked for Postfix 2.3 and later.
        etrn_domain: bool,
    },
    /// It is of a type that is not ours.
    Unknown(Vec<u8>),
}

/// The only type of request there is.
const ACCESS_POLICY: &[u8] = b"smtpd_access_policy";

/// Without these nothing can be judged; in the order in which Postgrey misses them.
const NEEDED: [(&str, Field); 4] = [
    ("client_address", Field::ClientAddress),
    ("client_name", Field::ClientName),
    ("recipient", Field::Recipient),
    ("sender", Field::Sender),
];

/// Bytes of values that are held before those that were set again are dropped.
const HELD_MAX: usize = 64 << 10;

/// Of one request so many lines of garbage are noticed.
const GARBAGE_MAX: usize = 8;

impl Draft {
    pub(super) fn set(&mut self, name: &[u8], value: &[u8]) {
        match Attribute::named(name) {
            None => {}
            Some(Attribute::Request) if value == ACCESS_POLICY => self.kind = Kind::Access,
            Some(Attribute::Request) => self.kind = Kind::Other(value.to_vec()),
            Some(Attribute::ProtocolState) => self.attempt.set_stage(stage_named(value)),
            Some(Attribute::EtrnDomain) => self.etrn_domain = true,
            Some(Attribute::Field(field)) => self.set_field(field, value),
        }
    }

    fn set_field(&mut self, field: Field, value: &[u8]) {
        if self.held + value.len() > HELD_MAX {
            self.drop_replaced();
        }
        self.held += value.len();
        self.attempt.set(field, value);
    }

    /// An attempt keeps the bytes of values that were set again; a copy holds the last ones only.
    fn drop_replaced(&mut self) {
        const { assert!(FIELDS.len() * VALUE_MAX < HELD_MAX / 2) }
        let mut fresh = Attempt::new();
        fresh.set_stage(self.attempt.stage());
        self.held = 0;
        for (_, field) in FIELDS {
            if let Some(value) = self.attempt.field(field) {
                fresh.set(field, value);
                self.held += value.len();
            }
        }
        self.attempt = fresh;
    }

    /// Takes a line that is no attribute; gives a notice unless there were many.
    pub(super) fn garbage(&mut self, line: &[u8]) -> Option<Notice> {
        self.garbage += 1;
        (self.garbage <= GARBAGE_MAX).then(|| Notice::Garbage(line.to_vec()))
    }

    pub(super) fn complete(self) -> Complete {
        let kind = match self.kind {
            Kind::Access => None,
            Kind::Absent => Some(Vec::new()),
            Kind::Other(kind) => Some(kind),
        };
        if let Some(kind) = kind {
            return Complete::Unknown(kind);
        }
        let missing = NEEDED
            .iter()
            .find(|(_, field)| self.attempt.field(*field).is_none());
        let request = match missing {
            Some((name, _)) => {
                Request::PassUnread(self.attempt.into(), Notice::MissingAttribute(name))
            }
            None => Request::Judge(self.attempt),
        };
        Complete::Ask {
            request,
            etrn_domain: self.etrn_domain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_set_over_and_over_does_not_pile_up() {
        let mut draft = Draft::default();
        draft.set(b"protocol_state", b"DATA");
        draft.set(b"client_name", b"mx.example.com");
        for _ in 0..2_000 {
            draft.set(b"sender", &[b's'; VALUE_MAX]);
            assert!(draft.held <= HELD_MAX);
        }
        draft.set(b"sender", b"last@example.com");
        assert_eq!(draft.attempt.text(Field::Sender), b"last@example.com");
        assert_eq!(draft.attempt.text(Field::ClientName), b"mx.example.com");
        assert_eq!(draft.attempt.stage(), greylatch_core::Stage::Data);
    }
}
