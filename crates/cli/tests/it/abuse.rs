//! Whoever means harm, in small: what is bounded stays so, and good calls are answered meanwhile. The same at full
//! size, with figures, is the proof `abuse` of the testkit.

use std::io::{Read, Write};
use std::net::TcpStream;

use almoner_testkit::truth::Totals;
use almoner_testkit::{HostileProvider, MISDEEDS, Patience, Post};

use crate::provider::{messages, planned, truth, world};
use crate::raw::{connect, read, request, send, status};
use crate::server::{Server, look_until};

const ROOMY: &str = "[[budget]]\nname = \"roomy\"\nlimit = \"$100\"\n";
const RICH: &str = "[[budget]]\nname = \"rich\"\nlimit = \"$10000\"\n";
const POST: &str = "POST /v1/messages HTTP/1.1";
const JSON: [(&str, &str); 2] = [("host", "localhost"), ("content-type", "application/json")];

/// The head of a request, up to its empty line.
fn head(headers: &[(&str, &str)]) -> String {
    let lines = JSON.iter().chain(headers).map(|(name, value)| format!("{name}: {value}\r\n"));
    format!("{POST}\r\n{}\r\n", lines.collect::<String>())
}

/// A connection that has sent so much and says no more.
fn left(server: &Server, bytes: &str) -> TcpStream {
    let mut stream = connect(server.addr);
    stream.write_all(bytes.as_bytes()).unwrap();
    stream
}

/// The same, with so little room for what comes back that it fills at once.
async fn narrow(server: &Server, bytes: &str) -> tokio::net::TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(server.addr).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, bytes.as_bytes()).await.unwrap();
    stream
}

/// How many descriptors the server has open.
fn descriptors(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count()
}

/// Waits until no more descriptors are open than so many.
#[track_caller]
fn returns_to(server: &Server, baseline: usize) {
    let back = look_until(|| (descriptors(server) <= baseline).then_some(()));
    assert!(back.is_some(), "{} descriptors are open, {baseline} were before", descriptors(server));
}

/// A good call, which must be answered.
async fn good(server: &Server) {
    let answer = server.post("/v1/messages", &[], &messages("truth-1", 20, "Hello")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_keeps_the_server_waiting_makes_room_for_who_does_not() {
    let truth = truth().await;
    let world = world(&truth, "connections_max = 8\n", ROOMY);
    let server = world.serve();
    good(&server).await;
    let before = descriptors(&server);
    for bytes in ["", "POST /v1/messages HTTP/1.1\r\nhost: loc", &format!("{}{{", head(&[("content-length", "1000")]))]
    {
        let waiting: Vec<_> = (0..20).map(|_| left(&server, bytes)).collect();
        for _ in 0..10 {
            good(&server).await;
        }
        assert!(descriptors(&server) <= before + 8);
        // The first of them were sent away, and the last have a place.
        let mut first = &waiting[0];
        assert!(matches!(first.read(&mut [0]), Ok(0) | Err(_)), "{bytes:?}");
        drop(waiting);
        returns_to(&server, before);
    }
    assert_eq!(server.settled("roomy").spent, truth.bill().get());
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_that_runs_is_not_ended_for_one_that_comes() {
    let truth = planned("gate=true").await;
    let world = world(&truth, "connections_max = 4\n", ROOMY);
    let server = world.serve();
    let body = messages("truth-1", 20, "Hello");
    let length = body.len().to_string();
    let whole = request(POST, &[&JSON[..], &[("content-length", &length)]].concat(), &body);
    let running: Vec<_> = (0..4).map(|_| left(&server, std::str::from_utf8(&whole).unwrap())).collect();
    crate::provider::until(&truth, |totals: &Totals| totals.billed == 4).await;
    let answer = send(server.addr, &request("GET /healthz HTTP/1.1", &[("host", "localhost")], ""));
    assert_eq!(answer, "", "there is no room for one more");
    truth.release(4);
    for stream in running {
        assert_eq!(status(&read(stream)), 200);
    }
    assert_eq!(server.settled("roomy").spent, truth.bill().get());
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_answer_that_nobody_reads_is_no_place_for_ever() {
    let truth = planned("output=cap").await;
    let world = world(&truth, "stream_idle_max = \"300ms\"\ndrain_max = \"5s\"\nmax_output = 4_000_000\n", RICH);
    let server = world.serve();
    let before = descriptors(&server);
    for stream in [true, false] {
        let mut call: serde_json::Value = serde_json::from_str(&messages("truth-1", 4_000_000, "Hello")).unwrap();
        call["stream"] = stream.into();
        let body = call.to_string();
        let length = body.len().to_string();
        // Far more than the sockets on the way hold: it never gets to its end.
        let whole = format!("{}{body}", head(&[("content-length", &length)]));
        let unread = [narrow(&server, &whole).await, narrow(&server, &whole).await, narrow(&server, &whole).await];
        crate::provider::until(&truth, |totals: &Totals| totals.billed >= if stream { 3 } else { 6 }).await;
        server.until(|status| status.open_holds == 0);
        // Those to the provider are kept for the next calls.
        returns_to(&server, before + 3);
        drop(unread);
    }
    assert_eq!(server.settled("rich").spent, truth.bill().get());
    server.stop();
}

/// The most memory that the server has had, in KiB.
fn peak(server: &Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn large_bodies_have_room_together_and_those_that_linger_give_way() {
    let truth = truth().await;
    let world = world(&truth, "body_bytes_max = 4_000_000\nbodies_bytes_max = 8_000_000\n", RICH);
    let server = world.serve();
    good(&server).await;
    let (before, memory) = (descriptors(&server), peak(&server));
    // Each sends nearly all of what it declares, and holds it.
    let part = format!("{}{{\"x\":\"{}", head(&[("content-length", "3999000")]), "x".repeat(3_900_000));
    let lingering: Vec<_> = (0..20).map(|_| left(&server, &part)).collect();
    let large = messages("truth-1", 20, &"word ".repeat(200_000));
    let answer = server.post("/v1/messages", &[], &large).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let told = read(lingering.into_iter().next().unwrap());
    assert!(told.contains("HTTP/1.1 503") && told.contains("x-almoner-code: crowded"), "{told}");
    assert!(told.contains("retry-after: ") && told.contains("connection: close"), "{told}");
    // 80 MB were sent; a body is here at most twice while it grows, and once more as it goes on.
    assert!(peak(&server) < memory + 40_000, "{memory} KiB grew to {}", peak(&server));
    returns_to(&server, before);
    assert_eq!(server.settled("rich").spent, truth.bill().get());
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_gigabyte_is_refused_before_it_is_read() {
    let truth = truth().await;
    let world = world(&truth, "", ROOMY);
    let server = world.serve();
    good(&server).await;
    let memory = peak(&server);
    let declared = left(&server, &head(&[("content-length", "1073741824")]));
    assert_eq!(status(&read(declared)), 413, "nobody waits for what is too large");
    // In chunks its length is not known before; whoever goes on sending is not read.
    let mut chunked = left(&server, &head(&[("transfer-encoding", "chunked")]));
    let chunk = format!("100000\r\n{}\r\n", "x".repeat(0x10_0000));
    let sent = (0..1024).take_while(|_| chunked.write_all(chunk.as_bytes()).is_ok()).count();
    assert!(sent < 200, "{sent} MiB were taken");
    assert!(peak(&server) < memory + 120_000, "{memory} KiB grew to {}", peak(&server));
    good(&server).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_no_reader_should_take_is_refused_and_costs_next_to_nothing() {
    let truth = truth().await;
    let world = world(&truth, "", ROOMY);
    let server = world.serve();
    good(&server).await;
    let (before, memory, billed) = (descriptors(&server), peak(&server), truth.totals().billed);
    let sized = |body: &str| format!("{}{body}", head(&[("content-length", &body.len().to_string())]));
    let chunked = |body: &str| format!("{}{body}", head(&[("transfer-encoding", "chunked")]));
    let many: String = (0..100_000).map(|number| format!("x-{number}: 1\r\n")).collect();
    let call = messages("truth-1", 20, "Hello");
    let twice = call.replacen('{', "{\"max_tokens\":1,", 1);
    let escaped = call.replacen('{', "{\"max\\u005ftokens\":1,", 1);
    let nested = format!("{}1{}", "{\"a\":".repeat(1_000_000), "}".repeat(1_000_000));
    for (what, bytes) in [
        ("deep objects", sized(&nested)),
        ("deep arrays", sized(&"[".repeat(1_000_000))),
        ("a number of a million digits", sized(&call.replace("20", &"9".repeat(1_000_000)))),
        ("a member twice", sized(&twice)),
        ("a member twice, once escaped", sized(&escaped)),
        ("a hundred thousand headers", format!("{POST}\r\n{many}\r\n")),
        ("one huge header", head(&[("x-huge", &"x".repeat(1 << 20))])),
        ("extensions of chunks", chunked(&format!("1;{}\r\n{{\r\n", "x=y;".repeat(10_000)).repeat(20))),
        ("trailers", chunked(&format!("2\r\n{{}}\r\n0\r\n{}\r\n", "x-t: aaaa\r\n".repeat(100_000)))),
        ("a chunk of more bytes than there are", chunked("ffffffffffffffffff\r\n")),
        ("a packed body", format!("{}\u{1f}", head(&[("content-encoding", "gzip"), ("content-length", "1")]))),
        ("a space before the colon", format!("{POST}\r\nhost: localhost\r\ncontent-length : 5\r\n\r\n12345")),
        ("a folded header", format!("{POST}\r\nhost: localhost\r\nx-a: b\r\n c\r\n\r\n")),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0".to_owned()),
    ] {
        // A client that closes its half has said all.
        let stream = connect(server.addr);
        let mut writer = stream.try_clone().unwrap();
        drop(writer.write_all(bytes.as_bytes()));
        drop(stream.shutdown(std::net::Shutdown::Write));
        let answer = read_lenient(stream);
        assert!(answer.is_empty() || (400..500).contains(&status(&answer)), "{what}: {answer}");
        assert!(answer.matches("HTTP/1.1 ").count() < 2, "{what}: {answer}");
    }
    good(&server).await;
    assert_eq!(truth.totals().billed, billed + 1, "nothing of it went to the provider");
    returns_to(&server, before);
    assert!(peak(&server) < memory + 60_000, "{memory} KiB grew to {}", peak(&server));
    assert_eq!(server.settled("roomy").spent, truth.bill().get());
    assert!(!server.stop().contains("panic"));
}

/// What comes until the other side ends the connection, in order or not.
fn read_lenient(mut stream: TcpStream) -> String {
    let mut back = Vec::new();
    let _ended = stream.read_to_end(&mut back);
    String::from_utf8_lossy(&back).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_means_harm_harms_no_other_call() {
    let (truth, hostile) = (truth().await, HostileProvider::start().await.unwrap());
    let settings = "drain_max = \"300ms\"\nstream_idle_max = \"1s\"\n";
    let provider = format!(
        "[[provider]]\nname = \"hostile\"\ndialects = [\"anthropic\", \"openai-chat\"]\n\
         base_url = \"http://{}\"\nmodels = [\"hostile-*\"]\nfree = true\n",
        hostile.addr()
    );
    let world = world(&truth, settings, &format!("{provider}{ROOMY}"));
    let server = world.serve();
    good(&server).await;
    let (before, memory) = (descriptors(&server), peak(&server));
    for misdeed in MISDEEDS {
        for stream in [true, false] {
            let mut call: serde_json::Value =
                serde_json::from_str(&messages(&format!("hostile-{misdeed}"), 20, "Hello")).unwrap();
            call["stream"] = stream.into();
            let body = call.to_string();
            for path in ["/v1/messages", "/v1/chat/completions"] {
                // Nobody waits for what has no end.
                let patience = Patience::Bytes(100_000);
                let call = Post { path, headers: &[], body: body.as_bytes(), patience };
                let a_moment = std::time::Duration::from_secs(1);
                let harmed = tokio::time::timeout(a_moment, call.send(server.addr));
                let (answer, ()) = tokio::join!(harmed, good(&server));
                if let Ok(Ok(answer)) = answer {
                    assert!(matches!(answer.status, 200 | 400..=504), "{misdeed} {stream} {path}: {}", answer.status);
                }
            }
        }
    }
    good(&server).await;
    returns_to(&server, before + 4);
    // A bomb is 320 MiB, and what is unpacked is kept nowhere.
    assert!(peak(&server) < memory + 250_000, "{memory} KiB grew to {}", peak(&server));
    assert_eq!(server.settled("roomy").spent, truth.bill().get());
    assert!(!server.stop().contains("panic"));
}
