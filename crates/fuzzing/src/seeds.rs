//! Small inputs to begin with, written from the documented forms, and words that mean something to a reader.

use almoner_meter::Dialect;

use crate::framing::input;

/// Words that a random change puts in.
pub const WORDS: [&str; 72] = [
    "data: ",
    "data:",
    "event: message_stop\n",
    "event: error\n",
    ": ping\n",
    "\n\n",
    "\r\n",
    "\r",
    "[DONE]",
    "\u{feff}",
    "\\u0075",
    "\\ud83e",
    "\\\"",
    "\"usage\":",
    "\"usage\":null",
    "\"usage\":{}",
    "\"choices\":[]",
    "\"choices\":[{",
    "\"type\":\"message_delta\"",
    "\"type\":\"message_start\"",
    "\"finish_reason\":\"stop\"",
    "\"input_tokens\":",
    "\"output_tokens\":",
    "\"prompt_tokens\":",
    "\"completion_tokens\":",
    "\"total_tokens\":",
    "\"iterations\":[{\"type\":\"compaction\"}]",
    "\"usageMetadata\":{",
    "\"done\":true",
    "\"error\":{\"message\":\"x\"}",
    "\"cost\":1e-5",
    "\"model\":\"m\",",
    "\"model\":",
    "\"max_tokens\":9,",
    "\"max_completion_tokens\":9,",
    "\"n_predict\":9,",
    "\"max\\u005ftokens\":7,",
    "\"n\":2,",
    "\"stream\":true,",
    "\"stream_options\":{},",
    "\"stream_options\":null,",
    "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":9000},",
    "\"tools\":[{\"type\":\"web_search_20250305\"}],",
    "{\"type\":\"web_search_20250305\",\"name\":\"w\"},",
    "{\"type\":\"tool_addition\",\"tool\":{\"definition\":{\"type\":\"web_fetch_20250910\"}}}",
    "\"fallbacks\":[],",
    "\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"},",
    "\"content\":[{\"type\":\"text\",\"text\":\"\u{fdfa}\"}],",
    "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"AAAA\"}}",
    "$5",
    "100k",
    "1M",
    "_",
    " / ",
    "sliding ",
    "lifetime",
    "day in Europe/Berlin",
    "uncached_tokens",
    " requests",
    "1h30m",
    "18446744073",
    "[[budget]]\n",
    "[[price]]\n",
    "[[provider]]\n",
    "limit = \"$1\"\n",
    "name = \"x\"\n",
    "- &a ",
    "*a",
    "!!str ",
    "budget:\n",
    "\"\"\"",
    "<<: ",
];

const ANTHROPIC_STREAM: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"m\",",
    "\"usage\":{\"input_tokens\":7,\"cache_creation_input_tokens\":3,\"cache_read_input_tokens\":2,",
    "\"output_tokens\":1}}}\n\n",
    "event: ping\ndata: {\"type\":\"ping\"}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"\\\"usage\\\"\"}}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},",
    "\"usage\":{\"output_tokens\":9,\"iterations\":[{\"type\":\"message\",\"input_tokens\":4,\"output_tokens\":5}]}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);

const CHAT_STREAM: &str = concat!(
    ": OPENROUTER PROCESSING\n\n",
    "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"hi\"},\"finish_reason\":null}],",
    "\"usage\":null}\r\n\r\n",
    "data: {\"model\":\"m\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,\"total_tokens\":9,",
    "\"prompt_tokens_details\":{\"cached_tokens\":4},\"cost\":0.25}}\n\ndata: [DONE]\n\n",
);

const RESPONSES_STREAM: &str = concat!(
    "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"model\":\"m\"}}\n\n",
    "data: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"usage\":{\"input_tokens\":4,",
    "\"input_tokens_details\":{\"cached_tokens\":1},\"output_tokens\":2,",
    "\"output_tokens_details\":{\"reasoning_tokens\":1}}}}\n\n",
);

const GEMINI_ARRAY: &str = concat!(
    "[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a ] } \\\\\"}]}}],\"modelVersion\":\"m\"}\n,\r\n",
    "{\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":8,",
    "\"cachedContentTokenCount\":3,\"candidatesTokenCount\":2,\"thoughtsTokenCount\":5}}]",
);

const OLLAMA_LINES: &str = concat!(
    "{\"model\":\"m\",\"message\":{\"content\":\"hi\"},\"done\":false}\n\n",
    "{\"model\":\"m\",\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":5,\"eval_count\":2}\n",
);

pub(crate) fn sse() -> Vec<Vec<u8>> {
    vec![
        input(Dialect::AnthropicMessages, 3, ANTHROPIC_STREAM),
        input(Dialect::OpenAiChat, 5, CHAT_STREAM),
        input(Dialect::OpenAiResponses, 7, RESPONSES_STREAM),
        input(Dialect::Gemini, 9, "data: {\"usageMetadata\":{\"promptTokenCount\":3}}\r\rdata: {\ndata: }\n\n"),
        input(
            Dialect::AnthropicMessages,
            1,
            "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n",
        ),
    ]
}

pub(crate) fn ndjson() -> Vec<Vec<u8>> {
    vec![
        input(Dialect::Ollama, 3, OLLAMA_LINES),
        input(Dialect::Ollama, 4, "{\"error\":\"model \\\"x\\\" not found\"}"),
        input(Dialect::OpenAiChat, 6, "{\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\r\n"),
    ]
}

pub(crate) fn json_array() -> Vec<Vec<u8>> {
    vec![
        input(Dialect::Gemini, 3, GEMINI_ARRAY),
        input(Dialect::Gemini, 5, "[]"),
        input(Dialect::Gemini, 7, "[{\"error\":{\"code\":429,\"status\":\"RESOURCE_EXHAUSTED\",\"message\":\"x\"}}]"),
    ]
}

pub(crate) fn json() -> Vec<Vec<u8>> {
    vec![
        input(
            Dialect::AnthropicMessages,
            3,
            r#"{"type":"message","model":"m","usage":{"input_tokens":7,"output_tokens":9}}"#,
        ),
        input(
            Dialect::OpenAiChat,
            5,
            r#"{"model":"m","choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":9}}"#,
        ),
        input(
            Dialect::OpenAiResponses,
            7,
            r#"{"model":"m","status":"completed","usage":{"input_tokens":4,"output_tokens":5}}"#,
        ),
        input(Dialect::OpenAiEmbeddings, 9, r#"{"model":"m","data":[],"usage":{"prompt_tokens":7,"total_tokens":7}}"#),
        input(Dialect::GeminiInteractions, 9, r#"{"model":"m","usage":{"total_input_tokens":7}}"#),
        input(Dialect::Ollama, 9, r#"{"model":"m","embeddings":[[0.5]],"prompt_eval_count":7}"#),
        input(Dialect::Gemini, 9, GEMINI_ARRAY),
        input(Dialect::OpenAiChat, 2, r#"{"error":{"type":"x","code":429,"message":"no"}}"#),
    ]
}

pub(crate) fn oversize() -> Vec<Vec<u8>> {
    let stretch =
        |dialect: u8, framing: u8, at: u8, answer: &str| [&[dialect, framing, 3, at, 200], answer.as_bytes()].concat();
    vec![
        stretch(
            0,
            0,
            100,
            "data: {\"type\":\"message_delta\",\"x\":\"aaaaaaaaaaaa\",\"usage\":{\"output_tokens\":9}}\n\n",
        ),
        stretch(7, 1, 80, "{\"model\":\"m\",\"x\":\"\u{1F980}\u{1F980}\u{1F980}\",\"done\":true,\"eval_count\":2}\n"),
        stretch(5, 2, 90, "[{\"x\":\"aaaaaaaa\"},{\"usageMetadata\":{\"promptTokenCount\":3}}]"),
    ]
}

/// What the gzip, bare deflate, brotli and zstd tools make of `data: {"usage":{"prompt_tokens":7}}` and two line ends.
pub(crate) fn encoding() -> Vec<Vec<u8>> {
    // Stored blocks need no packer: their frames are written by hand.
    let text: &[u8] = b"data: {\"usage\":{\"prompt_tokens\":7}}\n\n";
    let length = u8::try_from(text.len()).unwrap_or(0);
    let stored = [&[1, length, 0, !length, 255], text].concat();
    let zstd = [&[0x28, 0xb5, 0x2f, 0xfd, 0x20, length, 1 | (length << 3), length >> 5, 0], text].concat();
    let head = |name: u8, bytes: &[u8]| [&[1, name, 9], bytes].concat();
    vec![
        head(0, &[&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255], &stored[..]].concat()),
        head(1, &[&[0x78, 1], &stored[..]].concat()),
        head(1, &stored),
        head(2, &[&[0x0b, 0x12, 0x80], text, &[3]].concat()),
        head(3, &zstd),
        head(4, text),
    ]
}

pub(crate) fn usage() -> Vec<Vec<u8>> {
    let numbers: Vec<u8> = (0..200).map(|at: u8| at.wrapping_mul(37)).collect();
    let text = br#"0123456789\"usage\":{\"output_tokens\":1}} data: [DONE] \u0000 event: message_stop"#;
    let made =
        |dialect: u8| [&[dialect.wrapping_mul(53), dialect.wrapping_mul(19), dialect], &numbers[..], text].concat();
    (0..5).map(made).collect()
}

pub(crate) fn splice() -> Vec<Vec<u8>> {
    let request = |route: u8, body: &str| [&[route, 16, 0], body.as_bytes()].concat();
    vec![
        request(
            0,
            r#"{"model":"m","max_tokens":32000,"thinking":{"type":"enabled","budget_tokens":31999},"stream":true,
                "messages":[{"role":"user","content":[{"type":"text","text":"hi","cache_control":{"ttl":"1h"}}]}]}"#,
        ),
        request(
            4,
            r#"{ "model" : "m" , "messages" : [ ] , "tools" : [ {"type":"web_search_20250305","name":"w"} ] ,
                "fallbacks":[{"model":"x"}], "metadata":{"user_id":"user_a_session_b"} }"#,
        ),
        request(
            0,
            r#"{"model":"m","max_tokens":9000,"messages":[{"role":"system","content":[{"type":"tool_addition",
                "tool":{"definition":{"type":"web_search_20250305"}}}]}],"system":"s","service_tier":"auto"}"#,
        ),
        request(
            0,
            r#"{"model":"m","max_tokens":9000,"messages":[{"role":"user","content":[{"type":"tool_result",
                "content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA"}}]}]}]}"#,
        ),
        request(1, r#"{"model":"gpt-5","messages":[{"content":"hi"}],"max_completion_tokens":9000,"n":2}"#),
        request(
            1,
            r#"{"model":"m","messages":[{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,A"}}]}],
                "max_tokens":null,"n_predict":7,"stream":true,"stream_options":{"include_usage":false}}"#,
        ),
        request(
            1,
            r#"{"model":"m","messages":[],"stream":true,"tools":[{"type":"function","function":{"name":"f"}}],
                "prediction":{"type":"content","content":"x"},"response_format":{"type":"json_object"}}"#,
        ),
        request(2, r#"{"model":"m","messages":[{"content":"hi"}],"tools":[{"type":"web_fetch_20250910"}]}"#),
        request(
            3,
            r#"{"model":"gpt-5","input":[{"role":"user","content":[{"type":"input_text","text":"hi"}]},
                {"type":"function_call_output","call_id":"c","output":"x"}],"stream":true,"max_tokens":7,
                "tools":[{"type":"function","name":"f"},{"type":"web_search"}],"tool_choice":"auto"}"#,
        ),
        request(
            3,
            r#"{"model":"m","input":"hi","max_output_tokens":9000,"max_tool_calls":4,"previous_response_id":"r",
                "tools":[{"type":"web_search_preview"}],"context_management":[{"type":"compaction"}]}"#,
        ),
    ]
}

pub(crate) fn nested() -> Vec<Vec<u8>> {
    let request = |route: u8, body: &str| [&[route, 16, 0], body.as_bytes()].concat();
    vec![
        request(
            0,
            r#"{"contents":[{"role":"user","parts":[{"text":"hi"},{"inlineData":{"mimeType":"image/png","data":"AA"}}]}],
                "generationConfig":{"maxOutputTokens":9000,"candidateCount":2,
                "thinkingConfig":{"thinkingBudget":8000,"includeThoughts":true}},"tools":[{"googleSearch":{}}]}"#,
        ),
        request(
            1,
            r#"{"contents":{"parts":{"functionResponse":{"name":"f","response":{"a":1}}}},
                "generation_config" : { "max_output_tokens" : 7 , "thinking_config":{"thinking_budget":-1} } }"#,
        ),
        request(
            2,
            r#"{"model":"m","messages":[{"role":"user","content":"hi","images":["AA"]}],"options":{"num_predict":-1},
                "tools":[{"type":"function","function":{"name":"f"}}],"think":true,"stream":false}"#,
        ),
        request(3, r#"{"model":"m","prompt":"hi","context":[1,2],"options":{"num_predict":9000,"seed":1}}"#),
    ]
}

pub(crate) fn stream() -> Vec<Vec<u8>> {
    let stream = |choice: u8, answer: &str| [&[choice, 5], answer.as_bytes()].concat();
    vec![
        stream(0, ANTHROPIC_STREAM),
        stream(1, CHAT_STREAM),
        stream(9, "data: {\"choices\":[],\"usage\":{}}\r\n\r\ndata: [DONE]\r\r"),
        stream(3, "data: {\"usage\":{},\ndata: \"choices\": []}\n\n: ping\ndata: {\"choices\":[{}]}"),
    ]
}

pub(crate) fn limit() -> Vec<Vec<u8>> {
    let texts = [
        "100k tokens / sliding 1h",
        "$5.25 / day in Europe/Berlin",
        "1_234 uncached_tokens / lifetime",
        "2.5 usd/week",
        "7 requests / 1d1ms",
        "$1000 / month",
        "1h30m",
        "session",
        "a \"name\"",
    ];
    texts.map(|text| text.as_bytes().to_vec()).into()
}

pub(crate) fn config() -> Vec<Vec<u8>> {
    let toml = concat!(
        "listen = \"127.0.0.1:4141\"\nmax_output = 32_000\nwait_max = \"30s\"\n",
        "[[provider]]\nname = \"a\"\ndialects = [\"anthropic\"]\nbase_url = \"https://api.anthropic.com\"\n",
        "key = { env = \"ANTHROPIC_API_KEY\" }\n",
        "[[price]]\nmodel = \"m\"\ninput = 3.00\noutput = 15\n",
        "[[budget]]\nname = \"b\"\nper = [\"session\"]\nwhere = { model = \"claude-*\" }\n",
        "limit = [\"$5 / sliding 1h\", \"1M tokens / day\"]\nmode = \"throttle\"\nlevels = [70, 80, 90, 95]\n",
    );
    let json = concat!(
        "{\"strict\": true, \"provider\": [{\"name\": \"a\", \"dialects\": [\"openai-chat\"],",
        " \"base_url\": \"http://127.0.0.1:1\", \"free\": true, \"key\": {\"file\": \"k\"}}],",
        "\n \"budget\": [{\"name\": \"b\", \"limit\": \"$1 / day\"}]}",
    );
    let yaml = concat!(
        "# a comment\nlisten: 127.0.0.1:4141\nbudget:\n  - name: b\n    limit: &l [\"$1 / day\", 1M tokens / 24h]\n",
        "  - {name: \"c\", limit: *l, mode: stop-new}\nprice:\n- model: |\n    m\n  input: 3\n  output: 1.5\n",
    );
    let sample = almoner_config::sample();
    [(0, toml), (1, json), (2, yaml), (0, sample)].map(|(form, text)| [&[form], text.as_bytes()].concat()).into()
}

pub(crate) fn journal() -> Vec<Vec<u8>> {
    const HOLD: &str = concat!(
        r#"{"accounts":[0,4294967295],"ask":{"fixed":[1,2,3,4,5,6],"choices":1,"price":25000000,"caps":[9,8,7]},"#,
        r#""priority":"normal","cap":7,"amount":[1,2,3,4,5,6],"expires":1764028800000}"#,
    );
    let budget = concat!(
        r#"{"budget":{"name":"team","where":[["model","claude-*"]],"per":["session","tag.x"],"limits":["#,
        r#"{"meter":"usd","amount":5,"window":"lifetime"},{"meter":"tokens","amount":1,"window":{"fixed_ms":1000}},"#,
        r#"{"meter":"requests","amount":1,"window":{"calendar":{"unit":"day","zone":"Europe/Berlin"}}}],"#,
        r#""mode":"throttle","marks":[70,80,90,95]},"by":"me"}"#,
    );
    let assumed = format!(r#"{{"hold":{HOLD},"held_by":1,"cause":"a crash"}}"#);
    let corrected = format!(
        r#"{{"assumed":{{"hold":{HOLD},"held_by":1,"assumed_by":2,"assumed_at":3}},"spent":[1,2,3,4,5,6],"by":"me","reason":"r"}}"#
    );
    let rows: [(&str, &str, &str); 14] = [
        ("budget-set", "", budget),
        ("budget-removed", "", r#"{"name":"team","by":"me"}"#),
        ("account-opened", "", r#"{"account":7,"key":{"budget":"team","per":[["session","a=b, c"]]},"opener":"x"}"#),
        ("account-dropped", "", r#"{"account":7}"#),
        ("held", ID, HOLD),
        ("settled", ID, r#"{"spent":[1,2,3,4,5,18446744073709551615]}"#),
        ("released", ID, "{}"),
        ("released", ID, r#"{"refused_status":599}"#),
        ("assumed", ID, &assumed),
        ("corrected", ID, &corrected),
        ("added", ID, r#"{"accounts":[1],"spent":[1,2,3,4,5,6],"by":"me","reason":"r"}"#),
        ("reset", "", r#"{"account":1,"by":"me","reason":"r"}"#),
        ("level-changed", "", r#"{"account":1,"limit":255,"from":"none","to":"critical"}"#),
        ("unheard-of", "", "{}"),
    ];
    rows.map(|(kind, id, body)| format!("{kind}\n{id}\n{body}").into_bytes()).into()
}

/// The sixteen bytes of a call's id.
const ID: &str = "0123456789abcdef";

#[cfg(test)]
mod tests {
    use almoner_meter::{Decoder, Framing, Meter};

    use super::*;

    /// A seed that is refused at its first byte would try nothing.
    #[test]
    fn seeds_are_what_they_should_be() {
        for seed in journal().iter().take(13) {
            let text = String::from_utf8(seed.clone()).unwrap();
            let parts: Vec<&str> = text.splitn(3, '\n').collect();
            assert!(almoner_store::fuzzing::row(parts[0], parts[1].as_bytes(), parts[2]), "{text}");
        }
        for seed in encoding() {
            let name = ["gzip", "deflate", "br", "zstd", "identity"][usize::from(seed[1])];
            let mut decoder = Decoder::new(Some(name), Meter::new(Dialect::OpenAiChat, Framing::Sse)).unwrap();
            decoder.feed(&seed[3..]);
            assert_eq!(decoder.finish().usage.input, Some(7), "{name}");
        }
    }
}
