//! The two protocols that are measured: how a question is put together, and what an answer is.
//!
//! Source: Postfix SMTPD_POLICY_README, "Protocol description"; Sendmail's
//! `include/libmilter/mfdef.h`.

use crate::bench::request::Kind;

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Policy,
    Milter,
}

/// What lets mail go on, in the milter protocol: a packet of one command.
const CONTINUE: &[u8] = b"\0\0\0\x01c";

/// An MTA of version 6 that offers everything.
const NEGOTIATION: &[u8] = b"\0\0\0\x0dO\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff";

impl Dialect {
    /// Whether each question comes on a connection of its own: an MTA connects to its milters for
    /// each SMTP session.
    pub(crate) fn connects_anew(self) -> bool {
        self == Self::Milter
    }

    /// What is said once on each connection, before any question.
    pub(crate) fn greeting(self) -> &'static [u8] {
        match self {
            Self::Policy => b"",
            Self::Milter => NEGOTIATION,
        }
    }

    /// What is said before the connection is closed.
    pub(crate) fn farewell(self) -> &'static [u8] {
        match self {
            Self::Policy => b"",
            Self::Milter => b"\0\0\0\x01Q",
        }
    }

    /// Whether an answer has come whole.
    pub(crate) fn is_whole(self, answer: &[u8]) -> bool {
        match self {
            Self::Policy => answer.ends_with(b"\n\n"),
            Self::Milter => answer
                .split_first_chunk()
                .is_some_and(|(length, rest)| rest.len() >= u32::from_be_bytes(*length) as usize),
        }
    }

    /// Whether a server that greylists, or one that only answers, says this to such a question.
    pub(crate) fn is_expected(self, answer: &[u8], kind: Kind, greylists: bool) -> bool {
        let expected = if greylists { kind } else { Kind::Known };
        match self {
            Self::Policy => answer.starts_with(expected.answer()),
            Self::Milter if expected.waits() => answer.get(4) == Some(&b'y'),
            Self::Milter => answer.starts_with(CONTINUE),
        }
    }

    /// A question of a client below `domain`, with marks in the places that change; by the policy
    /// protocol it may bring its own time.
    pub(crate) fn question(self, domain: &str, timed: bool) -> Vec<u8> {
        let of_domain = |text: &str| text.replace("DOMAIN", domain);
        match self {
            Self::Policy => {
                let time = if timed { TIME } else { "" };
                [of_domain(POLICY).as_str(), time, "\n"].concat().into()
            }
            Self::Milter => MILTER
                .iter()
                .flat_map(|content| packet(of_domain(content).as_bytes()))
                .collect(),
        }
    }
}

const TIME: &str = "policy_test_time=TTTTTTTTTT\n";

fn packet(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("a short packet");
    [&length.to_be_bytes()[..], content].concat()
}

/// One session as Sendmail tells it: the client, one message's sender and one recipient; only the
/// last is answered. Capitals are overwritten.
const MILTER: [&str; 8] = [
    "DCj\0mx.example.org\0{daemon_port}\x0025\0{client_resolve}\0OK\0",
    "Cmx-NNNNNNNN.DOMAIN\x004\x1f\x40AAA.AAA.AAA.AAA\0",
    "DH{tls_version}\0TLSv1.3\0",
    "Hmx.DOMAIN\0",
    "DMi\x006AO3HcVL009224\0",
    "M<SSSSSSSSS@DDDD.sender.example>\0SIZE=21034\0",
    "DRi\x006AO3HcVL009224\0",
    "R<user-RRRR@example.org>\0",
];

/// The attributes in the order of Postfix 3.7; capitals are overwritten.
const POLICY: &str = "\
request=smtpd_access_policy
protocol_state=RCPT
protocol_name=ESMTP
client_address=AAA.AAA.AAA.AAA
client_name=mx-NNNNNNNN.DOMAIN
client_port=58192
reverse_client_name=mx.DOMAIN
server_address=192.0.2.25
server_port=25
helo_name=mx.DOMAIN
sender=SSSSSSSSS@DDDD.sender.example
recipient=user-RRRR@example.org
recipient_count=0
queue_id=
instance=3e5a.6b050004.IIIIIIII.0
size=21034
etrn_domain=
stress=
sasl_method=
sasl_username=
sasl_sender=
ccert_subject=
ccert_issuer=
ccert_fingerprint=
ccert_pubkey_fingerprint=
encryption_protocol=TLSv1.3
encryption_cipher=TLS_AES_256_GCM_SHA384
encryption_keysize=256
policy_context=
";
