//! The ledger's facts in the form in which they travel.

use almoner_api::{AccountInfo, BudgetInfo, CallInfo, HoldInfo, LimitInfo, PaceInfo, ProviderInfo};
use almoner_gateway::PaceView;
use almoner_ledger::{AccountView, Hold, LimitView};
use almoner_policy::Health;
use almoner_store::{BoundPart, CallRecord, OutcomeRecord, VerdictRecord};
use almoner_units::{AccountKey, Budget, Charge, LabelName, LabelValue, Level, Limit, Meter, Timestamp};
use serde_json::{Map, Value, json};

/// An account; `why_over` says why it is over a limit, where it is.
pub(crate) fn account(view: &AccountView, why_over: impl FnOnce(&AccountView) -> String) -> AccountInfo {
    let is_over = view.limits.iter().any(|limit| over(limit) > 0);
    AccountInfo {
        account: view.key.to_string(),
        budget: view.key.budget.to_string(),
        per: pairs(view.key.per.iter()),
        mode: view.mode.to_string(),
        level: view.level.to_string(),
        open: true,
        open_holds: view.open_holds,
        limits: view.limits.iter().map(limit).collect(),
        over_because: is_over.then(|| why_over(view)),
    }
}

/// A budget of which no account is open yet, as the account that it will open.
pub(crate) fn unopened(budget: &Budget) -> AccountInfo {
    let per: Vec<(String, String)> = budget.per.iter().map(|label| (label.to_string(), "*".to_owned())).collect();
    let labels: Vec<String> = per.iter().map(|(label, value)| format!("{label}={value}")).collect();
    let labels = if labels.is_empty() { String::new() } else { format!(" [{}]", labels.join(", ")) };
    AccountInfo {
        account: format!("{}{labels}", budget.name),
        budget: budget.name.to_string(),
        per,
        mode: budget.mode.to_string(),
        level: Level::None.to_string(),
        open: false,
        open_holds: 0,
        limits: budget.limits.iter().map(untouched).collect(),
        over_because: None,
    }
}

fn untouched(limit: &Limit) -> LimitInfo {
    LimitInfo {
        limit: limit.to_string(),
        meter: limit.meter.to_string(),
        amount: limit.amount,
        spent: 0,
        assumed: 0,
        held: 0,
        left: limit.amount,
        over: 0,
        level: Level::None.to_string(),
        resets_at: None,
    }
}

/// How much is charged beyond a limit.
pub(crate) fn over(view: &LimitView) -> u64 {
    view.charged().saturating_sub(view.limit.amount)
}

/// A budget that is in force.
pub(crate) fn budget(budget: &Budget) -> BudgetInfo {
    BudgetInfo {
        budget: budget.name.to_string(),
        mode: budget.mode.to_string(),
        limits: budget.limits.iter().map(ToString::to_string).collect(),
        filter: budget.filter.iter().map(|(name, pattern)| (name.to_string(), pattern.clone())).collect(),
        per: budget.per.iter().map(ToString::to_string).collect(),
    }
}

fn limit(view: &LimitView) -> LimitInfo {
    LimitInfo {
        limit: view.limit.to_string(),
        meter: view.limit.meter.to_string(),
        amount: view.limit.amount,
        spent: view.spent,
        assumed: view.assumed,
        held: view.held,
        left: view.left(),
        over: over(view),
        level: view.level.to_string(),
        resets_at: view.resets_at.map(|at| at.to_string()),
    }
}

fn pairs<'a>(labels: impl Iterator<Item = &'a (LabelName, LabelValue)>) -> Vec<(String, String)> {
    labels.map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// A provider, and how it is.
pub(crate) fn provider(name: &str, health: &Health) -> ProviderInfo {
    let failure = health.last_failure();
    ProviderInfo {
        provider: name.to_owned(),
        down: health.down_since().is_some(),
        down_since: health.down_since().map(|at| at.to_string()),
        failed_at: failure.map(|(at, _)| at.to_string()),
        failed_because: failure.map(|(_, why)| why.to_owned()),
    }
}

/// A pace, with what went at it in the last minute.
pub(crate) fn pace(view: PaceView) -> PaceInfo {
    PaceInfo {
        pace: view.pace,
        rpm: view.rates.rpm,
        tpm: view.rates.tpm,
        requests: view.used.requests,
        tokens: view.used.tokens,
        waiting: view.waiting as u64,
    }
}

/// A hold, `open` or `assumed` since then.
pub(crate) fn hold(hold: &Hold, state: &str, since: Timestamp, accounts: &[AccountKey]) -> HoldInfo {
    HoldInfo {
        id: hold.id.to_string(),
        state: state.to_owned(),
        since: since.to_string(),
        accounts: accounts.iter().map(ToString::to_string).collect(),
        usd_nano: hold.amount.usd().get(),
        tokens: hold.amount[Meter::Tokens],
    }
}

/// What history has of a call, as one object.
pub(crate) fn call(id: String, record: &CallRecord, is_over: bool, journal: String) -> CallInfo {
    let mut members = Map::new();
    let lost = || Value::from("this part of history was lost");
    members.insert("decided".to_owned(), record.verdict.as_ref().map_or_else(lost, verdict));
    let running = || match is_over {
        true => Value::from("history has no end of it; the journal has"),
        false => Value::from("nothing yet: the call runs, or did not go"),
    };
    members.insert("ended".to_owned(), record.outcome.as_ref().map_or_else(running, outcome));
    CallInfo { id, record: Value::Object(members), journal }
}

fn verdict(verdict: &VerdictRecord) -> Value {
    let labels: Map<String, Value> =
        verdict.labels.iter().map(|(name, value)| (name.to_string(), value.to_string().into())).collect();
    json!({
        "at": verdict.at.to_string(),
        "decision": verdict.decision.word(),
        "because": verdict.reason,
        "account": verdict.account.as_ref().map(ToString::to_string),
        "provider": verdict.provider,
        "model": verdict.model,
        "labels": labels,
        "output_cap": verdict.cap,
        "held": charge(&verdict.held),
        "waited_ms": verdict.waited.ms(),
        "bound": bound(&verdict.bound),
        "budgets_before": verdict.numbers.iter().map(numbers).collect::<Vec<Value>>(),
        "price_version": verdict.price_version,
    })
}

/// The parts of a bound, each a number whose name is its unit.
fn bound(parts: &[BoundPart]) -> Value {
    let named = |part: &BoundPart| {
        let mut members = numbered("", part.meter, part.amount);
        members.insert("part".to_owned(), part.name.clone().into());
        Value::from(members)
    };
    parts.iter().map(named).collect()
}

/// An account and its limits, as they were.
fn numbers(view: &AccountView) -> Value {
    let limits: Vec<Value> = view.limits.iter().map(limit_numbers).collect();
    json!({ "account": view.key.to_string(), "level": view.level.to_string(), "limits": limits })
}

fn limit_numbers(view: &LimitView) -> Value {
    let mut members = Map::new();
    members.insert("limit".to_owned(), view.limit.to_string().into());
    let amounts = [("spent", view.spent), ("assumed", view.assumed), ("held", view.held), ("left", view.left())];
    amounts.iter().for_each(|(word, amount)| members.extend(numbered(word, view.limit.meter, *amount)));
    members.into()
}

/// A number under a name that ends in its unit: `spent_tokens`; money as `spent_usd_nano`, and in words as `spent_usd`.
fn numbered(word: &str, meter: Meter, amount: u64) -> Map<String, Value> {
    let name = if word.is_empty() { meter.to_string() } else { format!("{word}_{meter}") };
    let money = (meter == Meter::Usd).then(|| (format!("{name}_nano"), Value::from(amount)));
    let shown = if meter == Meter::Usd { meter.show(amount).into() } else { Value::from(amount) };
    money.into_iter().chain([(name, shown)]).collect()
}

fn outcome(outcome: &OutcomeRecord) -> Value {
    let usage = outcome.usage;
    json!({
        "at": outcome.at.to_string(),
        "outcome": outcome.outcome.word(),
        "because": outcome.note,
        "status": outcome.status,
        "usage": {
            "input": usage.input,
            "cache_read": usage.cache_read,
            "cache_write_5m": usage.cache_write_5m,
            "cache_write_1h": usage.cache_write_1h,
            "output": usage.output,
            "reasoning": usage.reasoning,
        },
        "charged": charge(&outcome.charge),
        "overrun": charge(&outcome.overrun),
        "unbounded": outcome.unbounded,
        "took_ms": outcome.duration.map(almoner_units::Span::ms),
        "price_version": outcome.price_version,
    })
}

/// What is not nothing of a charge.
fn charge(charge: &Charge) -> Value {
    let some = charge.iter().filter(|(_, amount)| *amount > 0);
    some.flat_map(|(meter, amount)| numbered("", meter, amount)).collect::<Map<_, _>>().into()
}
