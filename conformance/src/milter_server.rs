//! Our daemon with the milter protocol at a unix socket and at a port, under a clock that a test sets.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, anyhow};
use tempfile::TempDir;

use crate::clock::{Clock, EPISODE_START};
use crate::greylister::Endpoint;
use crate::milter::{MilterClient, Offer};
use crate::process::{free_port, scratch_folder};
use crate::serving::{Plan, Serving};
use crate::smtp::SmtpReply;

/// Rules of the daemon.
const RULES: &str = "[[rule]]\nsender = [\"bad@x.example\"]\nthen = \"refuse\"\n\
                     [[rule]]\nname = [\"friend.example\"]\nthen = \"exempt\"\n";

/// A running daemon. It calls itself `mx.example.org`, refuses the sender `bad@x.example`,
/// and exempts the name `friend.example` from waiting.
pub struct MilterServer {
    /// The program.
    pub server: Serving,
    /// What time it thinks it is.
    pub clock: Clock,
    /// The socket `milter` in its folder.
    pub unix: Endpoint,
    /// A port of 127.0.0.1.
    pub inet: Endpoint,
    /// The number of that port.
    pub port: u16,
    /// Its files, which are in use until it has ended; it answers policy questions at `policy`.
    pub folder: TempDir,
}

impl MilterServer {
    /// With lines of the tables `[listen]` and `[greylist]`.
    ///
    /// # Errors
    /// When it does not start, or does not listen within 20 s.
    pub fn start(listen: &str, greylist: &str) -> Result<Self> {
        Self::start_in(scratch_folder()?, listen, greylist)
    }

    /// The same in a folder that is there.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_in(folder: TempDir, listen: &str, greylist: &str) -> Result<Self> {
        // MTAs ask as users that are not root.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let clock = Clock::new(folder.path(), EPISODE_START)?;
        let (socket, port) = (folder.path().join("milter"), free_port()?);
        let server = Serving::start(&Plan {
            listen: &format!(
                "milter = [\"unix:{}\", \"127.0.0.1:{port}\"]\n{listen}",
                socket.display()
            ),
            greylist: &format!("hostname = \"mx.example.org\"\n{greylist}"),
            tables: RULES,
            clock: Some(&clock),
            ..Plan::new(folder.path(), &folder.path().join("store"))
        })?;
        let unix = Endpoint::Unix(socket);
        let inet = Endpoint::Inet(([127, 0, 0, 1], port).into());
        for endpoint in [&unix, &inet] {
            MilterClient::wait(endpoint)?;
        }
        Ok(Self {
            server,
            clock,
            unix,
            inet,
            port,
            folder,
        })
    }

    /// A connection on which this client has been told of, in the newest version.
    ///
    /// # Errors
    /// When the filter does not agree.
    pub fn open(&self, client: &str) -> Result<MilterClient> {
        MilterClient::open(&self.inet, Offer::of_version(6), client)
    }

    /// The answer to the only recipient of a message of `client`, on a connection of its own.
    ///
    /// # Errors
    /// When there is none.
    pub fn ask(&self, client: &str) -> Result<String> {
        only_answer(
            self.open(client)?
                .envelope("a@x.example", &["b@example.org"])?,
        )
    }
}

/// The answer, where there is only one.
///
/// # Errors
/// When there are others, or none.
pub fn only_answer(answers: Vec<String>) -> Result<String> {
    let [answer] =
        <[String; 1]>::try_from(answers).map_err(|answers| anyhow!("{answers:?} answer one"))?;
    Ok(answer)
}

/// What an MTA with its milter says of a recipient who has to wait so long.
#[must_use]
pub fn deferred(seconds: i64) -> SmtpReply {
    SmtpReply {
        code: 451,
        text: format!("4.7.1 Greylisted, please try again in {seconds} seconds"),
    }
}
