//! Random bytes to the control socket's protocol, to its answers and to imported records: it never
//! panics, what was understood is understood again when it is written, and pieces make no
//! difference.
//!
//! The first byte is the size of the pieces.

use greylatch_core::{Answer, Request};
use greylatch_proto::{
    ControlConversation, Conversation, Step, decode_answer, encode_request, record_from_json,
    record_to_json,
};

/// Checks one input.
pub(crate) fn check(input: &[u8]) {
    let Some((size, bytes)) = input.split_first() else {
        return;
    };
    let whole = converse(bytes, bytes.len().max(1));
    let cut = converse(bytes, usize::from(*size) + 1);
    assert!(whole == cut, "the size of the pieces makes a difference");
    for request in &whole.0 {
        let again = encode_request(request);
        let (asked, _) = converse(&again, again.len());
        assert_eq!(asked, std::slice::from_ref(request));
    }
    for line in whole.1.split_inclusive(|byte| *byte == b'\n') {
        assert!(decode_answer(line).is_ok(), "{}", line.escape_ascii());
    }
    // Whatever the server says must not bring the client down.
    let _ = decode_answer(bytes);
    let record = str::from_utf8(bytes)
        .ok()
        .and_then(|text| record_from_json(text).ok());
    if let Some(record) = record {
        assert_eq!(record_from_json(&record_to_json(&record)), Ok(record));
    }
}

/// What is asked and what is said.
fn converse(bytes: &[u8], size: usize) -> (Vec<Request>, Vec<u8>) {
    let mut conversation = ControlConversation::new();
    let mut pieces = bytes.chunks(size);
    let (mut asked, mut said) = (Vec::new(), Vec::new());
    loop {
        let step = conversation.step();
        said.append(conversation.output());
        match step {
            Ok(Step::Ask(ticket, request)) => {
                conversation.answer(ticket, &Answer::Done(1));
                asked.push(request);
            }
            Ok(Step::Read) => match pieces.next() {
                Some(piece) => conversation.feed(piece),
                None => conversation.finish(),
            },
            Ok(Step::Close) | Err(_) => return (asked, said),
            Ok(Step::Wait) => panic!("nothing is outstanding"),
        }
    }
}
