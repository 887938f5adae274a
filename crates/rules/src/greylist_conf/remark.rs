//! What became of each statement, and what the file as a whole leaves to a bypass, for a listing.

use super::GreylistConf;
use super::tree::AclAction;

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

impl GreylistConf {
    /// What whoever reads the file should know though no line says it.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let settings = &self.settings;
        let mut notes = Vec::new();
        if !settings.nospf && !self.has_spf_clause {
            notes.push(
                "senders that SPF passes are not greylisted, and no rule catches them; write \
                 nospf to have them judged"
                    .to_owned(),
            );
        }
        if !settings.noauth && !self.has_auth_clause {
            notes.push(
                "clients that authenticate, or have a certificate that the MTA verified, are \
                 not greylisted, and no rule catches them; write noauth to have them judged"
                    .to_owned(),
            );
        }
        let decides = |action| action != AclAction::Continue;
        if !self.rules.iter().any(|rule| decides(rule.action)) {
            let what = if settings.testmode {
                "accepted"
            } else {
                "greylisted"
            };
            notes.push(format!("no rule decides: everything is {what}"));
        }
        notes
    }
}
