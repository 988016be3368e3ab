//! `almoner explain ID`

use std::process::ExitCode;

use almoner_api::{Reply, Request};

use crate::args::Common;
use crate::client::{ask, unexpected};
use crate::fail::Outcome;
use crate::show;

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

/// One member a line, what it holds indented below it; what is empty is left out.
fn tell(name: &str, value: &serde_json::Value, depth: usize) {
    use serde_json::Value;
    let indent = "  ".repeat(depth);
    match value {
        Value::Null => {}
        Value::Object(members) if members.is_empty() => {}
        Value::Array(items) if items.is_empty() => {}
        Value::Object(members) => {
            show::line(format!("{indent}{name}:"));
            members.iter().for_each(|(name, value)| tell(name, value, depth + 1));
        }
        Value::String(text) => show::line(format!("{indent}{name}: {text}")),
        other => show::line(format!("{indent}{name}: {other}")),
    }
}
