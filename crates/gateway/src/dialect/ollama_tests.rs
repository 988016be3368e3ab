//! Ollama's requests as clients send them and as strangers might, and what goes on to it.

use hyper::HeaderMap;
use hyper::body::Bytes;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::ollama::{CHAT, EMBED, GENERATE, TAGS};
use super::*;

fn read(endpoint: &'static Endpoint, body: &str) -> Result<Call, BadBody> {
    super::read(endpoint, endpoint.path, &HeaderMap::new(), body.as_bytes())
}

#[track_caller]
fn call(endpoint: &'static Endpoint, body: &str) -> Call {
    read(endpoint, body).unwrap_or_else(|error| panic!("{body}: {error}"))
}

fn ask(more: &str) -> String {
    format!("{{\"model\":\"qwen3\",\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}]{more}}}")
}

#[track_caller]
fn rewritten(more: &str, cap: u64, expected: &str) {
    let body = Bytes::from(ask(more));
    let sent = call(&CHAT, &ask(more)).rewrite(&body, cap);
    assert_eq!(String::from_utf8_lossy(&sent), ask(expected), "{more} at {cap}");
}

#[test]
fn a_call_says_what_its_body_says() {
    let image = "A".repeat(100_000);
    let body = json!({
        "model": "qwen3:8b", "think": false, "keep_alive": "5m", "format": { "type": "object" },
        "messages": [
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": "hi", "images": [image, image] },
            { "role": "assistant", "content": "", "tool_calls": [{ "function": { "name": "f", "arguments": {} } }] },
            { "role": "tool", "content": "x", "tool_name": "f" },
        ],
        "tools": [{ "type": "function", "function": { "name": "f", "parameters": {} } }],
        "options": { "num_ctx": 8192, "num_predict": 300, "temperature": 0 },
    });
    let called = call(&CHAT, &body.to_string());
    assert_eq!((called.model.as_str(), called.stream, called.asked_output), ("qwen3:8b", true, Some(300)));
    let shape = &called.shape;
    assert_eq!((shape.messages, shape.tools, shape.images, shape.thinking), (4, 1, 2, Some(0)));
    assert!(shape.text_bytes < 1000 && shape.unknown.is_empty(), "{shape:?}");
    let prompt = json!({
        "model": "m", "prompt": "hi", "system": "s", "template": "t", "context": [1, 2, 3], "suffix": "", "raw": false,
        "images": [image], "stream": false,
    });
    let prompt = call(&GENERATE, &prompt.to_string());
    assert_eq!((prompt.stream, prompt.shape.images, prompt.asked_output), (false, 1, None));
    assert!(prompt.shape.text_bytes < 100 && prompt.shape.unknown.is_empty(), "{:?}", prompt.shape);
    let embed = call(&EMBED, r#"{"model":"m","input":["a","b","c"],"dimensions":8}"#);
    assert_eq!((embed.shape.messages, embed.asked_output, embed.stream), (3, Some(0), false));
    assert_eq!(call(&CHAT, &ask(",\"turbo\":1")).shape.unknown, ["turbo"]);
}

#[test]
fn the_cap_is_in_the_field_that_ollama_reads_and_nothing_is_without_one() {
    rewritten("", 4096, r#","options":{"num_predict":4096}"#);
    rewritten(r#","options":null"#, 4096, r#","options":{"num_predict":4096}"#);
    rewritten(r#","options":{"seed":1}"#, 4096, r#","options":{"seed":1,"num_predict":4096}"#);
    for endless in ["-1", "-2", "0", "null"] {
        let asked = format!(r#","options":{{"num_predict":{endless}}}"#);
        assert_eq!(call(&CHAT, &ask(&asked)).asked_output, None, "{endless}");
        rewritten(&asked, 4096, r#","options":{"num_predict":4096}"#);
    }
    rewritten(r#","options":{"num_predict":9000}"#, 4096, r#","options":{"num_predict":4096}"#);
    let small = r#","options":{"num_predict":10}"#;
    rewritten(small, 4096, small);
    for wrong in ["1e5", "-1.5", "\"10\"", "99999999999999999999"] {
        let error = read(&CHAT, &ask(&format!(r#","options":{{"num_predict":{wrong}}}"#))).unwrap_err();
        assert!(error.to_string().starts_with("`num_predict` must be a whole number"), "{wrong}: {error}");
    }
    let body = Bytes::from(r#"{"model":"m","input":"a"}"#);
    assert_eq!(call(&EMBED, r#"{"model":"m","input":"a"}"#).rewrite(&body, 7), body, "a vector has no length to cap");
}

#[test]
fn a_name_in_another_case_is_refused_because_ollama_would_read_it() {
    for (more, name) in [
        (r#","Options":{"num_predict":-1}"#, "options"),
        (r#","MODEL":"dear""#, "model"),
        (r#","me\u017fsages":[]"#, "messages"),
        (r#","\u212aeep_alive":1"#, "keep_alive"),
    ] {
        let error = read(&CHAT, &ask(more)).unwrap_err();
        assert_eq!(error.to_string(), format!("`{name}` must be written in small letters"), "{more}");
    }
    let inside = r#"{"model":"m","messages":[{"role":"user","Images":["AAAA"]}]}"#;
    assert_eq!(read(&CHAT, inside).unwrap_err().to_string(), "`images` must be written in small letters");
    let twice = read(&CHAT, &ask(r#","options":{},"options":{"num_predict":-1}"#)).unwrap_err();
    assert!(matches!(twice, BadBody::Duplicate { .. }));
    assert!(matches!(read(&GENERATE, r#"{"prompt":"x"}"#).unwrap_err(), BadBody::Wrong { .. }));
}

#[test]
fn what_there_is_is_asked_without_a_body() {
    let call = super::read(&TAGS, "/api/tags", &HeaderMap::new(), b"").unwrap();
    assert_eq!((call.model.as_str(), call.asked_output), ("", Some(0)));
}

#[test]
fn recorded_requests_are_read_and_rewritten() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/recorded/exchanges");
    let Ok(files) = std::fs::read_dir(folder) else {
        println!("no recorded exchanges at {folder}: nothing checked");
        return;
    };
    let mut seen = 0;
    for file in files.map(|file| file.unwrap().path()) {
        let Ok(exchange) = serde_json::from_slice::<Json>(&std::fs::read(&file).unwrap()) else { continue };
        let endpoint = match exchange["path"].as_str() {
            Some("/api/chat") => &CHAT,
            Some("/api/generate") => &GENERATE,
            _ => continue,
        };
        if !exchange["request"].is_object() {
            continue;
        }
        seen += 1;
        let body = Bytes::from(exchange["request"].to_string());
        let call = call(endpoint, std::str::from_utf8(&body).unwrap());
        assert_eq!(call.shape.unknown, [""; 0], "{}", file.display());
        assert_eq!(call.stream, exchange["request"]["stream"] != false, "{}", file.display());
        let sent: Json = serde_json::from_slice(&call.rewrite(&body, 77)).unwrap();
        assert_eq!(sent["options"]["num_predict"], 77, "{}", file.display());
        for (name, value) in exchange["request"].as_object().unwrap().iter().filter(|(name, _)| *name != "options") {
            assert_eq!(sent[name], *value, "{}: {name}", file.display());
        }
    }
    assert!(seen > 8, "{seen} requests");
}

proptest! {
    #[test]
    fn every_body_that_is_read_goes_on_with_one_cap(
        options in prop::collection::vec(prop::sample::select(vec![
            "\"num_predict\":-1", "\"num_predict\":5000", "\"num_predict\":0", "\"seed\":1", "\"num_ctx\":9",
            "\"num\\u005fpredict\":7", "\"num_predict\":null",
        ]), 0..4),
        cap in 1..200_000_u64,
    ) {
        let body = ask(&format!(",\"options\" : {{{}}}", options.join(" , ")));
        let Ok(call) = read(&CHAT, &body) else { return Ok(()) };
        let sent = call.rewrite(&Bytes::from(body), cap);
        let again = read(&CHAT, std::str::from_utf8(&sent).unwrap()).unwrap();
        prop_assert_eq!(again.asked_output, Some(call.asked_output.map_or(cap, |asked| asked.min(cap))));
        prop_assert_eq!(again.rewrite(&sent, cap).as_ptr(), sent.as_ptr(), "it settles at once");
    }
}
