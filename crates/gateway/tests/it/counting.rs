//! A call that its bytes keep out, and a count lets in.

use almoner_gateway::Verdict;
use almoner_units::{Meter, Mode};

use crate::world::{Bench, budget};

const CHAT: &str = "{\"id\":\"c\",\"model\":\"gpt-4o\",\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"}],\
                    \"usage\":{\"prompt_tokens\":2008,\"completion_tokens\":10}}";

/// A second message of two thousand words, of five bytes each.
fn long(content: &str) -> String {
    let words = "word ".repeat(2_000);
    format!(",\"max_tokens\":1000,\"messages\":[{{\"role\":\"user\",\"content\":{}}}]", content.replace('$', &words))
}

fn chat(more: &str) -> hyper::Request<http_body_util::Full<hyper::body::Bytes>> {
    ask("/v1/chat/completions", "gpt-4o", more)
}

fn ask(path: &str, model: &str, more: &str) -> hyper::Request<http_body_util::Full<hyper::body::Bytes>> {
    let body = format!("{{\"model\":\"{model}\"{more}}}");
    let request = hyper::Request::post(path).header("host", "localhost");
    request.header("content-type", "application/json").body(http_body_util::Full::new(body.into())).unwrap()
}

#[tokio::test]
async fn plain_text_for_a_published_vocabulary_is_counted_here() {
    // Loads the vocabulary, which takes long where nothing is optimised.
    almoner_policy::count_text(almoner_policy::Encoding::O200kBase, "x", &mut || true);
    let bench = Bench::new(vec![budget("firm", "8k tokens", Mode::StopNew)]);
    bench.answers(200, &[("content-type", "application/json")], CHAT);
    assert_eq!(bench.call(chat(&long("\"$\""))).await.status(), 200);
    let report = bench.shared.state().reports.pop().unwrap();
    let Verdict::Admitted { held, .. } = report.verdict else { panic!("{:?}", report.verdict) };
    // A token a word, and 2 % and 64 more.
    assert!((2_000..2_200).contains(&held[Meter::InputTokens]), "{held:?}");
    assert_eq!(report.outcome.charge[Meter::Tokens], 2018);
}

#[tokio::test]
async fn what_the_provider_counts_itself_is_held_by_its_count() {
    const MESSAGE: &str = "{\"type\":\"message\",\"model\":\"claude-opus-5\",\"stop_reason\":\"end_turn\",\
                           \"usage\":{\"input_tokens\":2008,\"output_tokens\":10}}";
    let bench = Bench::new(vec![budget("firm", "8k tokens", Mode::StopNew)]);
    let json = [("content-type", "application/json")];
    bench.answers(200, &json, "{\"input_tokens\":2008}").answers(200, &json, MESSAGE);
    assert_eq!(bench.call(ask("/v1/messages", "claude-opus-5", &long("\"$\""))).await.status(), 200);
    let state = bench.shared.state();
    let paths: Vec<&str> = state.sent.iter().map(|request| request.uri().path()).collect();
    assert_eq!(paths, ["/v1/messages/count_tokens", "/v1/messages"]);
    let Verdict::Admitted { held, .. } = state.reports[0].verdict else { panic!("{:?}", state.reports[0].verdict) };
    assert!((2_008..2_200).contains(&held[Meter::InputTokens]), "{held:?}");
    assert_eq!(state.reports[0].outcome.charge[Meter::Tokens], 2018);
}

#[tokio::test]
async fn what_is_not_plain_text_is_bounded_by_its_bytes() {
    let bench = Bench::new(vec![budget("firm", "8k tokens", Mode::StopNew)]);
    let part = long("[{\"type\":\"text\",\"text\":\"$\"}]");
    assert_eq!(bench.call(chat(&part)).await.status(), 402);
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_that_comes_again_and_again_is_counted_once() {
    let bench = Bench::new(vec![budget("firm", "2k tokens", Mode::StopNew)]);
    let json = [("content-type", "application/json")];
    bench.answers(200, &json, "{\"input_tokens\":2008}");
    for _ in 0..20 {
        assert_eq!(bench.call(ask("/v1/messages", "claude-opus-5", &long("\"$\""))).await.status(), 402);
    }
    assert_eq!(bench.shared.state().sent.len(), 1);
    // Where the provider did not count it, it is asked again after a while.
    let other = || ask("/v1/messages", "claude-opus-4-5", &long("\"$\""));
    bench.answers(500, &json, "{}");
    for _ in 0..20 {
        assert_eq!(bench.call(other()).await.status(), 402);
    }
    bench.answers(200, &json, "{\"input_tokens\":2008}");
    tokio::time::advance(std::time::Duration::from_secs(11)).await;
    assert_eq!(bench.call(other()).await.status(), 402);
    assert_eq!(bench.shared.state().sent.len(), 3);
}
