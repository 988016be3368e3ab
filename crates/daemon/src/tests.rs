//! A server without its sockets: ledger, history, keys, gateway and operations as they are, in a folder of its own.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Waker};

use almoner_api::{NewKey, Reply, Request};
use almoner_config::{BudgetsFrom, Settings, Sources};
use almoner_ledger::MAX_ACCOUNTS_PER_KEY;
use almoner_store::EventKind;
use almoner_units::{Budget, LevelMarks, Meter, Mode};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;

use crate::clock;
use crate::keeper::{Keeper, NotDone};
use crate::keys;
use crate::operations::Operations;
use crate::reload::{Reloading, Reread};
use crate::serve::{Options, join, open, open_history};

mod of_keys;
mod of_tokens;

pub(crate) struct Server {
    pub(crate) operations: Arc<Operations>,
    pub(crate) keeper: Keeper,
    keeping: std::thread::JoinHandle<()>,
}

pub(crate) fn settings(dir: &tempfile::TempDir) -> Settings {
    almoner_config::load(&Sources::empty(dir.path())).unwrap()
}

pub(crate) async fn start(settings: &Settings) -> Server {
    let settings_again = settings.clone();
    start_with(settings, Arc::new(move |_| Ok(settings_again.clone()))).await
}

/// The same, with what a reload reads.
async fn start_with(settings: &Settings, reread: Reread) -> Server {
    let (journal, ledger) = open(settings).unwrap();
    let (recorder, _) = open_history(settings, &mut |_| {}).unwrap();
    let facts = recorder.clone();
    let committed = move |entries: &[_], _: &_, took| facts.committed(entries.len(), took);
    let (keeper, keeping) = Keeper::start(ledger, journal, committed, |_| {}).unwrap();
    let reloading = Reloading::new(Arc::clone(&reread), tokio::sync::mpsc::unbounded_channel().0);
    let options = Options { version: "test", idle_exit: None, reread };
    let listen = "127.0.0.1:4141".parse().unwrap();
    let operations = join(settings, &options, &keeper, recorder, listen, reloading).await.unwrap();
    Server { operations: Arc::new(operations), keeper, keeping }
}

/// The name and the secret of a new key with a budget of a dollar.
async fn create_key(operations: &Operations, ttl_ms: u64) -> (String, String) {
    let new = NewKey { limits: vec!["$1".to_owned()], expires: format!("{ttl_ms}ms"), ..NewKey::default() };
    match operations.run(Request::CreateKey(Box::new(new))).await {
        Reply::Key(key) => (key.id, key.secret),
        other => panic!("{other:?}"),
    }
}

/// Sends a call to the provider in the box, and reads all of the answer.
async fn call(operations: &Operations, key: &str) -> hyper::StatusCode {
    call_with(operations, &[("x-almoner-key", key)]).await
}

/// The same, with these headers.
pub(crate) async fn call_with(operations: &Operations, headers: &[(&str, &str)]) -> hyper::StatusCode {
    let body = r#"{"model":"rehearsal","max_tokens":10,"messages":[{"role":"user","content":"hi"}]}"#;
    let request = hyper::Request::post("/v1/messages");
    let request = request.header("host", "localhost").header("content-type", "application/json");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let request = request.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap();
    let response = operations.gateway().handle(request).await;
    let status = response.status();
    response.into_body().collect().await.unwrap();
    status
}

/// What is spent of the budget of a key.
async fn spent(operations: &Operations, key: &str) -> u64 {
    match operations.run(Request::KeySummary { key: key.to_owned() }).await {
        Reply::Summary(summary) => summary.accounts.iter().map(|account| account.limits[0].spent).sum(),
        other => panic!("{other:?}"),
    }
}

/// Looks once whether something is ready, and says whether it is not.
fn poll_once<F: Future>(what: std::pin::Pin<&mut F>) -> bool {
    what.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

#[tokio::test]
async fn who_hears_late_of_his_own_key_does_not_undo_the_budget_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&settings(&dir)).await;
    // Until it may go on the keeper takes nothing up, so that nobody hears at once.
    let (go_on, held) = std::sync::mpsc::channel::<()>();
    let mut holding = Box::pin(server.keeper.operate(move |_, _| held.recv().is_err()));
    let mut first = Box::pin(create_key(&server.operations, 60_000));
    for waits in [poll_once(holding.as_mut()), poll_once(first.as_mut())] {
        assert!(waits);
    }
    drop(go_on);
    // The first key is made, and whoever asked for it has not heard of it when the second is.
    server.keeper.operate(|_, _| ()).await.unwrap();
    let (second, secret) = create_key(&server.operations, 60_000).await;
    let (first, first_secret) = first.await;
    for (name, secret) in [(first, first_secret), (second, secret)] {
        assert_eq!(call(&server.operations, &secret).await, 200);
        assert!(spent(&server.operations, &name).await > 0, "{name} spends without its budget");
    }
}

#[tokio::test]
async fn a_key_whose_time_is_up_is_forgotten_with_its_budget() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(&dir);
    let server = start(&settings).await;
    let (old, old_secret) = create_key(&server.operations, 60_000).await;
    let revoke = Request::RevokeKey { key: old.clone(), kill: false, by: "a test".to_owned() };
    server.operations.run(revoke).await;
    let (good, good_secret) = create_key(&server.operations, 60_000).await;
    server.operations.forget_ended().await;
    let budgets = |desk: &mut crate::keeper::Desk, _| {
        let of_keys = desk.ledger.budgets().filter(|budget| keys::owner(budget).is_some());
        let rows = desk.journal.keys_all().unwrap().len();
        (of_keys.map(|budget| budget.name.to_string()).collect::<Vec<_>>(), rows)
    };
    let known = server.keeper.operate(budgets).await.unwrap();
    assert_eq!(known, (vec![format!("exec {good}")], 1), "{old} is gone");
    assert_eq!(call(&server.operations, &old_secret).await, 401);
    assert_eq!(call(&server.operations, &good_secret).await, 200);
}

#[tokio::test]
async fn a_key_ends_with_its_command_here_and_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&settings(&dir)).await;
    let (name, secret) = create_key(&server.operations, 60_000).await;
    let (_, other) = create_key(&server.operations, 60_000).await;
    assert_eq!(call(&server.operations, &secret).await, 200);
    let revoke = |key: &str| Request::RevokeKey { key: key.to_owned(), kill: false, by: "a test".to_owned() };
    let ended = server.operations.run(revoke(&name)).await;
    assert!(matches!(ended, Reply::Done { .. }), "{ended:?}");
    assert_eq!(call(&server.operations, &secret).await, 401);
    assert_eq!(call(&server.operations, &other).await, 200);
    let rows = server.keeper.operate(|desk, _| desk.journal.keys_all().unwrap()).await.unwrap();
    let row = rows.iter().find(|row| row.id == name).unwrap();
    assert!(!keys::is_good(row, clock::read().wall), "a start would let it in again");
    let unknown = server.operations.run(revoke("key-nobody")).await;
    assert!(matches!(&unknown, Reply::Failed(failure) if failure.code == "unknown_key"), "{unknown:?}");
}

/// The accounts of a budget, by name, with what is spent of their first limit.
async fn accounts(keeper: &Keeper, budget: &'static str) -> BTreeMap<String, u64> {
    let views = keeper.operate(|desk, now| desk.ledger.views(now)).await.unwrap();
    let of = views.iter().filter(|view| view.key.budget.as_str() == budget);
    of.map(|view| (view.key.to_string(), view.limits[0].spent)).collect()
}

#[tokio::test]
async fn a_flood_of_sessions_ends_in_one_account_and_takes_nothing_from_those_before_it() {
    const SESSIONS: usize = MAX_ACCOUNTS_PER_KEY as usize;
    const EACH: u64 = 5;
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(&dir);
    let budget = Budget {
        name: "each".parse().unwrap(),
        filter: Vec::new(),
        per: vec!["session".parse().unwrap()],
        limits: vec![format!("{EACH} requests").parse().unwrap()],
        mode: Mode::StopNew,
        marks: LevelMarks::default(),
    };
    settings.budgets = BudgetsFrom::File(vec![budget]);
    let server = start(&settings).await;
    let names: Vec<String> = (0..SESSIONS + 50).map(|number| format!("flood-{number}")).collect();
    let mut statuses = Vec::new();
    for crowd in names.chunks(500) {
        let calls = crowd.iter().map(|name| {
            let operations = Arc::clone(&server.operations);
            let name = name.clone();
            tokio::spawn(async move { call_with(&operations, &[("x-almoner-session", &name)]).await.as_u16() })
        });
        for call in calls.collect::<Vec<_>>() {
            statuses.push(call.await.unwrap());
        }
    }
    let passed = statuses.iter().filter(|status| **status == 200).count();
    assert!(statuses[..SESSIONS].iter().all(|status| *status == 200), "every session has an account of its own");
    assert_eq!(passed, SESSIONS + 5, "all that came after share one");
    let before = accounts(&server.keeper, "each").await;
    assert_eq!((before.len(), before.get("each [session=overflow]")), (SESSIONS + 1, Some(&EACH)));
    assert_eq!(before.values().sum::<u64>(), u64::try_from(passed).unwrap());
    // Who was there before goes on, whoever floods; and another key has room of its own.
    assert_eq!(call_with(&server.operations, &[("x-almoner-session", "flood-7")]).await, 200);
    assert_eq!(accounts(&server.keeper, "each").await["each [session=flood-7]"], 2);
    let (_, secret) = create_key(&server.operations, 60_000).await;
    let other = [("x-almoner-key", secret.as_str()), ("x-almoner-session", "mine")];
    assert_eq!(call_with(&server.operations, &other).await, 200);
    let before = accounts(&server.keeper, "each").await;
    assert_eq!(before["each [session=mine]"], 1);
    // A start finds them all again, and the bound with them.
    server.keeper.stop();
    server.keeping.join().unwrap();
    drop(server.operations);
    let server = start(&settings).await;
    assert_eq!(accounts(&server.keeper, "each").await, before);
    assert_eq!(call_with(&server.operations, &[("x-almoner-session", "one more")]).await, 402);
    assert_eq!(accounts(&server.keeper, "each").await.len(), before.len());
}

#[tokio::test]
async fn a_key_is_not_let_in_without_the_budget_that_the_keys_table_names() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(&dir);
    let server = start(&settings).await;
    create_key(&server.operations, 60_000).await;
    server.keeper.stop();
    server.keeping.join().unwrap();
    drop(server.operations);
    let ledger = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let ledger = ledger
        .filter(|path| path.extension().is_some_and(|kind| kind == "db"))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ledger")));
    damage_keys(&ledger.unwrap());
    let opened = open(&settings).map(drop);
    assert!(opened.is_err(), "its budget would have been taken for one that nobody needs");
}

/// Changes the labels of every key, as a disk might.
fn damage_keys(ledger: &std::path::Path) {
    let connection = rusqlite::Connection::open(ledger).unwrap();
    connection.execute("UPDATE keys SET body = replace(body, 'labels', 'babels')", []).unwrap();
}

#[tokio::test]
async fn a_keeper_whose_ledger_breaks_a_promise_ends_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ledger) = open(&settings(&dir)).unwrap();
    let (failed, told) = std::sync::mpsc::channel();
    let (keeper, keeping) =
        Keeper::start(ledger, journal, |_, _, _| {}, move |why| failed.send(why.to_owned()).unwrap()).unwrap();
    let ran = keeper.operate(|_, _| -> () { panic!("a promise of the ledger") }).await;
    assert!(matches!(ran, Err(NotDone::Stopping)));
    keeping.join().unwrap();
    assert!(told.recv().unwrap().contains("broke a promise"));
}

#[tokio::test]
async fn who_only_looks_needs_no_disk() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&settings(&dir)).await;
    let before = server.keeper.operate(|desk, _| desk.journal.head().0).await.unwrap();
    let Reply::Status(status) = server.operations.run(Request::Status).await else { panic!("no status") };
    assert_eq!((status.journal_seq, status.open_holds), (before, 0));
    let (name, secret) = create_key(&server.operations, 60_000).await;
    assert_eq!(call(&server.operations, &secret).await, 200);
    let now = clock::read().wall;
    let charged = move |desk: &mut crate::keeper::Desk, _| {
        let view = desk.ledger.views(now).into_iter().find(|view| view.key.budget.as_str().ends_with(&name));
        view.map(|view| view.limits[0].limit.meter)
    };
    assert_eq!(server.keeper.operate(charged).await.unwrap(), Some(Meter::Usd));
}

#[tokio::test]
async fn a_reason_is_one_line_that_the_audit_can_hold() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&settings(&dir)).await;
    for (reason, code) in
        [(" ".to_owned(), "no_reason"), ("two\nlines".to_owned(), "bad_reason"), ("x".repeat(501), "bad_reason")]
    {
        let (labels, by) = (Vec::new(), "a test".to_owned());
        let add = Request::AddUsage { id: None, labels, input: 1, output: 0, cost_nano: 0, reason, by };
        let Reply::Failed(no) = server.operations.run(add).await else { panic!("it was booked") };
        assert_eq!(no.code, code);
    }
    let by = "a test".to_owned();
    let reset = Request::ResetBudget { budget: "x".to_owned(), per: Vec::new(), reason: "a\u{1b}[2J".to_owned(), by };
    let Reply::Failed(no) = server.operations.run(reset).await else { panic!("it was reset") };
    assert_eq!(no.code, "bad_reason");
}

/// The face may not know the store, so each has its own list; what one of them lacks would be kept and never shown.
#[test]
fn the_audit_shows_the_events_that_are_kept_for_it() {
    let kept: Vec<&str> = EventKind::ALL.iter().copied().filter(|kind| kind.is_change()).map(EventKind::word).collect();
    assert_eq!(almoner_web::CHANGES.as_slice(), kept);
}
