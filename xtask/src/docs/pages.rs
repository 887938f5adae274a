//! The two pages: every option described, and an example that says every default.

use super::options::{Opt, Table};

const MANUAL_HEAD: &str = "\
# Every option

<!-- Made by `cargo xtask docs` from the comments in crates/server/src/config.rs. -->

The file has one table for each heading below. What is left out has its default, so a file that
holds only what differs is enough; [greylatch.toml](greylatch.toml) says them all.
[defaults.md](defaults.md) gives the reasons for the defaults. `greylatch check --config FILE` shows
every mistake at once, with its place and the cure.

- A length of time is a text with a unit: `\"60s\"`, `\"5m\"`, `\"2h\"`, `\"35d\"`, `\"1w\"`, also `\"1h30m\"`.
- A socket is `\"HOST:PORT\"`, with IPv6 in brackets and an empty host for all addresses, or
  `\"unix:PATH\"`.
";

const EXAMPLE_HEAD: &str = "\
# greylatch.toml: every option with its default. A file that holds only what differs is enough.
# Lengths of time are texts with units: \"60s\", \"5m\", \"2h\", \"35d\", \"1w\", also \"1h30m\".
# `greylatch check --config FILE` shows every mistake at once, with its place and the cure.
#
# Made by `cargo xtask docs` from the comments in crates/server/src/config.rs.
";

const WIDTH_MAX: usize = 99;

/// `docs/configuration.md`.
pub(super) fn manual(tables: &[Table]) -> String {
    let mut page = MANUAL_HEAD.to_owned();
    for table in tables {
        page.push_str(&format!("\n## `{}`\n\n", title(table)));
        push_wrapped(&mut page, "", &table.doc);
        for option in &table.options {
            page.push_str(&format!("\n### `{}.{}`\n\n", table.name, option.name));
            push_option(&mut page, table, option);
        }
    }
    page
}

fn push_option(page: &mut String, table: &Table, option: &Opt) {
    push_wrapped(page, "", &option.doc);
    page.push('\n');
    for (word, meaning) in &option.choices {
        page.push_str(&format!("- `\"{word}\"`: {meaning}\n"));
    }
    if !option.choices.is_empty() {
        page.push('\n');
    }
    let kind = &option.kind;
    let line = match (&option.default, &option.example) {
        (Some(default), _) => format!("A {kind}; default: `{default}`."),
        (None, Some(example)) if table.repeats => format!("A {kind}; example: `{example}`."),
        (None, Some(example)) => format!("A {kind}; left out by default; example: `{example}`."),
        (None, None) => format!("A {kind}."),
    };
    page.push_str(&line.replacen("A `", "`", 1));
    page.push('\n');
}

/// `docs/greylatch.toml`. A line that begins with `#` and no blank behind it is an example: the
/// default is to leave it out.
pub(super) fn example(tables: &[Table]) -> String {
    let mut page = EXAMPLE_HEAD.to_owned();
    for table in tables {
        page.push('\n');
        push_wrapped(&mut page, "# ", &table.doc);
        let out = if table.repeats { "#" } else { "" };
        page.push_str(&format!("{out}{}\n", title(table)));
        for option in &table.options {
            push_wrapped(&mut page, "# ", &option.doc);
            let (out, value) = match (&option.default, &option.example) {
                (Some(default), _) => ("", default.as_str()),
                (None, example) => ("#", example.as_deref().unwrap_or_default()),
            };
            page.push_str(&format!("{out}{} = {value}\n", option.name));
        }
    }
    page
}

fn title(table: &Table) -> String {
    match table.repeats {
        true => format!("[[{}]]", table.name),
        false => format!("[{}]", table.name),
    }
}

/// Appends `text` in lines that begin with `margin`; a blank line stays one.
fn push_wrapped(page: &mut String, margin: &str, text: &str) {
    for (nth, paragraph) in text.split("\n\n").enumerate() {
        if nth > 0 {
            page.push_str(margin.trim_end());
            page.push('\n');
        }
        let mut line = String::new();
        for word in words(paragraph) {
            let full = margin.len() + line.chars().count() + 1 + word.chars().count() > WIDTH_MAX;
            if full && !line.is_empty() {
                page.push_str(&format!("{margin}{line}\n"));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&word);
        }
        page.push_str(&format!("{margin}{line}\n"));
    }
}

/// The words of a paragraph; what stands between backquotes is one, so that no line ends in it.
fn words(paragraph: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    for word in paragraph.split_whitespace() {
        match words.last_mut().filter(|_| open) {
            Some(last) => {
                last.push(' ');
                last.push_str(word);
            }
            None => words.push(word.to_owned()),
        }
        open ^= word.matches('`').count() % 2 == 1;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::super::options;
    use super::*;

    fn tables() -> Vec<Table> {
        let text = "/// All.\npub struct Config {\n    /// When.\n    pub greylist: G,\n    /// Rules.\n    \
             pub rule: Vec<Spanned<R>>,\n}\n/// `[greylist]`.\npub struct G {\n    /// How long.\n    \
             pub delay: Seconds,\n    /// A name. Example: `\"a b\"`.\n    pub name: Option<String>,\n}\n\
             impl Default for G {\n    fn default() -> Self {\n        Self {\n            \
             delay: Seconds(60),\n            name: None,\n        }\n    }\n}\n/// `[[rule]]`: all hold.\n\
             pub struct R {\n    /// What. Example: `\"exempt\"`.\n    pub then: Then,\n}\n";
        options::read(&[("config.rs", text.into())]).expect("tables")
    }

    #[test]
    fn the_example_says_defaults_and_comments_out_what_has_none() {
        let page = example(&tables());
        assert_eq!(
            page.strip_prefix(EXAMPLE_HEAD),
            Some(
                "\n# When.\n[greylist]\n# How long.\ndelay = \"60s\"\n# A name.\n#name = \"a b\"\n\
                 \n# Rules. All hold.\n#[[rule]]\n# What.\n#then = \"exempt\"\n"
            )
        );
    }

    #[test]
    fn the_manual_says_what_may_be_written_and_the_default() {
        let page = manual(&tables());
        assert_eq!(
            page.strip_prefix(MANUAL_HEAD),
            Some(
                "\n## `[greylist]`\n\nWhen.\n\n### `greylist.delay`\n\nHow long.\n\nA length of time; \
                 default: `\"60s\"`.\n\n### `greylist.name`\n\nA name.\n\nA text; left out by default; \
                 example: `\"a b\"`.\n\n## `[[rule]]`\n\nRules. All hold.\n\n### `rule.then`\n\nWhat.\n\n\
                 A word; example: `\"exempt\"`.\n"
            )
        );
    }

    #[test]
    fn a_long_paragraph_is_wrapped_and_never_between_backquotes() {
        let mut page = String::new();
        push_wrapped(&mut page, "# ", &format!("{} `c d` e\n\nf", "a".repeat(92)));
        assert_eq!(page, format!("# {}\n# `c d` e\n#\n# f\n", "a".repeat(92)));
    }
}
