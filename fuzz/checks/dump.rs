//! Random bytes as milter-greylist's dump file: reading ends and never panics, every line gives one
//! thing or nothing, and what is written of the rows is read again as the same rows.

use greylatch_exchange::{DumpRow, DumpRows, DumpWriter};

/// Checks one input.
pub(crate) fn check(input: &[u8]) {
    let mut rows = DumpRows::from_reader(input);
    let mut good = Vec::new();
    let mut given = 0;
    for row in rows.by_ref() {
        given += 1;
        match row {
            Ok(row) => good.push(row),
            Err(fault) => assert!(fault.to_string().is_ascii()),
        }
    }
    assert!(given <= input.split(|byte| *byte == b'\n').count());
    let counts = rows.counts();
    let read = counts.pending + counts.auto + counts.tarpit;
    assert_eq!(
        (read, given),
        (good.len() as u64, good.len() + counts.skipped as usize)
    );
    // A row that was just short enough is longer with brackets, and with the time in words.
    good.retain(|row| row.sender.len() + row.recipient.len() <= ADDRESSES_MAX);
    let once = again(&good, Some("2033-05-18 03:33:19"));
    assert_eq!(once.len(), good.len(), "each row is one row");
    assert_eq!(again(&once, None), once, "what was written cleanly stays");
}

const ADDRESSES_MAX: usize = 3900;

/// The rows after a way through a file.
fn again(rows: &[DumpRow], words: Option<&str>) -> Vec<DumpRow> {
    let mut writer = DumpWriter::new(Vec::new(), "greylatch", "today").expect("memory");
    for row in rows {
        writer.row(row, words).expect("memory");
    }
    let text = writer.finish().expect("memory");
    let rows: Result<Vec<_>, _> = DumpRows::from_reader(&text[..]).collect();
    rows.expect("only rows were written")
}
