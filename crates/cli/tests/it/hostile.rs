//! What strangers send: the port stands in front of a real credential, on a machine that runs browsers.

use std::io::{Read, Write};

use almoner_testkit::TruthProvider;

use crate::provider::{messages, truth, world};
use crate::raw::{connect, read, request, send, status};
use crate::server::Server;
use crate::world::World;

const ROOMY: &str = "[[budget]]\nname = \"roomy\"\nlimit = \"$100\"\n";
const POST: &str = "POST /v1/messages HTTP/1.1";

/// A server with bounds that a test can reach.
async fn guarded() -> (TruthProvider, World, Server) {
    let truth = truth().await;
    let settings = "receive_max = \"500ms\"\nheader_bytes_max = 8192\nbody_bytes_max = 4096\n";
    let world = world(&truth, settings, ROOMY);
    let server = world.serve();
    (truth, world, server)
}

/// Sends one call with these headers beside its length, and gives the answer.
fn call(server: &Server, line: &str, headers: &[(&str, &str)]) -> String {
    let body = messages("truth-1", 200, "Hello");
    let length = body.len().to_string();
    send(server.addr, &request(line, &[headers, &[("content-length", &length)]].concat(), &body))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn only_requests_for_this_machine_from_no_other_site_are_answered() {
    let (truth, _world, server) = guarded().await;
    let json = ("content-type", "application/json");
    let local = ("host", "127.0.0.1:4141");
    let refused: [&[(&str, &str)]; 7] = [
        &[("host", "evil.example"), json],
        &[("host", "127.0.0.1.evil.example"), json],
        &[json],
        &[local, json, ("origin", "https://evil.example")],
        &[local, json, ("origin", "null")],
        &[local, ("content-type", "text/plain")],
        &[local],
    ];
    for headers in refused {
        let answer = call(&server, POST, headers);
        assert!([400, 403].contains(&status(&answer)), "{headers:?}: {answer}");
    }
    // In the absolute form the address of the request counts, whatever the header says.
    let absolute = call(&server, "POST http://evil.example/v1/messages HTTP/1.1", &[local, json]);
    assert!([400, 403].contains(&status(&absolute)), "{absolute}");
    assert_eq!(truth.totals().billed, 0);
    let own = call(&server, POST, &[local, json, ("origin", "http://localhost:3000")]);
    assert_eq!(status(&own), 200, "{own}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn headers_and_bodies_have_bounds() {
    let (truth, _world, server) = guarded().await;
    let local = [("host", "localhost"), ("content-type", "application/json")];
    let long = "x".repeat(20_000);
    let answer = call(&server, POST, &[&local[..], &[("x-long", &long)]].concat());
    assert!([400, 413, 431].contains(&status(&answer)) || answer.is_empty(), "{answer}");
    let body = messages("truth-1", 200, &"x".repeat(10_000));
    let answer = server.post("/v1/messages", &[], &body).await;
    assert_eq!((answer.status, &answer.json()["error"]["almoner"]["code"]), (413, &"too_large".into()));
    for bad in ["one\u{1}two", "one\u{7f}two"] {
        let answer = call(&server, POST, &[&local[..], &[("x-almoner-session", bad)]].concat());
        assert_eq!(status(&answer), 400, "{bad:?}: {answer}");
    }
    assert_eq!(truth.totals().billed, 0);
    // What passes HTTP and is no label is left out, and never printed as it is.
    let answer = call(&server, POST, &[&local[..], &[("x-almoner-session", "caf\u{e9}\u{202e}")]].concat());
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(!server.log().contains('\u{202e}'));
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_sends_slowly_is_not_waited_for_for_ever() {
    let (truth, _world, server) = guarded().await;
    let mut slow_head = connect(server.addr);
    slow_head.write_all(b"POST /v1/messages HTTP/1.1\r\nhost: loc").unwrap();
    let answer = read(slow_head);
    assert_ne!(status(&answer), 200, "{answer}");
    let mut slow_body = connect(server.addr);
    let headers = [("host", "localhost"), ("content-type", "application/json"), ("content-length", "1000")];
    let mut head = format!("{POST}\r\n");
    headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    slow_body.write_all(format!("{head}\r\n{{").as_bytes()).unwrap();
    // It ends by itself, though nobody asked for that.
    let answer = read(slow_body);
    assert!(status(&answer) == 408 && answer.contains("connection: close"), "{answer}");
    assert_eq!(truth.totals().billed, 0);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn two_lengths_cannot_smuggle_a_second_request() {
    let (truth, _world, server) = guarded().await;
    let inner = messages("truth-1", 200, "smuggled");
    let smuggled = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nx-almoner-session: smuggled\r\n\
         content-length: {}\r\n\r\n{inner}",
        inner.len()
    );
    let json = [("host", "localhost"), ("content-type", "application/json")];
    for lengths in [
        &[("content-length", "5"), ("transfer-encoding", "chunked")][..],
        &[("transfer-encoding", "chunked"), ("content-length", "5")],
        &[("content-length", "5"), ("content-length", "6")],
        &[("transfer-encoding", "chunked, identity")],
        &[("transfer-encoding", "xchunked")],
        &[("content-length", "+5")],
        &[("content-length", "5"), ("transfer-encoding", "\u{b}chunked")],
    ] {
        let bytes = request(POST, &[&json[..], lengths].concat(), &format!("0\r\n\r\n{smuggled}"));
        let answer = send(server.addr, &bytes);
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{lengths:?}: {answer}");
        assert!((400..500).contains(&status(&answer)), "{lengths:?}: {answer}");
    }
    assert_eq!(truth.totals().billed, 0, "nothing of the inside was taken for a request");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_no_request_at_all_ends_the_connection_and_nothing_else() {
    let (_truth, _world, server) = guarded().await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
    ] {
        let answer = send(server.addr, bytes);
        assert_ne!(status(&answer), 200, "{bytes:?}: {answer}");
    }
    let mut gone = connect(server.addr);
    gone.write_all(b"POST").unwrap();
    drop(gone);
    let mut probe = connect(server.addr);
    probe.write_all(&request("GET /healthz HTTP/1.1", &[("host", "localhost")], "")).unwrap();
    let mut answer = String::new();
    probe.read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), 200, "{answer}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_flood_of_sessions_slows_nobody_and_is_counted_to_the_last_call() {
    let truth = truth().await;
    let budgets = "[[budget]]\nname = \"each\"\nper = [\"session\"]\nlimit = \"$1\"\n";
    let world = world(&truth, "", &format!("{ROOMY}{budgets}"));
    let server = world.serve();
    // The bound of 10,000 accounts a key has a test without sockets; here many accounts are opened at once.
    let call = messages("truth-1", 20, "Hello");
    for start in (0..600).step_by(30) {
        let flood = (start..start + 30).map(|number| {
            let (server, call) = (&server, &call);
            async move {
                let session = format!("flood-{number}");
                server.post("/v1/messages", &[("x-almoner-session", &session)], call).await.status
            }
        });
        assert!(join_all(flood).await.into_iter().all(|status| status == 200));
    }
    assert_eq!(server.settled("roomy").spent, truth.bill().get());
    let status = server.status();
    assert_eq!(status.accounts.iter().filter(|account| account.budget == "each").count(), 600);
    server.stop();
}

/// Runs futures side by side in this task.
async fn join_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, done) in &mut running {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        match running.iter().all(|(_, done)| done.is_some()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    running.into_iter().filter_map(|(_, done)| done).collect()
}
