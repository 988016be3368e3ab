//! Every way out of a call: its hold ends, its cost is not lost, and its client hears the truth.

use std::future::Future;
use std::task::{Context, Waker};
use std::time::Duration;

use almoner_units::{Meter, Mode};
use hyper::body::Bytes;
use tokio::time::timeout;

use crate::world::{Bench, budget, post, read, settle_down, whole};

const STREAM: &str = ",\"stream\":true,\"max_tokens\":1000";

fn data(text: &str) -> Bytes {
    Bytes::from(text.to_owned())
}

fn start(input: u64) -> Bytes {
    data(&format!(
        "event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{{\"id\":\"m\",\"model\":\"claude-opus-5\",\
         \"usage\":{{\"input_tokens\":{input},\"output_tokens\":1}}}}}}\n\n"
    ))
}

fn delta(output: u64, stop: &str) -> Bytes {
    data(&format!(
        "event: message_delta\ndata: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":{stop}}},\
         \"usage\":{{\"output_tokens\":{output}}}}}\n\n"
    ))
}

fn stop() -> Bytes {
    data("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_between_the_yes_and_its_hearing_leaves_no_hold() {
    let bench = Bench::dollar();
    bench.shared.state().admits_and_stalls = true;
    let mut asking = Box::pin(bench.call(post("/v1/messages", "claude-opus-5", STREAM)));
    assert!(asking.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(bench.open_holds(), 1);
    drop(asking);
    assert_eq!((bench.open_holds(), bench.ends()), (0, vec!["released"]));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_while_its_answer_is_awaited_or_read_leaves_its_cost() {
    let whole = "{\"type\":\"message\",\"model\":\"claude-opus-5\",\"stop_reason\":\"end_turn\",\
                 \"usage\":{\"input_tokens\":10,\"output_tokens\":10}}";
    // Before the first byte of the answer is there, and in the middle of it.
    for told in [0, 20] {
        let bench = Bench::dollar();
        let mut provider = bench.writes("application/json");
        let mut asking = Box::pin(bench.call(post("/v1/messages", "claude-opus-5", ",\"max_tokens\":10")));
        if told > 0 {
            provider.send_data(data(&whole[..told])).await.unwrap();
        }
        let waited = std::future::poll_fn(|context| std::task::Poll::Ready(asking.as_mut().poll(context)));
        assert!(waited.await.is_pending());
        assert_eq!(bench.open_holds(), 1);
        assert_eq!(bench.shared.state().sent.len(), 1);
        drop(asking);
        provider.send_data(data(&whole[told..])).await.unwrap();
        drop(provider);
        settle_down().await;
        assert_eq!((bench.ends(), bench.open_holds()), (vec!["settled"], 0), "after {told} bytes");
        assert_eq!(bench.shared.state().reports[0].outcome.charge[Meter::Usd], 300_000);
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_body_is_read_aside_and_passes_as_it_is() {
    let large = format!(",\"max_tokens\":10,\"system\":\"{}\"", "x".repeat(300 << 10));
    let answer =
        "{\"type\":\"message\",\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}";
    let bench = Bench::new(vec![budget("firm", "$100", Mode::StopNew)]);
    bench.answers(200, &[("content-type", "application/json")], answer);
    assert_eq!(bench.messages(&large).await.status(), 200);
    assert_eq!(bench.ends(), ["settled"]);
    assert_eq!(bench.last_sent()["system"].as_str().map(str::len), Some(300 << 10));
    let twice = bench.messages(&format!("{large},\"max_tokens\":10")).await;
    assert_eq!(twice.status(), 400, "what is wrong in it is told all the same");
}

#[tokio::test]
async fn a_large_answer_is_read_aside_while_others_go_on() {
    let bench = Bench::dollar();
    let mut provider = bench.writes("application/json");
    let asking = tokio::spawn(bench.call(post("/v1/messages", "claude-opus-5", ",\"max_tokens\":10")));
    let text = "x".repeat(8 << 20);
    let answer = format!(
        "{{\"type\":\"message\",\"text\":\"{text}\",\"stop_reason\":\"end_turn\",\
         \"usage\":{{\"input_tokens\":9,\"output_tokens\":1}}}}"
    );
    provider.send_data(data(&answer)).await.unwrap();
    settle_down().await;
    drop(provider);
    // One turn of the lane takes the end of the answer; only what others do in the next ones shows that it is free.
    tokio::task::yield_now().await;
    assert_eq!(bench.ends(), Vec::<&str>::new(), "read in the lane");
    let answer = asking.await.unwrap();
    assert_eq!((answer.status().as_u16(), bench.ends()), (200, vec!["settled"]));
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_the_end_of_a_stream_passes_without_harm() {
    let bench = Bench::dollar();
    let mut provider = bench.streams();
    let client = tokio::spawn(read(bench.messages(STREAM).await));
    for part in [start(10), delta(5, "\"end_turn\""), stop()] {
        provider.send_data(part).await.unwrap();
    }
    settle_down().await;
    assert_eq!(bench.ends(), ["settled"]);
    for _ in 0..3 {
        provider.send_data(data(": more\n\n")).await.unwrap();
        settle_down().await;
    }
    drop(provider);
    let (text, whole) = client.await.unwrap();
    assert!(whole && text.ends_with(": more\n\n: more\n\n: more\n\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn usage_of_a_stream_that_broke_off_before_it_stopped_is_not_the_whole() {
    let bench = Bench::dollar();
    let mut provider = bench.streams();
    let client = tokio::spawn(read(bench.messages(STREAM).await));
    provider.send_data(start(10)).await.unwrap();
    // Some send the count so far, and more of the answer after it.
    provider.send_data(delta(5, "null")).await.unwrap();
    settle_down().await;
    provider.abort("reset".into());
    assert!(!client.await.unwrap().1);
    settle_down().await;
    assert_eq!(bench.ends(), ["assumed"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_just_stops_coming_before_it_stopped_is_not_the_whole() {
    let bench = Bench::dollar();
    let mut provider = bench.streams();
    let client = tokio::spawn(read(bench.messages(STREAM).await));
    provider.send_data(start(10)).await.unwrap();
    provider.send_data(delta(5, "null")).await.unwrap();
    drop(provider);
    client.await.unwrap();
    assert_eq!(bench.ends(), ["assumed"]);
}

#[tokio::test(start_paused = true)]
async fn one_of_two_choices_is_not_the_whole() {
    let bench = Bench::dollar();
    let mut provider = bench.streams();
    let client = tokio::spawn(read(bench.chat(",\"n\":2,\"stream\":true,\"max_tokens\":1000").await));
    let first = "data: {\"id\":\"c\",\"model\":\"gpt-4o\",\"choices\":[{\"index\":0,\"delta\":{},\
                 \"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":7}}\n\n";
    provider.send_data(data(first)).await.unwrap();
    settle_down().await;
    provider.abort("reset".into());
    client.await.unwrap();
    settle_down().await;
    assert_eq!(bench.ends(), ["assumed"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_while_the_provider_is_silent_is_noticed_at_once() {
    // A second is given to a provider whose client has gone, and five to one whose client stays.
    for (silent_ms, expected) in [(500, "settled"), (1500, "assumed")] {
        let bench = Bench::dollar();
        let mut provider = bench.streams();
        let response = bench.messages(STREAM).await;
        provider.send_data(start(10)).await.unwrap();
        settle_down().await;
        drop(response);
        settle_down().await;
        tokio::time::sleep(Duration::from_millis(silent_ms)).await;
        for rest in [delta(5, "\"end_turn\""), stop()] {
            // Nobody takes it any more where it comes too late.
            drop(provider.send_data(rest).await);
        }
        settle_down().await;
        assert_eq!(bench.ends(), [expected], "after {silent_ms} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_wait_for_a_whole_answer_or_its_first_byte_is_noticed_at_once() {
    const WHOLE: &str = "{\"type\":\"message\",\"model\":\"claude-opus-5\",\"stop_reason\":\"end_turn\",\
                         \"usage\":{\"input_tokens\":10,\"output_tokens\":10}}";
    // A second is given from the moment at which it leaves, in whichever way the provider is slow.
    for (silent_ms, expected) in [(500, "settled"), (1500, "assumed")] {
        let bench = Bench::dollar();
        let mut provider = bench.writes("application/json");
        let mut asking = Box::pin(bench.messages(",\"max_tokens\":1000"));
        assert!(timeout(Duration::from_millis(2000), asking.as_mut()).await.is_err(), "it takes two seconds so far");
        drop(asking);
        tokio::time::sleep(Duration::from_millis(silent_ms)).await;
        drop(provider.send_data(data(WHOLE)).await);
        drop(provider);
        settle_down().await;
        assert_eq!(bench.ends(), [expected], "the rest comes {silent_ms} ms after it left");

        let bench = Bench::dollar();
        bench.then(move |_| async move {
            tokio::time::sleep(Duration::from_millis(2000 + silent_ms)).await;
            let mut answer = hyper::Response::new(whole(WHOLE));
            answer.headers_mut().insert("content-type", "application/json".parse().unwrap());
            Ok(answer)
        });
        let mut asking = Box::pin(bench.messages(",\"max_tokens\":1000"));
        assert!(timeout(Duration::from_millis(2000), asking.as_mut()).await.is_err(), "it takes two seconds so far");
        drop(asking);
        tokio::time::sleep(Duration::from_millis(silent_ms + 1)).await;
        settle_down().await;
        assert_eq!(bench.ends(), [expected], "the first byte comes {silent_ms} ms after it left");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_a_stream_unread_does_not_see_it_end_well() {
    let bench = Bench::dollar();
    let mut provider = bench.streams();
    let response = bench.messages(STREAM).await;
    for _ in 0..64 {
        provider.send_data(start(10)).await.unwrap();
    }
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    drop(provider);
    settle_down().await;
    assert!(!read(response).await.1, "it was cut off, and must not look whole");
    assert_eq!(bench.ends(), ["assumed"]);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_neither_followed_nor_passed_on() {
    for (status, end) in [(301, "released"), (302, "assumed"), (303, "assumed"), (307, "released"), (308, "released")] {
        let bench = Bench::dollar();
        bench.answers(status, &[("location", "https://elsewhere.test/v1/messages")], "");
        let response = bench.messages(",\"max_tokens\":10").await;
        assert_eq!(response.status(), 502, "{status}");
        assert!(!response.headers().contains_key("location"));
        assert_eq!((bench.ends(), bench.shared.state().sent.len()), (vec![end], 1), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_refusal_in_the_providers_own_form_frees_the_hold_of_a_5xx() {
    let own = "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}";
    let table = [
        (529, own, "released"),
        (400, own, "released"),
        (404, "not here", "released"),
        (408, "", "assumed"),
        (499, "", "assumed"),
        (502, "<html>Bad gateway</html>", "assumed"),
        (504, "{\"error\":\"upstream timed out\"}", "assumed"),
        (500, "{\"error\":null}", "assumed"),
        (400, "{\"error\":{\"type\":\"x\",\"message\":\"y\"},\"usage\":{\"input_tokens\":9}}", "assumed"),
    ];
    for (status, body, end) in table {
        let bench = Bench::dollar();
        bench.answers(status, &[("content-type", "application/json")], body);
        let response = bench.messages(",\"max_tokens\":10").await;
        assert_eq!(response.status(), status);
        assert_eq!(read(response).await.0, body);
        assert_eq!(bench.ends(), [end], "{status} {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_tells_nothing_stays_assumed() {
    for (status, kind, body) in [
        (200, "text/html", "<html>"),
        (200, "application/json", ""),
        (204, "", ""),
        (200, "application/json", "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"no\"}}"),
        (200, "text/event-stream", ""),
        (101, "", ""),
    ] {
        let bench = Bench::dollar();
        bench.answers(status, &[("content-type", kind)], body);
        let response = bench.messages(",\"max_tokens\":10").await;
        read(response).await;
        settle_down().await;
        assert_eq!(bench.ends(), ["assumed"], "{status} {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_nothing_refuses_a_call_without_a_bound_goes_as_it_came_and_is_counted() {
    let bench = Bench::new(vec![budget("watch", "$1", Mode::Warn)]);
    let answer = "{\"type\":\"message\",\"model\":\"claude-opus-5\",\"stop_reason\":\"end_turn\",\
                  \"usage\":{\"input_tokens\":10,\"output_tokens\":10}}";
    bench.answers(200, &[("content-type", "application/json")], answer);
    let tools = ",\"tools\":[{\"type\":\"code_execution_20250825\",\"name\":\"code_execution\"}]";
    let response = bench.messages(tools).await;
    assert_eq!(response.status(), 200);
    assert!(response.headers().contains_key("x-almoner-unbounded"));
    assert_eq!(bench.last_sent()["max_tokens"], 4096);
    assert_eq!(bench.ends(), ["settled"]);
    let report = bench.shared.state().reports.pop().unwrap();
    assert_eq!(report.outcome.charge[Meter::Usd], 300_000);
    let almoner_gateway::Verdict::Admitted { held, .. } = report.verdict else { panic!("{:?}", report.verdict) };
    assert!(held[Meter::Usd] > 100_000_000 && held[Meter::Requests] == 1, "{held:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_stopped_before_it_is_whole_is_not_asked_for_again() {
    let bench = Bench::dollar();
    let _provider = bench.writes("application/json");
    let asking = tokio::spawn(bench.call(post("/v1/messages", "claude-opus-5", ",\"max_tokens\":10")));
    settle_down().await;
    let cutter = bench.shared.state().cuts.pop().unwrap();
    cutter.send("the budget is spent".to_owned()).unwrap();
    let response = asking.await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["x-should-retry"]), (402, &"false".parse().unwrap()));
    assert_eq!(bench.ends(), ["assumed"]);
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_answers_are_cut_twice_is_stopped_once_and_pays_nothing_for_it() {
    let bench = Bench::new(vec![budget("small", "$0.60", Mode::StopNew)]);
    let json = [("content-type", "application/json")];
    let cut = r#"{"type":"message","stop_reason":"max_tokens","usage":{"input_tokens":10,"output_tokens":5}}"#;
    let ask = ",\"max_tokens\":32000,\"metadata\":{\"user_id\":\"{\\\"session_id\\\":\\\"s1\\\"}\"}";
    for _ in 0..2 {
        bench.answers(200, &json, cut);
        let answer = bench.messages(ask).await;
        assert!(answer.status() == 200 && answer.headers().contains_key("x-almoner-cap"), "{answer:?}");
        read(answer).await;
    }
    let stopped = bench.messages(ask).await;
    assert_eq!((stopped.status().as_u16(), &stopped.headers()["x-almoner-code"]), (402, &"cut_short".parse().unwrap()));
    settle_down().await;
    // Nothing was sent for it, and nothing is held.
    assert_eq!((bench.ends(), bench.open_holds()), (vec!["settled", "settled", "released"], 0));
    bench.answers(200, &json, cut);
    assert_eq!(bench.messages(ask).await.status(), 200, "there is money left, so nobody is locked out");
}

#[test]
fn history_is_told_of_a_call_that_ends_with_its_server() {
    for (budgets, word) in [(vec![budget("firm", "$1", Mode::StopNew)], "assumed"), (Vec::new(), "unbudgeted")] {
        let bench = Bench::new(budgets);
        let lane = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut provider = bench.streams();
        let answer = lane.block_on(async {
            provider.send_data(start(10)).await.unwrap();
            bench.messages(STREAM).await
        });
        assert_eq!((answer.status().as_u16(), bench.shared.state().reports.len()), (200, 0));
        drop(lane);
        let reports = &bench.shared.state().reports;
        let told: Vec<_> = reports.iter().map(|report| (report.outcome.word, &*report.outcome.note)).collect();
        assert_eq!(told, [(word, "the call was dropped before its answer was read")]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_falls_over_a_fault_of_ours_ends_alone_and_keeps_its_hold() {
    let bench = Bench::dollar();
    bench.then(|_| async { panic!("on purpose") });
    assert_eq!(bench.messages("").await.status(), 500);
    let words: Vec<_> = bench.shared.state().reports.iter().map(|report| report.outcome.word).collect();
    assert_eq!((bench.ends(), words), (vec!["assumed"], vec!["assumed"]));
}

#[tokio::test(start_paused = true)]
async fn no_more_answers_are_waited_for_without_their_clients_than_there_is_room_for() {
    let bench = Bench::new(vec![budget("firm", "$1000", Mode::StopNew)]);
    for call in 1..=257 {
        bench.then(|_| std::future::pending());
        let mut asking = Box::pin(bench.call(post("/v1/messages", "claude-opus-5", ",\"max_tokens\":10")));
        assert!(asking.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(asking);
        settle_down().await;
        assert_eq!(bench.ends().len(), usize::from(call == 257), "after {call} calls");
    }
    assert_eq!(bench.ends(), ["assumed"]);
}

#[tokio::test]
async fn a_call_that_too_many_budgets_count_is_refused_by_their_names() {
    let budgets = |number: usize| (0..number).map(|at| budget(&format!("b{at:02}"), "$1", Mode::StopNew)).collect();
    let bench = Bench::new(budgets(17));
    let refused = bench.messages("").await;
    assert_eq!(refused.status(), 403);
    let said: serde_json::Value = serde_json::from_str(&read(refused).await.0).unwrap();
    assert_eq!(said["error"]["almoner"]["code"], "too_many_budgets", "{said}");
    let message = said["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("17 budgets count this call") && message.contains("b00, b01") && message.contains("merge")
    );
    let bench = Bench::new(budgets(16));
    bench.answers(200, &[("content-type", "application/json")], "{}");
    assert_eq!(bench.messages("").await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_cut_at_once_though_its_client_leaves_the_stream_unread() {
    let bench = Bench::dollar();
    let mut provider = bench.streams();
    let response = bench.messages(STREAM).await;
    for _ in 0..64 {
        provider.send_data(start(10)).await.unwrap();
    }
    settle_down().await;
    let cut_at = tokio::time::Instant::now();
    let cutter = bench.shared.state().cuts.pop().unwrap();
    cutter.send("the budget is spent".to_owned()).unwrap();
    settle_down().await;
    assert_eq!((bench.ends(), cut_at.elapsed()), (vec!["assumed"], Duration::ZERO));
    assert!(provider.send_data(start(10)).await.is_err(), "nobody reads the provider any more");
    let (text, _) = read(response).await;
    assert!(text.contains("the budget is spent"), "what it does read then ends with the reason");
}
