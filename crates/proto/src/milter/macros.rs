//! The macros that an MTA has told, by the stage they belong to.
//!
//! Source: Sendmail's `doc/op/op.me`, "Defining Macros" (names of more than one letter stand in
//! braces); traces of Postfix 3.7.11, which also sends empty sets and sets for every later stage.

use super::wire;

/// The macros of one connection, each stage's as they came: name, NUL, value, NUL.
#[derive(Debug, Default)]
pub(super) struct Macros {
    stages: [Vec<u8>; STAGES.len()],
}

/// Commands that macros belong to, in the order of a session.
const STAGES: [u8; 9] = *b"CHMRTLNBE";
/// Where a message begins.
const MESSAGE: usize = 2;
/// Bytes kept of one stage; what comes behind is not read.
const STAGE_MAX: usize = 16 << 10;

impl Macros {
    /// Takes a set: it replaces the one of its stage and ends those of later stages. Sets of other
    /// commands tell nothing of a message.
    pub(super) fn set(&mut self, content: &[u8]) {
        let Some((stage, pairs)) = content.split_first() else {
            return;
        };
        let Some(at) = STAGES.iter().position(|known| known == stage) else {
            return;
        };
        let Some((own, later)) = self.stages.get_mut(at..).and_then(<[_]>::split_first_mut) else {
            return;
        };
        own.clear();
        own.extend_from_slice(pairs.get(..STAGE_MAX).unwrap_or(pairs));
        if at <= MESSAGE {
            later.iter_mut().for_each(Vec::clear);
        }
    }

    /// The message is over.
    pub(super) fn end_message(&mut self) {
        self.stages.iter_mut().skip(MESSAGE).for_each(Vec::clear);
    }

    /// The connection is over.
    pub(super) fn clear(&mut self) {
        self.stages.iter_mut().for_each(Vec::clear);
    }

    /// The value told last; `name` without braces.
    pub(super) fn value(&self, name: &[u8]) -> Option<&[u8]> {
        let mut stages = self.stages.iter().rev();
        stages.find_map(|pairs| in_pairs(pairs, name))
    }
}

fn in_pairs<'a>(mut pairs: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    while !pairs.is_empty() {
        let (name, rest) = wire::string(pairs);
        let (value, rest) = wire::string(rest);
        let bare = name
            .strip_prefix(b"{")
            .and_then(|name| name.strip_suffix(b"}"));
        if bare.unwrap_or(name) == wanted {
            return Some(value);
        }
        pairs = rest;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_stage_has_the_word_and_a_message_ends_its_own() {
        let mut macros = Macros::default();
        macros.set(b"Cj\0mx.example.org\0{if_addr}\x00192.0.2.1\0");
        macros.set(b"Mi\0first\0");
        macros.set(b"Ri\0second\0{greylist}\0WHITE\0");
        assert_eq!(macros.value(b"j"), Some(&b"mx.example.org"[..]));
        assert_eq!(macros.value(b"if_addr"), Some(&b"192.0.2.1"[..]));
        assert_eq!(macros.value(b"i"), Some(&b"second"[..]));
        macros.set(b"R");
        assert_eq!(macros.value(b"i"), Some(&b"first"[..]));
        assert_eq!(macros.value(b"greylist"), None);
        macros.set(b"Ri\0second\0");
        macros.set(b"Mi\0third\0");
        assert_eq!(macros.value(b"i"), Some(&b"third"[..]));
        macros.end_message();
        assert_eq!(macros.value(b"i"), None);
        assert_eq!(macros.value(b"j"), Some(&b"mx.example.org"[..]));
    }

    #[test]
    fn odd_sets_are_taken_as_far_as_they_go() {
        let mut macros = Macros::default();
        for odd in [
            &b""[..],
            b"U{x}\0y\0",
            b"?",
            b"M",
            b"Mi",
            b"Mi\0",
            b"M\0\0\0",
        ] {
            macros.set(odd);
        }
        macros.set(b"Mi\0cut off");
        assert_eq!(macros.value(b"i"), Some(&b"cut off"[..]));
        let long = [&b"M"[..], &[b'x'; STAGE_MAX + 10]].concat();
        macros.set(&long);
        assert_eq!(macros.stages[MESSAGE].len(), STAGE_MAX);
    }
}
