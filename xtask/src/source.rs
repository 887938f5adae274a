//! The text of the workspace's files, cut so that rules can search it: Rust
//! code without comments and literals, and where its tests begin.
//!
//! This is a scan, no parser: it knows as much of the language as the rules
//! need. Source: The Rust Reference, "Comments", "Tokens", "Use declarations".

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::workspace::Workspace;

/// One file.
#[derive(Debug)]
pub(crate) struct Source {
    /// From the root, with `/`.
    pub(crate) path: String,
    /// As it is.
    pub(crate) text: String,
    /// With the inside of comments and literals blank; empty if this is no Rust.
    code: String,
    /// How many lines come before its tests.
    shipped_lines: usize,
}

/// A broken rule and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    /// The file, or the crate.
    pub(crate) place: String,
    /// The line from 1; 0 when the whole is meant.
    pub(crate) line: usize,
    /// What is wrong and what to do instead.
    pub(crate) text: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.place, self.text),
            line => write!(f, "{}:{line}: {}", self.place, self.text),
        }
    }
}

impl Source {
    /// A file of this path and text.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = if path.ends_with(".rs") {
            blank(text)
        } else {
            String::new()
        };
        let shipped_lines = if is_test_file(path) {
            0
        } else {
            lines_before_tests(&code)
        };
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
            shipped_lines,
        }
    }

    /// True for Rust.
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// How many lines are no tests.
    pub(crate) fn shipped_lines(&self) -> usize {
        self.shipped_lines
    }

    /// How many lines are tests.
    pub(crate) fn test_lines(&self) -> usize {
        self.code.lines().count() - self.shipped_lines
    }

    /// The code, tests included.
    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// The code without tests.
    pub(crate) fn shipped(&self) -> &str {
        let end = self
            .code
            .split_inclusive('\n')
            .take(self.shipped_lines)
            .map(str::len)
            .sum();
        &self.code[..end]
    }

    /// The lines, from 1, that name `path` (a word, or words with `::`) outside
    /// tests, in an expression or anywhere in the tree of a `use`.
    pub(crate) fn lines_naming(&self, path: &str) -> Vec<usize> {
        let code = self.shipped();
        let mut lines: Vec<usize> = word_positions(code, path)
            .map(|at| line_of(code, at))
            .chain(
                used_paths(code)
                    .into_iter()
                    .filter(|(_, used)| word_positions(used, path).next().is_some())
                    .map(|(at, _)| line_of(code, at)),
            )
            .collect();
        lines.sort_unstable();
        lines.dedup();
        lines
    }

    /// A problem of this file.
    pub(crate) fn problem(&self, line: usize, text: impl Into<String>) -> Problem {
        Problem {
            place: self.path.clone(),
            line,
            text: text.into(),
        }
    }
}

/// All text files of the workspace. Skipped are what cargo and git keep, what
/// is no UTF-8, and what fuzzing collects.
///
/// # Errors
/// When a folder or file cannot be read.
pub(crate) fn read_all(workspace: &Workspace) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut folders = vec![workspace.root.clone()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_ours = !matches!(&*name, ".git" | "target" | "corpus" | "artifacts");
            if path.is_symlink() || !is_ours || path == workspace.target {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Some(source) = read(&path, &workspace.root)? {
                sources.push(source);
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

fn read(path: &Path, root: &Path) -> Result<Option<Source>> {
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    let name = path.strip_prefix(root)?.to_string_lossy();
    Ok(String::from_utf8(bytes)
        .ok()
        .map(|text| Source::new(&name, &text)))
}

/// Where `word` stands in `code` with no further word character at its sides.
pub(crate) fn word_positions<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let ends_in_word = word.ends_with(is_word);
    code.match_indices(word)
        .filter(move |(at, _)| {
            let before = code[..*at].chars().next_back();
            let after = code[at + word.len()..].chars().next();
            let goes_on = ends_in_word && after.is_some_and(is_word);
            !goes_on && !before.is_some_and(is_word)
        })
        .map(|(at, _)| at)
}

/// The number, from 1, of the line in which byte `at` is.
pub(crate) fn line_of(code: &str, at: usize) -> usize {
    1 + code[..at].matches('\n').count()
}

/// True for what a Rust word is made of.
pub(crate) fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Test code by its place: integration tests, benches, a module file `tests.rs`.
fn is_test_file(path: &str) -> bool {
    path.split('/')
        .any(|part| matches!(part, "tests" | "benches" | "examples" | "tests.rs"))
}

/// Tests are at the bottom of a file: from the `#[cfg(test)]` that is followed
/// by a module on.
fn lines_before_tests(code: &str) -> usize {
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    let is_start = |at: usize| {
        lines[at] == "#[cfg(test)]"
            && lines[at + 1..]
                .iter()
                .find(|line| !line.is_empty() && !line.starts_with("#["))
                .is_some_and(|line| line.starts_with("mod "))
    };
    (0..lines.len())
        .find(|at| is_start(*at))
        .unwrap_or(lines.len())
}

/// The paths that the `use` declarations of `code` import, trees written out,
/// with the place of each declaration.
fn used_paths(code: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    for at in word_positions(code, "use") {
        let declaration = &code[at + "use".len()..];
        let Some(end) = declaration.find(';') else {
            continue;
        };
        let mut expanded = Vec::new();
        expand("", &declaration[..end], &mut expanded);
        paths.extend(expanded.into_iter().map(|path| (at, path)));
    }
    paths
}

fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    for branch in split_at_commas(tree) {
        let branch = branch.trim();
        match branch.split_once('{') {
            Some((head, rest)) => {
                let inner = rest.trim_end().strip_suffix('}').unwrap_or(rest);
                expand(&format!("{prefix}{head}"), inner, paths);
            }
            None if branch.is_empty() => {}
            None => paths.push(format!("{prefix}{branch}")),
        }
    }
}

fn split_at_commas(tree: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    tree.split(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

/// `text` with everything inside comments, strings and characters as spaces;
/// line ends stay.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = at + opaque_length(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(
                chars[at..end]
                    .iter()
                    .map(|c| if *c == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        }
    }
    code
}

/// The length of the comment or literal that begins at `at`, or 0.
fn opaque_length(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    match rest {
        ['/', '/', ..] => rest.iter().take_while(|c| **c != '\n').count(),
        ['/', '*', ..] => block_comment_length(rest),
        ['"', ..] => quoted_length(rest, '"'),
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => quoted_length(rest, '\''),
        ['r', ..] => raw_string_length(rest),
        _ => 0,
    }
}

fn block_comment_length(rest: &[char]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => {
                depth += 1;
                at += 2;
            }
            ['*', '/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    break;
                }
            }
            _ => at += 1,
        }
    }
    at
}

fn quoted_length(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// `r"..."`, `r#"..."#` and so on; 0 for a raw identifier or a plain `r`.
fn raw_string_length(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let mut close = vec!['"'];
    close.resize(1 + hashes, '#');
    let begin = 2 + hashes;
    rest[begin..]
        .windows(close.len())
        .position(|window| window == close)
        .map_or(rest.len(), |length| begin + length + close.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_no_code() {
        let text = "a /* b /* c */ d */ e \"f\\\"g\" 'h' '\\'' 'i: &'i str // j\nk r#\"l\"m\"# n";
        let code = blank(text);
        assert_eq!(
            code.split_whitespace().collect::<Vec<_>>(),
            ["a", "e", "'i:", "&'i", "str", "k", "n"]
        );
        assert_eq!(code.lines().count(), 2);
    }

    #[test]
    fn a_raw_identifier_is_code() {
        assert_eq!(blank("r#type br\"x\" for"), "r#type b     for");
    }

    #[test]
    fn tests_begin_at_the_module_and_not_at_an_item() {
        let text = "#[cfg(test)]\nfn a() {}\n\n#[cfg(test)]\n#[expect(x)]\nmod tests {\n    b\n}\n";
        let source = Source::new("crates/x/src/y.rs", text);
        assert_eq!(source.shipped_lines(), 3);
        assert_eq!(source.test_lines(), 5);
        assert_eq!(source.shipped(), "#[cfg(test)]\nfn a() {}\n\n");
    }

    #[test]
    fn a_file_of_tests_has_no_shipped_line() {
        for path in ["crates/x/tests/y.rs", "crates/x/src/y/tests.rs"] {
            assert_eq!(Source::new(path, "fn a() {}\n").shipped_lines(), 0);
        }
    }

    #[test]
    fn a_name_is_found_in_an_expression_and_in_the_tree_of_a_use() {
        let text = "use std::{\n    io, process::{Command, exit},\n};\nfn a() {\n    std::process::exit(1);\n}\n";
        let source = Source::new("a.rs", text);
        assert_eq!(source.lines_naming("process::exit"), [1, 5]);
        assert_eq!(source.lines_naming("std::io"), [1]);
        assert_eq!(source.lines_naming("process::exi"), Vec::<usize>::new());
    }
}
