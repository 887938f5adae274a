//! All real MTAs before one daemon: what one of them has seen for the first
//! time passes on its retry through any other.

use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use conformance::{
    Clock, EPISODE_START, Endpoint, Exim, EximConfiguration, EximSetup, MilterClient, OpenSmtpd,
    OpenSmtpdSetup, Plan, Postfix, PostfixSetup, Sendmail, SendmailSetup, Serving, SmtpClient,
    ask_greylistd, free_port, scratch_folder, shipped,
};

const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const RECIPIENT: &str = "bob@example.org";

/// One daemon, and before it each MTA by each road that it has.
struct Scene {
    postfix: Postfix,
    postfix_milter: Postfix,
    sendmail: Sendmail,
    exim: Exim,
    opensmtpd: OpenSmtpd,
    server: Serving,
    clock: Clock,
    /// Its files are in use until the programs have ended.
    folder: tempfile::TempDir,
}

impl Scene {
    fn start() -> Result<Self> {
        let folder = scratch_folder()?;
        // The MTAs ask as users that are not root.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let clock = Clock::new(folder.path(), EPISODE_START)?;
        let port = free_port()?;
        let server = Serving::start(&Plan {
            listen: &format!(
                "milter = [\"127.0.0.1:{port}\"]\ngreylistd = [\"unix:{}\"]",
                folder.path().join("greylistd").display()
            ),
            greylist: "hostname = \"mx.example.org\"\n",
            clock: Some(&clock),
            ..Plan::new(folder.path(), &folder.path().join("store"))
        })?;
        MilterClient::wait(&Endpoint::Inet((Ipv4Addr::LOCALHOST, port).into()))?;
        let policy = format!("unix:{}/policy", folder.path().display());
        Ok(Self {
            postfix: postfix(&policy, "")?,
            postfix_milter: postfix("", &format!("smtpd_milters = inet:127.0.0.1:{port}\n"))?,
            sendmail: sendmail(port)?,
            exim: exim(folder.path())?,
            opensmtpd: OpenSmtpd::start(&OpenSmtpdSetup {
                policy: &policy,
                options: "",
                hosts: "",
            })?,
            server,
            clock,
            folder,
        })
    }

    /// The MTAs by name, each with the port at which it takes mail.
    fn mtas(&self) -> [(&'static str, u16); 5] {
        [
            ("Postfix, by policy", self.postfix.port()),
            ("Exim", self.exim.port()),
            ("Sendmail", self.sendmail.port()),
            ("OpenSMTPD", self.opensmtpd.port()),
            ("Postfix, by milter", self.postfix_milter.port()),
        ]
    }

    /// How greylistd's clients see a sender.
    fn status(&self, sender: &str) -> Result<String> {
        let question = format!("status {CLIENT} {sender} {RECIPIENT}");
        let socket = self.folder.path().join("greylistd");
        ask_greylistd(&socket, &[question.as_bytes()], false)
    }
}

fn postfix(policy: &str, lines: &str) -> Result<Postfix> {
    Postfix::start(&PostfixSetup {
        policy,
        recipients: &[RECIPIENT],
        lines,
        ..PostfixSetup::default()
    })
}

fn sendmail(milter: u16) -> Result<Sendmail> {
    Sendmail::start(&SendmailSetup {
        filters: &format!("INPUT_MAIL_FILTER(`greylatch', `S=inet:{milter}@127.0.0.1, T=R:4m')dnl"),
        ..SendmailSetup::default()
    })
}

fn exim(sockets: &Path) -> Result<Exim> {
    Exim::start(&EximSetup {
        configuration: EximConfiguration::Plain,
        macros: &shipped("exim/localmacros.example")?,
        acl: &shipped("exim/greylatch.acl")?,
        sockets,
    })
}

/// The code of the answer to an attempt of this sender at this port.
fn attempt(port: u16, sender: &str) -> Result<u16> {
    let mut client = SmtpClient::connect(CLIENT, port)?;
    let (replies, _) = client.deliver(sender, &[RECIPIENT])?;
    let reply = replies.first().context("one reply")?;
    Ok(reply.code)
}

#[test]
fn a_triplet_that_one_mta_has_seen_passes_through_any_other() -> Result<()> {
    let mut scene = Scene::start()?;
    let mtas = scene.mtas();
    let start = scene.clock.now();
    for (nth, (name, port)) in mtas.iter().enumerate() {
        let sender = format!("first{nth}@sender.example");
        assert_eq!(scene.status(&sender)?, "unseen", "{name}");
        let code = attempt(*port, &sender)?;
        assert!([450, 451].contains(&code), "{name}: {code}");
        assert_eq!(scene.status(&sender)?, "grey", "{name}");
    }
    // Too early, whoever asks.
    scene.clock.set(start + 30)?;
    for (nth, _) in mtas.iter().enumerate() {
        let (name, port) = mtas[(nth + 1) % mtas.len()];
        let code = attempt(port, &format!("first{nth}@sender.example"))?;
        assert!([450, 451].contains(&code), "{name}: {code}");
    }
    scene.clock.set(start + 60)?;
    for (nth, (first, _)) in mtas.iter().enumerate() {
        let sender = format!("first{nth}@sender.example");
        // The next one is the first to be asked again, so that each of them lets one pass that
        // another has deferred.
        for turn in 1..=mtas.len() {
            let (name, port) = mtas[(nth + turn) % mtas.len()];
            let code = attempt(port, &sender)?;
            assert_eq!(code, 250, "first at {first}, again at {name}");
        }
        assert_eq!(scene.status(&sender)?, "white", "{first}");
    }
    assert_eq!(scene.server.verdicts("retry")?, mtas.len() as u64);
    Ok(())
}
