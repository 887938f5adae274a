//! Statements about daemons that nobody asks here. They are read, so that mistakes are told and
//! names are known, and change nothing.

use super::definition::defined_twice;
use super::lexer::Word;
use super::statement::{Kind, Named, Reader};
use crate::diagnostic::Fault;

impl Reader<'_> {
    /// Reads the statement that begins with `word`; false if it is none of these.
    pub(super) fn foreign(&mut self, word: &Word) -> Result<bool, Fault> {
        match word.text.as_str() {
            "urlcheck" => self.urlcheck()?,
            "ldapcheck" => self.ldapcheck()?,
            "nsupdate" => self.nsupdate()?,
            "ldapconf" => self.ldapconf()?,
            "fixldapcheck" => self.no_effect(LDAP),
            "tsig" => {
                self.quoted("a name")?;
                self.quoted("an algorithm")?;
                self.quoted("a key")?;
                self.no_effect(DNS_UPDATES);
            }
            "p0fsock" => {
                self.quoted("a path")?;
                self.no_effect("p0f is not asked");
            }
            "spamdsock" => {
                self.choice("a kind of socket", &[("inet", ()), ("unix", ())])?;
                self.quoted("an address")?;
                self.no_effect("SpamAssassin is not asked");
            }
            "drac" => {
                self.choice("the word db", &[("db", ())])?;
                self.quoted("a path")?;
                self.warnings.push(Fault::new(
                    word.span.clone(),
                    "the database of DRAC is not read",
                    "let clients authenticate, and leave this line out",
                ));
                self.no_effect(DRAC);
            }
            "nodrac" => self.no_effect(DRAC),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// `urlcheck "name" "url" N` and flags.
    fn urlcheck(&mut self) -> Result<(), Fault> {
        let (name, start) = self.new_name("a name")?;
        self.quoted("a URL")?;
        self.cursor.number("a number of connections")?;
        while self.cursor.peek().is_some() {
            self.choice("a flag of the check", &URL_FLAGS)?;
        }
        if !self.define(Kind::UrlCheck, &name, Named::Foreign("no URL is asked")) {
            self.faults
                .push(defined_twice(Kind::UrlCheck, &name, start));
        }
        self.no_effect("no URL is asked");
        Ok(())
    }

    /// `ldapcheck "name" "url"` and flags.
    fn ldapcheck(&mut self) -> Result<(), Fault> {
        let (name, start) = self.new_name("a name")?;
        self.quoted("a URL")?;
        while self.cursor.peek().is_some() {
            self.choice("a flag of the check", &LDAP_FLAGS)?;
        }
        if !self.define(Kind::LdapCheck, &name, Named::Foreign(LDAP)) {
            self.faults
                .push(defined_twice(Kind::LdapCheck, &name, start));
        }
        self.no_effect(LDAP);
        Ok(())
    }

    /// `ldapconf "urls" [timeout T] [binddn "x" bindpw "y"]`
    fn ldapconf(&mut self) -> Result<(), Fault> {
        self.quoted("URLs")?;
        let is_number = |byte: u8| byte.is_ascii_digit();
        if self.keyed("timeout")? || self.cursor.peek().is_some_and(is_number) {
            self.cursor.time("a length of time")?;
        }
        if self.keyed("binddn")? {
            self.quoted("a name")?;
            self.choice("the word bindpw", &[("bindpw", ())])?;
            self.quoted("a password")?;
        }
        self.no_effect(LDAP);
        Ok(())
    }

    /// `nsupdate "name" { settings }`
    fn nsupdate(&mut self) -> Result<(), Fault> {
        let (name, start) = self.new_name("a name")?;
        if !self.cursor.take_if(b'{') {
            return Err(self
                .cursor
                .expected("the { before the settings", "write { settings }"));
        }
        while !self.cursor.take_if(b'}') {
            match self.choice("a setting of the update", &UPDATE_SETTINGS)? {
                Argument::Text => drop(self.quoted("a text")?),
                Argument::Time => drop(self.cursor.time("a time")?),
                Argument::Number => drop(self.cursor.number("a number")?),
            }
        }
        if !self.define(Kind::NsUpdate, &name, Named::Foreign(DNS_UPDATES)) {
            self.faults
                .push(defined_twice(Kind::NsUpdate, &name, start));
        }
        self.no_effect(DNS_UPDATES);
        Ok(())
    }
}

/// What follows a word within braces.
#[derive(Clone, Copy)]
enum Argument {
    Text,
    Time,
    Number,
}

const LDAP: &str = "LDAP is not asked";
const DNS_UPDATES: &str = "no DNS updates are sent";
const DRAC: &str = "the database of DRAC is not read";

const URL_FLAGS: [(&str, ()); 5] = [
    ("postmsg", ()),
    ("getprop", ()),
    ("clear", ()),
    ("noencode", ()),
    ("fork", ()),
];

const LDAP_FLAGS: [(&str, ()); 3] = [("clear", ()), ("domatch", ()), ("noescape", ())];

const UPDATE_SETTINGS: [(&str, Argument); 7] = [
    ("servers", Argument::Text),
    ("rname", Argument::Text),
    ("rvalue", Argument::Text),
    ("ttl", Argument::Time),
    ("class", Argument::Number),
    ("type", Argument::Number),
    ("tsig", Argument::Text),
];
