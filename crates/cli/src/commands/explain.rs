//! `almoner explain ID`

use std::process::ExitCode;

use almoner_api::{Reply, Request};
use serde_json::{Map, Value};

use crate::args::Common;
use crate::client::{ask, unexpected};
use crate::fail::Outcome;
use crate::show;

/// What every limit tells of itself.
const AMOUNTS: [&str; 4] = ["spent", "assumed", "held", "left"];

pub(crate) fn run(common: &Common, id: String) -> Outcome {
    let Reply::Call(call) = ask(common, &Request::Explain { id })? else { return Err(unexpected()) };
    if common.json {
        show::json(&call)?;
        return Ok(ExitCode::SUCCESS);
    }
    show::line(format!("call {}", call.id));
    if let Some(members) = call.record.as_object() {
        members.iter().for_each(|(name, value)| tell(name, value, 1));
    }
    show::line(format!("journal: {}", call.journal));
    Ok(ExitCode::SUCCESS)
}

/// One member a line, what it holds indented below it. What is empty is left out, and money is told in dollars alone.
fn tell(name: &str, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Null => {}
        _ if name.ends_with("_nano") => {}
        Value::Object(members) if members.is_empty() => {}
        Value::Array(items) if items.is_empty() => {}
        Value::Object(members) => {
            show::line(format!("{indent}{name}:"));
            members.iter().for_each(|(name, value)| tell(name, value, depth + 1));
        }
        Value::Array(items) => {
            show::line(format!("{indent}{name}:"));
            items.iter().for_each(|item| tell_item(item, depth + 1));
        }
        Value::String(text) => show::line(format!("{indent}{name}: {text}")),
        other => show::line(format!("{indent}{name}: {other}")),
    }
}

/// One item of a list: an account with its limits, a part of the bound, or a plain word.
fn tell_item(item: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    let text = |name: &str| item.get(name).and_then(Value::as_str);
    match (item.as_object(), text("account"), text("part")) {
        (Some(account), Some(name), _) => {
            show::line(format!("{indent}{name} at level {}:", text("level").unwrap_or("unknown")));
            let limits = account.get("limits").and_then(Value::as_array).into_iter().flatten();
            limits.filter_map(Value::as_object).for_each(|limit| show::line(format!("{indent}  {}", of_limit(limit))));
        }
        (Some(part), _, Some(name)) => show::line(format!("{indent}{name}: {}", of_part(part))),
        _ => show::line(format!("{indent}{}", item.as_str().map_or_else(|| item.to_string(), str::to_owned))),
    }
}

/// `$1.00 / lifetime: $0.25 spent, $0.00 assumed, $0.00 held, $0.75 left`
fn of_limit(limit: &Map<String, Value>) -> String {
    let amounts: Vec<String> = AMOUNTS
        .iter()
        .filter_map(|word| {
            let begins = format!("{word}_");
            let is_it = |name: &&String| name.starts_with(&begins) && !name.ends_with("_nano");
            let name = limit.keys().find(is_it)?;
            Some(format!("{} {word}", with_unit(&name[begins.len()..], &limit[name.as_str()])))
        })
        .collect();
    let name = limit.get("limit").and_then(Value::as_str).unwrap_or_default();
    format!("{name}: {}", amounts.join(", "))
}

fn of_part(part: &Map<String, Value>) -> String {
    let is_amount = |name: &&String| *name != "part" && !name.ends_with("_nano");
    part.keys().find(is_amount).map_or_else(String::new, |name| with_unit(name, &part[name.as_str()]))
}

/// A number with its unit; dollars carry their own.
fn with_unit(unit: &str, amount: &Value) -> String {
    match (amount.as_u64(), amount.as_str()) {
        (Some(amount), _) => show::amount_of(unit, amount),
        (None, Some(dollars)) => dollars.to_owned(),
        (None, None) => amount.to_string(),
    }
}
