//! Room 4, first part: what passes before any rule is asked. Pure.

use std::net::IpAddr;

use greylatch_core::{Attempt, Field, Network, Reason, Stage};

use crate::config::{Config, NullSender};

/// What passes before any rule is asked.
#[derive(Clone, Debug)]
pub(crate) struct Bypass {
    cluster: Vec<Network>,
    every_stage: bool,
    local: bool,
    authenticated: bool,
    access: bool,
    null_sender: NullSender,
}

impl Bypass {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            cluster: config.cluster.hosts.clone(),
            every_stage: config.policy.every_stage,
            local: config.greylist.exempt_local,
            authenticated: config.greylist.exempt_authenticated,
            access: config.greylist.exempt_access_listed,
            null_sender: config.greylist.null_sender,
        }
    }

    /// Why the attempt passes unjudged, if it does.
    pub(crate) fn reason(&self, attempt: &Attempt, client: Option<IpAddr>) -> Option<Reason> {
        if let Some(client) = client {
            if self.cluster.iter().any(|network| network.contains(client)) {
                return Some(Reason::Cluster);
            }
            if self.local && is_host_itself(client) {
                return Some(Reason::Local);
            }
        }
        // Who came by no network sits on this very host.
        if self.local && attempt.field(Field::ClientAddress).is_none() {
            return Some(Reason::Local);
        }
        if self.authenticated && !attempt.text(Field::Login).is_empty() {
            return Some(Reason::Authenticated);
        }
        if self.authenticated && !attempt.text(Field::CertSubject).is_empty() {
            return Some(Reason::Certified);
        }
        if self.access && access_passes(attempt) {
            return Some(Reason::AccessListed);
        }
        if !self.every_stage && !is_judged(attempt) {
            return Some(Reason::Stage);
        }
        if !attempt.text(Field::Sender).is_empty() {
            return None;
        }
        match (self.null_sender, attempt.stage()) {
            (NullSender::Exempt, _) | (NullSender::Data, Stage::Rcpt) => Some(Reason::NullSender),
            _ => None,
        }
    }
}

/// Whether Sendmail's access database lets the client through.
pub(crate) fn access_passes(attempt: &Attempt) -> bool {
    ACCESS_PASSES.contains(&attempt.text(Field::Access))
}

/// The words of Sendmail's access database that let a client through.
///
/// Source: milter-greylist's README, "Working with Sendmail's access DB"; Sendmail's `cf/README`,
/// "Access database" (`RELAY`, `OK`).
const ACCESS_PASSES: [&[u8]; 3] = [b"WHITE", b"RELAY", b"OK"];

/// Only `127.0.0.1` and `::1` are this host's own mail; the rest of 127.0.0.0/8 is what local
/// tests and relays use as addresses of other machines.
fn is_host_itself(client: IpAddr) -> bool {
    client == IpAddr::from([127, 0, 0, 1]) || client == IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])
}

/// At RCPT there is one recipient; later the verdict is for the whole message, and only with
/// exactly one recipient is that the same.
///
/// Source: Postfix SMTPD_POLICY_README, "Protocol description" (`recipient` is empty and
/// `recipient_count` above one when several were accepted).
pub(crate) fn is_judged(attempt: &Attempt) -> bool {
    match attempt.stage() {
        Stage::Rcpt => true,
        Stage::Data | Stage::EndOfMessage => {
            attempt.text(Field::RecipientCount) == b"1"
                && !attempt.text(Field::Recipient).is_empty()
        }
        Stage::Earlier | Stage::Other => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(stage: Stage, fields: &[(Field, &str)]) -> Attempt {
        let mut attempt = Attempt::new();
        attempt.set_stage(stage);
        attempt.set(Field::ClientAddress, b"given beside it");
        attempt.set(Field::Sender, b"a@example.com");
        attempt.set(Field::Recipient, b"b@example.org");
        for (field, value) in fields {
            attempt.set(*field, value.as_bytes());
        }
        attempt
    }

    fn reason(config: &Config, attempt: &Attempt, client: &str) -> Option<Reason> {
        Bypass::new(config).reason(attempt, client.parse().ok())
    }

    #[test]
    fn our_own_hosts_users_and_mail_pass() {
        let mut config = Config::default();
        config.cluster.hosts = vec!["192.0.2.0/28".parse().expect("a network")];
        let plain = attempt(Stage::Rcpt, &[]);
        assert_eq!(reason(&config, &plain, "192.0.2.15"), Some(Reason::Cluster));
        assert_eq!(reason(&config, &plain, "192.0.2.16"), None);
        assert_eq!(reason(&config, &plain, "127.0.0.1"), Some(Reason::Local));
        assert_eq!(reason(&config, &plain, "127.0.0.2"), None);
        let user = attempt(Stage::Rcpt, &[(Field::Login, "alice")]);
        assert_eq!(
            reason(&config, &user, "198.51.100.1"),
            Some(Reason::Authenticated)
        );
        let certified = attempt(Stage::Rcpt, &[(Field::CertSubject, "/CN=mx")]);
        assert_eq!(
            reason(&config, &certified, "198.51.100.1"),
            Some(Reason::Certified)
        );
        config.greylist.exempt_authenticated = false;
        config.greylist.exempt_local = false;
        assert_eq!(reason(&config, &certified, "198.51.100.1"), None);
        assert_eq!(reason(&config, &user, "127.0.0.1"), None);
    }

    #[test]
    fn who_comes_by_no_network_is_local() {
        let mut config = Config::default();
        let mut submitted = Attempt::new();
        submitted.set(Field::Sender, b"a@example.com");
        assert_eq!(reason(&config, &submitted, ""), Some(Reason::Local));
        config.greylist.exempt_local = false;
        assert_eq!(reason(&config, &submitted, ""), None);
    }

    // option: greylist.exempt_access_listed
    #[test]
    fn the_access_database_lets_through_by_three_words() {
        let mut config = Config::default();
        let access = |word| attempt(Stage::Rcpt, &[(Field::Access, word)]);
        for word in ["WHITE", "RELAY", "OK"] {
            assert_eq!(
                reason(&config, &access(word), "192.0.2.1"),
                Some(Reason::AccessListed)
            );
        }
        for word in ["", "white", "REJECT", "WHITELIST"] {
            assert_eq!(reason(&config, &access(word), "192.0.2.1"), None);
        }
        config.greylist.exempt_access_listed = false;
        assert_eq!(reason(&config, &access("WHITE"), "192.0.2.1"), None);
    }

    #[test]
    fn after_rcpt_only_a_single_recipient_is_judged() {
        let config = Config::default();
        let one = attempt(Stage::Data, &[(Field::RecipientCount, "1")]);
        assert_eq!(reason(&config, &one, "192.0.2.1"), None);
        let several = attempt(
            Stage::Data,
            &[(Field::RecipientCount, "2"), (Field::Recipient, "")],
        );
        assert_eq!(reason(&config, &several, "192.0.2.1"), Some(Reason::Stage));
        let early = attempt(Stage::Earlier, &[]);
        assert_eq!(reason(&config, &early, "192.0.2.1"), Some(Reason::Stage));
        let mut as_postgrey = Config::default();
        as_postgrey.policy.every_stage = true;
        assert_eq!(reason(&as_postgrey, &early, "192.0.2.1"), None);
    }

    #[test]
    fn the_null_sender_is_judged_where_the_administrator_says() {
        let mut config = Config::default();
        let bounce = attempt(Stage::Rcpt, &[(Field::Sender, "")]);
        let at_data = attempt(
            Stage::Data,
            &[(Field::Sender, ""), (Field::RecipientCount, "1")],
        );
        assert_eq!(reason(&config, &bounce, "192.0.2.1"), None);
        config.greylist.null_sender = NullSender::Data;
        assert_eq!(
            reason(&config, &bounce, "192.0.2.1"),
            Some(Reason::NullSender)
        );
        assert_eq!(reason(&config, &at_data, "192.0.2.1"), None);
        config.greylist.null_sender = NullSender::Exempt;
        assert_eq!(
            reason(&config, &at_data, "192.0.2.1"),
            Some(Reason::NullSender)
        );
    }
}
