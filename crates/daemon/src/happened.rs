//! What happened, in the words of events: one line for people, and the same as members for programs.

use std::collections::{BTreeMap, HashMap};

use almoner_gateway::{Outcome, Report};
use almoner_ledger::{Entry, Fact, Ledger};
use almoner_policy::Health;
use almoner_store::{EventKind, EventRecord, ThrottleAction, ThrottleRecord};
use almoner_units::{AccountKey, Budget, BudgetName, Labels, Meter, Timestamp};
use serde_json::{Map, Value, json};

use crate::keys;

/// An event of this kind; `data` is an object.
pub(crate) fn event(at: Timestamp, kind: EventKind, message: String, data: Value) -> EventRecord {
    let data = if let Value::Object(members) = data { members } else { Map::new() };
    EventRecord { at, kind, message, data }
}

/// What a fact of the ledger tells people, where it tells them anything. Levels are told with their numbers, as
/// [`throttled`] has them. `budgets` were so before it.
pub(crate) fn of_fact(entry: &Entry, ledger: &Ledger, budgets: &mut Budgets) -> Option<EventRecord> {
    let at = entry.at;
    Some(match &entry.fact {
        Fact::BudgetSet { budget, by, .. } => {
            let before = budgets.set(budget);
            // That of a key comes and goes with its key; what happens to it in between is somebody's doing.
            if before.is_none() && keys::owner(budget).is_some() {
                return None;
            }
            budget_set(at, before.as_ref(), budget, &by.0)
        }
        Fact::BudgetRemoved { name, by, .. } => {
            let before = budgets.0.remove(name);
            if keys::is_own(name) {
                return None;
            }
            let data = json!({ "budget": name.as_str(), "from": before.as_ref().map(in_force), "by": by.0 });
            let was = before.map_or(String::new(), |before| format!("was {} and ", in_words(&before)));
            event(at, EventKind::BudgetRemoved, format!("budget `{name}` {was}is gone, by {by}"), data)
        }
        Fact::Reset { account, by, reason, .. } => {
            let key = ledger.key_of(*account)?;
            let data = with_account(key, json!({ "by": by.0, "reason": reason }));
            event(at, EventKind::BudgetReset, format!("{key} begins anew, by {by}: {reason}"), data)
        }
        Fact::Added { id, spent, by, reason, .. } => {
            let (usd, tokens) = (spent.usd(), spent[Meter::Tokens]);
            let message = format!("{usd} and {} were booked as {id}, by {by}: {reason}", Meter::Tokens.show(tokens));
            let data = json!({
                "call": id.to_string(), "cost_nano": usd.get(), "tokens": tokens, "by": by.0, "reason": reason
            });
            event(at, EventKind::UsageAdded, message, data)
        }
        Fact::Corrected { assumed, spent, by, reason } => {
            let id = assumed.hold.id;
            let before = assumed.corrected.map_or(assumed.hold.amount, |before| before.spent);
            let message = format!("call {id} is corrected from {} to {}, by {by}: {reason}", before.usd(), spent.usd());
            let data = json!({
                "call": id.to_string(), "cost_nano": spent.usd().get(), "cost_nano_before": before.usd().get(),
                "tokens": spent[Meter::Tokens], "tokens_before": before[Meter::Tokens], "by": by.0, "reason": reason
            });
            event(at, EventKind::Corrected, message, data)
        }
        _ => return None,
    })
}

/// The budgets as the facts that were told have left them.
#[derive(Debug)]
pub(crate) struct Budgets(HashMap<BudgetName, Budget>);

impl Budgets {
    /// Those of a ledger of which nothing was told yet.
    pub(crate) fn of(ledger: &Ledger) -> Self {
        Self(ledger.budgets().map(|budget| (budget.name.clone(), budget.clone())).collect())
    }

    /// Notes what a budget is, and tells what it was.
    fn set(&mut self, budget: &Budget) -> Option<Budget> {
        self.0.insert(budget.name.clone(), budget.clone())
    }
}

fn budget_set(at: Timestamp, before: Option<&Budget>, budget: &Budget, by: &str) -> EventRecord {
    let was = before.map_or(String::new(), |before| format!("was {}, and ", in_words(before)));
    let message = format!("budget `{}` {was}is {}, by {by}", budget.name, in_words(budget));
    let mut data = in_force(budget);
    data["budget"] = budget.name.as_str().into();
    data["from"] = before.map(in_force).into();
    data["by"] = by.into();
    event(at, EventKind::BudgetSet, message, data)
}

fn in_words(budget: &Budget) -> String {
    format!("{} in mode {}", limits(budget).join(", "), budget.mode)
}

fn limits(budget: &Budget) -> Vec<String> {
    budget.limits.iter().map(ToString::to_string).collect()
}

/// What a budget counts and allows.
fn in_force(budget: &Budget) -> Value {
    let per: Vec<String> = budget.per.iter().map(ToString::to_string).collect();
    let filter: Map<String, Value> =
        budget.filter.iter().map(|(label, value)| (label.to_string(), Value::from(value.to_string()))).collect();
    json!({ "limits": limits(budget), "mode": budget.mode.to_string(), "per": per, "where": filter })
}

fn with_account(key: &AccountKey, mut data: Value) -> Value {
    data["account"] = key.to_string().into();
    data["budget"] = key.budget.as_str().into();
    data
}

/// What a budget did to a call, or how full an account became. That a call passed and was warned is no event: its
/// account's level was one.
pub(crate) fn throttled(record: &ThrottleRecord) -> Option<EventRecord> {
    let account = &record.account;
    let call = record.call.map_or_else(String::new, |id| id.to_string());
    let (kind, message) = match record.action {
        ThrottleAction::LevelChanged => (EventKind::LevelChanged, format!("{account}: {}", record.reason)),
        ThrottleAction::Refused => (EventKind::Refused, format!("call {call} was refused: {}", record.reason)),
        ThrottleAction::Waited => (EventKind::Waited, format!("call {call} waited for what others held on {account}")),
        ThrottleAction::Warned | ThrottleAction::Cut => return None,
    };
    let data = json!({
        "call": record.call.map(|id| id.to_string()),
        "labels": labels(&record.labels),
        "limit": record.limit.to_string(),
        "meter": record.limit.meter.name(),
        "amount": record.limit.amount,
        "charged": record.charged,
        "level": record.level.name(),
        "level_before": record.level_before.map(almoner_units::Level::name),
        "priority": record.priority.map(almoner_units::Priority::name),
    });
    Some(event(record.at, kind, message, with_account(account, data)))
}

fn labels(labels: &Labels) -> Value {
    labels.iter().map(|(name, value)| (name.to_string(), Value::from(value.to_string()))).collect::<Map<_, _>>().into()
}

/// A call that cost more than was held for it.
pub(crate) fn overrun(report: &Report, outcome: &Outcome) -> EventRecord {
    let (id, nano) = (report.id, outcome.overrun.usd());
    let message = format!("call {id} cost {nano} beyond its hold: {}", outcome.note);
    let data = json!({
        "call": id.to_string(), "overrun_nano": nano.get(), "overrun_tokens": outcome.overrun[Meter::Tokens],
        "provider": report.provider, "model": report.model, "labels": labels(&report.labels), "cause": outcome.note
    });
    event(report.at.after(outcome.took), EventKind::Overrun, message, data)
}

/// A call that was decided; `decision` says how.
pub(crate) fn decided(report: &Report, decision: &str) -> EventRecord {
    let message = format!("call {} to {} at {}: {decision}", report.id, report.model, report.provider);
    let data = json!({
        "call": report.id.to_string(), "decision": decision, "provider": report.provider, "model": report.model,
        "labels": labels(&report.labels), "waited_ms": report.waited.ms()
    });
    event(report.at, EventKind::CallDecided, message, data)
}

/// A call that came to its end.
pub(crate) fn ended(report: &Report, outcome: &Outcome) -> EventRecord {
    let (usd, tokens) = (outcome.charge.usd(), outcome.charge[Meter::Tokens]);
    let message = format!("call {}: {}, {usd} and {}", report.id, outcome.word, Meter::Tokens.show(tokens));
    let data = json!({
        "call": report.id.to_string(), "outcome": outcome.word, "status": outcome.status, "cost_nano": usd.get(),
        "tokens": tokens, "took_ms": outcome.took.ms(), "provider": report.provider, "model": report.model,
        "labels": labels(&report.labels)
    });
    event(report.at.after(outcome.took), EventKind::CallEnded, message, data)
}

/// The providers that were down when they were looked at last.
#[derive(Debug, Default)]
pub(crate) struct Downs(BTreeMap<String, Timestamp>);

impl Downs {
    /// Looks at the providers, and tells which have gone down and which have come back since.
    pub(crate) fn look(&mut self, healths: &[(String, Health)], now: Timestamp) -> Vec<EventRecord> {
        let down: BTreeMap<String, Timestamp> =
            healths.iter().filter_map(|(name, health)| Some((name.clone(), health.down_since()?))).collect();
        let why = |name: &str| {
            let health = healths.iter().find(|(known, _)| known == name).map(|(_, health)| health);
            health.and_then(|health| health.last_failure()).map_or(String::new(), |(_, why)| why.to_owned())
        };
        let gone = down.iter().filter(|(name, _)| !self.0.contains_key(*name)).map(|(name, since)| {
            let why = why(name);
            let data = json!({ "provider": name, "since": since.to_string(), "because": why });
            event(now, EventKind::ProviderDown, format!("provider `{name}` is down: {why}"), data)
        });
        let back = self.0.iter().filter(|(name, _)| !down.contains_key(*name)).map(|(name, since)| {
            let data = json!({ "provider": name, "was_down_since": since.to_string() });
            event(now, EventKind::ProviderUp, format!("provider `{name}` answers again"), data)
        });
        let told = gone.chain(back).collect();
        self.0 = down;
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_told_of_once_when_it_goes_and_once_when_it_comes_back() {
        let at = |secs: u64| Timestamp::from_ms(1_795_500_000_000 + secs * 1000);
        let mut health = Health::default();
        let mut downs = Downs::default();
        let mut look = |health: &Health, now| {
            let told = downs.look(&[("a".to_owned(), health.clone()), ("b".to_owned(), Health::default())], now);
            told.into_iter().map(|event| event.message).collect::<Vec<_>>()
        };
        assert!(look(&health, at(0)).is_empty());
        (0..3).for_each(|_| health.failed("refused", None, at(1)));
        assert_eq!(look(&health, at(2)), ["provider `a` is down: refused"]);
        assert!(look(&health, at(3)).is_empty());
        health.well(at(4));
        assert_eq!(look(&health, at(5)), ["provider `a` answers again"]);
        assert!(look(&health, at(6)).is_empty());
    }
}
