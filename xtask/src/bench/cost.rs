//! What a process has used: CPU time, memory, and the disk below a folder.
//!
//! Source: proc(5), `/proc/[pid]/stat`, `/proc/[pid]/status`; Linux
//! Documentation/scheduler/sched-stats.rst, "/proc/<pid>/schedstat".

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

/// The CPU time of all threads of a process, those that ended included.
///
/// # Errors
/// When the process is gone.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the server is gone")?;
    let by_ticks = ticks(&stat).context("/proc/PID/stat has no times")? * TICK;
    // A thread may end while we look.
    let by_threads: u64 = fs::read_dir(format!("/proc/{pid}/task"))
        .context("the server is gone")?
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum();
    // Ticks are cut off, threads that ended are left out: both at most the truth.
    Ok(by_ticks.max(Duration::from_nanos(by_threads)))
}

/// The unit of times in `/proc/[pid]/stat`: USER_HZ is 100 on Linux.
const TICK: Duration = Duration::from_millis(10);

/// utime + stime: fields 14 and 15, of which 13 and more stand behind the
/// name in parentheses, which may hold blanks.
fn ticks(stat: &str) -> Option<u32> {
    let (_, behind_name) = stat.rsplit_once(") ")?;
    let mut fields = behind_name.split(' ').skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Resident memory of a process, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Now, VmRSS.
    pub(crate) resident: u64,
    /// At most so far, VmHWM.
    pub(crate) peak: u64,
}

/// The resident memory of a process.
///
/// # Errors
/// When the process is gone.
pub(crate) fn memory(pid: u32) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the server is gone")?;
    memory_in(&status).context("/proc/PID/status has no VmRSS and VmHWM")
}

fn memory_in(status: &str) -> Option<Memory> {
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1_024)
    };
    Some(Memory {
        resident: bytes("VmRSS:")?,
        peak: bytes("VmHWM:")?,
    })
}

/// The bytes that all files below `folder` take on disk, as du(1) counts.
///
/// # Errors
/// When the folder cannot be read; files that vanish meanwhile do not count.
pub(crate) fn disk(folder: &Path) -> Result<u64> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut bytes = 0;
    for entry in entries.flatten() {
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        bytes += if metadata.is_dir() {
            disk(&entry.path())?
        } else {
            metadata.blocks() * BLOCK
        };
    }
    Ok(bytes)
}

/// The unit of `st_blocks`. Source: stat(2), `struct stat`.
const BLOCK: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_a_process_stand_behind_its_name_whatever_that_is() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 35 12 0 0 20 0 1 0 100 0 0";
        assert_eq!(ticks(stat), Some(47));
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\tx\nVmPeak:\t  999 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(
            memory_in(status),
            Some(Memory {
                resident: 1 << 20,
                peak: 2 << 20
            })
        );
    }

    #[test]
    fn our_own_cpu_time_grows_when_we_compute() {
        let before = cpu(std::process::id()).expect("we run");
        let mut sum = 0_u64;
        while cpu(std::process::id()).expect("we run") < before + 3 * TICK {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(sum > 0);
    }
}
