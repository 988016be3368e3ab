//! Gemini through the gateway: both forms of its streams, its credential, and how its calls end.

use almoner_units::{Meter, Mode};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;

use crate::world::{Bench, budget, read, settle_down};

const BODY: &str =
    r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"generationConfig":{"maxOutputTokens":100}}"#;
const FIRST: &str = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":{"promptTokenCount":9}}"#;
const LAST: &str = r#"{"candidates":[{"content":{"parts":[{"text":"b"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":2,"thoughtsTokenCount":5}}"#;

fn post(path: &str, body: &str) -> Request<Full<Bytes>> {
    let request = Request::post(path).header("host", "127.0.0.1:4141").header("content-type", "application/json");
    request.body(Full::new(body.to_owned().into())).unwrap()
}

fn path(method: &str) -> String {
    format!("/v1beta/models/gemini-2.5-flash:{method}")
}

fn charged(bench: &Bench) -> Vec<(u64, u64)> {
    let state = bench.shared.state();
    state
        .reports
        .iter()
        .map(|report| (report.outcome.charge[Meter::InputTokens], report.outcome.charge[Meter::OutputTokens]))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_settled_at_its_end_in_both_of_its_forms() {
    let sse = [format!("data: {FIRST}\r\n\r\n"), format!("data: {LAST}\r\n\r\n"), String::new()];
    let array = [format!("[{FIRST}\n"), format!(",\r\n{LAST}\n"), "]\n".to_owned()];
    for (query, kind, pieces) in
        [("?alt=sse", "text/event-stream", sse), ("", "application/json; charset=UTF-8", array)]
    {
        let bench = Bench::dollar();
        let mut provider = bench.writes(kind);
        let answer = bench.call(post(&format!("{}{query}", path("streamGenerateContent")), BODY)).await;
        assert_eq!(answer.headers()["x-almoner-level"], "none");
        let client = tokio::spawn(read(answer));
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            provider.send_data(piece.clone().into()).await.unwrap();
            settle_down().await;
        }
        drop(provider);
        assert_eq!(client.await.unwrap(), (pieces.concat(), true), "byte for byte");
        assert_eq!((bench.ends(), charged(&bench)), (vec!["settled"], vec![(9, 7)]), "thoughts are output");
        let sent = bench.shared.state().sent[0].uri().to_string();
        assert_eq!(sent, format!("http://gemini.test{}{query}", path("streamGenerateContent")));
    }
}

#[tokio::test(start_paused = true)]
async fn an_array_is_passed_on_while_it_grows_and_closed_where_it_is_cut() {
    let bench = Bench::dollar();
    let mut provider = bench.writes("application/json");
    let client = tokio::spawn(read(bench.call(post(&path("streamGenerateContent"), BODY)).await));
    provider.send_data(format!("[{FIRST}").into()).await.unwrap();
    settle_down().await;
    bench.shared.state().cuts.pop().unwrap().send("the budget is spent".to_owned()).unwrap();
    let (text, is_whole) = client.await.unwrap();
    let told: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert!(is_whole && told.len() == 2, "{text}");
    assert!(told[1]["error"]["message"].as_str().unwrap().contains("the budget is spent"));
    assert_eq!(bench.ends(), ["assumed"]);
}

#[tokio::test]
async fn what_ends_before_its_reason_is_assumed() {
    for (query, kind, body) in [
        ("?alt=sse", "text/event-stream", format!("data: {FIRST}\n\n")),
        ("", "application/json", format!("[{FIRST}]")),
    ] {
        let bench = Bench::dollar();
        let mut provider = bench.writes(kind);
        let client =
            tokio::spawn(read(bench.call(post(&format!("{}{query}", path("streamGenerateContent")), BODY)).await));
        provider.send_data(body.into()).await.unwrap();
        drop(provider);
        client.await.unwrap();
        assert_eq!(bench.ends(), ["assumed"]);
    }
}

#[tokio::test]
async fn the_credential_of_a_query_goes_on_in_its_header_and_no_other_way() {
    let bench = Bench::dollar();
    bench.answers(200, &[("content-type", "application/json")], "{}");
    bench.call(post(&format!("{}?key=AIzaOwn&alt=json", path("generateContent")), BODY)).await;
    {
        let state = bench.shared.state();
        assert_eq!(state.sent[0].uri().query(), Some("alt=json"));
        assert_eq!(state.sent[0].headers()["x-goog-api-key"], "sk-own");
        assert!(!format!("{:?}", state.reports).contains("AIza"));
    }
    let unknown = bench.call(post(&format!("{}?key=alm_unknown", path("generateContent")), BODY)).await;
    assert_eq!(unknown.status(), 401);
}

#[tokio::test]
async fn a_refusal_of_googles_is_released_also_in_an_array() {
    for body in [r#"{"error":{"code":503,"message":"busy"}}"#, r#"[{"error":{"code":503,"message":"busy"}}]"#] {
        let bench = Bench::dollar();
        bench.answers(503, &[("content-type", "application/json")], body);
        let answer = bench.call(post(&path("streamGenerateContent"), BODY)).await;
        assert_eq!((answer.status().as_u16(), read(answer).await.0), (503, body.to_owned()));
        assert_eq!(bench.ends(), ["released"]);
    }
}

#[tokio::test]
async fn what_has_no_bound_is_refused_by_name_where_a_budget_refuses() {
    let search = r#"{"contents":[{"parts":[{"text":"hi"}]}],"tools":[{"googleSearch":{}}]}"#;
    let refused = Bench::dollar().call(post(&path("generateContent"), search)).await;
    assert_eq!(refused.status(), 403);
    let said = read(refused).await.0;
    assert!(said.contains("`googleSearch`") && said.contains("PERMISSION_DENIED"), "{said}");
    let watched = Bench::new(vec![budget("watch", "$1", Mode::Warn)]);
    watched.answers(200, &[("content-type", "application/json")], LAST);
    assert_eq!(watched.call(post(&path("generateContent"), search)).await.status(), 200);
    assert_eq!(charged(&watched), [(9, 7)]);
}

#[tokio::test]
async fn no_money_is_said_as_google_would() {
    let bench = Bench::new(vec![budget("firm", "$0.000001", Mode::StopNew)]);
    bench.answers(200, &[("content-type", "application/json")], r#"{"totalTokens":3}"#);
    let refused = bench.call(post(&path("streamGenerateContent"), BODY)).await;
    let asked = bench.shared.state().sent.iter().map(|sent| sent.uri().path().to_owned()).collect::<Vec<_>>();
    assert_eq!(asked, [path("countTokens")], "what does not fit by its bytes is counted, and then refused");
    assert_eq!((refused.status().as_u16(), &refused.headers()["x-should-retry"]), (402, &"false".parse().unwrap()));
    let said: serde_json::Value = serde_json::from_str(&read(refused).await.0).unwrap();
    assert_eq!((&said["error"]["code"], &said["error"]["status"]), (&402.into(), &"FAILED_PRECONDITION".into()));
    assert_eq!(said["error"]["almoner"]["budget"], "firm");
}

#[tokio::test]
async fn a_count_of_tokens_costs_nothing() {
    let bench = Bench::dollar();
    bench.answers(200, &[("content-type", "application/json")], r#"{"totalTokens":3}"#);
    let answer = bench.call(post("/v1/models/gemini-2.5-flash:countTokens?key=AIza", BODY)).await;
    assert_eq!(read(answer).await.0, r#"{"totalTokens":3}"#);
    assert_eq!((bench.ends().len(), bench.shared.state().reports.len()), (0, 0));
    let sent = bench.shared.state().sent[0].uri().to_string();
    assert_eq!(sent, "http://gemini.test/v1/models/gemini-2.5-flash:countTokens");
}

#[tokio::test]
async fn no_client_leaves_out_of_an_answer_what_it_costs() {
    let bench = Bench::dollar();
    bench.answers(200, &[("content-type", "application/json")], LAST);
    let mut request = post(&format!("{}?fields=candidates&alt=json", path("generateContent")), BODY);
    request.headers_mut().insert("x-goog-fieldmask", "candidates".parse().unwrap());
    assert_eq!(bench.call(request).await.status(), 200);
    let state = bench.shared.state();
    assert_eq!(state.sent[0].uri().query(), Some("alt=json"));
    assert!(!state.sent[0].headers().contains_key("x-goog-fieldmask"));
}
