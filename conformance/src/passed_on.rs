//! Programs that are started with a socket that somebody else has bound, as systemd does.
//!
//! Source: sd_listen_fds(3), systemd.socket(5).

use std::process::Command;

use anyhow::Result;

use crate::interpreters::python;

/// Binds a socket of this family at this place, and becomes the rest, which is told of it by this name.
const PASS_ON: &str = "import os, socket, sys
name, family, place, *command = sys.argv[1:]
bound = socket.socket(getattr(socket, family))
bound.bind(place if family == 'AF_UNIX' else (place, 0))
bound.listen()
os.dup2(bound.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES=name)
os.execvp(command[0], command)
";

/// The same command with a socket passed on to it: of the family `AF_UNIX` at a path, or of `AF_INET` at
/// an address. `name` is what systemd's `FileDescriptorName=` would be.
///
/// # Errors
/// When Python is missing; the text says how to get it.
pub fn passed_on(name: &str, (family, place): (&str, &str), command: &Command) -> Result<Command> {
    let mut passing = python()?;
    passing.args(["-I", "-c", PASS_ON, name, family, place]);
    passing.arg(command.get_program()).args(command.get_args());
    passing.env("XDG_STATE_HOME", "/nonexistent");
    Ok(passing)
}
