//! What a message to greylistd asks for.

use std::fmt;

use greylatch_core::{Attempt, Standing};

use super::key;

/// One of greylistd's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    White,
    Grey,
    Black,
}

impl List {
    /// In the order in which they are listed.
    pub(super) const ALL: [Self; 3] = [Self::White, Self::Grey, Self::Black];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::White => "white",
            Self::Grey => "grey",
            Self::Black => "black",
        }
    }

    /// The list on which something of this standing is.
    pub(super) fn of(standing: Standing) -> Self {
        match standing {
            Standing::Proven | Standing::Allowed => Self::White,
            Standing::Waiting => Self::Grey,
            Standing::Refused => Self::Black,
        }
    }

    /// The standings of what is on it.
    pub(super) fn standings(self) -> &'static [Standing] {
        match self {
            Self::White => &[Standing::Proven, Standing::Allowed],
            Self::Grey => &[Standing::Waiting],
            Self::Black => &[Standing::Refused],
        }
    }

    /// The standing of what is put on it by hand.
    pub(super) fn by_hand(self) -> Standing {
        match self {
            Self::White => Standing::Allowed,
            Self::Grey => Standing::Waiting,
            Self::Black => Standing::Refused,
        }
    }
}

/// What an option in front of the key names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    List(List),
    Unknown(String),
}

impl Named {
    fn read(word: &[u8]) -> Self {
        let start = word.iter().position(|byte| *byte != b'-');
        let name = start.and_then(|start| word.get(start..));
        let name = plain(name.unwrap_or_default());
        match List::ALL.into_iter().find(|list| list.word() == name) {
            Some(list) => Self::List(list),
            None => Self::Unknown(name),
        }
    }
}

/// A message, understood.
#[derive(Debug)]
pub(super) enum Command {
    Update(Attempt, Vec<Named>),
    Check(Attempt, Vec<Named>),
    Status(Attempt),
    Add(List, Attempt),
    Delete(Attempt),
    Stats,
    Mrtg,
    List(Vec<List>),
    Save,
    Reload,
    Clear(Vec<List>),
}

/// Why a message asks for nothing, as greylistd says it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    NoData,
    MissingArgument,
    TooManyArguments,
    NoSuchList(String),
    InvalidList(String),
    InvalidListQuoted(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoData => f.write_str("No data received"),
            Self::MissingArgument => f.write_str("Missing argument"),
            Self::TooManyArguments => f.write_str("Too many arguments"),
            Self::NoSuchList(name) => write!(f, "No such list: '{name}'"),
            Self::InvalidList(name) => write!(f, "Invalid list: {name}"),
            Self::InvalidListQuoted(name) => write!(f, "Invalid list: '{name}'"),
        }
    }
}

impl Command {
    /// Reads a message. Its first word is a command, or with the rest a key to be updated.
    pub(super) fn read(message: &[u8]) -> Result<Self, Fault> {
        let message = message.to_ascii_lowercase();
        let mut words: Vec<&[u8]> = message
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty())
            .collect();
        let command = *words.first().ok_or(Fault::NoData)?;
        if COMMANDS.contains(&command) {
            words.remove(0);
        }
        let options = words.iter().take_while(|word| word.starts_with(b"-"));
        let named: Vec<Named> = options.map(|word| Named::read(word)).collect();
        let words = words.get(named.len()..).unwrap_or_default();
        let key = || match words {
            [] => Err(Fault::MissingArgument),
            words => Ok(key::attempt(words)),
        };
        let alone = |command| match words {
            [] => Ok(command),
            _ => Err(Fault::TooManyArguments),
        };
        match command {
            b"check" => Ok(Self::Check(key()?, named)),
            b"status" => Ok(Self::Status(key()?)),
            b"add" => {
                let key = key()?;
                Ok(Self::Add(list_to_add_to(named)?, key))
            }
            b"delete" => Ok(Self::Delete(key()?)),
            b"stats" => alone(Self::Stats),
            b"mrtg" => alone(Self::Mrtg),
            b"list" => alone(Self::List(lists(named, Fault::InvalidList)?)),
            b"clear" => alone(Self::Clear(lists(named, Fault::InvalidListQuoted)?)),
            b"save" => alone(Self::Save),
            b"reload" => alone(Self::Reload),
            _ => Ok(Self::Update(key()?, named)),
        }
    }
}

const COMMANDS: [&[u8]; 11] = [
    b"update", b"check", b"status", b"add", b"delete", b"stats", b"mrtg", b"list", b"save",
    b"reload", b"clear",
];

/// The first list that is named; white where none is.
fn list_to_add_to(named: Vec<Named>) -> Result<List, Fault> {
    match named.into_iter().next() {
        None => Ok(List::White),
        Some(Named::List(list)) => Ok(list),
        Some(Named::Unknown(name)) => Err(Fault::NoSuchList(name)),
    }
}

/// The lists that are named, each once and in their order.
fn lists(named: Vec<Named>, fault: fn(String) -> Fault) -> Result<Vec<List>, Fault> {
    let mut lists = List::ALL.to_vec();
    for name in &named {
        if let Named::Unknown(name) = name {
            return Err(fault(name.clone()));
        }
    }
    lists.retain(|list| named.contains(&Named::List(*list)));
    Ok(lists)
}

/// Text that may be shown as it is.
pub(super) fn plain(bytes: &[u8]) -> String {
    let shown = |byte: &u8| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => '?',
    };
    bytes.iter().map(shown).collect()
}
