//! The error forms of the dialects, and the member in them that is ours.

use almoner_ledger::{Refusal, RefusalReason};
use almoner_units::Meter;
use hyper::body::Bytes;
use serde_json::{Value, json};

use super::{Answer, said};
use crate::dialect::Dialect;

/// An answer's body.
pub(super) fn body(answer: &Answer, dialect: Dialect) -> Bytes {
    error(answer, dialect).to_string().into()
}

/// The error object of a dialect, as an answer or an event holds it.
pub(super) fn error(answer: &Answer, dialect: Dialect) -> Value {
    let message = answer.message();
    let almoner = facts(answer);
    match dialect {
        Dialect::Anthropic => json!({
            "type": "error",
            "error": { "type": anthropic_type(answer), "message": message, "almoner": almoner },
        }),
        Dialect::Chat => {
            let (kind, code) = chat_type(answer);
            json!({ "error": { "message": message, "type": kind, "code": code, "param": null, "almoner": almoner } })
        }
    }
}

const fn anthropic_type(answer: &Answer) -> &'static str {
    match answer {
        Answer::NoMoney(_) | Answer::CutShort { .. } | Answer::Stopped(_) => "billing_error",
        Answer::SlowDown { .. } => "rate_limit_error",
        Answer::Policy { .. } | Answer::Forbidden(_) => "permission_error",
        Answer::BadBody(_) => "invalid_request_error",
        Answer::Unauthorized(_) => "authentication_error",
        Answer::NotFound(_) => "not_found_error",
        Answer::TooLarge { .. } => "request_too_large",
        Answer::TimedOut(_) => "timeout_error",
        Answer::LedgerClosed { .. } | Answer::Elsewhere(_) | Answer::Unreachable(_) | Answer::Fault(_) => "api_error",
    }
}

const fn chat_type(answer: &Answer) -> (&'static str, &'static str) {
    match answer {
        Answer::NoMoney(_) | Answer::CutShort { .. } | Answer::Stopped(_) => {
            ("insufficient_quota", "insufficient_quota")
        }
        Answer::SlowDown { .. } => ("rate_limit_exceeded", "rate_limit_exceeded"),
        Answer::Policy { .. } | Answer::Forbidden(_) => ("permission_error", answer.code()),
        Answer::BadBody(_) | Answer::NotFound(_) | Answer::TooLarge { .. } => ("invalid_request_error", answer.code()),
        Answer::Unauthorized(_) => ("authentication_error", "invalid_api_key"),
        Answer::LedgerClosed { .. }
        | Answer::Elsewhere(_)
        | Answer::Unreachable(_)
        | Answer::TimedOut(_)
        | Answer::Fault(_) => ("api_error", answer.code()),
    }
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
