//! Gemini's requests as clients send them and as strangers might, and what goes on to Google.

use hyper::HeaderMap;
use hyper::body::Bytes;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::gemini::{COUNT_TOKENS, GENERATE, STREAM};
use super::*;

const PATH: &str = "/v1beta/models/gemini-2.5-pro:generateContent";

fn read(body: &str) -> Result<Call, BadBody> {
    super::read(&GENERATE, PATH, &HeaderMap::new(), body.as_bytes())
}

#[track_caller]
fn call(body: &str) -> Call {
    read(body).unwrap_or_else(|error| panic!("{body}: {error}"))
}

/// A request with a content, and more.
fn ask(more: &str) -> String {
    format!("{{\"contents\":[{{\"role\":\"user\",\"parts\":[{{\"text\":\"hi\"}}]}}]{more}}}")
}

/// A request with one part.
fn with_part(part: &str) -> Call {
    call(&format!("{{\"contents\":[{{\"parts\":[{part}]}}]}}"))
}

/// What of a body that ends in `more` goes on at a cap.
#[track_caller]
fn rewritten(more: &str, cap: u64, expected: &str) {
    let body = Bytes::from(ask(more));
    let sent = call(&ask(more)).rewrite(&body, cap);
    assert_eq!(String::from_utf8_lossy(&sent), ask(expected), "{more} at {cap}");
}

#[track_caller]
fn refused(body: &str, expected: &str) {
    assert_eq!(read(body).unwrap_err().to_string(), expected, "{body}");
}

#[test]
fn a_call_says_what_its_path_and_its_body_say() {
    let body = json!({
        "contents": [{ "role": "user", "parts": [{ "text": "hi" }] }, { "parts": { "text": "one part" } }],
        "systemInstruction": { "parts": [{ "text": "Be brief." }] },
        "tools": [{ "functionDeclarations": [{ "name": "a" }, { "name": "b" }] }],
        "toolConfig": { "functionCallingConfig": { "mode": "AUTO" } },
        "safetySettings": [], "labels": {}, "store": false, "serviceTier": "PRIORITY",
        "generationConfig": {
            "temperature": 1, "topP": 0.95, "topK": 64, "candidateCount": 2, "maxOutputTokens": 9000,
            "responseMimeType": "application/json", "responseModalities": ["TEXT"],
            "thinkingConfig": { "includeThoughts": true, "thinkingLevel": "HIGH" },
        },
    });
    let call = call(&body.to_string());
    assert_eq!((call.model.as_str(), call.stream, call.asked_output), ("gemini-2.5-pro", false, Some(9000)));
    let shape = &call.shape;
    assert_eq!((shape.messages, shape.tools, shape.choices), (3, 2, 2));
    assert_eq!(shape.service_tier.as_deref(), Some("priority"));
    assert!(shape.unknown.is_empty() && shape.opaque.is_empty() && shape.server_tools.is_empty(), "{shape:?}");
    let streamed = super::read(&STREAM, "/v1beta/models/m:streamGenerateContent", &HeaderMap::new(), b"{}").unwrap();
    assert!(streamed.stream);
}

#[test]
fn both_names_of_a_member_are_one_member() {
    let snake = r#","system_instruction":{"parts":{"text":"x"}},"cached_content":"c","service_tier":"flex",
        "tools":{"google_search":{},"function_declarations":{"name":"a"}},
        "generation_config":{"candidate_count":3,"max_output_tokens":7,"thinking_config":{"thinking_budget":600}}"#;
    let call = call(&ask(snake));
    let shape = &call.shape;
    assert_eq!((shape.messages, shape.choices, call.asked_output, shape.thinking), (2, 3, Some(7), Some(600)));
    assert_eq!(
        (shape.opaque.as_slice(), shape.service_tier.as_deref()),
        (&["cached content".to_owned()][..], Some("flex"))
    );
    assert_eq!((shape.server_tools[0].name.as_str(), shape.server_tools[0].max_uses), ("googleSearch", None));
    assert!(shape.unknown.is_empty(), "{:?}", shape.unknown);
    for (twice, name) in [
        (r#","generationConfig":{},"generation_config":{}"#, "generation_config"),
        (r#","cachedContent":"a","cached_content":"b""#, "cached_content"),
        (r#","generationConfig":{"candidateCount":1,"candidate_count":8}"#, "candidate_count"),
        (r#","generationConfig":{"thinkingConfig":{},"thinking_config":{}}"#, "thinking_config"),
        (r#","generationConfig":{"thinkingConfig":{"thinkingBudget":1,"thinking_budget":9000}}"#, "thinking_budget"),
    ] {
        refused(&ask(twice), &format!("`{name}` must be left out where its other name says something"));
    }
    let error = read(&ask(r#","generationConfig":{"maxOutputTokens":1,"maxOutputTokens":9}"#)).unwrap_err();
    assert!(matches!(error, BadBody::Duplicate { .. }), "{error}");
}

#[test]
fn what_decides_the_price_must_be_readable() {
    let digits = "must be a whole number, 0 or more, written in digits alone";
    for (member, value) in [("maxOutputTokens", "1e5"), ("maxOutputTokens", "\"10\""), ("candidateCount", "2.0")] {
        let more = format!(",\"generationConfig\":{{\"{member}\":{value}}}");
        refused(&ask(&more), &format!("`{member}` {digits}"));
    }
    refused(&ask(r#","generationConfig":{"candidateCount":0}"#), "`candidateCount` must be at least 1");
    refused(&ask(r#","generationConfig":[]"#), "`generationConfig` must be an object");
    refused(&ask(r#","serviceTier":1"#), "`serviceTier` must be a text");
    refused(&ask(r#","model":"models/gemini-2.5-flash""#), "`model` must be the one that the path names");
    call(&ask(r#","model":"models/gemini-2.5-pro""#));
    let escaped = super::read(&GENERATE, "/v1beta/models/gemini%2D2.5-pro:generateContent", &HeaderMap::new(), b"{}");
    assert_eq!(escaped.unwrap_err().to_string(), "`model` must be written in the path without `%`");
}

#[test]
fn the_cap_is_in_the_field_that_google_reads() {
    rewritten("", 4096, r#","generationConfig":{"maxOutputTokens":4096}"#);
    rewritten(r#","generationConfig":{"topK":1}"#, 4096, r#","generationConfig":{"topK":1,"maxOutputTokens":4096}"#);
    rewritten(
        r#","generationConfig":{"maxOutputTokens":9000 }"#,
        4096,
        r#","generationConfig":{"maxOutputTokens":4096 }"#,
    );
    let small = r#","generationConfig":{"maxOutputTokens":10}"#;
    rewritten(small, 4096, small);
    let snake = r#","generation_config":{"max_output_tokens":9000,"top_k":1}"#;
    rewritten(snake, 4096, r#","generation_config":{"top_k":1,"maxOutputTokens":4096}"#);
    let both = r#","generationConfig":{"max_output_tokens":900,"maxOutputTokens":9000}"#;
    rewritten(both, 4096, r#","generationConfig":{"maxOutputTokens":900}"#);
    // Google reads 0 as nothing said.
    rewritten(r#","generationConfig":{"maxOutputTokens":0}"#, 4096, r#","generationConfig":{"maxOutputTokens":4096}"#);
}

#[test]
fn a_thinking_budget_stays_below_a_lowered_cap() {
    let with = |max: u64, budget: &str| {
        format!(r#","generationConfig":{{"maxOutputTokens":{max},"thinkingConfig":{{"thinkingBudget":{budget}}}}}"#)
    };
    rewritten(&with(32_000, "24576"), 20_000, &with(20_000, "8192"));
    rewritten(&with(32_000, "4096"), 8192, &with(8192, "4096"));
    rewritten(&with(32_000, "4096"), 900, &with(900, "512"));
    rewritten(&with(32_000, "-1"), 8192, &with(8192, "-1"));
    rewritten(&with(32_000, "0"), 8192, &with(8192, "0"));
    let thinking = |more: &str| call(&ask(more)).shape.thinking;
    assert_eq!(thinking(""), Some(24_576), "a model that is left to itself gets room to think");
    assert_eq!(thinking(&with(1, "-1")), Some(24_576));
    assert_eq!(thinking(&with(1, "0")), Some(0));
}

#[test]
fn the_tools_that_google_runs_are_named_because_nothing_limits_them() {
    for tool in
        ["googleSearch", "googleSearchRetrieval", "urlContext", "codeExecution", "googleMaps", "fileSearch", "newest"]
    {
        let call = call(&ask(&format!(r#","tools":[{{"functionDeclarations":[]}},{{"{tool}":{{}}}}]"#)));
        let limits: Vec<_> = call.shape.server_tools.iter().map(|tool| (tool.name.as_str(), tool.max_uses)).collect();
        assert_eq!(limits, [(tool, None)]);
    }
    let own = call(&ask(r#","tools":[{"computerUse":{},"googleSearch":null}]"#)).shape;
    assert_eq!((own.tools, own.server_tools.len()), (1, 0));
    assert!(own.text_bytes > 16_000);
}

#[test]
fn media_count_by_the_piece_and_what_is_elsewhere_fills_the_window() {
    let data = "A".repeat(100_000);
    let blob = |kind: &str| with_part(&format!(r#"{{"inlineData":{{"mimeType":"{kind}","data":"{data}"}}}}"#)).shape;
    let (image, sound, pdf) = (blob("image/png"), blob("audio/wav"), blob("application/pdf"));
    assert_eq!((image.images, sound.sounds, pdf.documents), (1, 1, 1));
    for shape in [&image, &sound, &pdf] {
        assert!(shape.text_bytes < 200 && shape.opaque.is_empty(), "{shape:?}");
    }
    assert_eq!(blob("video/mp4").opaque, ["a video"]);
    assert!(blob("text/plain").text_bytes > 100_000);
    assert_eq!(blob("application/x-odd").opaque, ["data of an unknown type"]);
    let snake = r#"{"inline_data":{"mime_type":"image/png","data":"AAAA"}}"#;
    assert_eq!(with_part(snake).shape.images, 1);
    let nested = format!(r#"{{"functionResponse":{{"name":"f","response":{{}},"parts":[{snake}]}}}}"#);
    assert_eq!(with_part(&nested).shape.images, 1);
    assert_eq!(with_part(r#"{"fileData":{"fileUri":"https://x/files/f"}}"#).shape.opaque, ["a file"]);
    assert_eq!(with_part(r#"{"hologram":{}}"#).shape.unknown, ["part hologram"]);
    assert_eq!(call(&ask(r#","cachedContent":"cachedContents/c""#)).shape.opaque, ["cached content"]);
    assert!(call(&ask(r#","continuationToken":"c""#)).shape.opaque.len() == 1);
}

#[test]
fn what_the_model_reads_is_weighed_and_the_rest_is_not() {
    let bytes = |more: &str| call(&ask(more)).shape.text_bytes;
    let schema = r#"{"type":"OBJECT","properties":{"a":{"type":"STRING"}}}"#;
    let weight = u64::try_from(schema.len()).unwrap();
    for more in [
        format!(r#","generationConfig":{{"responseSchema":{schema}}}"#),
        format!(r#","generationConfig":{{"response_json_schema":{schema}}}"#),
        format!(r#","tools":[{{"functionDeclarations":[{schema}]}}]"#),
        format!(r#","generationConfig":{{"whatever":{schema}}}"#),
    ] {
        assert!(bytes(&more) > bytes("") + weight, "{more}");
    }
    assert_eq!(bytes(r#","generationConfig":{"stopSequences":["a long text that ends"],"seed":1}"#), bytes(""));
    let args = with_part(r#"{"functionCall":{"name":"f","args":{"a":"b"}},"thoughtSignature":"c2ln"}"#).shape;
    assert!(args.text_bytes > 60 && args.unknown.is_empty());
}

#[test]
fn what_nobody_knows_passes_and_is_named() {
    let odd = r#","turbo":1,"generationConfig":{"warp":1,"responseModalities":["TEXT","IMAGE"],"speechConfig":{}}"#;
    let expected =
        ["turbo", "generationConfig.warp", "generationConfig.speechConfig", "generationConfig.responseModalities"];
    assert_eq!(call(&ask(odd)).shape.unknown, expected);
}

#[test]
fn google_is_asked_to_count_what_it_would_read() {
    let Counts::Provider { path, body, tokens } = GENERATE.counts else { panic!("Google counts") };
    assert_eq!((path, tokens), ("/v1beta/models/{model}:countTokens", "/totalTokens"));
    let asked = body(ask(r#","tools":[],"generationConfig":{"topK":1},"labels":{}"#).as_bytes(), "gemini-3").unwrap();
    let asked: Json = serde_json::from_slice(&asked).unwrap();
    let contents = json!([{ "role": "user", "parts": [{ "text": "hi" }] }]);
    let request = json!({ "model": "models/gemini-3", "contents": contents, "tools": [] });
    assert_eq!(asked, json!({ "generateContentRequest": request }));
    assert!(body(ask(r#","generationConfig":{"responseSchema":{}}"#).as_bytes(), "m").is_err());
    assert!(body(ask(r#","generation_config":{"response_json_schema":{}}"#).as_bytes(), "m").is_err());
    let count = super::read(&COUNT_TOKENS, "/v1beta/models/m:countTokens", &HeaderMap::new(), &asked_bytes()).unwrap();
    assert_eq!(count.rewrite(&asked_bytes().into(), 7), asked_bytes());
}

fn asked_bytes() -> Vec<u8> {
    br#"{"generateContentRequest":{"model":"models/m","contents":[]}}"#.to_vec()
}

#[test]
fn recorded_requests_are_read_and_rewritten() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/recorded/exchanges");
    let Ok(files) = std::fs::read_dir(folder) else {
        println!("no recorded exchanges at {folder}: nothing checked");
        return;
    };
    let mut seen = 0;
    for file in files.map(|file| file.unwrap().path()) {
        let Ok(exchange) = serde_json::from_slice::<Json>(&std::fs::read(&file).unwrap()) else { continue };
        if exchange["provider"] != "gemini" || !exchange["request"].is_object() {
            continue;
        }
        seen += 1;
        let body = Bytes::from(exchange["request"].to_string());
        let call = call(std::str::from_utf8(&body).unwrap());
        assert_eq!(call.shape.unknown, [""; 0], "{}", file.display());
        let sent: Json = serde_json::from_slice(&call.rewrite(&body, 77)).unwrap();
        assert_eq!(sent["generationConfig"]["maxOutputTokens"], 77, "{}", file.display());
        let mut rest = sent.clone();
        rest["generationConfig"].as_object_mut().unwrap().remove("maxOutputTokens");
        for (name, value) in
            exchange["request"].as_object().unwrap().iter().filter(|(name, _)| *name != "generationConfig")
        {
            assert_eq!(rest[name], *value, "{}: {name}", file.display());
        }
    }
    assert!(seen > 12, "{seen} requests");
}

/// Bodies made of members that matter, in any order and of any type.
fn body() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "maxOutputTokens",
        "max_output_tokens",
        "max\\u005foutput_tokens",
        "candidateCount",
        "candidate_count",
        "thinkingConfig",
        "thinking_config",
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
        "{}",
        "{\"thinkingBudget\":5000}",
        "{\"thinking_budget\":5000}",
        "{\"thinkingBudget\":-1}",
        "{\"thinkingBudget\":5,\"thinking_budget\":null}",
    ]);
    let holder = prop::sample::select(vec!["generationConfig", "generation_config", "generation\\u0043onfig"]);
    let config = prop::collection::vec((name, value), 0..6).prop_map(|members| {
        members.iter().map(|(name, value)| format!(" \"{name}\" :{value}")).collect::<Vec<_>>().join(",")
    });
    prop::collection::vec((holder, config), 0..3).prop_map(|configs| {
        ask(&configs.iter().map(|(name, members)| format!(",\"{name}\" : {{{members}}}")).collect::<String>())
    })
}

proptest! {
    #[test]
    fn every_body_that_is_read_goes_on_with_one_cap(body in body(), cap in 1..200_000_u64) {
        let Ok(call) = read(&body) else { return Ok(()) };
        let sent = call.rewrite(&Bytes::from(body.clone()), cap);
        let again = read(std::str::from_utf8(&sent).unwrap()).unwrap();
        let allowed = call.asked_output.map_or(cap, |asked| asked.min(cap));
        prop_assert_eq!(again.asked_output, Some(allowed));
        prop_assert_eq!(again.rewrite(&sent, cap).as_ptr(), sent.as_ptr(), "it settles at once");
        prop_assert_eq!(again.shape.choices, call.shape.choices);
        let sent: Json = serde_json::from_slice(&sent).unwrap();
        let caps = ["generationConfig", "generation_config"].iter().flat_map(|holder| {
            ["maxOutputTokens", "max_output_tokens"].iter().filter(|cap| sent[*holder].get(*cap).is_some())
        });
        prop_assert_eq!(caps.count(), 1);
    }
}
