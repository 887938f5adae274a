//! The main job with a real Haraka that asks over HTTP by the plugin that is shipped for it.

use std::fs;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use conformance::{
    Clock, EPISODE_START, Haraka, Plan, Serving, SmtpClient, SmtpReply, free_port, headers,
    scratch_folder, shipped,
};
use serde_json::Value;
use tempfile::TempDir;

const TOKEN: &str = "check-0123456789abcdef";
const NEWCOMER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const BOB: &str = "bob@example.org";
const CID: &str = "cid@example.org";
const RULES: &str = "[[rule]]\nsender = [\"bad@x.example\"]\nthen = \"refuse\"\n";

/// How long the plugin waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// What else may take time beside it.
const SLACK: Duration = Duration::from_secs(3);

/// By what Haraka asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Road {
    Unix,
    Tcp,
    Tls,
}

/// Haraka asks our daemon, under a clock that the test sets.
struct Scene {
    haraka: Haraka,
    server: Serving,
    clock: Clock,
    folder: TempDir,
}

impl Scene {
    /// With these lines of `[greylist]`; at a unix socket, or over TCP with a token.
    fn start(greylist: &str, road: Road) -> Result<Self> {
        let folder = scratch_folder()?;
        let clock = Clock::new(folder.path(), EPISODE_START)?;
        let port = free_port()?;
        let tokens = folder.path().join("tokens");
        fs::write(&tokens, format!("check {TOKEN}\n"))?;
        let test_files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http");
        let certificate = test_files.join("certificate.pem");
        let tls = match road {
            Road::Unix | Road::Tcp => String::new(),
            Road::Tls => format!(
                "certificate = \"{}\"\nkey = \"{}\"\n",
                certificate.display(),
                test_files.join("key.pem").display()
            ),
        };
        let server = Serving::start(&Plan {
            listen: &format!(
                "http = [\"unix:{}\", \"127.0.0.1:{port}\"]",
                socket(folder.path()).display()
            ),
            greylist: &format!("hostname = \"mx.example.org\"\n{greylist}"),
            tables: &format!(
                "{RULES}[http]\ntoken_file = \"{}\"\n{tls}",
                tokens.display()
            ),
            clock: Some(&clock),
            ..Plan::new(folder.path(), &folder.path().join("store"))
        })?;
        let url = |scheme| {
            ini(
                "url",
                &format!("{scheme}://127.0.0.1:{port}\ntoken={TOKEN}"),
            )
        };
        let ini = match road {
            Road::Unix => ini("socket", &socket(folder.path()).to_string_lossy()),
            Road::Tcp => url("http"),
            Road::Tls => url("https"),
        }?;
        let trusted = (road == Road::Tls).then_some(&*certificate);
        let haraka = Haraka::start_trusting(&ini, trusted)?;
        Ok(Self {
            haraka,
            server,
            clock,
            folder,
        })
    }

    fn connect(&self) -> Result<SmtpClient> {
        SmtpClient::connect(NEWCOMER, self.haraka.port())
    }

    /// The answer for one recipient.
    fn attempt(&self, sender: &str) -> Result<SmtpReply> {
        attempt(&self.haraka, sender)
    }

    /// How often it was asked.
    fn questions(&self) -> Result<u64> {
        let status = self.server.status()?;
        let verdicts = status["verdicts"].as_object().context("verdicts")?;
        Ok(verdicts.values().filter_map(Value::as_u64).sum())
    }
}

fn socket(folder: &Path) -> std::path::PathBuf {
    folder.join("http")
}

/// The configuration that is shipped, with another place to ask at.
fn ini(name: &str, value: &str) -> Result<String> {
    let text = shipped("haraka/config/greylatch.ini")?;
    let line = "socket=/run/greylatch/http\n";
    ensure!(text.contains(line), "no {line}");
    Ok(text.replace(line, &format!("{name}={value}\n")))
}

fn attempt(haraka: &Haraka, sender: &str) -> Result<SmtpReply> {
    let mut client = SmtpClient::connect(NEWCOMER, haraka.port())?;
    let (replies, _) = client.deliver(sender, &[BOB])?;
    replies.into_iter().next().context("one reply")
}

fn reply(code: u16, text: &str) -> SmtpReply {
    SmtpReply {
        code,
        text: text.into(),
    }
}

#[test]
fn a_new_sender_waits_and_passes_with_one_header_by_every_road() -> Result<()> {
    for road in [Road::Unix, Road::Tcp, Road::Tls] {
        let mut scene = Scene::start("", road)?;
        let deferred = "4.7.1 Greylisted, please try again in 60 seconds";
        assert_eq!(scene.attempt("new@x.example")?, reply(451, deferred));
        scene.clock.set(EPISODE_START + 59)?;
        let early = "4.7.1 Greylisted, please try again in 1 seconds";
        assert_eq!(scene.attempt("new@x.example")?, reply(451, early));
        let refused = "5.7.1 Mail from you is not accepted here";
        assert_eq!(scene.attempt("bad@x.example")?, reply(550, refused));
        // The second recipient is new, and asked again with the first.
        scene.clock.set(EPISODE_START + 60)?;
        let mut client = scene.connect()?;
        let (replies, end) = client.deliver("new@x.example", &[BOB, CID])?;
        let codes: Vec<u16> = replies.iter().map(|reply| reply.code).collect();
        assert_eq!(
            (codes, end.map(|end| end.code)),
            (vec![250, 451], Some(250))
        );
        let mail = scene.haraka.mail(1)?;
        let told = headers(&mail[0], "X-Greylist");
        assert_eq!(told.len(), 1, "{mail:?}");
        let begins = "X-Greylist: delayed 60 seconds by greylatch-";
        assert!(told[0].starts_with(begins), "{told:?}");
        scene
            .server
            .wait_for_log("frontend=http client=127.0.0.2")?;
        scene.server.wait_for_log("queue_id=")?;
    }
    Ok(())
}

#[test]
fn two_recipients_who_waited_get_one_header() -> Result<()> {
    let mut scene = Scene::start("", Road::Unix)?;
    let (replies, _) = scene.connect()?.deliver("new@x.example", &[BOB, CID])?;
    assert!(replies.iter().all(|reply| reply.code == 451), "{replies:?}");
    scene.clock.set(EPISODE_START + 61)?;
    let (replies, _) = scene.connect()?.deliver("new@x.example", &[BOB, CID])?;
    assert!(replies.iter().all(|reply| reply.code == 250), "{replies:?}");
    assert_eq!(headers(&scene.haraka.mail(1)?[0], "X-Greylist").len(), 1);
    Ok(())
}

#[test]
fn unknown_recipients_are_not_asked_about() -> Result<()> {
    let scene = Scene::start("", Road::Unix)?;
    let (replies, _) = scene
        .connect()?
        .deliver("new@x.example", &["bob@elsewhere.example"])?;
    assert_eq!(replies[0].code, 550);
    assert_eq!(scene.questions()?, 0);
    Ok(())
}

#[test]
fn a_bounce_is_decided_at_data_when_told() -> Result<()> {
    let mut scene = Scene::start("null_sender = \"data\"\n", Road::Unix)?;
    let at_data = |scene: &Scene, recipients: &[&str]| -> Result<SmtpReply> {
        let mut client = scene.connect()?;
        ensure!(client.command("MAIL FROM:<>")?.code == 250, "MAIL");
        for recipient in recipients {
            let reply = client.command(&format!("RCPT TO:<{recipient}>"))?;
            ensure!(reply.code == 250, "{reply:?}");
        }
        client.command("DATA")
    };
    let deferred = "4.7.1 Greylisted, please try again in 60 seconds";
    assert_eq!(at_data(&scene, &[BOB])?, reply(451, deferred));
    scene.clock.set(EPISODE_START + 60)?;
    assert_eq!(at_data(&scene, &[BOB])?.code, 354);
    // One verdict for several cannot be right.
    assert_eq!(at_data(&scene, &[BOB, CID])?.code, 354);
    Ok(())
}

#[test]
fn mail_goes_on_when_the_daemon_is_away_and_is_asked_about_when_it_is_back() -> Result<()> {
    let Scene {
        haraka,
        server,
        clock,
        folder,
    } = Scene::start("", Road::Unix)?;
    assert_eq!(attempt(&haraka, "new@x.example")?.code, 451);
    server.stop()?;
    let begun = Instant::now();
    assert_eq!(attempt(&haraka, "new@x.example")?.code, 250);
    assert!(begun.elapsed() < SLACK, "{:?}", begun.elapsed());
    let log = haraka.log()?;
    assert!(
        log.contains("no answer from Greylatch, mail goes on"),
        "{log}"
    );
    let again = Serving::start(&Plan {
        listen: &format!("http = [\"unix:{}\"]", socket(folder.path()).display()),
        clock: Some(&clock),
        ..Plan::new(folder.path(), &folder.path().join("store"))
    })?;
    assert_eq!(attempt(&haraka, "new@x.example")?.code, 451);
    again.stop()?;
    Ok(())
}

#[test]
fn mail_goes_on_when_the_answer_is_late_or_none() -> Result<()> {
    let folder = scratch_folder()?;
    let path = socket(folder.path());
    let haraka = Haraka::start(&ini("socket", &path.to_string_lossy())?)?;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let answers = [
        (String::new(), true),
        ("nonsense\r\n\r\n".to_owned(), false),
        (
            format!("{head}Content-Length: 900\r\n\r\n{{\"verdict\": \"def"),
            false,
        ),
        (
            format!("{head}Content-Length: 15\r\n\r\n{{\"verdict\": 451}}"),
            false,
        ),
        (format!("{head}Content-Length: 4\r\n\r\nnull"), false),
        (
            "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
            false,
        ),
        (
            format!("{head}Content-Length: 70000\r\n\r\n{}", " ".repeat(70_000)),
            false,
        ),
    ];
    for (answer, hangs) in answers {
        // A socket that was left behind is replaced.
        drop(fs::remove_file(&path));
        let listener = UnixListener::bind(&path)?;
        let text = answer.clone();
        let server = thread::spawn(move || -> Result<()> {
            let (mut stream, _) = listener.accept()?;
            let mut request = [0; 4096];
            let length = stream.read(&mut request)?;
            ensure!(length > 0, "no question");
            if hangs {
                // Until the other side has enough of it.
                while stream.read(&mut request)? > 0 {}
            } else {
                // It need not wait for all of it.
                drop(stream.write_all(text.as_bytes()));
            }
            Ok(())
        });
        let begun = Instant::now();
        // A second recipient is not asked about on this connection.
        let mut client = SmtpClient::connect(NEWCOMER, haraka.port())?;
        let (replies, end) = client.deliver("new@x.example", &[BOB, CID])?;
        assert!(
            replies.iter().all(|reply| reply.code == 250),
            "{answer}: {replies:?}"
        );
        assert_eq!(end.map(|end| end.code), Some(250), "{answer}");
        let took = begun.elapsed();
        assert!(
            took < if hangs { PATIENCE + SLACK } else { SLACK },
            "{answer}: {took:?}"
        );
        assert!(!hangs || took >= PATIENCE, "{took:?}");
        server.join().expect("the server does not panic")?;
    }
    let log = haraka.log()?;
    assert!(log.contains("nothing within 5000 ms"), "{log}");
    assert_eq!(
        log.matches("no answer from Greylatch, mail goes on")
            .count(),
        7,
        "{log}"
    );
    Ok(())
}
