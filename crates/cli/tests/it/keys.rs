//! Keys from outside: made, used, shared by a team, rotated, revoked, and what they may not do.

use std::process::Command;

use almoner_testkit::Patience;
use serde_json::{Value, json};

use crate::provider::{CREDENTIAL, chat, messages, messages_stream, truth, until, world, world_at};
use crate::raw::{request, send, status};
use crate::world::{Said, World};

const ROOMY: &str = "[[budget]]\nname = \"roomy\"\nlimit = \"$100\"\n";
const TEAMS: &str = "[[budget]]\nname = \"red\"\nlimit = \"$100\"\nwhere = { team = \"red\" }\n\
                     [[budget]]\nname = \"each user\"\nlimit = \"$100\"\nper = [\"user\"]\n\
                     [[budget]]\nname = \"each key\"\nlimit = \"$100\"\nper = [\"key\"]\n";

/// Makes a key, and gives its secret.
#[track_caller]
fn create(world: &World, args: &[&str]) -> String {
    world.ok(&[&["keys", "create"], args].concat()).trim_end().to_owned()
}

/// What is known of a key.
#[track_caller]
fn shown(world: &World, key: &str) -> Value {
    world.json(&["keys", "show", key])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_key_is_shown_once_alone_and_then_its_use_is_told() {
    let truth = truth().await;
    let world = world(&truth, "", ROOMY);
    let server = world.serve();
    assert!(world.ok(&["keys", "list"]).contains("no key is good"));
    let flags = ["ci", "--team", "red", "--user", "ann", "--budget", "$5 / day", "--budget", "1M tokens / sliding 1h"];
    let said = world.run(&[&["keys", "create"], &flags[..], &["--expires", "90d", "--note", "for CI"]].concat());
    assert_eq!(said.code, Some(0), "{said:?}");
    // `KEY=$(almoner keys create ci)` gets the secret and nothing else.
    let secret = said.out.trim_end();
    assert!(secret.starts_with("alm_") && secret.len() == 36 && said.out.lines().count() == 1, "{said:?}");
    assert!(said.err.contains("shown this once") && said.err.contains("calls without a key still pass"), "{said:?}");
    assert!(!said.err.contains(secret));
    let answer = server.post("/v1/messages", &[("x-api-key", secret)], &messages("truth-1", 200, "Hello")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    server.explain(&answer, true);
    let key = shown(&world, "ci");
    let id = key["id"].as_str().unwrap();
    assert!(id.starts_with("ci-"), "{key}");
    assert_eq!(server.settled(&format!("key {id}")).spent, truth.bill().get());
    assert_eq!(key["account"]["limits"][0]["spent"], truth.bill().get());
    assert_eq!((&key["used"]["calls"], &key["used"]["cost_nano"]), (&json!(1), &json!(truth.bill().get())));
    assert!(key["last_used_at"].is_string() && key["expires_at"].is_string(), "{key}");
    let change = &key["changes"][0];
    assert!(change["what"] == "created" && change["by"].as_str().unwrap().starts_with("uid "), "{key}");
    let list = world.ok(&["keys", "list"]);
    for words in ["ci (team red, user ann): good until", "last used 20", "$5.00 / day: ", "1M tokens / sliding 1h: "] {
        assert!(list.contains(words), "`{words}` is not in {list}");
    }
    let facts = world.ok(&["keys", "show", "ci"]);
    for words in
        ["models: every model", "priority: at most high", "used: 1 call, 0 refused", "note: for CI", "created, by uid"]
    {
        assert!(facts.contains(words), "`{words}` is not in {facts}");
    }
    let twin = world.fails(&["keys", "create", "ci"]);
    assert!(twin.contains("there is a key named `ci` already") && twin.contains("keys rotate ci"), "{twin}");
    let made = world.json(&["keys", "create", "other"]);
    assert!(made["secret"].as_str().unwrap().starts_with("alm_") && made["name"] == "other", "{made}");
    let log = server.stop();
    for secret in [secret, made["secret"].as_str().unwrap()] {
        assert!(!log.contains(secret));
        assert_eq!(world.files_with(secret), [""; 0].map(std::path::PathBuf::from));
    }
}

#[test]
fn a_key_has_a_pace_and_none_that_lets_nothing_go() {
    let world = World::new(ROOMY);
    let server = world.serve();
    for flag in ["--rpm", "--tpm"] {
        assert_eq!(world.run(&["keys", "create", "ci", flag, "0"]).code, Some(2));
    }
    assert!(world.ok(&["keys", "list", "--all"]).contains("there are no keys"));
    world.ok(&["keys", "create", "slow", "--rpm", "60", "--tpm", "100000"]);
    let facts = world.ok(&["keys", "show", "slow"]);
    assert!(facts.contains("pace: 60 requests and 100000 tokens in a minute"), "{facts}");
    let said = world.fails(&["keys", "show", "alm_something"]);
    assert!(said.contains("no key is named"), "{said}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn two_keys_of_a_team_share_its_account_and_have_one_each() {
    let truth = truth().await;
    let world = world(&truth, "", TEAMS);
    let server = world.serve();
    let keys = [
        create(&world, &["one", "--team", "red", "--user", "ann"]),
        create(&world, &["two", "--team", "red", "--user", "bob"]),
        create(&world, &["three", "--team", "blue", "--user", "bob"]),
    ];
    let mut bills = Vec::new();
    for (calls, key) in keys.iter().enumerate() {
        let before = truth.bill().get();
        for _ in 0..=calls {
            // Nobody calls himself another team, user or key.
            let lies = [
                ("x-almoner-key", key.as_str()),
                ("x-almoner-team", "blue"),
                ("x-almoner-tags", "team=blue, user=eve, key=one"),
                ("x-almoner-user", "eve"),
            ];
            let answer = server.post("/v1/messages", &lies, &messages("truth-1", 200, "Hello")).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        bills.push(truth.bill().get() - before);
    }
    let id = |name: &str| shown(&world, name)["id"].as_str().unwrap().to_owned();
    assert_eq!(server.settled("red").spent, bills[0] + bills[1]);
    assert_eq!(server.settled("each user [user=ann]").spent, bills[0]);
    assert_eq!(server.settled("each user [user=bob]").spent, bills[1] + bills[2]);
    for (name, bill) in ["one", "two", "three"].into_iter().zip(&bills) {
        assert_eq!(server.settled(&format!("each key [key={}]", id(name))).spent, *bill);
    }
    let accounts = server.status().accounts;
    let of = |budget: &str| accounts.iter().filter(|account| account.budget == budget).count();
    assert_eq!((of("red"), of("each user"), of("each key")), (1, 2, 3), "{accounts:#?}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_key_uses_its_models_alone_whatever_they_are_called() {
    let truth = truth().await;
    let more = format!(
        "[[provider]]\nname = \"anthropic\"\ndialects = [\"anthropic\"]\nbase_url = \"http://{}\"\n\
         key = {{ file = \"truth.key\" }}\n{ROOMY}",
        truth.addr()
    );
    let world = world(&truth, "", &more);
    let server = world.serve();
    let key = create(&world, &["ci", "--model", "truth-1*", "--model", "claude-sonnet-4-5"]);
    let key = [("x-almoner-key", key.as_str())];
    let post = async |path, body: String| server.post(path, &key, &body).await;
    // The last is another name of one that the list has.
    for model in ["truth-1", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929"] {
        let answer = post("/v1/messages", messages(model, 9, "x")).await;
        assert_eq!(answer.status, 200, "{model}: {}", answer.text());
    }
    for model in ["truth-big", "claude-opus-5", "truth-2", "TRUTH-1"] {
        let refused = post("/v1/messages", messages(model, 9, "x")).await;
        assert_eq!(refused.status, 403, "{model}: {}", refused.text());
        let error = &refused.json()["error"];
        if error["almoner"]["code"] != "model_unknown" {
            assert_eq!(error["almoner"]["code"], "model_not_allowed", "{}", refused.text());
            let said = error["message"].as_str().unwrap();
            assert!(said.contains("it may use truth-1*, claude-sonnet-4-5"), "{said}");
        }
    }
    // In the words of the other dialect, and for a count of tokens.
    let refused = post("/v1/chat/completions", chat("truth-big", 9, "x", &json!({}))).await;
    assert_eq!((refused.status, &refused.json()["error"]["almoner"]["code"]), (403, &json!("model_not_allowed")));
    let count = json!({ "model": "truth-big", "messages": [{ "role": "user", "content": "x" }] }).to_string();
    assert_eq!(post("/v1/messages/count_tokens", count).await.status, 403);
    assert_eq!(truth.totals().billed, 3);
    // A refusal is in history, and no budget heard of it.
    let refused = post("/v1/messages", messages("truth-big", 9, "x")).await;
    let record = server.explain(&refused, false).record;
    assert!(record.to_string().contains("model_not_allowed"), "{record}");
    assert!(server.settled("roomy").spent > 0);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_secret_that_was_rotated_is_good_as_long_as_was_said() {
    let truth = truth().await;
    let world = world(&truth, "", ROOMY);
    let server = world.serve();
    let asked =
        async |key: &str| server.post("/v1/messages", &[("x-api-key", key)], &messages("truth-1", 9, "x")).await.status;
    let first = create(&world, &["ci", "--budget", "$5"]);
    assert_eq!(asked(&first).await, 200);
    let said = world.run(&["keys", "rotate", "ci", "--grace", "24h"]);
    let second = said.out.trim_end();
    assert!(said.err.contains("the secret before it is good until") && second != first, "{said:?}");
    assert_eq!((asked(&first).await, asked(second).await), (200, 200));
    let third = world.ok(&["keys", "rotate", "ci"]);
    assert_eq!((asked(&first).await, asked(second).await, asked(third.trim_end()).await), (401, 401, 200));
    // What was spent with all three is spent.
    let id = shown(&world, "ci")["id"].as_str().unwrap().to_owned();
    assert_eq!(server.settled(&format!("key {id}")).spent, truth.bill().get());
    // After a kill it is as it was said.
    server.kill();
    let server = world.serve();
    let late = server.post("/v1/messages", &[("x-api-key", second)], &messages("truth-1", 9, "x")).await;
    assert_eq!(late.status, 401);
    let good = server.post("/v1/messages", &[("x-api-key", third.trim_end())], &messages("truth-1", 9, "x")).await;
    assert_eq!(good.status, 200);
    let limit = server.settled(&format!("key {id}"));
    assert!(limit.spent + limit.assumed >= truth.bill().get(), "{limit:?}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_runs_with_a_key_that_is_revoked_finishes_and_is_settled() {
    let truth = truth().await;
    let world = world(&truth, "", ROOMY);
    let server = world.serve();
    let key = create(&world, &["ci", "--budget", "$50"]);
    let headers = [("x-api-key", key.as_str()), ("x-truth-gate", "true")];
    let call = messages("truth-1", 200, "Hello");
    let revoke = async {
        until(&truth, |totals| totals.billed == 1).await;
        let said = world.ok(&["keys", "revoke", "ci"]);
        assert!(said.contains("lets no further call in"), "{said}");
        let late = server.post("/v1/messages", &[("x-api-key", &key)], &call).await;
        assert_eq!(late.status, 401, "{}", late.text());
        assert!(late.text().contains("no longer good"), "{}", late.text());
        truth.release(1);
    };
    let (answer, ()) = tokio::join!(server.post("/v1/messages", &headers, &call), revoke);
    assert!(answer.status == 200 && answer.complete, "{}", answer.text());
    assert_eq!(server.settled("roomy").spent, truth.bill().get());
    server.explain(&answer, true);
    let key = shown(&world, "ci");
    assert_eq!((&key["state"], &key["used"]["cost_nano"]), (&json!("revoked"), &json!(truth.bill().get())));
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_runs_with_a_key_is_cut_where_that_is_asked() {
    let truth = truth().await;
    let world = world(&truth, "", ROOMY);
    let server = world.serve();
    let (key, other) = (create(&world, &["ci"]), create(&world, &["other"]));
    let slow = |key| [("x-api-key", key), ("x-truth-chunk-ms", "50"), ("x-truth-output", "64")];
    let call = messages_stream("truth-1", 200, "Hello");
    let revoke = async {
        until(&truth, |totals| totals.billed == 2).await;
        world.ok(&["keys", "revoke", "ci", "--kill"]);
    };
    let (ours, theirs) = (slow(key.as_str()), slow(other.as_str()));
    let cut = server.stay("/v1/messages", &ours, &call, Patience::ToTheEnd);
    let goes_on = server.stay("/v1/messages", &theirs, &call, Patience::ToTheEnd);
    let (cut, goes_on, ()) = tokio::join!(cut, goes_on, revoke);
    let (cut, goes_on) = (cut.unwrap(), goes_on.unwrap());
    assert!(cut.text().contains("the key `ci` was revoked") && !cut.text().contains("message_stop"), "{}", cut.text());
    assert!(goes_on.text().contains("message_stop"), "{}", goes_on.text());
    let limit = server.settled("roomy");
    assert!(limit.assumed > 0 && limit.spent + limit.assumed >= truth.bill().get(), "{limit:?}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_key_that_ends_while_its_call_waits_lets_it_go_nowhere() {
    let truth = truth().await;
    // One call's worst case fits, two do not; the second waits for the first.
    let world = world(&truth, "wait_max = \"20s\"", "[[budget]]\nname = \"tight\"\nlimit = \"$0.02\"\n");
    let server = world.serve();
    let key = create(&world, &["ci"]);
    let (gated, plain) = ([("x-truth-gate", "true")], [("x-api-key", key.as_str())]);
    let call = messages("truth-1", 900, "Hello");
    let first = server.post("/v1/messages", &gated, &call);
    let second = async {
        until(&truth, |totals| totals.billed == 1).await;
        server.post("/v1/messages", &plain, &call).await
    };
    let revoke = async {
        until(&truth, |totals| totals.billed == 1).await;
        world.ok(&["keys", "revoke", "ci"]);
        truth.release(1);
    };
    let (first, second, ()) = tokio::join!(first, second, revoke);
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(second.status, 401, "{}", second.text());
    let limit = server.settled("tight");
    assert_eq!((limit.spent, limit.held), (truth.bill().get(), 0), "nothing stays held for the other");
    assert_eq!(truth.totals().billed, 1);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn critical_passes_every_level_and_no_limit() {
    let truth = truth().await;
    let budget = "[[budget]]\nname = \"low\"\nlimit = \"$1\"\nmode = \"throttle\"\n";
    let world = world(&truth, "wait_max = \"1ms\"", budget);
    let server = world.serve();
    let add = |cost: &str| world.ok(&["usage", "add", "--cost", cost, "--reason", "a test"]);
    add("$0.96");
    let (usual, pager) = (create(&world, &["usual"]), create(&world, &["pager", "--priority-max", "critical"]));
    let asked = async |key: &str, priority: &str| {
        let headers = [("x-api-key", key), ("x-almoner-priority", priority)];
        server.post("/v1/messages", &headers, &messages("truth-1", 9, "x")).await.status
    };
    // Critical counts as high where the key allows no more.
    for (key, priority, expected) in [(&usual, "high", 402), (&usual, "critical", 402), (&pager, "high", 402)] {
        assert_eq!(asked(key, priority).await, expected, "{priority}");
    }
    assert_eq!(asked(&pager, "critical").await, 200);
    add("$0.05");
    assert_eq!(asked(&pager, "critical").await, 402, "nobody passes a limit");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn where_a_key_is_required_nothing_else_opens_the_door() {
    let truth = truth().await;
    let world = world(&truth, "require_key = true", ROOMY);
    let server = world.serve();
    server.says("every call needs a key");
    let key = create(&world, &["ci"]);
    let calls = [
        ("/v1/messages", messages("truth-1", 9, "x")),
        ("/v1/messages/count_tokens", json!({ "model": "truth-1", "messages": [] }).to_string()),
        ("/v1/chat/completions", chat("truth-1", 9, "x", &json!({}))),
    ];
    let upper = key.to_ascii_uppercase();
    let half = &key[..20];
    let longer = format!("{key}a");
    for (path, body) in &calls {
        for headers in [
            vec![],
            vec![("x-api-key", "sk-ant-api03-own")],
            vec![("authorization", "Bearer sk-ant-oat01-own")],
            vec![("x-api-key", upper.as_str())],
            vec![("x-api-key", half)],
            vec![("x-api-key", longer.as_str())],
            vec![("x-almoner-key", half), ("x-api-key", key.as_str())],
        ] {
            let answer = server.post(path, &headers, body).await;
            assert_eq!(answer.status, 401, "{path} {headers:?}: {}", answer.text());
            assert_eq!(answer.json()["error"]["almoner"]["code"], "unauthorized", "{}", answer.text());
            assert!(!answer.text().contains(&key[..12]), "{}", answer.text());
        }
    }
    assert_eq!((truth.totals().billed, truth.totals().strays), (0, 0));
    let answer = server.post("/v1/messages", &[("authorization", &format!("Bearer {key}"))], &calls[0].1).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!((server.probe("/healthz"), server.probe("/readyz")), (200, 200));
    // A command needs no key of anybody's: it gets one.
    let said = world.run(&["exec", "--budget", "$1", "--", "true"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let log = server.stop();
    assert!(!log.contains(&key) && !log.contains(&upper));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_clients_own_credential_stays_here_where_the_provider_has_one() {
    let truth = truth().await;
    let world = world(&truth, "", ROOMY);
    let server = world.serve();
    let key = create(&world, &["ci"]);
    let headers =
        [("x-almoner-key", key.as_str()), ("x-api-key", "sk-ant-of-the-client"), ("authorization", "Bearer sk-2")];
    let answer = server.post("/v1/messages", &headers, &messages("truth-1", 9, "x")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let call = truth.calls().remove(0);
    assert_eq!(call.credential.as_deref(), Some(CREDENTIAL));
    server.explain(&answer, true);
    let log = server.stop();
    for secret in [CREDENTIAL, "sk-ant-of-the-client", "sk-2", key.as_str()] {
        assert!(!log.contains(secret) && !answer.text().contains(secret), "{secret}");
        assert_eq!(world.files_with(secret), [""; 0].map(std::path::PathBuf::from), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_credential_of_a_provider_is_in_nothing_that_is_written_or_answered() {
    let truth = truth().await;
    let world = world(&truth, "strict = true", ROOMY);
    let server = world.serve();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut told = String::new();
    let body = messages("truth-1", 9, "x");
    for headers in [
        vec![],
        vec![("x-truth-status", "401")],
        vec![("x-truth-status", "500")],
        vec![("x-truth-cut", "20")],
        vec![("x-almoner-session", CREDENTIAL), ("x-almoner-key", "alm_no")],
    ] {
        let answer = server.stay("/v1/messages", &headers, &body, Patience::ToTheEnd).await;
        told.extend(answer.map(|answer| answer.text()));
    }
    told += &server.post("/v1/messages", &[], "{\"model\":\"truth-1\",\"x\":1}").await.text();
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["config", "print", "--origin"],
        &["config", "check"],
        &["keys", "list"],
    ] {
        let said = world.run(args);
        told += &(said.out + &said.err);
    }
    told += &server.stop();
    // A provider that is not there, and one whose file is open to others.
    let elsewhere = world_at(gone, "", ROOMY);
    let server = elsewhere.serve();
    told += &server.post("/v1/messages", &[], &body).await.text();
    told += &server.stop();
    set_mode(&elsewhere, 0o644);
    let said = elsewhere.run(&["serve"]);
    assert!(said.code == Some(1) && said.err.contains("chmod 600") && said.err.contains("truth.key"), "{said:?}");
    told += &(said.out + &said.err);
    assert!(!told.contains(CREDENTIAL), "{told}");
    for world in [&world, &elsewhere] {
        assert_eq!(world.files_with(CREDENTIAL), [""; 0].map(std::path::PathBuf::from));
    }
}

fn set_mode(world: &World, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(world.path("truth.key"), std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_key_that_is_a_pipe_or_a_folder_keeps_nobody_waiting() {
    let world = crate::provider::world_of("http://127.0.0.1:9", "", ROOMY);
    std::fs::remove_file(world.path("truth.key")).unwrap();
    std::fs::create_dir(world.path("truth.key")).unwrap();
    let said = world.run(&["serve"]);
    assert!(said.code == Some(1) && said.err.contains("it is no file"), "{said:?}");
    std::fs::remove_dir(world.path("truth.key")).unwrap();
    let made = Command::new("mkfifo").arg(world.path("truth.key")).status();
    if made.is_ok_and(|status| status.success()) {
        let said = world.run(&["serve"]);
        assert!(said.code == Some(1) && said.err.contains("it is no file"), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_port_that_others_reach_takes_keys_only_and_names_that_it_knows() {
    let truth = truth().await;
    let world = world(&truth, "hosts = [\"almoner.corp\"]", ROOMY);
    let open = |args: &[&str]| {
        let mut command = world.command(&[&["serve"], args].concat());
        command.env("ALMONER_LISTEN", "0.0.0.0:0");
        command
    };
    let said = Said::by(open(&["--personal"]));
    assert!(said.code == Some(1) && said.err.contains("would spend from the budgets without a key"), "{said:?}");
    let server = crate::server::Server::start(open(&[]), world.state());
    server.says("unencrypted");
    let key = create(&world, &["ci"]);
    let (body, port) = (messages("truth-1", 9, "x"), server.addr.port().to_string());
    let length = body.len().to_string();
    let asked = |host: &str, key: &str| {
        let headers = [
            ("host", &*host.replace("PORT", &port)),
            ("content-type", "application/json"),
            ("content-length", &length),
            ("x-api-key", key),
        ];
        status(&send(server.addr, &request("POST /v1/messages HTTP/1.1", &headers, &body)))
    };
    for host in ["almoner.corp", "Almoner.Corp:PORT", "192.0.2.7:PORT", "localhost:PORT"] {
        assert_eq!((asked(host, &key), asked(host, "sk-own")), (200, 401), "{host}");
    }
    for host in ["evil.example", "almoner.corp.evil.example:PORT"] {
        assert_eq!(asked(host, &key), 403, "{host}");
    }
    // A command on this machine finds it by an address that is this machine's.
    let said = world.run(&["exec", "--", "sh", "-c", "echo $ANTHROPIC_BASE_URL"]);
    assert!(said.out.starts_with("http://127.0.0.1:"), "{said:?}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_command_and_a_name_have_one_kind_of_key() {
    let truth = truth().await;
    let world = world(&truth, "", ROOMY);
    let server = world.serve();
    let (id, secret) = server.key(&["$1"], false);
    let listed = world.json(&["keys", "list"]);
    assert_eq!((&listed[0]["id"], &listed[0]["name"]), (&json!(id), &Value::Null), "{listed}");
    world.ok(&["keys", "revoke", &id]);
    let late = server.post("/v1/messages", &[("x-api-key", &secret)], &messages("truth-1", 9, "x")).await;
    assert_eq!(late.status, 401);
    server.stop();
}
