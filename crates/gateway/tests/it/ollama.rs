//! Ollama through the gateway: streams of lines, what is asked for nothing, and a free model when the money is gone.

use std::sync::Arc;

use almoner_gateway::KeyFacts;
use almoner_policy::ModelPattern;
use almoner_units::{Meter, Mode};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;

use crate::world::{Bench, budget, read, settle_down};

const BODY: &str = r#"{"model":"qwen3","messages":[{"role":"user","content":"hi"}]}"#;
const FIRST: &str = "{\"model\":\"qwen3\",\"message\":{\"role\":\"assistant\",\"content\":\"a\"},\"done\":false}\n";
const LAST: &str = "{\"model\":\"qwen3\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\
                    \"done_reason\":\"stop\",\"prompt_eval_count\":9,\"eval_count\":7}\n";

fn post(path: &str, body: &str) -> Request<Full<Bytes>> {
    let request = Request::post(path).header("host", "127.0.0.1:4141").header("content-type", "application/json");
    request.body(Full::new(body.to_owned().into())).unwrap()
}

/// A gateway whose budget counts tokens, since the model costs nothing.
fn tokens() -> Bench {
    Bench::new(vec![budget("firm", "100k tokens", Mode::StopNew)])
}

fn charged(bench: &Bench) -> Vec<(u64, u64)> {
    let state = bench.shared.state();
    let charges = state.reports.iter().map(|report| report.outcome.charge);
    charges.map(|charge| (charge[Meter::InputTokens], charge[Meter::OutputTokens])).collect()
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_lines_passes_as_it_comes_and_is_settled_by_its_last() {
    let bench = tokens();
    let mut provider = bench.writes("application/x-ndjson");
    let client = tokio::spawn(read(bench.call(post("/api/chat", BODY)).await));
    provider.send_data(FIRST.into()).await.unwrap();
    settle_down().await;
    assert_eq!(bench.ends(), [""; 0]);
    provider.send_data(LAST.into()).await.unwrap();
    settle_down().await;
    assert_eq!((bench.ends(), charged(&bench)), (vec!["settled"], vec![(9, 7)]), "before the stream is closed");
    drop(provider);
    assert_eq!(client.await.unwrap(), (format!("{FIRST}{LAST}"), true));
    let cap = bench.last_sent()["options"]["num_predict"].as_u64().unwrap();
    assert!(cap > 4096 && cap < 100_000, "{cap}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_cut_ends_in_an_object_that_is_done() {
    let bench = tokens();
    let mut provider = bench.writes("application/x-ndjson");
    let client = tokio::spawn(read(bench.call(post("/api/chat", BODY)).await));
    provider.send_data(FIRST.into()).await.unwrap();
    settle_down().await;
    bench.shared.state().cuts.pop().unwrap().send("the budget is spent".to_owned()).unwrap();
    let (text, is_whole) = client.await.unwrap();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert!(is_whole && last["error"].as_str().unwrap().contains("the budget is spent"), "{text}");
    assert_eq!((&last["done"], bench.ends()), (&true.into(), vec!["assumed"]));
}

#[tokio::test]
async fn every_way_of_asking_is_booked_at_what_it_tells() {
    let vectors = "{\"model\":\"m\",\"embeddings\":[[0.5]],\"prompt_eval_count\":4}";
    let loaded = "{\"model\":\"m\",\"response\":\"\",\"done\":true,\"done_reason\":\"load\"}";
    for (path, body, answer, end, usage) in [
        ("/api/chat", BODY.replace("}]", "}],\"stream\":false"), LAST, "settled", Some((9, 7))),
        ("/api/embed", r#"{"model":"m","input":["a"]}"#.to_owned(), vectors, "settled", Some((4, 0))),
        ("/api/generate", r#"{"model":"m","stream":false}"#.to_owned(), loaded, "settled", Some((0, 0))),
        ("/api/embeddings", r#"{"model":"m","prompt":"a"}"#.to_owned(), "{\"embedding\":[0.5]}", "assumed", None),
    ] {
        let bench = tokens();
        bench.answers(200, &[("content-type", "application/json")], answer);
        assert_eq!(read(bench.call(post(path, &body)).await).await.0, answer);
        assert_eq!(bench.ends(), [end], "{path}");
        assert!(usage.is_none_or(|usage| charged(&bench) == [usage]), "{path}: {:?}", charged(&bench));
    }
}

#[tokio::test]
async fn what_there_is_is_told_and_costs_nothing() {
    let bench = Bench::new(vec![budget("firm", "1 tokens", Mode::StopNew)]);
    for path in ["/api/tags", "/api/ps", "/api/version"] {
        bench.answers(200, &[("content-type", "application/json")], "{\"models\":[]}");
        let asked = Request::get(path).header("host", "127.0.0.1:4141").body(Full::default()).unwrap();
        assert_eq!(read(bench.call(asked).await).await.0, "{\"models\":[]}");
        let state = bench.shared.state();
        let sent = state.sent.last().unwrap();
        assert_eq!((sent.method().as_str(), sent.uri().path(), sent.uri().host()), ("GET", path, Some("ollama.test")));
    }
    bench.answers(200, &[("content-type", "application/json")], "{\"details\":{}}");
    assert_eq!(bench.call(post("/api/show", r#"{"name":"qwen3"}"#)).await.status(), 200);
    assert_eq!((bench.ends().len(), bench.shared.state().reports.len()), (0, 0));
}

#[tokio::test]
async fn a_key_sees_those_of_the_models_there_that_it_may_use() {
    let bench = tokens();
    let facts = KeyFacts { models: vec![ModelPattern::new("qwen3*")], ..KeyFacts::anyone() };
    bench.shared.state().keys.insert("alm_few".to_owned(), Arc::new(facts));
    let list = r#"{"models":[{"name":"qwen3:8b","size":1},{"name":"llama3"},{"model":"qwen3"},7]}"#;
    for (path, answer, expected) in [
        ("/api/tags", list, r#"{"models":[{"name":"qwen3:8b","size":1},{"model":"qwen3"}]}"#),
        ("/api/version", r#"{"version":"1"}"#, r#"{"version":"1"}"#),
        ("/api/ps", "<html>", r#"{"models":[]}"#),
    ] {
        bench.answers(200, &[("content-type", "application/json")], answer);
        let asked = Request::get(path).header("host", "127.0.0.1:4141").header("x-almoner-key", "alm_few");
        assert_eq!(read(bench.call(asked.body(Full::default()).unwrap()).await).await.0, expected, "{path}");
    }
    let show = Request::post("/api/show").header("host", "127.0.0.1:4141").header("x-almoner-key", "alm_few");
    let show = show.header("content-type", "application/json").body(Full::new(r#"{"name":"llama3"}"#.into())).unwrap();
    assert_eq!(bench.call(show).await.status(), 403);
}

#[tokio::test]
async fn ollamas_own_refusal_is_released_and_anothers_is_not() {
    for (body, end) in [("{\"error\":\"model runner has stopped\"}", "released"), ("<html>", "assumed")] {
        let bench = tokens();
        bench.answers(500, &[("content-type", "application/json")], body);
        assert_eq!(bench.call(post("/api/chat", BODY)).await.status(), 500);
        assert_eq!(bench.ends(), [end]);
    }
}

#[tokio::test]
async fn no_money_is_said_as_ollama_would() {
    let bench = Bench::new(vec![budget("firm", "10 tokens", Mode::StopNew)]);
    let refused = bench.call(post("/api/generate", r#"{"model":"m","prompt":"hi"}"#)).await;
    assert_eq!((refused.status().as_u16(), &refused.headers()["x-should-retry"]), (402, &"false".parse().unwrap()));
    let said: serde_json::Value = serde_json::from_str(&read(refused).await.0).unwrap();
    assert!(said["error"].as_str().unwrap().contains("budget `firm`"), "{said}");
    assert_eq!(said["almoner"]["code"], "no_money");
}

#[tokio::test]
async fn a_free_model_stays_when_the_money_is_gone() {
    let bench = Bench::new(vec![budget("money", "$0.000001", Mode::StopNew)]);
    bench.answers(200, &[("content-type", "application/x-ndjson")], LAST);
    assert_eq!(read(bench.call(post("/api/chat", BODY)).await).await.0, LAST);
    assert_eq!(bench.ends(), ["settled"]);
    let both =
        Bench::new(vec![budget("money", "$0.000001", Mode::StopNew), budget("tokens", "10 tokens", Mode::StopNew)]);
    assert_eq!(both.call(post("/api/chat", BODY)).await.status(), 402, "its tokens count all the same");
}
