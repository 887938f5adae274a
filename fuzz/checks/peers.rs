//! Random bytes to both ends of the protocol of mail exchangers: neither panics, pieces make no
//! difference, and what was understood is understood again when it is told.
//!
//! The first byte is the size of the pieces.

use greylatch_core::{Answer, PeerEvent, Request};
use greylatch_proto::{Conversation, PeerConversation, PeerSender, PeerStep, Step};

/// Checks one input.
pub(crate) fn check(input: &[u8]) {
    let Some((size, bytes)) = input.split_first() else {
        return;
    };
    let size = usize::from(*size) + 1;
    let whole = converse(bytes, bytes.len().max(1));
    assert!(
        whole == converse(bytes, size),
        "the size of the pieces makes a difference"
    );
    assert!(whole.1.is_ascii());
    let again = retell(&whole.0);
    assert_eq!(retell(&again), again);
    let told = tell(bytes, bytes.len().max(1));
    assert!(
        told == tell(bytes, size),
        "the size of the pieces makes a difference"
    );
}

/// What is asked and what is said.
fn converse(bytes: &[u8], size: usize) -> (Vec<PeerEvent>, Vec<u8>) {
    let mut conversation = PeerConversation::new();
    let mut pieces = bytes.chunks(size);
    let (mut asked, mut said) = (Vec::new(), Vec::new());
    loop {
        let step = conversation.step();
        said.append(conversation.output());
        match step {
            Ok(Step::Ask(ticket, Request::Peer(event))) => {
                conversation.answer(ticket, &Answer::Done(1));
                asked.push(event);
            }
            Ok(Step::Read) => match pieces.next() {
                Some(piece) => conversation.feed(piece),
                None => conversation.finish(),
            },
            Ok(Step::Close) | Err(_) => return (asked, said),
            Ok(other) => panic!("{other:?}"),
        }
    }
}

/// The events after a way from one end to the other.
fn retell(events: &[PeerEvent]) -> Vec<PeerEvent> {
    let mut sender = PeerSender::new(events.len());
    // It was read from a line, but may be longer when it is written, in brackets.
    let queued = events
        .iter()
        .filter(|event| sender.queue((*event).clone()).is_ok())
        .count();
    if sender.step() != PeerStep::Connect {
        assert_eq!(queued, 0);
        return vec![];
    }
    sender.connected();
    let mut receiver = PeerConversation::new();
    let mut heard = Vec::new();
    loop {
        match receiver.step() {
            Ok(Step::Ask(ticket, Request::Peer(event))) => {
                heard.push(event);
                receiver.answer(ticket, &Answer::Done(1));
            }
            Ok(Step::Read) => {
                sender.feed(&std::mem::take(receiver.output()));
                match sender.step() {
                    PeerStep::Read => receiver.feed(&std::mem::take(sender.output())),
                    PeerStep::Keep => {
                        assert_eq!(heard.len(), queued);
                        return heard;
                    }
                    other => panic!("{other:?}"),
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

/// What a sender of three events says to a peer that says these bytes, piece by piece, and
/// whether it closes.
fn tell(bytes: &[u8], size: usize) -> (Vec<u8>, bool) {
    let mut sender = PeerSender::new(3);
    for client in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
        let client = client.parse().expect("an address");
        assert_eq!(sender.queue(PeerEvent::Flushed(client)), Ok(()));
    }
    assert_eq!(sender.step(), PeerStep::Connect);
    sender.connected();
    let (mut pieces, mut said) = (bytes.chunks(size), Vec::new());
    loop {
        let step = sender.step();
        said.append(sender.output());
        match step {
            PeerStep::Read | PeerStep::Keep => match pieces.next() {
                Some(piece) => sender.feed(piece),
                None => return (said, false),
            },
            PeerStep::Close => return (said, true),
            other => panic!("{other:?}"),
        }
    }
}
