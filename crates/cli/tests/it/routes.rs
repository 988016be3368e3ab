//! Routes, from the configuration to the words of `explain`: a paid provider, and a free one that stands in.

use std::net::SocketAddr;

use almoner_api::{Reply, Request, StopInfo};
use almoner_testkit::TruthProvider;
use serde_json::json;

use crate::provider::{chat, messages, messages_stream, planned, truth, world_at};
use crate::world::World;

/// A world with the truth, whose budget leads to a free provider that speaks the same dialects.
fn with_local(truth: SocketAddr, local: &TruthProvider, budget: &str) -> World {
    let routes = format!(
        r#"
[[provider]]
name = "local"
dialects = ["anthropic", "openai-chat"]
base_url = "http://{}"
models = ["truth-local"]
free = true

[[route]]
name = "local"
where = {{ model = "truth-1" }}
first_byte_max = "20s"
to = [{{ provider = "truth" }}, {{ provider = "local", model = "truth-local" }}]

[[budget]]
name = "purse"
limit = "{budget}"
when_exhausted = {{ route = "local" }}
"#,
        local.addr()
    );
    world_at(truth, "", &routes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_conversation_goes_on_when_the_money_ends() {
    let (truth, local) = (truth().await, truth().await);
    let world = with_local(truth.addr(), &local, "$0.02");
    let server = world.serve();
    let bodies = [
        ("/v1/messages", messages("truth-1", 200, "Hello")),
        ("/v1/messages", messages_stream("truth-1", 200, "Hello")),
        ("/v1/chat/completions", chat("truth-1", 200, "Hello", &json!({}))),
        ("/v1/chat/completions", chat("truth-1", 200, "Hello", &json!({ "stream": true }))),
    ];
    let mut told = Vec::new();
    for (path, body) in bodies.iter().cycle().take(24) {
        let answer = server.post(path, &[("x-almoner-session", "one")], body).await;
        assert_eq!((answer.status, answer.complete), (200, true), "{}", answer.text());
        told.push(answer);
    }
    let free = told.iter().filter(|answer| answer.header("x-almoner-rerouted").is_some()).count();
    assert!((1..24).contains(&free), "the money ends in the middle: {free}");
    assert_eq!(local.calls().len(), free);
    assert!(local.calls().iter().all(|call| call.credential.is_none()), "nobody's key goes to the local one");
    assert!(truth.bill().get() <= 20_000_000, "the bill is within the budget: {:?}", truth.bill());
    let last = told.pop().unwrap();
    assert_eq!(last.header("x-almoner-route"), Some("local"));
    let record = server.explain(&last, true).record;
    let because = record["decided"]["because"].as_str().unwrap();
    assert!(because.contains("by route `local`"), "{record}");
    assert_eq!(record["decided"]["provider"], "local", "{record}");
    assert_eq!(record["ended"]["outcome"], "settled", "{record}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_provider_that_is_gone_is_passed_by_and_named_in_the_status() {
    let local = truth().await;
    // Nobody listens there any more.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let world = with_local(gone, &local, "$100");
    let server = world.serve();
    for _ in 0..5 {
        let answer = server.post("/v1/messages", &[], &messages("truth-1", 200, "Hello")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let status = world.ok(&["status"]);
    assert!(status.contains("provider `truth` is DOWN since "), "{status}");
    let Reply::Routes { routes } = server.ask(&Request::Routes) else { panic!("no routes") };
    let [route] = &routes[..] else { panic!("{routes:?}") };
    assert_eq!((route.route.as_str(), &route.budgets[..]), ("local", &["purse".to_owned()][..]));
    let who = |stop: &StopInfo| {
        let [provider] = &stop.providers[..] else { panic!("{stop:?}") };
        (provider.provider.clone(), provider.down)
    };
    let stops: Vec<_> = route.stops.iter().map(who).collect();
    assert_eq!(stops, [("truth".to_owned(), true), ("local".to_owned(), false)], "as it is now");
    let limit = server.settled("purse");
    assert_eq!(limit.spent + limit.assumed, 0, "what was never sent costs nothing");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_that_is_tried_again_says_so_to_its_client_and_in_explain() {
    let truth = planned("status=529").await;
    let world = world_at(truth.addr(), "", "[[budget]]\nname = \"roomy\"\nlimit = \"$100\"\n");
    let server = world.serve_in(&[("ALMONER_RETRIES", "1")]);
    let answer = server.post("/v1/messages", &[], &messages("truth-1", 200, "Hello")).await;
    assert_eq!((answer.status, answer.header("x-almoner-attempts")), (529, Some("2")), "{}", answer.text());
    assert_eq!((answer.header("x-should-retry"), truth.totals().unbilled), (Some("false"), 2));
    let record = server.explain(&answer, true).record;
    let because = record["decided"]["because"].as_str().unwrap();
    assert!(
        because.contains("continues call ") && because.contains("`truth` answered 529; it was tried again"),
        "{record}"
    );
    assert_eq!(record["ended"]["outcome"], "released", "{record}");
    let limit = server.settled("roomy");
    assert_eq!((limit.spent, limit.held), (0, 0));
    server.stop();
}
