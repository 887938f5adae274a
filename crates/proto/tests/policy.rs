//! The policy protocol against recorded exchanges (`corpus/policy`), each also cut at every byte,
//! and against random bytes.
//!
//! A file holds the client's lines under `--- client`, what is to be asked under `--- asked`, what
//! is to be said under `--- server`, what is to be noticed under `--- notices` and how it ends;
//! `\r`, `\0`, `\xNN` and `\\` stand for bytes, `\N{M}` for N times the letter M. Questions are
//! answered by the first word of the recipient.

#[path = "exchange/attempt.rs"]
mod attempt;
#[path = "exchange/line.rs"]
mod line;

use std::fs;
use std::sync::Arc;

use greylatch_core::{Answer, Field, Notice, Reply, Request, Verdict};
use greylatch_proto::{Conversation, PolicyConversation, PolicyOptions, Step, UnknownRequest};
use proptest::prelude::*;

use self::attempt::shown;
use self::line::bytes;

/// What came of an exchange.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    asked: Vec<String>,
    said: Vec<u8>,
    notices: Vec<String>,
    end: &'static str,
}

const FIELDS: [(&str, Field); 11] = [
    ("client_address", Field::ClientAddress),
    ("client_name", Field::ClientName),
    ("helo_name", Field::Helo),
    ("sender", Field::Sender),
    ("recipient", Field::Recipient),
    ("recipient_count", Field::RecipientCount),
    ("queue_id", Field::QueueId),
    ("instance", Field::Instance),
    ("sasl_username", Field::Login),
    ("encryption_protocol", Field::TlsProtocol),
    ("policy_test_time", Field::TestTime),
];

fn notice(notice: &Notice) -> String {
    match notice {
        Notice::Garbage(line) => format!("garbage {}", line.escape_ascii()),
        Notice::UnknownRequest(kind) => format!("unknown '{}'", kind.escape_ascii()),
        other => format!("{other:?}"),
    }
}

/// The answer that the recipient names.
fn answer(request: &Request) -> Answer {
    let Request::Judge(attempt) = request else {
        return Answer::Verdict(Verdict::Pass { header: None });
    };
    let recipient = attempt.text(Field::Recipient);
    let reply = |text: &str, has_status| Reply {
        text: text.as_bytes().to_vec(),
        has_status,
    };
    let word = recipient.split(|byte| !byte.is_ascii_lowercase()).next();
    Answer::Verdict(match word.unwrap_or_default() {
        b"pass" => Verdict::Pass { header: None },
        b"header" => Verdict::Pass {
            header: Some(b"X-Greylist: delayed 300 seconds".to_vec()),
        },
        b"refuse" => Verdict::Refuse(reply("Not here", false)),
        b"status" => Verdict::Defer(reply("4.7.1 Greylisted", true)),
        b"broken" => Verdict::Defer(reply("a\r\nb\0c", false)),
        b"failed" => return Answer::Failed("no store".into()),
        _ => Verdict::Defer(reply("Greylisted", false)),
    })
}

fn converse(options: &Arc<PolicyOptions>, pieces: &[&[u8]], half_close: bool) -> Outcome {
    let mut conversation = PolicyConversation::new(options.clone());
    let mut outcome = Outcome::default();
    let mut pieces = pieces.iter();
    let mut finished = false;
    loop {
        let step = conversation.step();
        while let Some(odd) = conversation.notice() {
            outcome.notices.push(notice(&odd));
        }
        outcome.said.append(conversation.output());
        match step {
            Ok(Step::Ask(ticket, request)) => {
                outcome.asked.push(match &request {
                    Request::Judge(attempt) => shown(attempt, &FIELDS),
                    Request::PassUnread(attempt, Notice::MissingAttribute(name)) => {
                        format!("without {name}: {}", shown(attempt, &FIELDS))
                    }
                    other => panic!("a policy client cannot ask {other:?}"),
                });
                assert_eq!(conversation.step(), Ok(Step::Wait));
                conversation.answer(ticket, &answer(&request));
            }
            Ok(Step::Read) => match pieces.next() {
                Some(piece) => conversation.feed(piece),
                None if half_close && !finished => {
                    finished = true;
                    conversation.finish();
                }
                None => {
                    outcome.end = "open";
                    return outcome;
                }
            },
            Ok(Step::Wait) => panic!("nothing is outstanding"),
            Ok(Step::Close) => {
                outcome.end = "closed";
                return outcome;
            }
            Err(_) => {
                outcome.end = "broken";
                return outcome;
            }
        }
    }
}

/// One file of the corpus.
struct Exchange {
    options: Arc<PolicyOptions>,
    half_close: bool,
    client: Vec<u8>,
    expected: Outcome,
}

fn read_exchange(text: &str) -> Exchange {
    let mut options = PolicyOptions {
        unknown_request: UnknownRequest::Silence,
        ..PolicyOptions::default()
    };
    let mut expected = Outcome::default();
    let (mut client, mut section, mut half_close) = (Vec::new(), "", false);
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("--- ") {
            section = name;
            match name {
                "end open" => expected.end = "open",
                "end closed" => expected.end = "closed",
                "end broken" => expected.end = "broken",
                "half-close" => half_close = true,
                "client" | "asked" | "server" | "notices" => {}
                other => panic!("no section is called {other:?}"),
            }
            continue;
        }
        match (section, line) {
            ("", "exim") => options.close_after_answer = true,
            ("", "dunno") => options.unknown_request = UnknownRequest::Dunno,
            ("", "defer_action=451") => options.defer_action = b"451".to_vec(),
            ("", comment) => assert!(comment.starts_with('#'), "no option: {comment}"),
            ("client", line) => client.extend(bytes(line)),
            ("asked", line) => expected.asked.push(line.to_owned()),
            ("server", line) => expected.said.extend(bytes(line)),
            ("notices", line) => expected.notices.push(line.to_owned()),
            (_, line) => panic!("a line in no section: {line}"),
        }
    }
    Exchange {
        options: Arc::new(options),
        half_close,
        client,
        expected,
    }
}

fn corpus() -> Vec<(String, Exchange)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/policy");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the corpus")
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path).expect("UTF-8");
            (path.display().to_string(), read_exchange(&text))
        })
        .collect()
}

#[test]
fn recorded_exchanges_are_answered_as_recorded() {
    let corpus = corpus();
    assert!(corpus.len() >= 14, "{} files", corpus.len());
    for (name, exchange) in corpus {
        let pieces = [&exchange.client[..]];
        let outcome = converse(&exchange.options, &pieces, exchange.half_close);
        assert_eq!(
            outcome.said.escape_ascii().to_string(),
            exchange.expected.said.escape_ascii().to_string(),
            "{name}"
        );
        assert_eq!(outcome, exchange.expected, "{name}");
    }
}

#[test]
fn where_an_exchange_is_cut_makes_no_difference() {
    for (name, exchange) in corpus() {
        let Exchange {
            options,
            half_close,
            client,
            expected,
        } = exchange;
        for cut in 0..=client.len() {
            let pieces = [&client[..cut], &client[cut..]];
            assert_eq!(
                converse(&options, &pieces, half_close),
                expected,
                "{name} cut at {cut}"
            );
        }
        let single: Vec<&[u8]> = client.chunks(1).collect();
        assert_eq!(
            converse(&options, &single, half_close),
            expected,
            "{name} byte by byte"
        );
    }
}

#[test]
fn a_request_that_does_not_end_breaks_the_connection_at_one_mebibyte() {
    let request = |length: usize| {
        let mut bytes = b"request=smtpd_access_policy\n".to_vec();
        bytes.resize(length - 2, b'x');
        bytes.extend_from_slice(b"\n\n");
        bytes
    };
    let options = Arc::new(PolicyOptions::default());
    for size in [1_000, 1 << 22] {
        let longest = request(1 << 20);
        let pieces: Vec<&[u8]> = longest.chunks(size).collect();
        let outcome = converse(&options, &pieces, false);
        assert_eq!((outcome.end, outcome.asked.len()), ("open", 1));
        let longer = request((1 << 20) + 1);
        let pieces: Vec<&[u8]> = longer.chunks(size).collect();
        let outcome = converse(&options, &pieces, false);
        assert_eq!((outcome.end, outcome.asked.len()), ("broken", 0));
    }
}

#[test]
fn a_flood_of_garbage_is_noticed_a_few_times_only() {
    let options = Arc::new(PolicyOptions::default());
    let garbage = b"x\n".repeat(100_000);
    let outcome = converse(&options, &[&garbage], false);
    assert_eq!(outcome.notices, vec!["garbage x"; 8]);
    let empty = b"\n".repeat(100_000);
    let outcome = converse(&options, &[&empty], false);
    assert_eq!(outcome.notices, vec!["unknown ''"; 64]);
}

/// Bytes that a policy client might send, most of them sense.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        6 => prop::sample::select(vec![
            "request=smtpd_access_policy\n",
            "client_address=192.0.2.9\n",
            "client_name=mx.example.com\n",
            "sender=\n",
            "recipient=defer@example.org\n",
            "recipient=broken@example.org\n",
            "recipient=pass@example.org\n",
            "request=junk\n",
            "etrn_domain=\n",
            "\n",
            "\r\n",
        ]).prop_map(|line| line.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => prop::collection::vec(prop::sample::select(b"=\r\na".to_vec()), 0..1_500),
    ];
    prop::collection::vec(line, 0..40).prop_map(|lines| lines.concat())
}

/// Whether the output is answers only, each an action and an empty line.
fn are_whole_answers(said: &[u8]) -> bool {
    let Some(answers) = said.strip_suffix(b"\n\n") else {
        return said.is_empty();
    };
    let text = answers.escape_ascii().to_string();
    text.split(r"\n\n").all(|answer| {
        answer.starts_with("action=") && !answer.contains(r"\n") && !answer.contains(r"\r")
    })
}

proptest! {
    #[test]
    fn only_whole_answers_come_out_and_pieces_make_no_difference(
        bytes in stream(),
        size in 1_usize..200,
        exim in any::<bool>(),
        half_close in any::<bool>(),
    ) {
        let options = Arc::new(PolicyOptions { close_after_answer: exim, ..PolicyOptions::default() });
        let mut whole = converse(&options, &[&bytes], half_close);
        prop_assert!(are_whole_answers(&whole.said), "{}", whole.said.escape_ascii());
        let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
        let mut cut = converse(&options, &pieces, half_close);
        // Which notices of a flood are kept depends on how often they are asked for.
        if whole.notices.len().max(cut.notices.len()) >= 64 {
            whole.notices.clear();
            cut.notices.clear();
        }
        prop_assert_eq!(cut, whole);
    }
}
