//! The answers in the words of Gemini's generateContent.

use serde_json::{Value, json};

use super::request::Form;
use super::script::{Script, Told};

pub(super) fn error(status: u16, message: &str) -> Value {
    let word = match status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 | 529 => "UNAVAILABLE",
        _ => "INTERNAL",
    };
    json!({ "error": { "code": status, "message": message, "status": word } })
}

pub(super) fn whole(script: &Script<'_>) -> Value {
    let ended = |index| candidate(script, index, &script.text(), true);
    let candidates: Vec<Value> = (0..script.wanted.choices).map(ended).collect();
    answer(script, &candidates, script.tells().then_some(script.told))
}

/// The pieces of a stream, as its form has them.
pub(super) fn events(script: &Script<'_>) -> Vec<String> {
    let pieces = script.pieces();
    let mut objects = Vec::new();
    for (done, piece) in pieces.iter().enumerate() {
        let candidates: Vec<Value> =
            (0..script.wanted.choices).map(|index| candidate(script, index, piece, false)).collect();
        objects.push(answer(script, &candidates, script.told_with(done + 1, pieces.len() + 1)));
    }
    let ended: Vec<Value> = (0..script.wanted.choices).map(|index| candidate(script, index, "", true)).collect();
    objects.push(answer(script, &ended, script.tells().then_some(script.told)));
    let last = objects.len() - 1;
    let framed = |(at, object): (usize, &Value)| match script.wanted.form {
        Form::Array if at == last => format!("{}{object}]", if at == 0 { "[" } else { ",\n" }),
        Form::Array => format!("{}{object}", if at == 0 { "[" } else { ",\n" }),
        _ => format!("data: {object}\r\n\r\n"),
    };
    objects.iter().enumerate().map(framed).collect()
}

fn answer(script: &Script<'_>, candidates: &[Value], told: Option<Told>) -> Value {
    let mut answer = json!({ "candidates": candidates, "modelVersion": script.wanted.model, "responseId": script.id });
    if let Some(told) = told {
        // A third of the output is thought.
        let thoughts = told.output / 3;
        answer["usageMetadata"] = json!({
            "promptTokenCount": told.input,
            "candidatesTokenCount": told.output - thoughts,
            "thoughtsTokenCount": thoughts,
            "totalTokenCount": told.input.saturating_add(told.output),
        });
    }
    answer
}

fn candidate(script: &Script<'_>, index: u64, text: &str, ends: bool) -> Value {
    let mut candidate = json!({ "content": { "parts": [{ "text": text }], "role": "model" }, "index": index });
    if ends {
        candidate["finishReason"] = json!(if script.is_capped() { "MAX_TOKENS" } else { "STOP" });
    }
    candidate
}
