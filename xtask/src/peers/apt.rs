//! apt and dpkg for the peers: package lists, downloads and unpacking in a
//! folder of ours, whatever the system has installed.
//!
//! Source: apt-get(8), apt.conf(5), sources.list(5), dpkg-deb(1), os-release(5).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::Peer;
use crate::shell;

/// What no root gets: only installation scripts call it, or the system's own
/// must be used. A `*` at the end stands for any rest.
pub(super) const FROM_SYSTEM: &[&str] = &[
    "adduser",
    "cpio",
    "debconf",
    "dpkg",
    "gcc-*",
    "init-system-helpers",
    "libpam*",
    "passwd",
    "perl-base",
    "ssl-cert",
    "tar",
    "ucf",
    "usr-is-merged",
    "usrmerge",
];

/// What comes from the system too, unless the peer is of another release.
const LIBC: &[&str] = &["libc6", "libgcc-s1"];

/// The keys of all releases that Debian supports.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A package file that apt knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Archive {
    package: String,
    version: String,
    file: String,
}

impl std::fmt::Display for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.package, self.version)
    }
}

impl Archive {
    /// Reads a line of `apt-get --print-uris`: `'URI' FILE SIZE [HASH]`, FILE
    /// being PACKAGE_VERSION_ARCH.deb with `:` as `%3a`.
    fn parse(line: &str) -> Option<Self> {
        let file = line.strip_prefix('\'')?.split(' ').nth(1)?;
        let mut parts = file.strip_suffix(".deb")?.split('_');
        Some(Self {
            package: parts.next()?.to_owned(),
            version: parts.next()?.replace("%3a", ":"),
            file: file.to_owned(),
        })
    }

    fn is_one_of(&self, patterns: &[&str]) -> bool {
        patterns
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(beginning) => self.package.starts_with(beginning),
                None => self.package == *pattern,
            })
    }
}

/// apt with its state in a folder of ours.
pub(super) struct Apt {
    folder: PathBuf,
    /// The file of sources, if they are not the system's.
    sources: Option<PathBuf>,
}

impl Apt {
    /// Fetches the package lists of the system's sources.
    pub(super) fn open(folder: PathBuf) -> Result<Self> {
        for program in ["apt-get", "dpkg-deb"] {
            ensure!(
                shell::answer(Command::new(program).arg("--version"))?.is_some(),
                "{program} is needed: the peers are Debian packages"
            );
        }
        let apt = Self {
            folder,
            sources: None,
        };
        apt.update()?;
        Ok(apt)
    }

    /// Fetches the package lists of `release` from where the system gets those
    /// of its own.
    pub(super) fn open_release(&self, release: &str) -> Result<Self> {
        let system = fs::read_to_string("/etc/os-release").context("/etc/os-release")?;
        let own = system
            .lines()
            .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
            .context("the release of this system has no name")?;
        let format = "$(RELEASE) $(COMPONENT) $(REPO_URI)";
        let targets = shell::output(
            self.get()
                .args(["indextargets", "--format", format])
                .arg("Created-By: Packages"),
        )?;
        let place =
            source_in(&targets, own).with_context(|| format!("apt has no source of {own} main"))?;
        let folder = self.folder.join(release);
        fs::create_dir_all(&folder)?;
        let sources = folder.join("sources.list");
        let line = format!("deb [signed-by={KEYRING}] {place} {release} main\n");
        fs::write(&sources, line)?;
        let apt = Self {
            folder,
            sources: Some(sources),
        };
        apt.update()?;
        Ok(apt)
    }

    fn update(&self) -> Result<()> {
        fs::create_dir_all(self.folder.join("state/lists/partial"))?;
        fs::create_dir_all(self.folder.join("cache/archives/partial"))?;
        fs::write(self.folder.join("state/status"), "")?;
        // A foreign source that is away is no reason to stop: what we need is
        // checked when its closure is asked for.
        if let Err(error) = shell::output(self.get().arg("update")) {
            eprintln!("xtask: {error:#}");
        }
        Ok(())
    }

    fn get(&self) -> Command {
        let mut command = Command::new("apt-get");
        let state = self.folder.join("state");
        for (option, value) in [
            ("Dir::State", state.clone()),
            ("Dir::State::status", state.join("status")),
            ("Dir::Cache", self.folder.join("cache")),
            // Else root hands the download to a user who cannot write here.
            ("APT::Sandbox::User", "root".into()),
            ("Acquire::Retries", "3".into()),
        ] {
            set(&mut command, option, &value);
        }
        if let Some(sources) = &self.sources {
            set(&mut command, "Dir::Etc::sourcelist", sources);
            set(
                &mut command,
                "Dir::Etc::sourceparts",
                Path::new("/dev/null"),
            );
        }
        command.arg("-qq").env("LC_ALL", "C");
        command
    }

    /// What `peer` needs beyond the system.
    pub(super) fn closure(&self, peer: &Peer) -> Result<Vec<Archive>> {
        let printed = shell::output(
            self.get()
                .args(["install", "--print-uris", "--yes"])
                .arg("--no-install-recommends")
                .arg(peer.name)
                .args(peer.also),
        )
        .with_context(|| format!("no package for the peer {}", peer.name))?;
        let libc = if peer.release.is_none() { LIBC } else { &[] };
        let archives: Vec<Archive> = printed
            .lines()
            .filter_map(Archive::parse)
            .filter(|archive| {
                ![FROM_SYSTEM, libc, peer.without]
                    .iter()
                    .any(|left_out| archive.is_one_of(left_out))
            })
            .collect();
        ensure!(
            archives.iter().any(|archive| archive.package == peer.name),
            "apt-get names no file for {}",
            peer.name
        );
        Ok(archives)
    }

    pub(super) fn download<'a>(&self, archives: impl Iterator<Item = &'a Archive>) -> Result<()> {
        let mut wanted: Vec<String> = archives
            .map(|archive| format!("{}={}", archive.package, archive.version))
            .collect();
        wanted.sort();
        wanted.dedup();
        println!("fetching {} packages", wanted.len());
        shell::output(
            self.get()
                .arg("download")
                .args(wanted)
                .current_dir(&self.folder),
        )?;
        Ok(())
    }

    pub(super) fn unpack(&self, archive: &Archive, root: &Path) -> Result<()> {
        // `dpkg -x` would replace the link `lib` by a folder.
        let mut reader = Command::new("dpkg-deb")
            .arg("--fsys-tarfile")
            .arg(self.folder.join(&archive.file))
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start dpkg-deb")?;
        let stream = reader.stdout.take().context("dpkg-deb has no output")?;
        shell::run(
            Command::new("tar")
                .args(["--extract", "--keep-directory-symlink", "--no-same-owner"])
                .arg("--directory")
                .arg(root)
                .stdin(stream),
        )?;
        let status = reader.wait()?;
        ensure!(status.success(), "dpkg-deb {}: {status}", archive.file);
        Ok(())
    }
}

fn set(command: &mut Command, option: &str, value: &Path) {
    command
        .arg("-o")
        .arg(format!("{option}={}", value.display()));
}

/// The place of the main packages of `release` among lines `RELEASE COMPONENT
/// PLACE`.
fn source_in<'a>(targets: &'a str, release: &str) -> Option<&'a str> {
    let wanted = format!("{release} main ");
    targets.lines().find_map(|line| line.strip_prefix(&wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_print_uris_gives_package_version_and_file() {
        let line = "'http://deb.debian.org/debian/pool/main/z/zlib/zlib1g_1.2.13.dfsg-1_amd64.deb' \
                    zlib1g_1%3a1.2.13.dfsg-1_amd64.deb 86684 MD5Sum:00";
        assert_eq!(
            Archive::parse(line),
            Some(Archive {
                package: "zlib1g".into(),
                version: "1:1.2.13.dfsg-1".into(),
                file: "zlib1g_1%3a1.2.13.dfsg-1_amd64.deb".into(),
            })
        );
        assert_eq!(Archive::parse("NOTE: This is only a simulation!"), None);
    }

    #[test]
    fn a_star_stands_for_any_rest() {
        let archive = Archive {
            package: "gcc-12-base".into(),
            version: "12".into(),
            file: String::new(),
        };
        assert!(archive.is_one_of(&["tar", "gcc-*"]));
        assert!(!archive.is_one_of(&["gcc"]));
    }

    #[test]
    fn another_release_comes_from_where_the_system_gets_its_own() {
        let targets = "sid-tools main http://other/\n\
                       bookworm-updates main http://updates/\n\
                       bookworm contrib http://contrib/\n\
                       bookworm main http://mirror/debian/\n";
        assert_eq!(
            source_in(targets, "bookworm"),
            Some("http://mirror/debian/")
        );
        assert_eq!(source_in(targets, "trixie"), None);
    }
}
