//! Command lines: what each does, said once and tried on the real Postgrey and
//! on ours.
//!
//! Texts are those of Getopt::Long in its POSIX form and of Postgrey 1.37, as
//! the real program writes them.

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use conformance::{
    Daemon, Door, Endpoint, Greylister, Message, PolicyClient, Program, Setting, free_port,
    scratch_folder, wait_for,
};

const PROGRAMS: [Program; 2] = [Program::Postgrey, Program::Greylatch];
const LIMIT: Duration = Duration::from_secs(20);
const NO_LISTEN: &str = "ERROR: --unix or --inet must be specified\n";
const WINDOW: &str = "ERROR: --retry-window must be either a number of days or a number\n       \
                      followed by 'h' for hours ('6h' for example).\n";
const NO_ACTION: &str = "ERROR: don't know how to \"no-action\".\n";

/// Command lines that end at once: words, exit status, standard error.
/// `DIR` stands for a folder of the test.
const REFUSED: &[(&[&str], i32, &str)] = &[
    (&[], 2, NO_LISTEN),
    (&["-"], 2, NO_LISTEN),
    (&["--"], 2, NO_LISTEN),
    (&["foo", "--inet=1"], 2, NO_LISTEN),
    (&["+i", "1"], 2, NO_LISTEN),
    (&["", "--inet=1"], 2, NO_LISTEN),
    (&["--", "--inet=1"], 2, NO_LISTEN),
    (&["--delay=+5"], 2, NO_LISTEN),
    (&["--delay", "-5"], 2, NO_LISTEN),
    (&["--facility=local1"], 2, NO_LISTEN),
    (&["--syslogfacility=local1"], 2, NO_LISTEN),
    (&["--syslog-facility=local1"], 2, NO_LISTEN),
    (&["--lookup-by-subnet"], 2, NO_LISTEN),
    (&["--auto-whitelist-clients", "-v"], 2, NO_LISTEN),
    (&["-v", "-q", "-d"], 2, NO_LISTEN),
    (&["--retry-window=0"], 2, NO_LISTEN),
    (&["--retry-window=6H"], 2, NO_LISTEN),
    (&["-n"], 2, NO_ACTION),
    (&["--noaction"], 2, NO_ACTION),
    (&["--no-action"], 2, NO_ACTION),
    (&["-n", "extra"], 2, NO_ACTION),
    (&["-inet=10023"], 1, "Unknown option: inet=10023\n"),
    (&["-i=10023"], 1, "Unknown option: i=10023\n"),
    (&["-i10023"], 1, "Unknown option: i10023\n"),
    (&["-dv"], 1, "Unknown option: dv\n"),
    (&["-vi", "10023"], 1, "Unknown option: vi\n"),
    (&["--greylist-t=x"], 1, "Unknown option: greylist-t\n"),
    (&["--Inet=1"], 1, "Unknown option: Inet\n"),
    (&["--noquiet"], 1, "Unknown option: noquiet\n"),
    (&["--unknown", "-h"], 1, "Unknown option: unknown\n"),
    (
        &["--unknown", "--other"],
        1,
        "Unknown option: unknown\nUnknown option: other\n",
    ),
    (
        &["--quiet=1"],
        1,
        "Option quiet does not take an argument\n",
    ),
    (
        &["--privacy=1"],
        1,
        "Option privacy does not take an argument\n",
    ),
    (&["--help=1"], 1, "Option help does not take an argument\n"),
    (
        &["--lookup-by-host=x"],
        1,
        "Option lookup-by-host does not take an argument\n",
    ),
    (&["--inet"], 1, "Option inet requires an argument\n"),
    (&["-i"], 1, "Option i requires an argument\n"),
    (
        &["--greylist-text="],
        1,
        "Option greylist-text requires an argument\n",
    ),
    (
        &["--hostname="],
        1,
        "Option hostname requires an argument\n",
    ),
    (
        &["--greylist-action="],
        1,
        "Option greylist-action requires an argument\n",
    ),
    (
        &["--x-greylist-header="],
        1,
        "Option x-greylist-header requires an argument\n",
    ),
    (
        &["--retry-window=", "2"],
        1,
        "Option retry-window requires an argument\n",
    ),
    (&["--delay="], 1, "Option delay requires an argument\n"),
    (
        &["--delay=abc"],
        1,
        "Value \"abc\" invalid for option delay (number expected)\n",
    ),
    (
        &["--delay=1.5"],
        1,
        "Value \"1.5\" invalid for option delay (number expected)\n",
    ),
    (
        &["--delay", "--inet=1"],
        1,
        "Value \"--inet=1\" invalid for option delay (number expected)\n",
    ),
    (
        &["--max-age=x", "--ipv4cidr=y"],
        1,
        "Value \"x\" invalid for option max-age (number expected)\n\
         Value \"y\" invalid for option ipv4cidr (number expected)\n",
    ),
    (
        &["--ipv6cidr=y"],
        1,
        "Value \"y\" invalid for option ipv6cidr (number expected)\n",
    ),
    (
        &["--listen-queue-size=y"],
        1,
        "Value \"y\" invalid for option listen-queue-size (number expected)\n",
    ),
    (&["--retry-window=5d"], 2, NO_LISTEN),
    (&["--retry-window=5d", "--inet=1"], 2, WINDOW),
    (&["--retry-window=-1", "--inet=1"], 2, WINDOW),
    (&["--retry-window=1.5", "--inet=1"], 2, WINDOW),
];

/// Command lines that end after some lines of start-up, with any status but 0:
/// words, the last line of standard error.
const FAILED: &[(&[&str], &str)] = &[
    (
        &["--inet=0", "--user=nosuch"],
        "ERROR: No such user \"nosuch\"",
    ),
    (
        &["--inet=0", "--group=nosuch"],
        "ERROR: No such group \"nosuch\"",
    ),
    (
        &["--inet=0", "--dbdir=DIR/none"],
        "ERROR: can't open lock file: DIR/none/postgrey.lock",
    ),
    (
        &["--inet=host"],
        "ERROR: Could not determine port number from host [*]:host",
    ),
    (
        &["--inet=localhost:name"],
        "ERROR: Could not determine port number from host [localhost]:name",
    ),
];

/// Command lines that serve: words, and where a client finds the server.
/// `PORT` and `OTHER` stand for free ports.
const SERVING: &[(&[&str], &str)] = &[
    (&["--inet=PORT"], "127.0.0.1:PORT"),
    (&["--inet", "PORT"], "127.0.0.1:PORT"),
    (&["-i", "PORT"], "127.0.0.1:PORT"),
    (&["--inet=127.0.0.1:PORT"], "127.0.0.1:PORT"),
    (&["--inet=127.0.0.1:PORT/tcp"], "127.0.0.1:PORT"),
    (&["--inet=0.0.0.0:PORT"], "127.0.0.1:PORT"),
    (&["--inet=*:PORT"], "127.0.0.1:PORT"),
    (&["--inet=:PORT"], "127.0.0.1:PORT"),
    (&["--inet=OTHER", "--inet=PORT"], "127.0.0.1:PORT"),
    (&["--inet=PORT", ""], "127.0.0.1:PORT"),
    (&["--inet=PORT", "word", "--unknown"], "127.0.0.1:PORT"),
    (&["--inet=PORT", "--", "--unknown"], "127.0.0.1:PORT"),
    (&["--inet=PORT", "--unix=DIR/unused"], "127.0.0.1:PORT"),
    (&["--inet=PORT", "--pidfile=DIR/unused"], "127.0.0.1:PORT"),
    (
        &["--inet=PORT", "--auto-whitelist-clients", "1"],
        "127.0.0.1:PORT",
    ),
    (
        &["--inet=PORT", "--listen-queue-size=5000"],
        "127.0.0.1:PORT",
    ),
    (
        &["--inet=PORT", "--whitelist-clients=DIR/none"],
        "127.0.0.1:PORT",
    ),
    (&["--unix", "DIR/socket"], "unix:0666"),
    (&["-u", "DIR/socket"], "unix:0666"),
    (&["--unix=DIR/socket", "--socketmode=0600"], "unix:0600"),
    (&["--unix=DIR/socket", "--socketmode", "660"], "unix:0660"),
    (&["--unix=DIR/socket", "--socketmode=0"], "unix:0666"),
];

#[test]
fn lines_that_are_refused_are_refused_alike() -> Result<()> {
    let folder = scratch_folder()?;
    for (words, code, stderr) in REFUSED {
        for program in PROGRAMS {
            let output = run(program, words, folder.path())?;
            let context = format!("{program:?} {words:?}");
            assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{context}");
            assert_eq!(
                String::from_utf8_lossy(&output.stderr),
                *stderr,
                "{context}"
            );
            assert_eq!(output.status.code(), Some(*code), "{context}");
        }
    }
    Ok(())
}

#[test]
fn lines_that_fail_at_start_say_why() -> Result<()> {
    let folder = scratch_folder()?;
    for (words, last) in FAILED {
        let last = last.replace("DIR", &folder.path().display().to_string());
        for program in PROGRAMS {
            let output = run(program, words, folder.path())?;
            let stderr = String::from_utf8_lossy(&output.stderr);
            let context = format!("{program:?} {words:?}: {stderr}");
            assert_eq!(stderr.lines().last(), Some(last.as_str()), "{context}");
            assert!(!output.status.success(), "{context}");
        }
    }
    Ok(())
}

#[test]
fn lines_that_serve_serve_at_the_same_place() -> Result<()> {
    for (words, place) in SERVING {
        for program in PROGRAMS {
            serve(program, words, place).with_context(|| format!("{program:?} {words:?}"))?;
        }
    }
    Ok(())
}

#[test]
fn the_version_is_postgreys() -> Result<()> {
    let folder = scratch_folder()?;
    for program in PROGRAMS {
        for words in [
            &["--version"][..],
            &["--version", "-n"],
            &["-n", "--version"],
        ] {
            let output = run(program, words, folder.path())?;
            assert_eq!(String::from_utf8_lossy(&output.stdout), "postgrey 1.37\n");
            assert_eq!(String::from_utf8_lossy(&output.stderr), "");
            assert_eq!(output.status.code(), Some(0));
        }
    }
    Ok(())
}

#[test]
fn help_names_every_option_and_ends_with_1() -> Result<()> {
    let folder = scratch_folder()?;
    let theirs = run(Program::Postgrey, &["--help"], folder.path())?;
    for words in [&["--help"][..], &["-h"], &["-h", "--inet=1"]] {
        let ours = run(Program::Greylatch, words, folder.path())?;
        assert_eq!(ours.status.code(), theirs.status.code());
        assert_eq!(ours.status.code(), Some(1));
        assert_eq!(String::from_utf8_lossy(&ours.stderr), "");
        assert_eq!(
            named_options(&ours.stdout),
            named_options(&theirs.stdout),
            "{}",
            String::from_utf8_lossy(&ours.stdout)
        );
    }
    Ok(())
}

#[test]
fn a_second_server_on_one_database_is_refused() -> Result<()> {
    for first in PROGRAMS {
        for second in PROGRAMS {
            let folder = scratch_folder()?;
            let server = Greylister::start(first, &setting(folder.path(), &[]))?;
            let socket = format!("--unix={}/second", folder.path().display());
            let output = run(second, &[&socket], folder.path())?;
            let stderr = String::from_utf8_lossy(&output.stderr);
            let lock = format!(
                "ERROR: locked: {}/db/postgrey.lock",
                folder.path().display()
            );
            assert_eq!(
                stderr.lines().last(),
                Some(lock.as_str()),
                "{second:?} beside {first:?}: {stderr}"
            );
            assert!(!output.status.success());
            assert!(server.stop()?.success());
        }
    }
    Ok(())
}

#[test]
fn hang_up_reads_the_lists_again() -> Result<()> {
    for program in PROGRAMS {
        let folder = scratch_folder()?;
        let list = folder.path().join("clients");
        fs::write(&list, "first.example\n")?;
        let mut option = OsString::from("--whitelist-clients=");
        option.push(&list);
        let mut server = Greylister::start(program, &setting(folder.path(), &[option]))?;
        let mut client = server.connect()?;
        let request = |name: &str| Message::of(("192.0.2.9", name), "a@b.example", "c@d.example");
        let is_exempt = |client: &mut PolicyClient, name: &str| -> Result<bool> {
            Ok(client.ask(&request(name).bytes())? == b"action=DUNNO\n\n")
        };
        assert!(is_exempt(&mut client, "first.example")?, "{program:?}");
        assert!(!is_exempt(&mut client, "second.example")?, "{program:?}");
        fs::write(&list, "second.example\n")?;
        server.daemon().hang_up()?;
        wait_for("the new list", LIMIT, || {
            is_exempt(&mut client, "second.example")
        })?;
        assert!(!is_exempt(&mut client, "first.example")?, "{program:?}");
        wait_for("the line about it", LIMIT, || {
            let log = String::from_utf8_lossy(&server.log()?).into_owned();
            Ok(log.contains("\nHUP received: reloading whitelists...\n"))
        })?;
        assert!(server.stop()?.success(), "{program:?}");
    }
    Ok(())
}

#[test]
fn in_the_background_it_leaves_its_number_and_cleans_up() -> Result<()> {
    for program in PROGRAMS {
        let folder = scratch_folder()?;
        let socket = folder.path().join("socket");
        let pidfile = folder.path().join("pid");
        let words = [
            "--daemonize".to_owned(),
            format!("--unix={}", socket.display()),
            format!("--pidfile={}", pidfile.display()),
        ];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = run(program, &words, folder.path())?;
        assert_eq!(output.status.code(), Some(0), "{program:?}");
        let endpoint = Endpoint::Unix(socket.clone());
        wait_for("its socket", LIMIT, || {
            Ok(PolicyClient::connect(&endpoint).is_ok())
        })
        .with_context(|| format!("{program:?}"))?;
        let text = fs::read_to_string(&pidfile)?;
        let pid: u32 = text.trim_end().parse()?;
        assert_eq!(text, format!("{pid}\n"), "{program:?}");
        assert_eq!(mode_of(&pidfile)?, 0o644, "{program:?}");
        let asked = PolicyClient::connect(&endpoint)?.ask(&Message::new().bytes())?;
        assert_eq!(asked, b"action=DUNNO\n\n", "{program:?}");
        // It is nobody's child any more: ask again until it hears.
        wait_for("its end", LIMIT, || {
            conformance::terminate(pid)?;
            std::thread::sleep(Duration::from_millis(200));
            Ok(!pidfile.exists() && !socket.exists())
        })
        .with_context(|| format!("{program:?}"))?;
    }
    Ok(())
}

#[test]
fn both_families_of_addresses_are_understood() -> Result<()> {
    // Postgrey needs modules of Perl for this that are not always there.
    for form in ["[::1]:PORT", "::1:PORT"] {
        let word = format!("--inet={form}");
        serve(Program::Greylatch, &[&word], "[::1]:PORT").with_context(|| word.clone())?;
    }
    Ok(())
}

/// Starts `program`, finds it at `place`, and ends it.
fn serve(program: Program, words: &[&str], place: &str) -> Result<()> {
    let folder = scratch_folder()?;
    let socket = folder.path().join("socket");
    if place.starts_with("unix:") {
        // One that a crash has left behind.
        fs::write(&socket, "")?;
    }
    let port = free_port()?.to_string();
    // Held throughout: a program that listened here too could not start.
    let held = TcpListener::bind(("127.0.0.1", 0))?;
    let other = held.local_addr()?.port().to_string();
    let fill = |text: &str| text.replace("PORT", &port).replace("OTHER", &other);
    let words: Vec<String> = words.iter().map(|word| fill(word)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut daemon = Daemon::start(
        command(program, &words, folder.path())?,
        &folder.path().join("stderr"),
    )?;
    let is_unix = place.strip_prefix("unix:");
    let endpoint = match is_unix {
        Some(_) => Endpoint::Unix(socket.clone()),
        None => Endpoint::Inet(fill(place).parse()?),
    };
    wait_for("its socket", LIMIT, || {
        ensure!(
            daemon.is_running()?,
            "it ended: {}",
            String::from_utf8_lossy(&daemon.stderr()?)
        );
        Ok(PolicyClient::connect(&endpoint).is_ok())
    })?;
    let answer = PolicyClient::connect(&endpoint)?.ask(&Message::new().bytes())?;
    ensure!(answer == b"action=DUNNO\n\n");
    if let Some(mode) = is_unix {
        ensure!(fs::symlink_metadata(&socket)?.file_type().is_socket());
        let mode = u32::from_str_radix(mode, 8)?;
        wait_for("the mode of its socket", LIMIT, || {
            Ok(mode_of(&socket)? == mode)
        })?;
    }
    ensure!(!folder.path().join("unused").exists());
    ensure!(daemon.terminate()?.success());
    ensure!(!socket.exists());
    Ok(())
}

/// Runs `program` to its end.
fn run(program: Program, words: &[&str], folder: &Path) -> Result<Output> {
    let mut command = command(program, words, folder)?;
    // A program that serves where it should end would hold up the test.
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let ended = wait_for("its end", LIMIT, || Ok(child.try_wait()?.is_some()));
    if ended.is_err() {
        child.kill()?;
    }
    ended.with_context(|| format!("{program:?} {words:?} goes on running"))?;
    Ok(child.wait_with_output()?)
}

fn command(program: Program, words: &[&str], folder: &Path) -> Result<std::process::Command> {
    let dbdir = folder.join("db");
    fs::create_dir_all(&dbdir)?;
    let folder = folder.display().to_string();
    let mut command = program.command()?;
    command.arg(format!("--dbdir={}", dbdir.display()));
    command.args(conformance::own_user_options()?);
    command.args(words.iter().map(|word| word.replace("DIR", &folder)));
    Ok(command)
}

fn setting<'a>(folder: &'a Path, options: &'a [OsString]) -> Setting<'a> {
    Setting {
        folder,
        door: Door::Unix,
        options,
        clock: None,
    }
}

fn mode_of(path: &Path) -> Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}

/// The long options that a help text names, sorted.
fn named_options(text: &[u8]) -> Vec<String> {
    let mut names: Vec<String> = String::from_utf8_lossy(text)
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("--"))
        .map(|word| word.split('=').next().unwrap_or_default().to_owned())
        .filter(|name| name != "test-time" && name != "whitelist-x")
        .collect();
    names.sort();
    names.dedup();
    names
}
