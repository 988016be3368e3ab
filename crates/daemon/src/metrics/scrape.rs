//! The page of metrics as it is at one moment.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use almoner_ledger::{AccountView, LimitView};
use almoner_units::{Budget, Level, Limit, Meter, Timestamp};

use super::text::{Kind, Page, Value};
use super::{ENDS, KINDS, Metrics, OF_KEYS, held};
use crate::in_force::InForce;
use crate::keys;

/// What the ledger says at one moment.
pub(crate) struct Books {
    pub(crate) views: Vec<AccountView>,
    pub(crate) budgets: Vec<Budget>,
    pub(crate) open_holds: u64,
    pub(crate) waiting: u64,
    pub(crate) assumed_holds: u64,
    pub(crate) assumed_nano: u64,
    pub(crate) facts: u64,
    pub(crate) is_closed: bool,
}

/// What is known beside the ledger.
pub(crate) struct Around<'a> {
    pub(crate) version: &'a str,
    pub(crate) in_force: &'a InForce,
    pub(crate) started: Timestamp,
    pub(crate) keys: u64,
    pub(crate) history_dropped: u64,
    pub(crate) log_dropped: u64,
    pub(crate) spans_dropped: u64,
    pub(crate) is_reload_failed: bool,
}

/// Writes the page.
pub(crate) fn page(metrics: &Metrics, books: &Books, around: &Around<'_>) -> String {
    let mut page = Page::default();
    of_server(&mut page, around);
    of_calls(&mut page, metrics);
    of_providers(&mut page, metrics, around.in_force);
    of_promises(&mut page, metrics, around);
    of_ledger(&mut page, metrics, books);
    Sums::of(books).tell(&mut page);
    of_reloads(&mut page, metrics, around);
    super::process::tell(&mut page, around.started.ms());
    page.into_text()
}

fn of_server(page: &mut Page, around: &Around<'_>) {
    let labels = [("version", around.version), ("price_version", around.in_force.book.version())];
    page.family("almoner_build_info", Kind::Gauge, "Which program and which price book run; always 1.")
        .sample(&labels, 1);
    page.one("almoner_keys", Kind::Gauge, "Keys that are known, also those that have ended of late.", around.keys);
}

fn of_calls(page: &mut Page, metrics: &Metrics) {
    let models = held(&metrics.models).clone();
    let help = "Calls that went to a provider and have ended, each attempt by itself.";
    let mut calls = page.family("almoner_calls_total", Kind::Counter, help);
    for ((provider, model), of) in &models {
        for (outcome, count) in ENDS.iter().zip(of.ended).filter(|(_, count)| *count > 0) {
            calls.sample(&[("provider", provider), ("model", model), ("outcome", outcome)], count);
        }
    }
    let help = "Tokens that providers said were used. Those of `reasoning` are part of `output`.";
    let mut tokens = page.family("almoner_tokens_total", Kind::Counter, help);
    for ((provider, model), of) in &models {
        for (kind, count) in KINDS.iter().zip(of.usage).filter(|(_, count)| *count > 0) {
            tokens.sample(&[("provider", provider), ("model", model), ("kind", kind)], count);
        }
    }
    let help = "What settled calls cost, in dollars.";
    let mut cost = page.family("almoner_cost_usd_total", Kind::Counter, help);
    for ((provider, model), of) in &models {
        cost.sample(&[("provider", provider), ("model", model)], Value::Billionths(of.cost_nano));
    }
    let help = "What was charged for calls that ended without news, in dollars, before the truth came.";
    let mut assumed = page.family("almoner_assumed_cost_usd_total", Kind::Counter, help);
    for ((provider, model), of) in &models {
        assumed.sample(&[("provider", provider), ("model", model)], Value::Billionths(of.assumed_nano));
    }
    let help = "Calls that were refused, by why; by a budget, by which.";
    let mut refusals = page.family("almoner_refusals_total", Kind::Counter, help);
    for ((reason, budget), count) in held(&metrics.refusals).iter() {
        refusals.sample(&[("reason", reason), ("budget", budget)], *count);
    }
    let help = "How long calls waited for their turn that had to.";
    page.family("almoner_wait_seconds", Kind::Histogram, help).histogram(&[], &metrics.waited.seen());
}

fn of_providers(page: &mut Page, metrics: &Metrics, in_force: &InForce) {
    let mut up = page.family("almoner_provider_up", Kind::Gauge, "Whether calls that can go elsewhere still go there.");
    for (name, health) in in_force.gateway.healths() {
        up.sample(&[("provider", &name)], health.down_since().is_none());
    }
    let help = "How clients of a provider were answered: 2xx, 429, 4xx, 5xx, or `none` where no answer began.";
    let mut answers = page.family("almoner_provider_answers_total", Kind::Counter, help);
    let providers = held(&metrics.providers);
    for (provider, of) in providers.iter() {
        for (class, count) in &of.answers {
            answers.sample(&[("provider", provider), ("status", class)], *count);
        }
    }
    let help = "From the decision about a call to the last byte of its answer.";
    let mut took = page.family("almoner_call_duration_seconds", Kind::Histogram, help);
    for (provider, of) in providers.iter() {
        took.histogram(&[("provider", provider)], &of.took.seen());
    }
    let help =
        "From handing a call to its provider, connecting included, to the first byte of an answer that is no error.";
    let mut began = page.family("almoner_first_byte_seconds", Kind::Histogram, help);
    for (provider, of) in providers.iter() {
        for (dialect, took) in &of.first_byte {
            began.histogram(&[("provider", provider), ("dialect", dialect)], &took.seen());
        }
    }
    let help = "What Almoner adds to a call before its provider is asked: from having the whole request to handing it \
                over, without waits for a turn; of first tries.";
    let mut added = page.family("almoner_added_latency_seconds", Kind::Histogram, help);
    for (dialect, took) in held(&metrics.added).iter() {
        added.histogram(&[("dialect", dialect)], &took.seen());
    }
}

/// What should read 0.
fn of_promises(page: &mut Page, metrics: &Metrics, around: &Around<'_>) {
    let overrun = Value::Billionths(metrics.overrun_nano.load(Ordering::Relaxed));
    let help = "What calls cost beyond their holds, in dollars; should read 0.";
    page.one("almoner_overrun_usd_total", Kind::Counter, help, overrun);
    let help = "Calls with a part that could not be bounded; should read 0.";
    page.one("almoner_unbounded_total", Kind::Counter, help, metrics.unbounded.load(Ordering::Relaxed));
    let help = "What history could not take, because more came than could be written. No budget depends on it.";
    page.one("almoner_history_dropped_total", Kind::Counter, help, around.history_dropped);
    let help = "Lines about calls that the log left out, because its reader was slow.";
    page.one("almoner_log_dropped_total", Kind::Counter, help, around.log_dropped);
    let help = "Spans of calls that no collector has taken. Those on their way count until they are taken.";
    page.one("almoner_trace_spans_dropped_total", Kind::Counter, help, around.spans_dropped);
}

fn of_ledger(page: &mut Page, metrics: &Metrics, books: &Books) {
    page.one("almoner_open_holds", Kind::Gauge, "Calls in flight that money is held for.", books.open_holds);
    page.one("almoner_waiting_calls", Kind::Gauge, "Calls that wait for their turn.", books.waiting);
    let help = "Ended calls that are charged without news.";
    page.one("almoner_assumed_holds", Kind::Gauge, help, books.assumed_holds);
    let help = "What is charged without news, in dollars.";
    page.one("almoner_assumed_usd", Kind::Gauge, help, Value::Billionths(books.assumed_nano));
    page.one("almoner_accounts", Kind::Gauge, "Accounts that are open.", books.views.len() as u64);
    let help = "Whether no new call is taken.";
    page.one("almoner_closed", Kind::Gauge, help, books.is_closed);
    page.one("almoner_journal_facts", Kind::Gauge, "The number of the latest fact in the journal.", books.facts);
    let commits = &metrics.commits;
    let help = "How long the journal took to make a batch of facts last.";
    page.family("almoner_journal_commit_seconds", Kind::Histogram, help).histogram(&[], &commits.took.seen());
    let help = "How many facts lasted with one commit.";
    page.family("almoner_journal_commit_facts", Kind::Histogram, help).histogram(&[], &commits.facts.seen());
}

fn of_reloads(page: &mut Page, metrics: &Metrics, around: &Around<'_>) {
    let mut reloads = page.family("almoner_config_reloads_total", Kind::Counter, "Reloads of the configuration.");
    for (result, count) in ["refused", "in_force"].iter().zip(&metrics.reloads) {
        reloads.sample(&[("result", result)], count.load(Ordering::Relaxed));
    }
    let help = "Whether the configuration was fine when it was last read.";
    page.one("almoner_config_last_reload_successful", Kind::Gauge, help, !around.is_reload_failed);
    let at = metrics.reloaded_at_ms.load(Ordering::Relaxed).max(around.started.ms());
    let help = "When the configuration in force was read, in seconds since 1970.";
    page.one("almoner_config_read_timestamp_seconds", Kind::Gauge, help, Value::Thousandths(at));
}

/// The unit of a meter: numbers of different units never share a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Usd,
    Tokens,
    Requests,
}

const UNITS: [Unit; 3] = [Unit::Usd, Unit::Tokens, Unit::Requests];

impl Unit {
    const fn of(meter: Meter) -> Self {
        match meter {
            Meter::Usd => Self::Usd,
            Meter::Requests => Self::Requests,
            Meter::Tokens | Meter::UncachedTokens | Meter::InputTokens | Meter::OutputTokens => Self::Tokens,
        }
    }

    const fn value(self, amount: u64) -> Value {
        match self {
            Self::Usd => Value::Billionths(amount),
            Self::Tokens | Self::Requests => Value::Whole(amount),
        }
    }
}

/// A limit of a budget: its unit, the budget, the meter and the window. Its amount is no part, since that may change.
type Key = (Unit, String, &'static str, String);

/// The sums of all accounts of one limit.
#[derive(Clone, Debug, Default)]
struct Sum {
    limit: Option<u64>,
    parts: [u64; 3],
}

/// Every budget, its accounts added up: each of them alone would be a series for every session that there ever was.
#[derive(Default)]
struct Sums {
    limits: BTreeMap<Key, Sum>,
    /// How many accounts of each budget stand at each level.
    levels: BTreeMap<String, [u64; Level::ALL.len()]>,
}

impl Sums {
    fn of(books: &Books) -> Self {
        let of_keys: std::collections::HashSet<_> =
            books.budgets.iter().filter(|budget| keys::owner(budget).is_some()).map(|budget| &budget.name).collect();
        let mut sums = Self::default();
        for budget in books.budgets.iter().filter(|budget| !of_keys.contains(&budget.name)) {
            sums.levels.entry(budget.name.to_string()).or_default();
            for limit in &budget.limits {
                let sum = sums.limits.entry(key(budget.name.as_str(), limit)).or_default();
                sum.limit = Some(sum.limit.map_or(limit.amount, |least| least.min(limit.amount)));
            }
        }
        for view in &books.views {
            let is_of_key = of_keys.contains(&view.key.budget);
            let name = if is_of_key { OF_KEYS } else { view.key.budget.as_str() };
            let levels = sums.levels.entry(name.to_owned()).or_default();
            levels[Level::ALL.iter().position(|level| *level == view.level).unwrap_or(0)] += 1;
            for (at, limit) in view.limits.iter().enumerate() {
                let is_same = |other: &LimitView| key(name, &other.limit) == key(name, &limit.limit);
                if view.limits[..at].iter().any(is_same) {
                    // What two limits of one kind count is the same.
                    continue;
                }
                let sum = sums.limits.entry(key(name, &limit.limit)).or_default();
                for (part, amount) in sum.parts.iter_mut().zip([limit.spent, limit.assumed, limit.held]) {
                    *part = part.saturating_add(amount);
                }
            }
        }
        sums
    }

    fn tell(&self, page: &mut Page) {
        for unit in UNITS {
            let names = names(unit);
            let mut limits =
                page.family(names[3], Kind::Gauge, "What a limit of a budget allows each of its accounts.");
            for ((_, budget, meter, window), sum) in self.limits.iter().filter(|((of, ..), _)| *of == unit) {
                if let Some(amount) = sum.limit {
                    limits.sample(&[("budget", budget), ("meter", meter), ("window", window)], unit.value(amount));
                }
            }
            let helps = [
                "What settled calls have used of a limit in its window, over all accounts.",
                "What is charged without news on a limit, over all accounts.",
                "What is held for calls in flight on a limit, over all accounts.",
            ];
            for (part, help) in helps.iter().enumerate() {
                let mut family = page.family(names[part], Kind::Gauge, help);
                for ((_, budget, meter, window), sum) in self.limits.iter().filter(|((of, ..), _)| *of == unit) {
                    let labels = [("budget", budget.as_str()), ("meter", meter), ("window", window)];
                    family.sample(&labels, unit.value(sum.parts[part]));
                }
            }
        }
        let help = "How many accounts of a budget stand at each level.";
        let mut levels = page.family("almoner_budget_accounts", Kind::Gauge, help);
        for (budget, counts) in &self.levels {
            for (level, count) in Level::ALL.iter().zip(counts) {
                levels.sample(&[("budget", budget), ("level", &level.to_string())], *count);
            }
        }
    }
}

/// The limit of a budget, as its numbers are told. Keys have limits of any kind: those of one meter are added up,
/// whatever their windows.
fn key(budget: &str, limit: &Limit) -> Key {
    let window = if budget == OF_KEYS { "any".to_owned() } else { limit.window.to_string() };
    (Unit::of(limit.meter), budget.to_owned(), limit.meter.name(), window)
}

/// What the numbers of a unit are called: spent, assumed, held, and the limit.
const fn names(unit: Unit) -> [&'static str; 4] {
    match unit {
        Unit::Usd => [
            "almoner_budget_spent_usd",
            "almoner_budget_assumed_usd",
            "almoner_budget_held_usd",
            "almoner_budget_limit_usd",
        ],
        Unit::Tokens => [
            "almoner_budget_spent_tokens",
            "almoner_budget_assumed_tokens",
            "almoner_budget_held_tokens",
            "almoner_budget_limit_tokens",
        ],
        Unit::Requests => [
            "almoner_budget_spent_requests",
            "almoner_budget_assumed_requests",
            "almoner_budget_held_requests",
            "almoner_budget_limit_requests",
        ],
    }
}
