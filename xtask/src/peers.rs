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
//! - `sendmail`, `milter-greylist`: see `conformance/src/sendmail.rs` and
//!   `milter_greylist.rs`. The second is of another release than the system may
//!   be, so its root has a libc of its own.
//! - `exim4-daemon-light`, `greylistd`: see `conformance/src/exim.rs`.
//! - `opensmtpd`: see `conformance/src/opensmtpd.rs`.
//! - `miltertest`, `zstd`: `ROOT/usr/bin/miltertest`, `ROOT/usr/bin/zstd`.
//! - `chromium-headless-shell`: see `conformance/src/browser.rs`.
//!
//! `python3` runs those that are no Debian packages: see `registries.rs`.
//!
//! Source: postconf(5) `import_environment`.

mod apt;
mod registries;

use std::env::consts::ARCH;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use apt::{Apt, FROM_SYSTEM};

/// A program, or a few, that share one root.
struct Peer {
    /// The name of its folder; also the package whose version is printed.
    name: &'static str,
    /// What is asked for besides the package `name`.
    also: &'static [&'static str],
    /// What it declares to need but does not when it only runs.
    without: &'static [&'static str],
    /// The release that it is taken from, then with a libc of its own; none
    /// for the running one.
    release: Option<&'static str>,
}

/// What only Debian's ways of setting up and starting a program need.
const SET_UP: &[&str] = &[
    "cron",
    "cron-daemon-common",
    "libaudit*",
    "libfile-find-rule-perl",
    "libnumber-compare-perl",
    "libperl*",
    "libsemanage*",
    "libsepol*",
    "libtext-glob-perl",
    "lsb-base",
    "perl",
    "perl-modules-*",
    "sensible-utils",
    "sysvinit-utils",
];

const PEERS: &[Peer] = &[
    Peer {
        name: "postgrey",
        // postgreyreport reads logs with it.
        also: &["libparse-syslog-perl"],
        without: &[],
        release: None,
    },
    Peer {
        name: "postfix",
        also: &[],
        // Only its installation asks questions and makes a certificate.
        without: &["perl", "perl-modules-*", "libperl*", "openssl", "e2fsprogs"],
        release: None,
    },
    Peer {
        name: "libfaketime",
        also: &[],
        without: &[],
        release: None,
    },
    Peer {
        name: "db-util",
        also: &[],
        without: &[],
        release: None,
    },
    Peer {
        name: "sendmail",
        // AUTH, and the program that adds a user to its database.
        also: &["m4", "libsasl2-modules", "sasl2-bin"],
        // Debian's scripts around it.
        without: &[
            "cron",
            "libfile-find-rule-perl",
            "libnumber-compare-perl",
            "libperl*",
            "libtext-glob-perl",
            "lsb-base",
            "make",
            "netbase",
            "perl",
            "perl-modules-*",
            "procps",
            "sysvinit-utils",
        ],
        release: None,
    },
    Peer {
        name: "exim4-daemon-light",
        also: &[],
        without: SET_UP,
        release: None,
    },
    Peer {
        name: "greylistd",
        also: &[],
        without: SET_UP,
        release: None,
    },
    Peer {
        name: "opensmtpd",
        also: &[],
        // Its installation, and what adds its users.
        without: &[
            "ed",
            "libacl1",
            "libbz2-1.0",
            "libfile-find-rule-perl",
            "libgdbm*",
            "liblzma5",
            "libmd0",
            "libnumber-compare-perl",
            "libpcre2-8-0",
            "libperl*",
            "libselinux1",
            "libsemanage*",
            "libsepol*",
            "libtext-glob-perl",
            "libzstd1",
            "lsb-base",
            "perl",
            "perl-modules-*",
            "sysvinit-utils",
        ],
        release: None,
    },
    Peer {
        name: "miltertest",
        also: &[],
        without: &[],
        release: None,
    },
    Peer {
        name: "chromium-headless-shell",
        also: &[],
        // It draws by processor and starts nothing.
        without: &[
            "libdrm-*",
            "libedit2",
            "libelf1",
            "libfontenc1",
            "libgl1",
            "libgl1-mesa-dri",
            "libglvnd0",
            "libglx*",
            "libice6",
            "libicu*",
            "libllvm*",
            "libpciaccess0",
            "libsensors*",
            "libsm6",
            "libxaw7",
            "libxft2",
            "libxinerama1",
            "libxkbfile1",
            "libxml2",
            "libxmu*",
            "libxt6",
            "libxtst6",
            "libxv1",
            "libxxf86*",
            "libz3-4",
            "lsb-base",
            "sysvinit-utils",
            "x11-*",
            "xdg-utils",
        ],
        release: None,
    },
    Peer {
        name: "zstd",
        also: &[],
        without: &[],
        release: None,
    },
    Peer {
        name: "milter-greylist",
        also: &[],
        without: &[
            "base-passwd",
            "libaudit*",
            "libdebconfclient0",
            "libselinux1",
            "libsemanage*",
            "libsepol*",
            "login.defs",
            "openssl-provider-legacy",
        ],
        // Debian 12 has none.
        release: Some("trixie"),
    },
    Peer {
        name: "python3",
        also: &["python3-pip"],
        // Of dpkg, and what the system has to have for Rust.
        without: &[
            "ca-certificates",
            "libacl1",
            "libmd0",
            "libpcre2-8-0",
            "libselinux1",
            "openssl",
            "openssl-provider-legacy",
        ],
        // One version for all systems, since wheels are built for one.
        release: Some("trixie"),
    },
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
        println!("  {:<18} {version}", peer.name);
    }
    let python = version_in(&text, "python3").context("the stamp has no version")?;
    registries::run(&peers, python)
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
            " {} {:?} {:?} {:?}",
            peer.name, peer.also, peer.without, peer.release
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
    let mut text = format!("{plan}\n");
    let own = Apt::open(peers.join("apt"))?;
    let mut releases: Vec<_> = PEERS.iter().map(|peer| peer.release).collect();
    releases.dedup();
    for release in releases {
        let other = release.map(|name| own.open_release(name)).transpose()?;
        let of_it = PEERS.iter().filter(|peer| peer.release == release);
        let apt = other.as_ref().unwrap_or(&own);
        text.push_str(&fetch_from(apt, peers, &of_it.collect::<Vec<_>>())?);
    }
    fs::write(stamp, text)?;
    remove(&peers.join("apt"))
}

/// Fetches and unpacks these peers, and gives their lines of the stamp.
fn fetch_from(apt: &Apt, folder: &Path, peers: &[&Peer]) -> Result<String> {
    let mut text = String::new();
    let mut closures = Vec::new();
    for peer in peers {
        let archives = apt.closure(peer)?;
        for archive in &archives {
            text.push_str(&format!("{} {archive}\n", peer.name));
        }
        closures.push(archives);
    }
    apt.download(closures.iter().flatten())?;
    for (peer, archives) in peers.iter().zip(&closures) {
        // Renamed when complete, so that a test never sees half a root.
        let unpacked = folder.join(format!("{}.new", peer.name));
        let root = folder.join(peer.name);
        remove(&unpacked)?;
        make_root(&unpacked)?;
        for archive in archives {
            apt.unpack(archive, &unpacked)?;
        }
        remove(&root)?;
        fs::rename(&unpacked, &root)?;
    }
    Ok(text)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_a_peer_is_that_of_the_package_of_its_name() {
        let stamp = "plan\npostfix libdb5.3 5.3.28\npostfix postfix 3.7.11-0\n";
        assert_eq!(version_in(stamp, "postfix"), Some("3.7.11-0"));
        assert_eq!(version_in(stamp, "postgrey"), None);
    }
}
