//! One way to say what a reading should be: a line of words.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use almoner_meter::{Dialect, Framing, Meter, Reading};
use almoner_units::Usage;

/// Reads an answer in one piece, and then in every two pieces and byte by byte, which must read the same.
pub fn read(dialect: Dialect, framing: Framing, answer: impl AsRef<[u8]>) -> Reading {
    let answer = answer.as_ref();
    let whole = in_pieces(dialect, framing, [answer]);
    for at in 0..answer.len().min(4000) {
        let (head, tail) = answer.split_at(at);
        assert_eq!(in_pieces(dialect, framing, [head, tail]), whole, "cut at {at}");
    }
    assert_eq!(in_pieces(dialect, framing, answer.chunks(1)), whole, "byte by byte");
    whole
}

pub fn in_pieces<'a>(dialect: Dialect, framing: Framing, pieces: impl IntoIterator<Item = &'a [u8]>) -> Reading {
    let mut meter = Meter::new(dialect, framing);
    pieces.into_iter().for_each(|piece| meter.feed(piece));
    meter.finish()
}

/// Checks an answer against a line such as `in 7 read 0 5m 0 1h 0 out 2 think - | m finished stop`.
#[track_caller]
pub fn check(dialect: Dialect, framing: Framing, answer: impl AsRef<[u8]>, expected: &str) {
    assert_eq!(line(&read(dialect, framing, answer)), expected);
}

/// The reading in one line: the counts, and then what is not as in the plainest answer.
pub fn line(reading: &Reading) -> String {
    let mut words = vec![counts(&reading.usage), "|".to_owned(), word(reading.model.as_deref())];
    words.push(if reading.finished { "finished" } else { "cut" }.to_owned());
    words.push(word(reading.stop_reason.as_deref()));
    let mut also = |name: &str, value: Option<String>| words.extend(value.map(|value| format!("{name}={value}")));
    also("id", reading.message_id.clone());
    also("tier", reading.service_tier.clone());
    also("bound", reading.output_lower_bound.then(|| "lower".to_owned()));
    also("usage", (!reading.usage_present).then(|| "none".to_owned()));
    also("tools", reading.server_tools.map(|tools| format!("{:?}", tools.used())));
    also("tool_use", reading.tool_use_prompt_tokens.map(|tokens| tokens.to_string()));
    also("audio_in", reading.input_audio_tokens.map(|tokens| tokens.to_string()));
    also("audio_out", reading.output_audio_tokens.map(|tokens| tokens.to_string()));
    also("ttl", reading.cache_ttl_assumed.then(|| "assumed".to_owned()));
    also("top", reading.top_level.as_ref().map(counts));
    for (model, usage) in &reading.other_models {
        also(model, Some(counts(usage)));
    }
    also("cost", reading.reported_cost_usd.map(|cost| cost.to_string()));
    also("error", reading.error.as_ref().map(error));
    for (fault, times) in reading.faults.iter() {
        also("fault", Some(format!("{fault:?}x{times}")));
    }
    words.join(" ")
}

fn counts(usage: &Usage) -> String {
    let count = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
    let Usage { input, cache_read, cache_write_5m, cache_write_1h, output, reasoning } = *usage;
    let [input, read, short, long, output, thoughts] =
        [input, cache_read, cache_write_5m, cache_write_1h, output, reasoning].map(count);
    format!("in {input} read {read} 5m {short} 1h {long} out {output} think {thoughts}")
}

fn word(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}

fn error(error: &almoner_meter::ProviderError) -> String {
    let code = error.code.as_ref().map(ToString::to_string);
    [&error.kind, &code, &error.status, &error.message].map(|part| word(part.as_deref())).join("/")
}
