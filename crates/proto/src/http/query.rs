//! Query strings: which records are meant.
//!
//! Source: WHATWG URL Standard, "application/x-www-form-urlencoded parsing" (`+` is a blank, `%`
//! two digits, anything else itself).

use greylatch_core::{Query, Standing};

use super::problem::{HttpFault, HttpProblem};
use crate::control::unhex;

/// Records on one page at most; as many as a store gives.
const PAGE_MAX: u32 = 1_000;

const LISTING: &[&str] = &["matching", "standing", "clients", "after", "limit"];
const REMOVAL: &[&str] = &["matching", "standing", "clients"];

/// Which records to list.
///
/// # Errors
/// [`HttpProblem::Faults`], with every mistake.
pub fn decode_list(query: &str) -> Result<Query, HttpProblem> {
    Parameters::read(query, LISTING).query()
}

/// Which records to remove: a text has to be given, so that a slip does not empty the memory.
///
/// # Errors
/// [`HttpProblem::Faults`], with every mistake.
pub fn decode_removal(query: &str) -> Result<Query, HttpProblem> {
    let mut parameters = Parameters::read(query, REMOVAL);
    if parameters.value("matching").is_none_or(<[u8]>::is_empty) {
        parameters.fault(
            "matching",
            "is missing or empty; write a text that occurs in what is to go",
        );
    }
    parameters.query()
}

/// The parameters of a query, decoded.
struct Parameters {
    pairs: Vec<(String, Vec<u8>)>,
    faults: Vec<HttpFault>,
}

impl Parameters {
    fn read(query: &str, known: &[&str]) -> Self {
        let mut parameters = Self {
            pairs: Vec::new(),
            faults: Vec::new(),
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = String::from_utf8_lossy(&decoded(name)).into_owned();
            if !known.contains(&name.as_str()) {
                let what = format!("is not known; known are {}", known.join(", "));
                parameters.fault(&name, &what);
            } else if parameters.value(&name).is_some() {
                parameters.fault(&name, "is given twice; give it once");
            }
            parameters.pairs.push((name, decoded(value)));
        }
        parameters
    }

    fn fault(&mut self, name: &str, what: &str) {
        self.faults.push(HttpFault::at_parameter(name, what));
    }

    fn value(&self, name: &str) -> Option<&[u8]> {
        let mut pairs = self.pairs.iter();
        let pair = pairs.find(|(known, _)| known == name);
        pair.map(|(_, value)| value.as_slice())
    }

    /// A value read by `read`; `None` when it is not there or not right.
    fn read_value<T>(
        &mut self,
        name: &str,
        what: &str,
        read: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Option<T> {
        let value = read(self.value(name)?);
        if value.is_none() {
            self.fault(name, what);
        }
        value
    }

    fn query(mut self) -> Result<Query, HttpProblem> {
        let query =
            Query {
                matching: self.value("matching").map(<[u8]>::to_vec),
                standing: self.read_value(
                    "standing",
                    "is none of its words; write waiting, proven, allowed or refused",
                    |value| {
                        let mut all = Standing::ALL.into_iter();
                        all.find(|standing| standing.word().as_bytes() == value)
                    },
                ),
                clients: self
                    .read_value("clients", "is neither true nor false; write one", |value| {
                        match value {
                            b"true" => Some(true),
                            b"false" => Some(false),
                            _ => None,
                        }
                    })
                    .unwrap_or(false),
                after: self.read_value(
                    "after",
                    "is no key; write `next` of the page before, 32 hexadecimal digits",
                    |value| unhex(std::str::from_utf8(value).ok()?)?.try_into().ok(),
                ),
                limit: self
                    .read_value(
                        "limit",
                        "is no length of a page; write 1 to 1000",
                        |value| {
                            let is_number = value.iter().all(u8::is_ascii_digit);
                            let digits = std::str::from_utf8(value).ok().filter(|_| is_number)?;
                            let limit: u32 = digits.parse().ok()?;
                            (1..=PAGE_MAX).contains(&limit).then_some(limit)
                        },
                    )
                    .unwrap_or(PAGE_MAX),
            };
        match self.faults.is_empty() {
            true => Ok(query),
            false => Err(HttpProblem::Faults(self.faults)),
        }
    }
}

fn decoded(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut out = Vec::with_capacity(rest.len());
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        out.push(match byte {
            b'+' => b' ',
            b'%' => match escaped(after) {
                Some(byte) => {
                    rest = after.get(2..).unwrap_or_default();
                    byte
                }
                None => b'%',
            },
            byte => *byte,
        });
    }
    out
}

/// The byte that two digits at the beginning stand for.
fn escaped(text: &[u8]) -> Option<u8> {
    let digits = text.get(..2)?;
    let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_hex)?;
    u8::from_str_radix(digits, 16).ok()
}
