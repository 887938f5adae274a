//! The values of rules: what a rule sets when it matches.

use greylatch_core::Seconds;

use super::lexer::Word;
use super::statement::Reader;
use super::tree::{AclValues, AddHeader};
use crate::diagnostic::Fault;

impl Reader<'_> {
    /// Reads the value that begins with `word`, which stands here; false if no value does.
    pub(super) fn value(&mut self, word: &Word, values: &mut AclValues) -> Result<bool, Fault> {
        match word.text.as_str() {
            "delay" => {
                let delay = self.time_of_rule("a delay")?;
                self.once(word, &mut values.delay, delay);
            }
            "autowhite" => {
                let time = self.time_of_rule("a length of time")?;
                self.once(word, &mut values.autowhite, time);
            }
            "code" => self.template(word, &mut values.code)?,
            "ecode" => self.template(word, &mut values.ecode)?,
            "msg" => {
                self.template(word, &mut values.msg)?;
                if values.msg.as_ref().is_some_and(|msg| msg.contains(&b'%')) {
                    self.differences.push(
                        "a % in the expanded text is doubled for the MTA; milter-greylist does \
                         not, so that Postfix drops it and Sendmail refuses the mail for good"
                            .to_owned(),
                    );
                }
            }
            "report" => self.template(word, &mut values.report)?,
            "subjtag" => self.template(word, &mut values.subjtag)?,
            "addfooter" => {
                self.template(word, &mut values.addfooter)?;
                values.addfooter = values.addfooter.take().map(|text| unescaped(&text));
            }
            "addheader" => {
                let header = self.add_header()?;
                self.once(word, &mut values.addheader, header);
            }
            "maxpeek" => {
                let bytes = self.cursor.number("a number of bytes")?;
                self.once(word, &mut values.maxpeek, bytes);
            }
            "tarpit_scope" => {
                let scope = self.tarpit_scope()?;
                self.once(word, &mut values.tarpit_scope, scope);
            }
            "flushaddr" => values.flushaddr = true,
            "nolog" => values.nolog = true,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The original wants a unit here, though not elsewhere.
    pub(super) fn time_of_rule(&mut self, what: &str) -> Result<Seconds, Fault> {
        let time = self.cursor.time(what)?;
        if self.cursor.is_behind_digit() {
            self.refused_there("a time without a unit here; write for example 90s");
        }
        Ok(time)
    }

    fn template(&mut self, word: &Word, into: &mut Option<Vec<u8>>) -> Result<(), Fault> {
        let text = self.quoted("a text")?;
        self.once(word, into, text);
        Ok(())
    }

    fn once<T>(&mut self, word: &Word, into: &mut Option<T>, value: T) {
        if into.is_some() {
            self.faults.push(Fault::new(
                word.span.clone(),
                format!("{} specified twice", word.text),
                "leave one of them out",
            ));
        }
        *into = Some(value);
    }

    fn add_header(&mut self) -> Result<AddHeader, Fault> {
        let start = self.cursor.position();
        let text = self.quoted("a header")?;
        if !text.windows(2).any(|pair| pair == b": ") {
            self.warnings.push(Fault::new(
                start..self.cursor.here(),
                "this is no header, and none will be added",
                "write the name, a colon, a blank and the value: \"X-Name: value\"",
            ));
        }
        let index = if self.cursor.take_if(b',') {
            let cure = "write a small number";
            let fault = self.cursor.expected("a place for the header", cure);
            let number = self.cursor.number("a place for the header")?;
            Some(u32::try_from(number).map_err(|_| fault)?)
        } else {
            None
        };
        Ok(AddHeader { text, index })
    }
}

/// The words that begin a value.
pub(super) fn is_value(word: &str) -> bool {
    VALUES.contains(&word)
}

/// The escapes of C, which `stat` and `addfooter` know, as the bytes that they stand for.
pub(super) fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let (byte, length) = match (first, tail) {
            (b'\\', [b'n', ..]) => (b'\n', 2),
            (b'\\', [b't', ..]) => (b'\t', 2),
            (b'\\', [b'r', ..]) => (b'\r', 2),
            (b'\\', [b'a', ..]) => (0x07, 2),
            (b'\\', [b'b', ..]) => (0x08, 2),
            (b'\\', [b'v', ..]) => (0x0b, 2),
            (b'\\', [b'f', ..]) => (0x0c, 2),
            (b'\\', [b'\\', ..]) => (b'\\', 2),
            (b'\\', [b'"', ..]) => (b'"', 2),
            _ => (*first, 1),
        };
        out.push(byte);
        rest = rest.get(length..).unwrap_or_default();
    }
    out
}

const VALUES: [&str; 13] = [
    "delay",
    "autowhite",
    "code",
    "ecode",
    "msg",
    "report",
    "flushaddr",
    "nolog",
    "addheader",
    "addfooter",
    "subjtag",
    "maxpeek",
    "tarpit_scope",
];
