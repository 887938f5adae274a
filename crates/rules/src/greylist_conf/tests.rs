//! One test for each construct of the language, by the tree that is read from it.

use std::net::IpAddr;

use greylatch_core::{Network, Seconds};

use super::posix::PosixPattern;
use super::tree::*;
use super::*;
use crate::diagnostic::Severity;

fn read(text: &str) -> (GreylistConf, Vec<Diagnostic>) {
    GreylistConf::read(&Source {
        path: "greylist.conf".to_owned(),
        text: text.as_bytes().to_vec(),
    })
}

#[track_caller]
fn conf(text: &str) -> GreylistConf {
    let (conf, diagnostics) = read(text);
    assert_eq!(diagnostics, [], "{text}");
    conf
}

#[track_caller]
fn settings(text: &str) -> Settings {
    let conf = conf(text);
    assert_eq!(conf.rules, []);
    conf.settings
}

/// The one rule that `text` ends with.
#[track_caller]
fn rule(text: &str) -> AclRule {
    conf(text).rules.pop().unwrap()
}

#[track_caller]
fn clauses(text: &str) -> Vec<(bool, Test)> {
    let clauses = rule(&format!("dnsrbl \"d\" b.example 127.0.0.2\n{text}")).clauses;
    clauses
        .into_iter()
        .map(|one| (one.negated, one.test))
        .collect()
}

/// The one clause of a rule, not negated.
#[track_caller]
fn clause(text: &str) -> Test {
    let mut clauses = clauses(&format!("racl whitelist {text}"));
    assert_eq!(clauses.len(), 1, "{text}");
    let (negated, test) = clauses.remove(0);
    assert!(!negated, "{text}");
    test
}

#[track_caller]
fn data_clause(text: &str) -> Test {
    clauses(&format!("dacl blacklist {text}")).remove(0).1
}

#[track_caller]
fn values(text: &str) -> AclValues {
    rule(&format!("racl greylist default {text}")).values
}

fn network(text: &str) -> Network {
    text.parse().unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn literal(part: Part, text: &str) -> Test {
    Test::Text(part, Wanted::Literal(text.into()))
}

fn pattern(part: Part, text: &str) -> Test {
    Test::Text(part, Wanted::Pattern(posix(text)))
}

fn posix(text: &str) -> PosixPattern {
    PosixPattern::read(text.as_bytes(), false).unwrap()
}

#[test]
fn an_empty_file_has_the_defaults() {
    for text in ["", "\n\n", "# remark", "  # remark \\\n", "\r\n \t\r\n"] {
        assert_eq!(settings(text), Settings::default(), "{text:?}");
    }
}

#[test]
fn switches_are_turned_on() {
    let settings = settings(
        "verbose\nQUIET\nNoDetach\nlazyaw\nnoauth\nnoaccessdb\nnospf\ntestmode\n\
         delayedreject\nunbracket\ndomainexact\nlogexpired\ndump_no_time_translation\n\
         multiracl\nextendedregex\nnodrac\n",
    );
    let expected = Settings {
        verbose: true,
        quiet: true,
        nodetach: true,
        lazyaw: true,
        noauth: true,
        noaccessdb: true,
        nospf: true,
        testmode: true,
        delayedreject: true,
        unbracket: true,
        domainexact: true,
        logexpired: true,
        dump_no_time_translation: true,
        ..Settings::default()
    };
    assert_eq!(settings, expected);
}

#[test]
fn times_have_a_unit_or_are_seconds() {
    let settings = settings("greylist 30m\nautowhite: 3d\ntimeout 90\ntarpit 125s\n");
    assert_eq!(settings.greylist, Seconds(1_800));
    assert_eq!(settings.autowhite, Seconds(3 * 86_400));
    assert_eq!(settings.timeout, Seconds(90));
    assert_eq!(settings.tarpit, Some(Seconds(125)));
}

#[test]
fn a_later_statement_overrides_an_earlier_one() {
    assert_eq!(
        settings("greylist 1h\ngreylist 1w\n").greylist,
        Seconds(604_800)
    );
}

#[test]
fn a_dump_is_written_at_each_change_by_time_or_at_the_end() {
    assert_eq!(settings("dumpfreq 0\n").dumpfreq, DumpAt::EachChange);
    assert_eq!(settings("dumpfreq -1\n").dumpfreq, DumpAt::Exit);
    assert_eq!(
        settings("dumpfreq: 10m\n").dumpfreq,
        DumpAt::Every(Seconds(600))
    );
    let dumpfile = settings("dumpfile \"/var/db/greylist.db\" 640\n")
        .dumpfile
        .unwrap();
    assert_eq!(
        (dumpfile.path.as_str(), dumpfile.mode),
        ("/var/db/greylist.db", Some(0o640))
    );
    assert_eq!(settings("dumpfile: \"/a\"\n").dumpfile.unwrap().mode, None);
}

#[test]
fn a_socket_has_each_form_that_libmilter_knows() {
    let socket = |text: &str| settings(&format!("socket {text}\n")).socket.unwrap();
    let unix = |path: &str| ListenAddress::Unix {
        path: path.to_owned(),
    };
    for text in [
        "\"/run/a.sock\"",
        "\"local:/run/a.sock\"",
        "\"unix:/run/a.sock\"",
    ] {
        assert_eq!(socket(text).address, unix("/run/a.sock"));
    }
    assert_eq!(socket("\"/a\" 660").mode, Some(0o660));
    assert_eq!(socket("\"/a\"").mode, None);
    let inet = |host: Option<&str>| ListenAddress::Inet {
        port: 10_025,
        host: host.map(str::to_owned),
    };
    assert_eq!(
        socket("\"inet:10025@[127.0.0.1]\"").address,
        inet(Some("127.0.0.1"))
    );
    assert_eq!(
        socket("\"inet:10025@localhost\"").address,
        inet(Some("localhost"))
    );
    assert_eq!(socket("\"inet:10025\"").address, inet(None));
    let inet6 = ListenAddress::Inet6 {
        port: 25,
        host: Some("::1".to_owned()),
    };
    assert_eq!(socket("\"inet6:25@[::1]\"").address, inet6);
}

#[test]
fn a_user_may_have_a_group() {
    let run_as = |user: &str, group: Option<&str>| RunAs {
        user: user.to_owned(),
        group: group.map(str::to_owned),
    };
    assert_eq!(
        settings("user \"smmsp\"\n").user,
        Some(run_as("smmsp", None))
    );
    assert_eq!(
        settings("user: \"a:b\"\n").user,
        Some(run_as("a", Some("b")))
    );
}

#[test]
fn masks_are_prefixes() {
    let settings = settings("subnetmatch /24\nsubnetmatch6: /64\n");
    assert_eq!((settings.subnetmatch, settings.subnetmatch6), (24, 64));
}

#[test]
fn words_choose_reports_and_facilities() {
    assert_eq!(settings("report none\n").report, ReportWhen::None);
    assert_eq!(settings("report: NoDelays\n").report, ReportWhen::NoDelays);
    assert_eq!(settings("logfac local3\n").logfac, LogFacility::Local(3));
    assert_eq!(settings("logfac none\n").logfac, LogFacility::None);
    assert_eq!(settings("logfac user\n").logfac, LogFacility::User);
}

#[test]
fn peers_have_a_timeout() {
    let text = "peer 192.0.2.18\npeer: mx2.example.org timeout 7s\npeer 2001:db8::1 timeout 0\n";
    let peer = |host: &str, timeout| Peer {
        host: host.to_owned(),
        timeout,
    };
    let expected = [
        peer("192.0.2.18", Some(Seconds(3))),
        peer("mx2.example.org", Some(Seconds(7))),
        peer("2001:db8::1", None),
    ];
    assert_eq!(settings(text).peers, expected);
}

#[test]
fn synchronisation_listens_and_calls_from_addresses() {
    let text = "syncaddr 192.0.2.2 port 5253\nsyncsrcaddr *\nsyncmaxqlen 20\n";
    let settings = settings(text);
    let expected = SyncAddress {
        address: Some(address("192.0.2.2")),
        port: Some(5_253),
    };
    assert_eq!(settings.syncaddr, expected);
    assert_eq!(settings.syncsrcaddr, SyncAddress::default());
    assert_eq!(settings.syncmaxqlen, 20);
    let all = self::settings("syncaddr: * port 5253\n").syncaddr;
    assert_eq!((all.address, all.port), (None, Some(5_253)));
}

#[test]
fn records_go_to_a_file_or_a_command() {
    let stat = |text: &str| settings(&format!("stat {text}\n")).stat.unwrap();
    let pipe = stat(r#""|logger -p local7.info" "%T{%T} %d\n""#);
    assert_eq!(
        pipe.output,
        StatOutput::Pipe("logger -p local7.info".to_owned())
    );
    assert_eq!(pipe.format, b"%T{%T} %d\n");
    assert_eq!(
        stat("\">>/a\" \"x\"").output,
        StatOutput::Append("/a".to_owned())
    );
    assert_eq!(
        stat("\">/a\" \"x\"").output,
        StatOutput::Truncate("/a".to_owned())
    );
}

#[test]
fn other_settings_are_kept() {
    let settings = settings(
        "maxpeek 4k\nlocaladdr 192.0.2.1\ntarpit_scope command\npidfile \"/run/p\"\n\
         geoip2db \"/c.mmdb\"\n",
    );
    assert_eq!(settings.maxpeek, Some(4_096));
    assert_eq!(settings.localaddr, Some(address("192.0.2.1")));
    assert_eq!(settings.tarpit_scope, TarpitScope::Command);
    assert_eq!(settings.pidfile.as_deref(), Some("/run/p"));
    assert_eq!(settings.geoip_database.as_deref(), Some("/c.mmdb"));
    assert_eq!(
        self::settings("tarpit_scope comand\n").tarpit_scope,
        TarpitScope::Command
    );
}

#[test]
fn line_ends_may_be_of_any_kind() {
    for text in [
        "greylist 5m\r\nquiet\r\n",
        "greylist 5m\nquiet",
        "greylist 5m\r\nquiet # x",
    ] {
        let settings = settings(text);
        assert_eq!(
            (settings.greylist, settings.quiet),
            (Seconds(300), true),
            "{text:?}"
        );
    }
}

#[test]
fn a_backslash_continues_and_the_last_line_is_the_name() {
    let text = "\n\nracl \\\n whitelist \\ # remark\n\taddr 192.0.2.1 \\\r\n delay 5m # end \\\n";
    let rule = rule(text);
    assert_eq!(rule.line, 6);
    assert_eq!(rule.values.delay, Some(Seconds(300)));
    assert_eq!(rule.clauses.len(), 1);
}

#[test]
fn rules_have_a_stage_an_id_and_an_action() {
    let parts = |text: &str| {
        let rule = rule(text);
        (rule.stage, rule.id, rule.action)
    };
    use AclAction::*;
    use AclStage::*;
    assert_eq!(parts("acl whitelist: default"), (Rcpt, None, Whitelist));
    assert_eq!(parts("RACL greylist default"), (Rcpt, None, Greylist));
    let id = Some(b"my rule".to_vec());
    assert_eq!(
        parts("racl \"my rule\" blacklist default"),
        (Rcpt, id, Blacklist)
    );
    assert_eq!(parts("dacl continue from /x/"), (Data, None, Continue));
}

#[test]
fn networks_are_masked() {
    let addr = |text: &str| Test::Addr(network(text));
    assert_eq!(clause("addr 127.0.0.1/8"), addr("127.0.0.0/8"));
    assert_eq!(clause("addr: 010.0.0.1"), addr("10.0.0.1"));
    assert_eq!(clause("addr 10.0.0.0 /8"), addr("10.0.0.0/8"));
    assert_eq!(clause("addr 2001:db8::1/32"), addr("2001:db8::/32"));
    assert_eq!(clause("addr fe80::1%eth0"), addr("fe80::1"));
    assert_eq!(clause("addr ::ffff:192.0.2.0/120"), addr("192.0.2.0/24"));
}

#[test]
fn texts_are_literals_or_patterns() {
    assert_eq!(
        clause("domain Mx.Example.org"),
        literal(Part::Domain, "mx.example.org")
    );
    assert_eq!(
        clause("domain .example.org"),
        literal(Part::Domain, ".example.org")
    );
    assert_eq!(
        clause(r"domain /\.dyn\./"),
        pattern(Part::Domain, r"\.dyn\.")
    );
    assert_eq!(
        clause("from A.b+c=d@Example.org"),
        literal(Part::From, "a.b+c=d@example.org")
    );
    assert_eq!(
        clause("from {#}@example.org"),
        literal(Part::From, "{#}@example.org")
    );
    assert_eq!(
        clause(r#"from "a{b"@x.org"#),
        literal(Part::From, r#""a{b"@x.org"#)
    );
    assert_eq!(clause("from: /^<>$/"), pattern(Part::From, "^<>$"));
    assert_eq!(clause("rawfrom a@b.org"), literal(Part::RawFrom, "a@b.org"));
    assert_eq!(
        clause(r"rcpt /a\/b #x/ # y"),
        pattern(Part::Rcpt, r"a\/b #x")
    );
    assert_eq!(clause("helo \"%d\""), literal(Part::Helo, "%d"));
    assert_eq!(clause("helo /^\\[/"), pattern(Part::Helo, "^\\["));
    assert_eq!(clause("auth /.*/"), pattern(Part::Auth, ".*"));
    assert_eq!(clause("tls \"/CN=x\""), literal(Part::Tls, "/CN=x"));
    let quoted = literal(Part::Header, r#"X: a \"b\" #"#);
    assert_eq!(data_clause(r#"header "X: a \"b\" #""#), quoted);
    let of_property = Test::Text(Part::Body, Wanted::Property(b"p-q".to_vec()));
    assert_eq!(data_clause("body $p-q"), of_property);
}

#[test]
fn a_pattern_is_extended_behind_the_statement_that_says_so() {
    let conf = conf("racl whitelist from /a+/\nextendedregex\nracl whitelist from /a+/\n");
    let texts: Vec<&Test> = conf
        .rules
        .iter()
        .map(|rule| &rule.clauses[0].test)
        .collect();
    assert_eq!(texts[0], &pattern(Part::From, "a+"));
    assert_eq!(texts[1], &pattern(Part::From, r"a\+"));
}

#[test]
fn a_prefix_and_a_pattern_may_share_a_line() {
    let text = "racl whitelist from a@b.org addr 10.0.0.0/8 rcpt /x/ helo /y/";
    let expected = vec![
        (false, literal(Part::From, "a@b.org")),
        (false, Test::Addr(network("10.0.0.0/8"))),
        (false, pattern(Part::Rcpt, "x")),
        (false, pattern(Part::Helo, "y")),
    ];
    assert_eq!(clauses(text), expected);
}

#[test]
fn negation_has_three_words() {
    let text = "racl whitelist not addr 10.0.0.1 !rcpt a@b.org ! rcpt c@d.org NO not dnsrbl \"d\"";
    let expected = vec![
        (true, Test::Addr(network("10.0.0.1"))),
        (true, literal(Part::Rcpt, "a@b.org")),
        (true, literal(Part::Rcpt, "c@d.org")),
        (true, Test::Dnsrbl(0)),
    ];
    assert_eq!(clauses(text), expected);
}

#[test]
fn lists_hold_each_kind_of_item() {
    let items = |text: &str| conf(text).lists.pop().unwrap().items;
    let text = "list \"l\" addr{10.0.0.1/8 \\ # ten\n 2001:db8::/32 \\\n}";
    let networks = [
        Test::Addr(network("10.0.0.0/8")),
        Test::Addr(network("2001:db8::/32")),
    ];
    assert_eq!(items(text), networks);
    let text = "list \"l\" from { a@b.org /x/ }";
    assert_eq!(
        items(text),
        [literal(Part::From, "a@b.org"), pattern(Part::From, "x")]
    );
    let text = "list \"l\" rcpt {a@b.org}";
    assert_eq!(items(text), [literal(Part::Rcpt, "a@b.org")]);
    let text = "list \"l\" domain { a.org /x/ mx }";
    let domains = [
        literal(Part::Domain, "a.org"),
        pattern(Part::Domain, "x"),
        literal(Part::Domain, "mx"),
    ];
    assert_eq!(items(text), domains);
    for (word, part) in [
        ("helo", Part::Helo),
        ("auth", Part::Auth),
        ("tls", Part::Tls),
        ("header", Part::Header),
        ("body", Part::Body),
    ] {
        let text = format!("list \"l\" {word} {{ \"a}}\" /x/ }}");
        assert_eq!(items(&text), [literal(part, "a}"), pattern(part, "x")]);
    }
    let text = "list \"l\" geoip { \"FR\" \"ZZ\" }";
    let countries = [Test::Country(b"FR".to_vec()), Test::Country(b"ZZ".to_vec())];
    assert_eq!(items(text), countries);
    let text = "dnsrbl \"d\" b.org 127.0.0.2\nlist \"l\" dnsrbl { \"d\" }";
    assert_eq!(items(text), [Test::Dnsrbl(0)]);
    let text = "sm_macro \"m\" \"{x}\" unset\nlist \"l\" sm_macro { \"m\" }";
    assert_eq!(items(text), [Test::Macro(0)]);
    let used = conf("list \"a b\" addr { 10.0.0.1 }\nracl whitelist not list \"a b\"\n");
    let clause = &used.rules[0].clauses[0];
    assert_eq!((clause.negated, &clause.test), (true, &Test::List(0)));
}

#[test]
fn dns_lists_may_be_quoted() {
    let list = |text: &str| conf(text).dnsrbls.pop().unwrap();
    let expected = DnsList {
        name: b"SORBS DUN".to_vec(),
        zone: "dul.example.net".to_owned(),
        answer: network("127.0.0.10"),
    };
    assert_eq!(
        list("dnsrbl \"SORBS DUN\" dul.example.net 127.0.0.10"),
        expected
    );
    assert_eq!(
        list("dnsrbl \"SORBS DUN\" \"dul.example.net\" \"127.0.0.10\""),
        expected
    );
    assert_eq!(
        list("dnsrbl \"a\" b.org 127.0.0.0/24").answer,
        network("127.0.0.0/24")
    );
}

#[test]
fn macros_are_compared_or_missing() {
    let wanted = |text: &str| conf(text).macros.pop().unwrap().wanted;
    let equal = MacroWanted::Equal(b"yes".to_vec());
    assert_eq!(wanted("sm_macro \"m\" \"{trusted}\" \"yes\""), equal);
    let pattern = MacroWanted::Pattern(posix("^y"));
    assert_eq!(wanted("sm_macro \"m\" \"{trusted}\" /^y/"), pattern);
    assert_eq!(
        wanted("sm_macro \"m\" \"{trusted}\" unset"),
        MacroWanted::Unset
    );
    let used = conf("sm_macro \"m\" \"{x}\" unset\nracl whitelist sm_macro \"m\"");
    assert_eq!(used.rules[0].clauses[0].test, Test::Macro(0));
    assert_eq!(used.macros[0].macro_name, b"{x}");
}

#[test]
fn rate_limits_need_no_blanks() {
    let limit = |text: &str| conf(text).ratelimits.pop().unwrap();
    let expected = RateLimit {
        name: b"r".to_vec(),
        counted: RateCounted::Recipients,
        limit: 10,
        window: Seconds(60),
        key: b"%i".to_vec(),
    };
    assert_eq!(limit("ratelimit \"r\" rcpt 10 / 1m"), expected);
    assert_eq!(limit("ratelimit \"r\" rcpt 10/60"), expected);
    let bytes = limit("ratelimit \"r\" data 2M / 1h key \"%f\"");
    assert_eq!((bytes.counted, bytes.limit), (RateCounted::Bytes, 2 << 20));
    assert_eq!(bytes.key, b"%f");
    assert_eq!(
        limit("ratelimit \"r\" session 1 /1m").counted,
        RateCounted::Sessions
    );
    let used = conf("ratelimit \"r\" rcpt 1/1m\nracl greylist ratelimit \"r\"");
    assert_eq!(used.rules[0].clauses[0].test, Test::Ratelimit(0));
}

#[test]
fn facts_are_asked_by_their_words() {
    assert_eq!(clause("spf"), Test::Spf(MailStatus::Pass));
    assert_eq!(clause("spf softfail"), Test::Spf(MailStatus::SoftFail));
    assert_eq!(clause("spf self"), Test::Spf(MailStatus::SelfPass));
    assert_eq!(data_clause("dkim none"), Test::Dkim(MailStatus::None));
    assert_eq!(clause("geoip \"FR\""), Test::Country(b"FR".to_vec()));
    assert_eq!(clause("mx /24"), Test::Mx(24));
    assert_eq!(clause("tarpit 65s"), Test::Tarpit(Seconds(65)));
    assert_eq!(clause("log \"got %f\""), Test::Log(b"got %f".to_vec()));
    let office = CronTime {
        minutes: (1 << 60) - 1,
        hours: 0b11 << 8,
        days: 0xffff_fffe,
        months: 0x1ffe,
        weekdays: 0b10_0001,
    };
    assert_eq!(clause("time \"* 8-9 * * 5,7\""), Test::Time(office));
}

#[test]
fn numbers_are_compared() {
    let comparison = |operator, right| Comparison { operator, right };
    let above = comparison(Operator::Above, Operand::Number(5));
    assert_eq!(clause("rcptcount > 5"), Test::RcptCount(above));
    let at_least = comparison(Operator::AtLeast, Operand::Number(10 << 20));
    assert_eq!(data_clause("msgsize >=10M"), Test::MsgSize(at_least));
    let unequal = comparison(Operator::Unequal, Operand::Property(b"n".to_vec()));
    assert_eq!(clause("rcptcount != $n"), Test::RcptCount(unequal));
}

#[test]
fn properties_are_set_and_asked() {
    let assignment = |how, value, one_recipient| {
        let name = b"p".to_vec();
        Test::Set(Assignment {
            name,
            how,
            value,
            one_recipient,
        })
    };
    let template = |text: &str| AssignedValue::Template(text.into());
    assert_eq!(
        clause("set $p=\"%f\""),
        assignment(Assign::Set, template("%f"), false)
    );
    assert_eq!(
        clause("rset $p += 3"),
        assignment(Assign::Add, template("3"), true)
    );
    let other = AssignedValue::Property(b"q".to_vec());
    assert_eq!(
        clause("set $p -= $q"),
        assignment(Assign::Subtract, other, false)
    );
    let property = |test| Test::Property(b"p".to_vec(), test);
    assert_eq!(
        clause("$p \"x\""),
        property(PropertyTest::Equal(b"x".to_vec()))
    );
    assert_eq!(
        clause("*$p \"%r\""),
        property(PropertyTest::Glob(b"%r".to_vec()))
    );
    assert_eq!(
        clause("$p /x/"),
        property(PropertyTest::Pattern(posix("x")))
    );
    let operator = Operator::AtMost;
    let right = Operand::Number(4);
    let compare = PropertyTest::Compare(Comparison { operator, right });
    assert_eq!(clause("$p <= 4"), property(compare));
}

#[test]
fn values_are_read() {
    let read = values(
        "delay 1800 autowhite 3d code \"450\" ecode \"4.7.1\" msg \"x \\\"y\\\"\" flushaddr nolog \
         report \"r\" addheader \"X-A: %f\" , 1 addfooter \"--\\n\" subjtag \"[S] \" maxpeek 2k \
         tarpit_scope session",
    );
    let expected = AclValues {
        delay: Some(Seconds(1_800)),
        autowhite: Some(Seconds(3 * 86_400)),
        code: Some(b"450".to_vec()),
        ecode: Some(b"4.7.1".to_vec()),
        msg: Some(br#"x \"y\""#.to_vec()),
        report: Some(b"r".to_vec()),
        flushaddr: true,
        nolog: true,
        addheader: Some(AddHeader {
            text: b"X-A: %f".to_vec(),
            index: Some(1),
        }),
        addfooter: Some(b"--\n".to_vec()),
        subjtag: Some(b"[S] ".to_vec()),
        maxpeek: Some(2_048),
        tarpit_scope: Some(TarpitScope::Session),
    };
    assert_eq!(read, expected);
    assert_eq!(values("addheader \"X: y\"").addheader.unwrap().index, None);
}

#[test]
fn one_line_rules_come_first_the_last_before_the_others() {
    let text = "racl greylist default\naddr 10.0.0.1\nrcpt: a@b.org\ntestmode\nrcpt /x/\n\
                domain y.org\nfrom /z/\nrawfrom a@b.org\n";
    let rules = conf(text).rules;
    let order: Vec<(usize, AclAction)> = rules.iter().map(|one| (one.line, one.action)).collect();
    use AclAction::*;
    let expected = [
        (8, Whitelist),
        (7, Whitelist),
        (6, Whitelist),
        (5, Greylist),
        (3, Whitelist),
        (2, Whitelist),
        (1, Greylist),
    ];
    assert_eq!(order, expected);
}

#[test]
fn what_follows_a_default_rule_of_its_stage_is_left_out() {
    let text = "racl continue default msg \"x\"\nracl greylist default\ndacl blacklist body /x/\n\
                racl whitelist addr 10.0.0.1\n";
    let (conf, diagnostics) = read(text);
    let lines: Vec<usize> = conf.rules.iter().map(|rule| rule.line).collect();
    assert_eq!(lines, [1, 2, 3]);
    assert_eq!(diagnostics.len(), 1);
    assert_eq!(
        (diagnostics[0].line, diagnostics[0].severity),
        (4, Severity::Warning)
    );
}

#[test]
fn statements_about_foreign_daemons_are_read() {
    let conf = conf(
        "urlcheck \"u\" \"http://x/%f\" 5 postmsg getprop clear noencode fork\n\
         ldapconf \"ldap://a\" timeout 7s binddn \"x\" bindpw \"y\"\nldapconf \"ldap://a\" 7\n\
         ldapcheck \"l\" \"ldap://a\" clear domatch noescape\nfixldapcheck\n\
         tsig \"k\" \"hmac-md5\" \"AAAA\"\n\
         nsupdate \"n\" { servers \"s\" rname \"%i\" rvalue \"v\" ttl 5m class 1 type 1 tsig \"k\" }\n\
         p0fsock \"/p\"\nspamdsock inet \"127.0.0.1:783\"\nspamdsock unix \"/s\"\n\
         list \"p\" p0f { \"Windows\" /linux/ }\nlist \"c\" urlcheck { \"u\" }\n\
         geoipdb \"/usr/share/GeoIP.dat\"\n",
    );
    assert_eq!(conf.settings, Settings::default());
    let is_without_effect = |one: &Statement| matches!(one.fate, Fate::NoEffect(_));
    assert!(conf.statements.iter().all(is_without_effect));
    assert_eq!(conf.statements.len(), 13);
}

#[test]
fn a_rule_that_needs_a_foreign_daemon_is_dropped_whole() {
    let before = "urlcheck \"u\" \"x\" 5\nldapcheck \"l\" \"x\"\nnsupdate \"n\" { }\n\
                  list \"p\" p0f { \"x\" }\nlist \"c\" urlcheck { \"u\" }\n";
    for rule in [
        "racl whitelist addr 10.0.0.1 urlcheck \"u\" delay 5m",
        "racl whitelist ldapcheck \"l\"",
        "racl greylist not nsupdate \"n\"",
        "racl whitelist p0f /x/",
        "racl whitelist not list \"p\" addr 10.0.0.1",
        "racl whitelist list \"c\"",
        "dacl blacklist spamd",
        "dacl blacklist spamd >= $score",
    ] {
        let (conf, diagnostics) = read(&format!("{before}{rule}\nracl greylist default\n"));
        assert_eq!(conf.rules.len(), 1, "{rule}");
        assert_eq!(diagnostics.len(), 1, "{rule}");
        assert_eq!(
            (diagnostics[0].line, diagnostics[0].severity),
            (6, Severity::Warning)
        );
        assert!(
            diagnostics[0]
                .message
                .starts_with("this rule is left out whole: ")
        );
        assert!(
            matches!(conf.statements[5].fate, Fate::Dropped(_)),
            "{rule}"
        );
    }
}

#[test]
fn clauses_that_turn_bypasses_off_are_noticed() {
    let flags = |text: &str| {
        let (conf, _) = read(text);
        (conf.has_auth_clause, conf.has_spf_clause)
    };
    assert_eq!(flags("racl whitelist auth /x/"), (true, false));
    assert_eq!(flags("racl whitelist not tls \"x\""), (true, false));
    assert_eq!(flags("racl whitelist p0f \"x\" spf fail"), (false, true));
    // As in the original, where only the clause itself does.
    assert_eq!(
        flags("list \"a\" auth { \"x\" }\nracl whitelist list \"a\""),
        (false, false)
    );
}
