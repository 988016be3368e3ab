//! The answers in the words of `OpenAI`'s old Completions and of its Embeddings.

use serde_json::{Value, json};

use super::chat::{end, finish_reason, usage};
use super::script::Script;

pub(super) fn whole(script: &Script<'_>) -> Value {
    let choices: Vec<Value> =
        (0..script.wanted.choices).map(|index| choice(index, &script.text(), Some(finish_reason(script)))).collect();
    let mut completion = completion(script, &choices);
    if script.tells() {
        completion["usage"] = usage(script.told);
    }
    completion
}

pub(super) fn events(script: &Script<'_>) -> Vec<String> {
    let parts: Vec<Value> = (0..script.wanted.choices).flat_map(|index| parts(script, index)).collect();
    let all = parts.len();
    let event = |(at, part): (usize, &Value)| {
        let mut event = completion(script, std::slice::from_ref(part));
        if let Some(told) = script.told_with(at + 1, all) {
            event["usage"] = usage(told);
        }
        format!("data: {event}\n\n")
    };
    let mut events: Vec<String> = parts.iter().enumerate().map(event).collect();
    events.extend(end(script, completion(script, &[])));
    events
}

/// Two numbers for each text.
pub(super) fn vectors(script: &Script<'_>) -> Value {
    let vector = |index| json!({ "object": "embedding", "index": index, "embedding": [0.5, -0.5] });
    let data: Vec<Value> = (0..script.wanted.choices).map(vector).collect();
    let mut list = json!({ "object": "list", "data": data, "model": script.wanted.model });
    if script.tells() {
        list["usage"] = json!({ "prompt_tokens": script.told.input, "total_tokens": script.told.input });
    }
    list
}

fn parts(script: &Script<'_>, index: u64) -> Vec<Value> {
    let mut parts: Vec<Value> = script.pieces().iter().map(|piece| choice(index, piece, None)).collect();
    parts.push(choice(index, "", Some(finish_reason(script))));
    parts
}

fn choice(index: u64, text: &str, finish: Option<&str>) -> Value {
    json!({ "index": index, "text": text, "logprobs": null, "finish_reason": finish })
}

fn completion(script: &Script<'_>, choices: &[Value]) -> Value {
    json!({
        "id": format!("cmpl-truth-{}", script.id),
        "object": "text_completion",
        "created": 0,
        "model": script.wanted.model,
        "choices": choices,
    })
}
