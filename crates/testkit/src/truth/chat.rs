//! The answers in the words of `OpenAI` Chat Completions.

use serde_json::{Value, json};

use super::script::{Script, Told};

pub(super) fn error(status: u16, message: &str) -> Value {
    let (kind, code) = match status {
        401 => ("invalid_request_error", Some("invalid_api_key")),
        404 => ("invalid_request_error", Some("model_not_found")),
        429 => ("requests", Some("rate_limit_exceeded")),
        500.. => ("server_error", None),
        _ => ("invalid_request_error", None),
    };
    json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
}

pub(super) fn whole(script: &Script<'_>) -> Value {
    let message = json!({ "role": "assistant", "content": script.text(), "refusal": null });
    let finish = finish_reason(script);
    let choice = |index| json!({ "index": index, "message": message, "logprobs": null, "finish_reason": finish });
    let choices: Vec<Value> = (0..script.wanted.choices).map(choice).collect();
    let mut completion = completion(script, "chat.completion", &choices);
    if script.tells() {
        completion["usage"] = usage(script.told);
    }
    completion
}

fn completion(script: &Script<'_>, object: &str, choices: &[Value]) -> Value {
    json!({
        "id": format!("chatcmpl-truth-{}", script.id),
        "object": object,
        "created": 0,
        "model": script.wanted.model,
        "choices": choices,
    })
}

pub(super) fn finish_reason(script: &Script<'_>) -> &'static str {
    if script.is_capped() { "length" } else { "stop" }
}

pub(super) fn usage(told: Told) -> Value {
    let total = told.input.saturating_add(told.output);
    json!({ "prompt_tokens": told.input, "completion_tokens": told.output, "total_tokens": total })
}

pub(super) fn events(script: &Script<'_>) -> Vec<String> {
    let deltas: Vec<Value> = (0..script.wanted.choices).flat_map(|index| choice_deltas(script, index)).collect();
    let all = deltas.len();
    let mut events: Vec<String> =
        deltas.iter().enumerate().map(|(at, choice)| chunk(script, choice, script.told_with(at + 1, all))).collect();
    events.extend(end(script, completion(script, "chat.completion.chunk", &[])));
    events
}

/// The end of a stream: where it was asked for, the usage, in a last object without choices.
pub(super) fn end(script: &Script<'_>, mut last: Value) -> Vec<String> {
    let done = "data: [DONE]\n\n".to_owned();
    if !script.wanted.include_usage || !script.tells() {
        return vec![done];
    }
    last["usage"] = usage(script.told);
    vec![format!("data: {last}\n\n"), done]
}

fn choice_deltas(script: &Script<'_>, index: u64) -> Vec<Value> {
    let begin = json!({ "role": "assistant", "content": "" });
    let mut deltas = vec![choice(index, &begin, None)];
    deltas.extend(script.pieces().iter().map(|piece| choice(index, &json!({ "content": piece }), None)));
    deltas.push(choice(index, &json!({}), Some(finish_reason(script))));
    deltas
}

fn choice(index: u64, delta: &Value, finish: Option<&str>) -> Value {
    json!({ "index": index, "delta": delta, "logprobs": null, "finish_reason": finish })
}

fn chunk(script: &Script<'_>, choice: &Value, told: Option<Told>) -> String {
    let mut chunk = completion(script, "chat.completion.chunk", std::slice::from_ref(choice));
    match told {
        Some(told) => chunk["usage"] = usage(told),
        None if script.wanted.include_usage => chunk["usage"] = Value::Null,
        None => {}
    }
    format!("data: {chunk}\n\n")
}
