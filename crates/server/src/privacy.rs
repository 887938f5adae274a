//! The secret of `store.privacy`, and that a store is kept with one way of making keys only:
//! under another secret nothing in it would be found again, and nobody would be told why.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use greylatch_store::Keying;

use crate::config::Config;
use crate::identity::{Owner, OwnerError};
use crate::launch::StartError;
use crate::paths::store_directory;

/// Why the keys of the store cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PrivacyError {
    /// A file cannot be read or written.
    #[error("cannot use {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else than a secret.
    #[error("{} holds no secret: 64 hexadecimal digits are expected; remove it, and one is made", .0.display())]
    NoSecret(PathBuf),
    /// The file cannot be given to the user of the daemon.
    #[error("cannot give the secret to its owner")]
    Owner(#[from] OwnerError),
    /// What is stored was stored under other keys.
    #[error(
        "the store in {} was kept {held} and would now be kept {wanted}, so nothing in it would be \
         found: set store.privacy and store.privacy_key back, or name another directory in store.url",
        .directory.display()
    )]
    OtherKeys {
        /// The store.
        directory: PathBuf,
        /// How it was kept.
        held: String,
        /// How it is to be kept.
        wanted: String,
    },
}

/// How keys are made by this configuration; a secret that is not there is made. To be called
/// before privileges are dropped, so that only root needs to read the secret.
pub(crate) fn keying(config: &Config, owner: &Owner) -> Result<Keying, StartError> {
    if config.store.keys_of_postgrey {
        return Ok(match config.store.privacy {
            true => Keying::Sha1,
            false => Keying::Plain,
        });
    }
    let directory = store_directory(config)?;
    let keying = match config.store.privacy {
        true => Keying::Keyed(secret(config, directory.as_deref(), owner)?),
        false => Keying::Plain,
    };
    if let Some(directory) = directory {
        keep_to(&keying, &directory, owner)?;
    }
    Ok(keying)
}

fn secret(
    config: &Config,
    directory: Option<&Path>,
    owner: &Owner,
) -> Result<[u8; 32], PrivacyError> {
    let beside = directory.map(|directory| directory.join("privacy.key"));
    let Some(path) = config.store.privacy_key.clone().or(beside) else {
        // What is forgotten with the process needs a secret only as long.
        return random();
    };
    match fs::read_to_string(&path) {
        Ok(text) => from_digits(text.trim()).ok_or(PrivacyError::NoSecret(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = random()?;
            let digits: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
            write_new(&path, &digits, owner)?;
            Ok(secret)
        }
        Err(source) => Err(PrivacyError::File { path, source }),
    }
}

/// Source: random(4), `/dev/urandom`.
fn random() -> Result<[u8; 32], PrivacyError> {
    let path = Path::new("/dev/urandom");
    let mut secret = [0; 32];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut secret));
    read.map_err(|source| PrivacyError::File {
        path: path.to_owned(),
        source,
    })?;
    Ok(secret)
}

fn from_digits(digits: &str) -> Option<[u8; 32]> {
    let mut secret = [0; 32];
    if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (nth, byte) in secret.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * nth..2 * nth + 2], 16).ok()?;
    }
    Some(secret)
}

/// Checks the mark in the store's directory; a store without one gets it.
fn keep_to(keying: &Keying, directory: &Path, owner: &Owner) -> Result<(), PrivacyError> {
    let path = directory.join(MARK);
    let wanted = keying.mark();
    match fs::read_to_string(&path) {
        Ok(held) if held.trim() == wanted => Ok(()),
        Ok(held) => Err(PrivacyError::OtherKeys {
            directory: directory.to_owned(),
            held: held.trim().escape_debug().to_string(),
            wanted,
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => write_new(&path, &wanted, owner),
        Err(source) => Err(PrivacyError::File { path, source }),
    }
}

/// The file in the store's directory that says how its keys are made.
const MARK: &str = "keys";

/// Writes a file that nobody else may read. It is on disk before anything is stored by it.
fn write_new(path: &Path, text: &str, owner: &Owner) -> Result<(), PrivacyError> {
    let written = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| {
            writeln!(file, "{text}")?;
            file.sync_all()
        });
    written.map_err(|source| PrivacyError::File {
        path: path.to_owned(),
        source,
    })?;
    Ok(owner.give(path)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn with_privacy(directory: &Path) -> Config {
        let mut config = Config::default();
        config.store.url = Some(format!("embedded:{}", directory.display()));
        config.store.privacy = true;
        config
    }

    fn keying_of(config: &Config) -> Result<Keying, String> {
        keying(config, &Owner::default()).map_err(|error| match error {
            StartError::Privacy(error) => error.to_string(),
            other => panic!("another error: {other}"),
        })
    }

    #[test]
    fn a_secret_is_made_once_for_its_owner_only_and_read_from_then_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = with_privacy(folder.path());
        let first = keying_of(&config).expect("a secret");
        assert_eq!(keying_of(&config), Ok(first));
        let path = folder.path().join("privacy.key");
        let mode = fs::metadata(&path).expect("the secret").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        let digits = fs::read_to_string(&path).expect("the secret");
        let secret = from_digits(digits.trim()).expect("digits");
        assert_eq!(Keying::Keyed(secret), first);
        assert_ne!(secret, [0; 32]);
    }

    #[test]
    fn hosts_with_one_secret_make_the_same_keys() {
        let folder = tempfile::tempdir().expect("a folder");
        let (secret, near, far) = (
            folder.path().join("secret"),
            folder.path().join("near"),
            folder.path().join("far"),
        );
        let [near, far] = [near, far].map(|directory| {
            fs::create_dir(&directory).expect("a folder");
            let mut config = with_privacy(&directory);
            config.store.privacy_key = Some(secret.clone());
            keying_of(&config).expect("a secret")
        });
        assert_eq!(near, far);
    }

    #[test]
    fn a_store_is_not_used_with_other_keys_than_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = with_privacy(folder.path());
        keying_of(&config).expect("a secret");
        fs::remove_file(folder.path().join("privacy.key")).expect("the secret");
        let error = keying_of(&config).expect_err("another secret");
        assert!(
            error.contains(" was kept with the secret ")
                && error.contains(" would now be kept with the secret "),
            "{error}"
        );
        config.store.privacy = false;
        let error = keying_of(&config).expect_err("no secret");
        assert!(
            error.contains(" would now be kept without a secret, so nothing"),
            "{error}"
        );
    }

    #[test]
    fn a_file_that_holds_no_secret_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("precious");
        fs::write(&path, "precious\n").expect("a file");
        let mut config = with_privacy(folder.path());
        config.store.privacy_key = Some(path.clone());
        let error = keying_of(&config).expect_err("no secret");
        assert!(error.contains("precious holds no secret"), "{error}");
        assert_eq!(fs::read(&path).expect("the file"), b"precious\n");
    }

    #[test]
    fn under_postgreys_name_privacy_comes_and_goes_without_a_secret() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = with_privacy(folder.path());
        config.store.keys_of_postgrey = true;
        assert_eq!(keying_of(&config), Ok(Keying::Sha1));
        config.store.privacy = false;
        assert_eq!(keying_of(&config), Ok(Keying::Plain));
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
    }
}
