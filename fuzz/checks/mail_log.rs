//! Random bytes as a mail log of any kind: the report on it never panics, is the same however the bytes are
//! cut, and holds nothing that a terminal or a browser would obey.
//!
//! The first byte chooses the school of identities and the size of the pieces.

use greylatch_core::{IdentityRules, School, Timestamp};
use greylatch_report::{
    Found, Intake, Ledger, Messages, Period, Report, Sources, Stamps, to_csv, to_html, to_json,
    to_text,
};

/// Checks one input.
pub(crate) fn check(input: &[u8]) {
    let Some((choice, log)) = input.split_first() else {
        return;
    };
    let school = match choice >> 6 {
        0 => School::Native,
        1 => School::MilterGreylist,
        2 => School::Postgrey { by_host: false },
        _ => School::Postgrey { by_host: true },
    };
    let whole = report(log, log.len().max(1), school);
    let cut = report(log, usize::from(choice & 0x0f) + 1, school);
    assert!(whole == cut, "the size of the pieces makes a difference");
    let when = |at: Timestamp| at.0.to_string();
    let page = to_html(&whole, 0, &when);
    let texts = [to_text(&whole, 0, &when), to_json(&whole), page];
    let tables = whole.tables.iter().map(to_csv);
    for text in texts.into_iter().chain(tables) {
        let obeyed = |letter: char| letter.is_control() && letter != '\n';
        assert!(!text.contains(obeyed), "{}", text.escape_debug());
    }
    let page = to_html(&whole, 0, &when);
    assert!(
        !page.contains("<script") && !page.contains("<img"),
        "{page}"
    );
}

fn report(log: &[u8], size: usize, school: School) -> Report {
    let identity = IdentityRules {
        school,
        ipv4_prefix: 24,
        ipv6_prefix: 64,
    };
    let mut ledger = Ledger::new(identity, Period::default());
    let mut reader = ledger.reader("greylist");
    let latest = Timestamp(1_800_000_000);
    let mut intake = Intake::new(Stamps::new(latest, Box::new(Timestamp)));
    let mut messages = Messages::default();
    for piece in log.chunks(size) {
        intake.feed(piece, &mut messages);
        while reader.read(&mut messages, &mut |full| ledger.take(full)) {}
    }
    intake.finish(&mut messages);
    while reader.read(&mut messages, &mut |full| ledger.take(full)) {}
    ledger.take(&mut reader.rest());
    let mut sources = Sources::default();
    sources.add(intake.counts(), false);
    let found = Found {
        by_client: ledger.by_client(),
        by_envelope: ledger.by_envelope(),
    };
    ledger.report(&reader, &sources, found, 0)
}
