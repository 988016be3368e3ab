//! Calls on their routes: each stop holds for itself, and the client hears from the one that answers.

use almoner_gateway::{UpstreamError, Verdict, provider_paces};
use almoner_ledger::Who;
use almoner_policy::pace::Rates;
use almoner_policy::{Route, Target};
use almoner_units::{Budget, CallId, Charge, Labels, Meter, Mode, Span, Usage};
use hyper::Response;

use crate::world::{Bench, NOW, budget, post, read, settle_down};

pub(crate) const WHOLE: &str = "{\"type\":\"message\",\"model\":\"m\",\"stop_reason\":\"end_turn\",\
                     \"usage\":{\"input_tokens\":10,\"output_tokens\":10}}";
const CHAT: &str = "{\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"}],\
                    \"usage\":{\"prompt_tokens\":10,\"completion_tokens\":10}}";
pub(crate) const OVERLOADED: &str =
    "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}";
pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");
pub(crate) const MORE: &str = ",\"max_tokens\":100";

/// `model@provider: when, when`, where `*` is the model that was asked for.
fn target(text: &str) -> Target {
    let (place, when) = text.split_once(": ").unwrap_or((text, ""));
    let (model, provider) = place.split_once('@').unwrap();
    let when = when.split(',').map(str::trim).filter(|word| !word.is_empty());
    Target {
        provider: (provider != "*").then(|| provider.to_owned()),
        model: (model != "*").then(|| model.to_owned()),
        when: when.map(|word| word.parse().unwrap()).collect(),
        ..Target::default()
    }
}

/// A route of every call that asks for a model like this; of none, where it is empty.
pub(crate) fn route(name: &str, model: &str, targets: &[&str]) -> Route {
    let filter = (!model.is_empty()).then(|| vec![("model".parse().unwrap(), model.to_owned())]);
    let targets = targets.iter().map(|text| target(text)).collect();
    Route { name: name.to_owned(), filter, targets, first_byte_max: Some(Span::from_ms(100)) }
}

pub(crate) fn firm(limit: &str) -> Vec<Budget> {
    vec![budget("firm", limit, Mode::StopNew)]
}

/// A budget that is spent.
pub(crate) fn spent(bench: &Bench, tokens: u64) {
    let mut state = bench.shared.state();
    let firm = state.ledger.open(&firm("$1")[0].account(&Labels::new()), "", NOW).unwrap();
    let usage = Usage { input: Some(tokens), output: Some(0), ..Usage::default() };
    let charge = Charge::of(&usage, "$1".parse().unwrap());
    let (id, who) = (CallId::new(NOW, [255; 10]), Who("test".into()));
    state.ledger.add(id, Box::new([firm]), charge, who, "spent before".to_owned(), NOW).unwrap();
}

/// The provider counts a call that is large for what is left.
fn counts(bench: &Bench) -> &Bench {
    bench.answers(200, &[JSON], "{\"input_tokens\":10}")
}

/// Where each call went, with the model in its body.
pub(crate) fn sent(bench: &Bench) -> Vec<String> {
    let state = bench.shared.state();
    let place = |request: &hyper::Request<hyper::body::Bytes>| {
        let body: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
        let host = request.uri().host().unwrap().trim_end_matches(".test").to_owned();
        format!("{}@{host}", body["model"].as_str().unwrap())
    };
    state.sent.iter().filter(|request| !request.uri().path().ends_with("count_tokens")).map(place).collect()
}

pub(crate) fn header<B>(response: &Response<B>, name: &str) -> Vec<String> {
    response.headers().get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

const EXHAUSTED: [&str; 2] = ["*@anthropic", "qwen3:8b@local: exhausted"];

#[tokio::test]
async fn a_call_that_its_budget_refuses_is_answered_by_the_local_model() {
    let bench = Bench::routed(firm("$1"), vec![route("opus", "claude-*", &EXHAUSTED)], &[]);
    spent(&bench, 10);
    counts(&bench).answers(200, &[JSON], WHOLE);
    let response = bench.messages(MORE).await;
    assert_eq!((response.status().as_u16(), sent(&bench)), (200, vec!["qwen3:8b@local".to_owned()]));
    assert_eq!(header(&response, "x-almoner-route"), ["opus"]);
    let because = "claude-opus-5@anthropic to qwen3:8b@local; because budget `firm` has $0.00 left of $1.00 / lifetime \
                   at level critical";
    assert_eq!(header(&response, "x-almoner-rerouted"), [because]);
    assert_eq!(read(response).await.0, WHOLE, "the answer is the target's, byte for byte");
    let state = bench.shared.state();
    let [refused, went] = &state.reports[..] else { panic!("{:?}", state.reports) };
    assert!(matches!(refused.verdict, Verdict::Refused(_)) && refused.outcome.goes_on);
    let stop = went.stop.clone().unwrap();
    assert_eq!((stop.route.as_deref(), stop.continues), (Some("opus"), Some(refused.id)));
    assert_eq!((went.model.as_str(), went.provider.as_str()), ("qwen3:8b", "local"));
    assert_eq!(went.outcome.charge[Meter::Usd], 0);
}

#[tokio::test]
async fn nothing_but_the_model_is_changed_in_the_body() {
    let bench = Bench::routed(firm("$1"), vec![route("opus", "claude-*", &EXHAUSTED)], &[]);
    spent(&bench, 10);
    counts(&bench).answers(200, &[JSON], WHOLE);
    let body = "{ \"max_tokens\": 100,\n \"model\" : \"claude-opus-5\", \"messages\":[{\"role\":\"user\",\"content\":\"h\\u00e9\"}] }";
    let mut request = post("/v1/messages", "", "");
    *request.body_mut() = http_body_util::Full::new(body.into());
    bench.call(request).await;
    let sent = String::from_utf8(bench.shared.state().sent[1].body().to_vec()).unwrap();
    assert_eq!(sent, body.replace("claude-opus-5", "qwen3:8b"));
}

#[tokio::test]
async fn a_budget_sends_the_calls_that_it_refuses_to_a_route_of_its_own() {
    let routes = || vec![route("local", "", &["qwen3:8b@local"])];
    let bench = Bench::routed(firm("$1"), routes(), &[("firm", "local")]);
    bench.answers(200, &[JSON], CHAT);
    let response = bench.chat(MORE).await;
    assert_eq!(sent(&bench), ["gpt-4o@openai"], "nobody goes there while there is money");
    assert!(header(&response, "x-almoner-route").is_empty());
    spent(&bench, 10);
    bench.answers(200, &[JSON], CHAT);
    let response = bench.chat(MORE).await;
    assert_eq!(sent(&bench)[1..], ["qwen3:8b@local"]);
    assert_eq!(header(&response, "x-almoner-route"), ["local"]);
}

#[tokio::test]
async fn a_budget_of_tokens_that_is_spent_does_not_stop_the_free_stop_that_stands_in() {
    for detours in [&[("firm", "local")][..], &[]] {
        let routes = vec![
            route("gpt", "gpt-*", &["*@openai", "qwen3:8b@local: exhausted"]),
            route("local", "", &["qwen3:8b@local"]),
        ];
        let bench = Bench::routed(firm("1k tokens / day"), routes, detours);
        spent(&bench, 1000);
        bench.answers(200, &[JSON], CHAT);
        let response = bench.chat(MORE).await;
        assert_eq!((response.status().as_u16(), sent(&bench)), (200, vec!["qwen3:8b@local".to_owned()]));
        let went = bench.shared.state().reports.pop().unwrap();
        assert_eq!(went.stop.as_ref().unwrap().spared, ["firm".parse().unwrap()]);
    }
}

#[tokio::test]
async fn a_budget_of_the_free_provider_itself_still_holds_there() {
    let mut of_local = budget("of local", "100 tokens / day", Mode::StopNew);
    of_local.filter = vec![("provider".parse().unwrap(), "local".to_owned())];
    let budgets = vec![firm("1k tokens / day").remove(0), of_local];
    let bench = Bench::routed(budgets, vec![route("gpt", "gpt-*", &["*@openai", "qwen3:8b@local: exhausted"])], &[]);
    spent(&bench, 1000);
    let response = bench.chat(MORE).await;
    assert_eq!((response.status().as_u16(), sent(&bench).len()), (402, 0));
    assert_eq!(header(&response, "x-almoner-budget"), ["firm"], "the client hears of the first refusal");
}

#[tokio::test]
async fn a_stop_that_costs_money_is_stopped_by_what_stops_the_first() {
    let routes = vec![route("opus", "claude-opus-*", &["*@anthropic", "claude-haiku-4-5@anthropic: exhausted"])];
    let bench = Bench::routed(firm("$1"), routes, &[]);
    spent(&bench, 10);
    counts(counts(&bench));
    let response = bench.messages(MORE).await;
    assert_eq!((response.status().as_u16(), sent(&bench).len()), (402, 0));
}

#[tokio::test]
async fn what_does_not_fit_on_the_dear_model_may_fit_on_the_cheap_one() {
    let routes = vec![route("opus", "claude-opus-*", &["*@anthropic", "claude-haiku-4-5@anthropic: exhausted"])];
    let bench = Bench::routed(firm("$0.03"), routes, &[]);
    counts(&bench).answers(200, &[JSON], WHOLE);
    let response = bench.messages(",\"max_tokens\":4000").await;
    assert_eq!((response.status().as_u16(), sent(&bench)), (200, vec!["claude-haiku-4-5@anthropic".to_owned()]));
    let state = bench.shared.state();
    let held = match &state.reports[1].verdict {
        Verdict::Admitted { held, .. } => held[Meter::Usd],
        other => panic!("{other:?}"),
    };
    assert!(held <= 30_000_000, "it is held at the price of the model that runs: {held}");
    assert_eq!(state.reports[1].outcome.charge[Meter::Usd], 60_000);
}

#[tokio::test]
async fn a_full_budget_sends_the_call_to_a_cheaper_model_before_it_is_spent() {
    let routes = vec![route("opus", "claude-opus-*", &["*@anthropic", "claude-haiku-4-5@anthropic: level >= hard"])];
    let bench = Bench::routed(firm("1M tokens / day"), routes.clone(), &[]);
    spent(&bench, 900_000);
    bench.answers(200, &[JSON], WHOLE);
    let response = bench.messages(MORE).await;
    assert_eq!(sent(&bench), ["claude-haiku-4-5@anthropic"]);
    assert_eq!(header(&response, "x-almoner-rerouted").len(), 1);
    assert_eq!(bench.ends(), ["released", "settled"]);
    // Where the other cannot take it, the first still can.
    let routes = vec![route("opus", "claude-opus-*", &["*@anthropic", "gpt-4o@openai: level >= hard"])];
    let bench = Bench::routed(firm("1M tokens / day"), routes, &[]);
    spent(&bench, 900_000);
    bench.answers(200, &[JSON], WHOLE);
    assert_eq!(bench.messages(MORE).await.status(), 200);
    assert_eq!(sent(&bench), ["claude-opus-5@anthropic"]);
}

#[tokio::test]
async fn the_urgent_get_the_dear_model_and_the_others_the_cheap_one() {
    let mut routes = vec![route("opus", "claude-opus-*", &["*@anthropic", "claude-haiku-4-5@anthropic"])];
    routes[0].targets[0].priority = vec![almoner_units::Priority::High];
    let bench = Bench::routed(firm("$1"), routes, &[]);
    for (priority, model) in [("high", "claude-opus-5@anthropic"), ("low", "claude-haiku-4-5@anthropic")] {
        bench.answers(200, &[JSON], WHOLE);
        let mut request = post("/v1/messages", "claude-opus-5", MORE);
        request.headers_mut().insert("x-almoner-priority", priority.parse().unwrap());
        read(bench.call(request).await).await;
        assert_eq!(sent(&bench).pop().unwrap(), model);
    }
}

const ANY: [&str; 2] = ["*@anthropic", "qwen3:8b@local: provider down, 429, timeout"];

#[tokio::test]
async fn a_provider_that_fails_before_the_first_byte_has_a_stand_in() {
    for (status, body) in [(529, OVERLOADED), (500, OVERLOADED), (429, OVERLOADED), (502, "<html>")] {
        let bench = Bench::routed(firm("$1"), vec![route("opus", "claude-*", &ANY)], &[]);
        bench.answers(status, &[JSON], body);
        bench.answers(200, &[JSON], WHOLE);
        let response = bench.messages(MORE).await;
        assert_eq!((response.status().as_u16(), sent(&bench).len()), (200, 2), "{status}");
        let told = header(&response, "x-almoner-rerouted");
        assert!(told[0].contains(&format!("`anthropic` answered {status}")), "{told:?}");
        let first = if body == OVERLOADED { "released" } else { "assumed" };
        assert_eq!(bench.ends(), [first, "settled"], "the first is ended by its own rule: {status}");
    }
}

#[tokio::test]
async fn a_provider_that_is_not_there_has_a_stand_in() {
    for never_sent in [true, false] {
        let bench = Bench::routed(firm("$1"), vec![route("opus", "claude-*", &ANY)], &[]);
        bench.then(move |_| async move {
            let (host, why) = ("anthropic.test".to_owned(), "refused".to_owned());
            Err(if never_sent { UpstreamError::NeverSent(host, why) } else { UpstreamError::NoAnswer(host, why) })
        });
        bench.answers(200, &[JSON], WHOLE);
        assert_eq!(bench.messages(MORE).await.status(), 200);
        assert_eq!(bench.ends(), [if never_sent { "released" } else { "assumed" }, "settled"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_does_not_begin_in_time_has_a_stand_in() {
    let bench = Bench::routed(firm("$1"), vec![route("opus", "claude-*", &ANY)], &[]);
    bench.then(|_| std::future::pending());
    bench.answers(200, &[JSON], WHOLE);
    let begun = tokio::time::Instant::now();
    let response = bench.messages(MORE).await;
    assert_eq!((response.status().as_u16(), begun.elapsed().as_millis() < 150), (200, true));
    assert_eq!(bench.ends(), ["assumed", "settled"]);
    // Nobody waits for the last one less than for any.
    let bench = Bench::routed(firm("$1"), vec![route("opus", "claude-*", &["*@anthropic"])], &[]);
    bench.then(|_| std::future::pending());
    let begun = tokio::time::Instant::now();
    assert_eq!(bench.messages(MORE).await.status(), 504);
    assert_eq!(begun.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn a_refusal_that_is_no_failure_is_the_clients() {
    for status in [400, 401, 403, 404, 413] {
        let bench = Bench::routed(firm("$1"), vec![route("opus", "claude-*", &ANY)], &[]);
        bench.answers(status, &[JSON], OVERLOADED);
        assert_eq!(bench.messages(MORE).await.status().as_u16(), status);
        assert_eq!(sent(&bench).len(), 1);
    }
}

#[tokio::test]
async fn where_everything_fails_the_first_answer_is_the_last_word() {
    let bench = Bench::routed(firm("$1"), vec![route("opus", "claude-*", &ANY)], &[]);
    bench.answers(429, &[JSON, ("retry-after", "7")], OVERLOADED);
    bench.answers(503, &[JSON], "{}");
    let response = bench.messages(MORE).await;
    assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (429, vec!["7".to_owned()]));
    let told = header(&response, "x-almoner-rerouted");
    assert_eq!(told[1], "no further than qwen3:8b@local; because `local` answered 503");
    assert_eq!(read(response).await.0, OVERLOADED);
}

#[tokio::test(start_paused = true)]
async fn who_has_no_money_and_could_go_on_later_is_told_when() {
    let opus = || vec![route("opus", "claude-*", &["*@anthropic", "qwen3:8b@local", "qwen3:4b@local"])];
    let bench = Bench::routed(firm("$1"), opus(), &[]);
    spent(&bench, 10);
    counts(&bench).answers(429, &[JSON, ("retry-after", "7")], OVERLOADED).answers(503, &[JSON], "{}");
    let response = bench.messages(MORE).await;
    assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (429, vec!["7".to_owned()]));
    // What is broken may be so for ever, and then it is the money that counts.
    bench.answers(503, &[JSON], "{}").answers(500, &[JSON], "{}");
    assert_eq!(bench.messages(MORE).await.status(), 402);
    // The pace of the stand-in is a wait as well.
    let rates = Rates { rpm: Some(1), tpm: None };
    let bench = Bench::paced(firm("$1"), opus(), vec![provider_paces("local", rates, false).remove(0)]);
    spent(&bench, 10);
    counts(&bench).answers(200, &[JSON], WHOLE).answers(200, &[JSON], WHOLE);
    let calls: Vec<_> = (0..3).map(|_| tokio::spawn(bench.call(post("/v1/messages", "claude-opus-5", MORE)))).collect();
    let mut told = Vec::new();
    for call in calls {
        let response = call.await.unwrap();
        told.push((response.status().as_u16(), header(&response, "retry-after").len()));
    }
    told.sort_unstable();
    assert_eq!(told, [(200, 0), (200, 0), (429, 1)]);
}

#[tokio::test]
async fn a_clients_own_credential_goes_to_its_provider_alone() {
    let shown = |bench: &Bench, at: usize| {
        let state = bench.shared.state();
        let headers = state.sent[at].headers();
        [headers.contains_key("x-api-key"), headers.contains_key("authorization")]
    };
    let call = || {
        let mut request = post("/v1/messages", "claude-opus-5", MORE);
        request.headers_mut().insert("x-api-key", "sk-ant-own".parse().unwrap());
        request
    };
    let bench = Bench::routed(firm("$1"), vec![route("opus", "claude-*", &["*@anthropic", "qwen3:8b@local"])], &[]);
    bench.answers(529, &[JSON], OVERLOADED).answers(200, &[JSON], WHOLE);
    assert_eq!(bench.call(call()).await.status(), 200);
    assert_eq!(shown(&bench, 1), [false, false], "a local server is shown nothing");
    let bench = Bench::routed(firm("$1"), vec![route("opus", "claude-*", &["*@anthropic", "m@other"])], &[]);
    bench.answers(529, &[JSON], OVERLOADED);
    assert_eq!(bench.call(call()).await.status(), 529);
    assert_eq!(sent(&bench).len(), 1, "whoever has no key of its own is not asked");
}

#[tokio::test]
async fn a_target_of_another_dialect_is_passed_by() {
    let targets = ["*@anthropic", "gpt-4o@openai", "qwen3:8b@local"];
    let bench = Bench::routed(firm("$1"), vec![route("opus", "claude-*", &targets)], &[]);
    bench.answers(529, &[JSON], OVERLOADED).answers(200, &[JSON], WHOLE);
    let response = bench.messages(MORE).await;
    assert_eq!(sent(&bench), ["claude-opus-5@anthropic", "qwen3:8b@local"]);
    let told = header(&response, "x-almoner-rerouted");
    assert!(told[1].contains("`openai` does not speak the dialect of this call"), "{told:?}");
}

#[tokio::test]
async fn routes_that_lead_to_each_other_end() {
    let routes =
        vec![route("a", "", &["claude-haiku-4-5@anthropic"]), route("b", "", &["claude-sonnet-4-5@anthropic"])];
    let second = budget("second", "$1", Mode::StopNew);
    let budgets = vec![firm("$1").remove(0), second];
    let bench = Bench::routed(budgets, routes, &[("firm", "a"), ("second", "b")]);
    spent(&bench, 10);
    counts(counts(&bench));
    assert_eq!(bench.messages(MORE).await.status(), 402);
    assert_eq!(bench.shared.state().reports.len(), 2, "home, and one detour");
}

#[tokio::test]
async fn a_provider_that_failed_again_and_again_is_passed_by() {
    let bench = Bench::routed(firm("$1"), vec![route("opus", "claude-*", &ANY)], &[]);
    // One call that fails again and again is one, and may have itself to blame.
    for _ in 0..9 {
        bench.answers(500, &[JSON], OVERLOADED).answers(200, &[JSON], WHOLE);
        assert_eq!(bench.messages(MORE).await.status(), 200);
    }
    bench.shared.state().sent.clear();
    for most in 1..3 {
        bench.answers(500, &[JSON], OVERLOADED).answers(200, &[JSON], WHOLE);
        assert_eq!(bench.messages(&format!(",\"max_tokens\":{most}")).await.status(), 200);
    }
    bench.answers(200, &[JSON], WHOLE);
    let response = bench.messages(MORE).await;
    assert_eq!(sent(&bench)[4..], ["qwen3:8b@local"]);
    let told = header(&response, "x-almoner-rerouted");
    assert!(told[0].contains("because `anthropic` is down: answered 500"), "{told:?}");
    let healths = bench.gateway.healths();
    let down: Vec<&str> =
        healths.iter().filter(|(_, health)| health.down_since().is_some()).map(|(name, _)| name.as_str()).collect();
    assert_eq!(down, ["anthropic"]);
}

#[tokio::test(start_paused = true)]
async fn a_try_that_was_never_sent_is_left_to_the_next() {
    const DOWN: [&str; 2] = ["*@anthropic", "qwen3:8b@local: provider down"];
    for (targets, hangs_up) in [(&ANY, false), (&DOWN, true)] {
        let rates = Rates { rpm: Some(3), tpm: None };
        let pace = provider_paces("anthropic", rates, false).remove(0);
        let bench = Bench::paced(firm("$1"), vec![route("opus", "claude-*", targets)], vec![pace]);
        for most in 1..4 {
            bench.answers(500, &[JSON], OVERLOADED).answers(200, &[JSON], WHOLE);
            assert_eq!(bench.messages(&format!(",\"max_tokens\":{most}")).await.status(), 200);
        }
        bench.shared.state().later = Span::from_secs(2);
        // It is the one to try it, and has no turn there.
        let trying = tokio::spawn(bench.call(post("/v1/messages", "claude-opus-5", MORE)));
        if hangs_up {
            settle_down().await;
            assert_eq!(bench.gateway.paces()[0].waiting, 1);
            trying.abort();
            assert!(trying.await.is_err());
        } else {
            bench.answers(200, &[JSON], WHOLE);
            assert_eq!(trying.await.unwrap().status(), 200);
        }
        tokio::time::advance(std::time::Duration::from_secs(62)).await;
        bench.answers(200, &[JSON], WHOLE);
        assert_eq!(bench.messages(MORE).await.status(), 200);
        assert_eq!(sent(&bench).last().unwrap(), "claude-opus-5@anthropic", "{targets:?}");
        assert!(bench.gateway.healths().iter().all(|(_, health)| health.down_since().is_none()));
    }
}

#[tokio::test]
async fn who_can_go_nowhere_else_is_not_kept_from_a_provider_that_is_down() {
    let bench = Bench::routed(firm("$1"), vec![route("opus", "claude-*", &ANY)], &[]);
    for most in 1..4 {
        bench.answers(500, &[JSON], OVERLOADED).answers(503, &[JSON], OVERLOADED);
        assert_eq!(bench.messages(&format!(",\"max_tokens\":{most}")).await.status(), 500);
    }
    bench.answers(503, &[JSON], OVERLOADED).answers(200, &[JSON], WHOLE);
    assert_eq!(bench.messages(MORE).await.status(), 200);
    assert_eq!(sent(&bench)[6..], ["qwen3:8b@local", "claude-opus-5@anthropic"]);
    bench.answers(200, &[JSON], CHAT);
    assert_eq!(bench.chat(MORE).await.status(), 200, "nor is who takes no route");
}

/// A call of a session.
async fn of_session(bench: &Bench, session: &'static str) -> Response<almoner_gateway::ClientBody> {
    let mut request = post("/v1/messages", "claude-opus-5", MORE);
    request.headers_mut().insert("x-almoner-session", session.parse().unwrap());
    bench.call(request).await
}

#[tokio::test]
async fn a_session_stays_where_it_was_sent() {
    let bench = Bench::routed(firm("$1"), vec![route("opus", "claude-*", &ANY)], &[]);
    bench.answers(429, &[JSON], OVERLOADED).answers(200, &[JSON], WHOLE);
    of_session(&bench, "a").await;
    bench.answers(200, &[JSON], WHOLE);
    let response = of_session(&bench, "a").await;
    assert_eq!(sent(&bench)[2..], ["qwen3:8b@local"]);
    let told = header(&response, "x-almoner-rerouted");
    assert!(told[0].contains("because its session stays there since"), "{told:?}");
    bench.answers(200, &[JSON], WHOLE);
    of_session(&bench, "b").await;
    assert_eq!(sent(&bench)[3..], ["claude-opus-5@anthropic"], "another session makes its own choice");
    // Where it cannot stay, it begins anew.
    bench.answers(503, &[JSON], OVERLOADED).answers(200, &[JSON], WHOLE).answers(200, &[JSON], WHOLE);
    assert_eq!(of_session(&bench, "a").await.status(), 200);
    of_session(&bench, "a").await;
    assert_eq!(sent(&bench)[4..], ["qwen3:8b@local", "claude-opus-5@anthropic", "claude-opus-5@anthropic"]);
}

#[tokio::test]
async fn a_session_without_money_stays_with_the_model_that_needs_none() {
    for limit in ["$1", "1k tokens / day"] {
        let bench = Bench::routed(firm(limit), vec![route("local", "", &["qwen3:8b@local"])], &[("firm", "local")]);
        spent(&bench, 1000);
        counts(&bench).answers(200, &[JSON], WHOLE).answers(200, &[JSON], WHOLE);
        for _ in 0..2 {
            assert_eq!(of_session(&bench, "a").await.status(), 200, "{limit}");
        }
        assert_eq!(bench.shared.state().reports.len(), 3, "its second call asks the paid model's budget nothing");
    }
}

#[tokio::test]
async fn a_route_leads_no_key_to_a_model_that_it_may_not_use() {
    let bench = Bench::routed(firm("$1"), vec![route("opus", "claude-*", &ANY)], &[]);
    let mut facts = almoner_gateway::KeyFacts::anyone();
    facts.models = vec![almoner_policy::ModelPattern::new("claude-*")];
    bench.shared.state().keys.insert("alm_narrow".to_owned(), std::sync::Arc::new(facts));
    bench.answers(529, &[JSON], OVERLOADED);
    let mut request = post("/v1/messages", "claude-opus-5", MORE);
    request.headers_mut().insert("x-almoner-key", "alm_narrow".parse().unwrap());
    let response = bench.call(request).await;
    assert_eq!((response.status().as_u16(), sent(&bench).len()), (529, 1));
    let told = header(&response, "x-almoner-rerouted");
    assert!(told[1].starts_with("no further than qwen3:8b@local; because the key"), "{told:?}");
}

#[tokio::test]
async fn a_free_stop_takes_whom_the_money_would_stop_though_something_else_stopped_it_first() {
    for (targets, status) in [
        (["*@openai", "qwen3:8b@local: provider down, exhausted"], 200),
        // Whoever wrote this wants a call without money to end, whether or not the provider is there.
        (["*@openai", "qwen3:8b@local: provider down"], 402),
    ] {
        let bench = Bench::routed(firm("10k tokens / day"), vec![route("gpt", "gpt-*", &targets)], &[]);
        for most in 1..4 {
            bench.answers(500, &[JSON], OVERLOADED).answers(200, &[JSON], CHAT);
            assert_eq!(bench.chat(&format!(",\"max_tokens\":{most}")).await.status(), 200);
        }
        spent(&bench, 10_000);
        if status == 200 {
            bench.answers(200, &[JSON], CHAT);
        }
        assert_eq!(bench.chat(MORE).await.status().as_u16(), status, "{targets:?}");
    }
}

#[tokio::test]
async fn a_model_takes_its_route_by_either_of_its_names() {
    // They are one model to the price book.
    for asked in ["claude-opus-4-5-20251101", "claude-opus-4-5"] {
        let routes = vec![route("opus", "claude-opus-4-5", &["*@anthropic", "qwen3:8b@local: 429"])];
        let bench = Bench::routed(firm("$1"), routes, &[]);
        bench.answers(429, &[JSON], OVERLOADED).answers(200, &[JSON], WHOLE);
        let response = bench.call(post("/v1/messages", asked, MORE)).await;
        assert_eq!((response.status().as_u16(), header(&response, "x-almoner-route")), (200, vec!["opus".to_owned()]));
    }
}
