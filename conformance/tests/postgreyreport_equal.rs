//! The real postgreyreport and ours on the same logs and databases: the same lines, apart from the
//! order within one address, which is chance in the original.
//!
//! `GREYLATCH_LONG=1` takes twenty times as many changed lines.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, ensure};
use conformance::{
    Clock, Door, EPISODE_START, Greylister, LogKind, MailLog, Message, NameRecord, Program,
    ReportCase, Reported, Reporter, Setting, is_long_run, log_kinds, mutated_lines, scratch_folder,
    start_name_server,
};

/// How many differences a failure prints.
const SHOWN: usize = 5;

/// Lists of clients, written into the folder where both programs run.
const LISTS: [(&str, &str); 3] = [
    (
        "clients",
        "# some\n192.0.3\n/^dyn-.*POOL/\nbig.example\n\nmx5.host.example\n",
    ),
    ("more", "198.51\n10.2.0.3"),
    (
        "strange",
        "mx4.host.example # no comment\n  # one\n//\n10.3.0.0/24\nunknown",
    ),
];

/// Options in the words of the command line, parted by blanks.
const OPTION_SETS: &[&str] = &[
    "",
    "-v",
    "--show_tries",
    "--show_time",
    "--show_time --show_tries",
    "--tab",
    "--tab --show_time --show_tries",
    "--single_line",
    "--nosingle_line",
    "--nosingle_line --show_tries",
    "--nosingle_line --show_tries --tab --show_time",
    "--nosingle_line --single_line --tab",
    "--delay=0",
    "--delay=-1",
    "--delay=60",
    "--delay 299",
    "--delay=300",
    "--delay=301",
    "--delay=100000 --show_tries",
    "--delay=abc",
    "--skip_pool",
    "--skip_pool --tab --show_tries",
    "--skip_clients=clients",
    "--skip_clients=clients --skip_clients=more",
    "--match_clients=clients",
    "--match_clients=clients --match_clients=more",
    "--skip_clients=strange",
    "--match_clients=clients --skip_clients=more --skip_pool",
    "--greylist-text=Greylisted",
    "--greylist-text=greylisted",
    "--greylist-text=(?i)GREY(?=listed)",
    r"--return_string=example\.(org|net)\.html",
    r"--separate_by_ip=\n",
    r"--separate_by_subnet=:=====\n",
    r"--separate_by_subnet=:=====\n --separate_by_ip=\n",
    r"--separate_by_subnet=:=====\n --separate_by_ip=--\n\n --tab --show_tries",
    r"--nosingle_line --separate_by_subnet=:=====\n --separate_by_ip=\n --show_tries",
    r"--nosingle_line --separate_by_ip=:-----\n --skip_pool",
    "--version",
    "--bad --show_tr",
    "--delay=",
    "--dbdir=missing",
    "--user=no-such-user",
];

#[test]
fn ours_reports_as_the_original_does() -> Result<()> {
    ensure!(OPTION_SETS.len() >= 30);
    let differences = for_each_kind(|kind, seed| {
        let host = Host::run(Program::Postgrey, kind, seed)?;
        ensure!(host.greylister_stops()?);
        let mut differences = Vec::new();
        let mut lines = 0;
        for options in OPTION_SETS {
            let original = host.report(Reporter::Original, options)?;
            let ours = host.report(Reporter::Greylatch, options)?;
            lines += original.lines.len();
            // What is printed has pools in it unless they are left out, or nothing is printed.
            match *options {
                "" | "--tab" => ensure!(ours.note.is_some(), "{options:?}: no note"),
                "--version" | "--dbdir=missing" => ensure!(ours.note.is_none(), "{ours:?}"),
                _ => {}
            }
            if let Some(difference) = original.difference(&ours) {
                differences.push(format!("{}, {options:?}: {difference}", kind.name));
            }
        }
        // Of a log that is fatal nowhere nothing would be learnt.
        ensure!(
            lines > 50 * OPTION_SETS.len(),
            "{}: {lines} lines",
            kind.name
        );
        Ok(differences)
    })?;
    assert_none(&differences);
    Ok(())
}

#[test]
fn on_our_own_memory_after_the_same_traffic_the_lists_are_the_same() -> Result<()> {
    let differences = for_each_kind(|kind, seed| {
        let postgrey = Host::run(Program::Postgrey, kind, seed)?;
        let ours = Host::run(Program::Greylatch, kind, seed)?;
        ensure!(
            postgrey.answers == ours.answers,
            "{}: other answers",
            kind.name
        );
        ensure!(postgrey.greylister_stops()?);
        let mut differences = Vec::new();
        for options in [
            "--show_tries",
            "--nosingle_line",
            "--delay=60",
            "--delay=3600",
        ] {
            let original = postgrey.report(Reporter::Original, options)?;
            let own = ours.report(Reporter::Greylatch, options)?;
            ensure!(original.lines.len() > 20, "{}: hardly a line", kind.name);
            if let Some(difference) = original.difference(&own) {
                differences.push(format!("{}, {options:?}: {difference}", kind.name));
            }
        }
        Ok(differences)
    })?;
    assert_none(&differences);
    Ok(())
}

#[test]
fn lines_that_were_changed_are_read_alike() -> Result<()> {
    let folder = scratch_folder()?;
    let dbdir = folder.path().join("db");
    let clock = Clock::new(folder.path(), EPISODE_START)?;
    // A database is there once something has been answered.
    let postgrey = start(Program::Postgrey, folder.path(), &[], &clock)?;
    let other = Message::of(
        ("203.0.113.1", "mx.other.example"),
        "x@y.example",
        "z@w.example",
    );
    postgrey.connect()?.ask(&other.bytes())?;
    ensure!(postgrey.stop()?.success());
    let log = folder.path().join("log");
    let case = ReportCase {
        log: &log,
        dbdir: &dbdir,
        folder: folder.path(),
        etc: None,
    };
    let rounds = if is_long_run() { 100 } else { 5 };
    let mut differences = Vec::new();
    for seed in 1..=rounds {
        fs::write(&log, mutated_lines(seed, 3_000))?;
        for options in [&["--show_tries"][..], &["--skip_pool", "--tab"]] {
            let original = Reporter::Original.report(&case, options)?;
            let ours = Reporter::Greylatch.report(&case, options)?;
            ensure!(
                original.lines.len() > 100,
                "seed {seed}: hardly a line is read: {original:?}"
            );
            if let Some(difference) = original.difference(&ours) {
                differences.push(format!("seed {seed}, {options:?}: {difference}"));
            }
        }
    }
    assert_none(&differences);
    Ok(())
}

/// What the name server knows of the senders and some clients of a log.
const ZONE: &[(&str, NameRecord)] = &[
    ("sender0.example", NameRecord::Mx("mx.sender0.example")),
    ("mx.sender0.example", NameRecord::A([192, 0, 1, 10])),
    ("mx.sender0.example", NameRecord::A([192, 0, 2, 99])),
    ("sender1.example", NameRecord::A([192, 0, 3, 10])),
    ("sender2.example", NameRecord::Mx("mx.sender0.example")),
    ("sender2.example", NameRecord::A([192, 0, 4, 200])),
    ("sender3.example", NameRecord::Mx("nowhere.example")),
    ("batv.example", NameRecord::A([10, 3, 0, 24])),
];

#[test]
fn what_the_dns_says_of_a_sender_is_shown_alike() -> Result<()> {
    let mut host = Host::run(Program::Postgrey, &log_kinds()[0], 5)?;
    ensure!(host.greylister_stops()?);
    let etc = host.folder.path().join("etc");
    start_name_server([127, 0, 53, 1].into(), ZONE, &etc)?;
    host.etc = Some(etc);
    let mut differences = Vec::new();
    let mut shown = BTreeSet::new();
    for options in [
        "--check_sender=mx --tab",
        "--check_sender=MX/24,a --tab --show_tries",
        "--check_sender=a/24,a,mx/24,mx",
        "--check_sender=a/24 --nosingle_line --show_tries",
        "--check_sender=foo --show_time",
    ] {
        let original = host.report(Reporter::Original, options)?;
        let ours = host.report(Reporter::Greylatch, options)?;
        let words = ours.lines.iter().flat_map(|line| line.split(['\t', ' ']));
        shown.extend(
            words
                .filter(|word| RELATIONS.contains(word))
                .map(str::to_owned),
        );
        if let Some(difference) = original.difference(&ours) {
            differences.push(format!("{options:?}: {difference}"));
        }
    }
    assert_none(&differences);
    assert_eq!(shown.into_iter().collect::<Vec<_>>(), RELATIONS);
    Ok(())
}

const RELATIONS: [&str; 4] = ["A", "A/24", "MX", "MX/24"];

#[test]
fn another_delay_is_seen() -> Result<()> {
    let kind = log_kinds()[0];
    let host = Host::run(Program::Postgrey, &kind, 3)?;
    ensure!(host.greylister_stops()?);
    let original = host.report(Reporter::Original, "--delay=300")?;
    let ours = host.report(Reporter::Greylatch, "--delay=301")?;
    assert!(original.difference(&ours).is_some());
    Ok(())
}

/// What `each` finds for every kind of log, half of them at a time.
fn for_each_kind(
    each: impl Fn(&LogKind, u64) -> Result<Vec<String>> + Sync,
) -> Result<Vec<String>> {
    let kinds = log_kinds();
    let (first, second) = kinds.split_at(kinds.len() / 2);
    let run = |kinds: &[LogKind], offset: u64| -> Result<Vec<String>> {
        let mut found = Vec::new();
        for (seed, kind) in (offset..).zip(kinds) {
            found.extend(each(kind, seed)?);
        }
        Ok(found)
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| run(second, 10));
        let mut found = run(first, 1)?;
        found.extend(other.join().expect("it does not panic")?);
        Ok(found)
    })
}

fn assert_none(differences: &[String]) {
    assert!(
        differences.is_empty(),
        "{} differences, the first of them:\n{}",
        differences.len(),
        differences[..differences.len().min(SHOWN)].join("\n")
    );
}

/// A greylister after its traffic, and the log of that.
struct Host {
    folder: tempfile::TempDir,
    greylister: Cell<Option<Greylister>>,
    answers: Vec<Vec<u8>>,
    etc: Option<PathBuf>,
}

impl Host {
    fn run(program: Program, kind: &LogKind, seed: u64) -> Result<Self> {
        let folder = scratch_folder()?;
        let mut clock = Clock::new(folder.path(), EPISODE_START)?;
        for (name, text) in LISTS {
            fs::write(folder.path().join(name), text)?;
        }
        let greylister = start(program, folder.path(), kind.options, &clock)?;
        let log = MailLog::make(kind, seed, &greylister, &mut clock)?;
        fs::write(folder.path().join("log"), &log.text)?;
        Ok(Self {
            folder,
            greylister: Cell::new(Some(greylister)),
            answers: log.answers,
            etc: None,
        })
    }

    /// Stops the greylister, so that its database is complete.
    fn greylister_stops(&self) -> Result<bool> {
        let greylister = self.greylister.take().context("it has stopped already")?;
        Ok(greylister.stop()?.success())
    }

    fn report(&self, reporter: Reporter, options: &str) -> Result<Reported> {
        let folder = self.folder.path();
        let options: Vec<&str> = options.split_whitespace().collect();
        let case = ReportCase {
            log: &folder.join("log"),
            dbdir: &folder.join("db"),
            folder,
            etc: self.etc.as_deref(),
        };
        reporter.report(&case, &options)
    }
}

fn start(program: Program, folder: &Path, extra: &[&str], clock: &Clock) -> Result<Greylister> {
    let list = folder.join("empty");
    fs::write(&list, "")?;
    let list = list.display();
    let mut options: Vec<OsString> = extra.iter().map(OsString::from).collect();
    for word in [
        format!("--whitelist-clients={list}"),
        format!("--whitelist-recipients={list}"),
        "--auto-whitelist-clients=0".to_owned(),
    ] {
        options.push(word.into());
    }
    Greylister::start(
        program,
        &Setting {
            folder,
            door: Door::Unix,
            options: &options,
            clock: Some(clock),
        },
    )
}
