//! Debian packages that seem installed to a program: it sees their files where
//! they belong, and folders of its own for `/var` and `/run`. Nobody else sees
//! any of it. Root is needed.
//!
//! So a program may be started as the package starts it, with its fixed paths,
//! its user and its set-user-id bit, and its scripts work as on a host of its
//! own.
//!
//! Source: the kernel's `filesystems/overlayfs`, mount(8).

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::enclose::{enclose, write_names};
use crate::peers::peer;
use crate::process::scratch_folder;

/// Lays the packages' trees over `/usr` and `/etc`, and becomes the rest. Over
/// all of that lies the own `etc`: to be read if `own_lower` is set, to be written
/// as well if `own_upper` is.
const SCRIPT: &str = r#"
set -e
etc= usr=
for tree in "$0"/trees/*; do
    etc="$etc$tree/etc:"
    usr="$usr$tree/usr:"
done
mount -t overlay overlay -o "lowerdir=${own_lower:+$0/etc:}$etc/etc${own_upper:+,upperdir=$0/etc,workdir=$0/work}" /etc
mount -t overlay overlay -o "lowerdir=$usr/usr" /usr
mount --bind "$0/var" /var
mount --bind "$0/run" /run
exec "$@"
"#;

/// Packages that seem installed.
pub(crate) struct Installed {
    folder: TempDir,
}

/// A user of the program's own `/etc/passwd`, with a group of the same name and
/// number.
pub(crate) struct User<'a> {
    pub(crate) name: &'a str,
    /// Debian gives out none from 30,000 to 59,999.
    /// Source: Debian Policy 9.2.2.
    pub(crate) number: u32,
}

impl Installed {
    /// The packages of these peers, the first before the others, and users. Names
    /// of hosts there are none but `localhost`.
    ///
    /// # Errors
    /// When a peer is missing or a file cannot be written.
    pub(crate) fn new(peers: &[&str], users: &[User]) -> Result<Self> {
        let installed = Self {
            folder: scratch_folder()?,
        };
        let root = installed.folder.path();
        fs::set_permissions(root, Permissions::from_mode(0o755))?;
        for name in ["etc", "run", "trees", "var", "work"] {
            fs::create_dir(root.join(name))?;
        }
        symlink("/run", root.join("var/run"))?;
        for (place, name) in peers.iter().enumerate() {
            symlink(peer(name)?, root.join(format!("trees/{place}")))?;
        }
        let etc = installed.path("etc");
        write_names(&etc, "")?;
        // Nobody answers there, which is told at once.
        fs::write(etc.join("resolv.conf"), "nameserver 127.0.0.1\n")?;
        for file in ["passwd", "group"] {
            fs::copy(Path::new("/etc").join(file), etc.join(file))?;
            let mut file = File::options().append(true).open(etc.join(file))?;
            for User { name, number } in users {
                writeln!(file, "{name}:x:{number}:{number}::/:/bin/false")?;
            }
        }
        Ok(installed)
    }

    /// Where `place`, a path without its first slash, is for everybody else.
    pub(crate) fn path(&self, place: &str) -> PathBuf {
        self.folder.path().join(place)
    }

    /// Makes the folder `place` for `owner`.
    ///
    /// # Errors
    /// When this user may not.
    pub(crate) fn make(&self, place: &str, owner: Option<&User>) -> Result<()> {
        let path = self.path(place);
        fs::create_dir_all(&path)?;
        let number = owner.map(|user| user.number);
        chown(&path, number, number)
            .with_context(|| format!("root is needed: cannot give {}", path.display()))
    }

    /// Writes a file and the folders it is in.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, place: &str, text: &str) -> Result<()> {
        let path = self.path(place);
        fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
        fs::write(&path, text).with_context(|| path.display().to_string())
    }

    /// The same command, run where the packages seem installed. It cannot write
    /// to `/etc`.
    pub(crate) fn enclose(&self, command: &Command) -> Command {
        let mut enclosed = enclose(SCRIPT, self.folder.path(), command);
        enclosed.env("own_lower", "yes").env_remove("own_upper");
        enclosed
    }

    /// Runs a command that may write to `/etc`, while no other runs; gives what
    /// it wrote.
    ///
    /// # Errors
    /// When it fails; the text has what it wrote.
    pub(crate) fn set_up(&self, command: &Command) -> Result<String> {
        let mut enclosed = enclose(SCRIPT, self.folder.path(), command);
        enclosed.env("own_upper", "yes").env_remove("own_lower");
        let done = enclosed.output()?;
        let said = [done.stdout, done.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        ensure!(
            done.status.success(),
            "{command:?}: {}: {said}",
            done.status
        );
        Ok(said)
    }
}
