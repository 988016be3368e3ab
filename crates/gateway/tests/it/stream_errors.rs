//! Answers that begin well and end with the provider's error: every dialect says it in its own words, inside a 200. The
//! client gets them as they came, nobody tries again, and the hold stays charged unless the usage came all the same.

use almoner_units::{Meter, Mode};

use crate::retries::told;
use crate::world::{Bench, ask, budget, post, read, settle_down};

const MORE: &str = ",\"stream\":true,\"max_tokens\":100";
const SSE: &str = "text/event-stream";
const NDJSON: &str = "application/x-ndjson";
const ARRAY: &str = "application/json";

const ANTHROPIC: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\
    \"model\":\"claude-opus-5\",\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n\
    event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
const CHAT: &str = "data: {\"id\":\"c\",\"model\":\"gpt-4o\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n\
    data: {\"error\":{\"message\":\"The server had an error\",\"type\":\"server_error\",\"code\":null}}\n\n";
const TEXTS: &str = "data: {\"id\":\"c\",\"model\":\"gpt-4o\",\"choices\":[{\"index\":0,\"text\":\"a\"}]}\n\n\
    data: {\"error\":{\"message\":\"The server had an error\",\"type\":\"server_error\",\"code\":null}}\n\n";
const FAILED: &str = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r\",\
    \"model\":\"gpt-5.2\"}}\n\nevent: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"id\":\"r\",\
    \"model\":\"gpt-5.2\",\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"no\"},\"usage\":USAGE}}\n\n";
const GEMINI: &str = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}],\
    \"usageMetadata\":{\"promptTokenCount\":9,\"candidatesTokenCount\":1}}\n\n\
    data: {\"error\":{\"code\":503,\"message\":\"The model is overloaded\",\"status\":\"UNAVAILABLE\"}}\n\n";
const GEMINI_ARRAY: &str = "[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}],\
    \"usageMetadata\":{\"promptTokenCount\":9,\"candidatesTokenCount\":1}}\n,\
    {\"error\":{\"code\":503,\"message\":\"The model is overloaded\",\"status\":\"UNAVAILABLE\"}}]";
const OLLAMA: &str = "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"a\"},\"done\":false}\n\
    {\"error\":\"an error was encountered while running the model\"}\n";

/// A call that is answered so, and its end.
async fn check(
    request: hyper::Request<http_body_util::Full<hyper::body::Bytes>>,
    kind: &'static str,
    said: &str,
    end: &str,
) {
    // One that would try again, if it could.
    let bench = Bench::retrying(vec![budget("firm", "1M tokens / day", Mode::StopNew)], Vec::new());
    let path = request.uri().path().to_owned();
    bench.answers(200, &[("content-type", kind)], Box::leak(said.to_owned().into_boxed_str()));
    let response = bench.call(request).await;
    assert_eq!((response.status().as_u16(), told(&response)), (200, ("1".to_owned(), false)), "{path}");
    assert_eq!(read(response).await, (said.to_owned(), true), "{path}");
    settle_down().await;
    assert_eq!((bench.ends(), bench.open_holds()), (vec![end], 0), "{path}");
    let state = bench.shared.state();
    let outcome = &state.reports[0].outcome;
    match end {
        "assumed" => {
            assert!(outcome.note.contains("error") && outcome.charge[Meter::Tokens] > 100, "{path}: {}", outcome.note);
        }
        _ => assert_eq!(outcome.charge[Meter::Tokens], 16, "{path}"),
    }
}

#[tokio::test]
async fn an_error_inside_an_answer_leaves_the_hold_charged_in_every_dialect() {
    let gemini = |query: &str| {
        let body =
            r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"generationConfig":{"maxOutputTokens":100}}"#;
        ask(&format!("/v1beta/models/gemini-3-pro:streamGenerateContent{query}"), body.to_owned())
    };
    let responses =
        || ask("/v1/responses", r#"{"model":"gpt-5.2","input":"hi","stream":true,"max_output_tokens":100}"#.to_owned());
    let texts = ask("/v1/completions", r#"{"model":"gpt-4o","prompt":"hi","stream":true,"max_tokens":100}"#.to_owned());
    let ollama = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"options":{"num_predict":100}}"#;
    check(post("/v1/messages", "claude-opus-5", MORE), SSE, ANTHROPIC, "assumed").await;
    check(post("/v1/chat/completions", "gpt-4o", MORE), SSE, CHAT, "assumed").await;
    check(texts, SSE, TEXTS, "assumed").await;
    check(responses(), SSE, &FAILED.replace("USAGE", "null"), "assumed").await;
    check(gemini("?alt=sse"), SSE, GEMINI, "assumed").await;
    check(gemini(""), ARRAY, GEMINI_ARRAY, "assumed").await;
    check(ask("/api/chat", ollama.to_owned()), NDJSON, OLLAMA, "assumed").await;
}

#[tokio::test]
async fn an_error_that_comes_with_the_usage_is_settled_at_it() {
    let request =
        ask("/v1/responses", r#"{"model":"gpt-5.2","input":"hi","stream":true,"max_output_tokens":100}"#.to_owned());
    let usage = r#"{"input_tokens":9,"output_tokens":7,"total_tokens":16}"#;
    check(request, SSE, &FAILED.replace("USAGE", usage), "settled").await;
}

#[tokio::test]
async fn an_error_in_the_place_of_a_whole_answer_is_not_tried_again() {
    let said = r#"{"error":{"message":"The server had an error","type":"server_error","code":null}}"#;
    for request in [
        ask("/v1/embeddings", format!(r#"{{"model":"text-embedding-3-small","input":"{}"}}"#, "hi ".repeat(99))),
        post("/v1/chat/completions", "gpt-4o", ",\"max_tokens\":100"),
    ] {
        check(request, "application/json", said, "assumed").await;
    }
}
