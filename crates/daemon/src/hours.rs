//! What paces have learned of the hours of the day, kept over a restart in a small file of the state folder.
//!
//! It may lag and may be lost: a pace without it begins as a new one does. So what cannot be read is left, with a word
//! in the log, and what was put there by somebody else can be no worse than what could have been learned.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use almoner_policy::pace::Load;
use almoner_policy::pace::hours::{HOURS, Hour, Profile};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use crate::in_force::Place;
use crate::log::WARNING;

/// The file in the state folder.
const HOURS_FILE: &str = "hours.json";
/// The first version of what is in it.
const VERSION: u64 = 1;
/// How often it is written while the server runs, where something is new.
const EVERY: Duration = Duration::from_secs(300);
/// The most of it that is read, and the most paces that are written.
const BYTES_MAX: u64 = 4 << 20;
const PACES_MAX: usize = 1_000;

type Profiles = BTreeMap<String, Profile>;

/// What was learned before, as far as it can be read; what is wrong with it goes to `say`.
pub(crate) fn read(state: &Path, say: &mut dyn FnMut(String)) -> Profiles {
    let path = state.join(HOURS_FILE);
    let mut text = String::new();
    let read = File::open(&path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text));
    let known = match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Profiles::new(),
        Err(error) => Err(error.to_string()),
        Ok(_) => parse(&text),
    };
    known.unwrap_or_else(|why| {
        let path = path.display();
        say(format!("{WARNING}what paces learned of the hours of the day begins anew: {path} cannot be read: {why}"));
        Profiles::new()
    })
}

fn parse(text: &str) -> Result<Profiles, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if value["version"] != VERSION {
        return Err(format!("its version is {}, not {VERSION}", value["version"]));
    }
    let paces = value["paces"].as_object().ok_or("it names no paces")?;
    let profile = |(name, hours): (&String, &Value)| {
        let hours = profile(hours).ok_or_else(|| format!("`{name}` has not {HOURS} hours of six numbers"))?;
        Ok((name.clone(), hours.plausible()))
    };
    paces.iter().map(profile).collect()
}

fn profile(hours: &Value) -> Option<Profile> {
    let hours: Option<Vec<Hour>> = hours.as_array()?.iter().map(hour).collect();
    Some(Profile { hours: hours?.try_into().ok()? })
}

/// One hour: the day, requests, tokens, refusals, waits, days.
fn hour(numbers: &Value) -> Option<Hour> {
    let numbers: Option<Vec<u64>> = numbers.as_array()?.iter().map(Value::as_u64).collect();
    let [day, requests, tokens, refusals, waits, days] = numbers?[..] else { return None };
    let small = |number| u32::try_from(number).ok();
    let borne = Load { requests, tokens };
    Some(Hour { day, borne, refusals: small(refusals)?, waits: small(waits)?, days: small(days)? })
}

fn text(profiles: &Profiles) -> String {
    let hour =
        |hour: &Hour| json!([hour.day, hour.borne.requests, hour.borne.tokens, hour.refusals, hour.waits, hour.days]);
    let hours = |profile: &Profile| Value::Array(profile.hours.iter().map(hour).collect());
    let paces: serde_json::Map<_, _> =
        profiles.iter().take(PACES_MAX).map(|(name, profile)| (name.clone(), hours(profile))).collect();
    json!({ "version": VERSION, "paces": paces }).to_string()
}

/// Writes what is known in the place of what was, whole or not at all.
pub(crate) fn write(state: &Path, profiles: &Profiles) -> io::Result<()> {
    let (path, new) = (state.join(HOURS_FILE), state.join("hours.json.new"));
    if profiles.is_empty() && !path.exists() {
        return Ok(());
    }
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    writeln!(file, "{}", text(profiles))?;
    file.sync_all()?;
    fs::rename(&new, &path)
}

/// Keeps the file up to date while the server runs.
pub(crate) async fn keep(in_force: Place, state: std::path::PathBuf, notices: UnboundedSender<String>) {
    let mut look = tokio::time::interval(EVERY);
    let mut written = in_force.now().gateway.hours();
    loop {
        look.tick().await;
        let known = in_force.now().gateway.hours();
        if known == written {
            continue;
        }
        let (folder, profiles) = (state.clone(), known.clone());
        let kept = tokio::task::spawn_blocking(move || write(&folder, &profiles)).await;
        if let Ok(Err(error)) = kept {
            drop(notices.send(unkept(&error)));
        }
        // Where it failed, it is tried again once something is new.
        written = known;
    }
}

/// What is said where the file could not be written.
pub(crate) fn unkept(error: &io::Error) -> String {
    format!("{WARNING}what paces learned of the hours of the day could not be kept: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned() -> Profiles {
        let mut profile = Profile::default();
        let borne = Load { requests: 40, tokens: 9_000 };
        profile.hours[9] = Hour { day: 20_780, borne, refusals: 32, waits: 16, days: 3 };
        Profiles::from([("anthropic [model=\"a, b\"]".to_owned(), profile)])
    }

    fn read_from(state: &Path) -> (Profiles, Vec<String>) {
        let mut said = Vec::new();
        let known = read(state, &mut |line| said.push(line));
        (known, said)
    }

    #[test]
    fn what_was_learned_is_there_after_a_restart() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(read_from(state.path()), (Profiles::new(), Vec::new()));
        write(state.path(), &Profiles::new()).unwrap();
        assert!(!state.path().join(HOURS_FILE).exists(), "who has learned nothing has nothing to keep");
        write(state.path(), &learned()).unwrap();
        assert_eq!(read_from(state.path()), (learned(), Vec::new()));
    }

    #[test]
    fn what_cannot_have_been_learned_is_left_and_told_of() {
        let state = tempfile::tempdir().unwrap();
        for (text, why) in [
            ("", "EOF"),
            ("{\"version\":1,\"paces\":{\"a\"", "EOF"),
            ("[]", "its version is null"),
            ("{\"version\":2,\"paces\":{}}", "its version is 2"),
            ("{\"version\":1}", "names no paces"),
            ("{\"version\":1,\"paces\":{\"a\":[[1,2,3,4,5,6]]}}", "`a` has not 24 hours"),
        ] {
            fs::write(state.path().join(HOURS_FILE), text).unwrap();
            let (known, said) = read_from(state.path());
            assert!(known.is_empty() && said.len() == 1 && said[0].contains(why), "{text}: {said:?}");
        }
        let mut wild = learned();
        wild.values_mut().for_each(|profile| profile.hours[9].refusals = u32::MAX);
        write(state.path(), &wild).unwrap();
        let (known, _) = read_from(state.path());
        assert!(known.values().all(|profile| profile.hours[9].refusals < 10_000), "no file closes a pace for ever");
    }
}
