//! Start: everything that needs root or may fail is done here, in order, before the first
//! connection is accepted. The composition root of the daemon.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process;

use greylatch_rules::Source;
use greylatch_wording::POSTGREY_END;
use nix::sys::signal::kill;
use nix::sys::stat::{Mode, umask};
use nix::unistd::Pid;

use crate::config::{Config, ConfigError, Endpoint, Listener};
use crate::daemon::{self, Prepared, Signals};
use crate::identity::{Owner, OwnerError, raise_file_limit};
use crate::listen::{self, Bound, ListenError, Sockets};
use crate::lists::ListFiles;
use crate::log::{LogQueue, Severity, diagnostics};
use crate::observe::complaint;
use crate::paths::{control_path, store_directory};
use crate::privacy::{self, PrivacyError};
use crate::watched::Watched;
use crate::web::{self, WebError};

/// What to run.
pub struct Launch {
    /// The configuration.
    pub config: Config,
    /// The file it came from, read again on reload.
    pub config_path: Option<PathBuf>,
    /// Whose name we answer to, when it is not our own.
    pub personality: Option<Personality>,
    /// A file to write our process number into.
    pub pidfile: Option<PathBuf>,
    /// Called once we listen.
    pub ready: Option<Box<dyn FnOnce() + Send>>,
    /// How the log is to tell why we do not start; `None` when the caller's word is enough.
    pub last_words: Option<fn(&StartError) -> String>,
}

/// Whose name we answer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Personality {
    /// Postgrey: its lock is held, and its database taken over at the first start.
    Postgrey {
        /// The directory of its database.
        dbdir: PathBuf,
    },
    /// milter-greylist: its dump file is read and written. The rest its configuration says, again at
    /// each reload.
    MilterGreylist {
        /// The dump file.
        dumpfile: PathBuf,
    },
}

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error("{0}")]
    Configuration(#[from] ConfigError),
    /// A user or group is not there, or may not be become.
    #[error("cannot become the user of the daemon")]
    Owner(#[from] OwnerError),
    /// A socket cannot be made.
    #[error("cannot start")]
    Listen(#[from] ListenError),
    /// The store's directory cannot be made.
    #[error("cannot make the directory {}; make it, or name another in store.url", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Postgrey's lock file cannot be opened.
    #[error("cannot open the lock file {}", .path.display())]
    LockMissing {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A Postgrey, or one of us in its place, is running.
    #[error("{} is locked: another server uses this directory; stop it first", .path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A server with this pidfile is running.
    #[error("a server with this pidfile is running as process {pid}")]
    PidfileInUse {
        /// Its process number.
        pid: i32,
    },
    /// The pidfile cannot be written.
    #[error("cannot write the pidfile {}", .path.display())]
    Pidfile {
        /// The pidfile.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The keys of the store cannot be made, or are others than before.
    #[error("cannot start")]
    Privacy(#[from] PrivacyError),
    /// HTTP cannot be spoken as it should be.
    #[error("cannot start")]
    Web(#[from] WebError),
    /// `store.url` names no store that there is.
    #[error("store.url = \"{url}\" names no store; write \"embedded:DIRECTORY\" or \"memory:\"")]
    StoreUrl {
        /// The text.
        url: String,
    },
    /// The system gives us no threads.
    #[error("cannot start the threads of the daemon")]
    Threads(#[from] io::Error),
}

/// Runs until a signal ends it.
///
/// # Errors
/// [`StartError`] when it cannot start; once it runs it ends only by a signal.
pub fn run(launch: Launch) -> Result<(), StartError> {
    let (queue, writer) = LogQueue::start(&launch.config.log)?;
    diagnostics::install(&queue);
    let last_words = launch.last_words;
    let ended = prepare_and_run(launch, queue.clone());
    if let (Err(error), Some(last_words)) = (&ended, last_words) {
        let line = [POSTGREY_END, last_words(error).as_bytes()].concat();
        queue.put(Severity::CRITICAL, &line);
    }
    writer.finish();
    ended
}

fn prepare_and_run(launch: Launch, log: LogQueue) -> Result<(), StartError> {
    let Launch {
        mut config,
        config_path,
        personality,
        pidfile,
        ready,
        last_words: _,
    } = launch;
    let owner = Owner::of(&config.process)?;
    // What we store tells who writes to whom: nobody else's business.
    umask(Mode::from_bits_truncate(0o077));
    if let Some(path) = &pidfile {
        refuse_running(path)?;
        if path.exists() {
            let text = format!(
                "Pid_file \"{}\" already exists.  Overwriting!",
                path.display()
            );
            let line = [complaint(&config.log), text.as_bytes()].concat();
            log.put(Severity::WARNING, &line);
        }
    }
    let lock = match &personality {
        Some(Personality::Postgrey { dbdir }) => Some(lock(&dbdir.join("postgrey.lock"), &owner)?),
        Some(Personality::MilterGreylist { .. }) | None => None,
    };
    let watched = Watched::new(&config);
    let mut lists = ListFiles::default();
    let origin = source(config_path.as_deref());
    let (rulebook, mut remarks) = lists.rulebook(&config, &origin);
    prepare_directories(&config, &owner)?;
    let keying = privacy::keying(&config, &owner)?;
    fit_connections(&mut config.listen.connections_max);
    let signals = Signals::catch()?;
    let sockets = bind_all(&config)?;
    let http = web::open(&config, &sockets.http, &mut remarks)?;
    let control = bind_control(&config, &owner)?;
    let pidfile = pidfile
        .map(|path| Pidfile::write(path, &owner))
        .transpose()?;
    owner.become_it()?;
    let prepared = Prepared {
        config,
        config_path,
        personality,
        keying,
        watched,
        lists,
        rulebook,
        remarks,
        sockets,
        http,
        control,
        signals,
        ready,
        log,
    };
    let ended = daemon::run(prepared);
    drop(pidfile);
    drop(lock);
    ended
}

/// Makes room for the files of all connections, or allows only as many as there is room for: the
/// store must not run out of files because many connect.
fn fit_connections(connections_max: &mut u32) {
    let files = raise_file_limit(u64::from(*connections_max) + FILES_BESIDE_CONNECTIONS);
    let fitting = connections_within(files);
    if fitting < *connections_max {
        tracing::warn!(
            "only {fitting} connections at once, because only {files} open files are allowed"
        );
        *connections_max = fitting;
    }
}

fn connections_within(files: u64) -> u32 {
    let fitting = files
        .saturating_sub(FILES_BESIDE_CONNECTIONS)
        .max(files / 2);
    u32::try_from(fitting).unwrap_or(u32::MAX)
}

/// Files that the store, the log and the lists need open.
const FILES_BESIDE_CONNECTIONS: u64 = 1_024;

/// The configuration's file as the rules show it in their remarks.
pub(crate) fn source(path: Option<&Path>) -> Source {
    let Some(path) = path else {
        return Source::default();
    };
    Source {
        path: path.display().to_string(),
        // It was read a moment ago; when it cannot be read now, remarks show no line.
        text: fs::read(path).unwrap_or_default(),
    }
}

/// The sockets that were passed on, and of each protocol of which there are none those of the configuration.
fn bind_all(config: &Config) -> Result<Sockets, StartError> {
    let passed = listen::passed()?;
    let or_bind = |passed: Vec<Bound>, listeners: &[Listener]| {
        if !passed.is_empty() {
            return Ok(passed);
        }
        let mut bound = Vec::new();
        for listener in listeners {
            bound.extend(listen::bind(listener, config.listen.backlog)?);
        }
        Ok::<_, StartError>(bound)
    };
    Ok(Sockets {
        policy: or_bind(passed.policy, &config.listen.policy)?,
        milter: or_bind(passed.milter, &config.listen.milter)?,
        greylistd: or_bind(passed.greylistd, &config.listen.greylistd)?,
        http: or_bind(passed.http, &config.listen.http)?,
    })
}

fn bind_control(config: &Config, owner: &Owner) -> Result<Vec<Bound>, StartError> {
    let path = control_path(config);
    let listener = Listener {
        at: Endpoint::Unix(path.clone()),
        mode: Some(0o600),
        owner: None,
        replaces: false,
    };
    let bound = listen::bind(&listener, config.listen.backlog)?;
    owner.give(&path)?;
    Ok(bound)
}

fn prepare_directories(config: &Config, owner: &Owner) -> Result<(), StartError> {
    let folder = control_path(config).parent().map(Path::to_owned);
    for path in store_directory(config)?.into_iter().chain(folder) {
        let failed = |source| StartError::Directory {
            path: path.clone(),
            source,
        };
        if path.is_dir() {
            continue;
        }
        fs::create_dir_all(&path).map_err(failed)?;
        owner.give(&path)?;
    }
    Ok(())
}

/// Takes Postgrey's lock, so that it and we never run on one directory at once.
fn lock(path: &Path, owner: &Owner) -> Result<File, StartError> {
    let missing = |source| StartError::LockMissing {
        path: path.to_owned(),
        source,
    };
    let file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .map_err(missing)?;
    owner.give(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::Locked {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(missing(source)),
    }
}

/// A file with our process number, removed at the end.
struct Pidfile {
    path: PathBuf,
}

impl Pidfile {
    fn write(path: PathBuf, owner: &Owner) -> Result<Self, StartError> {
        let failed = |source| StartError::Pidfile {
            path: path.clone(),
            source,
        };
        let mut file = File::create(&path).map_err(failed)?;
        writeln!(file, "{}", process::id()).map_err(failed)?;
        file.set_permissions(fs::Permissions::from_mode(0o644))
            .map_err(failed)?;
        owner.give(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        // The directory may not be ours after privileges were dropped; a stale file is harmless.
        let _ = fs::remove_file(&self.path);
    }
}

fn refuse_running(path: &Path) -> Result<(), StartError> {
    let Ok(text) = fs::read_to_string(path) else {
        return Ok(());
    };
    let pid = text.trim().parse::<i32>().ok().filter(|pid| *pid > 0);
    match pid.filter(|pid| u32::try_from(*pid) != Ok(process::id())) {
        Some(pid) if kill(Pid::from_raw(pid), None).is_ok() => {
            Err(StartError::PidfileInUse { pid })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_locked_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("postgrey.lock");
        let owner = Owner::default();
        let held = lock(&path, &owner).expect("the lock");
        assert!(matches!(
            lock(&path, &owner),
            Err(StartError::Locked { .. })
        ));
        drop(held);
        lock(&path, &owner).expect("the lock again");
        let missing = lock(&folder.path().join("no/postgrey.lock"), &owner);
        assert!(matches!(missing, Err(StartError::LockMissing { .. })));
    }

    #[test]
    fn connections_leave_files_to_the_store() {
        assert_eq!(connections_within(8_192), 7_168);
        assert_eq!(connections_within(1_024), 512);
    }

    #[test]
    fn a_pidfile_of_a_running_process_refuses_the_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pid");
        fs::write(&path, "1\n").expect("a pidfile");
        assert!(matches!(
            refuse_running(&path),
            Err(StartError::PidfileInUse { pid: 1 })
        ));
        fs::write(&path, "nonsense\n").expect("a pidfile");
        assert!(refuse_running(&path).is_ok());
        let ours = Pidfile::write(path.clone(), &Owner::default()).expect("a pidfile");
        assert_eq!(
            fs::read_to_string(&path).expect("the pidfile"),
            format!("{}\n", process::id())
        );
        drop(ours);
        assert!(!path.exists());
    }
}
