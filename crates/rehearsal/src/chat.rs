//! The `OpenAI` Chat Completions dialect.

use serde_json::{Value, json};

use crate::fault::Fault;
use crate::play::{Act, Scene, pieces};
use crate::prompt::Prompt;
use crate::reply::{Event, Reply};
use crate::usage::Tokens;

/// When every answer says it was made: a rehearsal has no clock. It is the first second of 2026.
const CREATED: u64 = 1_767_225_600;

/// A refusal.
pub(crate) fn error(fault: &Fault) -> Reply {
    let (kind, code) = error_type(fault.status);
    let error = json!({ "message": fault.message, "type": kind, "param": null, "code": code });
    Reply::json(fault.status, &json!({ "error": error }))
}

fn error_type(status: u16) -> (&'static str, Option<&'static str>) {
    match status {
        401 => ("invalid_request_error", Some("invalid_api_key")),
        402 => ("insufficient_quota", Some("insufficient_quota")),
        404 => ("invalid_request_error", Some("model_not_found")),
        429 => ("requests", Some("rate_limit_exceeded")),
        500.. => ("server_error", None),
        _ => ("invalid_request_error", None),
    }
}

/// A completion, whole or in chunks.
pub(crate) fn reply(prompt: &Prompt, scene: &Scene) -> Reply {
    if prompt.stream {
        Reply::events(events(prompt, scene), scene.cut)
    } else {
        Reply::json(200, &whole(prompt, scene))
    }
}

fn whole(prompt: &Prompt, scene: &Scene) -> Value {
    let choices: Vec<Value> = (0..prompt.choices)
        .map(|index| {
            let message = message(&prompt.digest, index, &scene.act);
            json!({ "index": index, "message": message, "logprobs": null, "finish_reason": finish_reason(scene) })
        })
        .collect();
    json!({
        "id": completion_id(prompt),
        "object": "chat.completion",
        "created": CREATED,
        "model": crate::MODEL,
        "choices": choices,
        "usage": usage(scene.tokens),
        "service_tier": "default",
    })
}

fn completion_id(prompt: &Prompt) -> String {
    format!("chatcmpl-rehearsal-{}", prompt.digest)
}

fn message(id: &str, index: u64, act: &Act) -> Value {
    match act {
        Act::Text(text) => json!({ "role": "assistant", "content": text, "refusal": null }),
        Act::Tool { name, input } => {
            let call = tool_call(id, index, name, &input.to_string());
            json!({ "role": "assistant", "content": null, "refusal": null, "tool_calls": [call] })
        }
    }
}

fn tool_call(id: &str, index: u64, name: &str, arguments: &str) -> Value {
    json!({
        "id": format!("call_rehearsal_{id}_{index}"),
        "type": "function",
        "function": { "name": name, "arguments": arguments },
    })
}

fn finish_reason(scene: &Scene) -> &'static str {
    match &scene.act {
        _ if scene.capped => "length",
        Act::Text(_) => "stop",
        Act::Tool { .. } => "tool_calls",
    }
}

fn usage(tokens: Tokens) -> Value {
    json!({
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input.saturating_add(tokens.output),
        "prompt_tokens_details": { "cached_tokens": 0, "audio_tokens": 0 },
        "completion_tokens_details": { "reasoning_tokens": 0, "audio_tokens": 0 },
    })
}

fn events(prompt: &Prompt, scene: &Scene) -> Vec<Event> {
    let mut events = Vec::new();
    for index in 0..prompt.choices {
        let deltas = deltas(&prompt.digest, index, &scene.act).into_iter().map(|delta| (delta, None));
        for (delta, finish) in deltas.chain([(json!({}), Some(finish_reason(scene)))]) {
            let choice = json!({ "index": index, "delta": delta, "logprobs": null, "finish_reason": finish });
            events.push(Event::plain(&chunk(prompt, &[choice], &Value::Null).to_string()));
        }
    }
    let last = if prompt.include_usage {
        Event::plain(&chunk(prompt, &[], &usage(scene.tokens)).to_string())
    } else {
        Event::plain("[DONE]")
    };
    events.push(last.with_usage());
    if prompt.include_usage {
        events.push(Event::plain("[DONE]"));
    }
    events
}

/// A chunk; where usage was asked for, every chunk but the last says that it has none yet.
fn chunk(prompt: &Prompt, choices: &[Value], usage: &Value) -> Value {
    let mut chunk = json!({
        "id": completion_id(prompt),
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": crate::MODEL,
        "choices": choices,
        "service_tier": "default",
    });
    if prompt.include_usage {
        chunk["usage"] = usage.clone();
    }
    chunk
}

fn deltas(id: &str, index: u64, act: &Act) -> Vec<Value> {
    match act {
        Act::Text(text) => {
            let begin = json!({ "role": "assistant", "content": "", "refusal": null });
            let rest = pieces(text).into_iter().map(|piece| json!({ "content": piece }));
            [begin].into_iter().chain(rest).collect()
        }
        Act::Tool { name, input } => {
            let mut call = tool_call(id, index, name, "");
            call["index"] = json!(0);
            let begin = json!({ "role": "assistant", "content": null, "tool_calls": [call] });
            let input = input.to_string();
            let rest = pieces(&input)
                .into_iter()
                .map(|piece| json!({ "tool_calls": [{ "index": 0, "function": { "arguments": piece } }] }));
            [begin].into_iter().chain(rest).collect()
        }
    }
}
