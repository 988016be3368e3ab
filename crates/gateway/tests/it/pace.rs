//! Calls at a pace: they wait for their turn, hold no money meanwhile, and go in no burst.

use std::time::Duration;

use almoner_gateway::{Verdict, provider_paces};
use almoner_policy::pace::{PaceRule, Rates};
use almoner_policy::{Route, Target, When};
use almoner_units::{Mode, Span};
use tokio::time::Instant;

use crate::world::{Bench, budget, post, settle_down};

const ANSWER: &str =
    "{\"type\":\"message\",\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}";
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const SHORT: &str = ",\"max_tokens\":10";

fn rule(rpm: Option<u64>, tpm: Option<u64>) -> PaceRule {
    provider_paces("anthropic", Rates { rpm, tpm }, true).remove(0)
}

fn bench(rpm: u64) -> Bench {
    Bench::paced(vec![budget("firm", "$100", Mode::StopNew)], Vec::new(), vec![rule(Some(rpm), None)])
}

fn call(bench: &Bench) -> tokio::task::JoinHandle<(u16, Option<String>, Duration)> {
    let (call, begin) = (bench.call(post("/v1/messages", "claude-opus-5", SHORT)), Instant::now());
    tokio::spawn(async move {
        let answer = call.await;
        let after = answer.headers().get("retry-after").map(|after| after.to_str().unwrap().to_owned());
        (answer.status().as_u16(), after, begin.elapsed())
    })
}

#[tokio::test(start_paused = true)]
async fn a_call_beyond_the_pace_waits_for_its_turn_and_holds_no_money_meanwhile() {
    let bench = bench(2);
    for _ in 0..3 {
        bench.answers(200, JSON, ANSWER);
    }
    for _ in 0..2 {
        assert_eq!(call(&bench).await.unwrap().0, 200);
    }
    let third = call(&bench);
    settle_down().await;
    assert_eq!((bench.open_holds(), bench.shared.state().sent.len()), (0, 2));
    let view = bench.gateway.paces().remove(0);
    assert_eq!((view.pace.as_str(), view.used.requests, view.waiting), ("anthropic", 2, 1));
    let (status, _, took) = third.await.unwrap();
    assert_eq!(status, 200);
    assert!((60_000..=62_000).contains(&took.as_millis()), "{took:?}");
    let state = bench.shared.state();
    let paced = &state.reports[2].paced;
    assert_eq!((paced[0].pace.as_str(), paced[0].waited.ms() / 1000), ("anthropic", took.as_secs()));
    assert!(state.reports[0].paced.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_cannot_go_in_time_is_told_when_and_nothing_is_held_or_sent_for_it() {
    let bench = bench(1);
    bench.answers(200, JSON, ANSWER);
    assert_eq!(call(&bench).await.unwrap().0, 200);
    // Two may wait for the next two places within their time; the third would wait in vain.
    let waiting = [call(&bench), call(&bench), call(&bench)];
    bench.answers(200, JSON, ANSWER);
    let mut answers = Vec::new();
    for one in waiting {
        answers.push(one.await.unwrap());
    }
    let refused: Vec<_> = answers.iter().filter(|(status, ..)| *status == 429).collect();
    assert_eq!(refused.len(), 2, "{answers:?}");
    for (_, after, took) in refused {
        let after: u64 = after.as_ref().unwrap().parse().unwrap();
        assert!((1..=62).contains(&after), "{after}");
        assert!(took.as_secs() >= 119, "{took:?}");
    }
    assert_eq!((bench.open_holds(), bench.shared.state().sent.len()), (0, 2));
    let state = bench.shared.state();
    let said = state.reports.iter().find_map(|report| report.said.as_ref()).unwrap();
    assert!(said.message.contains("pace `anthropic`: the one request of this minute has gone"), "{}", said.message);
}

#[tokio::test(start_paused = true)]
async fn who_waited_for_its_turn_waits_for_money_for_what_is_left_of_its_time() {
    for (money_after, status) in [(40, 200), (70, 429)] {
        let bench = bench(1);
        bench.answers(200, JSON, ANSWER).answers(200, JSON, ANSWER);
        assert_eq!(call(&bench).await.unwrap().0, 200);
        bench.shared.state().money_comes_after.push_back(Span::from_secs(money_after));
        let (told, _, took) = call(&bench).await.unwrap();
        assert!(told == status && (100..=120).contains(&took.as_secs()), "{told} {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_reaches_who_waits_and_who_came_before_it() {
    let more = || rule(Some(2), None);
    for (rules, waits) in [(vec![more()], 0), (Vec::new(), 0), (vec![rule(Some(1), None)], 61)] {
        let bench = bench(1);
        bench.answers(200, JSON, ANSWER).answers(200, JSON, ANSWER).answers(200, JSON, ANSWER);
        assert_eq!(call(&bench).await.unwrap().0, 200);
        let second = call(&bench);
        settle_down().await;
        assert_eq!(bench.gateway.paces()[0].waiting, 1);
        let _reloaded = bench.repaced(rules.clone());
        let (status, _, took) = second.await.unwrap();
        assert!(status == 200 && (waits..=waits + 1).contains(&took.as_secs()), "{rules:?} {took:?}");
        // Who still goes by the gateway of before sets no pace back.
        let (status, _, took) = call(&bench).await.unwrap();
        assert!(status == 200 && took.as_secs() <= 62, "{took:?}");
        let rates: Vec<_> = bench.gateway.paces().iter().map(|view| view.rates.rpm).collect();
        assert_eq!(rates, rules.iter().map(|rule| rule.rates.rpm).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_the_room_leaves_its_turn_to_others() {
    let bench = bench(1);
    bench.answers(200, JSON, ANSWER).answers(200, JSON, ANSWER);
    assert_eq!(call(&bench).await.unwrap().0, 200);
    let (first, second) = (call(&bench), call(&bench));
    settle_down().await;
    assert_eq!(bench.gateway.paces()[0].waiting, 2);
    first.abort();
    settle_down().await;
    assert_eq!(bench.gateway.paces()[0].waiting, 1);
    let (status, _, took) = second.await.unwrap();
    assert!(status == 200 && took.as_secs() <= 62, "{status} {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_a_budget_refuses_leaves_its_place_and_counting_takes_none() {
    let bench = Bench::paced(vec![budget("firm", "$0.000001", Mode::StopNew)], Vec::new(), vec![rule(Some(5), None)]);
    for _ in 0..10 {
        // What its tokens are counted with is no call of its own.
        bench.answers(404, JSON, "{}");
        assert_eq!(call(&bench).await.unwrap().0, 402);
    }
    assert_eq!(bench.gateway.paces()[0].used, almoner_policy::pace::Load::default());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_long_for_money_gives_its_place_to_others() {
    let bench = bench(1);
    bench.shared.state().admits_and_stalls = true;
    let stalls = call(&bench);
    settle_down().await;
    assert_eq!(bench.gateway.paces()[0].used.requests, 1);
    bench.shared.state().admits_and_stalls = false;
    bench.answers(200, JSON, ANSWER);
    let (status, _, took) = call(&bench).await.unwrap();
    assert!(status == 200 && took.as_secs() <= 1, "{status} {took:?}");
    stalls.abort();
}

#[tokio::test(start_paused = true)]
async fn tokens_are_set_aside_until_the_answer_is_in_and_given_back() {
    let bench = Bench::paced(Vec::new(), Vec::new(), vec![rule(None, Some(2_000))]);
    let (release, wait) = tokio::sync::oneshot::channel::<()>();
    let mut wait = Some(wait);
    bench.then(move |_| {
        let wait = wait.take().unwrap();
        async move {
            drop(wait.await);
            let mut answer = hyper::Response::new(crate::world::whole(ANSWER));
            answer.headers_mut().insert("content-type", "application/json".parse().unwrap());
            Ok(answer)
        }
    });
    bench.answers(200, JSON, ANSWER);
    let large = ",\"max_tokens\":1300";
    let ask = || tokio::spawn(bench.call(post("/v1/messages", "claude-opus-5", large)));
    let (first, second) = (ask(), ask());
    settle_down().await;
    assert_eq!(bench.shared.state().sent.len(), 1);
    let aside = bench.gateway.paces()[0].used.tokens;
    assert!((1_800..2_000).contains(&aside), "{aside}");
    release.send(()).unwrap();
    assert_eq!((first.await.unwrap().status(), second.await.unwrap().status().as_u16()), (hyper::StatusCode::OK, 200));
    assert_eq!(bench.gateway.paces()[0].used.tokens, 20);
    // Chat's provider counts what a request may come to, and gives nothing back.
    let answer = "{\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1,\"total_tokens\":10}}";
    let rule = provider_paces("openai", Rates { rpm: None, tpm: Some(2_000) }, true).remove(0);
    let bench = Bench::paced(Vec::new(), Vec::new(), vec![rule]);
    bench.answers(200, JSON, answer);
    assert_eq!(bench.chat(large).await.status(), 200);
    assert_eq!(bench.gateway.paces()[0].used.tokens, 1_300);
}

#[tokio::test(start_paused = true)]
async fn a_route_that_leads_on_from_a_429_is_taken_before_there_is_one() {
    let target = |provider: &str, model: Option<&str>, when| Target {
        provider: Some(provider.to_owned()),
        model: model.map(str::to_owned),
        when,
        priority: Vec::new(),
        filter: Vec::new(),
    };
    let to = vec![target("anthropic", None, Vec::new()), target("local", Some("qwen3"), vec![When::RateLimited])];
    let route = Route { name: "spare".to_owned(), filter: Some(Vec::new()), targets: to, first_byte_max: None };
    let bench = Bench::paced(Vec::new(), vec![route], vec![rule(Some(1), None)]);
    bench.answers(200, JSON, ANSWER).answers(200, JSON, ANSWER);
    assert_eq!(call(&bench).await.unwrap().0, 200);
    let (status, _, took) = call(&bench).await.unwrap();
    assert!(status == 200 && took.as_secs() == 0, "{status} {took:?}");
    let state = bench.shared.state();
    assert_eq!(state.sent[1].uri().host(), Some("local.test"));
    assert!(matches!(&state.reports[1].verdict, Verdict::Rejected(code) if code == "paced"));
}

#[tokio::test(start_paused = true)]
async fn what_the_provider_says_of_its_limits_is_kept_to_and_its_refusal_lowers_the_pace() {
    let bench = Bench::paced(Vec::new(), Vec::new(), vec![rule(None, None)]);
    assert!(bench.gateway.paces().is_empty());
    let limits = [JSON, &[("anthropic-ratelimit-requests-limit", "40")]].concat();
    bench.answers(200, &limits, ANSWER);
    assert_eq!(call(&bench).await.unwrap().0, 200);
    let rates = |bench: &Bench| bench.gateway.paces()[0].rates;
    assert_eq!(rates(&bench), Rates { rpm: Some(40), tpm: None });
    // After a refusal with a wait nobody goes before that is over.
    let error = "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"slow\"}}";
    bench.answers(429, &[JSON, &[("retry-after", "7")]].concat(), error).answers(200, JSON, ANSWER);
    assert_eq!(call(&bench).await.unwrap().0, 429);
    assert!(rates(&bench).rpm.unwrap() < 40);
    let (status, _, took) = call(&bench).await.unwrap();
    assert!(status == 200 && (6..=8).contains(&took.as_secs()), "{status} {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_refused_keeps_no_other_model_waiting() {
    let rules = provider_paces("anthropic", Rates::default(), true);
    let bench = Bench::paced(vec![budget("firm", "$100", Mode::StopNew)], Vec::new(), rules);
    let busy = "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"slow down\"}}";
    bench
        .answers(429, &[("content-type", "application/json"), ("retry-after", "300")], busy)
        .answers(200, JSON, ANSWER);
    let asked = |model: &str| bench.call(post("/v1/messages", model, SHORT));
    assert_eq!(asked("claude-opus-5").await.status(), 429);
    let (other, begin) = (asked("claude-haiku-4-5").await, Instant::now());
    assert_eq!((other.status().as_u16(), begin.elapsed().as_secs()), (200, 0));
    let same = asked("claude-opus-5").await;
    assert_eq!((same.status().as_u16(), same.headers()["retry-after"].to_str().unwrap()), (429, "300"));
    assert_eq!(bench.shared.state().sent.len(), 2);
}
