//! From milter-greylist's settings to our configuration. A translation, no behaviour.

use std::path::{Path, PathBuf};

use greylatch_rules::{ListenAddress, LogFacility, Settings};
use greylatch_server::{
    Config, Endpoint, Facility, ForeignRules, Listener, LogFormat, LogLevel, LogTo, OnFailure,
};

use super::options::Options;

/// Where the dump file is when nobody says. Source: Debian's milter-greylist 4.6.4-4.
const DUMPFILE: &str = "/var/lib/milter-greylist/greylist.db";

/// Our own store beside the dump file.
const STORE: &str = "greylatch";

/// What the settings, which the options have been added to, come to.
pub(crate) fn translate(
    options: &Options,
    settings: &Settings,
    path: PathBuf,
    log_to: LogTo,
) -> Result<Config, String> {
    let mut config = Config::default();
    config.listen.policy = Vec::new();
    config.listen.milter = vec![listener(settings)?];
    if let Some(user) = &settings.user {
        config.process.user = Some(user.user.clone());
        config.process.group = user.group.clone();
    }
    let greylist = &mut config.greylist;
    greylist.delay = settings.greylist;
    greylist.retry_window = settings.timeout;
    greylist.lifetime = settings.autowhite;
    greylist.ipv4_prefix = settings.subnetmatch;
    greylist.ipv6_prefix = settings.subnetmatch6;
    greylist.exempt_clients_after = 0;
    greylist.shipped_lists = false;
    config.store.url = Some(format!("embedded:{}", store(settings).display()));
    config.store.on_failure = OnFailure::Pass;
    config.lists.greylist_conf = Some(ForeignRules {
        path,
        appended: options.statements(),
    });
    log(&mut config, settings, log_to);
    Ok(config)
}

fn listener(settings: &Settings) -> Result<Listener, String> {
    let socket = settings
        .socket
        .as_ref()
        .ok_or("No socket provided, exiting")?;
    let tcp = |host: &Option<String>, every: &str, port| Endpoint::Tcp {
        host: host.clone().unwrap_or_else(|| every.to_owned()),
        port,
    };
    let at = match &socket.address {
        ListenAddress::Unix { path } => Endpoint::Unix(path.into()),
        ListenAddress::Inet { port, host } => tcp(host, "0.0.0.0", *port),
        ListenAddress::Inet6 { port, host } => tcp(host, "::", *port),
    };
    Ok(Listener {
        at,
        // Without a mode the original leaves it to its umask, commonly 022.
        mode: Some(socket.mode.unwrap_or(0o755)),
        owner: settings.user.as_ref().map(|run_as| {
            let group = run_as.group.as_deref().unwrap_or_default();
            format!("{}:{group}", run_as.user)
        }),
        replaces: false,
    })
}

/// Where the dump file is.
pub(crate) fn dumpfile(settings: &Settings) -> &Path {
    let dumpfile = settings.dumpfile.as_ref();
    Path::new(dumpfile.map_or(DUMPFILE, |dumpfile| &dumpfile.path))
}

fn store(settings: &Settings) -> PathBuf {
    let folder = dumpfile(settings).parent();
    folder.unwrap_or(Path::new(".")).join(STORE)
}

fn log(config: &mut Config, settings: &Settings, to: LogTo) {
    config.log.ident = "milter-greylist".into();
    config.log.format = LogFormat::Logfmt;
    config.log.level = if settings.verbose {
        LogLevel::Verbose
    } else {
        LogLevel::Normal
    };
    config.log.to = to;
    let name = match settings.logfac {
        LogFacility::None => {
            config.log.level = LogLevel::Quiet;
            return;
        }
        LogFacility::Local(nth) => format!("local{nth}"),
        named => format!("{named:?}").to_ascii_lowercase(),
    };
    // Every name of theirs is one of ours.
    if let Ok(facility) = name.parse::<Facility>() {
        config.log.facility = facility;
    }
}

#[cfg(test)]
mod tests {
    use greylatch_core::Seconds;
    use greylatch_rules::{GreylistConf, Source};

    use super::*;

    fn translated(text: &str) -> Result<Config, String> {
        let source = Source {
            path: "greylist.conf".into(),
            text: text.as_bytes().to_vec(),
        };
        let (conf, diagnostics) = GreylistConf::read(&source);
        assert_eq!(diagnostics, []);
        let path = PathBuf::from("/etc/mail/greylist.conf");
        translate(&Options::default(), &conf.settings, path, LogTo::Syslog)
    }

    #[test]
    fn settings_become_ours() {
        let config = translated(
            "socket \"/run/mg/sock\" 660\nuser \"greylist:postfix\"\ngreylist 5m\n\
             autowhite 3d\nsubnetmatch /24\ndumpfile \"/var/x/greylist.db\"\nlogfac local3\n",
        );
        let config = config.expect("a configuration");
        let [listener] = &config.listen.milter[..] else {
            panic!("one listener");
        };
        assert_eq!(listener.at, Endpoint::Unix("/run/mg/sock".into()));
        assert_eq!(listener.mode, Some(0o660));
        assert_eq!(listener.owner.as_deref(), Some("greylist:postfix"));
        assert_eq!(config.greylist.delay, Seconds(300));
        assert_eq!(config.greylist.ipv4_prefix, 24);
        assert_eq!(config.greylist.ipv6_prefix, 128);
        assert_eq!(
            config.store.url.as_deref(),
            Some("embedded:/var/x/greylatch")
        );
        assert_eq!(config.log.facility, "local3".parse().expect("a facility"));
        assert_eq!(config.process.group.as_deref(), Some("postfix"));
    }

    #[test]
    fn without_a_socket_it_does_not_start() {
        assert_eq!(
            translated("greylist 5m\n"),
            Err("No socket provided, exiting".into())
        );
    }

    #[test]
    fn every_facility_has_a_number() {
        for name in [
            "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp",
        ] {
            let config = translated(&format!("socket \"inet:1@x\"\nlogfac {name}\n"));
            let facility = config.expect("a configuration").log.facility;
            assert_eq!(facility, name.parse().expect("a facility"), "{name}");
        }
    }
}
