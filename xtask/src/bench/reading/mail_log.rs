//! A week of a mail host's log, as long as one wants: Postfix before Postgrey, its IMAP server, and
//! mostly clients that nobody wants. The same lines in every run.
//!
//! Source: the lines of Postfix 3.7.11 and Postgrey 1.37, as they are seen in `conformance`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{Result, Write};

use crate::bench::random::Random;

/// Seconds that a log tells of.
const WEEK_S: u64 = 7 * 86_400;

/// How long a delivery has to wait, in seconds.
const DELAY_S: u64 = 300;

/// Correspondents who have come through before.
const KNOWN: u64 = 60_000;

/// Writes a log of at least so many lines, and gives how many there are.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(out: &mut impl Write, lines: u64) -> Result<u64> {
    let mut log = MailLog {
        out,
        lines: 0,
        now_s: 0,
        stamp: String::new(),
        random: Random::new(1),
    };
    let mut retries: BinaryHeap<Reverse<Retry>> = BinaryHeap::new();
    let mut next_new = KNOWN;
    while log.lines < lines {
        log.set_clock(log.lines * WEEK_S / lines);
        while let Some(Reverse(retry)) = retries.peek()
            && log.now_s >= retry.at
        {
            let retry = *retry;
            retries.pop();
            log.again(retry, &mut retries)?;
        }
        match log.random.below(100) {
            0..8 => {
                let number = log.random.skewed_below(KNOWN);
                log.accepted(&Mail::of(number), "reason=client AWL")?;
            }
            8..38 => {
                let first = Retry {
                    at: log.now_s,
                    first: log.now_s,
                    number: next_new,
                };
                next_new += 1;
                log.again(first, &mut retries)?;
            }
            38..65 => log.unwanted()?,
            _ => log.others()?,
        }
    }
    Ok(log.lines)
}

struct MailLog<'a, W> {
    out: &'a mut W,
    lines: u64,
    /// Seconds since the beginning of the log.
    now_s: u64,
    /// What lines begin with now: time and host.
    stamp: String,
    random: Random,
}

/// An attempt that is to come; in the order of their times.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Retry {
    at: u64,
    first: u64,
    number: u64,
}

/// Whose mail it is.
struct Mail {
    name: String,
    address: String,
    sender: String,
    recipient: String,
}

impl Mail {
    /// The mail with a number, always the same.
    fn of(number: u64) -> Self {
        let mut random = Random::new(number);
        let site = random.skewed_below(20_000);
        let [second, third] = [site / 250, site % 250];
        let last = 1 + random.below(4);
        let name = match random.below(10) {
            0..2 => "unknown".to_owned(),
            2 => format!(
                "dyn-{second}-{third}-{last}.pool.provider{}.example",
                site % 40
            ),
            _ => format!("mx{last}.site{site}.example"),
        };
        let sender = match random.below(20) {
            0 => String::new(),
            1 => format!(
                "bounce-{}-{number}@lists.site{site}.example",
                random.below(999)
            ),
            2 => format!(
                "prvs={:010x}=user{number}@site{site}.example",
                random.below(1 << 40)
            ),
            _ => format!("user{}@site{site}.example", number % 100_000),
        };
        Self {
            name,
            address: format!("10.{second}.{third}.{last}"),
            sender,
            recipient: format!("person{}@example.org", random.skewed_below(3_000)),
        }
    }

    /// The client as Postfix names it.
    fn client(&self) -> String {
        format!("{}[{}]", self.name, self.address)
    }

    /// What Postgrey says of it behind action and reason.
    fn fields(&self) -> String {
        let Self {
            name,
            address,
            sender,
            recipient,
        } = self;
        let sender = if sender.is_empty() {
            String::new()
        } else {
            format!(", sender={sender}")
        };
        format!("client_name={name}, client_address={address}{sender}, recipient={recipient}")
    }
}

impl<W: Write> MailLog<'_, W> {
    fn set_clock(&mut self, now_s: u64) {
        self.now_s = now_s;
        let (day, second) = (now_s / 86_400, now_s % 86_400);
        self.stamp = format!(
            "Nov {:>2} {:02}:{:02}:{:02} mail",
            3 + day,
            second / 3_600,
            second / 60 % 60,
            second % 60
        );
    }

    fn line(&mut self, text: &str) -> Result<()> {
        self.lines += 1;
        writeln!(self.out, "{} {text}", self.stamp)
    }

    /// A process of a program.
    fn process(&mut self, program: &str) -> String {
        format!("{program}[{}]", 1_000 + self.random.below(60_000))
    }

    /// An attempt of a delivery that was new. A third of them come back, many of those too early.
    ///
    /// Source: J. Levine, "Greylisting still works" (68 of 100 hosts never retry).
    fn again(&mut self, attempt: Retry, retries: &mut BinaryHeap<Reverse<Retry>>) -> Result<()> {
        let mail = Mail::of(attempt.number);
        let waited_s = self.now_s - attempt.first;
        if waited_s >= DELAY_S {
            return self.accepted(&mail, &format!("reason=triplet found, delay={waited_s}"));
        }
        let missing_s = DELAY_S - waited_s;
        let reason = if waited_s == 0 {
            "new".to_owned()
        } else {
            format!("early-retry ({missing_s}s missing)")
        };
        self.deferred(&mail, &reason, missing_s)?;
        if waited_s > 0 || attempt.number.is_multiple_of(3) {
            let later_s = 60 + self.random.skewed_below(7_200);
            retries.push(Reverse(Retry {
                at: self.now_s + later_s,
                ..attempt
            }));
        }
        Ok(())
    }

    /// A client connects; gives the process of smtpd that it meets.
    fn connected(&mut self, mail: &Mail) -> Result<String> {
        let smtpd = self.process("postfix/smtpd");
        let client = mail.client();
        self.line(&format!("{smtpd}: connect from {client}"))?;
        Ok(smtpd)
    }

    fn deferred(&mut self, mail: &Mail, reason: &str, missing_s: u64) -> Result<()> {
        let smtpd = self.connected(mail)?;
        let (client, fields) = (mail.client(), mail.fields());
        let (helo, sender, recipient) = (&mail.name, &mail.sender, &mail.recipient);
        self.line(&format!(
            "postgrey[77]: action=greylist, reason={reason}, {fields}"
        ))?;
        self.line(&format!(
            "{smtpd}: NOQUEUE: reject: RCPT from {client}: 450 4.2.0 <{recipient}>: Recipient address rejected: \
             Greylisted, see http://postgrey.schweikert.ch/help/example.org.html ({missing_s}s); from=<{sender}> \
             to=<{recipient}> proto=ESMTP helo=<{helo}>"
        ))?;
        self.line(&format!(
            "{smtpd}: disconnect from {client} ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4"
        ))
    }

    fn accepted(&mut self, mail: &Mail, reason: &str) -> Result<()> {
        let smtpd = self.connected(mail)?;
        let cleanup = self.process("postfix/cleanup");
        let lmtp = self.process("postfix/lmtp");
        let id = format!("4{:09X}", self.random.below(1 << 36));
        let size = 1_000 + self.random.skewed_below(3_000_000);
        let (client, fields) = (mail.client(), mail.fields());
        let (name, sender, recipient) = (&mail.name, &mail.sender, &mail.recipient);
        self.line(&format!("postgrey[77]: action=pass, {reason}, {fields}"))?;
        self.line(&format!("{smtpd}: {id}: client={client}"))?;
        self.line(&format!("{cleanup}: {id}: message-id=<{size}.{id}@{name}>"))?;
        self.line(&format!(
            "postfix/qmgr[1501]: {id}: from=<{sender}>, size={size}, nrcpt=1 (queue active)"
        ))?;
        self.line(&format!(
            "{smtpd}: disconnect from {client} ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7"
        ))?;
        self.line(&format!(
            "{lmtp}: {id}: to=<{recipient}>, relay=mail.example.org[private/dovecot-lmtp], delay=0.41, \
             delays=0.3/0.01/0.01/0.09, dsn=2.0.0, status=sent (250 2.0.0 <{recipient}> {id} Saved)"
        ))?;
        self.line(&format!("postfix/qmgr[1501]: {id}: removed"))
    }

    /// One who is sent away for good.
    fn unwanted(&mut self) -> Result<()> {
        let smtpd = self.process("postfix/smtpd");
        let mail = Mail::of(self.random.below(1 << 40));
        let client = mail.client();
        let Mail {
            name,
            address,
            sender,
            recipient,
        } = mail;
        self.line(&format!("{smtpd}: connect from {client}"))?;
        self.line(&format!(
            "{smtpd}: NOQUEUE: reject: RCPT from {client}: 554 5.7.1 Service unavailable; Client host \
             [{address}] blocked using zen.example; https://www.blocklist.example/query/ip/{address}; \
             from=<{sender}> to=<{recipient}> proto=SMTP helo=<{name}>"
        ))?;
        self.line(&format!(
            "{smtpd}: disconnect from {client} helo=1 mail=1 rcpt=0/1 quit=1 commands=3/4"
        ))
    }

    /// What is nobody's business.
    fn others(&mut self) -> Result<()> {
        let number = self.random.below(3_000);
        let address = format!("10.77.{}.{}", number / 250, number % 250);
        let smtpd = self.process("postfix/smtpd");
        match self.random.below(4) {
            0 => self.line(&format!(
                "{smtpd}: warning: hostname host{number}.provider.example does not resolve to address \
                 {address}: Name or service not known"
            )),
            1 => self.line(&format!(
                "{smtpd}: lost connection after AUTH from unknown[{address}]"
            )),
            _ => {
                let session = format!("user=<person{number}>, method=PLAIN, rip={address}");
                self.line(&format!(
                    "dovecot: imap-login: Login: {session}, lip=10.0.0.1, mpid=4711, TLS, session=<{session:x<16.16}>"
                ))?;
                self.line(&format!(
                    "dovecot: imap(person{number})<4711><{session:x<16.16}>: Disconnected: Logged out in=94 out=853"
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: u64) -> (String, u64) {
        let mut text = Vec::new();
        let written = write(&mut text, lines).expect("memory takes it");
        (String::from_utf8(text).expect("it is a text"), written)
    }

    #[test]
    fn the_same_log_comes_each_time_in_the_order_of_its_times() {
        let (text, written) = log(5_000);
        assert_eq!((text.clone(), written), log(5_000));
        assert_eq!(text.lines().count() as u64, written);
        let stamps: Vec<&str> = text.lines().map(|line| &line[4..15]).collect();
        assert!(stamps.is_sorted());
        assert_eq!(
            (stamps[0], stamps[stamps.len() - 1]),
            (" 3 00:00:00", " 9 23:57:59")
        );
    }

    #[test]
    fn all_kinds_of_lines_are_there_in_their_shares() {
        let (text, written) = log(20_000);
        let share = |word: &str| {
            let count = text.lines().filter(|line| line.contains(word)).count();
            count as u64 * 1_000 / written
        };
        let shares = [
            "Greylisted",
            "early-retry",
            "triplet found",
            "client AWL",
            ": removed",
            "554 5.7.1",
            "dovecot: ",
        ]
        .map(share);
        assert_eq!(shares, [83, 12, 23, 19, 42, 65, 84]);
    }
}
