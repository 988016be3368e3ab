//! The tools that a provider runs, and what else makes it sample more than once.

use super::*;

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
