//! The real milter-greylist does what is expected of ours: so these tests ask
//! for nothing that the original does not do.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use conformance::{
    Clock, EPISODE_START, Endpoint, MilterClient, MilterGreylist, Offer, Sendmail, SendmailSetup,
    SmtpClient, scratch_folder,
};

const LINES: &str = "greylist 60\nautowhite 1d\nracl greylist default\n";
const DEFERRED: &str = "y451 4.7.1 Greylisting in action, please come back in 00:01:00\\x00";

#[test]
fn the_original_answers_an_mta_of_ours() -> Result<()> {
    let folder = scratch_folder()?;
    let mut clock = Clock::new(folder.path(), EPISODE_START)?;
    let original = MilterGreylist::start(folder.path(), LINES, &clock)?;
    for version in [2, 3, 4, 6] {
        let sender = format!("a{version}@x.example");
        clock.set(EPISODE_START)?;
        let offer = Offer::of_version(version);
        let mut filter = MilterClient::open(&original.endpoint(), offer, "192.0.2.9")?;
        filter.macros('M', &[("i", "queue1")])?;
        assert_eq!(filter.envelope(&sender, &["b@example.org"])?, [DEFERRED]);
        filter.send('A', b"")?;
        clock.set(EPISODE_START + 60)?;
        assert_eq!(filter.envelope(&sender, &["b@example.org"])?, ["c"]);
        let end = filter.content()?;
        let [header, last] = &end[..] else {
            anyhow::bail!("{end:?}");
        };
        ensure!(
            header.starts_with("hX-Greylist\\x00Delayed for 00:01:00 by "),
            "{header}"
        );
        assert_eq!(last, "c");
    }
    let waited = original.log()?;
    let line = "queue1: addr [192.0.2.9][192.0.2.9] from <a6@x.example> to <b@example.org> \
                delayed for 00:01:00 (ACL 6)";
    let line = waited.iter().find(|logged| logged.text == line);
    assert_eq!(line.context("a line")?.priority, 22);
    let dump = original.stop()?;
    let row = "192.0.2.9\t<a6@x.example>\t<b@example.org>\t1795608060 AUTO";
    ensure!(dump.contains(row), "{dump}");
    Ok(())
}

#[test]
fn the_original_does_the_main_job_behind_sendmail() -> Result<()> {
    let folder = scratch_folder()?;
    let mut clock = Clock::new(folder.path(), EPISODE_START)?;
    let original = MilterGreylist::start(folder.path(), LINES, &clock)?;
    let Endpoint::Inet(address) = original.endpoint() else {
        anyhow::bail!("it listens at a port");
    };
    let sendmail = Sendmail::start(&SendmailSetup {
        filters: &format!(
            "INPUT_MAIL_FILTER(`greylist', `S=inet:{}@127.0.0.1')dnl\n",
            address.port()
        ),
        ..SendmailSetup::default()
    })?;
    let mut client = SmtpClient::connect(Ipv4Addr::new(127, 0, 0, 2), sendmail.port())?;
    let both = ["bob@example.org", "cid@example.org"];
    for (after, text) in [(0, "00:01:00"), (59, "00:00:01")] {
        clock.set(EPISODE_START + after)?;
        let (replies, _) = client.deliver("new@sender.example", &both)?;
        for reply in replies {
            let expected = format!("4.7.1 Greylisting in action, please come back in {text}");
            assert_eq!((reply.code, reply.text), (451, expected));
        }
    }
    clock.set(EPISODE_START + 60)?;
    let (replies, _) = client.deliver("new@sender.example", &both)?;
    ensure!(replies.iter().all(|reply| reply.code == 250), "{replies:?}");
    let mailbox = sendmail.mailbox("bob", 1)?;
    assert_eq!(
        mailbox
            .matches("\nX-Greylist: Delayed for 00:01:00 by ")
            .count(),
        1
    );
    Ok(())
}
