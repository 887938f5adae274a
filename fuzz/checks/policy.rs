//! Random bytes in random pieces to the policy protocol: it never panics, says whole answers
//! only, and says and asks the same however the bytes are cut.
//!
//! The first byte chooses options and the size of the pieces.

use std::sync::Arc;

use greylatch_core::{Answer, Request, Verdict};
use greylatch_proto::{Conversation, PolicyConversation, PolicyOptions, Step};

/// Checks one input.
pub(crate) fn check(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    let options = Arc::new(PolicyOptions {
        close_after_answer: choice & 0x80 != 0,
        ..PolicyOptions::default()
    });
    let whole = converse(&options, bytes, bytes.len().max(1));
    let cut = converse(&options, bytes, usize::from(choice & 0x7f) + 1);
    assert!(whole == cut, "the size of the pieces makes a difference");
    assert!(are_whole_answers(&whole.1), "{}", whole.1.escape_ascii());
}

/// What is asked, what is said, and whether the stream broke.
fn converse(
    options: &Arc<PolicyOptions>,
    bytes: &[u8],
    size: usize,
) -> (Vec<Request>, Vec<u8>, bool) {
    let mut conversation = PolicyConversation::new(options.clone());
    let mut pieces = bytes.chunks(size);
    let (mut asked, mut said) = (Vec::new(), Vec::new());
    loop {
        let step = conversation.step();
        said.append(conversation.output());
        match step {
            Ok(Step::Ask(ticket, request)) => {
                // Bytes from outside come back in a header, to see that none ends a line.
                let header = Some(bytes.to_vec());
                conversation.answer(ticket, &Answer::Verdict(Verdict::Pass { header }));
                asked.push(request);
            }
            Ok(Step::Read) => match pieces.next() {
                Some(piece) => conversation.feed(piece),
                None => conversation.finish(),
            },
            Ok(Step::Close) => return (asked, said, false),
            Ok(Step::Wait) => panic!("nothing is outstanding"),
            Err(_) => return (asked, said, true),
        }
    }
}

fn are_whole_answers(mut said: &[u8]) -> bool {
    while !said.is_empty() {
        let Some(end) = said.iter().position(|byte| *byte == b'\n') else {
            return false;
        };
        if !said.starts_with(b"action=") || said.get(end + 1) != Some(&b'\n') {
            return false;
        }
        said = &said[end + 2..];
    }
    true
}
