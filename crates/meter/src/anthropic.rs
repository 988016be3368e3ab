//! Anthropic's Messages.
//!
//! A stream's usage begins with `message_start`; each `message_delta` then replaces what it names, because its counts
//! are cumulative, input and cache included. Where `usage.iterations` is there, the flat counts leave out part of what
//! is billed: the bill is the sum of the iterations, each at its own model.

use std::sync::LazyLock;

use almoner_units::Usage;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::pick::{pick, pick_in, text};
use crate::sheet::{Object, Sheet, sum};
use crate::sieve::Sieve;
use crate::told::{Told, update};
use crate::{Fault, Faults, Reading, ServerTools};

static SIEVE: LazyLock<Sieve> =
    LazyLock::new(|| Sieve::new(&["\"usage\"", "\"message_delta\"", "\"message_stop\"", "\"error\""]));

pub(crate) fn may_matter(event: &[u8]) -> bool {
    SIEVE.catches(event)
}

pub(crate) fn note(told: &mut Told, event: &[u8]) {
    let names = ["type", "message", "delta", "usage", "error"];
    let Some([kind, message, delta, usage, error]) = pick(event, names, &mut told.faults) else { return };
    match text(kind).as_deref() {
        Some("message_start") => note_message(told, message),
        Some("message_delta") => note_delta(told, delta, usage),
        Some("message_stop") => told.finished = true,
        Some("message") => note_whole(told, event),
        Some("error") => told.note_error(error),
        None if error.is_some() => told.note_error(error),
        None if usage.is_some() => note_whole(told, event),
        _ => {}
    }
}

fn note_message(told: &mut Told, message: Option<&RawValue>) {
    if let Some(message) = message {
        note_fields(told, message.get().as_bytes());
    }
}

fn note_whole(told: &mut Told, message: &[u8]) {
    note_fields(told, message);
    told.finished = true;
}

fn note_fields(told: &mut Told, message: &[u8]) {
    let names = ["id", "model", "stop_reason", "usage"];
    let Some([id, model, stop_reason, usage]) = pick(message, names, &mut told.faults) else { return };
    update(&mut told.message_id, id);
    update(&mut told.model, model);
    update(&mut told.stop_reason, stop_reason);
    told.merge_usage(usage);
}

fn note_delta(told: &mut Told, delta: Option<&RawValue>, usage: Option<&RawValue>) {
    told.finished = true;
    told.merge_usage(usage);
    if let Some([stop_reason]) = delta.and_then(|delta| pick_in(delta, ["stop_reason"], &mut told.faults)) {
        update(&mut told.stop_reason, stop_reason);
    }
}

pub(crate) fn count(sheet: &mut Sheet<'_>, reading: &mut Reading) {
    let (flat, ttl_assumed) = parts(sheet);
    reading.usage = flat;
    reading.cache_ttl_assumed = ttl_assumed;
    let word = |name| sheet.usage.get(name).and_then(Value::as_str).map(str::to_owned);
    reading.service_tier = word("service_tier");
    reading.speed = word("speed");
    reading.region = word("inference_geo");
    reading.server_tools = server_tools(sheet);
    let iterations = iterations(sheet);
    if !iterations.is_empty() {
        reading.top_level = Some(flat);
        bill_iterations(&iterations, reading, sheet.faults);
    }
}

/// The counts of one usage object, and whether the lifetime of its cache writes had to be assumed.
fn parts(sheet: &mut Sheet<'_>) -> (Usage, bool) {
    let (cache_write_5m, cache_write_1h, assumed) = cache_writes(sheet);
    let usage = Usage {
        input: sheet.at("input_tokens"),
        cache_read: sheet.at_or_zero("cache_read_input_tokens"),
        cache_write_5m,
        cache_write_1h,
        output: sheet.at("output_tokens"),
        reasoning: sheet.at("output_tokens_details.thinking_tokens"),
    };
    (usage, assumed)
}

/// Cache writes of five minutes and of an hour; what the split leaves out goes to the lifetime that it shows.
fn cache_writes(sheet: &mut Sheet<'_>) -> (Option<u64>, Option<u64>, bool) {
    let all = sheet.at_or_zero("cache_creation_input_tokens");
    let short = sheet.at_or_zero("cache_creation.ephemeral_5m_input_tokens");
    let long = sheet.at_or_zero("cache_creation.ephemeral_1h_input_tokens");
    let split = sheet.sum(short, long);
    let (Some(total), Some(named)) = (all, split) else { return (None, None, false) };
    let Some(rest) = total.checked_sub(named) else {
        if sheet.has("cache_creation_input_tokens") {
            sheet.faults.note(Fault::CacheSplit);
        }
        return (short, long, false);
    };
    match (short, long) {
        (Some(0), Some(1..)) => (short, Some(total), rest > 0),
        _ => (short.map(|short| short + rest), long, rest > 0),
    }
}

fn server_tools(sheet: &mut Sheet<'_>) -> Option<ServerTools> {
    sheet.usage.get("server_tool_use")?.as_object()?;
    Some(ServerTools {
        web_search_requests: sheet.at("server_tool_use.web_search_requests").unwrap_or(0),
        web_fetch_requests: sheet.at("server_tool_use.web_fetch_requests").unwrap_or(0),
    })
}

fn iterations<'a>(sheet: &mut Sheet<'a>) -> Vec<&'a Object> {
    let Some(value) = sheet.usage.get("iterations").filter(|value| !value.is_null()) else { return Vec::new() };
    let objects: Option<Vec<&Object>> = value.as_array().and_then(|all| all.iter().map(Value::as_object).collect());
    if objects.is_none() {
        sheet.faults.note(Fault::Malformed);
    }
    objects.unwrap_or_default()
}

/// Books each iteration at its own model; one that names none belongs to the answer's.
fn bill_iterations(iterations: &[&Object], reading: &mut Reading, faults: &mut Faults) {
    let flat = reading.usage;
    reading.usage = Usage { reasoning: flat.reasoning, ..NOTHING };
    reading.cache_ttl_assumed = false;
    for usage in iterations {
        let (part, assumed) = parts(&mut Sheet { usage, faults });
        let model = usage.get("model").and_then(Value::as_str).filter(|model| Some(*model) != reading.model.as_deref());
        let account = account_of(model, reading);
        *account = add(account, &part, faults);
        reading.cache_ttl_assumed |= assumed;
    }
}

const NOTHING: Usage = Usage {
    input: Some(0),
    cache_read: Some(0),
    cache_write_5m: Some(0),
    cache_write_1h: Some(0),
    output: Some(0),
    reasoning: None,
};

fn account_of<'a>(model: Option<&str>, reading: &'a mut Reading) -> &'a mut Usage {
    let Some(model) = model else { return &mut reading.usage };
    let others = &mut reading.other_models;
    let at = others.iter().position(|(name, _)| name == model).unwrap_or_else(|| {
        others.push((model.to_owned(), NOTHING));
        others.len() - 1
    });
    &mut others[at].1
}

/// The sum of two usages. Iterations do not tell their reasoning, so that it stays what the flat counts said.
fn add(one: &Usage, other: &Usage, faults: &mut Faults) -> Usage {
    Usage {
        input: sum(one.input, other.input, faults),
        cache_read: sum(one.cache_read, other.cache_read, faults),
        cache_write_5m: sum(one.cache_write_5m, other.cache_write_5m, faults),
        cache_write_1h: sum(one.cache_write_1h, other.cache_write_1h, faults),
        output: sum(one.output, other.output, faults),
        reasoning: one.reasoning,
    }
}
