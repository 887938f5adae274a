//! Random bytes in random pieces to OpenSMTPD's filter protocol: it never panics, says and asks the same
//! however the bytes are cut, and says only lines that smtpd can read, one for each question.
//!
//! The first byte chooses when it decides, the size of the pieces, and what it is answered.

use greylatch_core::{Answer, Reply, Request, Verdict};
use greylatch_proto::{AskAt, Conversation, FilterConversation, Step};

/// Checks one input.
pub(crate) fn check(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    let at = match choice & 0x80 {
        0 => AskAt::RcptTo,
        _ => AskAt::Data,
    };
    let whole = converse(at, bytes, bytes.len().max(1));
    let cut = converse(at, bytes, usize::from(choice & 0x7f) + 1);
    assert!(whole == cut, "the size of the pieces makes a difference");
    let mut said = &whole.1[..];
    let mut results = 0;
    while let Some(end) = said.iter().position(|byte| *byte == b'\n') {
        let line = std::str::from_utf8(&said[..end]).expect("ASCII");
        said = &said[end + 1..];
        results += usize::from(is_result(line));
    }
    assert!(said.is_empty(), "half a line");
    let questions = bytes.split_inclusive(|byte| *byte == b'\n');
    let questions = questions.filter(|line| line.starts_with(b"filter|") && line.ends_with(b"\n"));
    assert!(results <= questions.count());
}

/// Whether it answers a question; else it must register.
fn is_result(line: &str) -> bool {
    let Some(result) = line.strip_prefix("filter-result|") else {
        assert!(line.starts_with("register|"), "{line}");
        return false;
    };
    let mut fields = result.splitn(3, '|');
    for field in fields.by_ref().take(2) {
        assert!(u64::from_str_radix(field, 16).is_ok(), "{line}");
    }
    match fields.next() {
        Some("proceed") => true,
        Some(text) => {
            let reply = text.strip_prefix("reject|").expect("a result");
            assert!(
                reply.starts_with("451 4.7.1 ") && reply.len() <= 510,
                "{line}"
            );
            true
        }
        None => panic!("{line}"),
    }
}

/// What is asked and what is said.
fn converse(at: AskAt, bytes: &[u8], size: usize) -> (Vec<Request>, Vec<u8>) {
    let mut conversation = FilterConversation::new(at);
    let mut pieces = bytes.chunks(size);
    let (mut asked, mut said) = (Vec::new(), Vec::new());
    loop {
        let step = conversation.step();
        said.append(conversation.output());
        match step {
            Ok(Step::Ask(ticket, request)) => {
                // Bytes from outside come back in a reply, to see that none ends a line.
                let reply = Reply {
                    text: bytes.to_vec(),
                    has_status: false,
                };
                conversation.answer(ticket, &Answer::Verdict(Verdict::Defer(reply)));
                asked.push(request);
            }
            Ok(Step::Read) => match pieces.next() {
                Some(piece) => conversation.feed(piece),
                None => conversation.finish(),
            },
            Ok(Step::Close) => return (asked, said),
            other => panic!("{other:?}"),
        }
    }
}
