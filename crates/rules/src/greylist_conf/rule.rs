//! Rules: `acl`, `racl`, `dacl`, and the one-line rules of the time before them.

use super::clause::Asked;
use super::lexer::Word;
use super::remark::Fate;
use super::statement::Reader;
use super::tree::{AclAction, AclRule, AclStage, AclValues, Clause, Part, Test, Wanted};
use super::value::is_value;
use crate::diagnostic::Fault;

/// The clauses of a rule under way.
#[derive(Default)]
struct Clauses {
    clauses: Vec<Clause>,
    /// What was there of those that may be there once.
    seen: Vec<(Part, bool)>,
    has_addr: bool,
    /// Why the rule has to be left out, and where that stands.
    foreign: Option<(Word, &'static str)>,
}

impl Reader<'_> {
    /// What follows `acl`, `racl` or `dacl`.
    pub(super) fn rule(&mut self, word: &str) -> Result<(), Fault> {
        let start = self.cursor.position();
        let stage = match word {
            "dacl" => AclStage::Data,
            _ => AclStage::Rcpt,
        };
        let id = match self.cursor.peek() {
            Some(b'"') if word != "acl" => Some(self.quoted("an id")?),
            _ => None,
        };
        let actions = if word == "acl" {
            &ACTIONS[..3]
        } else {
            &ACTIONS[..]
        };
        let action = self.choice("an action", actions).map_err(|mut fault| {
            if word != "acl" && id.is_none() {
                fault.cure.push_str("; an id before it is in quotes");
            }
            fault
        })?;
        let mut clauses = Clauses::default();
        let is_default = self.keyed("default")?;
        if !is_default {
            self.clauses(stage, &mut clauses)?;
        }
        let mut values = AclValues::default();
        self.values(&mut values)?;
        let rule = AclRule {
            stage,
            id,
            action,
            clauses: clauses.clauses,
            values,
            line: self.line(),
        };
        let span = start..self.cursor.here();
        if let Some((word, why)) = clauses.foreign {
            self.drop_rule(&word, why);
        } else if self.faults.is_empty() {
            self.place(rule, is_default, span);
        }
        Ok(())
    }

    fn clauses(&mut self, stage: AclStage, into: &mut Clauses) -> Result<(), Fault> {
        let mut any = false;
        while self.cursor.peek().is_some() {
            let next = self.cursor.peek_word();
            if next.as_ref().is_some_and(|word| is_value(&word.text)) {
                break;
            }
            self.one_clause(stage, into)?;
            any = true;
        }
        if any {
            return Ok(());
        }
        let cure = match self.cursor.peek() {
            None => "write default for a rule that always matches",
            Some(_) => "write all clauses before the values, or default",
        };
        Err(self.cursor.expected("a clause", cure))
    }

    fn one_clause(&mut self, stage: AclStage, into: &mut Clauses) -> Result<(), Fault> {
        let mut negated = false;
        while self.cursor.take_if(b'!') || self.keyed("not")? || self.keyed("no")? {
            negated = true;
        }
        if matches!(self.cursor.peek(), Some(b'$' | b'*')) {
            let asked = self.property_clause()?;
            if let Asked::Test(test) = asked {
                into.clauses.push(Clause { negated, test });
            }
            return Ok(());
        }
        let Some(word) = self.cursor.peek_word() else {
            return Err(self.cursor.expected("a clause", CLAUSE_CURE));
        };
        if word.text == "default" {
            let cure = "leave it out, or leave the other clauses out";
            return Err(self.cursor.expected("a clause beside others", cure));
        }
        self.cursor.word();
        let Some(asked) = self.clause(&word)? else {
            let message = format!("{} is no clause", word.text);
            return Err(Fault::new(word.span, message, CLAUSE_CURE));
        };
        self.check_stage(stage, &word);
        match asked {
            Asked::Test(test) => {
                self.check_repetition(&test, &word, into);
                into.clauses.push(Clause { negated, test });
            }
            Asked::Foreign(why) => into.foreign = Some((word, why)),
            Asked::Mistake => {}
        }
        Ok(())
    }

    fn check_stage(&mut self, stage: AclStage, word: &Word) {
        let (wanted, rule) = match word.text.as_str() {
            "helo" => (AclStage::Rcpt, "racl"),
            "header" | "body" | "msgsize" | "dkim" | "spamd" => (AclStage::Data, "dacl"),
            _ => return,
        };
        if wanted != stage {
            self.faults.push(Fault::new(
                word.span.clone(),
                format!("a {} clause can only be in a {rule} rule", word.text),
                format!("write {rule}, or leave the clause out"),
            ));
        }
    }

    /// Two networks or two names of one client could never both hold.
    fn check_repetition(&mut self, test: &Test, word: &Word, into: &mut Clauses) {
        let repeated = match test {
            Test::Addr(_) => std::mem::replace(&mut into.has_addr, true),
            Test::Text(part, wanted) if is_single(*part) => {
                let this = (*part, matches!(wanted, Wanted::Pattern(_)));
                let before = into.seen.contains(&this);
                into.seen.push(this);
                before
            }
            _ => false,
        };
        if repeated {
            let kind = if word.text == "addr" {
                "net"
            } else {
                &word.text
            };
            self.faults.push(Fault::new(
                word.span.clone(),
                format!("Multiple {kind} clauses in one rule"),
                "write a list of them, and a list clause",
            ));
        }
    }

    fn values(&mut self, values: &mut AclValues) -> Result<(), Fault> {
        while self.cursor.peek().is_some() {
            let Some(word) = self.cursor.peek_word() else {
                return Err(self.cursor.expected("a value", VALUE_CURE));
            };
            if !is_value(&word.text) {
                let cure = "write all clauses before delay, msg and the other values";
                let is_clause = CLAUSES.contains(&word.text.as_str());
                let cure = if is_clause { cure } else { VALUE_CURE };
                return Err(self.cursor.expected("a value", cure));
            }
            self.cursor.word();
            self.value(&word, values)?;
        }
        Ok(())
    }

    fn drop_rule(&mut self, word: &Word, why: &str) {
        self.fate = Fate::Dropped(why.to_owned());
        self.warnings.push(Fault::new(
            word.span.clone(),
            format!("this rule is left out whole: {why}"),
            "write it with other clauses",
        ));
    }

    /// Puts a good rule where it belongs, unless nothing can reach it.
    fn place(&mut self, rule: AclRule, is_default: bool, span: std::ops::Range<usize>) {
        let (word, end) = match rule.stage {
            AclStage::Rcpt => ("racl", &mut self.ends[0]),
            AclStage::Data => ("dacl", &mut self.ends[1]),
        };
        if let Some(line) = *end {
            self.fate = Fate::Dropped(format!("the default rule of line {line} comes before"));
            self.warnings.push(Fault::new(
                span,
                format!("ignored {word} entry after {word} default rule, which is in line {line}"),
                "put it before the default rule",
            ));
            return;
        }
        // A continue rule leaves the decision to those behind it.
        if is_default && rule.action != AclAction::Continue {
            *end = Some(rule.line);
        }
        self.tree.rules.push(rule);
    }

    /// `addr`, `domain`, `from`, `rawfrom` or `rcpt` where a statement begins.
    pub(super) fn legacy_rule(&mut self, word: &Word) -> Result<(), Fault> {
        let Some(asked) = self.clause(word)? else {
            return Ok(());
        };
        self.end()?;
        let is_test = word.text == "rcpt" && self.tree.settings.testmode;
        let action = if is_test {
            AclAction::Greylist
        } else {
            AclAction::Whitelist
        };
        if let Asked::Test(test) = asked {
            self.legacy.push(AclRule {
                stage: AclStage::Rcpt,
                id: None,
                action,
                clauses: vec![Clause {
                    negated: false,
                    test,
                }],
                values: AclValues::default(),
                line: self.line(),
            });
        }
        Ok(())
    }
}

fn is_single(part: Part) -> bool {
    matches!(part, Part::Domain | Part::From | Part::RawFrom | Part::Helo)
}

const ACTIONS: [(&str, AclAction); 4] = [
    ("greylist", AclAction::Greylist),
    ("whitelist", AclAction::Whitelist),
    ("blacklist", AclAction::Blacklist),
    ("continue", AclAction::Continue),
];

const CLAUSES: [&str; 32] = [
    "addr",
    "domain",
    "from",
    "rawfrom",
    "rcpt",
    "helo",
    "auth",
    "tls",
    "list",
    "default",
    "spf",
    "dnsrbl",
    "geoip",
    "mx",
    "sm_macro",
    "time",
    "ratelimit",
    "rcptcount",
    "header",
    "body",
    "msgsize",
    "dkim",
    "spamd",
    "p0f",
    "urlcheck",
    "ldapcheck",
    "tarpit",
    "nsupdate",
    "log",
    "set",
    "rset",
    "not",
];

const CLAUSE_CURE: &str = "write a clause such as addr, from, rcpt, domain, list or default";

const VALUE_CURE: &str = "write a value such as delay, autowhite, code, ecode or msg";
