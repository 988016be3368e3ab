//! Secrets put wherever a client, a provider, a configuration or an environment can put them: none comes out again in
//! what a server says of itself or keeps.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use almoner_api::{Reply, Request};
use serde_json::{Value, json};

use crate::provider::world_at;
use crate::rest;
use crate::server::Server;
use crate::world::World;

/// What every secret of these tests has in it.
const CANARY: &str = "canary";

/// A provider that answers every call with an error that holds all that it was sent, as some do with a bad key.
fn telltale(status: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| tell(stream, status)));
    addr
}

fn tell(mut stream: TcpStream, status: &str) {
    let Some(heard) = hear(&mut stream) else { return };
    let message = format!("bad key: {}", String::from_utf8_lossy(&heard));
    let body = json!({ "type": "error", "error": { "type": "authentication_error", "message": message } }).to_string();
    let length = body.len();
    drop(write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nx-secret: {CANARY}-header\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    ));
}

/// A whole request; `None` where it broke off.
fn hear(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut heard = Vec::new();
    let mut part = [0; 4096];
    while !is_whole(&heard) {
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return None,
            Ok(read) => heard.extend_from_slice(&part[..read]),
        }
    }
    Some(heard)
}

/// Whether all of a request has come: its head, and as much as that says.
fn is_whole(heard: &[u8]) -> bool {
    let text = String::from_utf8_lossy(heard).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    body.len() >= length.trim().parse().unwrap_or(0)
}

/// A collector of traces that keeps the body of each request.
pub(crate) fn collector() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let Some(heard) = hear(&mut stream) else { continue };
            let text = String::from_utf8(heard).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains("authorization: Bearer canary-otlp"), "its own credential is for the collector");
            drop(tell.send(body.to_owned()));
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"));
        }
    });
    (addr, told)
}

/// A server whose environment and configuration have secrets in them.
fn serve(addr: SocketAddr, log: &str, otlp: SocketAddr) -> (World, Server) {
    let world = world_at(addr, log, "[[budget]]\nname = \"tight\"\nlimit = \"3 requests\"\n");
    std::fs::write(world.path("truth.key"), format!("sk-{CANARY}-provider")).unwrap();
    let server = world.serve_in(&[
        ("OPENAI_API_KEY", "sk-canary-environment"),
        ("SOME_OTHER", "canary-other"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{otlp}")),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20canary-otlp"),
    ]);
    (world, server)
}

/// Sends calls with secrets in each part of them.
async fn call(server: &Server) {
    let body = json!({
        "model": "truth-1", "max_tokens": 50,
        "messages": [{ "role": "user", "content": "the password is canary-prompt" }],
        "system": "canary-system",
    });
    let headers = [
        ("authorization", "Bearer canary-bearer"),
        ("cookie", "session=canary-cookie"),
        ("x-api-key", "canary-client"),
        ("user-agent", "canary-agent"),
        ("x-secret", "canary-unknown"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("tracestate", "canary=canary-state"),
    ];
    for path in ["/v1/messages", "/v1/messages?key=canary-query&beta=true"] {
        server.post(path, &headers, &body.to_string()).await;
        server.post(path, &headers, "{\"model\": \"truth-1\", \"canary-member\": canary-broken").await;
    }
    let own = [("x-almoner-key", "alm_canaryofnobody"), headers[1]];
    server.post("/v1/messages", &own, &body.to_string()).await;
    server.post("/v1/canary-path", &headers, &body.to_string()).await;
    // The last is refused by the budget.
    for _ in 0..4 {
        server.post("/v1/messages", &headers, &body.to_string()).await;
    }
}

#[track_caller]
fn hides(what: &str, text: &str) {
    let lower = text.to_ascii_lowercase();
    if let Some(at) = lower.find(CANARY) {
        let from = (0..=at.saturating_sub(120)).rev().find(|from| lower.is_char_boundary(*from)).unwrap_or(0);
        panic!("{what} tells a secret: …{}", &lower[from..at + 20]);
    }
}

#[track_caller]
fn text_of(server: &Server, request: &Request) -> String {
    match server.ask(request) {
        Reply::Metrics { text } => text,
        other => serde_json::to_string(&other).unwrap(),
    }
}

async fn check(log: &str, status: &'static str) -> String {
    let (otlp, traces) = collector();
    let (world, server) = serve(telltale(status), log, otlp);
    call(&server).await;
    // A file that is wrong is told of with the line that is.
    world.configure("[[provider]]\nname = \"x\"\nkey = \"sk-canary-config\"\napi_key = \"canary-config\"\n");
    let refused = world.fails(&["reload"]);
    hides("a reload", &refused);
    for request in [Request::Status, Request::Metrics, Request::Holds, Request::Budgets { budget: None }] {
        hides(&format!("{request:?}"), &text_of(&server, &request));
    }
    let state = world.state();
    let said = server.stop();
    hides("the log", &said);
    let spans = traces.try_iter().collect::<String>();
    hides("a span", &spans);
    for part in ["\"name\":\"chat truth-1\"", "\"parentSpanId\":\"00f067aa0ba902b7\"", "\"refused\"", "\"bad_body\""] {
        assert!(spans.contains(part), "{part}: {spans}");
    }
    for file in ["ledger.db", "history.db"] {
        assert!(state.join(file).exists(), "{file} is looked into");
    }
    assert_eq!(world.files_with(CANARY), Vec::<std::path::PathBuf>::new(), "nothing of it is kept");
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_for_programs_tells_of_every_call_and_of_no_secret() {
    let said = check("log_format = \"json\"\nlog_calls = true", "401 Unauthorized").await;
    let lines: Vec<Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    let calls: Vec<&Value> = lines.iter().filter(|line| line["message"] == "call").collect();
    let ended = |word: &str| calls.iter().filter(|call| call["outcome"] == word).count();
    assert!(ended("released") >= 2 && ended("rejected") >= 2 && ended("refused") >= 1, "{said}");
    let first = calls.iter().find(|call| call["outcome"] == "released").unwrap();
    assert_eq!((first["provider"].as_str(), first["status"].as_u64()), (Some("truth"), Some(401)));
    assert!(first["call"].as_str().unwrap().len() == 36 && first["labels"]["model"] == "truth-1");
    assert!(lines.iter().any(|line| line["level"] == "warn"), "the reload that was refused is a warning");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_for_people_tells_of_every_call_and_of_no_secret() {
    let said = check("log_calls = true", "400 Bad Request").await;
    assert!(said.contains(" released 400 at truth with truth-1: ") && said.contains("model=truth-1"), "{said}");
    assert!(said.contains("refused (budget tight, 3 requests / lifetime) 402 at truth"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_being_asked_the_log_has_no_line_for_a_call() {
    let said = check("", "403 Forbidden").await;
    assert!(!said.contains(" call ") && said.contains("configuration from"), "{said}");
}

/// The resources that can be looked at, as the server's own document has them; the stream of events has no end.
fn looks(document: &Value, key: &str, call: &str) -> Vec<String> {
    let gets = document["paths"].as_object().unwrap().iter().filter(|(_, methods)| methods["get"].is_object());
    let paths = gets.map(|(path, _)| path).filter(|path| !path.ends_with("/events"));
    let named = paths.map(|path| path.replace("{key}", key).replace("{id}", call).replace("{budget}", "tight"));
    named.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_resource_and_no_command_shows_a_secret_of_anybody() {
    let (otlp, _traces) = collector();
    let (world, server) = serve(telltale("401 Unauthorized"), "", otlp);
    call(&server).await;
    let key = world.json(&["keys", "create", "ci", "--budget", "$5"]);
    let (id, secret) = (key["id"].as_str().unwrap(), key["secret"].as_str().unwrap().to_owned());
    let (admin, board) = (rest::admin(&world), rest::token(&world, "board", "viewer"));
    let body = json!({ "model": "truth-1", "max_tokens": 50, "messages": [{ "role": "user", "content": "hi" }] });
    let headers = [("x-almoner-key", secret.as_str()), ("authorization", "Bearer canary-bearer")];
    let answer = server.post("/v1/messages", &headers, &body.to_string()).await;
    let call = server.explain(&answer, false).id;
    // What was typed wrong is often a secret in the wrong place.
    for wrong in [secret.as_str(), admin.as_str()] {
        let answer = server.post("/v1/messages", &[("x-api-key", wrong)], "{\"model\": \"truth-1\", ").await;
        hides_all("a refusal", &String::from_utf8_lossy(&answer.body), &[&secret, &admin, &board]);
    }
    let secrets = [CANARY, &secret, &admin, &board];
    let document: Value = serde_json::from_str(&world.ok(&["openapi"])).unwrap();
    let looks = looks(&document, id, &call);
    assert!(looks.len() >= 20, "{looks:?}");
    for path in looks {
        let said = rest::ask_as(&server, &admin, &format!("GET {path}"), "");
        assert_eq!(said.status, 200, "{path}: {}", said.body);
        hides_all(&path, &format!("{}{}", said.head, said.body), &secrets);
    }
    let commands: [&[&str]; 10] = [
        &["explain", &call],
        &["status"],
        &["decisions"],
        &["usage"],
        &["budgets", "list"],
        &["keys", "list", "--all"],
        &["keys", "show", "ci"],
        &["token", "list"],
        &["holds", "list"],
        &["config", "print"],
    ];
    for command in commands {
        hides_all(&format!("{command:?}"), &world.ok(command), &secrets);
        hides_all(&format!("{command:?} --json"), &world.json(command).to_string(), &secrets);
    }
    hides_all("the log", &server.stop(), &secrets);
    for secret in [&secret, &board] {
        assert_eq!(world.files_with(secret), Vec::<std::path::PathBuf>::new(), "it is kept by its hash");
    }
}

#[track_caller]
fn hides_all(what: &str, text: &str, secrets: &[&str]) {
    hides(what, text);
    for secret in secrets {
        assert!(!text.contains(secret), "{what} tells a secret that begins with {}", &secret[..6]);
    }
}

#[test]
fn the_check_can_fail() {
    let told = std::panic::catch_unwind(|| hides("a log", "authorization: Bearer canary-bearer"));
    assert!(told.is_err());
    let told = std::panic::catch_unwind(|| hides_all("a page", "its key is alm_0123", &["alm_0123"]));
    assert!(told.is_err());
}
