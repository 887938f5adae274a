//! The client's side of the control socket: one question, one answer.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use greylatch_core::{Answer, Query, Record, Request};
use greylatch_proto::{decode_answer, encode_request};
use greylatch_server::control_path;

use crate::arguments::ControlArguments;
use crate::serve;

/// A connection to the running server.
pub(crate) struct Control {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

/// A server that takes longer than this for one page or one batch is not well.
const PATIENCE: Duration = Duration::from_secs(30);

impl Control {
    /// Connects to the server that the arguments mean.
    pub(crate) fn open(arguments: &ControlArguments) -> anyhow::Result<Self> {
        let path = match &arguments.control {
            Some(path) => path.clone(),
            None => control_path(&serve::configuration(arguments.config.as_deref())?),
        };
        let hint = || {
            format!(
                "cannot reach the server at {}: is it running, and under this configuration? \
                 (name the socket with --control, or the file with --config)",
                path.display()
            )
        };
        let stream = UnixStream::connect(&path).with_context(hint)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream: BufReader::new(stream),
            path,
        })
    }

    /// Asks; an answer that says it failed is an error here.
    pub(crate) fn ask(&mut self, request: &Request) -> anyhow::Result<Answer> {
        let broken = || format!("the server at {} did not answer", self.path.display());
        self.stream
            .get_mut()
            .write_all(&encode_request(request))
            .with_context(broken)?;
        let mut line = Vec::new();
        self.stream
            .read_until(b'\n', &mut line)
            .with_context(broken)?;
        if line.is_empty() {
            bail!(
                "the server at {} closed the connection without an answer",
                self.path.display()
            );
        }
        match decode_answer(&line)? {
            Answer::Failed(why) => bail!("the server says: {why}"),
            answer => Ok(answer),
        }
    }

    /// Gives every record that is meant to `each`, page by page; says how many there were.
    pub(crate) fn each_record(
        &mut self,
        mut query: Query,
        mut each: impl FnMut(&Record) -> anyhow::Result<()>,
    ) -> anyhow::Result<u64> {
        let mut count = 0;
        loop {
            let page = match self.ask(&Request::List(query.clone()))? {
                Answer::Page(page) => page,
                other => bail!("the server gave an answer of another kind: {other:?}"),
            };
            for record in &page.records {
                each(record)?;
                count += 1;
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(count),
            }
        }
    }
}
