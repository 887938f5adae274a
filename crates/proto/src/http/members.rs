//! A JSON object whose members are taken out one by one, with every mistake noted.

use serde_json::{Map, Value};

use super::problem::{HttpFault, HttpProblem};

/// The object of a body.
#[derive(Debug)]
pub(super) struct Members {
    rest: Map<String, Value>,
    known: Vec<&'static str>,
    faults: Vec<HttpFault>,
}

impl Members {
    /// The object that a body is.
    ///
    /// # Errors
    /// [`HttpProblem::Json`] when it is no JSON, [`HttpProblem::Faults`] when it is no object.
    pub(super) fn read(body: &[u8]) -> Result<Self, HttpProblem> {
        let value: Value =
            serde_json::from_slice(body).map_err(|error| HttpProblem::Json(error.to_string()))?;
        let Value::Object(rest) = value else {
            let fault = HttpFault::at_pointer("", "is no object; write {\"client\": ...}");
            return Err(HttpProblem::Faults(vec![fault]));
        };
        Ok(Self {
            rest,
            known: Vec::new(),
            faults: Vec::new(),
        })
    }

    /// Says that this member has to be there.
    pub(super) fn need(&mut self, name: &'static str) {
        if !self.rest.contains_key(name) {
            self.fault(name, "is missing; it has to be there");
        }
    }

    /// Notes what is wrong with a member.
    pub(super) fn fault(&mut self, name: &str, what: &str) {
        self.faults.push(HttpFault::at_pointer(name, what));
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.rest.remove(name)
    }

    /// A text; `None` when it is not there or not right.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) if !text.contains(['\0', '\r', '\n']) => return Some(text),
            Value::String(_) => self.fault(name, "has a NUL or a line end in it; leave them out"),
            _ => self.fault(name, "is no string; put it into double quotes"),
        }
        None
    }

    /// What one of these words means; `None` when it is not there or not right.
    pub(super) fn word<T: Copy>(
        &mut self,
        name: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let given = self.take(name)?;
        let known = words.iter().find(|(word, _)| given == *word);
        if known.is_none() {
            let words: Vec<String> = words
                .iter()
                .map(|(word, _)| format!("\"{word}\""))
                .collect();
            self.fault(
                name,
                &format!("is none of its words; write {}", words.join(" or ")),
            );
        }
        known.map(|(_, meaning)| *meaning)
    }

    /// A number from 1 on; `None` when it is not there or not right.
    pub(super) fn count(&mut self, name: &'static str) -> Option<u32> {
        let given = self.take(name)?;
        // `1.0` is an integer too. Source: JSON Schema 2020-12 Core, 4.2.3.
        let whole = given.as_f64().filter(|count| count.fract() == 0.0);
        let count = whole.filter(|count| (1.0..=f64::from(u32::MAX)).contains(count));
        if count.is_none() {
            self.fault(
                name,
                "is no number of recipients; write an integer from 1 to 4294967295",
            );
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is whole and in the range of u32"
        )]
        count.map(|count| count as u32)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`HttpProblem::Faults`] when there was any mistake, or a member is left.
    pub(super) fn finish(mut self) -> Result<(), HttpProblem> {
        let known = self.known.join(", ");
        for name in self.rest.keys() {
            let what = format!("is not known; known are {known}");
            self.faults.push(HttpFault::at_pointer(name, &what));
        }
        match self.faults.is_empty() {
            true => Ok(()),
            false => Err(HttpProblem::Faults(self.faults)),
        }
    }
}
