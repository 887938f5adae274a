//! Random text as a configuration file: reading never panics, and what is refused is told with a
//! place in the file.

use std::path::Path;

use greylatch_server::Config;

/// Checks one input.
pub(crate) fn check(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    let Err(refused) = Config::parse(Path::new("greylatch.toml"), text) else {
        return;
    };
    assert!(!refused.problems.is_empty());
    for problem in &refused.problems {
        assert!(text.get(problem.span.clone()).is_some(), "{problem:?}");
        let (line, column) = refused.place(problem);
        assert!(
            (1..=text.split('\n').count()).contains(&line),
            "{problem:?}"
        );
        assert!(column >= 1 && !problem.message.is_empty(), "{problem:?}");
        let moves = |c: char| c.is_control() && !"\t\n".contains(c);
        assert!(!problem.message.chars().any(moves), "{problem:?}");
    }
    assert!(!refused.to_string().is_empty());
}
