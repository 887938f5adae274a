//! The words of the outside world and who may say them: clocks, sockets, files,
//! logs and async are for the crates around the pure ones.
//!
//! Only shipped code is scanned; tests may say anything.

use crate::source::{Problem, Source};

/// Words that are for few.
struct Ban {
    words: &'static [&'static str],
    /// Where they are forbidden: beginnings of paths.
    within: &'static [&'static str],
    /// Exceptions from that: beginnings of paths.
    except: &'static [&'static str],
    /// What to do instead.
    instead: &'static str,
}

const PURE: &[&str] = &[
    "crates/core/",
    "crates/rules/",
    "crates/proto/",
    "crates/wording/",
    "crates/report/",
];

const BANS: &[Ban] = &[
    Ban {
        words: &[
            "TcpListener",
            "TcpStream",
            "UdpSocket",
            "UnixDatagram",
            "UnixListener",
            "UnixStream",
        ],
        within: PURE,
        except: &[],
        instead: "sockets are for crates/server",
    },
    Ban {
        words: &["std::fs", "fs::File"],
        within: PURE,
        except: &[],
        instead: "files are read by the server, which passes on the bytes",
    },
    Ban {
        words: &["Instant", "SystemTime"],
        within: PURE,
        except: &[],
        instead: "time is an argument",
    },
    Ban {
        words: &["async", "await", "tokio"],
        within: PURE,
        except: &[],
        instead: "waiting is for crates/server and crates/store",
    },
    Ban {
        words: &["eprint!", "eprintln!", "print!", "println!", "tracing"],
        within: PURE,
        except: &[],
        instead: "return a value; who is outside tells it",
    },
    Ban {
        words: &["SystemTime::now", "Timestamp::now", "Zoned::now"],
        within: &["crates/"],
        except: &["crates/server/src/clock.rs", "crates/testkit/"],
        instead: "only crates/server/src/clock.rs reads the clock",
    },
    Ban {
        words: &["Instant::now"],
        within: &["crates/"],
        except: &[
            "crates/server/src/clock.rs",
            // How long a flush or a sync has been under way is nobody's argument.
            "crates/store/",
            "crates/testkit/",
        ],
        instead: "only crates/server/src/clock.rs reads the clock",
    },
    Ban {
        words: &["toml"],
        within: &["crates/"],
        except: &["crates/server/src/config.rs", "crates/server/src/config/"],
        instead: "only the server's config reads TOML",
    },
    Ban {
        words: &["process::exit", "env::args", "env::args_os"],
        within: &["crates/"],
        except: &["crates/cli/"],
        instead: "only crates/cli sees arguments and ends the process",
    },
];

/// The forbidden words that `source` says.
pub(super) fn check(source: &Source) -> Vec<Problem> {
    let begins_with = |beginnings: &[&str]| {
        beginnings
            .iter()
            .any(|beginning| source.path.starts_with(beginning))
    };
    let mut problems = Vec::new();
    for ban in BANS {
        if !begins_with(ban.within) || begins_with(ban.except) {
            continue;
        }
        for word in ban.words {
            for line in source.lines_naming(word) {
                problems.push(source.problem(line, format!("`{word}`: {}", ban.instead)));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&Source::new(path, text))
            .into_iter()
            .map(|problem| problem.line)
            .collect()
    }

    #[test]
    fn every_ban_fires_where_it_holds() {
        for ban in BANS {
            for word in ban.words {
                for folder in ban.within {
                    let path = format!("{folder}src/x.rs");
                    let text = format!("\nfn a() {{ {word} }}\n");
                    assert!(lines(&path, &text).contains(&2), "{word} in {path}");
                }
            }
        }
    }

    #[test]
    fn every_exception_is_one() {
        for ban in BANS {
            for path in ban.except {
                let path = format!("{path}src/x.rs");
                let text = format!("fn a() {{ {} }}\n", ban.words[0]);
                assert_eq!(lines(&path, &text), Vec::<usize>::new(), "{path}");
            }
        }
    }

    #[test]
    fn an_import_within_a_tree_is_found() {
        assert_eq!(lines("crates/proto/src/x.rs", "use std::{fmt, fs};\n"), [1]);
    }

    #[test]
    fn addresses_comments_and_tests_are_free() {
        let text = "//! No tokio here.\nuse std::net::IpAddr;\n\n#[cfg(test)]\nmod tests {\n    \
                    use std::fs;\n}\n";
        assert_eq!(lines("crates/core/src/x.rs", text), Vec::<usize>::new());
    }
}
