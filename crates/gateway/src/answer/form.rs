//! The bodies of our own answers: the error form of the dialect, and the member in it that is ours.

use almoner_ledger::{Refusal, RefusalReason};
use almoner_units::Meter;
use hyper::body::Bytes;
use serde_json::{Value, json};

use super::{Answer, said};
use crate::dialect::{Dialect, Wrong};

/// An answer's body.
pub(super) fn body(answer: &Answer, dialect: Dialect) -> Bytes {
    error(answer, dialect).to_string().into()
}

/// The error object of a dialect, as an answer or an event holds it.
pub(super) fn error(answer: &Answer, dialect: Dialect) -> Value {
    (dialect.tongue().error)(&Wrong { answer, message: answer.message(), almoner: facts(answer) })
}

/// The same facts for programs. Amounts are whole numbers in `unit`; nothing here is rounded.
fn facts(answer: &Answer) -> Value {
    let mut facts = json!({ "code": answer.code(), "whose_fault": answer.fault().name() });
    if let Some(after) = answer.after() {
        facts["retry_after_s"] = after.secs_up().max(1).into();
    }
    if let (Some(refusal), Value::Object(facts)) = (answer.refusal(), &mut facts) {
        facts.extend(numbers(refusal));
    }
    facts
}

fn numbers(refusal: &Refusal) -> serde_json::Map<String, Value> {
    let numbers = json!({
        "budget": refusal.account.budget.as_str(),
        "account": refusal.account.to_string(),
        "meter": refusal.limit.meter.name(),
        "unit": unit(refusal.limit.meter),
        "limit": refusal.limit.amount,
        "window": refusal.limit.window.to_string(),
        "spent": refusal.spent,
        "assumed": refusal.assumed,
        "held": refusal.held,
        "left": refusal.left(),
        "asked": refusal.asked,
        "level": refusal.level.name(),
        "priority": refusal.priority.name(),
        "reason": reason(refusal.reason),
        "resets_at": refusal.changes_at.map(|at| at.to_string()),
        "suggestion": said::suggestion(refusal),
    });
    match numbers {
        Value::Object(numbers) => numbers,
        _ => serde_json::Map::new(),
    }
}

const fn unit(meter: Meter) -> &'static str {
    match meter {
        Meter::Usd => "nano_usd",
        Meter::Requests => "requests",
        Meter::Tokens | Meter::UncachedTokens | Meter::InputTokens | Meter::OutputTokens => "tokens",
    }
}

const fn reason(reason: RefusalReason) -> &'static str {
    match reason {
        RefusalReason::Exhausted => "exhausted",
        RefusalReason::TooLarge => "too_large",
        RefusalReason::Held => "held",
        RefusalReason::Level => "level",
    }
}
