//! greylistd's protocol against recorded exchanges (`corpus/greylistd`), each also cut at every byte
//! and ended in every way.
//!
//! A block holds the message behind `> `, each question behind `? ` and the answer behind `< `, `\n`
//! standing for a line end. What a question is about is grey, or what the words `white`, `black`,
//! `unseen`, `expired` and `known` in it say. Messages and answers are greylistd's own, but for dates, counts and what is
//! asked for in several pages.

use std::fs;

use greylatch_core::{
    Answer, Attempt, Census, Decision, Entry, Explanation, Field, Memory, Outcome, Page, Query,
    Reason, Record, Reloaded, Reply, Request, Ruling, Seconds, Standing, Status, Timestamp,
    Verdict,
};
use greylatch_proto::{Conversation, GreylistdConversation, Step};

const NOON: Timestamp = Timestamp(1_795_521_600);

/// How the other side shows that its message is complete.
#[derive(Clone, Copy, Debug)]
enum End {
    HalfClose,
    Quiet,
    Line,
}

/// What was asked and what was said.
type Outcomes = (Vec<String>, String);

fn converse(pieces: &[&[u8]], end: End) -> Outcomes {
    let mut conversation = GreylistdConversation::new();
    let mut pieces = pieces.iter();
    let (mut asked, mut said) = (Vec::new(), Vec::new());
    loop {
        let step = conversation.step().expect("no message is an error");
        said.append(conversation.output());
        match step {
            Step::Read => match (pieces.next(), end) {
                (Some(piece), _) => conversation.feed(piece),
                (None, End::HalfClose) => conversation.finish(),
                (None, End::Quiet) => conversation.quiet(),
                (None, End::Line) => conversation.feed(b"\n"),
            },
            Step::Ask(ticket, request) => {
                asked.push(shown(&request));
                assert_eq!(conversation.step(), Ok(Step::Wait));
                conversation.answer(ticket, &answer(&request));
            }
            Step::Wait => panic!("nothing is outstanding"),
            Step::Close => return (asked, String::from_utf8(said).expect("ASCII")),
        }
    }
}

fn key(attempt: &Attempt) -> String {
    let text = |field| String::from_utf8_lossy(attempt.text(field)).into_owned();
    match attempt.field(Field::Words) {
        Some(_) => format!("words={}", text(Field::Words)),
        None => format!(
            "client={} sender={} recipient={}",
            text(Field::ClientAddress),
            text(Field::Sender),
            text(Field::Recipient)
        ),
    }
}

fn shown(request: &Request) -> String {
    let query = |query: &Query| {
        let standing = query.standing.map_or("all", Standing::word);
        let kind = if query.clients { "clients" } else { standing };
        let after = query.after.map_or("", |_| ", next page");
        format!("{kind}{after}")
    };
    match request {
        Request::Judge(attempt) => format!("judge {}", key(attempt)),
        Request::Look { attempt, later } => {
            assert_eq!(*later, Seconds(0));
            format!("look {}", key(attempt))
        }
        Request::Set { attempt, standing } => format!("set {} {}", standing.word(), key(attempt)),
        Request::Forget(attempt) => format!("forget {}", key(attempt)),
        Request::List(selected) => format!("list {}", query(selected)),
        Request::Remove(selected) => format!("remove {}", query(selected)),
        Request::Status => "status".into(),
        Request::Reload => "reload".into(),
        other => panic!("a client of greylistd cannot ask {other:?}"),
    }
}

fn standing(key: &str) -> Standing {
    match key {
        key if key.contains("white") => Standing::Allowed,
        key if key.contains("black") => Standing::Refused,
        _ => Standing::Waiting,
    }
}

fn entry(standing: Standing) -> Entry {
    Entry {
        first: NOON,
        last: NOON,
        due: NOON,
        expires: NOON,
        standing,
    }
}

fn verdict(key: &str) -> Verdict {
    let reply = Reply {
        text: b"Greylisted".to_vec(),
        has_status: false,
    };
    match standing(key) {
        Standing::Allowed | Standing::Proven => Verdict::Pass { header: None },
        Standing::Waiting => Verdict::Defer(reply),
        Standing::Refused => Verdict::Refuse(reply),
    }
}

fn answer(request: &Request) -> Answer {
    match request {
        Request::Judge(attempt) => Answer::Verdict(verdict(&key(attempt))),
        Request::Look { attempt, .. } => Answer::Explained(Box::new(explanation(&key(attempt)))),
        Request::Forget(attempt) => Answer::Page(Page {
            records: match key(attempt) {
                key if key.contains("unseen") => vec![],
                key => vec![record([b"words", b"", b"x"], standing(&key))],
            },
            next: None,
        }),
        Request::List(query) => Answer::Page(page(query)),
        Request::Status => Answer::Status(Box::new(Status {
            started: NOON,
            now: NOON.plus(Seconds(7_300)),
            census: Some(Census {
                proven: 2,
                waiting: 8,
                by_hand: 1,
                ..Census::default()
            }),
            verdicts: vec![
                (Reason::New, 12),
                (Reason::EarlyRetry, 1),
                (Reason::Retry, 5),
                (Reason::Known, 4),
                (Reason::Local, 99),
            ],
            ..Status::default()
        })),
        Request::Reload => Answer::Reloaded(Reloaded::default()),
        _ => Answer::Done(1),
    }
}

fn explanation(key: &str) -> Explanation {
    let remembered = Memory {
        entry: Some(entry(standing(key))),
        ..Memory::default()
    };
    let reason = if key.contains("known") {
        Reason::EarlyRetry
    } else {
        Reason::New
    };
    let is_later = key.contains("expired") || key.contains("known");
    Explanation {
        decision: Decision::of(Outcome::Defer, reason),
        ruling: Ruling::Refuse,
        rule: None,
        triplet: Vec::new(),
        memory: match key {
            key if key.contains("unseen") => Memory::default(),
            _ => remembered,
        },
        // What is expired is there, and would be new.
        at: NOON.plus(Seconds(i64::from(is_later))),
        verdict: verdict(key),
    }
}

fn record([client, sender, recipient]: [&[u8]; 3], standing: Standing) -> Record {
    Record::Triplet {
        key: [0; 16],
        client: client.to_vec(),
        sender: sender.to_vec(),
        recipient: recipient.to_vec(),
        entry: entry(standing),
    }
}

/// What waits is on two pages, and nothing is allowed.
fn page(query: &Query) -> Page {
    let standing = query.standing.expect("a listing is of one standing");
    let texts: &[[&[u8]; 3]] = match (standing, query.after) {
        (Standing::Waiting, None) => &[
            [b"words", b"", b"192.0.2.0/24 b@x.example"],
            [b"192.0.2.0/24", b"", b"b@x.example"],
        ],
        (Standing::Waiting, Some(_)) => {
            &[[b"2001:db8::/64", b"a\x1b\xff@x.example", b"b@x.example"]]
        }
        (Standing::Allowed, _) => &[],
        (Standing::Proven | Standing::Refused, _) => &[[b"", b"", b""]],
    };
    let is_first = standing == Standing::Waiting && query.after.is_none();
    Page {
        records: texts.iter().map(|text| record(*text, standing)).collect(),
        next: is_first.then_some([7; 16]),
    }
}

struct Exchange {
    message: Vec<u8>,
    expected: Outcomes,
}

fn exchanges() -> Vec<Exchange> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/greylistd");
    let mut found = Vec::new();
    for file in fs::read_dir(folder).expect("the corpus") {
        let text = fs::read_to_string(file.expect("a file").path()).expect("text");
        for block in text.split("\n\n") {
            let lines = |mark: &str| -> Vec<String> {
                let of = block.lines().filter_map(|line| line.strip_prefix(mark));
                of.map(|line| line.replace("\\n", "\n")).collect()
            };
            if let [message] = &lines("> ")[..] {
                found.push(Exchange {
                    message: message.clone().into_bytes(),
                    expected: (lines("? "), lines("< ").concat()),
                });
            }
        }
    }
    assert!(found.len() > 70, "only {} exchanges", found.len());
    found
}

#[test]
fn recorded_exchanges_come_out_the_same_wherever_they_are_cut_and_however_they_end() {
    for Exchange { message, expected } in exchanges() {
        let shown = String::from_utf8_lossy(&message).into_owned();
        for end in [End::HalfClose, End::Quiet, End::Line] {
            // What has no words has no end but that of the connection's half.
            let is_blank = message.iter().all(u8::is_ascii_whitespace);
            if is_blank && !matches!(end, End::HalfClose) {
                continue;
            }
            for cut in 0..=message.len() {
                let (one, other) = message.split_at(cut);
                let outcome = converse(&[one, other], end);
                assert_eq!(outcome, expected, "{shown:?}, {end:?}, cut at {cut}");
            }
        }
    }
}
