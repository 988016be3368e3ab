//! The configuration, read again while calls go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use almoner_api::{Reloaded, Reply, Request};
use almoner_testkit::TruthProvider;
use almoner_testkit::truth::CallRecord;
use rustix::process::Signal;
use serde_json::Value;

use crate::provider::{messages, truth, world_of};
use crate::server::Server;
use crate::world::World;

/// A budget that every call fits in.
fn roomy(name: &str) -> String {
    format!("[[budget]]\nname = \"{name}\"\nlimit = \"$1000\"\n")
}

/// One of two configurations: to which provider, with which credential, with how much output at most.
struct Side {
    truth: TruthProvider,
    credential: &'static str,
    max_output: u64,
    budget: &'static str,
}

impl Side {
    fn config(&self) -> String {
        config(&self.truth, &format!("{}.key", self.budget), self.max_output, self.budget)
    }

    /// The calls that came here under something else than this configuration.
    fn mixed(&self) -> Vec<(Option<String>, Option<u64>)> {
        let of = |call: &CallRecord| {
            let body: Value = serde_json::from_slice(call.request.as_deref().unwrap()).unwrap();
            (call.credential.clone(), body["max_tokens"].as_u64())
        };
        let whole = (Some(self.credential.to_owned()), Some(self.max_output));
        self.truth.calls().iter().map(of).filter(|call| *call != whole).collect()
    }
}

fn config(truth: &TruthProvider, key_file: &str, max_output: u64, budget: &str) -> String {
    let settings = format!("max_output = {max_output}\ndefault_output = 100");
    let config = crate::provider::config(&format!("http://{}", truth.addr()), &settings, &roomy(budget));
    config.replace("truth.key", key_file)
}

#[track_caller]
fn reloaded(server: &Server) -> Reloaded {
    match server.ask(&Request::Reload { by: "a test".to_owned() }) {
        Reply::Reloaded(reloaded) => *reloaded,
        other => panic!("{other:?}"),
    }
}

fn key_file(world: &World, name: &str, secret: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(world.path(name), secret).unwrap();
    std::fs::set_permissions(world.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_drop_no_call_and_mix_nothing_old_with_anything_new() {
    let one = Side { truth: truth().await, credential: "sk-of-one", max_output: 300, budget: "one" };
    let other = Side { truth: truth().await, credential: "sk-of-other", max_output: 500, budget: "other" };
    let world = World::new(&one.config());
    key_file(&world, "one.key", "sk-of-one");
    key_file(&world, "other.key", "sk-of-other");
    let server = Arc::new(world.serve());
    let is_over = Arc::new(AtomicBool::new(false));
    let calling: Vec<_> = (0..6)
        .map(|_| {
            let (server, is_over) = (Arc::clone(&server), Arc::clone(&is_over));
            tokio::spawn(async move {
                let mut statuses = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    let answer = server.post("/v1/messages", &[], &messages("truth-1", 900, "Hello")).await;
                    statuses.push((answer.status, answer.complete));
                }
                statuses
            })
        })
        .collect();
    for number in 0..30 {
        let (from, to) = if number % 2 == 0 { (&one, &other) } else { (&other, &one) };
        world.configure(&to.config());
        let before = to.truth.calls().len();
        let changed = reloaded(&server).changed.join("\n");
        assert!(changed.contains(&format!("budget `{}` is gone", from.budget)), "{changed}");
        assert!(changed.contains(&format!("`max_output` was {}, and is {}", from.max_output, to.max_output)));
        assert!(!changed.replace(".key", "").contains("sk-of-one-secret"), "{changed}");
        // The next configuration comes when this one is used.
        while to.truth.calls().len() < before + 3 {
            tokio::task::yield_now().await;
        }
    }
    is_over.store(true, Ordering::Relaxed);
    let mut calls = 0;
    for task in calling {
        let statuses = task.await.unwrap();
        assert!(statuses.iter().all(|answer| *answer == (200, true)), "{statuses:?}");
        calls += statuses.len();
    }
    assert!(calls >= 90, "{calls} calls");
    assert_eq!((one.mixed(), other.mixed()), (Vec::new(), Vec::new()));
    // The check can fail: a configuration that has half of each is seen.
    world.configure(&config(&other.truth, "one.key", other.max_output, "half"));
    reloaded(&server);
    server.post("/v1/messages", &[], &messages("truth-1", 900, "Hello")).await;
    assert_eq!(other.mixed(), vec![(Some("sk-of-one".to_owned()), Some(500))]);
    Arc::into_inner(server).unwrap().stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_bad_file_leaves_the_old_one_in_force_and_says_where_it_is_wrong() {
    let truth = truth().await;
    let base = format!("http://{}", truth.addr());
    let world = world_of(&base, "", &roomy("team"));
    let server = world.serve();
    let good = server.status().config;
    world.configure(&crate::provider::config(&base, "max_outptu = 3", &roomy("other")));
    let said = world.fails(&["reload"]);
    assert!(said.contains("almoner.toml:1:1") && said.contains("max_output"), "{said}");
    assert!(said.contains("stays in force"), "{said}");
    assert_eq!(said.matches("did you mean `max_output`?").count(), 1, "{said}");
    let status = server.status();
    assert_eq!(status.config, good, "the file that was read");
    let failed = status.reload_failed.expect("it failed");
    assert!(failed.message.contains("max_outptu"), "{failed:?}");
    assert!(world.ok(&["status"]).contains("configuration: last reload failed at"));
    server.says("the configuration was not reloaded");
    assert_eq!(server.post("/v1/messages", &[], &messages("truth-1", 100, "Hello")).await.status, 200);
    assert_eq!(server.settled("team").limit, "$1000.00 / lifetime");
    // One that is gone is not taken for one that says nothing.
    std::fs::remove_file(world.path("almoner.toml")).unwrap();
    let gone = world.fails(&["reload", "--state", world.state().to_str().unwrap()]);
    assert!(gone.contains("cannot read the configuration"), "{gone}");
    world.configure(&crate::provider::config(&base, "max_output = 3000\ndefault_output = 300", &roomy("team")));
    assert!(world.ok(&["reload"]).contains("`max_output` was 32000, and is 3000"));
    assert_eq!(server.status().reload_failed, None);
    // A route that no call takes is allowed, and probably not meant.
    let lonely = "[[route]]\nname = \"lonely\"\nto = [{ model = \"claude-opus-5\" }]\n";
    world.configure(&crate::provider::config(&base, "", &format!("{}{lonely}", roomy("team"))));
    let said = world.ok(&["reload"]);
    assert_eq!(said.matches("warning: ").count(), 1, "{said}");
    assert!(said.contains("warning: no call takes the route `lonely`"), "{said}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_limit_rises_and_falls_with_the_file_and_what_was_set_by_hand_ends() {
    let truth = truth().await;
    let base = format!("http://{}", truth.addr());
    let with = |limit: &str| {
        crate::provider::config(&base, "", &format!("[[budget]]\nname = \"team\"\nlimit = \"{limit}\"\n"))
    };
    let world = world_of(&base, "", "");
    world.configure(&with("5 requests"));
    let server = world.serve();
    let call = || async { server.post("/v1/messages", &[], &messages("truth-1", 100, "Hello")).await.status };
    assert_eq!((call().await, call().await), (200, 200));
    world.configure(&with("2 requests"));
    let said = world.ok(&["reload"]);
    assert!(
        said.contains(
            "budget `team` was 5 requests / lifetime in mode stop-new, and is 2 requests / lifetime in mode stop-new"
        ),
        "{said}"
    );
    assert_eq!(call().await, 402, "both are spent");
    world.configure(&with("1 request"));
    world.ok(&["reload"]);
    assert!(server.account("team").over_because.unwrap().contains("a reload lowered its limit"));
    world.ok(&["budgets", "set", "team", "100 requests"]);
    assert_eq!(call().await, 200);
    let again = world.ok(&["reload"]);
    assert!(again.contains("was 100 requests") && again.contains("is 1 requests / lifetime"), "{again}");
    assert_eq!(call().await, 402);
    world.configure(&with("4 requests"));
    world.ok(&["reload"]);
    assert_eq!(call().await, 200, "what was counted stays, and there is room for one");
    assert_eq!(call().await, 402);
    assert!(world.ok(&["reload"]).contains("nothing has changed"));
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_running_call_ends_where_it_began() {
    let (slow, next) = (truth().await, truth().await);
    let world = world_of(&format!("http://{}", slow.addr()), "", &roomy("old"));
    let server = Arc::new(world.serve());
    let waiting = tokio::spawn({
        let server = Arc::clone(&server);
        async move {
            let body = crate::provider::messages_stream("truth-1", 200, "Hello");
            server.post("/v1/messages", &[("x-truth-gate", "true")], &body).await
        }
    });
    server.until(|status| status.open_holds == 1);
    world.configure(&crate::provider::config(&format!("http://{}", next.addr()), "", &roomy("new")));
    reloaded(&server);
    let answer = server.post("/v1/messages", &[], &messages("truth-1", 100, "Hello")).await;
    assert_eq!((answer.status, next.calls().len()), (200, 1));
    slow.release(1);
    let waited = waiting.await.unwrap();
    assert!(waited.status == 200 && waited.complete, "{}", waited.text());
    let status = server.until(|status| status.open_holds == 0);
    assert_eq!(status.accounts.len(), 1, "the old budget is gone");
    assert_eq!(status.overrun_nano, Vec::new());
    Arc::into_inner(server).unwrap().stop();
}

#[test]
fn the_signal_reloads_and_what_needs_a_start_is_named_and_left() {
    let world = World::new(&roomy("team"));
    let server = world.serve();
    let before = server.status();
    world.configure(&format!("header_bytes_max = 20000\nstrict = true\n{}", roomy("team")));
    server.signal(Signal::HUP);
    server.says("`strict` was false, and is true");
    let said = server.says("with the next start");
    assert!(said.contains("header_bytes_max"), "{said}");
    let after = server.status();
    assert_eq!((after.pid, &after.listen), (before.pid, &before.listen));
    assert_ne!(after.config, before.config);
    server.stop();
}

#[test]
fn whoever_changed_something_by_reloading_stands_in_the_journal() {
    let world = World::new(&roomy("team"));
    let server = world.serve();
    world.configure(&roomy("other"));
    world.ok(&["reload"]);
    server.stop();
    let journal = rusqlite::Connection::open(world.state().join("ledger.db")).unwrap();
    let of = "SELECT count(*) FROM journal WHERE body LIKE '%by command line, by reloading the configuration%'";
    let rows: i64 = journal.query_row(of, [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 2, "one budget is gone, and one is new");
}
