//! `greylatch report` names exactly those that did not come back, whichever lines tell of it, and what it
//! says of files.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use conformance::{
    KnownFates, Lost, Native, greylatch_binary, peer_program, scratch_folder, shipped, unix_now,
};
use serde_json::Value;

/// What the server is told; its rules of identity are the default.
const CONFIGURATION: &str = "greylist.delay = \"60s\"\ngreylist.shipped_lists = false\n";

fn report(words: &[&str], folder: &Path) -> Result<Output> {
    Command::new(greylatch_binary()?)
        .arg("report")
        .args(words)
        .current_dir(folder)
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .output()
        .context("greylatch report")
}

fn report_json(words: &[&str], folder: &Path) -> Result<Value> {
    let output = report(&[words, &["--json"]].concat(), folder)?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{words:?}: {complaints}");
    serde_json::from_slice(&output.stdout).context("it is JSON")
}

/// The rows of a table that names deliveries which did not come back.
fn lost(table: &Value, network: &str) -> Result<Vec<Lost>> {
    let rows = table.as_array().context("a table")?;
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let mut lost: Vec<Lost> = rows
        .iter()
        .map(|row| Lost {
            network: text(row, network),
            recipient: text(row, "recipient"),
            elsewhere: row["elsewhere"] == true,
        })
        .collect();
    lost.sort();
    Ok(lost)
}

/// Compares, and says only what is on one side.
#[track_caller]
fn expect_lost(found: &[Lost], expected: &[Lost], what: &str) {
    let only = |one: &[Lost], other: &[Lost]| {
        let only = one.iter().filter(|lost| !other.contains(lost));
        only.cloned().collect::<Vec<Lost>>()
    };
    let (more, less) = (only(found, expected), only(expected, found));
    assert!(
        found == expected,
        "{what}: too many {more:#?}, too few {less:#?}"
    );
}

/// Yesterday's midnight: what waits is remembered still.
fn start() -> Result<i64> {
    Ok((unix_now()?.div_euclid(86_400) - 1) * 86_400)
}

#[test]
fn exactly_those_are_named_that_did_not_come_back() -> Result<()> {
    for (seed, format) in [(1, "postgrey"), (2, "logfmt"), (3, "json")] {
        let folder = scratch_folder()?;
        let configuration = format!("{CONFIGURATION}log.format = \"{format}\"\n");
        let native = Native::start(folder.path(), &configuration)?;
        let known = KnownFates::make(seed, start()?, &native)?;
        let expected = known.lost();
        ensure!(
            expected.len() > 30 && known.deferred() - expected.len() > 30,
            "{} of {} did not come back: too few or too many to show anything",
            expected.len(),
            known.deferred()
        );

        // What is remembered says the same, but for where else something has passed.
        let control = folder.path().join("control");
        let control = control.to_str().context("a path")?;
        let memory = report_json(&["--from", "memory", "--control", control], folder.path())?;
        let waiting: Vec<Lost> = expected
            .iter()
            .cloned()
            .map(|lost| Lost {
                elsewhere: false,
                ..lost
            })
            .collect();
        let remembered = lost(&memory["memory-waiting"], "client")?;
        expect_lost(&remembered, &waiting, format);

        fs::write(folder.path().join("postfix.log"), known.by_postfix())?;
        let both = report_json(
            &["--from", "both", "--control", control, "postfix.log"],
            folder.path(),
        )?;
        assert_eq!(both["differences"], Value::Array(Vec::new()), "{format}");

        let stderr = native.stop()?;
        let is_decision = |line: &&str| {
            ["action=", "verdict=", "{\"msg\""]
                .iter()
                .any(|head| line.starts_with(head))
        };
        let lines: Vec<&str> = stderr.lines().filter(is_decision).collect();
        assert_eq!(lines.len(), known.attempts(), "{format}");
        fs::write(folder.path().join("mail.log"), known.stamped(&lines))?;
        for files in [
            &["mail.log"][..],
            &["postfix.log"],
            &["postfix.log", "mail.log"],
        ] {
            let told = report_json(files, folder.path())?;
            let never = lost(&told["never-came-back"], "network")?;
            expect_lost(&never, &expected, &format!("{format} {files:?}"));
        }
    }
    Ok(())
}

/// Lines of deferrals, one in each of so many seconds from noon, of other recipients each.
fn deferrals(seconds: Range<u32>) -> String {
    lines("greylist, reason=new", seconds, 0)
}

fn lines(action: &str, recipients: Range<u32>, later_s: u32) -> String {
    let line = |recipient: u32| {
        let (minute, second) = ((recipient + later_s) / 60, (recipient + later_s) % 60);
        format!(
            "2026-11-24T12:{minute:02}:{second:02}Z mail postgrey[7]: action={action}, client_name=unknown, \
             client_address=192.0.2.9, sender=a@b, recipient=r{recipient}@c\n"
        )
    };
    recipients.map(line).collect()
}

#[test]
fn rotated_files_are_read_in_the_order_of_their_times_however_they_are_named() -> Result<()> {
    let folder = scratch_folder()?;
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text);
    // Ninety come back, in the newest file; another host tells of ten that do not, and one file begins
    // before the other ends.
    write(
        "new",
        deferrals(200..210) + &lines("pass, reason=triplet found", 0..90, 600),
    )?;
    write("old", deferrals(0..100))?;
    write("other", deferrals(90..120))?;
    compress(&folder.path().join("old"), Command::new("gzip"))?;
    compress(&folder.path().join("other"), peer_program("zstd")?)?;
    for files in [
        ["new", "other.zst", "old.gz"],
        ["old.gz", "new", "other.zst"],
    ] {
        let told = report_json(&files, folder.path())?;
        let rows = told["never-came-back"].as_array().context("a table")?;
        let never: BTreeSet<&str> = rows
            .iter()
            .filter_map(|row| row["recipient"].as_str())
            .collect();
        let expected: Vec<String> = (90..120)
            .chain(200..210)
            .map(|number| format!("r{number}@c"))
            .collect();
        assert_eq!(
            never,
            expected.iter().map(String::as_str).collect(),
            "{files:?}"
        );
        assert_eq!(rows.len(), expected.len(), "{files:?}");
    }
    Ok(())
}

/// Compresses a file as the programs do, with the library of the same name.
fn compress(path: &Path, mut program: Command) -> Result<()> {
    let status = program.args(["-q", "-f"]).arg(path).status();
    let status = status.with_context(|| format!("cannot start {program:?}"))?;
    ensure!(status.success(), "{program:?} ended with {status}");
    Ok(())
}

#[test]
fn what_cannot_be_read_is_said_and_the_rest_reported() -> Result<()> {
    let folder = scratch_folder()?;
    let log = folder.path().join("log");
    fs::write(&log, deferrals(0..100))?;
    compress(&log, Command::new("gzip"))?;
    let whole = fs::read(folder.path().join("log.gz"))?;
    File::create(folder.path().join("cut.gz"))?.write_all(&whole[..whole.len() / 2])?;
    fs::write(folder.path().join("x.xz"), b"\xfd7zXZ\0")?;
    let output = report(&["cut.gz", "x.xz", "none", ".", "--json"], folder.path())?;
    assert_eq!(output.status.code(), Some(69));
    let complaints = String::from_utf8(output.stderr)?;
    for complaint in [
        "greylatch: cut.gz was not read to its end: ",
        "greylatch: cannot read x.xz: it is compressed by xz or bzip2",
        "greylatch: cannot read none: No such file",
        "greylatch: cannot read .: it is a folder",
    ] {
        ensure!(complaints.contains(complaint), "{complaints}");
    }
    let told: Value = serde_json::from_slice(&output.stdout)?;
    let read = |name: &str| {
        let rows = told["read"].as_array().into_iter().flatten();
        rows.filter(|row| row["figure"] == name)
            .map(|row| row["value"].clone())
            .collect::<Vec<Value>>()
    };
    assert_eq!(read("files"), [4]);
    assert_eq!(read("files not read to their end"), [4]);
    Ok(())
}

#[test]
fn tables_and_periods_are_chosen_and_mistakes_have_a_cure() -> Result<()> {
    let folder = scratch_folder()?;
    fs::write(folder.path().join("log"), deferrals(0..100))?;
    let csv = report(
        &[
            "log",
            "--csv",
            "--since",
            "2026-11-24 12:00:10",
            "--until",
            "2026-11-24T12:00:12Z",
        ],
        folder.path(),
    )?;
    let csv = String::from_utf8(csv.stdout)?;
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 3, "{csv}");
    assert_eq!(
        lines[1],
        "192.0.2.9,,192.0.2.0/24,a@b,r10@c,1,1795521610,1795521610,true,false"
    );
    let text = report(
        &["log", "--table", "never-by-network", "--rows", "0"],
        folder.path(),
    )?;
    assert_eq!(
        String::from_utf8(text.stdout)?,
        "Never came back, by network\n  NETWORK       NEVER  ELSEWHERE  CAME BACK  TRIES  NEVER OF ALL\n  \
         192.0.2.0/24    100          0          0    100       100.0 %\n"
    );
    for (words, code, complaint) in [
        (
            &["log", "--table", "x"][..],
            69,
            "there is no table \"x\"; there are summary,",
        ),
        (
            &["log", "--since", "soon"],
            64,
            "write for example 2026-11-24",
        ),
        (&["log", "--json", "--csv"], 64, "cannot be used with"),
        (
            &["log", "--csv", "--table", "wait", "--table", "exempt"],
            69,
            "--csv prints one table; name it with --table",
        ),
    ] {
        let output = report(words, folder.path())?;
        let complaints = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(code), "{words:?} {complaints}");
        ensure!(complaints.contains(complaint), "{words:?}: {complaints}");
    }
    Ok(())
}

#[test]
fn postgreys_log_is_reported_by_its_identities() -> Result<()> {
    let folder = scratch_folder()?;
    let text = deferrals(0..1).replace("sender=a@b", "sender=SRS0=x=Y=far.example=u@f")
        + &lines("pass, reason=triplet found", 0..1, 5)
            .replace("sender=a@b", "sender=SRS0=z=W=far.example=u@f");
    fs::write(folder.path().join("log"), text)?;
    for (words, never) in [(&["log"][..], 0), (&["log", "--identity", "postgrey"], 1)] {
        let told = report_json(words, folder.path())?;
        let rows = told["never-came-back"].as_array().map(Vec::len);
        assert_eq!(rows, Some(never), "{words:?}");
    }
    Ok(())
}

/// What became of each recipient by the other configuration, `OUTCOME WAIT` or `same`.
fn what_if(configuration: &str, folder: &Path) -> Result<Vec<String>> {
    fs::write(folder.join("other.toml"), configuration)?;
    let told = report_json(&["--what-if", "other.toml", "log"], folder)?;
    let rows = told["what-if-changes"].as_array().context("a table")?;
    let each = |recipient: &str| {
        let row = rows.iter().find(|row| row["recipient"] == recipient);
        row.map_or("same".to_owned(), |row| {
            let other = row["other"].as_str().unwrap_or_default();
            format!("{other} {}", row["other_wait_s"])
        })
    };
    Ok(["r0@c", "r1@c", "r2@c"].map(each).to_vec())
}

#[test]
fn the_attempts_of_a_log_are_judged_by_another_configuration() -> Result<()> {
    let folder = scratch_folder()?;
    let early = "greylist, reason=early-retry (200s missing)";
    // One comes back too early and then in time, one in time, one never.
    let log = deferrals(0..3)
        + &lines(early, 0..1, 100)
        + &lines("pass, reason=triplet found, delay=301", 0..2, 301);
    fs::write(folder.path().join("log"), log)?;
    let shorter = what_if("greylist.delay = \"60s\"\n", folder.path())?;
    assert_eq!(shorter, ["waited 100", "same", "same"]);
    let longer = what_if("greylist.delay = \"10m\"\n", folder.path())?;
    assert_eq!(longer, ["still waiting null", "still waiting null", "same"]);
    let rules = "[[rule]]\nrecipient = [\"r0@c\"]\nthen = \"exempt\"\n\
                 [[rule]]\nrecipient = [\"r2@c\"]\nthen = \"refuse\"\n";
    let ruled = what_if(
        &format!("greylist.delay = \"300s\"\n{rules}"),
        folder.path(),
    )?;
    assert_eq!(ruled, ["at once null", "same", "refused null"]);
    let told = report_json(&["--what-if", "other.toml", "log"], folder.path())?;
    let figures: Vec<[&Value; 2]> = told["what-if"]
        .as_array()
        .context("a table")?
        .iter()
        .take(3)
        .map(|row| [&row["logged"], &row["other"]])
        .collect();
    // Passed, deferred, refused: as logged, and by the other.
    let expected = [[2, 4], [4, 1], [0, 1]].map(|pair| pair.map(Value::from));
    assert_eq!(
        figures,
        expected.each_ref().map(|[one, other]| [one, other])
    );
    Ok(())
}

#[test]
fn the_daily_mail_that_is_shipped_is_a_mail_with_yesterdays_report() -> Result<()> {
    let folder = scratch_folder()?;
    let yesterday = start()? + 3_600;
    let log = deferrals(0..3).replace("2026-11-24T12", &format!("{}T01", date(yesterday)?));
    fs::write(folder.path().join("log"), log)?;
    let unit = shipped("systemd/greylatch-report.service")?;
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=/bin/sh -c "));
    let script = line.context("no script")?.trim_matches('\'');
    // As systemd reads it, with what sends mail replaced by what shows it.
    let script = script
        .replace("%%", "%")
        .replace("$$", "$")
        .replace("/usr/bin/greylatch", &greylatch_binary()?.to_string_lossy())
        .replace("/usr/sbin/sendmail -t", "cat");
    let output = Command::new("sh")
        .args(["-c", &script])
        .current_dir(folder.path())
        .env("TZ", "UTC")
        .env("REPORT_TO", "root")
        .env("REPORT_LOGS", "log none")
        .output()?;
    let mail = String::from_utf8(output.stdout)?;
    ensure!(
        mail.starts_with("To: root\nSubject: Greylisting report of "),
        "{mail}"
    );
    let (head, body) = mail.split_once("\n\n").context("no body")?;
    ensure!(
        head.contains("\nContent-Type: text/plain; charset=utf-8\n"),
        "{head}"
    );
    ensure!(body.starts_with("Summary\n"), "{body}");
    ensure!(body.contains("r2@c"), "{body}");
    Ok(())
}

/// The day of a time, `YYYY-MM-DD`, by date(1).
fn date(at: i64) -> Result<String> {
    let output = Command::new("date")
        .args(["--utc", "+%F", "--date", &format!("@{at}")])
        .output()?;
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}
