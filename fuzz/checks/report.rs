//! Random bytes as a mail log, and its own words as keys of a database: a report never panics, is the
//! same however the bytes are cut, and prints nothing that a terminal would obey.
//!
//! The first byte chooses the layout and the size of the pieces.

use greylatch_report::{
    Deferred, FatalTriplets, FormedTriplets, Layout, Lines, Printer, SuccessAfter,
};

/// Checks one input.
pub(crate) fn check(input: &[u8]) {
    let Some((choice, log)) = input.split_first() else {
        return;
    };
    let layout = Layout {
        grouped: choice & 0x80 != 0,
        show_tries: choice & 0x40 != 0,
        show_time: choice & 0x20 != 0,
        tab: choice & 0x10 != 0,
        ..Layout::default()
    };
    let whole = report(log, log.len().max(1), &layout);
    let cut = report(log, usize::from(choice & 0x0f) + 1, &layout);
    assert!(whole == cut, "the size of the pieces makes a difference");
    let text = String::from_utf8(whole).expect("what is no UTF-8 is escaped");
    let obeyed = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\t');
    assert!(!text.contains(obeyed), "{}", text.escape_debug());
}

fn report(log: &[u8], size: usize, layout: &Layout) -> Vec<u8> {
    let mut triplets = FatalTriplets::new();
    let former = triplets.former();
    let mut formed = FormedTriplets::default();
    let mut form = |line: &[u8]| {
        if let Some(deferred) = Deferred::parse(line) {
            former.form(&deferred, line, &mut formed);
        }
    };
    let mut lines = Lines::with(Deferred::WORD);
    for piece in log.chunks(size) {
        lines.feed(piece, &mut form);
    }
    lines.finish(&mut form);
    triplets.count(&mut formed).expect("the input is short");
    let after = SuccessAfter::new("300");
    for words in log.split(|byte| *byte == b'\n') {
        if after.is_told_by(words) {
            triplets.has_passed(words);
        }
    }
    let mut printer = Printer::new(layout);
    let mut out = Vec::new();
    for triplet in triplets.fatal() {
        printer.print(&mut out, &triplet, "MX");
    }
    out
}
