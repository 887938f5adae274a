//! The inputs that fuzzing began with or found, fed to the same checks on every run of the tests.

use std::fs;
use std::path::Path;

/// Checks every file of the corpus of one target.
pub(crate) fn replay(target: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut checked = 0;
    for file in fs::read_dir(corpus.join(target)).expect("a corpus") {
        let path = file.expect("a file").path();
        if path.is_file() {
            // What fails is the last that was printed.
            println!("{}", path.display());
            check(&fs::read(&path).expect("it can be read"));
            checked += 1;
        }
    }
    assert!(checked > 0, "the corpus of {target} is empty");
}
