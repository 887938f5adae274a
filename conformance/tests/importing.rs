//! `greylatch entries import`: whatever an export holds can be read again.

use std::fs;

use anyhow::{Result, ensure};
use conformance::{Native, attempt_from, scratch_folder, unix_now};

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

#[test]
fn a_dump_of_milter_greylist_is_imported_by_the_servers_own_rules() -> Result<()> {
    let folder = scratch_folder()?;
    let configuration = "greylist.delay = \"30m\"\ngreylist.ipv4_prefix = 24\n";
    let server = Native::start(folder.path(), configuration)?;
    let at = u64::try_from(unix_now()?)?;
    let row = |sender: &str, rest: String| {
        format!("192.0.2.10\t<{sender}@x.example>\t<someone@here.example>\t{rest}\n")
    };
    let text = [
        "# a comment\n".to_owned(),
        row("auto", format!("{} AUTO # 2033-05-18", at + 600)),
        row("due", at.to_string()),
        row("early", (at + 600).to_string()),
        row("tarpit", format!("{at}\t0 TARPIT")),
        row("over", "5 AUTO".to_owned()),
        "nonsense\n".to_owned(),
    ];
    let file = folder.path().join("greylist.db");
    fs::write(&file, text.concat())?;
    let words = [
        "import",
        "--from",
        "milter-greylist",
        &file.to_string_lossy(),
    ];
    let told = server.tool("entries", &words)?;
    assert_eq!(
        String::from_utf8_lossy(&told.stdout),
        "imported: 3, left out: 2, refused: 1\n"
    );
    let refused = String::from_utf8_lossy(&told.stderr).into_owned();
    ensure!(refused.starts_with("line 7: 1 columns"), "{refused}");
    assert_eq!(told.status.code(), Some(1));
    let again = server.tool("entries", &words)?;
    assert_eq!(
        String::from_utf8_lossy(&again.stdout),
        "imported: 0, left out: 5, refused: 1\n"
    );
    for (sender, passes) in [
        ("auto", true),
        ("due", true),
        ("early", false),
        ("tarpit", false),
        ("over", false),
    ] {
        // Of the same network, as this server reckons.
        let attempt = attempt_from("192.0.2.99", &format!("{sender}@x.example"));
        let action = server.ask_at(at, &attempt)?;
        assert_eq!(!action.starts_with("DEFER"), passes, "{sender}: {action}");
    }
    Ok(())
}
