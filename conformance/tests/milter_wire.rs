//! Packets of the milter protocol at the sockets of the running daemon: what is agreed on, what is
//! answered, and what no MTA should send.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use conformance::{Agreed, MilterClient, MilterServer, Offer, packet, wait_for};

const CLIENT: &str = "192.0.2.9";
const DEFERRED: &str = "y451 4.7.1 Greylisted, please try again in 60 seconds\\x00";

#[test]
fn only_what_was_offered_is_taken() -> Result<()> {
    let scene = MilterServer::start("", "")?;
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
    let scene = MilterServer::start("", "")?;
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
    let scene = MilterServer::start("", "")?;
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
    let scene = MilterServer::start("", "")?;
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
    let scene = MilterServer::start("", "")?;
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
    let scene = MilterServer::start("", "")?;
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
    let scene = MilterServer::start("", "")?;
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
    assert_eq!(scene.ask(CLIENT)?, DEFERRED);
    ensure!(scene.server.stop()?.success());
    Ok(())
}

#[test]
fn a_connection_may_be_quiet_but_not_amid_a_packet() -> Result<()> {
    let listen = "request_timeout = \"1s\"\nidle_timeout = \"2s\"\n";
    let scene = MilterServer::start(listen, "")?;
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
    let scene = MilterServer::start("", "")?;
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
