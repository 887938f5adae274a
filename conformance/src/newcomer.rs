//! The main job as a sender sees it that nobody knows yet, before any real MTA.

use anyhow::{Result, ensure};

use crate::clock::Clock;
use crate::mailbox::headers;
use crate::smtp::{SmtpClient, SmtpReply};

/// Whoever comes for the first time, and what the MTA says of its recipients.
pub struct Newcomer<'a> {
    /// Its address.
    pub sender: &'a str,
    /// To whom it writes.
    pub recipients: &'a [&'a str],
    /// What is said of a recipient who has to wait so many seconds.
    pub deferred: fn(i64) -> SmtpReply,
    /// What is said of one who is taken.
    pub taken: fn(&str) -> SmtpReply,
}

impl Newcomer<'_> {
    /// Checks that each recipient waits for a minute and then gets the message with one header, and that
    /// the next message passes without one, all on one connection. `mailbox` gives the mail of a recipient
    /// when so many messages are there.
    ///
    /// # Errors
    /// What is not so.
    pub fn waits_and_passes(
        &self,
        client: &mut SmtpClient,
        clock: &mut Clock,
        mailbox: impl Fn(&str, usize) -> Result<String>,
    ) -> Result<()> {
        let start = clock.now();
        for (after, left) in [(0, 60), (59, 1)] {
            clock.set(start + after)?;
            let (replies, end) = client.deliver(self.sender, self.recipients)?;
            let waits = |reply: &SmtpReply| *reply == (self.deferred)(left);
            ensure!(replies.iter().all(waits) && end.is_none(), "{replies:?}");
        }
        clock.set(start + 60)?;
        let (replies, end) = client.deliver(self.sender, self.recipients)?;
        self.are_taken(&replies, self.recipients)?;
        ensure!(end.is_some_and(|reply| reply.code == 250));
        let expected = format!(
            "X-Greylist: delayed 60 seconds by greylatch-{} at mx.example.org; ",
            env!("CARGO_PKG_VERSION")
        );
        for recipient in self.recipients {
            let mail = mailbox(recipient, 1)?;
            let found = headers(&mail, "X-Greylist");
            ensure!(
                matches!(&found[..], [header] if header.starts_with(&expected)),
                "{mail}"
            );
        }
        let (first, _) = self.recipients.split_at(1);
        let (replies, _) = client.deliver(self.sender, first)?;
        self.are_taken(&replies, first)?;
        let mail = mailbox(first[0], 2)?;
        ensure!(headers(&mail, "X-Greylist").len() == 1, "{mail}");
        Ok(())
    }

    fn are_taken(&self, replies: &[SmtpReply], recipients: &[&str]) -> Result<()> {
        let expected: Vec<SmtpReply> = recipients.iter().map(|one| (self.taken)(one)).collect();
        ensure!(replies == expected, "{replies:?}");
        Ok(())
    }
}
