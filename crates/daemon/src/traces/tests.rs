//! Spans as a collector reads them, and collectors that are not there.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};

use almoner_config::Secret;
use almoner_gateway::{TraceParent, Verdict};
use almoner_units::{CallId, Charge, Labels, NanoUsd, Priority, Span, Timestamp, Usage};
use serde_json::json;

use super::*;

/// A collector that answers each request with this, and hands over its head and its body.
fn collector(answer: &'static str) -> (SocketAddr, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut heard = Vec::new();
            let mut byte = [0];
            while !heard.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                heard.push(byte[0]);
            }
            let head = String::from_utf8(heard).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut body).unwrap();
            drop(tell.send((head, serde_json::from_slice(&body).unwrap())));
            let length = answer.split_once("\r\n\r\n").unwrap().1.len();
            let answer = answer.replacen("\r\n", &format!("\r\nconnection: close\r\ncontent-length: {length}\r\n"), 1);
            drop(stream.write_all(answer.as_bytes()));
        }
    });
    (addr, told)
}

const TAKEN: &str = "HTTP/1.1 200 OK\r\n\r\n{}";

/// Settings that send traces there, in a folder of their own.
fn settings(dir: &tempfile::TempDir, url: String) -> Settings {
    let headers = vec![("x-token".to_owned(), Secret::new("of-the-collector").unwrap())];
    let traces = Destination { url, headers, service: "house".to_owned() };
    let mut settings = crate::tests::settings(dir);
    settings.traces = Some(traces);
    settings
}

fn report(verdict: Verdict, parent: Option<TraceParent>) -> Arc<Report> {
    Arc::new(Report {
        id: CallId::new(Timestamp::from_ms(1_795_500_000_000), [7; 10]),
        at: Timestamp::from_ms(1_795_500_000_001),
        route: "/v1/messages",
        dialect: almoner_gateway::dialect::Dialect::Anthropic,
        labels: Labels::new(),
        priority: Priority::Normal,
        provider: "anthropic".to_owned(),
        model: "claude-x".to_owned(),
        verdict,
        seen: Vec::new(),
        waited: Span::from_ms(3),
        paced: Vec::new(),
        bound: Vec::new(),
        ask: None,
        price_version: "1".to_owned(),
        unbounded: Vec::new(),
        warnings: Vec::new(),
        subscription: false,
        stop: None,
        said: None,
        parent,
    })
}

fn outcome() -> Outcome {
    let usage = Usage {
        input: Some(10),
        cache_read: Some(20),
        cache_write_5m: Some(5),
        cache_write_1h: Some(1),
        output: Some(7),
        reasoning: None,
    };
    let charge = Charge::of(&usage, NanoUsd::new(1_234));
    let model = Some("claude-x-20260901".to_owned());
    Outcome { status: 200, word: "settled", model, usage, charge, took: Span::from_ms(1_500), ..Outcome::default() }
}

/// Sends these and gives what came, in one request.
fn sent(calls: &[(Arc<Report>, Outcome)]) -> (String, Value) {
    let dir = tempfile::tempdir().unwrap();
    let (addr, told) = collector(TAKEN);
    let (traces, sending) =
        Traces::start(&settings(&dir, format!("http://{addr}/v1/traces")), CallLog::default()).unwrap();
    calls.iter().for_each(|(report, outcome)| traces.ended(report, outcome));
    sending.end();
    assert_eq!(traces.dropped(), 0);
    told.recv().unwrap()
}

/// A value as protobuf's JSON has it for these types: `I` is a whole number of 64 bits, which is a text.
#[track_caller]
fn is_of(value: &Value, kind: &str) {
    let text = || value.as_str().unwrap_or_else(|| panic!("{value} is no text"));
    let is_hex =
        |length| text().len() == length && text().bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    assert!(
        match kind {
            "trace id" => is_hex(32) && text().bytes().any(|byte| byte != b'0'),
            "span id" => is_hex(16) && text().bytes().any(|byte| byte != b'0'),
            "I" => text().parse::<i64>().is_ok(),
            "u32" => value.as_u64().is_some_and(|number| number <= u32::MAX.into()),
            "text" => !text().is_empty(),
            "bool" => value.is_boolean(),
            _ => unreachable!(),
        },
        "{value} is no {kind}"
    );
}

/// The members of a message, each of which is one that the message has.
#[track_caller]
fn members(value: &Value, known: &[(&str, &str)]) {
    for (name, value) in value.as_object().unwrap() {
        let (_, kind) = known.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no member {name}"));
        if !kind.is_empty() {
            is_of(value, kind);
        }
    }
}

#[track_caller]
fn check_attributes(attributes: &Value) {
    let mut names = std::collections::BTreeSet::new();
    for attribute in attributes.as_array().unwrap() {
        members(attribute, &[("key", "text"), ("value", "")]);
        assert_eq!(attribute["value"].as_object().unwrap().len(), 1, "{attribute}");
        members(&attribute["value"], &[("stringValue", "text"), ("intValue", "I"), ("boolValue", "bool")]);
        assert!(names.insert(attribute["key"].as_str().unwrap()), "{attribute} comes twice");
    }
}

/// The spans of a request that is as the published messages have it.
#[track_caller]
fn spans(request: &Value) -> Vec<Value> {
    members(request, &[("resourceSpans", "")]);
    let resource_spans = &request["resourceSpans"][0];
    members(resource_spans, &[("resource", ""), ("scopeSpans", "")]);
    members(&resource_spans["resource"], &[("attributes", "")]);
    check_attributes(&resource_spans["resource"]["attributes"]);
    let scope_spans = &resource_spans["scopeSpans"][0];
    members(scope_spans, &[("scope", ""), ("spans", "")]);
    members(&scope_spans["scope"], &[("name", "text"), ("version", "text")]);
    let spans = scope_spans["spans"].as_array().unwrap().clone();
    for span in &spans {
        let known = [
            ("traceId", "trace id"),
            ("spanId", "span id"),
            ("parentSpanId", "span id"),
            ("flags", "u32"),
            ("name", "text"),
            ("kind", "u32"),
            ("startTimeUnixNano", "I"),
            ("endTimeUnixNano", "I"),
            ("attributes", ""),
            ("status", ""),
        ];
        members(span, &known);
        members(&span["status"], &[("code", "u32")]);
        check_attributes(&span["attributes"]);
    }
    spans
}

fn attribute(span: &Value, key: &str) -> Value {
    let found = span["attributes"].as_array().unwrap().iter().find(|attribute| attribute["key"] == key);
    found.map_or(Value::Null, |attribute| attribute["value"].clone())
}

#[test]
fn a_call_is_a_span_by_the_published_format_and_names() {
    let (head, request) = sent(&[(report(Verdict::Unbudgeted, None), outcome())]);
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/json\r\n") && head.contains("x-token: of-the-collector\r\n"));
    let resource = &request["resourceSpans"][0]["resource"]["attributes"][0];
    assert_eq!(*resource, json!({ "key": "service.name", "value": { "stringValue": "house" } }));
    let spans = spans(&request);
    let [span] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((span["name"].as_str(), span["kind"].as_u64()), (Some("chat claude-x"), Some(3)));
    assert_eq!(span["startTimeUnixNano"], "1795500000001000000");
    assert_eq!(span["endTimeUnixNano"], "1795500001501000000");
    assert_eq!((&span["parentSpanId"], &span["status"]), (&Value::Null, &json!({})));
    let id = report(Verdict::Unbudgeted, None).id.to_string().replace('-', "");
    assert_eq!((span["traceId"].as_str(), span["spanId"].as_str()), (Some(id.as_str()), Some(&id[16..])));
    let texts = [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "anthropic"),
        ("gen_ai.request.model", "claude-x"),
        ("gen_ai.response.model", "claude-x-20260901"),
        ("server.address", "api.anthropic.com"),
        ("almoner.verdict", "unbudgeted"),
        ("almoner.outcome", "settled"),
    ];
    for (key, text) in texts {
        assert_eq!(attribute(span, key), json!({ "stringValue": text }), "{key}");
    }
    let numbers = [
        ("gen_ai.usage.input_tokens", 36),
        ("gen_ai.usage.cache_read.input_tokens", 20),
        ("gen_ai.usage.cache_creation.input_tokens", 6),
        ("gen_ai.usage.output_tokens", 7),
        ("http.response.status_code", 200),
        ("server.port", 443),
        ("almoner.charged_nano_usd", 1_234),
        ("almoner.waited_ms", 3),
    ];
    for (key, number) in numbers {
        assert_eq!(attribute(span, key), json!({ "intValue": number.to_string() }), "{key}");
    }
    assert_eq!(attribute(span, "error.type"), Value::Null);
    assert_eq!(attribute(span, "gen_ai.usage.reasoning.output_tokens"), Value::Null, "unknown is not 0");
}

#[test]
fn a_span_joins_the_trace_of_its_client_unless_that_keeps_none() {
    let parent = TraceParent { trace: 0xabc, span: 0xdef, is_sampled: true };
    let unkept = TraceParent { is_sampled: false, ..parent };
    let rejected = Verdict::Rejected("bad_body".to_owned());
    let failed = Outcome { status: 529, word: "released", ..Outcome::default() };
    let (_, request) = sent(&[
        (report(Verdict::Unbudgeted, Some(unkept)), outcome()),
        (report(rejected, Some(parent)), Outcome { status: 400, ..Outcome::default() }),
        (report(Verdict::Unbudgeted, None), failed),
    ]);
    let spans = spans(&request);
    let [child, failed] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(child["traceId"], format!("{:032x}", 0xabc));
    assert_eq!((child["parentSpanId"].as_str(), child["flags"].as_u64()), (Some("0000000000000def"), Some(0x301)));
    assert_eq!((&child["status"], &failed["status"]), (&json!({ "code": 2 }), &json!({ "code": 2 })));
    assert_eq!(attribute(child, "error.type"), json!({ "stringValue": "bad_body" }));
    assert_eq!(attribute(failed, "error.type"), json!({ "stringValue": "529" }));
}

#[test]
fn what_no_collector_takes_is_counted_and_nobody_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (refusing, _told) = collector("HTTP/1.1 503 Service Unavailable\r\n\r\n");
    let (picky, _told) = collector("HTTP/1.1 200 OK\r\n\r\n{\"partialSuccess\":{\"rejectedSpans\":\"3\"}}");
    let (call, outcome) = (report(Verdict::Unbudgeted, None), outcome());
    for (addr, calls, lost) in [(gone, 2 * QUEUE_MAX as u64, 2 * QUEUE_MAX as u64), (refusing, 10, 10), (picky, 10, 3)]
    {
        let (traces, sending) =
            Traces::start(&settings(&dir, format!("http://{addr}/v1/traces")), CallLog::default()).unwrap();
        (0..calls).for_each(|_| traces.ended(&call, &outcome));
        sending.end();
        assert_eq!(traces.dropped(), lost, "{addr}");
    }
}

#[tokio::test]
async fn a_collector_that_fails_is_told_of_once_and_once_more_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let (log, lines) = CallLog::queue(&crate::tests::settings(&dir));
    let (refusing, _told) = collector("HTTP/1.1 503 Service Unavailable\r\n\r\n");
    let (taking, _told) = collector(TAKEN);
    let mut exporter = Exporter {
        way: Way::to("http://127.0.0.1", Span::from_secs(5)).unwrap(),
        url: String::new(),
        headers: HeaderMap::new(),
        service: "almoner".to_owned(),
        dropped: Arc::default(),
        under_way: AtomicU64::default(),
        places: Arc::default(),
        log,
        fails: AtomicBool::default(),
    };
    let batch = [(report(Verdict::Unbudgeted, None), Box::new(outcome()))];
    for addr in [taking, refusing, refusing, taking, taking] {
        exporter.url = format!("http://{addr}/v1/traces");
        exporter.send(&batch).await;
    }
    let fails = format!(
        "warning: the collector at http://{refusing}/v1/traces takes no spans, and they are dropped: it answered 503; \
         calls go on as they did"
    );
    let back = format!("the collector at http://{taking}/v1/traces takes spans again");
    assert_eq!(lines.try_iter().collect::<Vec<_>>(), [fails, back]);
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_never_answers_is_left() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/traces", silent.local_addr().unwrap());
    let exporter = Exporter {
        way: Way::to(&url, Span::from_secs(3600)).unwrap(),
        url,
        headers: HeaderMap::new(),
        service: "almoner".to_owned(),
        dropped: Arc::default(),
        under_way: AtomicU64::default(),
        places: Arc::default(),
        log: CallLog::default(),
        fails: AtomicBool::default(),
    };
    let (queue, mut ended) = mpsc::channel(QUEUE_MAX);
    let call = || (report(Verdict::Unbudgeted, None), Box::new(outcome()));
    (0..BATCH_MAX + 1).for_each(|_| queue.try_send(call()).unwrap());
    let begin = Instant::now();
    exporter.send_rest(&mut ended).await;
    assert_eq!((begin.elapsed().as_secs(), exporter.dropped.load(Ordering::Relaxed)), (10, BATCH_MAX as u64 + 1));
    // A server that ends waits once for all of them.
    (0..QUEUE_MAX).for_each(|_| queue.try_send(call()).unwrap());
    let (dropped, begin) = (Arc::clone(&exporter.dropped), Instant::now());
    exporter.run(ended, watch::channel(true).1).await;
    assert_eq!(begin.elapsed().as_secs(), 5);
    assert_eq!(dropped.load(Ordering::Relaxed), (BATCH_MAX + 1 + QUEUE_MAX) as u64);
}

#[test]
fn without_a_collector_there_is_no_thread_and_nothing_to_count() {
    let dir = tempfile::tempdir().unwrap();
    let (traces, sending) = Traces::start(&crate::tests::settings(&dir), CallLog::default()).unwrap();
    assert!(traces.0.is_none() && sending.0.is_none());
    traces.ended(&report(Verdict::Unbudgeted, None), &outcome());
    assert_eq!(traces.dropped(), 0);
}
