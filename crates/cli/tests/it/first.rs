//! The first minutes: what README promises somebody who has just built it.

use crate::provider::messages;
use crate::world::World;

const HELLO: &str = r#"{"model": "rehearsal", "max_tokens": 200, "messages": [{"role": "user", "content": "Hello"}]}"#;

/// Two tokens of input at $3 a million, seventeen words of greeting at $15.
const COST: u64 = 2 * 3_000 + 17 * 15_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_first_call_makes_every_budget_go_down_by_exactly_its_cost() {
    let world = World::new("");
    let server = world.serve();
    let answer = server.post("/v1/messages", &[], HELLO).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["usage"]["output_tokens"], 17);
    for name in ["x-almoner-call", "x-almoner-prices", "x-almoner-left", "x-almoner-limit"] {
        assert!(answer.header(name).is_some(), "{name} in {:?}", answer.headers);
    }
    assert_eq!(answer.header("x-almoner-level"), Some("none"));
    assert_eq!(answer.header("x-almoner-cap"), None, "nothing was capped");

    let status = world.json(&["status"]);
    let accounts = status["accounts"].as_array().unwrap();
    let names: Vec<&str> = accounts.iter().map(|account| account["account"].as_str().unwrap()).collect();
    assert_eq!(names, ["all sessions", "each session [session=none]"]);
    for limit in accounts.iter().flat_map(|account| account["limits"].as_array().unwrap()) {
        let spent = if limit["meter"] == "usd" { COST } else { 19 };
        assert_eq!(limit["spent"], spent, "{limit}");
        assert_eq!(limit["left"].as_u64().unwrap(), limit["amount"].as_u64().unwrap() - spent, "{limit}");
        assert_eq!((&limit["held"], &limit["assumed"]), (&0.into(), &0.into()), "{limit}");
    }
    assert!(world.ok(&["status"]).contains("$0.000261 spent"), "{}", world.ok(&["status"]));
    server.stop();
}

#[test]
fn serve_says_where_it_listens_what_is_in_force_and_what_to_export() {
    let world = World::new("");
    let server = world.serve();
    server.says(&format!("export ANTHROPIC_BASE_URL=http://{}", server.addr));
    server.says(&format!("export OPENAI_BASE_URL=http://{}/v1", server.addr));
    server.says("budget `each session` (throttle): 100k uncached_tokens / sliding 1h");
    let log = server.stop();
    assert!(log.contains("told to stop"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_restart_remembers_what_was_spent() {
    let world = World::new("");
    let server = world.serve();
    server.post("/v1/messages", &[], HELLO).await;
    server.stop();
    let server = world.serve();
    assert_eq!(server.account("all sessions").limits[2].spent, COST);
    assert_eq!(server.post("/v1/messages", &[], HELLO).await.status, 200);
    assert_eq!(server.settled("each session").spent, 2 * 19);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_real_model_without_a_credential_gets_its_dialects_own_401() {
    let world = World::new("");
    let server = world.serve();
    let anthropic = server.post("/v1/messages", &[], &messages("claude-sonnet-4-5", 100, "Hello")).await;
    assert_eq!((anthropic.status, &anthropic.json()["type"]), (401, &"error".into()));
    assert_eq!(anthropic.json()["error"]["type"], "authentication_error");
    let said = anthropic.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(said.contains("no credential for `anthropic`"), "{said}");
    let call = r#"{"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}"#;
    let chat = server.post("/v1/chat/completions", &[], call).await;
    assert_eq!((chat.status, &chat.json()["error"]["code"]), (401, &"invalid_api_key".into()), "{}", chat.text());
    // Nothing was sent, so nothing is spent or held.
    assert_eq!(server.settled("all sessions").spent, 0);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_unknown_model_is_refused_with_the_names_that_are_near() {
    let world = World::new("");
    let server = world.serve();
    let own = [("x-api-key", "sk-own")];
    let answer = server.post("/v1/messages", &own, &messages("claude-sonnet-4-6x", 100, "Hello")).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert_eq!(answer.json()["error"]["type"], "permission_error");
    assert_eq!(answer.json()["error"]["almoner"]["code"], "price_missing");
    let said = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(said.contains("claude-sonnet-4-6"), "{said}");
    // A provider that names its models serves no other.
    let answer = server.post("/v1/chat/completions", &own, r#"{"model": "rehearsa1", "messages": []}"#).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_server_tells_that_it_lives_and_what_it_is() {
    let world = World::new("");
    let server = world.serve();
    for path in ["/healthz", "/readyz", "/", "/api/hello"] {
        for method in ["GET", "HEAD"] {
            let line = format!("{method} {path} HTTP/1.1");
            let answer = crate::raw::send(server.addr, &crate::raw::request(&line, &[("host", "localhost")], ""));
            let none = method == "GET" && path.starts_with("/api");
            assert!(none || crate::raw::status(&answer) == 200, "{line}: {answer}");
        }
    }
    server.stop();
}
