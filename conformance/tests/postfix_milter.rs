//! The main job with a real Postfix as milter client, in every version of the
//! protocol that it speaks, also beside the policy service of the same daemon.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use conformance::{
    MilterServer, Newcomer, Postfix, PostfixSetup, SmtpClient, SmtpReply, deferred, free_port,
    headers, manual_block,
};

const THREE: [&str; 3] = ["ann@example.org", "bob@example.org", "cid@example.org"];
const NEWCOMER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const HONEST: Ipv4Addr = Ipv4Addr::new(127, 0, 2, 2);
const LIAR: Ipv4Addr = Ipv4Addr::new(127, 0, 3, 3);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 4, 4);
/// The name that is exempt leads back to the first address alone.
const HOSTS: &str = "127.0.2.2 mx.friend.example\n127.0.3.3 mx.friend.example\n";
/// The versions that Postfix 3.7 can be told to speak.
/// Source: postconf(5), `milter_protocol`.
const VERSIONS: [u32; 4] = [2, 3, 4, 6];

fn start() -> Result<MilterServer> {
    start_with("")
}

/// With lines of the table `[greylist]`.
fn start_with(greylist: &str) -> Result<MilterServer> {
    MilterServer::start("", greylist)
}

/// A Postfix with our milter, and more lines of `main.cf`.
fn postfix_before(ours: &MilterServer, lines: &str) -> Result<Postfix> {
    let lines = format!("smtpd_milters = inet:127.0.0.1:{}\n{lines}", ours.port);
    start_postfix(&PostfixSetup {
        lines: &lines,
        ..PostfixSetup::default()
    })
}

/// What Postfix asks by the policy protocol.
fn policy_of(ours: &MilterServer) -> String {
    format!("unix:{}/policy", ours.folder.path().display())
}

fn start_postfix(setup: &PostfixSetup) -> Result<Postfix> {
    Postfix::start(&PostfixSetup {
        policy: setup.policy,
        recipients: &THREE,
        primary: None,
        lines: setup.lines,
        hosts: setup.hosts,
    })
}

fn taken() -> SmtpReply {
    SmtpReply {
        code: 250,
        text: "2.1.5 Ok".into(),
    }
}

/// The answer to an attempt to reach the first recipient from there.
fn attempt_from(from: Ipv4Addr, postfix: &Postfix) -> Result<SmtpReply> {
    let mut client = SmtpClient::connect(from, postfix.port())?;
    let (replies, _) = client.deliver("new@x.example", &THREE[..1])?;
    replies.into_iter().next().context("one reply")
}

#[test]
fn a_newcomer_waits_and_passes_with_one_header_in_every_version() -> Result<()> {
    let mut scene = start()?;
    for version in VERSIONS {
        let postfix = postfix_before(&scene, &format!("milter_protocol = {version}\n"))?;
        newcomer(
            &mut scene,
            &postfix,
            &format!("new{version}@sender.example"),
        )
        .with_context(|| {
            format!(
                "version {version}, log {}",
                postfix.log().unwrap_or_default()
            )
        })?;
    }
    Ok(())
}

#[test]
fn a_newcomer_waits_at_a_unix_socket_as_well() -> Result<()> {
    let mut scene = start()?;
    let socket = scene.folder.path().join("milter");
    let postfix = postfix_before(
        &scene,
        &format!("smtpd_milters = unix:{}\n", socket.display()),
    )?;
    newcomer(&mut scene, &postfix, "new@sender.example")
}

/// A newcomer waits and passes, also with several messages on one connection.
fn newcomer(scene: &mut MilterServer, postfix: &Postfix, sender: &str) -> Result<()> {
    let newcomer = Newcomer {
        sender,
        recipients: &THREE,
        deferred,
        taken: |_| taken(),
    };
    let mut client = SmtpClient::connect(NEWCOMER, postfix.port())?;
    newcomer.waits_and_passes(&mut client, &mut scene.clock, |recipient, count| {
        postfix.mailbox(recipient, count)
    })
}

#[test]
fn of_several_recipients_only_those_in_time_get_the_message() -> Result<()> {
    let mut scene = start()?;
    let postfix = postfix_before(&scene, "")?;
    let start = scene.clock.now();
    let mut client = SmtpClient::connect(NEWCOMER, postfix.port())?;
    client.deliver("new@sender.example", &THREE[..1])?;
    client.deliver("", &THREE[1..2])?;
    scene.clock.set(start + 90)?;
    let (replies, _) = client.deliver("new@sender.example", &THREE)?;
    assert_eq!(replies, [taken(), deferred(60), deferred(60)]);
    let (replies, _) = client.deliver("", &THREE)?;
    assert_eq!(replies, [deferred(60), taken(), deferred(60)]);
    for recipient in &THREE[..2] {
        let mailbox = postfix.mailbox(recipient, 1)?;
        let [header] = headers(&mailbox, "X-Greylist")[..] else {
            anyhow::bail!("{mailbox}");
        };
        ensure!(header.contains("delayed 90 seconds"), "{header}");
    }
    Ok(())
}

#[test]
fn who_logs_in_does_not_wait() -> Result<()> {
    let scene = start()?;
    let postfix = postfix_before(&scene, "smtpd_authorized_xclient_hosts = 127.0.0.0/8\n")?;
    for (login, expected) in [("[UNAVAILABLE]", deferred(60)), ("ann", taken())] {
        let mut client = SmtpClient::connect(OTHER, postfix.port())?;
        let greeting = client.command(&format!("XCLIENT ADDR=192.0.2.7 LOGIN={login}"))?;
        assert_eq!(greeting.code, 220, "{greeting:?}");
        assert_eq!(client.command("EHLO client.example")?.code, 250);
        let (replies, _) = client.deliver("new@x.example", &THREE[..1])?;
        assert_eq!(replies, [expected]);
    }
    assert_eq!(scene.server.verdicts("authenticated")?, 1);
    Ok(())
}

#[test]
fn a_name_that_does_not_resolve_back_matches_no_rule() -> Result<()> {
    let scene = start()?;
    let postfix = start_postfix(&PostfixSetup {
        lines: &format!("smtpd_milters = inet:127.0.0.1:{}\n", scene.port),
        hosts: HOSTS,
        ..PostfixSetup::default()
    })?;
    assert_eq!(attempt_from(HONEST, &postfix)?, taken());
    assert_eq!(attempt_from(LIAR, &postfix)?, deferred(60));
    assert_eq!(attempt_from(OTHER, &postfix)?, deferred(60));
    assert_eq!(scene.server.verdicts("rule")?, 1);
    scene
        .server
        .wait_for_log("client=127.0.3.3 net=127.0.3.0/24 name=unknown")
}

#[test]
fn a_client_that_hangs_up_midway_leaves_no_trace() -> Result<()> {
    let mut scene = start()?;
    let postfix = postfix_before(&scene, "")?;
    let start = scene.clock.now();
    assert_eq!(attempt_from(NEWCOMER, &postfix)?, deferred(60));
    scene.clock.set(start + 60)?;
    let mut client = SmtpClient::connect(NEWCOMER, postfix.port())?;
    for line in ["MAIL FROM:<new@x.example>", "RCPT TO:<ann@example.org>"] {
        assert_eq!(client.command(line)?.code, 250);
    }
    assert_eq!(client.command("DATA")?.code, 354);
    client.send("Subject: half\r\n\r\nIt ends in the mid")?;
    drop(client);
    let mut client = SmtpClient::connect(NEWCOMER, postfix.port())?;
    assert_eq!(client.command("MAIL FROM:<new@x.example>")?.code, 250);
    drop(client);
    assert_eq!(attempt_from(NEWCOMER, &postfix)?, taken());
    let mailbox = postfix.mailbox(THREE[0], 1)?;
    assert!(!mailbox.contains("Subject: half"), "{mailbox}");
    Ok(())
}

#[test]
fn mail_goes_on_as_configured_while_the_daemon_is_away() -> Result<()> {
    let scene = start()?;
    let postfix = postfix_before(&scene, "milter_default_action = accept\n")?;
    let mut open = SmtpClient::connect(NEWCOMER, postfix.port())?;
    let (replies, _) = open.deliver("new@x.example", &THREE[..1])?;
    assert_eq!(replies, [deferred(60)]);
    ensure!(scene.server.stop()?.success());
    let (replies, end) = open.deliver("new@x.example", &THREE[..1])?;
    assert_eq!(replies, [taken()]);
    assert_eq!(end.context("a message")?.code, 250);
    assert_eq!(attempt_from(OTHER, &postfix)?, taken());
    postfix.mailbox(THREE[0], 2)?;
    Ok(())
}

#[test]
fn mail_goes_on_when_the_daemon_hangs_and_waits_again_when_it_does_not() -> Result<()> {
    let mut scene = start()?;
    let postfix = postfix_before(
        &scene,
        "milter_default_action = accept\nmilter_connect_timeout = 2s\nmilter_command_timeout = 2s\n",
    )?;
    assert_eq!(attempt_from(NEWCOMER, &postfix)?, deferred(60));
    scene.server.daemon().hang(true)?;
    let begun = Instant::now();
    assert_eq!(attempt_from(OTHER, &postfix)?, taken());
    ensure!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    scene.server.daemon().hang(false)?;
    assert_eq!(attempt_from(NEWCOMER, &postfix)?, deferred(60));
    Ok(())
}

#[test]
fn mail_waits_or_is_refused_while_the_daemon_is_away() -> Result<()> {
    let without_daemon = |action| -> Result<Postfix> {
        let port = free_port()?;
        start_postfix(&PostfixSetup {
            lines: &format!(
                "smtpd_milters = inet:127.0.0.1:{port}\nmilter_default_action = {action}\n"
            ),
            ..PostfixSetup::default()
        })
    };
    let postfix = without_daemon("tempfail")?;
    let mut client = SmtpClient::connect(OTHER, postfix.port())?;
    let reply = client.command("MAIL FROM:<new@x.example>")?;
    let later = (451, "4.7.1 Service unavailable - try again later");
    assert_eq!((reply.code, &*reply.text), later);
    let postfix = without_daemon("reject")?;
    let greeting = SmtpClient::connect(OTHER, postfix.port()).err();
    let greeting = greeting.context("it greeted well")?.to_string();
    ensure!(greeting.contains("554"), "{greeting}");
    Ok(())
}

#[test]
fn policy_service_and_milter_see_one_memory() -> Result<()> {
    let mut scene = start()?;
    let milter = format!("smtpd_milters = inet:127.0.0.1:{}\n", scene.port);
    let policy = policy_of(&scene);
    let postfix = |policy, lines| {
        start_postfix(&PostfixSetup {
            policy,
            lines,
            ..PostfixSetup::default()
        })
    };
    let [by_milter, by_policy, by_both] = [
        postfix("", &*milter)?,
        postfix(&policy, "")?,
        postfix(&policy, &milter)?,
    ];
    let start = scene.clock.now();
    assert_eq!(attempt_from(NEWCOMER, &by_milter)?, deferred(60));
    assert_eq!(attempt_from(OTHER, &by_policy)?.code, 450);
    scene.clock.set(start + 20)?;
    assert_eq!(attempt_from(OTHER, &by_milter)?, deferred(40));
    let elsewhere = attempt_from(NEWCOMER, &by_policy)?;
    ensure!(
        elsewhere.text.contains("try again in 40 seconds"),
        "{elsewhere:?}"
    );
    scene.clock.set(start + 60)?;
    assert_eq!(attempt_from(NEWCOMER, &by_policy)?, taken());
    assert_eq!(attempt_from(OTHER, &by_both)?, taken());
    for postfix in [&by_policy, &by_both] {
        let mailbox = postfix.mailbox(THREE[0], 1)?;
        assert_eq!(headers(&mailbox, "X-Greylist").len(), 1, "{mailbox}");
    }
    assert_eq!(attempt_from(NEWCOMER, &by_milter)?, taken());
    let mailbox = by_milter.mailbox(THREE[0], 1)?;
    assert_eq!(headers(&mailbox, "X-Greylist"), [""; 0], "{mailbox}");
    scene.server.wait_for_log("frontend=policy")?;
    scene.server.wait_for_log("frontend=milter")
}

#[test]
fn a_bounce_may_be_judged_at_its_end() -> Result<()> {
    let mut scene = start_with("null_sender = \"data\"\n")?;
    let postfix = postfix_before(&scene, "")?;
    let start = scene.clock.now();
    let mut client = SmtpClient::connect(NEWCOMER, postfix.port())?;
    let (replies, end) = client.deliver("", &THREE[..1])?;
    assert_eq!(replies, [taken()]);
    assert_eq!(end, Some(deferred(60)));
    let (replies, _) = client.deliver("new@sender.example", &THREE[..1])?;
    assert_eq!(replies, [deferred(60)]);
    scene.clock.set(start + 60)?;
    let (_, end) = client.deliver("", &THREE[..1])?;
    assert_eq!(end.context("a message")?.code, 250);
    let mailbox = postfix.mailbox(THREE[0], 1)?;
    assert_eq!(headers(&mailbox, "X-Greylist").len(), 1, "{mailbox}");
    Ok(())
}

#[test]
fn replies_arrive_as_they_were_written() -> Result<()> {
    let text = "450 4.2.0 20% of %r is 100%% full, \\\\o/ %s";
    let scene = start_with(&format!("reply = \"{text}\"\n"))?;
    let postfix = postfix_before(&scene, "")?;
    let reply = attempt_from(NEWCOMER, &postfix)?;
    let expected = "4.2.0 20% of example.org is 100%% full, \\o/ 60";
    assert_eq!((reply.code, &*reply.text), (450, expected));
    let mut client = SmtpClient::connect(NEWCOMER, postfix.port())?;
    let (refused, end) = client.deliver("bad@x.example", &THREE[..1])?;
    let text = "5.7.1 Mail from you is not accepted here".into();
    assert_eq!(refused, [SmtpReply { code: 550, text }]);
    ensure!(end.is_none());
    Ok(())
}

#[test]
fn a_status_of_another_class_than_the_code_is_mended() -> Result<()> {
    // Symptom: `451 4.3.5 Server configuration problem`, and no more questions
    // in the session. Cause: `451 5.7.1` is a malformed reply to Postfix.
    let scene = start_with("reply = \"5.7.1 wait %s\"\n")?;
    let postfix = postfix_before(&scene, "")?;
    let reply = attempt_from(NEWCOMER, &postfix)?;
    assert_eq!((reply.code, &*reply.text), (451, "4.7.1 wait 60"));
    Ok(())
}

#[test]
fn the_lines_of_the_manual_are_enough() -> Result<()> {
    let mut scene = start()?;
    let socket = scene.folder.path().join("milter");
    let lines = manual_block("postfix.md", "smtpd_milters")?
        .replace("private/greylatch-milter", &socket.to_string_lossy());
    let postfix = start_postfix(&PostfixSetup {
        lines: &lines,
        ..PostfixSetup::default()
    })?;
    newcomer(&mut scene, &postfix, "new@sender.example")?;
    ensure!(scene.server.stop()?.success());
    assert_eq!(attempt_from(OTHER, &postfix)?, taken());
    Ok(())
}
