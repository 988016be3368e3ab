//! The provider bills what it accepts, whatever happens then, and never more than the cap.

use std::io::Read;

use almoner_testkit::truth::{CallRecord, Delivery, Plan, Settings};
use almoner_testkit::{Answer, NoAnswer, Patience, Post, TruthProvider, post};
use serde_json::{Value, json};

const MESSAGES: &str = "/v1/messages";
const CHAT: &str = "/v1/chat/completions";

/// 500 hidden tokens and one for `hi`, at $3 a million.
const INPUT: u64 = 501;

async fn provider() -> TruthProvider {
    TruthProvider::start(Settings::default()).await.expect("the loopback has a free port")
}

fn body(more: &Value) -> Vec<u8> {
    let mut body = json!({ "model": "m", "max_tokens": 100, "messages": [{ "role": "user", "content": "hi" }] });
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body.to_string().into_bytes()
}

async fn ask(provider: &TruthProvider, path: &str, knobs: &[(&str, &str)], more: &Value) -> Result<Answer, NoAnswer> {
    post(provider.addr(), path, knobs, &body(more)).await
}

/// The last usage that a stream told, in the words of its dialect.
fn told(answer: &Answer) -> Option<Value> {
    let text = answer.text();
    let mut usages = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter_map(|data| serde_json::from_str::<Value>(data).ok())
        .filter_map(|event| event.get("usage").filter(|usage| !usage.is_null()).cloned());
    usages.next_back()
}

fn cost(output: u64) -> u64 {
    INPUT * 3_000 + output * 15_000
}

#[tokio::test]
async fn a_call_costs_its_input_and_its_output() {
    let provider = provider().await;
    let answer = ask(&provider, MESSAGES, &[], &json!({})).await.unwrap();
    assert_eq!((answer.status, answer.complete), (200, true));
    assert_eq!(answer.json()["usage"]["input_tokens"], INPUT);
    assert_eq!(answer.json()["usage"]["output_tokens"], 16);
    let answer = ask(&provider, CHAT, &[("x-truth-output", "3")], &json!({ "n": 2 })).await.unwrap();
    assert_eq!(answer.json()["usage"]["completion_tokens"], 6);
    assert_eq!(provider.bill().get(), cost(16) + cost(6));
}

#[tokio::test]
async fn texts_cost_what_they_bring_and_vectors_only_their_input() {
    let provider = provider().await;
    let texts = json!({ "prompt": ["hi", "ho"], "messages": null });
    let answer = ask(&provider, "/v1/completions", &[("x-truth-output", "3")], &texts).await.unwrap();
    let usage = &answer.json()["usage"];
    assert_eq!((usage["prompt_tokens"].as_u64(), usage["completion_tokens"].as_u64()), (Some(502), Some(6)));
    let stream =
        json!({ "prompt": "hi", "messages": null, "stream": true, "stream_options": { "include_usage": true } });
    let answer = ask(&provider, "/v1/completions", &[("x-truth-output", "cap")], &stream).await.unwrap();
    assert_eq!(told(&answer).unwrap()["completion_tokens"], 100);
    let answer = ask(&provider, "/v1/embeddings", &[], &json!({ "input": "hi", "messages": null })).await.unwrap();
    assert_eq!(
        (answer.json()["data"].as_array().unwrap().len(), &answer.json()["usage"]["total_tokens"]),
        (1, &501.into())
    );
    assert_eq!(provider.bill().get(), cost(6) + 3_000 + cost(100) + cost(0));
}

#[tokio::test]
async fn a_provider_that_is_too_busy_refuses_in_its_own_words_and_for_nothing() {
    let provider = TruthProvider::start(Settings { busy_one_in: Some(1), ..Settings::default() }).await.unwrap();
    for _ in 0..20 {
        let answer = ask(&provider, MESSAGES, &[("x-truth-reset", "true")], &json!({})).await.unwrap();
        assert!([429, 500, 502, 503, 529].contains(&answer.status) && answer.json()["error"].is_object());
    }
    assert_eq!((provider.bill().get(), provider.totals().unbilled), (0, 20));
}

#[tokio::test]
async fn the_output_goes_up_to_the_cap_and_not_beyond() {
    let provider = provider().await;
    for (path, cap, output, made) in [
        (MESSAGES, json!({}), "cap", 100),
        (MESSAGES, json!({}), "101", 100),
        (CHAT, json!({ "max_completion_tokens": 7 }), "cap", 7),
        (CHAT, json!({ "max_tokens": null }), "cap", 4_096),
    ] {
        ask(&provider, path, &[("x-truth-output", output)], &cap).await.unwrap();
        assert_eq!(provider.calls().last().unwrap().output, made, "{path} {output}");
    }
    ask(&provider, MESSAGES, &[("x-truth-output", "cap"), ("x-truth-over", "5")], &json!({})).await.unwrap();
    assert_eq!(provider.calls().last().unwrap().output, 105);
}

#[tokio::test]
async fn a_stream_tells_its_usage_as_the_plan_says() {
    let provider = provider().await;
    let stream = json!({ "stream": true, "stream_options": { "include_usage": true } });
    for (path, name) in [(MESSAGES, "output_tokens"), (CHAT, "completion_tokens")] {
        for form in ["last", "cumulative", "repeated"] {
            let answer = ask(&provider, path, &[("x-truth-usage", form)], &stream).await.unwrap();
            assert_eq!(told(&answer).unwrap()[name], 16, "{path} {form}");
        }
        let answer = ask(&provider, path, &[("x-truth-usage", "absent")], &stream).await.unwrap();
        assert_eq!(told(&answer), None, "{path}");
        let lies = [("x-truth-say-output", "9000"), ("x-truth-say-input", "1")];
        let answer = ask(&provider, path, &lies, &stream).await.unwrap();
        assert_eq!(told(&answer).unwrap()[name], 9_000, "{path}");
    }
    assert_eq!(provider.bill().get(), 10 * cost(16), "what is told changes nothing in what is owed");
}

#[tokio::test]
async fn a_chat_stream_tells_nothing_that_was_not_asked_for() {
    let answer = ask(&provider().await, CHAT, &[], &json!({ "stream": true })).await.unwrap();
    assert_eq!(told(&answer), None);
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn who_hangs_up_pays_in_full() {
    let provider = provider().await;
    let stream = body(&json!({ "stream": true }));
    let headers = &[("x-truth-output", "cap"), ("x-truth-gate", "true")];
    let gone = Post { path: MESSAGES, headers, body: &stream, patience: Patience::None };
    assert!(matches!(gone.send(provider.addr()).await, Err(NoAnswer::Left)));
    let totals = provider.wait_until(|totals| totals.billed == 1 && totals.open == 0).await;
    assert_eq!(totals.nano, u128::from(cost(100)));

    let slow = &[("x-truth-output", "cap"), ("x-truth-chunk-bytes", "10"), ("x-truth-chunk-ms", "1")];
    let early = Post { path: MESSAGES, headers: slow, body: &stream, patience: Patience::Bytes(300) };
    let answer = early.send(provider.addr()).await.unwrap();
    assert_eq!((answer.status, answer.complete, answer.body.len()), (200, false, 300));
    provider.wait_until(|totals| totals.billed == 2 && totals.open == 0).await;
    assert_eq!(provider.bill().get(), 2 * cost(100));
    assert!(provider.calls().iter().all(|call| call.delivery == Delivery::Lost));
}

#[tokio::test]
async fn a_cut_answer_has_exactly_the_bytes_it_had() {
    let provider = provider().await;
    for (end, whole) in [("close", false), ("clean", true)] {
        for stream in [true, false] {
            let knobs = [("x-truth-cut", "40"), ("x-truth-cut-end", end)];
            let answer = ask(&provider, MESSAGES, &knobs, &json!({ "stream": stream })).await.unwrap();
            assert_eq!((answer.body.len(), answer.complete), (40, whole), "{end} {stream}");
        }
    }
    // A reset may overtake the bytes before it, and even the head of the answer.
    let knobs = [("x-truth-cut", "40"), ("x-truth-cut-end", "reset")];
    let answer = ask(&provider, MESSAGES, &knobs, &json!({ "stream": true })).await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| !answer.complete && answer.body.len() <= 40));
    let reset = ask(&provider, MESSAGES, &[("x-truth-reset", "true")], &json!({})).await;
    assert!(matches!(reset, Err(NoAnswer::Broken(_))));
    assert_eq!(provider.bill().get(), 6 * cost(16));
}

#[tokio::test]
async fn a_failure_in_the_providers_own_words_is_free() {
    let provider = provider().await;
    for status in ["400", "401", "429", "500", "529"] {
        let knobs = [("x-truth-status", status), ("x-truth-retry-after", "7")];
        let answer = ask(&provider, MESSAGES, &knobs, &json!({})).await.unwrap();
        assert_eq!(answer.status.to_string(), status);
        assert_eq!(answer.header("retry-after"), Some("7"));
        assert_eq!(answer.json()["type"], "error");
        let answer = ask(&provider, CHAT, &knobs, &json!({})).await.unwrap();
        assert!(answer.json()["error"]["message"].is_string());
    }
    assert_eq!((provider.bill().get(), provider.totals().unbilled), (0, 10));

    let knobs = [("x-truth-status", "500"), ("x-truth-reset", "true")];
    assert!(ask(&provider, MESSAGES, &knobs, &json!({})).await.is_err());
    assert_eq!((provider.bill().get(), provider.totals().unbilled), (0, 11));

    let knobs = [("x-truth-status", "502"), ("x-truth-empty", "true")];
    let answer = ask(&provider, MESSAGES, &knobs, &json!({})).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (502, 0));
    assert_eq!(provider.bill().get(), cost(16), "an intermediary lost the answer to a call that went through");
}

#[tokio::test]
async fn what_is_no_call_is_free() {
    let provider = provider().await;
    let count = ask(&provider, "/v1/messages/count_tokens", &[], &json!({})).await.unwrap();
    assert_eq!(count.json()["input_tokens"], INPUT);
    assert_eq!(ask(&provider, MESSAGES, &[], &json!({ "max_tokens": null })).await.unwrap().status, 400);
    assert_eq!(ask(&provider, MESSAGES, &[], &json!({ "messages": [] })).await.unwrap().status, 400);
    assert_eq!(ask(&provider, MESSAGES, &[("x-truth-speed", "9")], &json!({})).await.unwrap().status, 400);
    assert_eq!(ask(&provider, "/v1/models", &[], &json!({})).await.unwrap().status, 404);
    let totals = provider.totals();
    assert_eq!((totals.counts, totals.unbilled, totals.strays, totals.billed), (1, 3, 1, 0));
}

#[tokio::test]
async fn a_packed_answer_unpacks_to_the_plain_one() {
    let provider = provider().await;
    for stream in [true, false] {
        let plain = ask(&provider, CHAT, &[], &json!({ "stream": stream })).await.unwrap();
        let packed = ask(&provider, CHAT, &[("x-truth-gzip", "true")], &json!({ "stream": stream })).await.unwrap();
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
        let mut text = String::new();
        flate2::read::GzDecoder::new(&packed.body[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, plain.text());
    }
}

#[tokio::test]
async fn a_call_at_the_gate_is_billed_and_waits() {
    let provider = provider().await;
    let gated = body(&json!({}));
    let asked = post(provider.addr(), MESSAGES, &[("x-truth-gate", "true")], &gated);
    let ((), answer) = tokio::join!(
        async {
            assert_eq!(provider.wait_until(|totals| totals.open == 1).await.billed, 1);
            let released = post(provider.addr(), "/release?n=1", &[], b"").await.unwrap();
            assert_eq!(released.json()["released"], 1);
        },
        asked
    );
    assert_eq!(answer.unwrap().status, 200);
    provider.wait_until(|totals| totals.open == 0).await;
    assert_eq!(provider.calls()[0].delivery, Delivery::Done);
}

#[tokio::test]
async fn records_know_their_callers() {
    let settings = Settings { keep_bodies: true, ..Settings::default() };
    let provider = TruthProvider::start(settings).await.unwrap();
    let headers = [("x-truth-tag", "a"), ("authorization", "Bearer secret")];
    let answer = ask(&provider, CHAT, &headers, &json!({ "stream": true })).await.unwrap();
    let CallRecord { tag, credential, request, answer: kept, .. } = provider.calls().remove(0);
    assert_eq!((tag.as_deref(), credential.as_deref()), (Some("a"), Some("secret")));
    assert_eq!(request.unwrap(), body(&json!({ "stream": true })));
    assert_eq!(kept.unwrap(), answer.body);
}

#[tokio::test]
async fn a_seed_gives_the_same_bill_again() {
    let mut bills = Vec::new();
    for _ in 0..2 {
        let provider = TruthProvider::start(Settings { seed: Some(11), ..Settings::default() }).await.unwrap();
        for number in 0..60 {
            // A plan that resets or cuts is an answer too.
            let _ = ask(&provider, MESSAGES, &[], &json!({ "stream": number % 2 == 0 })).await;
        }
        assert!(provider.calls().iter().all(|call| call.output <= call.cap));
        bills.push((provider.totals().nano, provider.totals().unbilled));
    }
    assert_eq!(bills[0], bills[1]);
    assert!(bills[0].0 > 0 && bills[0].1 > 0);
}

#[tokio::test]
async fn the_default_plan_stands_behind_the_headers() {
    let plan = Plan::read("output=2 usage=absent").unwrap();
    let provider = TruthProvider::start(Settings { plan, ..Settings::default() }).await.unwrap();
    let answer = ask(&provider, MESSAGES, &[("x-truth-output", "5")], &json!({})).await.unwrap();
    assert_eq!(answer.json().get("usage"), None);
    assert_eq!(provider.calls()[0].output, 5);
}

#[tokio::test]
async fn the_truth_is_told_over_http_too() {
    let provider = provider().await;
    ask(&provider, MESSAGES, &[], &json!({})).await.unwrap();
    let mut stream = tokio::net::TcpStream::connect(provider.addr()).await.unwrap();
    let request = b"GET /truth HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, request).await.unwrap();
    let mut text = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut text).await.unwrap();
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    let truth: Value = serde_json::from_str(body).unwrap();
    assert_eq!(truth["bill_nano"], cost(16).to_string());
}

#[tokio::test]
async fn gemini_and_ollama_are_billed_alike_in_every_form() {
    let provider = provider().await;
    let contents =
        json!({ "contents": [{ "parts": [{ "text": "hi" }] }], "generationConfig": { "maxOutputTokens": 9 } });
    let chat =
        json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }], "options": { "num_predict": 9 } });
    let send =
        async |path: &str, body: &Value| post(provider.addr(), path, &[], body.to_string().as_bytes()).await.unwrap();
    let whole = send("/v1/models/m:generateContent", &contents).await.json();
    let array = send("/v1beta/models/m:streamGenerateContent", &contents).await.json();
    let events = send("/v1beta/models/m:streamGenerateContent?alt=sse", &contents).await.text();
    let events = events.lines().filter_map(|line| line.strip_prefix("data: ")).next_back().unwrap().to_owned();
    let last = serde_json::from_str(&events).unwrap();
    for answer in [&whole, array.as_array().unwrap().last().unwrap(), &last] {
        let usage = &answer["usageMetadata"];
        let told = ["promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount"].map(|name| usage[name].as_u64());
        assert_eq!(told, [Some(INPUT), Some(6), Some(3)]);
        assert_eq!(answer["candidates"][0]["finishReason"], "MAX_TOKENS");
    }
    let lines = send("/api/chat", &chat).await.text();
    let last: Value = serde_json::from_str(lines.lines().next_back().unwrap()).unwrap();
    assert_eq!(
        (&last["done"], &last["prompt_eval_count"], &last["eval_count"]),
        (&json!(true), &json!(INPUT), &json!(9))
    );
    assert_eq!(provider.bill().get(), 4 * cost(9));
    let refused = send("/v1beta/models/m:generateContent", &json!({})).await;
    assert_eq!((refused.status, &refused.json()["error"]["status"]), (400, &json!("INVALID_ARGUMENT")));
    assert_eq!(provider.totals().billed, 4);
}

#[tokio::test]
async fn who_gives_ollama_no_end_pays_for_all_that_it_writes() {
    let provider = provider().await;
    let asked = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }], "stream": false, "options": { "num_predict": -1 } });
    let knobs = [("x-truth-output", "cap")];
    post(provider.addr(), "/api/chat", &knobs, asked.to_string().as_bytes()).await.unwrap();
    assert_eq!(provider.bill().get(), cost(100_000));
}
