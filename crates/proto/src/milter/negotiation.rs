//! The beginning of a connection: the MTA offers, the filter takes what it needs and no more.
//!
//! Source: Sendmail's `libmilter/docs/xxfi_negotiate.html`, and traces of Sendmail 8.17.1 and
//! Postfix 3.7.11: a filter that answers a higher version than was offered gets no mail.

use super::wire::{self, VERSION_MAX, VERSION_MIN, action, command, step};
use super::{ContentWanted, MilterOptions};
use crate::conversation::ProtocolError;

/// What both sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Agreement {
    version: u32,
    actions: u32,
    steps: u32,
}

/// The macros that are asked for at each stage: all that milter-greylist reads, what tells that a
/// client's name is verified, and what the log tells of a message. Such a list takes the place of
/// the administrator's.
const MACRO_LISTS: [(u32, &str); 4] = [
    (0, "j {if_addr} {daemon_port} {client_resolve}"),
    (1, "{verify} {cert_subject} {tls_version}"),
    (2, "i {auth_authen}"),
    (3, "i {greylist}"),
];

/// The stage with whose list further macros are asked for: at a recipient they are all set.
const MORE_STAGE: u32 = 3;

/// Adds the name of a macro behind others; one that could not stand in a list is left out.
fn push_name(out: &mut Vec<u8>, name: &[u8]) {
    if name.is_empty() || name.len() > NAME_MAX || !name.iter().all(u8::is_ascii_graphic) {
        return;
    }
    out.push(b' ');
    if let [letter] = name {
        out.push(*letter);
    } else {
        out.push(b'{');
        out.extend_from_slice(name);
        out.push(b'}');
    }
}

/// Longer names are no macros.
const NAME_MAX: usize = 64;

/// Steps that nothing here looks at, and answers that nothing here has to give.
const UNNEEDED: u32 = step::NO_END_OF_HEADERS
    | step::NO_UNKNOWN
    | step::NO_DATA
    | step::NO_REPLY_CONNECT
    | step::NO_REPLY_HELO
    | step::NO_REPLY_MAIL;

/// How much of a message's content is asked for.
fn content_steps(wanted: ContentWanted) -> u32 {
    let headers = if wanted.headers {
        step::NO_REPLY_HEADER
    } else {
        step::NO_HEADERS
    };
    let body = match wanted {
        ContentWanted { body: false, .. } => step::NO_BODY,
        // What is skipped cannot be counted.
        ContentWanted { size: true, .. } => step::NO_REPLY_BODY,
        _ => step::NO_REPLY_BODY | step::SKIP,
    };
    let exact = match wanted.exact {
        true => step::LEADING_SPACE,
        false => 0,
    };
    headers | body | exact
}

impl Agreement {
    /// What is taken of an offer.
    pub(super) fn of(offer: &[u8], options: &MilterOptions) -> Result<Self, ProtocolError> {
        let malformed = ProtocolError::Malformed(char::from(command::NEGOTIATE));
        let [version, actions, steps] = wire::three_numbers(offer).ok_or(malformed)?;
        if version < VERSION_MIN {
            return Err(ProtocolError::VersionTooOld { version });
        }
        let offered = |bits, oldest| if bits == 0 { oldest } else { bits };
        let wanted = [
            (options.adds_header, action::ADD_HEADERS),
            (options.changes_headers, action::CHANGE_HEADERS),
            (options.changes_body, action::CHANGE_BODY),
            (true, action::MACRO_LISTS),
        ];
        let wanted = wanted.iter().filter(|(is_wanted, _)| *is_wanted);
        let wanted = wanted.fold(0, |bits, (_, bit)| bits | bit);
        Ok(Self {
            version: version.min(VERSION_MAX),
            actions: offered(actions, action::OLDEST) & wanted,
            steps: offered(steps, step::OLDEST) & (UNNEEDED | content_steps(options.content)),
        })
    }

    /// Says what was taken.
    pub(super) fn say(&self, out: &mut Vec<u8>, more: &[Vec<u8>]) {
        wire::push(out, command::NEGOTIATE, |out| {
            for number in [self.version, self.actions, self.steps] {
                out.extend_from_slice(&number.to_be_bytes());
            }
            if self.actions & action::MACRO_LISTS == 0 {
                return;
            }
            for (stage, macros) in MACRO_LISTS {
                out.extend_from_slice(&stage.to_be_bytes());
                out.extend_from_slice(macros.as_bytes());
                if stage == MORE_STAGE {
                    more.iter().for_each(|name| push_name(out, name));
                }
                out.push(0);
            }
        });
    }

    /// Whether this command is to be answered at all.
    pub(super) fn wants_answer(&self, command: u8) -> bool {
        let quiet = match command {
            command::CONNECT => step::NO_REPLY_CONNECT,
            command::HELO => step::NO_REPLY_HELO,
            command::MAIL => step::NO_REPLY_MAIL,
            command::HEADER => step::NO_REPLY_HEADER,
            command::BODY => step::NO_REPLY_BODY,
            _ => 0,
        };
        self.steps & quiet == 0
    }

    /// Whether the MTA can be told that it need not send the rest of a body.
    pub(super) fn skips(&self) -> bool {
        self.steps & step::SKIP != 0
    }

    /// Whether values of headers come, and go, with the space behind the colon.
    pub(super) fn spaces_headers(&self) -> bool {
        self.steps & step::LEADING_SPACE != 0
    }

    pub(super) fn adds_headers(&self) -> bool {
        self.actions & action::ADD_HEADERS != 0
    }

    pub(super) fn changes_headers(&self) -> bool {
        self.actions & action::CHANGE_HEADERS != 0
    }

    pub(super) fn changes_body(&self) -> bool {
        self.actions & action::CHANGE_BODY != 0
    }

    /// Whether a header can be put on top of the others.
    ///
    /// Source: `libmilter/docs/smfi_insheader.html`, which came with Sendmail 8.13; the protocol's
    /// version was 2 for some time after, and Postfix takes it at every version.
    pub(super) fn inserts_headers(&self) -> bool {
        self.adds_headers() && self.version > VERSION_MIN
    }
}
