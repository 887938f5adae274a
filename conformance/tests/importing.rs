//! `greylatch entries import`: whatever an export holds can be read again.

use std::fs;

use anyhow::{Result, ensure};
use conformance::{Native, scratch_folder};

/// Symptom: importing long addresses ended with "did not answer: Broken pipe". Cause:
/// batches were bounded by their number only, so that a request passed the 1 MiB that the server
/// takes. Fix: they are bounded by their bytes as well.
#[test]
fn records_with_long_addresses_are_imported_whatever_their_number() -> Result<()> {
    let folder = scratch_folder()?;
    let server = Native::start(folder.path(), "")?;
    let long = "x".repeat(4_000);
    let record = |nth: u32| {
        format!(
            "{{\"client\":\"192.0.2.0/24\",\"sender\":\"{nth}{long}@example.com\",\
             \"recipient\":\"b@example.org\",\"key\":\"{nth:032x}\",\"standing\":\"proven\",\
             \"first\":4000000000,\"last\":4000000000,\"due\":4000000000,\"expires\":4200000000}}\n"
        )
    };
    let file = folder.path().join("entries.jsonl");
    fs::write(&file, (0..450).map(record).collect::<String>())?;
    let told = server.tool("entries", &["import", &file.to_string_lossy()])?;
    let said = (
        String::from_utf8_lossy(&told.stdout).into_owned(),
        String::from_utf8_lossy(&told.stderr).into_owned(),
    );
    let expected = ("imported: 450, refused: 0\n".to_owned(), String::new());
    ensure!(said == expected, "{said:?}");
    let exported = server.tool("entries", &["export", "--all"])?;
    let lines = exported.stdout.iter().filter(|byte| **byte == b'\n');
    ensure!(lines.count() == 450);
    Ok(())
}
