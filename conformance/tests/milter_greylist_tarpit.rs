//! Rules with a `tarpit`: answers that are held back, by the real milter-greylist
//! and by `greylatch milter-greylist`.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use conformance::{
    Endpoint, GreylistHost, MilterClient, Offer, Postfix, PostfixSetup, Sendmail, SendmailSetup,
    SmtpClient, Whose, raise_file_limit, scratch_folder, wait_for,
};

const CLIENT: &str = "192.0.2.9";
const RULES: &str = "nospf\ngreylist 60\nautowhite 1d\n\
                     racl \"t\" whitelist tarpit 2s autowhite 1h\nracl greylist default\n";
const BOTH: [Whose; 2] = [Whose::Real, Whose::Ours];
const DEFERRED: &str = "y451 4.7.1 Greylisting in action, please come back in 00:01:00\\x00";
const HELD: Duration = Duration::from_secs(2);
/// What is answered at once is answered within this.
const AT_ONCE: Duration = Duration::from_millis(1500);
const END_MAX: Duration = Duration::from_secs(20);

fn open(folder: &Path) -> Result<MilterClient> {
    let socket = Endpoint::Unix(folder.join("socket"));
    MilterClient::open(&socket, Offer::of_version(6), CLIENT)
}

/// The answer to one more recipient, and how long it took.
fn recipient(filter: &mut MilterClient, address: &str) -> Result<(String, Duration)> {
    let asked = Instant::now();
    let answers = filter.ask('R', format!("<{address}>\0").as_bytes())?;
    let answer = answers.into_iter().next().context("no answer")?;
    Ok((answer, asked.elapsed()))
}

/// Asks for a recipient, and does not wait for the answer.
fn ask_in_vain(folder: &Path, address: &str) -> Result<MilterClient> {
    let mut filter = open(folder)?;
    filter.envelope("a@x.example", &[])?;
    filter.send('R', format!("<{address}>\0").as_bytes())?;
    sleep(Duration::from_millis(300));
    Ok(filter)
}

fn is_held((answer, took): &(String, Duration)) -> Result<()> {
    ensure!(answer == "c" && *took >= HELD, "{answer} after {took:?}");
    Ok(())
}

fn is_at_once(expected: &str, (answer, took): &(String, Duration)) -> Result<()> {
    ensure!(
        answer == expected && *took < AT_ONCE,
        "{answer} after {took:?}"
    );
    Ok(())
}

#[test]
fn who_sits_it_through_passes_and_is_known_from_then_on() -> Result<()> {
    for whose in BOTH {
        let folder = scratch_folder()?;
        let host = GreylistHost::start(whose, folder.path(), RULES, None)?;
        let mut filter = open(folder.path())?;
        filter.envelope("a@x.example", &[])?;
        is_held(&recipient(&mut filter, "b@y.example")?)?;
        // The connection has been held for so long.
        is_at_once("c", &recipient(&mut filter, "c@y.example")?)?;
        let told = filter.content()?.join(" ");
        ensure!(
            told.contains("Message whitelisted by tarpit 2s, "),
            "{whose:?}: {told}"
        );
        for address in ["b@y.example", "c@y.example"] {
            let mut filter = open(folder.path())?;
            filter.envelope("a@x.example", &[])?;
            is_at_once("c", &recipient(&mut filter, address)?)?;
            let told = filter.content()?.join(" ");
            let known = "X-Greylist\\x00IP, sender and recipient auto-whitelisted, not delayed by ";
            ensure!(told.contains(known), "{whose:?}: {told}");
        }
        host.stop()?;
    }
    Ok(())
}

#[test]
fn who_hangs_up_or_sends_nothing_goes_by_the_next_rule() -> Result<()> {
    for whose in BOTH {
        let folder = scratch_folder()?;
        let host = GreylistHost::start(whose, folder.path(), RULES, None)?;
        drop(ask_in_vain(folder.path(), "b@y.example")?);
        let mut silent = open(folder.path())?;
        silent.envelope("a@x.example", &[])?;
        is_held(&recipient(&mut silent, "c@y.example")?)?;
        silent.send('A', b"")?;
        silent.send('Q', b"")?;
        drop(silent);
        for address in ["b@y.example", "c@y.example"] {
            let mut filter = open(folder.path())?;
            filter.envelope("a@x.example", &[])?;
            is_at_once(DEFERRED, &recipient(&mut filter, address)?)?;
        }
        let mut other = open(folder.path())?;
        other.envelope("b@x.example", &[])?;
        is_held(&recipient(&mut other, "b@y.example")?)?;
        host.stop()?;
    }
    Ok(())
}

#[test]
fn a_single_recipient_is_remembered_as_its_rule_says() -> Result<()> {
    let folder = scratch_folder()?;
    let rules = format!("{RULES}dumpfreq 0\n");
    let host = GreylistHost::start(Whose::Ours, folder.path(), &rules, None)?;
    let mut filter = open(folder.path())?;
    is_c(&filter.envelope("a@x.example", &["b@y.example"])?)?;
    ensure!(host.dumped().is_empty(), "{:?}", host.dumped());
    filter.content()?;
    host.wait_for_row("192.0.2.9\t<a@x.example>\t<b@y.example>\t")?;
    let rows = host.dumped();
    ensure!(rows.iter().all(|row| row.ends_with(" AUTO")), "{rows:?}");
    host.stop()?;
    Ok(())
}

fn is_c(answers: &[String]) -> Result<()> {
    ensure!(answers == ["c"], "{answers:?}");
    Ok(())
}

#[test]
fn ask_tells_of_who_sits_it_through() -> Result<()> {
    let folder = scratch_folder()?;
    let host = GreylistHost::start(Whose::Ours, folder.path(), RULES, None)?;
    let ask = || -> Result<String> {
        let told = host.tool("ask", &[CLIENT, "a@x.example", "b@y.example"])?;
        Ok(String::from_utf8_lossy(&told.stdout).into_owned())
    };
    let told = ask()?;
    ensure!(told.starts_with("passes: rule\n"), "{told}");
    ensure!(told.contains("whitelist tarpit 2s"), "{told}");
    drop(ask_in_vain(folder.path(), "b@y.example")?);
    let told = ask()?;
    ensure!(told.starts_with("is deferred: new\n"), "{told}");
    host.stop()?;
    Ok(())
}

#[test]
fn with_the_scope_of_a_command_each_recipient_is_held() -> Result<()> {
    let folder = scratch_folder()?;
    let rules = format!("tarpit_scope command\n{RULES}");
    let host = GreylistHost::start(Whose::Ours, folder.path(), &rules, None)?;
    let mut filter = open(folder.path())?;
    filter.envelope("a@x.example", &[])?;
    for address in ["b@y.example", "c@y.example"] {
        is_held(&recipient(&mut filter, address)?)?;
    }
    host.stop()?;
    Ok(())
}

#[test]
fn hanging_up_ends_the_wait_and_one_too_long_is_not_begun() -> Result<()> {
    let folder = scratch_folder()?;
    let rules = "nospf\ngreylist 60\nracl whitelist rcpt b@y.example tarpit 4m\n\
                 racl whitelist tarpit 301s\n";
    let host = GreylistHost::start(Whose::Ours, folder.path(), rules, None)?;
    let connections = || -> Result<String> {
        let told = host.tool("status", &[])?;
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        let line = text.lines().find(|line| line.contains("onnections"));
        Ok(line.context(text.clone())?.to_owned())
    };
    let before = connections()?;
    let waiting = ask_in_vain(folder.path(), "b@y.example")?;
    let meanwhile = connections()?;
    ensure!(before != meanwhile, "{before}, {meanwhile}");
    drop(waiting);
    wait_for("the end of the wait", END_MAX, || {
        Ok(connections()? == before)
    })?;
    let mut filter = open(folder.path())?;
    filter.envelope("a@x.example", &[])?;
    is_at_once(DEFERRED, &recipient(&mut filter, "c@y.example")?)?;
    host.stop()?;
    Ok(())
}

/// Two messages from one sender by way of an MTA: the first is held, the second is known.
fn ensure_held_at(port: u16) -> Result<()> {
    for (is_first, least) in [(true, HELD), (false, Duration::ZERO)] {
        let mut client = SmtpClient::connect(Ipv4Addr::new(127, 0, 0, 2), port)?;
        let asked = Instant::now();
        let (replies, end) = client.deliver("a@x.example", &["ann@example.org"])?;
        let took = asked.elapsed();
        let codes: Vec<u16> = replies.iter().chain(&end).map(|reply| reply.code).collect();
        ensure!(codes == [250, 250], "{replies:?} {end:?}");
        ensure!(
            took >= least && (is_first || took < AT_ONCE),
            "{is_first}: {took:?}"
        );
    }
    Ok(())
}

fn ensure_told(mailbox: &str) -> Result<()> {
    for reason in [
        "\nX-Greylist: Message whitelisted by tarpit 2s, not delayed by ",
        "\nX-Greylist: IP, sender and recipient auto-whitelisted, not delayed by ",
    ] {
        let folded = mailbox.replace("\n\t", " ");
        ensure!(folded.contains(reason), "{reason:?} is not in {mailbox}");
    }
    Ok(())
}

#[test]
fn real_mtas_wait_for_the_answer_and_hand_the_message_on() -> Result<()> {
    for is_postfix in [true, false] {
        let folder = scratch_folder()?;
        // So that the MTA's own user reaches the socket.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let socket = folder.path().join("socket");
        let rules = format!("{RULES}socket \"{}\" 666\n", socket.display());
        let host = GreylistHost::start(Whose::Ours, folder.path(), &rules, None)?;
        if is_postfix {
            let postfix = Postfix::start(&PostfixSetup {
                recipients: &["ann@example.org"],
                lines: &format!("smtpd_milters = unix:{}\n", socket.display()),
                ..PostfixSetup::default()
            })?;
            ensure_held_at(postfix.port()).with_context(|| postfix.log().unwrap_or_default())?;
            ensure_told(&postfix.mailbox("ann@example.org", 2)?)?;
        } else {
            let sendmail = Sendmail::start(&SendmailSetup {
                filters: &format!(
                    "INPUT_MAIL_FILTER(`greylist', `S=local:{}')dnl\n",
                    socket.display()
                ),
                ..SendmailSetup::default()
            })?;
            ensure_held_at(sendmail.port())?;
            ensure_told(&sendmail.mailbox("ann", 2)?)?;
        }
        host.stop()?;
    }
    Ok(())
}

/// As many as are held at once (docs/limits.md).
const HOLDS_MAX: usize = 1_024;
/// A connection is one, and the process has some of its own.
const FILES: u64 = 2_048;

#[test]
fn when_many_are_held_the_next_goes_by_greylisting_at_once() -> Result<()> {
    let folder = scratch_folder()?;
    let rules = "nospf\ngreylist 60\nracl whitelist tarpit 4m\n";
    let host = GreylistHost::start(Whose::Ours, folder.path(), rules, None)?;
    raise_file_limit(FILES)?;
    let mut held = Vec::with_capacity(HOLDS_MAX);
    for number in 0..HOLDS_MAX {
        let mut filter = open(folder.path())?;
        filter.envelope("a@x.example", &[])?;
        filter.send('R', format!("<r{number}@y.example>\0").as_bytes())?;
        held.push(filter);
    }
    let one_more = |address: &str| -> Result<(String, Duration)> {
        let mut filter = open(folder.path())?;
        filter.envelope("a@x.example", &[])?;
        filter.send('R', format!("<{address}>\0").as_bytes())?;
        let asked = Instant::now();
        Ok((
            filter.hear_within(AT_ONCE)?.unwrap_or_default(),
            asked.elapsed(),
        ))
    };
    wait_for("the last answer to be held", END_MAX, || {
        Ok(one_more("next@y.example")?.0 == DEFERRED)
    })?;
    // Whoever has gone leaves room.
    drop(held);
    wait_for("room", END_MAX, || {
        Ok(one_more("later@y.example")?.0.is_empty())
    })?;
    host.stop()?;
    Ok(())
}
