//! Requests in the words of OpenAI Responses.

use super::*;

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
