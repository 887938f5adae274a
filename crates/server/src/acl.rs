//! The rules of a `greylist.conf` in force: what they need of the outside, and what of their values
//! becomes terms of greylisting. The rules themselves are in `crates/rules`, their words in
//! `crates/wording`.

mod amend;
mod message;
mod rates;
mod stat;
mod subject;

use std::sync::Arc;

use greylatch_core::{Due, Greylist, Seconds, Timing, WindowFrom};
use greylatch_proto::{ContentWanted, MilterOptions};
use greylatch_rules::{AclJudgement, AclSet, Diagnostic, GreylistConf, Settings, Source};
use greylatch_wording::Format;

use crate::facts::Countries;

pub(crate) use amend::{Tagged, tagged_subject, with_footer};
pub(crate) use message::{Accepted, AclMessage, AclRecipient, PutOff, SatThrough};
pub(crate) use rates::{Event, Rates};
pub(crate) use stat::StatReport;
pub(crate) use subject::{AclCase, Overflow, Place, is_whole, property_match};

/// The rules in force.
pub(crate) struct Acl {
    /// The file, as rules are named by it.
    path: String,
    set: AclSet,
    /// Counts outlive a reload.
    pub(crate) rates: Arc<Rates>,
    /// The report on each recipient, where one is wanted.
    stat: Option<Arc<StatReport>>,
    /// Which networks are in which country, when the rules name a database.
    pub(crate) countries: Option<Arc<Countries>>,
}

/// Bytes kept of a message where the file does not say.
const PEEK_MAX: usize = 1 << 20;

/// Macros that the texts of milter-greylist rest on.
const OWN_MACROS: [&str; 2] = ["j", "if_addr"];

impl Acl {
    /// Reads the file; every mistake in it is told, and costs its own statement only.
    pub(crate) fn read(source: &Source, rates: Arc<Rates>) -> (Self, Vec<Diagnostic>) {
        let (conf, diagnostics) = GreylistConf::read(source);
        let acl = Self {
            path: source.path.clone(),
            stat: conf
                .settings
                .stat
                .as_ref()
                .map(StatReport::new)
                .map(Arc::new),
            set: AclSet::new(conf),
            rates,
            countries: None,
        };
        (acl, diagnostics)
    }

    /// The rule on this line as `FILE:LINE: TEXT`.
    pub(crate) fn rule_text(&self, line: usize) -> Option<String> {
        let statements = &self.set.conf().statements;
        let statement = statements.iter().find(|one| one.line == line)?;
        Some(format!("{}:{line}: {}", self.path, statement.text))
    }

    /// The rule on this line as the log has it: its line behind its first word.
    pub(crate) fn rule_in_log(&self, line: usize) -> Option<String> {
        let statements = &self.set.conf().statements;
        let statement = statements.iter().find(|one| one.line == line)?;
        let (word, rest) = statement.text.split_once(' ')?;
        Some(format!("{word} {line} {rest}"))
    }

    /// The same rules, that go on with a report that is being written: opened anew, its file would
    /// begin anew.
    pub(crate) fn going_on_with(self, stat: Option<Arc<StatReport>>) -> Self {
        Self { stat, ..self }
    }

    pub(crate) fn stat(&self) -> Option<&Arc<StatReport>> {
        self.stat.as_ref()
    }

    pub(crate) fn set(&self) -> &AclSet {
        &self.set
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.set.conf().settings
    }

    /// How a milter's MTA is asked: for what these rules need and no more.
    pub(crate) fn milter_options(&self) -> MilterOptions {
        let needs = self.set.conf().message_needs();
        MilterOptions {
            adds_header: true,
            changes_headers: needs.changes_subject,
            changes_body: needs.changes_body,
            judges_end: true,
            content: ContentWanted {
                headers: needs.headers,
                exact: needs.signatures,
                body: needs.body,
                size: needs.size,
                bytes_max: self.peek_max(),
            },
            macros: self.macros(),
        }
    }

    /// How many bytes of a message are kept for the rules.
    pub(crate) fn peek_max(&self) -> usize {
        let told = self.settings().maxpeek;
        told.map_or(PEEK_MAX, |bytes| usize::try_from(bytes).unwrap_or(PEEK_MAX))
    }

    /// The macros that an MTA is to tell with each attempt.
    fn macros(&self) -> Vec<Vec<u8>> {
        let conf = self.set.conf();
        let tested = conf.macros.iter().map(|test| &test.macro_name[..]);
        let mut names: Vec<Vec<u8>> = OWN_MACROS.iter().map(|name| (*name).into()).collect();
        names.extend(tested.map(|name| without_braces(name).to_vec()));
        for template in conf.templates() {
            names.extend(Format::new(template).macros().map(<[u8]>::to_vec));
        }
        names.sort();
        names.dedup();
        names
    }

    /// The terms on which a recipient is greylisted that these rules say is to be.
    pub(crate) fn terms(&self, judgement: &AclJudgement, waiting_max: Option<u32>) -> Greylist {
        let settings = self.settings();
        Greylist {
            timing: self.timing(judgement.delay, judgement.autowhite),
            exemption: None,
            waiting_max,
            network_suffices: settings.lazyaw,
        }
    }

    /// The timing of entries that no rule has made.
    pub(crate) fn usual_timing(&self) -> Timing {
        let settings = self.settings();
        self.timing(settings.greylist, settings.autowhite)
    }

    fn timing(&self, delay: Seconds, lifetime: Seconds) -> Timing {
        Timing {
            delay,
            retry_window: self.settings().timeout,
            lifetime,
            due: Due::AsStored,
            window_from: WindowFrom::Due,
        }
    }
}

fn without_braces(name: &[u8]) -> &[u8] {
    let inner = name.strip_prefix(b"{");
    inner
        .and_then(|name| name.strip_suffix(b"}"))
        .unwrap_or(name)
}
