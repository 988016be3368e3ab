//! What passes: the client gets what the provider sent, byte for byte, and the provider gets what the client sent.

use almoner_testkit::Answer;
use serde_json::json;

use crate::provider::{CREDENTIAL, chat, direct, messages, messages_stream, planned, truth, world};

const ROOMY: &str = r#"
[[budget]]
name = "roomy"
limit = "$100"
"#;

/// One call through the server is the same to the client as one straight to the provider, and is settled at its cost.
async fn check_same(path: &str, knobs: &[(&str, &str)], body: &str) -> Answer {
    let truth = truth().await;
    let world = world(&truth, "", ROOMY);
    let server = world.serve();
    let straight = direct(&truth, path, knobs, body).await;
    let owed = truth.bill().get();
    let answer = server.post(path, knobs, body).await;
    assert_eq!(answer.status, straight.status);
    assert_eq!(answer.body, straight.body, "{}", answer.text());
    assert_eq!(answer.complete, straight.complete);
    for name in ["content-type", "content-encoding", "retry-after"] {
        assert_eq!(answer.header(name), straight.header(name), "{name}");
    }
    let limit = server.settled("roomy");
    assert_eq!(limit.spent + limit.assumed, truth.bill().get() - owed, "charged is what the provider bills");
    if let [_, through] = truth.calls().as_slice() {
        assert_eq!(through.request.as_deref(), Some(body.as_bytes()), "the body passes untouched");
        assert_eq!(through.credential.as_deref(), Some(CREDENTIAL));
    }
    server.stop();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_answer_passes_byte_for_byte() {
    check_same("/v1/messages", &[], &messages("truth-1", 200, "Hello")).await;
    check_same("/v1/chat/completions", &[], &chat("truth-1", 200, "Hello", &json!({}))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_passes_byte_for_byte_however_it_is_cut_into_pieces() {
    let body = messages_stream("truth-1", 200, "Hello");
    check_same("/v1/messages", &[("x-truth-usage", "cumulative")], &body).await;
    check_same("/v1/messages", &[("x-truth-chunk-bytes", "7")], &body).await;
    let asks_usage = json!({ "stream": true, "stream_options": { "include_usage": true } });
    let body = chat("truth-1", 200, "Hello", &asks_usage);
    check_same("/v1/chat/completions", &[("x-truth-chunk-bytes", "11")], &body).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn without_budgets_the_ledger_is_not_asked_and_nothing_is_capped_or_written() {
    let truth = truth().await;
    let world = world(&truth, "", ROOMY);
    let server = world.serve_with(&["--no-budgets"]);
    let before = server.status();
    // Far more output than any share or `max_output` would allow.
    let body = messages("truth-1", 120_000, "Hello");
    for _ in 0..3 {
        let answer = server.post("/v1/messages", &[], &body).await;
        assert_eq!((answer.status, answer.header("x-almoner-cap")), (200, None), "{}", answer.text());
        server.explain(&answer, true);
    }
    assert!(truth.calls().iter().all(|call| call.request.as_deref() == Some(body.as_bytes())));
    let after = server.status();
    assert_eq!((after.journal_seq, &after.journal_head), (before.journal_seq, &before.journal_head));
    assert_eq!((after.open_holds, after.assumed_holds, after.accounts.len()), (0, 0, 0));
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_provider_packs_although_it_was_asked_not_to_passes_packed_and_is_read_all_the_same() {
    let packed = [("x-truth-gzip", "true")];
    let answer = check_same("/v1/messages", &packed, &messages("truth-1", 200, "Hello")).await;
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    check_same("/v1/messages", &packed, &messages_stream("truth-1", 200, "Hello")).await;
    check_same("/v1/chat/completions", &packed, &chat("truth-1", 200, "Hello", &json!({}))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_providers_own_errors_pass_untouched_and_cost_nothing() {
    let truth = truth().await;
    let world = world(&truth, "", ROOMY);
    let server = world.serve();
    for (path, body) in [
        ("/v1/messages", messages("truth-1", 200, "Hello")),
        ("/v1/messages", messages_stream("truth-1", 200, "Hello")),
        ("/v1/chat/completions", chat("truth-1", 200, "Hello", &json!({ "stream": true }))),
    ] {
        for status in ["400", "401", "429", "500", "529"] {
            let knobs = [("x-truth-status", status), ("x-truth-retry-after", "7")];
            let straight = direct(&truth, path, &knobs, &body).await;
            let answer = server.post(path, &knobs, &body).await;
            assert_eq!((answer.status, &answer.body), (straight.status, &straight.body), "{path} {status}");
            assert_eq!(answer.header("retry-after"), Some("7"), "{path} {status}");
            assert_eq!(answer.header("content-type"), Some("application/json"), "{path} {status}");
        }
    }
    let limit = server.settled("roomy");
    assert_eq!((limit.spent, limit.assumed), (0, 0));
    assert_eq!(truth.bill().get(), 0);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_intermediarys_error_passes_and_its_hold_stays_charged() {
    let truth = planned("status=502 empty=true").await;
    let world = world(&truth, "", ROOMY);
    let server = world.serve();
    let answer = server.post("/v1/messages", &[], &messages("truth-1", 200, "Hello")).await;
    assert_eq!((answer.status, answer.body.len()), (502, 0));
    let limit = server.settled("roomy");
    assert!(limit.assumed >= truth.bill().get() && limit.spent == 0, "{limit:?}");
    server.until(|status| status.assumed_holds == 1);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_chat_stream_is_asked_for_its_usage_and_the_client_sees_nothing_of_that() {
    let truth = truth().await;
    let world = world(&truth, "", ROOMY);
    let server = world.serve();
    let body = chat("truth-1", 200, "Hello", &json!({ "stream": true }));
    let answer = server.post("/v1/chat/completions", &[], &body).await;
    assert_eq!(answer.status, 200);
    let call = truth.calls().remove(0);
    let received: serde_json::Value = serde_json::from_slice(call.request.as_deref().unwrap()).unwrap();
    assert_eq!(received["stream_options"], json!({ "include_usage": true }));
    // All that was sent came, but for the chunk that has nothing but the usage.
    let sent = String::from_utf8(call.answer.unwrap().to_vec()).unwrap();
    let is_usage = |event: &&str| event.contains(r#""choices":[]"#);
    assert_eq!(sent.split_inclusive("\n\n").filter(is_usage).count(), 1, "{sent}");
    let kept: String = sent.split_inclusive("\n\n").filter(|event| !is_usage(event)).collect();
    let shown = answer.text();
    assert!(!shown.contains(r#""prompt_tokens""#) && shown.ends_with("data: [DONE]\n\n"), "{shown}");
    assert_eq!(shown.replace(r#","usage":null"#, ""), kept.replace(r#","usage":null"#, ""));
    assert_eq!(server.settled("roomy").spent, truth.bill().get());
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_that_breaks_off_passes_as_far_as_it_came_and_is_charged_as_held() {
    let truth = truth().await;
    let world = world(&truth, "", ROOMY);
    let server = world.serve();
    for (number, knobs) in [
        [("x-truth-cut", "600"), ("x-truth-cut-end", "close")],
        [("x-truth-cut", "600"), ("x-truth-cut-end", "reset")],
        [("x-truth-cut", "600"), ("x-truth-cut-end", "clean")],
    ]
    .iter()
    .enumerate()
    {
        let body = messages_stream("truth-1", 200, &format!("Hello {number}"));
        let answer = server.post("/v1/messages", knobs, &body).await;
        let call = truth.calls().pop().unwrap();
        let whole = call.answer.unwrap();
        assert!(answer.body.starts_with(&whole[..600]) || whole.starts_with(&answer.body), "{}", answer.text());
        let ended = server.explain(&answer, true).record["ended"].clone();
        assert_eq!(ended["outcome"], "assumed", "{knobs:?}: {ended}");
    }
    let limit = server.settled("roomy");
    assert!(limit.spent == 0 && limit.assumed >= truth.bill().get(), "{limit:?}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn without_a_price_a_budget_in_tokens_alone_lets_a_call_pass_and_counts_no_dollars() {
    let truth = truth().await;
    let world = world(&truth, "", "[[budget]]\nname = \"tokens\"\nlimit = \"1M tokens\"\n");
    let server = world.serve();
    let answer = server.post("/v1/messages", &[], &messages("truth-unpriced", 200, "Hello")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let totals = truth.totals();
    assert_eq!(u128::from(server.settled("tokens").spent), totals.input + totals.output);
    let ended = server.explain(&answer, true).record["ended"].clone();
    assert_eq!(ended["charged"]["usd"], serde_json::Value::Null, "{ended}");
    assert!(ended["because"].as_str().unwrap().contains("no price is known"), "{ended}");
    server.stop();
}
