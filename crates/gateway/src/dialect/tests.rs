//! Requests as clients send them and as strangers might, and what goes on to the provider.

use almoner_policy::{Price, Writes};
use almoner_units::PicoUsdPerToken;
use hyper::HeaderMap;
use hyper::body::Bytes;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

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
fn the_cap_is_in_the_field_that_anthropic_reads() {
    rewritten(ANTHROPIC, r#","max_tokens":128000"#, 8192, r#","max_tokens":8192"#);
    rewritten(ANTHROPIC, r#","max_tokens" : 100 "#, 8192, r#","max_tokens" : 100 "#);
    rewritten(ANTHROPIC, r#","max_tokens":0"#, 8192, r#","max_tokens":0"#);
    rewritten(ANTHROPIC, "", 4096, r#","max_tokens":4096"#);
    rewritten(ANTHROPIC, r#","max_tokens":null"#, 4096, r#","max_tokens":4096"#);
    rewritten(ANTHROPIC, r#","max\u005ftokens":9000"#, 4096, r#","max\u005ftokens":4096"#);
    rewritten(
        ANTHROPIC,
        r#","Max_Tokens":9,"max_tokens\u0000":9"#,
        4,
        r#","Max_Tokens":9,"max_tokens\u0000":9,"max_tokens":4"#,
    );
}

#[test]
fn a_thinking_budget_stays_below_a_lowered_cap() {
    let thinking = |budget: u64| format!(r#","thinking":{{"type":"enabled","budget_tokens":{budget}}}"#);
    let asked = |max: u64, budget: u64| format!(r#","max_tokens":{max}{}"#, thinking(budget));
    rewritten(ANTHROPIC, &asked(32_000, 31_999), 20_000, &asked(20_000, 8192));
    rewritten(ANTHROPIC, &asked(32_000, 31_999), 8192, &asked(8192, 4096));
    rewritten(ANTHROPIC, &asked(32_000, 4096), 8192, &asked(8192, 4096));
    rewritten(ANTHROPIC, &asked(32_000, 4096), 2048, &asked(2048, 1024));
    rewritten(ANTHROPIC, &asked(32_000, 4096), 2047, r#","max_tokens":2047,"thinking":{"type":"disabled"}"#);
    // With interleaved thinking a budget may be above the cap: what was not lowered is the client's to judge.
    rewritten(ANTHROPIC, &asked(8000, 16_000), 8192, &asked(8000, 16_000));
}

#[test]
fn the_cap_is_in_the_field_that_chat_reads() {
    rewritten(CHAT, r#","max_tokens":9000"#, 100, r#","max_tokens":100"#);
    rewritten(CHAT, r#","max_completion_tokens":9000"#, 100, r#","max_completion_tokens":100"#);
    rewritten(CHAT, r#","max_completion_tokens":9000,"max_tokens":50"#, 100, r#","max_completion_tokens":50"#);
    rewritten(CHAT, r#","n_predict":9000,"max_tokens":null"#, 100, r#","max_tokens":100"#);
    rewritten(CHAT, "", 100, r#","max_tokens":100"#);
    for (model, field) in [
        ("gpt-5.6", "max_completion_tokens"),
        ("openai/gpt-5-mini", "max_completion_tokens"),
        ("o3", "max_completion_tokens"),
        ("ft:o4-mini:org", "max_completion_tokens"),
        ("gpt-4o", "max_tokens"),
        ("gpt-35-turbo", "max_tokens"),
        ("gpt-oss-120b", "max_tokens"),
        ("olmo-2", "max_tokens"),
    ] {
        let body = format!(r#"{{"model":"{model}","messages":[],"max_tokens":9}}"#);
        let sent = call(CHAT, &body).rewrite(&Bytes::from(body.clone()), 5);
        let sent: Json = serde_json::from_slice(&sent).unwrap();
        assert_eq!(sent, json!({ "model": model, "messages": [], field: 5 }));
    }
}

#[test]
fn a_chat_stream_is_asked_for_its_usage() {
    let full = r#","max_tokens":1"#;
    let check = |more: &str, expected: &str| {
        rewritten(CHAT, &format!("{full}{more}"), 1, &format!("{full}{expected}"));
        let call = call(CHAT, &ask(&format!("{full}{more}")));
        assert_eq!(call.adds_usage(), more != expected, "{more}");
    };
    check("", "");
    check(r#","stream":false,"stream_options":null"#, r#","stream":false,"stream_options":null"#);
    check(r#","stream":true"#, r#","stream":true,"stream_options":{"include_usage":true}"#);
    let null = r#","stream":true,"stream_options":null"#;
    check(null, r#","stream":true,"stream_options":{"include_usage":true}"#);
    let no = r#","stream":true,"stream_options":{"include_usage":false,"x":1}"#;
    check(no, r#","stream":true,"stream_options":{"include_usage":true,"x":1}"#);
    let empty = r#","stream":true,"stream_options":{}"#;
    check(empty, r#","stream":true,"stream_options":{"include_usage":true}"#);
    let yes = r#","stream":true,"stream_options":{"include_usage":true}"#;
    check(yes, yes);
}

#[test]
fn what_needs_no_change_goes_on_as_the_same_bytes() {
    let body = Bytes::from(ask(r#","max_tokens":10"#));
    for endpoint in [ANTHROPIC, CHAT] {
        let call = read(endpoint, &HeaderMap::new(), &body).unwrap();
        assert_eq!(call.rewrite(&body, 10).as_ptr(), body.as_ptr());
        assert_eq!(call.rewrite(&body, 9).len(), body.len() - 1);
    }
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
fn tools_that_the_provider_runs_are_limited_or_named() {
    let tools = |tools: &str| call(ANTHROPIC, &ask(&format!(",\"max_tokens\":1,\"tools\":[{tools}]")));
    let limits = |call: &Call| -> Vec<(String, Option<u64>)> {
        call.shape.server_tools.iter().map(|tool| (tool.name.clone(), tool.max_uses)).collect()
    };
    // The ninth is answered with `max_uses_exceeded`, which the model reads in one more sampling.
    let search = tools(r#"{"type":"web_search_20250305","name":"w","max_uses":8}"#);
    assert_eq!(limits(&search), [("web_search_20250305".to_owned(), Some(9))]);
    let code = tools(r#"{"type":"code_execution_20260120","name":"c"},{"type":"brand_new_20270101"}"#);
    let named = [("code_execution_20260120".to_owned(), None), ("brand_new_20270101".to_owned(), None)];
    assert_eq!(limits(&code), named);
    let by_code = tools(r#"{"type":"web_search_20260209","max_uses":8}"#);
    assert_eq!(limits(&by_code), [("web_search_20260209".to_owned(), None)]);
    let direct = tools(r#"{"type":"web_search_20260209","max_uses":8,"allowed_callers":["direct"]}"#);
    assert_eq!(limits(&direct), [("web_search_20260209".to_owned(), Some(9))]);
    let own = tools(r#"{"type":"bash_20250124","name":"bash"},{"type":"custom","name":"x"},{"name":"y"}"#);
    assert_eq!((limits(&own).len(), own.shape.tools), (0, 3));
    let servers = call(ANTHROPIC, &ask(r#","mcp_servers":[{"type":"url","url":"https://x"}]"#));
    assert_eq!(limits(&servers), [("mcp_servers".to_owned(), None)]);
    let later = call(ANTHROPIC, &ask(r#","context_management":{"edits":[{"type":"compact_20270101"}]}"#));
    assert_eq!((limits(&later), later.shape.compacts_at), (vec![("compaction".to_owned(), None)], None));
    let clear =
        call(ANTHROPIC, &ask(r#","context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]}"#));
    assert_eq!((limits(&clear).len(), clear.shape.unknown.len()), (0, 0));
    let chat = call(CHAT, &ask(r#","tools":[{"type":"function"},{"type":"live_search"}],"web_search_options":{}"#));
    assert_eq!(limits(&chat), [("live_search".to_owned(), None), ("web_search_options".to_owned(), None)]);
}

#[test]
fn a_context_is_compacted_from_the_length_that_its_edit_names() {
    let edits = |edits: &str| call(ANTHROPIC, &ask(&format!(",\"context_management\":{{\"edits\":[{edits}]}}"))).shape;
    let compact = |more: &str| edits(&format!(r#"{{"type":"compact_20260112"{more}}}"#)).compacts_at;
    assert_eq!(compact(""), Some(150_000));
    assert_eq!(compact(r#","trigger":{"type":"input_tokens","value":60000},"instructions":"Short.""#), Some(60_000));
    assert_eq!(compact(r#","trigger":{"type":"moon_phase","value":60000}"#), Some(0));
    assert_eq!(edits(r#"{"type":"clear_tool_uses_20250919"}"#).compacts_at, None);
}

#[test]
fn a_tool_that_joins_later_is_limited_too() {
    let added = |tool: &str| {
        let block = format!(r#"{{"type":"tool_addition","tool":{{"type":"tool_definition","definition":{tool}}}}}"#);
        format!(r#"{{"model":"m","max_tokens":1,"messages":[{{"role":"system","content":[{block}]}}]}}"#)
    };
    let body = Bytes::from(added(r#"{"type":"web_search_20250305"}"#));
    let read = call(ANTHROPIC, std::str::from_utf8(&body).unwrap());
    assert_eq!((read.shape.tools, read.shape.server_tools[0].max_uses), (1, Some(6)));
    assert_eq!(read.rewrite(&body, 1), added(r#"{"type":"web_search_20250305","max_uses":5}"#));
    let code = call(ANTHROPIC, &added(r#"{"type":"code_execution_20260120"}"#));
    assert_eq!(code.shape.server_tools[0].max_uses, None);
    let hidden = r#"{"model":"m","messages":[{"content":[{"type":"whisper","x":{"type":"web_search_20250305"}}]}]}"#;
    assert_eq!(call(ANTHROPIC, hidden).shape.server_tools[0].max_uses, None);
    let kept = call(ANTHROPIC, &ask(r#","thread":{"type":"continue","previous_message_id":"m"}"#)).shape.opaque;
    assert_eq!(kept, ["a thread"]);
    assert!(call(ANTHROPIC, &ask(r#","thread":{"type":"create"}"#)).shape.opaque.is_empty());
}

#[test]
fn a_tool_without_a_limit_gets_ours() {
    let full = r#","max_tokens":1"#;
    rewritten(
        ANTHROPIC,
        &format!(
            r#"{full},"tools":[{{"type":"web_search_20250305","max_uses":null}},{{"type":"web_fetch_20250910"}}]"#
        ),
        1,
        &format!(
            r#"{full},"tools":[{{"type":"web_search_20250305","max_uses":5}},{{"type":"web_fetch_20250910","max_uses":5}}]"#
        ),
    );
}

#[test]
fn the_limit_that_a_tool_gets_was_weighed_before() {
    for tool in [r#"{"type":"web_search_20250305"}"#, r#"{"type":"web_search_20250305","max_uses":null}"#] {
        let body = Bytes::from(ask(&format!(r#","max_tokens":1,"tools":[{tool}]"#)));
        let held = read(ANTHROPIC, &HeaderMap::new(), &body).unwrap();
        let sent = read(ANTHROPIC, &HeaderMap::new(), &held.rewrite(&body, 1)).unwrap();
        assert!(sent.shape.text_bytes <= held.shape.text_bytes, "{tool}");
    }
}

#[test]
fn an_advisor_brings_its_own_price_or_none() {
    let body = ask(r#","tools":[{"name":"a"},{"type":"advisor_20260301","name":"advisor","model":"big"}]"#);
    let mut call = call(ANTHROPIC, &body);
    let error = call.bring(|_| None).unwrap_err();
    let expected =
        "`advisor_20260301` brings in `big`, which has no price; add it as a [[price]], or leave the tool out";
    assert_eq!(error.to_string(), expected);
    let price = Price::flat(PicoUsdPerToken::new(1), PicoUsdPerToken::new(2));
    call.bring(|model| (model == "big").then(|| price.clone())).unwrap();
    assert_eq!(call.shape.server_tools[0].brings, Some(price));
}

#[test]
fn fallbacks_are_taken_out() {
    let full = r#","max_tokens":1"#;
    rewritten(
        ANTHROPIC,
        &format!(r#"{full},"fallbacks":[{{"model":"x"}}],"top_k":1"#),
        1,
        &format!(r#"{full},"top_k":1"#),
    );
    assert_eq!(call(ANTHROPIC, &ask(r#","fallbacks":"default""#)).dropped, ["fallbacks"]);
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
fn text_counts_without_its_escapes_and_grown_as_nfkc_grows_it() {
    let bytes = |content: &str| {
        let shape = call(ANTHROPIC, &format!(r#"{{"model":"m","messages":[{{"content":"{content}"}}]}}"#)).shape;
        (shape.text_bytes, shape.text_bytes_nfkc)
    };
    let (empty, _) = bytes("");
    assert_eq!(bytes("abc"), (empty + 3, empty + 3));
    assert_eq!(bytes("\\n\\u0041"), (empty + 2, empty + 2));
    assert_eq!(bytes("\u{fdfa}"), (empty + 3, empty + 33));
    assert_eq!(bytes("\\ufdfa"), (empty + 3, empty + 33));
}

#[test]
fn tools_count_as_they_stand_and_no_less() {
    let bytes = |more: &str| call(CHAT, &ask(more)).shape.text_bytes;
    let schema = r#"{"type":"function","function":{"name":"f","parameters":{"a":"\n"}}}"#;
    let tools = format!("[{schema}]");
    assert!(bytes(&format!(",\"tools\":{tools}")) - bytes("") > u64::try_from(tools.len()).unwrap());
    assert!(bytes(&format!(",\"response_format\":{schema}")) - bytes("") > u64::try_from(schema.len()).unwrap());
    assert_eq!(bytes(r#","stop":["a very long sequence"],"temperature":1"#), bytes(""));
}

#[test]
fn media_count_by_the_piece() {
    let content = |endpoint: &'static Endpoint, content: &Json| {
        let body = json!({ "model": "m", "messages": [{ "role": "user", "content": content }] });
        call(endpoint, &body.to_string()).shape
    };
    let data = "A".repeat(100_000);
    let image = json!([{ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": data } }]);
    let shape = content(ANTHROPIC, &image);
    assert_eq!((shape.images, shape.opaque.len()), (1, 0));
    assert!(shape.text_bytes < 300, "{}", shape.text_bytes);
    // In the result of a tool as well.
    let result = json!([{ "type": "tool_result", "tool_use_id": "t", "content": image }]);
    assert_eq!(content(ANTHROPIC, &result).images, 1);
    let pdf =
        json!([{ "type": "document", "source": { "type": "base64", "media_type": "application/pdf", "data": data } }]);
    let shape = content(ANTHROPIC, &pdf);
    assert_eq!(shape.documents, 1);
    assert!(shape.text_bytes < 300);
    // What says that it is media and is text counts as both.
    let odd = json!([{ "type": "document", "source": { "type": "base64", "media_type": "text/plain", "data": data } }]);
    assert!(content(ANTHROPIC, &odd).text_bytes > 100_000);
    let text = json!([{ "type": "document", "source": { "type": "text", "media_type": "text/plain", "data": data } }]);
    let shape = content(ANTHROPIC, &text);
    assert_eq!(shape.documents, 0);
    assert!(shape.text_bytes > 100_000);

    let chat = json!([
        { "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{data}") } },
        { "type": "input_audio", "input_audio": { "data": data, "format": "wav" } },
        { "type": "file", "file": { "file_data": data, "filename": "a.pdf" } },
    ]);
    let shape = content(CHAT, &chat);
    assert_eq!((shape.images, shape.sounds, shape.documents, shape.opaque.len()), (1, 1, 1, 0));
    assert!(shape.text_bytes < 500, "{}", shape.text_bytes);
}

#[test]
fn what_is_not_in_the_body_is_opaque() {
    let opaque = |endpoint: &'static Endpoint, content: &str| {
        call(endpoint, &format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{content}]}}]}}"#)).shape.opaque
    };
    assert_eq!(opaque(ANTHROPIC, r#"{"type":"image","source":{"type":"url","url":"https://x"}}"#), ["a URL"]);
    assert_eq!(opaque(ANTHROPIC, r#"{"type":"document","source":{"type":"file","file_id":"f"}}"#), ["a file id"]);
    assert_eq!(opaque(ANTHROPIC, r#"{"type":"container_upload","file_id":"f"}"#), ["a file in the container"]);
    assert_eq!(opaque(ANTHROPIC, r#"{"type":"hologram","file_id":"f"}"#), ["content of an unknown type"]);
    assert_eq!(opaque(ANTHROPIC, r#"{"type":"whisper","text":"f"}"#), Vec::<String>::new());
    assert_eq!(opaque(CHAT, r#"{"type":"image_url","image_url":{"url":"https://x"}}"#), ["a URL"]);
    assert_eq!(opaque(CHAT, r#"{"type":"image_url","image_url":"https://x"}"#), ["a URL"]);
    assert_eq!(opaque(CHAT, r#"{"type":"file","file":{"file_id":"f"}}"#), ["a file id"]);
    assert_eq!(opaque(CHAT, r#"{"type":"video_url","video_url":{"url":"x"}}"#), ["content of an unknown type"]);
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
fn embeddings_read_each_input_and_write_nothing() {
    let read = |input: &str| {
        let body = format!(r#"{{"model":"m","input":{input},"encoding_format":"base64","dimensions":256}}"#);
        let call = call(EMBEDDINGS, &body);
        assert_eq!((call.asked_output, call.shape.max_output), (Some(0), Some(0)));
        assert!(call.shape.unknown.is_empty());
        assert_eq!(call.rewrite(&Bytes::from(body.clone()), 9), body, "nothing is written into it");
        (call.shape.inputs, call.shape.text_bytes, call.shape.opaque.len())
    };
    assert_eq!(read(r#""hello""#), (1, 7, 0));
    assert_eq!(read(r#"["hello","you"]"#), (2, 12, 0));
    assert_eq!(read("[100257,17,4]"), (1, 3, 0));
    assert_eq!(read("[[100257,17],[4]]"), (2, 3, 0));
    // What an input is for is told to the model in words of the server's own, with each.
    assert_eq!(read(r#"["hello","you"],"input_type":"query""#), (2, 12 + 2 * 64, 0));
    assert_eq!(read(r#"[{"image":"x"}]"#), (1, 0, 1));
    assert_eq!(read("[]"), (0, 0, 0));
    let wrong = "`input` must be a text, an array of texts, or an array of tokens";
    for body in [r#"{"model":"m"}"#, r#"{"model":"m","input":[["x"]]}"#, r#"{"model":"m","input":[[1.5]]}"#] {
        refused(EMBEDDINGS, body, wrong);
    }
}

#[test]
fn a_text_that_goes_on_is_paid_for_each_prompt_and_each_try() {
    let read = |more: &str| call(TEXTS, &format!(r#"{{"model":"m"{more}}}"#));
    let rewritten = |more: &str, expected: &str| {
        let body = format!(r#"{{"model":"m"{more}}}"#);
        let sent = call(TEXTS, &body).rewrite(&Bytes::from(body), 100);
        assert_eq!(String::from_utf8_lossy(&sent), format!(r#"{{"model":"m"{expected}}}"#));
    };
    let shape = read(r#","prompt":["a","b","c"],"n":2,"best_of":4,"suffix":"end","logprobs":5"#).shape;
    assert_eq!((shape.choices, shape.inputs, shape.max_output), (12, 3, Some(16)));
    assert!(shape.unknown.is_empty() && shape.text_bytes == 24, "{shape:?}");
    let shape = read(r#","prompt":[1,2,3]"#).shape;
    assert_eq!((shape.choices, shape.inputs, shape.text_bytes), (1, 1, 3));
    let echoed = |more: &str| read(&format!(r#","prompt":"hello","echo":true{more}"#)).shape.output_beyond_cap;
    assert_eq!((echoed(""), echoed(r#","n":3"#), echoed(r#","n":2,"best_of":5"#)), (7, 21, 35));
    // `"end"` is read with each of the three prompts.
    assert_eq!(read(r#","prompt":["a","b","c"],"suffix":"end""#).shape.text_bytes, 3 * 3 + 3 * 5);
    assert_eq!(read("").asked_output, Some(16));
    rewritten(r#","prompt":"a""#, r#","prompt":"a","max_tokens":16"#);
    rewritten(r#","prompt":"a","max_tokens":900"#, r#","prompt":"a","max_tokens":100"#);
    rewritten(r#","prompt":"a","n_predict":900,"max_tokens":50"#, r#","prompt":"a","max_tokens":50"#);
    rewritten(
        r#","prompt":"a","max_tokens":9,"stream":true"#,
        r#","prompt":"a","max_tokens":9,"stream":true,"stream_options":{"include_usage":true}"#,
    );
    refused(TEXTS, r#"{"model":"m","prompt":"a","n":0}"#, "`n` must be at least 1");
    refused(
        TEXTS,
        r#"{"model":"m","prompt":"a","max_tokens":-1}"#,
        "`max_tokens` must be a whole number, 0 or more, written in digits alone",
    );
}

/// A response to an input, and more.
fn respond(more: &str) -> String {
    format!("{{\"model\":\"gpt-5.6\",\"input\":\"hi\"{more}}}")
}

#[test]
fn a_response_says_what_its_body_says() {
    let body = json!({
        "model": "gpt-5.6", "stream": true, "store": false, "instructions": "Be brief.",
        "input": [
            { "type": "message", "role": "developer", "content": [{ "type": "input_text", "text": "a" }] },
            { "role": "user", "content": "hi" },
            { "type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "gAAA" },
            { "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}" },
            { "type": "function_call_output", "call_id": "c", "output": [{ "type": "input_text", "text": "b" }] },
            { "type": "compaction", "encrypted_content": "gAAA" },
        ],
        "tools": [
            { "type": "function", "name": "f", "parameters": {} },
            { "type": "namespace", "name": "n", "tools": [{ "type": "function", "name": "g" }, { "type": "custom" }] },
            { "type": "local_shell" }, { "type": "shell", "environment": { "type": "local" } },
            { "type": "tool_search", "execution": "client" }, { "type": "computer" }, { "type": "apply_patch" },
        ],
        "tool_choice": "auto", "parallel_tool_calls": true, "reasoning": { "summary": "auto" }, "text": {},
        "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k", "service_tier": "flex",
        "client_metadata": { "session_id": "5e55", "thread_id": "t" },
    });
    let call = call(RESPONSES, &body.to_string());
    assert_eq!((call.model.as_str(), call.stream, call.asked_output), ("gpt-5.6", true, None));
    assert_eq!(call.session.as_deref(), Some("5e55"));
    assert_eq!((call.shape.messages, call.shape.tools, call.shape.thinking), (7, 9, Some(24_576)));
    assert_eq!(call.shape.service_tier.as_deref(), Some("flex"));
    assert!(call.shape.unknown.is_empty() && call.shape.opaque.is_empty(), "{:?}", call.shape);
    assert!(call.shape.server_tools.is_empty() && call.shape.unmetered.is_empty(), "{:?}", call.shape);
}

#[test]
fn the_cap_is_in_the_field_that_responses_reads() {
    let check = |more: &str, cap, expected: &str| {
        let body = Bytes::from(respond(more));
        let sent = call(RESPONSES, &respond(more)).rewrite(&body, cap);
        assert_eq!(String::from_utf8_lossy(&sent), respond(expected), "{more} at {cap}");
    };
    check("", 4096, r#","max_output_tokens":4096"#);
    check(r#","max_output_tokens":9000"#, 100, r#","max_output_tokens":100"#);
    check(r#","max_output_tokens":90"#, 100, r#","max_output_tokens":90"#);
    check(r#","max_tokens":50,"max_output_tokens":null"#, 100, r#","max_output_tokens":50"#);
    check(r#","max_completion_tokens":50"#, 100, r#","max_output_tokens":50"#);
    let search = r#","tools":[{"type":"web_search","external_web_access":false}],"max_output_tokens":1"#;
    check(search, 1, &format!(r#"{search},"max_tool_calls":5"#));
    let limited = format!(r#","max_tool_calls":3{search}"#);
    check(&limited, 1, &limited);
    let own = r#","max_output_tokens":1,"tools":[{"type":"function"}]"#;
    check(own, 1, own);
}

#[test]
fn what_openai_runs_is_limited_or_named() {
    let limits = |more: &str| -> Vec<(String, Option<u64>)> {
        let tools = call(RESPONSES, &respond(more)).shape.server_tools;
        tools.into_iter().map(|tool| (tool.name, tool.max_uses)).collect()
    };
    let is = |name: &str, uses| vec![(name.to_owned(), uses)];
    // A call beyond the limit is ignored, and its model sampled once more.
    assert_eq!(
        limits(r#","tools":[{"type":"web_search_preview"},{"type":"web_search_2025_08_26"}]"#),
        is("web_search", Some(6))
    );
    assert_eq!(
        limits(r#","max_tool_calls":0,"tools":[{"type":"file_search","vector_store_ids":["v"]}]"#),
        is("file_search", Some(1))
    );
    assert_eq!(limits(r#","tools":[{"type":"tool_search"}]"#), is("tool_search", Some(6)));
    assert_eq!(limits(r#","max_tool_calls":2,"tools":[{"type":"mcp","server_url":"https://x"}]"#), is("mcp", None));
    assert_eq!(limits(r#","tools":[{"type":"shell"}]"#), is("shell", None));
    assert_eq!(limits(r#","tools":[{"type":"shell","environment":{"type":"container_auto"}}]"#), is("shell", None));
    assert_eq!(limits(r#","tools":[{"type":"programmatic_tool_calling"}]"#), is("programmatic_tool_calling", None));
    assert_eq!(limits(r#","tools":[{"type":"namespace","tools":[{"type":"brand_new"}]}]"#), is("brand_new", None));
    assert_eq!(limits(r#","reasoning":{"mode":"pro"}"#), is("reasoning mode pro", None));
    assert_eq!(limits(r#","reasoning":{"mode":"standard","effort":"max"}"#), Vec::new());
    let later = r#"{"model":"m","input":[{"type":"additional_tools","tools":[{"type":"web_search"}]}]}"#;
    assert_eq!(call(RESPONSES, later).shape.server_tools[0].max_uses, Some(6));
    let compact = call(RESPONSES, &respond(r#","context_management":[{"type":"compaction","compact_threshold":9}]"#));
    assert_eq!(compact.shape.compacts_at, Some(0));
}

#[test]
fn what_leaves_no_usage_is_named() {
    let unmetered = |more: &str| call(RESPONSES, &respond(more)).shape.unmetered;
    assert_eq!(unmetered(r#","background":true"#), ["an answer in the `background`"]);
    assert_eq!(unmetered(r#","prompt":{"id":"pmpt_1"}"#), ["a stored `prompt`"]);
    assert!(unmetered(r#","background":false,"prompt":null"#).is_empty());
}

#[test]
fn what_a_response_only_points_to_is_opaque() {
    let opaque = |more: &str| call(RESPONSES, &respond(more)).shape.opaque;
    assert_eq!(opaque(r#","previous_response_id":"resp_1""#), ["an earlier response"]);
    assert_eq!(opaque(r#","conversation":{"id":"conv_1"}"#), ["a conversation"]);
    let item = |item: &str| call(RESPONSES, &format!(r#"{{"model":"m","input":[{item}]}}"#)).shape;
    let part = |part: &str| item(&format!(r#"{{"role":"user","content":[{part}]}}"#));
    assert_eq!(part(r#"{"type":"input_image","image_url":"https://x"}"#).opaque, ["a URL"]);
    assert_eq!(part(r#"{"type":"input_image","file_id":"f"}"#).opaque, ["a file id"]);
    assert_eq!(part(r#"{"type":"input_file","file_id":"f"}"#).opaque, ["a file id"]);
    assert_eq!(part(r#"{"type":"input_file","file_url":"https://x"}"#).opaque, ["a URL"]);
    assert_eq!(part(r#"{"type":"hologram"}"#).opaque, ["content of an unknown type"]);
    assert_eq!(item(r#"{"type":"item_reference","id":"i"}"#).opaque, ["an item by its id"]);
    assert_eq!(item(r#"{"type":"séance","id":"i"}"#).opaque, ["an item of an unknown type"]);
    let data = "A".repeat(100_000);
    let shown = [
        (part(&format!(r#"{{"type":"input_image","image_url":"data:image/png;base64,{data}"}}"#)), (1, 0)),
        (part(&format!(r#"{{"type":"input_file","file_data":"{data}","filename":"a.pdf"}}"#)), (0, 1)),
        (item(&format!(r#"{{"type":"image_generation_call","id":"i","result":"{data}"}}"#)), (1, 0)),
        (
            item(&format!(
                r#"{{"type":"computer_call_output","output":{{"type":"computer_screenshot","image_url":"data:image/png;base64,{data}"}}}}"#
            )),
            (1, 0),
        ),
    ];
    for (shape, expected) in shown {
        assert_eq!(((shape.images, shape.documents), shape.opaque.len()), (expected, 0));
        assert!(shape.text_bytes < 500, "{}", shape.text_bytes);
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
