//! What ends the real milter-greylist 4.6.4, or lets a client end it: `greylatch milter-greylist` goes on.
//!
//! Source: each was seen to end the original by running it, but for want of files, which its README names.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use conformance::{GreylistHost, Whose, scratch_folder, wait_for};

const CLIENT: &str = "mx.sender.example 192.0.2.9";
const PATIENCE: Duration = Duration::from_secs(20);

fn start(folder: &Path, rules: &str) -> Result<GreylistHost> {
    GreylistHost::start(Whose::Ours, folder, &format!("nospf\n{rules}"), None)
}

/// The text of a `log` clause is a format of printf(3) there.
#[test]
fn percent_signs_of_a_client_in_a_log_clause_are_text() -> Result<()> {
    let folder = scratch_folder()?;
    let host = start(
        folder.path(),
        "racl continue log \"got %f %h %r\"\nracl blacklist default msg \"%f\"\n",
    )?;
    let hostile = "a%s%s%s%n%n@x";
    let said = host.ask(CLIENT, hostile, "b%n%s@y.example")?;
    // An MTA reads a doubled one as one.
    assert_eq!(said, "y551 5.7.1 a%%s%%s%%s%%n%%n@x\\x00");
    host.wait_for_log(&format!("got {hostile} client.example b%n%s@y.example\n"))?;
    host.stop()?;
    Ok(())
}

/// There, the length of a slot is zero seconds.
#[test]
fn a_rate_within_less_than_ten_seconds_is_counted() -> Result<()> {
    let folder = scratch_folder()?;
    let host = start(
        folder.path(),
        "ratelimit \"r\" rcpt 1 / 9s\nracl blacklist ratelimit \"r\"\nracl whitelist default\n",
    )?;
    let said: Vec<String> = (0..2)
        .map(|_| host.ask(CLIENT, "a@x.example", "b@y.example"))
        .collect::<Result<_>>()?;
    assert_eq!(said, ["c", "y551 5.7.1 Go away!\\x00"]);
    host.stop()?;
    Ok(())
}

#[test]
fn a_property_that_is_gone_or_never_matched_has_no_name() -> Result<()> {
    let folder = scratch_folder()?;
    let host = start(
        folder.path(),
        "racl continue rset $p = \"%r\"\nracl whitelist rcpt b@y.example $p \"b@y.example\"\n\
         racl blacklist default msg \"[%pn %pv %pr]\"\n",
    )?;
    let mut filter = host.open(CLIENT)?;
    let said = filter.envelope("a@x.example", &["b@y.example", "c@y.example"])?;
    assert_eq!(said, ["c", "y551 5.7.1 [  ]\\x00"]);
    host.stop()?;
    Ok(())
}

#[test]
fn a_list_of_countries_without_a_database_matches_nobody() -> Result<()> {
    let folder = scratch_folder()?;
    let host = start(
        folder.path(),
        "list \"there\" geoip { \"FR\" \"ZZ\" }\nracl blacklist list \"there\"\n\
         racl blacklist not list \"there\"\nracl whitelist default\n",
    )?;
    assert_eq!(host.ask(CLIENT, "a@x.example", "b@y.example")?, "c");
    host.stop()?;
    Ok(())
}

/// There, the next message ends it with status 65.
#[test]
fn a_mistake_in_an_edited_file_keeps_the_rules_and_is_told() -> Result<()> {
    let folder = scratch_folder()?;
    let host = start(folder.path(), "racl whitelist default\n")?;
    let path = folder.path().join("greylist.conf");
    let good = fs::read_to_string(&path)?;
    let asked = |expected: &str| {
        let what = format!("the answer {expected}");
        wait_for(&what, PATIENCE, || {
            Ok(host.ask(CLIENT, "a@x.example", "b@y.example")? == expected)
        })
        .with_context(|| host.log().unwrap_or_default())
    };
    asked("c")?;
    fs::write(
        &path,
        good.replace("whitelist default", "blacklist defualt"),
    )?;
    let place = format!("{}:5:", path.display());
    wait_for("the mistake to be told", PATIENCE, || {
        ensure!(host.ask(CLIENT, "a@x.example", "b@y.example")? == "c");
        Ok(host.log()?.contains(&place))
    })
    .with_context(|| host.log().unwrap_or_default())?;
    fs::write(&path, good.replace("whitelist", "blacklist"))?;
    asked("y551 5.7.1 Go away!\\x00")?;
    host.stop()?;
    Ok(())
}

/// There, it ends.
#[test]
fn a_hang_up_signal_reads_the_file_again() -> Result<()> {
    let folder = scratch_folder()?;
    let host = start(folder.path(), "racl whitelist default\n")?;
    // Whoever is answered by it has it running.
    assert_eq!(host.ask(CLIENT, "a@x.example", "b@y.example")?, "c");
    host.hang_up()?;
    host.wait_for_log("reading lists and rules again")?;
    assert_eq!(host.ask(CLIENT, "a@x.example", "b@y.example")?, "c");
    host.stop()?;
    Ok(())
}

/// There, it ends. Here who is connected is served, and who waited to be let in is when one leaves.
#[test]
fn want_of_files_keeps_newcomers_waiting() -> Result<()> {
    let folder = scratch_folder()?;
    let host = start(
        folder.path(),
        "racl whitelist from a@x.example\nracl greylist default delay 1h\n",
    )?;
    let mut early = host.open(CLIENT)?;
    host.limit_files(FILES_MAX)?;
    let crowd: Vec<UnixStream> = (0..FILES_MAX)
        .map(|_| UnixStream::connect(folder.path().join("socket")))
        .collect::<io::Result<_>>()?;
    host.wait_for_log("cannot accept a connection")?;
    assert_eq!(early.envelope("a@x.example", &["b@y.example"])?, ["c"]);
    let [deferred] = &*early.envelope("c@x.example", &["b@y.example"])? else {
        bail!("no answer");
    };
    assert!(deferred.starts_with("y451 "), "{deferred}");
    drop(crowd);
    assert_eq!(host.ask(CLIENT, "a@x.example", "b@y.example")?, "c");
    host.stop()?;
    Ok(())
}

/// More than a daemon without visitors has open.
const FILES_MAX: u32 = 64;
