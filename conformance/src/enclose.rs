//! Programs that see a part of the file system of their own: each runs in a
//! mount namespace, so nobody else sees what is mounted for it. Root is needed.
//!
//! Source: unshare(1), mount(8), the kernel's `filesystems/overlayfs`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

/// Lays the folder `$0` over `/etc`, and becomes the rest.
const OVER_ETC: &str = r#"
set -e
mount -t overlay overlay -o "lowerdir=$0:/etc" /etc
exec "$@"
"#;

/// Hides the system's log, and becomes the rest.
const WITHOUT_SYSLOG: &str = r#"
set -e
if test -S /dev/log; then mount --bind /dev/null "$(readlink -f /dev/log)"; fi
exec "$@"
"#;

/// The same command, that first runs `script` in mounts of its own. The script
/// has `folder` as `$0` and the command as `$@`.
pub(crate) fn enclose(script: &str, folder: &Path, command: &Command) -> Command {
    let mut enclosed = Command::new("unshare");
    enclosed
        .args(["--mount", "--propagation", "private"])
        .args(["sh", "-c", script])
        .arg(folder)
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => enclosed.env(name, value),
            None => enclosed.env_remove(name),
        };
    }
    enclosed
}

/// The same command, with the files in `etc` in place of those of the system's
/// `/etc`.
#[must_use]
pub fn with_etc(etc: &Path, command: &Command) -> Command {
    enclose(OVER_ETC, etc, command)
}

/// The same command where there is no syslog, so that it has to write to standard error.
#[must_use]
pub fn without_syslog(command: &Command) -> Command {
    enclose(WITHOUT_SYSLOG, Path::new("/"), command)
}

/// Writes into `etc` what makes `hosts`, lines of hosts(5), all names that
/// there are: nobody else is asked. Of several lines with one name only the
/// first tells that name's address.
/// Source: host.conf(5) `multi`, nsswitch.conf(5).
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn write_names(etc: &Path, hosts: &str) -> Result<()> {
    fs::create_dir_all(etc)?;
    fs::write(etc.join("hosts"), format!("127.0.0.1 localhost\n{hosts}"))?;
    fs::write(etc.join("host.conf"), "multi off\n")?;
    Ok(fs::write(
        etc.join("nsswitch.conf"),
        "passwd: files\ngroup: files\nhosts: files\nservices: files\n",
    )?)
}
