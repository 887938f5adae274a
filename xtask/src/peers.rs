//! `cargo xtask peers`: the real programs that the tests talk to, unpacked
//! from the running Debian's packages without installing anything.
//!
//! Each peer has a root of its own, `<target folder>/peers/NAME`, because mail
//! servers own the same paths. apt works on private lists and a private, empty
//! package status below `peers/apt`: so root is not needed, the system stays
//! untouched, and the roots are the same whatever is installed. Only what every
//! Debian has (libc, perl-base) comes from the system.
//!
//! To run one (ROOT is its folder, ARCH for example `x86_64-linux-gnu`,
//! VERSION for example `5.36`), set `LD_LIBRARY_PATH=ROOT/usr/lib/ARCH` and
//!
//! - `postgrey`: `perl -T -I ROOT/usr/share/perl5 -I ROOT/usr/lib/ARCH/perl5/VERSION
//!   -I ROOT/usr/share/perl/VERSION -I ROOT/usr/lib/ARCH/perl/VERSION
//!   ROOT/usr/sbin/postgrey`. Postgrey runs in taint mode, which ignores
//!   `PERL5LIB`. The last two folders are Perl's own modules, for systems that
//!   have perl-base alone. Its lists are in `ROOT/etc/postgrey`.
//! - `postfix`: `ROOT/usr/sbin/postconf` and so on, with
//!   `LD_LIBRARY_PATH=ROOT/usr/lib/postfix:ROOT/usr/lib/ARCH`. To serve, start
//!   `ROOT/usr/lib/postfix/sbin/master -c ETC -d` as root, as the leader of its
//!   own process group (it ends by killing that). `ETC/master.cf` is
//!   `ROOT/usr/share/postfix/master.cf.dist` without chroot; `ETC/main.cf` needs
//!   `command_directory`, `daemon_directory`, `shlib_directory`,
//!   `queue_directory` with its folders, `data_directory`, `maillog_file`, a
//!   `mail_owner` that is neither root nor nobody, a `setgid_group` that neither
//!   of them has, and `LD_LIBRARY_PATH=...` in `import_environment`, since
//!   master(8) cleans the environment.
//! - `libfaketime`: `LD_PRELOAD=ROOT/usr/lib/ARCH/faketime/libfaketimeMT.so.1`,
//!   without any `LD_LIBRARY_PATH`.
//! - `db-util`: `ROOT/usr/bin/db_dump`, `db_verify`, `db_load`.
//!
//! Source: apt-get(8), apt.conf(5), dpkg-deb(1), postconf(5) `import_environment`.

use std::env::consts::ARCH;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::shell;
use crate::workspace::Workspace;

/// A program, or a few, that share one root.
struct Peer {
    /// The name of its folder; also the package whose version is printed.
    name: &'static str,
    /// What is asked for besides the package `name`.
    also: &'static [&'static str],
    /// What it declares to need but does not when it only runs.
    without: &'static [&'static str],
}

const PEERS: &[Peer] = &[
    Peer {
        name: "postgrey",
        // postgreyreport reads logs with it.
        also: &["libparse-syslog-perl"],
        without: &[],
    },
    Peer {
        name: "postfix",
        also: &[],
        // Only its installation asks questions and makes a certificate.
        without: &["perl", "perl-modules-*", "libperl*", "openssl", "e2fsprogs"],
    },
    Peer {
        name: "libfaketime",
        also: &[],
        without: &[],
    },
    Peer {
        name: "db-util",
        also: &[],
        without: &[],
    },
];

/// What no root gets: the system's own must be used, or only installation
/// scripts call it. A `*` at the end stands for any rest.
const FROM_SYSTEM: &[&str] = &[
    "adduser",
    "cpio",
    "debconf",
    "dpkg",
    "gcc-*",
    "init-system-helpers",
    "libc6",
    "libgcc-s1",
    "libpam*",
    "passwd",
    "perl-base",
    "ssl-cert",
    "tar",
    "ucf",
    "usr-is-merged",
    "usrmerge",
];

/// Fetches and unpacks all peers, unless that is done already, and prints
/// their versions.
///
/// # Errors
/// When this is no Debian, a package is missing, or the network is away.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let peers = workspace.peers();
    let stamp = peers.join("versions");
    let plan = plan()?;
    if !is_fresh(&peers, &stamp, &plan) {
        fetch(&peers, &stamp, &plan)?;
    }
    let text = fs::read_to_string(&stamp)?;
    println!("peers in {}", peers.display());
    for peer in PEERS {
        let version = version_in(&text, peer.name).context("the stamp has no version")?;
        println!("  {:<12} {version}", peer.name);
    }
    Ok(())
}

/// One line that changes when other things should be unpacked.
fn plan() -> Result<String> {
    let release = fs::read_to_string("/etc/os-release").context("/etc/os-release")?;
    let release: Vec<&str> = release
        .lines()
        .filter(|line| line.starts_with("ID=") || line.starts_with("VERSION_ID="))
        .collect();
    let mut plan = format!("plan {} {ARCH}", release.join(" "));
    for peer in PEERS {
        plan.push_str(&format!(
            " {} {:?} {:?}",
            peer.name, peer.also, peer.without
        ));
    }
    plan.push_str(&format!(" {FROM_SYSTEM:?}"));
    Ok(plan)
}

fn is_fresh(peers: &Path, stamp: &Path, plan: &str) -> bool {
    let stamped = fs::read_to_string(stamp).unwrap_or_default();
    stamped.lines().next() == Some(plan) && PEERS.iter().all(|peer| peers.join(peer.name).is_dir())
}

/// The version of `peer` in a stamp, whose lines are `PEER PACKAGE VERSION`.
fn version_in<'a>(stamp: &'a str, peer: &str) -> Option<&'a str> {
    let wanted = format!("{peer} {peer} ");
    stamp.lines().find_map(|line| line.strip_prefix(&wanted))
}

fn fetch(peers: &Path, stamp: &Path, plan: &str) -> Result<()> {
    let apt = Apt::open(peers.join("apt"))?;
    let mut text = format!("{plan}\n");
    let mut closures = Vec::new();
    for peer in PEERS {
        let archives = apt.closure(peer)?;
        for archive in &archives {
            text.push_str(&format!("{} {archive}\n", peer.name));
        }
        closures.push(archives);
    }
    apt.download(closures.iter().flatten())?;
    for (peer, archives) in PEERS.iter().zip(&closures) {
        // Renamed when complete, so that a test never sees half a root.
        let unpacked = peers.join(format!("{}.new", peer.name));
        let root = peers.join(peer.name);
        remove(&unpacked)?;
        make_root(&unpacked)?;
        for archive in archives {
            apt.unpack(archive, &unpacked)?;
        }
        remove(&root)?;
        fs::rename(&unpacked, &root)?;
    }
    fs::write(stamp, text)?;
    remove(&apt.folder)
}

/// An empty root in which, as in an installed Debian, `/lib` is `/usr/lib`:
/// so all libraries are in one folder, however the packages spell it.
fn make_root(root: &Path) -> Result<()> {
    for name in ["bin", "sbin", "lib"] {
        fs::create_dir_all(root.join("usr").join(name))?;
        symlink(Path::new("usr").join(name), root.join(name))?;
    }
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

/// A package file that apt knows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Archive {
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
struct Apt {
    folder: PathBuf,
}

impl Apt {
    /// Fetches the package lists of the system's sources.
    fn open(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(folder.join("state/lists/partial"))?;
        fs::create_dir_all(folder.join("cache/archives/partial"))?;
        fs::write(folder.join("state/status"), "")?;
        let apt = Self { folder };
        for program in ["apt-get", "dpkg-deb"] {
            ensure!(
                shell::answer(Command::new(program).arg("--version"))?.is_some(),
                "{program} is needed: the peers are Debian packages"
            );
        }
        // A foreign source that is away is no reason to stop: what we need is
        // checked when its closure is asked for.
        if let Err(error) = shell::output(apt.get().arg("update")) {
            eprintln!("xtask: {error:#}");
        }
        Ok(apt)
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
            command
                .arg("-o")
                .arg(format!("{option}={}", value.display()));
        }
        command.arg("-qq").env("LC_ALL", "C");
        command
    }

    /// What `peer` needs beyond the system.
    fn closure(&self, peer: &Peer) -> Result<Vec<Archive>> {
        let printed = shell::output(
            self.get()
                .args(["install", "--print-uris", "--yes"])
                .arg("--no-install-recommends")
                .arg(peer.name)
                .args(peer.also),
        )
        .with_context(|| format!("no package for the peer {}", peer.name))?;
        let archives: Vec<Archive> = printed
            .lines()
            .filter_map(Archive::parse)
            .filter(|archive| !archive.is_one_of(FROM_SYSTEM) && !archive.is_one_of(peer.without))
            .collect();
        ensure!(
            archives.iter().any(|archive| archive.package == peer.name),
            "apt-get names no file for {}",
            peer.name
        );
        Ok(archives)
    }

    fn download<'a>(&self, archives: impl Iterator<Item = &'a Archive>) -> Result<()> {
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

    fn unpack(&self, archive: &Archive, root: &Path) -> Result<()> {
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
    fn the_version_of_a_peer_is_that_of_the_package_of_its_name() {
        let stamp = "plan\npostfix libdb5.3 5.3.28\npostfix postfix 3.7.11-0\n";
        assert_eq!(version_in(stamp, "postfix"), Some("3.7.11-0"));
        assert_eq!(version_in(stamp, "postgrey"), None);
    }
}
