//! The tables and options of `greylatch.toml`, read from the text of
//! `crates/server/src/config.rs` and what stands beside it: doc comments, types and defaults.
//!
//! No parser of Rust: it knows the few forms that file uses, and stops at any other with its
//! line, so that nothing is left out in silence.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

/// One table of the file.
#[derive(Debug, PartialEq)]
pub(super) struct Table {
    /// Its name in the file.
    pub(super) name: String,
    /// `[[name]]`: there may be many, and each option of it may be left out.
    pub(super) repeats: bool,
    /// What it is for.
    pub(super) doc: String,
    pub(super) options: Vec<Opt>,
}

/// One option.
#[derive(Debug, PartialEq)]
pub(super) struct Opt {
    pub(super) name: String,
    /// What it does, paragraphs apart.
    pub(super) doc: String,
    /// What may stand behind the `=`, in words.
    pub(super) kind: String,
    /// The words it knows, each with its meaning.
    pub(super) choices: Vec<(String, String)>,
    /// The default as TOML; `None`: left out.
    pub(super) default: Option<String>,
    /// A value for an option that has no default.
    pub(super) example: Option<String>,
}

/// All tables in the order of `struct Config`, from the texts of files with their names.
///
/// # Errors
/// At the first line or type that is not understood.
pub(super) fn read(texts: &[(&str, String)]) -> Result<Vec<Table>> {
    let mut file = File::default();
    for (path, text) in texts {
        file.scan(text).with_context(|| (*path).to_owned())?;
    }
    let config = file.item("Config")?;
    config
        .fields
        .iter()
        .map(|field| file.table(field))
        .collect()
}

/// What the file holds.
#[derive(Debug, Default)]
struct File {
    items: BTreeMap<String, Item>,
    /// By type: by field: the expression of its default.
    defaults: BTreeMap<String, BTreeMap<String, String>>,
}

/// A struct or an enum.
#[derive(Debug, Default)]
struct Item {
    doc: String,
    /// Fields, or variants with an empty type.
    fields: Vec<Member>,
}

#[derive(Debug, Default)]
struct Member {
    name: String,
    kind: String,
    doc: String,
    hidden: bool,
    is_default: bool,
}

/// Where the scan is.
enum Place {
    Outside,
    /// In a struct or an enum.
    Item(String),
    /// In the literal of `fn default`.
    Default(String),
    /// In code that says nothing of options.
    Code,
}

impl File {
    fn scan(&mut self, text: &str) -> Result<()> {
        let mut place = Place::Outside;
        let mut member = Member::default();
        let shipped = text.split("#[cfg(test)]").next().unwrap_or(text);
        for (at, line) in shipped.lines().enumerate() {
            if line == "}" {
                place = Place::Outside;
                continue;
            }
            let known = match &place {
                Place::Outside => self.outside(line, &mut place, &mut member),
                Place::Item(name) => self.inside(line, name, &mut member),
                Place::Default(name) => self.default_line(line, name),
                Place::Code => Some(()),
            };
            known.with_context(|| format!("line {} is not understood: {line}", at + 1))?;
        }
        Ok(())
    }

    fn outside(&mut self, line: &str, place: &mut Place, member: &mut Member) -> Option<()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] | ["mod" | "use", ..] | ["pub", "use", ..] | ["//!", ..] => {}
            ["///", ..] => add_doc(&mut member.doc, line),
            [first, ..] if first.starts_with("#[derive(") || first.starts_with("#[serde(") => {}
            ["pub", "struct" | "enum", name, "{"] => {
                let doc = std::mem::take(member).doc;
                let fields = Vec::new();
                self.items.insert((*name).into(), Item { doc, fields });
                *place = Place::Item((*name).into());
            }
            ["impl", "Default", "for", name, "{"] => *place = Place::Default((*name).into()),
            ["impl", _, "{"] => *place = Place::Code,
            _ => return None,
        }
        Some(())
    }

    fn inside(&mut self, line: &str, name: &str, member: &mut Member) -> Option<()> {
        let line = line.trim();
        if line.starts_with("///") {
            add_doc(&mut member.doc, line);
        } else if line == "#[default]" {
            member.is_default = true;
        } else if line == "#[serde(skip)]" {
            member.hidden = true;
        } else if line.starts_with("#[serde(") && line.ends_with(")]") {
            // How it is read, which the type says as well.
        } else {
            let text = line.strip_suffix(',')?;
            let (field, kind) = match text.strip_prefix("pub ") {
                Some(text) => text.split_once(": ")?,
                None => (text, ""),
            };
            let member = std::mem::take(member);
            let fields = &mut self.items.get_mut(name)?.fields;
            fields.push(Member {
                name: field.into(),
                kind: kind.into(),
                ..member
            });
        }
        Some(())
    }

    fn default_line(&mut self, line: &str, name: &str) -> Option<()> {
        let line = line.trim();
        if ["fn default() -> Self {", "Self {", "}"].contains(&line) {
            return Some(());
        }
        let (field, expression) = line.strip_suffix(',')?.split_once(": ")?;
        self.defaults
            .entry(name.into())
            .or_default()
            .insert(field.into(), expression.into());
        Some(())
    }

    fn item(&self, name: &str) -> Result<&Item> {
        self.items
            .get(name)
            .with_context(|| format!("there is no struct or enum {name}"))
    }

    fn table(&self, field: &Member) -> Result<Table> {
        let many = field
            .kind
            .strip_prefix("Vec<Spanned<")
            .and_then(|kind| kind.strip_suffix(">>"));
        let kind = many.unwrap_or(&field.kind);
        let item = self.item(kind)?;
        let title = match many {
            Some(_) => format!("`[[{}]]`", field.name),
            None => format!("`[{}]`", field.name),
        };
        let more = item
            .doc
            .strip_prefix(&title)
            .with_context(|| format!("the doc comment of {kind} begins with {title}"))?;
        let options = item
            .fields
            .iter()
            .filter(|option| !option.hidden)
            .map(|option| {
                self.option(kind, option, many.is_some())
                    .with_context(|| format!("{kind}.{}", option.name))
            })
            .collect::<Result<_>>()?;
        Ok(Table {
            name: field.name.clone(),
            repeats: many.is_some(),
            doc: with_more(&field.doc, more),
            options,
        })
    }

    fn option(&self, table: &str, field: &Member, repeats: bool) -> Result<Opt> {
        ensure!(!field.doc.is_empty(), "it has no doc comment");
        let (doc, example) = match field.doc.rsplit_once(" Example: `") {
            Some((doc, rest)) => {
                let example = rest.strip_suffix("`.").context("an example is `...`.")?;
                (doc.to_owned(), Some(example.to_owned()))
            }
            None => (field.doc.clone(), None),
        };
        let (optional, kind) = without("Option<", &field.kind);
        let (words, choices) = self.kind(kind)?;
        let default = match self.defaults.get(table) {
            _ if repeats => None,
            Some(defaults) => {
                let expression = defaults.get(&field.name).context("it has no default")?;
                toml(expression)?
            }
            None if kind.starts_with("Vec<") => Some("[]".into()),
            None if optional => None,
            None => bail!("its default is written nowhere"),
        };
        ensure!(
            default.is_some() || example.is_some(),
            "it has no default, so its doc comment ends with: Example: `VALUE`."
        );
        Ok(Opt {
            name: field.name.clone(),
            doc,
            kind: words,
            choices,
            default,
            example,
        })
    }

    /// What may be written for a type, and the words of an enum.
    fn kind(&self, kind: &str) -> Result<(String, Vec<(String, String)>)> {
        let words = match kind {
            "bool" => "`true` or `false`",
            "u8" | "u32" => "number",
            "NonZeroU32" => "number, at least 1",
            "Seconds" => "length of time",
            "String" => "text",
            "Endpoint" => "socket",
            "Facility" => "name of a syslog facility",
            "Then" => "word",
            "Vec<Listener>" => "list of sockets",
            "Vec<Network>" => "list of addresses and networks",
            "PathBuf" => "file",
            "Vec<PathBuf>" => "list of files",
            "Vec<Spanned<String>>" => "list of texts",
            name => {
                let item = self.item(name)?;
                ensure!(
                    item.fields.iter().all(|variant| variant.kind.is_empty()),
                    "{name} is a table within a table"
                );
                let choice = |variant: &Member| (kebab(&variant.name), variant.doc.clone());
                return Ok(("word".into(), item.fields.iter().map(choice).collect()));
            }
        };
        Ok((words.into(), Vec::new()))
    }
}

fn add_doc(doc: &mut String, line: &str) {
    let text = line.trim().trim_start_matches('/').trim();
    match text {
        "" => doc.push_str("\n\n"),
        _ if doc.is_empty() || doc.ends_with('\n') => doc.push_str(text),
        _ => {
            doc.push(' ');
            doc.push_str(text);
        }
    }
}

/// `doc`, and what a struct's own comment says behind its title: `: more.` or `.`
fn with_more(doc: &str, more: &str) -> String {
    let Some(more) = more.strip_prefix(": ") else {
        return doc.to_owned();
    };
    let (first, rest) = more.split_at(more.chars().next().map_or(0, char::len_utf8));
    format!("{doc} {}{rest}", first.to_uppercase())
}

/// Whether `kind` is wrapped so, and what is inside.
fn without<'a>(wrapping: &str, kind: &'a str) -> (bool, &'a str) {
    let inner = kind
        .strip_prefix(wrapping)
        .and_then(|kind| kind.strip_suffix('>'));
    (inner.is_some(), inner.unwrap_or(kind))
}

/// An expression of `fn default` as TOML; `None` for `None`.
fn toml(expression: &str) -> Result<Option<String>> {
    let within = |before: &str, after: &str| {
        expression
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
    };
    if expression == "None" {
        return Ok(None);
    }
    let value = if ["true", "false"].contains(&expression) {
        expression.to_owned()
    } else if let Some(number) = number(expression) {
        number.to_string()
    } else if expression == "vec![]" {
        "[]".to_owned()
    } else if let Some(address) = within("vec![Listener::tcp(", ")]") {
        format!("[{address}]")
    } else if let Some(text) = within("\"", "\".into()") {
        format!("\"{text}\"")
    } else if let Some(length) = within("Seconds(", ")") {
        length_of_time(length)?
    } else if let Some(rest) = within("NonZeroU32::new(", "\")") {
        let (digits, _) = rest.split_once(')').context("a number")?;
        number(digits).context("a number")?.to_string()
    } else if let Some((_, variant)) = expression
        .split_once("::")
        .filter(|(_, variant)| variant.chars().all(char::is_alphanumeric))
    {
        format!("\"{}\"", kebab(variant))
    } else {
        bail!("this default is not understood: {expression}");
    };
    Ok(Some(value))
}

fn number(text: &str) -> Option<u64> {
    text.replace('_', "").parse().ok()
}

fn length_of_time(product: &str) -> Result<String> {
    let mut seconds = 1;
    for factor in product.split(" * ") {
        seconds *= match factor {
            "Seconds::DAY.0" => 86_400,
            digits => number(digits).with_context(|| format!("no length of time: {product}"))?,
        };
    }
    let (unit, length) = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)]
        .into_iter()
        // `60s` says more than `1m`.
        .find(|(_, length)| seconds % length == 0 && seconds > *length)
        .unwrap_or(("s", 1));
    Ok(format!("\"{}{unit}\"", seconds / length))
}

/// `PostgreyByHost` as serde's kebab-case writes it, and `MAIL`, a constant, as `mail`.
fn kebab(name: &str) -> String {
    if !name.contains(char::is_lowercase) {
        return name.to_lowercase();
    }
    let mut word = String::new();
    for (at, letter) in name.chars().enumerate() {
        if at > 0 && letter.is_uppercase() {
            word.push('-');
        }
        word.extend(letter.to_lowercase());
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(field: &str, default: &str) -> Result<Opt> {
        let text = format!(
            "/// All.\npub struct Config {{\n    /// A.\n    pub a: A,\n}}\n\
             /// `[a]`.\npub struct A {{\n    /// B.\n    {field}\n}}\n\
             impl Default for A {{\n    fn default() -> Self {{\n        Self {{\n            \
             {default}\n        }}\n    }}\n}}\n\
             /// `a.b`.\npub enum Way {{\n    /// So.\n    #[default]\n    ByHost,\n}}\n"
        );
        let mut tables = read(&[("config.rs", text)])?;
        Ok(tables.remove(0).options.remove(0))
    }

    #[test]
    fn every_form_of_a_default_is_toml() {
        for (kind, expression, toml) in [
            ("u32", "131_072", "131072"),
            ("bool", "true", "true"),
            ("String", "\"a\".into()", "\"a\""),
            ("Seconds", "Seconds(60)", "\"60s\""),
            ("Seconds", "Seconds(1_200)", "\"20m\""),
            ("Seconds", "Seconds(2 * Seconds::DAY.0)", "\"2d\""),
            ("Way", "Way::ByHost", "\"by-host\""),
            ("Vec<Listener>", "vec![Listener::tcp(\"a:1\")]", "[\"a:1\"]"),
            (
                "NonZeroU32",
                "NonZeroU32::new(4_000).expect(\"it is\")",
                "4000",
            ),
        ] {
            let option = one(&format!("pub b: {kind},"), &format!("b: {expression},"));
            let default = option.expect(expression).default;
            assert_eq!(default.as_deref(), Some(toml), "{expression}");
        }
    }

    #[test]
    fn the_words_of_an_enum_are_choices() {
        let option = one("pub b: Way,", "b: Way::ByHost,").expect("an option");
        assert_eq!(option.choices, [("by-host".into(), "So.".into())]);
    }

    #[test]
    fn what_is_not_understood_stops_with_its_place() {
        let told = |field: &str, default: &str| {
            format!("{:#}", one(field, default).expect_err("not understood"))
        };
        assert_eq!(
            told("pub b: Strange,", "b: true,"),
            "A.b: there is no struct or enum Strange"
        );
        assert_eq!(
            told("pub b: u32,", "b: f(1),"),
            "A.b: this default is not understood: f(1)"
        );
        assert_eq!(told("pub b: u32,", "c: 1,"), "A.b: it has no default");
        assert_eq!(
            told("pub b: u32", "b: 1,"),
            "config.rs: line 9 is not understood:     pub b: u32"
        );
        assert_eq!(
            told("pub b: Option<u32>,", "b: None,"),
            "A.b: it has no default, so its doc comment ends with: Example: `VALUE`."
        );
    }
}
