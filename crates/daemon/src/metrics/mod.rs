//! What can be counted of a server, for Prometheus.
//!
//! What is true at the moment (accounts, holds, providers) is asked when somebody looks; what happens is counted here
//! as it happens. Nothing that a client can name without end becomes a label: no session, no user, no key.

mod histogram;
mod process;
mod scrape;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use almoner_gateway::{Outcome, Report, Verdict};
use almoner_ledger::{Refusal, RefusalReason};
use almoner_units::{Charge, Usage};

pub(crate) use scrape::{Around, Books, page};

use histogram::{Histogram, LONG, MANY, SHORT};

/// How many models are told apart, over all providers; a client may name new ones for ever.
const MODELS_MAX: usize = 500;
/// How many reasons of refusals are told apart.
const REASONS_MAX: usize = 1000;
/// What stands for all that is not told apart.
const OTHER: &str = "other";
/// What the budgets of keys are called together: there may be ten thousand of them.
pub(crate) const OF_KEYS: &str = "(keys)";

/// What is counted as it happens.
#[derive(Debug)]
pub(crate) struct Metrics {
    models: Mutex<BTreeMap<(String, String), PerModel>>,
    providers: Mutex<BTreeMap<String, PerProvider>>,
    /// How long what we add to calls took, by their dialects.
    added: Mutex<BTreeMap<&'static str, Histogram>>,
    refusals: Mutex<BTreeMap<(String, String), u64>>,
    overrun_nano: AtomicU64,
    unbounded: AtomicU64,
    waited: Histogram,
    reloads: [AtomicU64; 2],
    reloaded_at_ms: AtomicU64,
    pub(crate) commits: Commits,
}

/// What the journal's commits took.
#[derive(Debug)]
pub(crate) struct Commits {
    took: Histogram,
    facts: Histogram,
}

impl Commits {
    /// A commit took so long, and wrote so many facts.
    pub(crate) fn note(&self, took: Duration, facts: usize) {
        self.took.took(took);
        self.facts.counted(u64::try_from(facts).unwrap_or(u64::MAX));
    }
}

/// How calls ended that went, in words, in the order in which they are counted.
const ENDS: [&str; 5] = ["settled", "assumed", "released", "unbudgeted", "unmetered"];

/// What the calls of one model at one provider came to.
#[derive(Clone, Debug, Default)]
struct PerModel {
    ended: [u64; ENDS.len()],
    usage: [u64; KINDS.len()],
    cost_nano: u64,
    assumed_nano: u64,
}

/// The kinds of tokens.
const KINDS: [&str; 6] = ["input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning"];

fn kinds(usage: &Usage) -> [Option<u64>; KINDS.len()] {
    let Usage { input, cache_read, cache_write_5m, cache_write_1h, output, reasoning } = *usage;
    [input, cache_read, cache_write_5m, cache_write_1h, output, reasoning]
}

/// What a provider answered.
#[derive(Debug)]
struct PerProvider {
    answers: BTreeMap<&'static str, u64>,
    took: Histogram,
    /// How long its answers took to begin, by their dialects.
    first_byte: BTreeMap<&'static str, Histogram>,
}

impl Default for PerProvider {
    fn default() -> Self {
        Self { answers: BTreeMap::new(), took: Histogram::new(LONG), first_byte: BTreeMap::new() }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            models: Mutex::default(),
            providers: Mutex::default(),
            added: Mutex::default(),
            refusals: Mutex::default(),
            overrun_nano: AtomicU64::default(),
            unbounded: AtomicU64::default(),
            waited: Histogram::new(LONG),
            reloads: Default::default(),
            reloaded_at_ms: AtomicU64::default(),
            commits: Commits { took: Histogram::new(SHORT), facts: Histogram::new(MANY) },
        }
    }
}

impl Metrics {
    /// Counts a call that has ended.
    pub(crate) fn ended(&self, report: &Report, outcome: &Outcome) {
        if report.waited.ms() > 0 {
            self.waited.took(Duration::from_millis(report.waited.ms()));
        }
        match &report.verdict {
            Verdict::Refused(refusal) => self.refused(said_of(refusal), &budget_of(refusal)),
            Verdict::Rejected(code) => self.refused(code, ""),
            Verdict::Admitted { .. } | Verdict::Unbudgeted => self.went(report, outcome),
        }
    }

    fn refused(&self, reason: &str, budget: &str) {
        let mut refusals = held(&self.refusals);
        let key = (reason.to_owned(), budget.to_owned());
        let is_room = refusals.len() < REASONS_MAX || refusals.contains_key(&key);
        *refusals.entry(if is_room { key } else { (OTHER.to_owned(), String::new()) }).or_default() += 1;
    }

    fn went(&self, report: &Report, outcome: &Outcome) {
        self.overrun_nano.fetch_add(outcome.overrun.usd().get(), Ordering::Relaxed);
        let is_unbounded = !(report.unbounded.is_empty() && outcome.unbounded.is_empty());
        self.unbounded.fetch_add(is_unbounded.into(), Ordering::Relaxed);
        let mut providers = held(&self.providers);
        let provider = providers.entry(report.provider.clone()).or_default();
        *provider.answers.entry(class(outcome.status)).or_default() += 1;
        provider.took.took(Duration::from_millis(outcome.took.ms()));
        // An error comes at once, and says nothing of how long answers take.
        if let (Some(first_byte), 200..=299) = (outcome.first_byte, outcome.status) {
            let began = provider.first_byte.entry(report.dialect.name());
            began.or_insert_with(|| Histogram::new(LONG)).took(first_byte);
        }
        drop(providers);
        if let Some(added) = outcome.added {
            let mut all = held(&self.added);
            all.entry(report.dialect.name()).or_insert_with(|| Histogram::new(SHORT)).took(added);
        }
        let mut models = held(&self.models);
        let model = model_of(&models, report, outcome);
        models.entry((report.provider.clone(), model)).or_default().add(outcome);
    }

    /// Counts a reload that was tried.
    pub(crate) fn reloaded(&self, is_in_force: bool, at_ms: u64) {
        self.reloads[usize::from(is_in_force)].fetch_add(1, Ordering::Relaxed);
        if is_in_force {
            self.reloaded_at_ms.store(at_ms, Ordering::Relaxed);
        }
    }
}

impl PerModel {
    fn add(&mut self, outcome: &Outcome) {
        if let Some(at) = ENDS.iter().position(|word| *word == outcome.word) {
            self.ended[at] += 1;
        }
        for (sum, tokens) in self.usage.iter_mut().zip(kinds(&outcome.usage)) {
            *sum = sum.saturating_add(tokens.unwrap_or(0));
        }
        let sum = if outcome.word == "assumed" { &mut self.assumed_nano } else { &mut self.cost_nano };
        *sum = sum.saturating_add(outcome.charge.usd().get());
    }
}

/// The model of a call as it is counted. One that nothing was ever charged for may be somebody's invention.
fn model_of(known: &BTreeMap<(String, String), PerModel>, report: &Report, outcome: &Outcome) -> String {
    let is_known = known.contains_key(&(report.provider.clone(), report.model.clone()));
    let is_real = outcome.charge != Charge::ZERO && known.len() < MODELS_MAX;
    if is_known || is_real { report.model.clone() } else { OTHER.to_owned() }
}

/// Why the ledger refused, in a word.
const fn said_of(refusal: &Refusal) -> &'static str {
    match refusal.reason {
        RefusalReason::Exhausted => "exhausted",
        RefusalReason::TooLarge => "too_large",
        RefusalReason::Held => "held",
        RefusalReason::Level => "level",
    }
}

/// The budget that refused. Those of keys are one.
fn budget_of(refusal: &Refusal) -> String {
    let name = refusal.account.budget.as_str();
    if crate::keys::is_name_of_own(name) { OF_KEYS.to_owned() } else { name.to_owned() }
}

/// What is told of a status; 429 is what pacing is there to avoid.
const fn class(status: u16) -> &'static str {
    match status {
        0 => "none",
        429 => "429",
        200..=299 => "2xx",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => OTHER,
    }
}

fn held<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
