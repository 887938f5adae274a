//! What administrators are given to paste: by the manual, and as files.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// The block of the page `docs/PAGE` whose text begins with `word`.
///
/// # Errors
/// When the page has none.
pub fn manual_block(page: &str, word: &str) -> Result<String> {
    let text = read("docs", page)?;
    // Between each second pair of fences; the rest of the first line says how
    // to colour it.
    let blocks = text.split("```").skip(1).step_by(2);
    let mut texts = blocks.filter_map(|block| block.split_once('\n'));
    let (_, block) = texts
        .find(|(_, text)| text.starts_with(word))
        .with_context(|| format!("{page} has no block {word}"))?;
    Ok(block.to_owned())
}

/// The file `packaging/NAME`.
///
/// # Errors
/// When it is not there.
pub fn shipped(name: &str) -> Result<String> {
    read("packaging", name)
}

fn read(folder: &str, name: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(folder)
        .join(name);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}
