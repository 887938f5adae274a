//! What is forgotten when: Postgrey drops old entries in a purge at night, ours
//! when they are looked up. Inside the lifetime both agree; past it, only
//! Postgrey still knows, and only until its next night.

use std::ffi::OsString;

use anyhow::Result;
use conformance::{
    Clock, Door, EPISODE_START, Greylister, Message, OptionSet, Program, Setting, scratch_folder,
};

const DAY: i64 = 86_400;
const DUNNO: &str = "action=DUNNO";
const DEFER: &str =
    "action=DEFER_IF_PERMIT Greylisted, see http://postgrey.schweikert.ch/help/e.example.html";

/// Days after noon: the triplet was proven at noon of day 0.
struct Moment {
    at: i64,
    postgrey: &'static str,
    ours: &'static str,
}

#[test]
fn an_entry_of_exactly_the_lifetime_is_known_to_both() -> Result<()> {
    both_say(&Moment {
        at: 35 * DAY,
        postgrey: DUNNO,
        ours: DUNNO,
    })
}

#[test]
fn a_little_later_only_postgrey_knows_it_by_day() -> Result<()> {
    both_say(&Moment {
        // Ours may remember the last use by a 64th of 300 seconds too early, and gives that back.
        at: 35 * DAY + 5,
        postgrey: DUNNO,
        ours: DEFER,
    })
}

#[test]
fn after_its_night_postgrey_has_forgotten_too() -> Result<()> {
    both_say(&Moment {
        at: 36 * DAY,
        postgrey: DEFER,
        ours: DEFER,
    })
}

/// Proves a triplet at noon and asks for it at `moment`; a stranger's request
/// at each night gives Postgrey the occasion for its purge.
fn both_say(moment: &Moment) -> Result<()> {
    for (program, expected) in [
        (Program::Postgrey, moment.postgrey),
        (Program::Greylatch, moment.ours),
    ] {
        let folder = scratch_folder()?;
        let mut clock = Clock::new(folder.path(), EPISODE_START - 300)?;
        let options: Vec<OsString> = OptionSet::new("defaults", &[]).command_line(folder.path())?;
        let server = Greylister::start(
            program,
            &Setting {
                folder: folder.path(),
                door: Door::Unix,
                options: &options,
                clock: Some(&clock),
            },
        )?;
        let mut client = server.connect()?;
        let request = letter("known@sender.example");
        assert_eq!(client.ask(&request)?, answer(DEFER), "{program:?}");
        clock.set(EPISODE_START)?;
        assert!(client.ask(&request)?.starts_with(b"action=PREPEND "));
        for night in 1..=40 {
            // 03:00, fifteen hours after noon.
            let three = EPISODE_START + night * DAY - 9 * 3_600;
            if three < EPISODE_START + moment.at {
                clock.set(three)?;
                client.ask(&letter("stranger@sender.example"))?;
            }
        }
        clock.set(EPISODE_START + moment.at)?;
        assert_eq!(
            String::from_utf8_lossy(&client.ask(&request)?),
            format!("{expected}\n\n"),
            "{program:?}"
        );
        assert!(server.stop()?.success(), "{program:?}");
    }
    Ok(())
}

fn letter(sender: &str) -> Vec<u8> {
    Message::of(("192.0.2.9", "mail.example.test"), sender, "d@e.example").bytes()
}

fn answer(text: &str) -> Vec<u8> {
    format!("{text}\n\n").into_bytes()
}
