//! The `stat` report: one record per recipient, to a file or to a command, written by a thread of its
//! own. Whoever is judged never waits for it: what does not fit is dropped and said.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use greylatch_rules::{Stat, StatOutput};
use greylatch_wording::Format;
use tracing::warn;

/// Where records go; it is opened when the first one comes, and ends with the rules it belongs to.
pub(crate) struct StatReport {
    format: Format,
    records: Option<SyncSender<Vec<u8>>>,
    dropped: AtomicU64,
}

/// Records that wait to be written.
const WAITING_MAX: usize = 1_024;

impl StatReport {
    pub(crate) fn new(stat: &Stat) -> Self {
        let (records, written) = sync_channel(WAITING_MAX);
        let output = stat.output.clone();
        let writer = thread::Builder::new()
            .name("stat".into())
            .spawn(move || write_all(&output, &written));
        if let Err(error) = &writer {
            warn!("the stat report cannot be written: {error}");
        }
        Self {
            format: Format::new(&stat.format),
            records: writer.is_ok().then_some(records),
            dropped: AtomicU64::new(0),
        }
    }

    pub(crate) fn format(&self) -> &Format {
        &self.format
    }

    pub(crate) fn put(&self, record: Vec<u8>) {
        let Some(records) = &self.records else {
            return;
        };
        if records.try_send(record).is_err() && self.dropped.fetch_add(1, Ordering::Relaxed) == 0 {
            warn!("records of the stat report are dropped: its output takes no more");
        }
    }
}

enum Output {
    File(File),
    Command(Child),
}

impl Output {
    /// Source: greylist.conf(5), "stat": `>>file`, `>file`, `|command`.
    fn open(to: &StatOutput) -> io::Result<Self> {
        let file = |path: &str, append| {
            let mut options = OpenOptions::new();
            options.create(true).write(true).append(append);
            options.truncate(!append).open(path).map(Self::File)
        };
        match to {
            StatOutput::Append(path) => file(path, true),
            StatOutput::Truncate(path) => file(path, false),
            StatOutput::Pipe(command) => Command::new("/bin/sh")
                .arg("-c")
                .arg(command)
                .stdin(Stdio::piped())
                .spawn()
                .map(Self::Command),
        }
    }

    fn write(&mut self, record: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.write_all(record),
            Self::Command(child) => match &mut child.stdin {
                Some(input) => input.write_all(record).and_then(|()| input.flush()),
                None => Ok(()),
            },
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Self::Command(child) = self {
            // It ends when nothing more can come; until then this thread waits, and nobody else.
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

/// The writing thread; an output that fails is opened anew for the next record, and keeps what it has.
fn write_all(to: &StatOutput, records: &Receiver<Vec<u8>>) {
    let mut to = to.clone();
    let mut output = None;
    let mut told = false;
    for record in records {
        let opened = match output.take() {
            Some(opened) => Ok(opened),
            None => Output::open(&to).inspect(|_| to = again(&to)),
        };
        let written = opened.and_then(|mut opened| {
            opened.write(&record)?;
            Ok(opened)
        });
        match written {
            Ok(opened) => output = Some(opened),
            Err(error) if !told => {
                told = true;
                warn!("the stat report cannot be written: {error}");
            }
            Err(_) => {}
        }
    }
}

/// How an output is opened that was open before.
fn again(to: &StatOutput) -> StatOutput {
    match to {
        StatOutput::Truncate(path) => StatOutput::Append(path.clone()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::*;

    fn written(stat: &Stat, path: &Path, expected: &str) {
        let report = StatReport::new(stat);
        report.put(b"one\n".to_vec());
        report.put(b"two\n".to_vec());
        drop(report);
        let begun = Instant::now();
        let mut text = String::new();
        while text != expected && begun.elapsed() < Duration::from_secs(10) {
            text = fs::read_to_string(path).unwrap_or_default();
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(text, expected);
    }

    #[test]
    fn records_reach_files_and_commands() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("report");
        let shown = path.display().to_string();
        let stat = |output| Stat {
            output,
            format: Vec::new(),
        };
        let append = stat(StatOutput::Append(shown.clone()));
        written(&append, &path, "one\ntwo\n");
        written(&append, &path, "one\ntwo\none\ntwo\n");
        let anew = stat(StatOutput::Truncate(shown.clone()));
        written(&anew, &path, "one\ntwo\n");
        let command = stat(StatOutput::Pipe(format!("tr a-z A-Z > {shown}")));
        written(&command, &path, "ONE\nTWO\n");
    }

    /// Symptom to be kept away: one record that does not fit empties the file.
    #[test]
    fn a_file_that_began_anew_does_not_do_so_twice() {
        let path = "report".to_owned();
        let truncated = StatOutput::Truncate(path.clone());
        assert_eq!(again(&truncated), StatOutput::Append(path));
        let command = StatOutput::Pipe("cat".into());
        assert_eq!(again(&command), command);
    }

    #[test]
    fn an_output_that_cannot_be_opened_holds_nobody_up() {
        let report = StatReport::new(&Stat {
            output: StatOutput::Append("/nowhere/at/all".into()),
            format: Vec::new(),
        });
        for _ in 0..WAITING_MAX * 3 {
            report.put(b"lost\n".to_vec());
        }
    }
}
