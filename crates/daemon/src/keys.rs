//! The keys that we gave out: known by their hash, shown once.
//!
//! A secret has 160 random bits. They are too many to guess, by whoever has stolen the hashes as well, so a plain
//! SHA-256 is enough to keep, and a call is not made to wait for a slow one. What a key is called in labels, its id,
//! has the name that people gave it in front, and is never given twice: what was spent under it stays its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use almoner_gateway::KeyFacts;
use almoner_policy::ModelPattern;
use almoner_policy::pace::{PaceRule, Rates};
use almoner_store::{KeyChange, StoredKey, StoredSecret};
use almoner_units::{
    Budget, BudgetName, LabelName, LabelValue, Labels, LevelMarks, Limit, Mode, Priority, Span, Timestamp,
};
use sha2::{Digest, Sha256};

use crate::clock;

/// What every secret begins with.
pub(crate) const PREFIX: &str = "alm_";
/// The alphabet of secrets: nothing that a shell or a URL would read otherwise.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// What the budget of a key is called, before the key's id: of a key with a name, and of one command's.
const BUDGETS: [&str; 2] = ["key ", "exec "];
/// The most characters of a name.
const NAME_MAX: usize = 64;
/// How many secrets of one key may be good at once; whoever rotates more often than that ends the oldest.
const SECRETS_MAX: usize = 8;
/// How many changes of a key are remembered beside the first.
const CHANGES_MAX: usize = 200;
/// For how long a key with a name is remembered after its end.
const ENDED_KEPT: Span = Span::from_secs(365 * 24 * 3600);

/// What a key is to be.
pub(crate) struct Wanted {
    pub(crate) name: Option<String>,
    pub(crate) labels: Labels,
    pub(crate) limits: Vec<Limit>,
    pub(crate) mode: Mode,
    pub(crate) models: Vec<String>,
    pub(crate) rates: Rates,
    pub(crate) priority_max: Priority,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) note: String,
    pub(crate) by: String,
}

/// A key, as it is shown once, and what is kept of it.
pub(crate) struct NewKey {
    pub(crate) secret: String,
    pub(crate) stored: StoredKey,
}

/// Makes a key.
pub(crate) fn make(wanted: Wanted, now: Timestamp) -> Option<NewKey> {
    let secret = new_secret();
    let id = format!("{}-{}", wanted.name.as_deref().unwrap_or("key"), spell(&clock::dice::<8>()));
    let mut labels = wanted.labels;
    labels.set("key".parse().ok()?, id.parse::<LabelValue>().ok()?);
    let mut stored = StoredKey {
        id,
        name: wanted.name,
        secrets: vec![StoredSecret { hash: hash(&secret), good_until: None }],
        labels,
        limits: wanted.limits,
        mode: wanted.mode,
        models: wanted.models,
        rpm: wanted.rates.rpm,
        tpm: wanted.rates.tpm,
        priority_max: wanted.priority_max,
        created_at: now,
        expires_at: wanted.expires_at,
        revoked_at: None,
        note: wanted.note.chars().filter(|c| !c.is_control()).take(200).collect(),
        changes: Vec::new(),
    };
    note(&mut stored, now, &wanted.by, "created".to_owned());
    Some(NewKey { secret, stored })
}

/// Gives a key another secret; the one that it has stays good for `grace`. Gives until when that is.
pub(crate) fn rotate(key: &mut StoredKey, grace: Span, by: &str, now: Timestamp) -> (String, Option<Timestamp>) {
    let secret = new_secret();
    let until = now.after(grace);
    key.secrets.iter_mut().for_each(|old| old.good_until = Some(old.good_until.map_or(until, |end| end.min(until))));
    key.secrets.retain(|old| old.good_until > Some(now));
    key.secrets.insert(0, StoredSecret { hash: hash(&secret), good_until: None });
    key.secrets.truncate(SECRETS_MAX);
    let old_until = (until > now).then_some(until);
    let old = old_until.map_or_else(|| "ended at once".to_owned(), |until| format!("good until {until}"));
    note(key, now, by, format!("rotated, the old secret {old}"));
    (secret, old_until)
}

/// Remembers what was done to a key.
pub(crate) fn note(key: &mut StoredKey, at: Timestamp, by: &str, what: String) {
    key.changes.push(KeyChange { at, by: by.to_owned(), what });
    if key.changes.len() > CHANGES_MAX {
        // How it began is worth more than what came next.
        key.changes.remove(1);
    }
}

/// What a key can be called: one word, which is no secret that somebody took for its name.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_word = (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(is_part);
    if is_word && name.as_bytes()[0].is_ascii_alphanumeric() && !name.to_ascii_lowercase().starts_with(PREFIX) {
        return Ok(());
    }
    let rule = "1 to 64 letters, digits, `-`, `_` or `.`, and begins with a letter or a digit";
    if name.to_ascii_lowercase().starts_with(PREFIX) {
        return Err("this looks like the secret of a key, which is not its name".to_owned());
    }
    Err(format!(
        "`{}` can be no key's name: it has {rule}",
        name.chars().take(NAME_MAX).collect::<String>().escape_debug()
    ))
}

/// The budget that counts the calls of a key and nobody else's, where it has limits of its own.
pub(crate) fn budget(key: &StoredKey) -> Option<Budget> {
    if key.limits.is_empty() {
        return None;
    }
    let [named, of_command] = BUDGETS;
    let before = if key.name.is_some() { named } else { of_command };
    Some(Budget {
        name: format!("{before}{}", key.id).parse::<BudgetName>().ok()?,
        filter: vec![("key".parse::<LabelName>().ok()?, key.id.clone())],
        per: Vec::new(),
        limits: key.limits.clone(),
        mode: key.mode,
        marks: LevelMarks::default(),
    })
}

/// Whether the budget of a key may be called so.
pub(crate) fn is_name_of_own(budget: &str) -> bool {
    BUDGETS.iter().any(|before| budget.starts_with(before))
}

/// The pace at which the calls of a key go, where it has one of its own.
fn pace(key: &StoredKey) -> Option<PaceRule> {
    let rates = Rates { rpm: key.rpm, tpm: key.tpm };
    let name = format!("{}{}", BUDGETS[0], key.id);
    (!rates.is_free()).then(|| PaceRule { name, filter: Vec::new(), per: Vec::new(), rates, adaptive: false })
}

/// The id of the key whose own budget this is.
pub(crate) fn owner(budget: &Budget) -> Option<&str> {
    let id = BUDGETS.iter().find_map(|before| budget.name.as_str().strip_prefix(before))?;
    let [(label, value)] = &budget.filter[..] else { return None };
    (label.as_str() == "key" && value == id && budget.per.is_empty()).then_some(id)
}

/// Whether a budget has the name of one that belongs to a key.
pub(crate) fn is_own(budget: &BudgetName) -> bool {
    BUDGETS.iter().any(|before| budget.as_str().starts_with(before))
}

/// Whether a key lets anybody in.
pub(crate) fn is_good(key: &StoredKey, now: Timestamp) -> bool {
    key.revoked_at.is_none() && key.expires_at.is_none_or(|end| now < end)
}

/// Whether nobody need remember a key any more.
fn is_forgotten(key: &StoredKey, now: Timestamp) -> bool {
    let kept = if key.name.is_some() { ENDED_KEPT } else { Span::default() };
    [key.revoked_at, key.expires_at].into_iter().flatten().min().is_some_and(|end| end.after(kept) <= now)
}

fn new_secret() -> String {
    format!("{PREFIX}{}", spell(&clock::dice::<32>()))
}

pub(crate) fn spell(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
}

pub(crate) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// The keys that are kept, as the journal has them; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Keyring(Arc<RwLock<Ring>>);

#[derive(Default)]
struct Ring {
    /// By id.
    keys: BTreeMap<String, Arc<Held>>,
    /// The ids of the keys that have or had a name.
    names: HashMap<String, BTreeSet<String>>,
    /// By the hash of each secret, with the instant until which it is good.
    secrets: HashMap<[u8; 32], (Arc<Held>, Option<Timestamp>)>,
}

struct Held {
    stored: Arc<StoredKey>,
    facts: Arc<KeyFacts>,
}

impl Ring {
    fn remove(&mut self, id: &str) {
        if let Some(old) = self.keys.remove(id) {
            old.stored.secrets.iter().for_each(|secret| drop(self.secrets.remove(&secret.hash)));
            if let Some((name, ids)) = old.stored.name.as_ref().and_then(|name| Some((name, self.names.get_mut(name)?)))
            {
                ids.remove(id);
                if ids.is_empty() {
                    self.names.remove(name);
                }
            }
        }
    }
}

impl Keyring {
    /// Takes a key as it is now kept, in place of what it was.
    pub(crate) fn put(&self, key: StoredKey) {
        let facts = KeyFacts {
            labels: key.labels.clone(),
            priority_max: key.priority_max,
            models: key.models.iter().map(|text| ModelPattern::new(text)).collect(),
            budgets: budget(&key).into_iter().collect(),
            pace: pace(&key),
        };
        let held = Arc::new(Held { stored: Arc::new(key), facts: Arc::new(facts) });
        let mut ring = self.write();
        ring.remove(&held.stored.id);
        for secret in &held.stored.secrets {
            ring.secrets.insert(secret.hash, (Arc::clone(&held), secret.good_until));
        }
        if let Some(name) = &held.stored.name {
            ring.names.entry(name.clone()).or_default().insert(held.stored.id.clone());
        }
        ring.keys.insert(held.stored.id.clone(), held);
    }

    /// The key of this id; else the one of this name, and of several the one that is good, or was the last.
    pub(crate) fn get(&self, name: &str, now: Timestamp) -> Option<Arc<StoredKey>> {
        let ring = self.read();
        let named = || {
            let named = ring.names.get(name).into_iter().flatten().filter_map(|id| ring.keys.get(id));
            named.max_by_key(|held| (is_good(&held.stored, now), held.stored.created_at))
        };
        ring.keys.get(name).or_else(named).map(|held| Arc::clone(&held.stored))
    }

    /// Every key, by id.
    pub(crate) fn all(&self) -> Vec<Arc<StoredKey>> {
        self.read().keys.values().map(|held| Arc::clone(&held.stored)).collect()
    }

    /// Takes out the keys that nobody need remember, and gives their ids.
    pub(crate) fn take_forgotten(&self, now: Timestamp) -> Vec<String> {
        let mut ring = self.write();
        let over = |held: &&Arc<Held>| is_forgotten(&held.stored, now);
        let ids: Vec<String> = ring.keys.values().filter(over).map(|held| held.stored.id.clone()).collect();
        ids.iter().for_each(|id| ring.remove(id));
        ids
    }

    fn read(&self) -> RwLockReadGuard<'_, Ring> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Ring> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl almoner_gateway::Keys for Keyring {
    fn find(&self, key: &str) -> Option<Arc<KeyFacts>> {
        // A look-up by the hash of a random key tells nothing by the time it takes.
        let hash = hash(key);
        let ring = self.read();
        let (held, good_until) = ring.secrets.get(&hash)?;
        let now = clock::read().wall;
        let is_in_time = good_until.is_none_or(|until| now < until);
        (is_in_time && is_good(&held.stored, now)).then(|| Arc::clone(&held.facts))
    }

    fn is_good(&self, key: &str) -> bool {
        let now = clock::read().wall;
        self.read().keys.get(key).is_some_and(|held| is_good(&held.stored, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use almoner_gateway::Keys;

    const MINUTE: Span = Span::from_secs(60);

    fn key(name: Option<&str>, expires_at: Option<Timestamp>) -> NewKey {
        let wanted = Wanted {
            name: name.map(str::to_owned),
            labels: Labels::new(),
            limits: vec!["$5 / day".parse().unwrap()],
            mode: Mode::StopNew,
            models: Vec::new(),
            rates: Rates { rpm: Some(60), tpm: None },
            priority_max: Priority::High,
            expires_at,
            note: "a\u{1b}b".to_owned(),
            by: "a test".to_owned(),
        };
        make(wanted, clock::read().wall).unwrap()
    }

    #[test]
    fn a_key_is_found_by_itself_alone_and_only_while_it_is_good() {
        let ring = Keyring::default();
        let now = clock::read().wall;
        let (good, old) = (key(None, Some(now.after(MINUTE))), key(None, Some(Timestamp::from_ms(1))));
        ring.put(good.stored.clone());
        ring.put(old.stored.clone());
        let found = ring.find(&good.secret).unwrap();
        assert_eq!(found.labels, good.stored.labels);
        assert_eq!(found.pace.as_ref().unwrap().name, format!("key {}", good.stored.id));
        let upper = good.secret.to_ascii_uppercase();
        for none in [&good.stored.id, &old.secret, &upper, &good.secret[..35], &format!("{} ", good.secret), ""] {
            assert_eq!(ring.find(none), None, "{none}");
        }
        assert_eq!(ring.take_forgotten(now), [old.stored.id]);
        assert!(ring.take_forgotten(now).is_empty() && ring.find(&good.secret).is_some());
        assert!(good.secret.starts_with("alm_") && good.secret.len() == 36, "{}", good.secret.len());
        assert_eq!(good.stored.note, "ab");
    }

    #[test]
    fn a_revoked_key_lets_nobody_in_and_is_remembered_by_its_name() {
        let ring = Keyring::default();
        let now = clock::read().wall;
        let mut ci = key(Some("ci"), None);
        ring.put(ci.stored.clone());
        assert!(ring.is_good(&ci.stored.id) && ci.stored.id.starts_with("ci-"));
        ci.stored.revoked_at = Some(now);
        ring.put(ci.stored.clone());
        assert!(ring.find(&ci.secret).is_none() && !ring.is_good(&ci.stored.id));
        assert!(ring.take_forgotten(now).is_empty());
        let next = key(Some("ci"), None);
        ring.put(next.stored.clone());
        assert_eq!(ring.get("ci", now).unwrap().id, next.stored.id);
        assert_eq!(ring.get(&ci.stored.id, now).unwrap().revoked_at, Some(now));
        assert_eq!(ring.take_forgotten(now.after(ENDED_KEPT)), [ci.stored.id]);
    }

    #[test]
    fn a_secret_that_another_took_the_place_of_is_good_for_as_long_as_was_said() {
        let ring = Keyring::default();
        let now = clock::read().wall;
        let NewKey { secret: first, mut stored } = key(Some("ci"), None);
        let (second, until) = rotate(&mut stored, MINUTE, "a test", now);
        ring.put(stored.clone());
        assert_eq!(until, Some(now.after(MINUTE)));
        assert!(ring.find(&first).is_some() && ring.find(&second).is_some());
        // A longer grace for the second gives the first no more time than it had.
        let (third, _) = rotate(&mut stored, Span::from_secs(3600), "a test", now);
        assert_eq!(stored.secrets[2].good_until, Some(now.after(MINUTE)));
        let (fourth, until) = rotate(&mut stored, Span::default(), "a test", now);
        ring.put(stored.clone());
        assert_eq!((until, stored.secrets.len()), (None, 1));
        for ended in [&first, &second, &third] {
            assert!(ring.find(ended).is_none());
        }
        assert!(ring.find(&fourth).is_some());
        for _ in 0..2 * CHANGES_MAX {
            rotate(&mut stored, MINUTE, "a test", now);
        }
        assert_eq!((stored.secrets.len(), stored.changes.len()), (SECRETS_MAX, CHANGES_MAX));
        assert_eq!(stored.changes[0].what, "created");
    }

    #[test]
    fn a_budget_is_a_keys_own_only_where_all_of_it_says_so() {
        let stored = key(Some("ci"), None).stored;
        let own = budget(&stored).unwrap();
        assert_eq!(own.name.as_str(), format!("key {}", stored.id));
        assert_eq!(owner(&own), Some(stored.id.as_str()));
        assert_eq!(budget(&StoredKey { limits: Vec::new(), ..stored.clone() }), None);
        let of_command = budget(&key(None, None).stored).unwrap();
        assert!(of_command.name.as_str().starts_with("exec key-") && owner(&of_command).is_some());
        for other in [
            Budget { filter: Vec::new(), ..own.clone() },
            Budget { per: vec!["session".parse().unwrap()], ..own.clone() },
            Budget { name: "key of the house".parse().unwrap(), ..own },
        ] {
            assert_eq!(owner(&other), None, "{other:?}");
        }
    }

    #[test]
    fn a_name_is_one_plain_word() {
        for good in ["ci", "a", "team-a.prod_2", &"x".repeat(64)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "a b", "a\u{1b}[2J", "ü", "-x", "a/b", "alm_secret", "ALM_x", &"x".repeat(65)] {
            let why = check_name(bad).unwrap_err();
            assert!(!why.chars().any(char::is_control) && !why.contains("secret`"), "{why}");
        }
    }

    #[test]
    fn ten_thousand_keys_are_found_as_fast_as_one() {
        let ring = Keyring::default();
        let keys: Vec<NewKey> = (0..10_000).map(|_| key(None, None)).collect();
        keys.iter().for_each(|key| ring.put(key.stored.clone()));
        // One hash and one look-up each, whatever else is there.
        assert!(keys.iter().all(|key| ring.find(&key.secret).unwrap().labels == key.stored.labels));
        assert_eq!(ring.all().len(), 10_000);
    }
}
