//! The answers in the words of `OpenAI` Responses.

use serde_json::{Value, json};

use super::script::Script;

pub(super) fn whole(script: &Script<'_>) -> Value {
    let status = if script.is_capped() { "incomplete" } else { "completed" };
    let text = json!({ "type": "output_text", "text": script.text(), "annotations": [] });
    let message =
        json!({ "id": "msg_truth", "type": "message", "role": "assistant", "status": status, "content": [text] });
    let mut response = response(script, status);
    response["output"] = json!([message]);
    if script.tells() {
        let told = script.told;
        let total = told.input.saturating_add(told.output);
        response["usage"] = json!({ "input_tokens": told.input, "output_tokens": told.output, "total_tokens": total });
    }
    response
}

fn response(script: &Script<'_>, status: &str) -> Value {
    json!({
        "id": format!("resp_truth_{}", script.id),
        "object": "response",
        "created_at": 0,
        "status": status,
        "model": script.wanted.model,
        "output": [],
        "usage": null,
    })
}

/// The events of a stream; its usage stands in the last one alone, as the dialect has it.
pub(super) fn events(script: &Script<'_>) -> Vec<String> {
    let created = json!({ "type": "response.created", "response": response(script, "in_progress") });
    let delta = |piece: String| json!({ "type": "response.output_text.delta", "item_id": "msg_truth", "delta": piece });
    let last = whole(script);
    let kind = format!("response.{}", last["status"].as_str().unwrap_or_default());
    let deltas = script.pieces().into_iter().map(delta);
    let all = [created].into_iter().chain(deltas).chain([json!({ "type": kind, "response": last })]);
    all.map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default())).collect()
}
