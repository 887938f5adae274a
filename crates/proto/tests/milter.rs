//! The milter protocol against recorded exchanges (`corpus/milter`), each also cut at every byte.
//!
//! In a file `> ` is a packet of the MTA, `< ` one of ours, `? ` what is asked, `= ` how it ends:
//! a command letter and its content, in which `\0`, `\r`, `\n`, `\t`, `\\` and `\xNN` stand for bytes,
//! and behind `O:` the three numbers of a negotiation. `! ` are bytes that are no packet. Questions
//! are answered by the first word of the recipient, those of a whole message by that of the sender.
//! Lines without such a mark are options: fields of `MilterOptions` and `ContentWanted`.

#[path = "exchange/attempt.rs"]
mod attempt;

use std::fs;
use std::sync::Arc;

use greylatch_core::{
    Amendment, Answer, Attempt, Field, NewHeader, Notice, Reply, Request, Stage, Verdict,
};
use greylatch_proto::{Conversation, MilterConversation, MilterOptions, Step};

const FIELDS: [(&str, Field); 11] = [
    ("client", Field::ClientAddress),
    ("name", Field::ClientName),
    ("helo", Field::Helo),
    ("sender", Field::Sender),
    ("recipient", Field::Recipient),
    ("count", Field::RecipientCount),
    ("queue_id", Field::QueueId),
    ("login", Field::Login),
    ("tls", Field::TlsProtocol),
    ("cert_subject", Field::CertSubject),
    ("access", Field::Access),
];

fn shown(attempt: &Attempt) -> String {
    let mut text = attempt::shown(attempt, &FIELDS);
    if let Some(content) = attempt.content() {
        for header in content.headers() {
            text += &format!(" [{}]", header.escape_ascii());
        }
        let cut = if content.is_whole() { "" } else { " cut" };
        let (body, size) = (content.body().escape_ascii(), content.size());
        text += &format!(" body={body} size={size}{cut}");
    }
    text
}

/// The answer that the recipient, or at the end the sender, names.
fn answer(request: &Request) -> Answer {
    let Request::Judge(attempt) = request else {
        return Answer::Verdict(Verdict::Pass { header: None });
    };
    let named = match attempt.stage() {
        Stage::EndOfMessage => Field::Sender,
        _ => Field::Recipient,
    };
    let word = attempt.text(named).split(|byte| *byte == b'@').next();
    let reply = |text: &str| Reply {
        text: text.as_bytes().to_vec(),
        has_status: false,
    };
    Answer::Verdict(match word.unwrap_or_default() {
        b"header" => Verdict::Pass {
            header: Some(b"X-Greylist: delayed 300 seconds\nby me".to_vec()),
        },
        b"other" => Verdict::Pass {
            header: Some(b"X-Greylist: delayed 2 seconds".to_vec()),
        },
        b"refuse" => Verdict::Refuse(reply("Not here")),
        b"defer" => Verdict::Defer(reply("Greylisted, 100% sure")),
        b"amend" => Verdict::Amend(amendments()),
        b"failed" => return Answer::Failed("no store".into()),
        _ => Verdict::Pass { header: None },
    })
}

/// Each kind of change once.
fn amendments() -> Vec<Amendment> {
    let header = |line: &str, index| {
        let line = line.as_bytes().to_vec();
        Amendment::AddHeader(NewHeader { line, index })
    };
    vec![
        header("X-Second: 1", Some(1)),
        Amendment::ChangeHeader(b"Subject: [tag] hi\n\tthere".to_vec()),
        Amendment::ReplaceBody(b"Hello\r\n-- \r\n".to_vec()),
        header("X-Last: 2", None),
    ]
}

/// What is asked and said, and how it ends.
fn converse(options: &Arc<MilterOptions>, pieces: &[&[u8]]) -> Vec<String> {
    let mut conversation = MilterConversation::new(options.clone());
    let mut lines = Vec::new();
    let mut pieces = pieces.iter();
    loop {
        let step = conversation.step();
        assert_eq!(conversation.notice(), None);
        say(&mut lines, conversation.output());
        match step {
            Ok(Step::Ask(ticket, request)) => {
                lines.push(match &request {
                    Request::Judge(attempt) => format!("? {}", shown(attempt)),
                    Request::PassUnread(attempt, Notice::MissingAttribute(name)) => {
                        format!("? without {name}: {}", shown(attempt))
                    }
                    other => panic!("an MTA cannot ask {other:?}"),
                });
                assert_eq!(conversation.step(), Ok(Step::Wait));
                conversation.answer(ticket, &answer(&request));
            }
            Ok(Step::Read) => match pieces.next() {
                Some(piece) => conversation.feed(piece),
                None => {
                    let midway = if conversation.is_midway() {
                        " midway"
                    } else {
                        ""
                    };
                    lines.push(format!("= open{midway}"));
                    return lines;
                }
            },
            Ok(Step::Wait) => panic!("nothing is outstanding"),
            Ok(Step::Close) => {
                lines.push("= closed".into());
                return lines;
            }
            Err(error) => {
                lines.push(format!("= {error}"));
                return lines;
            }
        }
    }
}

/// Moves packets of ours into lines.
fn say(lines: &mut Vec<String>, output: &mut Vec<u8>) {
    let mut rest = &output[..];
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        let (packet, after) = after.split_at(length);
        let (command, content) = packet.split_first().expect("a command");
        let command = char::from(*command);
        if command == 'O' {
            let (numbers, lists) = content.split_at(12);
            let number = |at: usize| {
                let bytes = numbers[at..at + 4].try_into().expect("four bytes");
                format!("{:x}", u32::from_be_bytes(bytes))
            };
            let numbers = [number(0), number(4), number(8)].join(",");
            let line = format!("< O:{numbers} {}", escaped(lists));
            lines.push(line.trim_end().to_owned());
        } else {
            lines.push(format!("< {command}{}", escaped(content)));
        }
        rest = after;
    }
    assert!(rest.is_empty(), "half a packet");
    output.clear();
}

fn escaped(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\x00", "\\0")
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.extend_from_slice(before.as_bytes());
        let (byte, length) = match after.as_bytes() {
            [b'0', ..] => (0, 1),
            [b'r', ..] => (b'\r', 1),
            [b'n', ..] => (b'\n', 1),
            [b't', ..] => (b'\t', 1),
            [b'\\', ..] => (b'\\', 1),
            [b'x', ..] => (u8::from_str_radix(&after[1..3], 16).expect("digits"), 3),
            other => panic!("{} stands for nothing", other.escape_ascii()),
        };
        out.push(byte);
        rest = &after[length..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

fn packet(line: &str) -> Vec<u8> {
    let content = match line.strip_prefix("O:") {
        None => unescaped(line),
        Some(numbers) => {
            let numbers = numbers
                .split(',')
                .map(|number| u32::from_str_radix(number, 16).expect("a hexadecimal number"));
            let bytes = numbers.flat_map(u32::to_be_bytes);
            std::iter::once(b'O').chain(bytes).collect()
        }
    };
    let length = u32::try_from(content.len()).expect("a packet");
    [&length.to_be_bytes()[..], &content].concat()
}

fn set_option(options: &mut MilterOptions, line: &str) {
    let MilterOptions {
        adds_header,
        changes_headers,
        changes_body,
        judges_end,
        content,
        ..
    } = options;
    if let Some(number) = line.strip_prefix("bytes_max ") {
        content.bytes_max = number.parse().expect("a number");
        return;
    }
    *match line {
        "no_header" => return *adds_header = false,
        "changes_headers" => changes_headers,
        "changes_body" => changes_body,
        "judges_end" => judges_end,
        "headers" => &mut content.headers,
        "body" => &mut content.body,
        "size" => &mut content.size,
        _ => panic!("no line begins like {line:?}"),
    } = true;
}

/// One file of the corpus.
struct Exchange {
    options: Arc<MilterOptions>,
    mta: Vec<u8>,
    expected: Vec<String>,
}

fn read_exchange(text: &str) -> Exchange {
    let mut options = MilterOptions::default();
    let (mut mta, mut expected) = (Vec::new(), Vec::new());
    for line in text.lines() {
        match line.split_at_checked(2) {
            Some(("> ", line)) => mta.extend(packet(line)),
            Some(("! ", line)) => mta.extend(unescaped(line)),
            Some(("< " | "? " | "= ", _)) => expected.push(line.to_owned()),
            Some(("# ", _)) | None => {}
            _ => set_option(&mut options, line),
        }
    }
    Exchange {
        options: Arc::new(options),
        mta,
        expected,
    }
}

fn corpus() -> Vec<(String, Exchange)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/milter");
    let files = fs::read_dir(folder).expect("the corpus");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path).expect("UTF-8");
        (path.display().to_string(), read_exchange(&text))
    };
    files.iter().map(read).collect()
}

#[test]
fn recorded_exchanges_are_answered_as_recorded() {
    let corpus = corpus();
    assert!(corpus.len() >= 10, "{} files", corpus.len());
    for (name, exchange) in corpus {
        let lines = converse(&exchange.options, &[&exchange.mta]);
        assert_eq!(lines.join("\n"), exchange.expected.join("\n"), "{name}");
    }
}

#[test]
fn where_an_exchange_is_cut_makes_no_difference() {
    for (name, exchange) in corpus() {
        let Exchange {
            options,
            mta,
            expected,
        } = exchange;
        for cut in 0..=mta.len() {
            let pieces = [&mta[..cut], &mta[cut..]];
            assert_eq!(converse(&options, &pieces), expected, "{name} cut at {cut}");
        }
        let single: Vec<&[u8]> = mta.chunks(1).collect();
        assert_eq!(converse(&options, &single), expected, "{name} byte by byte");
    }
}

#[test]
fn a_packet_as_long_as_may_be_is_read_and_one_byte_more_is_not() {
    let options = Arc::new(MilterOptions::default());
    let negotiation = packet("O:2,f,3f");
    let body = |length: usize| {
        let bytes = u32::try_from(length + 1).expect("a length").to_be_bytes();
        [&bytes[..], b"B", &vec![b'x'; length]].concat()
    };
    let longest = [&negotiation[..], &body(65_535)].concat();
    let lines = converse(&options, &[&longest]);
    assert_eq!(lines[1..], ["< c", "= open"]);
    let longer = [&negotiation[..], &body(65_536)].concat();
    let lines = converse(&options, &[&longer]);
    assert_eq!(lines[1..], ["= a packet is longer than 65535 bytes"]);
}
