//! `cargo xtask tidy`: the house rules that no compiler and no lint checks:
//! sizes, names, what a file begins with, what must not be left behind, and
//! that nothing is public without a reader.
//!
//! The length of functions and the number of arguments are clippy's (see
//! clippy.toml).

mod exposure;
mod figures;

use anyhow::{Result, bail};

use crate::source::{self, Problem, Source, line_of, word_positions};
use crate::workspace::Workspace;

const FILE_LINES_MAX: usize = 500;
const MAIN_LINES_MAX: usize = 60;

/// Names that say nothing of what is inside.
const EMPTY_NAMES: &[&str] = &[
    "common", "helper", "helpers", "manager", "misc", "util", "utils",
];

/// Folders of somebody's machine, which mean nothing on another.
const MACHINE_FOLDERS: &[&str] = &["home", "root", "work"];

/// What is written to be replaced soon.
const LEFT_BEHIND: &[&str] = &["dbg!", "todo!", "unimplemented!"];

/// Checks all files and prints what there is of everything.
///
/// # Errors
/// When a rule is broken; all are printed.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let sources = source::read_all(workspace)?;
    let folders: Vec<&str> = workspace
        .crates
        .iter()
        .map(|of| of.folder.as_str())
        .collect();
    let mut problems: Vec<Problem> = sources.iter().flat_map(check).collect();
    problems.extend(exposure::check(&folders, &sources));
    figures::print(&folders, &sources);
    problems.sort();
    for problem in &problems {
        println!("{problem}");
    }
    if !problems.is_empty() {
        bail!("{} things are not tidy", problems.len());
    }
    Ok(())
}

fn check(source: &Source) -> Vec<Problem> {
    let mut problems = machine_paths(source);
    if source.is_rust() || source.path.ends_with(".toml") {
        problems.extend(stray_space(source));
    }
    if source.is_rust() {
        problems.extend(size(source));
        problems.extend(names(source));
        problems.extend(beginning(source));
        problems.extend(left_behind(source));
    }
    problems
}

fn machine_paths(source: &Source) -> Vec<Problem> {
    let mut problems = Vec::new();
    for folder in MACHINE_FOLDERS {
        let path = format!("/{folder}/");
        for (at, _) in source.text.match_indices(&path) {
            let before = source.text[..at].chars().next_back();
            if !before.is_some_and(|c| c.is_alphanumeric() || "_-.}*".contains(c)) {
                problems.push(source.problem(
                    line_of(&source.text, at),
                    format!("{path} is on one machine: say it relative to the workspace"),
                ));
            }
        }
    }
    problems
}

fn stray_space(source: &Source) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, line) in source.text.lines().enumerate() {
        if line.ends_with([' ', '\t']) {
            problems.push(source.problem(at + 1, "space at the end of the line"));
        }
        if source.is_rust() && line.contains('\t') {
            problems.push(source.problem(at + 1, "a tab: indent with spaces, or write \\t"));
        }
    }
    problems
}

fn size(source: &Source) -> Vec<Problem> {
    let mut problems = Vec::new();
    let lines = source.shipped_lines();
    if lines > FILE_LINES_MAX {
        problems.push(source.problem(
            0,
            format!("{lines} lines without tests, at most {FILE_LINES_MAX}: split it"),
        ));
    }
    let code = source.shipped();
    for at in word_positions(code, "fn main") {
        let lines = code[at..at + length_of_block(&code[at..])].lines().count();
        if lines > MAIN_LINES_MAX {
            problems.push(source.problem(
                line_of(code, at),
                format!(
                    "main has {lines} lines, at most {MAIN_LINES_MAX}: it is a table of contents"
                ),
            ));
        }
    }
    problems
}

/// The length of `code` up to the end of its first block.
fn length_of_block(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

fn names(source: &Source) -> Vec<Problem> {
    let mut problems = Vec::new();
    let (folders, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    if file == "mod.rs" {
        problems.push(source.problem(0, "mod.rs: name the file after the module"));
    }
    let stem = file.strip_suffix(".rs").unwrap_or(file);
    let code = source.code();
    let modules = word_positions(code, "mod")
        .filter_map(|at| code[at..].split([' ', ';', '{', '\n']).nth(1))
        .chain(folders.split('/'))
        .chain([stem]);
    for name in modules {
        if EMPTY_NAMES.contains(&name) {
            problems.push(source.problem(
                0,
                format!("`{name}` says nothing: code lives with the type it serves"),
            ));
        }
    }
    problems
}

fn beginning(source: &Source) -> Vec<Problem> {
    if source.text.starts_with("//!") {
        return Vec::new();
    }
    vec![source.problem(
        1,
        "begin with `//!`: what this is, what it is not, the standard it follows",
    )]
}

fn left_behind(source: &Source) -> Vec<Problem> {
    let code = source.code();
    let mut problems: Vec<Problem> = LEFT_BEHIND
        .iter()
        .flat_map(|word| word_positions(code, word).map(move |at| (word, at)))
        .map(|(word, at)| source.problem(line_of(code, at), format!("`{word}` is left behind")))
        .collect();
    problems.extend(
        code.match_indices("#[ignore]")
            .map(|(at, _)| source.problem(line_of(code, at), "say why: `#[ignore = \"...\"]`")),
    );
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(path: &str, text: &str) -> Vec<String> {
        check(&Source::new(path, text))
            .into_iter()
            .map(|problem| problem.to_string())
            .collect()
    }

    #[test]
    fn a_file_that_follows_the_rules_is_tidy() {
        let text = "//! What it is.\n\nfn main() {\n    a();\n}\n";
        assert_eq!(texts("crates/x/src/main.rs", text), Vec::<String>::new());
    }

    #[test]
    fn a_file_longer_than_500_lines_without_tests_is_reported() {
        let tests = "#[cfg(test)]\nmod tests {}\n";
        let longest = format!("//! A\n{}", "a();\n".repeat(499));
        assert_eq!(
            texts("x.rs", &format!("{longest}{tests}")),
            Vec::<String>::new()
        );
        assert_eq!(
            texts("x.rs", &format!("{longest}a();\n{tests}")),
            ["x.rs: 501 lines without tests, at most 500: split it"]
        );
    }

    #[test]
    fn a_main_longer_than_60_lines_is_reported() {
        let main = |lines| format!("//! A\nfn main() {{\n{}}}\n", "    a();\n".repeat(lines));
        assert_eq!(texts("x.rs", &main(58)), Vec::<String>::new());
        assert_eq!(
            texts("x.rs", &main(59)),
            ["x.rs:2: main has 61 lines, at most 60: it is a table of contents"]
        );
    }

    #[test]
    fn a_mod_rs_is_reported() {
        assert_eq!(
            texts("src/a/mod.rs", "//! A\n"),
            ["src/a/mod.rs: mod.rs: name the file after the module"]
        );
    }

    #[test]
    fn empty_names_are_reported_of_files_folders_and_modules() {
        let text = "`utils` says nothing: code lives with the type it serves";
        assert_eq!(
            texts("src/utils.rs", "//! A\n"),
            [format!("src/utils.rs: {text}")]
        );
        assert_eq!(
            texts("src/utils/a.rs", "//! A\n"),
            [format!("src/utils/a.rs: {text}")]
        );
        assert_eq!(
            texts("src/a.rs", "//! A\nmod utils;\n"),
            [format!("src/a.rs: {text}")]
        );
    }

    #[test]
    fn a_file_without_a_beginning_is_reported() {
        assert_eq!(
            texts("a.rs", "use std::fmt;\n"),
            ["a.rs:1: begin with `//!`: what this is, what it is not, the standard it follows"]
        );
    }

    #[test]
    fn stray_space_is_reported() {
        assert_eq!(
            texts("a.rs", "//! A\na(); \n\tb();\n"),
            [
                "a.rs:2: space at the end of the line",
                "a.rs:3: a tab: indent with spaces, or write \\t"
            ]
        );
        assert_eq!(
            texts("a.toml", "a = 1 \n"),
            ["a.toml:1: space at the end of the line"]
        );
    }

    #[test]
    fn what_is_left_behind_is_reported_in_tests_too() {
        for word in LEFT_BEHIND {
            assert_eq!(
                texts(
                    "a.rs",
                    &format!("//! A\n#[cfg(test)]\nmod tests {{\n{word}(a);\n}}\n")
                ),
                [format!("a.rs:4: `{word}` is left behind")]
            );
        }
    }

    #[test]
    fn ignoring_a_test_needs_a_reason() {
        assert_eq!(
            texts("a.rs", "//! A\n#[ignore]\n"),
            ["a.rs:2: say why: `#[ignore = \"...\"]`"]
        );
        assert_eq!(
            texts("a.rs", "//! A\n#[ignore = \"needs a day\"]\n"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_path_of_one_machine_is_reported_in_any_file() {
        for folder in MACHINE_FOLDERS {
            assert_eq!(
                texts(
                    "a.md",
                    &format!("see `/{folder}/me`\nbut not a/{folder}/b\n")
                ),
                [format!(
                    "a.md:1: /{folder}/ is on one machine: say it relative to the workspace"
                )]
            );
        }
    }
}
