//! What people and programs look up: usage, decisions, throttle stats and events, from calls that were really made.

use almoner_api::{EventInfo, EventQuery, Reply, Request, ThrottleStats};
use serde_json::{Value, json};

use crate::provider::{messages, truth, world};
use crate::server::{Server, look_until};
use crate::world::World;

/// Asks for events behind a number; there must be none missing.
#[track_caller]
fn events(server: &Server, after: Option<u64>, kinds: &[&str], wait_ms: u64) -> (Vec<EventInfo>, u64) {
    let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
    match server.ask(&Request::Events(Box::new(EventQuery { after, kinds, limit: None, wait_ms }))) {
        Reply::Events { events, last, gap: false } => (events, last),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn stats(server: &Server, session: Option<&str>) -> ThrottleStats {
    match server.ask(&Request::ThrottleStats { session: session.map(str::to_owned) }) {
        Reply::Throttle(stats) => *stats,
        other => panic!("{other:?}"),
    }
}

/// The rows of usage, once they are so.
#[track_caller]
fn usage(world: &World, args: &[&str], expected: &Value) {
    let look = || world.json(&[&["usage"], args].concat())["rows"].clone();
    let shown = |rows: &Value| -> Value {
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| json!([row["labels"], row["calls"], row["refused"], row["tokens"], row["cost_nano"]])).collect()
    };
    let seen = look_until(|| Some(look()).filter(|rows| shown(rows) == *expected));
    assert!(seen.is_some(), "{args:?}: {} instead of {expected}", shown(&look()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_calls_came_to_is_told_by_any_label() {
    let truth = truth().await;
    let budget =
        "[[budget]]\nname = \"each\"\nper = [\"session\"]\nlimit = [\"100k tokens / day\", \"$1 / sliding 1h\"]\n";
    let world = world(&truth, "", budget);
    let server = world.serve();
    let call = messages("truth-1", 200, "Hello");
    for (session, tag) in [("one", "x=1"), ("one", "x=2"), ("two", "x=1")] {
        let headers = [("x-almoner-session", session), ("x-almoner-tags", tag)];
        assert_eq!(server.post("/v1/messages", &headers, &call).await.status, 200);
    }
    server.until(|status| status.open_holds == 0);
    let tokens = u64::try_from(truth.totals().input + truth.totals().output).unwrap() / 3;
    let nano = truth.bill().get() / 3;
    let row = |labels: &[(&str, &str)], calls: u64| json!([labels, calls, 0, calls * tokens, calls * nano]);
    usage(&world, &["--by", "session"], &json!([row(&[("session", "one")], 2), row(&[("session", "two")], 1)]));
    usage(&world, &["--by", "tag.x"], &json!([row(&[("tag.x", "1")], 2), row(&[("tag.x", "2")], 1)]));
    let both = &["--by", "model", "--by", "session", "--bucket", "month", "--since", "1h", "--label", "session=two"];
    usage(&world, both, &json!([row(&[("model", "truth-1"), ("session", "two")], 1)]));
    let text = world.ok(&["usage"]);
    assert!(text.contains("all calls: 3 calls, "), "{text}");
    assert!(world.fails(&["usage", "--by", "sesion"]).contains("did you mean `session`?"));
    assert!(world.fails(&["usage", "--bucket", "week"]).contains("minute, hour, day or month"));

    // What a budget limits, its account tells; the cost of the day history adds up.
    let one = stats(&server, Some("one"));
    assert_eq!(one.sessions.len(), 1);
    let of = &one.sessions["one"];
    assert_eq!((of.tokens_hour, of.tokens_day), (2 * tokens, 2 * tokens));
    assert_eq!((of.cost_hour_nano, of.cost_day_nano, of.throttle_level.as_str()), (2 * nano, 2 * nano, "NONE"));
    let all = stats(&server, None);
    assert_eq!((all.global.tokens_day, all.global.cost_day_nano), (3 * tokens, 3 * nano));
    assert_eq!(all.sessions.keys().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(all.sessions["two"].tokens_hour, tokens);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn decisions_and_events_tell_what_happened_also_after_a_restart() {
    let truth = truth().await;
    let budget = "[[budget]]\nname = \"team\"\nlimit = \"10k tokens\"\n";
    let world = world(&truth, "", budget);
    let server = world.serve();
    let began = look_until(|| events(&server, None, &["started"], 0).0.pop()).expect("the start is an event");
    let call = messages("truth-1", 200, "Hello");
    assert_eq!(server.post("/v1/messages", &[("x-almoner-session", "one")], &call).await.status, 200);
    world.ok(&["usage", "add", "--input", "9900", "--cost", "$0", "--reason", "elsewhere"]);
    let refused = server.post("/v1/messages", &[("x-almoner-session", "two")], &call).await;
    let refused = refused.header("x-almoner-call").unwrap().to_owned();
    world.ok(&["budgets", "set", "team", "20k tokens"]);
    world.ok(&["budgets", "reset", "team", "--reason", "a new week"]);
    world.ok(&["keys", "create", "ci"]);
    world.ok(&["keys", "revoke", "ci"]);
    let expected = ["usage_added", "level_changed", "refused", "budget_set", "budget_reset", "key_made", "key_revoked"];
    let kinds = |events: &[EventInfo]| events.iter().map(|event| event.kind.clone()).collect::<Vec<_>>();
    let all = || {
        Some(events(&server, Some(began.id), &[], 0))
            .filter(|(told, _)| told.last().is_some_and(|event| event.kind == "key_revoked"))
    };
    let (told, last) = look_until(all).unwrap_or_else(|| panic!("{:?}", events(&server, Some(began.id), &[], 0)));
    let once: Vec<String> = expected.iter().map(|kind| (*kind).to_owned()).collect();
    let seen: Vec<String> = kinds(&told);
    assert!(once.iter().all(|kind| seen.contains(kind)), "{told:#?}");
    let of = |kind: &str| told.iter().find(|event| event.kind == kind).unwrap();
    assert_eq!(
        (&of("refused").data["call"], &of("refused").data["labels"]["session"]),
        (&json!(refused), &json!("two"))
    );
    assert_eq!(of("budget_reset").data["reason"], "a new week");
    assert_eq!(of("budget_set").data["limits"], json!(["20k tokens / lifetime"]));
    assert_eq!(of("key_made").data["name"], "ci");

    // Whoever waits is woken.
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| events(&server, Some(last), &["key_made"], 20_000).0);
        world.ok(&["keys", "create", "cd"]);
        waiting.join().unwrap()
    });
    assert_eq!(kinds(&waiting), ["key_made"]);

    let decisions = world.json(&["decisions"]);
    let words = |decisions: &Value| -> Vec<Value> {
        decisions["decisions"].as_array().unwrap().iter().map(|of| of["decision"].clone()).collect()
    };
    assert_eq!(words(&decisions), ["refused", "booked", "admitted"]);
    let first = world.json(&["decisions", "--limit", "1"]);
    let rest = world.json(&["decisions", "--limit", "2", "--cursor", first["next"].as_str().unwrap()]);
    assert_eq!(
        (words(&first), words(&rest), &rest["next"]),
        (vec![json!("refused")], vec![json!("booked"), json!("admitted")], &Value::Null)
    );
    let of_two = world.json(&["decisions", "--only", "refused", "--label", "session=two", "--since", "1h"]);
    assert_eq!((&of_two["decisions"][0]["id"], &of_two["decisions"][0]["budget"]), (&json!(refused), &json!("team")));
    assert!(world.fails(&["decisions", "--only", "maybe"]).contains("admitted, slow-down, refused"));

    server.stop();
    let server = world.serve();
    let more =
        || Some(events(&server, Some(last), &[], 0).0).filter(|told| kinds(told).contains(&"started".to_owned()));
    let more = look_until(more).expect("whoever goes on is told of the start");
    let seen = kinds(&more);
    assert_eq!(seen.first().map(String::as_str), Some("key_made"), "{seen:?}");
    assert!(seen.contains(&"stopping".to_owned()), "{seen:?}");
    let text = world.ok(&["events", "--limit", "1"]);
    assert!(text.contains(" started: almoner "), "{text}");
    let gone = server.ask(&Request::Events(Box::new(EventQuery { after: Some(7), ..EventQuery::default() })));
    assert!(matches!(gone, Reply::Events { gap: true, .. }), "{gone:?}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_call_is_an_event_where_the_configuration_says_so() {
    let truth = truth().await;
    let world = world(&truth, "history_calls = true\n", "");
    let server = world.serve();
    let call = messages("truth-1", 200, "Hello");
    let answer = server.post("/v1/messages", &[("x-almoner-session", "one")], &call).await;
    let id = answer.header("x-almoner-call").unwrap();
    let told = || Some(events(&server, None, &["call_decided", "call_ended"], 0).0).filter(|told| told.len() == 2);
    let told = look_until(told).expect("both are told");
    assert!(told.iter().all(|event| event.data["call"] == id && event.data["labels"]["session"] == "one"), "{told:?}");
    assert_eq!((&told[0].data["decision"], &told[1].data["outcome"]), (&json!("admitted"), &json!("settled")));
    assert_eq!(told[1].data["cost_nano"], truth.bill().get());
    server.stop();
}
