//! A filter of OpenSMTPD: a process of its own between smtpd, which speaks on its standard input and
//! output, and the daemon, which it asks over a policy socket. It judges nothing and remembers nothing.
//!
//! smtpd ends when a filter ends, so that this one ends only with its input. What cannot be asked or is
//! not answered in time proceeds, and so does what a fault of ours would leave without an answer.
//!
//! Source: smtpd-filters(7), "DESIGN".

mod asking;
mod connection;
mod health;

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use greylatch_core::Notice;
use greylatch_proto::{AskAt, Conversation, FilterConversation, Step};
use greylatch_wording::escaped;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};

use self::asking::Asking;
use crate::config::Endpoint;

/// Bytes of smtpd's that are read at once.
const READ_SIZE: usize = 16 << 10;

/// Serves smtpd on standard input and output until the input ends, asking the policy server at `policy`.
///
/// # Errors
/// When the process cannot watch sockets, or has no input or output; nothing has been read then.
pub fn run_filter(policy: Endpoint, at: AskAt) -> io::Result<()> {
    let runtime = runtime()?;
    let_it_wait(&io::stdin())?;
    let_it_wait(&io::stdout())?;
    let mut filter = Filter {
        conversation: FilterConversation::new(at),
        asking: Asking::new(policy),
        input: tokio::io::stdin(),
        output: tokio::io::stdout(),
    };
    serve_whatever_comes(&runtime, &mut filter);
    drop(filter);
    // A name that is still being looked up is of no use any more.
    runtime.shutdown_background();
    Ok(())
}

/// Reading and writing wait, on threads of their own, whatever the one who started us has left the stream
/// at: else "nothing there yet" would be taken for the end.
fn let_it_wait(stream: &impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(stream, FcntlArg::F_GETFL)?);
    fcntl(stream, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
    Ok(())
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Serves until the input ends, also through faults of ours.
fn serve_whatever_comes<R, W>(runtime: &Runtime, filter: &mut Filter<R, W>)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    while catch_unwind(AssertUnwindSafe(|| runtime.block_on(filter.serve()))).is_err() {
        // The panic has told of the fault itself.
        filter.conversation.give_up();
    }
}

struct Filter<R, W> {
    conversation: FilterConversation,
    asking: Asking,
    input: R,
    output: W,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Filter<R, W> {
    /// Serves until the input has ended and all that was asked is answered.
    async fn serve(&mut self) {
        let mut buffer = vec![0; READ_SIZE];
        loop {
            let step = self.conversation.step();
            while let Some(notice) = self.conversation.notice() {
                tell_notice(&notice);
            }
            let reads = match step {
                Ok(Step::Ask(ticket, request)) => {
                    if let Some(answer) = self.asking.ask(ticket, request) {
                        self.conversation.answer(ticket, &answer);
                    }
                    continue;
                }
                Ok(Step::Read) => true,
                Ok(Step::Wait) => false,
                Ok(Step::Close) | Err(_) => return self.flush().await,
            };
            self.flush().await;
            tokio::select! {
                (ticket, answer) = self.asking.next() => self.conversation.answer(ticket, &answer),
                read = self.input.read(&mut buffer), if reads => match read {
                    Ok(length @ 1..) => self.conversation.feed(&buffer[..length]),
                    Ok(_) | Err(_) => self.conversation.finish(),
                },
            }
        }
    }

    async fn flush(&mut self) {
        let output = std::mem::take(self.conversation.output());
        if output.is_empty() {
            return;
        }
        // smtpd is gone then, and the input ends as well.
        let _ = self.output.write_all(&output).await;
        let _ = self.output.flush().await;
    }
}

/// Says something that smtpd puts into its log.
fn tell(text: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "{text}");
}

fn tell_notice(notice: &Notice) {
    match notice {
        Notice::UnknownVersion(version) => tell(&format!(
            "version {} of the filter protocol is not spoken here, but 0.4 to 0.7 are: all mail passes",
            escaped(version)
        )),
        Notice::Garbage(line) => tell(&format!(
            "smtpd said what cannot be read: {}",
            escaped(line)
        )),
        other => tell(&format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests;
