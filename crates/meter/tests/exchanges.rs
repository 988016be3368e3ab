//! The exchange reader's own words, from files written here.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

use almoner_meter::exchange::{self, Exchange};
use serde_json::{Value, json};

const MESSAGE: &str = r#"{"type":"message","id":"msg_1","model":"m","stop_reason":"end_turn","usage":{"input_tokens":10,"cache_creation_input_tokens":4,"output_tokens":5}}"#;

fn read(file: &Value) -> Value {
    exchange::read(&file.to_string()).unwrap()
}

#[test]
fn a_file_is_reported_under_the_names_of_the_recordings() {
    let file = json!({
        "provider": "anthropic", "kind": "inference", "framing": "json", "response_status": 200,
        "path": "/v1/messages", "request": { "model": "asked" }, "response_body": MESSAGE,
    });
    assert_eq!(
        read(&file),
        json!({
            "input_tokens": 10, "output_tokens": 5, "cache_read_tokens": 0, "cache_write_tokens": 4,
            "cache_write_5m_tokens": 4, "cache_write_1h_tokens": 0, "reasoning_tokens": null,
            "model": "m", "request_model": "asked", "usage_present": true, "finished": true,
            "output_lower_bound": false, "error": null, "stop_reason": "end_turn", "message_id": "msg_1",
            "service_tier": null, "server_tools": null, "tool_use_prompt_tokens": null, "input_audio_tokens": null,
            "cache_ttl_assumed": true, "top_level": null, "other_models": null, "reported_cost_usd": null,
            "ambiguous": null, "faults": [],
            "raw": { "input_tokens": 10, "cache_creation_input_tokens": 4, "output_tokens": 5 },
        })
    );
}

#[test]
fn an_error_or_a_count_books_nothing() {
    let file = json!({ "provider": "anthropic", "response_status": 529, "response_body": "busy" });
    let report = read(&file);
    assert_eq!((&report["error"], &report["input_tokens"]), (&json!({ "http_status": 529 }), &Value::Null));
    let file = json!({ "provider": "anthropic", "kind": "count_tokens", "response_body": MESSAGE });
    let report = read(&file);
    assert_eq!(
        (&report["usage_present"], &report["model"], &report["raw"]),
        (&json!(false), &Value::Null, &Value::Null)
    );
}

#[test]
fn the_model_that_was_asked_for_may_stand_in_the_path() {
    for (path, model) in [
        ("/v1beta/models/gemini-x:generateContent", json!("gemini-x")),
        ("/openai/deployments/mine/chat/completions", json!("mine")),
        ("/v1/chat/completions", Value::Null),
    ] {
        let file = json!({ "provider": "gemini", "path": path, "request": {}, "response_body": "" });
        assert_eq!(read(&file)["request_model"], model, "{path}");
    }
}

#[test]
fn a_framing_that_is_not_named_is_chosen() {
    let file = json!({
        "provider": "openai-chat", "response_headers": { "content-type": "text/event-stream" },
        "response_body": "data: {\"model\":\"m\",\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"cost\":0.5}}\n\n",
    });
    let report = read(&file);
    assert_eq!((&report["input_tokens"], &report["reported_cost_usd"]), (&json!(1), &json!(0.5)));
}

#[test]
fn the_wire_is_kept_where_it_is_base64() {
    let file = |body: &str| json!({ "provider": "ollama", "response_body": "{}", "wire": { "content_encoding": "gzip", "body_base64": body } });
    let wire = |body: &str| Exchange::parse(&file(body).to_string()).unwrap().wire().map(|wire| wire.body.clone());
    assert_eq!(wire("Zm9v"), Some(b"foo".to_vec()));
    assert_eq!(wire("~~~"), None);
}

#[test]
fn what_is_no_exchange_is_an_error_that_says_what_to_do() {
    for (file, error) in [
        ("nonsense", "the file is not JSON"),
        ("{\"provider\":\"anthropic\"}", "the exchange has no `response_body`"),
        ("{\"response_body\":\"\"}", "the exchange has no `provider`"),
        ("[]", "the exchange has no `response_body`"),
        ("{\"provider\":\"nobody\",\"response_body\":\"\"}", "no dialect is named `nobody`"),
    ] {
        let text = exchange::read(file).unwrap_err().to_string();
        assert!(text.starts_with(error), "{file}: {text}");
    }
}
