//! The protocol of mail exchangers: transcripts of milter-greylist 4.6.4, each cut at every byte,
//! and both ends with one another.

use greylatch_core::{Answer, PeerEvent, PeerTriplet, Request, Timestamp};
use greylatch_proto::{
    Conversation, PeerConversation, PeerNotice, PeerSender, PeerStep, ProtocolError, Step, Unqueued,
};

fn triplet(client: &str, sender: &str, recipient: &str) -> PeerTriplet {
    PeerTriplet {
        client: client.parse().expect("an address"),
        sender: sender.into(),
        recipient: recipient.into(),
    }
}

fn pending(sender: &str, due: i64) -> PeerEvent {
    PeerEvent::Pending {
        triplet: triplet("192.0.2.10", sender, "b@y.net"),
        due: Timestamp(due),
    }
}

fn accepted(was: i64, expires: i64) -> PeerEvent {
    PeerEvent::Accepted {
        triplet: triplet("192.0.2.10", "a@x.org", "b@y.net"),
        was: Timestamp(was),
        expires: Some(Timestamp(expires)),
    }
}

fn flushed() -> PeerEvent {
    PeerEvent::Flushed([192, 0, 2, 10].into())
}

/// What a conversation asks and says when it is fed these pieces; every event is answered so.
fn converse(
    pieces: &[&[u8]],
    answer: &Answer,
) -> (Vec<PeerEvent>, String, Result<(), ProtocolError>) {
    let mut conversation = PeerConversation::new();
    let mut pieces = pieces.iter();
    let (mut asked, mut said) = (Vec::new(), Vec::new());
    loop {
        let step = conversation.step();
        said.append(conversation.output());
        let end = match step {
            Ok(Step::Ask(ticket, Request::Peer(event))) => {
                assert_eq!(conversation.step(), Ok(Step::Wait));
                asked.push(event);
                conversation.answer(ticket, answer);
                continue;
            }
            Ok(Step::Read) => {
                match pieces.next() {
                    Some(piece) => conversation.feed(piece),
                    None => conversation.finish(),
                }
                continue;
            }
            Ok(Step::Close) => Ok(()),
            Err(error) => Err(error),
            Ok(other) => panic!("{other:?}"),
        };
        return (asked, String::from_utf8(said).expect("ASCII"), end);
    }
}

/// Source: milter-greylist 4.6.4, an incoming connection.
const INCOMING: [(&str, &str); 7] = [
    ("vers3", "803 Yes, I speak version 3, what do you think?"),
    (
        "add addr 192.0.2.50 from <p@x> rcpt <q@y> date 1999999999",
        "201 All right, I'll do that",
    ),
    (
        "add addr 192.0.2.51 from <p@x> rcpt <q@y> date 1999999999 extra",
        "104 Unexpected keyword \"extra\"",
    ),
    (
        "del2 addr 192.0.2.50 from <p@x> rcpt <q@y> date 1999999999 aw 1999999998",
        "201 All right, I'll do that",
    ),
    ("flush addr 192.0.2.53", "201 All right, I'll do that"),
    (
        "del addr 192.0.2.52 from <d@x> rcpt <q@y>",
        "103 Incomplete command",
    ),
    ("quit", "202 Good bye"),
];

#[test]
fn an_incoming_connection_goes_as_with_the_original_wherever_it_is_cut() {
    let said: String = ["200 Yeah, what do you want?"]
        .into_iter()
        .chain(INCOMING.map(|(_, answer)| answer))
        .map(|line| format!("{line}\n"))
        .collect();
    let events = [
        PeerEvent::Pending {
            triplet: triplet("192.0.2.50", "p@x", "q@y"),
            due: Timestamp(1_999_999_999),
        },
        PeerEvent::Accepted {
            triplet: triplet("192.0.2.50", "p@x", "q@y"),
            was: Timestamp(1_999_999_999),
            expires: Some(Timestamp(1_999_999_998)),
        },
        PeerEvent::Flushed([192, 0, 2, 53].into()),
    ];
    for line_end in ["\n", "\r\n"] {
        let text: String = INCOMING
            .map(|(line, _)| format!("{line}{line_end}"))
            .concat();
        let bytes = text.as_bytes();
        for cut in 0..=bytes.len() {
            let (asked, answers, end) = converse(&[&bytes[..cut], &bytes[cut..]], &Answer::Done(1));
            assert_eq!(
                (&asked[..], &answers, end),
                (&events[..], &said, Ok(())),
                "{cut}"
            );
        }
    }
}

#[test]
fn nothing_is_read_behind_quit_and_a_line_without_end_is_no_command() {
    let (asked, said, end) = converse(&[b"quit\nflush addr 192.0.2.1\n"], &Answer::Done(1));
    assert_eq!((asked, end), (vec![], Ok(())));
    assert!(said.ends_with("202 Good bye\n"), "{said}");
    let (asked, said, end) = converse(&[b"vers2\nhelp\nflush addr 192.0.2.1"], &Answer::Done(1));
    assert_eq!((asked, end), (vec![], Ok(())));
    assert!(
        said.contains("802 Yes, I speak version 2, what do you think?\n203 Help? Sure, we have help here:\n203 "),
        "{said}"
    );
}

#[test]
fn an_event_that_is_not_taken_is_not_acknowledged() {
    let (asked, said, end) = converse(
        &[b"flush addr 192.0.2.1\nflush addr 192.0.2.2\n"],
        &Answer::Failed("the disk is full".into()),
    );
    assert_eq!((asked.len(), end), (1, Ok(())));
    assert_eq!(said, "200 Yeah, what do you want?\n");
}

#[test]
fn a_stranger_is_sent_away_and_a_peer_dismissed() {
    let mut stranger = PeerConversation::refused();
    assert_eq!(stranger.step(), Ok(Step::Close));
    assert_eq!(
        stranger.output(),
        b"106 You have no permission to talk, go away!\n"
    );
    let mut peer = PeerConversation::dismissed();
    assert_eq!(peer.step(), Ok(Step::Close));
    assert_eq!(peer.output(), b"105 No more peers, shutting down!\n");
}

#[test]
fn a_line_has_512_bytes_at_most() {
    let error = Err(ProtocolError::RequestTooLong { max: 512 });
    let line = |length: usize| [&vec![b'x'; length][..], b"\nquit\n"].concat();
    let (_, said, end) = converse(&[&line(512)], &Answer::Done(1));
    assert!(said.ends_with("\"\n202 Good bye\n") && end == Ok(()));
    assert_eq!(converse(&[&line(513)], &Answer::Done(1)).2, error);
    assert_eq!(converse(&[&[b'x'; 513]], &Answer::Done(1)).2, error);
}

/// One exchange of a sender: what the peer says, and what it is told after that.
type Exchange = (&'static str, &'static str);

/// Feeds what the peer says, cut at `cut` of each line, and checks what it is told.
fn told(sender: &mut PeerSender, exchanges: &[Exchange], cut: usize) {
    for (nth, (said, expected)) in exchanges.iter().enumerate() {
        let line = format!("{said}\n");
        let (first, rest) = line.as_bytes().split_at(cut.min(line.len() - 1));
        sender.feed(first);
        let step = sender.step();
        assert!(matches!(step, PeerStep::Read | PeerStep::Keep), "{step:?}");
        assert_eq!(sender.output(), b"");
        sender.feed(rest);
        let step = sender.step();
        let out = std::mem::take(sender.output());
        assert_eq!(String::from_utf8_lossy(&out), *expected, "exchange {nth}");
        let outstanding = if expected.is_empty() {
            PeerStep::Keep
        } else {
            PeerStep::Read
        };
        assert_eq!(step, outstanding);
    }
}

fn queued(events: &[PeerEvent]) -> PeerSender {
    let mut sender = PeerSender::new(1024);
    for event in events {
        assert_eq!(sender.queue(event.clone()), Ok(()));
    }
    assert_eq!(sender.step(), PeerStep::Connect);
    sender.connected();
    assert_eq!(sender.step(), PeerStep::Read);
    sender
}

fn notices(sender: &mut PeerSender) -> Vec<PeerNotice> {
    std::iter::from_fn(|| sender.notice()).collect()
}

fn events() -> Vec<PeerEvent> {
    vec![
        pending("a@x.org", 1_795_490_628),
        accepted(1_795_490_628, 1_795_494_228),
        accepted(1_795_494_228, 1_795_494_229),
        pending("c@x.org", 1_795_490_631),
        flushed(),
    ]
}

/// Source: milter-greylist 4.6.4, an outgoing connection; the dates of `del2` are those that it
/// should have told, see [`PeerEvent::Accepted`].
#[test]
fn a_peer_of_version_3_is_told_all_wherever_it_is_cut() {
    for cut in 0..12 {
        let mut sender = queued(&events());
        told(
            &mut sender,
            &[
                ("200 fake peer", "vers3\n"),
                (
                    "803 ok",
                    "add addr 192.0.2.10 from <a@x.org> rcpt <b@y.net> date 1795490628\r\n",
                ),
                (
                    "201 ok",
                    "del2 addr 192.0.2.10 from <a@x.org> rcpt <b@y.net> date 1795490628 aw 1795494228\r\n",
                ),
                (
                    "201 ok\r",
                    "del2 addr 192.0.2.10 from <a@x.org> rcpt <b@y.net> date 1795494228 aw 1795494229\r\n",
                ),
                (
                    "201",
                    "add addr 192.0.2.10 from <c@x.org> rcpt <b@y.net> date 1795490631\r\n",
                ),
                ("201 ok", "flush addr 192.0.2.10\r\n"),
                ("201 ok", ""),
            ],
            cut,
        );
        assert_eq!(notices(&mut sender), [PeerNotice::Established(3)]);
        assert_eq!(sender.queue(flushed()), Ok(()));
        assert_eq!(sender.step(), PeerStep::Read);
        assert_eq!(sender.output(), b"flush addr 192.0.2.10\r\n");
    }
}

/// Source: milter-greylist 4.6.4, a peer that refuses `vers3` and `vers2`.
#[test]
fn older_peers_are_told_what_they_have_words_for() {
    let refuses_3 = ("102 Invalid command \"vers3\"", "vers2\n");
    let answered = |command| PeerNotice::Answered {
        code: b"102".to_vec(),
        command,
    };
    let events = [flushed(), accepted(5, 9), flushed(), pending("a@x.org", 7)];
    let mut second = queued(&events);
    told(
        &mut second,
        &[
            ("200 fake peer", "vers3\n"),
            refuses_3,
            (
                "802 ok",
                "del2 addr 192.0.2.10 from <a@x.org> rcpt <b@y.net> date 5 aw 9\r\n",
            ),
            (
                "201 ok",
                "add addr 192.0.2.10 from <a@x.org> rcpt <b@y.net> date 7\r\n",
            ),
            ("201 ok", ""),
        ],
        1,
    );
    assert_eq!(
        notices(&mut second),
        [answered("vers3"), PeerNotice::Established(2)]
    );
    let mut first = queued(&events);
    told(
        &mut first,
        &[
            ("200 fake peer", "vers3\n"),
            refuses_3,
            (
                "102 Invalid command \"vers2\"",
                "del addr 192.0.2.10 from <a@x.org> rcpt <b@y.net> date 5\r\n",
            ),
            (
                "201 ok",
                "add addr 192.0.2.10 from <a@x.org> rcpt <b@y.net> date 7\r\n",
            ),
            ("201 ok", ""),
        ],
        1,
    );
    assert_eq!(
        notices(&mut first),
        [
            answered("vers3"),
            answered("vers2"),
            PeerNotice::Established(1)
        ]
    );
}

#[test]
fn an_unexpected_reply_closes_and_the_event_is_told_again_when_there_is_a_next() {
    for (before, reply, code) in [
        (
            &[][..],
            "106 You have no permission to talk, go away!",
            "106",
        ),
        (
            &[("200 x", "vers3\n"), ("803 x", "flush addr 192.0.2.10\r\n")],
            "105 No more peers, shutting down!",
            "105",
        ),
        (
            &[("200 x", "vers3\n"), ("803 x", "flush addr 192.0.2.10\r\n")],
            "20",
            "20",
        ),
    ] {
        let mut sender = queued(&[flushed()]);
        told(&mut sender, before, 0);
        notices(&mut sender);
        sender.feed(format!("{reply}\n").as_bytes());
        assert_eq!(sender.step(), PeerStep::Close);
        let unexpected = PeerNotice::Unexpected {
            code: code.into(),
            queued: 1,
        };
        assert_eq!(notices(&mut sender), [unexpected]);
        sender.lost();
        assert_eq!(sender.step(), PeerStep::Rest);
        assert_eq!(sender.queue(pending("a@x.org", 7)), Ok(()));
        assert_eq!(sender.step(), PeerStep::Connect);
        sender.connected();
        told(
            &mut sender,
            &[
                ("200 x", "vers3\n"),
                ("803 x", "flush addr 192.0.2.10\r\n"),
                (
                    "201 x",
                    "add addr 192.0.2.10 from <a@x.org> rcpt <b@y.net> date 7\r\n",
                ),
                ("201 x", ""),
            ],
            0,
        );
    }
}

#[test]
fn a_lost_connection_leaves_nothing_of_itself_behind() {
    let mut sender = queued(&[flushed()]);
    told(&mut sender, &[("200 x", "vers3\n")], 0);
    sender.feed(b"80");
    assert_eq!(sender.step(), PeerStep::Read);
    sender.lost();
    assert_eq!(sender.step(), PeerStep::Rest);
    assert_eq!(sender.queue(flushed()), Ok(()));
    assert_eq!(sender.step(), PeerStep::Connect);
    sender.connected();
    told(
        &mut sender,
        &[
            ("200 x", "vers3\n"),
            ("803 x", "flush addr 192.0.2.10\r\n"),
            ("201 x", "flush addr 192.0.2.10\r\n"),
            ("201 x", ""),
        ],
        0,
    );
    // What comes when nothing was asked.
    sender.feed(b"105 No more peers, shutting down!\n");
    assert_eq!(sender.step(), PeerStep::Close);
    sender.lost();
    assert_eq!(sender.step(), PeerStep::Rest);
}

#[test]
fn what_does_not_fit_is_not_queued() {
    let mut sender = PeerSender::new(1);
    assert_eq!(sender.queue(flushed()), Ok(()));
    sender.lost();
    assert_eq!(sender.step(), PeerStep::Rest);
    sender.try_again();
    assert_eq!(sender.step(), PeerStep::Connect);
    sender.lost();
    // What waits is tried again, though there is no room for what came.
    assert_eq!(sender.queue(flushed()), Err(Unqueued::Full { queued: 1 }));
    assert_eq!(sender.step(), PeerStep::Connect);
    let fixed = "del2 addr 192.0.2.10 from <> rcpt <b@y.net> date 5 aw 9\r\n".len();
    let long = |length: usize| PeerEvent::Accepted {
        triplet: triplet("192.0.2.10", &"x".repeat(length), "b@y.net"),
        was: Timestamp(5),
        expires: Some(Timestamp(9)),
    };
    let mut sender = PeerSender::new(10);
    assert_eq!(sender.queue(long(512 - fixed + 1)), Err(Unqueued::TooLong));
    assert_eq!(sender.step(), PeerStep::Rest);
    assert_eq!(sender.queue(long(512 - fixed)), Ok(()));
}

#[test]
fn a_peer_that_never_ends_its_line_is_left() {
    let mut sender = queued(&[flushed()]);
    sender.feed(&[b'2'; 513]);
    assert_eq!(sender.step(), PeerStep::Close);
}

#[test]
fn both_ends_understand_one_another() {
    let mut sender = queued(&events());
    let mut receiver = PeerConversation::new();
    let mut heard = Vec::new();
    loop {
        match receiver.step() {
            Ok(Step::Ask(ticket, Request::Peer(event))) => {
                heard.push(event);
                receiver.answer(ticket, &Answer::Done(1));
            }
            Ok(Step::Read) => {
                sender.feed(&std::mem::take(receiver.output()));
                if sender.step() == PeerStep::Keep {
                    break;
                }
                receiver.feed(&std::mem::take(sender.output()));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard, events());
}
