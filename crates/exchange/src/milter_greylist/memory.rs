//! What a row means to our memory, and what our memory is as a row.
//!
//! A pending row says from when on a retry passes, but not when it was first seen; a row that
//! passed says until when it counts, but not since when.

use std::net::IpAddr;

use greylatch_core::{
    Attempt, Due, Entry, Field, IdentityRules, Record, Standing, Timestamp, Timing,
};

use super::{DumpRow, RowKind};

impl DumpRow {
    /// The record of this row, its identities formed by `identity`; the key, which the store
    /// makes, is zero. `None` when it no longer counts at `now`, or is of a tarpit.
    ///
    /// Bracketed and bare spellings, and those of other case, give the same identities: such
    /// entries are put together by [`merge_entries`].
    pub fn record(
        &self,
        identity: &IdentityRules,
        timing: &Timing,
        now: Timestamp,
    ) -> Option<Record> {
        let entry = self.entry(timing, now)?;
        let mut attempt = Attempt::new();
        attempt.set(Field::Sender, &self.sender);
        attempt.set(Field::Recipient, &self.recipient);
        let triplet = identity.triplet(self.client, &attempt);
        Some(Record::Triplet {
            key: [0; 16],
            client: triplet.client().to_vec(),
            sender: triplet.sender().to_vec(),
            recipient: triplet.recipient().to_vec(),
            entry,
        })
    }

    /// The entry of this row, its first attempt reckoned back by today's delay or lifetime and
    /// never later than `now`: an entry of the future would begin to wait anew.
    fn entry(&self, timing: &Timing, now: Timestamp) -> Option<Entry> {
        let back = |length: i64| Timestamp(self.when.0.saturating_sub(length.max(0)).min(now.0));
        match self.kind {
            RowKind::Pending if now.since(self.when) <= timing.retry_window => {
                let first = back(timing.delay.0);
                Some(Entry {
                    first,
                    last: first,
                    due: self.when,
                    expires: self.when.plus(timing.retry_window),
                    standing: Standing::Waiting,
                })
            }
            RowKind::Auto if now <= self.when => {
                let last = back(timing.lifetime.0);
                // By Postgrey's reckoning it has to have been tried that late to have passed.
                let before = match timing.due {
                    Due::FromFirst => timing.delay.0.max(0),
                    Due::AsStored => 0,
                };
                Some(Entry {
                    first: Timestamp(last.0.saturating_sub(before)),
                    last,
                    due: last,
                    expires: self.when,
                    standing: Standing::Proven,
                })
            }
            RowKind::Pending | RowKind::Auto | RowKind::Tarpit { .. } => None,
        }
    }

    /// The row of a record: `None` for a client's record, for one without text, for a refusal
    /// set by hand (the file has no word for it), and for what no longer counts at `now`.
    pub fn of_record(record: &Record, now: Timestamp) -> Option<Self> {
        let Record::Triplet {
            client,
            sender,
            recipient,
            entry,
            ..
        } = record
        else {
            return None;
        };
        if entry.expires < now {
            return None;
        }
        let (kind, when) = match entry.standing {
            Standing::Waiting => (RowKind::Pending, entry.due),
            Standing::Proven | Standing::Allowed => (RowKind::Auto, entry.expires),
            Standing::Refused => return None,
        };
        Some(Self {
            client: address(client)?,
            sender: sender.clone(),
            recipient: recipient.clone(),
            when,
            kind,
        })
    }
}

/// The address in a client's identity, of which a network is known by its first.
fn address(client: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(client).ok()?;
    let (address, _prefix) = text.split_once('/').unwrap_or((text, ""));
    address.parse().ok()
}

/// Of two entries of the same triplet the one that counts: set by hand before proven before
/// waiting; of two proven the one that is remembered longer, of two waiting the one that is due
/// earlier. The order of the two makes no difference to what counts.
#[must_use]
pub fn merge_entries(one: Entry, other: Entry) -> Entry {
    let rank = |entry: &Entry| match entry.standing {
        Standing::Refused => 3,
        Standing::Allowed => 2,
        Standing::Proven => 1,
        Standing::Waiting => 0,
    };
    let other_counts = match rank(&one).cmp(&rank(&other)) {
        std::cmp::Ordering::Less => true,
        std::cmp::Ordering::Greater => false,
        std::cmp::Ordering::Equal if one.standing == Standing::Waiting => other.due < one.due,
        std::cmp::Ordering::Equal => other.expires > one.expires,
    };
    if other_counts { other } else { one }
}

#[cfg(test)]
mod tests {
    use greylatch_core::{
        Greylist, Memory, Outcome, Reason, Ruling, School, Seconds, WindowFrom, decide,
    };

    use super::*;

    const TIMING: Timing = Timing {
        delay: Seconds(1800),
        retry_window: Seconds(432_000),
        lifetime: Seconds(86_400),
        due: Due::AsStored,
        window_from: WindowFrom::Due,
    };

    const IDENTITY: IdentityRules = IdentityRules {
        school: School::Native,
        ipv4_prefix: 32,
        ipv6_prefix: 128,
    };

    const NOW: i64 = 1_800_000_000;

    fn row(when: i64, kind: RowKind) -> DumpRow {
        DumpRow {
            client: "192.0.2.10".parse().unwrap(),
            sender: b"Alice@X.org".to_vec(),
            recipient: b"Bob@Y.net".to_vec(),
            when: Timestamp(when),
            kind,
        }
    }

    fn entry(when: i64, kind: RowKind) -> Option<Entry> {
        row(when, kind).entry(&TIMING, Timestamp(NOW))
    }

    /// What becomes of the next attempt: outcome, reason, how long to wait.
    fn next(entry: Entry) -> (Outcome, Reason, i64) {
        let ruling = Ruling::Greylist(Greylist {
            timing: TIMING,
            exemption: None,
            waiting_max: None,
            network_suffices: false,
        });
        let memory = Memory {
            entry: Some(entry),
            ..Memory::default()
        };
        let decision = decide(&ruling, &memory, Timestamp(NOW));
        (decision.outcome, decision.reason, decision.wait.0)
    }

    #[test]
    fn a_pending_row_passes_when_it_would_have_with_the_original() {
        let early = (Outcome::Defer, Reason::EarlyRetry);
        for (when, expected) in [
            (NOW + 600, Some((early.0, early.1, 600))),
            (NOW, Some((Outcome::Pass, Reason::Retry, 0))),
            (NOW - 432_000, Some((Outcome::Pass, Reason::Retry, 0))),
            (NOW - 432_001, None),
            // It waits longer than today's delay, or forever.
            (NOW + 7200, Some((early.0, early.1, 7200))),
            (i64::MAX, Some((early.0, early.1, i64::MAX - NOW))),
        ] {
            assert_eq!(entry(when, RowKind::Pending).map(next), expected, "{when}");
        }
        let entry = entry(NOW + 600, RowKind::Pending).unwrap();
        assert_eq!(entry.first, Timestamp(NOW - 1200));
    }

    #[test]
    fn a_row_that_passed_counts_until_it_expires() {
        for (when, expected) in [
            (NOW + 1, Some((Outcome::Pass, Reason::Known, 0))),
            (NOW, Some((Outcome::Pass, Reason::Known, 0))),
            (NOW - 1, None),
            (i64::MAX, Some((Outcome::Pass, Reason::Known, 0))),
        ] {
            assert_eq!(entry(when, RowKind::Auto).map(next), expected, "{when}");
        }
        let shortest = Seconds(3);
        assert_eq!(entry(NOW + 600, RowKind::Tarpit { shortest }), None);
    }

    #[test]
    fn a_row_that_passed_has_passed_by_either_reckoning() {
        let timing = Timing {
            due: Due::FromFirst,
            ..TIMING
        };
        let row = row(NOW + 600, RowKind::Auto);
        let entry = row.entry(&timing, Timestamp(NOW)).expect("an entry");
        let ruling = Ruling::Greylist(Greylist {
            timing,
            exemption: None,
            waiting_max: None,
            network_suffices: false,
        });
        let memory = Memory {
            entry: Some(entry),
            ..Memory::default()
        };
        let decision = decide(&ruling, &memory, Timestamp(NOW));
        assert_eq!(
            (decision.outcome, decision.reason),
            (Outcome::Pass, Reason::Known)
        );
    }

    #[test]
    fn a_record_is_known_by_its_folded_addresses_and_becomes_a_row_again() {
        let now = Timestamp(NOW);
        for kind in [RowKind::Pending, RowKind::Auto] {
            let row = row(NOW + 600, kind);
            let record = row.record(&IDENTITY, &TIMING, now).unwrap();
            let Record::Triplet {
                client,
                sender,
                recipient,
                ..
            } = &record
            else {
                panic!("a triplet");
            };
            assert_eq!(client, b"192.0.2.10/32");
            assert_eq!(sender, b"alice@x.org");
            assert_eq!(recipient, b"bob@y.net");
            let folded = DumpRow {
                sender: sender.clone(),
                recipient: recipient.clone(),
                ..row
            };
            assert_eq!(DumpRow::of_record(&record, now), Some(folded));
            assert_eq!(DumpRow::of_record(&record, Timestamp(i64::MAX)), None);
        }
    }

    #[test]
    fn what_is_set_by_hand_is_written_as_far_as_the_file_has_a_word_for_it() {
        let record = |standing| Record::Triplet {
            key: [0; 16],
            client: b"2001:db8::/64".to_vec(),
            sender: vec![],
            recipient: b"b@y".to_vec(),
            entry: Entry {
                standing,
                ..entry(NOW, RowKind::Auto).unwrap()
            },
        };
        let row = |standing| DumpRow::of_record(&record(standing), Timestamp(NOW));
        let allowed = row(Standing::Allowed).unwrap();
        assert_eq!(allowed.kind, RowKind::Auto);
        assert_eq!(allowed.client, "2001:db8::".parse::<IpAddr>().unwrap());
        assert_eq!(row(Standing::Refused), None);
    }

    #[test]
    fn of_two_entries_the_better_one_counts_whatever_their_order() {
        let pending = |when| entry(when, RowKind::Pending).unwrap();
        let auto = |when| entry(when, RowKind::Auto).unwrap();
        let refused = Entry {
            standing: Standing::Refused,
            ..auto(NOW)
        };
        for (better, worse) in [
            (auto(NOW + 1), pending(NOW + 1)),
            (auto(NOW + 2), auto(NOW + 1)),
            (pending(NOW + 1), pending(NOW + 2)),
            (refused, auto(NOW + 9)),
        ] {
            assert_eq!(merge_entries(better, worse), better);
            assert_eq!(merge_entries(worse, better), better);
        }
    }
}
