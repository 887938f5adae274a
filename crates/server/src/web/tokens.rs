//! The file of tokens: on each line a scope and a token, `#` begins a comment.
//!
//! Source: RFC 6750 §2.1 (which characters a token has).

use std::path::Path;

use subtle::ConstantTimeEq;

use crate::lists::Remark;

/// How far a token reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// May have attempts judged.
    Check,
    /// And may list and change entries.
    Admin,
}

impl Scope {
    const ALL: [Self; 2] = [Self::Check, Self::Admin];

    /// The word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Admin => "admin",
        }
    }
}

/// The tokens that are known.
#[derive(Clone, Default)]
pub(super) struct Tokens(Vec<(Vec<u8>, Scope)>);

/// A shorter token can be guessed.
const TOKEN_MIN: usize = 16;

/// A longer token is a mistake.
const TOKEN_MAX: usize = 512;

/// All of them are compared with each that is given.
const TOKENS_MAX: usize = 256;

impl Tokens {
    /// The tokens of a file. A line with a mistake costs itself only, and is never shown: it may
    /// hold a token.
    pub(super) fn read(path: &Path, text: &[u8], remarks: &mut Vec<Remark>) -> Self {
        let mut tokens = Vec::new();
        for (nth, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let words: Vec<&[u8]> = line
                .split(u8::is_ascii_whitespace)
                .filter(|word| !word.is_empty())
                .collect();
            if words.first().is_none_or(|word| word.starts_with(b"#")) {
                continue;
            }
            let taken = match take(&words) {
                Ok(_) if tokens.len() >= TOKENS_MAX => Err((0, TOO_MANY)),
                taken => taken,
            };
            match taken {
                Ok(token) => tokens.push(token),
                Err((word, why)) => {
                    let column = column(line, words.get(word).copied());
                    let text = format!("{}:{}:{column}: {why}", path.display(), nth + 1);
                    remarks.push(Remark::Http {
                        text,
                        is_error: true,
                    });
                }
            }
        }
        if tokens.is_empty() {
            remarks.push(Remark::Http {
                text: format!(
                    "{}: there is no token in it; write `check TOKEN`, with the output of \
                     `openssl rand -hex 24` as the token",
                    path.display()
                ),
                is_error: false,
            });
        }
        Self(tokens)
    }

    /// How far a token reaches. Takes as long whichever token it is like, and however much.
    pub(super) fn scope(&self, given: &[u8]) -> Option<Scope> {
        let mut found = None;
        for (token, scope) in &self.0 {
            if bool::from(token.as_slice().ct_eq(given)) {
                found = found.max(Some(*scope));
            }
        }
        found
    }
}

const TOO_MANY: &str = "more than 256 tokens; take out those that nobody uses";

/// The token of a line, or which of its words is wrong and why.
fn take(words: &[&[u8]]) -> Result<(Vec<u8>, Scope), (usize, &'static str)> {
    let scope = words.first().and_then(|word| {
        let mut all = Scope::ALL.into_iter();
        all.find(|scope| scope.word().as_bytes() == *word)
    });
    let scope = scope.ok_or((0, "not a scope; write `check TOKEN` or `admin TOKEN`"))?;
    let token = *words.get(1).ok_or((
        0,
        "no token behind the scope; write one, or take the line out",
    ))?;
    if words.len() > 2 {
        return Err((
            2,
            "more than a scope and a token; begin comments with # on lines of their own",
        ));
    }
    if !(TOKEN_MIN..=TOKEN_MAX).contains(&token.len()) {
        return Err((
            1,
            "a token has 16 to 512 characters; write for example the output of `openssl rand -hex 24`",
        ));
    }
    match token.iter().all(|byte| is_of_token(*byte)) {
        true => Ok((token.to_vec(), scope)),
        false => Err((
            1,
            "a token has letters, digits and -._~+/= only; write for example the output of \
             `openssl rand -hex 24`",
        )),
    }
}

fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}

/// The column of a word, from 1.
fn column(line: &[u8], word: Option<&[u8]>) -> usize {
    let Some(word) = word else {
        return 1;
    };
    line.windows(word.len())
        .position(|place| place == word)
        .map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn read(text: &str) -> (Tokens, Vec<String>) {
        let mut remarks = Vec::new();
        let tokens = Tokens::read(Path::new("tokens"), text.as_bytes(), &mut remarks);
        (tokens, remarks.iter().map(Remark::text).collect())
    }

    #[test]
    fn each_token_reaches_as_far_as_its_scope() {
        let text = "# ours\n\n check  0123456789abcdef \nadmin fedcba9876543210\r\n";
        let (tokens, remarks) = read(text);
        assert_eq!(remarks, Vec::<String>::new());
        assert_eq!(tokens.scope(TOKEN.as_bytes()), Some(Scope::Check));
        assert_eq!(tokens.scope(b"fedcba9876543210"), Some(Scope::Admin));
        for other in [
            "",
            "0",
            "0123456789abcde",
            "0123456789abcdef0",
            "0123456789abcdeF",
        ] {
            assert_eq!(tokens.scope(other.as_bytes()), None, "{other}");
        }
        let (twice, _) = read(&format!("admin {TOKEN}\ncheck {TOKEN}\n"));
        assert_eq!(twice.scope(TOKEN.as_bytes()), Some(Scope::Admin));
    }

    #[test]
    fn a_bad_line_is_told_with_its_place_and_cure_and_never_shown() {
        let lines = [
            ("s3cret0123456789", "1:1: not a scope"),
            ("check", "1:1: no token behind the scope"),
            ("  check s3cret", "1:9: a token has 16 to 512"),
            ("check s3cret\u{e9}0123456789", "1:7: a token has letters"),
            ("check s3cret0123456789 # mine", "1:24: more than a scope"),
        ];
        for (line, told) in lines {
            let (tokens, remarks) = read(&format!("{line}\ncheck {TOKEN}\n"));
            assert_eq!(remarks.len(), 1, "{line}");
            assert!(
                remarks[0].starts_with(&format!("tokens:{told}")),
                "{}",
                remarks[0]
            );
            assert!(!remarks[0].contains("s3cret"), "{}", remarks[0]);
            assert_eq!(tokens.scope(TOKEN.as_bytes()), Some(Scope::Check));
        }
    }

    #[test]
    fn a_file_holds_as_many_tokens_as_are_compared() {
        let text: String = (0..257).map(|nth| format!("check {nth:016}\n")).collect();
        let (tokens, remarks) = read(&text);
        assert_eq!(tokens.scope(b"0000000000000255"), Some(Scope::Check));
        assert_eq!(tokens.scope(b"0000000000000256"), None);
        assert_eq!(
            remarks,
            ["tokens:257:1: more than 256 tokens; take out those that nobody uses"]
        );
        let (_, remarks) = read("# none yet\n");
        assert!(
            remarks[0].starts_with("tokens: there is no token in it"),
            "{remarks:?}"
        );
    }
}
