//! Calls that a provider did not take, sent again: each try holds for itself, in its time, and never twice for what may
//! have been billed.

use std::future::Future;
use std::task::{Context, Waker};

use almoner_gateway::{KeyFacts, UpstreamError};
use almoner_units::Mode;
use http_body_util::BodyExt;
use hyper::Response;
use tokio::time::Instant;

use crate::routes::{JSON, MORE, OVERLOADED, WHOLE, firm, header, route, sent, spent};
use crate::world::{Bench, budget, post, read, settle_down};

fn bench() -> Bench {
    Bench::retrying(firm("$1"), Vec::new())
}

fn status<B>(response: &Response<B>) -> u16 {
    response.status().as_u16()
}

/// How many tries the client is told of, and whether it is told to leave it at that.
pub(crate) fn told<B>(response: &Response<B>) -> (String, bool) {
    let attempts = header(response, "x-almoner-attempts").pop().unwrap_or_else(|| "1".to_owned());
    (attempts, header(response, "x-should-retry") == ["false"])
}

/// Seconds since, in tenths.
fn tenths(begun: Instant) -> u128 {
    begun.elapsed().as_millis() / 100
}

#[tokio::test(start_paused = true)]
async fn who_is_too_busy_is_asked_again_after_a_wait() {
    for status_first in [429, 500, 502, 503, 504, 529] {
        let bench = bench();
        bench.answers(status_first, &[JSON], OVERLOADED).answers(200, &[JSON], WHOLE);
        let begun = Instant::now();
        let response = bench.messages(MORE).await;
        assert_eq!((status(&response), told(&response)), (200, ("2".to_owned(), false)), "{status_first}");
        assert!((5..=10).contains(&tenths(begun)), "half a second to a second");
        assert_eq!((bench.ends(), bench.open_holds()), (vec!["released", "settled"], 0));
        let state = bench.shared.state();
        let [first, second] = &state.reports[..] else { panic!("{:?}", state.reports) };
        let stop = second.stop.clone().unwrap();
        assert!(first.outcome.goes_on && !second.outcome.goes_on);
        assert_eq!((stop.route, stop.continues), (None, Some(first.id)), "each try is a call of its own");
        let because = stop.because.unwrap();
        assert!(because.starts_with(&format!("`anthropic` answered {status_first}; it was tried again after ")));
    }
}

#[tokio::test(start_paused = true)]
async fn every_try_has_a_hold_of_its_own_and_none_while_it_waits() {
    let bench = bench();
    bench.answers(529, &[JSON], OVERLOADED).answers(529, &[JSON], OVERLOADED).answers(200, &[JSON], WHOLE);
    let mut asking = Box::pin(bench.messages(MORE));
    let mut seen = Vec::new();
    for _ in 0..50 {
        if std::future::poll_fn(|context| std::task::Poll::Ready(asking.as_mut().poll(context))).await.is_ready() {
            break;
        }
        seen.push((sent(&bench).len(), bench.open_holds()));
        tokio::time::advance(std::time::Duration::from_millis(100)).await;
    }
    assert!(seen.iter().all(|(_, open)| *open == 0) && seen.iter().any(|(sent, _)| *sent == 2), "{seen:?}");
    assert_eq!(bench.ends(), ["released", "released", "settled"]);
    let ids: std::collections::BTreeSet<_> = bench.shared.state().ends.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn after_five_retries_the_client_is_told_to_leave_it_at_that() {
    let bench = bench();
    (0..6).for_each(|_| {
        bench.answers(529, &[JSON], OVERLOADED);
    });
    let begun = Instant::now();
    let response = bench.messages(MORE).await;
    assert_eq!((status(&response), told(&response)), (529, ("6".to_owned(), true)));
    assert!((155..=310).contains(&tenths(begun)), "1 + 2 + 4 + 8 + 16 seconds, of which half is certain");
    assert_eq!(read(response).await.0, OVERLOADED, "the provider's own answer");
    assert_eq!(bench.ends(), ["released"; 6]);
    // A client that comes back all the same is asked for once, and not six times.
    bench.answers(529, &[JSON], OVERLOADED);
    let response = bench.messages(MORE).await;
    assert_eq!((status(&response), told(&response)), (529, ("1".to_owned(), true)));
    // Whoever asks for something else is no such client; nor is this one, once it has been served.
    bench.answers(529, &[JSON], OVERLOADED).answers(200, &[JSON], WHOLE);
    assert_eq!(status(&bench.messages(",\"max_tokens\":101").await), 200);
    tokio::time::advance(std::time::Duration::from_secs(121)).await;
    bench.answers(529, &[JSON], OVERLOADED).answers(200, &[JSON], WHOLE);
    assert_eq!(told(&bench.messages(MORE).await).0, "2");
}

#[tokio::test(start_paused = true)]
async fn what_the_provider_asks_for_is_obeyed() {
    let table = [
        (&[("retry-after", "7")][..], OVERLOADED, 75..=80),
        (&[("retry-after-ms", "2500")], OVERLOADED, 30..=35),
        (&[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "0m9s")], OVERLOADED, 95..=100),
        (&[], "{\"error\":{\"message\":\"no\",\"details\":[{\"retryDelay\":\"4s\"}]}}", 45..=50),
    ];
    for (headers, body, expected) in table {
        let bench = bench();
        let headers: Vec<(&'static str, &'static str)> = headers.iter().copied().chain([JSON]).collect();
        bench.answers(429, &headers, body).answers(200, &[JSON], WHOLE);
        let begun = Instant::now();
        assert_eq!(status(&bench.messages(MORE).await), 200);
        assert!(expected.contains(&tenths(begun)), "{headers:?}: {}", tenths(begun));
    }
}

#[tokio::test(start_paused = true)]
async fn who_would_have_to_wait_too_long_is_told_so_at_once() {
    let bench = bench();
    bench.answers(429, &[JSON, ("retry-after", "3600")], OVERLOADED);
    let begun = Instant::now();
    let response = bench.messages(MORE).await;
    assert_eq!((status(&response), tenths(begun)), (429, 0));
    assert_eq!(header(&response, "retry-after"), ["3600"], "the client may wait for it");
    assert_eq!(told(&response), ("1".to_owned(), false));
    assert_eq!(read(response).await.0, OVERLOADED);
}

/// What a call that may wait for a minute comes to, whose money comes after so many seconds at each try, and how many
/// seconds that takes.
async fn waits(bench: &Bench, money_after: &[u64]) -> (u16, u128) {
    let spans = money_after.iter().map(|secs| almoner_units::Span::from_secs(*secs));
    bench.shared.state().money_comes_after.extend(spans);
    let begun = Instant::now();
    let status = status(&bench.messages(MORE).await);
    assert_eq!(bench.open_holds(), 0);
    (status, begun.elapsed().as_secs().into())
}

#[tokio::test(start_paused = true)]
async fn all_the_waits_of_a_call_have_one_bound() {
    let busy = || {
        let bench = bench();
        bench.answers(429, &[JSON, ("retry-after", "30")], OVERLOADED).answers(200, &[JSON], WHOLE);
        bench
    };
    assert_eq!(waits(&busy(), &[25, 0]).await, (200, 55), "what fits is waited for");
    assert_eq!(waits(&busy(), &[40, 0]).await, (429, 40), "who waited for money does not wait for as long again");
    assert_eq!(waits(&busy(), &[25, 10]).await, (429, 60), "nor for money, once it was tried again");
    let on = vec![route("opus", "claude-*", &["*@anthropic", "claude-haiku-4-5@anthropic"])];
    let bench = Bench::retrying(firm("$1"), on);
    bench.answers(529, &[JSON, ("x-should-retry", "false")], OVERLOADED).answers(200, &[JSON], WHOLE);
    assert_eq!(waits(&bench, &[40, 40]).await, (529, 60), "and no stop begins anew");
}

#[tokio::test(start_paused = true)]
async fn what_another_try_does_not_mend_is_the_clients_at_once() {
    const NO_QUOTA: &str =
        "{\"error\":{\"message\":\"no\",\"type\":\"insufficient_quota\",\"code\":\"insufficient_quota\"}}";
    for (status_first, body) in
        [(400, OVERLOADED), (401, OVERLOADED), (402, OVERLOADED), (404, OVERLOADED), (429, NO_QUOTA), (501, OVERLOADED)]
    {
        let bench = bench();
        bench.answers(status_first, &[JSON], body);
        let response = bench.messages(MORE).await;
        assert_eq!((status(&response), told(&response)), (status_first, ("1".to_owned(), false)));
    }
    let bench = Bench::routed(firm("$1"), Vec::new(), &[]);
    bench.answers(529, &[JSON], OVERLOADED);
    let response = bench.messages(MORE).await;
    assert_eq!((status(&response), told(&response)), (529, ("1".to_owned(), false)), "nor with `retries = 0`");
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_billed_is_not_bought_twice() {
    let bench = bench();
    bench.answers(502, &[("content-type", "text/html")], "<html>");
    assert_eq!(status(&bench.messages(MORE).await), 502);
    bench.then(|_| async { Err(UpstreamError::NoAnswer("anthropic.test".to_owned(), "reset".to_owned())) });
    assert_eq!(status(&bench.messages(MORE).await), 504);
    bench.then(|_| std::future::pending());
    assert_eq!(status(&bench.messages(MORE).await), 504);
    assert_eq!(bench.ends(), ["assumed"; 3]);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_reached_is_tried_until_it_is_known_to_be_down() {
    let unreachable = |bench: &Bench| {
        bench.then(|_| async { Err(UpstreamError::NeverSent("anthropic.test".to_owned(), "refused".to_owned())) });
    };
    let bench = bench();
    unreachable(&bench);
    bench.answers(200, &[JSON], WHOLE);
    assert_eq!(told(&bench.messages(MORE).await).0, "2", "one that starts again is not missed");
    (0..3).for_each(|_| unreachable(&bench));
    let begun = Instant::now();
    let response = bench.messages(MORE).await;
    assert_eq!((status(&response), told(&response).0.as_str()), (502, "3"));
    assert!(tenths(begun) <= 30, "three failures are enough to know");
    unreachable(&bench);
    let begun = Instant::now();
    assert_eq!((status(&bench.messages(MORE).await), tenths(begun)), (502, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_while_it_waits_is_waited_for_no_more() {
    let bench = bench();
    bench.answers(529, &[JSON], OVERLOADED);
    let mut asking = Box::pin(bench.messages(MORE));
    assert!(asking.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(asking);
    tokio::time::advance(std::time::Duration::from_secs(60)).await;
    settle_down().await;
    assert_eq!((bench.ends(), bench.open_holds(), sent(&bench).len()), (vec!["released"], 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_tells_who_waits_at_once() {
    let bench = bench();
    bench.answers(529, &[JSON, ("retry-after", "20")], OVERLOADED);
    let begun = Instant::now();
    let (response, ()) = tokio::join!(bench.messages(MORE), async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        bench.gateway.stop();
    });
    assert_eq!((status(&response), tenths(begun)), (529, 3));
}

#[tokio::test(start_paused = true)]
async fn money_that_ends_meanwhile_ends_the_call() {
    let bench = Bench::retrying(firm("1k tokens / day"), Vec::new());
    bench.answers(529, &[JSON], OVERLOADED);
    let (response, ()) = tokio::join!(bench.chat(MORE), async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        spent(&bench, 1000);
    });
    assert_eq!((status(&response), told(&response)), (402, ("2".to_owned(), true)));
    assert_eq!(header(&response, "x-almoner-budget"), ["firm"], "what stands in its way now is the money");
    assert_eq!(sent(&bench).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_ends_meanwhile_leads_no_further() {
    let bench = bench();
    let mut facts = KeyFacts::anyone();
    facts.labels.set("key".parse().unwrap(), "k-1".parse().unwrap());
    bench.shared.state().keys.insert("alm_1".to_owned(), std::sync::Arc::new(facts));
    bench.answers(529, &[JSON], OVERLOADED);
    let mut request = post("/v1/messages", "claude-opus-5", MORE);
    request.headers_mut().insert("x-almoner-key", "alm_1".parse().unwrap());
    let (response, ()) = tokio::join!(bench.call(request), async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        bench.shared.state().keys.clear();
    });
    assert_eq!((status(&response), sent(&bench).len()), (401, 1));
}

#[tokio::test(start_paused = true)]
async fn a_route_leads_on_before_anybody_waits() {
    let any = ["*@anthropic", "qwen3:8b@local: provider down"];
    let bench = Bench::retrying(firm("$1"), vec![route("opus", "claude-*", &any)]);
    bench.answers(529, &[JSON], OVERLOADED).answers(200, &[JSON], WHOLE);
    let begun = Instant::now();
    let response = bench.messages(MORE).await;
    assert_eq!((status(&response), tenths(begun), told(&response).0.as_str()), (200, 0, "1"));
    // Where everything failed, what was tried first is tried again first.
    let bench = Bench::retrying(firm("$1"), vec![route("opus", "claude-*", &any)]);
    bench.answers(529, &[JSON], OVERLOADED).answers(503, &[JSON], OVERLOADED).answers(200, &[JSON], WHOLE);
    let response = bench.messages(MORE).await;
    assert_eq!((status(&response), told(&response).0.as_str()), (200, "2"));
    assert_eq!(sent(&bench), ["claude-opus-5@anthropic", "qwen3:8b@local", "claude-opus-5@anthropic"]);
    let way = header(&response, "x-almoner-rerouted");
    assert!(way[1].starts_with("qwen3:8b@local to claude-opus-5@anthropic; because `local` answered 503; it was"));
    // What nobody waits for is tried again where it is.
    let bench = Bench::retrying(firm("$1"), vec![route("opus", "claude-*", &any)]);
    bench.answers(429, &[JSON], OVERLOADED).answers(529, &[JSON], OVERLOADED).answers(200, &[JSON], WHOLE);
    let response = bench.messages(MORE).await;
    assert_eq!(sent(&bench), ["claude-opus-5@anthropic", "claude-opus-5@anthropic", "qwen3:8b@local"]);
    assert_eq!((status(&response), told(&response).0.as_str()), (200, "2"));
}

#[tokio::test(start_paused = true)]
async fn all_the_tries_of_a_call_on_a_route_are_five() {
    let any = ["*@anthropic", "qwen3:8b@local"];
    let bench = Bench::retrying(firm("$1"), vec![route("opus", "claude-*", &any)]);
    (0..7).for_each(|_| {
        bench.answers(529, &[JSON], OVERLOADED);
    });
    let response = bench.messages(MORE).await;
    assert_eq!((status(&response), told(&response)), (529, ("6".to_owned(), true)));
    assert_eq!((sent(&bench).len(), bench.open_holds()), (7, 0));
}

#[tokio::test]
async fn an_error_without_end_is_told_in_our_words() {
    for (status_first, end) in [(400, "released"), (500, "assumed")] {
        let bench = Bench::new(vec![budget("firm", "$1", Mode::StopNew)]);
        bench.then(move |_| async move {
            let body = http_body_util::Full::new(hyper::body::Bytes::from(vec![b'x'; (1 << 20) + 1]));
            let mut answer = Response::new(almoner_gateway::UpstreamBody::new(body.map_err(|never| match never {})));
            *answer.status_mut() = status_first.try_into().unwrap();
            Ok(answer)
        });
        let response = bench.messages(MORE).await;
        assert_eq!((status(&response), header(&response, "x-almoner-code")), (status_first, vec!["unread".to_owned()]));
        let body: serde_json::Value = serde_json::from_str(&read(response).await.0).unwrap();
        let message = body.pointer("/error/message").unwrap().as_str().unwrap();
        assert!(message.contains(&format!("answered {status_first}, and its error could not be read")), "{message}");
        assert_eq!(bench.ends(), [end]);
    }
}
