//! Keys with names: what they allow, what becomes of them, and what a crash or an earlier version left.

use almoner_api::{Failure, KeyInfo, NewKey, Reply, Request, ShownKey};
use almoner_ledger::Who;
use almoner_store::Journal;
use almoner_units::{Mode, Span};

use super::{Server, call, call_with, settings, start};
use crate::{clock, keys};

fn named(name: &str) -> NewKey {
    NewKey { name: Some(name.to_owned()), expires: "never".to_owned(), by: "a test".to_owned(), ..NewKey::default() }
}

impl Server {
    async fn create(&self, new: NewKey) -> ShownKey {
        match self.operations.run(Request::CreateKey(Box::new(new))).await {
            Reply::Key(key) => *key,
            other => panic!("{other:?}"),
        }
    }

    async fn no(&self, request: Request) -> Failure {
        match self.operations.run(request).await {
            Reply::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    async fn done(&self, request: Request) -> String {
        match self.operations.run(request).await {
            Reply::Done { message } => message,
            other => panic!("{other:?}"),
        }
    }

    async fn list(&self, key: Option<&str>, all: bool) -> Vec<KeyInfo> {
        match self.operations.run(Request::Keys { key: key.map(str::to_owned), all }).await {
            Reply::Keys { keys, .. } => keys,
            other => panic!("{other:?}"),
        }
    }

    async fn shown(&self, key: &str) -> KeyInfo {
        self.list(Some(key), false).await.remove(0)
    }

    /// Ends it as a stop does, so that another may have its folder.
    fn end(self) {
        self.keeper.stop();
        drop(self.operations);
        self.keeping.join().unwrap();
    }
}

fn revoke(key: &str) -> Request {
    Request::RevokeKey { key: key.to_owned(), kill: false, by: "a test".to_owned() }
}

#[tokio::test]
async fn a_name_is_taken_while_its_key_is_good_and_free_when_it_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&settings(&dir)).await;
    let first = server.create(named("ci")).await;
    let twin = server.no(Request::CreateKey(Box::new(named("ci")))).await;
    assert_eq!(twin.code, "key_exists", "{twin:?}");
    assert!(twin.hint.unwrap().contains("keys rotate ci"));
    server.done(revoke("ci")).await;
    let again = server.no(revoke("ci")).await;
    assert!(again.code == "key_ended" && again.message.contains("was revoked at"), "{again:?}");
    let second = server.create(named("ci")).await;
    assert_ne!(first.id, second.id);
    assert_eq!(call(&server.operations, &first.secret).await, 401);
    assert_eq!(call(&server.operations, &second.secret).await, 200);
    let ids = |keys: Vec<KeyInfo>| keys.into_iter().map(|key| (key.id, key.state)).collect::<Vec<_>>();
    assert_eq!(ids(server.list(None, false).await), [(second.id.clone(), "good".to_owned())]);
    assert_eq!(server.list(None, true).await.len(), 2);
    assert_eq!(server.shown("ci").await.id, second.id);
    assert_eq!(server.shown(&first.id).await.state, "revoked");
}

#[tokio::test]
async fn what_was_done_to_a_key_is_told_with_who_and_when_also_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(&dir);
    let server = start(&settings).await;
    let key = server.create(NewKey { limits: vec!["$5 / day".to_owned()], ..named("ci") }).await;
    let budget = key.budget.unwrap();
    let set = Request::SetBudget {
        budget: budget.clone(),
        limits: vec!["$7 / day".to_owned()],
        mode: None,
        by: "somebody".to_owned(),
    };
    let said = server.done(set).await;
    assert!(said.contains("it holds as long as its key does"), "{said}");
    let rotate = Request::RotateKey { key: "ci".to_owned(), grace_ms: 60_000, by: "another".to_owned() };
    let Reply::Key(rotated) = server.operations.run(rotate).await else { panic!("not rotated") };
    assert!(rotated.old_until.is_some() && rotated.id == key.id && rotated.secret != key.secret);
    for secret in [&key.secret, &rotated.secret] {
        assert_eq!(call(&server.operations, secret).await, 200);
    }
    server.end();
    let server = start(&settings).await;
    let shown = server.shown("ci").await;
    assert_eq!(shown.account.unwrap().limits[0].limit, "$7.00 / day", "a start does not undo it");
    assert_eq!(shown.old_secrets_until.len(), 1);
    for secret in [&key.secret, &rotated.secret] {
        assert_eq!(call(&server.operations, secret).await, 200);
    }
    server.done(revoke("ci")).await;
    let shown = server.shown("ci").await;
    let told: Vec<(String, String)> = shown.changes.into_iter().map(|change| (change.by, change.what)).collect();
    let begins = [
        ("a test", "created"),
        ("somebody", "its budget is $7.00 / day"),
        ("another", "rotated, the old secret good until"),
        ("a test", "revoked"),
    ];
    assert_eq!(told.len(), begins.len(), "{told:?}");
    for ((by, what), (who, begin)) in told.iter().zip(begins) {
        assert!(by == who && what.starts_with(begin), "{by}: {what}");
    }
    for secret in [&key.secret, &rotated.secret] {
        assert_eq!(call(&server.operations, secret).await, 401);
    }
}

#[tokio::test]
async fn what_cannot_be_a_key_is_refused_by_name_and_nothing_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&settings(&dir)).await;
    let label = |name: &str, value: &str| NewKey { labels: vec![(name.to_owned(), value.to_owned())], ..named("x") };
    let long = "x".repeat(129);
    let table = [
        (named("a b"), "bad_name"),
        (named("alm_abc"), "bad_name"),
        (named(&long), "bad_name"),
        (named("x\u{1b}[2J"), "bad_name"),
        (label("key", "other"), "bad_label"),
        (label("model", "claude"), "bad_label"),
        (label("priority", "critical"), "bad_label"),
        (label("provider", "free"), "bad_label"),
        (label("team", "a\r\nb"), "bad_label"),
        (label("team", &long), "bad_label"),
        (label("colour", "red"), "bad_label"),
        (NewKey { limits: vec!["lots".to_owned()], ..named("x") }, "bad_limit"),
        (NewKey { limits: vec!["$1 / day".to_owned(), "$2 / day".to_owned()], ..named("x") }, "bad_limit"),
        (NewKey { mode: Some("gently".to_owned()), ..named("x") }, "bad_mode"),
        (NewKey { models: vec!["a b".to_owned()], ..named("x") }, "bad_model"),
        (NewKey { models: vec![String::new()], ..named("x") }, "bad_model"),
        (NewKey { priority_max: Some("urgent".to_owned()), ..named("x") }, "bad_priority"),
        (NewKey { rpm: Some(0), ..named("x") }, "bad_pace"),
        (NewKey { tpm: Some(0), ..named("x") }, "bad_pace"),
        (NewKey { expires: "soon".to_owned(), ..named("x") }, "bad_date"),
        (NewKey { expires: "2001-01-01".to_owned(), ..named("x") }, "bad_date"),
    ];
    for (new, code) in table {
        let failure = server.no(Request::CreateKey(Box::new(new.clone()))).await;
        assert_eq!(failure.code, code, "{new:?}: {failure:?}");
        assert!(!failure.message.contains(['\r', '\u{1b}']), "{failure:?}");
    }
    assert!(server.list(None, true).await.is_empty());
}

#[tokio::test]
async fn a_key_that_a_crash_parted_from_its_budget_gets_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(&dir);
    let server = start(&settings).await;
    let key = server.create(NewKey { limits: vec!["$1".to_owned()], ..named("ci") }).await;
    let budget = key.budget.unwrap();
    server.end();
    // As if the fact of the budget had not come to the disk.
    let (mut journal, mut recovered) = Journal::open(dir.path()).unwrap();
    let now = clock::read().wall;
    recovered.ledger.forget_budget(&budget.parse().unwrap(), Who("a crash".to_owned()), now);
    journal.append(&recovered.ledger.take_facts()).unwrap();
    drop(journal);
    let server = start(&settings).await;
    assert_eq!(call(&server.operations, &key.secret).await, 200);
    assert_eq!(server.shown("ci").await.account.unwrap().budget, budget);
}

#[tokio::test]
async fn a_command_that_runs_through_a_change_of_version_keeps_its_purse() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(&dir);
    let server = start(&settings).await;
    let key = server.create(NewKey { limits: vec!["$2".to_owned()], name: None, ..named("") }).await;
    server.end();
    // An earlier version kept the limits in the ledger alone.
    let (mut journal, _) = Journal::open(dir.path()).unwrap();
    let mut stored = journal.keys_all().unwrap().remove(0);
    stored.limits.clear();
    journal.keys_put(&stored).unwrap();
    drop(journal);
    let server = start(&settings).await;
    let account = server.shown(&key.id).await.account.unwrap();
    assert_eq!((account.budget, account.limits[0].limit.as_str()), (key.budget.unwrap(), "$2.00 / lifetime"));
    let facts = almoner_gateway::Keys::find(&server.operations.keyring, &key.secret).unwrap();
    assert_eq!(facts.budgets.len(), 1, "its calls are counted");
}

#[tokio::test]
async fn ten_thousand_keys_are_listed_and_one_more_is_made_and_used() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&settings(&dir)).await;
    let first = server.create(NewKey { limits: vec!["$1".to_owned()], ..named("first") }).await;
    let ring = server.operations.keyring.clone();
    let known = ring.get("first", clock::read().wall).unwrap();
    for number in 0..10_000 {
        let mut key = (*known).clone();
        (key.id, key.name) = (format!("k{number}-aaaaaaaa"), Some(format!("k{number}")));
        key.secrets.clear();
        ring.put(key);
    }
    assert_eq!(server.list(None, false).await.len(), 10_001);
    assert_eq!(server.no(Request::CreateKey(Box::new(named("k9999")))).await.code, "key_exists");
    let last = server.create(named("last")).await;
    for secret in [&first.secret, &last.secret] {
        assert_eq!(call(&server.operations, secret).await, 200);
    }
}

#[tokio::test]
async fn keys_that_have_no_room_beside_the_budgets_in_force_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&settings(&dir)).await;
    server.create(NewKey { limits: vec!["$1".to_owned()], ..named("with") }).await;
    server.create(named("without")).await;
    let ended = server.create(NewKey { limits: vec!["$1".to_owned()], ..named("ended") }).await;
    server.done(revoke(&ended.id)).await;
    let budget = |number: usize| almoner_units::Budget {
        name: format!("b{number}").parse().unwrap(),
        filter: Vec::new(),
        per: Vec::new(),
        limits: vec!["$1".parse().unwrap()],
        mode: Mode::StopNew,
        marks: almoner_units::LevelMarks::default(),
    };
    let all: Vec<_> = (0..almoner_policy::ACCOUNTS_MAX).map(budget).collect();
    assert_eq!((server.operations.crowded_keys(&all), server.operations.crowded_keys(&all[1..])), (1, 0));
}

#[tokio::test]
async fn the_budget_of_a_key_goes_with_it_and_its_name_stays() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(&dir);
    let server = start(&settings).await;
    for round in 0..20 {
        let key = server.create(NewKey { limits: vec!["$1 / day".to_owned()], ..named("ci") }).await;
        assert_eq!(call(&server.operations, &key.secret).await, 200, "{round}");
        server.done(revoke("ci")).await;
        server.operations.forget_ended().await;
    }
    let count = |desk: &mut crate::keeper::Desk, now| {
        let of_keys = desk.ledger.budgets().filter(|budget| keys::owner(budget).is_some()).count();
        let accounts =
            desk.ledger.views(now).iter().filter(|view| view.key.budget.as_str().starts_with("key ")).count();
        (of_keys, accounts)
    };
    assert_eq!(server.keeper.operate(count).await.unwrap(), (0, 0));
    assert_eq!(server.list(None, true).await.len(), 20, "what was, is told for a year");
    let now = clock::read().wall.after(Span::from_secs(366 * 24 * 3600));
    assert_eq!(server.operations.keyring.take_forgotten(now).len(), 20);
}

#[tokio::test]
async fn no_header_gives_a_call_another_key_team_or_user() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&settings(&dir)).await;
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let labels = vec![pair("team", "red"), pair("user", "ann"), pair("session", "fixed"), pair("tag.cost", "r1")];
    let key = server.create(NewKey { labels, ..named("ci") }).await;
    let hostile = [
        ("x-almoner-key", key.secret.as_str()),
        ("x-almoner-team", "blue"),
        ("x-almoner-user", "bob"),
        ("x-almoner-label", "team=blue"),
        ("x-almoner-labels", "team=blue, key=other"),
        ("x-almoner-tags", "team=blue, key=other, user=bob, cost=free, ,team,tag.team=x"),
        ("x-almoner-session", "other"),
        ("x-almoner-agent", "team=blue"),
        ("x-team", "blue"),
        ("x-litellm-tags", "team=blue"),
    ];
    let facts = almoner_gateway::Keys::find(&server.operations.keyring, &key.secret).unwrap();
    let id = facts.labels.named("key").unwrap().to_string();
    // Each header alone, and all at once.
    for headers in hostile[1..].iter().map(|one| vec![hostile[0], *one]).chain([hostile.to_vec()]) {
        assert_eq!(call_with(&server.operations, &headers).await, 200);
    }
    // What was counted is counted by the key's own labels, whatever was said.
    let budget = |per: &str| almoner_units::Budget {
        name: format!("per {per}").parse().unwrap(),
        filter: Vec::new(),
        per: vec![per.parse().unwrap()],
        limits: vec!["1G tokens".parse().unwrap()],
        mode: Mode::StopNew,
        marks: almoner_units::LevelMarks::default(),
    };
    let budgets: Vec<_> = ["key", "team", "user", "session", "tag.cost"].map(budget).into_iter().collect();
    let of = budgets.clone();
    let set = move |desk: &mut crate::keeper::Desk, now| {
        of.iter().for_each(|budget| desk.ledger.set_budget(budget.clone(), Who("a test".to_owned()), now));
    };
    server.keeper.operate(set).await.unwrap();
    server.operations.gateway().set_budgets(budgets);
    for headers in hostile[1..].iter().map(|one| vec![hostile[0], *one]).chain([hostile.to_vec()]) {
        assert_eq!(call_with(&server.operations, &headers).await, 200);
    }
    let views = server.keeper.operate(|desk, now| desk.ledger.views(now)).await.unwrap();
    let mut accounts: Vec<String> =
        views.iter().map(|view| view.key.to_string()).filter(|key| key.starts_with("per ")).collect();
    accounts.sort();
    let expected = [
        format!("per key [key={id}]"),
        "per session [session=fixed]".to_owned(),
        "per tag.cost [tag.cost=r1]".to_owned(),
        "per team [team=red]".to_owned(),
        "per user [user=ann]".to_owned(),
    ];
    assert_eq!(accounts, expected);
}
