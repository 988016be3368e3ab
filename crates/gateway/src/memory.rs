//! What is remembered of requests for a while, by their fingerprints.
//!
//! A fingerprint is keyed by chance, so that no stranger can make two requests that have the same.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};

use almoner_units::Span;
use tokio::time::Instant;

use crate::relay::Deadline;

/// How many requests are remembered at once; past it those whose time is over go, and if none is, all.
const REQUESTS_MAX: usize = 10_000;

/// All that is remembered of requests.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    pub(crate) prints: Prints,
    /// Those for which every try was in vain.
    pub(crate) in_vain: Memory<()>,
    /// The tokens that a provider counted in them; `None` where it did not.
    pub(crate) counted: Memory<Option<u64>>,
}

/// Makes the fingerprints of requests.
#[derive(Debug, Default)]
pub(crate) struct Prints(RandomState);

impl Prints {
    /// The fingerprint of what a request is made of.
    pub(crate) fn of(&self, parts: impl Hash) -> u64 {
        self.0.hash_one(parts)
    }
}

/// What is remembered.
#[derive(Debug)]
pub(crate) struct Memory<V>(Mutex<HashMap<u64, (V, Instant)>>);

impl<V> Default for Memory<V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<V: Clone> Memory<V> {
    /// What is remembered of a request.
    pub(crate) fn of(&self, print: u64) -> Option<V> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(&print)
            .filter(|(_, until)| Instant::now_plus(Span::default()) < *until)
            .map(|(value, _)| value.clone())
    }

    /// Remembers something for so long.
    pub(crate) fn put(&self, print: u64, value: V, keeps: Span) {
        let now = Instant::now_plus(Span::default());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REQUESTS_MAX {
            known.retain(|_, (_, until)| now < *until);
        }
        if known.len() >= REQUESTS_MAX {
            known.clear();
        }
        known.insert(print, (value, Instant::now_plus(keeps)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Span = Span::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_forgotten_in_its_time() {
        let memory = Memory::default();
        memory.put(1, "one", MINUTE);
        assert_eq!((memory.of(1), memory.of(2)), (Some("one"), None));
        tokio::time::advance(std::time::Duration::from_secs(60)).await;
        assert_eq!(memory.of(1), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_requests_is_bounded() {
        let memory = Memory::default();
        (0..REQUESTS_MAX as u64).for_each(|print| memory.put(print, (), MINUTE));
        memory.put(u64::MAX, (), MINUTE);
        assert_eq!(memory.of(u64::MAX), Some(()));
        assert_eq!(memory.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn other_requests_have_other_fingerprints() {
        let prints = Prints::default();
        assert_eq!(prints.of(("a", b"body")), prints.of(("a", b"body")));
        assert_ne!(prints.of(("a", b"body")), prints.of(("a", b"bodx")));
    }
}
