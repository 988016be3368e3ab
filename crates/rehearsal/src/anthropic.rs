//! The Anthropic Messages dialect.

use serde_json::{Value, json};

use crate::fault::Fault;
use crate::play::{Act, Scene, pieces};
use crate::prompt::Prompt;
use crate::reply::{Event, Reply};
use crate::usage::Tokens;

/// The answer to a token count.
pub(crate) fn count(input_tokens: u64) -> Reply {
    Reply::json(200, &json!({ "input_tokens": input_tokens }))
}

/// A refusal.
pub(crate) fn error(fault: &Fault) -> Reply {
    let error = json!({ "type": error_type(fault.status), "message": fault.message });
    Reply::json(fault.status, &json!({ "type": "error", "error": error, "request_id": "req_rehearsal" }))
}

fn error_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

/// A message, whole or as the events that build it up.
pub(crate) fn reply(prompt: &Prompt, scene: &Scene) -> Reply {
    let id = &prompt.digest;
    if prompt.stream {
        Reply::events(events(id, scene), scene.cut)
    } else {
        let stop = stop_reason(scene);
        Reply::json(200, &message(id, &[block(id, &scene.act)], Some(stop), scene.tokens))
    }
}

fn message(id: &str, content: &[Value], stop: Option<&str>, tokens: Tokens) -> Value {
    json!({
        "id": format!("msg_rehearsal_{id}"),
        "type": "message",
        "role": "assistant",
        "model": crate::MODEL,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": null,
        "usage": {
            "input_tokens": tokens.input,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation": { "ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0 },
            "output_tokens": tokens.output,
            "service_tier": "standard",
        },
    })
}

fn stop_reason(scene: &Scene) -> &'static str {
    match &scene.act {
        _ if scene.capped => "max_tokens",
        Act::Text(_) => "end_turn",
        Act::Tool { .. } => "tool_use",
    }
}

fn block(id: &str, act: &Act) -> Value {
    match act {
        Act::Text(text) => json!({ "type": "text", "text": text }),
        Act::Tool { name, input } => {
            json!({ "type": "tool_use", "id": format!("toolu_rehearsal_{id}"), "name": name, "input": input })
        }
    }
}

fn events(id: &str, scene: &Scene) -> Vec<Event> {
    let begun = Tokens { output: 0, ..scene.tokens };
    let message = message(id, &[], None, begun);
    let mut events = vec![
        Event::named(&json!({ "type": "message_start", "message": message })),
        Event::named(
            &json!({ "type": "content_block_start", "index": 0, "content_block": empty_block(id, &scene.act) }),
        ),
        Event::named(&json!({ "type": "ping" })),
    ];
    events.extend(
        deltas(&scene.act)
            .into_iter()
            .map(|delta| Event::named(&json!({ "type": "content_block_delta", "index": 0, "delta": delta }))),
    );
    events.push(Event::named(&json!({ "type": "content_block_stop", "index": 0 })));
    events.push(Event::named(&last_delta(scene)).with_usage());
    events.push(Event::named(&json!({ "type": "message_stop" })));
    events
}

/// The block as it begins; its content comes in deltas.
fn empty_block(id: &str, act: &Act) -> Value {
    let empty = match act {
        Act::Text(_) => Act::Text(String::new()),
        Act::Tool { name, .. } => Act::Tool { name: name.clone(), input: json!({}) },
    };
    block(id, &empty)
}

fn deltas(act: &Act) -> Vec<Value> {
    match act {
        Act::Text(text) => pieces(text).iter().map(|piece| json!({ "type": "text_delta", "text": piece })).collect(),
        Act::Tool { input, .. } => {
            let input = input.to_string();
            pieces(&input).iter().map(|piece| json!({ "type": "input_json_delta", "partial_json": piece })).collect()
        }
    }
}

fn last_delta(scene: &Scene) -> Value {
    json!({
        "type": "message_delta",
        "delta": { "stop_reason": stop_reason(scene), "stop_sequence": null },
        "usage": {
            "input_tokens": scene.tokens.input,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": scene.tokens.output,
        },
    })
}
