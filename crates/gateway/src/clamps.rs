//! Sessions whose answers were cut at a cap that their budget set: an agent that loops on cut answers pays for nothing.

use std::collections::HashMap;
use std::sync::Mutex;

use almoner_units::Labels;

/// How many answers in a row may end at a cap.
const IN_A_ROW_MAX: u8 = 2;
/// How many sessions are watched at once; past it the watch begins anew, which lets a loop run two answers longer.
const SESSIONS_MAX: usize = 10_000;

/// How many of each session's last answers ended at a cap.
#[derive(Debug, Default)]
pub(crate) struct Clamps(Mutex<HashMap<String, u8>>);

impl Clamps {
    /// Whether the session's answers have ended at a cap so often that the next is not worth beginning.
    pub(crate) fn are_too_many(&self, labels: &Labels) -> bool {
        let Some(session) = session(labels) else { return false };
        let known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.get(&session).is_some_and(|times| *times >= IN_A_ROW_MAX)
    }

    /// Notes how an answer ended; `at_cap` where it ended at a cap that its budget set.
    pub(crate) fn note(&self, labels: &Labels, at_cap: bool) {
        let Some(session) = session(labels) else { return };
        let mut known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !at_cap {
            known.remove(&session);
            return;
        }
        if known.len() >= SESSIONS_MAX {
            known.clear();
        }
        let times = known.entry(session).or_default();
        *times = times.saturating_add(1);
    }
}

/// The session of a key; a call without a session is no loop that could be told apart.
fn session(labels: &Labels) -> Option<String> {
    let key = labels.named("key").map_or("", |key| key.as_str());
    labels.named("session").map(|session| format!("{key} {session}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_cut_answer_in_a_row_is_not_begun() {
        let labels: Labels = [("session".parse().unwrap(), "a".parse().unwrap())].into_iter().collect();
        let clamps = Clamps::default();
        clamps.note(&labels, true);
        assert!(!clamps.are_too_many(&labels));
        clamps.note(&labels, true);
        assert!(clamps.are_too_many(&labels));
        assert!(!clamps.are_too_many(&Labels::new()));
        clamps.note(&labels, false);
        assert!(!clamps.are_too_many(&labels));
    }
}
