//! The main job with a real Sendmail and our milter: a new sender waits, a
//! retry passes with one header, the exempt pass at once, and mail goes on
//! when the daemon is away.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use conformance::{
    Door, EPISODE_START, MilterServer, Newcomer, Sendmail, SendmailSetup, SmtpClient, SmtpReply,
    deferred, free_port, headers, manual_block,
};

const THREE: [&str; 3] = ["bob@example.org", "cid@example.org", "dan@example.org"];
const NEWCOMER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const HONEST: Ipv4Addr = Ipv4Addr::new(127, 0, 2, 2);
const LIAR: Ipv4Addr = Ipv4Addr::new(127, 0, 3, 3);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 4, 4);
/// The name that is exempt leads back to the first address alone.
const HOSTS: &str = "127.0.2.2 mx.friend.example\n127.0.3.3 mx.friend.example\n";
/// What the filter's lines say of mail while the filter is away.
/// Source: Sendmail `cf/README`, "MAIL FILTER DEFINITIONS".
#[derive(Clone, Copy)]
enum WhenAway {
    GoOn,
    Defer,
    Refuse,
}

/// The lines of the `.mc` that the administrators of milter-greylist have.
/// Source: milter-greylist 4.6.4 README, "Configuring Sendmail with
/// milter-greylist".
fn filter_lines(socket: &str, when_away: WhenAway) -> String {
    let flag = match when_away {
        WhenAway::GoOn => "",
        WhenAway::Defer => "T",
        WhenAway::Refuse => "R",
    };
    format!(
        "INPUT_MAIL_FILTER(`greylist', `S={socket}, F={flag}, T=S:4m;R:4m')dnl\n\
         define(`confMILTER_MACROS_CONNECT', `j, {{if_addr}}')dnl\n\
         define(`confMILTER_MACROS_HELO', `{{verify}}, {{cert_subject}}')dnl\n\
         define(`confMILTER_MACROS_ENVFROM', `i, {{auth_authen}}')dnl\n\
         define(`confMILTER_MACROS_ENVRCPT', `{{greylist}}')dnl"
    )
}

/// The rules that ask the access database for the macro `{greylist}`, from the
/// same place.
const ACCESS_RULES: &str = "\
Kstorage macro
LOCAL_RULESETS
SLocal_check_rcpt
R$+\t\t$: $(storage {greylist} $) $&{client_addr}
R$+\t\t$: $>A <$1> <?> <+Connect> <$1>
R<$+> <$*>\t$: $(storage {greylist} $@ $1 $) $2";

/// Where the manual's filter is.
const PLACE_OF_MANUAL: &str = "local:/run/greylatch/milter";

/// Sendmail asks our daemon, under a clock that the test sets.
struct Scene {
    sendmail: Sendmail,
    ours: MilterServer,
}

impl Scene {
    /// Both on a TCP port; the setup without its filter.
    fn start(setup: SendmailSetup) -> Result<Self> {
        Self::start_at(Door::Inet, "", setup)
    }

    /// With lines of the table `[greylist]`; with the lines of milter-greylist
    /// where the setup has no filter.
    fn start_at(door: Door, greylist: &str, setup: SendmailSetup) -> Result<Self> {
        let ours = MilterServer::start("", greylist)?;
        let socket = match door {
            Door::Unix => format!("local:{}/milter", ours.folder.path().display()),
            Door::Inet => format!("inet:{}@127.0.0.1", ours.port),
        };
        let filters = match setup.filters {
            "" => filter_lines(&socket, WhenAway::GoOn),
            lines => lines.replace(PLACE_OF_MANUAL, &socket),
        };
        let sendmail = Sendmail::start(&SendmailSetup {
            filters: &filters,
            hosts: HOSTS,
            ..setup
        })?;
        Ok(Self { sendmail, ours })
    }

    fn connect(&self, from: Ipv4Addr) -> Result<SmtpClient> {
        SmtpClient::connect(from, self.sendmail.port())
    }

    /// The answer to a first attempt from there.
    fn first_from(&self, from: Ipv4Addr) -> Result<SmtpReply> {
        let (replies, _) = self.connect(from)?.deliver("new@x.example", &THREE[..1])?;
        replies.into_iter().next().context("one reply")
    }
}

fn taken(recipient: &str) -> SmtpReply {
    SmtpReply {
        code: 250,
        text: format!("2.1.5 <{recipient}>... Recipient ok"),
    }
}

// option: listen.milter
#[test]
fn a_newcomer_waits_and_passes_with_one_header() -> Result<()> {
    let mut scene = Scene::start_at(Door::Unix, "", SendmailSetup::default())?;
    let newcomer = Newcomer {
        sender: "new@sender.example",
        recipients: &THREE,
        deferred,
        taken,
    };
    let mut client = scene.connect(NEWCOMER)?;
    newcomer.waits_and_passes(&mut client, &mut scene.ours.clock, |recipient, count| {
        let (user, _) = recipient.split_once('@').context("a user")?;
        scene.sendmail.mailbox(user, count)
    })
}

#[test]
fn of_several_recipients_only_those_in_time_get_the_message() -> Result<()> {
    let mut scene = Scene::start(SendmailSetup::default())?;
    let start = scene.ours.clock.now();
    let mut client = scene.connect(NEWCOMER)?;
    client.deliver("new@sender.example", &THREE[..1])?;
    scene.ours.clock.set(start + 90)?;
    let (replies, end) = client.deliver("new@sender.example", &THREE)?;
    assert_eq!(replies, [taken(THREE[0]), deferred(60), deferred(60)]);
    assert_eq!(end.context("a message")?.code, 250);
    let mailbox = scene.sendmail.mailbox("bob", 1)?;
    assert_eq!(headers(&mailbox, "X-Greylist").len(), 1, "{mailbox}");
    scene.ours.clock.set(start + 150)?;
    let (replies, _) = client.deliver("new@sender.example", &THREE[1..])?;
    assert_eq!(replies, [taken(THREE[1]), taken(THREE[2])]);
    let mailbox = scene.sendmail.mailbox("cid", 1)?;
    ensure!(headers(&mailbox, "X-Greylist")[0].contains("delayed 60 seconds"));
    Ok(())
}

#[test]
fn a_bounce_waits_too_and_each_message_of_a_connection_is_its_own() -> Result<()> {
    let mut scene = Scene::start(SendmailSetup::default())?;
    let start = scene.ours.clock.now();
    let mut client = scene.connect(NEWCOMER)?;
    let (replies, _) = client.deliver("", &THREE[..1])?;
    assert_eq!(replies, [deferred(60)]);
    scene.ours.clock.set(start + 30)?;
    let (replies, _) = client.deliver("new@sender.example", &THREE[..1])?;
    assert_eq!(replies, [deferred(60)]);
    scene.ours.clock.set(start + 75)?;
    let (replies, _) = client.deliver("", &THREE[..1])?;
    assert_eq!(replies, [taken(THREE[0])]);
    let (replies, _) = client.deliver("new@sender.example", &THREE[..1])?;
    assert_eq!(replies, [deferred(15)]);
    let mailbox = scene.sendmail.mailbox("bob", 1)?;
    let [header] = headers(&mailbox, "X-Greylist")[..] else {
        anyhow::bail!("{mailbox}");
    };
    ensure!(header.contains("delayed 75 seconds"), "{header}");
    // The other message's number, under which Sendmail knows it too.
    scene.ours.server.wait_for_log("reason=retry")?;
    let log = scene.ours.server.log()?;
    let (_, id) = log.split_once("reason=retry").context("a retry")?;
    let (_, id) = id.split_once("queue_id=").context("a queue id")?;
    let id = id.split_whitespace().next().context("a number")?;
    ensure!(mailbox.contains(&format!("id {id}\n")), "{id}: {mailbox}");
    Ok(())
}

#[test]
fn who_logs_in_does_not_wait() -> Result<()> {
    let scene = Scene::start(SendmailSetup::default())?;
    let mut client = scene.connect(OTHER)?;
    let (replies, _) = client.deliver("new@sender.example", &THREE[..1])?;
    assert_eq!(replies, [deferred(60)]);
    let mut client = scene.connect(OTHER)?;
    let login = client.command(SmtpClient::LOGIN)?;
    assert_eq!(login.code, 235, "{login:?}");
    let (replies, _) = client.deliver("new@sender.example", &THREE[..1])?;
    assert_eq!(replies, [taken(THREE[0])]);
    assert_eq!(scene.ours.server.verdicts("authenticated")?, 1);
    let mailbox = scene.sendmail.mailbox("bob", 1)?;
    assert_eq!(headers(&mailbox, "X-Greylist"), [""; 0]);
    Ok(())
}

#[test]
fn the_access_database_lets_clients_through() -> Result<()> {
    let access = "Connect:127.0.10\tOK\nConnect:127.0.11.1\tRELAY\nConnect:127.0.12.1\tWHITE\n";
    let scene = Scene::start(SendmailSetup {
        access,
        rules: ACCESS_RULES,
        ..SendmailSetup::default()
    })?;
    let from = |net, host| scene.first_from(Ipv4Addr::new(127, 0, net, host));
    assert_eq!(from(10, 9)?, taken(THREE[0]));
    assert_eq!(from(11, 1)?, taken(THREE[0]));
    assert_eq!(from(11, 2)?, deferred(60));
    assert_eq!(scene.ours.server.verdicts("access-listed")?, 2);
    // The word that milter-greylist's manual names first is none for Sendmail:
    // at a client's own line it takes it for the text of a refusal.
    let mut client = scene.connect(Ipv4Addr::new(127, 0, 12, 1))?;
    let reply = client.command("MAIL FROM:<new@x.example>")?;
    assert_eq!((reply.code, &*reply.text), (553, "5.3.0 WHITE"));
    Ok(())
}

#[test]
fn a_rule_set_of_the_administrator_says_white() -> Result<()> {
    let rules = "\
Kstorage macro
LOCAL_RULESETS
SLocal_check_rcpt
R$*\t\t$: $(storage {greylist} $) $&{client_addr}
R127.0.4.$-\t$: $(storage {greylist} $@ WHITE $)";
    let scene = Scene::start(SendmailSetup {
        rules,
        ..SendmailSetup::default()
    })?;
    assert_eq!(scene.first_from(OTHER)?, taken(THREE[0]));
    assert_eq!(scene.first_from(NEWCOMER)?, deferred(60));
    assert_eq!(scene.ours.server.verdicts("access-listed")?, 1);
    Ok(())
}

#[test]
fn a_name_that_does_not_resolve_back_matches_no_rule() -> Result<()> {
    let scene = Scene::start(SendmailSetup::default())?;
    assert_eq!(scene.first_from(HONEST)?, taken(THREE[0]));
    assert_eq!(scene.first_from(LIAR)?, deferred(60));
    assert_eq!(scene.first_from(OTHER)?, deferred(60));
    assert_eq!(scene.ours.server.verdicts("rule")?, 1);
    scene
        .ours
        .server
        .wait_for_log("client=127.0.3.3 net=127.0.3.0/24 name=unknown")
}

#[test]
fn a_client_that_hangs_up_midway_leaves_no_trace() -> Result<()> {
    let mut scene = Scene::start(SendmailSetup::default())?;
    let start = scene.ours.clock.now();
    assert_eq!(scene.first_from(NEWCOMER)?, deferred(60));
    scene.ours.clock.set(start + 60)?;
    let mut client = scene.connect(NEWCOMER)?;
    for line in ["MAIL FROM:<new@x.example>", "RCPT TO:<bob@example.org>"] {
        assert_eq!(client.command(line)?.code, 250);
    }
    assert_eq!(client.command("DATA")?.code, 354);
    client.send("Subject: half\r\n\r\nIt ends in the mid")?;
    drop(client);
    let mut client = scene.connect(NEWCOMER)?;
    assert_eq!(client.command("MAIL FROM:<new@x.example>")?.code, 250);
    drop(client);
    let (replies, _) = scene
        .connect(NEWCOMER)?
        .deliver("new@x.example", &THREE[..1])?;
    assert_eq!(replies, [taken(THREE[0])]);
    let mailbox = scene.sendmail.mailbox("bob", 1)?;
    assert!(!mailbox.contains("Subject: half"), "{mailbox}");
    scene.ours.server.stop()?;
    Ok(())
}

#[test]
fn mail_goes_on_as_configured_while_the_daemon_is_away() -> Result<()> {
    let scene = Scene::start(SendmailSetup::default())?;
    let mut open = scene.connect(NEWCOMER)?;
    let (replies, _) = open.deliver("new@sender.example", &THREE[..1])?;
    assert_eq!(replies, [deferred(60)]);
    ensure!(scene.ours.server.stop()?.success());
    // On the connection on which the filter was heard before, and on a new one.
    let (replies, end) = open.deliver("new@sender.example", &THREE[..1])?;
    assert_eq!(replies, [taken(THREE[0])]);
    assert_eq!(end.context("a message")?.code, 250);
    let mut client = SmtpClient::connect(OTHER, scene.sendmail.port())?;
    let (replies, end) = client.deliver("new@sender.example", &THREE[..1])?;
    assert_eq!(replies, [taken(THREE[0])]);
    assert_eq!(end.context("a message")?.code, 250);
    scene.sendmail.mailbox("bob", 2)?;
    Ok(())
}

#[test]
fn mail_goes_on_when_the_daemon_hangs_and_waits_again_when_it_does_not() -> Result<()> {
    // Sendmail counts whole seconds of the clock: one may be over at once.
    let filters = format!("INPUT_MAIL_FILTER(`greylist', `S={PLACE_OF_MANUAL}, T=S:2s;R:2s;E:2s')");
    let mut scene = Scene::start_at(
        Door::Inet,
        "",
        SendmailSetup {
            filters: &filters,
            ..SendmailSetup::default()
        },
    )?;
    assert_eq!(scene.first_from(NEWCOMER)?, deferred(60));
    scene.ours.server.daemon().hang(true)?;
    let begun = Instant::now();
    let (replies, end) = scene
        .connect(OTHER)?
        .deliver("new@x.example", &THREE[..1])?;
    assert_eq!(replies, [taken(THREE[0])]);
    assert_eq!(end.context("a message")?.code, 250);
    ensure!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    scene.ours.server.daemon().hang(false)?;
    assert_eq!(scene.first_from(NEWCOMER)?, deferred(60));
    Ok(())
}

#[test]
fn mail_waits_or_is_refused_while_the_daemon_is_away() -> Result<()> {
    let without_daemon = |when_away| -> Result<Sendmail> {
        let socket = format!("inet:{}@127.0.0.1", free_port()?);
        Sendmail::start(&SendmailSetup {
            filters: &filter_lines(&socket, when_away),
            ..SendmailSetup::default()
        })
    };
    let sendmail = without_daemon(WhenAway::Defer)?;
    let mut client = SmtpClient::connect(OTHER, sendmail.port())?;
    let reply = client.command("MAIL FROM:<new@sender.example>")?;
    let later = (451, "4.3.2 Please try again later");
    assert_eq!((reply.code, &*reply.text), later);
    let sendmail = without_daemon(WhenAway::Refuse)?;
    let greeting = SmtpClient::connect(OTHER, sendmail.port()).err();
    let greeting = greeting.context("it greeted well")?.to_string();
    ensure!(greeting.contains("554"), "{greeting}");
    Ok(())
}

#[test]
fn a_bounce_may_be_judged_at_its_end() -> Result<()> {
    let mut scene = Scene::start_at(
        Door::Inet,
        "null_sender = \"data\"\n",
        SendmailSetup::default(),
    )?;
    let start = scene.ours.clock.now();
    let mut client = scene.connect(NEWCOMER)?;
    let (replies, end) = client.deliver("", &THREE[..1])?;
    assert_eq!(replies, [taken(THREE[0])]);
    assert_eq!(end, Some(deferred(60)));
    let (replies, _) = client.deliver("new@sender.example", &THREE[..1])?;
    assert_eq!(replies, [deferred(60)]);
    scene.ours.clock.set(start + 60)?;
    let (_, end) = client.deliver("", &THREE[..1])?;
    assert_eq!(end.context("a message")?.code, 250);
    let mailbox = scene.sendmail.mailbox("bob", 1)?;
    assert_eq!(headers(&mailbox, "X-Greylist").len(), 1, "{mailbox}");
    Ok(())
}

#[test]
fn replies_arrive_as_they_were_written() -> Result<()> {
    let text = "450 4.2.0 20% of %r is 100%% full, \\\\o/ %s";
    let scene = Scene::start_at(
        Door::Inet,
        &format!("reply = \"{text}\"\n"),
        SendmailSetup::default(),
    )?;
    let reply = scene.first_from(NEWCOMER)?;
    // With the codes 450 and 550 Sendmail names the recipient.
    let expected = "4.2.0 <bob@example.org>... 20% of example.org is 100%% full, \\o/ 60";
    assert_eq!((reply.code, &*reply.text), (450, expected));
    let mut client = scene.connect(NEWCOMER)?;
    let (refused, end) = client.deliver("bad@x.example", &THREE[..1])?;
    let text = "5.7.1 <bob@example.org>... Mail from you is not accepted here".into();
    assert_eq!(refused, [SmtpReply { code: 550, text }]);
    ensure!(end.is_none());
    Ok(())
}

#[test]
fn the_lines_of_the_manual_are_enough() -> Result<()> {
    let mut scene = Scene::start_at(
        Door::Unix,
        "",
        SendmailSetup {
            filters: &manual_block("sendmail.md", "INPUT_MAIL_FILTER")?,
            rules: &manual_block("sendmail.md", "Kstorage")?,
            access: &manual_block("sendmail.md", "Connect:")?.replace("192.0.2.10", "127.0.10.1"),
            ..SendmailSetup::default()
        },
    )?;
    assert_eq!(scene.first_from(NEWCOMER)?, deferred(60));
    assert_eq!(scene.first_from(LIAR)?, deferred(60));
    assert_eq!(scene.first_from(HONEST)?, taken(THREE[0]));
    assert_eq!(
        scene.first_from(Ipv4Addr::new(127, 0, 10, 1))?,
        taken(THREE[0])
    );
    let mut client = scene.connect(OTHER)?;
    assert_eq!(client.command(SmtpClient::LOGIN)?.code, 235);
    let (replies, _) = client.deliver("new@x.example", &THREE[..1])?;
    assert_eq!(replies, [taken(THREE[0])]);
    for reason in ["rule", "authenticated", "access-listed"] {
        assert_eq!(scene.ours.server.verdicts(reason)?, 1, "{reason}");
    }
    scene.ours.clock.set(EPISODE_START + 60)?;
    assert_eq!(scene.first_from(NEWCOMER)?, taken(THREE[0]));
    Ok(())
}
