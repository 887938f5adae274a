//! The disk below the store of a serving daemon fails: answers go on by policy,
//! nobody whom the store does not concern notices anything, and the daemon is
//! well again without a restart when the disk is.
//!
//! The disk is a file system of its own; root is needed.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use conformance::{
    Asker, Disk, Heard, Plan, Serving, attempt, attempt_from, is_long_run, scratch_folder,
    wait_for, with_neighbour,
};

const DUNNO: &str = "DUNNO";
const KNOWN: &str = "known@sender.example";
const MIB: u64 = 120;

#[test]
fn a_full_disk_and_room_again() -> Result<()> {
    let folder = scratch_folder()?;
    let disk = Disk::new(folder.path(), MIB)?;
    let mut serving = start(folder.path(), &disk, "")?;
    fails_and_recovers(&mut serving, DUNNO, || disk.fill(), || disk.free())?;
    serving.wait_for_log("No space left on device")?;
    assert!(serving.stop()?.success());
    Ok(())
}

#[test]
fn a_full_disk_defers_when_the_policy_says_so() -> Result<()> {
    let folder = scratch_folder()?;
    let disk = Disk::new(folder.path(), MIB)?;
    let mut serving = start(folder.path(), &disk, "on_failure = \"defer\"")?;
    let defer = "DEFER_IF_PERMIT Greylisted, please try again in 60 seconds";
    fails_and_recovers(&mut serving, defer, || disk.fill(), || disk.free())?;
    assert!(serving.stop()?.success());
    Ok(())
}

#[test]
fn a_disk_that_turns_read_only_while_running() -> Result<()> {
    let folder = scratch_folder()?;
    let disk = Disk::new(folder.path(), MIB)?;
    // What such a disk had only been told to write may be lost, as in a power cut.
    let mut serving = start(folder.path(), &disk, "sync = \"always\"")?;
    fails_and_recovers(
        &mut serving,
        DUNNO,
        || disk.break_down(),
        || {
            serving_says_read_only(folder.path())?;
            disk.mend()
        },
    )?;
    assert!(serving.stop()?.success());
    Ok(())
}

#[test]
fn a_disk_that_is_read_only_at_the_start() -> Result<()> {
    let folder = scratch_folder()?;
    let disk = Disk::new(folder.path(), MIB)?;
    let serving = start(folder.path(), &disk, "")?;
    Asker::new(&serving)?.prove(KNOWN)?;
    assert!(serving.stop()?.success());
    disk.make_read_only()?;
    let serving = start(folder.path(), &disk, "")?;
    with_neighbour(serving.endpoint(), || {
        let mut asker = Asker::new(&serving)?;
        asker.until_policy_answers(DUNNO)?;
        serving_says_read_only(folder.path())?;
        disk.make_writable()?;
        asker.until_well()?;
        asker.is_known(KNOWN)?;
        asker.nobody_is_forgotten()
    })?;
    assert!(serving.stop()?.success());
    Ok(())
}

/// While the disk is frozen no write and no sync returns. Attempts that were
/// inside a write wait with it, at most one less than the daemon has threads;
/// everybody else is answered.
#[test]
fn a_disk_that_does_not_answer() -> Result<()> {
    for sync in ["interval", "always"] {
        let folder = scratch_folder()?;
        let disk = Disk::new(folder.path(), MIB)?;
        let mut serving = start(folder.path(), &disk, &format!("sync = \"{sync}\""))?;
        Asker::new(&serving)?.prove(KNOWN)?;
        let stuck = with_neighbour(serving.endpoint(), || {
            let frozen = disk.freeze()?;
            let begun = Instant::now();
            let stuck = inside_when_it_froze(&serving)?;
            let mut asker = Asker::new(&serving)?;
            asker.until_policy_answers(DUNNO)?;
            serving.wait_for_log("because the disk does not answer")?;
            if is_long_run() {
                while begun.elapsed() < Duration::from_secs(60) {
                    let judged = asker.newcomer()?;
                    ensure!(judged.reason == "store-down", "{judged:?}");
                    thread::sleep(Duration::from_millis(100));
                }
            }
            drop(frozen);
            asker.until_well()?;
            asker.is_known(KNOWN)?;
            Ok(stuck)
        })?;
        for mut client in stuck {
            let heard = client.hear(Duration::from_secs(20))?;
            assert!(matches!(heard, Heard::Answer(_)), "{heard:?}");
        }
        assert!(serving.daemon().is_running()?);
        assert!(serving.stop()?.success());
    }
    Ok(())
}

/// Of many who ask just then, those wait with the disk whose threads it holds up, and no others.
#[test]
fn a_disk_that_stops_answering_under_load() -> Result<()> {
    let folder = scratch_folder()?;
    let disk = Disk::new(folder.path(), MIB)?;
    let serving = start(folder.path(), &disk, "")?;
    let frozen_at = OnceLock::new();
    let (asked, frozen_since) = (&serving, &frozen_at);
    let stuck = thread::scope(|scope| {
        let clients: Vec<_> = (0..CROWD)
            .map(|nth| scope.spawn(move || ask_until_frozen(asked, nth, frozen_since)))
            .collect();
        thread::sleep(Duration::from_secs(1));
        let frozen = disk.freeze();
        // Also when that failed: the clients end by it.
        frozen_at.set(Instant::now()).expect("it is set here alone");
        let answered = clients.into_iter().map(|client| client.join());
        let answered = answered.map(|client| client.expect("it does not panic"));
        let answered: Vec<bool> = answered.collect::<Result<_>>()?;
        drop(frozen?);
        Ok::<_, anyhow::Error>(answered.iter().filter(|answered| !**answered).count())
    })?;
    println!("{stuck} of {CROWD} waited with the disk");
    // A worker more than there are cores may be inside, and each may hold up what it woke last.
    let workers = thread::available_parallelism()?.get() + 2;
    ensure!(
        stuck <= 2 * workers,
        "{stuck} of {CROWD} waited with the disk"
    );
    Asker::new(&serving)?.until_well()
}

const CROWD: usize = 64;

/// Asks for newcomers one after the other until some seconds after the disk has stopped; says whether
/// all was answered in time.
fn ask_until_frozen(serving: &Serving, nth: usize, frozen_at: &OnceLock<Instant>) -> Result<bool> {
    let mut client = serving.connect()?;
    for count in 0.. {
        let from = format!("10.{nth}.{}.9", count % 256);
        let sender = format!("crowd{count}@sender.example");
        client.send(&attempt_from(&from, &sender).bytes())?;
        match client.hear(Duration::from_secs(15))? {
            Heard::Answer(_) => {}
            Heard::Silence => return Ok(false),
            closed => anyhow::bail!("{closed:?}"),
        }
        if frozen_at
            .get()
            .is_some_and(|at| at.elapsed() > Duration::from_secs(8))
        {
            return Ok(true);
        }
    }
    unreachable!("the disk stops at some time")
}

/// The kernel does not let a process go while one of its threads waits for such
/// a disk; but all that the daemon can do has been done.
#[test]
fn the_daemon_ends_though_the_disk_does_not_answer() -> Result<()> {
    let folder = scratch_folder()?;
    let disk = Disk::new(folder.path(), MIB)?;
    let mut serving = start(folder.path(), &disk, "")?;
    Asker::new(&serving)?.prove(KNOWN)?;
    let pid = serving.daemon().pid();
    let frozen = disk.freeze()?;
    drop(inside_when_it_froze(&serving)?);
    conformance::terminate(pid)?;
    serving.wait_for_log("the store could not be closed: the disk does not answer")?;
    let status = format!("/proc/{pid}/status");
    wait_for(
        "the end of its main thread",
        Duration::from_secs(60),
        || {
            let text = fs::read_to_string(&status).context("its status")?;
            Ok(text.contains("\nState:\tZ"))
        },
    )?;
    drop(frozen);
    let restarted = start(folder.path(), &disk, "")?;
    let mut asker = Asker::new(&restarted)?;
    asker.until_well()?;
    asker.is_known(KNOWN)?;
    Ok(())
}

/// The store under a serving daemon fails by `break_it` and is well again
/// after `mend_it`.
fn fails_and_recovers(
    serving: &mut Serving,
    policy: &str,
    break_it: impl FnOnce() -> Result<()>,
    mend_it: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let running: &Serving = serving;
    with_neighbour(running.endpoint(), || {
        let mut asker = Asker::new(running)?;
        asker.prove(KNOWN)?;
        break_it()?;
        asker.until_policy_answers(policy)?;
        mend_it()?;
        asker.until_well()?;
        asker.is_known(KNOWN)?;
        asker.nobody_is_forgotten()
    })?;
    ensure!(serving.daemon().is_running()?, "it has ended");
    Ok(())
}

/// Asks on connection after connection until one is answered, and gives those
/// that were not: they wait with the disk.
fn inside_when_it_froze(serving: &Serving) -> Result<Vec<conformance::PolicyClient>> {
    let threads = thread::available_parallelism()?.get() + 2;
    let mut stuck = Vec::new();
    for nth in 0..threads {
        let mut client = serving.connect()?;
        client.send(&attempt(&format!("stuck{nth}@sender.example")).bytes())?;
        match client.hear(Duration::from_secs(2))? {
            Heard::Silence => stuck.push(client),
            Heard::Answer(answer) => {
                assert_eq!(answer, b"action=DUNNO\n\n");
                return Ok(stuck);
            }
            closed => anyhow::bail!("{closed:?}"),
        }
    }
    anyhow::bail!("{threads} connections were not answered")
}

fn serving_says_read_only(folder: &Path) -> Result<()> {
    wait_for("its line of log", Duration::from_secs(20), || {
        let log = fs::read_to_string(folder.join("stderr"))?;
        Ok(log.contains("the store is down: Read-only file system"))
    })
}

fn start(folder: &Path, disk: &Disk, storing: &str) -> Result<Serving> {
    Serving::start(&Plan {
        greylist: "exempt_clients_after = 0",
        storing,
        ..Plan::new(folder, &disk.store())
    })
}
