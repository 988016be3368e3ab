//! What is told of a call's time: what we added to it, and how long its answer took to begin.

use std::time::Duration;

use almoner_gateway::provider_paces;
use almoner_policy::pace::Rates;
use almoner_units::Mode;
use hyper::body::Bytes;

use crate::retries::told;
use crate::routes::{JSON, MORE, OVERLOADED, WHOLE, firm};
use crate::world::{Bench, budget, read, settle_down};

/// What was added to each call, and how long each answer took to begin, in milliseconds.
fn times(bench: &Bench) -> Vec<(Option<u128>, Option<u128>)> {
    let millis = |time: Option<Duration>| time.map(|time| time.as_millis());
    let state = bench.shared.state();
    state.reports.iter().map(|call| (millis(call.outcome.added), millis(call.outcome.first_byte))).collect()
}

#[tokio::test(start_paused = true)]
async fn a_stream_begins_with_the_first_byte_after_its_head() {
    let bench = Bench::dollar();
    bench.shared.state().thinks = Duration::from_millis(7);
    let mut sender = bench.streams();
    let answer = bench.messages(",\"max_tokens\":10,\"stream\":true").await;
    for words in ["event: ping\ndata: {}\n\n", "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"] {
        tokio::time::sleep(Duration::from_millis(300)).await;
        sender.send_data(Bytes::from_static(words.as_bytes())).await.unwrap();
    }
    drop(sender);
    read(answer).await;
    settle_down().await;
    assert_eq!(times(&bench), [(Some(7), Some(300))]);
}

#[tokio::test(start_paused = true)]
async fn what_a_call_waits_for_its_turn_is_not_added_by_us() {
    let rule = provider_paces("anthropic", Rates { rpm: Some(1), tpm: None }, true).remove(0);
    let bench = Bench::paced(vec![budget("firm", "$100", Mode::StopNew)], Vec::new(), vec![rule]);
    bench.shared.state().thinks = Duration::from_millis(7);
    for _ in 0..2 {
        bench.answers(200, &[JSON], WHOLE);
        read(bench.messages(MORE).await).await;
    }
    assert!(bench.shared.state().reports[1].paced[0].waited.ms() > 50_000);
    let times = times(&bench);
    assert_eq!(times[0], (Some(7), Some(0)));
    // Waits are told in whole milliseconds.
    assert!((7..=8).contains(&times[1].0.unwrap()), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_further_try_has_nothing_added_to_it_and_a_call_that_does_not_go_has_no_times() {
    let bench = Bench::retrying(firm("$1"), Vec::new());
    bench.answers(529, &[JSON], OVERLOADED).answers(200, &[JSON], WHOLE);
    let answer = bench.messages(MORE).await;
    assert_eq!(told(&answer).0, "2");
    assert_eq!(times(&bench), [(Some(0), Some(0)), (None, Some(0))]);
    let poor = Bench::new(firm("$0.000001"));
    poor.answers(404, &[JSON], "{}");
    poor.messages(MORE).await;
    assert_eq!(times(&poor), [(None, None)]);
}
