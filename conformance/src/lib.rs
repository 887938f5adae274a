//! Real mail software against the built program: what the tests in `tests/`
//! stand on.
//!
//! Here live the parts that start other people's programs, speak to them and
//! compare what they say. It is not a second implementation of anything: where
//! an answer is expected, it is either written in a test or given by the real
//! Postgrey beside ours.

mod browser;
mod clock;
mod dev_log;
mod dice;
mod differential;
mod disk;
mod enclose;
mod exim;
mod greylist_conf;
mod greylist_host;
mod greylist_traffic;
mod greylist_trial;
mod greylistd;
mod greylister;
mod haraka;
mod http;
mod installed;
mod interpreters;
mod known_fates;
mod mail_log;
mod mailbox;
mod manual;
mod message;
mod milter;
mod milter_greylist;
mod milter_server;
mod miltertest;
mod name_server;
mod native;
mod neighbours;
mod newcomer;
mod opensmtpd;
mod option_set;
mod own_network;
mod passed_on;
mod peers;
mod policy;
mod postfix;
mod process;
mod reporter;
mod scene;
mod sendmail;
mod serving;
mod smtp;
mod stream;
mod traffic;
mod universe;

pub use browser::opened_in_chromium;
pub use clock::{Clock, EPISODE_START};
pub use dev_log::{DevLog, LogLine};
pub use differential::{Allowed, Outcome, Trial, compare};
pub use disk::{Disk, Frozen, private_dev};
pub use enclose::{with_etc, without_syslog};
pub use exim::{Exim, EximConfiguration, EximSetup};
pub use greylist_conf::{GREYLIST_CONFS, GreylistConf};
pub use greylist_host::{GreylistHost, Whose};
pub use greylist_trial::{GreylistOutcome, Leave, compare_greylists};
pub use greylistd::{Greylistd, ask_greylistd};
pub use greylister::{Door, Endpoint, Greylister, Program, Setting, own_user_options};
pub use haraka::Haraka;
pub use http::{HttpAnswer, HttpClient, http_request};
pub use interpreters::python;
pub use known_fates::{KnownFates, Lost};
pub use mail_log::{LogKind, MailLog, log_kinds, mutated_lines};
pub use mailbox::headers;
pub use manual::{manual_block, shipped};
pub use message::Message;
pub use milter::{Agreed, MilterClient, Offer, packet};
pub use milter_greylist::MilterGreylist;
pub use milter_server::{MilterServer, deferred, only_answer};
pub use miltertest::miltertest;
pub use name_server::{NameRecord, start_name_server};
pub use native::Native;
pub use neighbours::Neighbours;
pub use newcomer::Newcomer;
pub use opensmtpd::{OpenSmtpd, OpenSmtpdSetup};
pub use option_set::{OptionSet, option_sets};
pub use own_network::own_network;
pub use passed_on::passed_on;
pub use peers::{greylatch_binary, is_long_run, peer, peer_program};
pub use policy::{Heard, PolicyClient};
pub use postfix::{Postfix, PostfixSetup};
pub use process::{
    Daemon, free_port, hang_up, raise_file_limit, resident_kib, scratch_folder, terminate, wait_for,
};
pub use reporter::{ReportCase, Reported, Reporter};
pub use scene::{Asker, Judged, unix_now, with_neighbour};
pub use sendmail::{Sendmail, SendmailSetup};
pub use serving::{Plan, Serving, attempt, attempt_from};
pub use smtp::{SmtpClient, SmtpReply};
