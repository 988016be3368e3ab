//! The disk that is full: who calls is told to come again, what runs is settled, and nothing acknowledged is lost.

use almoner_testkit::{Answer, SmallDisk};
use serde_json::json;

use crate::provider::{chat, messages, truth, until, world};

const ROOMY: &str = "[[budget]]\nname = \"roomy\"\nlimit = \"$100\"\n";

/// A call is told to come again, in its dialect's form, because the ledger is closed.
#[track_caller]
fn check_closed(answer: &Answer, kind: &str) {
    assert_eq!((answer.status, answer.header("x-almoner-code")), (503, Some("ledger_closed")), "{}", answer.text());
    let error = &answer.json()["error"];
    assert_eq!(error["type"], kind, "{error}");
    assert_eq!(error["almoner"]["whose_fault"], "almoner", "{error}");
    assert!(error["message"].as_str().unwrap().contains("full"), "{error}");
    let after: u64 = answer.header("retry-after").expect("it says when").parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
    assert_eq!(error["almoner"]["retry_after_s"], after);
    assert_ne!(answer.header("x-should-retry"), Some("false"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_full_disk_turns_calls_away_until_there_is_room_and_loses_nothing() {
    let truth = truth().await;
    let world = world(&truth, "", ROOMY);
    let Some(disk) = SmallDisk::mount(&world.state(), "10m").unwrap() else {
        println!("not allowed to mount a small disk here; the tests of the desk and the journal stand in for it");
        return;
    };
    let server = world.serve();
    let call = messages("truth-1", 200, "Hello");
    let chatted = chat("truth-1", 200, "Hello", &json!({}));
    assert_eq!(server.post("/v1/messages", &[], &call).await.status, 200);
    assert_eq!(server.probe("/readyz"), 200);

    let gated = [("x-truth-gate", "true")];
    let (running, before) = tokio::join!(server.post("/v1/messages", &gated, &call), async {
        until(&truth, |totals| totals.billed == 2).await;
        disk.fill().unwrap();
        // What the journal has taken of the disk already lasts for a few calls more.
        let mut passed = 0;
        let refused = loop {
            let answer = server.post("/v1/messages", &[], &call).await;
            if answer.status != 200 {
                break answer;
            }
            passed += 1;
            assert!(passed < 2000, "the disk never became full");
        };
        check_closed(&refused, "api_error");
        check_closed(&server.post("/v1/chat/completions", &[], &chatted).await, "api_error");
        assert_eq!((server.probe("/readyz"), server.probe("/healthz")), (503, 200));
        assert!(world.ok(&["status"]).contains("full"), "{}", world.ok(&["status"]));
        assert_eq!(truth.totals().billed, 2 + passed, "whoever was turned away cost nothing");
        let before = server.status().journal_seq;
        truth.release(1);
        before
    });
    // What was kept back for it is enough for the end of the call that ran, and is given to no new one.
    assert_eq!(running.status, 200, "{}", running.text());
    let settled = server.settled("roomy");
    assert_eq!((settled.spent, settled.assumed), (truth.bill().get(), 0));
    server.until(|status| status.journal_seq > before);
    for _ in 0..3 {
        check_closed(&server.post("/v1/messages", &[], &call).await, "api_error");
    }
    assert!(server.status().closed.is_some());

    disk.make_room().unwrap();
    server.until(|status| status.closed.is_none());
    assert_eq!(server.probe("/readyz"), 200);
    assert_eq!(server.post("/v1/messages", &[], &call).await.status, 200);
    assert_eq!(server.post("/v1/chat/completions", &[], &chatted).await.status, 200);
    let before = server.settled("roomy");
    assert_eq!((before.spent, before.assumed), (truth.bill().get(), 0));
    server.stop();
    assert!(world.ok(&["ledger", "verify"]).starts_with("sound: "));
    let server = world.serve();
    let after = server.limit("roomy");
    assert_eq!((after.spent, after.assumed, after.held), (before.spent, 0, 0));
    server.stop();
    drop(disk);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_crash_on_a_full_disk_loses_no_acknowledged_hold() {
    let truth = truth().await;
    let world = world(&truth, "", ROOMY);
    let Some(disk) = SmallDisk::mount(&world.state(), "10m").unwrap() else {
        println!("not allowed to mount a small disk here; the kill loop stands in for it");
        return;
    };
    let server = world.serve();
    let call = messages("truth-1", 200, "Hello");
    let gated = [("x-truth-gate", "true")];
    tokio::select! {
        answer = server.post("/v1/messages", &gated, &call) => panic!("{}", answer.text()),
        () = until(&truth, |totals| totals.billed == 1) => {}
    }
    disk.fill().unwrap();
    while server.post("/v1/messages", &[], &call).await.status == 200 {}
    server.kill();
    // Opening writes what recovery assumes, for which there is no room but that which was kept back.
    let server = world.serve();
    let limit = server.limit("roomy");
    assert!(limit.spent + limit.assumed >= truth.bill().get() && limit.held == 0, "{limit:?}");
    check_closed(&server.post("/v1/messages", &[], &call).await, "api_error");
    disk.make_room().unwrap();
    server.until(|status| status.closed.is_none());
    assert_eq!(server.post("/v1/messages", &[], &call).await.status, 200);
    server.stop();
    drop(disk);
}
