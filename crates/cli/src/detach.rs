//! Into the background: the program starts itself again in a session of its own, and waits until
//! that one listens or has said why not.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context;

/// Set for the program that was started again.
const MARK: &str = "GREYLATCH_DETACHED";

/// What it writes when it listens.
const READY: &str = "ready";

/// Whether this is the program that was started again.
pub(crate) fn is_detached() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Starts the program again under this name with the same words; gives its exit code when it does
/// not come up.
pub(crate) fn start_again(name: &str, words: &[String]) -> anyhow::Result<ExitCode> {
    let program = std::env::current_exe().context("cannot find this program's file")?;
    let mut child = Command::new(program)
        .arg0(name)
        .args(words)
        .env(MARK, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start in the background")?;
    let stdout = child
        .stdout
        .take()
        .context("cannot hear from the background")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    if line.trim_end() == READY {
        return Ok(ExitCode::SUCCESS);
    }
    let status = child.wait()?;
    let code = status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .filter(|code| *code != 0);
    Ok(ExitCode::from(code.unwrap_or(2)))
}

/// Tells the waiting program that we listen, and lets go of its terminal.
pub(crate) fn say_ready() {
    // Whoever started us may be gone; we go on all the same.
    let _ = writeln!(io::stdout(), "{READY}");
    let _ = io::stdout().flush();
    let _ = nix::unistd::setsid();
    if let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") {
        let _ = nix::unistd::dup2_stdout(&null);
        let _ = nix::unistd::dup2_stderr(&null);
    }
}
