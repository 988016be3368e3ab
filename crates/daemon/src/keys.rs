//! The keys that we gave out: known by their hash, shown once.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use almoner_gateway::KeyFacts;
use almoner_store::StoredKey;
use almoner_units::{LabelValue, Labels, Priority, Timestamp};
use sha2::{Digest, Sha256};

use crate::clock;

/// What every key of ours begins with.
const PREFIX: &str = "alm_";
/// The alphabet of keys: nothing that a shell or a URL would read otherwise.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A key, as it is shown once, and what is kept of it.
pub(crate) struct NewKey {
    pub(crate) secret: String,
    pub(crate) stored: StoredKey,
}

/// Makes a key of 160 random bits. They are too many to guess, so a plain hash is enough to keep.
pub(crate) fn make(note: &str, now: Timestamp, expires_at: Timestamp) -> Option<NewKey> {
    let secret = format!("{PREFIX}{}", spell(&clock::dice::<32>()));
    let id = format!("key-{}", spell(&clock::dice::<8>()));
    let mut labels = Labels::new();
    labels.set("key".parse().ok()?, id.parse::<LabelValue>().ok()?);
    let note = note.chars().filter(|c| !c.is_control()).collect();
    let stored = StoredKey { id, hash: hash(&secret), labels, expires_at, created_at: now, note };
    Some(NewKey { secret, stored })
}

fn spell(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// The keys that are good now; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Keyring(Arc<RwLock<HashMap<[u8; 32], Held>>>);

#[derive(Clone)]
struct Held {
    facts: KeyFacts,
    expires_at: Timestamp,
}

impl Keyring {
    pub(crate) fn insert(&self, key: &StoredKey) {
        let facts = KeyFacts { labels: key.labels.clone(), priority_max: Priority::High };
        let mut keys = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        keys.insert(key.hash, Held { facts, expires_at: key.expires_at });
    }
}

impl Keyring {
    /// Lets the key of this name be good no longer than until `at`.
    pub(crate) fn end(&self, name: &str, at: Timestamp) {
        let mut keys = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_it = |held: &&mut Held| held.facts.labels.named("key").is_some_and(|key| key.as_str() == name);
        keys.values_mut().filter(is_it).for_each(|held| held.expires_at = held.expires_at.min(at));
    }

    /// Takes out the keys whose time is up, and gives their names.
    pub(crate) fn take_expired(&self, now: Timestamp) -> Vec<String> {
        let mut keys = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let expired = keys.extract_if(|_, held| held.expires_at <= now);
        expired.filter_map(|(_, held)| held.facts.labels.named("key").map(ToString::to_string)).collect()
    }
}

impl almoner_gateway::Keys for Keyring {
    fn find(&self, key: &str) -> Option<KeyFacts> {
        // A look-up by the hash of a random key tells nothing by the time it takes.
        let keys = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let held = keys.get(&hash(key))?;
        (clock::read().wall < held.expires_at).then(|| held.facts.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use almoner_gateway::Keys;

    #[test]
    fn a_key_is_found_by_itself_alone_and_only_while_it_is_good() {
        let ring = Keyring::default();
        let now = clock::read().wall;
        let good = make("x", now, now.after(almoner_units::Span::from_secs(60))).unwrap();
        let old = make("x", now, Timestamp::from_ms(1)).unwrap();
        ring.insert(&good.stored);
        ring.insert(&old.stored);
        assert_eq!(ring.find(&good.secret).unwrap().labels, good.stored.labels);
        assert_eq!(ring.find(&good.stored.id), None);
        assert_eq!(ring.find(&old.secret), None);
        assert_eq!(ring.take_expired(now), [old.stored.id]);
        assert!(ring.take_expired(now).is_empty() && ring.find(&good.secret).is_some());
        assert!(good.secret.starts_with("alm_") && good.secret.len() == 36, "{}", good.secret.len());
    }
}
