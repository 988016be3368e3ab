//! Gemini's generateContent dialect.

use serde_json::{Value, json};

use crate::fault::Fault;
use crate::play::{Act, Scene, pieces};
use crate::prompt::Prompt;
use crate::reply::{Framing, Reply};
use crate::usage::Tokens;

/// The answer to a token count.
pub(crate) fn count(input_tokens: u64) -> Reply {
    Reply::json(200, &json!({ "totalTokens": input_tokens }))
}

/// A refusal.
pub(crate) fn error(fault: &Fault) -> Reply {
    let status = match fault.status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 | 529 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    };
    let error = json!({ "code": fault.status, "message": fault.message, "status": status });
    Reply::json(fault.status, &json!({ "error": error }))
}

/// A request in the words that every prompt is read from.
pub(crate) fn translate(request: &Value) -> Value {
    // A count may be asked about a whole request.
    let request = request.get("generateContentRequest").unwrap_or(request);
    let config = named(request, "generationConfig");
    let mut prompt = json!({
        "model": crate::MODEL,
        "messages": each(&request["contents"]).map(message).collect::<Vec<_>>(),
        "system": each(&named(request, "systemInstruction")["parts"]).map(block).collect::<Vec<_>>(),
        "tools": each(&request["tools"]).flat_map(|tools| each(named(tools, "functionDeclarations"))).map(tool).collect::<Vec<_>>(),
    });
    for (ours, theirs) in [("max_tokens", "maxOutputTokens"), ("n", "candidateCount")] {
        prompt[ours] = named(config, theirs).clone();
    }
    prompt
}

fn message(content: &Value) -> Value {
    let role = if content["role"] == "model" { "assistant" } else { "user" };
    json!({ "role": role, "content": each(&content["parts"]).map(block).collect::<Vec<_>>() })
}

fn block(part: &Value) -> Value {
    let (call, response) = (named(part, "functionCall"), named(part, "functionResponse"));
    if call.is_object() {
        return json!({ "type": "tool_use", "name": call["name"], "input": call["args"] });
    }
    if response.is_object() {
        return json!({ "type": "tool_result", "content": said(&response["response"]) });
    }
    match part["text"].as_str() {
        Some(text) => json!({ "type": "text", "text": text }),
        None => json!({ "type": "image" }),
    }
}

/// What a tool said, under whichever name its client puts that.
fn said(response: &Value) -> String {
    let known = ["output", "result"].iter().find_map(|name| response[*name].as_str());
    known.map_or_else(|| response.to_string(), str::to_owned)
}

fn tool(declared: &Value) -> Value {
    let schema = ["parametersJsonSchema", "parameters"].map(|name| named(declared, name));
    let schema = schema.into_iter().find(|schema| !schema.is_null());
    json!({ "name": declared["name"], "description": declared["description"], "input_schema": schema })
}

/// The member of this name, or of its other: Google reads `maxOutputTokens` and `max_output_tokens` alike.
fn named<'v>(value: &'v Value, name: &str) -> &'v Value {
    let snake = |name: &str| {
        name.chars().fold(String::new(), |mut snake, letter| {
            if letter.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(letter.to_ascii_lowercase());
            snake
        })
    };
    if value[name].is_null() { &value[snake(name).as_str()] } else { &value[name] }
}

/// The values of a list, or the one that stands in its place.
fn each(value: &Value) -> impl Iterator<Item = &Value> {
    let one = Some(value).filter(|value| value.is_object());
    one.into_iter().chain(value.as_array().into_iter().flatten())
}

/// An answer: whole, or in parts as they come.
pub(crate) fn reply(prompt: &Prompt, scene: &Scene, stream: Option<Framing>) -> Reply {
    match stream {
        Some(framing) => Reply::objects(framing, &parts(prompt, scene), scene.cut),
        None => Reply::json(200, &whole(prompt, scene, &scene.act)),
    }
}

/// The answer with its end and its usage, holding this much of the content.
fn whole(prompt: &Prompt, scene: &Scene, act: &Act) -> Value {
    let reason = if scene.capped { "MAX_TOKENS" } else { "STOP" };
    let ended = |index| {
        let mut candidate = candidate(index, act);
        candidate["finishReason"] = json!(reason);
        candidate
    };
    let mut answer = answer(prompt, &(0..prompt.choices).map(ended).collect::<Vec<_>>());
    answer["usageMetadata"] = usage(scene.tokens);
    answer
}

fn parts(prompt: &Prompt, scene: &Scene) -> Vec<Value> {
    let acts = match &scene.act {
        Act::Text(text) => pieces(text).into_iter().map(|piece| Act::Text(piece.to_owned())).collect(),
        Act::Tool { .. } => vec![scene.act.clone()],
    };
    let of_choice = |index| acts.iter().map(move |act| candidate(index, act));
    let begun = (0..prompt.choices).flat_map(of_choice).map(|candidate| answer(prompt, &[candidate]));
    begun.chain([whole(prompt, scene, &Act::Text(String::new()))]).collect()
}

fn answer(prompt: &Prompt, candidates: &[Value]) -> Value {
    json!({ "candidates": candidates, "modelVersion": crate::MODEL, "responseId": format!("rehearsal-{}", prompt.digest) })
}

fn candidate(index: u64, act: &Act) -> Value {
    let part = match act {
        Act::Text(text) => json!({ "text": text }),
        Act::Tool { name, input } => json!({ "functionCall": { "name": name, "args": input } }),
    };
    json!({ "content": { "parts": [part], "role": "model" }, "index": index })
}

fn usage(tokens: Tokens) -> Value {
    json!({
        "promptTokenCount": tokens.input,
        "candidatesTokenCount": tokens.output,
        "totalTokenCount": tokens.input.saturating_add(tokens.output),
        "serviceTier": "standard",
    })
}
