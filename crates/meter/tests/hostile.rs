//! What strangers send: nothing panics, nothing wraps, nothing grows without a bound, and the harm is named.

mod common;

use almoner_meter::Dialect::{self, AnthropicMessages, Gemini, Ollama, OpenAiChat};
use almoner_meter::Framing::{self, Json, JsonArray, Ndjson, Sse};
use almoner_meter::{BODY_MAX, EVENT_MAX, Fault, Meter};
use common::{check, in_pieces, line, read};

/// Everything that is no count.
const NO_COUNTS: [&str; 10] =
    ["-1", "1.5", "1e3", "1e300", "18446744073709551616", "\"7\"", "true", "[7]", "{\"a\":7}", "-0"];

#[test]
fn what_is_no_count_is_unknown_and_a_fault() {
    for number in NO_COUNTS {
        let answer =
            format!(r#"{{"type":"message","model":"m","usage":{{"input_tokens":{number},"output_tokens":5}}}}"#);
        let read = read(AnthropicMessages, Json, answer);
        assert_eq!((read.usage.input, read.usage.output), (None, Some(5)), "{number}");
        assert_eq!(read.faults.times(Fault::NotACount("input_tokens")), 1, "{number}");
    }
}

#[test]
fn no_part_of_an_unknown_input_is_guessed() {
    for (usage, expected) in [
        (r#""prompt_tokens":-5,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":3}"#, "in - read 3"),
        (r#""prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":-3}"#, "in - read -"),
        (r#""prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":7"#, "in 5 read 0"),
    ] {
        let read = line(&read(OpenAiChat, Json, format!(r#"{{"model":"m","choices":[],"usage":{{{usage}}}}}"#)));
        assert!(read.starts_with(expected), "{usage}: {read}");
    }
}

#[test]
fn a_sum_that_is_too_large_is_unknown() {
    let most = u64::MAX;
    check(
        Gemini,
        Json,
        format!(
            r#"{{"usageMetadata":{{"promptTokenCount":{most},"toolUsePromptTokenCount":1,"candidatesTokenCount":{most},"thoughtsTokenCount":1}}}}"#
        ),
        "in - read 0 5m 0 1h 0 out - think 1 | - cut - bound=lower tool_use=1 fault=SumTooLargex2",
    );
    check(
        OpenAiChat,
        Json,
        format!(
            r#"{{"model":"m","usage":{{"prompt_tokens":0,"completion_tokens":{most},"total_tokens":{most},"completion_tokens_details":{{"reasoning_tokens":{most}}}}}}}"#
        ),
        &format!("in 0 read 0 5m 0 1h 0 out {most} think {most} | m cut - bound=lower"),
    );
    check(
        AnthropicMessages,
        Json,
        format!(
            r#"{{"type":"message","model":"m","usage":{{"input_tokens":1,"output_tokens":1,"iterations":[{{"input_tokens":{most},"output_tokens":1,"cache_creation":{{"ephemeral_5m_input_tokens":{most},"ephemeral_1h_input_tokens":{most}}}}},{{"input_tokens":1,"output_tokens":1}}]}}}}"#
        ),
        "in - read 0 5m - 1h - out 2 think - | m finished - top=in 1 read 0 5m 0 1h 0 out 1 think - fault=SumTooLargex2",
    );
}

#[test]
fn usage_of_another_type_is_no_usage() {
    for usage in ["7", "\"usage\"", "[]", "[{\"prompt_tokens\":1}]", "true"] {
        let answer = format!(r#"{{"model":"m","choices":[],"usage":{usage}}}"#);
        check(OpenAiChat, Json, answer, "in - read - 5m - 1h - out - think - | m cut - usage=none fault=Malformedx1");
    }
    check(OpenAiChat, Json, r#"{"model":"m","usage":{}}"#, "in - read - 5m - 1h - out - think - | m cut - usage=none");
}

#[test]
fn members_of_another_type_hurt_nothing_else() {
    check(
        OpenAiChat,
        Json,
        r#"{"id":[],"model":7,"service_tier":{},"choices":"none","error":null,"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
        "in 1 read 0 5m 0 1h 0 out 2 think - | - cut - bound=lower",
    );
}

#[test]
fn the_last_of_repeated_members_counts_and_is_a_fault() {
    check(
        OpenAiChat,
        Json,
        r#"{"model":"m","usage":{"prompt_tokens":1,"completion_tokens":1},"usage":{"prompt_tokens":2,"completion_tokens":2}}"#,
        "in 2 read 0 5m 0 1h 0 out 2 think - | m cut - bound=lower fault=RepeatedMemberx1",
    );
    check(
        OpenAiChat,
        Json,
        r#"{"model":"m","usage":{"prompt_tokens":1,"prompt_tokens":3,"completion_tokens":1}}"#,
        "in 3 read 0 5m 0 1h 0 out 1 think - | m cut - bound=lower",
    );
}

#[test]
fn a_name_may_be_escaped_where_the_event_is_read() {
    let answer = r#"{"model":"m","choices":[],"us\u0061ge":{"prompt_tokens":1,"completion_tokens":2}}"#;
    check(OpenAiChat, Json, answer, "in 1 read 0 5m 0 1h 0 out 2 think - | m cut - bound=lower");
}

#[test]
fn depth_costs_nothing_where_nobody_looks() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let answer =
        format!(r#"{{"model":"m","choices":[],"x":{deep},"usage":{{"prompt_tokens":1,"completion_tokens":2}}}}"#);
    let read = in_pieces(OpenAiChat, Json, [answer.as_bytes()]);
    assert_eq!(line(&read), "in 1 read 0 5m 0 1h 0 out 2 think - | m cut - bound=lower");
    let inside = format!(r#"{{"model":"m","usage":{{"prompt_tokens":1,"x":{}{}}}}}"#, "[".repeat(500), "]".repeat(500));
    let read = line(&in_pieces(OpenAiChat, Json, [inside.as_bytes()]));
    assert_eq!(read, "in - read - 5m - 1h - out - think - | m cut - usage=none fault=Malformedx1");
}

#[test]
fn an_oversize_event_is_skipped_and_the_next_one_read() {
    let usage = r#"{"model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    let long = "7,".repeat(EVENT_MAX / 2);
    let one_line = format!("data: [{long}]\n\ndata: {usage}\n\n");
    let half = &long[..EVENT_MAX / 2 + 1];
    let two_lines = format!("data: {half}\ndata: {half}\n\ndata: {usage}\n\n");
    for stream in [one_line, two_lines] {
        for size in [1400, stream.len()] {
            let read = line(&in_pieces(OpenAiChat, Sse, stream.as_bytes().chunks(size)));
            assert_eq!(read, "in 1 read 0 5m 0 1h 0 out 2 think - | m cut - bound=lower fault=Oversizex1");
        }
    }
    let lines = format!("[{long}]\n{{\"model\":\"m\",\"done\":true,\"eval_count\":2}}\n");
    let read = line(&in_pieces(Ollama, Ndjson, lines.as_bytes().chunks(999)));
    assert_eq!(read, "in - read 0 5m 0 1h 0 out 2 think - | m finished - fault=Oversizex1");
    let array = format!("[{{\"a\":[{long}]}},{{\"usageMetadata\":{{\"promptTokenCount\":3}}}}]");
    let read = line(&in_pieces(Gemini, JsonArray, array.as_bytes().chunks(999)));
    assert_eq!(read, "in 3 read 0 5m 0 1h 0 out 0 think - | - cut - bound=lower fault=Oversizex1");
}

/// A picture makes an event of megabytes, with its usage at the end.
#[test]
fn an_event_that_is_long_for_its_strings_is_read() {
    let picture = "iVBORw0KGgo\\u003d\\\"".repeat(10) + &"A".repeat(3 * EVENT_MAX);
    let event = format!(
        r#"{{"candidates":[{{"content":{{"parts":[{{"inlineData":{{"data":"{picture}"}}}}]}},"finishReason":"STOP"}}],"usageMetadata":{{"promptTokenCount":9,"candidatesTokenCount":1290}},"modelVersion":"m"}}"#
    );
    let read = "in 9 read 0 5m 0 1h 0 out 1290 think - | m finished STOP";
    for (framing, answer) in
        [(Sse, format!("data: {event}\r\n\r\n")), (JsonArray, format!("[{event}]")), (Json, event.clone())]
    {
        for size in [1400, 65_536, answer.len()] {
            assert_eq!(
                line(&in_pieces(Gemini, framing, answer.as_bytes().chunks(size))),
                read,
                "{framing:?} by {size}"
            );
        }
    }
}

#[test]
fn a_body_past_the_bound_is_not_read() {
    let mut meter = Meter::new(OpenAiChat, Json);
    let blank = vec![b' '; 1 << 20];
    for _ in 0..=BODY_MAX >> 20 {
        meter.feed(&blank);
    }
    meter.feed(br#"{"usage":{"prompt_tokens":1}}"#);
    assert_eq!(line(&meter.finish()), "in - read - 5m - 1h - out - think - | - cut - usage=none fault=BodyTooLongx1");
}

#[test]
fn usage_does_not_grow_with_the_stream() {
    let delta = |at: usize| {
        let name = format!("{at}{}", "n".repeat(10_000));
        format!("data: {{\"type\":\"message_delta\",\"usage\":{{\"{name}\":1,\"output_tokens\":{at}}}}}\n\n")
    };
    let stream: String = (0..20).map(delta).collect();
    let read = in_pieces(AnthropicMessages, Sse, [stream.as_bytes()]);
    assert!(read.usage.output.is_some_and(|output| output < 7), "{:?}", read.usage);
    assert!(read.faults.times(Fault::Malformed) > 10);
}

#[test]
fn bytes_that_are_no_text_are_a_fault_only_where_they_matter() {
    let usage: &[u8] = br#""usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    let in_text = [&b"{\"model\":\"m\",\"x\":\"\xFF\xFE\","[..], usage].concat();
    check(OpenAiChat, Json, in_text, "in 1 read 0 5m 0 1h 0 out 2 think - | m cut - bound=lower");
    let in_model = [&b"{\"model\":\"\xFF\","[..], usage].concat();
    check(OpenAiChat, Json, in_model, "in - read - 5m - 1h - out - think - | - cut - usage=none fault=Malformedx1");
    let surrogate = r#"{"model":"\ud800","usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    check(OpenAiChat, Json, surrogate, "in 1 read 0 5m 0 1h 0 out 2 think - | - cut - bound=lower");
}

#[test]
fn what_is_no_json_is_a_fault() {
    let none = "in - read - 5m - 1h - out - think - | - cut - usage=none";
    for junk in ["<html>busy</html>", "{\"model\":", "{} {}", "null", "7", "\"usage\""] {
        check(OpenAiChat, Json, junk, &format!("{none} fault=Malformedx1"));
    }
    for empty in ["", " \r\n ", "\u{feff}"] {
        check(OpenAiChat, Json, empty, none);
    }
}

#[test]
fn long_texts_are_cut_at_a_character() {
    let model = "ü".repeat(5000);
    let read = in_pieces(OpenAiChat, Json, [format!(r#"{{"model":"x{model}"}}"#).as_bytes()]);
    assert_eq!(read.model.map(|model| model.len()), Some(4095));
}

/// An empty chunk, and bytes after the end, change nothing.
#[test]
fn odd_server_sent_events_are_read() {
    let usage = r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    let (left, right) = usage.split_at(13);
    for stream in [
        format!("data: {usage}"),
        format!("\u{feff}data:{usage}\r\r"),
        format!(": hello\nid: 1\nevent: x\nretry: 5\ndata: {usage}\r\n\r\n"),
        format!("data: {left}\ndata: {right}\n\n"),
        format!("data: [DONE]\n\n\n\ndata: {usage}\n\n: bye"),
        format!("data\n\ndata:\n\ndata: {usage}\n\ndata: {{\"choices\":[{{\"finish_reason\":null}}]}}\n\n"),
    ] {
        let read = read(OpenAiChat, Sse, stream.as_bytes());
        assert_eq!((read.usage.input, read.usage.output), (Some(1), Some(2)), "{stream}");
        assert!(read.faults.is_empty(), "{stream}: {}", read.faults);
    }
}

#[test]
fn no_framing_and_dialect_minds_another_ones_bytes() {
    let bytes = b"data: {\"usage\":{\"prompt_tokens\":-1}}\n\n[{\"usageMetadata\":7,\"done\":true}\n]\\\"}}}{\"response\":{\"response\":{}}}";
    for dialect in Dialect::ALL {
        for framing in [Framing::Json, Framing::Sse, Framing::Ndjson, Framing::JsonArray] {
            let _ = read(dialect, framing, bytes);
        }
    }
}
