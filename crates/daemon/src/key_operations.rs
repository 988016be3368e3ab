//! Keys as the control interface has them: made, listed, given another secret, ended and forgotten.
//!
//! A key is in the journal before its secret is shown. Where the process dies in between, there is a key that nobody
//! can use, which `keys list` shows and `keys revoke` ends.

use std::collections::HashMap;

use almoner_api::{AccountInfo, KeyChangeInfo, KeyInfo, KeySummary, KeyUse, NewKey, Reply, ShownKey};
use almoner_ledger::Who;
use almoner_policy::pace::Rates;
use almoner_policy::{ACCOUNTS_MAX, most_touched};
use almoner_store::{EventKind, KeyUsed, StoredKey};
use almoner_units::{Budget, BudgetName, Labels, Limit, Priority, Span, Timestamp};

use crate::keeper::Desk;
use crate::keys::{self, Keyring, Wanted};
use crate::operations::{No, Operations, no, no_but, parse_labels, parse_limits, parse_mode};
use crate::over::Reasons;
use crate::{clock, describe};

/// Labels that no key can give: what the call itself is decides about them.
const NOT_GIVEN: [&str; 4] = ["key", "provider", "model", "priority"];
/// How many patterns of models a key may have, and how long each may be.
const MODELS_MAX: usize = 100;
const PATTERN_MAX: usize = 128;

impl Operations {
    /// Makes a key. It is on the disk with its budget before it is shown.
    pub(crate) async fn create_key(&self, new: NewKey) -> Result<Reply, No> {
        let now = clock::read().wall;
        let by = new.by.clone();
        let made_by = by.clone();
        let made = keys::make(wanted(new, now)?, now).ok_or_else(|| no("fault", "a key could not be named"))?;
        let (keyring, stored, place) = (self.keyring.clone(), made.stored.clone(), self.in_force.clone());
        self.at_desk(move |desk, at| {
            refuse_twin(&keyring, &stored, now)?;
            let budget = keys::budget(&stored);
            refuse_crowd(&place.now().gateway.budgets(), budget.as_ref())?;
            desk.journal.keys_put(&stored).map_err(|error| no("store", error))?;
            if let Some(budget) = budget {
                let account = budget.account(&stored.labels);
                desk.ledger.set_budget(budget, Who(by), at);
                if stored.name.is_none() {
                    // Open from the start, so that a command hears what is left even where no call comes.
                    desk.ledger.open(&account, &stored.id, at);
                }
            }
            // At the desk, so that of two keys with one name the second finds the first.
            keyring.put(stored);
            Ok(())
        })
        .await??;
        self.tell_of_key(EventKind::KeyMade, &made.stored, "was made", &made_by);
        Ok(self.show(made.stored, made.secret, None))
    }

    /// Gives a key another secret.
    pub(crate) async fn rotate_key(&self, name: String, grace_ms: u64, by: String) -> Result<Reply, No> {
        let now = clock::read().wall;
        let (keyring, rotated_by) = (self.keyring.clone(), by.clone());
        let (stored, secret, until) = self
            .at_desk(move |desk, _| {
                let mut stored = good(&keyring, &name, now)?;
                let (secret, until) = keys::rotate(&mut stored, Span::from_ms(grace_ms), &by, now);
                desk.journal.keys_put(&stored).map_err(|error| no("store", error))?;
                keyring.put(stored.clone());
                Ok::<_, No>((stored, secret, until))
            })
            .await??;
        self.tell_of_key(EventKind::KeyRotated, &stored, "has another secret", &rotated_by);
        Ok(self.show(stored, secret, until))
    }

    /// Tells whoever listens what was done to a key.
    fn tell_of_key(&self, kind: EventKind, key: &StoredKey, what: &str, by: &str) {
        let called = key.name.as_ref().unwrap_or(&key.id);
        let data = serde_json::json!({ "key": key.id, "name": key.name, "by": by });
        self.recorder.happened(kind, format!("key {called} {what}, by {by}"), data);
    }

    /// A key with its secret, and what there is to know for whoever uses it.
    fn show(&self, stored: StoredKey, secret: String, old_until: Option<Timestamp>) -> Reply {
        // They come by name.
        let in_force = self.in_force.now();
        let budgets = in_force.gateway.budgets();
        let beside = budgets.iter().filter(|budget| may_count(budget, &stored.labels)).map(describe::budget).collect();
        let budget = keys::budget(&stored).map(|budget| budget.name.to_string());
        Reply::Key(Box::new(ShownKey {
            budget,
            id: stored.id,
            name: stored.name,
            secret,
            expires_at: stored.expires_at.map(|at| at.to_string()),
            old_until: old_until.map(|at| at.to_string()),
            listen: self.about.listen.clone(),
            require_key: in_force.settings.require_key,
            credentials: in_force.credentials.clone(),
            dialects: in_force.dialects.clone(),
            budgets: beside,
            config: in_force.config.clone(),
        }))
    }

    /// Ends a key: it lets no further call in, here or after a start. Its budget is forgotten a little later.
    pub(crate) async fn revoke_key(&self, name: String, kill: bool, by: String) -> Result<Reply, No> {
        let now = clock::read().wall;
        let (keyring, revoked_by) = (self.keyring.clone(), by.clone());
        let stored = self
            .at_desk(move |desk, _| {
                let mut stored = good(&keyring, &name, now)?;
                stored.revoked_at = Some(now);
                let what = if kill { "revoked, its running calls cut" } else { "revoked" };
                keys::note(&mut stored, now, &by, what.to_owned());
                // Nobody is let in any more, even where the disk does not take it: that is then said.
                keyring.put(stored.clone());
                desk.journal.keys_put(&stored).map_err(|error| no("store", error))?;
                Ok::<_, No>(stored)
            })
            .await??;
        self.tell_of_key(EventKind::KeyRevoked, &stored, "lets no further call in", &revoked_by);
        let called = stored.name.as_ref().unwrap_or(&stored.id);
        if kill {
            self.keeper.cut(&stored.id, &format!("the key `{called}` was revoked"));
        }
        let running = if kill { "what runs with it is cut" } else { "what runs with it may finish" };
        Ok(Reply::Done { message: format!("key {called} lets no further call in; {running}") })
    }

    /// Keys, without their secrets.
    pub(crate) async fn keys(&self, key: Option<String>, all: bool) -> Result<Reply, No> {
        let now = clock::read().wall;
        let stored = match &key {
            Some(name) => vec![self.keyring.get(name, now).ok_or_else(|| unknown(name))?],
            None => self.keyring.all().into_iter().filter(|key| all || keys::is_good(key, now)).collect(),
        };
        let only = stored.first().filter(|_| key.is_some()).map(|key| key.id.clone());
        let used = self.used(only).await;
        let (of, reasons) = (stored.clone(), self.reasons.clone());
        let accounts = self.at_desk(move |desk, at| {
            of.iter().map(|key| account_of(desk, &keys::budget(key)?, &key.labels, at, &reasons)).collect::<Vec<_>>()
        });
        let info = |(key, account): (_, Option<AccountInfo>)| info(key, account, used.get(&key.id), now);
        let mut keys: Vec<KeyInfo> = stored.iter().map(AsRef::as_ref).zip(accounts.await?).map(info).collect();
        keys.sort_by(|one, other| (&one.name, &one.created_at).cmp(&(&other.name, &other.created_at)));
        let in_force = self.in_force.now();
        Ok(Reply::Keys { keys, require_key: in_force.settings.require_key, config: in_force.config.clone() })
    }

    /// What history knows of one key, or of all; nothing where it was lost.
    async fn used(&self, key: Option<String>) -> HashMap<String, KeyUsed> {
        let used = self.read(move |reader| reader.keys(key.as_deref())).await.unwrap_or_default();
        used.into_iter().map(|used| (used.key.clone(), used)).collect()
    }

    /// Forgets the budgets of keys that have ended, once nothing runs on them, and keys that nobody need remember.
    pub(crate) async fn forget_ended(&self) {
        let now = clock::read().wall;
        let forgotten = self.keyring.take_forgotten(now);
        self.recorder.forget_keys(&forgotten);
        let keyring = self.keyring.clone();
        let done = self.at_desk(move |desk, at| {
            // A row that stays is removed at the next start, and is good for nothing until then.
            drop(desk.journal.keys_remove(&forgotten));
            for name in ended_budgets(desk, &keyring, now) {
                if is_idle(desk, &name, at) {
                    desk.ledger.forget_budget(&name, Who("the end of its key".to_owned()), at);
                }
            }
        });
        // Where it could not be kept, the next time does it again.
        drop(done.await);
    }

    pub(crate) async fn key_summary(&self, key: String) -> Result<Reply, No> {
        let mut summary: KeySummary = self.recorder.of_key(&key);
        let stored = self.keyring.get(&key, clock::read().wall).ok_or_else(|| unknown(&key))?;
        let reasons = self.reasons.clone();
        let account =
            self.at_desk(move |desk, at| account_of(desk, &keys::budget(&stored)?, &stored.labels, at, &reasons));
        summary.accounts = account.await?.into_iter().collect();
        Ok(Reply::Summary(Box::new(summary)))
    }
}

impl Operations {
    /// How many good keys have a budget for which those in force leave no room, as they may after a change of these.
    pub(crate) fn crowded_keys(&self, in_force: &[Budget]) -> u64 {
        if most_touched(in_force) < ACCOUNTS_MAX {
            return 0;
        }
        let now = clock::read().wall;
        let crowded = |key: &StoredKey| {
            let own = keys::budget(key).filter(|_| keys::is_good(key, now));
            own.is_some_and(|own| most_touched(&[in_force, &[own]].concat()) > ACCOUNTS_MAX)
        };
        self.keyring.all().iter().filter(|key| crowded(key)).count() as u64
    }
}

/// What may go in a minute: at least one.
fn rate(name: &str, rate: Option<u64>) -> Result<Option<u64>, No> {
    if rate == Some(0) {
        let message = format!("`{name}` is 0, so that no call would ever go; end the key by `almoner keys revoke`");
        return Err(no("bad_pace", message));
    }
    Ok(rate)
}

/// What a key is to be, read and checked.
fn wanted(new: NewKey, now: Timestamp) -> Result<Wanted, No> {
    if let Some(name) = &new.name {
        keys::check_name(name).map_err(|why| no("bad_name", why))?;
    }
    let limits: Vec<Limit> = parse_limits(&new.limits)?;
    let twin = |(at, limit): (usize, &Limit)| {
        limits[..at].iter().any(|other| (other.meter, &other.window) == (limit.meter, &limit.window))
    };
    if limits.iter().enumerate().any(twin) {
        return Err(no("bad_limit", "two of the limits count the same over the same window; give the lower one"));
    }
    let priority = new.priority_max.map(|word| word.parse().map_err(|error| no("bad_priority", error)));
    Ok(Wanted {
        name: new.name,
        labels: given_labels(&new.labels)?,
        limits,
        mode: new.mode.map(|word| parse_mode(&word)).transpose()?.unwrap_or_default(),
        models: models(new.models)?,
        rates: Rates { rpm: rate("rpm", new.rpm)?, tpm: rate("tpm", new.tpm)? },
        priority_max: priority.transpose()?.unwrap_or(Priority::High),
        expires_at: expires_at(&new.expires, now)?,
        note: new.note,
        by: new.by,
    })
}

fn given_labels(pairs: &[(String, String)]) -> Result<Labels, No> {
    let mut labels = Labels::new();
    for (name, value) in parse_labels(pairs)? {
        if NOT_GIVEN.contains(&name.as_str()) {
            let why = format!("no key can give the label `{name}`: what the call itself is decides about it");
            return Err(no("bad_label", why));
        }
        if labels.get(&name).is_some() {
            return Err(no("bad_label", format!("the label `{name}` is given twice")));
        }
        labels.set(name, value);
    }
    Ok(labels)
}

fn models(patterns: Vec<String>) -> Result<Vec<String>, No> {
    let is_pattern =
        |text: &String| (1..=PATTERN_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if patterns.len() > MODELS_MAX {
        return Err(no("bad_model", format!("a key has at most {MODELS_MAX} patterns of models")));
    }
    match patterns.iter().find(|text| !is_pattern(text)) {
        Some(bad) => {
            let bad = bad.chars().take(PATTERN_MAX).collect::<String>();
            Err(no_but("bad_model", format!("`{}` names no model", bad.escape_debug()), "write it like claude-*"))
        }
        None => Ok(patterns),
    }
}

/// `90d`, `never`, or a date.
pub(crate) fn expires_at(text: &str, now: Timestamp) -> Result<Option<Timestamp>, No> {
    if text == "never" {
        return Ok(None);
    }
    let at = match text.parse::<Span>() {
        Ok(span) => now.after(span),
        Err(_) => {
            text.parse::<Timestamp>().map_err(|error| no_but("bad_date", error, "or a span such as 90d, or never"))?
        }
    };
    if at <= now && text.parse::<Span>().is_err() {
        return Err(no("bad_date", format!("{at} is over; a key ends in the future")));
    }
    Ok(Some(at))
}

fn refuse_twin(keyring: &Keyring, key: &StoredKey, now: Timestamp) -> Result<(), No> {
    let Some(name) = &key.name else { return Ok(()) };
    match keyring.get(name, now).filter(|other| keys::is_good(other, now)) {
        Some(_) => {
            let hint =
                format!("`almoner keys rotate {name}` gives it another secret, `almoner keys revoke {name}` ends it");
            Err(no_but("key_exists", format!("there is a key named `{name}` already"), hint))
        }
        None => Ok(()),
    }
}

/// The budgets of other keys never meet that of a key.
fn refuse_crowd(in_force: &[Budget], budget: Option<&Budget>) -> Result<(), No> {
    let Some(budget) = budget else { return Ok(()) };
    let all: Vec<Budget> = in_force.iter().chain([budget]).cloned().collect();
    if most_touched(&all) > ACCOUNTS_MAX {
        let why = format!("the budgets in force leave no room for one more: a call may touch at most {ACCOUNTS_MAX}");
        let hint =
            "merge some of them in the config, or make the key without limits of its own: those in force count it";
        return Err(no_but("too_many_budgets", why, hint));
    }
    Ok(())
}

/// The key of this name or id, which must be good.
fn good(keyring: &Keyring, name: &str, now: Timestamp) -> Result<StoredKey, No> {
    let key = keyring.get(name, now).ok_or_else(|| unknown(name))?;
    match (key.revoked_at, key.expires_at) {
        (Some(at), _) => Err(no("key_ended", format!("the key `{name}` was revoked at {at}"))),
        (None, Some(at)) if at <= now => Err(no("key_ended", format!("the key `{name}` expired at {at}"))),
        _ => Ok((*key).clone()),
    }
}

fn unknown(name: &str) -> No {
    let name: String = name.chars().take(128).collect();
    no_but(
        "unknown_key",
        format!("no key is named `{}`", name.escape_debug()),
        "`almoner keys list --all` shows those that are known; that of a command is forgotten when it has ended",
    )
}

/// The budgets of keys that let nobody in any more.
fn ended_budgets(desk: &Desk, keyring: &Keyring, now: Timestamp) -> Vec<BudgetName> {
    let is_over = |id: &str| keyring.get(id, now).is_none_or(|key| !keys::is_good(&key, now));
    desk.ledger.budgets().filter(|budget| keys::owner(budget).is_some_and(is_over)).map(|it| it.name.clone()).collect()
}

/// Whether no call is in flight on the account of a key's budget.
fn is_idle(desk: &Desk, budget: &BudgetName, now: Timestamp) -> bool {
    let account = almoner_units::AccountKey { budget: budget.clone(), per: Vec::new() };
    let view = desk.ledger.find(&account).and_then(|id| desk.ledger.view(id, now));
    view.is_none_or(|view| view.open_holds == 0)
}

/// Whether a budget may count a call with these labels and others that nobody knows yet.
fn may_count(budget: &Budget, labels: &Labels) -> bool {
    let mut known = budget.clone();
    known.filter.retain(|(name, _)| labels.get(name).is_some());
    known.counts(labels)
}

/// What is left of a key's own budget; an account that spent nothing may not be open.
fn account_of(desk: &Desk, budget: &Budget, labels: &Labels, now: Timestamp, reasons: &Reasons) -> Option<AccountInfo> {
    let view = desk.ledger.find(&budget.account(labels)).and_then(|id| desk.ledger.view(id, now));
    let opened = view.map(|view| describe::account(&view, |view| reasons.of(view)));
    opened.or_else(|| desk.ledger.budget(&budget.name).map(describe::unopened))
}

fn info(key: &StoredKey, account: Option<AccountInfo>, used: Option<&KeyUsed>, now: Timestamp) -> KeyInfo {
    let state = match key.revoked_at {
        Some(_) => "revoked",
        None if keys::is_good(key, now) => "good",
        None => "expired",
    };
    let text = |at: Timestamp| at.to_string();
    let old = key.secrets.iter().filter_map(|secret| secret.good_until).filter(|until| *until > now);
    let change = |change: &almoner_store::KeyChange| KeyChangeInfo {
        at: text(change.at),
        by: change.by.clone(),
        what: change.what.clone(),
    };
    KeyInfo {
        id: key.id.clone(),
        name: key.name.clone(),
        state: state.to_owned(),
        labels: key.labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        models: key.models.clone(),
        rpm: key.rpm,
        tpm: key.tpm,
        priority_max: key.priority_max.to_string(),
        created_at: text(key.created_at),
        expires_at: key.expires_at.map(text),
        revoked_at: key.revoked_at.map(text),
        last_used_at: used.map(|used| text(used.last_at)),
        old_secrets_until: old.map(text).collect(),
        note: key.note.clone(),
        account,
        used: used.map(use_of).unwrap_or_default(),
        changes: key.changes.iter().map(change).collect(),
    }
}

fn use_of(used: &KeyUsed) -> KeyUse {
    let KeyUsed { calls, refused, tokens, cost_nano, assumed_nano, .. } = *used;
    KeyUse { calls, refused, tokens, cost_nano, assumed_nano }
}
