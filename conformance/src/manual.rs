//! What the manual tells administrators to paste.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// The block of the page `docs/PAGE` whose text begins with `word`.
///
/// # Errors
/// When the page has none.
pub fn manual_block(page: &str, word: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(page);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    // Between each second pair of fences; the rest of the first line says how
    // to colour it.
    let blocks = text.split("```").skip(1).step_by(2);
    let mut texts = blocks.filter_map(|block| block.split_once('\n'));
    let (_, block) = texts
        .find(|(_, text)| text.starts_with(word))
        .with_context(|| format!("{page} has no block {word}"))?;
    Ok(block.to_owned())
}
