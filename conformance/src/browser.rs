//! Debian's Chromium without a window, which opens a page and gives what became of it.
//!
//! It runs where there is no network, so a page that needs one shows it. The root's libraries of PulseAudio
//! lie in a folder of their own.
//!
//! Source: chromium(1), and the switches of `headless/app/headless_shell_switches.cc` and
//! `sandbox/policy/switches.cc` in Chromium's source (`--dump-dom`, `--no-sandbox`).

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::greylister::libraries;
use crate::peers::peer;

/// The page as the browser has it once it is loaded: the document, written as HTML again. `folder` is for
/// what the browser keeps.
///
/// # Errors
/// When the browser is not there, or ends with an error; the text has what it said.
pub fn opened_in_chromium(page: &Path, folder: &Path) -> Result<String> {
    let root = peer("chromium-headless-shell")?;
    let mut places = libraries(&root)?;
    let with_pulse: Vec<_> = places
        .iter()
        .map(|place| place.join("pulseaudio"))
        .collect();
    places.extend(with_pulse);
    let done = Command::new("unshare")
        .args(["--map-root-user", "--net", "--"])
        .arg(root.join("usr/lib/chromium/chromium-headless-shell"))
        // Its own sandbox does not work for root; what it opens here is ours.
        .args([
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--dump-dom",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
        ])
        .arg(format!(
            "--user-data-dir={}",
            folder.join("chromium").display()
        ))
        .arg(format!("file://{}", page.display()))
        .env("LD_LIBRARY_PATH", std::env::join_paths(places)?)
        .env("FONTCONFIG_PATH", root.join("etc/fonts"))
        .env("HOME", folder)
        .stdin(Stdio::null())
        .output()
        .context("cannot start Chromium")?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{}: {said}", done.status);
    String::from_utf8(done.stdout).context("the document is no UTF-8")
}
