//! The bodies of our own answers: the error form of the dialect, and the member in it that is ours.

use almoner_ledger::{Refusal, RefusalReason};
use almoner_units::Meter;
use hyper::body::Bytes;
use serde_json::{Value, json};

use super::{Answer, digits, said};
use crate::dialect::{Dialect, Wrong};

/// An answer's body.
pub(super) fn body(answer: &Answer, dialect: Dialect) -> Bytes {
    bytes(error(answer, dialect).to_string(), answer, dialect)
}

/// The error object of a dialect, as an answer or an event holds it.
pub(super) fn error(answer: &Answer, dialect: Dialect) -> Value {
    let (mut message, mut almoner) = (answer.message(), facts(answer));
    if dialect.tongue().minds_digits && answer.refusal().is_some() {
        almoner = digits::texts(almoner);
    }
    if must_end(answer, dialect) {
        message = digits::apart(&message);
    }
    (dialect.tongue().error)(&Wrong { answer, message, almoner })
}

/// What holds the error object, in its bytes.
pub(super) fn bytes(text: String, answer: &Answer, dialect: Dialect) -> Bytes {
    if must_end(answer, dialect) { digits::escaped(&text).into() } else { text.into() }
}

/// Whether a client is to end on an answer that would ask again on some digits in it.
const fn must_end(answer: &Answer, dialect: Dialect) -> bool {
    dialect.tongue().minds_digits && answer.ends_the_money()
}

/// The same facts for programs. Amounts are whole numbers in `unit`, nothing here is rounded; where a dialect minds
/// their digits, they are texts.
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
