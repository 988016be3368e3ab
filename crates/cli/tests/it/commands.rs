//! The commands that ask and change: what they print, and what they bring about.

use almoner_testkit::Patience;
use serde_json::{Value, json};

use crate::provider::{messages, messages_stream, truth, world};
use crate::world::{Said, World};

const TEAM: &str = "[[budget]]\nname = \"team\"\nlimit = [\"$1\", \"1M tokens / day\"]\nmode = \"stop-new\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_that_passed_is_explained_with_the_numbers_of_its_moment() {
    let truth = truth().await;
    let world = world(&truth, "", TEAM);
    let server = world.serve();
    world.ok(&["usage", "add", "--cost", "$0.25", "--reason", "before"]);
    let answer = server.post("/v1/messages", &[], &messages("truth-1", 200, "Hello")).await;
    server.explain(&answer, true);
    world.ok(&["usage", "add", "--cost", "$0.25", "--reason", "after"]);

    let id = answer.header("x-almoner-call").unwrap();
    let call = world.json(&["explain", id]);
    let decided = &call["record"]["decided"];
    assert_eq!((&decided["decision"], &decided["model"]), (&"admitted".into(), &"truth-1".into()), "{decided}");
    assert_eq!(decided["output_cap"], 200);
    let before = &decided["budgets_before"][0];
    assert_eq!((&before["account"], &before["level"]), (&"team".into(), &"none".into()));
    let dollars = json!({
        "limit": "$1.00 / lifetime",
        "spent_usd": "$0.25", "spent_usd_nano": 250_000_000,
        "assumed_usd": "$0.00", "assumed_usd_nano": 0,
        "held_usd": "$0.00", "held_usd_nano": 0,
        "left_usd": "$0.75", "left_usd_nano": 750_000_000,
    });
    assert_eq!(before["limits"][0], dollars);
    let tokens = json!({
        "limit": "1M tokens / day",
        "spent_tokens": 0, "assumed_tokens": 0, "held_tokens": 0, "left_tokens": 1_000_000,
    });
    assert_eq!(before["limits"][1], tokens);
    assert!(decided["held"]["output_tokens"].as_u64() >= Some(200), "{decided}");
    let parts = decided["bound"].as_array().unwrap();
    assert!(parts.iter().any(|part| part["input_tokens"].as_u64() > Some(0)), "{parts:?}");
    let ended = &call["record"]["ended"];
    assert_eq!((&ended["outcome"], &ended["status"]), (&"settled".into(), &200.into()), "{ended}");
    assert_eq!(ended["usage"]["input"], truth.calls()[0].input);
    assert_eq!(ended["charged"]["usd"], truth.bill().to_string());
    assert_eq!(ended["charged"]["usd_nano"], truth.bill().get());
    assert_eq!(ended["charged"]["tokens"], truth.calls()[0].input + truth.calls()[0].output);
    let shown = world.ok(&["explain", id]);
    assert!(shown.starts_with(&format!("call {id}\n")) && shown.contains("outcome: settled"), "{shown}");
    let told = "team at level none:\n        $1.00 / lifetime: $0.25 spent, $0.00 assumed, $0.00 held, $0.75 left\n";
    assert!(shown.contains(told) && !shown.contains("nano"), "{shown}");
    server.stop();
}

#[test]
fn what_nobody_knows_cannot_be_explained() {
    let world = World::new("");
    let server = world.serve();
    let complaint = world.fails(&["explain", "nonsense"]);
    assert!(complaint.starts_with("almoner: "), "{complaint}");
    let stranger = almoner_units::CallId::new(almoner_units::Timestamp::from_ms(1_764_000_000_000), [7; 10]);
    let complaint = world.fails(&["explain", &stranger.to_string()]);
    assert!(complaint.contains("knows a call"), "{complaint}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn budgets_are_listed_raised_and_begun_anew() {
    let truth = truth().await;
    let world = world(&truth, "", TEAM);
    let server = world.serve();
    let added = world.ok(&["usage", "add", "--input", "7", "--output", "5", "--cost", "$0.99", "--reason", "by hand"]);
    assert!(added.starts_with("booked $0.99, 12 tokens on 1 account as "), "{added}");

    // Nothing fits any more, until somebody raises the limit.
    let call = messages("truth-1", 2000, "Hello");
    assert_eq!(server.post("/v1/messages", &[], &call).await.status, 402);
    let set = world.ok(&["budgets", "set", "team", "$2", "1M tokens / day"]);
    let expected =
        "`team` was $1.00 / lifetime, 1M tokens / day in mode stop-new, and is $2.00 / lifetime, 1M tokens / day";
    assert!(set.starts_with(expected), "{set}");
    assert_eq!(server.post("/v1/messages", &[], &call).await.status, 200);

    let shown = world.json(&["budgets", "show", "team"]);
    let spent = server.settled("team").spent;
    assert_eq!(spent, 990_000_000 + truth.bill().get());
    assert_eq!((&shown[0]["account"], &shown[0]["limits"][0]["spent"]), (&"team".into(), &spent.into()));
    assert!(world.ok(&["budgets", "show", "team"]).contains("of") || spent > 0);

    // What is taken away and put back is what it was.
    world.ok(&["budgets", "set", "team", "1M tokens / day"]);
    let back = world.ok(&["budgets", "set", "team", "$2"]);
    assert!(back.contains("`$2.00 / lifetime` begins with $0.99"), "{back}");
    assert_eq!(server.limit("team").spent, spent);

    let reset = world.json(&["budgets", "reset", "team"]);
    assert!(reset["message"].as_str().unwrap().starts_with("1 account of `team` begins anew"), "{reset}");
    assert_eq!(server.limit("team").spent, 0);
    server.stop();
}

#[test]
fn a_budget_that_is_misspelled_or_mistaken_is_named() {
    let world = World::new(TEAM);
    let server = world.serve();
    let complaint = world.fails(&["budgets", "show", "tema"]);
    assert!(complaint.contains("no budget is named `tema`; did you mean `team`? there are: team"), "{complaint}");
    for limit in ["$0", "-1 tokens", "$1 / fortnight", "5 apples", "$1 / day in Atlantis"] {
        let complaint = world.fails(&["budgets", "set", "team", "--", limit]);
        assert!(complaint.contains(limit.split(' ').next().unwrap()), "{limit}: {complaint}");
    }
    assert!(world.fails(&["budgets", "set", "team", "--mode", "harsh"]).contains("`harsh` is no mode"));
    assert!(world.fails(&["budgets", "set", "team"]).contains("nothing is said to be set"));
    assert!(world.fails(&["usage", "add", "--cost", "much", "--reason", "x"]).contains("much"));
    let no_label = ["usage", "add", "--cost", "$1", "--reason", "x", "--label", "session"];
    assert!(world.fails(&no_label).contains("`session` is no label"));
    let slip = ["usage", "add", "--cost", "$1", "--reason", "x", "--label", "sesion=a"];
    assert!(world.fails(&slip).contains("did you mean `session`?"));
    server.stop();
}

#[test]
fn without_a_server_a_command_says_how_to_start_one() {
    let world = World::new("");
    for command in [&["status"][..], &["budgets", "list"], &["holds", "list"], &["explain", "x"]] {
        let complaint = world.fails(command);
        assert!(complaint.contains("start one with `almoner serve`") && !complaint.contains("os error"), "{complaint}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_crash_left_without_news_is_listed_and_corrected() {
    let truth = truth().await;
    let world = world(&truth, "", TEAM);
    let server = world.serve();
    for number in 0..2 {
        // The client stays until the first bytes; the provider's answer then stands still.
        let slow = [("x-truth-chunk-ms", "60000")];
        let body = messages_stream("truth-1", 200, &format!("Hello {number}"));
        let call = server.stay("/v1/messages", &slow, &body, Patience::Bytes(0)).await;
        assert_eq!(call.unwrap().status, 200);
    }
    let open = server.holds();
    assert!(open.len() == 2 && open.iter().all(|hold| hold.state == "open"), "{open:?}");
    // History lags a little, and what it has not written the kill takes with it.
    let is_written = |id: &str| world.ok(&["explain", id]).contains("truth-1");
    assert!(open.iter().all(|hold| (0..500).any(|_| is_written(&hold.id))), "history never knew the calls");
    server.kill();

    let server = world.serve();
    let holds = world.json(&["holds", "list"]);
    let states: Vec<&Value> = holds.as_array().unwrap().iter().map(|hold| &hold["state"]).collect();
    assert_eq!(states, ["assumed", "assumed"]);
    let assumed: u64 = open.iter().map(|hold| hold.usd_nano).sum();
    assert_eq!((server.limit("team").assumed, server.status().assumed_nano), (assumed, assumed));
    assert!(world.ok(&["status"]).contains("is charged without news over 2 calls"));
    // And the server says so itself as it starts, rather than leave it to be found.
    assert!(server.log().contains("is charged without news, over 2 ended calls"), "{}", server.log());
    let explained = world.ok(&["explain", &open[0].id]);
    assert!(explained.contains("history has no end of it; the journal has"), "{explained}");

    let [one, other] = [&open[0].id, &open[1].id];
    let told = world.ok(&["correct", one, "--cost", "$0.003", "--reason", "the console says so"]);
    assert!(told.contains(&format!("call {one} is corrected from")), "{told}");
    let limit = server.limit("team");
    assert_eq!((limit.spent, limit.assumed), (3_000_000, open[1].usd_nano));
    world.json(&["correct", other, "--unspent", "--reason", "it never arrived"]);
    let limit = server.limit("team");
    assert_eq!((limit.spent, limit.assumed), (3_000_000, 0));
    assert_eq!(world.ok(&["holds", "list"]), "nothing is held, and nothing is charged without news\n");
    // Who knows better still is heard, and the last word counts.
    let nobody = world.fails(&["correct", one, "--unspent", "--reason", " "]);
    assert!(nobody.contains("the reason is empty"), "{nobody}");
    let told = world.ok(&["correct", one, "--input", "100", "--output", "50", "--reason", "the export says so"]);
    assert!(told.contains("from $0.003 to $") && told.contains("to 150 tokens"), "{told}");
    let priced = server.limit("team").spent;
    assert!(priced > 0 && priced != 3_000_000, "{priced}");
    let tokens = ["--input", "100", "--output", "50", "--cache-read", "7", "--cost", "$0.001", "--reason", "sure"];
    let told = world.ok(&[&["correct", one][..], &tokens].concat());
    assert!(told.contains("to $0.001, from 150 to 157 tokens"), "{told}");
    let told = world.ok(&["correct", one, "--cost", "$0.003", "--reason", "the console was right"]);
    assert!(told.contains("from $0.001 to $0.003"), "{told}");
    let unknown = world.fails(&["correct", "0193a000-0000-7000-8000-000000000000", "--unspent", "--reason", "x"]);
    assert!(unknown.contains("has nothing assumed"), "{unknown}");
    // What was corrected stays so.
    server.stop();
    let server = world.serve();
    assert_eq!((server.limit("team").spent, server.limit("team").assumed), (3_000_000, 0));
    server.stop();
}

#[test]
fn prices_are_shown_and_checked_without_a_server() {
    let world = World::new("[[price]]\nmodel = \"mine\"\ninput = 1\noutput = 2\n");
    let shown = world.json(&["prices", "show", "mine"]);
    assert_eq!((&shown[0]["model"], &shown[0]["rates"][0]["input_pico_usd"]), (&"mine".into(), &1_000_000.into()));
    assert!(world.ok(&["prices", "show"]).contains("claude-sonnet-4-5"));
    assert!(world.ok(&["prices", "show", "mine"]).lines().next().unwrap().contains("+own,"));
    world.configure("");
    let shipped = world.ok(&["prices", "show", "claude-sonnet-4-5"]);
    assert!(!shipped.contains("+own"), "nobody gave a price of their own: {shipped}");
    assert!(world.fails(&["prices", "show", "claude-sonnet-4-5x"]).contains("the nearest are"));
    // Whether a price is past its review depends on the day, so only the form is looked at.
    let said = world.run(&["prices", "check", "--json"]);
    assert!(serde_json::from_str::<Value>(&said.out).unwrap().is_array(), "{said:?}");
}

#[test]
fn the_configuration_is_checked_and_printed_with_its_origins() {
    let world = World::new("max_output = 9000\n");
    assert_eq!(world.ok(&["config", "check"]), "the configuration is fine\n");
    assert_eq!(world.json(&["config", "check"]), json!({ "warnings": [] }));
    let printed = world.ok(&["config", "print"]);
    assert!(printed.contains("max_output = 9000  # ") && printed.contains("almoner.toml:1"), "{printed}");
    assert!(printed.contains("wait_max = 30s  # "), "{printed}");
    let facts = world.json(&["config", "print"]);
    let listen = facts.as_array().unwrap().iter().find(|fact| fact["key"] == "listen").unwrap();
    assert!(listen["origin"].as_str().unwrap().contains("ALMONER_LISTEN"), "{listen}");
    // The budgets that hold where nobody names one, and the providers, are in force as well.
    for line in [
        "budget.\"each session\".limit = 100k uncached_tokens / sliding 1h, $5.00 / sliding 1h, 1M uncached_tokens / day, \
         $50.00 / day  # default",
        "budget.\"all sessions\".mode = throttle  # default",
        "budget.\"each session\".per = session  # default",
        "provider.openai.dialects = openai-chat, openai-responses  # default",
    ] {
        assert!(printed.contains(&format!("\n{line}\n")), "{line}: {printed}");
    }
    world.configure(TEAM);
    let printed = world.ok(&["config", "print"]);
    assert!(!printed.contains("each session") && printed.contains("almoner.toml:3:9"), "{printed}");
}

#[test]
fn recorded_exchanges_are_metered() {
    let world = World::new("");
    let exchange = json!({
        "dialect": "anthropic-messages",
        "request": { "path": "/v1/messages", "body": { "model": "claude-sonnet-4-5", "stream": false } },
        "response": { "status": 200, "headers": { "content-type": "application/json" }, "body": "{}" },
    });
    std::fs::write(world.path("one.json"), exchange.to_string()).unwrap();
    std::fs::write(world.path("bad.json"), "no exchange").unwrap();
    let said = world.run(&["meter", "bad.json", "one.json"]);
    assert!(said.err.contains("bad.json: "), "{said:?}");
    assert_eq!(said.code, Some(1));
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/recorded/exchanges");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: no recorded exchanges beside the checkout");
        return;
    };
    let paths: Vec<String> = entries.map(|entry| entry.unwrap().path().to_string_lossy().into_owned()).collect();
    let files = paths.iter().filter(|path| path.ends_with(".json")).map(String::as_str);
    let args: Vec<&str> = ["meter"].into_iter().chain(files).collect();
    let printed = world.ok(&args);
    assert_eq!(printed.lines().count(), args.len() - 1);
    assert!(printed.lines().all(|line| serde_json::from_str::<Value>(line).is_ok_and(|fact| fact.is_object())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_command_that_prints_facts_prints_them_as_json() {
    let truth = truth().await;
    let world = world(&truth, "", TEAM);
    let server = world.serve();
    let answer = server.post("/v1/messages", &[], &messages("truth-1", 200, "Hello")).await;
    server.explain(&answer, true);
    let id = answer.header("x-almoner-call").unwrap();
    for command in [
        &["status"][..],
        &["budgets", "list"],
        &["budgets", "show", "team"],
        &["budgets", "set", "team", "$3"],
        &["usage", "add", "--cost", "$0.01", "--reason", "x"],
        &["explain", id],
        &["holds", "list"],
        &["prices", "show"],
        &["config", "check"],
        &["config", "print"],
    ] {
        world.json(command);
    }
    server.stop();
    assert_eq!(world.json(&["ledger", "verify"])["sound"], true);
}

#[test]
fn a_program_that_asks_for_json_gets_its_errors_so_too() {
    let world = World::new(TEAM);
    for (command, code, exit) in [
        (&["status"][..], "no_server", 1),
        (&["budgets", "set", "team", "5 dollars a day"], "no_server", 1),
        (&["exec", "--budget", "5 dollars a day", "--", "true"], "bad_limit", 1),
        (&["exec", "--budgte", "$5", "--", "true"], "usage", 1),
        (&["usage", "add", "--cost", "much", "--reason", "x"], "bad_amount", 1),
        (&["usage", "add", "--cost", "$1", "--reason", "x", "--label", "session"], "bad_label", 1),
        (&["prices", "show", "claude-sonnet-4-5x"], "price_missing", 1),
        (&["ledger", "verify"], "ledger", 1),
        (&["budgets", "lst"], "usage", 2),
        (&["explain"], "usage", 2),
        (&["correct", "x", "--reason", "nothing said"], "usage", 2),
        (&["correct", "x", "--input", "100", "--reason", "half"], "usage", 2),
        (&["correct", "x", "--unspent", "--cost", "$1", "--reason", "both"], "usage", 2),
    ] {
        check_error(&world, command, code, exit);
    }
    let server = world.serve();
    let error = check_error(&world, &["budgets", "show", "tema"], "unknown_budget", 1);
    assert_eq!(
        (&error["message"], &error["hint"]),
        (&"no budget is named `tema`".into(), &"did you mean `team`? there are: team".into())
    );
    check_error(&world, &["budgets", "set", "team", "5 dollars a day"], "bad_limit", 1);
    check_error(&world, &["explain", "nonsense"], "bad_id", 1);
    check_error(&world, &["exec", "--", "no-such-command"], "no_command", 127);
    server.stop();
    world.configure("[budget]\n");
    let error = check_error(&world, &["config", "check"], "config", 1);
    assert_eq!(error["hint"], "write [[budget]] in TOML, a list in JSON or YAML");
    check_error(&world, &["serve"], "config", 1);
}

/// Runs a command with `--json` that fails: its error is one object, beside the words; `exec` leaves standard output to
/// its command.
#[track_caller]
fn check_error(world: &World, command: &[&str], code: &str, exit: i32) -> Value {
    let is_exec = command[0] == "exec";
    let args = if is_exec { [&["exec", "--json"], &command[1..]].concat() } else { [command, &["--json"]].concat() };
    let said = world.run(&args);
    assert_eq!(said.code, Some(exit), "{command:?}: {said:?}");
    let (json, words) = if is_exec { (&said.err, &said.out) } else { (&said.out, &said.err) };
    let mut error: Value = serde_json::from_str(json).unwrap_or_else(|error| panic!("{command:?}: {error}: {said:?}"));
    assert_eq!(error["error"]["code"], code, "{command:?}: {said:?}");
    assert_eq!(words.is_empty(), is_exec, "{command:?}: {said:?}");
    error["error"].take()
}

#[test]
fn every_budget_in_force_is_shown_also_before_its_first_call() {
    let world = World::new("");
    let server = world.serve();
    let listed = "\
all sessions (throttle, nothing counted yet)
  500k uncached_tokens / sliding 1h: 0 uncached_tokens spent, 500000 uncached_tokens left
  5M uncached_tokens / day: 0 uncached_tokens spent, 5000000 uncached_tokens left
  $1000.00 / month: $0.00 spent, $1000.00 left
each session [session=*] (throttle, nothing counted yet)
  100k uncached_tokens / sliding 1h: 0 uncached_tokens spent, 100000 uncached_tokens left
  $5.00 / sliding 1h: $0.00 spent, $5.00 left
  1M uncached_tokens / day: 0 uncached_tokens spent, 1000000 uncached_tokens left
  $50.00 / day: $0.00 spent, $50.00 left
";
    assert_eq!(world.ok(&["budgets", "list"]), listed);
    let status = world.ok(&["status"]);
    assert!(
        status.ends_with(&format!("0 calls in flight\nspent beyond holds: $0.00\nunbounded: 0 calls\n{listed}")),
        "{status}"
    );
    let accounts = world.json(&["budgets", "show", "each session"]);
    assert_eq!((&accounts[0]["open"], &accounts[0]["per"]), (&false.into(), &json!([["session", "*"]])));
    assert_eq!(accounts[0]["limits"][1]["left"], 5_000_000_000_u64);
    // The first account takes the place of what it will be.
    world.ok(&["usage", "add", "--cost", "$1", "--reason", "x", "--label", "session=a"]);
    let listed = world.ok(&["budgets", "list"]);
    assert!(listed.contains("each session [session=a] (throttle, level none)") && !listed.contains('*'), "{listed}");
    server.stop();
    let server = world.serve_with(&["--no-budgets"]);
    assert_eq!(world.ok(&["budgets", "list"]), "no budget is in force: every call passes\n");
    assert_eq!(world.json(&["budgets", "list"]), json!([]));
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_account_over_its_limit_says_by_how_much_and_why() {
    let world = World::new(&format!("{TEAM}[[budget]]\nname = \"watched\"\nlimit = \"$0.10\"\nmode = \"warn\"\n"));
    let server = world.serve();
    let over = |by: &str, why: &str| {
        let status = world.ok(&["status"]);
        let line = status.lines().find(|line| line.contains(&format!("OVER its limit by {by}: ")));
        assert!(line.is_some_and(|line| line.contains(why)), "{by} {why}: {status}");
    };
    world.ok(&["usage", "add", "--cost", "$0.60", "--reason", "ran outside"]);
    over("$0.50", "its mode is `warn`, which lets calls go on");
    assert!(world.ok(&["status"]).contains("1 account over a limit"));
    world.ok(&["budgets", "set", "team", "$0.20", "1M tokens / day"]);
    over("$0.40", "`budgets set` lowered its limit, at ");
    world.ok(&["usage", "add", "--cost", "$0.10", "--reason", "ran outside"]);
    over("$0.50", "`usage add` booked usage that did not pass here (ran outside), at ");
    assert!(world.ok(&["status"]).contains("spent beyond holds: $0.00\n"), "no hold was exceeded");
    let team = &world.json(&["budgets", "show", "team"])[0];
    assert!(team["over_because"].as_str().unwrap().contains("`usage add`"), "{team}");
    assert_eq!(team["limits"][0]["over"], 500_000_000);
    // A limit that a new configuration lowers is told as such.
    server.stop();
    world.configure(&TEAM.replace("$1", "$0.50"));
    let server = world.serve();
    over("$0.20", "it was so when the server started: a limit was lowered in the configuration");
    world.ok(&["budgets", "set", "team", "$1"]);
    assert!(!world.ok(&["status"]).contains("OVER"));
    server.stop();
}

/// Runs a command from a folder with a configuration of its own, and gives what it says beside its facts.
#[track_caller]
fn aside(world: &World, args: &[&str], config: &str) -> String {
    let folder = world.path("elsewhere");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("almoner.toml"), config).unwrap();
    let mut command = world.command(args);
    command.current_dir(folder);
    let said = Said::by(command);
    assert_eq!(said.code, Some(0), "{args:?}: {said:?}");
    said.err
}

#[test]
fn a_configuration_that_is_not_in_force_is_told() {
    let world = World::new(TEAM);
    let server = world.serve();
    let in_force = world.path("almoner.toml").canonicalize().unwrap().display().to_string();
    assert!(world.ok(&["status"]).contains(&format!("configuration: {in_force}\n")));
    assert_eq!(world.run(&["status"]).err, "");
    for args in [&["status"][..], &["budgets", "list"], &["exec", "--budget", "$1", "--", "true"]] {
        let told = aside(&world, args, "[[budget]]\nname = \"mine\"\nlimit = \"$1\"\n");
        assert!(told.contains(&format!("the server runs with {in_force}; ")), "{args:?}: {told}");
        assert!(told.contains("elsewhere/almoner.toml is not in force") && told.contains("--state"), "{told}");
    }
    // The same words in another place are the same configuration.
    assert_eq!(aside(&world, &["status"], TEAM), "");
    world.configure(&format!("max_output = 9000\n{TEAM}"));
    let told = world.run(&["status"]).err;
    assert!(told.contains(&format!("{in_force} has changed since the server read it")), "{told}");
    server.stop();
}

#[test]
fn a_broken_configuration_keeps_nobody_from_asking_the_server() {
    let world = World::new(TEAM);
    let server = world.serve();
    let booked = world.json(&["usage", "add", "--cost", "$0.01", "--reason", "x"]);
    let id = booked["message"].as_str().unwrap().rsplit(' ').next().unwrap().to_owned();
    for broken in ["[budget]\nname = 5\n", "[[budget\n", "state = 5\nport = 4141\n"] {
        for args in [
            &["status"][..],
            &["budgets", "list"],
            &["budgets", "show", "team"],
            &["holds", "list"],
            &["explain", &id],
            &["exec", "--budget", "$1", "--", "true"],
        ] {
            aside(&world, args, broken);
        }
    }
    server.stop();
    // Who would start a server with it hears what is wrong.
    world.configure("[budget]\n");
    for args in [&["exec", "--", "true"][..], &["status"]] {
        assert!(world.fails(args).contains("write [[budget]] in TOML"), "{args:?}");
    }
    let complaint = world.fails(&["status", "--config", "nowhere.toml"]);
    assert!(complaint.contains("nowhere.toml"), "{complaint}");
}
