//! What may come in, and what goes on.

use std::sync::Arc;

use http_body_util::Full;
use http_body_util::channel::Channel;
use hyper::Request;
use hyper::body::Bytes;

use almoner_gateway::{KeyFacts, Verdict};
use almoner_units::Mode;

use crate::world::{Bench, BoxError, budget, post, read, settle_down};

const WHOLE: &str = "{\"type\":\"message\",\"model\":\"claude-opus-5\",\"stop_reason\":\"end_turn\",\
                     \"usage\":{\"input_tokens\":10,\"output_tokens\":10}}";

fn get(path: &str, host: &str) -> Request<Full<Bytes>> {
    Request::get(path).header("host", host).body(Full::default()).unwrap()
}

#[tokio::test]
async fn a_page_of_another_machine_is_told_nothing_not_even_which_paths_there_are() {
    let bench = Bench::dollar();
    for path in ["/", "/readyz", "/v1/models", "/nothing", "/k/alm_x/v1/messages"] {
        assert_eq!(bench.call(get(path, "evil.example")).await.status(), 403, "{path}");
    }
    assert_eq!(bench.call(get("/nothing", "localhost")).await.status(), 404);
}

#[tokio::test]
async fn a_packed_body_is_refused_before_it_is_read_as_something_else() {
    let bench = Bench::dollar();
    let mut request = post("/v1/messages", "claude-opus-5", ",\"max_tokens\":10");
    request.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    assert_eq!(bench.call(request).await.status(), 403);
    bench.answers(200, &[("content-type", "application/json")], WHOLE);
    let mut request = post("/v1/messages", "claude-opus-5", ",\"max_tokens\":10");
    request.headers_mut().insert("content-encoding", "identity".parse().unwrap());
    assert_eq!(bench.call(request).await.status(), 200);
}

#[tokio::test]
async fn who_asks_whether_calls_are_let_through_is_told_when_they_are_not() {
    let bench = Bench::dollar();
    assert_eq!(bench.call(get("/readyz", "localhost")).await.status(), 200);
    bench.shared.state().is_closed = true;
    assert_eq!(bench.call(get("/readyz", "localhost")).await.status(), 503);
    assert_eq!(bench.call(get("/healthz", "localhost")).await.status(), 200);
}

#[tokio::test]
async fn a_call_can_be_explained_while_it_runs() {
    let bench = Bench::dollar();
    let provider = bench.streams();
    let response = bench.messages(",\"stream\":true,\"max_tokens\":10").await;
    {
        let state = bench.shared.state();
        assert_eq!((state.decided.len(), state.reports.len()), (1, 0));
    }
    drop(provider);
    read(response).await;
    settle_down().await;
    let state = bench.shared.state();
    assert_eq!((state.decided.len(), state.reports.len()), (1, 1));
}

#[tokio::test]
async fn a_tool_that_brings_in_an_unknown_model_is_refused_only_where_a_budget_refuses() {
    let tool = ",\"max_tokens\":10,\"tools\":[{\"type\":\"advisor_20260301\",\"name\":\"advisor\",\
                \"model\":\"no-such-model\",\"max_uses\":1}]";
    assert_eq!(Bench::dollar().messages(tool).await.status(), 403);
    let watched = Bench::new(vec![budget("watch", "$1", Mode::Warn)]);
    watched.answers(200, &[("content-type", "application/json")], WHOLE);
    assert_eq!(watched.messages(tool).await.status(), 200);
}

#[tokio::test]
async fn a_count_that_broke_off_is_no_count() {
    let bench = Bench::dollar();
    let provider = bench.streams();
    provider.abort("reset".into());
    let response = bench.call(post("/v1/messages/count_tokens", "claude-opus-5", "")).await;
    assert_eq!(response.status(), 502);
}

#[tokio::test]
async fn where_no_budget_counts_a_call_the_ledger_is_not_asked() {
    let bench = Bench::new(Vec::new());
    bench.answers(200, &[("content-type", "application/json")], "{\"type\":\"message\"}");
    assert_eq!(bench.messages(",\"max_tokens\":100").await.status(), 200);
    let state = bench.shared.state();
    assert_eq!((state.ledger.seq(), state.ends.len()), (0, 0));
    assert!(matches!(state.reports[0].verdict, Verdict::Unbudgeted));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_to_its_end_is_told_so_on_a_connection_that_then_ends() {
    let bench = Bench::dollar();
    for path in ["/v1/messages", "/v1/chat/completions"] {
        for (breaks, expected) in [(false, (408, "too_slow")), (true, (400, "broke_off"))] {
            let (mut sender, body) = Channel::<Bytes, BoxError>::new(1);
            let request = Request::post(path).header("host", "localhost").header("content-type", "application/json");
            let asking = tokio::spawn(Arc::clone(&bench.gateway).handle(request.body(body).unwrap()));
            sender.send_data(Bytes::from_static(b"{")).await.unwrap();
            // Else it stays, and never sends the rest.
            let _stays = if breaks {
                sender.abort("reset".into());
                None
            } else {
                Some(sender)
            };
            let answer = asking.await.unwrap();
            let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
            assert_eq!((answer.status().as_u16(), header("x-almoner-code").unwrap()), expected, "{path}");
            assert_eq!(header("connection"), Some("close"), "{path}");
        }
    }
    assert!(bench.shared.state().sent.is_empty());
}

#[tokio::test]
async fn a_key_that_ends_while_its_call_comes_in_lets_it_no_further() {
    let bench = Bench::dollar();
    let mut facts = KeyFacts::anyone();
    facts.labels.set("key".parse().unwrap(), "ci-1".parse().unwrap());
    bench.shared.state().keys.insert("alm_ci".to_owned(), Arc::new(facts));
    bench.answers(200, &[("content-type", "application/json")], WHOLE);
    for (path, ends, expected) in [("/v1/messages", false, 200), ("/v1/messages", true, 401)] {
        let (mut sender, body) = Channel::<Bytes, BoxError>::new(1);
        let request = Request::post(path).header("host", "localhost").header("content-type", "application/json");
        let request = request.header("x-almoner-key", "alm_ci").body(body).unwrap();
        let asking = tokio::spawn(Arc::clone(&bench.gateway).handle(request));
        sender.send_data(Bytes::from_static(b"{\"model\":\"claude-opus-5\",\"max_tokens\":10,")).await.unwrap();
        settle_down().await;
        if ends {
            bench.shared.state().keys.clear();
        }
        sender.send_data(Bytes::from_static(b"\"messages\":[]}")).await.unwrap();
        drop(sender);
        assert_eq!(asking.await.unwrap().status(), expected);
    }
    assert_eq!(bench.open_holds(), 0);
    assert_eq!(bench.shared.state().sent.len(), 1);
}

#[tokio::test]
async fn a_provider_that_tells_less_than_it_can_have_used_is_booked_and_noticed() {
    let text = "word ".repeat(8_000);
    let answer = |output: u64| {
        let body = format!(
            "{{\"choices\":[{{\"index\":0,\"finish_reason\":\"stop\",\"message\":{{\"content\":\"{text}\"}}}}],\
             \"usage\":{{\"prompt_tokens\":9,\"completion_tokens\":{output}}}}}"
        );
        &*body.leak()
    };
    for (output, noticed) in [(8_000, false), (1, true)] {
        let bench = Bench::dollar();
        bench.answers(200, &[("content-type", "application/json")], answer(output));
        assert_eq!(bench.chat(",\"max_tokens\":9000").await.status(), 200);
        let report = bench.shared.state().reports.pop().unwrap();
        assert_eq!(report.outcome.usage.output, Some(output));
        let is_marked = report.outcome.unbounded.iter().any(|what| what.starts_with("implausible usage"));
        assert_eq!(is_marked, noticed, "{:?}", report.outcome.unbounded);
    }
}
