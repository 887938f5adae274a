//! What a protocol noticed and went on after: not an error, but worth a log line.

/// Something odd on a connection that is answered all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A line that is no attribute; its first 100 bytes.
    Garbage(Vec<u8>),
    /// A request of a type that is not ours; the type as sent, empty when there was none.
    UnknownRequest(Vec<u8>),
    /// A request without an attribute that is needed; the attribute's name.
    MissingAttribute(&'static str),
    /// The other side speaks a version that is not spoken here; the version as sent.
    UnknownVersion(Vec<u8>),
    /// A client address that cannot be read; the text as sent.
    UnreadableAddress(Vec<u8>),
}
