//! What greylistd says of one key and of all.

use greylatch_core::{Explanation, Reason, Seconds, Status};

use super::command::List;
use super::listing::asctime;

/// The list on which a key is.
pub(super) fn standing(told: &Explanation) -> &'static str {
    match told.memory.entry {
        // It was there, and its time is over: another attempt would be the first again.
        Some(entry) if told.decision.reason == Reason::New && entry.first < told.at => "unseen",
        Some(entry) => List::of(entry.standing).word(),
        None => "unseen",
    }
}

/// `stats`. Of what was set by hand it is not counted which of it is white; who was seen is counted
/// since the start.
pub(super) fn stats(status: &Status) -> String {
    let census = status.census.unwrap_or_default();
    let heading = format!(
        "Statistics since {} ({} ago)",
        asctime(status.started),
        length(status.now.since(status.started))
    );
    let mut text = format!("{heading}\n{}\n", "-".repeat(heading.len()));
    let verdicts = |reasons: &[Reason]| count(status, reasons);
    let lines = [
        (
            census.proven,
            verdicts(&[Reason::Retry, Reason::Known]),
            "currently whitelisted",
        ),
        (
            census.waiting,
            verdicts(&[Reason::New, Reason::EarlyRetry, Reason::Throttled]),
            "currently greylisted",
        ),
        (
            census.by_hand,
            verdicts(&[Reason::Hand]),
            "set by hand to white or black",
        ),
    ];
    let width = |numbers: [u64; 3]| numbers.map(|number| number.to_string().len()).into_iter();
    let items = width(lines.map(|line| line.0)).max().unwrap_or_default();
    let requests = width(lines.map(|line| line.1)).max().unwrap_or_default();
    for (item, request, what) in lines {
        text +=
            &format!("{item:>items$} items, matching {request:>requests$} requests, are {what}\n");
    }
    let first = count(status, &[Reason::New]);
    if let Some(percent) = (count(status, &[Reason::Retry]) * 1_000).checked_div(first) {
        let whitelisted = count(status, &[Reason::Retry]);
        text += &format!(
            "\nOf {first} items that were initially greylisted:\n - {whitelisted} ({}.{}%) became whitelisted\n",
            percent / 10,
            percent % 10
        );
    }
    text
}

/// `mrtg`: first contacts, first passes, how long the daemon runs, and its name.
///
/// Source: MRTG's configuration reference, "External Monitoring Scripts".
pub(super) fn mrtg(status: &Status) -> String {
    format!(
        "{}\n{}\n{}\ngreylatch\n",
        count(status, &[Reason::New]),
        count(status, &[Reason::Retry]),
        length(status.now.since(status.started))
    )
}

/// How many verdicts there were for these reasons.
fn count(status: &Status, reasons: &[Reason]) -> u64 {
    let those = status
        .verdicts
        .iter()
        .filter(|(reason, _)| reasons.contains(reason));
    those.map(|(_, count)| count).sum()
}

/// In the largest unit that there is one of.
fn length(length: Seconds) -> String {
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let unit = units.into_iter().find(|(seconds, _)| length.0 >= *seconds);
    let (seconds, unit) = unit.unwrap_or((1, "second"));
    let number = length.0.max(0) / seconds;
    let plural = if number > 1 { "s" } else { "" };
    format!("{number} {unit}{plural}")
}
