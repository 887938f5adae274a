//! What is public without a reader: a `pub` item that no other crate names in
//! shipped code should be `pub(crate)`, and then the compiler finds what is dead.
//!
//! A scan of words, not of paths: an item with a common name passes too easily,
//! none is reported wrongly. A type that another public item shows in its
//! signature is needed there.

use std::collections::HashSet;

use crate::source::{Problem, Source, is_word, line_of, word_positions};

use super::length_of_block;

/// Crates whose readers are tests.
pub(super) const FOR_TESTS: &[&str] = &["conformance", "crates/testkit"];

/// Public for another reason than a reader.
const EXCEPTIONS: &[&str] = &[
    // clippy asks for it beside `len`.
    "is_empty",
    // Whoever has a file of another greylister in memory: the tests of damaged ones.
    "from_reader",
];

/// A public item of a module or an `impl`, or a public field.
struct Exposed<'a> {
    name: &'a str,
    at: usize,
    kind: Kind,
    /// What its users must be able to name.
    signature: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Type,
    Other,
    /// Its type is shown; itself is not asked for readers.
    Field,
}

/// The public items without a reader, of the crates in `folders`.
pub(super) fn check(folders: &[&str], sources: &[Source]) -> Vec<Problem> {
    folders
        .iter()
        .flat_map(|folder| check_crate(folder, sources))
        .collect()
}

/// How many public items the crate in `folder` has.
pub(super) fn count(folder: &str, sources: &[Source]) -> usize {
    own(folder, sources)
        .flat_map(|source| exposed(source.shipped()))
        .filter(|item| item.kind != Kind::Field)
        .count()
}

fn own<'a>(folder: &str, sources: &'a [Source]) -> impl Iterator<Item = &'a Source> {
    let beginning = format!("{folder}/");
    sources
        .iter()
        .filter(move |source| source.path.starts_with(&beginning))
}

fn check_crate(folder: &str, sources: &[Source]) -> Vec<Problem> {
    let read = words_read(folder, sources);
    let shown = words_shown(folder, sources);
    let mut problems = Vec::new();
    for source in own(folder, sources) {
        for item in exposed(source.shipped()) {
            let is_needed = item.kind == Kind::Field
                || read.contains(item.name)
                || EXCEPTIONS.contains(&item.name)
                || (item.kind == Kind::Type && shown.contains(item.name));
            if !is_needed {
                problems.push(source.problem(
                    line_of(source.shipped(), item.at),
                    format!(
                        "`{}` is public but no other crate names it: make it pub(crate)",
                        item.name
                    ),
                ));
            }
        }
    }
    problems
}

/// All words of the code that may be the reason for a public item of `folder`.
fn words_read<'a>(folder: &str, sources: &'a [Source]) -> HashSet<&'a str> {
    let own_sources = format!("{folder}/src/");
    let is_for_tests = FOR_TESTS.contains(&folder);
    sources
        .iter()
        .filter(|source| !source.path.starts_with(&own_sources))
        .flat_map(|source| {
            words(if is_for_tests {
                source.code()
            } else {
                source.shipped()
            })
        })
        .collect()
}

/// All words that the signatures of the crate's public items show, those of
/// their own definitions apart.
fn words_shown<'a>(folder: &str, sources: &'a [Source]) -> HashSet<&'a str> {
    let mut shown = HashSet::new();
    for source in own(folder, sources) {
        let code = source.shipped();
        for item in exposed(code) {
            shown.extend(words(item.signature).filter(|word| *word != item.name));
        }
        // `type Err = ...;` of a trait's implementation.
        for line in code.lines().map(str::trim_start) {
            if line.starts_with("type ") {
                shown.extend(words(line));
            }
        }
    }
    shown
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c| !is_word(c)).filter(|word| !word.is_empty())
}

/// The public items of `code`, each on a line that begins with `pub`.
fn exposed(code: &str) -> Vec<Exposed<'_>> {
    word_positions(code, "pub")
        .filter(|at| {
            let line = code[..*at].rsplit('\n').next().unwrap_or_default();
            line.trim().is_empty() && code[at + "pub".len()..].starts_with(' ')
        })
        .filter_map(|at| read_item(&code[at..], at))
        .collect()
}

/// Reads the item at the beginning of `code`; `None` for `use` and `mod`.
fn read_item(code: &str, at: usize) -> Option<Exposed<'_>> {
    let mut head = words(code)
        .skip(1)
        .skip_while(|word| matches!(*word, "async" | "unsafe"));
    let keyword = head.next()?;
    let name = head.next().unwrap_or_default();
    let line = code.split('\n').next().unwrap_or_default();
    let item = |name, kind, signature| {
        Some(Exposed {
            name,
            at,
            kind,
            signature,
        })
    };
    let to = |ends: &[char]| code.find(ends).map_or(code, |end| &code[..end]);
    match keyword {
        "use" | "mod" => None,
        "fn" => item(name, Kind::Other, to(&['{', ';'])),
        "const" if name == "fn" => item(head.next()?, Kind::Other, to(&['{', ';'])),
        "const" | "static" => item(name, Kind::Other, to(&['='])),
        "type" => item(name, Kind::Type, to(&[';'])),
        "struct" => item(name, Kind::Type, to(&['{', ';'])),
        "enum" | "trait" => item(name, Kind::Type, &code[..length_of_block(code)]),
        field => item(field, Kind::Field, line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> = files
            .iter()
            .map(|(path, text)| Source::new(path, text))
            .collect();
        check(&["crates/a", "crates/b", "crates/testkit"], &sources)
            .into_iter()
            .map(|problem| problem.to_string())
            .collect()
    }

    fn reported(line: usize, name: &str) -> String {
        format!(
            "crates/a/src/x.rs:{line}: `{name}` is public but no other crate names it: \
             make it pub(crate)"
        )
    }

    #[test]
    fn every_kind_of_item_needs_a_reader() {
        let text = "pub struct A;\npub enum B {}\npub trait C {}\npub type D = u8;\n\
                    pub const E: u8 = 1;\npub fn f() {}\nimpl A {\n    pub const fn g() {}\n\
                        pub async fn h() {}\n}\n";
        let expected: Vec<String> = [
            (1, "A"),
            (2, "B"),
            (3, "C"),
            (4, "D"),
            (5, "E"),
            (6, "f"),
            (8, "g"),
            (9, "h"),
        ]
        .map(|(line, name)| reported(line, name))
        .into();
        assert_eq!(problems(&[("crates/a/src/x.rs", text)]), expected);
        let reader = (
            "crates/b/src/y.rs",
            "use a::{A, B, C, D, E}; f(); g(); h();",
        );
        assert_eq!(
            problems(&[("crates/a/src/x.rs", text), reader]),
            Vec::<String>::new()
        );
    }

    #[test]
    fn the_crate_itself_comments_and_tests_are_no_readers() {
        let expected = [reported(1, "f")];
        for reader in [
            ("crates/a/src/lib.rs", "pub use x::f;"),
            ("crates/a/tests/y.rs", "f();"),
            ("crates/b/src/y.rs", "// f()"),
            ("crates/b/tests/y.rs", "f();"),
            ("crates/b/src/y.rs", "#[cfg(test)]\nmod tests { f() }"),
        ] {
            assert_eq!(
                problems(&[("crates/a/src/x.rs", "pub fn f() {}"), reader]),
                expected,
                "{reader:?}"
            );
        }
    }

    #[test]
    fn what_is_not_public_outside_needs_none() {
        let text = "pub(crate) fn f() {}\nfn g() {}\npub mod h;\npub use i::J;\n";
        assert_eq!(
            problems(&[("crates/a/src/x.rs", text)]),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_type_that_a_public_item_shows_is_needed() {
        let text = "pub fn f() -> A {}\npub struct A {\n    pub b: B,\n    c: C,\n}\n\
                    pub enum B {\n    Of(D),\n}\npub struct C;\npub struct D;\n\
                    pub struct E;\nimpl F for u8 {\n    type Err = E;\n}\n";
        assert_eq!(
            problems(&[("crates/a/src/x.rs", text), ("crates/b/src/y.rs", "f();")]),
            [reported(9, "C")]
        );
    }

    #[test]
    fn a_function_named_like_an_argument_of_another_needs_a_reader() {
        assert_eq!(
            problems(&[
                (
                    "crates/a/src/x.rs",
                    "pub fn now() {}\npub fn f(now: u8) {}\n"
                ),
                ("crates/b/src/y.rs", "f();"),
            ]),
            [reported(1, "now")]
        );
    }

    #[test]
    fn a_type_that_only_the_crate_itself_is_shown_is_not_needed() {
        assert_eq!(
            problems(&[(
                "crates/a/src/x.rs",
                "pub struct A;\npub(crate) fn f() -> A {}\n"
            )]),
            [reported(1, "A")]
        );
    }

    #[test]
    fn a_crate_for_tests_is_read_by_tests() {
        let text = "pub fn f() {}";
        for path in ["crates/a/tests/y.rs", "crates/testkit/tests/y.rs"] {
            assert_eq!(
                problems(&[("crates/testkit/src/x.rs", text), (path, "f();")]),
                Vec::<String>::new()
            );
        }
    }
}
