//! Starting, watching and ending child programs.
//!
//! Only processes that were started here are ever signalled, by their own id.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// How long a program may take to end after TERM.
const STOP_MAX: Duration = Duration::from_secs(15);

/// How long a mail server may take to listen.
const LISTEN_MAX: Duration = Duration::from_secs(30);

/// A running child whose standard error goes to a file; killed when dropped.
pub struct Daemon {
    child: Child,
    stderr: PathBuf,
}

impl Daemon {
    /// Starts `command` with its standard error appended to the file `stderr`.
    ///
    /// # Errors
    /// When the program or the file cannot be opened.
    pub fn start(mut command: Command, stderr: &Path) -> Result<Self> {
        let log = File::options().create(true).append(true).open(stderr)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // A group of its own, so that a Ctrl-C at the test run does not
            // reach it before the test ends it.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self {
            child,
            stderr: stderr.to_owned(),
        })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// False once the program has ended.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits until somebody listens at `port` of 127.0.0.1.
    ///
    /// # Errors
    /// When the program ends, or 30 s have passed.
    pub(crate) fn wait_for_port(&mut self, port: u16) -> Result<()> {
        self.wait_for_address((Ipv4Addr::LOCALHOST, port).into())
    }

    /// Waits until somebody listens there.
    ///
    /// # Errors
    /// As [`Self::wait_for_port`].
    pub(crate) fn wait_for_address(&mut self, address: SocketAddr) -> Result<()> {
        wait_for("its port", LISTEN_MAX, || {
            ensure!(self.is_running()?, "it ended");
            Ok(TcpStream::connect(address).is_ok())
        })
    }

    /// All that the program has written to standard error so far.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn stderr(&self) -> Result<Vec<u8>> {
        fs::read(&self.stderr).with_context(|| format!("cannot read {}", self.stderr.display()))
    }

    /// What the program has written to standard error after the first `offset`
    /// bytes.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn stderr_after(&self, offset: usize) -> Result<Vec<u8>> {
        let mut file = File::open(&self.stderr)?;
        file.seek(SeekFrom::Start(u64::try_from(offset)?))?;
        let mut rest = Vec::new();
        file.read_to_end(&mut rest)?;
        Ok(rest)
    }

    /// How many bytes the program has written to standard error so far.
    ///
    /// # Errors
    /// When the file is gone.
    pub(crate) fn stderr_length(&self) -> Result<usize> {
        Ok(usize::try_from(fs::metadata(&self.stderr)?.len())?)
    }

    /// Sends TERM and waits for the end.
    ///
    /// # Errors
    /// When the program has not ended within 15 s; it is killed then.
    pub fn terminate(mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + STOP_MAX;
        while Instant::now() < deadline {
            // It may have ended since it was last looked at.
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            self.signal(Signal::SIGTERM)?;
            // Perl can miss a signal that comes just before it begins to wait;
            // then it sleeps until the next one.
            let again = Instant::now() + Duration::from_millis(500);
            while Instant::now() < again {
                if let Some(status) = self.child.try_wait()? {
                    return Ok(status);
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
        bail!("it did not end within {STOP_MAX:?} of TERM")
    }

    /// Sends HUP.
    ///
    /// # Errors
    /// When the program has ended already.
    pub fn hang_up(&mut self) -> Result<()> {
        self.signal(Signal::SIGHUP)
    }

    /// Stops the program where it is, as one that hangs, or lets it go on.
    ///
    /// # Errors
    /// When the program has ended already.
    pub fn hang(&mut self, hangs: bool) -> Result<()> {
        self.signal(if hangs {
            Signal::SIGSTOP
        } else {
            Signal::SIGCONT
        })
    }

    fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!(
                "it has ended already, {status}: {}",
                String::from_utf8_lossy(&self.stderr()?)
            );
        }
        send(self.child.id(), signal)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only when the child has ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
        forget_fake_clock(self.child.id());
    }
}

/// Removes what libfaketime leaves behind for a process that does not end by
/// itself: a later process with the same number would stumble over it.
fn forget_fake_clock(pid: u32) {
    for name in [
        format!("faketime_shm_{pid}"),
        format!("sem.faketime_sem_{pid}"),
    ] {
        // Most programs have none.
        drop(fs::remove_file(Path::new("/dev/shm").join(name)));
    }
}

/// Sends TERM to the process `pid`, a daemon that a test has started. It is no
/// error when it is gone.
///
/// # Errors
/// When this user may not.
pub fn terminate(pid: u32) -> Result<()> {
    if Path::new("/proc").join(pid.to_string()).exists() {
        send(pid, Signal::SIGTERM)?;
    }
    Ok(())
}

/// Sends HUP to the process `pid`, a daemon that a test has started.
///
/// # Errors
/// When it is gone.
pub fn hang_up(pid: u32) -> Result<()> {
    send(pid, Signal::SIGHUP)
}

fn send(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).context("a process id is small")?;
    kill(Pid::from_raw(pid), signal).context("cannot signal the process")
}

/// Lets this process have `files` files open.
///
/// # Errors
/// When the system does not allow that.
pub fn raise_file_limit(files: u64) -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < files {
        setrlimit(Resource::RLIMIT_NOFILE, files, hard.max(files))
            .with_context(|| format!("no {files} open files are allowed, but {hard}"))?;
    }
    Ok(())
}

/// A TCP port of 127.0.0.1 that was free a moment ago, and that this process
/// has not been given before.
///
/// It lies below the ports that the system gives to outgoing connections:
/// one of those could be the source of some connection, or be given twice.
/// Source: ip(7), `ip_local_port_range`.
///
/// # Errors
/// When the system has none.
pub fn free_port() -> Result<u16> {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let ports = u32::from(PORTS.end - PORTS.start);
    for _ in 0..ports {
        // Test processes that follow one another begin at different places.
        let nth = process::id()
            .wrapping_mul(37)
            .wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + u16::try_from(nth % ports)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port of {PORTS:?} is free")
}

const PORTS: Range<u16> = 12_000..32_000;

/// A folder that is removed when dropped; in memory where the system has such
/// a place, because Postgrey waits for the disk at each request.
///
/// # Errors
/// When it cannot be made.
pub fn scratch_folder() -> Result<TempDir> {
    let memory = Path::new("/dev/shm");
    let mut builder = tempfile::Builder::new();
    builder.prefix("greylatch-");
    Ok(if memory.is_dir() {
        builder.tempdir_in(memory)?
    } else {
        builder.tempdir()?
    })
}

/// Asks `is_there` every few milliseconds until it says yes.
///
/// # Errors
/// When `limit` has passed; the text says what was missing.
pub fn wait_for(
    what: &str,
    limit: Duration,
    mut is_there: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !is_there()? {
        if Instant::now() > deadline {
            bail!("{what} did not come within {limit:?}");
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Resident memory of the process `pid`, in KiB.
///
/// # Errors
/// When the process is gone.
pub fn resident_kib(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS in its status")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
