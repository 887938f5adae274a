//! The published description of HTTP, `docs/openapi.yaml`, against the running server: an API tester
//! makes up questions that follow it and questions that break it, and holds every answer against it.
//!
//! Source: the manual of Schemathesis 4, "Command-line", "Checks".

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, Result, ensure};
use conformance::{Native, free_port, is_long_run, peer, python, scratch_folder};
use tempfile::TempDir;

const TOKEN: &str = "admin-0123456789abcdef";

/// Questions to each method and path beside those that are made up systematically.
const QUESTIONS: &str = "50";
const QUESTIONS_LONG: &str = "2000";

struct Server {
    native: Native,
    folder: TempDir,
    port: u16,
}

impl Server {
    fn start() -> Result<Self> {
        let folder = scratch_folder()?;
        let tokens = folder.path().join("tokens");
        fs::write(&tokens, format!("admin {TOKEN}\n"))?;
        fs::set_permissions(&tokens, Permissions::from_mode(0o600))?;
        let port = free_port()?;
        let native = Native::start(
            folder.path(),
            &format!(
                "listen.http = [\"127.0.0.1:{port}\"]\nhttp.token_file = \"DIR/tokens\"\n\
                 store.url = \"embedded:DIR/store\"\n"
            ),
        )?;
        Ok(Self {
            native,
            folder,
            port,
        })
    }

    /// Runs the tester with this description, and more options.
    fn test(&self, description: &Path, questions: &str, options: &[&str]) -> Result<Output> {
        let packages = peer("schemathesis")?;
        let mut command = python()?;
        command
            .args(["-s", "-m", "schemathesis.cli", "run"])
            .arg(description)
            .args(["--url", &format!("http://127.0.0.1:{}", self.port)])
            .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
            .args(["--checks", "all", "--continue-on-failure"])
            .args(["--warnings", "off", "--max-examples", questions])
            .args(options);
        if !is_long_run() {
            command.args(["--seed", "1"]);
        }
        command
            .env("PYTHONPATH", packages)
            .current_dir(self.folder.path())
            .output()
            .context("python3")
    }
}

fn published() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.yaml")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn the_server_answers_as_its_description_says() -> Result<()> {
    let server = Server::start()?;
    let questions = match is_long_run() {
        true => QUESTIONS_LONG,
        false => QUESTIONS,
    };
    let output = server.test(&published(), questions, &[])?;
    let told = told(&output);
    ensure!(output.status.success(), "{told}");
    ensure!(told.contains("No issues found"), "{told}");
    ensure!(told.contains("4 selected / 4 total"), "{told}");
    let log = server.native.stop()?;
    ensure!(!log.contains("panicked"), "{log}");
    Ok(())
}

/// That the tester finds what it is there for.
#[test]
fn a_description_that_is_wrong_is_found_out() -> Result<()> {
    let text = fs::read_to_string(published())?;
    let server = Server::start()?;
    for (from, to, found) in [
        // An answer that is not described.
        (
            "enum: [defer, refuse]",
            "enum: [refuse]",
            "Response violates schema",
        ),
        // A question that is described and refused.
        (
            "enum: [rcpt, data]",
            "enum: [rcpt, data, vrfy]",
            "Schema-valid request rejected",
        ),
        // A question that is not described and answered.
        (
            "maximum: 4294967295",
            "maximum: 10",
            "Schema-violating request accepted",
        ),
        // A code that is not described.
        (
            "        \"415\":",
            "        \"416\":",
            "Undocumented status code",
        ),
    ] {
        ensure!(text.contains(from), "{from}");
        let wrong = server.folder.path().join("openapi.yaml");
        fs::write(&wrong, text.replace(from, to))?;
        let output = server.test(&wrong, "10", &["--include-path", "/v1/check"])?;
        let told = told(&output);
        ensure!(output.status.code() == Some(1), "{from}: {told}");
        ensure!(told.contains(found), "{from}: {told}");
    }
    Ok(())
}
