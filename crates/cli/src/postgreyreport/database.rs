//! Where a report learns who has passed: a running server of ours, or Postgrey's database.

use std::io;
use std::path::{Path, PathBuf};

use greylatch_core::{Query, Record, Standing};
use greylatch_exchange::{ExchangeError, PostgreyFile, Stored};
use greylatch_report::SuccessAfter;

use crate::arguments::ControlArguments;
use crate::control::Control;

/// Who has passed, and when.
pub(super) enum Database {
    /// What our own server in this directory remembers.
    Running(Box<Control>),
    /// Postgrey's file, without what it has not written there yet.
    File { path: PathBuf, stored: Stored },
}

impl Database {
    /// Opens what is in `dbdir`: the control socket of a server of ours that runs on it, else
    /// Postgrey's database; a server that does not run is remarked.
    ///
    /// # Errors
    /// The words of the original when neither is there.
    pub(super) fn open(dbdir: &Path, remark: impl FnOnce(String)) -> Result<Self, String> {
        let store = dbdir.join("greylatch");
        let arguments = ControlArguments {
            config: None,
            control: Some(store.join("control")),
        };
        match Control::open(&arguments) {
            Ok(control) => return Ok(Self::Running(Box::new(control))),
            Err(_) if !store.join("records").exists() => {}
            Err(_) => remark(format!(
                "WARNING: the server that remembers in {} does not run; without it only what stands in \
                 postgrey.db counts as passed",
                store.display()
            )),
        }
        let path = dbdir.join("postgrey.db");
        match PostgreyFile::open(&path) {
            Ok(file) => Ok(Self::File {
                stored: file.stored(),
                path,
            }),
            Err(error) => Err(format!(
                "ERROR: can't find database {}: {}",
                path.display(),
                reason(&error)
            )),
        }
    }

    /// Gives the key, `CLIENT/SENDER/RECIPIENT`, of each entry that has passed; at the end a remark if
    /// something could not be read.
    ///
    /// # Errors
    /// When the running server does not answer.
    pub(super) fn each_passed(
        self,
        after: SuccessAfter,
        mut each: impl FnMut(&[u8]),
    ) -> anyhow::Result<Option<String>> {
        match self {
            Self::Running(mut control) => {
                let mut key = Vec::new();
                control.each_record(Query::default(), |record| {
                    if has_passed(record, after) && push_key(&mut key, record) {
                        each(&key);
                    }
                    Ok(())
                })?;
                Ok(None)
            }
            Self::File { path, mut stored } => {
                for (key, value) in stored.by_ref() {
                    if after.is_told_by(&value) {
                        each(&key);
                    }
                }
                let damaged = stored.damaged();
                Ok((damaged > 0).then(|| {
                    format!(
                        "WARNING: {}: {damaged} damaged places were left out",
                        path.display()
                    )
                }))
            }
        }
    }
}

fn has_passed(record: &Record, after: SuccessAfter) -> bool {
    match record {
        Record::Triplet { entry, .. } => match entry.standing {
            Standing::Allowed => true,
            Standing::Refused => false,
            // Seconds since 1970 have an exact floating point form.
            Standing::Waiting | Standing::Proven => {
                after.is_between(entry.first.0 as f64, entry.last.0 as f64)
            }
        },
        Record::Client { .. } => false,
    }
}

/// Makes `key` that of a triplet; false when the store keeps no text.
fn push_key(key: &mut Vec<u8>, record: &Record) -> bool {
    let Record::Triplet {
        client,
        sender,
        recipient,
        ..
    } = record
    else {
        return false;
    };
    key.clear();
    key.extend_from_slice(client);
    for part in [sender, recipient] {
        key.push(b'/');
        key.extend_from_slice(part);
    }
    !client.is_empty()
}

fn reason(error: &ExchangeError) -> String {
    match error {
        ExchangeError::Io { source, .. } => match source.kind() {
            io::ErrorKind::NotFound => "No such file or directory".into(),
            io::ErrorKind::PermissionDenied => "Permission denied".into(),
            _ => source.to_string(),
        },
        other => other.to_string(),
    }
}
