//! What does not pass, or not as it was asked: caps, refusals, accounts, levels, priorities.

use almoner_api::{Reply, Request};
use almoner_testkit::{Answer, TruthProvider};
use serde_json::{Value, json};

use crate::provider::{chat, messages, messages_stream, truth, until, world};
use crate::server::Server;
use crate::world::World;

/// The facts for programs in a refusal.
fn facts(answer: &Answer) -> Value {
    answer.json()["error"]["almoner"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_that_asks_for_more_than_its_share_is_capped_and_told_so() {
    let truth = truth().await;
    let world = world(&truth, "max_output = 9000", "[[budget]]\nname = \"roomy\"\nlimit = \"$100\"\n");
    let server = world.serve();
    let asked = messages("truth-1", 128_000, "Hello");
    let answer = server.post("/v1/messages", &[], &asked).await;
    assert_eq!(answer.header("x-almoner-cap"), Some("128000 -> 9000"));
    let call = truth.calls().pop().unwrap();
    let received = String::from_utf8(call.request.unwrap().to_vec()).unwrap();
    assert_eq!(received, asked.replace("128000", "9000"), "nothing else is touched");
    // The answer is the one that the provider gave to the body that it got.
    assert_eq!(answer.body, call.answer.unwrap());
    // Who asks for no cap is given one, under the name that the dialect reads.
    let asked = r#"{"model":"truth-1","messages":[{"role":"user","content":"Hello"}]}"#;
    let answer = server.post("/v1/chat/completions", &[], asked).await;
    assert_eq!(answer.header("x-almoner-cap"), Some("none -> 4096"));
    assert_eq!(truth.calls().pop().unwrap().cap, 4096);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_money_is_said_in_each_dialects_own_form_and_ends_the_client() {
    let truth = truth().await;
    let world = world(&truth, "", "[[budget]]\nname = \"tiny\"\nlimit = \"$0.00001\"\n");
    let server = world.serve();
    let anthropic = server.post("/v1/messages", &[], &messages("truth-1", 200, "Hello")).await;
    let chat = server.post("/v1/chat/completions", &[], &chat("truth-1", 200, "Hello", &json!({}))).await;
    for answer in [&anthropic, &chat] {
        assert_eq!(answer.status, 402, "{}", answer.text());
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        assert_eq!(answer.header("retry-after"), None);
        assert_eq!(answer.header("x-almoner-code"), Some("no_money"));
        let facts = facts(answer);
        let told = ["budget", "meter", "unit", "limit", "spent", "held", "left", "level", "priority", "reason"];
        let expected = json!(["tiny", "usd", "nano_usd", "10000", "0", "0", "10000", "none", "normal", "too_large"]);
        // Chat's amounts are texts.
        let text = |fact: &Value| fact.as_u64().map_or_else(|| fact.clone(), |amount| amount.to_string().into());
        assert_eq!(Value::from(told.map(|name| text(&facts[name])).to_vec()), expected, "{facts}");
        assert!(facts["suggestion"].as_str().unwrap().contains("almoner budgets set tiny"), "{facts}");
        // The refusal is explained with the numbers of that moment.
        let explained = server.explain(answer, false);
        assert_eq!(explained.record["decided"]["decision"], "refused", "{}", explained.record);
        assert!(explained.record["decided"]["budgets_before"].is_array());
    }
    assert_eq!(anthropic.json()["error"]["type"], "billing_error");
    assert_eq!(chat.json()["error"]["code"], "insufficient_quota");
    assert_eq!(truth.totals().billed, 0);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn counting_tokens_is_free_and_never_blocked() {
    let truth = truth().await;
    let world = world(&truth, "", "[[budget]]\nname = \"tiny\"\nlimit = \"$0.00001\"\n");
    let server = world.serve();
    let question = r#"{"model":"truth-1","messages":[{"role":"user","content":"Hello"}]}"#;
    let answer = server.post("/v1/messages/count_tokens", &[], question).await;
    assert_eq!((answer.status, &answer.json()), (200, &json!({ "input_tokens": 502 })));
    assert_eq!((truth.totals().counts, truth.totals().billed), (1, 0));
    assert!(server.status().accounts.iter().all(|account| account.limits[0].spent == 0));
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_refused_whatever_is_left_is_a_403_and_what_is_no_request_a_400() {
    let truth = truth().await;
    let world = world(&truth, "strict = true", "[[budget]]\nname = \"roomy\"\nlimit = \"$100\"\n");
    let server = world.serve();
    let unpriced = server.post("/v1/messages", &[], &messages("truth-2", 200, "Hello")).await;
    assert_eq!((unpriced.status, &facts(&unpriced)["code"]), (403, &"price_missing".into()));
    let strange = r#"{"model":"truth-1","max_tokens":5,"teleport":true,"messages":[{"role":"user","content":"x"}]}"#;
    let strange = server.post("/v1/messages", &[], strange).await;
    assert_eq!((strange.status, &facts(&strange)["code"]), (403, &"unknown_member".into()), "{}", strange.text());
    for broken in ["", "{", r#"{"model":"truth-1","model":"truth-2","max_tokens":5,"messages":[]}"#, "[1]"] {
        let answer = server.post("/v1/messages", &[], broken).await;
        assert_eq!((answer.status, &facts(&answer)["code"]), (400, &"bad_body".into()), "{broken}: {}", answer.text());
    }
    let nowhere = server.post("/v1/nowhere", &[], "{}").await;
    assert_eq!((nowhere.status, &facts(&nowhere)["code"]), (404, &"not_found".into()));
    assert_eq!(truth.totals().billed + truth.totals().unbilled + truth.totals().strays, 0);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_provider_that_cannot_be_reached_costs_nothing() {
    // A port that was just given back: nobody listens there.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let world = crate::provider::world_at(gone, "", "[[budget]]\nname = \"roomy\"\nlimit = \"$100\"\n");
    let server = world.serve();
    let answer = server.post("/v1/messages", &[], &messages("truth-1", 200, "Hello")).await;
    assert_eq!((answer.status, &facts(&answer)["whose_fault"]), (502, &"provider".into()), "{}", answer.text());
    let limit = server.settled("roomy");
    assert_eq!((limit.spent, limit.assumed), (0, 0));
    server.stop();
}

const EACH: &str = r#"
[[budget]]
name = "each session"
per = ["session"]
limit = "$1"
[[budget]]
name = "each tag"
per = ["tag.team"]
limit = "$1"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_clients_say_about_themselves_parts_the_accounts() {
    let truth = truth().await;
    let world = world(&truth, "", EACH);
    let server = world.serve();
    let call = messages("truth-1", 200, "Hello");
    server.post("/v1/messages", &[("x-almoner-session", "one"), ("x-almoner-tags", "team=a")], &call).await;
    server.post("/v1/messages", &[("x-claude-code-session-id", "two")], &call).await;
    let user = r#"{"device_id":"d","account_uuid":"","session_id":"three"}"#;
    let body = json!({
        "model": "truth-1", "max_tokens": 200, "metadata": { "user_id": user },
        "messages": [{ "role": "user", "content": "Hello" }],
    });
    server.post("/v1/messages", &[], &body.to_string()).await;
    let status = server.until(|status| status.open_holds == 0);
    let accounts: Vec<_> = status.accounts.iter().map(|account| account.account.as_str()).collect();
    let expected = [
        "each session [session=one]",
        "each session [session=three]",
        "each session [session=two]",
        "each tag [tag.team=a]",
        "each tag [tag.team=none]",
    ];
    assert_eq!(accounts, expected);
    let each = truth.bill().get() / 3;
    assert!(status.accounts[..3].iter().all(|account| account.limits[0].spent == each), "{:#?}", status.accounts);
    assert_eq!(status.accounts[4].limits[0].spent, 2 * each);
    server.stop();
}

/// A server with one account in mode `throttle`, charged to so many percent.
async fn at_percent(percent: u64) -> (TruthProvider, World, Server) {
    let truth = truth().await;
    let budget = "[[budget]]\nname = \"shared\"\nlimit = \"1M tokens / 24h\"\nmode = \"throttle\"\n";
    let world = world(&truth, "wait_max = \"100ms\"", budget);
    let server = world.serve();
    let tokens = (percent * 10_000).to_string();
    let add = ["usage", "add", "--input", &tokens, "--cost", "$0", "--reason", "a test"];
    assert!(world.ok(&add).contains("on 1 account as"));
    assert_eq!(server.limit("shared").spent, percent * 10_000);
    (truth, world, server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_fuller_an_account_the_more_urgent_a_call_must_be() {
    // 402: refused at once; 429: it has waited in vain. The priority `critical` cannot be had by a header.
    let table = [
        (69, "none", [("low", 200), ("normal", 200), ("high", 200), ("critical", 200)]),
        (70, "warning", [("low", 200), ("normal", 200), ("high", 200), ("critical", 200)]),
        (80, "soft", [("low", 429), ("normal", 200), ("high", 200), ("critical", 200)]),
        (90, "hard", [("low", 402), ("normal", 402), ("high", 200), ("critical", 200)]),
        (95, "critical", [("low", 402), ("normal", 402), ("high", 402), ("critical", 402)]),
    ];
    for (percent, level, expected) in table {
        let (_truth, _world, server) = at_percent(percent).await;
        assert_eq!(server.account("shared").level, level);
        for (priority, status) in expected {
            let headers = [("x-almoner-priority", priority)];
            let answer = server.post("/v1/messages", &headers, &messages("truth-1", 200, "Hello")).await;
            let told = (answer.status, answer.header("x-almoner-level"));
            assert_eq!(told, (status, Some(level)), "{priority} at {percent} %: {}", answer.text());
            if status != 200 {
                assert_eq!(facts(&answer)["reason"], "level", "{}", answer.text());
                // What is asked above the key's highest priority is lowered to it.
                let counted = if priority == "critical" { "high" } else { priority };
                assert_eq!(facts(&answer)["priority"], counted);
            }
        }
        server.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_that_a_level_keeps_out_goes_as_soon_as_the_level_falls() {
    let truth = truth().await;
    let budget = "[[budget]]\nname = \"shared\"\nlimit = \"1M tokens / 24h\"\nmode = \"throttle\"\n";
    let world = world(&truth, "wait_max = \"30s\"", budget);
    let server = world.serve();
    world.ok(&["usage", "add", "--input", "850000", "--cost", "$0", "--reason", "a test"]);
    let call = messages("truth-1", 200, "Hello");
    let low = [("x-almoner-priority", "low")];
    let (answer, ()) = tokio::join!(server.post("/v1/messages", &low, &call), async {
        // Somebody more urgent passes meanwhile; then an operator makes room.
        assert_eq!(server.post("/v1/messages", &[], &call).await.status, 200);
        assert_eq!(truth.totals().billed, 1);
        world.ok(&["budgets", "reset", "shared", "--reason", "a test"]);
    });
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(truth.totals().billed, 2);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_that_only_calls_in_flight_keep_out_waits_for_them_and_is_told_to_slow_down_in_the_end() {
    let truth = truth().await;
    // Room for one such call at a time, and not for two.
    let world = world(&truth, "wait_max = \"300ms\"", "[[budget]]\nname = \"narrow\"\nlimit = \"6k tokens\"\n");
    let server = world.serve();
    let call = messages_stream("truth-1", 3000, "Hello");
    let gated = [("x-truth-gate", "true")];
    let (first, second) = tokio::join!(server.post("/v1/messages", &gated, &call), async {
        until(&truth, |totals| totals.billed == 1).await;
        let second = server.post("/v1/messages", &[], &call).await;
        truth.release(1);
        second
    });
    assert_eq!(first.status, 200);
    assert_eq!((second.status, second.header("x-almoner-code")), (429, Some("slow_down")), "{}", second.text());
    assert_eq!(facts(&second)["reason"], "held");
    assert_eq!(facts(&second)["retry_after_s"].to_string(), second.header("retry-after").unwrap());
    assert_eq!(second.header("x-should-retry"), None);
    // Now that the first has settled, the same call goes.
    assert_eq!(server.post("/v1/messages", &[], &call).await.status, 200);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_refusal_has_an_id_and_those_of_a_good_key_are_explained() {
    let truth = truth().await;
    let world = world(&truth, "", "[[budget]]\nname = \"team\"\nlimit = \"$100\"\n");
    let server = world.serve();
    let (name, key) = server.key(&["$1"], false);
    let by_key = [("x-almoner-key", key.as_str())];
    let broken = r#"{"model": "truth-1", "max_tokens": "#;
    let unpriced = messages("nobodys-model", 10, "x");
    for (body, code, status) in [(broken, "bad_body", 400), (&unpriced, "model_unknown", 403)] {
        let answer = server.post("/v1/messages", &by_key, body).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        let call = server.explain(&answer, false);
        let decided = &call.record["decided"];
        assert_eq!(decided["decision"], "rejected", "{decided}");
        assert!(decided["because"].as_str().unwrap().starts_with(code), "{decided}");
        assert_eq!(decided["labels"]["key"], name, "{decided}");
        assert!(world.ok(&["explain", &call.id]).contains(code));
    }
    let Reply::Summary(summary) = server.ask(&Request::KeySummary { key: name }) else { panic!("no summary") };
    assert_eq!((summary.calls, summary.refused), (0, 2));
    // Who has no good key, or asks for what there is not, is told an id, and nothing is kept.
    let stranger = server.post("/v1/messages", &[("x-api-key", "alm_guessed")], broken).await;
    let astray = server.post("/v1/nowhere", &by_key, broken).await;
    for answer in [&stranger, &astray] {
        let complaint = world.fails(&["explain", answer.header("x-almoner-call").unwrap()]);
        assert!(complaint.contains("refusals without a good key or a route are not kept"), "{complaint}");
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_header_that_is_not_heeded_is_told() {
    let truth = truth().await;
    let world = world(&truth, "", "[[budget]]\nname = \"team\"\nlimit = \"$1\"\n");
    let server = world.serve();
    let slips = [("x-almoner-sesion", "mine"), ("x-almoner-task", ""), ("x-almoner-priority", "critical")];
    let told = |answer: &Answer| {
        let warnings = answer.headers.get_all("x-almoner-warning").iter();
        let mut warnings: Vec<&str> = warnings.map(|value| value.to_str().unwrap()).collect();
        warnings.sort();
        assert_eq!(
            warnings,
            [
                "unknown header x-almoner-sesion, did you mean x-almoner-session",
                "x-almoner-priority critical counts as high, the most that this key allows",
                "x-almoner-task must have 1 to 128 characters, so it is ignored",
            ]
        );
    };
    let answer = server.post("/v1/messages", &slips, &messages("truth-1", 200, "Hello")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    told(&answer);
    let because = server.explain(&answer, true).record["decided"]["because"].to_string();
    assert!(because.contains("did you mean x-almoner-session"), "{because}");
    // One that the budget refuses is told as well.
    world.ok(&["usage", "add", "--cost", "$1", "--reason", "x"]);
    let refused = server.post("/v1/messages", &slips, &messages("truth-1", 200, "Hello")).await;
    assert_eq!(refused.status, 402, "{}", refused.text());
    told(&refused);
    server.stop();
}
