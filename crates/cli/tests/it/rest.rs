//! REST from outside: tokens and what they may do, resources as a program sees them, requests that are sent again.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::raw::{request, send, status};
use crate::server::{Server, look_until};
use crate::world::World;

const BUDGETS: &str = "[[budget]]\nname = \"the house\"\nlimit = \"$100\"\n\
                       [[budget]]\nname = \"each session\"\nlimit = \"1M tokens / day\"\nper = [\"session\"]\n";

/// An answer.
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.head, self.body))
    }
}

/// Sends one request.
fn ask(server: &Server, line: &str, headers: &[(&str, &str)], body: &str) -> Said {
    let length = body.len().to_string();
    let mut all = vec![("host", "localhost")];
    if !body.is_empty() {
        all.extend([("content-type", "application/json"), ("content-length", &length)]);
    }
    all.extend(headers);
    let text = send(server.addr, &request(&format!("{line} HTTP/1.1"), &all, body));
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    Said { status: status(head), head: head.to_ascii_lowercase(), body: body.to_owned() }
}

/// The same with a token.
pub(crate) fn ask_as(server: &Server, token: &str, line: &str, body: &str) -> Said {
    ask(server, line, &[("authorization", &format!("Bearer {token}"))], body)
}

pub(crate) fn admin(world: &World) -> String {
    world.ok(&["token", "show"]).trim_end().to_owned()
}

pub(crate) fn token(world: &World, name: &str, role: &str) -> String {
    world.ok(&["token", "create", name, "--role", role]).trim_end().to_owned()
}

#[test]
fn the_admins_token_stands_in_the_state_folder_and_opens_every_route() {
    let world = World::new(BUDGETS);
    let server = world.serve();
    let token = admin(&world);
    assert!(token.starts_with("alm_token_") && token.len() == 62, "{token}");
    let file = world.state().join("admin.token");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let said = ask_as(&server, &token, "GET /api/v1/budgets", "").json();
    let names: Vec<&str> = said["items"].as_array().unwrap().iter().filter_map(|it| it["budget"].as_str()).collect();
    assert_eq!(names, ["each session", "the house"]);
    assert_eq!(ask_as(&server, &token, "GET /api/v1/status", "").json()["open_holds"], 0);
    let document = ask(&server, "GET /api/v1/openapi.json", &[], "").json();
    assert_eq!(document, serde_json::from_str::<Value>(&world.ok(&["openapi"])).unwrap());
    assert_eq!(world.files_with(&token), [file], "it stands nowhere else");
    assert!(!server.stop().contains(&token));
}

#[test]
fn a_token_is_no_key_and_a_key_is_no_token() {
    let world = World::new(BUDGETS);
    let server = world.serve();
    let key = world.ok(&["keys", "create", "ci"]);
    let said = ask_as(&server, key.trim_end(), "GET /api/v1/status", "");
    assert_eq!(said.status, 401, "{}", said.body);
    assert!(said.body.contains("key of an agent") && said.head.contains("www-authenticate: bearer"), "{}", said.body);
    let body = r#"{"model":"rehearsal","max_tokens":10,"messages":[{"role":"user","content":"hi"}]}"#;
    let token = admin(&world);
    // A provider's place for a credential is no place for a token of ours: it is never sent on.
    for headers in [[("authorization", format!("Bearer {token}"))], [("x-api-key", token)]] {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(ask(&server, "POST /v1/messages", &headers, body).status, 401);
    }
}

#[test]
fn a_token_does_what_its_role_may_until_it_is_revoked() {
    let world = World::new(BUDGETS);
    let server = world.serve();
    let (viewer, operator) = (token(&world, "board", "viewer"), token(&world, "night", "operator"));
    assert_eq!(world.files_with(&viewer), [""; 0].map(std::path::PathBuf::from), "it is kept by its hash");
    let reset = "POST /api/v1/budgets/the%20house/reset";
    let line = "POST /api/v1/usage";
    let usage = r#"{"labels":{"session":"s1"},"input_tokens":1000,"cost_usd_nano":5000000,"reason":"ran outside"}"#;
    let no = ask_as(&server, &viewer, line, usage);
    assert_eq!((no.status, no.json()["code"].as_str()), (403, Some("role")));
    assert!(no.body.contains("needs a token of role operator; `board` is of role viewer"), "{}", no.body);
    assert_eq!(ask_as(&server, &operator, line, usage).status, 200);
    assert_eq!(server.limit("the house").spent, 5_000_000);
    let accounts = ask_as(&server, &viewer, "GET /api/v1/accounts?label=session=s1", "").json();
    assert_eq!(accounts["items"][0]["limits"][0]["spent"], 1000, "{accounts}");
    assert_eq!(ask_as(&server, &operator, reset, "").status, 200);
    assert_eq!(server.limit("the house").spent, 0);
    let change = r#"{"limits":["$7"]}"#;
    assert_eq!(ask_as(&server, &operator, "PATCH /api/v1/budgets/the%20house", change).status, 403);
    assert_eq!(ask_as(&server, &admin(&world), "PATCH /api/v1/budgets/the%20house", change).status, 200);
    assert_eq!(server.limit("the house").amount, 7_000_000_000);
    let made = ask_as(&server, &admin(&world), "POST /api/v1/keys", r#"{"name":"ci","limits":["$1"]}"#);
    assert_eq!((made.status, made.json()["name"].as_str()), (201, Some("ci")));
    assert_eq!(ask_as(&server, &operator, "POST /api/v1/keys/ci/revoke", r#"{"kill":true}"#).status, 200);
    let ci = world.json(&["keys", "show", "ci"]);
    let by: Vec<&str> = ci["changes"].as_array().unwrap().iter().filter_map(|it| it["by"].as_str()).collect();
    assert_eq!(by, ["token admin", "token night"], "who did it stands in the audit");
    world.ok(&["token", "revoke", "night"]);
    assert_eq!(ask_as(&server, &operator, "GET /api/v1/status", "").status, 401);
    let list = world.ok(&["token", "list"]);
    assert!(list.contains("board (viewer): good") && list.contains("night (operator): revoked at"), "{list}");
    // A start finds them again.
    drop(server);
    let server = world.serve();
    assert_eq!(ask_as(&server, &viewer, "GET /api/v1/status", "").status, 200);
    assert_eq!(ask_as(&server, &operator, "GET /api/v1/status", "").status, 401);
}

#[test]
fn a_token_that_has_the_name_of_an_old_one_hears_nothing_that_was_answered_to_that() {
    let world = World::new(BUDGETS);
    let server = world.serve();
    let add = |token: &str, usage: &str| {
        let bearer = format!("Bearer {token}");
        ask(&server, "POST /api/v1/usage", &[("authorization", &bearer), ("idempotency-key", "k")], usage)
    };
    let usage = r#"{"cost_usd_nano":5000000,"reason":"ran outside"}"#;
    assert_eq!(add(&token(&world, "night", "operator"), usage).status, 200);
    world.ok(&["token", "revoke", "night"]);
    let said = add(&token(&world, "night", "operator"), usage);
    assert_eq!(said.status, 200, "{}", said.body);
    assert!(!said.head.contains("idempotency-replayed"), "{}", said.head);
    assert_eq!(server.limit("the house").spent, 10_000_000, "both were booked");
}

#[test]
fn usage_that_is_sent_again_counts_once_whenever_the_server_died() {
    let world = World::new(BUDGETS);
    let mut server = world.serve();
    let bearer = format!("Bearer {}", admin(&world));
    let usage = r#"{"cost_usd_nano":5000000,"reason":"ran outside"}"#;
    let send = |server: &Server, key: &str, body: &str| {
        ask(server, "POST /api/v1/usage", &[("authorization", &bearer), ("idempotency-key", key)], body)
    };
    let first = send(&server, "a", usage);
    assert_eq!(first.status, 200, "{}", first.body);
    assert!(!first.head.contains("idempotency-replayed"));
    // It dies without a word after its answer was kept, and again before.
    for kept in [true, false] {
        server.signal(rustix::process::Signal::KILL);
        drop(server);
        if !kept {
            let control = rusqlite::Connection::open(world.state().join("control.db")).unwrap();
            assert_eq!(control.execute("UPDATE asked SET status = NULL, body = NULL", []).unwrap(), 1);
        }
        server = world.serve();
        let again = send(&server, "a", usage);
        assert_eq!((again.status, &again.body), (200, &first.body));
        assert_eq!(again.head.contains("idempotency-replayed: true"), kept);
        assert_eq!(server.limit("the house").spent, 5_000_000, "it is counted once");
    }
    let other = send(&server, "a", r#"{"cost_usd_nano":6000000,"reason":"ran outside"}"#);
    assert_eq!((other.status, other.json()["code"].as_str()), (422, Some("idempotency_key_reused")));
    send(&server, "b", usage);
    assert_eq!(server.limit("the house").spent, 10_000_000);
}

#[test]
fn a_foreign_page_is_refused_and_calls_go_their_way() {
    let world = World::new(BUDGETS);
    let server = world.serve();
    let bearer = format!("Bearer {}", admin(&world));
    let line = "GET /api/v1/status HTTP/1.1";
    for (host, origin) in [("evil.example", None), ("localhost", Some("https://evil.example"))] {
        let mut headers = vec![("host", host), ("authorization", bearer.as_str())];
        headers.extend(origin.map(|origin| ("origin", origin)));
        assert_eq!(status(&send(server.addr, &request(line, &headers, ""))), 403, "{host} {origin:?}");
    }
    // Ollama's paths begin alike.
    assert_eq!(ask(&server, "GET /api/hello", &[], "").status, 200);
    assert!(!ask(&server, "GET /api/tags", &[], "").head.contains("problem+json"));
    assert_eq!(ask(&server, "GET /api/v1/nothing", &[], "").json()["code"], "no_such_path");
}

#[test]
fn a_stream_of_events_ends_with_the_server_and_holds_nothing_up() {
    let world = World::new(BUDGETS);
    let server = world.serve();
    let token = admin(&world);
    let addr = server.addr;
    let headers = format!("host: localhost\r\nauthorization: Bearer {token}\r\n\r\n");
    let mut stream = crate::raw::connect(addr);
    std::io::Write::write_all(&mut stream, format!("GET /api/v1/events HTTP/1.1\r\n{headers}").as_bytes()).unwrap();
    let mut first = [0; 12];
    std::io::Read::read_exact(&mut stream, &mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    server.stop();
    assert!(look_until(|| Some(()).filter(|()| !crate::raw::read(stream.try_clone().unwrap()).is_empty())).is_some());
}

#[test]
fn amounts_of_money_stay_whole_numbers() {
    let world = World::new(BUDGETS);
    let server = world.serve();
    let most = json!({ "cost_usd_nano": 9_007_199_254_740_991_u64, "input_tokens": 9_007_199_254_740_991_u64,
                       "output_tokens": 9_007_199_254_740_991_u64, "labels": { "session": "s" }, "reason": "r" });
    for _ in 0..3 {
        let said = ask_as(&server, &admin(&world), "POST /api/v1/usage", &most.to_string());
        assert_eq!(said.status, 200, "{}", said.body);
    }
    let house = ask_as(&server, &admin(&world), "GET /api/v1/accounts?budget=the%20house", "").json();
    assert_eq!(house["items"][0]["limits"][0]["spent"], 27_021_597_764_222_973_u64, "{house}");
}

/// Asks again until the answer is so, because history lags a little.
#[track_caller]
fn until(server: &Server, token: &str, line: &str, so: impl Fn(&Value) -> bool) -> Value {
    let looked = look_until(|| {
        let said = ask_as(server, token, line, "");
        Some(said).filter(|said| said.status == 200).map(|said| said.json()).filter(&so)
    });
    looked.unwrap_or_else(|| panic!("{line} stays {}", ask_as(server, token, line, "").body))
}

#[test]
fn throttle_stats_usage_and_decisions_tell_what_every_session_used() {
    let world = World::new(BUDGETS);
    let server = world.serve();
    let token = token(&world, "board", "viewer");
    let body = r#"{"model":"rehearsal","max_tokens":10,"messages":[{"role":"user","content":"hi"}]}"#;
    for session in ["my_session", "my_session", "other"] {
        let said = ask(&server, "POST /v1/messages", &[("x-almoner-session", session)], body);
        assert_eq!(said.status, 200, "{}", said.body);
    }
    let rows = |usage: &Value| usage["rows"].as_array().map_or(0, Vec::len);
    let usage = until(&server, &token, "GET /api/v1/usage?group_by=session&bucket=day", |usage| {
        rows(usage) == 2 && usage["rows"].as_array().unwrap().iter().all(|row| row["tokens"] != 0)
    });
    let of = |session: &str| {
        let rows = usage["rows"].as_array().unwrap();
        rows.iter().find(|row| row["labels"] == json!({ "session": session })).unwrap()["tokens"].as_u64().unwrap()
    };
    assert_eq!(of("my_session"), 2 * of("other"), "{usage}");
    for path in ["/api/throttle/stats", "/api/v1/throttle/stats"] {
        let all = until(&server, &token, &format!("GET {path}"), |all| {
            all["global"]["tokens_day"].as_u64() == Some(of("my_session") + of("other"))
        });
        assert_eq!(all["sessions"]["other"]["tokens_hour"], of("other"), "{all}");
        let one = ask_as(&server, &token, &format!("GET {path}?session=my_session"), "").json();
        assert_eq!((&one["tokens_hour"], &one["throttle_level"]), (&json!(of("my_session")), &json!("NONE")), "{one}");
        assert_eq!(one["global"]["tokens_day"], all["global"]["tokens_day"]);
        assert!(one["cost_hour"].is_number() && one["cost_day"].is_number(), "{one}");
    }
    let first = ask_as(&server, &token, "GET /api/v1/decisions?limit=2", "").json();
    let next = first["next_cursor"].as_str().unwrap();
    let second = ask_as(&server, &token, &format!("GET /api/v1/decisions?limit=2&cursor={next}"), "").json();
    let ids = |page: &Value| page["items"].as_array().unwrap().iter().map(|it| it["id"].clone()).collect::<Vec<_>>();
    assert_eq!((ids(&first).len(), ids(&second).len(), &second["next_cursor"]), (2, 1, &Value::Null));
    let id = ids(&second)[0].as_str().unwrap().to_owned();
    let explained = ask_as(&server, &token, &format!("GET /api/v1/decisions/{id}"), "").json();
    assert_eq!(explained["record"]["decided"]["labels"]["session"], "my_session", "{explained}");
    let metrics = ask_as(&server, &token, "GET /metrics", "");
    assert!(metrics.head.contains("text/plain; version=0.0.4") && metrics.body.contains("# TYPE almoner_"));
    assert_eq!(ask(&server, "GET /metrics", &[], "").status, 401);
}

#[test]
fn the_audit_names_who_changed_a_limit_and_events_go_on_where_they_stopped() {
    let world = World::new(BUDGETS);
    let server = world.serve();
    let token = admin(&world);
    let change = r#"{"limits":["$7"]}"#;
    assert_eq!(ask_as(&server, &token, "PATCH /api/v1/budgets/the%20house", change).status, 200);
    let is_it = |item: &Value| item["kind"] == "budget_set" && item["data"]["by"] == "token admin";
    let audit =
        until(&server, &token, "GET /api/v1/audit", |audit| audit["items"].as_array().unwrap().iter().any(is_it));
    let changed = audit["items"].as_array().unwrap().iter().find(|item| is_it(item)).unwrap();
    let told = "budget `the house` was $100.00 / lifetime in mode stop-new, and is $7.00 / lifetime in mode stop-new";
    assert!(changed["message"].as_str().unwrap().starts_with(told), "{changed}");
    let (from, to) = (&changed["data"]["from"]["limits"], &changed["data"]["limits"]);
    assert_eq!((from, to), (&json!(["$100.00 / lifetime"]), &json!(["$7.00 / lifetime"])), "{changed}");
    let id = changed["id"].as_u64().unwrap();
    // What a key may spend is a limit as well.
    world.ok(&["keys", "create", "ci", "--budget", "$1"]);
    let keys = ask_as(&server, &token, "GET /api/v1/keys/ci", "").json();
    let own = keys["account"]["budget"].as_str().unwrap().replace(' ', "%20");
    assert_eq!(ask_as(&server, &token, &format!("PATCH /api/v1/budgets/{own}"), change).status, 200);
    let is_own = |item: &Value| item["data"]["from"]["limits"] == json!(["$1.00 / lifetime"]);
    until(&server, &token, "GET /api/v1/audit", |audit| audit["items"].as_array().unwrap().iter().any(is_own));
    let mut stream = crate::raw::connect(server.addr);
    let head = format!("host: localhost\r\nauthorization: Bearer {token}\r\nlast-event-id: {}\r\n\r\n", id - 1);
    std::io::Write::write_all(&mut stream, format!("GET /api/v1/events HTTP/1.1\r\n{head}").as_bytes()).unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stream)).map_while(Result::ok);
    assert!(lines.any(|line| line == format!("id: {id}")), "it goes on behind the last that was seen");
    assert_eq!(lines.next().as_deref(), Some("event: budget_set"));
}
