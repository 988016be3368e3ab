//! Requests whose cap stands in an object, as Gemini's and Ollama's do: what goes on is what was read, under one cap.

use almoner_gateway::dialect::{self, Call, Dialect, Endpoint};
use almoner_gateway::route::Route;
use hyper::body::Bytes;
use hyper::{HeaderMap, Method};
use serde::de::IgnoredAny;
use serde_json::Value;

/// The paths that such a request can come by.
const PATHS: [&str; 4] =
    ["/v1beta/models/m:generateContent", "/v1/models/m:streamGenerateContent", "/api/chat", "/api/generate"];

/// Where a cap may stand, under every name that somebody reads.
const GEMINI: (&[&str], &[&str]) =
    (&["generationConfig", "generation_config"], &["maxOutputTokens", "max_output_tokens"]);
const OLLAMA: (&[&str], &[&str]) = (&["options"], &["num_predict"]);

/// The first byte chooses the path, the next two the cap; the rest is the body.
pub(crate) fn nested(data: &[u8]) {
    let Some((&[choice, high, low], body)) = data.split_first_chunk::<3>() else { return };
    let path = PATHS[usize::from(choice) % PATHS.len()];
    let cap = (u64::from(u16::from_be_bytes([high, low])) << (choice >> 4)).max(1);
    let body = Bytes::copy_from_slice(body);
    let Some(call) = read(path, &body) else { return };
    assert!(serde_json::from_slice::<IgnoredAny>(&body).is_ok(), "what others refuse was read");
    let sent = call.rewrite(&body, cap);
    let again = read(path, &sent).unwrap_or_else(|| panic!("what is sent does not read"));
    let most = call.asked_output.map_or(cap, |asked| asked.min(cap));
    assert_eq!((&again.model, again.stream, again.asked_output), (&call.model, call.stream, Some(most)));
    assert_eq!(again.rewrite(&sent, cap), sent, "a second rewrite changes something");
    assert!(again.shape.text_bytes <= call.shape.text_bytes, "what goes on is heavier than what was weighed");
    // Half a surrogate is JSON, and no text that this reader takes.
    let (Ok(before), Ok(after)) = (serde_json::from_slice(&body), serde_json::from_slice(&sent)) else { return };
    let names = if endpoint(path).dialect() == Dialect::Gemini { GEMINI } else { OLLAMA };
    assert_eq!(caps(&after, names), [most], "every name under which somebody reads a cap");
    assert_eq!(without(before, names), without(after, names), "another member changed");
}

fn read(path: &str, body: &[u8]) -> Option<Call> {
    dialect::read(endpoint(path), path, &HeaderMap::new(), body).ok()
}

fn endpoint(path: &str) -> &'static Endpoint {
    match Route::of(&Method::POST, path) {
        Ok(Route::Provider(endpoint)) => endpoint,
        other => panic!("{path} leads to {other:?}"),
    }
}

/// The numbers under every name of the cap, the holder's in whatever case where it is Ollama's.
fn caps(tree: &Value, (holders, names): (&[&str], &[&str])) -> Vec<u64> {
    let is_holder = |name: &String| holders.contains(&&**name) || OLLAMA.0[0].eq_ignore_ascii_case(name);
    let found = tree.as_object().into_iter().flatten().filter(|(name, _)| is_holder(name));
    found.flat_map(|(_, held)| names.iter().filter_map(|name| held[*name].as_u64())).collect()
}

/// The tree without its caps, what holds nothing else, and the thinking that depends on them.
fn without(mut tree: Value, (holders, names): (&[&str], &[&str])) -> Value {
    let Some(root) = tree.as_object_mut() else { return tree };
    for holder in holders {
        if let Some(held) = root.get_mut(*holder).and_then(Value::as_object_mut) {
            names.iter().for_each(|name| drop(held.remove(*name)));
            ["thinkingConfig", "thinking_config"].iter().for_each(|name| drop(held.remove(*name)));
        }
        let is_empty = |held: &Value| held.is_null() || held.as_object().is_some_and(serde_json::Map::is_empty);
        if root.get(*holder).is_some_and(is_empty) {
            root.remove(*holder);
        }
    }
    tree
}
