//! The dump file under the name of milter-greylist: read at the start, written
//! as `dumpfreq` says and at the end, and read by the real one on the way back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Result, ensure};
use conformance::{Clock, EPISODE_START, GreylistHost, Whose, scratch_folder, wait_for};

const NOW: i64 = EPISODE_START;
const CLIENT: &str = "192.0.2.10";
const RULES: &str = "greylist 30m\nautowhite 1d\nracl greylist default\n";

fn ours(folder: &Path, conf: &str, clock: &Clock) -> Result<GreylistHost> {
    GreylistHost::start(Whose::Ours, folder, &format!("{conf}{RULES}"), Some(clock))
}

fn reply(wait: &str) -> String {
    format!("y451 4.7.1 Greylisting in action, please come back in {wait}\\x00")
}

fn row(sender: &str, rest: &str) -> String {
    format!("{CLIENT}\t<{sender}>\t<b@y.net>\t{rest}")
}

fn lines(rows: &[String]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

#[test]
fn what_the_file_says_counts_from_the_start_and_stands_in_it_at_the_end() -> Result<()> {
    let folder = scratch_folder()?;
    let clock = Clock::new(folder.path(), NOW)?;
    let dump = folder.path().join("greylist.db");
    let before = [
        "# a comment".to_owned(),
        row("auto@x.org", &format!("{} AUTO # 2026-11-24", NOW + 600)),
        row("due@x.org", &NOW.to_string()),
        row("early@x.org", &(NOW + 600).to_string()),
        row("over@x.org", &format!("{} AUTO", NOW - 1)),
        row("tarpit@x.org", &format!("{}\t0 TARPIT", NOW + 600)),
        "nonsense".to_owned(),
        // Of the same triplet in several spellings the best counts.
        format!("{CLIENT} twice@x.org b@y.net {}", NOW + 900),
        row("Twice@X.org", &format!("{} AUTO", NOW + 700)),
        row("twice@x.org", &format!("{} AUTO", NOW + 800)),
    ];
    fs::write(&dump, lines(&before))?;
    let host = ours(folder.path(), "", &clock)?;
    for (sender, expected) in [
        ("auto@x.org", "c".to_owned()),
        ("due@x.org", "c".to_owned()),
        ("early@x.org", reply("00:10:00")),
        ("over@x.org", reply("00:30:00")),
        ("tarpit@x.org", reply("00:30:00")),
    ] {
        assert_eq!(host.ask(CLIENT, sender, "b@y.net")?, expected, "{sender}");
    }
    let log = host.stop()?;
    ensure!(log.contains("line 7: 1 columns"), "{log}");
    ensure!(log.ends_with("Final database dump\n"), "{log}");
    let rows = fs::read_to_string(&dump)?;
    let day = NOW + 86_400;
    for expected in [
        row("auto@x.org", &format!("{day} AUTO # 2026-11-25 12:00:00\n")),
        row("due@x.org", &format!("{day} AUTO # 2026-11-25 12:00:00\n")),
        row(
            "early@x.org",
            &format!("{} # 2026-11-24 12:10:00\n", NOW + 600),
        ),
        row(
            "over@x.org",
            &format!("{} # 2026-11-24 12:30:00\n", NOW + 1800),
        ),
        row(
            "tarpit@x.org",
            &format!("{} # 2026-11-24 12:30:00\n", NOW + 1800),
        ),
        row(
            "twice@x.org",
            &format!("{} AUTO # 2026-11-24 12:13:20\n", NOW + 800),
        ),
        "# Summary: 6 records, 3 greylisted, 3 whitelisted, 0 tarpitted\n".to_owned(),
    ] {
        ensure!(rows.contains(&expected), "{expected} is not in {rows}");
    }
    Ok(())
}

#[test]
fn dumpfreq_says_when_the_file_is_written() -> Result<()> {
    for (freq, while_it_runs) in [("0", true), ("1", true), ("1h", false), ("-1", false)] {
        let folder = scratch_folder()?;
        let clock = Clock::new(folder.path(), NOW)?;
        let host = ours(folder.path(), &format!("dumpfreq {freq}\n"), &clock)?;
        let new = row("a@x.org", &(NOW + 1800).to_string());
        assert_eq!(host.ask(CLIENT, "a@x.org", "b@y.net")?, reply("00:30:00"));
        if while_it_runs {
            host.wait_for_row(&new)?;
        }
        assert_eq!(host.dumped().is_empty(), !while_it_runs, "{freq}");
        let log = host.stop()?;
        let last = if while_it_runs {
            "Final database dump: no change to dump\n"
        } else {
            "Final database dump\n"
        };
        ensure!(log.ends_with(last), "{freq}: {log}");
        let rows = fs::read_to_string(folder.path().join("greylist.db"))?;
        ensure!(rows.contains(&new), "{freq}: {rows}");
    }
    Ok(())
}

#[test]
fn without_a_file_it_starts_empty_and_writes_none_without_need() -> Result<()> {
    let folder = scratch_folder()?;
    let clock = Clock::new(folder.path(), NOW)?;
    let dump = folder.path().join("greylist.db");
    let host = ours(folder.path(), "", &clock)?;
    host.wait_for_log("starting with an empty greylist")?;
    let log = host.stop()?;
    let missing = format!("cannot read dumpfile \"{}\"\n", dump.display());
    ensure!(log.contains(&missing), "{log}");
    ensure!(
        log.ends_with("Final database dump: no change to dump\n"),
        "{log}"
    );
    ensure!(!dump.exists());
    Ok(())
}

#[test]
fn the_statement_names_the_mode_and_dates_may_be_left_out() -> Result<()> {
    for (conf, mode, ending) in [
        ("", 0o600, " # 2026-11-24 12:30:00"),
        (
            "dumpfile \"DIR/greylist.db\" 640\n",
            0o640,
            " # 2026-11-24 12:30:00",
        ),
        ("dump_no_time_translation\n", 0o600, " "),
    ] {
        let folder = scratch_folder()?;
        let clock = Clock::new(folder.path(), NOW)?;
        let conf = conf.replace("DIR", &folder.path().to_string_lossy());
        let host = ours(folder.path(), &conf, &clock)?;
        host.ask(CLIENT, "a@x.org", "b@y.net")?;
        host.stop()?;
        let dump = folder.path().join("greylist.db");
        assert_eq!(fs::metadata(&dump)?.permissions().mode() & 0o777, mode);
        let text = fs::read_to_string(&dump)?;
        let line = row("a@x.org", &format!("{}{ending}\n", NOW + 1800));
        ensure!(text.contains(&line), "{text}");
    }
    Ok(())
}

#[test]
fn only_a_file_that_another_wrote_is_read_again() -> Result<()> {
    let folder = scratch_folder()?;
    let clock = Clock::new(folder.path(), NOW)?;
    let dump = folder.path().join("greylist.db");
    let host = ours(folder.path(), "", &clock)?;
    assert_eq!(host.ask(CLIENT, "a@x.org", "b@y.net")?, reply("00:30:00"));
    host.stop()?;

    // What it wrote itself is remembered, and not read.
    let host = ours(folder.path(), "", &clock)?;
    assert_eq!(host.ask(CLIENT, "a@x.org", "b@y.net")?, reply("00:30:00"));
    let log = host.stop()?;
    ensure!(!log.contains("1 wait"), "{log}");

    // Another wrote it meanwhile: its rows come to what is remembered.
    fs::write(
        &dump,
        lines(&[row("new@x.org", &format!("{} AUTO", NOW + 9))]),
    )?;
    let host = ours(folder.path(), "", &clock)?;
    assert_eq!(host.ask(CLIENT, "new@x.org", "b@y.net")?, "c");
    assert_eq!(host.ask(CLIENT, "a@x.org", "b@y.net")?, reply("00:30:00"));
    host.stop()?;
    let text = fs::read_to_string(&dump)?;
    ensure!(
        text.contains("<a@x.org>") && text.contains("<new@x.org>"),
        "{text}"
    );

    // Without our store, what it wrote itself is read.
    fs::remove_dir_all(folder.path().join("greylatch"))?;
    let host = ours(folder.path(), "", &clock)?;
    assert_eq!(host.ask(CLIENT, "new@x.org", "b@y.net")?, "c");
    host.stop()?;
    Ok(())
}

#[test]
fn a_file_that_cannot_be_written_stays_as_it_was() -> Result<()> {
    let folder = scratch_folder()?;
    let clock = Clock::new(folder.path(), NOW)?;
    let dump = folder.path().join("greylist.db");
    let old = lines(&[row("old@x.org", &format!("{} AUTO", NOW + 9))]);
    fs::write(&dump, &old)?;
    let obstacle = folder.path().join("greylist.db-new");
    fs::create_dir_all(obstacle.join("in the way"))?;
    let host = ours(folder.path(), "dumpfreq 0\n", &clock)?;
    host.ask(CLIENT, "a@x.org", "b@y.net")?;
    host.wait_for_log("the dump file stays as it was: cannot write")?;
    assert_eq!(fs::read_to_string(&dump)?, old);
    fs::remove_dir_all(&obstacle)?;
    host.ask(CLIENT, "b@x.org", "b@y.net")?;
    wait_for("the dump", std::time::Duration::from_secs(20), || {
        Ok(host.dumped().len() == 3)
    })?;
    host.stop()?;
    Ok(())
}

#[test]
fn clients_are_known_by_their_network_and_stand_by_its_address() -> Result<()> {
    let folder = scratch_folder()?;
    let clock = Clock::new(folder.path(), NOW)?;
    let dump = folder.path().join("greylist.db");
    fs::write(
        &dump,
        lines(&[row("a@x.org", &format!("{} AUTO", NOW + 9))]),
    )?;
    let host = ours(folder.path(), "subnetmatch /24\n", &clock)?;
    assert_eq!(host.ask("192.0.2.99", "a@x.org", "b@y.net")?, "c");
    host.stop()?;
    let text = fs::read_to_string(&dump)?;
    let expected = format!("\n192.0.2.0\t<a@x.org>\t<b@y.net>\t{} AUTO", NOW + 86_400);
    ensure!(text.contains(&expected), "{text}");
    Ok(())
}

#[test]
fn with_lazyaw_a_client_that_has_passed_according_to_the_file_passes_with_anything() -> Result<()> {
    let folder = scratch_folder()?;
    let clock = Clock::new(folder.path(), NOW)?;
    let dump = folder.path().join("greylist.db");
    fs::write(
        &dump,
        lines(&[row("a@x.org", &format!("{} AUTO", NOW + 9))]),
    )?;
    let host = ours(folder.path(), "lazyaw\n", &clock)?;
    assert_eq!(host.ask(CLIENT, "other@x.org", "c@y.net")?, "c");
    assert_eq!(
        host.ask("192.0.2.11", "a@x.org", "b@y.net")?,
        reply("00:30:00")
    );
    host.stop()?;
    Ok(())
}

#[test]
fn the_real_one_takes_over_from_ours_and_ours_from_it() -> Result<()> {
    let folder = scratch_folder()?;
    let mut clock = Clock::new(folder.path(), NOW)?;
    let host = ours(folder.path(), "", &clock)?;
    for sender in ["a@x.org", "b@x.org"] {
        assert_eq!(host.ask(CLIENT, sender, "b@y.net")?, reply("00:30:00"));
    }
    clock.set(NOW + 1800)?;
    assert_eq!(host.ask(CLIENT, "a@x.org", "b@y.net")?, "c");
    host.stop()?;

    clock.set(NOW + 1000)?;
    let real = GreylistHost::start(Whose::Real, folder.path(), RULES, Some(&clock))?;
    assert_eq!(real.ask(CLIENT, "a@x.org", "b@y.net")?, "c");
    assert_eq!(real.ask(CLIENT, "b@x.org", "b@y.net")?, reply("00:13:20"));
    assert_eq!(real.ask(CLIENT, "c@x.org", "b@y.net")?, reply("00:30:00"));
    clock.set(NOW + 1800)?;
    assert_eq!(real.ask(CLIENT, "b@x.org", "b@y.net")?, "c");
    real.stop()?;

    clock.set(NOW + 2000)?;
    let host = ours(folder.path(), "", &clock)?;
    assert_eq!(host.ask(CLIENT, "a@x.org", "b@y.net")?, "c");
    assert_eq!(host.ask(CLIENT, "b@x.org", "b@y.net")?, "c");
    assert_eq!(host.ask(CLIENT, "c@x.org", "b@y.net")?, reply("00:13:20"));
    host.stop()?;
    Ok(())
}
