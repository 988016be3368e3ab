//! Providers over TLS, straight and through a proxy: who is trusted, who is not, and that nothing is sent to whoever
//! cannot prove who they are.

use almoner_testkit::{Answer, Authority, TlsDoor, TruthProvider, TunnelProxy, Validity};
use serde_json::json;

use crate::canary::collector;
use crate::provider::{chat, direct, messages, messages_stream, truth, world_of};
use crate::server::Server;
use crate::world::{Said, World};

const ROOMY: &str = "[[budget]]\nname = \"roomy\"\nlimit = \"$100\"\n";
/// A name that nobody has: only the proxy of a test knows the way.
const NAME: &str = "provider.test";
/// Where a provider of that name is.
const URL: &str = "https://provider.test";

/// A provider behind TLS, under this name.
async fn behind_tls(authority: &Authority, name: &str, validity: Validity) -> (TruthProvider, TlsDoor) {
    let truth = truth().await;
    let door = TlsDoor::open(authority, &[name], validity, truth.addr()).await.unwrap();
    (truth, door)
}

/// A server of this world that trusts this authority and no other, with these variables beside.
fn trusting(world: &World, authority: &Authority, environment: &[(&str, &str)]) -> Server {
    let file = world.path("authority.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    world.serve_in(&[environment, &[("SSL_CERT_FILE", file.to_str().unwrap())]].concat())
}

/// A world whose provider is at this door.
fn world_behind(door: &TlsDoor) -> World {
    world_of(&format!("https://{}", door.addr()), "", ROOMY)
}

/// A call that got nowhere: the provider is not to blame for more than that, nothing was sent, and nothing is charged.
#[track_caller]
fn check_unsent(server: &Server, truth: &TruthProvider, answer: &Answer, words: &[&str]) {
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_eq!(answer.json()["error"]["almoner"]["code"], "unreachable", "{}", answer.text());
    for word in words {
        assert!(answer.text().contains(word), "`{word}` is not in {}", answer.text());
    }
    let limit = server.settled("roomy");
    assert_eq!((limit.spent, limit.assumed, limit.held), (0, 0, 0));
    assert_eq!(server.explain(answer, true).record["ended"]["outcome"], "released");
    let totals = truth.totals();
    assert_eq!((totals.billed, totals.unbilled, totals.strays), (0, 0, 0), "nothing reached the provider");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn calls_over_tls_pass_byte_for_byte_and_are_settled() {
    let authority = Authority::new("known").unwrap();
    let (truth, door) = behind_tls(&authority, "127.0.0.1", Validity::Good).await;
    let world = world_behind(&door);
    let server = trusting(&world, &authority, &[]);
    let asks_usage = json!({ "stream": true, "stream_options": { "include_usage": true } });
    let mut owed = 0;
    for (path, body) in [
        ("/v1/messages", messages("truth-1", 200, "Hello")),
        ("/v1/messages", messages_stream("truth-1", 200, "Hello")),
        ("/v1/chat/completions", chat("truth-1", 200, "Hello", &json!({}))),
        ("/v1/chat/completions", chat("truth-1", 200, "Hello", &asks_usage)),
    ] {
        let knobs = [("x-truth-chunk-bytes", "13")];
        let before = truth.bill().get();
        let straight = direct(&truth, path, &knobs, &body).await;
        let answer = server.post(path, &knobs, &body).await;
        assert_eq!((answer.status, &answer.body), (straight.status, &straight.body), "{path}");
        assert!(answer.complete, "{path}");
        // Both were billed alike, and one of them was ours.
        owed += (truth.bill().get() - before) / 2;
    }
    let limit = server.settled("roomy");
    assert_eq!((limit.spent, limit.assumed), (owed, 0));
    // One connection was enough for all, and nobody spoke of the protocol that packs requests anew.
    assert_eq!(door.agreed(), [None]);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_over_tls_that_breaks_off_is_not_told_as_whole_and_stays_charged() {
    let authority = Authority::new("known").unwrap();
    let (truth, door) = behind_tls(&authority, "127.0.0.1", Validity::Good).await;
    let world = world_behind(&door);
    let server = trusting(&world, &authority, &[]);
    let cut = [("x-truth-cut", "200")];
    let answer = server.post("/v1/messages", &cut, &messages_stream("truth-1", 200, "Hello")).await;
    assert!(!answer.complete && !answer.text().contains("message_stop"), "{}", answer.text());
    let limit = server.settled("roomy");
    assert!(limit.spent + limit.assumed >= truth.bill().get(), "{limit:?}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_provider_that_cannot_prove_who_it_is_gets_nothing() {
    let (known, stranger) = (Authority::new("known").unwrap(), Authority::new("stranger").unwrap());
    let table: [(&Authority, &str, Validity, &[&str]); 3] = [
        (&stranger, "127.0.0.1", Validity::Good, &["UnknownIssuer", "SSL_CERT_FILE"]),
        (&known, "127.0.0.1", Validity::Expired, &["expired"]),
        (&known, "elsewhere.test", Validity::Good, &["elsewhere.test", "not valid for name"]),
    ];
    for (signer, name, validity, words) in table {
        let (truth, door) = behind_tls(signer, name, validity).await;
        let world = world_behind(&door);
        let server = trusting(&world, &known, &[]);
        let answer = server.post("/v1/messages", &[], &messages("truth-1", 200, "Hello")).await;
        check_unsent(&server, &truth, &answer, words);
        let answer = server.post("/v1/chat/completions", &[], &chat("truth-1", 200, "Hello", &json!({}))).await;
        check_unsent(&server, &truth, &answer, words);
        server.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_provider_without_tls_where_the_config_asks_for_it_gets_nothing() {
    let authority = Authority::new("known").unwrap();
    let truth = truth().await;
    let world = world_of(&format!("https://{}", truth.addr()), "", ROOMY);
    let server = trusting(&world, &authority, &[]);
    let answer = server.post("/v1/messages", &[], &messages("truth-1", 200, "Hello")).await;
    check_unsent(&server, &truth, &answer, &["could not connect"]);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn calls_pass_through_the_proxy_that_the_environment_names() {
    let authority = Authority::new("known").unwrap();
    for (authorization, user) in [(None, ""), (Some("Basic YWxpY2U6b3BlbiBzZXNhbWU="), "alice:open%20sesame@")] {
        let (truth, door) = behind_tls(&authority, NAME, Validity::Good).await;
        let proxy = TunnelProxy::start(door.addr(), authorization).await.unwrap();
        let world = world_of(URL, "", ROOMY);
        let server = trusting(&world, &authority, &[("HTTPS_PROXY", &format!("http://{user}{}", proxy.addr()))]);
        let body = messages_stream("truth-1", 200, "Hello");
        let straight = direct(&truth, "/v1/messages", &[], &body).await;
        let answer = server.post("/v1/messages", &[], &body).await;
        assert_eq!((answer.status, &answer.body), (200, &straight.body), "{}", answer.text());
        assert_eq!(server.settled("roomy").spent, truth.bill().get() / 2);
        // The proxy is told where to, and nothing else; the rest it cannot read.
        assert_eq!(proxy.asked(), ["CONNECT provider.test:443 HTTP/1.1"]);
        let log = server.stop();
        assert!(!log.contains("sesame"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_proxy_that_lets_nobody_through_is_named_and_nothing_is_charged() {
    let authority = Authority::new("known").unwrap();
    for user in ["", "mallory:guess@"] {
        let (truth, door) = behind_tls(&authority, NAME, Validity::Good).await;
        let proxy = TunnelProxy::start(door.addr(), Some("Basic YWxpY2U6b3BlbiBzZXNhbWU=")).await.unwrap();
        let world = world_of(URL, "", ROOMY);
        let server = trusting(&world, &authority, &[("HTTPS_PROXY", &format!("http://{user}{}", proxy.addr()))]);
        let answer = server.post("/v1/messages", &[], &messages("truth-1", 200, "Hello")).await;
        check_unsent(&server, &truth, &answer, &[NAME, "proxy"]);
        assert!(!answer.text().contains("guess"), "{}", answer.text());
        assert_eq!(proxy.asked(), ["CONNECT provider.test:443 HTTP/1.1"], "it is asked once");
        server.stop();
    }
    // So is one that is not there.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let truth = truth().await;
    let world = world_of(URL, "", ROOMY);
    let server = trusting(&world, &authority, &[("HTTPS_PROXY", &format!("http://{gone}"))]);
    let answer = server.post("/v1/messages", &[], &messages("truth-1", 200, "Hello")).await;
    check_unsent(&server, &truth, &answer, &[NAME, "proxy"]);
    server.stop();
}

/// A server does not start with this in its environment, and says these words.
#[track_caller]
fn check_no_start(variable: &str, value: &str, words: &[&str]) {
    let world = world_of(URL, "", ROOMY);
    std::fs::write(world.path("empty.pem"), "").unwrap();
    let mut command = world.command(&["serve"]);
    command.env(variable, value);
    let said = Said::by(command);
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    for word in words {
        assert!(said.err.contains(word), "`{word}` is not in {}", said.err);
    }
    assert!(!said.err.contains("sesame"), "{}", said.err);
}

#[test]
fn a_server_that_could_trust_nobody_or_speak_to_no_proxy_does_not_start() {
    check_no_start("SSL_CERT_FILE", "empty.pem", &["certificates", "SSL_CERT_FILE"]);
    check_no_start("HTTPS_PROXY", "https://alice:sesame@127.0.0.1:1", &["HTTPS_PROXY", "https://"]);
    check_no_start("HTTPS_PROXY", "socks5://alice:sesame@127.0.0.1:1", &["HTTPS_PROXY", "socks5"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn spans_go_over_tls_to_a_collector_that_proves_who_it_is_and_to_no_other() {
    let (known, stranger) = (Authority::new("known").unwrap(), Authority::new("stranger").unwrap());
    for (trusted, is_told) in [(&known, true), (&stranger, false)] {
        let (inside, traces) = collector();
        let door = TlsDoor::open(&known, &["127.0.0.1"], Validity::Good, inside).await.unwrap();
        let world = World::new("");
        let url = format!("https://{}", door.addr());
        let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20canary-otlp");
        let server = trusting(&world, trusted, &[("ALMONER_OTLP", &url), headers]);
        assert_eq!(server.post("/v1/messages", &[], &messages("rehearsal", 20, "Hello")).await.status, 200);
        // What has not been sent yet is sent as it ends.
        server.stop();
        let spans: String = traces.try_iter().collect();
        assert_eq!(spans.contains("\"name\":\"chat rehearsal\""), is_told, "{spans}");
    }
}
