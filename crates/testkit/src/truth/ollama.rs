//! The answers in the words of Ollama's chat.

use serde_json::{Value, json};

use super::script::Script;

pub(super) fn error(message: &str) -> Value {
    json!({ "error": message })
}

pub(super) fn whole(script: &Script<'_>) -> Value {
    last(script, &script.text())
}

pub(super) fn lines(script: &Script<'_>) -> Vec<String> {
    let pieces = script.pieces();
    let parts = pieces.iter().map(|piece| part(script, piece)).chain([last(script, "")]);
    parts.map(|part| format!("{part}\n")).collect()
}

fn part(script: &Script<'_>, text: &str) -> Value {
    json!({
        "model": script.wanted.model,
        "created_at": "2026-01-01T00:00:00Z",
        "message": { "role": "assistant", "content": text },
        "done": false,
    })
}

fn last(script: &Script<'_>, text: &str) -> Value {
    let mut last = part(script, text);
    last["done"] = json!(true);
    last["done_reason"] = json!(if script.is_capped() { "length" } else { "stop" });
    if script.tells() {
        last["prompt_eval_count"] = json!(script.told.input);
        last["eval_count"] = json!(script.told.output);
    }
    last
}
