//! Random bytes in random pieces to greylistd's protocol: it never panics, says ASCII only, closes
//! once it has answered, and asks and says the same however the bytes are cut.
//!
//! The first byte chooses the answers and the size of the pieces.

use greylatch_core::{
    Answer, Entry, Page, Record, Reloaded, Request, Standing, Timestamp, Verdict,
};
use greylatch_proto::{Conversation, GreylistdConversation, Step};

/// Checks one input.
pub(crate) fn check(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    let fails = choice & 0x80 != 0;
    let whole = converse(bytes, bytes.len().max(1), fails);
    let cut = converse(bytes, usize::from(choice & 0x7f) + 1, fails);
    assert!(whole == cut, "the size of the pieces makes a difference");
    assert!(whole.1.is_ascii(), "{}", whole.1.escape_ascii());
}

/// What is asked and what is said.
fn converse(bytes: &[u8], size: usize, fails: bool) -> (Vec<Request>, Vec<u8>) {
    let mut conversation = GreylistdConversation::new();
    let mut pieces = bytes.chunks(size);
    let (mut asked, mut said) = (Vec::new(), Vec::new());
    loop {
        let step = conversation.step().expect("no message is an error");
        said.append(conversation.output());
        match step {
            Step::Ask(ticket, request) => {
                let answer = if fails {
                    Answer::Failed("no store".into())
                } else {
                    answer(&request, bytes)
                };
                conversation.answer(ticket, &answer);
                asked.push(request);
            }
            Step::Read => match pieces.next() {
                Some(piece) => conversation.feed(piece),
                None => conversation.finish(),
            },
            Step::Close => return (asked, said),
            Step::Wait => panic!("nothing is outstanding"),
        }
    }
}

/// Bytes from outside come back in a listing.
fn answer(request: &Request, bytes: &[u8]) -> Answer {
    let now = Timestamp(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
    let record = Record::Triplet {
        key: [0; 16],
        client: bytes.to_vec(),
        sender: Vec::new(),
        recipient: bytes.to_vec(),
        entry: Entry {
            first: now,
            last: now,
            due: now,
            expires: now,
            standing: Standing::Refused,
        },
    };
    match request {
        Request::Judge(_) => Answer::Verdict(Verdict::Pass { header: None }),
        Request::List(query) => Answer::Page(Page {
            records: vec![record],
            next: query.after.is_none().then_some([1; 16]),
        }),
        Request::Forget(_) => Answer::Page(Page {
            records: vec![record],
            next: None,
        }),
        Request::Status => Answer::Status(Box::default()),
        Request::Reload => Answer::Reloaded(Reloaded::default()),
        _ => Answer::Done(1),
    }
}
