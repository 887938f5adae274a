//! What the running server remembers, as tables, and where that differs from what logs tell.

use std::collections::{BTreeMap, HashMap};

use greylatch_core::{Record, Standing, Timestamp, Triplet};

use crate::findings::never;
use crate::groups::{Groups, put_domain};
use crate::ledger::{DELIVERIES_MAX, Ledger, Period};
use crate::table::{Cell, Report, Table};

/// Entries of the server's memory.
pub struct Remembered {
    period: Period,
    entries: Vec<Kept>,
    /// Entries without a text, since the server keeps none.
    nameless: u64,
    /// Entries beyond those that are held.
    beyond: u64,
}

struct Kept {
    client: Vec<u8>,
    sender: Vec<u8>,
    recipient: Vec<u8>,
    standing: Standing,
    first: Timestamp,
    last: Timestamp,
}

impl Remembered {
    /// Nothing yet; of waiting entries those count whose first attempt is in the period.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self {
            period,
            entries: Vec::new(),
            nameless: 0,
            beyond: 0,
        }
    }

    /// Takes a record; those of client addresses do not count.
    pub fn add(&mut self, record: &Record) {
        let Record::Triplet {
            client,
            sender,
            recipient,
            entry,
            ..
        } = record
        else {
            return;
        };
        if !self.period.has(entry.first) {
            return;
        }
        self.nameless += u64::from(client.is_empty());
        if self.entries.len() >= DELIVERIES_MAX {
            self.beyond += 1;
            return;
        }
        self.entries.push(Kept {
            client: client.clone(),
            sender: sender.clone(),
            recipient: recipient.clone(),
            standing: entry.standing,
            first: entry.first,
            last: entry.last,
        });
    }

    /// The report on what is remembered.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut tables = vec![self.standings(), self.waiting()];
        tables.extend(self.groups());
        Report { tables }
    }

    /// Where memory and logs differ.
    #[must_use]
    pub fn differences(&self, ledger: &Ledger) -> Table {
        let mut table = Table::new(
            "differences",
            "Where the logs and the memory differ",
            "\"came back\" and \"waiting\" as the logs have it against what is remembered. An entry is \
             forgotten when it expires; a log may be of a part of the time, or of one of several hosts.",
            &[
                ("client", "CLIENT"),
                ("sender", "SENDER"),
                ("recipient", "RECIPIENT"),
                ("log", "IN THE LOGS"),
                ("memory", "REMEMBERED"),
            ],
        );
        let school = ledger.former.identity.school;
        let form = |kept: &Kept| Triplet::new(school, &kept.client, &kept.sender, &kept.recipient);
        let mut known: HashMap<Triplet, &str> = HashMap::new();
        for kept in self.entries.iter().filter(|kept| !kept.client.is_empty()) {
            known.insert(form(kept), kept.standing.word());
        }
        let mut rows: BTreeMap<Vec<u8>, (Triplet, &str, &str)> = BTreeMap::new();
        for case in ledger.cases() {
            let triplet = case.triplet();
            let memory = known.remove(&triplet).unwrap_or("nothing");
            let log = if case.never { "waiting" } else { "came back" };
            let agree = match (log, memory) {
                ("waiting", "waiting" | "refused") => true,
                ("came back", memory) => memory != "waiting",
                _ => false,
            };
            if !agree {
                rows.insert(triplet.joined().to_vec(), (triplet, log, memory));
            }
        }
        // What came back before the logs begin is no difference.
        for (triplet, memory) in known.into_iter().filter(|(_, memory)| *memory == "waiting") {
            rows.insert(triplet.joined().to_vec(), (triplet, "nothing", memory));
        }
        for (triplet, log, memory) in rows.into_values() {
            table.rows.push(vec![
                Cell::text(triplet.client()),
                Cell::text(triplet.sender()),
                Cell::text(triplet.recipient()),
                Cell::Text(log.to_owned()),
                Cell::Text(memory.to_owned()),
            ]);
        }
        table
    }

    fn standings(&self) -> Table {
        let mut table = Table::new(
            "memory",
            "What is remembered",
            "Entries of the running server; without a text where it keeps none (privacy).",
            &[("standing", "STANDING"), ("entries", "ENTRIES")],
        )
        .whole();
        table.picture = Some((1, 0));
        for standing in Standing::ALL {
            let of_it = self.entries.iter().filter(|kept| kept.standing == standing);
            let count = Cell::count(of_it.count());
            table
                .rows
                .push(vec![Cell::Text(standing.word().to_owned()), count]);
        }
        for (name, count) in [
            ("without a text", self.nameless),
            ("beyond what is held", self.beyond),
        ] {
            table
                .rows
                .push(vec![Cell::Text(name.to_owned()), Cell::Count(count)]);
        }
        table
    }

    fn waiting(&self) -> Table {
        let mut table = Table::new(
            "memory-waiting",
            "What waits in memory",
            "These have not come back, or too early, or may still come.",
            &[
                ("client", "CLIENT"),
                ("sender", "SENDER"),
                ("recipient", "RECIPIENT"),
                ("first", "FIRST"),
                ("last", "LAST"),
            ],
        );
        let mut waiting: Vec<&Kept> = self.waiting_entries().collect();
        waiting.sort_by_key(|kept| (&kept.client, &kept.sender, &kept.recipient));
        for kept in waiting {
            table.rows.push(vec![
                Cell::text(&kept.client),
                Cell::text(&kept.sender),
                Cell::text(&kept.recipient),
                Cell::Time(kept.first),
                Cell::Time(kept.last),
            ]);
        }
        table
    }

    fn waiting_entries(&self) -> impl Iterator<Item = &Kept> {
        let waits = |kept: &&Kept| kept.standing == Standing::Waiting && !kept.client.is_empty();
        self.entries.iter().filter(waits)
    }

    fn groups(&self) -> [Table; 3] {
        let [mut networks, mut domains, mut recipients] = [(); 3].map(|()| Groups::default());
        let mut domain = Vec::new();
        for kept in self.entries.iter().filter(|kept| !kept.client.is_empty()) {
            put_domain(&mut domain, &kept.sender);
            for (groups, name) in [
                (&mut networks, &kept.client),
                (&mut domains, &domain),
                (&mut recipients, &kept.recipient),
            ] {
                let group = groups.named(name);
                match kept.standing {
                    Standing::Waiting => group.never += 1,
                    Standing::Proven => group.came += 1,
                    Standing::Allowed | Standing::Refused => {}
                }
            }
        }
        [
            never(
                "memory-by-network",
                "What waits in memory, by network",
                "NETWORK",
                &networks,
                0,
            ),
            never(
                "memory-by-sender-domain",
                "What waits in memory, by the sender's domain",
                "SENDER DOMAIN",
                &domains,
                0,
            ),
            never(
                "memory-by-recipient",
                "What waits in memory, by recipient",
                "RECIPIENT",
                &recipients,
                0,
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use greylatch_core::{Entry, IdentityRules, Reason, School};

    use super::*;
    use crate::sighting::{Sighting, Subject, What};

    fn record(sender: &str, standing: Standing) -> Record {
        Record::Triplet {
            key: [0; 16],
            client: b"192.0.2.0/24".to_vec(),
            sender: sender.as_bytes().to_vec(),
            recipient: b"r@x".to_vec(),
            entry: Entry {
                first: Timestamp(100),
                last: Timestamp(100),
                due: Timestamp(160),
                expires: Timestamp(1_000),
                standing,
            },
        }
    }

    fn tell(ledger: &mut Ledger, at: i64, sender: &str, what: What<'_>) {
        let subject = Subject {
            client: b"192.0.2.9".into(),
            sender: sender.as_bytes().into(),
            recipient: b"R@x".into(),
            ..Subject::default()
        };
        let target = ledger.former.target(&subject);
        ledger.tell(Timestamp(at), &Sighting { what, subject }, target);
    }

    fn passed() -> What<'static> {
        What::Passed {
            reason: Reason::Retry,
            rule: b"".into(),
            age: None,
        }
    }

    #[test]
    fn logs_and_memory_are_compared_delivery_by_delivery() {
        let mut ledger = Ledger::new(
            IdentityRules {
                school: School::Native,
                ipv4_prefix: 24,
                ipv6_prefix: 64,
            },
            Period::default(),
        );
        for sender in ["both@a", "lost@a", "unseen@a", "ok@a"] {
            let new = What::Deferred {
                reason: Some(Reason::New),
            };
            tell(&mut ledger, 100, sender, new);
        }
        tell(&mut ledger, 400, "ok@a", passed());
        let mut remembered = Remembered::new(Period::default());
        for (sender, standing) in [
            ("both@a", Standing::Waiting),
            ("unseen@a", Standing::Proven),
            ("ok@a", Standing::Waiting),
            ("other@a", Standing::Waiting),
            ("older@a", Standing::Proven),
        ] {
            remembered.add(&record(sender, standing));
        }
        let rows: Vec<Vec<String>> = remembered
            .differences(&ledger)
            .rows
            .iter()
            .map(|row| row.iter().map(Cell::plain).collect())
            .collect();
        let row = |sender: &str, log: &str, memory: &str| {
            ["192.0.2.0/24", sender, "r@x", log, memory]
                .map(str::to_owned)
                .to_vec()
        };
        assert_eq!(
            rows,
            [
                row("lost@a", "waiting", "nothing"),
                row("ok@a", "came back", "waiting"),
                row("other@a", "nothing", "waiting"),
                row("unseen@a", "waiting", "proven"),
            ]
        );
        let waiting = remembered.report().tables.remove(1);
        assert_eq!(waiting.rows.len(), 3);
        assert_eq!(waiting.rows[0][1], Cell::text(b"both@a"));
    }
}
