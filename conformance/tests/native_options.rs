//! Options of `greylatch.toml`, one test for each: it fails when the option is ignored. Options
//! that do not show on the wire have theirs beside the code that obeys them.
//!
//! Time is what the requests tell, so nothing here waits for a clock, except where an option is
//! about real time.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use conformance::{
    Daemon, Endpoint, Heard, HttpClient, Message, Native, PolicyClient, free_port, scratch_folder,
    wait_for,
};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use tempfile::TempDir;

/// Longer than anything takes, so that a lost answer does not hang the run.
const LIMIT: Duration = Duration::from_secs(20);
const PASS: &str = "DUNNO";
const DEFER: &str = "DEFER_IF_PERMIT Greylisted, please try again in 60 seconds";
const REFUSE: &str = "REJECT Mail from you is not accepted here";

struct Server {
    native: Native,
    folder: TempDir,
}

impl Server {
    fn new(configuration: &str) -> Result<Self> {
        let folder = scratch_folder()?;
        let native = Native::start(folder.path(), configuration)?;
        Ok(Self { native, folder })
    }

    /// The answer at this second, without what follows its first word when it passes with a header.
    fn at(&self, at: u64, message: &Message) -> Result<String> {
        let action = self.native.ask_at(at, message)?;
        Ok(match action.starts_with("PREPEND ") {
            true => PASS.to_owned(),
            false => action,
        })
    }

    /// Asks in this order and compares.
    #[track_caller]
    fn expect(&self, asked: &[(u64, &Message, &str)]) -> Result<()> {
        for (nth, (at, message, expected)) in asked.iter().enumerate() {
            let action = self.at(*at, message)?;
            ensure!(
                action == *expected,
                "question {}: {action:?}, not {expected:?}",
                nth + 1
            );
        }
        Ok(())
    }
}

fn from(client: &str, sender: &str) -> Message {
    at_stage("RCPT", client, sender)
}

fn at_stage(stage: &str, client: &str, sender: &str) -> Message {
    Message::of((client, "unknown"), sender, "bob@example.org").with("protocol_state", stage)
}

fn alice() -> Message {
    from("192.0.2.7", "alice@example.com")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn is_root() -> Result<bool> {
    Ok(fs::metadata("/proc/self")?.uid() == 0)
}

// option: listen.policy
#[test]
fn it_listens_at_every_socket_with_its_mode_and_owner() -> Result<()> {
    let port = free_port()?;
    // Who is number 1 differs, but everywhere there is one.
    let (owner, ids) = match is_root()? {
        true => (", owner = \"1:1\"", (1, 1)),
        false => {
            let own = fs::metadata("/proc/self")?;
            ("", (own.uid(), own.gid()))
        }
    };
    let server = Server::new(&format!(
        "listen.policy = [\"127.0.0.1:{port}\", \"unix:DIR/policy\", \
         {{ path = \"DIR/narrow\", mode = \"0640\"{owner} }}]\n"
    ))?;
    let folder = server.folder.path();
    let narrow = fs::metadata(folder.join("narrow"))?;
    let modes = [
        narrow.permissions().mode(),
        fs::metadata(folder.join("policy"))?.permissions().mode(),
    ];
    ensure!(
        modes.map(|mode| mode & 0o777) == [0o640, 0o666],
        "{modes:?}"
    );
    ensure!((narrow.uid(), narrow.gid()) == ids);
    for endpoint in [
        Endpoint::Inet(([127, 0, 0, 1], port).into()),
        Endpoint::Unix(folder.join("policy")),
        Endpoint::Unix(folder.join("narrow")),
    ] {
        let answer = PolicyClient::connect(&endpoint)?.ask(&alice().bytes())?;
        ensure!(answer == format!("action={DEFER}\n\n").as_bytes());
    }
    Ok(())
}

// option: listen.control
#[test]
fn the_tools_find_it_at_its_control_socket() -> Result<()> {
    let server = Server::new("listen.control = \"unix:DIR/control\"\n")?;
    let mode = fs::metadata(server.folder.path().join("control"))?
        .permissions()
        .mode();
    ensure!(mode & 0o777 == 0o600, "{mode:o}");
    ensure!(server.native.tool("status", &[])?.status.success());
    Ok(())
}

#[test]
fn check_shows_every_socket_with_what_is_spoken_there() -> Result<()> {
    let folder = scratch_folder()?;
    let listens = "listen.policy = [\"127.0.0.1:10023\", \"unix:/Run/Policy\"]\n\
        listen.milter = [\"[::1]:10024\"]\nlisten.greylistd = [\"unix:/run/greylistd/socket\"]\n\
        listen.http = [\"unix:/run/http\"]\nlisten.control = \"unix:/run/control\"\n";
    let mut command = Native::command(folder.path(), listens)?;
    let words = command.get_args().map(ToOwned::to_owned);
    let words: Vec<_> = words.skip(1).collect();
    command = Command::new(command.get_program());
    let done = command.arg("check").args(words).output()?;
    ensure!(done.status.success(), "{done:?}");
    let told = String::from_utf8(done.stdout)?;
    let expected = "\
listens on       policy     127.0.0.1:10023
                 policy     unix:/Run/Policy
                 milter     [::1]:10024
                 greylistd  unix:/run/greylistd/socket
                 http       unix:/run/http
                 control    unix:/run/control
delay            1m
";
    ensure!(told.contains(expected), "{told}");
    Ok(())
}

// option: listen.connections_max
#[test]
fn one_connection_too_many_waits_until_another_closes() -> Result<()> {
    let server = Server::new("listen.connections_max = 1\n")?;
    let mut first = server.native.connect()?;
    first.ask(&alice().bytes())?;
    let mut second = server.native.connect()?;
    second.send(&alice().bytes())?;
    ensure!(second.hear(Duration::from_millis(200))? == Heard::Silence);
    drop(first);
    ensure!(matches!(second.hear(LIMIT)?, Heard::Answer(_)));
    Ok(())
}

/// Each listener is asked while the others are quiet, with one permit for all of them.
#[test]
fn every_listener_accepts_however_few_connections_there_may_be() -> Result<()> {
    let listens = "listen.connections_max = 1\n\
        listen.policy = [\"unix:DIR/policy\", \"unix:DIR/second\", \"unix:DIR/third\"]\n\
        listen.greylistd = [\"unix:DIR/greylistd\"]\nlisten.http = [\"unix:DIR/http\"]\n";
    let server = Server::new(listens)?;
    let at = |name: &str| Endpoint::Unix(server.folder.path().join(name));
    for name in ["third", "policy", "second", "third"] {
        let answer = PolicyClient::connect(&at(name))?.ask(&alice().bytes())?;
        ensure!(answer.starts_with(b"action="), "{name}: {answer:?}");
        HttpClient::connect(&at("http"))?.ask("GET /", "", b"")?;
    }
    // One that waits at another listener is next when the only one ends.
    let mut first = PolicyClient::connect(&at("second"))?;
    first.ask(&alice().bytes())?;
    let mut next = PolicyClient::connect(&at("third"))?;
    next.send(&alice().bytes())?;
    ensure!(next.hear(Duration::from_millis(200))? == Heard::Silence);
    drop(first);
    ensure!(matches!(next.hear(LIMIT)?, Heard::Answer(_)));
    Ok(())
}

// option: listen.backlog
#[test]
fn the_kernel_holds_as_many_connections_as_the_backlog_says() -> Result<()> {
    let server = Server::new("listen.connections_max = 1\nlisten.backlog = 3\n")?;
    let mut only = server.native.connect()?;
    only.ask(&alice().bytes())?;
    let address = UnixAddr::new(&server.folder.path().join("policy"))?;
    let mut held = Vec::new();
    let mut is_accepted = false;
    let refused = loop {
        let socket = socket(
            AddressFamily::Unix,
            SockType::Stream,
            SockFlag::SOCK_NONBLOCK,
            None,
        )?;
        match connect(std::os::fd::AsRawFd::as_raw_fd(&socket), &address) {
            Ok(()) => held.push(socket),
            Err(errno) if is_accepted => break errno,
            // Time to accept the one that waits for its permit.
            Err(_) => {
                is_accepted = true;
                sleep(Duration::from_millis(500));
            }
        }
        ensure!(held.len() < 100, "there is no end");
    };
    // Linux lets one more in than the number says, and one is accepted already.
    ensure!(
        (refused, held.len()) == (Errno::EAGAIN, 5),
        "{}",
        held.len()
    );
    Ok(())
}

// option: listen.idle_timeout
#[test]
fn a_connection_on_which_nothing_is_asked_is_closed() -> Result<()> {
    let server = Server::new("listen.idle_timeout = \"1s\"\n")?;
    let heard = server.native.connect()?.hear(LIMIT)?;
    ensure!(heard == Heard::Closed(Vec::new()), "{heard:?}");
    Ok(())
}

// option: listen.request_timeout
#[test]
fn a_request_that_does_not_end_closes_its_connection() -> Result<()> {
    let server = Server::new("listen.request_timeout = \"1s\"\n")?;
    let mut client = server.native.connect()?;
    client.send(b"request=smtpd_access_policy\n")?;
    let heard = client.hear(LIMIT)?;
    ensure!(heard == Heard::Closed(Vec::new()), "{heard:?}");
    let log = server.native.stop()?;
    ensure!(log.contains("a request was not complete in time"), "{log}");
    Ok(())
}

// option: process.user process.group
#[test]
fn it_becomes_the_user_and_the_groups_it_is_told() -> Result<()> {
    for (option, text) in [
        ("user", "No such user \"no-such-name\""),
        ("group", "No such group \"no-such-name\""),
    ] {
        let folder = scratch_folder()?;
        let configuration = format!("process.{option} = \"no-such-name\"\n");
        let command = Native::command(folder.path(), &configuration)?;
        let mut daemon = Daemon::start(command, &folder.path().join("stderr"))?;
        wait_for("its end", LIMIT, || Ok(!daemon.is_running()?))?;
        let error = String::from_utf8(daemon.stderr()?)?;
        ensure!(error.contains(text), "{error}");
    }
    // Only root can become somebody else.
    if is_root()? {
        let mut server = Server::new("process.user = \"1\"\nprocess.group = \"2,3\"\n")?;
        // It answers once privileges are dropped; its sockets are there before.
        server.expect(&[(1_000, &alice(), DEFER)])?;
        let pid = server.native.daemon().pid();
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        for line in ["Uid:\t1\t1\t1\t1", "Gid:\t2\t2\t2\t2", "Groups:\t2 3 "] {
            ensure!(status.lines().any(|found| found == line), "{status}");
        }
    }
    Ok(())
}

// option: greylist.delay policy.test_time
#[test]
fn a_retry_passes_when_the_delay_is_over() -> Result<()> {
    let server = Server::new("greylist.delay = \"5m\"\npolicy.test_time = true\n")?;
    let early = |left: u32| DEFER.replace("60", &left.to_string());
    server.expect(&[
        (1_000, &alice(), &early(300)),
        (1_299, &alice(), &early(1)),
        (1_300, &alice(), PASS),
    ])?;
    let server = Server::new("policy.test_time = false\n")?;
    server.expect(&[(1_000, &alice(), DEFER), (9_000, &alice(), DEFER)])
}

// option: greylist.retry_window
#[test]
fn a_retry_after_the_window_starts_over() -> Result<()> {
    let server = Server::new("greylist.retry_window = \"1h\"\n")?;
    server.expect(&[
        (1_000, &alice(), DEFER),
        (4_601, &alice(), DEFER),
        (8_201, &alice(), PASS),
    ])
}

// option: greylist.lifetime
#[test]
fn a_sender_is_forgotten_when_its_lifetime_is_over() -> Result<()> {
    let server = Server::new("greylist.lifetime = \"3d\"\n")?;
    let day = 86_400;
    server.expect(&[
        (1_000, &alice(), DEFER),
        (2_000, &alice(), PASS),
        (2_000 + 2 * day, &alice(), PASS),
        (2_000 + 7 * day, &alice(), DEFER),
    ])
}

// option: greylist.ipv4_prefix greylist.ipv6_prefix
#[test]
fn clients_count_as_one_by_as_many_bits_as_told() -> Result<()> {
    let server = Server::new("greylist.ipv4_prefix = 28\ngreylist.ipv6_prefix = 120\n")?;
    for [first, near, far] in [
        ["192.0.2.1", "192.0.2.14", "192.0.2.17"],
        ["2001:db8::1", "2001:db8::ff", "2001:db8::101"],
    ] {
        let of = |client| from(client, "alice@example.com");
        server.expect(&[
            (1_000, &of(first), DEFER),
            (2_000, &of(far), DEFER),
            (2_000, &of(near), PASS),
        ])?;
    }
    Ok(())
}

// option: greylist.mode
#[test]
fn learning_passes_everything_and_says_what_would_wait() -> Result<()> {
    let server = Server::new("greylist.mode = \"learn\"\n")?;
    server.expect(&[(1_000, &alice(), PASS)])?;
    let log = server.native.stop()?;
    ensure!(log.contains("reason=would-defer"), "{log}");
    Ok(())
}

// option: greylist.identity
#[test]
fn a_forwarded_sender_is_known_again_only_by_our_own_identity() -> Result<()> {
    let forwarded = |hash: &str| {
        from(
            "192.0.2.7",
            &format!("SRS0={hash}=TT=example.com=alice@forward.example"),
        )
    };
    let neighbour = from("192.0.2.8", "carol@example.com");
    for (identity, of_forwarded, of_neighbour) in [
        ("native", PASS, PASS),
        ("postgrey", DEFER, PASS),
        ("postgrey-by-host", DEFER, DEFER),
    ] {
        let server = Server::new(&format!("greylist.identity = \"{identity}\"\n"))?;
        server
            .expect(&[
                (1_000, &forwarded("AAAA"), DEFER),
                (2_000, &forwarded("BBBB"), of_forwarded),
                (1_000, &from("192.0.2.7", "carol@example.com"), DEFER),
                (2_000, &neighbour, of_neighbour),
            ])
            .context(identity)?;
    }
    Ok(())
}

// option: greylist.exempt_clients_after
#[test]
fn a_client_is_exempt_after_as_many_passes_as_told() -> Result<()> {
    for (after, expected) in [(1, PASS), (0, DEFER)] {
        let server = Server::new(&format!("greylist.exempt_clients_after = {after}\n"))?;
        server.expect(&[
            (1_000, &alice(), DEFER),
            (2_000, &alice(), PASS),
            (2_001, &from("192.0.2.7", "mallory@example.net"), expected),
        ])?;
    }
    Ok(())
}

// option: greylist.null_sender
#[test]
fn bounces_are_judged_where_the_option_says() -> Result<()> {
    let at_rcpt = from("192.0.2.7", "");
    let at_data = at_stage("DATA", "192.0.2.8", "").with("recipient_count", "1");
    for (word, rcpt, data) in [
        ("rcpt", DEFER, DEFER),
        ("data", PASS, DEFER),
        ("exempt", PASS, PASS),
    ] {
        let server = Server::new(&format!("greylist.null_sender = \"{word}\"\n"))?;
        server
            .expect(&[(1_000, &at_rcpt, rcpt), (1_000, &at_data, data)])
            .context(word)?;
    }
    Ok(())
}

// option: greylist.exempt_authenticated greylist.exempt_local greylist.shipped_lists
#[test]
fn what_is_exempt_by_default_is_greylisted_when_told() -> Result<()> {
    let user = alice().with("sasl_username", "alice");
    let local = from("127.0.0.1", "alice@example.com");
    let postmaster = alice().with("recipient", "postmaster@example.org");
    let rows = [
        ("exempt_authenticated", user),
        ("exempt_local", local),
        ("shipped_lists", postmaster),
    ];
    for (option, message) in rows {
        for (value, expected) in [(true, PASS), (false, DEFER)] {
            let server = Server::new(&format!("greylist.{option} = {value}\n"))?;
            server
                .expect(&[(1_000, &message, expected)])
                .context(option)?;
        }
    }
    Ok(())
}

// option: greylist.waiting_per_network
#[test]
fn a_network_that_guesses_is_no_longer_remembered() -> Result<()> {
    let server = Server::new("greylist.waiting_per_network = 2\n")?;
    let guess = |nth: u32| from("192.0.2.7", &format!("guess{nth}@example.com"));
    server.expect(&[
        (1_000, &guess(1), DEFER),
        (1_000, &guess(2), DEFER),
        (1_000, &guess(3), DEFER),
        (2_000, &guess(3), DEFER),
        (2_000, &guess(1), PASS),
    ])
}

// option: greylist.waiting_max
#[test]
fn the_oldest_waiting_entries_make_room() -> Result<()> {
    let server = Server::new("greylist.waiting_max = 2\n")?;
    let of = |nth: u32| from(&format!("198.51.{nth}.1"), "alice@example.com");
    server.expect(&[
        (1_000, &of(1), DEFER),
        (1_100, &of(2), DEFER),
        (1_200, &of(3), DEFER),
        (1_300, &of(4), DEFER),
        (1_400, &of(4), PASS),
        (1_400, &of(1), DEFER),
    ])
}

// option: greylist.reply policy.defer_action
#[test]
fn a_deferral_has_the_action_and_the_text_that_are_told() -> Result<()> {
    let server = Server::new(
        "policy.defer_action = \"451 4.7.1\"\ngreylist.reply = \"Wait %s s for %r\"\n",
    )?;
    server.expect(&[(1_000, &alice(), "451 4.7.1 Wait 60 s for example.org")])
}

// option: greylist.header greylist.hostname
#[test]
fn mail_that_waited_has_the_header_that_is_told() -> Result<()> {
    let server =
        Server::new("greylist.header = \"X-Test: %t at %h\"\ngreylist.hostname = \"mx.test\"\n")?;
    server.at(1_000, &alice())?;
    let action = server.native.ask_at(2_000, &alice())?;
    ensure!(action == "PREPEND X-Test: 1000 at mx.test", "{action}");
    Ok(())
}

// option: policy.close_after_answer
#[test]
fn the_connection_is_closed_after_an_answer_when_told() -> Result<()> {
    let server = Server::new("policy.close_after_answer = true\n")?;
    let mut client = server.native.connect()?;
    client.ask(&alice().bytes())?;
    let heard = client.hear(LIMIT)?;
    ensure!(heard == Heard::Closed(Vec::new()), "{heard:?}");
    Ok(())
}

// option: policy.every_stage
#[test]
fn every_stage_is_judged_when_told() -> Result<()> {
    let early = at_stage("MAIL", "192.0.2.7", "alice@example.com");
    for (value, expected) in [(true, DEFER), (false, PASS)] {
        let server = Server::new(&format!("policy.every_stage = {value}\n"))?;
        server.expect(&[(1_000, &early, expected)])?;
    }
    Ok(())
}

// option: policy.silent_on_unknown
#[test]
fn an_unknown_request_gets_no_answer_when_told() -> Result<()> {
    for (value, first) in [(true, DEFER), (false, PASS)] {
        let server = Server::new(&format!("policy.silent_on_unknown = {value}\n"))?;
        let mut client = server.native.connect()?;
        client.send(b"request=strange\n\n")?;
        let answer = client.ask(&alice().bytes())?;
        ensure!(answer == format!("action={first}\n\n").as_bytes());
    }
    Ok(())
}

// option: cluster.hosts
#[test]
fn our_own_hosts_pass() -> Result<()> {
    let server = Server::new("cluster.hosts = [\"192.0.2.0/28\"]\n")?;
    server.expect(&[
        (1_000, &alice(), PASS),
        (1_000, &from("192.0.2.17", "alice@example.com"), DEFER),
    ])
}

// option: lists.clients lists.recipients
#[test]
fn what_the_lists_name_passes() -> Result<()> {
    let folder = scratch_folder()?;
    fs::write(folder.path().join("clients"), "192.0.2.7\n")?;
    fs::write(folder.path().join("recipients"), "carol@\n")?;
    let native = Native::start(
        folder.path(),
        "lists.clients = [\"DIR/clients\"]\nlists.recipients = [\"DIR/recipients\"]\n",
    )?;
    let server = Server { native, folder };
    let stranger = from("198.51.100.1", "alice@example.com");
    let to_carol = stranger.clone().with("recipient", "carol@example.org");
    server.expect(&[
        (1_000, &alice(), PASS),
        (1_000, &to_carol, PASS),
        (1_000, &stranger, DEFER),
    ])
}

// option: store.url
#[test]
fn memory_is_where_the_url_says() -> Result<()> {
    let server = Server::new("store.url = \"embedded:DIR/store\"\n")?;
    server.expect(&[(1_000, &alice(), DEFER)])?;
    let Server { native, folder } = server;
    native.stop()?;
    ensure!(folder.path().join("store").is_dir());
    ensure!(!folder.path().join("state").exists());
    let native = Native::start(folder.path(), "store.url = \"embedded:DIR/store\"\n")?;
    Server { native, folder }.expect(&[(2_000, &alice(), PASS)])
}

// option: store.on_failure
#[test]
fn a_store_that_is_away_is_answered_for_as_told() -> Result<()> {
    // Only one process may have a directory.
    let holder = Server::new("store.url = \"embedded:DIR/store\"\n")?;
    holder.expect(&[(1_000, &alice(), DEFER)])?;
    let store = holder.folder.path().join("store");
    for (word, expected) in [("pass", PASS), ("defer", DEFER)] {
        let server = Server::new(&format!(
            "store.url = \"embedded:{}\"\nstore.on_failure = \"{word}\"\n",
            store.display()
        ))?;
        server
            .expect(&[(1_000, &alice(), expected)])
            .context(word)?;
        let log = server.native.stop()?;
        ensure!(log.contains("reason=store-down"), "{log}");
    }
    Ok(())
}

// option: store.privacy
#[test]
fn with_privacy_no_address_is_kept() -> Result<()> {
    for (value, expected) in [(true, false), (false, true)] {
        let server = Server::new(&format!("store.privacy = {value}\n"))?;
        server.expect(&[(1_000, &alice(), DEFER), (2_000, &alice(), PASS)])?;
        let exported = told(&server.native.tool("entries", &["export", "--all"])?);
        ensure!(exported.lines().count() == 1, "{exported}");
        ensure!(exported.contains("alice") == expected, "{exported}");
    }
    Ok(())
}

// option: store.privacy_key
#[test]
fn a_store_is_kept_with_one_secret_only() -> Result<()> {
    let with = |key: &str| {
        format!(
            "store.url = \"embedded:DIR/store\"\nstore.privacy = true\n\
             store.privacy_key = \"DIR/{key}\"\n"
        )
    };
    let server = Server::new(&with("one"))?;
    server.expect(&[(1_000, &alice(), DEFER)])?;
    let Server { native, folder } = server;
    native.stop()?;
    let mode = fs::metadata(folder.path().join("one"))?
        .permissions()
        .mode();
    ensure!(mode & 0o777 == 0o600, "{mode:o}");

    let native = Native::start(folder.path(), &with("one"))?;
    let server = Server { native, folder };
    server.expect(&[(2_000, &alice(), PASS)])?;
    let Server { native, folder } = server;
    native.stop()?;

    let mut other = Native::command(folder.path(), &with("other"))?
        .stderr(std::process::Stdio::piped())
        .spawn()?;
    wait_for("its end", LIMIT, || Ok(other.try_wait()?.is_some()))?;
    let ended = other.wait_with_output()?;
    let error = String::from_utf8_lossy(&ended.stderr).into_owned();
    ensure!(ended.status.code() == Some(78), "{}: {error}", ended.status);
    ensure!(error.contains("so nothing in it would be found"), "{error}");
    Ok(())
}

// option: rule.client rule.name rule.sender rule.recipient rule.helo rule.authenticated rule.tls
#[test]
fn a_rule_holds_where_its_condition_does() -> Result<()> {
    let other = from("198.51.100.1", "carol@example.com");
    let name = Message::of(
        ("198.51.100.1", "mx.bad.example"),
        "carol@example.com",
        "bob@example.org",
    )
    .with("protocol_state", "RCPT");
    let rows = [
        ("client = [\"192.0.2.0/28\"]", alice()),
        ("name = [\"bad.example\"]", name),
        (
            "sender = [\"@bad.example\"]",
            from("198.51.100.1", "carol@bad.example"),
        ),
        (
            "recipient = [\"sales@\"]",
            other.clone().with("recipient", "sales@example.org"),
        ),
        (
            "helo = [\"localhost\"]",
            other.clone().with("helo_name", "localhost"),
        ),
        (
            "authenticated = true",
            other.clone().with("sasl_username", "carol"),
        ),
        (
            "tls = true",
            other.clone().with("encryption_protocol", "TLSv1.3"),
        ),
    ];
    let mut configuration = "greylist.exempt_authenticated = false\n".to_owned();
    for (condition, _) in &rows {
        configuration += &format!("[[rule]]\n{condition}\nthen = \"refuse\"\n");
    }
    let server = Server::new(&configuration)?;
    for (condition, message) in &rows {
        server
            .expect(&[(1_000, message, REFUSE)])
            .context(*condition)?;
    }
    server.expect(&[(1_000, &other, DEFER)])
}

// option: rule.then rule.delay
#[test]
fn a_rule_says_what_becomes_of_mail_and_how_long_it_waits() -> Result<()> {
    let of = |who: &str| from("192.0.2.7", &format!("{who}@example.com"));
    let rule = |who: &str, then: &str| {
        format!("[[rule]]\nsender = [\"{who}@example.com\"]\nthen = {then}\n")
    };
    let server = Server::new(
        &[
            rule("friend", "\"exempt\""),
            rule("foe", "\"refuse\""),
            rule("slow", "\"greylist\"\ndelay = \"15m\""),
        ]
        .concat(),
    )?;
    let slow = |left: u32| DEFER.replace("60", &left.to_string());
    server.expect(&[
        (1_000, &of("friend"), PASS),
        (1_000, &of("foe"), REFUSE),
        (1_000, &of("slow"), &slow(900)),
        (1_899, &of("slow"), &slow(1)),
        (1_900, &of("slow"), PASS),
    ])
}

/// What is logged of one deferral with this configuration.
fn log_of_one(configuration: &str) -> Result<String> {
    let server = Server::new(configuration)?;
    server.expect(&[(1_000, &alice(), DEFER)])?;
    server.native.stop()
}

// option: log.format
#[test]
fn a_decision_is_written_in_the_form_that_is_told() -> Result<()> {
    for (format, text) in [
        (
            "postgrey",
            "action=greylist, reason=new, client_name=unknown, ",
        ),
        ("logfmt", "verdict=defer reason=new "),
        ("json", "\"verdict\":\"defer\",\"reason\":\"new\""),
    ] {
        let log = log_of_one(&format!("log.format = \"{format}\"\n"))?;
        ensure!(log.contains(text), "{format}: {log}");
    }
    Ok(())
}

#[test]
fn the_forms_with_fields_say_the_network_and_how_long_the_store_took() -> Result<()> {
    for (format, net, store_ms) in [
        ("logfmt", " net=192.0.2.0/24 ", " store_ms="),
        ("json", "\"net\":\"192.0.2.0/24\"", "\"store_ms\":"),
    ] {
        let log = log_of_one(&format!("log.format = \"{format}\"\n"))?;
        ensure!(log.contains(net) && log.contains(store_ms), "{log}");
        let exempt = log_of_exempt(format)?;
        ensure!(
            exempt.contains(net) && !exempt.contains(store_ms),
            "{exempt}"
        );
    }
    Ok(())
}

/// What is logged of mail that needs no store.
fn log_of_exempt(format: &str) -> Result<String> {
    let server = Server::new(&format!(
        "log.format = \"{format}\"\ncluster.hosts = [\"192.0.2.7\"]\n"
    ))?;
    server.expect(&[(1_000, &alice(), PASS)])?;
    server.native.stop()
}

// option: log.to
#[test]
fn lines_go_where_the_option_says() -> Result<()> {
    for (to, is_here) in [("stderr", true), ("syslog", false), ("journald", false)] {
        let log = log_of_one(&format!("log.to = \"{to}\"\n"))?;
        ensure!(log.contains("reason=new") == is_here, "{to}: {log}");
    }
    Ok(())
}

// option: log.level
#[test]
fn as_much_is_written_as_is_told() -> Result<()> {
    for (level, decisions, connections) in [
        ("quiet", false, false),
        ("normal", true, false),
        ("verbose", true, true),
    ] {
        let log = log_of_one(&format!("log.level = \"{level}\"\n"))?;
        let found = (
            log.contains("reason=new"),
            log.contains("CONNECT UNIX Socket"),
        );
        ensure!(found == (decisions, connections), "{level}: {log}");
    }
    Ok(())
}

// option: log.ident
#[test]
fn the_first_line_names_who_starts() -> Result<()> {
    let log = log_of_one("log.ident = \"gl-test\"\nlog.format = \"logfmt\"\n")?;
    ensure!(log.contains(" gl-test starting, process "), "{log}");
    Ok(())
}
