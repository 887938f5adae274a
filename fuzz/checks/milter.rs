//! Random bytes in random pieces to the milter protocol: it never panics, says whole packets only,
//! and says and asks the same however the bytes are cut.
//!
//! The first byte chooses options and the size of the pieces. Where the rest begins with no
//! negotiation it gets one, so that more than the first packet is looked at.

use std::sync::Arc;

use greylatch_core::{Amendment, Answer, NewHeader, Reply, Request, Stage, Verdict};
use greylatch_proto::{ContentWanted, Conversation, MilterConversation, MilterOptions, Step};

/// A negotiation of version 6 that offers everything.
const NEGOTIATION: &[u8] = b"\0\0\0\x0dO\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff";

/// Checks one input.
pub(crate) fn check(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    let options = Arc::new(MilterOptions {
        adds_header: choice & 0x80 == 0,
        changes_headers: choice & 0x20 != 0,
        changes_body: choice & 0x10 != 0,
        judges_end: choice & 0x40 != 0,
        content: ContentWanted {
            headers: choice & 0x08 != 0,
            exact: choice & 0x01 != 0,
            body: choice & 0x04 != 0,
            size: choice & 0x02 != 0,
            bytes_max: 40,
        },
        macros: vec![b"j".to_vec(), b"if_addr".to_vec()],
    });
    let bytes = match bytes.get(4) {
        Some(b'O') => bytes.to_vec(),
        _ => [NEGOTIATION, bytes].concat(),
    };
    let whole = converse(&options, &bytes, bytes.len());
    let cut = converse(&options, &bytes, usize::from(choice & 0x3f) + 1);
    assert!(whole == cut, "the size of the pieces makes a difference");
    assert!(are_whole_packets(&whole.1), "{}", whole.1.escape_ascii());
}

/// What is asked, what is said, and whether the stream broke.
fn converse(
    options: &Arc<MilterOptions>,
    bytes: &[u8],
    size: usize,
) -> (Vec<Request>, Vec<u8>, bool) {
    let mut conversation = MilterConversation::new(options.clone());
    let mut pieces = bytes.chunks(size.max(1));
    let (mut asked, mut said) = (Vec::new(), Vec::new());
    loop {
        let step = conversation.step();
        said.append(conversation.output());
        match step {
            Ok(Step::Ask(ticket, request)) => {
                // Bytes from outside come back in a reply and in a header.
                let text = bytes.to_vec();
                let is_end = matches!(
                    &request,
                    Request::Judge(attempt) if attempt.stage() == Stage::EndOfMessage
                );
                let verdict = if is_end {
                    Verdict::Amend(amendments(&text))
                } else if asked.len() % 2 == 0 {
                    Verdict::Defer(Reply {
                        text,
                        has_status: asked.len() % 4 == 0,
                    })
                } else {
                    let header = Some([b"X-Greylist: ", &text[..]].concat());
                    Verdict::Pass { header }
                };
                conversation.answer(ticket, &Answer::Verdict(verdict));
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

/// Each kind of change, with bytes from outside.
fn amendments(text: &[u8]) -> Vec<Amendment> {
    let line = [b"X-Greylist: ", text].concat();
    let index = Some(1);
    vec![
        Amendment::ChangeHeader(line.clone()),
        Amendment::ReplaceBody(text.to_vec()),
        Amendment::AddHeader(NewHeader { line, index }),
    ]
}

/// Whether each packet is whole, and the text of a reply and of a header is what an MTA takes.
fn are_whole_packets(mut said: &[u8]) -> bool {
    while let Some((length, rest)) = said.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        let Some((packet, after)) = rest.split_at_checked(length) else {
            return false;
        };
        let taken = match packet.split_first() {
            Some((b'c' | b's', content)) => content.is_empty(),
            Some((b'b', _)) => true,
            Some((b'y', content)) => is_reply(content),
            Some((b'h', content)) => content.iter().filter(|byte| **byte == 0).count() == 2,
            Some((b'i' | b'm', content)) => {
                content.iter().skip(4).filter(|byte| **byte == 0).count() == 2
            }
            Some((b'O', content)) => content.len() >= 12,
            _ => false,
        };
        if !taken {
            return false;
        }
        said = after;
    }
    said.is_empty()
}

fn is_reply(content: &[u8]) -> bool {
    let Some((0, text)) = content.split_last() else {
        return false;
    };
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let line_fits = |line: &&[u8]| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        line.starts_with(b"4") && line.iter().all(|byte| (b' '..=b'~').contains(byte))
    };
    lines.len() <= 32 && lines.iter().all(line_fits)
}
