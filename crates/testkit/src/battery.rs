//! What every store must do, with exact expectations. One call runs all of it on one backend.

use std::sync::Arc;

use greylatch_core::{
    Census, Change, ClientRecord, Entry, EntryChange, Memory, Query, Record, Standing, Timestamp,
};
use greylatch_store::{Commit, Store};

use crate::sample::{keys, put, waiting};

/// Runs the battery on stores that `open` makes: each empty, and with the given limit of waiting
/// entries.
///
/// # Panics
/// When a store does not do what it must.
pub async fn run<S: Store + 'static>(open: impl Fn(u64) -> S) {
    const MANY: u64 = 1_000_000;
    what_is_committed_is_loaded(open(MANY)).await;
    a_conflict_brings_what_is_there(open(MANY)).await;
    only_what_changes_is_compared(open(MANY)).await;
    of_two_proven_times_the_later_wins(open(MANY)).await;
    no_update_is_lost_in_a_race(open(MANY)).await;
    nobody_reads_older_than_its_own_commit(open(MANY)).await;
    pages_are_whole_and_in_order(open(MANY)).await;
    queries_select(open(MANY)).await;
    what_is_removed_is_gone(open(MANY)).await;
    a_sweep_forgets_what_expired(open(MANY)).await;
    the_oldest_waiting_make_room(open(10)).await;
}

async fn load<S: Store>(store: &S, number: u32) -> Memory {
    store
        .load(&keys(number), |_| false)
        .await
        .expect("the store answers")
}

async fn commit<S: Store>(store: &S, number: u32, seen: &Memory, change: Change) -> Commit {
    store
        .commit(&keys(number), seen, &change)
        .await
        .expect("the store answers")
}

async fn write<S: Store>(store: &S, number: u32, entry: Entry) {
    let seen = load(store, number).await;
    assert_eq!(commit(store, number, &seen, put(entry)).await, Commit::Done);
}

/// Empties the store's hands: other backends may hold files.
async fn end<S: Store>(store: S) {
    store.close().await.expect("the store closes");
}

fn counted(passes: u32) -> ClientRecord {
    ClientRecord {
        passes,
        last: Timestamp(1_000),
        expires: Timestamp(4_000_000),
    }
}

fn counting(passes: u32) -> Change {
    Change {
        client: Some(counted(passes)),
        ..Change::default()
    }
}

async fn what_is_committed_is_loaded<S: Store>(store: S) {
    assert_eq!(load(&store, 1).await, Memory::default());
    let change = Change {
        entry: EntryChange::Put(waiting(1_000)),
        client: Some(counted(3)),
        network_proven_until: Some(Timestamp(9_000)),
    };
    assert_eq!(
        commit(&store, 1, &Memory::default(), change).await,
        Commit::Done
    );
    let whole = Memory {
        entry: Some(waiting(1_000)),
        client: Some(counted(3)),
        network_proven_until: Some(Timestamp(9_000)),
        network_waiting: 0,
    };
    assert_eq!(load(&store, 1).await, whole);
    let other = Memory {
        entry: None,
        ..whole
    };
    assert_eq!(load(&store, 2).await, other, "one client and network");
    let enough = store.load(&keys(1), |memory| memory.client.is_some()).await;
    assert_eq!(enough.expect("the store answers").client, Some(counted(3)));
    store.ping().await.expect("the store answers");
    end(store).await;
}

async fn a_conflict_brings_what_is_there<S: Store>(store: S) {
    write(&store, 1, waiting(1_000)).await;
    let there = load(&store, 1).await;
    let lost = commit(&store, 1, &Memory::default(), put(waiting(2_000))).await;
    assert_eq!(lost, Commit::Conflict(there));
    assert_eq!(load(&store, 1).await.entry, Some(waiting(1_000)));
    let gone = Change {
        entry: EntryChange::Remove,
        ..Change::default()
    };
    assert_eq!(commit(&store, 1, &there, gone).await, Commit::Done);
    assert_eq!(
        commit(&store, 1, &there, put(waiting(2_000))).await,
        Commit::Conflict(Memory::default())
    );
    end(store).await;
}

async fn only_what_changes_is_compared<S: Store>(store: S) {
    write(&store, 1, waiting(1_000)).await;
    // As after a load that was enough with the client: the entry was not seen.
    assert_eq!(
        commit(&store, 1, &Memory::default(), counting(1)).await,
        Commit::Done
    );
    let lost = commit(&store, 1, &Memory::default(), counting(2)).await;
    assert_eq!(lost, Commit::Conflict(load(&store, 1).await));
    end(store).await;
}

async fn of_two_proven_times_the_later_wins<S: Store>(store: S) {
    for until in [5_000, 9_000, 7_000] {
        let change = Change {
            network_proven_until: Some(Timestamp(until)),
            ..Change::default()
        };
        assert_eq!(
            commit(&store, 1, &Memory::default(), change).await,
            Commit::Done
        );
    }
    assert_eq!(
        load(&store, 2).await.network_proven_until,
        Some(Timestamp(9_000))
    );
    end(store).await;
}

async fn no_update_is_lost_in_a_race<S: Store + 'static>(store: S) {
    const TASKS: u32 = 16;
    const ROUNDS: u32 = 50;
    let store = Arc::new(store);
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for _ in 0..ROUNDS {
                    let mut memory = load(&*store, task).await;
                    loop {
                        let passes = memory.client.map_or(0, |client| client.passes);
                        match commit(&*store, task, &memory, counting(passes + 1)).await {
                            Commit::Done => break,
                            Commit::Conflict(now) => memory = now,
                        }
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no task panics");
    }
    assert_eq!(load(&*store, 0).await.client, Some(counted(TASKS * ROUNDS)));
    store.close().await.expect("the store closes");
}

async fn nobody_reads_older_than_its_own_commit<S: Store + 'static>(store: S) {
    const SENDERS: u32 = 64;
    let store = Arc::new(store);
    let tasks: Vec<_> = (0..8_u32)
        .map(|task| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for round in 0..400_u32 {
                    let number = (round * 7 + task) % SENDERS;
                    let mut memory = load(&*store, number).await;
                    let last = loop {
                        let entry = memory.entry.map_or(waiting(0), |entry| Entry {
                            last: Timestamp(entry.last.0 + 1),
                            ..entry
                        });
                        match commit(&*store, number, &memory, put(entry)).await {
                            Commit::Done => break entry.last.0,
                            Commit::Conflict(now) => memory = now,
                        }
                    };
                    let seen = load(&*store, number).await.entry.expect("it was written");
                    assert!(seen.last.0 >= last, "{} after {last}", seen.last.0);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no task panics");
    }
    let mut writes = 0;
    for number in 0..SENDERS {
        writes += load(&*store, number)
            .await
            .entry
            .map_or(0, |entry| entry.last.0 + 1);
    }
    assert_eq!(writes, 8 * 400);
    store.close().await.expect("the store closes");
}

async fn pages_are_whole_and_in_order<S: Store>(store: S) {
    const ENTRIES: u32 = 2_345;
    for number in 0..ENTRIES {
        write(&store, number, waiting(1_000)).await;
    }
    let mut query = Query::default();
    let (mut sizes, mut seen) = (Vec::new(), Vec::new());
    loop {
        let page = store.browse(&query).await.expect("the store answers");
        sizes.push(page.records.len());
        seen.extend(page.records.iter().map(key));
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [1_000, 1_000, 345]);
    assert!(seen.is_sorted_by(|one, next| one < next));
    query.limit = 7;
    let page = store.browse(&query).await.expect("the store answers");
    assert_eq!((page.records.len(), page.next), (7, Some(seen[6])));
    end(store).await;
}

fn key(record: &Record) -> [u8; 16] {
    match record {
        Record::Triplet { key, .. } | Record::Client { key, .. } => *key,
    }
}

async fn listed<S: Store>(store: &S, query: Query) -> Vec<Record> {
    let page = store.browse(&query).await.expect("the store answers");
    assert_eq!(page.next, None);
    page.records
}

async fn queries_select<S: Store>(store: S) {
    let proven = Entry {
        standing: Standing::Proven,
        ..waiting(1_000)
    };
    write(&store, 1, waiting(1_000)).await;
    write(&store, 2, proven).await;
    let seen = load(&store, 1).await;
    assert_eq!(commit(&store, 1, &seen, counting(4)).await, Commit::Done);
    let record = |number: u32, entry| Record::Triplet {
        key: keys(number).triplet().bytes(),
        client: b"192.0.2.0/24".to_vec(),
        sender: format!("sender{number}@example.com").into_bytes(),
        recipient: b"bob@example.org".to_vec(),
        entry,
    };
    let matching = |text: &str| Query {
        matching: Some(text.into()),
        ..Query::default()
    };
    assert_eq!(
        listed(&store, matching("sender1@")).await,
        [record(1, waiting(1_000))]
    );
    assert_eq!(listed(&store, matching("bob@")).await.len(), 2);
    assert_eq!(listed(&store, matching("nobody")).await, []);
    let standing = Query {
        standing: Some(Standing::Proven),
        ..Query::default()
    };
    assert_eq!(listed(&store, standing).await, [record(2, proven)]);
    let clients = Query {
        clients: true,
        ..Query::default()
    };
    let client = Record::Client {
        key: keys(1).client().bytes(),
        address: b"192.0.2.10".to_vec(),
        record: counted(4),
    };
    assert_eq!(listed(&store, clients).await, [client]);
    end(store).await;
}

async fn what_is_removed_is_gone<S: Store>(store: S) {
    write(&store, 1, waiting(1_000)).await;
    write(&store, 2, waiting(1_000)).await;
    let records = listed(&store, Query::default()).await;
    assert_eq!(store.remove(&records[..1]).await, Ok(1));
    assert_eq!(store.remove(&records[..1]).await, Ok(0));
    assert_eq!(listed(&store, Query::default()).await, records[1..]);
    store.put(&records).await.expect("the store answers");
    assert_eq!(listed(&store, Query::default()).await, records);
    assert_eq!(load(&store, 1).await.entry, Some(waiting(1_000)));
    let census = store.sweep(Timestamp(1_000)).await;
    assert_eq!(census.map(|census| census.waiting), Ok(2));
    end(store).await;
}

async fn a_sweep_forgets_what_expired<S: Store>(store: S) {
    const DAY: i64 = 86_400;
    let allowed = Entry {
        standing: Standing::Allowed,
        expires: Timestamp(i64::MAX),
        ..waiting(0)
    };
    write(&store, 1, waiting(0)).await;
    write(&store, 2, waiting(10 * DAY)).await;
    write(&store, 3, allowed).await;
    let seen = load(&store, 1).await;
    assert_eq!(commit(&store, 1, &seen, counting(1)).await, Commit::Done);
    let census = store.sweep(Timestamp(3 * DAY)).await;
    let census = census.map(|census| Census {
        disk_bytes: 0,
        ..census
    });
    let expected = Census {
        waiting: 1,
        proven: 0,
        by_hand: 1,
        clients: 1,
        disk_bytes: 0,
    };
    assert_eq!(census, Ok(expected));
    assert_eq!(load(&store, 2).await.entry, Some(waiting(10 * DAY)));
    end(store).await;
}

async fn the_oldest_waiting_make_room<S: Store>(store: S) {
    let proven = Entry {
        standing: Standing::Proven,
        ..waiting(0)
    };
    write(&store, 0, proven).await;
    for number in 1..=25 {
        write(&store, number, waiting(i64::from(number) * 60)).await;
    }
    let mut there = Vec::new();
    for number in 0..=25 {
        if load(&store, number).await.entry.is_some() {
            there.push(number);
        }
    }
    assert_eq!(there, [&[0][..], &(16..=25).collect::<Vec<_>>()].concat());
    let census = store.sweep(Timestamp(2_000)).await;
    assert_eq!(
        census.map(|census| (census.waiting, census.proven)),
        Ok((10, 1))
    );
    assert_eq!(listed(&store, Query::default()).await.len(), 11);
    // One that had to go starts over.
    write(&store, 1, waiting(2_000)).await;
    assert_eq!(load(&store, 1).await.entry, Some(waiting(2_000)));
    end(store).await;
}
