//! `OpenAI`'s Embeddings and its old Completions.

use serde_json::{Value, json};

use crate::play::{Act, Scene, pieces};
use crate::prompt::Prompt;
use crate::reply::{Event, Reply};
use crate::usage::Tokens;

/// When every answer says it was made: a rehearsal has no clock. It is the first second of 2026.
const CREATED: u64 = 1_767_225_600;

/// An embedding, which means nothing.
const EMBEDDING: [f32; 8] = [0.125; 8];

/// A request that has texts under `name`, as a conversation in which the user says them.
pub(crate) fn translate(mut request: Value, name: &str) -> Value {
    let said = match request[name].take() {
        Value::Array(texts) => texts.into_iter().map(|text| json!({ "role": "user", "content": text })).collect(),
        Value::Null => Value::Null,
        text => json!([{ "role": "user", "content": text }]),
    };
    request["messages"] = said;
    request
}

/// An embedding for each text.
pub(crate) fn embeddings(prompt: &Prompt) -> Reply {
    let of = |index| json!({ "object": "embedding", "index": index, "embedding": EMBEDDING });
    let data: Vec<Value> = (0..prompt.messages).map(of).collect();
    let usage = json!({ "prompt_tokens": prompt.input_tokens, "total_tokens": prompt.input_tokens });
    Reply::json(200, &json!({ "object": "list", "model": crate::MODEL, "data": data, "usage": usage }))
}

/// A text, whole or in chunks.
pub(crate) fn reply(prompt: &Prompt, scene: &Scene) -> Reply {
    let text = match &scene.act {
        Act::Text(text) => text.as_str(),
        Act::Tool { .. } => "",
    };
    if prompt.stream {
        return Reply::events(events(prompt, scene, text), scene.cut);
    }
    let mut whole = chunk(prompt, text, Some(finish(scene)));
    whole["usage"] = usage(scene.tokens);
    Reply::json(200, &whole)
}

fn finish(scene: &Scene) -> &'static str {
    if scene.capped { "length" } else { "stop" }
}

fn chunk(prompt: &Prompt, text: &str, finish: Option<&str>) -> Value {
    json!({
        "id": format!("cmpl-rehearsal-{}", prompt.digest),
        "object": "text_completion",
        "created": CREATED,
        "model": crate::MODEL,
        "choices": [{ "index": 0, "text": text, "logprobs": null, "finish_reason": finish }],
    })
}

fn usage(tokens: Tokens) -> Value {
    json!({
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input.saturating_add(tokens.output),
    })
}

fn events(prompt: &Prompt, scene: &Scene, text: &str) -> Vec<Event> {
    let plain = |chunk: &Value| Event::plain(&chunk.to_string());
    let mut events: Vec<Event> = pieces(text).iter().map(|piece| plain(&chunk(prompt, piece, None))).collect();
    events.push(plain(&chunk(prompt, "", Some(finish(scene)))));
    if prompt.include_usage {
        let mut last = chunk(prompt, "", None);
        last["choices"] = json!([]);
        last["usage"] = usage(scene.tokens);
        events.push(plain(&last).with_usage());
    }
    events.push(Event::plain("[DONE]"));
    events
}
