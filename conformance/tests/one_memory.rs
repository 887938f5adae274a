//! All real MTAs before one daemon: what one of them has seen for the first
//! time passes on its retry through any other.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result};
use conformance::{
    Exim, EximConfiguration, EximSetup, Haraka, MilterServer, OpenSmtpd, OpenSmtpdSetup, Postfix,
    PostfixSetup, Sendmail, SendmailSetup, SmtpClient, ask_greylistd, scratch_folder, shipped,
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
    haraka: Haraka,
    ours: MilterServer,
}

impl Scene {
    fn start() -> Result<Self> {
        let folder = scratch_folder()?;
        let listen = format!(
            "greylistd = [\"unix:{folder}/greylistd\"]\nhttp = [\"unix:{folder}/http\"]",
            folder = folder.path().display()
        );
        let ours = MilterServer::start_in(folder, &listen, "")?;
        let (folder, port) = (ours.folder.path(), ours.port);
        let policy = format!("unix:{}/policy", folder.display());
        Ok(Self {
            postfix: postfix(&policy, "")?,
            postfix_milter: postfix("", &format!("smtpd_milters = inet:127.0.0.1:{port}\n"))?,
            sendmail: sendmail(port)?,
            exim: exim(folder)?,
            opensmtpd: OpenSmtpd::start(&OpenSmtpdSetup {
                policy: &policy,
                options: "",
                hosts: "",
            })?,
            haraka: Haraka::start(&format!("[main]\nsocket={}/http\n", folder.display()))?,
            ours,
        })
    }

    /// The MTAs by name, each with the port at which it takes mail.
    fn mtas(&self) -> [(&'static str, u16); 6] {
        [
            ("Postfix, by policy", self.postfix.port()),
            ("Exim", self.exim.port()),
            ("Sendmail", self.sendmail.port()),
            ("OpenSMTPD", self.opensmtpd.port()),
            ("Haraka, over HTTP", self.haraka.port()),
            ("Postfix, by milter", self.postfix_milter.port()),
        ]
    }

    /// How greylistd's clients see a sender.
    fn status(&self, sender: &str) -> Result<String> {
        let question = format!("status {CLIENT} {sender} {RECIPIENT}");
        let socket = self.ours.folder.path().join("greylistd");
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
        names: None,
        ipv6: false,
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
    let start = scene.ours.clock.now();
    for (nth, (name, port)) in mtas.iter().enumerate() {
        let sender = format!("first{nth}@sender.example");
        assert_eq!(scene.status(&sender)?, "unseen", "{name}");
        let code = attempt(*port, &sender)?;
        assert!([450, 451].contains(&code), "{name}: {code}");
        assert_eq!(scene.status(&sender)?, "grey", "{name}");
    }
    // Too early, whoever asks.
    scene.ours.clock.set(start + 30)?;
    for (nth, _) in mtas.iter().enumerate() {
        let (name, port) = mtas[(nth + 1) % mtas.len()];
        let code = attempt(port, &format!("first{nth}@sender.example"))?;
        assert!([450, 451].contains(&code), "{name}: {code}");
    }
    scene.ours.clock.set(start + 60)?;
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
    assert_eq!(scene.ours.server.verdicts("retry")?, mtas.len() as u64);
    Ok(())
}
