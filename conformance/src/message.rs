//! One policy request, put together attribute by attribute.
//!
//! The order of the attributes is that of the calls; nothing is checked.

/// A request in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    lines: Vec<Vec<u8>>,
}

impl Message {
    /// A request of the kind that greylisters answer, without any other
    /// attribute.
    pub fn new() -> Self {
        Self::bare().with("request", "smtpd_access_policy")
    }

    /// A request without any attribute.
    pub fn bare() -> Self {
        Self { lines: Vec::new() }
    }

    /// A complete request as an MTA sends it at RCPT.
    pub fn of(client: (&str, &str), sender: &str, recipient: &str) -> Self {
        Self::new()
            .with("client_address", client.0)
            .with("client_name", client.1)
            .with("sender", sender)
            .with("recipient", recipient)
    }

    /// Adds one attribute.
    #[must_use]
    pub fn with(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.with_line([name.as_bytes(), b"=", value.as_ref()].concat())
    }

    /// Adds one line as it is.
    #[must_use]
    pub fn with_line(mut self, line: impl Into<Vec<u8>>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// The bytes to send, each line and the last blank one ended by `end`.
    pub fn bytes_with(&self, end: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in &self.lines {
            bytes.extend_from_slice(line);
            bytes.extend_from_slice(end.as_bytes());
        }
        bytes.extend_from_slice(end.as_bytes());
        bytes
    }

    /// The bytes to send.
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes_with("\n")
    }

    /// The last value of the attribute `name`, as it counts.
    pub fn last(&self, name: &str) -> Option<&[u8]> {
        self.lines.iter().rev().find_map(|line| {
            line.strip_prefix(name.as_bytes())
                .and_then(|rest| rest.strip_prefix(b"="))
        })
    }
}

impl Default for Message {
    fn default() -> Self {
        Self::new()
    }
}
