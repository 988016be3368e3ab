//! Recorded exchanges through a whole gateway: the request of the recording goes in, its answer comes out byte for
//! byte, and what is booked is what an exact meter reads in it.

use std::fs;

use almoner_units::{Meter, Mode};
use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::body::Bytes;
use serde_json::Value as Json;

use crate::world::{Bench, ask, budget, read};

/// The route of a recording; `None` where there is none.
fn route(exchange: &Json) -> Option<String> {
    let path = exchange["path"].as_str().unwrap_or_default();
    Some(match exchange["provider"].as_str()? {
        "anthropic" => "/v1/messages".to_owned(),
        "openai-chat" => "/v1/chat/completions".to_owned(),
        "openai-responses" => "/v1/responses".to_owned(),
        "openai-completions" => "/v1/completions".to_owned(),
        "openai-embeddings" => "/v1/embeddings".to_owned(),
        "gemini" => {
            let (_, method) = path.rsplit_once(':')?;
            let query = exchange["query"].as_str().map(|query| format!("?{query}")).unwrap_or_default();
            format!("/v1beta/models/gemini-2.5-flash:{method}{query}")
        }
        "ollama" => path.to_owned(),
        _ => return None,
    })
}

#[tokio::test]
async fn every_recording_passes_as_it_is_and_is_booked_as_it_tells() {
    let mut seen = Seen::default();
    for (path, name, exchange) in checked() {
        check(&exchange, &path, &name, &mut seen).await;
    }
    println!("{seen:?}");
    assert!(seen.settled > 90 || seen.settled == 0, "{seen:?}");
}

/// A recording with a request: of some of Gemini's, only the answer was kept.
fn asked((name, mut exchange): (String, Json)) -> (String, Json) {
    if exchange["provider"] == "gemini" && exchange["request"].is_null() {
        exchange["request"] = serde_json::json!({ "contents": [{ "parts": [{ "text": "hi" }] }] });
    }
    (name, exchange)
}

/// The recordings that are checked, each with its route and its name; none where there are no recordings.
fn checked() -> Vec<(String, String, Json)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/recorded/exchanges");
    let Ok(files) = fs::read_dir(folder) else {
        println!("no recorded exchanges at {folder}: nothing checked");
        return Vec::new();
    };
    let files = files.map(|file| file.unwrap().path()).filter(|file| file.extension().is_some_and(|it| it == "json"));
    let read = files.map(|file| (file.display().to_string(), fs::read(file).unwrap()));
    let read = read.map(|(name, bytes)| (name, serde_json::from_slice::<Json>(&bytes).unwrap())).map(asked);
    let routed = read
        .filter(|(_, exchange)| is_checked(exchange))
        .filter_map(|(name, exchange)| Some((route(&exchange)?, name, exchange)));
    routed.collect()
}

#[tokio::test]
async fn a_recording_that_breaks_off_is_booked_in_full_or_stays_assumed() {
    let mut seen = 0;
    for (path, name, exchange) in checked().into_iter().filter(|(_, _, exchange)| exchange["stream"] == true) {
        let whole = exchange["response_body"].as_str().unwrap();
        for part in 1..4 {
            let mut cut = exchange.clone();
            cut["response_body"] = whole[..whole.floor_char_boundary(whole.len() * part / 4)].into();
            let bench = Bench::new(vec![budget("firm", "100000M tokens", Mode::Warn)]);
            call(&bench, &cut, &path).await.unwrap_or_else(|| panic!("{name} does not pass"));
            let report = bench.shared.state().reports.pop().unwrap();
            let in_full = report.outcome.charge[Meter::Tokens] == expected(&exchange["expect"]);
            assert!(in_full || bench.ends() == ["assumed"], "{name} at {part}/4: {:?}", report.outcome);
            seen += 1;
        }
    }
    println!("{seen} cuts");
}

/// How many recordings there were.
#[derive(Debug, Default)]
struct Seen {
    settled: usize,
    assumed: usize,
    /// Those that no hard budget would have let through.
    unboundable: usize,
}

fn is_checked(exchange: &Json) -> bool {
    ["inference", "embeddings"].contains(&exchange["kind"].as_str().unwrap_or_default())
        && exchange["response_status"] == 200
        && exchange["request"].is_object()
        && exchange["expect"]["ambiguous"].is_null()
}

async fn check(exchange: &Json, path: &str, name: &str, seen: &mut Seen) {
    let hard = Bench::new(vec![budget("firm", "100000M tokens", Mode::StopNew)]);
    if call(&hard, exchange, path).await.is_some_and(|answer| passed(&answer, exchange, name)) {
        return booked(&hard, exchange, name, seen);
    }
    // What has no bound passes where nothing refuses.
    seen.unboundable += 1;
    let warned = Bench::new(vec![budget("firm", "100000M tokens", Mode::Warn)]);
    let answer = call(&warned, exchange, path).await.unwrap_or_else(|| panic!("{name} does not pass"));
    assert!(passed(&answer, exchange, name));
    booked(&warned, exchange, name, seen);
}

/// What the client gets; `None` where the gateway itself refuses.
async fn call(bench: &Bench, exchange: &Json, path: &str) -> Option<String> {
    let body = Bytes::from(exchange["response_body"].as_str().unwrap().to_owned());
    let kind = exchange["response_headers"]["content-type"].as_str().unwrap_or("application/json").to_owned();
    bench.then(move |_| {
        let whole = Full::new(body.clone()).map_err(|never| match never {});
        let mut answer = Response::new(almoner_gateway::UpstreamBody::new(whole));
        answer.headers_mut().insert("content-type", kind.parse().unwrap());
        async move { Ok(answer) }
    });
    let response = bench.call(ask(path, exchange["request"].to_string())).await;
    if !response.status().is_success() {
        let (text, _) = read(response).await;
        assert!(text.contains("\"code\":\"unboundable\""), "{text}");
        return None;
    }
    Some(read(response).await.0)
}

/// Whether the answer came through: byte for byte, but for the usage that its client did not ask for.
fn passed(answer: &str, exchange: &Json, name: &str) -> bool {
    let request = &exchange["request"];
    let asks = request["stream"] != true || request["stream_options"]["include_usage"] == true;
    if asks || !["openai-chat", "openai-completions"].contains(&exchange["provider"].as_str().unwrap()) {
        assert!(answer == exchange["response_body"].as_str().unwrap(), "{name} does not pass byte for byte");
    }
    true
}

fn booked(bench: &Bench, exchange: &Json, name: &str, seen: &mut Seen) {
    let expect = &exchange["expect"];
    // A prompt that Ollama still holds is not counted.
    let is_told = expect["usage_present"] == true && expect["finished"] == true && expect["input_tokens"].is_u64();
    let ends = bench.ends();
    let report = bench.shared.state().reports.pop().unwrap();
    if !is_told {
        seen.assumed += 1;
        return assert_eq!(ends, ["assumed"], "{name}: {}", report.outcome.note);
    }
    seen.settled += 1;
    assert_eq!(ends, ["settled"], "{name}: {}", report.outcome.note);
    assert_eq!(report.outcome.charge[Meter::Tokens], expected(expect), "{name}");
}

/// The tokens that an exact meter books, at the answer's own model and at others.
fn expected(expect: &Json) -> u64 {
    let parts = ["input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens"];
    let sum = |counts: &Json| parts.iter().filter_map(|part| counts[*part].as_u64()).sum::<u64>();
    sum(expect) + expect["other_models"].as_array().into_iter().flatten().map(sum).sum::<u64>()
}
