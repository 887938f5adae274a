//! Configurations under which ours is compared with the real milter-greylist.
//!
//! None asks a name server, and none uses what ends the original. Where messages
//! are looked at, the first rule never decides: the original looks at nothing then.

/// One configuration.
#[derive(Clone, Copy, Debug)]
pub struct GreylistConf {
    /// By which a test repeats it alone.
    pub name: &'static str,
    /// Its statements.
    pub text: &'static str,
    /// What its sessions are like.
    pub traffic: Traffic,
}

/// What sessions are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// As they come.
    Any,
    /// Each connection has only one message: where the original mixes the
    /// messages of a connection up, in what it remembers too.
    Single,
    /// The clock is never set back: which rates the original has forgotten then
    /// depends on whom else it has looked for.
    Forward,
    /// A client that has not passed lately has one sender and recipient only:
    /// of several that wait, the original lets those wait on that had come
    /// before the one that makes the client known. Nobody passes before the
    /// rules, and the clock is never set back: the original would then know a
    /// client for less long than it did.
    Lone,
}

impl GreylistConf {
    /// Whether a message may be deferred at its end, for its recipients together.
    pub(crate) fn defers_messages(&self) -> bool {
        let mut lines = self.text.lines();
        lines.any(|line| {
            line == "delayedreject" || line.starts_with("dacl") && line.contains(" greylist ")
        })
    }
}

const fn conf(name: &'static str, text: &'static str) -> GreylistConf {
    GreylistConf {
        name,
        text,
        traffic: Traffic::Any,
    }
}

const fn single(name: &'static str, text: &'static str) -> GreylistConf {
    GreylistConf {
        name,
        text,
        traffic: Traffic::Single,
    }
}

const fn forward(name: &'static str, text: &'static str) -> GreylistConf {
    GreylistConf {
        name,
        text,
        traffic: Traffic::Forward,
    }
}

const fn lone(name: &'static str, text: &'static str) -> GreylistConf {
    GreylistConf {
        name,
        text,
        traffic: Traffic::Lone,
    }
}

/// All configurations.
pub const GREYLIST_CONFS: &[GreylistConf] = &[
    conf(
        "defaults",
        "greylist 60\nautowhite 1d\nracl greylist default\n",
    ),
    conf("no-rules", "greylist 5m\n"),
    conf(
        "delays",
        "greylist 60\nracl \"fast\" greylist from a@x.example delay 10s autowhite 1h\n\
         racl greylist rcpt c@z.example delay 2m\nracl greylist default delay 30s autowhite 3d\n",
    ),
    conf(
        "continue",
        "greylist 60\nracl \"c1\" continue rcpt bl@y.example msg \"no %a %A %cA %r\" code \"450\"\n\
         racl continue from a@x.example addheader \"X-C: %f\" delay 5s\n\
         racl blacklist rcpt bl@y.example\nracl \"w\" whitelist rcpt w@y.example\n\
         racl greylist default\n",
    ),
    conf(
        "negation",
        "greylist 60\nracl \"n1\" whitelist not addr 192.0.2.0/24\n\
         racl blacklist no from a@x.example rcpt bl@y.example\n\
         racl greylist ! domain example.org delay 20s\nracl \"last\" whitelist default\n",
    ),
    conf(
        "lists",
        "greylist 60\nlist \"nets\" addr { 192.0.2.10 198.51.100.0/24 2001:db8::/32 }\n\
         list \"users\" rcpt { w@y.example /^<bl@/ }\nlist \"names\" domain { example.net /^mail/ }\n\
         list \"from\" from { a@x.example /bounce/ }\n\
         racl blacklist list \"users\" list \"from\"\nracl whitelist list \"nets\" list \"users\"\n\
         racl greylist not list \"names\" delay 2m\nracl whitelist list \"names\" from a@x.example\n",
    ),
    conf(
        "basic-regex",
        "greylist 60\nracl whitelist rcpt /^<w@.*>$/\nracl blacklist from /^<>$/ rcpt /bl@/\n\
         racl greylist from /\\(a\\|bob\\)@\\([a-z]*\\)/ msg \"%g{\\1} at %g{\\2}\"\n",
    ),
    conf(
        "extended-regex",
        "extendedregex\ngreylist 60\nracl whitelist rcpt /^<(w|v)@.+>$/\n\
         racl blacklist rcpt /^<(b)(l)@/ from /^<([^@]+)@/ msg \"%g{\\1} %g{\\2} %g{\\3}\"\n\
         racl greylist helo /^(client|other)\\./ delay 15s\nracl whitelist domain /example\\.(org|net)$/\n",
    ),
    conf(
        "subnet",
        "greylist 60\nsubnetmatch /24\nsubnetmatch6 /64\nautowhite 2h\n",
    ),
    lone(
        "lazyaw",
        "greylist 60\nlazyaw\nautowhite 2h\nracl greylist default\n",
    ),
    conf(
        "report-delays",
        "report delays\ngreylist 60\nracl whitelist rcpt w@y.example\n",
    ),
    conf(
        "report-nodelays",
        "report nodelays\ngreylist 60\nracl whitelist addr 192.0.2.10\n",
    ),
    conf(
        "report-none",
        "report none\ngreylist 60\nracl whitelist from a@x.example\n",
    ),
    conf(
        "headers",
        "greylist 60\nracl \"h\" whitelist rcpt w@y.example report \"seen %f %i %d\" addheader \"X-Id: %a %A\", 1\n\
         racl greylist from a@x.example addheader \"X-Elapsed: %E %Et %S\"\n\
         racl whitelist from bob@list.example addheader \"no header\"\nracl greylist default\n",
    ),
    conf(
        "formats",
        "greylist 60\nracl blacklist rcpt bl@y.example code \"554\" ecode \"5.7.0\" \
         msg \"%r %f %mr %sr %mf %sf %i %j %I{/24} %d %md %sd %h %Mj %M{if_addr} %q %A %a %S\"\n\
         racl greylist default msg \"%E %Et %R %Rt %Rh %Rm %Rs %T{%Y-%m-%d} %v %t\"\n",
    ),
    conf(
        "quiet",
        "quiet\ngreylist 60\nracl whitelist rcpt w@y.example\nracl greylist default\n",
    ),
    conf(
        "testmode",
        "testmode\ngreylist 60\nracl greylist rcpt b@y.example\n",
    ),
    conf(
        "noauth",
        "noauth\ngreylist 60\nracl whitelist rcpt w@y.example\n",
    ),
    conf("noaccessdb", "noaccessdb\ngreylist 60\n"),
    conf(
        "auth-clauses",
        "greylist 60\nracl blacklist auth \"eve\"\nracl whitelist auth /.*/\n\
         racl whitelist tls \"/CN=foo\"\nracl greylist default\n",
    ),
    conf(
        "macros",
        "sm_macro \"yes\" \"{trusted}\" \"yes\"\nsm_macro \"re\" \"{trusted}\" /^y/\n\
         sm_macro \"none\" \"{trusted}\" unset\ngreylist 60\n\
         racl whitelist sm_macro \"yes\"\nracl blacklist sm_macro \"re\" rcpt bl@y.example\n\
         racl greylist sm_macro \"none\" delay 20s\nracl whitelist not sm_macro \"none\"\n",
    ),
    conf(
        "nolog",
        "greylist 60\nracl whitelist rcpt w@y.example nolog\nracl blacklist rcpt bl@y.example nolog\n\
         racl greylist from a@x.example nolog\n",
    ),
    conf(
        "time",
        "greylist 60\nracl whitelist time \"* 12-13 * * *\" rcpt w@y.example\n\
         racl greylist time \"0-29 * * * 0-2,4-6\" delay 20s\nracl whitelist time \"*/6 * 24-26 11 *\"\n",
    ),
    single(
        "rcptcount",
        "greylist 60\nracl blacklist rcptcount >= 2\nracl whitelist rcpt w@y.example\n\
         racl whitelist rcpt c@z.example\nracl greylist default delay 10s\n",
    ),
    forward(
        "ratelimit",
        "greylist 60\nratelimit \"r\" rcpt 3 / 1m key \"%i\"\n\
         racl blacklist addr 192.0.2.0/24 ratelimit \"r\" msg \"slow down\"\nracl greylist default delay 10s\n",
    ),
    conf(
        "data",
        "greylist 60\nracl blacklist addr 10.0.0.1\nracl whitelist rcpt w@y.example\nracl whitelist default\n\
         dacl blacklist header \"Subject: spam\"\ndacl \"d\" greylist header /^subject: grey/ delay 30s\n\
         dacl whitelist body \"good\"\ndacl blacklist msgsize > 1k\n\
         dacl continue header \"Subject: tag\" addheader \"X-D: %f\"\n",
    ),
    conf(
        "domainexact",
        "domainexact\ngreylist 60\nracl whitelist domain example.org\n",
    ),
    conf(
        "suffix",
        "greylist 60\nracl whitelist domain ample.org\nracl blacklist helo \"Other.Example\"\n",
    ),
    conf("autowhite-0", "greylist 60\nautowhite 0\n"),
    conf("greylist-0", "greylist 0\nautowhite 1h\n"),
    conf("timeout", "greylist 60\ntimeout 1h\nautowhite 10m\n"),
    conf(
        "logexpired",
        "logexpired\ngreylist 60\ntimeout 1h\nautowhite 10m\nracl greylist default\n",
    ),
    conf(
        "order",
        "greylist 60\nlist \"names\" domain { example.net }\n\
         racl whitelist rcpt w@y.example from /a@/ not addr 203.0.113.0/24 not domain nowhere.example\n\
         racl whitelist helo \"x.example\" rcpt c@z.example\nracl \"l\" whitelist log \"seen\" from bob@list.example\n\
         racl continue set $p = \"1\" from a@x.example\nracl whitelist list \"names\" helo \"client.example\"\n\
         racl continue rcpt bl@y.example\n",
    ),
    single(
        "data-flush",
        "greylist 20\nracl blacklist addr 10.0.0.1\nracl greylist from a@x.example\nracl whitelist default report \"%a %E\"\n\
         dacl continue header \"Subject: tag\" log \"tagged\" flushaddr\n\
         dacl blacklist header \"Subject: spam\" code \"450\" msg \"no %r %f %R\"\n\
         dacl greylist header \"Subject: grey\" msg \"%r in %R\" nolog\n\
         dacl whitelist header \"Subject: hello\" addheader \"X-E: %E\", 0\n",
    ),
    conf(
        "flushaddr",
        "greylist 60\nracl blacklist rcpt bl@y.example flushaddr\nracl greylist default\n",
    ),
    single(
        "delayedreject",
        "delayedreject\ngreylist 60\nracl whitelist rcpt w@y.example\n",
    ),
    conf(
        "rawfrom",
        "greylist 60\nracl whitelist rawfrom /bounce-/\nracl blacklist rawfrom bob@list.example\n",
    ),
];
