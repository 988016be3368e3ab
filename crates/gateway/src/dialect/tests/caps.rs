//! Where the cap of an answer goes, and what changes with it.

use super::*;

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
