//! Every dialect, streamed and not, from the documented forms: written here, so that they mean something without any
//! recording.

mod common;

use almoner_meter::Dialect::{
    AnthropicMessages, Gemini, GeminiInteractions, Ollama, OpenAiChat, OpenAiCompletions, OpenAiEmbeddings,
    OpenAiResponses,
};
use almoner_meter::Framing::{Json, JsonArray, Ndjson, Sse};
use almoner_meter::Meter;
use common::check;

const START: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","model":"claude-x","stop_reason":null,"usage":{"input_tokens":10,"cache_creation_input_tokens":5,"cache_read_input_tokens":100,"cache_creation":{"ephemeral_5m_input_tokens":5,"ephemeral_1h_input_tokens":0},"output_tokens":1,"service_tier":"standard"}}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"the \"usage\": {\"output_tokens\": 999}"}}

"#;

#[test]
fn an_anthropic_message_is_read() {
    check(
        AnthropicMessages,
        Json,
        r#"{"id":"msg_1","type":"message","model":"claude-x","content":[{"type":"text","text":"\"usage\": {\"input_tokens\": 9}"}],
            "stop_reason":"end_turn","usage":{"input_tokens":10,"output_tokens":5}}"#,
        "in 10 read 0 5m 0 1h 0 out 5 think - | claude-x finished end_turn id=msg_1",
    );
}

#[test]
fn anthropic_deltas_replace_what_they_name() {
    let delta = r#"event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":12,"cache_read_input_tokens":null,"output_tokens":40,"output_tokens_details":{"thinking_tokens":7},"server_tool_use":{"web_search_requests":2,"web_fetch_requests":0}}}

event: message_stop
data: {"type":"message_stop"}

"#;
    check(
        AnthropicMessages,
        Sse,
        format!("{START}{delta}"),
        "in 12 read 100 5m 5 1h 0 out 40 think 7 | claude-x finished end_turn id=msg_1 tier=standard \
         tools={\"web_search_requests\": 2}",
    );
}

#[test]
fn a_cut_anthropic_stream_tells_a_lower_bound() {
    check(
        AnthropicMessages,
        Sse,
        START,
        "in 10 read 100 5m 5 1h 0 out 1 think - | claude-x cut - id=msg_1 tier=standard bound=lower",
    );
}

#[test]
fn an_error_in_an_anthropic_stream_keeps_what_was_told() {
    check(
        AnthropicMessages,
        Sse,
        format!(
            "{START}event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}}}\n\n"
        ),
        "in 10 read 100 5m 5 1h 0 out 1 think - | claude-x cut - id=msg_1 tier=standard bound=lower \
         error=overloaded_error/-/-/Overloaded",
    );
}

#[test]
fn anthropic_errors_book_nothing() {
    let none = "in - read - 5m - 1h - out - think - | - cut - usage=none";
    check(
        AnthropicMessages,
        Json,
        r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}"#,
        &format!("{none} error=rate_limit_error/-/-/slow down"),
    );
    check(AnthropicMessages, Json, r#"{"error":"no such route"}"#, &format!("{none} error=-/-/-/no such route"));
}

#[test]
fn anthropic_iterations_are_billed_each_at_its_model() {
    check(
        AnthropicMessages,
        Json,
        r#"{"type":"message","model":"m","stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":4,"iterations":[
            {"type":"compaction","input_tokens":1000,"output_tokens":50,"cache_read_input_tokens":7},
            {"type":"message","input_tokens":3,"output_tokens":4},
            {"type":"advisor_message","model":"big","input_tokens":20,"output_tokens":6},
            {"type":"advisor_message","model":"big","input_tokens":1,"output_tokens":1,"cache_creation_input_tokens":2}]}}"#,
        "in 1003 read 7 5m 0 1h 0 out 54 think - | m finished end_turn ttl=assumed \
         top=in 3 read 0 5m 0 1h 0 out 4 think - big=in 21 read 0 5m 2 1h 0 out 7 think -",
    );
    for odd in ["7", "[7]", "{}"] {
        let body = format!(
            r#"{{"type":"message","model":"m","usage":{{"input_tokens":3,"output_tokens":4,"iterations":{odd}}}}}"#
        );
        check(AnthropicMessages, Json, body, "in 3 read 0 5m 0 1h 0 out 4 think - | m finished - fault=Malformedx1");
    }
}

#[test]
fn cache_writes_are_split_by_their_lifetime() {
    for (writes, read) in [
        (r#""cache_creation_input_tokens":9"#, "5m 9 1h 0 out 2 think - | m finished - ttl=assumed"),
        (r#""cache_creation":{"ephemeral_1h_input_tokens":9}"#, "5m 0 1h 9 out 2 think - | m finished -"),
        (
            r#""cache_creation_input_tokens":9,"cache_creation":{"ephemeral_1h_input_tokens":4}"#,
            "5m 0 1h 9 out 2 think - | m finished - ttl=assumed",
        ),
        (
            r#""cache_creation_input_tokens":9,"cache_creation":{"ephemeral_5m_input_tokens":2,"ephemeral_1h_input_tokens":4}"#,
            "5m 5 1h 4 out 2 think - | m finished - ttl=assumed",
        ),
        (
            r#""cache_creation_input_tokens":1,"cache_creation":{"ephemeral_5m_input_tokens":2}"#,
            "5m 2 1h 0 out 2 think - | m finished - fault=CacheSplitx1",
        ),
    ] {
        let body =
            format!(r#"{{"type":"message","model":"m","usage":{{"input_tokens":1,{writes},"output_tokens":2}}}}"#);
        check(AnthropicMessages, Json, body, &format!("in 1 read 0 {read}"));
    }
}

#[test]
fn a_chat_completion_is_read() {
    check(
        OpenAiChat,
        Json,
        r#"{"id":"c1","model":"gpt-x","service_tier":"default","choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}],
            "usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":30,"audio_tokens":4},
            "completion_tokens_details":{"reasoning_tokens":15,"audio_tokens":0}}}"#,
        "in 10 read 60 5m 30 1h 0 out 20 think 15 | gpt-x finished stop id=c1 tier=default audio_in=4 ttl=assumed",
    );
}

fn chat_stream(events: &[&str]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

#[test]
fn the_last_usage_of_a_chat_stream_wins() {
    let stream = chat_stream(&[
        r#"{"id":"c1","model":"","choices":[],"prompt_filter_results":[]}"#,
        r#"{"id":"c1","model":"gpt-x","choices":[{"delta":{"content":"\"usage\":{\"prompt_tokens\":9}"},"finish_reason":null}],"usage":{"prompt_tokens":7,"completion_tokens":1}}"#,
        r#"{"id":"c1","model":"gpt-x","choices":[{"delta":{},"finish_reason":"stop"}],"usage":null}"#,
        r#"{"id":"c1","model":"gpt-x","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}"#,
        "[DONE]",
    ]);
    check(OpenAiChat, Sse, stream, "in 7 read 0 5m 0 1h 0 out 2 think - | gpt-x finished stop id=c1");
}

#[test]
fn a_chat_stream_without_usage_says_nothing() {
    let stream = chat_stream(&[r#"{"model":"m","choices":[{"delta":{},"finish_reason":"stop"}]}"#, "[DONE]"]);
    check(OpenAiChat, Sse, stream, "in - read - 5m - 1h - out - think - | m finished stop usage=none");
    check(OpenAiChat, Sse, "data: [DONE]", "in - read - 5m - 1h - out - think - | - finished - usage=none");
}

#[test]
fn groq_counts_stand_elsewhere_and_only_count_alone() {
    let aside = r#"{"model":"m","choices":[{"finish_reason":"stop"}],"x_groq":{"usage":{"prompt_tokens":7,"completion_tokens":2}}}"#;
    let read = "in 7 read 0 5m 0 1h 0 out 2 think - | m finished stop";
    check(OpenAiChat, Sse, chat_stream(&[aside]), read);
    let top = r#"{"usage":{"prompt_tokens":7,"completion_tokens":3}}"#;
    let read = "in 7 read 0 5m 0 1h 0 out 3 think - | m finished stop";
    check(OpenAiChat, Sse, chat_stream(&[aside, top]), read);
    check(OpenAiChat, Sse, chat_stream(&[top, aside]), read);
}

#[test]
fn what_chat_upstreams_do_to_their_numbers() {
    for (usage, read) in [
        // Reasoning outside the completion: the total gives it away.
        (
            r#""prompt_tokens":10,"completion_tokens":2,"total_tokens":42,"completion_tokens_details":{"reasoning_tokens":30},"cost_in_usd_ticks":739000"#,
            "in 10 read 0 5m 0 1h 0 out 32 think 30 | google/g finished - cost=0.0000739",
        ),
        // The same where only the bill does.
        (
            r#""prompt_tokens":28,"completion_tokens":9,"total_tokens":37,"cost":0.000968,"market_cost":0.000968,"completion_tokens_details":{"reasoning_tokens":67}"#,
            "in 28 read 0 5m 0 1h 0 out 76 think 67 | google/g finished - cost=0.000968",
        ),
        (
            r#""prompt_tokens":43,"completion_tokens":10,"total_tokens":53,"completion_tokens_details":{"reasoning_tokens":11}"#,
            "in 43 read 0 5m 0 1h 0 out 10 think 11 | google/g finished - fault=ReasoningExceedsOutputx1",
        ),
        (
            r#""prompt_tokens":35,"completion_tokens":12,"total_tokens":109"#,
            "in 35 read 0 5m 0 1h 0 out 74 think - | google/g finished - fault=TotalUnexplainedx1",
        ),
        (
            r#""prompt_tokens":10,"completion_tokens":1,"cached_tokens":4"#,
            "in 6 read 4 5m 0 1h 0 out 1 think - | google/g finished -",
        ),
        (
            r#""prompt_tokens":10,"completion_tokens":1,"prompt_cache_hit_tokens":9"#,
            "in 1 read 9 5m 0 1h 0 out 1 think - | google/g finished -",
        ),
        // Reads and writes overlap; then a read that does not fit.
        (
            r#""prompt_tokens":10,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":8,"cache_write_tokens":8}"#,
            "in 2 read 8 5m 8 1h 0 out 1 think - | google/g finished - ttl=assumed fault=CacheOverlapx1",
        ),
        (
            r#""prompt_tokens":7,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":163}"#,
            "in 0 read 7 5m 0 1h 0 out 1 think - | google/g finished - fault=CacheExceedsInputx1",
        ),
        // Sound that is told in seconds, among the tokens of the prompt or beside them, and where there was none.
        (
            r#""prompt_tokens":400,"completion_tokens":1,"total_tokens":401,"prompt_audio_seconds":30"#,
            "in 400 read 0 5m 0 1h 0 out 1 think - | google/g finished - audio_in=375",
        ),
        (
            r#""prompt_tokens":7,"completion_tokens":1,"total_tokens":8,"prompt_audio_seconds":3"#,
            "in 38 read 0 5m 0 1h 0 out 1 think - | google/g finished - audio_in=38",
        ),
        (
            r#""prompt_tokens":7,"completion_tokens":1,"prompt_audio_seconds":{}"#,
            "in 7 read 0 5m 0 1h 0 out 1 think - | google/g finished -",
        ),
        (
            r#""prompt_tokens":7,"completion_tokens":1,"cost":{"total_cost":0.5}"#,
            "in 7 read 0 5m 0 1h 0 out 1 think - | google/g finished - cost=0.5",
        ),
        (
            r#""prompt_tokens":7,"completion_tokens":1,"cost":"0.25""#,
            "in 7 read 0 5m 0 1h 0 out 1 think - | google/g finished - cost=0.25",
        ),
        (
            r#""prompt_tokens":7,"completion_tokens":1,"cost":-1"#,
            "in 7 read 0 5m 0 1h 0 out 1 think - | google/g finished - fault=NotACostx1",
        ),
    ] {
        let stream = chat_stream(&[&format!(r#"{{"model":"google/g","choices":[],"usage":{{{usage}}}}}"#), "[DONE]"]);
        check(OpenAiChat, Sse, stream, read);
    }
}

#[test]
fn errors_in_a_chat_answer_are_told() {
    let none = "in - read - 5m - 1h - out - think - | m";
    let chunk = r#"{"model":"m","choices":[{"delta":{"content":"a"},"finish_reason":null}]}"#;
    let error = r#"{"error":{"message":"bad","type":"invalid_request_error","code":"tool_use_failed"}}"#;
    check(
        OpenAiChat,
        Sse,
        chat_stream(&[chunk, error]),
        &format!("{none} cut - usage=none error=invalid_request_error/tool_use_failed/-/bad"),
    );
    let inside = r#"{"model":"m","choices":[{"error":{"code":502,"message":"upstream"},"finish_reason":"error"}]}"#;
    check(OpenAiChat, Sse, chat_stream(&[inside]), &format!("{none} finished error usage=none error=-/502/-/upstream"));
}

#[test]
fn completions_and_embeddings_are_read() {
    let stream = chat_stream(&[
        r#"{"model":"davinci","choices":[{"text":"a","finish_reason":null}],"usage":null}"#,
        r#"{"model":"davinci","choices":[{"text":"","finish_reason":"length"}],"usage":null}"#,
        r#"{"model":"davinci","choices":[],"usage":{"prompt_tokens":31,"completion_tokens":25,"total_tokens":56}}"#,
        "[DONE]",
    ]);
    check(OpenAiCompletions, Sse, stream, "in 31 read 0 5m 0 1h 0 out 25 think - | davinci finished length");
    check(
        OpenAiEmbeddings,
        Json,
        r#"{"object":"list","data":[{"embedding":[0.1,-0.2]}],"model":"ada","usage":{"prompt_tokens":4,"total_tokens":4}}"#,
        "in 4 read 0 5m 0 1h 0 out 0 think - | ada finished -",
    );
    for usage in [r#"{"prompt_tokens":4,"total_tokens":9}"#, r#"{"prompt_tokens":9,"total_tokens":4}"#] {
        let answer = format!(r#"{{"data":[],"model":"v","usage":{usage}}}"#);
        check(OpenAiEmbeddings, Json, answer, "in 9 read 0 5m 0 1h 0 out 0 think - | v finished -");
    }
    check(
        OpenAiEmbeddings,
        Json,
        r#"{"error":{"message":"no","type":"t","code":null}}"#,
        "in - read - 5m - 1h - out - think - | - cut - usage=none error=t/-/-/no",
    );
}

const RESPONSE: &str = r#"{"id":"r1","object":"response","model":"gpt-x","status":"STATUS","service_tier":"flex","error":null,"usage":{"input_tokens":100,"input_tokens_details":{"cached_tokens":40,"cache_write_tokens":10},"output_tokens":20,"output_tokens_details":{"reasoning_tokens":5},"total_tokens":120}}"#;

#[test]
fn a_response_is_read_streamed_or_not() {
    let read = "in 50 read 40 5m 10 1h 0 out 20 think 5 | gpt-x finished completed id=r1 tier=flex";
    let response = RESPONSE.replace("STATUS", "completed");
    check(OpenAiResponses, Json, &response, read);
    let created = r#"event: response.created
data: {"type":"response.created","response":{"id":"r1","model":"gpt-x","status":"in_progress","service_tier":"auto","usage":null}}

event: response.output_text.delta
data: {"type":"response.output_text.delta","delta":"\"response\": {\"usage\": 1}"}

"#;
    let done =
        format!("event: response.completed\ndata: {{\"type\":\"response.completed\",\"response\":{response}}}\n\n");
    check(OpenAiResponses, Sse, format!("{created}{done}"), read);
    check(OpenAiResponses, Sse, created, "in - read - 5m - 1h - out - think - | gpt-x cut - id=r1 usage=none");
}

#[test]
fn the_searches_of_a_response_are_counted_once_and_pages_opened_are_none() {
    let search = r#"{"type":"web_search_call","id":"ws","action":{"type":"search","query":"a"}}"#;
    let bare = r#"{"type" : "web_search_call","id":"ws"}"#;
    let page = r#"{"type":"web_search_call","action":{"type":"open_page","url":"u"}}"#;
    let text = r#"{"type":"message","content":[{"type":"output_text","text":"a \"web_search_call\""}]}"#;
    let items = [search, page, bare, text];
    let whole = RESPONSE.replace("STATUS", "completed").replace("\"usage\"", "\"output\":[ITEMS],\"usage\"");
    let done = |output: &str| {
        let response = whole.replace("ITEMS", output);
        format!("data: {{\"type\":\"response.completed\",\"response\":{response}}}\n\n")
    };
    let told = |item: &&str| format!("data: {{\"type\":\"response.output_item.done\",\"item\":{item}}}\n\n");
    let one_by_one: String = items.iter().map(told).collect();
    assert_eq!(searches(Json, &whole.replace("ITEMS", &items.join(","))), 2);
    assert_eq!(searches(Sse, &format!("{one_by_one}{}", done(&items.join(",")))), 2);
    assert_eq!(searches(Sse, &format!("{one_by_one}{}", done(""))), 2);
    assert_eq!(searches(Json, &whole.replace("ITEMS", text)), 0);
}

fn searches(framing: almoner_meter::Framing, answer: &str) -> u64 {
    let mut meter = almoner_meter::Meter::new(OpenAiResponses, framing);
    meter.feed(answer.as_bytes());
    meter.finish().searches_shown
}

#[test]
fn a_response_that_ends_otherwise_says_so() {
    for status in ["incomplete", "failed"] {
        let read = format!("in 50 read 40 5m 10 1h 0 out 20 think 5 | gpt-x finished {status} id=r1 tier=flex");
        check(OpenAiResponses, Json, RESPONSE.replace("STATUS", status), &read);
    }
    let queued = r#"{"id":"r1","object":"response","model":"gpt-x","status":"queued","usage":null,"error":null}"#;
    check(OpenAiResponses, Json, queued, "in - read - 5m - 1h - out - think - | gpt-x cut queued id=r1 usage=none");
    let failed = r#"data: {"type":"response.failed","response":{"id":"r1","model":"gpt-x","status":"failed","error":{"code":"server_error","message":"oops"},"usage":null}}"#;
    let read =
        "in - read - 5m - 1h - out - think - | gpt-x finished failed id=r1 usage=none error=-/server_error/-/oops";
    check(OpenAiResponses, Sse, failed, read);
    for (error, read) in [
        (r#"{"type":"error","code":"rate_limit","message":"slow","param":null}"#, "-/rate_limit/-/slow"),
        (r#"{"type":"error","error":{"type":"t","code":"c","message":"slow"}}"#, "t/c/-/slow"),
    ] {
        let read = format!("in - read - 5m - 1h - out - think - | - cut - usage=none error={read}");
        check(OpenAiResponses, Sse, format!("data: {error}\n\n"), &read);
    }
}

const GEMINI: [&str; 2] = [
    r#"{"candidates":[{"content":{"parts":[{"text":"a } \" b"}]}}],"usageMetadata":{"promptTokenCount":120,"thoughtsTokenCount":30},"modelVersion":"gemini-x","responseId":"g1"}"#,
    r#"{"candidates":[{"content":{"parts":[{"text":"c"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":60,"toolUsePromptTokenCount":5,"candidatesTokenCount":8,"thoughtsTokenCount":30,"serviceTier":"standard"},"modelVersion":"gemini-x","responseId":"g1"}"#,
];

const GEMINI_READ: &str =
    "in 45 read 60 5m 0 1h 0 out 38 think 30 | gemini-x finished STOP id=g1 tier=standard tool_use=5";

#[test]
fn the_last_gemini_usage_wins_in_every_framing() {
    let [first, last] = GEMINI;
    check(Gemini, Json, last, GEMINI_READ);
    check(Gemini, Sse, format!("data: {first}\r\n\r\ndata: {last}\r\n\r\n"), GEMINI_READ);
    check(Gemini, JsonArray, format!("[{first}\n,\r\n{last}\n]\n"), GEMINI_READ);
    check(Gemini, Json, format!("\u{feff} [{first},{last}]"), GEMINI_READ);
    check(Gemini, Sse, format!("data: {{\"response\":{last}}}\n\n"), GEMINI_READ);
}

#[test]
fn what_gemini_heard_and_what_it_drew_is_told_apart_from_text() {
    let read = |details: &str| {
        let usage = format!("{{\"promptTokenCount\":100,\"candidatesTokenCount\":9,{details}}}");
        let mut meter = Meter::new(Gemini, Json);
        meter.feed(format!("{{\"candidates\":[],\"usageMetadata\":{usage}}}").as_bytes());
        let reading = meter.finish();
        (reading.input_audio_tokens, reading.cached_audio_tokens, reading.output_audio_tokens)
    };
    let prompt = r#""promptTokensDetails":[{"modality":"TEXT","tokenCount":20},{"modality":"AUDIO","tokenCount":80}]"#;
    assert_eq!(read(prompt), (Some(80), None, None));
    let cached = |all: u64| {
        format!(
            r#"{prompt},"cachedContentTokenCount":{all},"cacheTokensDetails":[{{"modality":"AUDIO","tokenCount":30}}]"#
        )
    };
    assert_eq!(read(&cached(40)), (Some(50), Some(30), None));
    assert_eq!(read(&cached(20)), (Some(50), Some(20), None), "no more was read than was read");
    let more = r#""promptTokensDetails":[{"modality":"AUDIO","tokenCount":999}]"#;
    assert_eq!(read(more), (Some(100), None, None));
    let drawn = r#""candidatesTokensDetails":[{"modality":"TEXT","tokenCount":2},{"modality":"IMAGE","tokenCount":7}]"#;
    assert_eq!(read(drawn), (None, None, Some(7)));
    let nothing = r#""promptTokensDetails":"AUDIO","candidatesTokensDetails":[{"modality":"TEXT"}]"#;
    assert_eq!(read(nothing), (None, None, None));
}

#[test]
fn the_searches_of_gemini_stand_in_its_answer() {
    let searches = |model: &str, parts: &[&str]| {
        let mut meter = Meter::new(Gemini, Sse);
        for queries in parts {
            let grounds = format!("{{\"groundingMetadata\":{{\"webSearchQueries\":{queries}}}}}");
            meter.feed(format!("data: {{\"candidates\":[{grounds}],\"modelVersion\":\"{model}\"}}\n\n").as_bytes());
        }
        meter.finish().searches_shown
    };
    let queries = r#"["a","","b \" c"]"#;
    assert_eq!(searches("gemini-3.5-flash", &[queries]), 2);
    assert_eq!(searches("gemini-3.5-flash", &["[\"a\"]", queries, "[]"]), 2, "later parts repeat the earlier");
    assert_eq!(searches("gemini-2.5-flash", &[queries]), 1, "one for the whole answer");
    assert_eq!(searches("gemini-2.5-flash", &["[]", "null", "7"]), 0);
}

#[test]
fn a_gemini_stream_that_is_cut_or_blocked_says_so() {
    let [first, last] = GEMINI;
    let cut = "in 120 read 0 5m 0 1h 0 out 30 think 30 | gemini-x cut - id=g1 bound=lower";
    check(Gemini, Sse, format!("data: {first}\n\n"), cut);
    let cut_inside = format!("{cut} fault=Malformedx1");
    check(Gemini, Sse, format!("data: {first}\n\ndata: {}", &last[..40]), &cut_inside);
    check(Gemini, JsonArray, format!("[{first}\n,{}", &last[..40]), &cut_inside);
    check(
        Gemini,
        Json,
        r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":9}}"#,
        "in 9 read 0 5m 0 1h 0 out 0 think - | - finished SAFETY",
    );
    let withdrawn = format!("data: {first}\n\ndata: {{\"usageMetadata\":{{\"promptTokenCount\":120}}}}\n\n");
    let read = "in 120 read 0 5m 0 1h 0 out 0 think - | gemini-x cut - id=g1 bound=lower fault=ReasoningWithdrawnx1";
    check(Gemini, Sse, withdrawn, read);
}

#[test]
fn what_no_other_dialect_says_of_its_tokens_is_unknown_too() {
    let table = [
        (AnthropicMessages, r#"{"type":"message","content":[],"stop_reason":"end_turn","usage":{"input_tokens":9}}"#),
        (OpenAiChat, r#"{"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":9}}"#),
        (OpenAiChat, r#"{"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":null}}"#),
        (OpenAiCompletions, r#"{"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":9}}"#),
        (OpenAiResponses, r#"{"status":"completed","usage":{"input_tokens":9}}"#),
        (OpenAiResponses, r#"{"status":"completed","usage":{"input_tokens":9,"output_tokens":null}}"#),
        (Ollama, r#"{"done":true,"done_reason":"stop","prompt_eval_count":9}"#),
        (GeminiInteractions, r#"{"status":"completed","usage":{"total_input_tokens":9}}"#),
    ];
    for (dialect, body) in table {
        let mut meter = Meter::new(dialect, Json);
        meter.feed(body.as_bytes());
        let usage = meter.finish().usage;
        assert_eq!((usage.input, usage.output), (Some(9), None), "{dialect}: {body}");
    }
    let mut embeddings = Meter::new(OpenAiEmbeddings, Json);
    embeddings.feed(br#"{"data":[{"embedding":[1]}],"usage":{"total_tokens":9}}"#);
    assert_eq!(embeddings.finish().usage.input, None);
}

#[test]
fn what_gemini_does_not_say_of_its_output_is_unknown_unless_nothing_came() {
    let output = |parts: &str, usage: &str| {
        let candidate = format!(r#"{{"content":{{"parts":[{parts}]}},"finishReason":"STOP"}}"#);
        let body = format!(r#"{{"candidates":[{candidate}],"usageMetadata":{{"promptTokenCount":9{usage}}}}}"#);
        let mut meter = Meter::new(Gemini, Json);
        meter.feed(body.as_bytes());
        meter.finish().usage.output
    };
    let (said, thought, tool) = (r#"{"text":"a"}"#, r#"{"text":"a","thought":true}"#, r#"{"functionCall":{}}"#);
    let both = format!("{thought},{said}");
    let table = [
        (said, "", None),
        (tool, "", None),
        (thought, "", None),
        (&both, r#","thoughtsTokenCount":3"#, None),
        (said, r#","totalTokenCount":9"#, None),
        (said, r#","candidatesTokenCount":null"#, None),
        (said, r#","totalTokenCount":14"#, Some(5)),
        (&both, r#","totalTokenCount":14,"thoughtsTokenCount":3"#, Some(5)),
        (said, r#","totalTokenCount":15,"toolUsePromptTokenCount":4"#, Some(2)),
        (said, r#","candidatesTokenCount":0"#, Some(0)),
        (thought, r#","thoughtsTokenCount":3"#, Some(3)),
        (thought, r#","totalTokenCount":9"#, Some(0)),
        (r#"{"text":""}"#, "", Some(0)),
        ("", "", Some(0)),
    ];
    for (parts, usage, expected) in table {
        assert_eq!(output(parts, usage), expected, "{parts} {usage}");
    }
}

#[test]
fn a_gemini_error_is_told() {
    let error = r#"{"error":{"code":404,"message":"none such","status":"NOT_FOUND"}}"#;
    let read = "in - read - 5m - 1h - out - think - | - cut - usage=none error=-/404/NOT_FOUND/none such";
    check(Gemini, Json, error, read);
    check(Gemini, JsonArray, format!("[{error}]"), read);
    check(Gemini, JsonArray, error, read);
}

#[test]
fn a_gemini_interaction_is_read_streamed_or_not() {
    let body = r#"{"id":"i1","status":"completed","model":"gemini-x","usage":{"total_tokens":229,"total_input_tokens":9,"total_cached_tokens":2,"total_output_tokens":13,"total_tool_use_tokens":4,"total_thought_tokens":207}}"#;
    let read = "in 11 read 2 5m 0 1h 0 out 220 think 207 | gemini-x finished completed id=i1 tool_use=4";
    check(GeminiInteractions, Json, body, read);
    let start =
        r#"{"event_type":"interaction.start","interaction":{"id":"i1","status":"in_progress","model":"gemini-x"}}"#;
    let end = format!(r#"{{"event_type":"interaction.complete","interaction":{body}}}"#);
    check(GeminiInteractions, Sse, chat_stream(&[start, &end, "[DONE]"]), read);
}

#[test]
fn ollama_tells_its_counts_when_it_is_done() {
    let line = r#"{"model":"llama","message":{"content":"\"done\":true,\"eval_count\":9"},"done":false}"#;
    let done = r#"{"model":"llama","message":{"content":""},"done_reason":"stop","done":true,"prompt_eval_count":26,"eval_count":298}"#;
    let read = "in 26 read 0 5m 0 1h 0 out 298 think - | llama finished stop";
    check(Ollama, Ndjson, format!("{line}\n{line}\n{done}\n"), read);
    check(Ollama, Ndjson, format!("{line}\r\n\r\n{done}"), read);
    check(Ollama, Json, done, read);
    check(Ollama, Ndjson, format!("{line}\n"), "in - read - 5m - 1h - out - think - | llama cut - usage=none");
}

#[test]
fn ollama_leaves_out_what_it_did_not_do() {
    check(
        Ollama,
        Json,
        r#"{"model":"llama","response":"hi","done":true,"eval_count":79}"#,
        "in - read 0 5m 0 1h 0 out 79 think - | llama finished -",
    );
    check(
        Ollama,
        Json,
        r#"{"model":"minilm","embeddings":[[0.1]],"total_duration":14,"prompt_eval_count":8}"#,
        "in 8 read 0 5m 0 1h 0 out 0 think - | minilm finished -",
    );
    check(
        Ollama,
        Json,
        r#"{"error":"model 'x' not found"}"#,
        "in - read - 5m - 1h - out - think - | - cut - usage=none error=-/-/-/model 'x' not found",
    );
}
