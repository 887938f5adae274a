//! Statement by statement through the file: what each is, and what is done about one that
//! cannot be read.

use std::collections::HashMap;

use super::GreylistConf;
use super::lexer::{Cursor, Word};
use super::remark::{Fate, Statement};
use super::tree::AclRule;
use crate::diagnostic::{Diagnostic, Fault, Lines, Source, printable};

/// A reading under way.
pub(super) struct Reader<'a> {
    pub(super) cursor: Cursor<'a>,
    pub(super) tree: GreylistConf,
    pub(super) names: Names,
    /// Patterns from here on are extended ones.
    pub(super) extended: bool,
    /// Rules of the time before ACLs; the last is the first to be tried.
    pub(super) legacy: Vec<AclRule>,
    /// Where the last rule of the stages RCPT and DATA is that matches everything.
    pub(super) ends: [Option<usize>; 2],
    /// Mistakes of this statement that do not keep the rest from being read.
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<Fault>,
    pub(super) fate: Fate,
    pub(super) differences: Vec<String>,
    source: &'a Source,
    lines: Lines<'a>,
    diagnostics: Vec<Diagnostic>,
}

/// What kind of thing a name stands for; each kind has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    List,
    Dnsrbl,
    Macro,
    Ratelimit,
    UrlCheck,
    LdapCheck,
    NsUpdate,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Dnsrbl => "dnsrbl",
            Self::Macro => "sm_macro",
            Self::Ratelimit => "ratelimit",
            Self::UrlCheck => "urlcheck",
            Self::LdapCheck => "ldapcheck",
            Self::NsUpdate => "nsupdate",
        }
    }
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub(super) enum Named {
    /// The thing with this number.
    Number(usize),
    /// What needs a foreign daemon.
    Foreign(&'static str),
    /// Its definition, in this line, has a mistake.
    Mistaken(usize),
}

/// The names that were defined.
pub(super) type Names = HashMap<(Kind, Vec<u8>), Named>;

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Source) -> Self {
        Self {
            cursor: Cursor::new(&source.text),
            tree: GreylistConf::default(),
            names: Names::new(),
            extended: false,
            legacy: Vec::new(),
            ends: [None; 2],
            faults: Vec::new(),
            warnings: Vec::new(),
            fate: Fate::Active,
            differences: Vec::new(),
            source,
            lines: Lines::of(source),
            diagnostics: Vec::new(),
        }
    }

    pub(super) fn read(mut self) -> (GreylistConf, Vec<Diagnostic>) {
        loop {
            if self.cursor.peek().is_some() {
                self.read_one();
            }
            self.tell_swallowed();
            if !self.cursor.next_line() {
                break;
            }
        }
        self.legacy.reverse();
        self.legacy.append(&mut self.tree.rules);
        self.tree.rules = self.legacy;
        self.tree.extended = self.extended;
        self.diagnostics.sort_by_key(|one| (one.line, one.column));
        (self.tree, self.diagnostics)
    }

    fn read_one(&mut self) {
        let start = self.cursor.position();
        self.fate = Fate::Active;
        let read = self.statement();
        let end = self.cursor.here();
        if let Err(fault) = read {
            self.faults.push(fault);
            self.cursor.skip_statement();
        }
        if !self.faults.is_empty() {
            self.fate = Fate::Mistaken;
        }
        for fault in std::mem::take(&mut self.faults) {
            self.diagnostics.push(self.lines.error(fault));
        }
        for fault in std::mem::take(&mut self.warnings) {
            self.diagnostics.push(self.lines.warning(fault));
        }
        let text = self.source.text.get(start..end.max(self.cursor.here()));
        self.tree.statements.push(Statement {
            line: self.lines.number(self.cursor.here()),
            text: on_one_line(text.unwrap_or_default()),
            fate: std::mem::replace(&mut self.fate, Fate::Active),
            differences: std::mem::take(&mut self.differences),
        });
    }

    fn tell_swallowed(&mut self) {
        for span in self.cursor.take_swallowed() {
            let fault = Fault::new(
                span,
                "this stands behind a backslash and does not count",
                "put it on a line of its own, or a # before it",
            );
            self.diagnostics.push(self.lines.warning(fault));
        }
    }

    fn statement(&mut self) -> Result<(), Fault> {
        let Some(word) = self.cursor.word() else {
            return Err(self.cursor.expected("a statement", STATEMENT_CURE));
        };
        if let Some(switch) = self.tree.settings.switch(&word.text) {
            *switch = true;
            return self.end();
        }
        match word.text.as_str() {
            "acl" | "racl" | "dacl" => return self.rule(&word.text),
            "addr" | "domain" | "from" | "rawfrom" | "rcpt" => return self.legacy_rule(&word),
            "list" => self.list()?,
            "dnsrbl" => self.dnsrbl()?,
            "sm_macro" => self.sm_macro()?,
            "ratelimit" => self.ratelimit()?,
            "extendedregex" => self.extended = true,
            "multiracl" => self.no_effect("each recipient is judged by itself in any case"),
            _ => {
                if !self.foreign(&word)? && !self.setting(&word)? {
                    return Err(unknown_statement(&word));
                }
            }
        }
        self.end()
    }

    /// That nothing more stands here.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        match self.cursor.peek() {
            None => Ok(()),
            Some(_) => Err(self.cursor.expected(
                "expected here, where the statement is complete",
                "leave it out, or begin a new line before it",
            )),
        }
    }

    pub(super) fn no_effect(&mut self, why: &str) {
        self.fate = Fate::NoEffect(why.to_owned());
    }

    /// That milter-greylist would not read what was just read.
    pub(super) fn refused_there(&mut self, what: &str) {
        self.differences
            .push(format!("milter-greylist does not read {what}"));
    }

    /// The line by which a rule that ends here is known.
    pub(super) fn line(&self) -> usize {
        self.lines.number(self.cursor.here())
    }

    /// A quoted text.
    pub(super) fn quoted(&mut self, what: &str) -> Result<Vec<u8>, Fault> {
        match self.cursor.quoted()? {
            Some(token) => Ok(token.text.to_vec()),
            None => {
                let what = format!("{what} in quotes");
                Err(self.cursor.expected(&what, "write it in quotes: \"...\""))
            }
        }
    }

    /// A quoted text that is a path, a name or an address, and so UTF-8.
    pub(super) fn quoted_text(&mut self, what: &str) -> Result<String, Fault> {
        let start = self.cursor.position();
        let text = self.quoted(what)?;
        String::from_utf8(text).map_err(|_| {
            Fault::new(
                start..self.cursor.here(),
                "this is not UTF-8",
                "save the file as UTF-8",
            )
        })
    }

    /// Gives a name its meaning, once.
    pub(super) fn define(&mut self, kind: Kind, name: &[u8], meaning: Named) -> bool {
        let key = (kind, name.to_vec());
        let is_new = !self.names.contains_key(&key);
        if is_new {
            self.names.insert(key, meaning);
        }
        is_new
    }
}

fn unknown_statement(word: &Word) -> Fault {
    Fault::new(
        word.span.clone(),
        format!("{} is no statement", word.text),
        STATEMENT_CURE,
    )
}

/// The text with one blank for each line end, and cut.
fn on_one_line(text: &[u8]) -> String {
    let cut = text.get(..STATEMENT_SHOWN_MAX);
    let lines = cut.unwrap_or(text).split(|byte| *byte == b'\n');
    let lines: Vec<String> = lines.map(|line| printable(line.trim_ascii())).collect();
    let mut shown = lines.join(" ");
    if cut.is_some() {
        shown.push_str(" ...");
    }
    shown
}

const STATEMENT_CURE: &str =
    "write a statement of greylist.conf(5), such as racl, list or greylist";

/// How much of a statement a listing shows, in bytes.
const STATEMENT_SHOWN_MAX: usize = 200;
