//! Real Postgrey databases (`fixtures/README.md`) against what `db_dump -p` says of them, and the
//! same files damaged in many ways.

use std::collections::BTreeSet;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use greylatch_exchange::{
    ClientKey, Completeness, Counts, Damage, DamageKind, ExchangeError, Parts, PostgreyClient,
    PostgreyFile, Skipped, TripletKey, WhyUnknown,
};

/// Later than all times in the fixtures.
const NOW_S: i64 = 1_800_000_000;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(fixture(name)).expect("the fixture is in the repository")
}

/// The records that `db_dump -p` printed.
fn dumped(name: &str) -> BTreeSet<(String, String)> {
    let dump = fs::read_to_string(fixture(name)).expect("the fixture is in the repository");
    let lines: Vec<&str> = dump
        .lines()
        .filter_map(|line| line.strip_prefix(' '))
        .collect();
    let pair = |pair: &[&str]| (pair[0].to_owned(), pair[1].to_owned());
    lines.chunks_exact(2).map(pair).collect()
}

struct Outcome {
    records: BTreeSet<(String, String)>,
    skipped: Vec<Skipped>,
    counts: Counts,
}

impl Outcome {
    fn damages(&self) -> Vec<Damage> {
        let damage = |skipped: &Skipped| match skipped {
            Skipped::Damaged(damage) => Some(damage.clone()),
            _ => None,
        };
        self.skipped.iter().filter_map(damage).collect()
    }
}

fn read(file: &[u8]) -> Result<Outcome, ExchangeError> {
    let file = PostgreyFile::from_reader(Cursor::new(file), Path::new("postgrey.db"))?;
    let mut triplets = file.triplets(NOW_S);
    let mut records = BTreeSet::new();
    let mut skipped = Vec::new();
    for outcome in triplets.by_ref() {
        match outcome {
            Ok(triplet) => {
                let key = match triplet.key {
                    TripletKey::Plain(key) => key,
                    TripletKey::Hashed(digits) => digits.to_vec(),
                };
                let key = String::from_utf8_lossy(&key).into_owned();
                let times = format!("{},{}", triplet.first_s, triplet.last_s);
                records.insert((key, times));
            }
            Err(what) => skipped.push(what),
        }
    }
    Ok(Outcome {
        records,
        skipped,
        counts: triplets.counts(),
    })
}

fn sound(file: &[u8]) -> BTreeSet<(String, String)> {
    let outcome = read(file).expect("it is a Btree");
    assert_eq!(outcome.skipped, []);
    let read = outcome.records.len() as u64;
    let none = Counts::default();
    assert_eq!(outcome.counts, Counts { read, ..none });
    outcome.records
}

#[test]
fn every_file_gives_what_db_dump_gives() {
    for (file, dump, records) in [
        ("default.db", "default.dump", 72),
        ("by-host.db", "by-host.dump", 12),
        ("privacy.db", "privacy.dump", 12),
        ("deleted.db", "deleted.dump", 29),
        ("swapped-checksums.db", "default.dump", 72),
        ("killed/postgrey.db", "killed.dump", 0),
    ] {
        let expected = match records {
            0 => BTreeSet::new(),
            _ => dumped(dump),
        };
        assert_eq!(expected.len(), records, "{dump}");
        assert_eq!(sound(&bytes(file)), expected, "{file}");
    }
}

#[test]
fn the_clients_are_all_there() {
    let file = PostgreyFile::open(&fixture("clients.db")).unwrap();
    assert_eq!(file.pages(), 2);
    let mut clients: Vec<PostgreyClient> = file.clients(NOW_S).map(Result::unwrap).collect();
    clients.sort_by_key(|client| format!("{:?}", client.key));
    let client = |address: &str, count, last_s| PostgreyClient {
        key: ClientKey::Address(address.parse().unwrap()),
        count,
        last_s,
    };
    let mut expected = vec![
        client("::ffff:192.0.2.9", 1, 1_700_000_300),
        client("192.0.2.10", 1, 1_700_000_300),
        client("198.51.100.7", 1, 1_700_000_300),
        client("198.51.100.77", 1, 1_700_000_300),
        client("2001:db8:1:2::abcd", 1, 1_700_000_300),
        client("203.0.113.5", 5, 1_700_019_005),
    ];
    expected.sort_by_key(|client| format!("{:?}", client.key));
    assert_eq!(clients, expected);
}

#[test]
fn keys_come_apart_for_people_to_read() {
    let key = TripletKey::Plain(b"192.0.2.10/32/a/b@c.example/d/e@f.example".to_vec());
    let expected = Parts {
        client: b"192.0.2.10/32",
        sender: b"a/b@c.example",
        recipient: b"d/e@f.example",
    };
    let file = PostgreyFile::open(&fixture("by-host.db")).unwrap();
    let keys: Vec<TripletKey> = file.triplets(NOW_S).map(|t| t.unwrap().key).collect();
    let found = keys.iter().find(|found| **found == key).unwrap();
    assert_eq!(found.parts(), Some(expected));
}

#[test]
fn progress_runs_to_the_last_page() {
    let file = PostgreyFile::open(&fixture("default.db")).unwrap();
    assert_eq!(file.pages(), 5);
    let mut triplets = file.triplets(NOW_S);
    assert_eq!(triplets.page(), 0);
    assert_eq!(triplets.by_ref().count(), 72);
    assert_eq!(triplets.page(), 4);
}

#[test]
fn a_file_cut_anywhere_gives_what_is_left_and_says_so() {
    for (name, step) in [
        ("default.db", 37),
        ("swapped-checksums.db", 37),
        ("by-host.db", 37),
        ("privacy.db", 1),
    ] {
        let whole = bytes(name);
        let all = sound(&whole);
        for length in (0..whole.len()).step_by(step) {
            match read(&whole[..length]) {
                Ok(outcome) => {
                    assert!(outcome.records.is_subset(&all), "{name} cut at {length}");
                    assert!(!outcome.damages().is_empty(), "{name} cut at {length}");
                }
                Err(ExchangeError::TooShort { .. }) => assert!(length < 512, "{name} {length}"),
                Err(error) => panic!("{name} cut at {length}: {error}"),
            }
        }
    }
}

#[test]
fn no_changed_byte_does_more_than_change_records() {
    // Values of no meaning, the same in each run.
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for name in ["default.db", "swapped-checksums.db", "by-host.db"] {
        let whole = bytes(name);
        for round in 0..3000 {
            let mut file = whole.clone();
            // Every second one hits a page's header or its item offsets, where it hurts most.
            let offset = match round % 2 {
                0 => draw(file.len()),
                _ => draw(file.len() / 512) * 512 + draw(64),
            };
            file[offset] = draw(256) as u8;
            if let Ok(outcome) = read(&file) {
                let given = outcome.counts.read + outcome.skipped.len() as u64;
                assert!(given < file.len() as u64, "{name}, byte {offset}");
            }
        }
    }
}

#[test]
fn a_damaged_leaf_costs_its_records_and_no_others() {
    let whole = bytes("default.db");
    let all = sound(&whole);
    let mut file = whole.clone();
    file[3 * 4096 + 25] = 0x63;
    let without = read(&file).unwrap();
    let damage = |page, offset, kind| Damage { page, offset, kind };
    let leaves = DamageKind::LeafCount { named: 2, found: 1 };
    assert_eq!(
        without.damages(),
        [
            damage(3, 25, DamageKind::PageType(0x63)),
            damage(1, 0, leaves)
        ]
    );
    let mut file = whole;
    file[4 * 4096..].fill(0);
    let zeroed = read(&file).unwrap();
    assert_eq!(zeroed.damages(), [damage(1, 0, leaves)]);
    assert!(without.records.is_disjoint(&zeroed.records));
    assert_eq!(&without.records | &zeroed.records, all);
}

#[test]
fn missing_pages_and_pages_in_the_wrong_place_are_damage() {
    let mut file = bytes("default.db");
    let leaf_count = |found| DamageKind::LeafCount { named: 2, found };
    let kinds = |file: &[u8]| {
        let damages = read(file).unwrap().damages();
        let places = damages.iter().map(|damage| (damage.page, damage.kind));
        places.collect::<Vec<_>>()
    };
    let missing = (3, DamageKind::PagesMissing(2));
    assert_eq!(kinds(&file[..3 * 4096]), [missing, (1, leaf_count(0))]);
    let cut = (3, DamageKind::CutShort);
    let missing = (4, DamageKind::PagesMissing(1));
    assert_eq!(
        kinds(&file[..3 * 4096 + 1]),
        [cut, missing, (1, leaf_count(0))]
    );
    file.copy_within(3 * 4096..4 * 4096, 4 * 4096);
    let wrong = (4, DamageKind::WrongNumber(3));
    assert_eq!(kinds(&file), [wrong, (1, leaf_count(1))]);
}

#[test]
fn times_later_than_now_are_corrected_and_counted() {
    let file = PostgreyFile::open(&fixture("by-host.db")).unwrap();
    let mut triplets = file.triplets(1_700_000_200);
    let latest = triplets
        .by_ref()
        .map(|triplet| triplet.unwrap().last_s)
        .max();
    assert_eq!(latest, Some(1_700_000_200));
    assert_eq!(triplets.counts().corrected, 12);
    let file = PostgreyFile::open(&fixture("clients.db")).unwrap();
    let mut clients = file.clients(1_700_000_300);
    assert_eq!(clients.by_ref().count(), 6);
    assert_eq!(clients.counts().corrected, 1);
}

#[test]
fn a_deleted_record_is_not_given() {
    let mut file = bytes("by-host.db");
    let leaf = (1..3).find(|page| file[page * 4096 + 25] == 5).unwrap() * 4096;
    let all = sound(&file);
    let value = leaf + usize::from(u16::from_le_bytes([file[leaf + 28], file[leaf + 29]]));
    file[value + 2] |= 0x80;
    let rest = sound(&file);
    let gone: Vec<_> = all.difference(&rest).map(|(key, _)| key.as_str()).collect();
    let first = "0:0:0:0:0:ffff:c000:209/128/alice@example.com/bob@example.org";
    assert_eq!(gone, [first]);
}

#[test]
fn a_long_key_that_leads_astray_is_damage() {
    let whole = bytes("default.db");
    let long = 2 * 4096;
    let kinds = |file: &[u8]| {
        let damages = read(file).unwrap().damages();
        damages.iter().map(|damage| damage.kind).collect::<Vec<_>>()
    };
    // One byte on this page and then this page again, a thousand times.
    let mut file = whole.clone();
    file[long + 22..long + 24].copy_from_slice(&1u16.to_le_bytes());
    file[long + 16..long + 20].copy_from_slice(&2u32.to_le_bytes());
    assert_eq!(kinds(&file), [DamageKind::OverflowReused]);
    file[long + 16..long + 20].copy_from_slice(&99u32.to_le_bytes());
    assert_eq!(kinds(&file), [DamageKind::OverflowPage(99)]);
    file[long + 16..long + 20].copy_from_slice(&3u32.to_le_bytes());
    assert_eq!(kinds(&file), [DamageKind::NotOverflow(3)]);
    file[long + 22..long + 24].copy_from_slice(&2000u16.to_le_bytes());
    assert_eq!(kinds(&file), [DamageKind::OverflowLength(1012)]);
    // The item on the leaf: type 3, page 2, 1012 bytes. A page may hold former copies of it.
    let item = [3, 0, 2, 0, 0, 0, 0xf4, 3, 0, 0];
    let mut file = whole.clone();
    for at in 0..whole.len() - item.len() {
        if whole[at..at + item.len()] == item {
            file[at + 8] = 1;
        }
    }
    assert_eq!(kinds(&file), [DamageKind::OverflowLength(0x1_03f4)]);
}

#[test]
fn many_offsets_to_one_item_are_damage() {
    let mut file = bytes("by-host.db");
    let leaf = (1..3).find(|page| file[page * 4096 + 25] == 5).unwrap() * 4096;
    let offset = [file[leaf + 26], file[leaf + 27]];
    let entries: u16 = 2000;
    file[leaf + 20..leaf + 22].copy_from_slice(&entries.to_le_bytes());
    for index in 0..500 {
        let slot = leaf + 26 + 2 * index;
        file[slot..slot + 2].copy_from_slice(&offset);
    }
    let outcome = read(&file).unwrap();
    assert_eq!(outcome.damages().len(), 1);
    assert_eq!(outcome.damages()[0].kind, DamageKind::ItemPlace);
}

#[test]
fn what_is_no_readable_btree_is_refused_with_its_reason() {
    let change = |offset: usize, value: u8| {
        let mut file = bytes("default.db");
        file[offset] = value;
        read(&file).map(|_| ()).unwrap_err().to_string()
    };
    assert!(change(12, 0).contains("is no Berkeley DB Btree: page 0 has the magic 0x00053100"));
    assert!(change(16, 10).contains("is a Btree of version 10"));
    assert!(change(24, 1).contains("is encrypted"));
    assert!(change(25, 8).contains("damaged on page 0: the page type is 8"));
    assert!(change(21, 3).contains("damaged on page 0: the page size is 768"));
    assert!(change(48, 1).contains("of a kind that Postgrey does not make (flags 0x1)"));
    let missing = PostgreyFile::open(Path::new("/nonexistent/postgrey.db")).unwrap_err();
    assert_eq!(missing.to_string(), "cannot read /nonexistent/postgrey.db");
}

/// A database directory with a database and a log, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str, database: &str, log: &[u8]) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("the target folder can be written");
        let this = Self(path);
        fs::write(this.database(), bytes(database)).expect("the target folder can be written");
        this.write("log.0000000001", log);
        this
    }

    fn database(&self) -> PathBuf {
        self.0.join("postgrey.db")
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.0.join(name), content).expect("the target folder can be written");
    }

    fn judge(&self) -> Completeness {
        Completeness::of(&self.database()).expect("all can be read")
    }

    fn unknown(&self, why: WhyUnknown) -> Completeness {
        let directory = self.0.clone();
        Completeness::Unknown { directory, why }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What `kill -9` left of the log: db_recover only appended to it.
fn killed_log() -> Vec<u8> {
    let mut log = bytes("recovered/log.0000000001");
    log.truncate(18210);
    log.extend([0; 100]);
    log
}

#[test]
fn after_kill_9_the_file_is_behind_and_the_cure_is_named() {
    let directory = Directory::new("killed", "killed/postgrey.db", &killed_log());
    let judged = directory.judge();
    let expected = Completeness::Behind {
        directory: directory.0.clone(),
        pages: 1,
    };
    assert_eq!(judged, expected);
    let cure = format!("run \"db_recover -h {}\"", directory.0.display());
    assert!(judged.to_string().contains(&cure));
}

#[test]
fn the_file_is_complete_when_its_pages_are_as_new_as_the_log() {
    let database = "recovered/postgrey.db";
    let directory = Directory::new("complete", database, &killed_log());
    assert_eq!(directory.judge(), Completeness::Complete);
    directory.write("log.0000000001", &bytes("recovered/log.0000000001"));
    assert_eq!(directory.judge(), Completeness::Complete);
    let triplets = PostgreyFile::open(&directory.database())
        .unwrap()
        .triplets(NOW_S);
    assert_eq!(triplets.map(Result::unwrap).count(), 2);
}

#[test]
fn changes_before_the_last_checkpoint_are_not_looked_for() {
    let log = bytes("recovered/log.0000000001");
    let directory = Directory::new("checkpoint", "killed/postgrey.db", &log);
    assert_eq!(directory.judge(), Completeness::Complete);
}

/// The log with one more record.
fn appended(log: &[u8], kind: u32, fields: &[u32]) -> Vec<u8> {
    let body = [kind, 0x8000_0001, 0, 0]
        .into_iter()
        .chain(fields.iter().copied());
    let body: Vec<u8> = body.flat_map(u32::to_le_bytes).collect();
    let sum = body.iter().fold(0u32, |sum, &byte| {
        sum.wrapping_mul(33).wrapping_add(u32::from(byte))
    });
    let size = 12 + body.len() as u32;
    let header = [18166, size, sum ^ 18166 ^ size];
    let header = header.iter().flat_map(|number: &u32| number.to_le_bytes());
    log[..18210]
        .iter()
        .copied()
        .chain(header)
        .chain(body)
        .collect()
}

#[test]
fn each_kind_of_record_names_the_pages_it_changed() {
    // The file has the pages 0 and 1 and is complete; in the log it has the number 0.
    let directory = Directory::new("kinds", "recovered/postgrey.db", &killed_log());
    let behind = |kind: u32, fields: &[u32]| {
        directory.write("log.0000000001", &appended(&killed_log(), kind, fields));
        match directory.judge() {
            Completeness::Complete => 0,
            Completeness::Behind { pages, .. } => pages,
            unknown => panic!("{unknown:?}"),
        }
    };
    let operation = 77;
    // An item added on page 1; the same in another file.
    assert_eq!(behind(41, &[operation, 0, 1]), 1);
    assert_eq!(behind(41, &[operation, 1, 1]), 0);
    // A piece of a long item, a replaced item, on a page that the file does not have yet.
    assert_eq!(behind(43, &[operation, 0, 9]), 1);
    assert_eq!(behind(58, &[0, 9]), 1);
    // A page allocated: file, two numbers, first page, two numbers, page.
    assert_eq!(behind(49, &[0, 7, 7, 0, 7, 7, 9]), 1);
    // A page given free, still there or cut off from the end of the file.
    assert_eq!(behind(50, &[0, 1]), 1);
    assert_eq!(behind(50, &[0, 9]), 0);
    assert_eq!(behind(52, &[0, 9]), 0);
    // A split: both halves. Its inverse: the root, behind the bytes of the other page.
    assert_eq!(behind(62, &[0, operation, 1, 7, 7, 9]), 2);
    assert_eq!(behind(63, &[0, 9, 4, 0, 1]), 1);
    // A change that cannot be looked up, and none.
    assert_eq!(behind(66, &[0, 0]), 1);
    assert_eq!(behind(10, &[1]), 0);
}

#[test]
fn what_the_logs_cannot_tell_is_unknown() {
    let log = killed_log();
    let directory = Directory::new("unknown", "default.db", &log);
    assert_eq!(
        directory.judge(),
        directory.unknown(WhyUnknown::NotMentioned)
    );
    directory.write("log.0000000003", &log);
    assert_eq!(directory.judge(), directory.unknown(WhyUnknown::Gap(2)));
    fs::remove_file(directory.0.join("log.0000000003")).unwrap();
    let mut other = log.clone();
    other[100] ^= 1;
    directory.write("log.0000000001", &other);
    let damaged = WhyUnknown::Damaged {
        log: 1,
        offset: 28 + 67,
    };
    assert_eq!(directory.judge(), directory.unknown(damaged));
    fs::remove_file(directory.0.join("log.0000000001")).unwrap();
    assert_eq!(directory.judge(), directory.unknown(WhyUnknown::NoLogs));
}

#[test]
fn a_log_cut_or_changed_anywhere_is_judged_without_a_panic() {
    let log = killed_log();
    let directory = Directory::new("cut-log", "killed/postgrey.db", &log);
    let mut ends = BTreeSet::from([0]);
    while let Some(size) = ends.last().and_then(|end| log[end + 4..].first_chunk()) {
        let size = u32::from_le_bytes(*size) as usize;
        let last = *ends.last().expect("it has the first");
        if size == 0 {
            break;
        }
        ends.insert(last + size);
    }
    assert_eq!(ends.last(), Some(&18210));
    for length in (0..18210).step_by(37).chain(ends.iter().copied()) {
        directory.write("log.0000000001", &log[..length]);
        let is_unknown = matches!(directory.judge(), Completeness::Unknown { .. });
        // A log that ends between two records looks whole; one without its beginning says nothing.
        let expected = length < 8684 || !ends.contains(&length);
        assert_eq!(is_unknown, expected, "cut at {length}");
    }
    for offset in (0..18210).step_by(37) {
        let mut changed = log.clone();
        changed[offset] = !changed[offset];
        directory.write("log.0000000001", &changed);
        let is_unknown = matches!(directory.judge(), Completeness::Unknown { .. });
        assert!(is_unknown, "changed at {offset}");
    }
}
