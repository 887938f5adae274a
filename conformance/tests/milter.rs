//! The milter protocol at the sockets of the running daemon, spoken by an MTA
//! that does as it likes: every version, and what no MTA should send.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use conformance::{Agreed, EPISODE_START, MilterClient, MilterServer, Offer, packet, wait_for};

const VERSIONS: [u32; 5] = [2, 3, 4, 5, 6];
const CLIENT: &str = "192.0.2.9";
const DEFERRED: &str = "y451 4.7.1 Greylisted, please try again in 60 seconds\\x00";
const HEADER: &str = concat!(
    "X-Greylist\\x00delayed 60 seconds by greylatch-",
    env!("CARGO_PKG_VERSION"),
    " at mx.example.org; Tue, 24 Nov 2026 12:01:00 UTC\\x00"
);

fn start() -> Result<MilterServer> {
    start_with("", "")
}

/// With lines of the tables `[listen]` and `[greylist]`.
fn start_with(listen: &str, greylist: &str) -> Result<MilterServer> {
    MilterServer::start(listen, greylist)
}

/// The answer to a message's only recipient, on a connection of its own.
fn ask(ours: &MilterServer) -> Result<String> {
    only(
        ours.open(CLIENT)?
            .envelope("a@x.example", &["b@example.org"])?,
    )
}

fn only(answers: Vec<String>) -> Result<String> {
    let [answer] = <[String; 1]>::try_from(answers)
        .ok()
        .context("one answer")?;
    Ok(answer)
}

#[test]
fn a_newcomer_waits_and_passes_in_every_version_at_either_socket() -> Result<()> {
    let mut scene = start()?;
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
fn only_what_was_offered_is_taken() -> Result<()> {
    let scene = start()?;
    let taken = |version, actions, steps| -> Result<Agreed> {
        MilterClient::connect(&scene.inet)?.negotiate(Offer {
            version,
            actions,
            steps,
        })
    };
    let newest = taken(6, 0x1FF, 0x1F_FFFF)?;
    assert_eq!((newest.version, newest.actions), (6, 0x101));
    let names: Vec<&str> = newest
        .macros
        .iter()
        .flat_map(|(_, names)| names.split(' '))
        .collect();
    for name in [
        "j",
        "{if_addr}",
        "{daemon_port}",
        "{verify}",
        "{cert_subject}",
        "i",
    ] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    for name in ["{auth_authen}", "{greylist}"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    assert_eq!(taken(7, 0x1FF, 0x1F_FFFF)?.version, 6);
    assert_eq!(taken(u32::MAX, u32::MAX, u32::MAX)?.version, 6);
    // `negotiate` itself fails when more is taken than was offered.
    for bit in 0..21 {
        let one = taken(6, 0xFF, 1 << bit)?;
        assert_eq!(one.macros, []);
        let all_others = taken(6, 0x1FE, 0x1F_FFFF & !(1 << bit))?;
        assert_eq!(all_others.actions, 0x100);
    }
    // Version 1 had no number for these, and older MTAs send none.
    let mut old = MilterClient::connect(&scene.inet)?;
    old.send('O', &[[0, 0, 0, 2], [0; 4], [0; 4]].concat())?;
    old.send('Q', b"")?;
    let answers = old.hear_all()?;
    assert_eq!(answers.len(), 1, "{answers:?}");
    let mut too_old = MilterClient::connect(&scene.inet)?;
    too_old.send('O', &[[0, 0, 0, 1], [0, 0, 0, 15], [0, 0, 0, 63]].concat())?;
    assert_eq!(too_old.hear_all()?, [""; 0]);
    Ok(())
}

/// An offer of nothing is that of the oldest MTAs, so this one offers a step
/// that a greylister cannot do without.
/// Source: Sendmail's `libmilter/engine.c`, `SMFI_V1_PROT`.
const NOTHING_OF_USE: u32 = 0x1;

/// A whole session of one message, without its negotiation, from offers of the
/// last version: each command with its content.
const SESSION: [(char, &[u8]); 21] = [
    ('D', b"Cj\0mx.example.org\0"),
    ('C', b"[192.0.2.9]\x004\x61\xA8192.0.2.9\0"),
    ('D', b"H"),
    ('H', b"client.example\0"),
    ('D', b"Mi\0queue1\0"),
    ('M', b"<a@x.example>\0SIZE=100\0"),
    ('D', b"R{rcpt_addr}\0b@example.org\0"),
    ('R', b"<b@example.org>\0"),
    ('U', b"FOO\0"),
    ('R', b"<c@example.org>\0NOTIFY=NEVER\0"),
    ('D', b"Ti\0queue1\0"),
    ('T', b""),
    ('D', b"L"),
    ('L', b"Subject\0hi\0"),
    ('L', b"X-Empty\0\0"),
    ('D', b"N"),
    ('N', b""),
    ('B', b"line\r\n"),
    ('B', b""),
    ('D', b"Ei\0queue1\0"),
    ('E', b"the rest\r\n"),
];

#[test]
fn nothing_is_said_where_no_answer_is_due() -> Result<()> {
    let scene = start()?;
    let newest = Offer::of_version(6);
    let unanswered = 0xF_F080;
    for steps in [newest.steps, newest.steps & !unanswered, NOTHING_OF_USE] {
        let mut filter = MilterClient::connect(&scene.inet)?;
        let agreed = filter.negotiate(Offer { steps, ..newest })?;
        // As an MTA that has not left out what it may: every command comes.
        let mut due = Vec::new();
        for (command, content) in SESSION {
            filter.send(command, content)?;
            if command != 'D' && agreed.steps & quiet_bit(command) == 0 {
                due.push(if command == 'R' { DEFERRED } else { "c" });
            }
        }
        for command in ['A', 'K', 'Q'] {
            filter.send(command, b"")?;
        }
        assert_eq!(filter.hear_all()?, due, "steps {steps:x}");
    }
    Ok(())
}

fn quiet_bit(command: char) -> u32 {
    match command {
        'C' => 0x1000,
        'H' => 0x2000,
        'M' => 0x4000,
        _ => 0,
    }
}

/// The bytes of an MTA of version 2 that leaves nothing out.
fn whole_session() -> Vec<u8> {
    let offer = [[0, 0, 0, 2], [0, 0, 0, 63], [0, 0, 0, 0x7F]].concat();
    let commands = SESSION.map(|(command, content)| packet(command, content));
    [packet('O', &offer), commands.concat(), packet('Q', b"")].concat()
}

#[test]
fn where_the_stream_is_cut_makes_no_difference() -> Result<()> {
    let scene = start()?;
    let bytes = whole_session();
    let answers = |pieces: [&[u8]; 2]| -> Result<Vec<String>> {
        let mut filter = MilterClient::connect(&scene.unix)?;
        for piece in pieces {
            filter.send_bytes(piece)?;
        }
        filter.hear_all()
    };
    let whole = answers([&bytes, b""])?;
    assert_eq!(whole.iter().filter(|answer| *answer == DEFERRED).count(), 2);
    for cut in 1..bytes.len() {
        let (first, second) = bytes.split_at(cut);
        assert_eq!(answers([first, second])?, whole, "cut at {cut}");
    }
    Ok(())
}

#[test]
fn a_packet_that_cannot_be_ends_its_connection_alone() -> Result<()> {
    let scene = start()?;
    let mut bystander = scene.open(CLIENT)?;
    let rows: [(&str, Vec<u8>); 11] = [
        ("no content", vec![0, 0, 0, 0]),
        ("too long", [&65_537_u32.to_be_bytes()[..], b"B"].concat()),
        ("far too long", vec![0xFF; 64]),
        ("no command of ours", packet('Z', b"")),
        ("an answer", packet('c', b"")),
        ("HTTP", b"GET / HTTP/1.0\r\n\r\n".to_vec()),
        ("half an offer", packet('O', &[0, 0, 0, 6, 0])),
        ("no client", packet('C', b"")),
        ("a name alone", packet('C', b"mx.x.example\0")),
        (
            "an unknown kind of client",
            packet('C', b"mx.x.example\0?\0\0x\0"),
        ),
        ("a client cut off", packet('C', b"mx.x.example\x004\0")),
    ];
    for (what, bytes) in rows {
        let mut filter = MilterClient::connect(&scene.inet)?;
        filter.negotiate(Offer::of_version(6))?;
        filter.send_bytes(&bytes)?;
        let heard = filter.hear_all().context(what)?;
        assert_eq!(heard, [""; 0], "{what}");
    }
    // What is not begun with an offer is no milter's.
    for (command, content) in SESSION {
        let mut filter = MilterClient::connect(&scene.inet)?;
        filter.send(command, content)?;
        assert_eq!(filter.hear_all()?, [""; 0], "{command} first");
    }
    assert_eq!(
        bystander.envelope("a@x.example", &["b@example.org"])?,
        [DEFERRED]
    );
    Ok(())
}

#[test]
fn the_longest_packet_is_read() -> Result<()> {
    let scene = start()?;
    let mut filter = MilterClient::connect(&scene.inet)?;
    filter.negotiate(Offer {
        steps: NOTHING_OF_USE,
        ..Offer::of_version(6)
    })?;
    filter.greet(CLIENT)?;
    let longest = vec![b'x'; 65_535];
    assert_eq!(filter.ask('B', &longest)?, ["c"]);
    assert_eq!(filter.ask('U', &longest)?, ["c"]);
    assert_eq!(filter.ask('M', &longest)?, ["c"]);
    assert_eq!(filter.ask('R', &longest)?, [DEFERRED]);
    Ok(())
}

#[test]
fn commands_out_of_order_are_taken_as_they_come() -> Result<()> {
    let scene = start()?;
    let all = Offer {
        steps: NOTHING_OF_USE,
        ..Offer::of_version(6)
    };
    let mut filter = MilterClient::connect(&scene.inet)?;
    filter.negotiate(all)?;
    // Without a client and without a sender nothing can be judged.
    assert_eq!(filter.ask('R', b"<b@example.org>\0")?, ["c"]);
    for (command, content) in [
        ('E', &b""[..]),
        ('B', b"line"),
        ('N', b""),
        ('L', b"Subject\0hi\0"),
        ('T', b""),
        ('H', b"client.example\0"),
        ('M', b"<a@x.example>\0"),
    ] {
        assert_eq!(filter.ask(command, content)?, ["c"], "{command}");
    }
    assert_eq!(filter.ask('R', b"<b@example.org>\0")?, ["c"]);
    filter.greet(CLIENT)?;
    assert_eq!(filter.ask('R', b"<b@example.org>\0")?, ["c"]);
    // Another sender takes the place of the one before, another HELO nothing.
    assert_eq!(filter.envelope("one@x.example", &[])?, [""; 0]);
    assert_eq!(filter.envelope("bad@x.example", &[])?, [""; 0]);
    assert_eq!(filter.ask('H', b"other.example\0")?, ["c"]);
    let refused = "y550 5.7.1 Mail from you is not accepted here\\x00";
    assert_eq!(filter.ask('R', b"<b@example.org>\0")?, [refused]);
    assert_eq!(filter.ask('E', b"")?, ["c"]);
    // The message is over, and its sender with it.
    assert_eq!(filter.ask('R', b"<b@example.org>\0")?, ["c"]);
    // A second offer is answered as the first, and changes what is due.
    filter.negotiate(Offer::of_version(6))?;
    filter.greet(CLIENT)?;
    let answers = filter.envelope("a@x.example", &["b@example.org"])?;
    assert_eq!(answers, [DEFERRED]);
    scene.server.wait_for_log("client_address")?;
    Ok(())
}

#[test]
fn a_message_may_be_given_up_and_a_session_end_at_any_point() -> Result<()> {
    let scene = start()?;
    for length in 0..=SESSION.len() {
        for end in ['A', 'K', 'Q', '-'] {
            let mut filter = MilterClient::connect(&scene.unix)?;
            filter.negotiate(Offer {
                steps: NOTHING_OF_USE,
                ..Offer::of_version(6)
            })?;
            for (command, content) in &SESSION[..length] {
                filter.ask(*command, content)?;
            }
            match end {
                // The client stays, or is told of again, and the next message
                // is judged as if nothing had been.
                'A' | 'K' => {
                    filter.send(end, b"")?;
                    if end == 'K' || length < 2 {
                        filter.greet(CLIENT)?;
                    }
                    let answers = filter.envelope("a@x.example", &["b@example.org"])?;
                    assert_eq!(answers, [DEFERRED], "{end} after {length}");
                }
                'Q' => {
                    filter.send(end, b"")?;
                    assert_eq!(filter.hear_all()?, [""; 0], "{end} after {length}");
                }
                _ => drop(filter),
            }
        }
    }
    assert_eq!(ask(&scene)?, DEFERRED);
    ensure!(scene.server.stop()?.success());
    Ok(())
}

#[test]
fn nothing_of_a_message_or_a_client_stays_for_the_next() -> Result<()> {
    let mut scene = start()?;
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
    let scene = start()?;
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
    let scene = start()?;
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
    let scene = start()?;
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
    let mut scene = start()?;
    let ask = |scene: &MilterServer, sender: &str, recipient: &str| -> Result<String> {
        let mut filter = scene.open(CLIENT)?;
        filter.ask('M', format!("{sender}\0").as_bytes())?;
        only(filter.ask('R', format!("{recipient}\0").as_bytes())?)
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
        let scene = start_with("", &format!("reply = \"{text}\"\n"))?;
        assert_eq!(ask(&scene)?, expected, "{text:?}");
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
        let scene = start_with("", &format!("null_sender = \"{place}\"\n"))?;
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

#[test]
fn a_connection_may_be_quiet_but_not_amid_a_packet() -> Result<()> {
    let listen = "request_timeout = \"1s\"\nidle_timeout = \"2s\"\n";
    let scene = start_with(listen, "")?;
    let mut quiet = scene.open(CLIENT)?;
    let mut midway = scene.open(CLIENT)?;
    midway.send_bytes(&packet('M', b"<a@x.example>\0")[..9])?;
    assert_eq!(midway.hear_all()?, [""; 0]);
    let late = std::time::Instant::now() + Duration::from_secs(2);
    wait_for("two seconds more", Duration::from_secs(5), || {
        Ok(std::time::Instant::now() > late)
    })?;
    assert_eq!(
        quiet.envelope("a@x.example", &["b@example.org"])?,
        [DEFERRED]
    );
    Ok(())
}

#[test]
fn the_daemon_ends_while_sessions_are_open() -> Result<()> {
    let scene = start()?;
    let mut open = (0..50)
        .map(|_| scene.open(CLIENT))
        .collect::<Result<Vec<_>>>()?;
    for filter in &mut open {
        assert_eq!(
            filter.envelope("a@x.example", &["b@example.org"])?,
            [DEFERRED]
        );
    }
    ensure!(scene.server.stop()?.success());
    for filter in &mut open {
        assert_eq!(filter.hear_all()?, [""; 0]);
    }
    Ok(())
}
