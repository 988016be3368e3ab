//! What people and programs are told, and streams that are cut or filtered at any byte.

use almoner_ledger::{Refusal, RefusalReason};
use almoner_meter::Framing;
use almoner_units::{Level, Priority, Timestamp};
use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;

fn refusal(reason: RefusalReason) -> Refusal {
    Refusal {
        account: almoner_units::AccountKey {
            budget: "team".parse().unwrap(),
            per: vec![("session".parse().unwrap(), "ünicode\u{2028}".parse().unwrap())],
        },
        limit: "$1 / day".parse().unwrap(),
        spent: 800_000_000,
        assumed: 50_000_000,
        held: 30_000_000,
        asked: 400_000_000,
        level: Level::Soft,
        priority: Priority::Normal,
        reason,
        changes_at: Some(Timestamp::from_ms(1_764_028_800_000)),
    }
}

fn plain(reason: RefusalReason) -> Box<Refusal> {
    let mut refusal = refusal(reason);
    refusal.account.per.clear();
    Box::new(refusal)
}

fn no_money() -> Answer {
    Answer::NoMoney(plain(RefusalReason::Exhausted))
}

#[track_caller]
fn says(answer: &Answer, expected: &str) {
    assert_eq!(answer.message(), expected);
}

/// Status, retry headers and error words of an answer, in one line.
#[track_caller]
fn check(answer: &Answer, dialect: Dialect, expected: &str) {
    let response = answer.respond(dialect, None);
    let header =
        |name: &str| response.headers().get(name).map_or("-".to_owned(), |value| value.to_str().unwrap().to_owned());
    let body: Json = serde_json::from_slice(&form::body(answer, dialect)).unwrap();
    let error = &body["error"];
    let message = error.as_str().or(error["message"].as_str()).unwrap();
    let almoner = if dialect == Dialect::Ollama { &body["almoner"] } else { &error["almoner"] };
    let words = match dialect {
        Dialect::Anthropic => format!("{} {}", body["type"].as_str().unwrap(), error["type"].as_str().unwrap()),
        Dialect::Ollama => error.as_str().map(|_| "-".to_owned()).unwrap(),
        Dialect::Gemini => format!("{} {}", error["status"].as_str().unwrap(), error["code"]),
        Dialect::Chat | Dialect::Responses => {
            format!("{} {}", error["type"].as_str().unwrap(), error["code"].as_str().unwrap())
        }
    };
    let got = format!(
        "{} {words} retry={} after={} fault={}",
        response.status().as_u16(),
        header("x-should-retry"),
        header("retry-after"),
        almoner["whose_fault"].as_str().unwrap()
    );
    assert_eq!(got, expected);
    assert!(message.starts_with("Almoner: "));
    assert_eq!(header("content-type"), "application/json");
}

#[test]
fn each_answer_has_the_form_that_ends_or_slows_its_client() {
    use Dialect::{Anthropic, Chat, Gemini, Ollama};
    let after = Span::from_ms(1500);
    let slow = Answer::SlowDown { refusal: Some(plain(RefusalReason::Held)), after };
    let policy = Answer::Policy { code: "price_missing", message: "no price".to_owned() };
    let bad = Answer::BadBody(BadBody::NotAnObject);
    let closed = Answer::LedgerClosed { why: "the disk is full".to_owned(), after };
    check(&no_money(), Anthropic, "402 error billing_error retry=false after=- fault=client");
    check(&no_money(), Chat, "402 insufficient_quota insufficient_quota retry=false after=- fault=client");
    check(&no_money(), Gemini, "402 FAILED_PRECONDITION 402 retry=false after=- fault=client");
    check(&no_money(), Ollama, "402 - retry=false after=- fault=client");
    check(&slow, Ollama, "429 - retry=- after=2 fault=client");
    check(&slow, Gemini, "429 RESOURCE_EXHAUSTED 429 retry=- after=2 fault=client");
    check(&policy, Gemini, "403 PERMISSION_DENIED 403 retry=false after=- fault=client");
    check(&bad, Gemini, "400 INVALID_ARGUMENT 400 retry=false after=- fault=client");
    check(&closed, Gemini, "503 UNAVAILABLE 503 retry=- after=2 fault=almoner");
    check(&slow, Anthropic, "429 error rate_limit_error retry=- after=2 fault=client");
    check(&slow, Chat, "429 rate_limit_exceeded rate_limit_exceeded retry=- after=2 fault=client");
    check(&policy, Anthropic, "403 error permission_error retry=false after=- fault=client");
    check(&policy, Chat, "403 permission_error price_missing retry=false after=- fault=client");
    check(&bad, Anthropic, "400 error invalid_request_error retry=false after=- fault=client");
    check(&bad, Chat, "400 invalid_request_error bad_body retry=false after=- fault=client");
    check(&closed, Anthropic, "503 error api_error retry=- after=2 fault=almoner");
    let key = Answer::Unauthorized("no key".to_owned());
    check(&key, Anthropic, "401 error authentication_error retry=- after=- fault=client");
    check(&key, Chat, "401 authentication_error invalid_api_key retry=- after=- fault=client");
    let none = Answer::NotFound(NoRoute::Unmetered("files"));
    check(&none, Chat, "404 invalid_request_error not_found retry=false after=- fault=client");
    let large = Answer::TooLarge { bytes_max: 1 };
    check(&large, Anthropic, "413 error request_too_large retry=false after=- fault=client");
    let stopping = Answer::Stopping { after: Span::from_secs(1) };
    check(&stopping, Anthropic, "503 error api_error retry=- after=1 fault=almoner");
    check(&stopping, Chat, "503 api_error stopping retry=- after=1 fault=almoner");
    let crowded = Answer::Crowded { after: Span::from_secs(1) };
    check(&crowded, Anthropic, "503 error api_error retry=- after=1 fault=almoner");
    check(&crowded, Chat, "503 api_error crowded retry=- after=1 fault=almoner");
    let slow = Answer::TooSlow { within: Span::from_secs(30) };
    check(&slow, Anthropic, "408 error timeout_error retry=- after=- fault=client");
    check(&slow, Chat, "408 invalid_request_error too_slow retry=- after=- fault=client");
    let broken = Answer::BrokeOff("unexpected end of file".to_owned());
    check(&broken, Anthropic, "400 error invalid_request_error retry=- after=- fault=client");
    check(&broken, Chat, "400 invalid_request_error broke_off retry=- after=- fault=client");
    let gone = Answer::Unreachable("refused".to_owned());
    check(&gone, Anthropic, "502 error api_error retry=- after=- fault=provider");
    let stopped = Answer::Stopped("its budget is spent".to_owned());
    check(&stopped, Anthropic, "402 error billing_error retry=false after=- fault=client");
    let late = Answer::TimedOut("60s".to_owned());
    check(&late, Chat, "504 api_error timed_out retry=- after=- fault=provider");
}

#[test]
fn each_refusal_of_responses_ends_codex_at_once_and_shows_why() {
    use Dialect::Responses;
    check(&no_money(), Responses, "429 usage_limit_reached insufficient_quota retry=false after=- fault=client");
    let policy = Answer::Policy { code: "price_missing", message: "no price".to_owned() };
    check(&policy, Responses, "400 invalid_request_error price_missing retry=false after=- fault=client");
    let slow = Answer::SlowDown { refusal: Some(plain(RefusalReason::Held)), after: Span::from_secs(2) };
    check(&slow, Responses, "429 rate_limit_exceeded rate_limit_exceeded retry=- after=2 fault=client");
    let socket = Answer::NotFound(NoRoute::Socket);
    check(&socket, Responses, "426 invalid_request_error not_found retry=false after=- fault=client");
    let body: Json = serde_json::from_slice(&form::body(&no_money(), Responses)).unwrap();
    assert_eq!(body["error"]["resets_at"], 1_764_028_800);
    let shown = |answer: &Answer, dialect| {
        let response = answer.respond(dialect, None);
        response.headers().get("x-codex-promo-message").map(|value| value.to_str().unwrap().to_owned())
    };
    assert!(shown(&no_money(), Responses).unwrap().starts_with("Almoner: budget `team` has $0.12 left of $1.00 / day"));
    assert_eq!((shown(&policy, Responses), shown(&no_money(), Dialect::Chat)), (None, None));
    let odd = Answer::Stopped("bob's bu\u{fc}dget is spent\r\n 100%".to_owned());
    assert!(shown(&odd, Responses).unwrap().contains("bob's budget is spent"));
}

#[test]
fn a_response_that_is_cut_has_failed_for_good() {
    let opened = "event: response.created\ndata: {}\n\n";
    let end =
        cut(&so_far(Dialect::Responses, opened), &Answer::Policy { code: "cut_running", message: "x".to_owned() });
    let end = std::str::from_utf8(&end).unwrap();
    let data = end.strip_prefix("event: response.failed\ndata: ").unwrap();
    let event: Json = serde_json::from_str(data.trim_end()).unwrap();
    assert_eq!((&event["type"], &event["response"]["status"]), (&"response.failed".into(), &"failed".into()));
    assert_eq!(event["response"]["error"]["code"], "insufficient_quota");
    assert_eq!(event["response"]["error"]["almoner"]["code"], "cut_running");
}

#[test]
fn the_sentence_has_the_numbers_and_what_to_do() {
    says(
        &no_money(),
        "Almoner: budget `team` has $0.12 left of $1.00 / day, this call may cost $0.40; \
         it refills at 2025-11-25T00:00:00Z. Raise it with `almoner budgets set team '$2.00 / day'`, or let a local \
         model go on (`when_exhausted` in the config).",
    );
    says(
        &Answer::NoMoney(plain(RefusalReason::TooLarge)),
        "Almoner: this call may cost $0.40, more than the whole of budget `team`, $1.00 / day; \
         it refills at 2025-11-25T00:00:00Z. Send less, ask for less output, or raise it with \
         `almoner budgets set team '$2.00 / day'`.",
    );
    says(
        &Answer::NoMoney(plain(RefusalReason::Level)),
        "Almoner: budget `team` is at level soft with $0.12 left of $1.00 / day, where calls of priority normal do \
         not pass; it refills at 2025-11-25T00:00:00Z. Send it with a higher priority (header \
         `x-almoner-priority: high`), wait, let a local model go on (`when_exhausted` in the config), or raise it with \
         `almoner budgets set team '$2.00 / day'`.",
    );
    says(
        &Answer::SlowDown { refusal: Some(plain(RefusalReason::Held)), after: Span::from_secs(2) },
        "Almoner: budget `team` has $0.12 left of $1.00 / day, this call may cost $0.40, while calls in flight hold \
         $0.03; try again in 2s",
    );
    // As the header for programs says it: in whole seconds, and never too early.
    let waits = |ms| Answer::SlowDown { refusal: None, after: Span::from_ms(ms) };
    says(&waits(61_242), "Almoner: too many calls are waiting for their turn; try again in 1m2s");
    says(&waits(0), "Almoner: too many calls are waiting for their turn; try again in 1s");
    says(
        &Answer::CutShort { refusal: plain(RefusalReason::Exhausted), cap: 4096 },
        "Almoner: two answers in a row were cut short by budget `team`, which has $0.12 left of $1.00 / day and would \
         allow this one 4096 tokens; it would be paid for nothing. Raise it with `almoner budgets set team '$2.00 / day'`, \
         or let a local model go on (`when_exhausted` in the config).",
    );
    let mut lifetime = plain(RefusalReason::Exhausted);
    lifetime.limit = "100k tokens".parse().unwrap();
    (lifetime.spent, lifetime.assumed, lifetime.held, lifetime.asked) = (99_000, 0, 0, 300_000);
    lifetime.changes_at = None;
    lifetime.account.budget = "bob's $".parse().unwrap();
    says(
        &Answer::NoMoney(lifetime),
        "Almoner: budget `bob's $` has 1000 tokens left of 100k tokens / lifetime, this call may cost 300000 tokens; \
         it does not refill. Raise it with `almoner budgets set 'bob'\\''s $' '600k tokens / lifetime'`, or let a local \
         model go on (`when_exhausted` in the config).",
    );
}

#[test]
fn programs_get_the_same_facts() {
    for dialect in Dialect::ALL {
        let body: Json = serde_json::from_slice(&form::body(&no_money(), dialect)).unwrap();
        let facts = if dialect == Dialect::Ollama { &body["almoner"] } else { &body["error"]["almoner"] };
        let mut expected = serde_json::json!({
            "code": "no_money", "whose_fault": "client", "budget": "team", "account": "team", "meter": "usd",
            "unit": "nano_usd", "limit": 1_000_000_000, "window": "day", "spent": 800_000_000,
            "assumed": 50_000_000, "held": 30_000_000, "left": 120_000_000, "asked": 400_000_000, "level": "soft",
            "priority": "normal", "reason": "exhausted", "resets_at": "2025-11-25T00:00:00Z",
            "suggestion": "Raise it with `almoner budgets set team '$2.00 / day'`, or let a local model go on \
                           (`when_exhausted` in the config).",
        });
        if dialect == Dialect::Chat {
            expected = digits::texts(expected);
        }
        assert_eq!(*facts, expected);
    }
}

proptest! {
    /// What opencode looks for, in the text of an error and in its body, to ask again.
    #[test]
    fn no_end_of_the_money_of_chat_reads_like_a_status(
        amounts in prop::array::uniform5(prop_oneof![
            0..2_000_u64,
            (0..1_000_u64).prop_map(|some| some * 1_000_000_000),
            any::<u64>(),
        ]),
        name in "[a-c0-9-]{1,12}",
        reason in prop::sample::select(vec![RefusalReason::Exhausted, RefusalReason::TooLarge, RefusalReason::Level]),
        is_in_tokens: bool,
    ) {
        let mut refused = refusal(reason);
        let [limit, spent, assumed, held, asked] = amounts;
        refused.limit = if is_in_tokens { "1 tokens / day" } else { "$1 / month" }.parse().unwrap();
        (refused.limit.amount, refused.spent, refused.assumed) = (limit.max(1), spent / 4, assumed / 4);
        (refused.held, refused.asked) = (held / 4, asked);
        refused.account.per = vec![("session".parse().unwrap(), name.parse().unwrap())];
        let refused = Box::new(refused);
        for answer in [Answer::NoMoney(refused.clone()), Answer::CutShort { refusal: refused, cap: limit }] {
            let body = form::body(&answer, Dialect::Chat);
            let end = cut(&so_far(Dialect::Chat, "data: {}\n\n"), &answer);
            let read: Json = serde_json::from_slice(&body).unwrap();
            let [body, end] = [&body, &end].map(|bytes| std::str::from_utf8(bytes).unwrap());
            for text in [body, end, read["error"]["message"].as_str().unwrap()] {
                let taken = ["429", "500", "502", "503", "504", "524"].iter().find(|status| text.contains(**status));
                prop_assert_eq!(taken, None, "{}", text);
            }
            let facts = &read["error"]["almoner"];
            prop_assert_eq!(&facts["asked"], &asked.to_string());
            prop_assert_eq!(&facts["account"], &answer.refusal().unwrap().account.to_string());
        }
    }
}

#[test]
fn no_name_can_break_a_header_or_a_terminal() {
    let answer = Answer::NoMoney(Box::new(refusal(RefusalReason::Exhausted)));
    let response = answer.respond(Dialect::Chat, Some(CallId::from_bits(7)));
    let budget = response.headers()["x-almoner-budget"].to_str().unwrap();
    assert_eq!(budget, "team [session=%C3%BCnicode%E2%80%A8]");
    assert_eq!(response.headers()["x-almoner-left"], "$0.12");
    assert_eq!(response.headers()["x-almoner-limit"], "$1.00 / day");
    assert_eq!(response.headers()["x-almoner-resets-at"], "2025-11-25T00:00:00Z");
    assert_eq!(response.headers()["x-almoner-call"], "00000000-0000-0000-0000-000000000007");
    let odd = Answer::Policy { code: "unknown_member", message: "no\r\nx-evil: 1\u{1b}[2J\u{9b}".to_owned() };
    assert_eq!(odd.message(), "Almoner: no  x-evil: 1 [2J ");
}

#[test]
fn an_admitted_call_is_told_in_headers() {
    let account = refusal(RefusalReason::Held).account;
    let limit = "100k tokens / sliding 1h".parse().unwrap();
    let mut headers = hyper::HeaderMap::new();
    let told = Told {
        call: CallId::from_bits(7),
        level: Level::Warning,
        tightest: Some((&account, &limit, 25_000)),
        capped: Some((Some(128_000), 8192)),
        prices: "2026-11-23",
        unbounded: &["be\r\nta".to_owned(), "100%".to_owned()],
        dropped: &["fallbacks"],
        warnings: &["unknown header x-almoner-sesion".to_owned()],
    };
    tell(&mut headers, &told);
    assert_eq!(headers["x-almoner-level"], "warning");
    assert_eq!(headers["x-almoner-left"], "25000 tokens");
    assert_eq!(headers["x-almoner-limit"], "100k tokens / sliding 1h");
    assert_eq!(headers["x-almoner-cap"], "128000 -> 8192");
    assert_eq!(headers["x-almoner-prices"], "2026-11-23");
    assert_eq!(headers["x-almoner-unbounded"], "be%0D%0Ata, 100%25");
    assert_eq!(headers["x-almoner-dropped"], "fallbacks");
    assert_eq!(headers["x-almoner-warning"], "unknown header x-almoner-sesion");
}

fn so_far(dialect: Dialect, passed: &str) -> StreamSoFar {
    framed(dialect, Framing::Sse, passed)
}

fn framed(dialect: Dialect, framing: Framing, passed: &str) -> StreamSoFar {
    let mut so_far = StreamSoFar::new(dialect, framing);
    so_far.pass(passed.as_bytes());
    so_far
}

#[track_caller]
fn cuts(dialect: Dialect, passed: &str, start: &str) {
    let end = cut(&so_far(dialect, passed), &no_money());
    let end = std::str::from_utf8(&end).unwrap();
    let data = end.strip_prefix(start).unwrap_or_else(|| panic!("{passed:?} ends in {end:?}"));
    let error: Json = serde_json::from_str(data.trim_end()).unwrap();
    assert!(error["error"]["message"].as_str().unwrap().starts_with("Almoner: budget"));
    assert!(data.ends_with("\n\n") && data.trim_end().lines().count() == 1);
}

#[test]
fn a_cut_stream_ends_in_its_dialects_error() {
    use Dialect::{Anthropic, Chat};
    cuts(Anthropic, "", "event: error\ndata: ");
    cuts(Anthropic, "event: ping\ndata: {}\n\n", "event: error\ndata: ");
    cuts(Anthropic, "event: ping\r\ndata: {}\r\n\r", "event: error\ndata: ");
    cuts(Anthropic, "event: ping\ndata: {}\n", "\nevent: error\ndata: ");
    cuts(Anthropic, "event: ping\ndata: {", "\n\nevent: error\ndata: ");
    cuts(Chat, "data: {}\n\n", "data: ");
    cuts(Chat, "data: {\"choices\"", "\n\ndata: ");
}

#[test]
fn a_stream_that_is_over_is_not_cut() {
    for (dialect, ended) in [
        (Dialect::Anthropic, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"),
        (Dialect::Anthropic, "event:message_stop\r\ndata: {}\r\n\r\n"),
        (Dialect::Chat, "data: {}\n\ndata: [DONE]\n\n"),
        (Dialect::Responses, "event: response.completed\ndata: {}\n\n"),
        (Dialect::Responses, "event: response.incomplete\ndata: {}\n\n"),
    ] {
        assert_eq!(cut(&so_far(dialect, ended), &no_money()), Bytes::new());
        assert_ne!(cut(&so_far(dialect, &ended[..ended.len() - 4]), &no_money()), Bytes::new());
    }
}

#[test]
fn a_stream_of_lines_that_came_as_events_ends_in_an_event() {
    let end = cut(&framed(Dialect::Ollama, Framing::Sse, "data: {\"done\":false}\r\r"), &no_money());
    let end = std::str::from_utf8(&end).unwrap();
    let object: Json = serde_json::from_str(end.strip_prefix("data: ").unwrap()).unwrap();
    assert!(end.ends_with("}\n\n") && object["done"] == true, "{end}");
}

#[test]
fn ollamas_last_object_says_that_it_is_the_last() {
    let end = cut(&framed(Dialect::Ollama, Framing::Ndjson, "{\"done\":false}\n"), &no_money());
    let last: Json = serde_json::from_slice(&end).unwrap();
    assert!(end.ends_with(b"}\n") && last["error"].as_str().unwrap().starts_with("Almoner: "), "{last}");
    assert_eq!((&last["done"], &last["done_reason"]), (&true.into(), &"error".into()));
}

#[test]
fn gemini_is_told_when_to_come_back_in_googles_own_words() {
    let slow = Answer::SlowDown { refusal: None, after: Span::from_secs(5) };
    let body: Json = serde_json::from_slice(&form::body(&slow, Dialect::Gemini)).unwrap();
    let details = &body["error"]["details"];
    assert_eq!((&details[0]["reason"], &details[1]["retryDelay"]), (&"SLOW_DOWN".into(), &"5s".into()));
}

#[test]
fn a_stream_of_lines_ends_in_a_line_and_one_in_an_array_closes_it() {
    let ends = |framing, passed: &str| {
        let end = cut(&framed(Dialect::Chat, framing, passed), &no_money());
        let end = String::from_utf8(end.to_vec()).unwrap();
        let at = end.find(['d', '{']).unwrap_or(end.len());
        (end[..at].to_owned(), end[at..].to_owned())
    };
    for (passed, before) in [("", ""), ("{\"done\":false}\n", ""), ("{\"done\":true}", "\n"), ("{\"mess", "\n")] {
        assert_eq!(ends(Framing::Ndjson, passed).0, before, "{passed}");
    }
    let told = "{\"message\":{\"tool_calls\":[{\"done\":true}]},\"done\":false}\n";
    assert_ne!(ends(Framing::Ndjson, told).1, "", "only the object itself says that it is the last");
    for ended in ["{\"done\":true}\n", "{\"done\":false}\r\n{\"model\":\"m\",\"done\" : true}\r\n"] {
        assert_eq!(ends(Framing::Ndjson, ended), Default::default(), "{ended}");
    }
    for passed in ["", "[", "[{\"a\":\"}]\\\"\"}", "[{}\n,\n", "[{},{\"a\":[1]}\n"] {
        let (before, error) = ends(Framing::JsonArray, passed);
        let all: Vec<Json> = serde_json::from_str(&format!("{passed}{before}{error}")).unwrap();
        assert!(all.last().unwrap()["error"]["message"].is_string(), "{passed}");
    }
    assert!(serde_json::from_str::<Json>(&format!("[{{\"a\":{}", ends(Framing::JsonArray, "[{\"a\":").1)).is_err());
    assert_eq!(ends(Framing::JsonArray, "[{}]\n"), Default::default());
}

#[test]
fn the_open_object_can_be_passed_before_a_cut() {
    let array = |passed| framed(Dialect::Chat, Framing::JsonArray, passed);
    assert_eq!(array("[{\"a\":\"}").to_border(b"\"}\n,{"), 2);
    assert_eq!(array("[{}").to_border(b",{}]"), 0);
    assert_eq!(framed(Dialect::Chat, Framing::Ndjson, "{").to_border(b"}\n{"), 2);
}

#[test]
fn the_open_event_can_be_passed_before_a_cut() {
    assert_eq!(so_far(Dialect::Chat, "data: 1\n\n").to_border(b"data: 2\n\n"), 0);
    assert_eq!(so_far(Dialect::Chat, "data: 1").to_border(b"2\n\ndata: 3"), 3);
    assert_eq!(so_far(Dialect::Chat, "data: 1\n").to_border(b"\ndata: 3"), 1);
    assert_eq!(so_far(Dialect::Chat, "data: 1\r").to_border(b"\n\r\ndata: 3"), 2);
    assert_eq!(so_far(Dialect::Chat, "data: 1").to_border(b"23"), 2);
}

const CHUNK: &str = "data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"content\":\"hi\"}}],\"usage\":null}\n\n";
const TRICK: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"{\\\"choices\\\":[],\\\"usage\\\":{}}\"}}]}\n\n";
const FILTERED: &str = "data: {\"choices\":[],\"prompt_filter_results\":[{}]}\n\n";
const USAGE: &str = "data: {\"id\":\"c\",\"choices\": [ ],\"usage\":{\"prompt_tokens\":1}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// What passes of a stream that comes in these pieces.
fn filtered<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Vec<u8> {
    let mut filter = UsageFilter::new();
    let mut passed = Vec::new();
    for piece in pieces {
        passed.extend_from_slice(&filter.push(&Bytes::copy_from_slice(piece)));
    }
    passed.extend_from_slice(&filter.finish());
    passed
}

#[track_caller]
fn passes(stream: &str, expected: &str) {
    let stream = stream.as_bytes();
    for at in 0..=stream.len() {
        let passed = filtered([&stream[..at], &stream[at..]]);
        assert_eq!(String::from_utf8_lossy(&passed), expected, "cut at {at}");
    }
    assert_eq!(String::from_utf8_lossy(&filtered(stream.chunks(1))), expected, "byte by byte");
}

#[test]
fn only_the_usage_is_withheld_however_it_comes() {
    let rest = [CHUNK, TRICK, FILTERED].concat();
    passes(&[&rest, USAGE, DONE].concat(), &[&rest, DONE].concat());
    let crlf = |text: &str| text.replace('\n', "\r\n");
    passes(&crlf(&[CHUNK, USAGE, DONE].concat()), &crlf(&[CHUNK, DONE].concat()));
    let cr = |text: &str| text.replace('\n', "\r");
    passes(&cr(&[CHUNK, USAGE, DONE].concat()), &cr(&[CHUNK, DONE].concat()));
    passes(&[": ping\n\n", CHUNK, ": pong\n", USAGE, DONE].concat(), &[": ping\n\n", CHUNK, ": pong\n", DONE].concat());
    passes(&["id: 1\n", USAGE, "id: 2\n", DONE].concat(), &["id: 2\n", DONE].concat());
    passes(USAGE, "");
    passes(USAGE.trim_end(), "");
    passes("data: {\"choices\":[],\"usage\"", "data: {\"choices\":[],\"usage\"");
    passes("\n\nevent: x\ndata:\n\nnonsense", "\n\nevent: x\ndata:\n\nnonsense");
    passes("", "");
}

#[test]
fn nothing_else_is_held_back() {
    let mut filter = UsageFilter::new();
    assert_eq!(filter.push(&Bytes::from_static(CHUNK.as_bytes())), CHUNK);
    assert_eq!(filter.push(&Bytes::from_static(b": ping\n")), ": ping\n");
    assert_eq!(filter.push(&Bytes::from_static(b"\n")), "\n");
    // A choice has begun, so the rest of its event passes as it comes.
    assert_eq!(filter.push(&Bytes::from_static(b"data: {\"choices\":[{")), "data: {\"choices\":[{");
    assert_eq!(filter.push(&Bytes::from_static(b"\"delta\":")), "\"delta\":");
    assert_eq!(filter.push(&Bytes::from_static(b"{}}]}\n\n")), "{}}]}\n\n");
    assert_eq!(filter.push(&Bytes::from_static(b"data: [")), "data: [");
    assert_eq!(filter.push(&Bytes::from_static(b"DONE]\n\n")), "DONE]\n\n");
    // What it cannot judge within its bound passes too.
    let long = Bytes::from(format!("data: {{\"x\":\"{}", "y".repeat(20_000)));
    assert_eq!(filter.push(&long), long);
}

proptest! {
    #[test]
    fn every_stream_passes_whole_but_for_its_usage(
        events in prop::collection::vec(prop::sample::select(vec![CHUNK, TRICK, FILTERED, USAGE, DONE, ": c\n\n", "\n"]), 0..8),
        ends in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        cuts in prop::collection::vec(1..90_usize, 1..40),
    ) {
        let whole = events.concat().replace('\n', ends);
        let expected: String = events.iter().filter(|event| **event != USAGE).map(|event| event.replace('\n', ends)).collect();
        let mut pieces = Vec::new();
        let mut rest = whole.as_bytes();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, later) = rest.split_at(rest.len().min(*cut));
            pieces.push(piece);
            rest = later;
        }
        prop_assert_eq!(filtered(pieces), expected.into_bytes());
    }
}
