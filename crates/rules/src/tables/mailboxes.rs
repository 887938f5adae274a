//! Mailboxes by user and domain, extensions of the user included.

use super::{Found, Owner, Owners, TextMap};

#[derive(Default)]
pub(super) struct MailboxIndex {
    users: TextMap<User>,
    /// Length of the longest user; longer beginnings of a value need no look.
    longest: usize,
}

#[derive(Default)]
struct User {
    anywhere: Owners,
    at: TextMap<Owners>,
}

impl MailboxIndex {
    pub(super) fn add(&mut self, user: Vec<u8>, domain: Option<Vec<u8>>, owner: Owner) {
        self.longest = self.longest.max(user.len());
        let user = self.users.entry(user.into()).or_default();
        match domain {
            Some(domain) => user.at.entry(domain.into()).or_default().add(owner),
            None => user.anywhere.add(owner),
        }
    }

    /// Both are in lower case. The user is looked up whole and up to each `+` that something
    /// follows: an extension is one byte at least.
    pub(super) fn look(&self, user: &[u8], domain: &[u8], found: &mut Found<'_>) {
        let last = user.len().saturating_sub(1);
        let pluses = user.iter().enumerate();
        let pluses = pluses.filter(|(at, byte)| **byte == b'+' && *at < last);
        let before_pluses = pluses.filter_map(|(at, _)| user.get(..at));
        for base in before_pluses.chain([user]) {
            if base.len() > self.longest {
                continue;
            }
            let Some(known) = self.users.get(base) else {
                continue;
            };
            found.add(&known.anywhere);
            if let Some(owners) = known.at.get(domain) {
                found.add(owners);
            }
        }
    }
}
