//! A provider that takes no more than so much in a minute, and the pace that spares its refusals.

use std::future::poll_fn;
use std::task::Poll;

use almoner_testkit::TruthProvider;
use almoner_testkit::truth::{Rates, Settings};
use serde_json::json;

use crate::provider::{chat, config, messages, world};

const ROOMY: &str = "[[budget]]\nname = \"roomy\"\nlimit = \"$100\"\n";

async fn strict(rates: Rates) -> TruthProvider {
    TruthProvider::start(Settings { rates, ..Settings::default() }).await.unwrap()
}

/// What all of these come to, at once.
async fn together<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = all.map(Box::pin).collect();
    let mut done = Vec::new();
    poll_fn(|context| {
        waiting.retain_mut(|one| match one.as_mut().poll(context) {
            Poll::Ready(answer) => {
                done.push(answer);
                false
            }
            Poll::Pending => true,
        });
        if waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done
}

/// Sends so many calls at once, and gives the statuses that they get, and how often the provider said 429.
async fn crowd(rates: Rates, pace: &str, path: &str, body: &str, calls: usize) -> (Vec<u16>, u64) {
    let truth = strict(rates).await;
    let world = world(&truth, "wait_max = \"200ms\"", &format!("{ROOMY}{pace}"));
    let server = world.serve();
    let posts = (0..calls).map(|_| server.post(path, &[], body));
    let answers = together(posts).await;
    if !pace.is_empty() {
        for refused in answers.iter().filter(|answer| answer.status == 429) {
            assert_eq!(refused.header("x-almoner-code"), Some("paced"), "{}", refused.text());
            let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=62).contains(&after), "{after}");
        }
        let status = world.json(&["status"]);
        let shown = &status["paces"][0];
        assert!(shown["pace"] == "truth, all" && shown["waiting"] == 0, "{shown}");
        assert!(world.ok(&["status"]).contains("pace `truth, all`: "));
    }
    server.stop();
    (answers.iter().map(|answer| answer.status).collect(), truth.totals().throttled)
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|one| **one == status).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn at_a_pace_the_provider_refuses_no_request_and_without_one_it_does() {
    let rates = Rates { rpm: Some(5), tpm: None };
    let body = messages("truth-1", 100, "Hello");
    let pace = "[[pace]]\nname = \"truth, all\"\nwhere = { provider = \"truth\" }\nrpm = 5\n";
    let (statuses, throttled) = crowd(rates, pace, "/v1/messages", &body, 12).await;
    assert_eq!((count(&statuses, 200), count(&statuses, 429), throttled), (5, 7, 0), "{statuses:?}");
    let (statuses, throttled) = crowd(rates, "", "/v1/messages", &body, 12).await;
    assert!(throttled >= 7, "{throttled}: {statuses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn at_a_pace_in_tokens_the_provider_refuses_none_however_it_counts() {
    let rates = Rates { rpm: None, tpm: Some(10_000) };
    let pace = "[[pace]]\nname = \"truth, all\"\nwhere = { provider = \"truth\" }\ntpm = 10_000\n";
    let stories = [
        ("/v1/messages", messages("truth-1", 3_000, "Hello")),
        ("/v1/chat/completions", chat("truth-1", 3_000, "Hello", &json!({}))),
    ];
    for (path, body) in stories {
        let (statuses, throttled) = crowd(rates, pace, path, &body, 30).await;
        assert!(throttled == 0 && count(&statuses, 200) >= 2, "{throttled}: {statuses:?}");
        let (_, throttled) = crowd(rates, "", path, &body, 30).await;
        assert!(throttled > 0, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_an_hour_of_the_day_has_borne_is_known_after_a_restart() {
    let truth = strict(Rates { rpm: Some(1), tpm: None }).await;
    let world = world(&truth, "", "");
    let config = config(&format!("http://{}", truth.addr()), "wait_max = \"200ms\"", ROOMY);
    world.configure(&config.replace("adaptive = false", "adaptive = true"));
    let file = world.state().join("hours.json");
    let server = world.serve();
    assert!(!file.exists(), "nothing was learned yet");
    for _ in 0..2 {
        server.post("/v1/messages", &[], &messages("truth-1", 100, "Hello")).await;
    }
    server.stop();
    let learned: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let hours = &learned["paces"]["truth [model=truth-1]"];
    assert_eq!(hours.as_array().map(Vec::len), Some(24), "{learned}");
    // Nothing goes at it this time, and nothing is lost.
    world.serve().stop();
    let kept: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(&kept["paces"]["truth [model=truth-1]"], hours);
    std::fs::write(&file, "{").unwrap();
    world.serve().stop();
}
