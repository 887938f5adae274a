//! Tables of waiting: who never came back, how long it took, and who need not have waited.

use crate::found::Found;
use crate::groups::{Group, Groups, Largest, STEPS_S, histogram, largest, percentile};
use crate::table::{Cell, Table, length_text};

pub(super) fn never_by(found: &Found, rows: usize) -> [Table; 4] {
    [
        never(
            "never-by-network",
            "Never came back, by network",
            "NETWORK",
            &found.by_client.networks,
            rows,
        ),
        never(
            "never-by-domain",
            "Never came back, by verified domain",
            "DOMAIN",
            &found.by_client.organisations,
            rows,
        ),
        never(
            "never-by-sender-domain",
            "Never came back, by the sender's domain",
            "SENDER DOMAIN",
            &found.by_envelope.sender_domains,
            rows,
        ),
        never(
            "never-by-recipient",
            "Never came back, by recipient",
            "RECIPIENT",
            &found.by_envelope.recipients,
            rows,
        ),
    ]
}

pub(crate) fn never(
    name: &'static str,
    title: &'static str,
    head: &'static str,
    groups: &Groups,
    rows: usize,
) -> Table {
    let mut table = Table::new(
        name,
        title,
        "",
        &[
            ("group", head),
            ("never", "NEVER"),
            ("elsewhere", "ELSEWHERE"),
            ("came", "CAME BACK"),
            ("tries", "TRIES"),
            ("share", "NEVER OF ALL"),
        ],
    );
    let largest = largest(groups, rows, |group| group.never);
    table.not_made = largest.left;
    for (name, group) in largest.groups {
        table.rows.push(vec![
            Cell::text(name),
            Cell::Count(group.never),
            Cell::Count(group.elsewhere),
            Cell::Count(group.came),
            Cell::Count(group.tries),
            Cell::share(group.never, group.deliveries()),
        ]);
    }
    table
}

pub(super) fn wait(found: &Found, rows: usize) -> Table {
    let mut table = Table::new(
        "wait",
        "Wait until accepted, by provider",
        "A provider is the verified domain of the client, or its network where it has no verified name. So \
         many of a hundred waited at most so long.",
        &[
            ("provider", "PROVIDER"),
            ("deliveries", "DELIVERIES"),
            ("p50_s", "50 OF 100"),
            ("p90_s", "90 OF 100"),
            ("p99_s", "99 OF 100"),
            ("longest_s", "LONGEST"),
        ],
    );
    let largest = with_all(
        found,
        largest(&found.by_client.providers, rows, waits),
        waits,
    );
    table.not_made = largest.left;
    for (name, group) in largest.groups {
        table.rows.push(vec![
            Cell::text(name),
            Cell::Count(waits(group)),
            Cell::seconds(percentile(&group.waits, 50)),
            Cell::seconds(percentile(&group.waits, 90)),
            Cell::seconds(percentile(&group.waits, 99)),
            Cell::seconds(group.waits.last().copied()),
        ]);
    }
    table
}

/// All deliveries as the first group, if they have something by `size`, and then the largest of a kind.
fn with_all<'a>(
    found: &'a Found,
    mut largest: Largest<'a>,
    size: impl Fn(&Group) -> u64,
) -> Largest<'a> {
    let all = &found.by_envelope.all;
    if size(all) > 0 {
        largest.groups.insert(0, (b"all", all));
    }
    largest
}

fn waits(group: &Group) -> u64 {
    group.waits.len() as u64
}

pub(super) fn wait_histogram(found: &Found) -> Table {
    let mut table = Table::new(
        "wait-histogram",
        "How long deliveries waited until accepted",
        "",
        &[
            ("wait", "WAIT"),
            ("from_s", "FROM"),
            ("deliveries", "DELIVERIES"),
        ],
    )
    .whole();
    table.picture = Some((2, 0));
    for (step, count) in histogram(&found.by_envelope.all.waits)
        .into_iter()
        .enumerate()
    {
        table.rows.push(vec![
            Cell::Text(step_name(step)),
            Cell::seconds(Some(STEPS_S[step])),
            Cell::Count(count),
        ]);
    }
    table
}

/// `5m 00s to 10m 00s`, without zeros.
fn step_name(step: usize) -> String {
    let text = |start: u32| {
        let text = length_text(i64::from(start));
        text.replace(" 00s", "")
            .replace(" 00m", "")
            .replace(" 00h", "")
    };
    match STEPS_S.get(step + 1) {
        Some(end) => format!("{} to {}", text(STEPS_S[step]), text(*end)),
        None => format!("{} and more", text(STEPS_S[step])),
    }
}

pub(super) fn first_retry(found: &Found, rows: usize) -> Table {
    let mut table = Table::new(
        "first-retry",
        "First retry, by the sender's domain",
        "How long after the first attempt the second came, whatever became of it.",
        &[
            ("sender_domain", "SENDER DOMAIN"),
            ("retried", "RETRIED"),
            ("shortest_s", "SHORTEST"),
            ("p50_s", "50 OF 100"),
            ("p90_s", "90 OF 100"),
            ("within_1m", "TO 1m"),
            ("within_5m", "TO 5m"),
            ("within_15m", "TO 15m"),
            ("within_1h", "TO 1h"),
            ("later", "LATER"),
        ],
    );
    let retries = |group: &Group| group.retries.len() as u64;
    let domains = largest(&found.by_envelope.sender_domains, rows, retries);
    let largest = with_all(found, domains, retries);
    table.not_made = largest.left;
    for (name, group) in largest.groups {
        let mut row = vec![
            Cell::text(name),
            Cell::Count(retries(group)),
            Cell::seconds(group.retries.first().copied()),
            Cell::seconds(percentile(&group.retries, 50)),
            Cell::seconds(percentile(&group.retries, 90)),
        ];
        let mut before = 0;
        for end in [60, 300, 900, 3_600, u32::MAX] {
            let up_to = group.retries.partition_point(|after| *after <= end);
            row.push(Cell::count(up_to - before));
            before = up_to;
        }
        table.rows.push(row);
    }
    table
}

pub(super) fn early_retries(found: &Found, rows: usize) -> Table {
    let mut table = Table::new(
        "early-retries",
        "Came back too early, by provider",
        "",
        &[
            ("provider", "PROVIDER"),
            ("deliveries", "DELIVERIES"),
            ("early_retries", "EARLY RETRIES"),
            ("came", "CAME BACK"),
            ("never", "NEVER"),
        ],
    );
    let largest = largest(&found.by_client.providers, rows, |group| group.early);
    table.not_made = largest.left;
    for (name, group) in largest.groups {
        table.rows.push(vec![
            Cell::text(name),
            Cell::Count(group.with_early),
            Cell::Count(group.early),
            Cell::Count(group.came),
            Cell::Count(group.never),
        ]);
    }
    table
}

/// So many deliveries of a provider must have come back, and so many of a hundred of all that had to
/// wait, before it is proposed.
const CANDIDATE_CAME: u64 = 5;
const CANDIDATE_PERCENT: u64 = 95;

pub(super) fn candidates(found: &Found) -> Table {
    let mut table = Table::new(
        "candidates",
        "Candidates for exemption",
        "Providers of which at least 5 deliveries waited and came back, to more than one recipient, and at \
         least 95 of 100. What is exempt never waits, spam among it: look before you exempt.",
        &[
            ("provider", "PROVIDER"),
            ("came", "CAME BACK"),
            ("never", "NEVER"),
            ("share", "CAME OF ALL"),
            ("networks", "NETWORKS"),
            ("sender_domains", "SENDER DOMAINS"),
            ("recipients", "RECIPIENTS"),
            ("p50_s", "WAITED (50 OF 100)"),
            ("tries", "TRIES"),
            ("sender_domain", "ONE SENDER DOMAIN"),
        ],
    );
    let providers = largest(&found.by_client.providers, 0, |group| group.came);
    for (name, group) in providers.groups {
        let is_candidate = group.came >= CANDIDATE_CAME
            && group.met.recipients() > 1
            && group.came * 100 >= group.deliveries() * CANDIDATE_PERCENT;
        if !is_candidate {
            continue;
        }
        let one_domain = group.met.sender_domain();
        table.rows.push(vec![
            Cell::text(name),
            Cell::Count(group.came),
            Cell::Count(group.never),
            Cell::share(group.came, group.deliveries()),
            Cell::count(group.met.networks()),
            Cell::count(group.met.sender_domains()),
            Cell::count(group.met.recipients()),
            Cell::seconds(percentile(&group.waits, 50)),
            Cell::Count(group.tries),
            one_domain.map_or(Cell::Nothing, Cell::text),
        ]);
    }
    table
}
