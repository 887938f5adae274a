//! Command lines read as Perl's Getopt::Long reads them in its "posix_default" mode.
//!
//! Not clap: a word that is no option ends the options, nothing may be abbreviated or bundled,
//! and some options take a value or leave it. Source: the behaviour of Getopt::Long as observed by
//! running Postgrey 1.37 and postgreyreport 1.14.3.

/// What an option takes, and where it goes.
pub(crate) enum Kind<T> {
    /// Nothing.
    Flag(fn(&mut T)),
    /// Nothing, but there is its opposite too: `--noNAME` and `--no-NAME`.
    Switch(fn(&mut T, bool)),
    /// A text that is not empty.
    Text(fn(&mut T, String)),
    /// A whole number.
    Number(fn(&mut T, i64)),
    /// A text, or nothing, which sets the empty text.
    OptionalText(fn(&mut T, String)),
}

/// One option: its names without dashes, and what it takes.
pub(crate) struct Definition<T> {
    names: &'static [&'static str],
    kind: Kind<T>,
}

impl<T> Definition<T> {
    /// An option of these names.
    pub(crate) const fn new(names: &'static [&'static str], kind: Kind<T>) -> Self {
        Self { names, kind }
    }

    pub(crate) const fn flag(names: &'static [&'static str], set: fn(&mut T)) -> Self {
        Self::new(names, Kind::Flag(set))
    }

    pub(crate) const fn text(names: &'static [&'static str], set: fn(&mut T, String)) -> Self {
        Self::new(names, Kind::Text(set))
    }

    pub(crate) const fn number(names: &'static [&'static str], set: fn(&mut T, i64)) -> Self {
        Self::new(names, Kind::Number(set))
    }
}

/// Reads a command line without the program's name; gives the options and the words behind them.
///
/// # Errors
/// Every complaint that Getopt::Long has, one line each.
pub(crate) fn parse<'a, T: Default>(
    definitions: &[Definition<T>],
    words: &'a [String],
) -> Result<(T, &'a [String]), Vec<String>> {
    let mut options = T::default();
    let mut complaints = Vec::new();
    let mut rest = words;
    while let Some((word, tail)) = rest.split_first() {
        let Some(option) = word.strip_prefix('-').filter(|option| !option.is_empty()) else {
            break;
        };
        rest = tail;
        if option == "-" {
            break;
        }
        if let Err(complaint) = take(definitions, option, &mut options, &mut rest) {
            complaints.push(complaint);
        }
    }
    if complaints.is_empty() {
        Ok((options, rest))
    } else {
        Err(complaints)
    }
}

/// Takes one option, without its first dash, and its value from `rest` if it needs one.
fn take<T>(
    definitions: &[Definition<T>],
    option: &str,
    options: &mut T,
    rest: &mut &[String],
) -> Result<(), String> {
    let (name, attached) = match option.strip_prefix('-') {
        Some(long) => match long.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (long, None),
        },
        None if option.chars().count() == 1 => (option, None),
        None => return Err(format!("Unknown option: {option}")),
    };
    let Some((kind, holds)) = find(definitions, name) else {
        return Err(format!("Unknown option: {name}"));
    };
    if attached.is_some() && matches!(kind, Kind::Flag(_) | Kind::Switch(_)) {
        return Err(format!("Option {name} does not take an argument"));
    }
    let missing = || format!("Option {name} requires an argument");
    let mut value = || match attached.clone() {
        Some(value) if value.is_empty() => None,
        Some(value) => Some(value),
        None => take_word(rest),
    };
    match kind {
        Kind::Flag(set) => set(options),
        Kind::Switch(set) => set(options, holds),
        Kind::Text(set) => set(options, value().ok_or_else(missing)?),
        Kind::Number(set) => {
            let value = value().ok_or_else(missing)?;
            let wrong = || format!("Value \"{value}\" invalid for option {name} (number expected)");
            set(options, integer(&value).ok_or_else(wrong)?);
        }
        Kind::OptionalText(set) => {
            let is_value = rest.first().is_some_and(|word| !word.starts_with('-'));
            let given = match attached {
                Some(value) => value,
                None if is_value => take_word(rest).unwrap_or_default(),
                None => String::new(),
            };
            set(options, given);
        }
    }
    Ok(())
}

/// The option of this name; false with it when the name is that of its opposite.
fn find<'a, T>(definitions: &'a [Definition<T>], name: &str) -> Option<(&'a Kind<T>, bool)> {
    let named = |name: &str| {
        definitions
            .iter()
            .find(|definition| definition.names.contains(&name))
            .map(|definition| &definition.kind)
    };
    if let Some(kind) = named(name) {
        return Some((kind, true));
    }
    let opposite = name.strip_prefix("no")?;
    let opposite = opposite.strip_prefix('-').unwrap_or(opposite);
    let kind = named(opposite).filter(|kind| matches!(kind, Kind::Switch(_)))?;
    Some((kind, false))
}

fn take_word(rest: &mut &[String]) -> Option<String> {
    let (word, tail) = rest.split_first()?;
    *rest = tail;
    Some(word.clone())
}

/// A decimal number with an optional sign; one too large for us is as large as can be.
fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse().unwrap_or(i64::MAX);
    Some(if text.starts_with('-') { -size } else { size })
}
