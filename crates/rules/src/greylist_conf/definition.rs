//! Definitions that rules refer to by name: lists, DNS lists, tests of macros, rate limits.

use greylatch_core::{Network, Seconds};

use super::clause::Asked;
use super::statement::{Kind, Named, Reader};
use super::tree::{AclList, DnsList, MacroTest, MacroWanted, Part, RateCounted, RateLimit, Test};
use crate::diagnostic::{Fault, printable};

impl Reader<'_> {
    /// `list "name" TYPE { items }`
    pub(super) fn list(&mut self) -> Result<(), Fault> {
        let (name, start) = self.new_name("a name")?;
        let read = self.list_items();
        let is_mistaken = read.is_err() || !self.faults.is_empty();
        let meaning = match &read {
            _ if is_mistaken => Named::Mistaken(self.line()),
            Ok(ListItems {
                foreign: Some(why), ..
            }) => Named::Foreign(why),
            _ => Named::Number(self.tree.lists.len()),
        };
        if !self.define(Kind::List, &name, meaning.clone()) {
            self.faults.push(defined_twice(Kind::List, &name, start));
            return read.map(|_| ());
        }
        let items = read?;
        match meaning {
            Named::Number(_) => {
                let items = items.tests;
                self.tree.lists.push(AclList { name, items });
            }
            Named::Foreign(why) => self.no_effect(why),
            Named::Mistaken(_) => {}
        }
        Ok(())
    }

    fn list_items(&mut self) -> Result<ListItems, Fault> {
        let Some(kind) = self.cursor.peek_word() else {
            return Err(self.cursor.expected("the kind of the list", LIST_KINDS));
        };
        let Some(kind) = list_kind(&kind.text) else {
            return Err(self.cursor.expected("the kind of a list", LIST_KINDS));
        };
        self.cursor.word();
        if !self.cursor.take_if(b'{') {
            return Err(self
                .cursor
                .expected("the { before the items", "write { items }"));
        }
        let mut items = ListItems::default();
        let mut count = 0_usize;
        while !self.cursor.take_if(b'}') {
            if self.cursor.peek().is_none() {
                let cure = "write a } at the end, and a \\ at the end of each line before";
                return Err(self.cursor.expected("the } behind the items", cure));
            }
            if self.cursor.peek() == Some(b',') {
                let cure = "leave the comma out: blanks stand between items";
                return Err(self.cursor.expected("an item", cure));
            }
            match self.list_item(kind)? {
                Asked::Test(test) => items.tests.push(test),
                Asked::Foreign(why) => items.foreign = Some(why),
                Asked::Mistake => {}
            }
            count += 1;
        }
        if count == 0 {
            let cure = "write at least one item between the braces";
            return Err(self.cursor.expected("an item of the list", cure));
        }
        Ok(items)
    }

    fn list_item(&mut self, kind: ListKind) -> Result<Asked, Fault> {
        match kind {
            ListKind::Addr => self.addr(),
            ListKind::Text(part) => self.text(part),
            ListKind::Country => self.country(),
            ListKind::Dnsrbl => self.named(Kind::Dnsrbl),
            ListKind::Macro => self.named(Kind::Macro),
            ListKind::UrlCheck => self.named(Kind::UrlCheck),
            ListKind::P0f => self.p0f(),
        }
    }

    /// `dnsrbl "name" zone.tld IP[/N]`, also with the quotes that the manual shows.
    pub(super) fn dnsrbl(&mut self) -> Result<(), Fault> {
        let (name, start) = self.new_name("a name")?;
        let quoted_zone = self.cursor.quoted()?;
        let zone = match &quoted_zone {
            Some(token) => token.clone(),
            None => self.cursor.domain()?,
        };
        let zone = String::from_utf8_lossy(zone.text);
        let zone = zone.trim_matches('.').to_owned();
        let quoted_answer = self.cursor.quoted()?;
        if quoted_zone.is_some() || quoted_answer.is_some() {
            self.refused_there("the quotes around the zone and the address");
        }
        let answer = match quoted_answer {
            Some(token) => quoted_network(token.text).ok_or_else(|| {
                let cure = "write for example 127.0.0.2, or 127.0.0.0/24";
                Fault::new(token.span, "this is no IP address", cure)
            })?,
            None => self.cursor.network()?,
        };
        if self.define(Kind::Dnsrbl, &name, Named::Number(self.tree.dnsrbls.len())) {
            self.tree.dnsrbls.push(DnsList { name, zone, answer });
        } else {
            self.faults.push(defined_twice(Kind::Dnsrbl, &name, start));
        }
        Ok(())
    }

    /// `sm_macro "name" "{macro}" "value"`, or a pattern, or `unset`.
    pub(super) fn sm_macro(&mut self) -> Result<(), Fault> {
        let (name, start) = self.new_name("a name")?;
        let macro_name = self.quoted("a macro")?;
        let wanted = if self.keyed("unset")? {
            MacroWanted::Unset
        } else if self.cursor.peek() == Some(b'/') {
            match self.pattern()? {
                Some(pattern) => MacroWanted::Pattern(pattern),
                None => return Ok(()),
            }
        } else {
            MacroWanted::Equal(self.quoted("a pattern, unset, or a value")?)
        };
        if !self.define(Kind::Macro, &name, Named::Number(self.tree.macros.len())) {
            self.warnings.push(Fault::new(
                start,
                format!(
                    "sm_macro \"{}\" defined twice: the first counts",
                    printable(&name)
                ),
                "give it a name of its own",
            ));
        }
        self.tree.macros.push(MacroTest {
            name,
            macro_name,
            wanted,
        });
        Ok(())
    }

    /// `ratelimit "name" rcpt|session|data N / T [key "format"]`
    pub(super) fn ratelimit(&mut self) -> Result<(), Fault> {
        let (name, start) = self.new_name("a name")?;
        let counted = self.choice("something to count", &COUNTED)?;
        let (limit, window) = self.rate()?;
        let key = if self.keyed("key")? {
            self.quoted("a key")?
        } else {
            b"%i".to_vec()
        };
        if window.0 < 10 {
            let crash = "milter-greylist ends with a division by zero for a time below 10 seconds";
            self.differences.push(crash.to_owned());
        }
        let is_like = |other: &RateLimit| other.counted == counted && other.key == key;
        if self.tree.ratelimits.iter().any(is_like) {
            let shared = "milter-greylist counts this together with another rate limit of the \
                          same kind and key";
            self.differences.push(shared.to_owned());
        }
        if self.define(
            Kind::Ratelimit,
            &name,
            Named::Number(self.tree.ratelimits.len()),
        ) {
            self.tree.ratelimits.push(RateLimit {
                name,
                counted,
                limit,
                window,
                key,
            });
        } else {
            self.faults
                .push(defined_twice(Kind::Ratelimit, &name, start));
        }
        Ok(())
    }

    /// `N / T`, here also without the blanks or the unit.
    fn rate(&mut self) -> Result<(u64, Seconds), Fault> {
        let limit = self.cursor.number("a number")?;
        let end = self.cursor.here();
        let slash = self.cursor.position();
        if !self.cursor.take_if(b'/') {
            let cure = "write the number, / and the time, for example 10 / 1m";
            return Err(self.cursor.expected("the / before the time", cure));
        }
        let behind = self.cursor.here();
        let fault = self
            .cursor
            .expected("a time to count over", "write for example 1m");
        let start = self.cursor.position();
        let window = self.cursor.time("a time to count over")?;
        if window.0 <= 0 {
            return Err(fault);
        }
        if slash == end || behind == start || self.cursor.is_behind_digit() {
            self.refused_there("a rate without blanks and a unit; write for example 10 / 60s");
        }
        Ok((limit, window))
    }

    /// The name of a definition, with its place.
    pub(super) fn new_name(
        &mut self,
        what: &str,
    ) -> Result<(Vec<u8>, std::ops::Range<usize>), Fault> {
        let start = self.cursor.position();
        let name = self.quoted(what)?;
        Ok((name, start..self.cursor.here()))
    }
}

/// The items of a list under way.
#[derive(Default)]
struct ListItems {
    tests: Vec<Test>,
    /// Some item needs a foreign daemon.
    foreign: Option<&'static str>,
}

/// What a list holds.
#[derive(Clone, Copy)]
enum ListKind {
    Addr,
    Text(Part),
    Country,
    Dnsrbl,
    Macro,
    UrlCheck,
    P0f,
}

fn list_kind(word: &str) -> Option<ListKind> {
    Some(match word {
        "addr" => ListKind::Addr,
        "domain" => ListKind::Text(Part::Domain),
        "from" => ListKind::Text(Part::From),
        "rawfrom" => ListKind::Text(Part::RawFrom),
        "rcpt" => ListKind::Text(Part::Rcpt),
        "helo" => ListKind::Text(Part::Helo),
        "auth" => ListKind::Text(Part::Auth),
        "tls" => ListKind::Text(Part::Tls),
        "header" => ListKind::Text(Part::Header),
        "body" => ListKind::Text(Part::Body),
        "geoip" => ListKind::Country,
        "dnsrbl" => ListKind::Dnsrbl,
        "sm_macro" => ListKind::Macro,
        "urlcheck" => ListKind::UrlCheck,
        "p0f" => ListKind::P0f,
        _ => return None,
    })
}

pub(super) fn defined_twice(kind: Kind, name: &[u8], at: std::ops::Range<usize>) -> Fault {
    Fault::new(
        at,
        format!("{} \"{}\" defined twice", kind.word(), printable(name)),
        "give it a name of its own, or put both into one",
    )
}

fn quoted_network(text: &[u8]) -> Option<Network> {
    str::from_utf8(text).ok()?.trim().parse().ok()
}

const LIST_KINDS: &str = "write one of: addr domain from rawfrom rcpt helo auth tls header body \
                          dnsrbl sm_macro geoip urlcheck p0f";

const COUNTED: [(&str, RateCounted); 3] = [
    ("rcpt", RateCounted::Recipients),
    ("session", RateCounted::Sessions),
    ("data", RateCounted::Bytes),
];
