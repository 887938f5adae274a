//! The clauses of rules, and the items of lists, which are read alike.

mod time;

use greylatch_core::Seconds;

use super::lexer::Word;
use super::posix::PosixPattern;
use super::statement::{Kind, Named, Reader};
use super::tree::{
    Assign, AssignedValue, Assignment, Comparison, MailStatus, Operand, Operator, Part,
    PropertyTest, Test, Wanted,
};
use crate::diagnostic::{Fault, printable};

/// The longest `tarpit` that anybody can sit through.
///
/// Source: RFC 5321 §4.5.3.2.3 (a client waits 5 minutes for the answer to RCPT).
pub const TARPIT_MAX: Seconds = Seconds(300);

/// What a clause or an item turned out to be.
pub(super) enum Asked {
    Test(Test),
    /// Only a foreign daemon could tell, for this reason.
    Foreign(&'static str),
    /// It was told already; what follows can be read.
    Mistake,
}

impl Reader<'_> {
    /// The clause that begins with `word`; none if no clause does.
    pub(super) fn clause(&mut self, word: &Word) -> Result<Option<Asked>, Fault> {
        let asked = match word.text.as_str() {
            "addr" => self.addr()?,
            "domain" => self.text(Part::Domain)?,
            "from" => self.text(Part::From)?,
            "rawfrom" => self.text(Part::RawFrom)?,
            "rcpt" => self.text(Part::Rcpt)?,
            "helo" => self.text(Part::Helo)?,
            "auth" | "tls" => {
                self.tree.has_auth_clause = true;
                self.text(if word.text == "auth" {
                    Part::Auth
                } else {
                    Part::Tls
                })?
            }
            "header" => self.text(Part::Header)?,
            "body" => self.text(Part::Body)?,
            "list" => self.named(Kind::List)?,
            "dnsrbl" => self.named(Kind::Dnsrbl)?,
            "sm_macro" => self.named(Kind::Macro)?,
            "ratelimit" => self.named(Kind::Ratelimit)?,
            "urlcheck" => self.named(Kind::UrlCheck)?,
            "ldapcheck" => self.named(Kind::LdapCheck)?,
            "nsupdate" => self.named(Kind::NsUpdate)?,
            "spf" => {
                self.tree.has_spf_clause = true;
                Asked::Test(Test::Spf(self.status()?.unwrap_or(MailStatus::Pass)))
            }
            "dkim" => self.dkim()?,
            "geoip" => self.country()?,
            "mx" => match self.cursor.prefix(128)? {
                Some(prefix) => Asked::Test(Test::Mx(prefix)),
                None => {
                    let cure = "write / and the number of bits, for example mx /24";
                    return Err(self.cursor.expected("a prefix length", cure));
                }
            },
            "time" => Asked::Test(Test::Time(self.cron_time()?)),
            "rcptcount" => {
                let counts = "milter-greylist counts the recipients of the whole connection, \
                              here those of the message count";
                self.differences.push(counts.to_owned());
                Asked::Test(Test::RcptCount(self.comparison()?))
            }
            "msgsize" => Asked::Test(Test::MsgSize(self.comparison()?)),
            "tarpit" => {
                let length = self.time_of_rule("a time to wait")?;
                if length > TARPIT_MAX {
                    self.differences.push(format!(
                        "no answer is held for more than {} seconds, so the rule greylists",
                        TARPIT_MAX.0
                    ));
                }
                Asked::Test(Test::Tarpit(length))
            }
            "log" => self.log()?,
            "set" | "rset" => self.assignment(word.text == "rset")?,
            "spamd" => self.spamd()?,
            "p0f" => self.p0f()?,
            _ => return Ok(None),
        };
        Ok(Some(asked))
    }

    pub(super) fn addr(&mut self) -> Result<Asked, Fault> {
        let start = self.cursor.position();
        match self.cursor.network() {
            Ok(network) => Ok(Asked::Test(Test::Addr(network))),
            // A wrong prefix was read to its end, so the rest can be.
            Err(fault) if self.cursor.here() > start => {
                self.faults.push(fault);
                Ok(Asked::Mistake)
            }
            Err(fault) => Err(fault),
        }
    }

    /// What a text clause looks for.
    pub(super) fn text(&mut self, part: Part) -> Result<Asked, Fault> {
        let wanted = match self.cursor.peek() {
            Some(b'/') => match self.pattern()? {
                Some(pattern) => {
                    self.compare_pattern(part, &pattern);
                    Wanted::Pattern(pattern)
                }
                None => return Ok(Asked::Mistake),
            },
            Some(b'$') if matches!(part, Part::Header | Part::Body) => {
                Wanted::Property(self.cursor.property()?)
            }
            _ => match part {
                Part::Domain => Wanted::Literal(self.cursor.domain()?.text.to_ascii_lowercase()),
                Part::From | Part::RawFrom | Part::Rcpt => {
                    Wanted::Literal(self.cursor.mailbox()?.text.to_ascii_lowercase())
                }
                _ => Wanted::Literal(self.quoted("a pattern, or a text")?),
            },
        };
        Ok(Asked::Test(Test::Text(part, wanted)))
    }

    /// A pattern; none if it has a mistake, which is told then.
    pub(super) fn pattern(&mut self) -> Result<Option<PosixPattern>, Fault> {
        let cure = "write it between slashes: /pattern/";
        let Some(token) = self.cursor.pattern()? else {
            return Err(self.cursor.expected("a pattern", cure));
        };
        match PosixPattern::read(token.text, self.extended) {
            Ok(pattern) => Ok(Some(pattern)),
            Err(fault) => {
                self.faults.push(fault.moved(token.span.start + 1));
                Ok(None)
            }
        }
    }

    /// The original looks at an address in its angle brackets alone.
    fn compare_pattern(&mut self, part: Part, pattern: &PosixPattern) {
        if !matches!(part, Part::From | Part::RawFrom | Part::Rcpt) {
            return;
        }
        let written = pattern.text.as_str();
        let inner = written
            .strip_prefix("(?m:")
            .and_then(|text| text.strip_suffix(')'));
        let inner = inner.unwrap_or(written);
        let begins = inner.starts_with('^') && !inner.starts_with(r"^\x3c") && inner != "^$";
        let ends = inner.ends_with('$') && !inner.ends_with(r"\x3e$");
        let bare_begin = begins && !inner.starts_with("^.") && !inner.starts_with("^[");
        let bare_end = ends && !inner.ends_with(".*$") && !inner.ends_with("]$");
        if bare_begin || bare_end {
            self.differences.push(
                "milter-greylist matches this pattern with the angle brackets around the \
                 address only, here it may match the bare address too"
                    .to_owned(),
            );
        }
    }

    /// The name of something that was defined before.
    pub(super) fn named(&mut self, kind: Kind) -> Result<Asked, Fault> {
        let start = self.cursor.position();
        let name = self.quoted("a name")?;
        let span = start..self.cursor.here();
        let shown = printable(&name);
        let fault = match self.names.get(&(kind, name)) {
            Some(Named::Foreign(why)) => return Ok(Asked::Foreign(why)),
            Some(Named::Number(number)) => {
                let number = *number;
                let test = match kind {
                    Kind::List => Test::List(number),
                    Kind::Dnsrbl => Test::Dnsrbl(number),
                    Kind::Macro => Test::Macro(number),
                    _ => Test::Ratelimit(number),
                };
                return Ok(Asked::Test(test));
            }
            Some(Named::Mistaken(line)) => Fault::new(
                span,
                format!(
                    "{} \"{shown}\" was left out, for the mistake in line {line}",
                    kind.word()
                ),
                "mend that line",
            ),
            None => Fault::new(
                span,
                match kind {
                    Kind::List => format!("nonexistent list \"{shown}\""),
                    Kind::Ratelimit => format!("unknown ratelimit class \"{shown}\""),
                    _ => format!("unknown {} \"{shown}\"", kind.word()),
                },
                format!("define it with {} in a line before", kind.word()),
            ),
        };
        self.faults.push(fault);
        Ok(Asked::Mistake)
    }

    fn status(&mut self) -> Result<Option<MailStatus>, Fault> {
        let word = self.cursor.peek_word();
        let known = STATUSES
            .iter()
            .find(|(name, _)| word.as_ref().is_some_and(|word| word.text == *name));
        if known.is_some() {
            self.cursor.word();
        }
        Ok(known.map(|(_, status)| *status))
    }

    /// The original wants a word here; its manual allows none.
    fn dkim(&mut self) -> Result<Asked, Fault> {
        let start = self.cursor.position();
        let status = self.status()?.unwrap_or(MailStatus::Pass);
        match status {
            MailStatus::SoftFail | MailStatus::Neutral | MailStatus::SelfPass => {
                self.faults.push(Fault::new(
                    start..self.cursor.here(),
                    "no result of DKIM has this name".to_owned(),
                    "write pass, fail, none, error or unknown",
                ));
                Ok(Asked::Mistake)
            }
            _ => Ok(Asked::Test(Test::Dkim(status))),
        }
    }

    pub(super) fn country(&mut self) -> Result<Asked, Fault> {
        let start = self.cursor.position();
        let country = self.quoted("a country")?;
        if country.len() == 2 && country.iter().all(u8::is_ascii_uppercase) {
            return Ok(Asked::Test(Test::Country(country)));
        }
        self.faults.push(Fault::new(
            start..self.cursor.here(),
            format!("\"{}\" is no country", printable(&country)),
            "write two capital letters, or ZZ for an unknown country",
        ));
        Ok(Asked::Mistake)
    }

    fn log(&mut self) -> Result<Asked, Fault> {
        let template = self.quoted("a text")?;
        if template.contains(&b'%') {
            self.differences.push(
                "milter-greylist takes what it logs here as a format once more, with which a \
                 client can end it"
                    .to_owned(),
            );
        }
        Ok(Asked::Test(Test::Log(template)))
    }

    fn comparison(&mut self) -> Result<Comparison, Fault> {
        let Some(operator) = self.cursor.sign(&OPERATORS) else {
            let cure = "write one of == != >= <= > <";
            return Err(self.cursor.expected("a comparison", cure));
        };
        let right = if self.cursor.peek() == Some(b'$') {
            Operand::Property(self.cursor.property()?)
        } else {
            let number = self.cursor.number("a number or a property")?;
            Operand::Number(i64::try_from(number).unwrap_or(i64::MAX))
        };
        Ok(Comparison { operator, right })
    }

    fn assignment(&mut self, one_recipient: bool) -> Result<Asked, Fault> {
        let name = self.cursor.property()?;
        let Some(how) = self.cursor.sign(&ASSIGNMENTS) else {
            let cure = "write one of = += -=";
            return Err(self.cursor.expected("an assignment", cure));
        };
        let value = match self.cursor.peek() {
            Some(b'$') => AssignedValue::Property(self.cursor.property()?),
            Some(b'"') => AssignedValue::Template(self.quoted("a value")?),
            _ => {
                let number = self.cursor.number("a value")?;
                AssignedValue::Template(number.to_string().into_bytes())
            }
        };
        Ok(Asked::Test(Test::Set(Assignment {
            name,
            how,
            value,
            one_recipient,
        })))
    }

    /// `$name "text"`, `$name /pattern/`, `$name OP value`; with `*` before, a glob.
    pub(super) fn property_clause(&mut self) -> Result<Asked, Fault> {
        let is_glob = self.cursor.take_if(b'*');
        let name = self.cursor.property()?;
        let test = match self.cursor.peek() {
            _ if is_glob => PropertyTest::Glob(self.quoted("a text")?),
            Some(b'"') => PropertyTest::Equal(self.quoted("a value")?),
            Some(b'/') => match self.pattern()? {
                Some(pattern) => PropertyTest::Pattern(pattern),
                None => return Ok(Asked::Mistake),
            },
            _ => PropertyTest::Compare(self.comparison()?),
        };
        Ok(Asked::Test(Test::Property(name, test)))
    }

    fn spamd(&mut self) -> Result<Asked, Fault> {
        if self.cursor.sign(&OPERATORS).is_some() {
            match self.cursor.peek() {
                Some(b'$') => drop(self.cursor.property()?),
                _ => drop(self.cursor.number("a score")?),
            }
        }
        Ok(Asked::Foreign("SpamAssassin is not asked"))
    }

    pub(super) fn p0f(&mut self) -> Result<Asked, Fault> {
        match self.cursor.peek() {
            Some(b'/') => drop(self.pattern()?),
            _ => drop(self.quoted("a pattern, or a text")?),
        }
        Ok(Asked::Foreign("p0f is not asked"))
    }
}

const OPERATORS: [(&str, Operator); 6] = [
    ("==", Operator::Equal),
    ("!=", Operator::Unequal),
    (">=", Operator::AtLeast),
    ("<=", Operator::AtMost),
    (">", Operator::Above),
    ("<", Operator::Below),
];

const ASSIGNMENTS: [(&str, Assign); 3] = [
    ("+=", Assign::Add),
    ("-=", Assign::Subtract),
    ("=", Assign::Set),
];

const STATUSES: [(&str, MailStatus); 8] = [
    ("pass", MailStatus::Pass),
    ("fail", MailStatus::Fail),
    ("softfail", MailStatus::SoftFail),
    ("neutral", MailStatus::Neutral),
    ("unknown", MailStatus::Unknown),
    ("error", MailStatus::Error),
    ("none", MailStatus::None),
    ("self", MailStatus::SelfPass),
];
