//! Manual pages and completions, as a package takes them out of the program.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use conformance::{greylatch_binary, scratch_folder};

const COMMANDS: [&str; 9] = [
    "ask",
    "check",
    "entries",
    "filter-opensmtpd",
    "generate",
    "postgrey",
    "reload",
    "serve",
    "status",
];

#[test]
fn every_command_has_a_manual_page_with_its_options() -> Result<()> {
    let folder = scratch_folder()?;
    let made = Command::new(greylatch_binary()?)
        .args(["generate", "man"])
        .arg(folder.path())
        .status()?;
    ensure!(made.success(), "{made}");
    let page = |name: &str| fs::read_to_string(folder.path().join(name));
    let first = page("greylatch.1")?;
    for command in COMMANDS {
        ensure!(
            first.contains(&format!("greylatch\\-{}(1)", command.replace('-', "\\-"))),
            "{command} is not named in greylatch.1"
        );
        page(&format!("greylatch-{command}.1"))?;
    }
    ensure!(page("greylatch-serve.1")?.contains("\\-\\-config"));
    ensure!(page("greylatch-entries-remove.1")?.contains("\\-\\-standing"));
    Ok(())
}

#[test]
fn the_completions_of_every_shell_know_the_commands_and_options() -> Result<()> {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let made = Command::new(greylatch_binary()?)
            .args(["generate", "completions", shell])
            .output()?;
        ensure!(made.status.success(), "{shell}: {}", made.status);
        let text = String::from_utf8(made.stdout)?;
        for word in COMMANDS.into_iter().chain(["standing", "control"]) {
            ensure!(text.contains(word), "{shell} does not know {word}");
        }
    }
    Ok(())
}
