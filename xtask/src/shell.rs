//! Running other programs: a failure names the command.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs `command` with our own output.
///
/// # Errors
/// When it cannot be started or does not end with 0.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| cannot_start(command))?;
    if !status.success() {
        bail!("{} failed: {status}", words(command));
    }
    Ok(())
}

/// Runs `command` and gives what it wrote to standard output; standard error
/// is shown only when it fails.
///
/// # Errors
/// When it cannot be started, does not end with 0, or writes no UTF-8.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| cannot_start(command))?;
    if !output.status.success() {
        bail!(
            "{} failed: {}\n{}",
            words(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    String::from_utf8(output.stdout).with_context(|| words(command))
}

/// What `command` writes to standard output; `None` when its program is absent
/// or it does not end with 0.
///
/// # Errors
/// When the program is there but cannot be started.
pub(crate) fn answer(command: &mut Command) -> Result<Option<String>> {
    match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => {
            Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| cannot_start(command)),
    }
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start {}", command.get_program().to_string_lossy())
}

/// The command as one would type it, without folder and quoting.
fn words(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let mut words = name.to_string_lossy().into_owned();
    for argument in command.get_args() {
        words.push(' ');
        words.push_str(&argument.to_string_lossy());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_failure_names_the_command_and_shows_what_it_said() {
        let error = output(&mut shell("echo a >&2; exit 3")).expect_err("it ends with 3");
        assert_eq!(
            error.to_string(),
            "sh -c echo a >&2; exit 3 failed: exit status: 3\na"
        );
    }

    #[test]
    fn an_absent_program_and_one_that_fails_give_no_answer() {
        let answers = [
            Command::new("no-such-program-of-ours"),
            shell("echo a; exit 1"),
            shell("echo a"),
        ]
        .map(|mut command| answer(&mut command).expect("it can be started or is absent"));
        assert_eq!(answers, [None, None, Some("a\n".into())]);
    }
}
