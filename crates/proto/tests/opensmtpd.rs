//! OpenSMTPD's filter protocol against recorded exchanges (`corpus/opensmtpd`), each also cut at every
//! byte, and with many sessions at once.
//!
//! In a file `> ` is a line of smtpd, `< ` one of ours, `? ` what is asked, `! ` what is noticed, `= ` how
//! it ends; in them `\N{M}` stands for N times the letter M and `\xNN` for a byte. Questions are answered
//! at once, by the first word of the recipient. Lines without such a mark are options or comments.

#[path = "exchange/attempt.rs"]
mod attempt;
#[path = "exchange/line.rs"]
mod line;

use std::fs;

use greylatch_core::{Answer, Attempt, Field, Notice, Reply, Request, Verdict};
use greylatch_proto::{AskAt, Conversation, FilterConversation, Step, Ticket};

use self::attempt::shown;
use self::line::bytes;

const FIELDS: [(&str, Field); 10] = [
    ("client", Field::ClientAddress),
    ("name", Field::ClientName),
    ("helo", Field::Helo),
    ("sender", Field::Sender),
    ("recipient", Field::Recipient),
    ("count", Field::RecipientCount),
    ("queue_id", Field::QueueId),
    ("instance", Field::Instance),
    ("login", Field::Login),
    ("tls", Field::TlsProtocol),
];

fn reply(text: &str) -> Reply {
    Reply {
        text: text.as_bytes().to_vec(),
        has_status: true,
    }
}

/// The answer that the recipient names.
fn answer(attempt: &Attempt) -> Answer {
    let recipient = attempt.text(Field::Recipient);
    let word = recipient.split(|byte| *byte == b'@').next();
    Answer::Verdict(match word.unwrap_or_default() {
        b"pass" => Verdict::Pass { header: None },
        b"header" => Verdict::Pass {
            header: Some(b"X-Greylist: delayed 300 seconds".to_vec()),
        },
        b"refuse" => Verdict::Refuse(reply("Not here")),
        b"status" => Verdict::Defer(reply("4.2.0 Wait | and see, 100%")),
        b"code" => Verdict::Defer(reply("450 4.2.0 Wait")),
        b"closing" => Verdict::Defer(reply("421 4.3.0 Go away")),
        b"broken" => Verdict::Defer(reply("a\r\nb")),
        b"long" => Verdict::Defer(reply(&"x".repeat(481))),
        b"failed" => return Answer::Failed("no store".into()),
        _ => Verdict::Defer(reply("Greylisted")),
    })
}

/// What is asked, said and noticed, and how it ends.
fn converse(at: AskAt, pieces: &[&[u8]]) -> Vec<String> {
    let mut conversation = FilterConversation::new(at);
    let mut lines = Vec::new();
    let mut pieces = pieces.iter();
    let mut finished = false;
    loop {
        let step = conversation.step();
        while let Some(notice) = conversation.notice() {
            lines.push(match notice {
                Notice::Garbage(line) => format!("! garbage {}", line.escape_ascii()),
                Notice::UnknownVersion(text) => format!("! version {}", text.escape_ascii()),
                other => panic!("{other:?}"),
            });
        }
        say(&mut lines, conversation.output());
        match step {
            Ok(Step::Ask(ticket, Request::Judge(attempt))) => {
                lines.push(format!("? {}", shown(&attempt, &FIELDS)));
                conversation.answer(ticket, &answer(&attempt));
                say(&mut lines, conversation.output());
            }
            Ok(Step::Read) => match pieces.next() {
                Some(piece) => conversation.feed(piece),
                None => {
                    finished = true;
                    conversation.finish();
                }
            },
            Ok(Step::Close) => {
                assert!(finished, "it ends with its input");
                lines.push("= closed".into());
                return notices_last(lines);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// What is noticed is asked for when a piece is read, and so comes earlier or later than what is said.
fn notices_last(lines: Vec<String>) -> Vec<String> {
    let (notices, others): (Vec<_>, Vec<_>) =
        lines.into_iter().partition(|line| line.starts_with("! "));
    [others, notices].concat()
}

/// Moves lines of ours to the others.
fn say(lines: &mut Vec<String>, output: &mut Vec<u8>) {
    let text = String::from_utf8(std::mem::take(output)).expect("ASCII");
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    lines.extend(text.lines().map(|line| format!("< {line}")));
}

struct Exchange {
    name: String,
    at: AskAt,
    smtpd: Vec<u8>,
    expected: Vec<String>,
}

fn corpus() -> Vec<Exchange> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/opensmtpd");
    let files = fs::read_dir(folder).expect("the corpus");
    let mut exchanges: Vec<Exchange> = files
        .map(|file| {
            let path = file.expect("a file").path();
            let text = fs::read_to_string(&path).expect("UTF-8");
            read_exchange(path.display().to_string(), &text)
        })
        .collect();
    exchanges.sort_by(|a, b| a.name.cmp(&b.name));
    exchanges
}

fn read_exchange(name: String, text: &str) -> Exchange {
    let mut exchange = Exchange {
        name,
        at: AskAt::RcptTo,
        smtpd: Vec::new(),
        expected: Vec::new(),
    };
    for line in text.lines() {
        match line.split_at_checked(2) {
            Some(("> ", line)) => {
                exchange.smtpd.extend(bytes(line));
            }
            Some(("< " | "? " | "! " | "= ", _)) => exchange.expected.push(line.to_owned()),
            _ if line == "at data" => exchange.at = AskAt::Data,
            _ => assert!(line.starts_with('#'), "no option: {line}"),
        }
    }
    exchange.expected = notices_last(exchange.expected);
    exchange
}

#[test]
fn recorded_exchanges_are_answered_as_recorded() {
    let corpus = corpus();
    assert!(corpus.len() >= 10, "{} files", corpus.len());
    for Exchange {
        name,
        at,
        smtpd,
        expected,
    } in corpus
    {
        let said = converse(at, &[&smtpd]);
        assert_eq!(said.join("\n"), expected.join("\n"), "{name}");
    }
}

#[test]
fn where_an_exchange_is_cut_makes_no_difference() {
    for Exchange {
        name,
        at,
        smtpd,
        expected,
    } in corpus()
    {
        for cut in 0..=smtpd.len() {
            let said = converse(at, &[&smtpd[..cut], &smtpd[cut..]]);
            assert_eq!(said, expected, "{name} cut at {cut}");
        }
        let single: Vec<&[u8]> = smtpd.chunks(1).collect();
        assert_eq!(converse(at, &single), expected, "{name} byte by byte");
    }
}

/// A stream with all that is asked and not answered.
struct Stream {
    conversation: FilterConversation,
    open: Vec<(Ticket, Attempt)>,
}

impl Stream {
    fn open(at: AskAt) -> Self {
        let mut stream = Self {
            conversation: FilterConversation::new(at),
            open: Vec::new(),
        };
        stream.tell("config|ready");
        stream.said();
        stream
    }

    fn tell(&mut self, line: &str) {
        self.conversation.feed(line.as_bytes());
        self.conversation.feed(b"\n");
        self.go_on();
    }

    fn go_on(&mut self) {
        loop {
            match self.conversation.step() {
                Ok(Step::Ask(ticket, Request::Judge(attempt))) => self.open.push((ticket, attempt)),
                Ok(Step::Read | Step::Wait) => return,
                other => panic!("{other:?}"),
            }
        }
    }

    /// A session from 192.0.2.1 with a message from this sender under way.
    fn begin(&mut self, session: u64, sender: &str) {
        let id = format!("{session:016x}");
        for event in [
            format!("link-connect|{id}|<unknown>|fail|192.0.2.1:25|192.0.2.9:25"),
            format!("tx-begin|{id}|00000001"),
            format!("tx-mail|{id}|00000001|ok|{sender}"),
        ] {
            self.tell(&format!("report|0.7|1.5|smtp-in|{event}"));
        }
    }

    fn accept(&mut self, session: u64, recipient: &str) {
        let event = format!("tx-rcpt|{session:016x}|00000001|ok|{recipient}");
        self.tell(&format!("report|0.7|1.5|smtp-in|{event}"));
    }

    fn ask(&mut self, phase: &str, session: u64, parameter: &str) {
        let question = format!("{phase}|{session:016x}|{:016x}|{parameter}", session + 1);
        self.tell(&format!("filter|0.7|1.5|smtp-in|{question}"));
    }

    fn said(&mut self) -> Vec<String> {
        let text = std::mem::take(self.conversation.output());
        let text = String::from_utf8(text).expect("ASCII");
        text.lines().map(str::to_owned).collect()
    }
}

fn result(session: u64, outcome: &str) -> String {
    format!(
        "filter-result|{session:016x}|{:016x}|{outcome}",
        session + 1
    )
}

#[test]
fn answers_go_to_their_sessions_in_whatever_order_they_come() {
    let mut stream = Stream::open(AskAt::RcptTo);
    let sessions = 1..=200_u64;
    for session in sessions.clone() {
        stream.begin(session * 2, "a@example.com");
    }
    for session in sessions.clone() {
        let word = if session % 3 == 0 { "pass" } else { "defer" };
        let recipient = format!("{word}@{session}.example.org");
        stream.ask("rcpt-to", session * 2, &recipient);
    }
    assert_eq!(stream.said(), Vec::<String>::new());
    let mut open = std::mem::take(&mut stream.open);
    assert_eq!(open.len(), 200);
    // Evens forward, then odds backward.
    open.sort_by_key(|(_, attempt)| attempt.text(Field::Instance)[14] % 2 == 0);
    open[100..].reverse();
    for (ticket, attempt) in &open {
        stream.conversation.answer(*ticket, &answer(attempt));
        // A second answer to the same is none.
        stream.conversation.answer(*ticket, &answer(attempt));
    }
    let mut said = stream.said();
    let mut expected: Vec<String> = sessions
        .map(|session| match session % 3 {
            0 => result(session * 2, "proceed"),
            _ => result(session * 2, "reject|451 4.7.1 Greylisted"),
        })
        .collect();
    assert_ne!(said, expected, "in another order");
    said.sort();
    expected.sort();
    assert_eq!(said, expected);
}

#[test]
fn at_data_one_answer_tells_of_all_recipients() {
    let cases: [(&[&str], &str); 7] = [
        (&["pass", "defer", "pass"], "reject|451 4.7.1 Greylisted"),
        (&["refuse", "defer"], "reject|451 4.7.1 Greylisted"),
        (&["failed", "code"], "reject|450 4.2.0 Wait"),
        (&["refuse", "refuse"], "reject|550 5.7.1 Not here"),
        (&["refuse", "pass"], "proceed"),
        (&["refuse", "failed"], "proceed"),
        (&["pass", "header"], "proceed"),
    ];
    for (words, outcome) in cases {
        let mut stream = Stream::open(AskAt::Data);
        stream.begin(8, "a@example.com");
        for (nth, word) in words.iter().enumerate() {
            // Named twice, asked once.
            stream.accept(8, &format!("{word}@{nth}.example.org"));
            stream.accept(8, &format!("{word}@{nth}.example.org"));
        }
        stream.ask("data", 8, "");
        let open = std::mem::take(&mut stream.open);
        assert_eq!(open.len(), words.len());
        for (ticket, attempt) in open.iter().rev() {
            assert_eq!(stream.said(), Vec::<String>::new());
            stream.conversation.answer(*ticket, &answer(attempt));
        }
        assert_eq!(stream.said(), [result(8, outcome)], "{words:?}");
    }
}

#[test]
fn a_client_that_leaves_takes_no_answer_of_another() {
    let mut stream = Stream::open(AskAt::RcptTo);
    stream.begin(8, "a@example.com");
    stream.ask("rcpt-to", 8, "defer@example.org");
    stream.tell("report|0.7|1.5|smtp-in|link-disconnect|0000000000000008");
    let (ticket, attempt) = stream.open.pop().expect("a question");
    stream.conversation.answer(ticket, &answer(&attempt));
    assert_eq!(stream.said(), [result(8, "reject|451 4.7.1 Greylisted")]);
    stream.ask("rcpt-to", 8, "defer@example.org");
    assert_eq!(stream.said(), [result(8, "proceed")]);
}

#[test]
fn what_is_open_proceeds_when_all_is_given_up() {
    let mut stream = Stream::open(AskAt::RcptTo);
    stream.begin(8, "a@example.com");
    stream.ask("rcpt-to", 8, "defer@example.org");
    stream.conversation.give_up();
    assert_eq!(stream.said(), [result(8, "proceed")]);
    let (ticket, attempt) = stream.open.pop().expect("a question");
    stream.conversation.answer(ticket, &answer(&attempt));
    assert_eq!(stream.said(), Vec::<String>::new());
    // Its session is no longer known; others are judged as before.
    stream.ask("rcpt-to", 8, "defer@example.org");
    assert_eq!(stream.said(), [result(8, "proceed")]);
    stream.begin(12, "a@example.com");
    stream.ask("rcpt-to", 12, "defer@example.org");
    assert_eq!(stream.open.len(), 1);
}

#[test]
fn of_too_many_sessions_the_oldest_is_no_longer_known() {
    let mut stream = Stream::open(AskAt::RcptTo);
    for session in 1..=4_097 {
        stream.begin(session, "a@example.com");
    }
    stream.ask("rcpt-to", 1, "defer@example.org");
    assert_eq!(stream.said(), [result(1, "proceed")]);
    for session in [2, 4_097] {
        stream.ask("rcpt-to", session, "defer@example.org");
    }
    assert_eq!(stream.open.len(), 2);
}

#[test]
fn of_too_many_recipients_some_are_not_asked_and_too_many_questions_wait() {
    let mut stream = Stream::open(AskAt::Data);
    for session in 1..=41 {
        stream.begin(session, "a@example.com");
        for nth in 0..101 {
            stream.accept(session, &format!("defer@{nth}.example.org"));
        }
        stream.ask("data", session, "");
    }
    // The last session is not read of.
    assert_eq!(stream.open.len(), 4_000);
    assert_eq!(stream.conversation.step(), Ok(Step::Wait));
    assert_eq!(stream.said(), Vec::<String>::new());
    for (ticket, attempt) in std::mem::take(&mut stream.open).into_iter().take(100) {
        stream.conversation.answer(ticket, &answer(&attempt));
    }
    assert_eq!(stream.said(), [result(1, "reject|451 4.7.1 Greylisted")]);
    stream.go_on();
    assert_eq!(stream.open.len(), 100);
    assert_eq!(
        stream.open[99].1.text(Field::Instance),
        b"0000000000000029.00000001"
    );
}
