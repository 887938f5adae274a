//! Questions and answers over HTTP, exactly; whatever comes is a question or a list of mistakes.

use greylatch_core::{
    Attempt, Entry, Field, Judgement, Page, Query, Reason, Record, Reply, Request, Seconds, Stage,
    Standing, Timestamp, Verdict,
};
use greylatch_proto::{
    HttpProblem, decode_check, decode_list, decode_removal, decode_standing, encode_count,
    encode_judgement, encode_page, encode_problem,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn value(line: &[u8]) -> Value {
    assert_eq!(line.last(), Some(&b'\n'));
    serde_json::from_slice(line).expect("an answer is JSON")
}

fn status<T>(decoded: Result<T, HttpProblem>) -> u16 {
    decoded.err().map_or(200, |problem| problem.status())
}

#[test]
fn a_question_holds_what_it_says_and_the_usual_for_the_rest() {
    let body = json!({
        "client": "2001:db8::1", "name": "mx.example.com", "helo": "mx", "sender": "ä@x",
        "recipient": "b@y", "login": "ann", "tls": "TLSv1.3", "queue_id": "4C", "instance": "1.2",
        "stage": "data", "recipient_count": 3.0,
    });
    let attempt = decode_check(body.to_string().as_bytes()).expect("a question");
    let mut expected = Attempt::new();
    for (field, text) in [
        (Field::ClientName, "unknown"),
        (Field::ClientAddress, "2001:db8::1"),
        (Field::ClientName, "mx.example.com"),
        (Field::Helo, "mx"),
        (Field::Sender, "ä@x"),
        (Field::Recipient, "b@y"),
        (Field::Login, "ann"),
        (Field::TlsProtocol, "TLSv1.3"),
        (Field::QueueId, "4C"),
        (Field::Instance, "1.2"),
        (Field::RecipientCount, "3"),
    ] {
        expected.set(field, text.as_bytes());
    }
    expected.set_stage(Stage::Data);
    assert_eq!(attempt, expected);
    let least = br#"{"client":"192.0.2.9","sender":"","recipient":""}"#;
    let attempt = decode_check(least).expect("a question");
    assert_eq!(attempt.stage(), Stage::Rcpt);
    assert_eq!(attempt.text(Field::ClientName), b"unknown");
    assert_eq!(attempt.text(Field::RecipientCount), b"1");
    assert_eq!(attempt.field(Field::Login), None);
}

#[test]
fn a_long_value_is_cut() {
    let body = json!({ "client": "192.0.2.9", "sender": "s".repeat(600), "recipient": "b" });
    let attempt = decode_check(body.to_string().as_bytes()).expect("a question");
    assert_eq!(attempt.text(Field::Sender).len(), 512);
}

#[test]
fn a_standing_is_set_by_hand_only() {
    let body = |standing: &str| {
        json!({ "client": "192.0.2.9", "sender": "a", "recipient": "b", "standing": standing })
            .to_string()
            .into_bytes()
    };
    let Ok(Request::Set { attempt, standing }) = decode_standing(&body("refused")) else {
        panic!("a standing is set");
    };
    assert_eq!(standing, Standing::Refused);
    assert_eq!(attempt.text(Field::ClientAddress), b"192.0.2.9");
    assert_eq!(status(decode_standing(&body("waiting"))), 422);
    let without = br#"{"client":"192.0.2.9","sender":"a","recipient":"b"}"#;
    assert_eq!(status(decode_standing(without)), 422);
}

#[test]
fn a_query_says_which_records_are_meant() {
    let text = "matching=a%40b+c%ff%zz%&standing=proven&clients=true&limit=7\
                &after=000102030405060708090a0b0c0d0e0f";
    let expected = Query {
        matching: Some(b"a@b c\xff%zz%".to_vec()),
        standing: Some(Standing::Proven),
        clients: true,
        after: Some([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]),
        limit: 7,
    };
    assert_eq!(decode_list(text), Ok(expected));
    let all = Query {
        limit: 1_000,
        ..Query::default()
    };
    assert_eq!(decode_list("&"), Ok(all.clone()));
    let removed = Query {
        matching: Some(b"x".to_vec()),
        ..all
    };
    assert_eq!(decode_removal("matching=x"), Ok(removed));
    for wrong in ["", "matching", "matching=x&limit=3", "matching=x&standing="] {
        assert_eq!(status(decode_removal(wrong)), 422, "{wrong}");
    }
    for wrong in [
        "limit=1001",
        "limit=%2B1",
        "after=+f",
        "after=",
        "clients=TRUE",
        "=x",
    ] {
        assert_eq!(status(decode_list(wrong)), 422, "{wrong}");
    }
}

fn judged(verdict: Verdict) -> Value {
    value(&encode_judgement(&Judgement {
        verdict,
        reason: Reason::Retry,
        wait: Seconds(3),
        age: Seconds(4),
        rule: Some("f:1: x".into()),
    }))
}

#[test]
fn a_verdict_says_all_that_an_mta_needs() {
    let why = |mut value: Value| {
        for (name, expected) in [
            ("reason", json!("retry")),
            ("wait_s", json!(3)),
            ("age_s", json!(4)),
            ("rule", json!("f:1: x")),
        ] {
            let told = value
                .as_object_mut()
                .and_then(|members| members.remove(name));
            assert_eq!(told, Some(expected));
        }
        value
    };
    let header = Some(b"X-Greylist: delayed 3 seconds: yes".to_vec());
    assert_eq!(
        why(judged(Verdict::Pass { header })),
        json!({ "verdict": "pass",
                "header": { "name": "X-Greylist", "value": "delayed 3 seconds: yes" } })
    );
    let reply = |text: &str, has_status| Reply {
        text: text.as_bytes().to_vec(),
        has_status,
    };
    assert_eq!(
        why(judged(Verdict::Defer(reply("450 4.2.0 Later", true)))),
        json!({ "verdict": "defer", "code": 450, "status": "4.2.0", "text": "Later" })
    );
    // 421 would end the session, and what no MTA may say is replaced.
    assert_eq!(
        why(judged(Verdict::Defer(reply("421 4.7.0 Go away", true)))),
        json!({ "verdict": "defer", "code": 451, "status": "4.7.0", "text": "Go away" })
    );
    assert_eq!(
        why(judged(Verdict::Refuse(reply("sp\u{e4}ter", false)))),
        json!({ "verdict": "refuse", "code": 550, "status": "5.7.1",
                "text": "Mail from you is not accepted here" })
    );
}

#[test]
fn a_page_has_the_words_of_an_export() {
    let entry = Entry {
        first: Timestamp(1),
        last: Timestamp(2),
        due: Timestamp(3),
        expires: Timestamp(4),
        standing: Standing::Waiting,
    };
    let page = Page {
        records: vec![Record::Triplet {
            key: [0xab; 16],
            client: b"192.0.2.0/24".to_vec(),
            sender: b"\xff".to_vec(),
            recipient: b"b@y".to_vec(),
            entry,
        }],
        next: Some([1; 16]),
    };
    assert_eq!(
        value(&encode_page(&page)),
        json!({ "entries": [{
            "key": "ab".repeat(16), "client": "192.0.2.0/24", "sender": { "hex": "ff" },
            "recipient": "b@y", "standing": "waiting", "first": 1, "last": 2, "due": 3, "expires": 4,
        }], "next": "01".repeat(16) })
    );
    assert_eq!(value(&encode_count(3)), json!({ "count": 3 }));
}

proptest! {
    #[test]
    fn what_comes_is_a_question_or_a_list_of_mistakes(
        body in "[{\":,}a-z\\[\\] 0-9]{0,40}|\\PC{0,40}",
        members in prop::collection::hash_map("[a-z_]{0,9}|client|sender|recipient|stage", "\\PC{0,9}", 0..6),
    ) {
        let object = json!(members).to_string();
        for text in [&body, &object] {
            for problem in [
                decode_check(text.as_bytes()).err(),
                decode_standing(text.as_bytes()).err(),
                decode_list(text).err(),
                decode_removal(text).err(),
            ].into_iter().flatten() {
                let told = value(&encode_problem(&problem));
                let is_listed = told["errors"].as_array().is_none_or(|errors| !errors.is_empty());
                prop_assert!(is_listed);
                prop_assert_eq!(&told["status"], &json!(problem.status()));
                prop_assert!([400, 422].contains(&problem.status()));
            }
        }
    }
}
