//! The milter protocol at the sockets of the running daemon, spoken by an MTA
//! that does as it likes: what it tells of clients, addresses and messages.

use anyhow::Result;
use conformance::{EPISODE_START, MilterClient, MilterServer, Offer, only_answer};

const VERSIONS: [u32; 5] = [2, 3, 4, 5, 6];
const CLIENT: &str = "192.0.2.9";
const DEFERRED: &str = "y451 4.7.1 Greylisted, please try again in 60 seconds\\x00";
const HEADER: &str = concat!(
    "X-Greylist\\x00delayed 60 seconds by greylatch-",
    env!("CARGO_PKG_VERSION"),
    " at mx.example.org; Tue, 24 Nov 2026 12:01:00 UTC\\x00"
);

#[test]
fn a_newcomer_waits_and_passes_in_every_version_at_either_socket() -> Result<()> {
    let mut scene = MilterServer::start("", "")?;
    for (nth, version) in VERSIONS.into_iter().enumerate() {
        for (kind, endpoint) in [("unix", &scene.unix), ("inet", &scene.inet)] {
            scene.clock.set(EPISODE_START)?;
            let sender = format!("{kind}{version}@x.example");
            let client = format!("192.0.{nth}.9");
            let mut filter = MilterClient::open(endpoint, Offer::of_version(version), &client)?;
            let both = ["b@example.org", "c@example.org"];
            assert_eq!(filter.envelope(&sender, &both)?, [DEFERRED, DEFERRED]);
            filter.send('A', b"")?;
            scene.clock.set(EPISODE_START + 60)?;
            assert_eq!(filter.envelope(&sender, &both)?, ["c", "c"]);
            let on_top = format!("i\\x00\\x00\\x00\\x00{HEADER}");
            let added = format!("h{HEADER}");
            let header = if version == 2 { added } else { on_top };
            assert_eq!(filter.content()?, [header, "c".into()], "{version}");
            // Another message on the same connection: known, and without it.
            assert_eq!(filter.envelope(&sender, &both[..1])?, ["c"]);
            assert_eq!(filter.content()?, ["c"]);
            filter.send('Q', b"")?;
            assert_eq!(filter.hear_all()?, [""; 0]);
        }
    }
    Ok(())
}

#[test]
fn nothing_of_a_message_or_a_client_stays_for_the_next() -> Result<()> {
    let mut scene = MilterServer::start("", "")?;
    let mut filter = MilterClient::connect(&scene.inet)?;
    filter.negotiate(Offer::of_version(6))?;
    filter.macros('C', &[("{client_resolve}", "OK")])?;
    filter.greet("mx.friend.example 192.0.2.9")?;
    filter.macros('M', &[("i", "queue1"), ("{auth_authen}", "ann")])?;
    assert_eq!(filter.envelope("a@x.example", &["b@example.org"])?, ["c"]);
    assert_eq!(scene.server.verdicts("authenticated")?, 1);
    // The login was that message's, the name is the client's.
    filter.send('A', b"")?;
    assert_eq!(filter.envelope("a@x.example", &["b@example.org"])?, ["c"]);
    assert_eq!(scene.server.verdicts("rule")?, 1);
    filter.macros('H', &[("{verify}", "OK"), ("{cert_subject}", "/CN=mx")])?;
    assert_eq!(filter.envelope("a@x.example", &["b@example.org"])?, ["c"]);
    assert_eq!(scene.server.verdicts("certified")?, 1);
    filter.send('K', b"")?;
    filter.greet("192.0.2.10")?;
    assert_eq!(
        filter.envelope("a@x.example", &["b@example.org"])?,
        [DEFERRED]
    );
    scene.clock.set(EPISODE_START + 60)?;
    assert_eq!(filter.envelope("a@x.example", &["b@example.org"])?, ["c"]);
    // Its header was due at the end of a message that was given up.
    filter.send('A', b"")?;
    assert_eq!(filter.envelope("a@x.example", &["b@example.org"])?, ["c"]);
    assert_eq!(filter.content()?, ["c"]);
    Ok(())
}

#[test]
fn macros_tell_who_does_not_wait() -> Result<()> {
    let scene = MilterServer::start("", "")?;
    let rows = [
        ("nothing", 'M', "", DEFERRED),
        ("a login", 'M', "{auth_authen}=ann", "c"),
        ("an empty login", 'M', "{auth_authen}=", DEFERRED),
        (
            "a certificate",
            'H',
            "{verify}=OK {cert_subject}=/CN=mx",
            "c",
        ),
        (
            "a bad one",
            'H',
            "{verify}=FAIL {cert_subject}=/CN=mx",
            DEFERRED,
        ),
        ("one not verified", 'H', "{cert_subject}=/CN=mx", DEFERRED),
        ("the access database", 'R', "{greylist}=WHITE", "c"),
        ("its other word", 'R', "{greylist}=OK", "c"),
        ("its third, behind others", 'R', "i=q {greylist}=RELAY", "c"),
        ("none of its words", 'R', "{greylist}=white", DEFERRED),
    ];
    for (what, stage, macros, expected) in rows {
        let mut filter = MilterClient::connect(&scene.inet)?;
        filter.negotiate(Offer::of_version(6))?;
        let mut answers = Vec::new();
        for (command, content) in [
            ('C', &b"[192.0.2.9]\x004\0\x00192.0.2.9\0"[..]),
            ('H', b"client.example\0"),
            ('M', b"<a@x.example>\0"),
            ('R', b"<b@example.org>\0"),
        ] {
            let told = if command == stage { macros } else { "" };
            let pairs: Vec<_> = told
                .split_whitespace()
                .filter_map(|pair| pair.split_once('='))
                .collect();
            filter.macros(command, &pairs)?;
            answers.extend(filter.ask(command, content)?);
        }
        assert_eq!(answers, [expected], "{what}");
    }
    Ok(())
}

#[test]
fn a_name_counts_only_when_the_mta_has_verified_it() -> Result<()> {
    let scene = MilterServer::start("", "")?;
    let named = "mx.friend.example 192.0.2.9";
    for (client, resolved, expected) in [
        (named, Some("OK"), "c"),
        // Postfix does not say, and gives no name that it has not verified.
        (named, None, "c"),
        (named, Some("FORGED"), DEFERRED),
        (named, Some("FAIL"), DEFERRED),
        (named, Some("TEMP"), DEFERRED),
        ("[192.0.2.9] 192.0.2.9", Some("OK"), DEFERRED),
    ] {
        let mut filter = MilterClient::connect(&scene.inet)?;
        filter.negotiate(Offer::of_version(6))?;
        if let Some(resolved) = resolved {
            filter.macros('C', &[("{client_resolve}", resolved)])?;
        }
        filter.greet(client)?;
        let answers = filter.envelope("a@x.example", &["b@example.org"])?;
        assert_eq!(answers, [expected], "{client} {resolved:?}");
    }
    Ok(())
}

#[test]
fn clients_are_known_however_their_address_is_written() -> Result<()> {
    let scene = MilterServer::start("", "")?;
    let rows: [(&str, &[u8]); 7] = [
        ("127.0.0.1", b"localhost\x004\0\x00127.0.0.1\0"),
        ("::1 of Sendmail", b"localhost\x006\0\0IPv6:::1\0"),
        ("::1 of Postfix", b"localhost\x006\0\0::1\0"),
        ("mapped", b"localhost\x006\0\0::ffff:127.0.0.1\0"),
        ("its tag in small letters", b"localhost\x006\0\0ipv6:::1\0"),
        ("a unix socket", b"localhost\0L\0\0/run/socket\0"),
        ("nobody", b"localhost\0U"),
    ];
    for (what, content) in rows {
        let mut filter = MilterClient::connect(&scene.inet)?;
        filter.negotiate(Offer::of_version(6))?;
        filter.send('C', content)?;
        let answers = filter.envelope("a@x.example", &["b@example.org"])?;
        assert_eq!(answers, ["c"], "{what}");
    }
    assert_eq!(scene.server.verdicts("local")?, 7);
    Ok(())
}

#[test]
fn addresses_are_known_however_they_are_written() -> Result<()> {
    let mut scene = MilterServer::start("", "")?;
    let ask = |scene: &MilterServer, sender: &str, recipient: &str| -> Result<String> {
        let mut filter = scene.open(CLIENT)?;
        filter.ask('M', format!("{sender}\0").as_bytes())?;
        only_answer(filter.ask('R', format!("{recipient}\0").as_bytes())?)
    };
    assert_eq!(ask(&scene, "<a@x.example>", "<b@example.org>")?, DEFERRED);
    scene.clock.set(EPISODE_START + 60)?;
    for (sender, recipient) in [
        ("a@x.example", "b@example.org"),
        ("<a@X.Example>", "<b@EXAMPLE.org>"),
        (
            "<@relay.example:a@x.example>",
            "<@one.example,@two.example:b@example.org>",
        ),
        (" <a@x.example> ", "< b@example.org >"),
    ] {
        assert_eq!(ask(&scene, sender, recipient)?, "c", "{sender} {recipient}");
    }
    assert_eq!(ask(&scene, "<c@x.example>", "<b@example.org>")?, DEFERRED);
    Ok(())
}

#[test]
fn a_reply_that_an_mta_would_not_take_is_not_said() -> Result<()> {
    let plain = "y451 4.7.1 Greylisted, please try again later\\x00";
    for (text, expected) in [
        ("20% of %r, %s", "y451 4.7.1 20%% of example.org, 60\\x00"),
        ("4.2.0 wait", "y451 4.2.0 wait\\x00"),
        ("450 wait", "y450 4.7.1 wait\\x00"),
        ("550 never", plain),
        ("5.7.1 never", "y451 4.7.1 never\\x00"),
        ("caf\u{e9}", plain),
        ("two\\nlines", plain),
        ("a tab\\there", plain),
        ("", "y451 4.7.1 \\x00"),
    ] {
        let scene = MilterServer::start("", &format!("reply = \"{text}\"\n"))?;
        assert_eq!(scene.ask(CLIENT)?, expected, "{text:?}");
    }
    Ok(())
}

#[test]
fn bounces_are_judged_where_the_administrator_says() -> Result<()> {
    for (place, at_recipient, at_end) in [
        ("rcpt", DEFERRED, "c"),
        ("data", "c", DEFERRED),
        ("exempt", "c", "c"),
    ] {
        let scene = MilterServer::start("", &format!("null_sender = \"{place}\"\n"))?;
        let mut filter = scene.open(CLIENT)?;
        for _ in 0..2 {
            assert_eq!(filter.envelope("", &["b@example.org"])?, [at_recipient]);
            assert_eq!(filter.content()?, [at_end], "{place}");
            assert_eq!(
                filter.envelope("a@x.example", &["b@example.org"])?,
                [DEFERRED]
            );
            filter.send('A', b"")?;
        }
    }
    Ok(())
}
