//! Whole files of `greylist.conf`: realistic ones load, and each mistake is told with its place
//! and its cure.

use std::path::Path;

use greylatch_rules::{Diagnostic, Fate, GreylistConf, MessageNeeds, Severity, Source};

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

#[test]
fn a_listing_tells_what_became_of_each_statement() {
    let text = "greylist 5m # five\nmultiracl\np0fsock \"/p\"\n\
                racl whitelist \\ # two lines\n  p0f \"Linux\"\nquiet please\n\
                racl greylist default\nracl blacklist from /x/\n";
    let (conf, _) = read(text.as_bytes());
    let listed: Vec<(usize, &str, Fate)> = conf
        .statements
        .iter()
        .map(|one| (one.line, one.text.as_str(), one.fate.clone()))
        .collect();
    let own = |text: &str| text.to_owned();
    let expected = [
        (1, "greylist 5m", Fate::Active),
        (
            2,
            "multiracl",
            Fate::NoEffect(own("each recipient is judged by itself in any case")),
        ),
        (3, "p0fsock \"/p\"", Fate::NoEffect(own("p0f is not asked"))),
        (
            5,
            "racl whitelist \\ # two lines p0f \"Linux\"",
            Fate::Dropped(own("p0f is not asked")),
        ),
        (6, "quiet please", Fate::Mistaken),
        (7, "racl greylist default", Fate::Active),
        (
            8,
            "racl blacklist from /x/",
            Fate::Dropped(own("the default rule of line 7 comes before")),
        ),
    ];
    assert_eq!(listed, expected);
}

/// The first words of each difference of the last statement.
fn differences(text: &str) -> Vec<String> {
    let (conf, _) = read(text.as_bytes());
    let last = conf.statements.last();
    let all = last.map(|one| one.differences.clone()).unwrap_or_default();
    all.iter()
        .map(|one| one.trim_start_matches("milter-greylist ").to_owned())
        .collect()
}

#[test]
fn differences_from_the_original_are_listed_where_they_are() {
    let pattern = "matches this pattern";
    let unread = "does not read";
    for (text, expected) in [
        (r"racl greylist from /@x\.org$/", Some(pattern)),
        (r"racl greylist rcpt /^a@/", Some(pattern)),
        (r"racl greylist from /@x\.org>$/", None),
        (
            r"racl greylist from /^<a@/ rcpt /^<>$/ rawfrom /^.*x.*$/",
            None,
        ),
        (r"racl greylist domain /x$/", None),
        ("dacl blacklist dkim fail", None),
        ("racl whitelist tarpit 300s", None),
        ("racl whitelist tarpit 301s", Some("no answer is held")),
        (r#"list "l" from { /x$/ }"#, Some(pattern)),
        (r#"ratelimit "r" rcpt 1 / 9s"#, Some("ends with a")),
        (r#"ratelimit "r" rcpt 1 / 10s"#, None),
        (r#"ratelimit "r" rcpt 1/10s"#, Some(unread)),
        (r#"ratelimit "r" rcpt 1 / 10"#, Some(unread)),
        (
            "ratelimit \"a\" data 1 / 1m\nratelimit \"b\" data 2 / 1h",
            Some("counts this together"),
        ),
        (
            "ratelimit \"a\" data 1 / 1m\nratelimit \"b\" rcpt 2 / 1h",
            None,
        ),
        (r#"racl blacklist default msg "no %f""#, Some("a % in the")),
        (r#"racl blacklist default msg "no""#, None),
        ("racl greylist default delay 1800", Some(unread)),
        ("racl greylist default delay 1800s autowhite 1d", None),
        ("greylist 1800", None),
        (r#"dnsrbl "d" "b.org" 127.0.0.2"#, Some(unread)),
        (r#"dnsrbl "d" b.org "127.0.0.2""#, Some(unread)),
        (r#"dnsrbl "d" b.org 127.0.0.2"#, None),
        ("tarpit_scope command", Some(unread)),
        ("tarpit_scope comand", None),
        (
            r#"racl continue log "%f" addr 10.0.0.1"#,
            Some("takes what it"),
        ),
        (r#"racl continue log "f" addr 10.0.0.1"#, None),
        ("racl greylist rcptcount > 5", Some("counts the recipients")),
    ] {
        let found = differences(text);
        let is_as_expected = match (found.as_slice(), expected) {
            ([], None) => true,
            ([found], Some(expected)) => found.starts_with(expected),
            _ => false,
        };
        assert!(is_as_expected, "{text}: {found:?}");
    }
}

#[test]
fn what_no_line_says_is_noted() {
    let notes = |text: &str| {
        let words = |note: &String| {
            note.split_whitespace()
                .take(2)
                .collect::<Vec<_>>()
                .join(" ")
        };
        read(text.as_bytes())
            .0
            .notes()
            .iter()
            .map(words)
            .collect::<Vec<_>>()
    };
    assert_eq!(notes(""), ["senders that", "clients that", "no rule"]);
    assert_eq!(
        notes("nospf\nnoauth\nracl continue default msg \"x\"\n"),
        ["no rule"]
    );
    assert_eq!(notes("racl whitelist auth /x/ spf pass\n"), [""; 0]);
}

#[test]
fn what_no_rule_looks_at_need_not_be_sent() {
    let limit = "ratelimit \"r\" data 1M / 1h\n";
    let list = "list \"l\" header { \"x\" }\n";
    for (text, needed) in [
        ("racl greylist default\n", ""),
        ("dacl blacklist from /x/\n", "judged"),
        ("dacl blacklist header /x/\n", "judged headers"),
        ("dacl blacklist not body \"x\"\n", "judged body"),
        ("dacl blacklist list \"l\"\n", "judged headers"),
        ("racl blacklist from /x/\n", ""),
        ("dacl blacklist msgsize > 1M\n", "judged headers body size"),
        (
            "dacl continue dkim fail\n",
            "judged headers signatures body",
        ),
        (
            "dacl blacklist ratelimit \"r\"\n",
            "judged headers body size",
        ),
        ("racl blacklist ratelimit \"r\"\n", ""),
        (
            "dacl continue default subjtag \"x\"\n",
            "judged headers subject",
        ),
        (
            "dacl continue default addfooter \"x\"\n",
            "judged body footer",
        ),
        ("racl continue default subjtag \"x\" addfooter \"x\"\n", ""),
    ] {
        let text = format!("{limit}{list}{text}");
        let (conf, diagnostics) = read(text.as_bytes());
        assert_eq!(diagnostics, [], "{text}");
        let needs = |word| needed.split(' ').any(|needed| needed == word);
        let expected = MessageNeeds {
            judged: needs("judged"),
            headers: needs("headers"),
            signatures: needs("signatures"),
            body: needs("body"),
            size: needs("size"),
            changes_subject: needs("subject"),
            changes_body: needs("footer"),
        };
        assert_eq!(conf.message_needs(), expected, "{text}");
    }
}
