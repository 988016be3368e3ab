//! Who leaves in the middle: clients, providers, the server itself. Nothing that was paid for is lost from the books.

use almoner_testkit::Patience;
use almoner_testkit::truth::Delivery;
use serde_json::json;

use crate::provider::{chat, messages, messages_stream, truth, until, world, world_at};
use crate::server::look_until;

const ROOMY: &str = "[[budget]]\nname = \"roomy\"\nlimit = \"$100\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_whose_client_leaves_is_read_on_and_settled_exactly() {
    let truth = truth().await;
    let world = world(&truth, "", ROOMY);
    let server = world.serve();
    let pace = [("x-truth-chunk-ms", "20"), ("x-truth-output", "64")];
    for (path, body) in [
        ("/v1/messages", messages_stream("truth-1", 200, "Hello")),
        ("/v1/chat/completions", chat("truth-1", 200, "Hello", &json!({ "stream": true }))),
    ] {
        let left = server.stay(path, &pace, &body, Patience::Bytes(1)).await.unwrap();
        assert!(!left.complete);
        let ended = server.explain(&left, true).record["ended"].clone();
        assert_eq!(ended["outcome"], "settled", "{ended}");
    }
    let limit = server.settled("roomy");
    assert_eq!((limit.spent, limit.assumed), (truth.bill().get(), 0));
    assert!(truth.calls().iter().all(|call| call.delivery == Delivery::Done), "every answer was read to its end");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_answer_whose_client_does_not_wait_for_it_is_settled_too() {
    let truth = truth().await;
    let world = world(&truth, "", ROOMY);
    let server = world.serve();
    let gated = [("x-truth-gate", "true")];
    let call = messages("truth-1", 200, "Hello");
    tokio::select! {
        answer = server.post("/v1/messages", &gated, &call) => panic!("{}", answer.text()),
        () = until(&truth, |totals| totals.billed == 1) => {}
    }
    truth.release(1);
    server.until(|status| status.open_holds == 0);
    let limit = server.settled("roomy");
    assert_eq!((limit.spent, limit.assumed), (truth.bill().get(), 0));
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_rest_that_does_not_come_in_time_stays_charged_as_held() {
    let truth = truth().await;
    let world = world(&truth, "drain_max = \"200ms\"", ROOMY);
    let server = world.serve();
    let slow = [("x-truth-chunk-ms", "150")];
    let left = server.stay("/v1/messages", &slow, &messages_stream("truth-1", 200, "Hello"), Patience::Bytes(0)).await;
    assert_eq!(left.unwrap().status, 200);
    let limit = server.settled("roomy");
    assert!(limit.spent == 0 && limit.assumed >= truth.bill().get(), "{limit:?}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_answer_whose_client_does_not_wait_for_it_is_waited_for_no_longer_than_others_that_leave() {
    let truth = truth().await;
    let world = world(&truth, "drain_max = \"200ms\"", ROOMY);
    let server = world.serve();
    let gated = [("x-truth-gate", "true")];
    for call in [messages("truth-1", 200, "Hello"), messages_stream("truth-1", 200, "Hello")] {
        let before = truth.totals().billed;
        tokio::select! {
            answer = server.post("/v1/messages", &gated, &call) => panic!("{}", answer.text()),
            () = until(&truth, |totals| totals.billed == before + 1) => {}
        }
        // Nothing comes from the provider, which opens its gate to nobody.
        server.until(|status| status.open_holds == 0);
    }
    let limit = server.settled("roomy");
    assert!(limit.spent == 0 && limit.assumed >= truth.bill().get(), "{limit:?}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_that_leaves_while_the_provider_is_silent_is_noticed_before_it_speaks_again() {
    let truth = truth().await;
    let world = world(&truth, "drain_max = \"200ms\"", ROOMY);
    let server = world.serve();
    // Longer than any test waits.
    let slow = [("x-truth-chunk-ms", "120000")];
    let left = server.stay("/v1/messages", &slow, &messages_stream("truth-1", 200, "Hello"), Patience::Bytes(0)).await;
    assert_eq!(left.unwrap().status, 200);
    let limit = server.settled("roomy");
    assert!(limit.spent == 0 && limit.assumed >= truth.bill().get(), "{limit:?}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_provider_that_falls_silent_is_given_up_and_its_call_stays_charged() {
    let truth = truth().await;
    let world = world(&truth, "provider_idle_max = \"300ms\"", ROOMY);
    let server = world.serve();
    // In the middle of a stream: what came stays, and an error in the dialect's own form ends it.
    let stuck = [("x-truth-chunk-ms", "60000")];
    let answer = server.post("/v1/messages", &stuck, &messages_stream("truth-1", 200, "Hello")).await;
    assert_eq!(answer.status, 200);
    // Before the first byte.
    let gated = [("x-truth-gate", "true")];
    let answer = server.post("/v1/messages", &gated, &messages("truth-1", 200, "Hello")).await;
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (504, &"timeout_error".into()), "{}", answer.text());
    let limit = server.settled("roomy");
    assert!(limit.spent == 0 && limit.assumed >= truth.bill().get(), "{limit:?}");
    server.until(|status| status.assumed_holds == 2);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_provider_that_hangs_up_before_its_answer_may_have_been_paid() {
    let truth = truth().await;
    let world = world(&truth, "", ROOMY);
    let server = world.serve();
    let answer = server.post("/v1/messages", &[("x-truth-reset", "true")], &messages("truth-1", 200, "Hello")).await;
    assert!((502..=504).contains(&answer.status), "{}", answer.text());
    let limit = server.settled("roomy");
    assert!(limit.spent == 0 && limit.assumed >= truth.bill().get(), "{limit:?}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_runs_is_cut_when_the_money_is_gone_and_the_mode_says_so() {
    let truth = truth().await;
    let budget = "[[budget]]\nname = \"strict\"\nlimit = \"$1\"\nmode = \"kill-running\"\n";
    let world = world(&truth, "", budget);
    let server = world.serve();
    let stuck = [("x-truth-chunk-ms", "300"), ("x-truth-output", "1000")];
    let running = messages_stream("truth-1", 2000, "Hello");
    let (cut, ()) = tokio::join!(server.post("/v1/messages", &stuck, &running), async {
        until(&truth, |totals| totals.billed == 1).await;
        world.ok(&["usage", "add", "--cost", "$0.99", "--reason", "elsewhere"]);
        let refused = server.post("/v1/messages", &[], &messages("truth-1", 2000, "Hello")).await;
        assert_eq!(refused.status, 402, "{}", refused.text());
    });
    assert_eq!(cut.status, 200);
    let text = cut.text();
    assert!(text.contains("event: error") && text.contains("cut_running"), "{text}");
    assert!(!text.contains("message_stop"), "a cut answer is never told as complete: {text}");
    let ended = server.explain(&cut, true).record["ended"].clone();
    assert_eq!(ended["outcome"], "assumed", "{ended}");
    assert!(ended["because"].as_str().unwrap().contains("spent"), "{ended}");
    let limit = server.settled("strict");
    assert!(limit.assumed >= truth.bill().get(), "{limit:?}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_runs_is_cut_when_its_limit_is_lowered_below_what_is_charged() {
    let truth = truth().await;
    let budget = "[[budget]]\nname = \"strict\"\nlimit = \"$1\"\nmode = \"kill-running\"\n";
    let world = world(&truth, "", budget);
    let server = world.serve();
    let stuck = [("x-truth-chunk-ms", "300"), ("x-truth-output", "1000")];
    let running = chat("truth-1", 2000, "Hello", &json!({ "stream": true }));
    let (cut, ()) = tokio::join!(server.post("/v1/chat/completions", &stuck, &running), async {
        until(&truth, |totals| totals.billed == 1).await;
        world.ok(&["budgets", "set", "strict", "$0.001"]);
    });
    let text = cut.text();
    assert!(text.contains("cut_running") && !text.contains("\"finish_reason\":\"stop\""), "{text}");
    server.until(|status| status.assumed_holds == 1);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_is_told_to_stop_lets_a_stream_finish_and_tells_all_others_to_come_again() {
    let truth = truth().await;
    let world = world(&truth, "", ROOMY);
    let server = world.serve();
    let addr = server.addr;
    let pace = [("x-truth-gate", "true"), ("x-truth-chunk-ms", "20")];
    let call = messages_stream("truth-1", 200, "Hello");
    let (answer, ()) = tokio::join!(server.post("/v1/messages", &pace, &call), async {
        until(&truth, |totals| totals.billed == 1).await;
        server.signal(rustix::process::Signal::TERM);
        server.says("told to stop");
        // Whoever comes now is told to come again, in words of their own, by a server that lives and is not ready.
        assert!(look_until(|| (server.probe("/readyz") == 503).then_some(())).is_some());
        assert_eq!(server.probe("/healthz"), 200);
        for (path, body) in [
            ("/v1/messages", messages("truth-1", 200, "Hello")),
            ("/v1/chat/completions", chat("truth-1", 200, "Hello", &json!({}))),
        ] {
            let late = server.post(path, &[], &body).await;
            assert_eq!((late.status, late.header("x-almoner-code")), (503, Some("stopping")), "{}", late.text());
            assert_eq!(late.json()["error"]["type"], "api_error", "{}", late.text());
            assert!(late.header("retry-after").is_some() && late.header("x-should-retry").is_none(), "{path}");
        }
        let told = world.ok(&["status"]);
        assert!(told.contains("draining, 1 call running"), "{told}");
        let exec = world.run(&["exec", "--budget", "$1", "--", "true"]);
        assert!(exec.code != Some(0) && exec.err.contains("told to stop"), "{exec:?}");
        assert_eq!(truth.totals().billed, 1);
        truth.release(1);
    });
    assert!(answer.complete && answer.text().contains("message_stop"), "{}", answer.text());
    assert!(crate::server::exited_well(server));
    assert!(std::net::TcpStream::connect(addr).is_err(), "the port is closed in the end");
    let server = world.serve();
    let limit = server.limit("roomy");
    assert_eq!((limit.spent, limit.assumed), (truth.bill().get(), 0));
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_is_told_to_stop_does_not_wait_for_ever() {
    let truth = truth().await;
    let world = world(&truth, "drain_max = \"300ms\"", ROOMY);
    let server = world.serve();
    let stuck = [("x-truth-chunk-ms", "60000")];
    let call = messages_stream("truth-1", 200, "Hello");
    let (answer, ()) = tokio::join!(server.post("/v1/messages", &stuck, &call), async {
        until(&truth, |totals| totals.billed == 1).await;
        server.signal(rustix::process::Signal::TERM);
    });
    assert!(!answer.text().contains("message_stop"), "{}", answer.text());
    assert!(crate::server::exited_well(server));
    let server = world.serve();
    let limit = server.limit("roomy");
    assert!(limit.spent == 0 && limit.assumed >= truth.bill().get(), "{limit:?}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_whose_client_has_gone_keeps_a_draining_server_at_the_port() {
    let truth = truth().await;
    let world = world(&truth, "", ROOMY);
    let server = world.serve();
    let gated = [("x-truth-gate", "true")];
    let call = messages("truth-1", 200, "Hello");
    tokio::select! {
        answer = server.post("/v1/messages", &gated, &call) => panic!("{}", answer.text()),
        () = until(&truth, |totals| totals.billed == 1) => {}
    }
    server.signal(rustix::process::Signal::TERM);
    server.says("told to stop");
    // No connection is left that waits for an answer, and the call is not over.
    assert!(look_until(|| (server.probe("/readyz") == 503).then_some(())).is_some());
    assert_eq!(server.post("/v1/messages", &[], &call).await.status, 503);
    truth.release(1);
    assert!(crate::server::exited_well(server));
    let server = world.serve();
    let limit = server.limit("roomy");
    assert_eq!((limit.spent, limit.assumed), (truth.bill().get(), 0));
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_that_leaves_its_stream_unread_counts_as_gone() {
    let truth = truth().await;
    let settings = "max_output = 10_000_000\nstream_idle_max = \"300ms\"\n";
    let world = world(&truth, settings, "[[budget]]\nname = \"roomy\"\nlimit = \"$10000\"\n");
    let server = world.serve();
    // More than every buffer on the way can hold.
    let body = messages_stream("truth-1", 5_000_000, "Hello");
    let headers = [("host", "localhost"), ("content-type", "application/json"), ("x-truth-output", "cap")];
    let length = body.len().to_string();
    let headers = [&headers[..], &[("content-length", &length)]].concat();
    let mut stream = crate::raw::connect(server.addr);
    std::io::Write::write_all(&mut stream, &crate::raw::request("POST /v1/messages HTTP/1.1", &headers, &body))
        .unwrap();
    until(&truth, |totals| totals.billed == 1 && totals.open == 0).await;
    let limit = server.settled("roomy");
    assert_eq!((limit.spent, limit.assumed), (truth.bill().get(), 0));
    drop(stream);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_provider_that_never_says_a_word_is_given_up() {
    // It takes connections and nothing else.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let world = world_at(silent.local_addr().unwrap(), "provider_idle_max = \"300ms\"", ROOMY);
    let server = world.serve();
    let answer = server.post("/v1/chat/completions", &[], &chat("truth-1", 200, "Hello", &json!({}))).await;
    assert_eq!(answer.status, 504, "{}", answer.text());
    assert!(server.settled("roomy").assumed > 0);
    server.stop();
}
