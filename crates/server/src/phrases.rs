//! The texts of the administrator, ready to be filled in.

use greylatch_core::{Attempt, Field, Reply, Seconds};
use greylatch_wording::{HeaderTemplate, ReplyTemplate};
use nix::unistd::gethostname;

use crate::clock;
use crate::config::Config;

/// The reply of a deferral, the reply of a refusal, the header of mail that waited.
pub(crate) struct Phrases {
    deferral: ReplyTemplate,
    refusal: ReplyTemplate,
    header: HeaderTemplate,
    hostname: String,
}

impl Phrases {
    pub(crate) fn new(config: &Config) -> Self {
        let greylist = &config.greylist;
        let version = greylist
            .version
            .as_deref()
            .unwrap_or(env!("CARGO_PKG_VERSION"));
        let host = greylist.hostname.clone().unwrap_or_else(system_hostname);
        Self {
            deferral: ReplyTemplate::new(&greylist.reply),
            refusal: ReplyTemplate::new("Mail from you is not accepted here"),
            header: HeaderTemplate::new(&greylist.header, version, &host),
            hostname: host,
        }
    }

    pub(crate) fn reply(&self, wait: Seconds, attempt: &Attempt) -> Reply {
        self.deferral.fill(wait, attempt.text(Field::Recipient))
    }

    pub(crate) fn refusal(&self) -> Reply {
        self.refusal.fill(Seconds(0), b"")
    }

    /// The name of this host.
    pub(crate) fn hostname(&self) -> &str {
        &self.hostname
    }

    pub(crate) fn has_header(&self) -> bool {
        !self.header.is_empty()
    }

    /// The header is dated by the clock, whatever time a test request told.
    pub(crate) fn header(&self, waited: Seconds) -> Vec<u8> {
        self.header.fill(waited, &clock::header_date(clock::now()))
    }
}

fn system_hostname() -> String {
    gethostname().map_or_else(
        |_| "localhost".into(),
        |name| name.to_string_lossy().into_owned(),
    )
}
