//! Where sessions stay that a route has sent elsewhere.
//!
//! A provider keeps the beginning of a conversation in a cache for some minutes, and a session that goes to and fro
//! pays for it each time. So it stays where it is, and only every few minutes its first choice is tried again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use almoner_policy::Setback;
use almoner_units::{Labels, Span, Timestamp};

/// How long a session stays before its first choice is tried again: as long as providers keep their caches.
const STAYS: Span = Span::from_secs(300);
/// How many sessions are known at once; past it those that have stayed their time go, and if none has, all.
const SESSIONS_MAX: usize = 10_000;

/// Where a session stays, and why.
#[derive(Clone, Debug)]
pub(crate) struct Stay {
    pub(crate) route: String,
    pub(crate) target: usize,
    /// What stood in the way of its first choice.
    pub(crate) setback: Setback,
    pub(crate) why: String,
    pub(crate) since: Timestamp,
}

/// Every session that stays elsewhere than at its first choice.
#[derive(Debug, Default)]
pub(crate) struct Stays(Mutex<HashMap<String, Stay>>);

impl Stays {
    /// Where a session stays with the calls for this model.
    pub(crate) fn of(&self, session: &str, now: Timestamp) -> Option<Stay> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(session).filter(|stay| now.since(stay.since) < STAYS).cloned()
    }

    /// A session stays from now on; one that is there already stays as it was.
    pub(crate) fn put(&self, session: String, stay: Stay) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= SESSIONS_MAX {
            known.retain(|_, old| stay.since.since(old.since) < STAYS);
        }
        if known.len() >= SESSIONS_MAX {
            known.clear();
        }
        known.insert(session, stay);
    }

    /// A session is back at its first choice.
    pub(crate) fn forget(&self, session: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(session);
    }
}

/// The session of a key with one model; a call without a session stays nowhere.
pub(crate) fn session(labels: &Labels, model: &str) -> Option<String> {
    let key = labels.named("key").map_or("", |key| key.as_str());
    labels.named("session").map(|session| format!("{key}\n{session}\n{model}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: Timestamp = Timestamp::from_ms(1_795_500_000_000);

    fn stay(since: Timestamp) -> Stay {
        Stay { route: "r".to_owned(), target: 1, setback: Setback::RateLimited, why: "429".to_owned(), since }
    }

    #[test]
    fn a_session_stays_for_five_minutes() {
        let stays = Stays::default();
        stays.put("a".to_owned(), stay(BEGIN));
        assert!(stays.of("a", BEGIN.after(Span::from_secs(299))).is_some());
        assert!(stays.of("a", BEGIN.after(STAYS)).is_none());
        assert!(stays.of("b", BEGIN).is_none());
        stays.forget("a");
        assert!(stays.of("a", BEGIN).is_none());
    }

    #[test]
    fn a_flood_of_sessions_is_bounded() {
        let stays = Stays::default();
        (0..SESSIONS_MAX).for_each(|number| stays.put(number.to_string(), stay(BEGIN)));
        let later = BEGIN.after(Span::from_secs(1));
        stays.put("new".to_owned(), stay(later));
        assert!(stays.0.lock().unwrap().len() == 1 && stays.of("new", later).is_some());
    }

    #[test]
    fn each_key_has_sessions_of_its_own() {
        let labels = |key: &str| -> Labels {
            [("key", key), ("session", "s")]
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect()
        };
        assert_ne!(session(&labels("a"), "m"), session(&labels("b"), "m"));
        assert_eq!(session(&Labels::new(), "m"), None);
    }
}
