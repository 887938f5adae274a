//! The names of a policy request's attributes and what they are here.
//!
//! Source: Postfix SMTPD_POLICY_README, "Protocol description"; `policy_test_time` is Postgrey's.

use greylatch_core::{Field, Stage};

/// An attribute that means something to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    /// The type of the request.
    Request,
    /// The stage of the SMTP dialogue.
    ProtocolState,
    /// Sent by Postfix 2.3 and later, always.
    EtrnDomain,
    /// A field of the attempt.
    Field(Field),
}

impl Attribute {
    /// The attribute of this name; any other is to be ignored. Compiled to a tree of comparisons,
    /// where a search in [`FIELDS`] compares with every name.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"request" => Some(Self::Request),
            b"protocol_state" => Some(Self::ProtocolState),
            b"etrn_domain" => Some(Self::EtrnDomain),
            b"client_address" => Some(Self::Field(Field::ClientAddress)),
            b"client_name" => Some(Self::Field(Field::ClientName)),
            b"helo_name" => Some(Self::Field(Field::Helo)),
            b"sender" => Some(Self::Field(Field::Sender)),
            b"recipient" => Some(Self::Field(Field::Recipient)),
            b"recipient_count" => Some(Self::Field(Field::RecipientCount)),
            b"queue_id" => Some(Self::Field(Field::QueueId)),
            b"instance" => Some(Self::Field(Field::Instance)),
            b"sasl_username" => Some(Self::Field(Field::Login)),
            b"encryption_protocol" => Some(Self::Field(Field::TlsProtocol)),
            b"policy_test_time" => Some(Self::Field(Field::TestTime)),
            _ => None,
        }
    }
}

/// All fields of an attempt, with their names in this protocol.
pub(crate) const FIELDS: [(&str, Field); 11] = [
    ("client_address", Field::ClientAddress),
    ("client_name", Field::ClientName),
    ("helo_name", Field::Helo),
    ("sender", Field::Sender),
    ("recipient", Field::Recipient),
    ("recipient_count", Field::RecipientCount),
    ("queue_id", Field::QueueId),
    ("instance", Field::Instance),
    ("sasl_username", Field::Login),
    ("encryption_protocol", Field::TlsProtocol),
    ("policy_test_time", Field::TestTime),
];

/// The `protocol_state` of a stage; of those that several stand for, one of them.
pub(super) fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Rcpt => "RCPT",
        Stage::Data => "DATA",
        Stage::EndOfMessage => "END-OF-MESSAGE",
        Stage::Earlier => "MAIL",
        Stage::Other => "VRFY",
    }
}

/// The stage that `protocol_state` names.
pub(super) fn stage_named(state: &[u8]) -> Stage {
    match state {
        b"RCPT" => Stage::Rcpt,
        b"DATA" => Stage::Data,
        b"END-OF-MESSAGE" => Stage::EndOfMessage,
        b"CONNECT" | b"EHLO" | b"HELO" | b"MAIL" => Stage::Earlier,
        _ => Stage::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_field_names_it() {
        for (name, field) in FIELDS {
            let named = Attribute::named(name.as_bytes());
            assert_eq!(named, Some(Attribute::Field(field)), "{name}");
        }
        for (name, field) in [("client_nam", None), ("client_names", None), ("", None)] {
            assert_eq!(Attribute::named(name.as_bytes()), field, "{name}");
        }
    }

    #[test]
    fn the_name_of_a_stage_names_it() {
        for stage in [
            Stage::Earlier,
            Stage::Rcpt,
            Stage::Data,
            Stage::EndOfMessage,
            Stage::Other,
        ] {
            assert_eq!(stage_named(stage_name(stage).as_bytes()), stage);
        }
    }
}
