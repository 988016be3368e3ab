//! The `OpenAI` Responses dialect.

use serde_json::{Value, json};

use crate::play::{Act, Scene, pieces};
use crate::prompt::Prompt;
use crate::reply::{Event, Reply};
use crate::usage::Tokens;

/// When every answer says it was made: a rehearsal has no clock. It is the first second of 2026.
const CREATED: u64 = 1_767_225_600;

/// The answer to a token count.
pub(crate) fn count(input_tokens: u64) -> Reply {
    Reply::json(200, &json!({ "object": "response.input_tokens", "input_tokens": input_tokens }))
}

/// A request for a response in the words of Chat Completions, which the rest of the rehearsal reads.
pub(crate) fn translate(mut request: Value) -> Value {
    let input = request["input"].take();
    request["messages"] = match input {
        Value::String(text) => json!([{ "role": "user", "content": text }]),
        Value::Array(items) => items.iter().filter_map(message).collect(),
        _ => Value::Null,
    };
    request
}

fn message(item: &Value) -> Option<Value> {
    match item["type"].as_str() {
        None | Some("message") => Some(json!({ "role": item["role"], "content": item["content"] })),
        Some("function_call") => Some(json!({ "role": "assistant", "content": item["arguments"] })),
        Some("function_call_output") => Some(json!({ "role": "tool", "content": said(&item["output"]) })),
        _ => None,
    }
}

/// What a tool said; coding agents put a few lines about its run before that.
fn said(output: &Value) -> Value {
    let after = output.as_str().and_then(|text| text.split_once("\nOutput:\n"));
    after.map_or_else(|| output.clone(), |(_, said)| json!(said))
}

/// A response, whole or as the events that build it up.
pub(crate) fn reply(prompt: &Prompt, scene: &Scene) -> Reply {
    if prompt.stream {
        Reply::events(events(&prompt.digest, scene), scene.cut)
    } else {
        Reply::json(200, &ended(&prompt.digest, scene))
    }
}

fn response(id: &str, status: &str, output: &[Value], usage: &Value) -> Value {
    json!({
        "id": format!("resp_rehearsal_{id}"),
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": null,
        "incomplete_details": null,
        "instructions": null,
        "model": crate::MODEL,
        "output": output,
        "parallel_tool_calls": true,
        "service_tier": "default",
        "tool_choice": "auto",
        "tools": [],
        "usage": usage,
    })
}

/// The response as it is when it is over.
fn ended(id: &str, scene: &Scene) -> Value {
    let status = status(scene);
    let mut response = response(id, status, &[item(id, &scene.act, status)], &usage(scene.tokens));
    if scene.capped {
        response["incomplete_details"] = json!({ "reason": "max_output_tokens" });
    }
    response
}

fn status(scene: &Scene) -> &'static str {
    if scene.capped { "incomplete" } else { "completed" }
}

fn usage(tokens: Tokens) -> Value {
    json!({
        "input_tokens": tokens.input,
        "input_tokens_details": { "cached_tokens": 0 },
        "output_tokens": tokens.output,
        "output_tokens_details": { "reasoning_tokens": 0 },
        "total_tokens": tokens.input.saturating_add(tokens.output),
    })
}

fn item_id(id: &str, act: &Act) -> String {
    match act {
        Act::Text(_) => format!("msg_rehearsal_{id}"),
        Act::Tool { .. } => format!("fc_rehearsal_{id}"),
    }
}

fn item(id: &str, act: &Act, status: &str) -> Value {
    let item_id = item_id(id, act);
    match act {
        Act::Text(text) => {
            json!({ "id": item_id, "type": "message", "role": "assistant", "status": status, "content": [part(text)] })
        }
        Act::Tool { name, input } => json!({
            "id": item_id,
            "type": "function_call",
            "call_id": format!("call_rehearsal_{id}"),
            "name": name,
            "arguments": input.to_string(),
            "status": status,
        }),
    }
}

fn part(text: &str) -> Value {
    json!({ "type": "output_text", "text": text, "annotations": [] })
}

fn events(id: &str, scene: &Scene) -> Vec<Event> {
    let begun = response(id, "in_progress", &[], &Value::Null);
    let item_at = |kind: &str, item: Value| json!({ "type": kind, "output_index": 0, "item": item });
    let mut all = vec![
        json!({ "type": "response.created", "response": begun }),
        json!({ "type": "response.in_progress", "response": begun }),
        item_at("response.output_item.added", begun_item(id, &scene.act)),
    ];
    all.extend(deltas(id, &scene.act));
    all.push(item_at("response.output_item.done", item(id, &scene.act, status(scene))));
    all.push(json!({ "type": format!("response.{}", status(scene)), "response": ended(id, scene) }));
    let last = all.len() - 1;
    let numbered = all.into_iter().enumerate().map(|(at, mut event)| {
        event["sequence_number"] = json!(at);
        (at, Event::named(&event))
    });
    numbered.map(|(at, event)| if at == last { event.with_usage() } else { event }).collect()
}

/// The item as it begins; its content comes in deltas.
fn begun_item(id: &str, act: &Act) -> Value {
    let mut item = item(id, act, "in_progress");
    match act {
        Act::Text(_) => item["content"] = json!([]),
        Act::Tool { .. } => item["arguments"] = json!(""),
    }
    item
}

fn deltas(id: &str, act: &Act) -> Vec<Value> {
    let event = |kind: &str, name: &str, value: Value| {
        let mut event = json!({ "type": kind, "item_id": item_id(id, act), "output_index": 0 });
        event[name] = value;
        if matches!(act, Act::Text(_)) {
            event["content_index"] = json!(0);
        }
        event
    };
    match act {
        Act::Text(text) => {
            let begin = event("response.content_part.added", "part", part(""));
            let deltas =
                pieces(text).into_iter().map(|piece| event("response.output_text.delta", "delta", json!(piece)));
            let ends = [
                event("response.output_text.done", "text", json!(text)),
                event("response.content_part.done", "part", part(text)),
            ];
            [begin].into_iter().chain(deltas).chain(ends).collect()
        }
        Act::Tool { input, .. } => {
            let input = input.to_string();
            let kind = "response.function_call_arguments";
            let deltas = pieces(&input).into_iter().map(|piece| event(&format!("{kind}.delta"), "delta", json!(piece)));
            deltas.chain([event(&format!("{kind}.done"), "arguments", json!(input))]).collect()
        }
    }
}
