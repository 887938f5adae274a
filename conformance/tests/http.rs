//! HTTP as those see it who ask: questions and answers, tokens, mistakes, slow and stubborn
//! clients, and what is refused at the start.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use conformance::{
    Clock, Daemon, EPISODE_START, Endpoint, HttpAnswer, HttpClient, Native, Plan, Serving,
    free_port, greylatch_binary, http_request, manual_block, passed_on, python, scratch_folder,
    wait_for,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const CHECK_TOKEN: &str = "check-0123456789abcdef";
const ADMIN_TOKEN: &str = "admin-0123456789abcdef";
const BODY_MAX: usize = 65_536;
/// The log is written by a thread of its own.
const LOG_MAX: Duration = Duration::from_secs(10);

/// The header with a token.
fn with(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn write_tokens(folder: &Path, text: &str) -> Result<()> {
    let path = folder.join("tokens");
    fs::write(&path, text)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(())
}

fn both_tokens() -> String {
    format!("# for tests\ncheck {CHECK_TOKEN}\nadmin {ADMIN_TOKEN}\n")
}

fn question(client: &str, sender: &str) -> Value {
    json!({ "client": client, "name": "mx.sender.example", "helo": "mx", "sender": sender,
            "recipient": "bob@example.org" })
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// A server at a unix socket and a TCP port, both with tokens.
struct Server {
    native: Native,
    folder: TempDir,
    port: u16,
}

impl Server {
    fn start(configuration: &str) -> Result<Self> {
        let folder = scratch_folder()?;
        write_tokens(folder.path(), &both_tokens())?;
        let port = free_port()?;
        let all = format!(
            "listen.http = [\"unix:DIR/http\", \"127.0.0.1:{port}\"]\n\
             http.token_file = \"DIR/tokens\"\n{configuration}"
        );
        let native = Native::start(folder.path(), &all)?;
        Ok(Self {
            native,
            folder,
            port,
        })
    }

    fn unix(&self) -> Result<HttpClient> {
        HttpClient::connect(&Endpoint::Unix(self.folder.path().join("http")))
    }

    fn tcp(&self) -> Result<HttpClient> {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        HttpClient::connect(&Endpoint::Inet(at))
    }

    /// An answer over TCP with the token that may all.
    fn ask(&self, line: &str, body: &[u8]) -> Result<HttpAnswer> {
        self.tcp()?.ask(line, &with(ADMIN_TOKEN), body)
    }

    fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.path().join("stderr"))?)
    }
}

// option: listen.http
#[test]
fn a_new_sender_waits_and_passes_once_with_a_header() -> Result<()> {
    let folder = scratch_folder()?;
    let mut clock = Clock::new(folder.path(), EPISODE_START)?;
    let server = Serving::start(&Plan {
        listen: &format!("http = [\"unix:{}/http\"]", folder.path().display()),
        greylist: "hostname = \"mx.example.org\"\nheader = \"X-Greylist: delayed %t seconds at %h\"",
        tables: "[[rule]]\nsender = [\"bad@x.example\"]\nthen = \"refuse\"\n",
        clock: Some(&clock),
        ..Plan::new(folder.path(), &folder.path().join("store"))
    })?;
    let mut client = HttpClient::connect(&Endpoint::Unix(folder.path().join("http")))?;
    let mut ask = |sender: &str| -> Result<Value> {
        let body = bytes(&question("192.0.2.9", sender));
        let answer = client.ask("POST /v1/check", "", &body)?;
        ensure!(answer.status == 200, "{answer:?}");
        ensure!(
            answer.header("content-type") == "application/json",
            "{answer:?}"
        );
        answer.json()
    };
    let deferred = |reason: &str, wait: u32, age: u32| {
        json!({ "verdict": "defer", "code": 451, "status": "4.7.1",
                "text": format!("Greylisted, please try again in {wait} seconds"),
                "reason": reason, "wait_s": wait, "age_s": age, "rule": null })
    };
    let passed = |reason: &str, age: u32, header: Value| {
        json!({ "verdict": "pass", "header": header, "reason": reason, "wait_s": 0, "age_s": age,
                "rule": null })
    };
    assert_eq!(ask("new@x.example")?, deferred("new", 60, 0));
    clock.set(EPISODE_START + 59)?;
    assert_eq!(ask("new@x.example")?, deferred("early-retry", 1, 59));
    clock.set(EPISODE_START + 61)?;
    let header = json!({ "name": "X-Greylist", "value": "delayed 61 seconds at mx.example.org" });
    assert_eq!(ask("new@x.example")?, passed("retry", 61, header));
    assert_eq!(ask("new@x.example")?, passed("known", 61, Value::Null));
    let refused = ask("bad@x.example")?;
    assert_eq!(refused["verdict"], "refuse");
    assert_eq!(
        (&refused["code"], &refused["status"]),
        (&json!(550), &json!("5.7.1"))
    );
    assert_eq!(refused["text"], "Mail from you is not accepted here");
    let rule = refused["rule"].as_str().context("a rule")?;
    assert!(
        rule.ends_with(": [[rule]]") || rule.contains("bad@x.example"),
        "{rule}"
    );
    server.wait_for_log("verdict=defer reason=new frontend=http client=192.0.2.9")
}

#[test]
fn a_question_can_say_all_that_other_front_ends_can() -> Result<()> {
    let server = Server::start("greylist.null_sender = \"data\"\n")?;
    let mut client = server.unix()?;
    for (members, verdict, reason) in [
        (json!({}), "defer", "new"),
        (json!({ "login": "ann" }), "pass", "authenticated"),
        (json!({ "client": "127.0.0.1" }), "pass", "local"),
        (json!({ "client": "IPv6:2001:db8::9" }), "defer", "new"),
        (
            json!({ "recipient": "postmaster@example.org" }),
            "pass",
            "recipient-listed",
        ),
        (json!({ "sender": "" }), "pass", "null-sender"),
        (json!({ "sender": "", "stage": "data" }), "defer", "new"),
        (
            json!({ "stage": "data", "recipient_count": 2 }),
            "pass",
            "stage",
        ),
        (
            json!({ "tls": "TLSv1.3", "queue_id": "4C", "instance": "1.2", "sender": "other@x.example" }),
            "defer",
            "new",
        ),
    ] {
        let mut body = question("192.0.2.9", "new@x.example");
        for (name, value) in members.as_object().context("members")? {
            body[name] = value.clone();
        }
        let answer = client.ask("POST /v1/check", "", &bytes(&body))?.json()?;
        let told = (&answer["verdict"], &answer["reason"]);
        assert_eq!(told, (&json!(verdict), &json!(reason)), "{body}");
    }
    Ok(())
}

#[test]
fn only_who_has_a_token_may_ask_and_only_as_far_as_it_reaches() -> Result<()> {
    let server = Server::start("")?;
    let body = bytes(&question("192.0.2.9", "new@x.example"));
    let wrong = with("check-0123456789abcdeF");
    let basic = "Authorization: Basic Y2hlY2s6Y2hlY2s=\r\n".to_owned();
    let lower = with(CHECK_TOKEN).replace("Bearer", "bearer");
    let (none, check, admin) = (String::new(), with(CHECK_TOKEN), with(ADMIN_TOKEN));
    let asked = [
        ("tcp", "POST /v1/check", &none, 401),
        ("tcp", "POST /v1/check", &wrong, 401),
        ("tcp", "POST /v1/check", &basic, 401),
        ("tcp", "POST /v1/check", &check, 200),
        ("tcp", "POST /v1/check", &lower, 200),
        ("tcp", "POST /v1/check", &admin, 200),
        ("tcp", "GET /v1/entries", &none, 401),
        ("tcp", "GET /v1/entries", &check, 403),
        ("tcp", "GET /v1/entries", &admin, 200),
        ("tcp", "PUT /v1/entries", &check, 403),
        ("tcp", "DELETE /v1/entries?matching=x", &check, 403),
        ("unix", "POST /v1/check", &none, 200),
        ("unix", "POST /v1/check", &wrong, 401),
        ("unix", "GET /v1/entries", &none, 401),
        ("unix", "GET /v1/entries", &check, 403),
        ("unix", "GET /v1/entries", &admin, 200),
    ];
    for (road, line, headers, status) in asked {
        let mut client = if road == "tcp" {
            server.tcp()?
        } else {
            server.unix()?
        };
        let body = if line.starts_with("POST") {
            &body[..]
        } else {
            b""
        };
        let answer = client.ask(line, headers, body)?;
        assert_eq!(answer.status, status, "{road} {line} {headers}: {answer:?}");
        let challenge = match (status, headers.is_empty()) {
            (401, true) => "Bearer realm=\"greylatch\"",
            (401, false) => "Bearer realm=\"greylatch\", error=\"invalid_token\"",
            (403, _) => "Bearer realm=\"greylatch\", error=\"insufficient_scope\"",
            _ => "",
        };
        assert_eq!(answer.header("www-authenticate"), challenge);
    }
    let told = server.ask("GET /v1/entries?matching=check-", b"")?;
    assert_eq!(told.json()?["entries"], json!([]));
    let log = server.native.stop()?;
    assert!(log.contains("was turned away"), "{log}");
    assert!(!log.contains("0123456789"), "{log}");
    Ok(())
}

#[test]
fn who_guesses_tokens_is_logged_and_counted_and_cannot_fill_the_log() -> Result<()> {
    const GUESSES: usize = 300;
    let server = Server::start("")?;
    let body = bytes(&question("192.0.2.9", "new@x.example"));
    let guess = with("check-guess0123456789");
    let started = Instant::now();
    for road in [Server::tcp, Server::unix] {
        let mut client = road(&server)?;
        for _ in 0..GUESSES {
            assert_eq!(client.ask("POST /v1/check", &guess, &body)?.status, 401);
        }
    }
    let none = server.tcp()?.ask("GET /v1/entries", "", b"")?;
    let short = server
        .tcp()?
        .ask("GET /v1/entries", &with(CHECK_TOKEN), b"")?;
    assert_eq!((none.status, short.status), (401, 403));
    let status = server.native.tool("status", &["--json"])?;
    let status: Value = serde_json::from_slice(&status.stdout)?;
    assert_eq!(status["http_turned_away"], 2 * GUESSES + 2);
    let words = String::from_utf8(server.native.tool("status", &[])?.stdout)?;
    assert!(words.contains("HTTP turned away  602\n"), "{words}");
    let first = "a request over HTTP from 127.0.0.1 was turned away: its token is wrong\n";
    wait_for("the line", LOG_MAX, || Ok(server.log()?.contains(first)))?;
    let log = server.log()?;
    let told = log.matches("turned away").count();
    // One at once, and one each ten seconds.
    let may = 1 + usize::try_from(started.elapsed().as_secs() / 10)?;
    assert!((1..=may).contains(&told), "{told} lines: {log}");
    assert!(!log.contains("guess"), "{log}");
    Ok(())
}

/// A question without a mistake.
const GOOD: &str =
    r#"{"client":"192.0.2.9","helo":"mx","sender":"new@x.example","recipient":"b@y"}"#;

const PATHS: &str = "there are /v1/check and /v1/entries";
const METHODS: &str = "the header Allow says which methods there are";
const NO_JSON: &str = "say `Content-Type: application/json`, and send JSON";
const UNNAMED: &str = "`matching` is missing or empty; write a text that occurs in what is to go";

/// Method and path; what of the good question becomes what, all of it where the first is empty;
/// the code and the detail of the answer.
const MISTAKES: &[(&str, [&str; 2], u16, &str)] = &[
    ("GET /", ["", ""], 404, PATHS),
    ("POST /v1/checks", ["", GOOD], 404, PATHS),
    ("GET /v1/check", ["", ""], 405, METHODS),
    ("PATCH /v1/entries", ["", ""], 405, METHODS),
    ("POST /v1/check", ["", ""], 415, NO_JSON),
    (
        "POST /v1/check",
        ["", "{"],
        400,
        "the body is no JSON: EOF while parsing an object at line 1 column 1",
    ),
    (
        "POST /v1/check",
        ["mx", "m\u{1}x"],
        400,
        "the body is no JSON: control character (\\u0000-\\u001F) found while parsing a string at \
         line 1 column 32",
    ),
    (
        "POST /v1/check",
        ["", "[]"],
        422,
        "the body is no object; write {\"client\": ...}",
    ),
    (
        "POST /v1/check",
        ["", "{}"],
        422,
        "`client` is missing; it has to be there; `sender` is missing; it has to be there; \
         `recipient` is missing; it has to be there",
    ),
    (
        "POST /v1/check",
        ["helo", "hello"],
        422,
        "`hello` is not known; known are client, name, helo, sender, recipient, login, tls, \
         queue_id, instance, stage, recipient_count",
    ),
    (
        "POST /v1/check",
        ["\"new@x.example\"", "7"],
        422,
        "`sender` is no string; put it into double quotes",
    ),
    (
        "POST /v1/check",
        ["new@", "new\\r\\n@"],
        422,
        "`sender` has a NUL or a line end in it; leave them out",
    ),
    (
        "POST /v1/check",
        ["192.0.2.9", "mx.example"],
        422,
        "`client` is no address; write an IPv4 or IPv6 address, for example \"192.0.2.9\"",
    ),
    (
        "POST /v1/check",
        ["\"helo\":\"mx\"", "\"stage\":\"vrfy\""],
        422,
        "`stage` is none of its words; write \"rcpt\" or \"data\"",
    ),
    (
        "POST /v1/check",
        ["\"helo\":\"mx\"", "\"recipient_count\":0.5"],
        422,
        "`recipient_count` is no number of recipients; write an integer from 1 to 4294967295",
    ),
    (
        "PUT /v1/entries",
        ["\"helo\":\"mx\"", "\"standing\":\"proven\""],
        422,
        "`standing` is none of its words; write \"allowed\" or \"refused\"",
    ),
    (
        "GET /v1/entries?limit=0&after=xy&clients=1&standing=good",
        ["", ""],
        422,
        "`standing` is none of its words; write waiting, proven, allowed or refused; `clients` is \
         neither true nor false; write one; `after` is no key; write `next` of the page before, 32 \
         hexadecimal digits; `limit` is no length of a page; write 1 to 1000",
    ),
    (
        "GET /v1/entries?matchin=x",
        ["", ""],
        422,
        "`matchin` is not known; known are matching, standing, clients, after, limit",
    ),
    (
        "GET /v1/entries?matching=x&matching=y",
        ["", ""],
        422,
        "`matching` is given twice; give it once",
    ),
    ("DELETE /v1/entries", ["", ""], 422, UNNAMED),
    ("DELETE /v1/entries?matching=", ["", ""], 422, UNNAMED),
];

#[test]
fn mistakes_are_told_with_place_and_cure() -> Result<()> {
    let server = Server::start("")?;
    let mut client = server.tcp()?;
    let admin = with(ADMIN_TOKEN);
    for (line, [from, to], status, detail) in MISTAKES {
        let body = match from.is_empty() {
            true => (*to).to_owned(),
            false => GOOD.replace(from, to),
        };
        let answer = client.ask(line, &admin, body.as_bytes())?;
        let told = answer.json()?;
        assert_eq!(told["detail"], *detail, "{line} {body}");
        let codes = (answer.status, &told["status"]);
        assert_eq!(codes, (*status, &json!(status)), "{line} {body}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let text = format!("{admin}Content-Type: text/plain\r\n");
    let answer = client.ask("POST /v1/check", &text, GOOD.as_bytes())?;
    assert_eq!(
        (answer.status, &answer.json()?["detail"]),
        (415, &json!(NO_JSON))
    );
    let answer = client.ask("GET /v1/check", &admin, b"")?;
    assert_eq!(answer.header("allow"), "POST");
    let errors = client
        .ask("POST /v1/check", &admin, b"{\"a/b\": 1}")?
        .json()?["errors"]
        .clone();
    let last = errors
        .as_array()
        .and_then(|all| all.last())
        .context("errors")?;
    assert_eq!(last["pointer"], "/a~1b");
    let errors = client.ask("GET /v1/entries?limit=x", &admin, b"")?.json()?["errors"].clone();
    assert_eq!(errors[0]["parameter"], "limit");
    Ok(())
}

#[test]
fn a_body_may_have_64_kib_and_no_more() -> Result<()> {
    let server = Server::start("")?;
    let good = question("192.0.2.9", "new@x.example").to_string();
    let padded = |length: usize| {
        let mut body = good.clone().into_bytes();
        body.resize(length, b' ');
        body
    };
    assert_eq!(server.ask("POST /v1/check", &padded(BODY_MAX))?.status, 200);
    for length in [BODY_MAX + 1, 900_000, 3_000_000] {
        let mut client = server.tcp()?;
        // Who has sent more than is read before the answer may find the connection closed.
        let request = http_request("POST /v1/check", &with(CHECK_TOKEN), &padded(length));
        let sent = client.send(&request);
        if length < 1_000_000 {
            sent?;
            let answer = client.hear()?.context("an answer")?;
            assert_eq!(answer.status, 413);
            let detail = "the body is longer than 65536 bytes; send less";
            assert_eq!(answer.json()?["detail"], detail);
            assert!(
                client.hear().is_ok_and(|next| next.is_none()),
                "it stays open"
            );
        }
        assert_eq!(server.ask("POST /v1/check", good.as_bytes())?.status, 200);
    }
    // In chunks, so that no length is told before.
    let mut client = server.unix()?;
    let head = "POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Type: application/json; charset=utf-8\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    client.send(head.as_bytes())?;
    for _ in 0..9 {
        client.send(format!("2000\r\n{}\r\n", " ".repeat(0x2000)).as_bytes())?;
    }
    client.send(b"0\r\n\r\n")?;
    assert_eq!(client.hear()?.context("an answer")?.status, 413);
    Ok(())
}

#[test]
fn entries_are_listed_set_and_removed() -> Result<()> {
    let server = Server::start("")?;
    let ask = |line: &str, body: &[u8]| -> Result<Value> {
        let answer = server.ask(line, body)?;
        ensure!(answer.status == 200, "{line}: {answer:?}");
        answer.json()
    };
    for nth in 0..5 {
        let sender = format!("s{nth}@x.example");
        ask("POST /v1/check", &bytes(&question("192.0.2.9", &sender)))?;
    }
    let mut senders = Vec::new();
    let mut line = "GET /v1/entries?limit=2".to_owned();
    for pages in 1.. {
        let page = ask(&line, b"")?;
        let entries = page["entries"].as_array().context("entries")?.clone();
        senders.extend(entries.iter().map(|entry| entry["sender"].clone()));
        let Some(next) = page["next"].as_str() else {
            assert_eq!(pages, 3);
            break;
        };
        assert_eq!(entries.len(), 2);
        line = format!("GET /v1/entries?limit=2&after={next}");
    }
    senders.sort_by_key(Value::to_string);
    assert_eq!(
        senders,
        (0..5)
            .map(|nth| json!(format!("s{nth}@x.example")))
            .collect::<Vec<_>>()
    );
    let found = ask("GET /v1/entries?matching=s3%40x&standing=waiting", b"")?;
    let entry = &found["entries"][0];
    assert_eq!(found["entries"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&entry["client"], &entry["standing"]),
        (&json!("192.0.2.0/24"), &json!("waiting"))
    );
    for (standing, verdict) in [("allowed", "pass"), ("refused", "refuse")] {
        let wanted = json!({ "client": "192.0.2.9", "sender": "hand@x.example",
                             "recipient": "bob@example.org", "standing": standing });
        assert_eq!(
            ask("PUT /v1/entries", &bytes(&wanted))?,
            json!({ "count": 1 })
        );
        let judged = ask(
            "POST /v1/check",
            &bytes(&question("192.0.2.9", "hand@x.example")),
        )?;
        assert_eq!(
            (&judged["verdict"], &judged["reason"]),
            (&json!(verdict), &json!("hand"))
        );
    }
    assert_eq!(
        ask("DELETE /v1/entries?matching=hand%40&standing=allowed", b"")?["count"],
        0
    );
    assert_eq!(ask("DELETE /v1/entries?matching=hand@", b"")?["count"], 1);
    assert_eq!(
        ask("DELETE /v1/entries?matching=x.example", b"")?["count"],
        5
    );
    assert_eq!(
        ask("GET /v1/entries", b"")?,
        json!({ "entries": [], "next": null })
    );
    Ok(())
}

#[test]
fn a_connection_is_kept_and_questions_may_follow_without_waiting() -> Result<()> {
    let server = Server::start("")?;
    let mut client = server.unix()?;
    let mut all = Vec::new();
    for nth in 0..60 {
        let body = bytes(&question("192.0.2.9", &format!("s{nth}@x.example")));
        all.extend(http_request("POST /v1/check", "", &body));
        all.extend(http_request("GET /nowhere", "", b""));
    }
    client.send(&all)?;
    client.half_close()?;
    for nth in 0..60 {
        assert_eq!(
            client.hear()?.context("an answer")?.json()?["reason"],
            "new",
            "{nth}"
        );
        assert_eq!(client.hear()?.context("an answer")?.status, 404);
    }
    assert!(client.hear()?.is_none());
    // A question cut anywhere is one.
    let body = bytes(&question("192.0.2.9", "s0@x.example"));
    let request = http_request("POST /v1/check", "", &body);
    let mut client = server.unix()?;
    for cut in 1..request.len() {
        client.send(&request[..cut])?;
        client.send(&request[cut..])?;
        assert_eq!(client.hear()?.context("an answer")?.status, 200);
    }
    Ok(())
}

#[test]
fn what_is_no_http_ends_its_connection_only() -> Result<()> {
    let server = Server::start("")?;
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(40_000));
    let smuggled =
        "POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 9\r\n\r\n{}";
    let garbage: [&[u8]; 5] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"request=smtpd_access_policy\nprotocol_state=RCPT\n\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        long.as_bytes(),
        smuggled.as_bytes(),
    ];
    for bytes in garbage {
        let mut client = server.unix()?;
        client.send(bytes)?;
        // It may be answered, and is closed.
        if let Ok(Some(answer)) = client.hear() {
            assert!((400..=431).contains(&answer.status), "{answer:?}");
            assert!(client.hear().map_or(true, |next| next.is_none()));
        }
    }
    let body = bytes(&question("192.0.2.9", "new@x.example"));
    assert_eq!(server.unix()?.ask("POST /v1/check", "", &body)?.status, 200);
    Ok(())
}

#[test]
fn who_is_too_slow_is_let_go() -> Result<()> {
    let server = Server::start("listen.request_timeout = \"1s\"\n")?;
    let closes = |client: &mut HttpClient| -> Result<()> {
        let begun = Instant::now();
        ensure!(client.hear()?.is_none(), "an answer");
        let took = begun.elapsed();
        ensure!(took < Duration::from_secs(5), "{took:?}");
        Ok(())
    };
    // Nothing at all, which is no fault.
    closes(&mut server.tcp()?)?;
    let mut head = server.tcp()?;
    head.send(b"POST /v1/check HTTP/1.1\r\nHost:")?;
    closes(&mut head)?;
    let told = "a connection was closed: a request was not complete in time";
    wait_for(told, LOG_MAX, || Ok(server.log()?.contains(told)))?;
    assert_eq!(server.log()?.matches("was closed").count(), 1);
    let mut body = server.unix()?;
    let request = http_request("POST /v1/check", "", &bytes(&question("192.0.2.9", "a@x")));
    body.send(&request[..request.len() - 1])?;
    let answer = body.hear()?.context("an answer")?;
    assert_eq!((answer.status, answer.header("connection")), (408, "close"));
    closes(&mut body)
}

#[test]
fn who_takes_no_answer_is_let_go() -> Result<()> {
    let server = Server::start("listen.request_timeout = \"1s\"\n")?;
    let mut client = server.unix()?;
    for nth in 0..300 {
        let mut body = question("192.0.2.9", "new@x.example");
        body["recipient"] = json!(format!("{nth}-{}@example.org", "r".repeat(200)));
        client.ask("POST /v1/check", "", &bytes(&body))?;
    }
    let mut stubborn = server.unix()?;
    let list = http_request("GET /v1/entries", &with(ADMIN_TOKEN), b"");
    stubborn.send(&list.repeat(20))?;
    let told = "a connection was closed: an answer was not taken in time";
    wait_for(told, LOG_MAX, || Ok(server.log()?.contains(told)))?;
    Ok(())
}

#[test]
fn it_stops_while_connections_are_open() -> Result<()> {
    let server = Server::start("")?;
    let idle = server.tcp()?;
    let mut asked = server.unix()?;
    let body = bytes(&question("192.0.2.9", "new@x.example"));
    asked.ask("POST /v1/check", "", &body)?;
    let begun = Instant::now();
    server.native.stop()?;
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    assert!(asked.hear()?.is_none());
    assert!(!server.folder.path().join("http").exists());
    drop(idle);
    Ok(())
}

#[test]
fn a_store_that_is_away_is_answered_for_as_by_other_front_ends() -> Result<()> {
    for (policy, verdict) in [("pass", "pass"), ("defer", "defer")] {
        // A file stands where the store's directory should be made.
        let folder = scratch_folder()?;
        fs::write(folder.path().join("file"), "")?;
        fs::create_dir(folder.path().join("store"))?;
        fs::write(folder.path().join("store/records"), "no directory")?;
        write_tokens(folder.path(), &both_tokens())?;
        let _native = Native::start(
            folder.path(),
            &format!(
                "listen.http = [\"unix:DIR/http\"]\nhttp.token_file = \"DIR/tokens\"\n\
                 store.url = \"embedded:DIR/store\"\nstore.on_failure = \"{policy}\"\n"
            ),
        )?;
        let mut client = HttpClient::connect(&Endpoint::Unix(folder.path().join("http")))?;
        let body = bytes(&question("192.0.2.9", "new@x.example"));
        let judged = client.ask("POST /v1/check", "", &body)?.json()?;
        assert_eq!(
            (&judged["verdict"], &judged["reason"]),
            (&json!(verdict), &json!("store-down"))
        );
        let listed = client.ask("GET /v1/entries", &with(ADMIN_TOKEN), b"")?;
        assert_eq!(listed.status, 503, "{listed:?}");
    }
    Ok(())
}

/// What is said at a start that is refused with the code for configurations.
fn refusal(folder: &Path, configuration: &str) -> Result<String> {
    let ours = Native::command(folder, configuration)?;
    // A server that starts after all must not run on.
    let mut command = Command::new("timeout");
    command
        .arg("20")
        .arg(ours.get_program())
        .args(ours.get_args());
    let output = command.output()?;
    ensure!(output.status.code() == Some(78), "{output:?}");
    Ok(String::from_utf8_lossy(&output.stderr).replace(&*folder.to_string_lossy(), "DIR"))
}

#[test]
fn tcp_needs_tokens_and_beyond_this_host_a_certificate() -> Result<()> {
    let folder = scratch_folder()?;
    write_tokens(folder.path(), &both_tokens())?;
    fs::write(folder.path().join("none.pem"), "no certificate\n")?;
    let port = free_port()?;
    let tokens = "http.token_file = \"DIR/tokens\"\n";
    for (configuration, told) in [
        (
            format!("listen.http = [\"127.0.0.1:{port}\"]\n"),
            "name a file with tokens in http.token_file".to_owned(),
        ),
        (
            format!("listen.http = [\"0.0.0.0:{port}\"]\n{tokens}"),
            format!("listen.http has 0.0.0.0:{port}, which other hosts reach"),
        ),
        (
            format!("listen.http = [\"*:{port}\"]\n{tokens}"),
            format!(":{port}, which other hosts reach"),
        ),
        (
            "listen.http = [\"unix:DIR/http\"]\nhttp.token_file = \"DIR/none\"\n".to_owned(),
            "cannot read DIR/none: No such file or directory".to_owned(),
        ),
        (
            format!(
                "listen.http = [\"127.0.0.1:{port}\"]\n{tokens}http.certificate = \"DIR/none.pem\"\n"
            ),
            "http.certificate and http.key go together".to_owned(),
        ),
        (
            format!(
                "listen.http = [\"0.0.0.0:{port}\"]\n{tokens}http.certificate = \"DIR/none.pem\"\n\
                 http.key = \"DIR/none.pem\"\n"
            ),
            "DIR/none.pem cannot be used for TLS: ".to_owned(),
        ),
    ] {
        let said = refusal(folder.path(), &configuration)?;
        assert!(said.contains(&told), "{configuration}: {said}");
    }
    Ok(())
}

/// Asks over TLS, trusting this certificate alone, and prints the version of TLS and the code.
const OVER_TLS: &str = "import http.client, ssl, sys
port, trusted, token, body = sys.argv[1:]
context = ssl.create_default_context(cafile=trusted)
client = http.client.HTTPSConnection('127.0.0.1', int(port), timeout=20, context=context)
client.connect()
version = client.sock.version()
headers = {'Authorization': 'Bearer ' + token, 'Content-Type': 'application/json'}
client.request('POST', '/v1/check', body, headers)
print(version, client.getresponse().status)
";

fn ask_over_tls(port: u16, trusted: &Path) -> Result<Output> {
    python()?
        .args(["-I", "-c", OVER_TLS, &port.to_string()])
        .arg(trusted)
        .args([CHECK_TOKEN, GOOD])
        .output()
        .context("python3")
}

// option: http.certificate http.key
#[test]
fn with_a_certificate_tcp_speaks_tls_alone_and_may_go_beyond_this_host() -> Result<()> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http");
    let folder = scratch_folder()?;
    write_tokens(folder.path(), &both_tokens())?;
    for file in ["certificate.pem", "key.pem"] {
        fs::copy(shipped.join(file), folder.path().join(file))?;
    }
    let port = free_port()?;
    let native = Native::start(
        folder.path(),
        &format!(
            "listen.http = [\"0.0.0.0:{port}\", \"unix:DIR/http\"]\nhttp.token_file = \"DIR/tokens\"\n\
             http.certificate = \"DIR/certificate.pem\"\nhttp.key = \"DIR/key.pem\"\n"
        ),
    )?;
    let trusted = shipped.join("certificate.pem");
    let answered = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let output = ask_over_tls(port, &trusted)?;
    assert_eq!(answered(&output), "TLSv1.3 200\n", "{output:?}");
    let inet = Endpoint::Inet((Ipv4Addr::LOCALHOST, port).into());
    let mut plain = HttpClient::connect(&inet)?;
    let asked = plain.ask("POST /v1/check", &with(CHECK_TOKEN), GOOD.as_bytes());
    assert!(asked.is_err(), "{asked:?}");
    let mut local = HttpClient::connect(&Endpoint::Unix(folder.path().join("http")))?;
    assert_eq!(
        local.ask("POST /v1/check", "", GOOD.as_bytes())?.status,
        200
    );
    // Without a restart TLS stays, whatever becomes of the configuration and of the files.
    let configuration = folder.path().join("greylatch.toml");
    let text = fs::read_to_string(&configuration)?;
    let kept = text.lines().filter(|line| !line.contains(".pem"));
    fs::write(&configuration, kept.collect::<Vec<_>>().join("\n"))?;
    let output = native.tool("reload", &[])?;
    ensure!(output.status.success(), "{output:?}");
    let output = ask_over_tls(port, &trusted)?;
    assert_eq!(answered(&output), "TLSv1.3 200\n", "{output:?}");
    fs::write(folder.path().join("key.pem"), "nonsense")?;
    let output = native.tool("reload", &[])?;
    let told = String::from_utf8([output.stdout, output.stderr].concat())?;
    assert!(told.contains("key.pem cannot be used for TLS"), "{told}");
    let output = ask_over_tls(port, &trusted)?;
    assert_eq!(answered(&output), "TLSv1.3 200\n", "{output:?}");
    Ok(())
}

// option: http.token_file
#[test]
fn tokens_are_read_again_and_bad_lines_are_told() -> Result<()> {
    let server = Server::start("")?;
    let body = bytes(&question("192.0.2.9", "new@x.example"));
    let asks = |token: &str| -> Result<u16> {
        Ok(server
            .tcp()?
            .ask("POST /v1/check", &with(token), &body)?
            .status)
    };
    let reload = || -> Result<String> {
        let output = server.native.tool("reload", &[])?;
        Ok(String::from_utf8([output.stdout, output.stderr].concat())?)
    };
    let (old, new) = ("check-0123456789abcdef", "another-0123456789abcdef");
    write_tokens(server.folder.path(), &format!("check {new}\nchek {old}\n"))?;
    let mistake = "tokens:2:1: not a scope; write `check TOKEN` or `admin TOKEN`";
    let told = reload()?;
    assert!(told.contains(mistake), "{told}");
    let output = Command::new(greylatch_binary()?)
        .args(["check", "--config"])
        .arg(server.folder.path().join("greylatch.toml"))
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(78), "{told}");
    assert!(told.contains(&format!("{mistake}\n")), "{told}");
    assert_eq!(
        (asks(old)?, asks(new)?),
        (200, 401),
        "mistakes keep what was there"
    );
    write_tokens(server.folder.path(), &format!("check {new}\n"))?;
    reload()?;
    assert_eq!((asks(old)?, asks(new)?), (401, 200));
    let path = server.folder.path().join("tokens");
    fs::set_permissions(&path, Permissions::from_mode(0o644))?;
    let told = reload()?;
    assert!(
        told.contains("tokens: everyone on this host may open it, with mode 644"),
        "{told}"
    );
    fs::remove_file(&path)?;
    let told = reload()?;
    assert!(
        told.contains("what was read before goes on to hold"),
        "{told}"
    );
    assert_eq!(asks(new)?, 200);
    Ok(())
}

#[test]
fn the_question_and_the_answer_of_the_manual_are_such() -> Result<()> {
    let server = Server::start("")?;
    let question = manual_block("http.md", "{\n  \"client\"")?;
    let answer: Value = serde_json::from_str(&manual_block("http.md", "{\n  \"verdict\"")?)?;
    let told = server.ask("POST /v1/check", question.as_bytes())?;
    assert_eq!(told.json()?, answer);
    let tokens = manual_block("http.md", "# the mail server")?;
    let scopes: Vec<&str> = tokens
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(scopes, ["#", "check", "#", "admin"]);
    Ok(())
}

#[test]
fn a_socket_that_systemd_passes_on_as_http_is_held_to_the_same_rules() -> Result<()> {
    let folder = scratch_folder()?;
    let ours = Native::command(folder.path(), "")?;
    let path = folder.path().join("passed");
    let place = path.to_string_lossy();
    let mut server = Daemon::start(
        passed_on("http", ("AF_UNIX", &place), &ours)?,
        &folder.path().join("stderr"),
    )?;
    let passed = Endpoint::Unix(path.clone());
    wait_for("the passed socket", LOG_MAX, || {
        ensure!(server.is_running()?, "it ended");
        Ok(HttpClient::connect(&passed).is_ok())
    })?;
    let answer = HttpClient::connect(&passed)?.ask("POST /v1/check", "", GOOD.as_bytes())?;
    assert_eq!(answer.status, 200);
    server.terminate()?;
    let output = passed_on("http", ("AF_INET", "127.0.0.1"), &ours)?.output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("name a file with tokens in http.token_file"),
        "{said}"
    );
    let foreign = folder.path().join("greylist.conf");
    fs::write(&foreign, "racl greylist default\n")?;
    let mut command = Command::new(ours.get_program());
    command.args(["milter-greylist", "-D", "-f"]).arg(&foreign);
    command
        .args(["-p", "inet:0@127.0.0.1", "-d"])
        .arg(folder.path().join("greylist.db"));
    fs::remove_file(&path)?;
    let output = passed_on("http", ("AF_UNIX", &place), &command)?.output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("HTTP is not spoken under a greylist.conf"),
        "{said}"
    );
    Ok(())
}
