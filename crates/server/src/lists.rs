//! The rules in force: our own from the configuration, Postgrey's lists from their files, and the
//! short lists that come with the program. Reading files is here, understanding them in
//! `crates/rules`.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use greylatch_core::{
    Attempt, ClientExemption, Due, Greylist, RuleId, Ruling, Seconds, Timing, WindowFrom,
};
use greylatch_proto::MilterOptions;
use greylatch_rules::{Diagnostic, OwnRules, RuleSet, Severity, Source, Sources, Subject};

use crate::acl::{Acl, Rates, StatReport};
use crate::bypass::Bypass;
use crate::config::{Config, ForeignRules, Greylisting, NullSender};
use crate::facts::Countries;

/// What room 4 asks: the bypass first, then the rules.
pub(crate) struct Rulebook {
    /// The terms of what no rule is about.
    pub(crate) terms: Greylist,
    bypass: Bypass,
    rules: RuleSet,
    /// The rules of a `greylist.conf`, which then decide alone.
    acl: Option<Acl>,
    /// How a milter's MTA is asked under these rules.
    pub(crate) milter: Arc<MilterOptions>,
}

impl Rulebook {
    /// The ruling on an attempt, and the rule behind it when one matched.
    pub(crate) fn rule(
        &self,
        attempt: &Attempt,
        client: Option<IpAddr>,
    ) -> (Ruling, Option<RuleId>) {
        if let Some(reason) = self.bypass.reason(attempt, client) {
            return (Ruling::Exempt(reason), None);
        }
        let judgement = self.rules.rule(&Subject { attempt, client });
        (judgement.ruling, judgement.rule)
    }

    /// A rule as `FILE:LINE: TEXT`.
    pub(crate) fn rule_text(&self, rule: RuleId) -> Option<String> {
        self.rules.text(rule)
    }

    pub(crate) fn acl(&self) -> Option<&Acl> {
        self.acl.as_ref()
    }

    pub(crate) fn len(&self) -> usize {
        self.rules.len()
    }
}

/// A remark about a list file, or about a line or rule in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// The file cannot be read; its last text holds, or nothing.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
        /// The text of the last reading goes on to hold.
        kept: bool,
    },
    /// A line or a rule.
    Line(Diagnostic),
    /// This file has mistakes, and its last reading goes on to hold.
    Kept(PathBuf),
    /// No list is there, so the short lists of the program hold.
    Shipped,
    /// About what HTTP is spoken with.
    Http {
        /// The remark with its place and cure.
        text: String,
        /// Something does not count that was meant to.
        is_error: bool,
    },
}

impl Remark {
    /// The remark in words, as it is logged.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Unreadable {
                path,
                why,
                kept: false,
            } => format!("can't open {}: {why}", path.display()),
            Self::Unreadable {
                path,
                why,
                kept: true,
            } => format!(
                "can't open {}: {why}; what was read before goes on to hold",
                path.display()
            ),
            Self::Line(diagnostic) => diagnostic
                .postgrey_warning()
                .unwrap_or_else(|| diagnostic.to_string()),
            Self::Kept(path) => format!(
                "{} has mistakes; what was read before goes on to hold",
                path.display()
            ),
            Self::Shipped => "no list is there, so the short lists of the program hold".into(),
            Self::Http { text, .. } => text.clone(),
        }
    }

    /// The file that it is about.
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Unreadable { path, .. } | Self::Kept(path) => Some(path),
            Self::Line(line) => Some(Path::new(&line.path)),
            Self::Shipped | Self::Http { .. } => None,
        }
    }

    /// Whether something does not count that was meant to.
    #[must_use]
    pub fn is_error(&self) -> bool {
        match self {
            Self::Line(line) => line.severity == Severity::Error,
            Self::Http { is_error, .. } => *is_error,
            Self::Unreadable { .. } | Self::Kept(_) | Self::Shipped => false,
        }
    }
}

/// The texts of list files as they were last read: a file that only root may read, and that
/// cannot be read again after privileges were dropped, keeps its text.
#[derive(Clone, Default)]
pub(crate) struct ListFiles {
    texts: HashMap<PathBuf, Vec<u8>>,
    /// What `ratelimit` clauses have counted.
    rates: Arc<Rates>,
    /// The `greylist.conf` that was read last without mistakes, and its report.
    good_conf: Option<(Source, Option<Arc<StatReport>>)>,
    /// The database of countries that was read last.
    countries: Option<(PathBuf, Arc<Countries>)>,
}

impl ListFiles {
    /// Reads every file of the configuration again and builds the rules, with every remark.
    pub(crate) fn rulebook(&mut self, config: &Config, origin: &Source) -> (Rulebook, Vec<Remark>) {
        let mut remarks = Vec::new();
        let mut clients = self.read_all(&config.lists.clients, &mut remarks);
        let mut recipients = self.read_all(&config.lists.recipients, &mut remarks);
        if config.greylist.shipped_lists {
            clients.push(shipped("shipped clients", include_str!("../lists/clients")));
            recipients.push(shipped(
                "shipped recipients",
                include_str!("../lists/recipients"),
            ));
            if self.texts.is_empty() {
                remarks.push(Remark::Shipped);
            }
        }
        let acl = self.acl(config, &mut remarks);
        let own = config.rule_specs();
        let sources = Sources {
            own: Some(OwnRules {
                source: origin,
                rules: &own,
            }),
            clients: &clients,
            recipients: &recipients,
        };
        let (rules, diagnostics) = RuleSet::build(terms(&config.greylist), &sources);
        remarks.extend(diagnostics.into_iter().map(Remark::Line));
        // File by file, as Postgrey tells them; our own rules first.
        let files = config.lists.clients.iter().chain(&config.lists.recipients);
        let files: Vec<&Path> = files.map(PathBuf::as_path).collect();
        remarks.sort_by_key(|remark| {
            let path = remark.path();
            let place = files.iter().position(|file| Some(*file) == path);
            (path.is_none(), place)
        });
        (
            Rulebook {
                terms: terms(&config.greylist),
                bypass: Bypass::new(config),
                rules,
                milter: Arc::new(milter_options(config, acl.as_ref())),
                acl,
            },
            remarks,
        )
    }

    /// The rules of the `greylist.conf` that is to decide; those of the last reading when there are
    /// mistakes in it now.
    fn acl(&mut self, config: &Config, remarks: &mut Vec<Remark>) -> Option<Acl> {
        let ForeignRules { path, appended } = config.lists.greylist_conf.as_ref()?;
        let mut source = self.read(path, remarks);
        source.text.extend_from_slice(appended.as_bytes());
        let (acl, diagnostics) = Acl::read(&source, self.rates.clone());
        let faulty = diagnostics
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error);
        remarks.extend(diagnostics.into_iter().map(Remark::Line));
        let mut acl = match &self.good_conf {
            Some((good, report)) if faulty => {
                remarks.push(Remark::Kept(path.clone()));
                let (acl, _) = Acl::read(good, self.rates.clone());
                acl.going_on_with(report.clone())
            }
            _ => {
                self.good_conf = Some((source, acl.stat().cloned()));
                acl
            }
        };
        let database = acl.settings().geoip_database.as_ref().map(PathBuf::from);
        acl.countries = database.and_then(|path| self.countries(path, remarks));
        Some(acl)
    }

    /// A database of countries; as it was read last when it cannot be read now.
    fn countries(&mut self, path: PathBuf, remarks: &mut Vec<Remark>) -> Option<Arc<Countries>> {
        let bytes = fs::read(&path).map_err(|error| reason(&error));
        match bytes.and_then(Countries::read) {
            Ok(countries) => self.countries = Some((path, Arc::new(countries))),
            Err(why) => {
                let is_same = |(known, _): &(PathBuf, _)| *known == path;
                let kept = self.countries.as_ref().is_some_and(is_same);
                if !kept {
                    self.countries = None;
                }
                remarks.push(Remark::Unreadable { path, why, kept });
            }
        }
        self.countries
            .as_ref()
            .map(|(_, countries)| countries.clone())
    }

    fn read_all(&mut self, paths: &[PathBuf], remarks: &mut Vec<Remark>) -> Vec<Source> {
        paths.iter().map(|path| self.read(path, remarks)).collect()
    }

    fn read(&mut self, path: &Path, remarks: &mut Vec<Remark>) -> Source {
        match fs::read(path) {
            Ok(text) => {
                self.texts.insert(path.to_owned(), text);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.texts.remove(path);
                // Postgrey, too, says nothing of a local list that is not there.
                if path
                    .extension()
                    .is_none_or(|extension| extension != "local")
                {
                    remarks.push(Remark::Unreadable {
                        path: path.to_owned(),
                        why: reason(&error),
                        kept: false,
                    });
                }
            }
            Err(error) => {
                let kept = self.texts.contains_key(path);
                remarks.push(Remark::Unreadable {
                    path: path.to_owned(),
                    why: reason(&error),
                    kept,
                });
            }
        }
        Source {
            path: path.display().to_string(),
            text: self.texts.get(path).cloned().unwrap_or_default(),
        }
    }
}

/// How a milter's MTA is asked: for what these rules need and no more.
fn milter_options(config: &Config, acl: Option<&Acl>) -> MilterOptions {
    match acl {
        Some(acl) => acl.milter_options(),
        None => MilterOptions {
            adds_header: !config.greylist.header.is_empty(),
            judges_end: config.greylist.null_sender == NullSender::Data,
            ..MilterOptions::default()
        },
    }
}

/// The system's words without its number: `No such file or directory`.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

fn shipped(name: &str, text: &str) -> Source {
    Source {
        path: name.to_owned(),
        text: text.as_bytes().to_vec(),
    }
}

/// The terms of a configuration without rules.
pub(crate) fn terms(greylist: &Greylisting) -> Greylist {
    Greylist {
        timing: Timing {
            delay: greylist.delay,
            retry_window: greylist.retry_window,
            lifetime: greylist.lifetime,
            due: Due::FromFirst,
            window_from: WindowFrom::First,
        },
        exemption: (greylist.exempt_clients_after > 0).then_some(ClientExemption {
            passes: greylist.exempt_clients_after,
            pause: Seconds::HOUR,
        }),
        waiting_max: waiting_per_network(greylist),
        network_suffices: false,
    }
}

/// How many may wait in one network; `None`: no limit.
pub(crate) fn waiting_per_network(greylist: &Greylisting) -> Option<u32> {
    Some(greylist.waiting_per_network).filter(|max| *max > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_cannot_be_read_again_keeps_its_text() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("clients");
        fs::write(&path, "mx.example.com\n").expect("a list");
        let mut config = Config::default();
        config.greylist.shipped_lists = false;
        config.lists.clients = vec![path.clone()];
        let mut files = ListFiles::default();
        let (first, remarks) = files.rulebook(&config, &Source::default());
        assert_eq!((first.len(), remarks), (1, vec![]));
        // A folder in its place stands for whatever keeps a file from being read but is not its absence.
        fs::remove_file(&path).expect("the list");
        fs::create_dir(&path).expect("a folder in its place");
        let (second, remarks) = files.rulebook(&config, &Source::default());
        assert_eq!(second.len(), 1);
        let why = "Is a directory".to_owned();
        assert_eq!(
            remarks,
            [Remark::Unreadable {
                path: path.clone(),
                why,
                kept: true
            }]
        );
        fs::remove_dir(&path).expect("the folder");
        let (third, remarks) = files.rulebook(&config, &Source::default());
        assert_eq!((third.len(), remarks.len()), (0, 1));
    }

    #[test]
    fn a_report_goes_on_while_a_file_with_mistakes_is_not_read() {
        // Symptom: the file of a `stat ">file"` was empty after a reload that changed nothing.
        // Cause: the report of the rules that go on to hold was opened anew. Fix: it goes on.
        let folder = tempfile::tempdir().expect("a folder");
        let [path, report] = ["greylist.conf", "report"].map(|name| folder.path().join(name));
        let good = format!("stat \">{}\" \"%r\\n\"\n", report.display());
        let mut config = Config::default();
        config.lists.greylist_conf = Some(ForeignRules {
            path: path.clone(),
            appended: String::new(),
        });
        let mut files = ListFiles::default();
        for (text, record) in [(&good[..], "one\n"), ("racl mistake\n", "two\n")] {
            fs::write(&path, text).expect("a file");
            let (rulebook, _) = files.rulebook(&config, &Source::default());
            let acl = rulebook.acl().expect("rules");
            acl.stat().expect("a report").put(record.into());
        }
        drop(files);
        let begun = std::time::Instant::now();
        let mut text = String::new();
        while text != "one\ntwo\n" && begun.elapsed().as_secs() < 10 {
            text = fs::read_to_string(&report).unwrap_or_default();
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(text, "one\ntwo\n");
    }

    #[test]
    fn the_shipped_lists_have_no_mistakes() {
        let (book, remarks) = ListFiles::default().rulebook(&Config::default(), &Source::default());
        assert_eq!(remarks, [Remark::Shipped]);
        assert!(book.len() == 6, "{}", book.len());
    }
}
