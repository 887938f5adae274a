//! milter-greylist's synchronisation of mail exchangers: lines of text over TCP, one event each,
//! told by whoever saw it to all others. Both ends: [`PeerConversation`] is told, [`PeerSender`]
//! tells.
//!
//! Versions 1 to 3 are spoken. Who may connect is the owner's business; the protocol knows nothing
//! but addresses. What was told is not passed on.
//!
//! Source: milter-greylist 4.6.4 as observed by running it.

mod command;
mod receiver;
mod sender;

pub use self::receiver::PeerConversation;
pub use self::sender::{PeerNotice, PeerSender, PeerStep, Unqueued};

/// The longest line, in bytes, without its end.
const LINE_MAX: usize = 512;

/// Takes the first line, without its end, off what was read. `Err` when it is too long, or will be.
fn take_line(unread: &mut Vec<u8>) -> Result<Option<Vec<u8>>, TooLong> {
    let Some(end) = unread.iter().position(|byte| *byte == b'\n') else {
        return if unread.len() > LINE_MAX {
            Err(TooLong)
        } else {
            Ok(None)
        };
    };
    if end > LINE_MAX {
        return Err(TooLong);
    }
    let rest = unread.split_off(end + 1);
    let mut line = std::mem::replace(unread, rest);
    line.pop();
    if line.ends_with(b"\r") {
        line.pop();
    }
    Ok(Some(line))
}

/// A line does not end.
#[derive(Debug, PartialEq, Eq)]
struct TooLong;

/// Whether `byte` stands between words.
fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}
