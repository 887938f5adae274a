//! What the signatures of messages are worth, with keys from a name server of the test.

use greylatch_core::{Amendment, Content};
use mail_auth::common::crypto::Ed25519Key;
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::{Canonicalization, DkimSigner, NeedDomain, Signature};

use super::*;

/// Source: RFC 8463 A.2.
const ED25519: Told =
    Told::Txt("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
const RSA: Told = Told::Txt(
    "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bd\
     OKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9Pz\
     oxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB",
);
const ED25519_NAME: &str = "brisbane._domainkey.football.example.com";
const RSA_NAME: &str = "test._domainkey.football.example.com";
const KEYS: [(&str, Told); 2] = [(ED25519_NAME, ED25519), (RSA_NAME, RSA)];

/// The signatures as a milter is told of them. Source: RFC 8463 A.3.
const BY_ED25519: &str = "v=1; a=ed25519-sha256; c=relaxed/relaxed;\n d=football.example.com; \
     i=@football.example.com;\n q=dns/txt; s=brisbane; t=1528637909; h=from : to :\n subject : date : \
     message-id : from : subject : date;\n bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\n \
     b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\n \
     Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==";
const BY_RSA: &str = "v=1; a=rsa-sha256; c=relaxed/relaxed;\n d=football.example.com; \
     i=@football.example.com;\n q=dns/txt; s=test; t=1528637909; h=from : to : subject :\n date : \
     message-id : from : subject : date;\n bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\n \
     b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\n \
     DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\n \
     dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=";
const HEADERS: [(&str, &str); 5] = [
    ("From", "Joe SixPack <joe@football.example.com>"),
    ("To", "Suzie Q <suzie@shopping.example.net>"),
    ("Subject", "Is dinner ready?"),
    ("Date", "Fri, 11 Jul 2003 21:00:37 -0700 (PDT)"),
    (
        "Message-ID",
        "<20030712040037.46341.5F8J@football.example.com>",
    ),
];
const BODY: &str = "Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";

/// The example of RFC 8463 with these signatures and this body, of which so many bytes are kept.
fn message(signatures: &[&str], body: &str, max: usize) -> Content {
    let mut content = Content::new(max);
    for value in signatures {
        content.add_header(b"DKIM-Signature", value.as_bytes());
    }
    for (name, value) in HEADERS {
        content.add_header(name.as_bytes(), value.as_bytes());
    }
    content.add_body(body.as_bytes());
    content
}

fn signed(signatures: &[&str]) -> Content {
    message(signatures, BODY, 1 << 20)
}

fn about(content: &Content) -> About<'_> {
    About {
        client: [192, 0, 2, 1].into(),
        own: None,
        helo: b"",
        sender: b"",
        lists: &[],
        countries: None,
        content: Some(content),
    }
}

/// The word that holds of the message, where keys are told so; `None` when none is known to hold or not.
async fn found(keys: &[(&str, Told)], content: &Content) -> Option<MailStatus> {
    let server = NameServer::start(keys);
    let facts = server.facts();
    let mut findings = Findings::default();
    let about = about(content);
    let all = [
        MailStatus::Pass,
        MailStatus::Fail,
        MailStatus::Unknown,
        MailStatus::None,
        MailStatus::Error,
    ];
    let mut inquiry = facts.inquiry(&mut findings);
    let mut told = Vec::new();
    for status in all {
        told.push(inquiry.look_up(&Fact::Dkim(status), &about).await);
    }
    if told == [None; 5] {
        return None;
    }
    let yes: Vec<MailStatus> = (all.into_iter().zip(&told))
        .filter_map(|(status, told)| told.expect("all or none is known").then_some(status))
        .collect();
    assert_eq!(yes.len(), 1, "{yes:?}");
    yes.first().copied()
}

#[tokio::test]
async fn each_dkim_result_has_its_word() {
    let changed = |old: &str, new: &str| {
        let value = BY_ED25519.replace(old, new);
        assert_ne!(value, BY_ED25519);
        signed(&[&value])
    };
    for (case, content, expected) in [
        ("Ed25519", signed(&[BY_ED25519]), MailStatus::Pass),
        ("RSA", signed(&[BY_RSA]), MailStatus::Pass),
        ("both", signed(&[BY_ED25519, BY_RSA]), MailStatus::Pass),
        ("no signature", signed(&[]), MailStatus::None),
        (
            "another body",
            message(&[BY_ED25519], "Hi.\r\n", 1 << 20),
            MailStatus::Fail,
        ),
        (
            "another signature",
            changed("b=/g", "b=/h"),
            MailStatus::Fail,
        ),
        ("no key", changed("brisbane", "sydney"), MailStatus::Error),
        (
            "expired",
            changed("t=1", "x=1528637910; t=1"),
            MailStatus::Unknown,
        ),
        (
            "another version",
            changed("v=1", "v=2"),
            MailStatus::Unknown,
        ),
        (
            "another algorithm",
            changed("ed25519-sha256", "other"),
            MailStatus::Unknown,
        ),
        // Such signatures count as absent.
        ("nothing", signed(&[""]), MailStatus::None),
        ("no b=", changed("b=/gCr", "c2=/gCr"), MailStatus::None),
        // The first one that passes counts.
        ("one of two", signed(&["v=1", BY_RSA]), MailStatus::Pass),
    ] {
        assert_eq!(found(&KEYS, &content).await, Some(expected), "{case}");
    }
    let revoked = [(ED25519_NAME, Told::Txt("v=DKIM1; k=ed25519; p="))];
    let told = found(&revoked, &signed(&[BY_ED25519])).await;
    assert_eq!(told, Some(MailStatus::Fail));
    let damaged = [(ED25519_NAME, Told::Txt("v=DKIM1; k=other; p=AAAA"))];
    let told = found(&damaged, &signed(&[BY_ED25519])).await;
    assert_eq!(told, Some(MailStatus::Unknown));
    let no_key = BY_ED25519.replace("brisbane", "sydney");
    let changed = BY_RSA.replace("b=F4", "b=F5");
    for (signatures, expected) in [
        ([&no_key, &changed], MailStatus::Error),
        ([&changed, &no_key], MailStatus::Fail),
    ] {
        let content = signed(&signatures.map(String::as_str));
        assert_eq!(found(&KEYS, &content).await, Some(expected));
    }
}

#[tokio::test]
async fn a_message_whose_signatures_cannot_be_looked_at_is_not_known() {
    let whole = signed(&[BY_ED25519]);
    let failing = [(ED25519_NAME, Told::Failure)];
    assert_eq!(found(&failing, &whole).await, None);
    // One that is not known may be one that passes.
    let changed = BY_RSA.replace("b=F4", "b=F5");
    let failing = [(ED25519_NAME, Told::Failure), (RSA_NAME, RSA)];
    assert_eq!(
        found(&failing, &signed(&[BY_ED25519, &changed])).await,
        None
    );
    // Whatever the others are worth, one passes.
    let told = found(&failing, &signed(&[BY_ED25519, BY_RSA])).await;
    assert_eq!(told, Some(MailStatus::Pass));
    // Only a part is kept, be it all but the last byte.
    let size = usize::try_from(whole.size()).expect("small") - "\r\n".len();
    let kept = message(&[BY_ED25519], BODY, size);
    assert_eq!(found(&KEYS, &kept).await, Some(MailStatus::Pass));
    let cut = message(&[BY_ED25519], BODY, size - 1);
    assert_eq!(found(&KEYS, &cut).await, None);
    // As many as are looked at, and one more.
    let told = found(&KEYS, &signed(&[BY_ED25519; 8])).await;
    assert_eq!(told, Some(MailStatus::Pass));
    assert_eq!(found(&KEYS, &signed(&[BY_ED25519; 9])).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_does_not_come_in_time_leaves_the_result_unknown() {
    let silent = [(ED25519_NAME, Told::Silence)];
    let asked = monotonic();
    assert_eq!(found(&silent, &signed(&[BY_ED25519])).await, None);
    let waited = asked.elapsed();
    assert!(waited <= Duration::from_millis(2_010), "{waited:?}");
}

/// One who signs for the domain with the keys of RFC 8463.
///
/// Source: RFC 8032 §7.1, TEST 1, which are those keys.
fn signer() -> DkimSigner<Ed25519Key, NeedDomain> {
    let secret = b"\x9d\x61\xb1\x9d\xef\xfd\x5a\x60\xba\x84\x4a\xf4\x92\xec\x2c\xc4\
                   \x44\x49\xc5\x69\x7b\x32\x69\x19\x70\x3b\xac\x03\x1c\xae\x7f\x60";
    let public = b"\xd7\x5a\x98\x01\x82\xb1\x0a\xb7\xd5\x4b\xfe\xd3\xc9\x64\x07\x3a\
                   \x0e\xe1\x72\xf3\xda\xa6\x23\x25\xaf\x02\x1a\x68\xf7\x07\x51\x1a";
    let key = Ed25519Key::from_seed_and_public_key(secret, public).expect("keys");
    DkimSigner::from_key(key)
}

/// A signature as a milter is told of it.
fn value_of(signature: &Signature) -> String {
    let header = signature.to_header();
    let value = header.strip_prefix("DKIM-Signature: ").expect("a header");
    value.trim_end().replace("\r\n", "\n")
}

/// Symptom to be kept away: such a message fails though nothing of it was changed on its way, since a
/// milter of an older version does not see the space behind the colon.
#[tokio::test]
async fn simple_headers_fail_only_where_every_byte_is_told() {
    let [spaced, close] = [" folded", "folded"].map(|behind| {
        let text = format!("Subject:{behind}\r\n\tonce\r\n\r\nHi.\r\n");
        let signer = signer()
            .domain("football.example.com")
            .selector("brisbane")
            .headers(["Subject"])
            .header_canonicalization(Canonicalization::Simple);
        value_of(&signer.sign(text.as_bytes()).expect("a signature"))
    });
    let (pass, fail) = (Some(MailStatus::Pass), Some(MailStatus::Fail));
    // What was signed, what is told of it, and the results with the body and another.
    for (signature, told, expected) in [
        (&spaced, None, [pass, fail]),
        (&close, None, [None, fail]),
        (&spaced, Some(" folded\n\tonce"), [pass, fail]),
        (&close, Some("folded\n\tonce"), [pass, fail]),
        (&close, Some(" folded\n\tonce"), [fail, fail]),
        (&spaced, Some("folded\n\tonce"), [fail, fail]),
    ] {
        for (body, expected) in ["Hi.\r\n", "Ho.\r\n"].into_iter().zip(expected) {
            let mut content = Content::new(1 << 20);
            match told {
                None => {
                    content.add_header(b"DKIM-Signature", signature.as_bytes());
                    content.add_header(b"Subject", b"folded\n\tonce");
                }
                Some(behind) => {
                    let signature = format!(" {signature}");
                    content.add_exact_header(b"DKIM-Signature", signature.as_bytes());
                    content.add_exact_header(b"Subject", behind.as_bytes());
                }
            }
            content.add_body(body.as_bytes());
            assert_eq!(found(&KEYS, &content).await, expected, "{told:?} {body}");
        }
    }
}

#[tokio::test]
async fn only_keys_are_asked_for_and_once() {
    let text = b"From: a@football.example.com\r\n\r\nHi.\r\n";
    let signer = signer()
        .domain("football.example.com")
        .selector("brisbane")
        .headers(["From"])
        .atps("football.example.com")
        .reporting(true);
    let signature = value_of(&signer.sign(text).expect("a signature"));
    for (body, expected) in [("Hi.\r\n", true), ("Ho.\r\n", false)] {
        let mut content = Content::new(1 << 20);
        content.add_header(b"DKIM-Signature", signature.as_bytes());
        content.add_header(b"From", b"a@football.example.com");
        content.add_body(body.as_bytes());
        let server = NameServer::start(&KEYS);
        let facts = server.facts();
        let mut findings = Findings::default();
        let mut inquiry = facts.inquiry(&mut findings);
        let fact = Fact::Dkim(MailStatus::Pass);
        let told = inquiry.look_up(&fact, &about(&content)).await;
        assert_eq!(told, Some(expected), "{body}");
        // Of another body no key is needed.
        let asked = if expected { vec![ED25519_NAME] } else { vec![] };
        assert_eq!(server.asked(), asked, "{body}");
        // What is known of a message is not looked at again.
        let told = inquiry.look_up(&fact, &about(&Content::new(0))).await;
        assert_eq!(told, Some(expected), "{body}");
    }
}

impl Daemon {
    /// Whether a message with one recipient is refused at its end.
    async fn refuses_message(&mut self, number: u32, content: Content) -> bool {
        let answer = self.judge_message(number, content).await;
        matches!(answer, Answer::Verdict(Verdict::Refuse(_)))
    }

    /// What becomes of a message with one recipient at its end.
    async fn judge_message(&mut self, number: u32, content: Content) -> Answer {
        let recipient = self.judge(number, "192.0.2.1", "b@y.example").await;
        assert_eq!(recipient, Verdict::Pass { header: None });
        let mut attempt = Attempt::new();
        attempt.set_message(number);
        attempt.set_stage(Stage::EndOfMessage);
        attempt.set(Field::ClientAddress, b"192.0.2.1");
        attempt.set(Field::Helo, b"pass.example");
        attempt.set(Field::QueueId, b"Q1");
        attempt.set(Field::Sender, b"a@pass.example");
        attempt.set(Field::RecipientCount, b"1");
        attempt.set_content(content);
        let asked = Request::Judge(attempt);
        self.desk.answer(&mut self.visitor, asked).await
    }
}

#[tokio::test]
async fn who_learns_takes_a_message_that_would_wait_with_its_headers() {
    let rules = "nospf\nracl whitelist default\ndacl greylist default addheader \"X-D: %f\"\n";
    for (mode, passes) in [(Mode::Learn, true), (Mode::Enforce, false)] {
        let mut daemon = Daemon::in_mode(mode, rules);
        let answer = daemon.judge_message(1, signed(&[])).await;
        match answer {
            Answer::Verdict(Verdict::Amend(amendments)) => {
                assert!(passes);
                let lines: Vec<String> = amendments
                    .iter()
                    .map(|amendment| match amendment {
                        Amendment::AddHeader(header) => {
                            String::from_utf8_lossy(&header.line).into()
                        }
                        other => panic!("{other:?}"),
                    })
                    .collect();
                let [of_rule, own] = &lines[..] else {
                    panic!("{lines:?}");
                };
                assert_eq!(of_rule, "X-D: a@pass.example");
                assert!(own.starts_with("X-Greylist: Default is to whitelist mail, not delayed"));
            }
            Answer::Verdict(Verdict::Defer(_)) => assert!(!passes),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_rule_of_dkim_judges_the_message_and_the_unknown_matches_nothing() {
    for (clause, refused) in [
        ("dkim", [true, false, false, false]),
        ("not dkim", [false, true, true, false]),
        ("dkim fail", [false, true, false, false]),
        ("dkim none", [false, false, true, false]),
        ("not dkim none", [true, true, false, false]),
    ] {
        let rules = format!("nospf\nracl whitelist default\ndacl blacklist {clause}\n");
        let mut daemon = Daemon::with_rules(&rules);
        daemon.desk.facts =
            NameServer::start(&[(ED25519_NAME, ED25519), (RSA_NAME, Told::Failure)]).facts();
        let mut told = Vec::new();
        for (number, content) in (1..).zip([
            signed(&[BY_ED25519]),
            message(&[BY_ED25519], "Hi.\r\n", 1 << 20),
            signed(&[]),
            signed(&[BY_RSA]),
        ]) {
            told.push(daemon.refuses_message(number, content).await);
        }
        assert_eq!(told, refused, "{clause}");
    }
}
