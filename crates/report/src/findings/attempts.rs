//! Tables of attempts: by verdict, and which rules and networks were behind those that did not wait.

use greylatch_core::Reason;

use crate::ledger::{Ledger, PASS, REFUSE};
use crate::table::{Cell, Table};

impl Ledger {
    pub(super) fn verdicts(&self) -> Table {
        let mut table = Table::new(
            "verdicts",
            "Attempts by verdict",
            "The greylister's own lines; reasons as in its log.",
            &[
                ("verdict", "VERDICT"),
                ("reason", "REASON"),
                ("attempts", "ATTEMPTS"),
            ],
        )
        .whole();
        table.picture = Some((2, 1));
        let mut found: Vec<_> = self.counts.verdicts.iter().collect();
        let place = |reason: &Reason| Reason::ALL.iter().position(|known| known == reason);
        found.sort_by_key(|((verdict, reason), _)| (*verdict, place(reason)));
        for ((verdict, reason), count) in found {
            table.rows.push(vec![
                Cell::Text((*verdict).to_owned()),
                Cell::Text(reason.word().to_owned()),
                Cell::Count(*count),
            ]);
        }
        table
    }

    pub(super) fn exempt(&self) -> Table {
        self.by_rule(
            "exempt",
            "Exempt, and by what",
            "Attempts that passed without having waited. Rules are named in the forms logfmt and json.",
            PASS,
        )
    }

    pub(super) fn refused(&self) -> Table {
        self.by_rule(
            "refused",
            "Refused, and by what",
            "Attempts that were sent away for good.",
            REFUSE,
        )
    }

    pub(super) fn throttled(&self) -> Table {
        let mut table = Table::new(
            "throttled",
            "Throttled networks",
            "Attempts deferred since too many entries of the network waited already.",
            &[("network", "NETWORK"), ("attempts", "ATTEMPTS")],
        );
        let mut found: Vec<_> = self.counts.throttled.iter().collect();
        found.sort_by(|(one, count), (other, other_count)| {
            other_count.cmp(count).then_with(|| one.cmp(other))
        });
        for (network, count) in found {
            table
                .rows
                .push(vec![Cell::text(network), Cell::Count(*count)]);
        }
        table
    }

    fn by_rule(
        &self,
        name: &'static str,
        title: &'static str,
        note: &'static str,
        wanted: &str,
    ) -> Table {
        let columns = [
            ("reason", "REASON"),
            ("rule", "RULE"),
            ("attempts", "ATTEMPTS"),
        ];
        let mut table = Table::new(name, title, note, &columns);
        let of_it = |((verdict, ..), _): &(&(&str, Reason, Vec<u8>), &u64)| *verdict == wanted;
        let mut found: Vec<_> = self.counts.rules.iter().filter(of_it).collect();
        found.sort_by(
            |((_, one, rule), count), ((_, other, other_rule), other_count)| {
                other_count
                    .cmp(count)
                    .then_with(|| (one.word(), rule).cmp(&(other.word(), other_rule)))
            },
        );
        for ((_, reason, rule), count) in found {
            table.rows.push(vec![
                Cell::Text(reason.word().to_owned()),
                Cell::text(rule),
                Cell::Count(*count),
            ]);
        }
        table
    }
}
