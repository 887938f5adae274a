//! What became of each statement, for a listing.

/// One statement of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its last line, by which a rule is known.
    pub line: usize,
    /// What it says, on one line, cut when it is long.
    pub text: String,
    /// What became of it.
    pub fate: Fate,
    /// Where it means something else than to milter-greylist.
    pub differences: Vec<String>,
}

/// What became of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It counts.
    Active,
    /// It is fine, and changes nothing, for this reason.
    NoEffect(String),
    /// The rule does not count, for this reason.
    Dropped(String),
    /// It has a mistake in it, told in the diagnostics, and does not count.
    Mistaken,
}
