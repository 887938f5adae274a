//! Every question and answer of the control socket comes back as it went in.

use greylatch_core::{
    Answer, Attempt, Census, ClientExemption, ClientRecord, Decision, Due, Entry, Explanation,
    Field, Greylist, Memory, Outcome, Page, Query, Reason, Record, Reloaded, Reply, Request,
    Ruling, Seconds, Standing, Status, Timestamp, Timing, Verdict, WindowFrom,
};
use greylatch_proto::{
    ControlConversation, Conversation, Step, decode_answer, encode_request, record_from_json,
    record_to_json,
};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "\\PC{0,20}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..20),
    ]
}

fn time() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp)
}

fn length() -> impl Strategy<Value = Seconds> {
    any::<i64>().prop_map(Seconds)
}

fn standing() -> impl Strategy<Value = Standing> {
    select(vec![
        Standing::Waiting,
        Standing::Proven,
        Standing::Allowed,
        Standing::Refused,
    ])
}

fn entry() -> impl Strategy<Value = Entry> {
    (time(), time(), time(), time(), standing()).prop_map(
        |(first, last, due, expires, standing)| Entry {
            first,
            last,
            due,
            expires,
            standing,
        },
    )
}

fn client() -> impl Strategy<Value = ClientRecord> {
    (any::<u32>(), time(), time()).prop_map(|(passes, last, expires)| ClientRecord {
        passes,
        last,
        expires,
    })
}

fn record() -> impl Strategy<Value = Record> {
    prop_oneof![
        (any::<[u8; 16]>(), bytes(), bytes(), bytes(), entry()).prop_map(
            |(key, client, sender, recipient, entry)| Record::Triplet {
                key,
                client,
                sender,
                recipient,
                entry,
            }
        ),
        (any::<[u8; 16]>(), bytes(), client()).prop_map(|(key, address, record)| Record::Client {
            key,
            address,
            record,
        }),
    ]
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    prop::collection::vec(record(), 0..4)
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let field = select(vec![
        Field::ClientAddress,
        Field::ClientName,
        Field::Helo,
        Field::Sender,
        Field::Recipient,
        Field::RecipientCount,
        Field::QueueId,
        Field::Instance,
        Field::Login,
        Field::TlsProtocol,
        Field::Words,
        Field::TestTime,
    ]);
    prop::collection::vec((field, bytes()), 0..12).prop_map(|fields| {
        let mut attempt = Attempt::new();
        for (field, value) in fields {
            attempt.set(field, &value);
        }
        attempt
    })
}

/// Two attempts that say the same need not hold the same bytes.
fn same(left: &Request, right: &Request) -> bool {
    encode_request(left) == encode_request(right)
}

fn query() -> impl Strategy<Value = Query> {
    (
        option::of(bytes()),
        option::of(standing()),
        any::<bool>(),
        option::of(any::<[u8; 16]>()),
        any::<u32>(),
    )
        .prop_map(|(matching, standing, clients, after, limit)| Query {
            matching,
            standing,
            clients,
            after,
            limit,
        })
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        (attempt(), length()).prop_map(|(attempt, later)| {
            let attempt = attempt.into();
            Request::Look { attempt, later }
        }),
        (attempt(), standing()).prop_map(|(attempt, standing)| {
            let attempt = attempt.into();
            Request::Set { attempt, standing }
        }),
        attempt().prop_map(Request::Forget),
        query().prop_map(Request::List),
        records().prop_map(Request::Put),
        query().prop_map(Request::Remove),
        Just(Request::Status),
        Just(Request::Reload),
    ]
}

fn verdict() -> impl Strategy<Value = Verdict> {
    let reply = (bytes(), any::<bool>()).prop_map(|(text, has_status)| Reply { text, has_status });
    (option::of(bytes()), reply, 0..3_u8).prop_map(|(header, reply, kind)| match kind {
        0 => Verdict::Pass { header },
        1 => Verdict::Defer(reply),
        _ => Verdict::Refuse(reply),
    })
}

fn reason() -> impl Strategy<Value = Reason> {
    select(Reason::ALL.to_vec())
}

fn ruling() -> impl Strategy<Value = Ruling> {
    let timing = (
        length(),
        length(),
        length(),
        select(vec![Due::FromFirst, Due::AsStored]),
        select(vec![WindowFrom::First, WindowFrom::Due]),
    )
        .prop_map(|(delay, retry_window, lifetime, due, window_from)| Timing {
            delay,
            retry_window,
            lifetime,
            due,
            window_from,
        });
    let exemption =
        (any::<u32>(), length()).prop_map(|(passes, pause)| ClientExemption { passes, pause });
    let limits = (option::of(any::<u32>()), any::<bool>());
    let terms = (timing, option::of(exemption), limits).prop_map(
        |(timing, exemption, (waiting_max, network_suffices))| Greylist {
            timing,
            exemption,
            waiting_max,
            network_suffices,
        },
    );
    prop_oneof![
        reason().prop_map(Ruling::Exempt),
        Just(Ruling::Refuse),
        terms.prop_map(Ruling::Greylist),
    ]
}

fn decision() -> impl Strategy<Value = Decision> {
    let outcome = select(vec![Outcome::Pass, Outcome::Defer, Outcome::Refuse]);
    (outcome, reason(), length(), length()).prop_map(|(outcome, reason, wait, age)| Decision {
        wait,
        age,
        ..Decision::of(outcome, reason)
    })
}

fn memory() -> impl Strategy<Value = Memory> {
    (
        option::of(entry()),
        option::of(client()),
        option::of(time()),
        any::<u32>(),
    )
        .prop_map(
            |(entry, client, network_proven_until, network_waiting)| Memory {
                entry,
                client,
                network_proven_until,
                network_waiting,
            },
        )
}

fn explanation() -> impl Strategy<Value = Explanation> {
    (
        (decision(), ruling(), option::of("\\PC{0,20}")),
        (bytes(), memory(), time(), verdict()),
    )
        .prop_map(
            |((decision, ruling, rule), (triplet, memory, at, verdict))| Explanation {
                decision,
                ruling,
                rule,
                triplet,
                memory,
                at,
                verdict,
            },
        )
}

fn status() -> impl Strategy<Value = Status> {
    let census =
        any::<[u64; 5]>().prop_map(|[waiting, proven, by_hand, clients, disk_bytes]| Census {
            waiting,
            proven,
            by_hand,
            clients,
            disk_bytes,
        });
    (
        ("\\PC{0,20}", time(), time(), "\\PC{0,20}"),
        option::of(census),
        prop::collection::vec((reason(), any::<u64>()), 0..4),
        (any::<[u64; 2]>(), any::<u32>(), any::<bool>()),
    )
        .prop_map(
            |(
                (version, started, now, store),
                census,
                verdicts,
                ([log_dropped, http_turned_away], connections, learning),
            )| {
                Status {
                    version,
                    started,
                    now,
                    store,
                    census,
                    verdicts,
                    log_dropped,
                    http_turned_away,
                    connections,
                    learning,
                }
            },
        )
}

fn reloaded() -> impl Strategy<Value = Reloaded> {
    (
        any::<u64>(),
        option::of("\\PC{0,20}"),
        prop::collection::vec("\\PC{0,20}", 0..3),
    )
        .prop_map(|(rules, kept, remarks)| Reloaded {
            rules,
            kept,
            remarks,
        })
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        verdict().prop_map(Answer::Verdict),
        explanation().prop_map(|explanation| Answer::Explained(Box::new(explanation))),
        (records(), option::of(any::<[u8; 16]>()))
            .prop_map(|(records, next)| Answer::Page(Page { records, next })),
        status().prop_map(|status| Answer::Status(Box::new(status))),
        reloaded().prop_map(Answer::Reloaded),
        any::<u64>().prop_map(Answer::Done),
        "\\PC{0,20}".prop_map(Answer::Failed),
    ]
}

proptest! {
    #[test]
    fn questions_and_answers_come_back_as_they_went_in(
        request in request(),
        answer in answer(),
        size in 1_usize..100,
    ) {
        let mut conversation = ControlConversation::new();
        let line = encode_request(&request);
        for piece in line.chunks(size) {
            prop_assert_eq!(conversation.step(), Ok(Step::Read));
            conversation.feed(piece);
        }
        let Ok(Step::Ask(ticket, asked)) = conversation.step() else {
            panic!("no question in {}", line.escape_ascii());
        };
        prop_assert!(same(&asked, &request), "{:?}", asked);
        conversation.answer(ticket, &answer);
        let line = std::mem::take(conversation.output());
        prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        prop_assert_eq!(decode_answer(&line), Ok(answer));
    }

    #[test]
    fn exported_records_are_imported_as_they_were(record in record()) {
        let line = record_to_json(&record);
        prop_assert!(!line.contains('\n'));
        prop_assert_eq!(record_from_json(&line), Ok(record));
    }

    #[test]
    fn random_bytes_are_answered_with_whole_lines(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut conversation = ControlConversation::new();
        conversation.feed(&bytes);
        while let Ok(Step::Ask(ticket, _)) = conversation.step() {
            conversation.answer(ticket, &Answer::Done(0));
        }
        for line in conversation.output().split_inclusive(|byte| *byte == b'\n') {
            prop_assert!(decode_answer(line).is_ok());
        }
    }
}
