//! What the rules look at of a message, so that an MTA need not send the rest.

use super::GreylistConf;
use super::tree::{AclRule, AclStage, Part, RateCounted, Test};

/// What has to be known of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageNeeds {
    /// Some rule judges messages.
    pub judged: bool,
    /// Its headers are looked at or changed.
    pub headers: bool,
    /// Signatures are looked at, which rest on every byte of the headers.
    pub signatures: bool,
    /// Its body is looked at or changed.
    pub body: bool,
    /// It is counted, all of it.
    pub size: bool,
    /// Its subject may be changed.
    pub changes_subject: bool,
    /// Its body may be changed.
    pub changes_body: bool,
}

impl MessageNeeds {
    fn all(&mut self) {
        (self.headers, self.body, self.size) = (true, true, true);
    }
}

impl GreylistConf {
    /// What all rules together need.
    #[must_use]
    pub fn message_needs(&self) -> MessageNeeds {
        let mut needs = MessageNeeds::default();
        for rule in &self.rules {
            if rule.stage == AclStage::Data {
                // A recipient's rules change nothing of the message but that it gets headers.
                needs.judged = true;
                needs.changes_subject |= rule.values.subjtag.is_some();
                needs.changes_body |= rule.values.addfooter.is_some();
            }
            for clause in &rule.clauses {
                self.add(rule, &clause.test, &mut needs);
            }
        }
        needs.headers |= needs.changes_subject;
        needs.body |= needs.changes_body;
        needs
    }

    fn add(&self, rule: &AclRule, test: &Test, needs: &mut MessageNeeds) {
        let counts_bytes = |number: &usize| {
            let limit = self.ratelimits.get(*number);
            limit.is_some_and(|limit| limit.counted == RateCounted::Bytes)
        };
        match test {
            Test::Text(Part::Header, _) => needs.headers = true,
            Test::Text(Part::Body, _) => needs.body = true,
            Test::List(number) => {
                // All items of a list are of one kind.
                let list = self.lists.get(*number);
                if let Some(item) = list.and_then(|list| list.items.first()) {
                    self.add(rule, item, needs);
                }
            }
            Test::Dkim(_) => {
                (needs.headers, needs.signatures, needs.body) = (true, true, true);
            }
            Test::MsgSize(_) => needs.all(),
            Test::Ratelimit(number) if rule.stage == AclStage::Data && counts_bytes(number) => {
                needs.all();
            }
            _ => {}
        }
    }
}
