//! Answers whose usage is known, because it was made here: what was told is what is read, whatever stands around it.

use almoner_meter::{Dialect, Framing};
use almoner_units::Usage;
use serde_json::{Value, json};

use crate::framing::{cut_anywhere, pieces};

/// Decisions and texts, taken off the input until it is used up.
struct Source<'d>(&'d [u8]);

impl<'d> Source<'d> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A count: small ones are common, and none is so large that sums of a few leave their type.
    fn count(&mut self) -> u64 {
        let [a, b, c, shift] = [self.byte(), self.byte(), self.byte(), self.byte()];
        u64::from(u32::from_be_bytes([0, a, b, c])) << (shift % 24)
    }

    fn text(&mut self) -> String {
        let (text, rest) = self.0.split_at(self.0.len().min(usize::from(self.byte() % 64)));
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }
}

/// An answer that was made here, and what it tells.
struct Told {
    dialect: Dialect,
    framing: Framing,
    events: Vec<Value>,
    usage: Usage,
}

/// Makes an answer of one dialect, hides its usage among texts, cuts it, and reads it.
pub(crate) fn usage(data: &[u8]) {
    let mut source = Source(data);
    let cuts = source.byte();
    let form = source.byte();
    let told = match source.byte() % 5 {
        0 => anthropic(&mut source),
        1 => chat(&mut source),
        2 => responses(&mut source),
        3 => gemini(&mut source, form),
        _ => ollama(&mut source),
    };
    let answer = write(&told, form);
    let reading = cut_anywhere(told.dialect, told.framing, &answer, &pieces(&answer, cuts));
    assert_eq!(reading.usage, told.usage, "{}", answer.escape_ascii());
    assert!(reading.usage_present && reading.finished && reading.error.is_none(), "{}", answer.escape_ascii());
    assert_eq!(reading.model.as_deref(), Some("m"));
}

fn anthropic(source: &mut Source<'_>) -> Told {
    let [input, read, short, long, output] = [(); 5].map(|()| source.count());
    let start = json!({
        "input_tokens": input, "cache_read_input_tokens": read, "cache_creation_input_tokens": short + long,
        "cache_creation": { "ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long },
        "output_tokens": source.count(),
    });
    let mut events = vec![json!({ "type": "message_start", "message": { "model": "m", "usage": start } })];
    for _ in 0..source.byte() % 4 {
        let text = source.text();
        events.push(json!({ "type": "content_block_delta", "delta": { "type": "text_delta", "text": text } }));
    }
    let end = json!({ "stop_reason": "end_turn", "text": source.text() });
    events.push(json!({ "type": "message_delta", "delta": end, "usage": { "output_tokens": output } }));
    events.push(json!({ "type": "message_stop" }));
    let usage = Usage {
        input: Some(input),
        cache_read: Some(read),
        cache_write_5m: Some(short),
        cache_write_1h: Some(long),
        output: Some(output),
        reasoning: None,
    };
    Told { dialect: Dialect::AnthropicMessages, framing: Framing::Sse, events, usage }
}

fn chat(source: &mut Source<'_>) -> Told {
    let [input, read, answer, thoughts] = [(); 4].map(|()| source.count());
    let mut events = Vec::new();
    for _ in 0..source.byte() % 4 {
        let delta = json!({ "content": source.text() });
        events.push(json!({ "model": "m", "choices": [{ "delta": delta, "finish_reason": null }], "usage": null }));
    }
    events.push(json!({ "model": "m", "choices": [{ "delta": {}, "finish_reason": "stop" }] }));
    events.push(json!({ "model": "m", "choices": [], "note": source.text(), "usage": {
        "prompt_tokens": input + read, "completion_tokens": answer + thoughts,
        "total_tokens": input + read + answer + thoughts,
        "prompt_tokens_details": { "cached_tokens": read },
        "completion_tokens_details": { "reasoning_tokens": thoughts },
    } }));
    let usage = of_openai(input, read, answer, thoughts);
    Told { dialect: Dialect::OpenAiChat, framing: Framing::Sse, events, usage }
}

fn responses(source: &mut Source<'_>) -> Told {
    let [input, read, answer, thoughts] = [(); 4].map(|()| source.count());
    let mut events = vec![json!({ "type": "response.output_text.delta", "delta": source.text() })];
    events.push(json!({ "type": "response.completed", "response": {
        "model": "m", "status": "completed", "output": [source.text()], "usage": {
            "input_tokens": input + read, "input_tokens_details": { "cached_tokens": read },
            "output_tokens": answer + thoughts, "output_tokens_details": { "reasoning_tokens": thoughts },
        },
    } }));
    let usage = of_openai(input, read, answer, thoughts);
    Told { dialect: Dialect::OpenAiResponses, framing: Framing::Sse, events, usage }
}

fn of_openai(input: u64, read: u64, answer: u64, thoughts: u64) -> Usage {
    Usage {
        input: Some(input),
        cache_read: Some(read),
        cache_write_5m: Some(0),
        cache_write_1h: Some(0),
        output: Some(answer + thoughts),
        reasoning: Some(thoughts),
    }
}

fn gemini(source: &mut Source<'_>, form: u8) -> Told {
    let [input, read, answer, thoughts] = [(); 4].map(|()| source.count());
    let mut events = Vec::new();
    for _ in 0..source.byte() % 4 {
        let parts = json!([{ "text": source.text() }]);
        events.push(json!({ "candidates": [{ "content": { "parts": parts } }], "modelVersion": "m" }));
    }
    events.push(json!({ "candidates": [{ "finishReason": "STOP" }], "modelVersion": "m", "usageMetadata": {
        "promptTokenCount": input + read, "cachedContentTokenCount": read,
        "candidatesTokenCount": answer, "thoughtsTokenCount": thoughts,
    } }));
    let framing = if form & 1 == 0 { Framing::JsonArray } else { Framing::Sse };
    Told { dialect: Dialect::Gemini, framing, events, usage: of_openai(input, read, answer, thoughts) }
}

fn ollama(source: &mut Source<'_>) -> Told {
    let [input, output] = [(); 2].map(|()| source.count());
    let mut events = Vec::new();
    for _ in 0..source.byte() % 4 {
        events.push(json!({ "model": "m", "message": { "content": source.text() }, "done": false }));
    }
    let text = source.text();
    let end = json!({ "model": "m", "message": { "content": text }, "done": true, "done_reason": "stop",
        "prompt_eval_count": input, "eval_count": output });
    events.push(end);
    let usage = Usage {
        input: Some(input),
        cache_read: Some(0),
        cache_write_5m: Some(0),
        cache_write_1h: Some(0),
        output: Some(output),
        reasoning: None,
    };
    Told { dialect: Dialect::Ollama, framing: Framing::Ndjson, events, usage }
}

/// The bytes of an answer: `form` chooses its line ends, its white space and what stands between its events.
fn write(told: &Told, form: u8) -> Vec<u8> {
    let end = ["\n", "\r\n", "\r"][usize::from(form >> 1) % 3];
    let loose = form & 16 != 0;
    let text = |event: &Value| {
        let pretty = if loose { serde_json::to_string_pretty(event).ok() } else { None };
        pretty.unwrap_or_else(|| event.to_string())
    };
    let texts = told.events.iter();
    let answer = match told.framing {
        Framing::Sse => texts.map(|event| sse_event(&text(event), end, form)).collect(),
        Framing::Ndjson => texts.map(|event| format!("{event}{end}")).collect(),
        Framing::JsonArray => format!("[{}]", texts.map(text).collect::<Vec<_>>().join(&format!(",{end}"))),
        Framing::Json => told.events.iter().map(text).collect::<String>(),
    };
    answer.into_bytes()
}

/// One event, each line of its JSON on a line of data.
fn sse_event(json: &str, end: &str, form: u8) -> String {
    let space = if form & 32 == 0 { " " } else { "" };
    let comment = if form & 64 == 0 { String::new() } else { format!(": ping{end}id: 1{end}") };
    let lines: String = json.lines().map(|line| format!("data:{space}{line}{end}")).collect();
    format!("{comment}{lines}{end}")
}
