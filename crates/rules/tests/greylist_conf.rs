//! Whole files of `greylist.conf`: realistic ones load, and each mistake is told with its place
//! and its cure.

use std::path::Path;

use greylatch_rules::{Diagnostic, Fate, GreylistConf, Severity, Source};

fn read(text: &[u8]) -> (GreylistConf, Vec<Diagnostic>) {
    GreylistConf::read(&Source {
        path: "f".to_owned(),
        text: text.to_vec(),
    })
}

/// All that is told of a text, a line each.
fn told(text: &str) -> Vec<String> {
    let (_, diagnostics) = read(text.as_bytes());
    let tell = |one: &Diagnostic| {
        let text = one.to_string();
        let text = text.trim_start_matches("f:");
        match one.severity {
            Severity::Error => format!("> {text}"),
            Severity::Warning => format!("> warning {text}"),
        }
    };
    diagnostics.iter().map(tell).collect()
}

#[test]
fn realistic_files_load() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/greylist_conf");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read(&path).unwrap();
        let (conf, diagnostics) = read(&text);
        assert_eq!(diagnostics, [], "{}", path.display());
        let counts = |fate: &Fate| matches!(fate, Fate::Active | Fate::NoEffect(_));
        assert!(conf.statements.iter().all(|one| counts(&one.fate)));
        count += 1;
        // The same as an editor of another system would save it.
        let text = String::from_utf8(text).unwrap().replace('\n', "\r\n");
        let (again, diagnostics) = read(text.trim_end().as_bytes());
        assert_eq!(diagnostics, [], "{}", path.display());
        assert_eq!(again.statements.len(), conf.statements.len());
    }
    assert!(count >= 10);
}

#[test]
fn each_mistake_is_told_with_its_place_and_its_cure() {
    let table = include_str!("greylist_conf_mistakes.txt");
    let blocks = table.split("\n\n").skip(1);
    for block in blocks.map(str::trim_end).filter(|block| !block.is_empty()) {
        let is_told = |line: &&str| line.starts_with("> ");
        let text: Vec<&str> = block.lines().filter(|line| !is_told(line)).collect();
        let expected: Vec<&str> = block.lines().filter(is_told).collect();
        let text = text.join("\n");
        assert!(!expected.is_empty(), "{text}");
        assert_eq!(told(&text), expected, "{text}");
    }
}
