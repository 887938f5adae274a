//! Users and groups of the system: whom sockets are given to, and whom the daemon becomes.

use std::os::unix::fs::chown;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Group, Uid, User, geteuid, setgid, setgroups, setuid};

use crate::config::Process;

/// A user and groups that exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    uid: Option<Uid>,
    gids: Vec<Gid>,
}

/// Who is not there, or may not be become.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnerError {
    /// No such user.
    #[error("No such user \"{0}\"")]
    User(String),
    /// No such group.
    #[error("No such group \"{0}\"")]
    Group(String),
    /// The system refused.
    #[error("{what}")]
    System {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: nix::Error,
    },
}

impl Owner {
    /// Reads `user`, `user:group` or `:group`.
    pub(crate) fn find(text: &str) -> Result<Self, OwnerError> {
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        let given = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        Self::of(&Process {
            user: given(user),
            group: given(group),
        })
    }

    /// The user and groups that the daemon is to become.
    pub(crate) fn of(process: &Process) -> Result<Self, OwnerError> {
        let mut owner = Self::default();
        if let Some(name) = &process.user {
            let user = find_user(name)?;
            owner.uid = Some(user.uid);
            owner.gids.push(user.gid);
        }
        if let Some(names) = &process.group {
            let names = names.split([',', ' ']).filter(|name| !name.is_empty());
            owner.gids = names.map(find_group).collect::<Result<_, _>>()?;
        }
        Ok(owner)
    }

    /// Gives a file to this user and the first group.
    pub(crate) fn give(&self, path: &Path) -> Result<(), OwnerError> {
        let gid = self.gids.first();
        chown(path, self.uid.map(Uid::as_raw), gid.map(|gid| gid.as_raw())).map_err(|error| {
            OwnerError::System {
                what: format!("cannot give {} away", path.display()),
                source: nix::Error::from_raw(error.raw_os_error().unwrap_or_default()),
            }
        })
    }

    /// Becomes this user for good. Does nothing for one who is not root and needs nothing.
    pub(crate) fn become_it(&self) -> Result<(), OwnerError> {
        let failed = |what: &str| {
            let what = what.to_owned();
            move |source| OwnerError::System { what, source }
        };
        if !geteuid().is_root() || (self.uid.is_none() && self.gids.is_empty()) {
            return Ok(());
        }
        if let Some(gid) = self.gids.first() {
            setgroups(&self.gids).map_err(failed("cannot set the groups"))?;
            setgid(*gid).map_err(failed("cannot become the group"))?;
        }
        match self.uid {
            Some(uid) => setuid(uid).map_err(failed("cannot become the user")),
            None => Ok(()),
        }
    }
}

fn find_user(name: &str) -> Result<User, OwnerError> {
    let unknown = || OwnerError::User(name.to_owned());
    let by_name = User::from_name(name).ok().flatten();
    let by_number = || {
        name.parse()
            .ok()
            .and_then(|uid| User::from_uid(Uid::from_raw(uid)).ok().flatten())
    };
    by_name.or_else(by_number).ok_or_else(unknown)
}

fn find_group(name: &str) -> Result<Gid, OwnerError> {
    let by_name = Group::from_name(name).ok().flatten().map(|group| group.gid);
    let by_number = || name.parse().ok().map(Gid::from_raw);
    by_name
        .or_else(by_number)
        .ok_or_else(|| OwnerError::Group(name.to_owned()))
}

/// Makes room for as many open files as connections need; gives what the system allows.
pub(crate) fn raise_file_limit(wanted: u64) -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return 1_024;
    };
    let target = wanted.min(hard).max(soft);
    let target_hard = hard.max(wanted);
    // Only root may raise the hard limit; then the soft one at least.
    if target < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, target_hard).is_ok() {
        return wanted;
    }
    match setrlimit(Resource::RLIMIT_NOFILE, target, hard) {
        Ok(()) => target,
        Err(_) => soft,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_found_by_name_and_number() {
        let root = Owner::find("root:0").expect("root is there");
        assert_eq!(
            root,
            Owner {
                uid: Some(Uid::from_raw(0)),
                gids: vec![Gid::from_raw(0)]
            }
        );
        assert_eq!(Owner::find("root"), Owner::find("0"));
        assert_eq!(
            Owner::find("no-such-user"),
            Err(OwnerError::User("no-such-user".into()))
        );
        assert_eq!(
            Owner::find(":no-such-group"),
            Err(OwnerError::Group("no-such-group".into()))
        );
    }
}
