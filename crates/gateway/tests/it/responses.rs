//! Calls in the words of OpenAI's Responses.

use almoner_gateway::Verdict;
use almoner_units::{Meter, Mode};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;

use crate::world::{Bench, budget, read, settle_down};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
const CREATED: &str = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r\",\
                       \"status\":\"in_progress\",\"usage\":null}}\n\n";
const COMPLETED: &str = "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\
                         \"status\":\"completed\",\"model\":\"gpt-5.2\",\"output\":[],\"usage\":{\"input_tokens\":9,\
                         \"output_tokens\":4}}}\n\n";
const WHOLE: &str = "{\"id\":\"r\",\"object\":\"response\",\"status\":\"completed\",\"model\":\"gpt-5.2\",\
                     \"output\":[],\"usage\":{\"input_tokens\":9,\"output_tokens\":4}}";

#[tokio::test(start_paused = true)]
async fn a_stream_passes_as_it_comes_and_is_settled_before_its_end_is_seen() {
    let bench = Bench::new(vec![budget("firm", "$10", Mode::StopNew)]);
    let mut provider = bench.streams();
    let response = bench.responses(",\"stream\":true").await;
    assert_eq!(response.headers()["x-almoner-cap"], "none -> 28672");
    assert_eq!(bench.last_sent()["max_output_tokens"], 28_672);
    let client = tokio::spawn(read(response));
    for event in [CREATED, COMPLETED] {
        provider.send_data(event.into()).await.unwrap();
    }
    settle_down().await;
    assert_eq!(bench.ends(), ["settled"]);
    drop(provider);
    assert_eq!(client.await.unwrap(), (format!("{CREATED}{COMPLETED}"), true));
    let report = bench.shared.state().reports.pop().unwrap();
    assert_eq!((report.route, report.outcome.charge[Meter::Tokens]), ("/v1/responses", 13));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_cut_ends_as_a_response_that_failed() {
    let bench = Bench::dollar();
    let mut provider = bench.streams();
    let client = tokio::spawn(read(bench.responses(",\"stream\":true").await));
    provider.send_data(CREATED.into()).await.unwrap();
    settle_down().await;
    let cut = bench.shared.state().cuts.pop().unwrap();
    cut.send("the budget `firm` is spent".to_owned()).unwrap();
    let (text, whole) = client.await.unwrap();
    assert!(whole && text.starts_with(CREATED), "{text}");
    assert!(text[CREATED.len()..].starts_with("event: response.failed\ndata: {"), "{text}");
    assert_eq!(bench.ends(), ["assumed"]);
}

#[tokio::test]
async fn what_is_not_in_the_body_holds_a_whole_window() {
    let held = async |more: &str| {
        let bench = Bench::new(vec![budget("firm", "1000M tokens", Mode::StopNew)]);
        bench.answers(200, &JSON, WHOLE);
        assert_eq!(bench.responses(more).await.status(), 200, "{more}");
        let report = bench.shared.state().reports.pop().unwrap();
        let Verdict::Admitted { held, .. } = report.verdict else { panic!("{:?}", report.verdict) };
        held[Meter::InputTokens]
    };
    assert!(held("").await < 3_000);
    assert_eq!(held(",\"previous_response_id\":\"resp_1\"").await, 272_000);
    assert_eq!(held(",\"conversation\":\"conv_1\"").await, 272_000);
    // Five searches, one more sampling to hear that there is no sixth, and what was asked.
    let searching = held(",\"tools\":[{\"type\":\"web_search\"}]").await;
    assert!((6 * 272_000..6 * 272_000 + 6_000).contains(&searching), "{searching}");
}

#[tokio::test]
async fn what_cannot_be_metered_is_refused_by_name_where_a_budget_refuses() {
    for (more, name) in [
        (",\"background\":true", "what an answer in the `background` costs is not metered; leave it out"),
        (",\"prompt\":{\"id\":\"p\"}", "what a stored `prompt` costs is not metered; leave it out"),
        (",\"tools\":[{\"type\":\"mcp\"}]", "the provider may use `mcp` without limit"),
        (",\"tools\":[{\"type\":\"image_generation\"}]", "what a use of `image_generation` costs on `gpt-5.2`"),
    ] {
        let response = Bench::dollar().responses(more).await;
        assert_eq!(response.status(), 400, "{more}");
        let (text, _) = read(response).await;
        assert!(text.contains(name) && text.contains("\"code\":\"unboundable\""), "{text}");
        let warned = Bench::new(vec![budget("firm", "$1", Mode::Warn)]);
        warned.answers(200, &JSON, WHOLE);
        assert_eq!(warned.responses(more).await.status(), 200, "{more}");
    }
}

#[tokio::test]
async fn searches_are_paid() {
    let bench = Bench::new(vec![budget("firm", "$100", Mode::StopNew)]);
    let answer = "{\"id\":\"r\",\"object\":\"response\",\"status\":\"completed\",\"model\":\"gpt-5.2\",\
        \"output\":[{\"type\":\"web_search_call\",\"action\":{\"type\":\"search\"}}],\
        \"usage\":{\"input_tokens\":0,\"output_tokens\":0}}";
    bench.answers(200, &JSON, answer);
    assert_eq!(bench.responses(",\"tools\":[{\"type\":\"web_search\"}]").await.status(), 200);
    assert_eq!(bench.last_sent()["max_tool_calls"], 5);
    let report = bench.shared.state().reports.pop().unwrap();
    assert_eq!(report.outcome.charge[Meter::Usd], 10_000_000);
}

#[tokio::test]
async fn an_agent_goes_on_without_a_search_that_is_large_for_its_budget() {
    const TOOLS: &str = ",\"tools\":[{\"type\":\"function\",\"name\":\"f\"},{\"type\":\"web_search\"}]";
    let sent = async |dollars: &str, more: &str| {
        let bench = Bench::new(vec![budget("firm", dollars, Mode::StopNew)]);
        bench.answers(200, &JSON, WHOLE);
        let response = bench.responses(more).await;
        assert_eq!(response.status(), 200, "{more}");
        let told = response.headers().get("x-almoner-dropped").map(|names| names.to_str().unwrap().to_owned());
        let sent = bench.last_sent();
        (sent["tools"].as_array().map_or(0, Vec::len), sent["max_tool_calls"].as_u64(), told)
    };
    assert_eq!(sent("$2", TOOLS).await, (1, None, Some("tools.web_search".to_owned())));
    assert_eq!(sent("$1000", TOOLS).await, (2, Some(5), None));
    // On a model whose searches have no price there is no bound with them.
    let unpriced = format!("{TOOLS},\"model\":\"gpt-5.4\"").replacen(",", "", 1);
    let bench = Bench::new(vec![budget("firm", "$1000", Mode::StopNew)]);
    bench.answers(200, &JSON, WHOLE);
    let body = format!("{{\"input\":\"hi\",{unpriced}}}");
    assert_eq!(bench.call(crate::world::ask("/v1/responses", body)).await.status(), 200);
    assert_eq!(bench.last_sent()["tools"].as_array().unwrap().len(), 1);
    // Who insists on a search, or brings nothing else, means to search: that is refused, and says why.
    for more in [format!("{TOOLS},\"tool_choice\":\"required\""), ",\"tools\":[{\"type\":\"web_search\"}]".to_owned()] {
        let bench = Bench::new(vec![budget("firm", "$2", Mode::StopNew)]);
        bench.answers(404, &JSON, "{}");
        assert_eq!(bench.responses(&more).await.status(), 429, "{more}");
    }
}

#[tokio::test]
async fn a_web_socket_is_refused_so_that_codex_posts_at_once() {
    let bench = Bench::dollar();
    let request = Request::get("/v1/responses").header("host", "localhost").header("upgrade", "websocket");
    let response = bench.call(request.header("connection", "upgrade").body(Full::new(Bytes::new())).unwrap()).await;
    assert_eq!(response.status(), 426);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("send the same with POST"));
}

#[tokio::test]
async fn an_empty_budget_ends_codex_with_a_reason() {
    let bench = Bench::new(vec![budget("firm", "10 tokens", Mode::StopNew)]);
    // It is asked to count before the call is refused by its bytes.
    bench.answers(404, &JSON, "{}");
    let response = bench.responses("").await;
    assert_eq!((response.status().as_u16(), &response.headers()["x-should-retry"]), (429, &"false".parse().unwrap()));
    assert!(response.headers()["x-codex-promo-message"].to_str().unwrap().contains("budget `firm`"));
    let (text, _) = read(response).await;
    assert!(text.contains("\"type\":\"usage_limit_reached\""), "{text}");
}
