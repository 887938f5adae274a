//! Input that no MTA should send: each row says what ours answers, and what
//! the real Postgrey does with the same bytes.
//!
//! Where Postgrey answers, ours answers the same. Where it dies, hangs, mixes
//! requests up or lets the client set the clock, the row says so.

use std::ffi::OsString;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use conformance::{
    Door, Endpoint, Greylister, Heard, Message, PolicyClient, Program, Setting, resident_kib,
    scratch_folder, wait_for,
};

const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long nothing must come until it counts as silence.
const SILENCE: Duration = Duration::from_millis(150);
const DEFER: &str =
    "action=DEFER_IF_PERMIT Greylisted, see http://postgrey.schweikert.ch/help/example.net.html";
const DEFER_WITH_STATUS: &str = "action=DEFER_IF_PERMIT 4.2.0 Greylisted, see http://postgrey.schweikert.ch/help/example.net.html";
const DUNNO: &str = "action=DUNNO";

/// How the server of a row is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setup {
    Plain,
    AddressList,
    NoAutoWhitelist,
    ByHost,
    NameList,
    Exim,
}

const SETUPS: [Setup; 6] = [
    Setup::Plain,
    Setup::AddressList,
    Setup::NoAutoWhitelist,
    Setup::ByHost,
    Setup::NameList,
    Setup::Exim,
];

/// What the client does.
#[derive(Debug, Clone)]
enum Act {
    Send(Vec<u8>),
    ByteByByte(Vec<u8>),
    Pause(Duration),
    HalfClose,
    Leave,
}

/// How the connection is afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Open,
    Closed,
    Left,
}

/// What Postgrey does.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Theirs {
    Same,
    Dies,
    Answers(Vec<String>),
    Untried,
}

struct Row {
    name: &'static str,
    setup: Setup,
    acts: Vec<Act>,
    answers: Vec<String>,
    after: After,
    log: Option<&'static str>,
    theirs: Theirs,
}

impl Row {
    fn new(name: &'static str, bytes: impl Into<Vec<u8>>, answers: &[&str]) -> Self {
        Self {
            name,
            setup: Setup::Plain,
            acts: vec![Act::Send(bytes.into())],
            answers: answers.iter().map(|text| (*text).to_owned()).collect(),
            after: After::Open,
            log: None,
            theirs: Theirs::Same,
        }
    }

    fn at(mut self, setup: Setup) -> Self {
        self.setup = setup;
        self
    }

    fn acts(mut self, acts: Vec<Act>) -> Self {
        self.acts = acts;
        self
    }

    fn then(mut self, after: After) -> Self {
        self.after = after;
        self
    }

    fn logs(mut self, text: &'static str) -> Self {
        self.log = Some(text);
        self
    }

    fn kills_postgrey(mut self) -> Self {
        self.theirs = Theirs::Dies;
        self
    }

    fn postgrey_answers(mut self, answers: &[&str]) -> Self {
        self.theirs = Theirs::Answers(answers.iter().map(|text| (*text).to_owned()).collect());
        self
    }

    fn not_at_postgrey(mut self) -> Self {
        self.theirs = Theirs::Untried;
        self
    }
}

#[test]
fn ours_serves_on_whatever_it_is_sent() -> Result<()> {
    for setup in SETUPS {
        let folder = scratch_folder()?;
        let mut server = start(Program::Greylatch, setup, folder.path())?;
        let stop = AtomicBool::new(false);
        let endpoint = server.endpoint().clone();
        thread::scope(|scope| -> Result<()> {
            let neighbour = scope.spawn(|| talk_until(&stop, &endpoint, setup));
            let played = play_all(&mut server, setup);
            stop.store(true, Ordering::Relaxed);
            let slowest = neighbour.join().expect("it does not panic")?;
            played?;
            ensure!(
                slowest < Duration::from_secs(2),
                "another connection waited {slowest:?}"
            );
            Ok(())
        })?;
        let raw: Vec<u8> = server.log()?;
        let bad = raw
            .iter()
            .find(|byte| !(byte.is_ascii_graphic() || b" \n".contains(byte)));
        assert_eq!(bad, None, "an unescaped byte is in the log of {setup:?}");
        assert!(server.stop()?.success());
    }
    Ok(())
}

#[test]
fn postgrey_does_what_the_rows_say_of_it() -> Result<()> {
    for setup in SETUPS {
        let mut folder = scratch_folder()?;
        let mut server = start(Program::Postgrey, setup, folder.path())?;
        for mut row in rows().into_iter().filter(|row| row.setup == setup) {
            match row.theirs.clone() {
                Theirs::Untried => {}
                Theirs::Same => play(&mut server, &row)?,
                Theirs::Answers(answers) => {
                    row.answers = answers;
                    row.log = None;
                    play(&mut server, &row)?;
                }
                Theirs::Dies => {
                    let heard = perform(&server, &row)?.1;
                    assert_eq!(heard, Heard::Closed(Vec::new()), "{}", row.name);
                    wait_for("its end", ANSWER_MAX, || {
                        Ok(!server.daemon().is_running()?)
                    })?;
                    folder = scratch_folder()?;
                    server = start(Program::Postgrey, setup, folder.path())?;
                }
            }
        }
        drop(server);
        drop(folder);
    }
    Ok(())
}

#[test]
fn a_line_of_40_mb_costs_its_connection_and_no_memory() -> Result<()> {
    let folder = scratch_folder()?;
    let mut server = start(Program::Greylatch, Setup::Plain, folder.path())?;
    let pid = server.daemon().pid();
    let mut neighbour = server.connect()?;
    assert_eq!(neighbour.ask(&good().bytes())?, answer(DEFER));
    let before = resident_kib(pid)?;
    let mut client = server.connect()?;
    let chunk = vec![b'x'; 64 * 1024];
    let mut taken = 0;
    while taken < 40_000_000 && client.send(&chunk).is_ok() {
        taken += chunk.len();
    }
    assert!(taken < 4_000_000, "it took {taken} bytes of one line");
    assert_eq!(client.hear(ANSWER_MAX)?, Heard::Closed(Vec::new()));
    let grown = resident_kib(pid)?.saturating_sub(before);
    assert!(grown < 8 * 1024, "it grew by {grown} KiB");
    assert_eq!(neighbour.ask(&good().bytes())?, answer(DEFER));
    Ok(())
}

#[test]
fn many_unfinished_requests_cost_little() -> Result<()> {
    let folder = scratch_folder()?;
    let mut server = start(Program::Greylatch, Setup::Plain, folder.path())?;
    let pid = server.daemon().pid();
    let before = resident_kib(pid)?;
    let mut unfinished = Message::new();
    for place in 0..9_000 {
        unfinished = unfinished.with(&format!("unknown{place}"), "x".repeat(80));
    }
    let mut bytes = unfinished.bytes();
    bytes.pop();
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = server.connect()?;
        client.send(&bytes)?;
        clients.push(client);
    }
    assert_eq!(server.connect()?.ask(&good().bytes())?, answer(DEFER));
    let grown = resident_kib(pid)?.saturating_sub(before);
    // 64 KiB are kept of each, of more than 800 that came.
    assert!(grown < 24 * 1024, "it grew by {grown} KiB");
    for client in &mut clients {
        client.send(b"\n")?;
        assert_eq!(client.hear(ANSWER_MAX)?, Heard::Answer(answer(DUNNO)));
    }
    Ok(())
}

#[test]
fn the_clock_can_be_set_by_a_client_only_when_the_option_says_so() -> Result<()> {
    let at = |time: &str| good().with("policy_test_time", time).bytes();
    let folder = scratch_folder()?;
    let options: Vec<OsString> = [
        list_options(Setup::Plain, folder.path())?,
        vec!["--test-time".into()],
    ]
    .concat();
    let server = Greylister::start(Program::Greylatch, &setting(folder.path(), &options))?;
    let mut client = server.connect()?;
    assert_eq!(client.ask(&at("1700000000"))?, answer(DEFER));
    let passed = client.ask(&at("1700000300"))?;
    assert!(
        passed.starts_with(b"action=PREPEND X-Greylist: delayed 300 seconds by postgrey-1.37 at "),
        "{}",
        passed.escape_ascii()
    );
    Ok(())
}

/// Asks good requests until `stop`, and gives the longest wait for an answer.
fn talk_until(stop: &AtomicBool, endpoint: &Endpoint, setup: Setup) -> Result<Duration> {
    let mut slowest = Duration::ZERO;
    let mut client = PolicyClient::connect(endpoint)?;
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let heard = client
            .ask(&good().bytes())
            .context("another connection was disturbed")?;
        ensure!(
            heard == answer(DEFER),
            "another connection got {}",
            heard.escape_ascii()
        );
        slowest = slowest.max(asked.elapsed());
        if setup == Setup::Exim {
            client = PolicyClient::connect(endpoint)?;
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(slowest)
}

fn play_all(server: &mut Greylister, setup: Setup) -> Result<()> {
    for row in rows().iter().filter(|row| row.setup == setup) {
        play(server, row)?;
    }
    Ok(())
}

/// Performs one row and sees that the server is as well as before.
fn play(server: &mut Greylister, row: &Row) -> Result<()> {
    let log_before = server.log_length()?;
    let (answers, end) = perform(server, row).context(row.name)?;
    let expected: Vec<Vec<u8>> = row.answers.iter().map(|text| answer(text)).collect();
    ensure!(
        answers == expected,
        "{}: {} answers where {} were expected: {}",
        row.name,
        answers.len(),
        expected.len(),
        answers
            .iter()
            .map(|bytes| bytes.escape_ascii().to_string())
            .collect::<Vec<_>>()
            .join(" / ")
    );
    let end_expected = match row.after {
        After::Open | After::Left => Heard::Silence,
        After::Closed => Heard::Closed(Vec::new()),
    };
    ensure!(end == end_expected, "{}: then {end:?}", row.name);
    ensure!(server.daemon().is_running()?, "{}: it died", row.name);
    let mut next = server.connect()?;
    ensure!(
        next.ask(&good().bytes())? == answer(DEFER),
        "{}: the next client is not served",
        row.name
    );
    if let Some(text) = row.log {
        wait_for("its line of log", ANSWER_MAX, || {
            let log = server.log()?;
            Ok(String::from_utf8_lossy(&log[log_before..]).contains(text))
        })
        .with_context(|| format!("{}: no {text:?} in the log", row.name))?;
    }
    Ok(())
}

/// Sends what the row says; all answers, and what came after them.
fn perform(server: &Greylister, row: &Row) -> Result<(Vec<Vec<u8>>, Heard)> {
    let mut client = server.connect()?;
    for act in &row.acts {
        match act {
            Act::Send(bytes) => client.send(bytes)?,
            Act::ByteByByte(bytes) => {
                for byte in bytes {
                    client.send(&[*byte])?;
                }
            }
            Act::Pause(length) => thread::sleep(*length),
            Act::HalfClose => client.half_close()?,
            Act::Leave => {
                drop(client);
                return Ok((Vec::new(), Heard::Silence));
            }
        }
    }
    let mut answers = Vec::new();
    loop {
        let waits = answers.len() < row.answers.len() || row.after == After::Closed;
        let limit = if waits { ANSWER_MAX } else { SILENCE };
        match client.hear(limit)? {
            Heard::Answer(bytes) => answers.push(bytes),
            end => return Ok((answers, end)),
        }
    }
}

fn start(program: Program, setup: Setup, folder: &std::path::Path) -> Result<Greylister> {
    let mut options = list_options(setup, folder)?;
    options.extend(
        match setup {
            Setup::Plain | Setup::AddressList | Setup::NameList => &[][..],
            Setup::NoAutoWhitelist => &["--auto-whitelist-clients=0"],
            Setup::ByHost => &["--lookup-by-host", "--auto-whitelist-clients=0"],
            Setup::Exim => &["--exim"],
        }
        .iter()
        .map(OsString::from),
    );
    Greylister::start(program, &setting(folder, &options))
}

fn setting<'a>(folder: &'a std::path::Path, options: &'a [OsString]) -> Setting<'a> {
    Setting {
        folder,
        door: Door::Unix,
        options,
        clock: None,
    }
}

fn list_options(setup: Setup, folder: &std::path::Path) -> Result<Vec<OsString>> {
    let clients = match setup {
        Setup::AddressList => "203.0.113.0/24\n",
        Setup::NameList => "white.example\n",
        _ => "",
    };
    let mut options = Vec::new();
    for (option, name, text) in [
        ("--whitelist-clients=", "clients", clients),
        ("--whitelist-recipients=", "recipients", ""),
    ] {
        let path = folder.join(name);
        fs::write(&path, text)?;
        let mut word = OsString::from(option);
        word.push(path);
        options.push(word);
    }
    Ok(options)
}

fn answer(text: &str) -> Vec<u8> {
    format!("{text}\n\n").into_bytes()
}

fn good() -> Message {
    Message::of(
        ("192.0.2.9", "mail.example.test"),
        "a@example.com",
        "b@example.net",
    )
}

/// A good request without the attribute `name`.
fn without(name: &str) -> Message {
    let mut message = Message::new();
    for (attribute, value) in [
        ("client_address", "192.0.2.9"),
        ("client_name", "mail.example.test"),
        ("sender", "a@example.com"),
        ("recipient", "b@example.net"),
    ] {
        if attribute != name {
            message = message.with(attribute, value);
        }
    }
    message
}

fn rows() -> Vec<Row> {
    let mut rows = missing_rows();
    rows.extend(line_rows());
    rows.extend(byte_rows());
    rows.extend(size_rows());
    rows.extend(value_rows());
    rows.extend(address_rows());
    rows.extend(connection_rows());
    rows.extend(pipelining_rows());
    rows.extend(exim_rows());
    rows
}

fn missing_rows() -> Vec<Row> {
    vec![
        Row::new("good request", good().bytes(), &[DEFER]).logs("action=greylist, reason=new, "),
        Row::new(
            "no client_address",
            without("client_address").bytes(),
            &[DUNNO],
        )
        .logs("attribute missing: client_address\n"),
        Row::new("no client_name", without("client_name").bytes(), &[DUNNO])
            .logs("attribute missing: client_name\n"),
        Row::new("no sender", without("sender").bytes(), &[DUNNO])
            .logs("attribute missing: sender\n"),
        Row::new("no recipient", without("recipient").bytes(), &[DUNNO])
            .logs("attribute missing: recipient\n"),
        Row::new("nothing but request=", Message::new().bytes(), &[DUNNO])
            .logs("attribute missing: client_address\n"),
        Row::new("no request attribute", "sender=a@example.com\n\n", &[])
            .logs("unrecognized request type: ''\n"),
        Row::new("request=junk", good().with("request", "junk").bytes(), &[])
            .logs("unrecognized request type: 'junk'\n"),
        Row::new("request=junk, then a good one", "", &[DEFER])
            .acts(vec![
                Act::Send(good().with("request", "junk").bytes()),
                Act::Pause(Duration::from_millis(100)),
                Act::Send(good().bytes()),
            ])
            .logs("unrecognized request type: 'junk'\n"),
        Row::new(
            "request= in capitals",
            good().with("request", "SMTPD_ACCESS_POLICY").bytes(),
            &[],
        )
        .logs("unrecognized request type: 'SMTPD_ACCESS_POLICY'\n"),
        Row::new(
            "request last, not first",
            Message::bare()
                .with("client_address", "192.0.2.9")
                .with("client_name", "mail.example.test")
                .with("sender", "a@example.com")
                .with("recipient", "b@example.net")
                .with("request", "smtpd_access_policy")
                .bytes(),
            &[DEFER],
        ),
        Row::new("empty line only", "\n", &[]).logs("unrecognized request type: ''\n"),
        Row::new(
            "three empty lines, then good",
            [b"\n\n\n".to_vec(), good().bytes()].concat(),
            &[DEFER],
        ),
    ]
}

fn line_rows() -> Vec<Row> {
    let after = |garbage: &[u8]| [garbage, b"\n", &good().bytes()].concat();
    vec![
        Row::new("garbage line, then good", after(b"hello world"), &[DEFER])
            .logs("ignoring garbage: <hello world>\n"),
        Row::new(
            "garbage line of 5000 bytes, then good",
            after(&[b'g'; 5000]),
            &[DEFER],
        )
        .logs(
            "ignoring garbage: <gggggggggggggggggggggggggggggggggggggggggggggggggg\
             gggggggggggggggggggggggggggggggggggggggggggggggggg>\n",
        ),
        Row::new("line with = first", after(b"=x"), &[DEFER]).logs("ignoring garbage: <=x>\n"),
        Row::new(
            "line with = first and again",
            good().with_line("=sender=z@z").bytes(),
            &[DEFER],
        )
        .logs("sender=z@z, "),
        Row::new("CRLF line ends", good().bytes_with("\r\n"), &[DEFER]),
        Row::new("CR only line ends", good().bytes_with("\r"), &[]),
        Row::new(
            "a bare CR inside a value, then LF",
            good().with("sender", "a\rb@example.com").bytes(),
            &[DEFER],
        )
        .postgrey_answers(&[]),
        Row::new("CR CR LF line ends", good().bytes_with("\r\r\n"), &[]),
        Row::new(
            "a bare CR, then a good one on the same connection",
            "",
            &[DEFER, DEFER],
        )
        .acts(vec![
            Act::Send(good().with("sender", "a\rb@example.com").bytes()),
            Act::Pause(Duration::from_millis(50)),
            Act::Send(good().bytes()),
        ])
        .postgrey_answers(&[]),
    ]
}

fn byte_rows() -> Vec<Row> {
    let junk = |newlines: bool| -> Vec<u8> {
        (0..=255)
            .filter(|byte| *byte != b'\r' && (newlines || *byte != b'\n'))
            .collect()
    };
    vec![
        Row::new(
            "NUL byte in sender",
            good().with("sender", "a\0b@example.com").bytes(),
            &[DEFER],
        )
        .logs("sender=a%00b@example.com, "),
        Row::new(
            "NUL byte in key",
            good().with("se\0nder", "x").bytes(),
            &[DEFER],
        ),
        Row::new("binary junk without newline", junk(false), &[]),
        Row::new(
            "binary junk with newlines, then good",
            [junk(true), b"\n".to_vec(), good().bytes()].concat(),
            &[DEFER],
        )
        .logs("ignoring garbage: <%00%01%02%03%04%05%06%07%08%09>\n"),
        Row::new(
            "latin-1 and broken UTF-8 in sender",
            good().with("sender", b"\xff\xfe\xe9@example.com").bytes(),
            &[DEFER],
        )
        .logs("sender=%FF%FE%E9@example.com, "),
        Row::new(
            "terminal control in sender",
            good().with("sender", b"\x1b[2J\x07@example.com").bytes(),
            &[DEFER],
        )
        .logs("sender=%1B[2J%07@example.com, "),
    ]
}

fn size_rows() -> Vec<Row> {
    let sender = |length: usize| {
        let local = "s".repeat(length - "@example.com".len());
        good()
            .with("sender", format!("{local}@example.com"))
            .bytes()
    };
    let long = "b".repeat(100_000);
    let cut = format!(
        "action=DEFER_IF_PERMIT Greylisted, see http://postgrey.schweikert.ch/help/{}.html",
        "b".repeat(512)
    );
    let mut crowd = good();
    for place in 0..20_000 {
        crowd = crowd.with(&format!("unknown{place}"), "x");
    }
    vec![
        Row::new("sender of 511 bytes", sender(511), &[DEFER]).logs("ss@example.com, "),
        Row::new("sender of 512 bytes", sender(512), &[DEFER]).logs("ss@example.com, "),
        Row::new("sender of 513 bytes", sender(513), &[DEFER]).logs("ss@example.co, "),
        Row::new(
            "recipient of 100,000 bytes",
            good().with("recipient", &long).bytes(),
            &[&cut],
        ),
        Row::new(
            "key of 100,000 bytes",
            good().with(&long, "x").bytes(),
            &[DEFER],
        ),
        Row::new(
            "key that is cut to 512 bytes",
            good().with(&long[..600], "x").bytes(),
            &[DEFER],
        ),
        Row::new("20,000 unknown attributes", crowd.bytes(), &[DEFER]),
    ]
}

fn value_rows() -> Vec<Row> {
    let help = |domain: &str| DEFER.replace("example.net", domain);
    let in_time = |time: &str| good().with("policy_test_time", time).bytes();
    vec![
        Row::new(
            "value with = in it",
            good().with("sender", "a=b=c@example.com").bytes(),
            &[DEFER],
        )
        .logs("sender=a=b=c@example.com, "),
        Row::new(
            "spaces round the key and the =",
            good().with_line(" sender = z@z").bytes(),
            &[DEFER],
        )
        .logs("sender=a@example.com, "),
        Row::new(
            "attribute twice: the later wins",
            good().with("sender", "later@example.com").bytes(),
            &[DEFER],
        )
        .logs("sender=later@example.com, "),
        Row::new(
            "empty value: client_name=",
            good().with("client_name", "").bytes(),
            &[DEFER],
        ),
        Row::new("null sender", good().with("sender", "").bytes(), &[DEFER])
            .logs("client_address=192.0.2.9, recipient=b@example.net\n"),
        Row::new(
            "empty value: recipient=",
            good().with("recipient", "").bytes(),
            &[&help("")],
        ),
        Row::new(
            "policy_test_time=1700000300 in the second request",
            "",
            &[DEFER, DEFER],
        )
        .acts(vec![
            Act::Send(in_time("1700000000")),
            Act::Pause(Duration::from_millis(100)),
            Act::Send(in_time("1700000300")),
        ])
        .not_at_postgrey(),
        Row::new("policy_test_time=junk", in_time("junk"), &[DEFER]).not_at_postgrey(),
        Row::new(
            "etrn_domain present",
            good().with("etrn_domain", "").bytes(),
            &[DEFER_WITH_STATUS],
        ),
    ]
}

/// Rows whose address Postgrey parses, and rows that end it.
fn address_rows() -> Vec<Row> {
    let address = |name: &'static str, value: &str, answers: &[&str]| {
        Row::new(name, good().with("client_address", value).bytes(), answers)
    };
    let unparsable = |name: &'static str, value: &str| {
        address(name, value, &[DUNNO])
            .logs("can't parse client_address from postfix: ")
            .kills_postgrey()
    };
    vec![
        unparsable("NUL byte in client_address", "192.0.2.9\0"),
        unparsable("empty client_address", ""),
        unparsable("client_address=unknown", "unknown"),
        unparsable("unknown, address list present", "unknown").at(Setup::AddressList),
        unparsable("unknown, auto-whitelist off", "unknown").at(Setup::NoAutoWhitelist),
        unparsable("unknown, --lookup-by-host, auto-whitelist off", "unknown")
            .at(Setup::ByHost)
            .postgrey_answers(&[DEFER]),
        Row::new(
            "unknown, but the name is whitelisted",
            Message::of(
                ("unknown", "ok.white.example"),
                "a@example.com",
                "b@example.net",
            )
            .bytes(),
            &[DUNNO],
        )
        .at(Setup::NameList)
        .logs("action=pass, reason=client whitelist, "),
        address("client_address=localhost", "localhost", &[DEFER]),
        address("client_address=1.2.3", "1.2.3", &[DEFER]),
        address("client_address=1.2", "1.2", &[DEFER]),
        address("client_address=1", "1", &[DEFER]),
        unparsable("client_address=1.2.3.4.5", "1.2.3.4.5"),
        unparsable("client_address=256.1.1.1", "256.1.1.1"),
        address(
            "client_address=010.001.002.003",
            "010.001.002.003",
            &[DEFER],
        ),
        unparsable("client_address=0x7f.1", "0x7f.1"),
        address("client_address=192.0.2.9/24", "192.0.2.9/24", &[DEFER]),
        unparsable("client_address with a leading space", " 192.0.2.9"),
        unparsable("client_address=[192.0.2.9]", "[192.0.2.9]"),
        unparsable("client_address=IPv6:2001:db8::1", "IPv6:2001:db8::1"),
        unparsable("client_address=fe80::1%eth0", "fe80::1%eth0"),
        unparsable("client_address=2001:db8:::1", "2001:db8:::1"),
        address(
            "client_address=::ffff:192.0.2.9",
            "::ffff:192.0.2.9",
            &[DEFER],
        ),
        address("client_address=any", "any", &[DEFER]),
        address("client_address=default", "default", &[DEFER]),
    ]
}

fn connection_rows() -> Vec<Row> {
    let whole = good().bytes();
    let unfinished = whole[..whole.len() - 1].to_vec();
    vec![
        Row::new("no blank line, then half-close", "", &[])
            .acts(vec![Act::Send(unfinished.clone()), Act::HalfClose])
            .then(After::Closed),
        Row::new("good request, then half-close", "", &[DEFER])
            .acts(vec![Act::Send(whole.clone()), Act::HalfClose])
            .then(After::Closed),
        Row::new("half-close at once", "", &[])
            .acts(vec![Act::HalfClose])
            .then(After::Closed),
        Row::new("half a request, client leaves", "", &[])
            .acts(vec![Act::Send(whole[..40].to_vec()), Act::Leave])
            .then(After::Left),
        Row::new("good request, client leaves before reading", "", &[])
            .acts(vec![Act::Send(whole.clone()), Act::Leave])
            .then(After::Left),
        Row::new("one byte at a time", "", &[DEFER]).acts(vec![Act::ByteByByte(whole)]),
        Row::new("blank line half a second late", "", &[DEFER]).acts(vec![
            Act::Send(unfinished),
            Act::Pause(Duration::from_millis(500)),
            Act::Send(b"\n".to_vec()),
        ]),
        Row::new("HTTP", "GET / HTTP/1.0\r\nHost: x\r\n\r\n", &[])
            .logs("ignoring garbage: <GET / HTTP/1.0>\n"),
        Row::new("SMTP", "EHLO x\r\n", &[]),
    ]
}

fn pipelining_rows() -> Vec<Row> {
    let whole = good().bytes();
    let with_status = good().with("etrn_domain", "").bytes();
    vec![
        Row::new("3 requests in one write", whole.repeat(3), &[DEFER; 3]),
        Row::new(
            "200 requests in one write",
            whole.repeat(200),
            &[DEFER; 200],
        )
        // How many Postgrey loses depends on where its reads end.
        .not_at_postgrey(),
        Row::new(
            "one and a half requests, then the rest",
            "",
            &[DEFER, DEFER],
        )
        .acts(vec![
            Act::Send([whole.clone(), whole[..60].to_vec()].concat()),
            Act::Pause(Duration::from_millis(200)),
            Act::Send(whole[60..].to_vec()),
        ])
        .postgrey_answers(&[DEFER]),
        Row::new(
            "etrn_domain present, pipelined with one without",
            [with_status, whole].concat(),
            &[DEFER_WITH_STATUS, DEFER],
        )
        .postgrey_answers(&[DEFER_WITH_STATUS, DEFER_WITH_STATUS]),
    ]
}

fn exim_rows() -> Vec<Row> {
    let whole = good().bytes();
    vec![
        Row::new("exim: one request", whole.clone(), &[DEFER])
            .at(Setup::Exim)
            .then(After::Closed),
        Row::new("exim: two requests in one write", whole.repeat(2), &[DEFER])
            .at(Setup::Exim)
            .then(After::Closed),
        Row::new(
            "exim: unknown request",
            good().with("request", "junk").bytes(),
            &[],
        )
        .at(Setup::Exim)
        .logs("unrecognized request type: 'junk'\n"),
        Row::new("exim: empty line", "\n", &[])
            .at(Setup::Exim)
            .logs("unrecognized request type: ''\n"),
    ]
}
