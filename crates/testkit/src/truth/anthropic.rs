//! The answers in the words of Anthropic Messages.

use serde_json::{Value, json};

use super::script::{Script, Told};

pub(super) fn error(status: u16, message: &str) -> Value {
    let kind = match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": "req_truth" })
}

pub(super) fn count(input: u64) -> Value {
    json!({ "input_tokens": input })
}

pub(super) fn whole(script: &Script<'_>) -> Value {
    let mut message = message(script);
    message["content"] = json!([{ "type": "text", "text": script.text() }]);
    message["stop_reason"] = json!(stop_reason(script));
    if script.tells() {
        message["usage"] = usage(script.told);
    }
    message
}

fn message(script: &Script<'_>) -> Value {
    json!({
        "id": format!("msg_truth_{}", script.id),
        "type": "message",
        "role": "assistant",
        "model": script.wanted.model,
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
    })
}

fn stop_reason(script: &Script<'_>) -> &'static str {
    if script.is_capped() { "max_tokens" } else { "end_turn" }
}

fn usage(told: Told) -> Value {
    json!({
        "input_tokens": told.input,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": told.output,
    })
}

pub(super) fn events(script: &Script<'_>) -> Vec<String> {
    let mut events = vec![start(script), open_block(), event(&json!({ "type": "ping" }))];
    let pieces = script.pieces();
    for (done, piece) in pieces.iter().enumerate() {
        let delta = json!({ "type": "text_delta", "text": piece });
        events.push(event(&json!({ "type": "content_block_delta", "index": 0, "delta": delta })));
        let told = script.told_with(done + 1, pieces.len());
        events.extend(told.map(|told| event(&message_delta(None, Some(told)))));
    }
    events.push(event(&json!({ "type": "content_block_stop", "index": 0 })));
    events.push(event(&message_delta(Some(stop_reason(script)), script.tells().then_some(script.told))));
    events.push(event(&json!({ "type": "message_stop" })));
    events
}

fn start(script: &Script<'_>) -> String {
    let mut message = message(script);
    if script.tells() {
        // What is true of a stream that has only begun.
        message["usage"] = usage(Told { output: script.told.output.min(1), ..script.told });
    }
    event(&json!({ "type": "message_start", "message": message }))
}

fn open_block() -> String {
    event(&json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }))
}

fn message_delta(stop: Option<&str>, told: Option<Told>) -> Value {
    let mut delta = json!({ "type": "message_delta", "delta": { "stop_reason": stop, "stop_sequence": null } });
    if let Some(told) = told {
        delta["usage"] = usage(told);
    }
    delta
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default())
}
