//! Log lines about mail. Those about the daemon are in `event.rs`.

use std::net::IpAddr;

use greylatch_core::Seconds;

use super::cause::{PassCause, log_texts};
use super::clock_text;
use crate::escape::escaped;

/// Whom a line speaks of.
#[derive(Clone, Copy, Debug)]
pub struct LogSubject<'a> {
    /// The MTA's queue id; Postfix has none yet at the first recipient.
    pub queue_id: Option<&'a [u8]>,
    /// The client's host name, as the MTA gave it.
    pub host: &'a [u8],
    /// The client's address.
    pub client: IpAddr,
    /// The sender, as the client spelled it.
    pub sender: &'a [u8],
    /// The recipient, as the client spelled it; `None` when the line is of the whole message.
    pub recipient: Option<&'a [u8]>,
}

/// A line about mail.
#[derive(Clone, Copy, Debug)]
pub enum MilterGreylistLine<'a> {
    /// A recipient has to wait.
    Delayed {
        /// Whom it is about.
        subject: &'a LogSubject<'a>,
        /// How long is left.
        wait: Seconds,
        /// The rule.
        acl: &'a [u8],
        /// It was said at the end of the message.
        after_data: bool,
    },
    /// A recipient has waited. The original is silent here.
    Accepted {
        /// Whom it is about.
        subject: &'a LogSubject<'a>,
        /// How long ago the first attempt was.
        elapsed: Seconds,
        /// The rule.
        acl: &'a [u8],
    },
    /// A recipient passes as it has before.
    Known {
        /// Whom it is about.
        subject: &'a LogSubject<'a>,
        /// For how long it is remembered from now on.
        lifetime: Seconds,
    },
    /// A rule sends it away.
    Blacklisted {
        /// Whom it is about.
        subject: &'a LogSubject<'a>,
        /// The rule.
        acl: &'a [u8],
    },
    /// A rule lets it pass.
    Skipped {
        /// Whom it is about.
        subject: &'a LogSubject<'a>,
        /// Why.
        causes: &'a [PassCause<'a>],
        /// The rule.
        acl: &'a [u8],
    },
    /// SPF lets it pass before any rule.
    SpfBypass(&'a LogSubject<'a>),
    /// `{auth_authen}` lets it pass before any rule: the login.
    LoginBypass(&'a [u8]),
    /// A verified certificate lets it pass before any rule: its subject.
    CertificateBypass(&'a [u8]),
    /// `{greylist}` lets it pass before any rule.
    AccessDatabaseBypass,
    /// All entries of a client were removed by a rule.
    Flushed {
        /// Whom it is about.
        subject: &'a LogSubject<'a>,
        /// How many there were.
        removed: u64,
        /// The rule.
        acl: &'a [u8],
    },
    /// A rate is over its limit.
    RateOverflow(RateOverflow<'a>),
    /// An entry waited in vain.
    TimedOut(&'a LogSubject<'a>),
    /// A recipient is asked about; with `verbose` only.
    Asked(&'a LogSubject<'a>),
    /// An entry was made; with `verbose` only.
    Created {
        /// Whom it is about.
        subject: &'a LogSubject<'a>,
        /// How long it waits.
        length: Seconds,
    },
    /// An entry that waits no more was removed, or renewed; with `verbose` only.
    Removed(&'a LogSubject<'a>),
    /// A rule matched; with `verbose` only.
    Matched {
        /// Whom it is about.
        subject: &'a LogSubject<'a>,
        /// The rule, as `racl 8 greylist default`.
        rule: &'a [u8],
    },
    /// A change that a rule wants is not made, since the message is longer than what is kept of it.
    /// The original is silent here.
    NotChanged {
        /// Whom it is about.
        subject: &'a LogSubject<'a>,
        /// The rule's word for the change.
        value: &'static str,
        /// How many bytes are kept.
        kept_max: usize,
    },
    /// `addheader` of a rule has no `: `.
    BadHeader(&'a [u8]),
}

/// A rate that is over its limit.
#[derive(Clone, Copy, Debug)]
pub struct RateOverflow<'a> {
    /// The name of the class.
    pub class: &'a [u8],
    /// What has been counted, this included.
    pub count: u64,
    /// How much there may be.
    pub limit: u64,
    /// What is counted: `recipients`, `sessions` or `bytes`.
    pub unit: &'static str,
    /// In how long.
    pub per: Seconds,
    /// For what it is counted.
    pub key: &'a [u8],
}

impl MilterGreylistLine<'_> {
    /// The syslog severity that the original gives it.
    ///
    /// Source: RFC 5424 §6.2.1, table 2 (3 error, 4 warning, 6 informational, 7 debug).
    #[must_use]
    pub fn severity(&self) -> u8 {
        match self {
            Self::BadHeader(_) => 3,
            Self::RateOverflow(_) | Self::NotChanged { .. } => 4,
            Self::Delayed { .. }
            | Self::Accepted { .. }
            | Self::Known { .. }
            | Self::Blacklisted { .. }
            | Self::Skipped { .. }
            | Self::SpfBypass(_)
            | Self::Flushed { .. } => 6,
            Self::LoginBypass(_)
            | Self::CertificateBypass(_)
            | Self::AccessDatabaseBypass
            | Self::TimedOut(_)
            | Self::Asked(_)
            | Self::Created { .. }
            | Self::Removed(_)
            | Self::Matched { .. } => 7,
        }
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Delayed {
                subject,
                wait,
                acl,
                after_data,
            } => {
                let stage = if *after_data { "after DATA phase " } else { "" };
                let wait = clock_text(*wait);
                subject.line(&format!("delayed {stage}for {wait}"), acl)
            }
            Self::Accepted {
                subject,
                elapsed,
                acl,
            } => subject.line(&format!("accepted after {}", clock_text(*elapsed)), acl),
            Self::Blacklisted { subject, acl } => subject.line("blacklisted", acl),
            Self::Known { subject, lifetime } => format!(
                "{}: addr {} from {} rcpt {}: autowhitelisted for another {}",
                subject.id(),
                subject.client,
                escaped(subject.sender),
                subject.recipient_or_nil(),
                clock_text(*lifetime),
            ),
            Self::Skipped {
                subject,
                causes,
                acl,
            } => subject.skipped(causes, acl),
            Self::SpfBypass(subject) => format!(
                "{}: Sender IP {} and address {} are SPF-compliant, bypassing greylist",
                subject.id(),
                subject.client,
                escaped(subject.sender),
            ),
            Self::Flushed {
                subject,
                removed,
                acl,
            } => format!(
                "{}: addr {} flushed, removed {removed} grey and autowhite (ACL {})",
                subject.id(),
                subject.client,
                escaped(acl),
            ),
            Self::RateOverflow(rate) => rate.text(),
            Self::NotChanged {
                subject,
                value,
                kept_max,
            } => format!(
                "{}: no {value}, the message is longer than maxpeek = {kept_max}",
                subject.id()
            ),
            Self::BadHeader(header) => format!("bad header \"{}\"", escaped(header)),
            Self::LoginBypass(_)
            | Self::CertificateBypass(_)
            | Self::AccessDatabaseBypass
            | Self::TimedOut(_)
            | Self::Asked(_)
            | Self::Created { .. }
            | Self::Removed(_)
            | Self::Matched { .. } => self.debug_text(),
        }
    }

    fn debug_text(&self) -> String {
        match self {
            Self::LoginBypass(login) => {
                let login = escaped(login);
                format!("User {login} authenticated, bypassing greylisting")
            }
            Self::CertificateBypass(name) => {
                let name = escaped(name);
                format!("STARTTLS succeeded for DN=\"{name}\", bypassing greylisting")
            }
            Self::AccessDatabaseBypass => "whitelisted by {greylist}".to_owned(),
            Self::TimedOut(subject) => {
                format!("(local): {}: greylisted entry timed out", subject.triplet())
            }
            Self::Asked(subject) => format!(
                "{}: addr = {}[{}], from = {}, rcpt = {}",
                subject.id(),
                escaped(subject.host),
                subject.client,
                escaped(subject.sender),
                subject.recipient_or_nil(),
            ),
            // Where one that has passed says `AUTO`, there is nothing.
            Self::Created { subject, length } => format!(
                "created:  {} delayed for {}",
                subject.triplet(),
                clock_text(*length)
            ),
            Self::Removed(subject) => format!("removed: {}", subject.triplet()),
            Self::Matched { subject, rule } => {
                format!(
                    "Mail {} is matched by entry {}",
                    subject.in_full(),
                    escaped(rule)
                )
            }
            // The others are in `text`.
            _ => String::new(),
        }
    }
}

impl LogSubject<'_> {
    fn id(&self) -> String {
        self.queue_id
            .map_or_else(|| "(unknown id)".to_owned(), escaped)
    }

    /// As the C library prints a missing text.
    fn recipient_or_nil(&self) -> String {
        self.recipient.map_or_else(|| "(nil)".to_owned(), escaped)
    }

    /// `QID: addr HOST[IP] from FROM to RCPT … (ACL ID)`, without `to RCPT` where there is none.
    fn line(&self, what: &str, acl: &[u8]) -> String {
        let to = self.recipient.map_or_else(String::new, |recipient| {
            format!(" to {}", escaped(recipient))
        });
        format!(
            "{}: addr {}[{}] from {}{to} {what} (ACL {})",
            self.id(),
            escaped(self.host),
            self.client,
            escaped(self.sender),
            escaped(acl),
        )
    }

    fn skipped(&self, causes: &[PassCause<'_>], acl: &[u8]) -> String {
        let mut why = log_texts(causes, self);
        why.push(format!("({})", self.in_full()));
        format!(
            "{}: skipping greylist because {} ACL {}",
            self.id(),
            why.join(", "),
            escaped(acl),
        )
    }

    fn in_full(&self) -> String {
        format!(
            "from={}, rcpt={}, addr={}[{}]",
            escaped(self.sender),
            self.recipient_or_nil(),
            escaped(self.host),
            self.client,
        )
    }

    fn triplet(&self) -> String {
        let sender = escaped(self.sender);
        format!(
            "{} from {sender} to {}",
            self.client,
            self.recipient_or_nil()
        )
    }
}

impl RateOverflow<'_> {
    fn text(&self) -> String {
        format!(
            "ratelimit overflow for class {}: {}, limit is {} {} / {} sec, key = \"{}\"",
            escaped(self.class),
            self.count,
            self.limit,
            self.unit,
            self.per.0,
            escaped(self.key),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> LogSubject<'static> {
        LogSubject {
            queue_id: Some(b"QID1"),
            host: b"mail.example.org",
            client: [192, 0, 2, 10].into(),
            sender: b"<a@x.org>",
            recipient: Some(b"<b@y.net>"),
        }
    }

    fn delayed(subject: &LogSubject<'_>, after_data: bool) -> String {
        MilterGreylistLine::Delayed {
            subject,
            wait: Seconds(3600),
            acl: b"6",
            after_data,
        }
        .text()
    }

    fn skipped(subject: &LogSubject<'_>, causes: &[PassCause<'_>]) -> String {
        MilterGreylistLine::Skipped {
            subject,
            causes,
            acl: b"c2",
        }
        .text()
    }

    #[test]
    fn the_lines_of_a_run_of_the_original_are_its_own() {
        assert_eq!(
            delayed(&subject(), false),
            "QID1: addr mail.example.org[192.0.2.10] from <a@x.org> to <b@y.net> delayed for 01:00:00 (ACL 6)"
        );
        let unknown = LogSubject {
            queue_id: None,
            ..subject()
        };
        assert_eq!(
            delayed(&unknown, false),
            "(unknown id): addr mail.example.org[192.0.2.10] from <a@x.org> to <b@y.net> delayed for 01:00:00 (ACL 6)"
        );
        let wanted = LogSubject {
            recipient: Some(b"<w@y.net>"),
            ..subject()
        };
        assert_eq!(
            skipped(&wanted, &[PassCause::Recipient]),
            "QID1: skipping greylist because recipient <w@y.net> is whitelisted, (from=<a@x.org>, rcpt=<w@y.net>, addr=mail.example.org[192.0.2.10]) ACL c2"
        );
        let blocked = LogSubject {
            recipient: Some(b"<bl@y.net>"),
            ..subject()
        };
        let line = MilterGreylistLine::Blacklisted {
            subject: &blocked,
            acl: b"c2",
        };
        assert_eq!(
            line.text(),
            "QID1: addr mail.example.org[192.0.2.10] from <a@x.org> to <bl@y.net> blacklisted (ACL c2)"
        );
        let line = MilterGreylistLine::Flushed {
            subject: &subject(),
            removed: 2,
            acl: b"8",
        };
        assert_eq!(
            line.text(),
            "QID1: addr 192.0.2.10 flushed, removed 2 grey and autowhite (ACL 8)"
        );
        let rate = MilterGreylistLine::RateOverflow(RateOverflow {
            class: b"r",
            count: 4,
            limit: 3,
            unit: "recipients",
            per: Seconds(20),
            key: b"192.0.2.10",
        });
        assert_eq!(rate.severity(), 4);
        assert_eq!(
            rate.text(),
            "ratelimit overflow for class r: 4, limit is 3 recipients / 20 sec, key = \"192.0.2.10\""
        );
    }

    #[test]
    fn lines_of_a_whole_message_name_no_recipient() {
        let whole = LogSubject {
            recipient: None,
            ..subject()
        };
        let line = MilterGreylistLine::Blacklisted {
            subject: &whole,
            acl: b"9",
        };
        assert_eq!(
            line.text(),
            "QID1: addr mail.example.org[192.0.2.10] from <a@x.org> blacklisted (ACL 9)"
        );
        assert_eq!(
            skipped(&whole, &[PassCause::Recipient, PassCause::Default]),
            "QID1: skipping greylist because at least one recipient is whitelisted, this is the default action, (from=<a@x.org>, rcpt=(nil), addr=mail.example.org[192.0.2.10]) ACL c2"
        );
        assert_eq!(
            delayed(&subject(), true),
            "QID1: addr mail.example.org[192.0.2.10] from <a@x.org> to <b@y.net> delayed after DATA phase for 01:00:00 (ACL 6)"
        );
    }

    #[test]
    fn every_cause_has_its_words() {
        for (cause, text) in [
            (
                PassCause::Domain,
                "sender DNS name mail.example.org is whitelisted",
            ),
            (PassCause::Address, "address 192.0.2.10 is whitelisted"),
            (PassCause::Sender, "sender <a@x.org> is whitelisted"),
            (PassCause::Recipient, "recipient <b@y.net> is whitelisted"),
            (PassCause::Spf(true), "sender is SPF-compliant"),
            (PassCause::Spf(false), "sender is not SPF-compliant"),
            (PassCause::DnsList(true), "address 192.0.2.10 is in DNSRBL"),
            (
                PassCause::DnsList(false),
                "address 192.0.2.10 is not in DNSRBL",
            ),
            (PassCause::Mx, "address 192.0.2.10 matches MX record"),
            (PassCause::Url(true), "URL check passed"),
            (PassCause::Url(false), "URL check not passed"),
            (PassCause::Macro(true), "macro rule is satisfied"),
            (PassCause::Macro(false), "macro rule is not satisfied"),
            (
                PassCause::Country(b"NZ", true),
                "geoip ccode NZ is whitelisted",
            ),
            (
                PassCause::Country(b"NZ", false),
                "geoip ccode NZ is not whitelisted",
            ),
            (PassCause::Tarpit(Seconds(2)), "tarpit is requested"),
            (PassCause::Default, "this is the default action"),
            (PassCause::Dkim, "sender is DKIM-compliant"),
        ] {
            assert_eq!(
                skipped(&subject(), &[cause]),
                format!(
                    "QID1: skipping greylist because {text}, (from=<a@x.org>, rcpt=<b@y.net>, addr=mail.example.org[192.0.2.10]) ACL c2"
                )
            );
        }
    }

    #[test]
    fn causes_without_words_are_left_out_and_the_others_have_an_order() {
        let because = |causes: &[PassCause<'_>]| {
            let line = skipped(&subject(), causes);
            let (_, because) = line.split_once(" because ").expect("a cause");
            let (because, _) = because.split_once("(from=").expect("a sender");
            because.to_owned()
        };
        assert_eq!(because(&[PassCause::Authenticated, PassCause::Rule]), "");
        let mixed = [
            PassCause::Macro(true),
            PassCause::Rule,
            PassCause::Sender,
            PassCause::Address,
        ];
        assert_eq!(
            because(&mixed),
            "address 192.0.2.10 is whitelisted, sender <a@x.org> is whitelisted, \
             macro rule is satisfied, "
        );
    }

    fn assert_said(expected: &[(MilterGreylistLine<'_>, u8, &str)]) {
        for (line, severity, text) in expected {
            assert_eq!(line.text(), *text);
            assert_eq!(line.severity(), *severity, "{text}");
        }
    }

    #[test]
    fn passes_are_told_in_the_originals_words() {
        let subject = subject();
        assert_said(&[
            (
                MilterGreylistLine::Known {
                    subject: &subject,
                    lifetime: Seconds(86_400),
                },
                6,
                "QID1: addr 192.0.2.10 from <a@x.org> rcpt <b@y.net>: autowhitelisted for another 24:00:00",
            ),
            (
                MilterGreylistLine::Accepted {
                    subject: &subject,
                    elapsed: Seconds(3661),
                    acl: b"6",
                },
                6,
                "QID1: addr mail.example.org[192.0.2.10] from <a@x.org> to <b@y.net> accepted after 01:01:01 (ACL 6)",
            ),
            (
                MilterGreylistLine::SpfBypass(&subject),
                6,
                "QID1: Sender IP 192.0.2.10 and address <a@x.org> are SPF-compliant, bypassing greylist",
            ),
            (
                MilterGreylistLine::LoginBypass(b"joe"),
                7,
                "User joe authenticated, bypassing greylisting",
            ),
            (
                MilterGreylistLine::CertificateBypass(b"/CN=foo"),
                7,
                "STARTTLS succeeded for DN=\"/CN=foo\", bypassing greylisting",
            ),
            (
                MilterGreylistLine::AccessDatabaseBypass,
                7,
                "whitelisted by {greylist}",
            ),
        ]);
    }

    #[test]
    fn what_becomes_of_entries_and_rules_is_told_in_the_originals_words() {
        let subject = subject();
        assert_said(&[
            (
                MilterGreylistLine::TimedOut(&subject),
                7,
                "(local): 192.0.2.10 from <a@x.org> to <b@y.net>: greylisted entry timed out",
            ),
            (
                MilterGreylistLine::Created {
                    subject: &subject,
                    length: Seconds(1800),
                },
                7,
                "created:  192.0.2.10 from <a@x.org> to <b@y.net> delayed for 00:30:00",
            ),
            (
                MilterGreylistLine::Asked(&subject),
                7,
                "QID1: addr = mail.example.org[192.0.2.10], from = <a@x.org>, rcpt = <b@y.net>",
            ),
            (
                MilterGreylistLine::Removed(&subject),
                7,
                "removed: 192.0.2.10 from <a@x.org> to <b@y.net>",
            ),
            (
                MilterGreylistLine::Matched {
                    subject: &subject,
                    rule: b"racl 8 greylist default",
                },
                7,
                "Mail from=<a@x.org>, rcpt=<b@y.net>, addr=mail.example.org[192.0.2.10] is matched by entry racl 8 greylist default",
            ),
            (
                MilterGreylistLine::NotChanged {
                    subject: &subject,
                    value: "addfooter",
                    kept_max: 100,
                },
                4,
                "QID1: no addfooter, the message is longer than maxpeek = 100",
            ),
            (MilterGreylistLine::BadHeader(b"x"), 3, "bad header \"x\""),
        ]);
    }

    #[test]
    fn nothing_from_outside_reaches_the_log_as_it_is() {
        let hostile = &b"\x1b[2J\n%s\xff"[..];
        let shown = "\\x1b[2J\\x0a%s\\xff";
        let subject = LogSubject {
            queue_id: Some(hostile),
            host: hostile,
            client: [192, 0, 2, 10].into(),
            sender: hostile,
            recipient: Some(hostile),
        };
        let line = MilterGreylistLine::Blacklisted {
            subject: &subject,
            acl: hostile,
        };
        assert_eq!(
            line.text(),
            format!(
                "{shown}: addr {shown}[192.0.2.10] from {shown} to {shown} blacklisted (ACL {shown})"
            )
        );
        let causes = [
            PassCause::Domain,
            PassCause::Sender,
            PassCause::Recipient,
            PassCause::Country(hostile, true),
            PassCause::Rule,
        ];
        let texts = [
            MilterGreylistLine::Skipped {
                subject: &subject,
                causes: &causes,
                acl: hostile,
            },
            MilterGreylistLine::Known {
                subject: &subject,
                lifetime: Seconds(1),
            },
            MilterGreylistLine::SpfBypass(&subject),
            MilterGreylistLine::LoginBypass(hostile),
            MilterGreylistLine::CertificateBypass(hostile),
            MilterGreylistLine::Flushed {
                subject: &subject,
                removed: 0,
                acl: hostile,
            },
            MilterGreylistLine::TimedOut(&subject),
            MilterGreylistLine::Removed(&subject),
            MilterGreylistLine::Matched {
                subject: &subject,
                rule: hostile,
            },
            MilterGreylistLine::BadHeader(hostile),
            MilterGreylistLine::RateOverflow(RateOverflow {
                class: hostile,
                count: 1,
                limit: 0,
                unit: "bytes",
                per: Seconds(1),
                key: hostile,
            }),
        ]
        .map(|line| line.text());
        for text in texts {
            assert!(!text.contains(['\x1b', '\n']), "{text:?}");
            assert!(text.contains(shown), "{text:?}");
        }
    }
}
