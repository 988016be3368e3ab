//! Requests as clients send them and as strangers might, and what goes on to the provider.

use almoner_policy::{Price, Writes};
use almoner_units::PicoUsdPerToken;
use hyper::HeaderMap;
use hyper::body::Bytes;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

mod caps;
mod of_responses;
mod texts;
mod tools;
mod weights;

const ANTHROPIC: &Endpoint = &anthropic::MESSAGES;
const COUNT: &Endpoint = &anthropic::COUNT_TOKENS;
const CHAT: &Endpoint = &chat::COMPLETIONS;
const EMBEDDINGS: &Endpoint = &embeddings::EMBEDDINGS;
const TEXTS: &Endpoint = &completions::TEXTS;
const RESPONSES: &Endpoint = &responses::RESPONSES;

/// Reads a body that came by the endpoint's own path.
fn read(endpoint: &'static Endpoint, headers: &HeaderMap, body: &[u8]) -> Result<Call, BadBody> {
    super::read(endpoint, endpoint.path, headers, body)
}

/// What a new dialect is held to: its routes are its own, and what is refused near them is refused in its words.
#[test]
fn every_dialect_is_whole() {
    let mut paths = std::collections::BTreeSet::new();
    for dialect in Dialect::ALL {
        let tongue = dialect.tongue();
        assert!(!tongue.endpoints.is_empty() && tongue.no_money.is_client_error(), "{dialect:?}");
        for endpoint in tongue.endpoints {
            assert_eq!((endpoint.dialect, Dialect::of_path(endpoint.path)), (dialect, dialect), "{endpoint:?}");
            assert!(endpoint.path.starts_with('/') && paths.insert(endpoint.path), "{endpoint:?} stands twice");
        }
    }
}

fn with_betas(betas: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("anthropic-beta", betas.parse().unwrap());
    headers
}

#[track_caller]
fn call(endpoint: &'static Endpoint, body: &str) -> Call {
    read(endpoint, &HeaderMap::new(), body.as_bytes()).unwrap()
}

/// A request with a model and a message, and more.
fn ask(more: &str) -> String {
    format!("{{\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}]{more}}}")
}

#[track_caller]
fn refused(endpoint: &'static Endpoint, body: &str, expected: &str) {
    let error = read(endpoint, &HeaderMap::new(), body.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), expected, "{body}");
}

/// What of a body that ends in `more` goes on at a cap.
#[track_caller]
fn rewritten(endpoint: &'static Endpoint, more: &str, cap: u64, expected: &str) {
    let body = Bytes::from(ask(more));
    let sent = call(endpoint, &ask(more)).rewrite(&body, cap);
    assert_eq!(String::from_utf8_lossy(&sent), ask(expected), "{more} at {cap}");
}

#[test]
fn a_call_says_what_its_body_says() {
    let body = json!({
        "model": "claude-opus-5", "max_tokens": 128_000, "stream": true,
        "system": [{ "type": "text", "text": "Be brief.", "cache_control": { "type": "ephemeral", "ttl": "1h" } }],
        "messages": [
            { "role": "user", "content": "hi" },
            { "role": "system", "content": "Mind the time." },
            { "role": "assistant", "content": [{ "type": "text", "text": "ho" }] },
        ],
        "tools": [{ "name": "Read", "description": "Reads.", "input_schema": { "type": "object" } }],
        "metadata": { "user_id": "{\"device_id\":\"d\",\"session_id\":\"5e55\"}" },
        "thinking": { "type": "adaptive" }, "service_tier": "auto",
    });
    let call = call(ANTHROPIC, &body.to_string());
    assert_eq!((call.model.as_str(), call.stream, call.asked_output), ("claude-opus-5", true, Some(128_000)));
    assert_eq!(call.session.as_deref(), Some("5e55"));
    assert_eq!((call.shape.messages, call.shape.tools), (4, 1));
    assert_eq!(call.shape.writes, Writes::Hour);
    assert_eq!(call.shape.service_tier.as_deref(), Some("auto"));
    assert!(call.shape.unknown.is_empty() && call.shape.opaque.is_empty(), "{:?}", call.shape);
}

#[test]
fn a_session_is_found_in_both_of_its_forms() {
    let session = |user: &str| call(ANTHROPIC, &ask(&format!(",\"metadata\":{{\"user_id\":{user}}}"))).session;
    assert_eq!(session(r#""{\"session_id\":\"a\"}""#).as_deref(), Some("a"));
    assert_eq!(session(r#""user_ab_account__session_c-d""#).as_deref(), Some("c-d"));
    for none in [r#""someone""#, "null", "1", r#""{\"session_id\":1}""#, r#""x_session_""#] {
        assert_eq!(session(none), None, "{none}");
    }
}

#[test]
fn what_decides_the_price_must_be_readable() {
    for (more, expected) in [
        (",\"max_tokens\":1e5", "`max_tokens` must be a whole number, 0 or more, written in digits alone"),
        (",\"max_tokens\":-1", "`max_tokens` must be a whole number, 0 or more, written in digits alone"),
        (",\"max_tokens\":1.0", "`max_tokens` must be a whole number, 0 or more, written in digits alone"),
        (",\"max_tokens\":\"10\"", "`max_tokens` must be a whole number, 0 or more, written in digits alone"),
        (
            ",\"max_tokens\":99999999999999999999",
            "`max_tokens` must be a whole number, 0 or more, written in digits alone",
        ),
        (",\"stream\":\"true\"", "`stream` must be true or false"),
        (",\"tools\":{}", "`tools` must be an array"),
        (",\"service_tier\":1", "`service_tier` must be a text"),
        (",\"model\":\"x\"", "`model` stands twice in one object, the second time at byte 57; send it once"),
    ] {
        refused(ANTHROPIC, &ask(more), expected);
        refused(CHAT, &ask(more), expected);
    }
    refused(CHAT, &ask(",\"n\":0"), "`n` must be at least 1");
    refused(CHAT, &ask(",\"stream\":true,\"stream_options\":1"), "`stream_options` must be an object");
    refused(ANTHROPIC, &ask(",\"thinking\":true"), "`thinking` must be an object");
    refused(ANTHROPIC, r#"{"messages":[]}"#, "`model` must be the name of a model, 1 to 256 characters long");
    refused(ANTHROPIC, r#"{"model":"m"}"#, "`messages` must be an array");
    refused(ANTHROPIC, r#"{"model":"m","messages":[1]}"#, "`messages[]` must be an object");
}

#[test]
fn a_priced_member_stands_once_wherever_it_stands() {
    for body in [
        ask(r#","thinking":{"budget_tokens":1,"budget_tokens":9}"#),
        ask(r#","tools":[{"type":"web_search_20250305","max_uses":1,"max_uses":9}]"#),
        ask(r#","tools":[{"type":"custom","t\u0079pe":"web_search_20250305"}]"#),
        ask(r#","cache_control":{"ttl":"5m","ttl":"1h"}"#),
        ask(r#","context_management":{"edits":[],"edits":[{"type":"compact_20260112"}]}"#),
        r#"{"model":"m","messages":[{"content":"a","content":[]}]}"#.to_owned(),
        r#"{"model":"m","messages":[{"content":[{"type":"text","type":"image"}]}]}"#.to_owned(),
        r#"{"model":"m","messages":[{"content":[{"type":"image","source":{"type":"base64","type":"url"}}]}]}"#
            .to_owned(),
    ] {
        let error = read(ANTHROPIC, &HeaderMap::new(), body.as_bytes()).unwrap_err();
        assert!(matches!(error, BadBody::Duplicate { .. }), "{body}: {error}");
    }
    for body in [
        ask(r#","stream":true,"stream_options":{"include_usage":true,"include_usage":false}"#),
        ask(r#","prediction":{"type":"content","type":"x"}"#),
        r#"{"model":"m","messages":[{"content":[{"type":"image_url","image_url":{"url":"a","url":"b"}}]}]}"#.to_owned(),
    ] {
        let error = read(CHAT, &HeaderMap::new(), body.as_bytes()).unwrap_err();
        assert!(matches!(error, BadBody::Duplicate { .. }), "{body}: {error}");
    }
    // What the model reads and nobody prices is the client's own business.
    call(ANTHROPIC, &ask(r#","tools":[{"name":"t","input_schema":{"x":1,"x":2}}]"#));
}

#[test]
fn a_count_of_tokens_has_no_output() {
    let body = ask(r#","thinking":{"budget_tokens":4000},"tools":[{"type":"web_search_20250305","name":"w"}]"#);
    let call = call(COUNT, &body);
    assert_eq!((call.asked_output, call.shape.max_output), (Some(0), Some(0)));
    let body = Bytes::from(body);
    assert_eq!(call.rewrite(&body, 1), body);
}

#[test]
fn what_nobody_knows_passes_and_is_named() {
    let call = read(
        ANTHROPIC,
        &with_betas("claude-code-20250219, effort-2025-11-24,brand-new-2027-01-01"),
        ask(r#","turbo":true,"tur\nbo":1,"quiet":null,"speed":"warp""#).as_bytes(),
    );
    let call = call.unwrap();
    let named = ["turbo", "tur\\nbo", "speed", "beta brand-new-2027-01-01"];
    assert_eq!(call.shape.unknown, named);
    assert_eq!(call.refused_when_strict(), named);
    assert!(!call.is_countable() && self::call(ANTHROPIC, &ask("")).is_countable());
    let many: String = (0..1000).map(|at| format!(",\"u{at}\":1")).collect();
    assert_eq!(self::call(CHAT, &ask(&many)).shape.unknown.len(), 32);
}

#[test]
fn every_beta_that_claude_code_sends_is_known() {
    let betas = "claude-code-20250219,oauth-2025-04-20,context-1m-2025-08-07,interleaved-thinking-2025-05-14,\
        redact-thinking-2026-02-12,thinking-token-count-2026-05-13,context-management-2025-06-27,\
        prompt-caching-scope-2026-01-05,mid-conversation-system-2026-04-07,per-turn-control-2026-07-01,\
        advisor-tool-2026-03-01,advanced-tool-use-2025-11-20,effort-2025-11-24,extended-cache-ttl-2025-04-11,\
        cache-diagnosis-2026-04-07,afk-mode-2026-01-31,fast-mode-2026-02-01,token-efficient-tools-2026-03-28,\
        structured-outputs-2025-12-15,fallback-credit-2026-06-01,server-side-fallback-2026-07-01,timing-2026-09-09,\
        mid-conversation-tool-changes-2026-07-01,inline-tools-2026-09-15,mid-conversation-system-clear-at-2026-08-21,\
        dangerous-tool-use-2026-09-03,thinking-binding-controls-2026-08-01,thinking-resumption-2026-07-17,\
        prompt-caching-evict-2026-05-12,thinking-display-updates-2026-08-18,message-threads-2026-08-12";
    let call = read(ANTHROPIC, &with_betas(betas), ask("").as_bytes()).unwrap();
    assert_eq!(call.shape.unknown, Vec::<String>::new());
    assert!(call.shape.long_context);
}

#[test]
fn tiers_regions_and_writes_are_read() {
    let shape = |more: &str| call(ANTHROPIC, &ask(more)).shape;
    assert!(shape(r#","speed":"fast""#).fast && !shape(r#","speed":"standard""#).fast);
    assert_eq!(shape("").regional, None);
    assert_eq!(shape(r#","inference_geo":"us""#).regional, Some(true));
    assert_eq!(shape(r#","inference_geo":"global""#).regional, Some(false));
    assert_eq!(shape("").writes, Writes::None);
    assert_eq!(shape(r#","cache_control":{"type":"ephemeral"}"#).writes, Writes::FiveMinutes);
    assert_eq!(shape(r#","cache_control":{"ttl":"5m"}"#).writes, Writes::FiveMinutes);
    assert_eq!(shape(r#","cache_control":{"ttl":"1d"}"#).writes, Writes::Hour);
    assert_eq!(shape(r#","tools":[{"name":"t","cache_control":{"ttl":"1h"}}]"#).writes, Writes::Hour);
    let chat = call(CHAT, &ask(r#","n":3,"best_of":5,"service_tier":"priority","prompt_cache_retention":"24h""#)).shape;
    assert_eq!((chat.choices, chat.service_tier.as_deref(), chat.writes), (5, Some("priority"), Writes::FiveMinutes));
}

#[test]
fn recorded_requests_are_read_and_rewritten() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/recorded/exchanges");
    let Ok(files) = std::fs::read_dir(folder) else {
        println!("no recorded exchanges at {folder}: nothing checked");
        return;
    };
    let mut seen = 0;
    for file in
        files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|kind| kind == "json"))
    {
        let exchange: Json = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let endpoint = match (exchange["provider"].as_str(), exchange["kind"].as_str()) {
            (Some("anthropic"), Some("count_tokens")) => COUNT,
            (Some("anthropic"), _) => ANTHROPIC,
            (Some("openai-chat"), _) => CHAT,
            (Some("openai-responses"), _) => RESPONSES,
            (Some("openai-completions"), _) => TEXTS,
            (Some("openai-embeddings"), _) => EMBEDDINGS,
            _ => continue,
        };
        if exchange["request"].is_object() {
            seen += 1;
            goes_on(endpoint, &exchange["request"], &file.display().to_string());
        }
    }
    assert!(seen > 50, "{seen} requests");
}

/// Whether a request goes on with the cap in its one field, and all else as it was.
#[track_caller]
fn goes_on(endpoint: &'static Endpoint, request: &Json, name: &str) {
    let body = Bytes::from(request.to_string());
    let call = read(endpoint, &HeaderMap::new(), &body).unwrap_or_else(|error| panic!("{name}: {error}"));
    let sent: Json = serde_json::from_slice(&call.rewrite(&body, 777)).unwrap();
    let names = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
    let caps: Vec<u64> = names.iter().filter_map(|cap| sent[*cap].as_u64()).collect();
    match endpoint.asks {
        Asks::Count | Asks::Look => assert_eq!(&sent, request, "{name}"),
        Asks::Answer if endpoint == EMBEDDINGS => assert_eq!(&sent, request, "{name}"),
        Asks::Answer => assert!(caps.len() == 1 && caps[0] <= 777, "{name}: {caps:?}"),
    }
    let touched = [&names[..], &["stream_options", "thinking", "tools", "fallbacks"]].concat();
    for (member, value) in request.as_object().unwrap() {
        assert!(touched.contains(&member.as_str()) || sent[member] == *value, "{name}: {member}");
    }
}

/// Bodies made of members that matter, in any order and of any type.
fn body() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "max_tool_calls",
        "input",
        "background",
        "max\\u005ftokens",
        "n",
        "n_predict",
        "stream",
        "stream_options",
        "thinking",
        "tools",
        "system",
        "metadata",
        "cache_control",
        "fallbacks",
        "service_tier",
        "what",
    ]);
    let value = prop::sample::select(vec![
        "null",
        "0",
        "1",
        "4096",
        "99999",
        "1e5",
        "-1",
        "\"x\"",
        "true",
        "false",
        "[]",
        "{}",
        "{\"include_usage\":false}",
        "{\"type\":\"enabled\",\"budget_tokens\":5000}",
        "[{\"type\":\"web_search_20250305\"}]",
        "[{\"type\":\"web_search\"},{\"type\":\"function\"}]",
        "\"default\"",
        "[{\"type\":\"web_fetch_20250910\",\"max_uses\":null},{\"name\":\"x\"}]",
    ]);
    prop::collection::vec((name, value), 0..8).prop_map(|members| {
        ask(&members.iter().map(|(name, value)| format!(" , \"{name}\" :{value}")).collect::<String>())
    })
}

proptest! {
    #[test]
    fn every_body_that_is_read_goes_on_with_one_cap(body in body(), cap in 0..200_000_u64) {
        for endpoint in [ANTHROPIC, CHAT, RESPONSES, TEXTS] {
            let Ok(call) = read(endpoint, &HeaderMap::new(), body.as_bytes()) else { continue };
            let sent = call.rewrite(&Bytes::from(body.clone()), cap);
            let again = read(endpoint, &HeaderMap::new(), &sent).unwrap();
            let allowed = call.asked_output.map_or(cap, |asked| asked.min(cap));
            prop_assert_eq!(again.asked_output, Some(allowed));
            prop_assert_eq!(again.rewrite(&sent, cap).as_ptr(), sent.as_ptr(), "it settles at once");
            prop_assert_eq!(&again.shape.server_tools, &call.shape.server_tools, "the limits told are those sent");
            prop_assert!(!again.adds_usage());
            let lowered = call.asked_output != Some(allowed);
            prop_assert!(!lowered || again.shape.thinking.is_none_or(|budget| budget < allowed));
            let sent: Json = serde_json::from_slice(&sent).unwrap();
            let caps = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
            let left = caps.iter().filter(|cap| sent.get(*cap).is_some()).count();
            prop_assert!(left == 1 || endpoint == ANTHROPIC);
            prop_assert!(sent.get("n_predict").is_none() || ![CHAT, TEXTS].contains(&endpoint));
        }
    }
}

#[test]
fn only_messages_of_plain_text_are_plain() {
    for plain in ["", ",\"temperature\":1,\"max_tokens\":9,\"tools\":null"] {
        assert!(call(CHAT, &ask(plain)).is_plain, "{plain}");
    }
    for more in [
        ",\"tools\":[]",
        ",\"response_format\":{\"type\":\"json_object\"}",
        ",\"prediction\":{\"type\":\"content\",\"content\":\"x\"}",
        ",\"transforms\":[]",
    ] {
        assert!(!call(CHAT, &ask(more)).is_plain, "{more}");
    }
    assert!(!call(ANTHROPIC, &ask("")).is_plain);
}

#[test]
fn content_that_is_one_part_and_no_list_is_read_as_that_part() {
    let body =
        r#"{"model":"m","messages":[{"role":"user","content":{"type":"image_url","image_url":{"url":"http://x"}}}]}"#;
    assert_eq!(call(CHAT, body).shape.opaque, ["a URL"]);
}
