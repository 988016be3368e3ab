//! How fast the meter reads: synthetic streams in chunks of 1,400 bytes, as they come off a network.
//!
//! Run it with `cargo run --release -p almoner-meter --example throughput`.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a measurement reads a clock and prints")]

use std::fmt::Write as _;
use std::time::Instant;

use almoner_meter::{Dialect, Framing, Meter};

const SIZE: usize = 64 << 20;
const CHUNK: usize = 1400;
const ROUNDS: usize = 5;

fn anthropic() -> String {
    let mut text = String::from(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"claude-x\",\
         \"usage\":{\"input_tokens\":25,\"cache_read_input_tokens\":0,\"output_tokens\":1}}}\n\n",
    );
    fill(&mut text, |text, at| {
        write!(
            text,
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":\
             {{\"type\":\"text_delta\",\"text\":\" word {at} of it\"}}      }}\n\n"
        )
    });
    text + "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\
            \"usage\":{\"output_tokens\":15}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
}

fn chat(tail: &str) -> String {
    let mut text = String::new();
    fill(&mut text, |text, at| {
        write!(
            text,
            "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1759436803,\"model\":\
             \"gpt-x\",\"service_tier\":\"default\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" {at}\"}},\
             \"logprobs\":null,\"finish_reason\":null}}],{tail}}}\n\n"
        )
    });
    text + "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":25,\"completion_tokens\":15}}\n\ndata: [DONE]\n\n"
}

fn gemini() -> String {
    let mut text = String::new();
    fill(&mut text, |text, at| {
        write!(
            text,
            "data: {{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"some words, number {at}, and a few more to \
             make it one of their long chunks\"}}],\"role\":\"model\"}}}}],\"usageMetadata\":{{\"promptTokenCount\":25,\
             \"candidatesTokenCount\":15}},\"modelVersion\":\"gemini-x\"}}\r\n\r\n"
        )
    });
    text
}

fn fill(text: &mut String, mut event: impl FnMut(&mut String, usize) -> std::fmt::Result) {
    for at in 0.. {
        if text.len() >= SIZE || event(text, at).is_err() {
            return;
        }
    }
}

/// A line that `cargo xtask bench` reads: millions of bytes a second, round by round.
fn measure(name: &str, dialect: Dialect, text: &str) {
    let rates: Vec<String> = (0..ROUNDS).map(|_| rate(dialect, text).to_string()).collect();
    println!("bench: meter, {name} | at least 500 MB/s | {}", rates.join(" "));
}

fn rate(dialect: Dialect, text: &str) -> u128 {
    let begun = Instant::now();
    let mut meter = Meter::new(dialect, Framing::Sse);
    text.as_bytes().chunks(CHUNK).for_each(|chunk| meter.feed(chunk));
    let reading = meter.finish();
    let took = begun.elapsed();
    assert_eq!((reading.usage.input, reading.usage.output), (Some(25), Some(15)), "the stream is read rightly");
    u128::try_from(text.len()).unwrap_or(0) * 1000 / took.as_nanos().max(1)
}

fn main() {
    println!("{ROUNDS} rounds of {} MiB in chunks of {CHUNK} bytes", SIZE >> 20);
    for (name, dialect, text) in [
        ("anthropic", Dialect::AnthropicMessages, anthropic()),
        ("openai-chat, usage null in every chunk", Dialect::OpenAiChat, chat("\"usage\":null")),
        (
            "openai-chat, usage in every chunk",
            Dialect::OpenAiChat,
            chat("\"usage\":{\"prompt_tokens\":25,\"completion_tokens\":9,\"total_tokens\":34}"),
        ),
        ("gemini, usage in every chunk", Dialect::Gemini, gemini()),
    ] {
        measure(name, dialect, &text);
    }
}
