//! Ollama's own dialect.

use serde_json::{Value, json};

use crate::RehearsalRoute;
use crate::fault::Fault;
use crate::play::{Act, Scene, pieces};
use crate::prompt::Prompt;
use crate::reply::{Framing, Reply};

/// When every answer says it was made: a rehearsal has no clock. It is the first second of 2026.
const CREATED: &str = "2026-01-01T00:00:00Z";

/// A refusal.
pub(crate) fn error(fault: &Fault) -> Reply {
    Reply::json(fault.status, &json!({ "error": fault.message }))
}

/// A request in the words that every prompt is read from.
pub(crate) fn translate(route: RehearsalRoute, request: &Value) -> Value {
    let messages = match route {
        RehearsalRoute::OllamaChat => messages(request),
        RehearsalRoute::OllamaGenerate => json!([{ "role": "user", "content": request["prompt"] }]),
        _ => Value::Array(texts(request).map(|text| json!({ "role": "user", "content": text })).collect()),
    };
    // What is less than 1 asks for all there is.
    let cap = request["options"]["num_predict"].as_u64().filter(|cap| *cap > 0);
    json!({
        "model": request["model"],
        "messages": messages,
        "system": request["system"],
        "tools": request["tools"],
        "max_tokens": cap,
        "stream": request["stream"] != false && route != RehearsalRoute::OllamaEmbed,
    })
}

/// The messages without their images, which are no text.
fn messages(request: &Value) -> Value {
    let mut messages = request["messages"].clone();
    for message in messages.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        message.remove("images");
    }
    messages
}

fn texts(request: &Value) -> impl Iterator<Item = &Value> {
    let input = &request["input"];
    let one = Some(input).filter(|input| input.is_string());
    one.into_iter().chain(input.as_array().into_iter().flatten())
}

/// A vector for each text, all of them alike.
pub(crate) fn vectors(prompt: &Prompt, count: usize) -> Reply {
    let vectors = vec![[0.6, 0.8]; count];
    Reply::json(200, &json!({ "model": crate::MODEL, "embeddings": vectors, "prompt_eval_count": prompt.input_tokens }))
}

/// How many texts a request for vectors has.
pub(crate) fn count(body: &[u8]) -> usize {
    serde_json::from_slice(body).map(|request| texts(&request).count()).unwrap_or_default()
}

/// An answer: whole, or in parts as they come.
pub(crate) fn reply(route: RehearsalRoute, prompt: &Prompt, scene: &Scene) -> Reply {
    if !prompt.stream {
        return Reply::json(200, &last(route, scene, &scene.act));
    }
    let acts = match &scene.act {
        Act::Text(text) => pieces(text).into_iter().map(|piece| Act::Text(piece.to_owned())).collect(),
        Act::Tool { .. } => vec![scene.act.clone()],
    };
    let mut objects: Vec<Value> = acts.iter().map(|act| part(route, act)).collect();
    objects.push(last(route, scene, &Act::Text(String::new())));
    Reply::objects(Framing::Lines, &objects, scene.cut)
}

fn part(route: RehearsalRoute, act: &Act) -> Value {
    let mut part = json!({ "model": crate::MODEL, "created_at": CREATED, "done": false });
    match (route, act) {
        (RehearsalRoute::OllamaGenerate, Act::Text(text)) => part["response"] = json!(text),
        (_, Act::Text(text)) => part["message"] = json!({ "role": "assistant", "content": text }),
        (_, Act::Tool { name, input }) => {
            let call = json!({ "function": { "name": name, "arguments": input } });
            part["message"] = json!({ "role": "assistant", "content": "", "tool_calls": [call] });
        }
    }
    part
}

/// The object that ends the answer and tells what it used.
fn last(route: RehearsalRoute, scene: &Scene, act: &Act) -> Value {
    let mut last = part(route, act);
    last["done"] = json!(true);
    last["done_reason"] = json!(if scene.capped { "length" } else { "stop" });
    for name in ["total_duration", "load_duration", "prompt_eval_duration", "eval_duration"] {
        last[name] = json!(1);
    }
    last["prompt_eval_count"] = json!(scene.tokens.input);
    last["eval_count"] = json!(scene.tokens.output);
    last
}
