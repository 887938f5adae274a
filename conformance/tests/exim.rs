//! The main job with a real Exim that asks over the policy protocol by the
//! files that are shipped for it: alone, and within Debian's configuration.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use conformance::{
    Clock, Door, EPISODE_START, Exim, EximConfiguration, EximSetup, NameRecord, Newcomer, Plan,
    Serving, SmtpClient, SmtpReply, free_port, headers, manual_block, own_network, scratch_folder,
    shipped, start_name_server,
};
use serde_json::Value;
use tempfile::TempDir;

const THREE: [&str; 3] = ["bob@example.org", "cid@example.org", "dan@example.org"];
const NEWCOMER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 4, 4);
const RULES: &str = "[[rule]]\nsender = [\"bad@x.example\"]\nthen = \"refuse\"\n";

/// How long Exim waits for an answer, by the shipped file.
const PATIENCE: Duration = Duration::from_secs(5);
/// What else may take time beside it.
const SLACK: Duration = Duration::from_secs(3);

/// Exim asks our daemon, under a clock that the test sets.
struct Scene {
    exim: Exim,
    server: Serving,
    clock: Clock,
    /// Its files are in use until the programs have ended.
    _folder: TempDir,
}

/// What a scene begins with.
struct Site<'a> {
    configuration: EximConfiguration,
    door: Door,
    /// Lines of the table `[greylist]`.
    greylist: &'a str,
    /// Lines of the table `[policy]`.
    policy: &'a str,
    /// The options of Exim's question, in place of `5s`.
    asking: &'a str,
    /// The tables behind all others.
    tables: &'a str,
    /// The name server that Exim asks for the names of clients.
    names: Option<Ipv4Addr>,
    ipv6: bool,
}

impl Default for Site<'_> {
    fn default() -> Self {
        Self {
            configuration: EximConfiguration::Plain,
            door: Door::Unix,
            greylist: "",
            policy: "",
            asking: "5s",
            tables: RULES,
            names: None,
            ipv6: false,
        }
    }
}

impl Scene {
    fn start(site: &Site) -> Result<Self> {
        let folder = open_folder()?;
        let clock = Clock::new(folder.path(), EPISODE_START)?;
        let inet = match site.door {
            Door::Unix => None,
            Door::Inet => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?))),
        };
        let server = Serving::start(&Plan {
            inet,
            greylist: &format!("hostname = \"mx.example.org\"\n{}", site.greylist),
            policy: site.policy,
            tables: site.tables,
            clock: Some(&clock),
            ..Plan::new(folder.path(), &folder.path().join("store"))
        })?;
        let exim = start_exim(folder.path(), inet, site)?;
        Ok(Self {
            exim,
            server,
            clock,
            _folder: folder,
        })
    }

    fn connect(&self, from: impl Into<IpAddr>) -> Result<SmtpClient> {
        SmtpClient::connect(from, self.exim.port())
    }

    /// The answer to a first attempt from there.
    fn first_from(&self, from: Ipv4Addr) -> Result<SmtpReply> {
        first_from(&self.exim, from)
    }

    /// How often Exim has asked.
    fn questions(&self) -> Result<u64> {
        let status = self.server.status()?;
        let verdicts = status["verdicts"].as_object().context("verdicts")?;
        Ok(verdicts.values().filter_map(Value::as_u64).sum())
    }
}

/// A folder that Exim's user may look into.
fn open_folder() -> Result<TempDir> {
    let folder = scratch_folder()?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    Ok(folder)
}

fn start_exim(sockets: &Path, inet: Option<SocketAddr>, site: &Site) -> Result<Exim> {
    let macros = shipped("exim/localmacros.example")?;
    let macros = match inet {
        None => macros,
        Some(at) => macros.replace("= /run/greylatch/policy", &format!("= inet:{at}")),
    };
    let macros = match (site.names, site.configuration) {
        // Debian's configuration has this already.
        (Some(_), EximConfiguration::Plain) => format!("{macros}\nhost_lookup = *\n"),
        _ => macros,
    };
    let asking = format!("{{{}}}", site.asking);
    Exim::start(&EximSetup {
        configuration: site.configuration,
        macros: &macros,
        acl: &shipped("exim/greylatch.acl")?.replace("{5s}", &asking),
        sockets,
        names: site.names,
        ipv6: site.ipv6,
    })
}

fn first_from(exim: &Exim, from: Ipv4Addr) -> Result<SmtpReply> {
    let mut client = SmtpClient::connect(from, exim.port())?;
    let (replies, _) = client.deliver("new@x.example", &THREE[..1])?;
    replies.into_iter().next().context("one reply")
}

fn reply(code: u16, text: &str) -> SmtpReply {
    SmtpReply {
        code,
        text: text.into(),
    }
}

fn deferred(seconds: i64) -> SmtpReply {
    let text = format!("Greylisted, please try again in {seconds} seconds");
    reply(451, &text)
}

fn taken() -> SmtpReply {
    reply(250, "Accepted")
}

#[test]
fn a_newcomer_waits_and_passes_with_one_header() -> Result<()> {
    for door in [Door::Unix, Door::Inet] {
        let scene = Scene::start(&Site {
            door,
            ..Site::default()
        })?;
        main_job(scene).with_context(|| format!("{door:?}"))?;
    }
    Ok(())
}

#[test]
fn within_debians_configuration_it_is_the_same() -> Result<()> {
    let scene = Scene::start(&Site {
        configuration: EximConfiguration::Debian,
        ..Site::default()
    })?;
    main_job(scene)
}

/// A newcomer waits and passes; who may relay, is for nobody or for postmaster
/// is never asked about.
fn main_job(mut scene: Scene) -> Result<()> {
    let newcomer = Newcomer {
        sender: "new@sender.example",
        recipients: &THREE,
        deferred,
        taken: |_| taken(),
    };
    let mut client = scene.connect(NEWCOMER)?;
    newcomer.waits_and_passes(&mut client, &mut scene.clock, |recipient, count| {
        let (user, _) = recipient.split_once('@').context("a user")?;
        scene.exim.mailbox(user, count)
    })?;
    assert_eq!(scene.questions()?, 10);

    let others = [
        ("stranger@example.org", 550),
        ("bob@elsewhere.example", 550),
        ("postmaster@example.org", 250),
    ];
    for (recipient, code) in others {
        let mut client = scene.connect(OTHER)?;
        let (replies, _) = client.deliver("new@sender.example", &[recipient])?;
        assert_eq!(replies[0].code, code, "{recipient}: {replies:?}");
    }
    assert_eq!(scene.first_from(Ipv4Addr::LOCALHOST)?, taken());
    assert_eq!(scene.questions()?, 10);
    let log = scene.exim.log();
    ensure!(
        log.contains("temporarily rejected RCPT <bob@example.org>: greylisted"),
        "{log}"
    );
    ensure!(!log.contains("greylatch: no answer"), "{log}");
    Ok(())
}

#[test]
fn of_several_recipients_only_those_in_time_get_the_message() -> Result<()> {
    let mut scene = Scene::start(&Site::default())?;
    let start = scene.clock.now();
    let mut client = scene.connect(NEWCOMER)?;
    client.deliver("new@sender.example", &THREE[..1])?;
    scene.clock.set(start + 90)?;
    let mixed = ["stranger@example.org", THREE[0], THREE[1]];
    let (replies, end) = client.deliver("new@sender.example", &mixed)?;
    assert_eq!(replies[0].code, 550, "{replies:?}");
    assert_eq!(replies[1..], [taken(), deferred(60)]);
    assert_eq!(end.context("a message")?.code, 250);
    let mailbox = scene.exim.mailbox("bob", 1)?;
    assert_eq!(headers(&mailbox, "X-Greylist").len(), 1, "{mailbox}");
    scene.clock.set(start + 100)?;
    client.deliver("new@sender.example", &THREE[2..])?;
    scene.clock.set(start + 160)?;
    let (replies, _) = client.deliver("new@sender.example", &THREE[1..])?;
    assert_eq!(replies, [taken(), taken()]);
    // One header, though the recipients waited 70 and 60 seconds.
    let mailbox = scene.exim.mailbox("dan", 1)?;
    let [header] = headers(&mailbox, "X-Greylist")[..] else {
        anyhow::bail!("{mailbox}");
    };
    ensure!(header.contains("delayed 70 seconds"), "{header}");
    assert_eq!(scene.questions()?, 6);
    Ok(())
}

#[test]
fn a_bounce_waits_at_rcpt_or_as_configured_at_data() -> Result<()> {
    let scene = Scene::start(&Site::default())?;
    let (replies, _) = scene.connect(NEWCOMER)?.deliver("", &THREE[..1])?;
    assert_eq!(replies, [deferred(60)]);

    for configuration in [EximConfiguration::Plain, EximConfiguration::Debian] {
        let mut scene = Scene::start(&Site {
            configuration,
            greylist: "null_sender = \"data\"\n",
            ..Site::default()
        })?;
        let start = scene.clock.now();
        let mut client = scene.connect(NEWCOMER)?;
        let (replies, end) = client.deliver("", &THREE[..1])?;
        assert_eq!(replies, [taken()]);
        assert_eq!(end, Some(deferred(60)));
        let (replies, _) = client.deliver("new@sender.example", &THREE[..1])?;
        assert_eq!(replies, [deferred(60)]);
        scene.clock.set(start + 60)?;
        let (_, end) = client.deliver("", &THREE[..1])?;
        assert_eq!(end.context("a message")?.code, 250);
        let mailbox = scene.exim.mailbox("bob", 1)?;
        assert_eq!(headers(&mailbox, "X-Greylist").len(), 1, "{mailbox}");
        // Two questions for each bounce; of other mail none at DATA.
        let (replies, end) = client.deliver("new@sender.example", &THREE[..1])?;
        assert_eq!(replies, [taken()]);
        assert_eq!(end.context("a message")?.code, 250);
        assert_eq!(scene.questions()?, 6);
    }
    Ok(())
}

/// Whom Exim may ask for names, in a network of the test's own.
const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 53);

/// What it knows: a client whose name leads back to it, one whose name leads to another, and one whose
/// name leads nowhere.
const NAMES: &[(&str, NameRecord)] = &[
    ("2.0.0.127.in-addr.arpa", NameRecord::Ptr("mx.good.example")),
    ("mx.good.example", NameRecord::A([127, 0, 0, 2])),
    ("4.4.0.127.in-addr.arpa", NameRecord::Ptr("mx.good.example")),
    (
        "5.4.0.127.in-addr.arpa",
        NameRecord::Ptr("nowhere.good.example"),
    ),
];

#[test]
fn rules_match_the_name_that_leads_back_to_the_client_and_no_other() -> Result<()> {
    own_network(&[])?;
    let etc = scratch_folder()?;
    start_name_server(NAME_SERVER, NAMES, etc.path())?;
    for configuration in [EximConfiguration::Plain, EximConfiguration::Debian] {
        let scene = Scene::start(&Site {
            configuration,
            tables: "[[rule]]\nname = [\"good.example\"]\nthen = \"exempt\"\n",
            names: Some(NAME_SERVER),
            ..Site::default()
        })?;
        assert_eq!(scene.first_from(NEWCOMER)?, taken(), "{configuration:?}");
        let nameless = Ipv4Addr::new(127, 0, 4, 5);
        for client in [OTHER, nameless] {
            let answer = scene.first_from(client)?;
            assert_eq!(answer, deferred(60), "{configuration:?} {client}");
        }
        let log = scene.exim.log();
        ensure!(log.contains("mx.good.example"), "{log}");
        assert_eq!(scene.questions()?, 3);
    }
    Ok(())
}

#[test]
fn of_a_client_by_ipv6_the_network_is_remembered() -> Result<()> {
    let at = |network: u16, host: u16| Ipv6Addr::new(0xfd00, 0, 0, network, 0, 0, 0, host);
    let (first, beside, beyond) = (at(1, 9), at(1, 0xabcd), at(2, 9));
    own_network(&[first, beside, beyond])?;
    let mut scene = Scene::start(&Site {
        ipv6: true,
        ..Site::default()
    })?;
    let start = scene.clock.now();
    let ask = |scene: &Scene, from: Ipv6Addr| -> Result<SmtpReply> {
        let (replies, _) = scene.connect(from)?.deliver("new@x.example", &THREE[..1])?;
        replies.into_iter().next().context("one reply")
    };
    assert_eq!(ask(&scene, first)?, deferred(60));
    scene.clock.set(start + 60)?;
    assert_eq!(ask(&scene, beyond)?, deferred(60));
    assert_eq!(ask(&scene, beside)?, taken());
    let mailbox = scene.exim.mailbox("bob", 1)?;
    assert_eq!(headers(&mailbox, "X-Greylist").len(), 1, "{mailbox}");
    scene.server.wait_for_log("client=fd00:0:0:1::abcd ")?;
    scene.server.wait_for_log("net=fd00:0:0:1::/64")
}

#[test]
fn who_logs_in_is_not_asked_about() -> Result<()> {
    let scene = Scene::start(&Site::default())?;
    let mut client = scene.connect(OTHER)?;
    let login = client.command(SmtpClient::LOGIN)?;
    assert_eq!(login.code, 235, "{login:?}");
    for sender in ["new@sender.example", ""] {
        let (replies, end) = client.deliver(sender, &THREE[..1])?;
        assert_eq!(replies, [taken()]);
        assert_eq!(end.context("a message")?.code, 250);
    }
    assert_eq!(scene.questions()?, 0);
    Ok(())
}

#[test]
fn replies_arrive_as_they_were_written_and_senders_as_they_came() -> Result<()> {
    let text = "450 4.2.0 20% of %r is 100%% full, ${run{/bin/sh}} | $x \\\\o/ %s";
    let scene = Scene::start(&Site {
        greylist: &format!("reply = \"{text}\"\n"),
        ..Site::default()
    })?;
    let expected = "4.2.0 20% of example.org is 100%% full, ${run{/bin/sh}} | $x \\o/ 60";
    assert_eq!(scene.first_from(NEWCOMER)?, reply(450, expected));
    let mut client = scene.connect(NEWCOMER)?;
    let (refused, end) = client.deliver("bad@x.example", &THREE[..1])?;
    assert_eq!(refused, [reply(550, "Mail from you is not accepted here")]);
    ensure!(end.is_none());
    let odd = r#""a b{c}$x\\N=|"@sender.example"#;
    let (replies, _) = client.deliver(odd, &THREE[..1])?;
    assert_eq!(replies[0].code, 450, "{replies:?}");
    scene.server.wait_for_log(r#"a b{c}$x\\\\N=|"#)
}

#[test]
fn without_a_half_close_the_server_must_end_the_connection() -> Result<()> {
    let scene = Scene::start(&Site {
        asking: "5s:shutdown=no",
        policy: "close_after_answer = true\n",
        ..Site::default()
    })?;
    let begun = Instant::now();
    assert_eq!(scene.first_from(NEWCOMER)?, deferred(60));
    ensure!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());

    // As it is by default, it waits for Exim's next question, and mail goes on.
    let scene = Scene::start(&Site {
        asking: "2s:shutdown=no",
        ..Site::default()
    })?;
    assert_eq!(scene.first_from(NEWCOMER)?, taken());
    assert_eq!(scene.questions()?, 1);
    Ok(())
}

#[test]
fn mail_goes_on_while_the_daemon_is_away() -> Result<()> {
    for door in [Door::Unix, Door::Inet] {
        let scene = Scene::start(&Site {
            door,
            ..Site::default()
        })?;
        assert_eq!(scene.first_from(NEWCOMER)?, deferred(60));
        let mut open = scene.connect(NEWCOMER)?;
        ensure!(scene.server.stop()?.success());
        let begun = Instant::now();
        for sender in ["other@sender.example", "", "third@sender.example"] {
            let (replies, end) = open.deliver(sender, &THREE)?;
            assert_eq!(replies, [taken(), taken(), taken()]);
            assert_eq!(end.context("a message")?.code, 250);
        }
        ensure!(begun.elapsed() < SLACK, "{:?}", begun.elapsed());
        // The further questions that Exim 4.96 cannot ask are not asked.
        let log = scene.exim.log();
        assert_eq!(
            log.matches("greylatch: no answer from ").count(),
            1,
            "{log}"
        );
        ensure!(log.contains(", mail from 127.0.0.2 goes on\n"), "{log}");
        ensure!(
            !log.contains("request=") && !log.contains("failed"),
            "{log}"
        );
        scene.exim.mailbox("bob", 3)?;
    }
    Ok(())
}

#[test]
fn mail_goes_on_when_the_daemon_hangs_and_waits_again_when_it_does_not() -> Result<()> {
    let mut scene = Scene::start(&Site::default())?;
    assert_eq!(scene.first_from(NEWCOMER)?, deferred(60));
    scene.server.daemon().hang(true)?;
    let begun = Instant::now();
    let mut client = scene.connect(OTHER)?;
    let (replies, end) = client.deliver("new@x.example", &THREE)?;
    assert_eq!(replies, [taken(), taken(), taken()]);
    assert_eq!(end.context("a message")?.code, 250);
    ensure!(begun.elapsed() < PATIENCE + SLACK, "{:?}", begun.elapsed());
    scene.server.daemon().hang(false)?;
    assert_eq!(scene.first_from(NEWCOMER)?, deferred(60));
    Ok(())
}

#[test]
fn mail_goes_on_when_half_an_answer_comes() -> Result<()> {
    let folder = open_folder()?;
    let listener = UnixListener::bind(folder.path().join("policy"))?;
    fs::set_permissions(folder.path().join("policy"), Permissions::from_mode(0o666))?;
    const ANSWERS: [&str; 6] = [
        "",
        "act",
        "action=DEFER_IF_PERMIT Grey",
        "action=REJECT Not here\n",
        "\n\n",
        "action=DEFER_IF_PERMIT Greylisted\n\n",
    ];
    let server = thread::spawn(move || -> Result<()> {
        for answer in ANSWERS {
            let (mut stream, _) = listener.accept()?;
            stream.read_to_string(&mut String::new())?;
            stream.write_all(answer.as_bytes())?;
        }
        Ok(())
    });
    let exim = start_exim(folder.path(), None, &Site::default())?;
    for answer in &ANSWERS[..5] {
        let begun = Instant::now();
        assert_eq!(first_from(&exim, OTHER)?, taken(), "{answer:?}");
        ensure!(begun.elapsed() < SLACK, "{answer:?}: {:?}", begun.elapsed());
    }
    // So that it is seen that the server was heard.
    assert_eq!(first_from(&exim, OTHER)?, reply(451, "Greylisted"));
    server.join().expect("it does not panic")?;
    assert_eq!(exim.log().matches("greylatch: no answer").count(), 5);
    Ok(())
}

#[test]
fn the_manual_says_what_is_shipped() -> Result<()> {
    let shown = manual_block("exim.md", "GREYLATCH_SOCKET")?;
    let file = shipped("exim/localmacros.example")?;
    ensure!(file.ends_with(&shown), "{shown}");
    Ok(())
}
