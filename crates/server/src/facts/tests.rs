//! Facts as a name server of the test tells them, and what becomes of attempts by them.

mod dkim;
mod scripted;

use std::fs;

use greylatch_core::{Answer, Attempt, Field, Reason, Request, Stage, Verdict};
use greylatch_rules::{GreylistConf, Source};
use greylatch_store::Keying;
use tokio::sync::mpsc;

use super::countries::tests::half_of_it_in_france;
use super::*;
use crate::config::{ForeignRules, Mode};
use crate::desk::{Desk, Visitor};
use crate::lists::ListFiles;
use crate::log::LogQueue;
use crate::observe::Observer;
use crate::{backend, daemon};
use scripted::{NameServer, Told};

/// What the name server says in these tests. Of `late.example` and below it says nothing in time.
const ZONE: &[(&str, Told)] = &[
    ("1.2.0.192.list.example", Told::A([127, 0, 0, 4])),
    ("2.2.0.192.list.example", Told::A([127, 0, 1, 4])),
    ("3.2.0.192.list.example", Told::Failure),
    ("1.2.0.192.late.example", Told::Silence),
    (
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.list.example",
        Told::A([127, 0, 0, 2]),
    ),
    ("two.example", Told::Mx(20, "mx2.two.example.")),
    ("two.example", Told::Mx(10, "mx1.two.example.")),
    ("mx1.two.example", Told::A([203, 0, 113, 1])),
    ("mx2.two.example", Told::A([192, 0, 2, 200])),
    ("mx2.two.example", Told::Aaaa("2001:db8::25")),
    ("half.example", Told::Mx(10, "broken.half.example.")),
    ("half.example", Told::Mx(20, "mx2.two.example.")),
    ("broken.half.example", Told::Failure),
    ("itself.example", Told::A([192, 0, 2, 7])),
    ("none.example", Told::Mx(0, ".")),
    ("broken.example", Told::Failure),
    ("late.example", Told::Silence),
    ("pass.example", Told::Txt("v=spf1 ip4:192.0.2.0/24 -all")),
    ("soft.example", Told::Txt("v=spf1 ~all")),
    ("neutral.example", Told::Txt("v=spf1 ?all")),
    ("mistaken.example", Told::Txt("v=spf1 ip4:192.0.2.0/x -all")),
    (
        "lost.example",
        Told::Txt("v=spf1 include:nowhere.example -all"),
    ),
    ("plain.example", Told::Txt("something else")),
    ("7.2.0.192.in-addr.arpa", Told::Ptr("forged.example.")),
    ("7.2.0.192.in-addr.arpa", Told::Ptr("itself.example.")),
    ("8.2.0.192.in-addr.arpa", Told::Ptr("itself.example.")),
    ("9.2.0.192.in-addr.arpa", Told::Failure),
];

const LISTS: &str = "dnsrbl \"exact\" list.example 127.0.0.4\n\
     dnsrbl \"any\" list.example 127.0.0.0/24\n\
     dnsrbl \"late\" late.example 127.0.0.0/8\n";

/// A client and a sender, asked about through one name server.
struct Asking {
    facts: Facts,
    findings: Findings,
    lists: Vec<DnsList>,
}

impl Asking {
    fn of(server: &NameServer) -> Self {
        let source = Source {
            path: "greylist.conf".into(),
            text: LISTS.into(),
        };
        Self {
            facts: server.facts(),
            findings: Findings::default(),
            lists: GreylistConf::read(&source).0.dnsrbls,
        }
    }

    async fn ask(&mut self, facts: &[Fact], client: &str, sender: &str) -> Vec<Option<bool>> {
        let about = About {
            client: client.parse().expect("an address"),
            own: Some([203, 0, 113, 9].into()),
            helo: b"pass.example",
            sender: sender.as_bytes(),
            lists: &self.lists,
            countries: None,
            content: None,
        };
        let mut inquiry = self.facts.inquiry(&mut self.findings);
        let mut told = Vec::new();
        for fact in facts {
            told.push(inquiry.look_up(fact, &about).await);
        }
        told
    }

    /// Asks for one fact, of a message of its own.
    async fn one(&mut self, fact: Fact, client: &str, sender: &str) -> Option<bool> {
        self.findings = Findings::default();
        let told = self.ask(&[fact], client, sender).await;
        told[0]
    }
}

#[tokio::test]
async fn a_list_has_a_client_when_an_answer_is_as_the_file_says() {
    let mut asking = Asking::of(&NameServer::start(ZONE));
    let mut told = Vec::new();
    for client in [
        "192.0.2.1",
        "192.0.2.2",
        "192.0.2.3",
        "192.0.2.4",
        "2001:db8::1",
    ] {
        for list in [0, 1] {
            told.push(asking.one(Fact::Dnsrbl(list), client, "a@x.example").await);
        }
    }
    let (yes, no) = (Some(true), Some(false));
    assert_eq!(told, [yes, yes, no, no, None, None, no, no, no, yes]);
}

#[tokio::test]
async fn a_client_is_near_a_host_that_takes_mail_for_the_sender() {
    let mut asking = Asking::of(&NameServer::start(ZONE));
    let mut told = Vec::new();
    for (prefix, client, sender) in [
        (24, "192.0.2.1", "a@two.example"),
        (32, "192.0.2.1", "a@two.example"),
        (32, "192.0.2.200", "a@two.example"),
        (64, "2001:db8::1", "a@two.example"),
        // What is not known may be near.
        (24, "198.51.100.1", "a@half.example"),
        (24, "192.0.2.1", "a@half.example"),
        // No exchanger: the domain itself. `.`: nobody.
        (24, "192.0.2.1", "a@itself.example"),
        (24, "192.0.2.1", "a@none.example"),
        (24, "192.0.2.1", "a@nowhere.example"),
        (24, "192.0.2.1", "a@broken.example"),
        (24, "192.0.2.1", ""),
    ] {
        told.push(asking.one(Fact::Mx(prefix), client, sender).await);
    }
    let (yes, no) = (Some(true), Some(false));
    let expected = [yes, no, yes, yes, None, yes, yes, no, no, None, None];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn each_spf_result_has_its_word() {
    let mut asking = Asking::of(&NameServer::start(ZONE));
    let all = [
        MailStatus::Pass,
        MailStatus::Fail,
        MailStatus::SoftFail,
        MailStatus::Neutral,
        MailStatus::Unknown,
        MailStatus::None,
        MailStatus::Error,
    ];
    let facts = all.map(Fact::Spf);
    for (client, sender, found) in [
        ("192.0.2.1", "a@pass.example", MailStatus::Pass),
        ("198.51.100.1", "a@pass.example", MailStatus::Fail),
        ("192.0.2.1", "a@soft.example", MailStatus::SoftFail),
        ("192.0.2.1", "a@neutral.example", MailStatus::Neutral),
        ("192.0.2.1", "a@mistaken.example", MailStatus::Unknown),
        // What is included has no record.
        ("192.0.2.1", "a@lost.example", MailStatus::Error),
        ("192.0.2.1", "a@plain.example", MailStatus::None),
        ("192.0.2.1", "a@nowhere.example", MailStatus::None),
        // The null sender speaks for the name in HELO.
        ("198.51.100.1", "", MailStatus::Fail),
        // A sender without a domain does not.
        ("192.0.2.1", "root", MailStatus::None),
        ("192.0.2.1", "a@[192.0.2.1]", MailStatus::None),
        // This very host.
        ("127.0.0.1", "a@soft.example", MailStatus::Pass),
    ] {
        asking.findings = Findings::default();
        let expected = all.map(|status| Some(status == found));
        assert_eq!(
            asking.ask(&facts, client, sender).await,
            expected,
            "{client} {sender}"
        );
    }
    // Of a failure nothing is known but that.
    asking.findings = Findings::default();
    let told = asking.ask(&facts, "192.0.2.1", "a@broken.example").await;
    assert_eq!(told, [None, None, None, None, None, None, Some(true)]);
}

#[tokio::test]
async fn spf_self_asks_about_this_hosts_own_address() {
    let zone = [
        ("open.example", Told::Txt("v=spf1 ip4:203.0.113.0/24 -all")),
        ("shut.example", Told::Txt("v=spf1 ip4:192.0.2.0/24 -all")),
    ];
    let mut asking = Asking::of(&NameServer::start(&zone));
    let own = Fact::Spf(MailStatus::SelfPass);
    let told = asking.one(own.clone(), "192.0.2.1", "a@open.example").await;
    assert_eq!(told, Some(true));
    let told = asking.one(own, "192.0.2.1", "a@shut.example").await;
    assert_eq!(told, Some(false));
}

#[tokio::test]
async fn a_message_asks_once_and_remembers_the_unknown_too() {
    let server = NameServer::start(ZONE);
    let mut asking = Asking::of(&server);
    let facts = [
        Fact::Dnsrbl(0),
        Fact::Spf(MailStatus::Pass),
        Fact::Spf(MailStatus::Fail),
    ];
    for _ in 0..3 {
        let told = asking.ask(&facts, "192.0.2.3", "a@broken.example").await;
        assert_eq!(told, [None, None, None]);
        if server.asked().is_empty() {
            return;
        }
        assert!(asking.findings.facts.len() == 1 && asking.findings.spf.len() == 1);
        server.asked();
    }
    panic!("what is known is asked for again");
}

#[tokio::test]
async fn the_eleventh_question_of_an_attempt_is_not_asked() {
    let server = NameServer::start(ZONE);
    let mut asking = Asking::of(&server);
    // Two questions each: who takes mail, and where that is.
    let facts: Vec<Fact> = (20..26).map(Fact::Mx).collect();
    let told = asking.ask(&facts, "192.0.2.1", "a@itself.example").await;
    let yes = Some(true);
    assert_eq!(told, [yes, yes, yes, yes, yes, None]);
    // The next recipient may ask it.
    let told = asking.ask(&facts, "192.0.2.1", "a@itself.example").await;
    assert_eq!(told, [yes; 6]);
}

/// The daemon with these rules, which are all asked of the test's name server.
struct Daemon {
    desk: Desk,
    log: LogQueue,
    visitor: Visitor,
    _folder: tempfile::TempDir,
}

impl Daemon {
    fn with_rules(rules: &str) -> Self {
        Self::in_mode(Mode::default(), rules)
    }

    fn in_mode(mode: Mode, rules: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("greylist.conf");
        let database = folder.path().join("countries.mmdb");
        fs::write(&database, half_of_it_in_france()).expect("a database");
        let text = format!("geoip2db \"{}\"\n{LISTS}{rules}", database.display());
        fs::write(&path, text).expect("rules");
        let mut config = Config::default();
        config.store.url = Some("memory:".into());
        config.lists.greylist_conf = Some(ForeignRules {
            path,
            appended: String::new(),
        });
        config.greylist.shipped_lists = false;
        config.greylist.mode = mode;
        let (rulebook, remarks) = ListFiles::default().rulebook(&config, &Source::default());
        assert_eq!(remarks, []);
        let backend = backend::open(&config, Keying::Plain).expect("a store");
        let log = LogQueue::unwritten();
        let observer = Observer::new(&config, log.clone());
        let (reload, _) = mpsc::channel(1);
        let mut desk = daemon::desk(&config, rulebook, backend, observer, reload);
        desk.facts = NameServer::start(ZONE).facts();
        desk.memory_is_whole();
        Self {
            desk,
            log,
            visitor: Visitor::new("milter"),
            _folder: folder,
        }
    }

    async fn judge(&mut self, message: u32, client: &str, recipient: &str) -> Verdict {
        let mut attempt = Attempt::new();
        attempt.set_message(message);
        attempt.set(Field::ClientAddress, client.as_bytes());
        attempt.set(Field::Helo, b"pass.example");
        attempt.set(Field::QueueId, b"Q1");
        attempt.set(Field::Sender, b"a@pass.example");
        attempt.set(Field::Recipient, recipient.as_bytes());
        let asked = Request::Judge(attempt);
        match self.desk.answer(&mut self.visitor, asked).await {
            Answer::Verdict(verdict) => verdict,
            other => panic!("no verdict: {other:?}"),
        }
    }

    /// A question of the policy protocol at this stage.
    async fn asks(&mut self, stage: Stage, recipient: &str, count: &str) -> Verdict {
        let mut attempt = Attempt::new();
        attempt.set_stage(stage);
        attempt.set(Field::ClientAddress, b"192.0.2.1");
        attempt.set(Field::Sender, b"a@pass.example");
        attempt.set(Field::Recipient, recipient.as_bytes());
        attempt.set(Field::RecipientCount, count.as_bytes());
        match self
            .desk
            .answer(&mut self.visitor, Request::Judge(attempt))
            .await
        {
            Answer::Verdict(verdict) => verdict,
            other => panic!("no verdict: {other:?}"),
        }
    }

    async fn refuses(&mut self, client: &str) -> bool {
        let verdict = self.judge(0, client, "b@y.example").await;
        matches!(verdict, Verdict::Refuse(_))
    }
}

/// Symptom to be kept away: with a name server down, `not dnsrbl` holds of everybody.
#[tokio::test]
async fn what_is_unknown_lets_no_clause_hold_negated_or_not() {
    // A clause, and clients for whom it holds, does not, and is unknown.
    for (clause, yes, no, unknown) in [
        ("dnsrbl \"any\"", "192.0.2.1", "192.0.2.4", "192.0.2.3"),
        ("geoip \"FR\"", "192.0.2.1", "10.0.0.1", "2001:db8::1"),
        ("geoip \"ZZ\"", "10.0.0.1", "192.0.2.1", "2001:db8::1"),
    ] {
        for (negation, clause_holds) in [("", [true, false, false]), ("not ", [false, true, false])]
        {
            let rules =
                format!("nospf\nracl blacklist {negation}{clause}\nracl whitelist default\n");
            let mut daemon = Daemon::with_rules(&rules);
            let mut refused = Vec::new();
            for client in [yes, no, unknown] {
                refused.push(daemon.refuses(client).await);
            }
            assert_eq!(refused, clause_holds, "{negation}{clause}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_answered_in_time_and_what_is_late_is_unknown() {
    for negation in ["", "not "] {
        let clauses = ["dnsrbl \"late\"", "mx /24", "spf fail"];
        let refusals = clauses.map(|clause| format!("racl blacklist {negation}{clause}\n"));
        let rules = format!("{}racl whitelist default\n", refusals.concat());
        let mut daemon = Daemon::with_rules(&rules);
        daemon.desk.facts = NameServer::start(&[
            ("1.2.0.192.late.example", Told::Silence),
            ("pass.example", Told::Silence),
        ])
        .facts();
        let asked = monotonic();
        assert!(!daemon.refuses("192.0.2.1").await, "{negation}");
        let waited = asked.elapsed();
        let most = Duration::from_millis(2_010);
        assert!(waited <= most, "{waited:?}");
    }
}

#[tokio::test]
async fn a_sender_that_spf_passes_is_not_greylisted_and_that_is_said_once() {
    let mut daemon = Daemon::with_rules("racl blacklist default\n");
    for recipient in ["b@y.example", "c@y.example"] {
        let verdict = daemon.judge(1, "192.0.2.1", recipient).await;
        assert_eq!(verdict, Verdict::Pass { header: None });
    }
    let said = "Q1: Sender IP 192.0.2.1 and address <a@pass.example> are SPF-compliant, \
                bypassing greylist";
    assert_eq!(daemon.log.texts(), [said]);
    daemon.judge(2, "192.0.2.1", "b@y.example").await;
    assert_eq!(daemon.log.texts(), [said, said]);
    assert_eq!(
        daemon.desk.observer.verdicts()[Reason::SpfPassed as usize],
        (Reason::SpfPassed, 3)
    );
    // Who does not pass is judged.
    assert!(daemon.refuses("198.51.100.1").await);
}

/// Symptom to be kept away: a client chooses its own name.
#[tokio::test]
async fn a_name_of_an_address_counts_when_it_leads_back_and_is_asked_for() {
    let rules = "nospf\nracl blacklist domain itself.example\nracl whitelist default\n";
    let mut daemon = Daemon::with_rules(&format!("unbracket\n{rules}"));
    for (client, refused) in [
        ("192.0.2.7", true),
        ("192.0.2.8", false),
        ("192.0.2.9", false),
        ("192.0.2.10", false),
    ] {
        assert_eq!(daemon.refuses(client).await, refused, "{client}");
    }
    let named = "addr itself.example[192.0.2.7] from ";
    assert!(daemon.log.texts()[0].contains(named));
    assert!(!Daemon::with_rules(rules).refuses("192.0.2.7").await);
}

#[tokio::test]
async fn rules_for_recipients_judge_whoever_asks_by_policy_at_any_stage() {
    let rules = "nospf\nracl blacklist rcpt bl@y.example msg \"%r\"\nracl whitelist default\n\
                 dacl blacklist default\n";
    let mut daemon = Daemon::with_rules(rules);
    for (stage, recipient, count, refused) in [
        (Stage::Rcpt, "bl@y.example", "0", true),
        (Stage::Data, "bl@y.example", "1", true),
        (Stage::EndOfMessage, "bl@y.example", "1", true),
        (Stage::Data, "w@y.example", "1", false),
        // Of several recipients none is named.
        (Stage::Data, "", "2", false),
        (Stage::Earlier, "", "0", false),
    ] {
        match daemon.asks(stage, recipient, count).await {
            Verdict::Refuse(reply) => {
                assert!(refused, "{stage:?}");
                let text = String::from_utf8_lossy(&reply.text).into_owned();
                assert_eq!(text, "551 5.7.1 bl@y.example", "{stage:?}");
            }
            other => {
                assert!(!refused, "{stage:?}");
                assert_eq!(other, Verdict::Pass { header: None });
            }
        }
    }
}

#[tokio::test]
async fn formats_tell_what_was_found_out() {
    let rules = "nospf\nracl continue geoip \"FR\" not spf fail dnsrbl \"any\" log \"%C %Qs %D\"\n\
                 racl blacklist dnsrbl \"exact\" msg \"%C %Qs %D %QA %QS\"\n";
    let mut daemon = Daemon::with_rules(rules);
    let Verdict::Refuse(reply) = daemon.judge(1, "192.0.2.1", "b@y.example").await else {
        panic!("it is listed");
    };
    let text = String::from_utf8_lossy(&reply.text).into_owned();
    assert!(text.starts_with("551 5.7.1 FR pass exact,any "), "{text}");
    assert!(
        text.contains("spf=pass smtp.mailfrom=a@pass.example pass ("),
        "{text}"
    );
    assert!(
        text.ends_with("; envelope-from=a@pass.example; helo=pass.example;"),
        "{text}"
    );
    assert!(daemon.log.texts().contains(&"FR pass any".to_owned()));
}

#[tokio::test]
async fn nospf_and_a_clause_of_spf_leave_it_to_the_rules() {
    for rules in [
        "nospf\nracl blacklist default\n",
        "racl whitelist spf none\nracl blacklist default\n",
    ] {
        assert!(
            Daemon::with_rules(rules).refuses("192.0.2.1").await,
            "{rules}"
        );
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_read_again_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let [path, database] = ["greylist.conf", "countries"].map(|name| folder.path().join(name));
    fs::write(&database, half_of_it_in_france()).expect("a database");
    let mut config = Config::default();
    config.greylist.shipped_lists = false;
    config.lists.greylist_conf = Some(ForeignRules {
        path: path.clone(),
        appended: String::new(),
    });
    fs::write(&path, format!("geoip2db \"{}\"\n", database.display())).expect("rules");
    let mut files = ListFiles::default();
    let mut read = || {
        let (rulebook, remarks) = files.rulebook(&config, &Source::default());
        let acl = rulebook.acl().expect("rules");
        let texts: Vec<String> = remarks.iter().map(crate::Remark::text).collect();
        (acl.countries.is_some(), texts)
    };
    assert_eq!(read(), (true, vec![]));
    fs::remove_file(&database).expect("the database");
    let name = database.display();
    let gone = "No such file or directory";
    let kept = format!("can't open {name}: {gone}; what was read before goes on to hold");
    assert_eq!(read(), (true, vec![kept]));
    // Another that was never read.
    let name = folder.path().join("other").display().to_string();
    fs::write(&path, format!("geoip2db \"{name}\"\n")).expect("rules");
    assert_eq!(read(), (false, vec![format!("can't open {name}: {gone}")]));
}
