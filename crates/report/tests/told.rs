//! The same story in the lines of each dialect, and what a report makes of it.
//!
//! One sender comes back after 301 seconds, one of the null sender after 30, too early, and after 400;
//! one never.

use std::fs;
use std::path::{Path, PathBuf};

use greylatch_core::{IdentityRules, School, Timestamp};
use greylatch_report::{Found, Intake, Ledger, Messages, Period, Report, Sources, Stamps, to_json};
use serde_json::Value;

/// 2026-11-24 12:00:00 UTC, when the story begins.
const START: i64 = 1_795_521_600;

fn intake() -> Intake {
    let latest = Timestamp(START + 86_400);
    Intake::new(Stamps::new(latest, Box::new(Timestamp)))
}

/// The report on a log that comes in blocks of `size`.
fn report(log: &[u8], size: usize, period: Period) -> (Report, Value) {
    let identity = IdentityRules {
        school: School::Native,
        ipv4_prefix: 24,
        ipv6_prefix: 64,
    };
    let mut ledger = Ledger::new(identity, period);
    let mut reader = ledger.reader("greylist");
    let mut log_in = intake();
    let mut messages = Messages::default();
    for block in log.chunks(size) {
        log_in.feed(block, &mut messages);
        while reader.read(&mut messages, &mut |full| ledger.take(full)) {}
    }
    log_in.finish(&mut messages);
    while reader.read(&mut messages, &mut |full| ledger.take(full)) {}
    ledger.take(&mut reader.rest());
    let mut sources = Sources::default();
    sources.add(log_in.counts(), false);
    let found = Found {
        by_client: ledger.by_client(),
        by_envelope: ledger.by_envelope(),
    };
    let report = ledger.report(&reader, &sources, found, 0);
    let json = serde_json::from_str(&to_json(&report)).expect("it is JSON");
    (report, json)
}

fn whole(log: &[u8]) -> Value {
    report(log, log.len().max(1), Period::default()).1
}

fn dialects() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialects");
    let files = fs::read_dir(folder).expect("the folder is there");
    files.map(|file| file.expect("a file").path()).collect()
}

/// A figure of a table of figures.
fn figure(json: &Value, table: &str, name: &str) -> Value {
    let rows = json[table].as_array().expect("a table");
    let row = rows.iter().find(|row| row["figure"] == name);
    row.expect(name)["value"].clone()
}

#[test]
fn each_dialect_tells_the_same_story() {
    let dialects = dialects();
    assert_eq!(dialects.len(), 12);
    for path in dialects {
        let log = fs::read(&path).expect("it can be read");
        let name = path.display();
        let json = whole(&log);
        let never = &json["never-came-back"];
        assert_eq!(never.as_array().map(Vec::len), Some(1), "{name}: {never:#}");
        assert_eq!(never[0]["network"], "2001:db8::/64", "{name}");
        assert_eq!(never[0]["sender"], "spam@b.example", "{name}");
        assert_eq!(never[0]["recipient"], "bob@example.org", "{name}");
        assert_eq!(never[0]["first"], START + 5, "{name}");
        assert_eq!(never[0]["tries"], 1, "{name}");
        let wait = &json["wait"];
        assert_eq!(wait[1]["provider"], "a.example", "{name}: {wait:#}");
        assert_eq!(wait[1]["p50_s"], 301, "{name}");
        assert_eq!(wait[2]["provider"], "c.example", "{name}: {wait:#}");
        assert_eq!(wait[2]["p50_s"], 400, "{name}");
        let early = &json["early-retries"];
        assert_eq!(early.as_array().map(Vec::len), Some(1), "{name}: {early:#}");
        assert_eq!(early[0]["provider"], "c.example", "{name}");
        let retry = &json["first-retry"];
        assert_eq!(retry[0]["retried"], 2, "{name}: {retry:#}");
        assert_eq!(retry[0]["shortest_s"], 30, "{name}");
        assert_eq!(figure(&json, "summary", "came back"), 2, "{name}");
        assert_eq!(
            figure(&json, "read", "decisions not understood, left out"),
            0
        );
    }
}

#[test]
fn the_size_of_blocks_makes_no_difference() {
    for path in dialects() {
        let log = fs::read(&path).expect("it can be read");
        let expected = report(&log, log.len(), Period::default()).0;
        for size in [1, 2, 13, 1_000] {
            let cut = report(&log, size, Period::default()).0;
            assert!(cut == expected, "{} {size}", path.display());
        }
    }
}

#[test]
fn an_mta_beside_its_greylister_tells_nothing_twice() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialects");
    let read = |name: &str| fs::read(folder.join(name)).expect("it can be read");
    let alone = whole(&read("postgrey.log"));
    let together = whole(&[read("postgrey.log"), read("postfix.log")].concat());
    for table in [
        "verdicts",
        "never-came-back",
        "wait",
        "first-retry",
        "early-retries",
    ] {
        assert_eq!(together[table], alone[table], "{table}");
    }
}

#[test]
fn a_delivery_is_of_the_period_in_which_it_began() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialects");
    let log = fs::read(folder.join("postgrey.log")).expect("it can be read");
    let period = |since: Option<i64>, until: Option<i64>| Period {
        since: since.map(|since| Timestamp(START + since)),
        until: until.map(|until| Timestamp(START + until)),
    };
    for (period, waited, came, attempts) in [
        (period(None, Some(1)), 1, 1, 1),
        (period(Some(1), None), 2, 1, 3),
        (period(Some(6), Some(11)), 1, 1, 1),
        (period(Some(11), None), 0, 0, 1),
    ] {
        let (_, json) = report(&log, log.len(), period);
        let figure = |name| figure(&json, "summary", name);
        assert_eq!(figure("deliveries that had to wait"), waited, "{period:?}");
        // What became of them counts, wherever it stands.
        assert_eq!(figure("came back"), came, "{period:?}");
        assert_eq!(figure("attempts deferred"), attempts, "{period:?}");
    }
}

#[test]
fn hostile_lines_are_counted_and_leave_escaped() {
    let long = format!(
        "Nov 24 12:00:00 mail postgrey[7]: {}\n",
        "x".repeat(1 << 20)
    );
    let log = [
        long.as_bytes(),
        b"Nov 24 12:00:01 mail postgrey[7]: action=greylist, reason=new, client_name=m\x1b[2Jx, client_address=192.0.2.1, sender=\xff\x1b]0;x\x07@b, recipient=<script>@c\n",
        b"Nov 24 12:00:02 mail postgrey[7]: action=greylist, reason=\x1b[31m, client_name=x\n",
        b"action=greylist, reason=new, client_name=m, client_address=192.0.2.1, sender=a@b, recipient=c@d\n",
        b"Nov 24 12:00:03 mail postgrey[7]: action=greylist, reason=new, client_name=m, client_address=nonsense, sender=a@b, recipient=c@d\n",
        b"\0\0\0\xff\xfe\n\n\r\n",
        b"Nov 24 12:00:04 mail postgrey[7]: action=greylist, reason=n",
    ]
    .concat();
    let (report, json) = report(&log, 4_096, Period::default());
    assert_eq!(json["never-came-back"].as_array().map(Vec::len), Some(1));
    assert_eq!(json["never-came-back"][0]["name"], "m\\x1b[2Jx");
    for (name, count) in [
        ("lines", 9),
        ("lines that told something", 2),
        ("lines of more than 64 KiB, left out", 1),
        ("lines without a time, left out", 1),
        ("decisions not understood, left out", 2),
        ("client addresses not understood", 1),
    ] {
        assert_eq!(figure(&json, "read", name), count, "{name}");
    }
    let when = |at: Timestamp| at.0.to_string();
    for text in [
        to_json(&report),
        greylatch_report::to_text(&report, 0, &when),
        greylatch_report::to_html(&report, 0, &when),
        report.tables.iter().map(greylatch_report::to_csv).collect(),
    ] {
        let obeyed = |letter: char| letter.is_control() && letter != '\n';
        assert!(!text.contains(obeyed), "{}", text.escape_debug());
        assert!(
            !text.contains("<script>") || !text.contains("<html"),
            "{text}"
        );
    }
}
