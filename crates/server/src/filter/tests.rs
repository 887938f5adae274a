//! The filter between a scripted smtpd and a scripted policy server.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{DuplexStream, ReadBuf, duplex};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Runtime;

use super::*;

const PIPE: usize = 1 << 20;

/// What the server does with the questions of one connection, one after the other.
#[derive(Clone, Copy)]
enum Script {
    /// Answers with this action.
    Say(&'static str),
    /// Reads and never answers.
    Hang,
    /// Answers one question of each connection, then closes.
    Once,
    /// Closes before it answers.
    Close,
}

/// How many connections there have been, and at once.
#[derive(Default)]
struct Connections {
    all: AtomicUsize,
    open: AtomicUsize,
    most: AtomicUsize,
}

impl Connections {
    fn opened(&self) {
        self.all.fetch_add(1, Ordering::Relaxed);
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(open, Ordering::Relaxed);
    }
}

/// A policy server that follows a script, until it is dropped.
struct Server {
    runtime: Runtime,
    connections: Arc<Connections>,
    folder: TempDir,
}

impl Server {
    fn start(script: Script) -> Self {
        let runtime = runtime().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let guard = runtime.enter();
        let socket = UnixListener::bind(socket(folder.path())).expect("a socket");
        drop(guard);
        let connections = Arc::new(Connections::default());
        let counted = connections.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                let counted = counted.clone();
                tokio::spawn(async move {
                    counted.opened();
                    // Who asked may be gone.
                    let _ = follow(script, stream).await;
                    counted.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self {
            runtime,
            connections,
            folder,
        }
    }

    /// What the filter says to these lines of smtpd, sorted, without its registration.
    fn hear(&self, lines: &str) -> Vec<String> {
        self.runtime.block_on(async {
            let (mut smtpd, input) = duplex(PIPE);
            let (output, said) = duplex(PIPE);
            smtpd.write_all(lines.as_bytes()).await.expect("room");
            drop(smtpd);
            let mut filter = filter_of(self.folder.path(), input, output);
            filter.serve().await;
            drop(filter);
            results(said).await
        })
    }
}

fn socket(folder: &Path) -> std::path::PathBuf {
    folder.join("policy")
}

fn filter_of<R>(folder: &Path, input: R, output: DuplexStream) -> Filter<R, DuplexStream> {
    Filter {
        conversation: FilterConversation::new(AskAt::RcptTo),
        asking: Asking::new(Endpoint::Unix(socket(folder))),
        input,
        output,
    }
}

async fn results(mut said: DuplexStream) -> Vec<String> {
    let mut text = String::new();
    said.read_to_string(&mut text).await.expect("ASCII");
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with("register|"))
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

async fn follow(script: Script, mut stream: UnixStream) -> io::Result<()> {
    let mut unread = Vec::new();
    loop {
        while !unread.ends_with(b"\n\n") {
            let mut buffer = [0; 4_096];
            let length = stream.read(&mut buffer).await?;
            if length == 0 {
                return Ok(());
            }
            unread.extend_from_slice(&buffer[..length]);
        }
        unread.clear();
        let action = match script {
            Script::Close => return Ok(()),
            Script::Hang => continue,
            Script::Say(action) => action,
            Script::Once => "DEFER wait",
        };
        let answer = format!("action={action}\n\n");
        stream.write_all(answer.as_bytes()).await?;
        if matches!(script, Script::Once) {
            return Ok(());
        }
    }
}

/// Sessions with these numbers that ask about one recipient each.
fn sessions(numbers: impl IntoIterator<Item = u64>) -> String {
    let mut lines = "config|ready\n".to_owned();
    for session in numbers {
        lines += &format!(
            "report|0.7|1.5|smtp-in|link-connect|{session:x}|mx|pass|192.0.2.1:25|192.0.2.2:25\n\
             report|0.7|1.5|smtp-in|tx-mail|{session:x}|01|ok|a@example.com\n\
             filter|0.7|1.5|smtp-in|rcpt-to|{session:x}|0f|b@example.org\n"
        );
    }
    lines
}

fn all(numbers: impl IntoIterator<Item = u64>, outcome: &str) -> Vec<String> {
    let line = |session| format!("filter-result|{session:016x}|000000000000000f|{outcome}");
    numbers.into_iter().map(line).collect()
}

#[test]
fn every_session_hears_what_the_server_says() {
    let server = Server::start(Script::Say("DEFER_IF_PERMIT 4.2.0 wait"));
    let said = server.hear(&sessions(1..=5_000));
    assert_eq!(said, all(1..=5_000, "reject|451 4.2.0 wait"));
    assert_eq!(server.connections.most.load(Ordering::Relaxed), 32);
    assert_eq!(server.connections.all.load(Ordering::Relaxed), 32);
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_opened_again() {
    let server = Server::start(Script::Once);
    let said = server.hear(&sessions(1..=200));
    assert_eq!(said, all(1..=200, "reject|451 4.7.1 wait"));
}

#[test]
fn what_is_not_answered_proceeds() {
    for script in [Script::Close, Script::Hang, Script::Say("\n\n")] {
        let server = Server::start(script);
        // Those that wait for an answer hear after five seconds; time passes by itself.
        server.runtime.block_on(async { tokio::time::pause() });
        assert_eq!(server.hear(&sessions(1..=100)), all(1..=100, "proceed"));
    }
    let server = Server::start(Script::Close);
    std::fs::remove_file(socket(server.folder.path())).expect("it was there");
    assert_eq!(server.hear(&sessions(1..=100)), all(1..=100, "proceed"));
}

/// Input at whose end of a line the filter stumbles.
struct Trap {
    input: DuplexStream,
    reads: usize,
}

impl AsyncRead for Trap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reads += 1;
        assert!(self.reads != 3, "a fault of ours");
        Pin::new(&mut self.input).poll_read(task, buffer)
    }
}

#[test]
fn a_fault_of_ours_lets_what_is_open_proceed_and_ends_nothing() {
    let server = Server::start(Script::Hang);
    let (mut smtpd, input) = server.runtime.block_on(async { duplex(PIPE) });
    let (output, said) = duplex(PIPE);
    let mut filter = filter_of(server.folder.path(), Trap { input, reads: 0 }, output);
    let runtime = &server.runtime;
    runtime
        .block_on(smtpd.write_all(sessions(1..=5).as_bytes()))
        .expect("room");
    runtime.spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(smtpd);
    });
    let began = Instant::now();
    serve_whatever_comes(runtime, &mut filter);
    drop(filter);
    // At once, not when the server has not answered for long enough.
    assert!(began.elapsed() < Duration::from_secs(3));
    assert_eq!(runtime.block_on(results(said)), all(1..=5, "proceed"));
}
