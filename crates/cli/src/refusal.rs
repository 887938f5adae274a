//! Why a personality does not do what it was called for, in the words and with the exit code of the
//! program whose name it bears.

use std::io::{self, Write};
use std::process::ExitCode;

/// What is said, and the exit code.
pub(crate) struct Refusal {
    message: String,
    code: u8,
}

impl Refusal {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code,
        }
    }
}

/// The exit code of what came of a call; a refusal is told on standard error, behind `before`.
pub(crate) fn told(outcome: Result<ExitCode, Refusal>, before: &str) -> ExitCode {
    match outcome {
        Ok(code) => code,
        Err(refusal) => {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(io::stderr(), "{before}{}", refusal.message);
            ExitCode::from(refusal.code)
        }
    }
}
