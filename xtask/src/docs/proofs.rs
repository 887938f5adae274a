//! That every option has a test that fails when it is ignored, and a reason for its default.
//!
//! A test says which options it is for in a comment above it, `// option: greylist.delay`, several
//! names apart by blanks. A reason is a row in `docs/defaults.md` under the heading of the table.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::options::Table;
use crate::source::{Problem, Source};

const MARK: &str = "// option: ";
const REASONS: &str = "docs/defaults.md";

/// What is missing, and what is named but does not exist.
///
/// # Errors
/// When there is no page of reasons.
pub(super) fn check(tables: &[Table], sources: &[Source]) -> Result<Vec<Problem>> {
    let names = |table: &Table| {
        let of = |option: &super::options::Opt| format!("{}.{}", table.name, option.name);
        table.options.iter().map(of).collect::<Vec<_>>()
    };
    let all: BTreeSet<String> = tables.iter().flat_map(names).collect();
    let mut problems = Vec::new();
    let mut tested = BTreeSet::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        for (line, name) in marks(source, &mut problems) {
            if !all.contains(&name) {
                problems.push(source.problem(line, format!("there is no option {name}")));
            }
            tested.insert(name);
        }
    }
    let untested = all.difference(&tested).map(|name| Problem {
        place: super::CONFIG[0].into(),
        line: 0,
        text: format!(
            "{name} has no test that fails when it is ignored; write one, with {MARK}{name} above it"
        ),
    });
    problems.extend(untested);
    let page = sources
        .iter()
        .find(|source| source.path == REASONS)
        .context(REASONS)?;
    // What may be left out in a rule has no default to give a reason for.
    let once = tables.iter().filter(|table| !table.repeats);
    problems.extend(reasons(page, &once.flat_map(names).collect()));
    Ok(problems)
}

/// The options that are named above tests, with their lines.
fn marks(source: &Source, problems: &mut Vec<Problem>) -> Vec<(usize, String)> {
    let lines: Vec<&str> = source.text.lines().map(str::trim).collect();
    let mut marks = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(names) = line.strip_prefix(MARK) else {
            continue;
        };
        let head: Vec<&&str> = lines[at + 1..]
            .iter()
            .take_while(|line| line.starts_with("#[") || line.starts_with("//"))
            .collect();
        if head.iter().any(|line| is_test(line)) {
            marks.extend(names.split(' ').map(|name| (at + 1, name.to_owned())));
        } else {
            problems.push(source.problem(at + 1, format!("{MARK}... stands above a test")));
        }
    }
    marks
}

fn is_test(attribute: &str) -> bool {
    attribute == "#[test]" || attribute.starts_with("#[tokio::test")
}

fn reasons(page: &Source, all: &BTreeSet<String>) -> Vec<Problem> {
    let mut tables: Vec<&str> = Vec::new();
    let mut given = BTreeSet::new();
    let mut problems = Vec::new();
    for (at, line) in page.text.lines().enumerate() {
        if let Some(heading) = line.strip_prefix("## ") {
            tables = between(heading, "`[", "]`");
        }
        let Some(cell) = line
            .strip_prefix("| `")
            .and_then(|row| row.split(" | ").next())
        else {
            continue;
        };
        for name in between(&format!("`{cell}"), "`", "`") {
            let found: Vec<String> = tables
                .iter()
                .map(|table| format!("{table}.{name}"))
                .filter(|name| all.contains(name))
                .collect();
            if found.is_empty() {
                problems.push(page.problem(at + 1, format!("there is no option {name}")));
            }
            given.extend(found);
        }
    }
    problems.extend(
        all.difference(&given)
            .map(|name| page.problem(0, format!("{name} has no row: why is its default so?"))),
    );
    problems
}

/// Every text between the two marks.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, tail)) = rest.split_once(before) {
        let Some((inner, tail)) = tail.split_once(after) else {
            break;
        };
        found.push(inner);
        rest = tail;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::options;
    use super::*;

    const CONFIG: &str = "/// All.\npub struct Config {\n    /// A.\n    pub a: A,\n}\n\
        /// `[a]`.\n#[derive(Default)]\npub struct A {\n    /// B. Example: `1`.\n    \
        pub b: Option<u32>,\n    /// C. Example: `1`.\n    pub c: Option<u32>,\n}\n";

    fn problems(code: &str, page: &str) -> Vec<String> {
        let tables = options::read(&[("config.rs", CONFIG.into())]).expect("tables");
        let sources = [
            Source::new("crates/x/src/x.rs", code),
            Source::new(REASONS, page),
        ];
        check(&tables, &sources)
            .expect("a page of reasons")
            .iter()
            .map(Problem::to_string)
            .collect()
    }

    #[test]
    fn an_option_without_test_or_reason_is_told() {
        let test = format!("{MARK}a.b a.c\n#[test]\nfn x() {{}}\n");
        let page = "## `[a]`\n| `b`, `c` | 1 | why |\n";
        assert_eq!(problems(&test, page), Vec::<String>::new());
        assert_eq!(
            problems(
                &format!("{MARK}a.c\n#[test]\nfn x() {{}}\n"),
                "## `[a]`\n| `b` | x |\n"
            ),
            [
                "crates/server/src/config.rs: a.b has no test that fails when it is ignored; \
                 write one, with // option: a.b above it",
                "docs/defaults.md: a.c has no row: why is its default so?"
            ]
        );
    }

    #[test]
    fn a_name_that_is_no_option_and_a_mark_without_test_are_told() {
        let code =
            format!("{MARK}a.b a.c a.d\n#[test]\nfn x() {{}}\n{MARK}a.b\nfn no_test() {{}}\n");
        assert_eq!(
            problems(&code, "## `[a]`\n| `b`, `c`, `d` | x |\n"),
            [
                "crates/x/src/x.rs:4: // option: ... stands above a test",
                "crates/x/src/x.rs:1: there is no option a.d",
                "docs/defaults.md:2: there is no option d"
            ]
        );
    }
}
