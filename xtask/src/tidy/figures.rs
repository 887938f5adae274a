//! What there is of everything: lines, tests and public items per crate, and
//! the traits that have one implementation. For people; nothing here fails.

use crate::source::{Source, is_word, word_positions};

use super::exposure::{self, FOR_TESTS};

/// Lines and public items of a crate.
struct Figures {
    code_lines: usize,
    test_lines: usize,
    public_items: usize,
}

/// Prints the table of the crates in `folders`.
pub(super) fn print(folders: &[&str], sources: &[Source]) {
    println!("crate              code   tests  share  pub items");
    let mut sum = Figures {
        code_lines: 0,
        test_lines: 0,
        public_items: 0,
    };
    for folder in folders {
        let figures = Figures::of(folder, sources);
        figures.print(folder);
        sum.code_lines += figures.code_lines;
        sum.test_lines += figures.test_lines;
        sum.public_items += figures.public_items;
    }
    sum.print("together");
    for (name, count) in implementations(sources) {
        if count < 2 {
            println!("note: the trait {name} has {count} implementation(s)");
        }
    }
}

impl Figures {
    fn of(folder: &str, sources: &[Source]) -> Self {
        let beginning = format!("{folder}/");
        let own: Vec<&Source> = sources
            .iter()
            .filter(|source| source.path.starts_with(&beginning))
            .collect();
        let code_lines = own.iter().map(|source| source.shipped_lines()).sum();
        let test_lines = own.iter().map(|source| source.test_lines()).sum();
        let public_items = exposure::count(folder, sources);
        if FOR_TESTS.contains(&folder) {
            return Self {
                code_lines: 0,
                test_lines: code_lines + test_lines,
                public_items,
            };
        }
        Self {
            code_lines,
            test_lines,
            public_items,
        }
    }

    fn print(&self, name: &str) {
        let all = (self.code_lines + self.test_lines).max(1);
        println!(
            "{name:<16} {:>6}  {:>6}   {:>3}%  {:>9}",
            self.code_lines,
            self.test_lines,
            self.test_lines * 100 / all,
            self.public_items
        );
    }
}

/// The traits of the crates that are shipped, and how often each is implemented;
/// a test double counts.
fn implementations(sources: &[Source]) -> Vec<(&str, usize)> {
    let mut traits: Vec<(&str, usize)> = sources
        .iter()
        .filter(|source| source.path.starts_with("crates/"))
        .flat_map(|source| {
            let code = source.shipped();
            word_positions(code, "trait").filter_map(|at| code[at..].split(|c| !is_word(c)).nth(1))
        })
        .map(|name| (name, 0))
        .collect();
    for (name, count) in &mut traits {
        for source in sources {
            *count += implementations_in(source.code(), name);
        }
    }
    traits
}

/// How often `code` says `impl NAME for` or `impl<..> NAME<..> for`.
fn implementations_in(code: &str, name: &str) -> usize {
    word_positions(code, "impl")
        .filter_map(|at| code[at..].split(['{', ';']).next())
        .filter_map(|head| head.split_once(" for "))
        .filter(|(implemented, _)| word_positions(implemented, name).next().is_some())
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn implementations_are_counted_with_their_generics() {
        let sources = [
            Source::new("crates/a/src/x.rs", "pub trait A {}\ntrait B<T> {}\n"),
            Source::new(
                "crates/b/tests/y.rs",
                "impl A for u8 {}\nimpl<T> x::B<T> for Vec<T> {}\nimpl Bb for u8 {}\n\
                 fn f(a: impl A) { for b in a {} }\nimpl A for u16 {}\n",
            ),
        ];
        assert_eq!(implementations(&sources), [("A", 2), ("B", 1)]);
    }

    #[test]
    fn all_of_a_crate_for_tests_is_tests() {
        let sources = [Source::new("crates/testkit/src/x.rs", "pub fn f() {}\n")];
        let figures = Figures::of("crates/testkit", &sources);
        assert_eq!(
            (figures.code_lines, figures.test_lines, figures.public_items),
            (0, 1, 1)
        );
    }
}
