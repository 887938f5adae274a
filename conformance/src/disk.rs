//! A small disk that a test can fill, freeze, take away the writing of, and
//! mend: an ext4 file system in a file.
//!
//! It is mounted where only the thread that made it, and what that thread
//! starts, can see it; the system unmounts it when they are gone. Root is
//! needed.
//! Source: mount_namespaces(7), mount(8), fsfreeze(8).

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::process::wait_for;

/// A mounted disk; unmounted when dropped.
pub struct Disk {
    image: PathBuf,
    folder: PathBuf,
}

/// A disk on which every write and every sync waits, until this is dropped or
/// the test process ends in whatever way.
pub struct Frozen {
    thawing: Child,
}

/// Gives the calling thread, and what it starts, a `/dev` of its own below
/// `folder`, with the few devices that programs need and no `log`.
///
/// # Errors
/// When this user may not mount.
pub fn private_dev(folder: &Path) -> Result<()> {
    see_mounts_alone()?;
    let dev = folder.join("dev");
    fs::create_dir(&dev)?;
    mount(
        Some("none"),
        &dev,
        Some("tmpfs"),
        MsFlags::empty(),
        None::<&str>,
    )?;
    for name in ["null", "zero", "random", "urandom", "shm"] {
        let (from, to) = (Path::new("/dev").join(name), dev.join(name));
        if from.is_dir() {
            fs::create_dir(&to)?;
        } else {
            fs::write(&to, "")?;
        }
        mount(
            Some(&from),
            &to,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )?;
    }
    mount(
        Some(&dev),
        "/dev",
        None::<&str>,
        MsFlags::MS_MOVE,
        None::<&str>,
    )?;
    Ok(())
}

/// Mounts that this thread makes from now on are seen by it and its children
/// alone.
fn see_mounts_alone() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("only root can have a disk to break")?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    Ok(mount(
        None::<&str>,
        "/",
        None::<&str>,
        private,
        None::<&str>,
    )?)
}

/// Until nobody has a file of the disk open any more.
const UNMOUNT_MAX: Duration = Duration::from_secs(30);

impl Disk {
    /// Makes a disk of `mib` MiB in `folder`, at `folder/disk`. A store needs
    /// 70 at least.
    ///
    /// # Errors
    /// When this user may not mount, or the system has no loop devices.
    pub fn new(folder: &Path, mib: u64) -> Result<Self> {
        see_mounts_alone()?;
        let disk = Self {
            image: folder.join("disk.image"),
            folder: folder.join("disk"),
        };
        // In the place of the store is a file while nothing is mounted: it must
        // not be begun anew where it does not belong.
        fs::create_dir(&disk.folder)?;
        fs::write(disk.store(), "")?;
        File::create(&disk.image)?.set_len(mib << 20)?;
        run(system("mkfs.ext4")
            .args(["-q", "-F", "-m", "0", "-E", "lazy_itable_init=0"])
            .arg(&disk.image))?;
        disk.mount("rw")?;
        Ok(disk)
    }

    /// Where a store can be.
    pub fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    /// Writes until nothing fits any more.
    ///
    /// # Errors
    /// When the disk fails in another way.
    pub fn fill(&self) -> Result<()> {
        let mut filler = File::create(self.filler())?;
        for size in [1 << 20, 4 << 10, 1] {
            let chunk = vec![b'x'; size];
            loop {
                match filler.write(&chunk) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error).context("cannot fill the disk"),
                }
            }
        }
        Ok(())
    }

    /// Makes room again.
    ///
    /// # Errors
    /// When it was not filled.
    pub fn free(&self) -> Result<()> {
        Ok(fs::remove_file(self.filler())?)
    }

    /// Lets every write and every sync wait.
    ///
    /// # Errors
    /// When the disk cannot be frozen.
    pub fn freeze(&self) -> Result<Frozen> {
        // Its standard input closes with us, so nothing stays frozen for ever.
        let script = "fsfreeze -f \"$1\" && echo frozen; read -r never; fsfreeze -u \"$1\"";
        let mut thawing = system("sh")
            .args(["-c", script, "sh"])
            .arg(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let said = thawing.stdout.take().context("it is piped")?;
        BufReader::new(said).read_line(&mut line)?;
        let frozen = Frozen { thawing };
        ensure!(line == "frozen\n", "the disk cannot be frozen");
        Ok(frozen)
    }

    /// Makes ext4 find an error, upon which it writes nothing any more, as
    /// with a disk that fails. Only [`Self::mend`] helps.
    /// Source: ext4(5), `errors=remount-ro`; Linux `fs/ext4/sysfs.c`,
    /// `trigger_fs_error`.
    ///
    /// # Errors
    /// When the system does not offer that.
    pub fn break_down(&self) -> Result<()> {
        let mounts = fs::read_to_string("/proc/thread-self/mounts")?;
        let place = format!(" {} ", self.folder.display());
        let device = mounts
            .lines()
            .find(|line| line.contains(&place))
            .and_then(|line| line.split(' ').next()?.strip_prefix("/dev/"))
            .context("the disk is not mounted")?;
        let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
        fs::write(&trigger, "a test").with_context(|| format!("cannot write {trigger}"))
    }

    /// Unmounts the disk, as soon as nobody uses it, and mounts it again.
    ///
    /// # Errors
    /// When somebody goes on using it.
    pub fn mend(&self) -> Result<()> {
        wait_for("the end of all use of the disk", UNMOUNT_MAX, || {
            self.unmount()
        })?;
        self.mount("rw")
    }

    /// Lets nothing be written; only while nothing is open for writing.
    ///
    /// # Errors
    /// When something is.
    pub fn make_read_only(&self) -> Result<()> {
        self.remount("ro")
    }

    /// Lets everything be written again.
    ///
    /// # Errors
    /// When the disk is not mounted.
    pub fn make_writable(&self) -> Result<()> {
        self.remount("rw")
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }

    fn mount(&self, how: &str) -> Result<()> {
        let options = format!("loop,errors=remount-ro,{how}");
        run(system("mount")
            .args(["-t", "ext4", "-o", &options])
            .args([&self.image, &self.folder]))
    }

    fn remount(&self, how: &str) -> Result<()> {
        let options = format!("remount,{how}");
        run(system("mount").args(["-o", &options]).arg(&self.folder))
    }

    /// False while somebody uses it.
    fn unmount(&self) -> Result<bool> {
        let done = system("umount").arg(&self.folder).output()?;
        Ok(done.status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Who still uses it keeps it until the end.
        drop(system("umount").arg("-l").arg(&self.folder).output());
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(self.thawing.stdin.take());
        drop(self.thawing.wait());
    }
}

/// A program of the administrator, wherever the system has it.
fn system(program: &str) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

fn run(command: &mut Command) -> Result<()> {
    let done = command
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("{} failed: {said}", command.get_program().display());
    }
    Ok(())
}
