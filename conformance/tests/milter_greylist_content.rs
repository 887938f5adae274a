//! The rules of a `greylist.conf` that look at the message (`dacl`), with the
//! personality `greylatch milter-greylist` at work.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use conformance::{
    Clock, Daemon, EPISODE_START, Endpoint, MilterClient, NameRecord, Offer, Postfix, PostfixSetup,
    Sendmail, SendmailSetup, SmtpClient, free_port, greylatch_binary, scratch_folder,
    start_name_server, wait_for, with_etc, without_syslog,
};
use tempfile::TempDir;

const LOG_MAX: Duration = Duration::from_secs(20);
const CLIENT: &str = "mx.sender.example 192.0.2.9";
const BOTH: [&str; 2] = ["b@example.org", "c@example.org"];
const GO_AWAY: &str = "y551 5.7.1 Go away!\\x00";
const BY_DEFAULT: &str = "Default is to whitelist mail, not delayed by milter-greylist-";

/// Our daemon with a `greylist.conf`, under a clock that the test sets.
struct Scene {
    daemon: Daemon,
    clock: Clock,
    port: u16,
    /// Its files are in use until the daemon has ended.
    _folder: TempDir,
}

impl Scene {
    /// With these rules.
    fn start(rules: &str) -> Result<Self> {
        Self::start_with(rules, None)
    }

    /// With these rules, and files in place of those of `/etc`.
    fn start_with(rules: &str, etc: Option<&Path>) -> Result<Self> {
        let folder = scratch_folder()?;
        let clock = Clock::new(folder.path(), EPISODE_START)?;
        let (file, port) = (folder.path().join("greylist.conf"), free_port()?);
        fs::write(
            &file,
            format!(
                "socket \"inet:{port}@127.0.0.1\"\ndumpfile \"{}\"\ngreylist 60s\n\
                 autowhite 1d\nnospf\n{rules}",
                folder.path().join("greylist.db").display()
            ),
        )?;
        let mut command = Command::new(greylatch_binary()?);
        command.args(["milter-greylist", "-D", "-f"]).arg(&file);
        clock.rule(&mut command)?;
        command = without_syslog(&command);
        if let Some(etc) = etc {
            command = with_etc(etc, &command);
        }
        let daemon = Daemon::start(command, &folder.path().join("stderr"))?;
        let scene = Self {
            daemon,
            clock,
            port,
            _folder: folder,
        };
        MilterClient::wait(&scene.endpoint()).with_context(|| scene.log())?;
        Ok(scene)
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::Inet(([127, 0, 0, 1], self.port).into())
    }

    /// A connection on which a client has been told of.
    fn open(&self, version: u32) -> Result<MilterClient> {
        MilterClient::open(&self.endpoint(), Offer::of_version(version), CLIENT)
    }

    /// What becomes of a message to both recipients at its end; to each of them nothing is said.
    fn ask(&self, headers: &[(&str, &str)], body: &[&str]) -> Result<Vec<String>> {
        let mut filter = self.open(6)?;
        assert_eq!(filter.envelope("a@x.example", &BOTH)?, ["c", "c"]);
        send(&mut filter, headers, body)
    }

    /// A Postfix that asks it, in this version of the protocol.
    fn postfix(&self, version: u32) -> Result<Postfix> {
        Postfix::start(&PostfixSetup {
            recipients: &["ann@example.org"],
            lines: &format!(
                "smtpd_milters = inet:127.0.0.1:{}\nmilter_protocol = {version}\n",
                self.port
            ),
            ..PostfixSetup::default()
        })
    }

    fn log(&self) -> String {
        let text = self.daemon.stderr().unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    fn wait_for_line(&self, line: &str) -> Result<()> {
        wait_for(line, LOG_MAX, || Ok(self.log().contains(line)))
            .with_context(|| format!("the log is {}", self.log()))
    }
}

/// Sends a message's content, the last piece of it with its end.
fn send(filter: &mut MilterClient, headers: &[(&str, &str)], body: &[&str]) -> Result<Vec<String>> {
    for (name, value) in headers {
        filter.ask('L', format!("{name}\0{value}\0").as_bytes())?;
    }
    filter.ask('N', b"")?;
    let (last, pieces) = body.split_last().context("a body")?;
    for piece in pieces {
        filter.ask('B', piece.as_bytes())?;
    }
    filter.ask('E', last.as_bytes())
}

/// Checks that a message gets its header and goes on.
fn ensure_passed(answers: &[String], header: &str) -> Result<()> {
    let [first, last] = answers else {
        anyhow::bail!("{answers:?}");
    };
    let expected = format!("hX-Greylist\\x00{header}");
    ensure!(first.starts_with(&expected) && last == "c", "{answers:?}");
    Ok(())
}

#[test]
fn what_a_message_says_decides() -> Result<()> {
    let scene = Scene::start(
        "extendedregex\nracl whitelist default\n\
         dacl \"head\" blacklist header /^Subject:.*(pills|watches)/ msg \"No %g{\\1}\"\n\
         dacl continue log \"seen %f\"\n\
         dacl \"text\" blacklist body \"secret word\" code \"450\" ecode \"4.7.0\"\n\
         dacl \"size\" blacklist msgsize > 2k\n",
    )?;
    let subject = [("Subject", "hi")];
    ensure_passed(&scene.ask(&subject, &["A line.\r\n", ""])?, BY_DEFAULT)?;
    let answers = scene.ask(&[("From", "x"), ("SUBJECT", "Cheap PILLS")], &["x"])?;
    assert_eq!(answers, ["y551 5.7.1 No PILLS\\x00"]);
    // Only where the headers are.
    ensure_passed(&scene.ask(&subject, &["Subject: pills\r\n"])?, BY_DEFAULT)?;
    let answers = scene.ask(&subject, &["one\r\nthe secret", " word\r\ntwo\r\n"])?;
    assert_eq!(answers, ["y450 4.7.0 Go away!\\x00"]);
    ensure_passed(&scene.ask(&subject, &["secret\r\nword\r\n"])?, BY_DEFAULT)?;
    // "Subject: hi", an empty line, and their ends are 15 bytes.
    let long = "x".repeat(2_048 - 15);
    ensure_passed(&scene.ask(&subject, &[&long, ""])?, BY_DEFAULT)?;
    assert_eq!(scene.ask(&subject, &[&long, "x"])?, [GO_AWAY]);
    scene.wait_for_line("\nseen a@x.example\n")?;
    scene.wait_for_line("from <a@x.example> blacklisted (ACL size)")
}

/// Source: RFC 8463 A.3. What is wrong with it is seen before its key is asked for.
const SIGNED_BUT_FOR_THE_BODY: &str = "v=1; a=ed25519-sha256; c=relaxed/relaxed;\n \
     d=football.example.com; i=@football.example.com;\n q=dns/txt; s=brisbane; t=1528637909; \
     h=from : to :\n subject : date : message-id : from : subject : date;\n \
     bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\n \
     b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\n \
     Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==";

#[test]
fn what_its_signatures_are_worth_decides() -> Result<()> {
    let scene = Scene::start(
        "maxpeek 2k\nracl whitelist default\n\
         dacl blacklist dkim fail msg \"fail\"\n\
         dacl blacklist dkim error msg \"error\"\n\
         dacl blacklist dkim none msg \"none\"\n\
         dacl blacklist not dkim none msg \"known\"\n",
    )?;
    let answer = |text: &str| format!("y551 5.7.1 {text}\\x00");
    let signed = [("DKIM-Signature", SIGNED_BUT_FOR_THE_BODY), ("From", "x")];
    assert_eq!(scene.ask(&signed, &["Hi.\r\n"])?, [answer("fail")]);
    let malformed = [("DKIM-Signature", "v=1"), ("From", "x")];
    assert_eq!(scene.ask(&malformed, &["Hi.\r\n"])?, [answer("none")]);
    let unsigned = [("From", "x")];
    assert_eq!(scene.ask(&unsigned, &["Hi.\r\n"])?, [answer("none")]);
    // Of what is not kept whole nothing is known.
    let long = "x".repeat(2_048);
    ensure_passed(&scene.ask(&unsigned, &[&long, ""])?, BY_DEFAULT)
}

#[test]
fn it_decides_in_every_version_and_on_one_connection() -> Result<()> {
    let scene = Scene::start("racl whitelist default\ndacl blacklist header \"X-Bad: yes\"\n")?;
    for version in [2, 3, 4, 6] {
        let mut filter = scene.open(version)?;
        for (value, passes) in [("no", true), ("yes", false), ("YES", true)] {
            filter.envelope("a@x.example", &BOTH)?;
            let answers = send(&mut filter, &[("X-Bad", value)], &["x"])?;
            match passes {
                true => ensure_passed(&answers, BY_DEFAULT)?,
                false => assert_eq!(answers, [GO_AWAY], "{version}"),
            }
        }
    }
    Ok(())
}

#[test]
fn a_message_may_have_to_wait_for_what_it_says() -> Result<()> {
    let mut scene = Scene::start(
        "racl whitelist from known@x.example\nracl whitelist default\n\
         dacl greylist header /^X-Mailer: bulk/\n",
    )?;
    let bulk = [("X-Mailer", "Bulk 1.0")];
    let wait = |time| format!("y451 4.7.1 Greylisting in action, please come back in {time}\\x00");
    assert_eq!(scene.ask(&bulk, &["x"])?, [wait("00:01:00")]);
    ensure_passed(&scene.ask(&[], &["x"])?, BY_DEFAULT)?;
    scene.clock.set(EPISODE_START + 20)?;
    assert_eq!(scene.ask(&bulk, &["x"])?, [wait("00:00:40")]);
    for recipient in BOTH {
        scene.wait_for_line(&format!(
            "from <a@x.example> to <{recipient}> delayed for 00:00:40 (ACL 8)"
        ))?;
    }
    scene.clock.set(EPISODE_START + 60)?;
    ensure_passed(&scene.ask(&bulk, &["x"])?, "Delayed for 00:01:00 by ")?;
    ensure_passed(&scene.ask(&bulk, &["x"])?, BY_DEFAULT)?;
    scene.wait_for_line("rcpt <b@example.org>: autowhitelisted for another 24:00:00")?;
    // Greylisted only where nothing but the default let the recipients through.
    let mut filter = scene.open(6)?;
    filter.envelope("known@x.example", &BOTH)?;
    let answers = send(&mut filter, &bulk, &["x"])?;
    ensure_passed(&answers, "Sender e-mail whitelisted, not delayed by ")
}

/// Source: the log of milter-greylist 4.6.4 with `verbose`.
#[test]
fn verbose_tells_which_rules_match_and_what_becomes_of_entries() -> Result<()> {
    let rules = "racl continue from a@x.example\nracl greylist rcpt c@example.org delay 1m\n\
                 racl whitelist default\n";
    let told = |verbose: &str| -> Result<Vec<String>> {
        let mut scene = Scene::start(&format!("{verbose}{rules}"))?;
        for at in [0, 60, 61] {
            scene.clock.set(EPISODE_START + at)?;
            let mut filter = scene.open(6)?;
            filter.envelope("a@x.example", &["c@example.org"])?;
            send(&mut filter, &[], &["x"])?;
        }
        scene.wait_for_line("autowhitelisted for another")?;
        let log = scene.log();
        let ours = log.lines().filter(|line| line.contains("c@example.org"));
        Ok(ours.map(str::to_owned).collect())
    };
    let of = "from=<a@x.example>, rcpt=<c@example.org>, addr=mx.sender.example[192.0.2.9]";
    let asked = "(unknown id): addr = mx.sender.example[192.0.2.9], from = <a@x.example>, \
                 rcpt = <c@example.org>";
    let first = format!("Mail {of} is matched by entry racl 7 continue from a@x.example");
    let second =
        format!("Mail {of} is matched by entry racl 8 greylist rcpt c@example.org delay 1m");
    let entry = "192.0.2.9 from <a@x.example> to <c@example.org>";
    let at =
        "(unknown id): addr mx.sender.example[192.0.2.9] from <a@x.example> to <c@example.org>";
    let delayed = format!("{at} delayed for 00:01:00 (ACL 8)");
    let accepted = format!("{at} accepted after 00:01:00 (ACL 8)");
    let known = "(unknown id): addr 192.0.2.9 from <a@x.example> rcpt <c@example.org>: \
                 autowhitelisted for another 24:00:00";
    let created = format!("created:  {entry} delayed for 00:01:00");
    let removed = format!("removed: {entry}");
    let [first, second, created, removed, delayed, accepted] =
        [&first, &second, &created, &removed, &delayed, &accepted].map(String::as_str);
    let expected = [
        [asked, first, second, created, delayed],
        [asked, first, second, removed, accepted],
        [asked, first, second, removed, known],
    ];
    assert_eq!(told("verbose\n")?, expected.concat());
    assert_eq!(told("quiet\n")?, [delayed, accepted, known]);
    Ok(())
}

#[test]
fn a_message_turned_away_at_its_end_is_reported_for_each_recipient() -> Result<()> {
    let reports = scratch_folder()?;
    let path = reports.path().join("stat");
    let scene = Scene::start(&format!(
        "stat \">>{}\" \"%r %S %A %Xc %R\\n\"\nracl whitelist default\n\
         dacl blacklist header \"Subject: spam\"\ndacl greylist header \"Subject: bulk\"\n",
        path.display()
    ))?;
    assert_eq!(scene.ask(&[("Subject", "spam")], &["x"])?, [GO_AWAY]);
    scene.ask(&[("Subject", "bulk")], &["x"])?;
    let expected = "c@example.org reject 8 551 00:00:00\nb@example.org reject 8 551 00:00:00\n\
                    c@example.org tempfail 9 451 00:01:00\nb@example.org tempfail 9 451 00:01:00\n";
    let report = || fs::read_to_string(&path).unwrap_or_default();
    wait_for("the report", LOG_MAX, || Ok(report() == expected)).with_context(report)
}

#[test]
fn the_null_sender_is_deferred_at_the_end_of_its_message_alone() -> Result<()> {
    let mut scene =
        Scene::start("delayedreject\nracl whitelist rcpt w@y.example\nracl greylist default\n")?;
    let later = "y451 4.7.1 Greylisting in action, please come back in 00:01:00\\x00";
    let mut filter = scene.open(6)?;
    assert_eq!(filter.envelope("", &[BOTH[0], "w@y.example"])?, ["c", "c"]);
    assert_eq!(send(&mut filter, &[], &["x"])?, [later]);
    for recipient in [BOTH[0], "w@y.example"] {
        scene.wait_for_line(&format!(
            "from <> to <{recipient}> delayed after DATA phase for 00:01:00 (ACL 8)"
        ))?;
    }
    // The next message has nothing to do with it, and other senders are told at once.
    assert_eq!(filter.envelope("", &["w@y.example"])?, ["c"]);
    let answers = send(&mut filter, &[], &["x"])?;
    ensure_passed(&answers, "Recipient e-mail whitelisted, not delayed by ")?;
    assert_eq!(filter.envelope("a@x.example", &[BOTH[0]])?, [later]);
    scene.clock.set(EPISODE_START + 60)?;
    assert_eq!(filter.envelope("", &[BOTH[0]])?, ["c"]);
    let answers = send(&mut filter, &[], &["x"])?;
    ensure_passed(&answers, "Delayed for 00:01:00 by ")
}

#[test]
fn a_message_is_changed_in_order() -> Result<()> {
    let scene = Scene::start(
        "maxpeek 200\nracl whitelist default addheader \"X-Rcpt: %f to '%r'\"\n\
         dacl whitelist header \"X-Odd: 1\" addheader \"no header\" subjtag \"[odd] \"\n\
         dacl whitelist default addheader \"X-Data: %i\", 1 subjtag \"[%mf] \" \
         addfooter \"-- \\nfrom %f\"\n",
    )?;
    let mut filter = MilterClient::connect(&scene.endpoint())?;
    assert_eq!(filter.negotiate(Offer::of_version(6))?.actions, 0x113);
    let changed = |subject: &str, body: &[&str]| -> Result<Vec<String>> {
        let mut answers = scene.ask(&[("To", "b"), ("Subject", subject)], body)?;
        answers.retain(|answer| !answer.starts_with("hX-Greylist"));
        Ok(answers)
    };
    let [on_top, last] = [
        "i\\x00\\x00\\x00\\x01X-Data\\x00192.0.2.9\\x00",
        "hX-Rcpt\\x00a@x.example to \\'\\'\\x00",
    ];
    let tagged = "m\\x00\\x00\\x00\\x01Subject\\x00[a] hi\\n\\tthere\\x00";
    let footed = "bone\\r\\ntwo\\r\\n-- \\r\\nfrom a@x.example\\r\\n";
    let answers = changed("hi\n\tthere", &["one\r\n", "two"])?;
    assert_eq!(answers, [on_top, footed, tagged, last, "c"]);
    // The tag is there, and the body is longer than what is kept.
    let answers = changed("Re: [a] hi", &[&"x".repeat(200)])?;
    assert_eq!(answers, [on_top, last, "c"]);
    scene.wait_for_line("no addfooter, the message is longer than maxpeek = 200")?;
    let odd = scene.ask(&[("X-Odd", "1"), ("Subject", "hi")], &["x"])?;
    assert_eq!(odd[0], "m\\x00\\x00\\x00\\x01Subject\\x00[odd] hi\\x00");
    assert_eq!(odd.len(), 4, "{odd:?}");
    scene.wait_for_line("bad header \"no header\"")?;
    // What the MTA does not offer is not done.
    let mut filter = MilterClient::open(
        &scene.endpoint(),
        Offer {
            actions: 0x110,
            ..Offer::of_version(6)
        },
        CLIENT,
    )?;
    filter.envelope("a@x.example", &BOTH)?;
    let answers = send(&mut filter, &[("Subject", "hi\n\tthere")], &["x"])?;
    assert_eq!(answers, [tagged, "c"]);
    Ok(())
}

#[test]
fn bytes_are_counted() -> Result<()> {
    let scene = Scene::start(
        "ratelimit \"bytes\" data 100 / 1m\nracl whitelist default\n\
         dacl blacklist ratelimit \"bytes\" msg \"Too much\"\n",
    )?;
    // Without headers a body has an empty line before it.
    let half = "x".repeat(48);
    for _ in 0..2 {
        ensure_passed(&scene.ask(&[], &[&half])?, BY_DEFAULT)?;
    }
    assert_eq!(scene.ask(&[], &["x"])?, ["y551 5.7.1 Too much\\x00"]);
    scene.wait_for_line("ratelimit overflow for class bytes: 103, limit is 100 bytes / 60 sec")
}

#[test]
fn what_no_rule_needs_is_not_asked_for() -> Result<()> {
    let agreed = |rules: &str| -> Result<(u32, u32)> {
        let scene = Scene::start(rules)?;
        let mut filter = MilterClient::connect(&scene.endpoint())?;
        let agreed = filter.negotiate(Offer::of_version(6))?;
        Ok((agreed.actions, agreed.steps))
    };
    assert_eq!(agreed("racl whitelist default\n")?, (0x101, 0x7370));
    let headers = agreed("dacl whitelist default subjtag \"x\"\n")?;
    assert_eq!(headers, (0x111, 0x73D0));
    let body = agreed("dacl blacklist body /x/\n")?;
    assert_eq!(body, (0x101, 0x8_7760));
    let size = agreed("dacl blacklist msgsize > 1M\n")?;
    assert_eq!(size, (0x101, 0x8_73C0));
    let signatures = agreed("dacl blacklist dkim fail\n")?;
    assert_eq!(signatures, (0x101, 0x18_77C0));
    Ok(())
}

#[test]
fn a_real_postfix_does_what_the_rules_say() -> Result<()> {
    let scene = Scene::start(
        "racl whitelist default addheader \"X-Rcpt: any\"\n\
         dacl blacklist body /secret/ msg \"No secrets\"\n\
         dacl whitelist default addheader \"X-Data: %f\", 0 subjtag \"[tag] \" \
         addfooter \"-- \\nus\"\n",
    )?;
    for version in [2, 3, 4, 6] {
        let postfix = scene.postfix(version)?;
        at_a_postfix(&postfix)
            .with_context(|| format!("{version}: {}", postfix.log().unwrap_or_default()))?;
    }
    Ok(())
}

fn at_a_postfix(postfix: &Postfix) -> Result<()> {
    let mut client = SmtpClient::connect(Ipv4Addr::LOCALHOST, postfix.port())?;
    for line in ["MAIL FROM:<a@x.example>", "RCPT TO:<ann@example.org>"] {
        assert_eq!(client.command(line)?.code, 250);
    }
    client.command("DATA")?;
    let end = client.command("Subject: hi\r\n\r\nThis is Secret.\r\n.")?;
    assert_eq!((end.code, &*end.text), (551, "5.7.1 No secrets"));
    let (_, end) = client.deliver("a@x.example", &["ann@example.org"])?;
    assert_eq!(end.context("an end")?.code, 250);
    let mailbox = postfix.mailbox("ann@example.org", 1)?;
    for line in [
        "\nSubject: [tag] greylisting\n",
        "\nX-Data: a@x.example\n",
        "\nX-Rcpt: any\n",
        "\nX-Greylist: Default is to whitelist mail, not delayed by milter-greylist-",
        "\n\nA line.\n-- \nus\n",
    ] {
        ensure!(mailbox.contains(line), "{line:?} is not in {mailbox}");
    }
    Ok(())
}

/// Source: RFC 8463 A.2.
const KEYS: &[(&str, NameRecord)] = &[(
    "brisbane._domainkey.football.example.com",
    NameRecord::Txt("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="),
)];

/// Signed byte for byte with the key of RFC 8463, with a folded header and a line that begins with a
/// dot, which SMTP doubles.
const SIGNED: &str = "DKIM-Signature: v=1; a=ed25519-sha256; s=brisbane; d=football.example.com; \
     c=simple/simple;\r\n\
     \th=Subject:From; t=1795706384; bh=VC+uUbnwloZ6dPxFmJtsBXku0lq7kbIU6LfntU3W66\r\n\
     \tw=; b=0Q32U+veTKwvCqsZDuX7Pt6tN/f0AKNssj3eB/m7iMfzli6sNex1cdEloCfNhDjxYC6aR\r\n\
     \tQ7YX52X3nvX1xiTBA==;\r\n\
     From: a@football.example.com\r\nSubject: folded\r\n\tonce\r\n\r\nHi.\r\n\r\n...\r\n.";

#[test]
fn a_message_comes_from_real_mtas_as_it_was_signed() -> Result<()> {
    let folder = scratch_folder()?;
    let etc = folder.path().join("etc");
    start_name_server([127, 0, 53, 2].into(), KEYS, &etc)?;
    let scene = Scene::start_with(
        "racl whitelist default\n\
         dacl whitelist from plain@x.example subjtag \"[tag] \" addheader \"X-D: %f\", 0\n\
         dacl blacklist dkim pass msg \"pass\"\n\
         dacl blacklist dkim fail msg \"fail\"\n\
         dacl blacklist default msg \"other\"\n",
        Some(&etc),
    )?;
    for version in [2, 3, 4, 6] {
        let postfix = scene.postfix(version)?;
        // In older versions it is not told what stands behind the colons.
        let of_headers = if version == 6 {
            "5.7.1 fail"
        } else {
            "5.7.1 other"
        };
        ensure_seen_as_signed(postfix.port(), of_headers)
            .with_context(|| format!("Postfix in version {version}: {}", scene.log()))?;
        deliver_plain(postfix.port())?;
        ensure_changed(&postfix.mailbox("ann@example.org", 1)?)?;
    }
    let sendmail = Sendmail::start(&SendmailSetup {
        filters: &format!(
            "INPUT_MAIL_FILTER(`greylist', `S=inet:{}@127.0.0.1')dnl\n",
            scene.port
        ),
        ..SendmailSetup::default()
    })?;
    ensure_seen_as_signed(sendmail.port(), "5.7.1 fail")
        .with_context(|| format!("Sendmail: {}", scene.log()))?;
    deliver_plain(sendmail.port())?;
    ensure_changed(&sendmail.mailbox("ann", 1)?)
}

fn deliver_plain(port: u16) -> Result<()> {
    let mut client = SmtpClient::connect(Ipv4Addr::LOCALHOST, port)?;
    let (_, end) = client.deliver("plain@x.example", &["ann@example.org"])?;
    let end = end.context("an end")?;
    ensure!(end.code == 250, "{end:?}");
    Ok(())
}

/// Symptom to be kept away: headers without the space behind their colon, or with two.
fn ensure_changed(mailbox: &str) -> Result<()> {
    for line in [
        "\nSubject: [tag] greylisting\n",
        "\nX-D: plain@x.example\n",
        "\nX-Greylist: Default is to whitelist mail, not delayed by ",
    ] {
        let unfolded = mailbox.replace("\n\t", " ");
        ensure!(unfolded.contains(line), "{line:?} is not in {mailbox}");
    }
    Ok(())
}

/// `of_headers` is what becomes of a message of which a header is another than was signed.
fn ensure_seen_as_signed(port: u16, of_headers: &str) -> Result<()> {
    let another_body = SIGNED.replace("Hi.", "Ho.");
    let another_sender = SIGNED.replace("From: a@", "From: b@");
    for (message, answer) in [
        (SIGNED, "5.7.1 pass"),
        (&another_body, "5.7.1 fail"),
        (&another_sender, of_headers),
    ] {
        let mut client = SmtpClient::connect(Ipv4Addr::LOCALHOST, port)?;
        for line in ["MAIL FROM:<a@x.example>", "RCPT TO:<ann@example.org>"] {
            let reply = client.command(line)?;
            ensure!(reply.code == 250, "{reply:?}");
        }
        client.command("DATA")?;
        let end = client.command(message)?;
        ensure!(
            (end.code, &*end.text) == (551, answer),
            "{end:?}, not {answer}"
        );
    }
    Ok(())
}
