//! Packets and numbers of the milter protocol.
//!
//! A packet is its length as 32 bits, most significant byte first, then a command byte and its
//! content; the length counts command and content. Strings end in NUL and have no character set.
//!
//! Source: Sendmail's `include/libmilter/mfdef.h` (commands, bits, stages of macros) and Postfix's
//! MILTER_README; both confirmed by traces of Sendmail 8.17.1 and Postfix 3.7.11.

use crate::conversation::ProtocolError;

/// The longest content of a packet; more is sent only to a filter that asked for it.
pub(super) const CONTENT_MAX: usize = 65_535;

/// The versions of the protocol that there are.
pub(super) const VERSION_MIN: u32 = 2;
pub(super) const VERSION_MAX: u32 = 6;

/// Commands of the MTA.
pub(super) mod command {
    pub(in super::super) const ABORT: u8 = b'A';
    pub(in super::super) const BODY: u8 = b'B';
    pub(in super::super) const CONNECT: u8 = b'C';
    pub(in super::super) const MACROS: u8 = b'D';
    pub(in super::super) const END_OF_BODY: u8 = b'E';
    pub(in super::super) const HELO: u8 = b'H';
    pub(in super::super) const QUIT_FOR_NEXT: u8 = b'K';
    pub(in super::super) const HEADER: u8 = b'L';
    pub(in super::super) const MAIL: u8 = b'M';
    pub(in super::super) const END_OF_HEADERS: u8 = b'N';
    pub(in super::super) const NEGOTIATE: u8 = b'O';
    pub(in super::super) const QUIT: u8 = b'Q';
    pub(in super::super) const RCPT: u8 = b'R';
    pub(in super::super) const DATA: u8 = b'T';
    pub(in super::super) const UNKNOWN: u8 = b'U';
}

/// Answers of the filter.
pub(super) mod reply {
    pub(in super::super) const ADD_HEADER: u8 = b'h';
    pub(in super::super) const CHANGE_HEADER: u8 = b'm';
    pub(in super::super) const CONTINUE: u8 = b'c';
    pub(in super::super) const INSERT_HEADER: u8 = b'i';
    pub(in super::super) const REPLACE_BODY: u8 = b'b';
    pub(in super::super) const REPLY_CODE: u8 = b'y';
    /// The rest of the body need not be sent.
    pub(in super::super) const SKIP: u8 = b's';
}

/// What a filter may do to a message.
pub(super) mod action {
    pub(in super::super) const ADD_HEADERS: u32 = 0x1;
    pub(in super::super) const CHANGE_BODY: u32 = 0x2;
    pub(in super::super) const CHANGE_HEADERS: u32 = 0x10;
    pub(in super::super) const MACRO_LISTS: u32 = 0x100;
    /// Of an MTA that offers nothing: those of version 1.
    pub(in super::super) const OLDEST: u32 = 0xF;
}

/// What the MTA may leave out, and what needs no answer.
pub(super) mod step {
    pub(in super::super) const NO_BODY: u32 = 0x10;
    pub(in super::super) const NO_HEADERS: u32 = 0x20;
    pub(in super::super) const NO_END_OF_HEADERS: u32 = 0x40;
    pub(in super::super) const NO_REPLY_HEADER: u32 = 0x80;
    pub(in super::super) const NO_UNKNOWN: u32 = 0x100;
    pub(in super::super) const NO_DATA: u32 = 0x200;
    pub(in super::super) const SKIP: u32 = 0x400;
    pub(in super::super) const NO_REPLY_CONNECT: u32 = 0x1000;
    pub(in super::super) const NO_REPLY_HELO: u32 = 0x2000;
    pub(in super::super) const NO_REPLY_MAIL: u32 = 0x4000;
    pub(in super::super) const NO_REPLY_BODY: u32 = 0x8_0000;
    pub(in super::super) const LEADING_SPACE: u32 = 0x10_0000;
    /// Of an MTA that offers nothing: those of version 1.
    pub(in super::super) const OLDEST: u32 = 0x3F;
}

/// A packet that has come whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) command: u8,
    pub(super) content: &'a [u8],
    /// Bytes of it on the wire.
    pub(super) length: usize,
}

/// The packet that `bytes` begin with; `None` until it has come whole.
pub(super) fn cut(bytes: &[u8]) -> Result<Option<Packet<'_>>, ProtocolError> {
    let Some((length, rest)) = bytes.split_first_chunk() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if length == 0 {
        return Err(ProtocolError::EmptyPacket);
    }
    if length > CONTENT_MAX + 1 {
        return Err(ProtocolError::PacketTooLong { max: CONTENT_MAX });
    }
    let packet = rest.get(..length).and_then(<[u8]>::split_first);
    Ok(packet.map(|(command, content)| Packet {
        command: *command,
        content,
        length: length + size_of::<u32>(),
    }))
}

/// Adds a packet whose content `write` gives.
pub(super) fn push(out: &mut Vec<u8>, command: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; size_of::<u32>()]);
    out.push(command);
    write(out);
    let length = u32::try_from(out.len() - start - size_of::<u32>()).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start..start + size_of::<u32>()) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

/// The string that `bytes` begin with, and what comes behind its NUL; all of it where none ends it.
pub(super) fn string(bytes: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(0, bytes).and_then(|end| bytes.split_at_checked(end)) {
        Some((text, rest)) => (text, rest.get(1..).unwrap_or_default()),
        None => (bytes, &[]),
    }
}

/// Three numbers, as in a negotiation.
pub(super) fn three_numbers(bytes: &[u8]) -> Option<[u32; 3]> {
    let mut numbers = [0; 3];
    let mut rest = bytes;
    for number in &mut numbers {
        let (bytes, after) = rest.split_first_chunk()?;
        *number = u32::from_be_bytes(*bytes);
        rest = after;
    }
    Some(numbers)
}
