//! `exec`: one command with an allowance of its own.

use almoner_testkit::TruthProvider;
use serde_json::Value;

use crate::provider::{CREDENTIAL, messages, truth, world};
use crate::server::{Server, look_until};
use crate::world::{Said, World};

const ROOMY: &str = "[[budget]]\nname = \"roomy\"\nlimit = \"$100\"\n";

/// Runs a shell script under `exec` with these flags.
fn exec(world: &World, flags: &[&str], script: &str) -> Said {
    world.run(&[&["exec"], flags, &["--", "sh", "-c", script]].concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_command_gets_an_address_and_a_key_and_its_exit_code_is_passed_on() {
    let truth = truth().await;
    let world = world(&truth, "", ROOMY);
    let server = world.serve();
    let said = exec(&world, &["--budget", "$2"], "echo $ALMONER_KEY $ANTHROPIC_BASE_URL; exit 7");
    assert_eq!(said.code, Some(7), "{said:?}");
    let (key, base) = said.out.trim().split_once(' ').unwrap();
    assert!(key.starts_with("alm_") && base == format!("http://{}", server.addr), "{said:?}");
    assert_eq!(said.err, "almoner: 0 calls, 0 tokens, $0.00 spent, $2.00 left of $2.00 / lifetime\n");
    // The key ended with its command.
    let late = server.post("/v1/messages", &[("x-almoner-key", key)], &messages("truth-1", 200, "Hello")).await;
    assert_eq!(late.status, 401, "{}", late.text());
    // A command that a signal ended is told as shells do.
    assert_eq!(exec(&world, &[], "kill -9 $$").code, Some(128 + 9));
    // One that cannot be started says so, with the code that shells have for it.
    let missing = world.run(&["exec", "--", "no-such-command"]);
    assert_eq!(missing.code, Some(127), "{missing:?}");
    assert!(missing.err.contains("could not start `no-such-command`: there is no such command"), "{missing:?}");
    let stray = world.fails(&["exec", "--budgt", "$1", "--", "true"]);
    assert!(stray.contains("`--budgt` is no flag and no command"), "{stray}");
    let bad = world.fails(&["exec", "--budget", "lots", "--", "true"]);
    assert!(bad.contains("lots"), "{bad}");
    let spoken = world.fails(&["exec", "--budget", "5 dollars", "--", "true"]);
    assert!(spoken.contains("did you mean `$5.00 / lifetime`?") && !spoken.contains("$5 dollars"), "{spoken}");
    server.stop();
}

#[test]
fn a_command_without_a_purse_is_told_what_bounds_it() {
    let world = World::new(
        "[[budget]]\nname = \"all\"\nlimit = [\"$100\", \"1M tokens / day\"]\n\
         [[budget]]\nname = \"watched\"\nlimit = \"$5\"\nmode = \"warn\"\nwhere = { provider = \"anthropic\" }\n\
         [[budget]]\nname = \"of another key\"\nlimit = \"$1\"\nwhere = { key = \"other\" }\n",
    );
    let server = world.serve();
    let said = exec(&world, &[], "true");
    let expected = "almoner: without --budget or --tokens the command has no purse of its own; it is bounded by \
                    `all` ($100.00 / lifetime, 1M tokens / day) and `watched` ($5.00 / lifetime, which only warns)\n";
    assert!(said.err.starts_with(expected), "{said:?}");
    let said = exec(&world, &["--json"], "true");
    let summary: Value = serde_json::from_str(&said.err).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    assert_eq!(summary["bounded_by"][0]["budget"], "all");
    assert_eq!(summary["notes"].as_array().unwrap().len(), 1);
    assert!(!exec(&world, &["--tokens", "1M"], "true").err.contains("no purse"));
    server.stop();
    let server = world.serve_with(&["--no-budgets"]);
    let said = exec(&world, &[], "true");
    assert!(said.err.contains("it is bounded by nothing: no budget is in force"), "{said:?}");
    server.stop();
}

/// Makes a call with a key in each place where it may stand, and checks that it is on the key's budget.
async fn check_key(place: &str) {
    let truth = truth().await;
    let world = world(&truth, "", ROOMY);
    let server = world.serve();
    let (name, key) = server.key(&["$1"], false);
    let bearer = format!("Bearer {key}");
    let path = format!("/k/{key}/v1/messages");
    let (path, headers): (&str, Vec<(&str, &str)>) = match place {
        "path" => (&path, vec![]),
        "authorization" => ("/v1/messages", vec![("authorization", &bearer)]),
        header => ("/v1/messages", vec![(header, &key)]),
    };
    let answer = server.post(path, &headers, &messages("truth-1", 200, "Hello")).await;
    assert_eq!(answer.status, 200, "{place}: {}", answer.text());
    let call = truth.calls().remove(0);
    assert_eq!(call.credential.as_deref(), Some(CREDENTIAL), "the key is ours, and stays here");
    assert_eq!(server.settled(&format!("exec {name}")).spent, truth.bill().get());
    assert_eq!(server.settled("roomy").spent, truth.bill().get(), "the purse is no way around other budgets");
    server.explain(&answer, true);
    let log = server.stop();
    assert!(!log.contains(&key), "{place}");
    assert_eq!(world.files_with(&key), [""; 0].map(std::path::PathBuf::from), "{place}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_key_works_in_every_place_and_is_written_in_none() {
    for place in ["x-api-key", "authorization", "x-almoner-key", "path"] {
        check_key(place).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_key_that_is_none_of_ours_is_refused_and_not_shown() {
    let truth = truth().await;
    let world = world(&truth, "", ROOMY);
    let server = world.serve();
    let answer = server.post("/v1/messages", &[("x-api-key", "alm_guessed")], &messages("truth-1", 9, "x")).await;
    assert_eq!(answer.status, 401);
    assert!(!answer.text().contains("guessed"), "{}", answer.text());
    assert_eq!(truth.totals().billed, 0);
    assert!(!server.stop().contains("guessed"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nothing_of_ours_reaches_the_provider() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let world = crate::provider::world_at(listener.local_addr().unwrap(), "", ROOMY);
    let server = world.serve();
    let (_, key) = server.key(&[], false);
    let seen = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && std::io::Read::read(&mut stream, &mut byte).unwrap() > 0 {
            head.push(byte[0]);
        }
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n").unwrap();
        String::from_utf8(head).unwrap()
    });
    let path = format!("/k/{key}/v1/messages?beta=true");
    let headers = [("x-almoner-session", "mine"), ("anthropic-beta", "one"), ("cookie", "a=b"), ("x-other", "passes")];
    server.post(&path, &headers, &messages("truth-1", 200, "Hello")).await;
    let head = seen.join().unwrap();
    assert!(head.starts_with("POST /v1/messages?beta=true HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("anthropic-beta: one") && head.contains("x-other: passes"), "{head}");
    assert!(head.contains(CREDENTIAL) && head.contains("accept-encoding: identity"), "{head}");
    assert!(!head.contains("alm_") && !head.contains("almoner") && !head.contains("cookie"), "{head}");
    server.stop();
}

/// The server that `exec` started in a world, by its process; ended when this is dropped.
struct Started<'a>(&'a World, i32);

impl Started<'_> {
    fn of(world: &World) -> Started<'_> {
        let pid = world.json(&["status"])["pid"].as_i64().unwrap();
        Started(world, i32::try_from(pid).unwrap())
    }
}

impl Drop for Started<'_> {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_raw(self.1).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap_or_default();
        let ended = look_until(|| rustix::process::test_kill_process(pid).err());
        assert!(ended.is_some() || std::thread::panicking(), "{:?}", std::fs::read(self.0.path("state/serve.log")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn where_no_server_runs_one_is_started_and_two_commands_at_once_share_it() {
    let truth: TruthProvider = truth().await;
    let world = world(&truth, "", ROOMY);
    let commands: Vec<_> = (0..2)
        .map(|_| world.command(&["exec", "--budget", "$1", "--", "sh", "-c", "echo $ANTHROPIC_BASE_URL"]))
        .map(|command| std::thread::spawn(move || Said::by(command)))
        .collect();
    let said: Vec<Said> = commands.into_iter().map(|command| command.join().unwrap()).collect();
    let _started = Started::of(&world);
    assert!(said.iter().all(|said| said.code == Some(0)), "{said:?}");
    assert_eq!(said[0].out, said[1].out, "both found the same server");
    assert!(said.iter().all(|said| said.err.contains("$1.00 left of $1.00")), "{said:?}");
    let again = exec(&world, &[], "echo $ANTHROPIC_BASE_URL");
    assert_eq!(again.out, said[0].out);
}

#[test]
fn a_server_that_cannot_start_is_told_with_its_last_words() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let world = World::new("");
    let mut command = world.command(&["exec", "--", "true"]);
    command.env("ALMONER_LISTEN", &addr);
    let said = Said::by(command);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains(&format!("cannot listen on {addr}")), "{said:?}");
}

#[test]
fn a_server_that_nobody_uses_ends_by_itself() {
    let world = World::new("");
    let server: Server = world.serve_with(&["--idle-exit", "1s"]);
    server.says("nobody used the server for 1s");
    assert!(crate::server::exited_well(server));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_the_command_used_is_summed_up() {
    let truth = truth().await;
    let world = world(&truth, "", ROOMY);
    let server = world.serve();
    std::fs::write(world.path("call.json"), messages("truth-1", 200, "Hello")).unwrap();
    let call = "curl -s -o answer.json -H 'content-type: application/json' -H \"x-almoner-key: $ALMONER_KEY\" \
                --data @call.json $ANTHROPIC_BASE_URL/v1/messages";
    if std::process::Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: there is no curl");
        return;
    }
    let said = exec(&world, &["--tokens", "100k", "--json"], call);
    assert_eq!(said.code, Some(0), "{said:?}");
    let summary: Value = serde_json::from_str(&said.err).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    let totals = truth.totals();
    assert_eq!((&summary["calls"], &summary["refused"]), (&1.into(), &0.into()), "{summary}");
    assert_eq!(summary["tokens"], u64::try_from(totals.input + totals.output).unwrap());
    assert_eq!(summary["cost_nano"], truth.bill().get());
    assert_eq!(summary["accounts"][0]["limits"][0]["spent"], summary["tokens"]);
    server.stop();
}
