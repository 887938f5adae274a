//! `[log]` of the configuration.

use serde::Deserialize;

use super::facility::Facility;
use super::text;

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// How a decision is written: `"postgrey"`, `"logfmt"` or `"json"`.
    pub format: LogFormat,
    /// Where to: `"auto"` (journald when it is there for us, else stderr), `"stderr"`,
    /// `"journald"`, `"syslog"`.
    pub to: LogTo,
    /// `"quiet"` leaves decisions out, `"verbose"` adds a line for each connection.
    pub level: LogLevel,
    /// The name in front of a line in syslog and in the journal.
    pub ident: String,
    /// The syslog facility.
    #[serde(deserialize_with = "text::from_text")]
    pub facility: Facility,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Postgrey,
            to: LogTo::Auto,
            level: LogLevel::Normal,
            ident: "greylatch".into(),
            facility: Facility::MAIL,
        }
    }
}

/// `log.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Postgrey's lines.
    Postgrey,
    /// `key=value` fields.
    Logfmt,
    /// One JSON object per line.
    Json,
}

/// `log.to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogTo {
    /// journald when our standard error is connected to it, else stderr.
    Auto,
    /// Standard error.
    Stderr,
    /// The journal's own socket.
    Journald,
    /// `/dev/log`.
    Syslog,
}

/// `log.level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Warnings and errors.
    Quiet,
    /// And decisions.
    Normal,
    /// And connections.
    Verbose,
}
