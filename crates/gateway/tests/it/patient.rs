//! Streams whose calls wait with us: their clients get pings, and then the stream as it comes.

use std::time::Duration;

use almoner_gateway::{ClientBody, provider_paces};
use almoner_policy::pace::Rates;
use almoner_units::Mode;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Request, Response};
use tokio::time::Instant;

use crate::world::{Bench, ask, budget, post, read, settle_down};

const MORE: &str = ",\"stream\":true,\"max_tokens\":10";
const SSE: &[(&str, &str)] = &[("content-type", "text/event-stream")];
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const PING: &str = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
const STREAM: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\
    \"model\":\"claude-opus-5\",\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n\
    event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\
    \"usage\":{\"output_tokens\":3}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const CHAT: &str = "data: {\"id\":\"c\",\"model\":\"gpt-4o\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n\
    data: [DONE]\n\n";
const GEMINI: &str =
    "data: {\"candidates\":[],\"usageMetadata\":{\"promptTokenCount\":9,\"candidatesTokenCount\":1}}\n\n";
const GEMINI_BODY: &str = "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"hi\"}]}],\
    \"generationConfig\":{\"maxOutputTokens\":10}}";

type Call = Request<Full<Bytes>>;

fn messages() -> Call {
    post("/v1/messages", "claude-opus-5", MORE)
}

/// A provider that takes one call in a minute, and has had it. Calls may wait for two, and are sent pings from 15 s on.
async fn busy(provider: &str, first: Call) -> Bench {
    let rule = provider_paces(provider, Rates { rpm: Some(1), tpm: None }, true).remove(0);
    let bench = Bench::paced(vec![budget("firm", "1M tokens / day", Mode::StopNew)], Vec::new(), vec![rule]);
    bench.answers(200, SSE, STREAM);
    drop(read(bench.call(first).await).await);
    settle_down().await;
    assert_eq!((bench.open_holds(), bench.shared.state().sent.len()), (0, 1));
    bench
}

async fn timed(call: impl Future<Output = Response<ClientBody>>) -> (Response<ClientBody>, Duration) {
    let began = Instant::now();
    (call.await, began.elapsed())
}

fn header<'r>(response: &'r Response<ClientBody>, name: &str) -> &'r str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// A call that waits for about a minute, and then gets this stream.
async fn waits(provider: &str, call: impl Fn() -> Call, ping: &str, stream: &'static str) {
    let bench = busy(provider, call()).await;
    bench.answers(200, SSE, stream);
    let (response, took) = timed(bench.call(call())).await;
    assert_eq!((response.status().as_u16(), took.as_secs()), (200, 15), "{provider}");
    assert_eq!(header(&response, "content-type"), "text/event-stream");
    assert_eq!(bench.gateway.paces()[0].waiting, 1);
    let named = header(&response, "x-almoner-call").to_owned();
    // At 15, 30, 45 and 60 seconds.
    assert_eq!(read(response).await, (ping.repeat(4) + stream, true), "{provider}");
    settle_down().await;
    let state = bench.shared.state();
    assert_eq!((state.sent.len(), state.ledger.holds().len()), (2, 0), "{provider}");
    assert_eq!(state.reports[1].id.to_string(), named);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_waits_for_its_turn_gets_pings_and_then_comes_as_it_is() {
    waits("anthropic", messages, PING, STREAM).await;
    waits("openai", || post("/v1/chat/completions", "gpt-4o", MORE), ": waiting\n\n", CHAT).await;
    let gemini = || ask("/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse", GEMINI_BODY.to_owned());
    waits("gemini", gemini, "\n", GEMINI).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_asked_for_no_events_waits_without_pings() {
    for (provider, path, body) in [
        ("anthropic", "/v1/messages", "{\"model\":\"m\",\"messages\":[],\"max_tokens\":10}"),
        ("openai", "/v1/chat/completions", "{\"model\":\"gpt-4o\",\"messages\":[],\"max_tokens\":10}"),
        ("gemini", "/v1beta/models/gemini-2.5-pro:streamGenerateContent", GEMINI_BODY),
        ("ollama", "/api/chat", "{\"model\":\"qwen3\",\"messages\":[],\"stream\":true}"),
    ] {
        let call = || ask(path, body.to_owned());
        let bench = busy(provider, call()).await;
        bench.answers(200, JSON, "{}");
        let (response, took) = timed(bench.call(call())).await;
        assert_eq!(response.status(), 200, "{provider}");
        assert!((60..=62).contains(&took.as_secs()), "{provider} {took:?}");
        assert_eq!(read(response).await, ("{}".to_owned(), true), "{provider}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_refused_after_pings_is_told_so_in_its_stream() {
    let bench = busy("anthropic", messages()).await;
    // Two get the places of the next two minutes; the third would wait in vain.
    bench.answers(200, SSE, STREAM).answers(200, SSE, STREAM);
    let waiting = [(); 3].map(|()| tokio::spawn(bench.call(messages())));
    let mut refused = Vec::new();
    for one in waiting {
        let response = one.await.unwrap();
        assert_eq!(response.status(), 200);
        refused.push(tokio::spawn(read(response)));
    }
    let mut last = Vec::new();
    for one in refused {
        let (text, is_whole) = one.await.unwrap();
        assert!(is_whole && text.starts_with(PING));
        last.extend(text.rsplit_once(PING).map(|(_, last)| last.to_owned()).filter(|last| last != STREAM));
    }
    let error = last[0].strip_prefix("event: error\ndata: ").unwrap().strip_suffix("\n\n").unwrap();
    let error: serde_json::Value = serde_json::from_str(error).unwrap();
    assert_eq!((&error["type"], &error["error"]["almoner"]["code"]), (&"error".into(), &"paced".into()), "{error}");
    assert!(error["error"]["almoner"]["retry_after_s"].as_u64().is_some_and(|after| after > 0), "{error}");
    settle_down().await;
    assert_eq!(bench.open_holds(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_providers_error_or_an_answer_that_is_no_stream_ends_the_stream_in_its_words() {
    let own = "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}";
    let whole =
        "{\"type\":\"message\",\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}";
    for (status, body, says) in [
        (529, own, "\"message\":\"Overloaded\""),
        (502, "<html>Bad gateway</html>", "status 502 and no stream"),
        (200, whole, "status 200 and no stream"),
    ] {
        let bench = busy("anthropic", messages()).await;
        bench.answers(status, JSON, body);
        let (text, is_whole) = read(bench.call(messages()).await).await;
        let last = text.strip_prefix(&PING.repeat(4)).unwrap();
        let error = last.strip_prefix("event: error\ndata: ").and_then(|last| last.strip_suffix("\n\n")).unwrap();
        assert!(is_whole && error.contains(says), "{status} {error}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(error).unwrap()["type"], "error");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_off_after_pings_does_not_look_whole() {
    let bench = busy("anthropic", messages()).await;
    let provider = bench.streams();
    let reading = tokio::spawn(read(bench.call(messages()).await));
    let mut provider = provider;
    provider.send_data(Bytes::from_static(b"event: message_start\n")).await.unwrap();
    provider.abort("broken".into());
    assert_eq!(reading.await.unwrap(), (PING.repeat(4) + "event: message_start\n", false));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_on_its_pings_leaves_the_room() {
    let bench = busy("anthropic", messages()).await;
    let mut response = bench.call(messages()).await;
    let first = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!((first, bench.gateway.paces()[0].waiting), (Bytes::from_static(PING.as_bytes()), 1));
    drop(response);
    settle_down().await;
    assert_eq!((bench.gateway.paces()[0].waiting, bench.open_holds()), (0, 0));
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(bench.shared.state().sent.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_later_counts_as_gone_and_the_call_is_settled() {
    let bench = busy("anthropic", messages()).await;
    let mut provider = bench.streams();
    let mut response = bench.call(messages()).await;
    let (begins, ends) = STREAM.split_at(200);
    provider.send_data(Bytes::from_static(begins.as_bytes())).await.unwrap();
    while response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap() != begins {}
    drop(response);
    provider.send_data(Bytes::from_static(ends.as_bytes())).await.unwrap();
    drop(provider);
    settle_down().await;
    assert_eq!((bench.ends(), bench.open_holds()), (vec!["settled", "settled"], 0));
}

#[tokio::test(start_paused = true)]
async fn a_slow_provider_is_no_wait_of_ours() {
    let bench = Bench::dollar();
    bench.then(|_| async {
        tokio::time::sleep(Duration::from_millis(4_900)).await;
        let mut answer = Response::new(crate::world::whole("{\"error\":{\"message\":\"no\"}}"));
        *answer.status_mut() = hyper::StatusCode::SERVICE_UNAVAILABLE;
        Ok(answer)
    });
    let (response, took) = timed(bench.call(messages())).await;
    assert_eq!((response.status().as_u16(), took.as_millis()), (503, 4_900));
}

#[tokio::test(start_paused = true)]
async fn waits_for_another_try_count_together_and_those_for_the_provider_do_not() {
    let bench = Bench::retrying(Vec::new(), Vec::new());
    let error = "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}";
    let again = [JSON, &[("retry-after", "8")]].concat();
    for _ in 0..2 {
        let again = again.clone();
        bench.then(move |_| {
            let again = again.clone();
            async move {
                tokio::time::sleep(Duration::from_secs(4)).await;
                let mut answer = Response::new(crate::world::whole(error));
                *answer.status_mut() = 529.try_into().unwrap();
                for (name, value) in again {
                    answer.headers_mut().append(name, value.parse().unwrap());
                }
                Ok(answer)
            }
        });
    }
    bench.answers(200, SSE, STREAM);
    let (response, took) = timed(bench.call(messages())).await;
    // 15 seconds of waits, and twice four for the provider.
    assert_eq!((response.status().as_u16(), took.as_secs()), (200, 23));
    assert_eq!(read(response).await, (PING.to_owned() + STREAM, true));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_money_gets_pings() {
    let bench = Bench::dollar();
    bench.shared.state().admits_and_stalls = true;
    let (response, took) = timed(bench.call(messages())).await;
    // The first second of the desk is no wait; after eleven it is given up.
    assert_eq!((response.status().as_u16(), took.as_secs()), (503, 11));
    let bench = Bench::paced(vec![budget("firm", "$1", Mode::StopNew)], Vec::new(), Vec::new());
    bench.shared.state().admits_and_stalls = true;
    let (response, took) = timed(bench.call(messages())).await;
    assert_eq!((response.status().as_u16(), took.as_secs()), (200, 16));
    let (text, is_whole) = read(response).await;
    assert!(is_whole && text.contains("ledger_closed"), "{text}");
    assert_eq!(bench.open_holds(), 0);
}
