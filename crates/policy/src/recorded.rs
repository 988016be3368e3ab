//! Costs and token counts against what providers really said, where the recordings stand beside the checkout.

use std::path::PathBuf;

use almoner_units::{NanoUsd, PicoUsdPerToken, Timestamp, Usage};
use serde_json::Value;

use crate::{BoundSettings, Extras, Message, PriceBook, Shape, UserPrice, bound, cost, count_chat, text_bytes_nfkc};

const NOW: Timestamp = Timestamp::from_ms(1_795_500_000_000);

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/recorded/exchanges")
}

/// The recorded exchange of that name; `None`, said aloud, where the recordings are not here.
fn exchange(name: &str) -> Option<Value> {
    match std::fs::read_to_string(folder().join(name)) {
        Ok(text) => Some(serde_json::from_str(&text).unwrap()),
        Err(error) => {
            println!("skipped: {name}: {error}");
            None
        }
    }
}

fn usage(expect: &Value) -> Usage {
    let count = |name: &str| expect[name].as_u64();
    // A write whose life the provider does not tell counts as the shorter one.
    let told = count("cache_write_5m_tokens").unwrap_or(0) + count("cache_write_1h_tokens").unwrap_or(0);
    let untold = count("cache_write_tokens").unwrap_or(0) - told;
    Usage {
        input: count("input_tokens"),
        cache_read: count("cache_read_tokens"),
        cache_write_5m: count("cache_write_5m_tokens").map(|written| written + untold),
        cache_write_1h: count("cache_write_1h_tokens"),
        output: count("output_tokens"),
        reasoning: count("reasoning_tokens"),
    }
}

/// Checks the cost of a recorded call at the prices of its day (input, output, cache read, cache write, in dollars
/// per million), and whether the book of today has another price for `model`.
#[track_caller]
fn check(name: &str, model: &str, of_its_day: [&str; 4], today: Option<&str>) {
    let Some(exchange) = exchange(name) else { return };
    let expect = &exchange["expect"];
    let reported = expect["reported_cost_usd"].to_string();
    let [input, output, read, write] = of_its_day.map(|text| PicoUsdPerToken::per_million(text).unwrap());
    let own = UserPrice { cache_read: Some(read), cache_write_5m: Some(write), ..UserPrice::new(model, input, output) };
    let then = PriceBook::shipped().clone().overlay(&own);
    let cost_in = |book: &PriceBook| {
        let price = book.find(None, model, NOW)?;
        Some(cost(&usage(expect), &Extras::default(), price).unwrap())
    };
    assert_eq!(cost_in(&then), Some(nano(&reported)), "{name} reported {reported}");
    let now = cost_in(PriceBook::shipped());
    println!("{name}: {model}: reported {reported}, by today's book {now:?}");
    assert_eq!(now, today.map(|dollars| dollars.parse().unwrap()), "{name} by today's book");
}

/// A reported cost, such as `0.00030804` or `7.39e-5`, rounded up to a nano-dollar.
fn nano(text: &str) -> NanoUsd {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let shift = 9 + exponent.parse::<i64>().unwrap() - i64::try_from(fraction.len()).unwrap();
    let digits: u64 = format!("{whole}{fraction}").parse().unwrap();
    let power = 10_u64.pow(u32::try_from(shift.unsigned_abs()).unwrap());
    NanoUsd::new(if shift < 0 { digits.div_ceil(power) } else { digits * power })
}

/// Six of the eight recordings that report a cost and are not ambiguous, exact at the prices of their day.
#[test]
fn costs_are_what_upstreams_reported() {
    // The book has the same price today.
    let sonnet = ["3", "15", "0.3", "3.75"];
    check("openai-chat-023-json-compat.json", "claude-sonnet-4-6", sonnet, Some("$0.01058775"));
    check("openai-chat-024-json-compat.json", "claude-sonnet-4-6", sonnet, Some("$0.00341475"));
    // The provider has changed its price since.
    let code = ["0.2", "1.5", "0.02", "0.2"];
    check("openai-chat-008-stream-compat.json", "grok-code-fast-1", code, Some("$0.0004594"));
    let sol = ["5", "30", "0.5", "6.25"];
    check("openai-responses-012-json-compat.json", "gpt-5.6-sol", sol, Some("$0.020192"));
    // The provider has retired the model since, and the book does not know it.
    check("openai-chat-007-stream-compat.json", "grok-4-fast-reasoning", ["0.2", "0.5", "0.05", "0.2"], None);
    check("openai-chat-021-stream-compat.json", "grok-4", ["3", "15", "0.75", "3"], None);
}

/// The seventh is marked ambiguous: the reseller bills the read of a cache and the storing of the same tokens, which
/// our reading of usage (they overlap, and count once) cannot have.
#[test]
fn a_reseller_that_bills_a_token_twice_is_told_apart() {
    let Some(exchange) = exchange("openai-chat-025-json-compat.json") else { return };
    let price = PriceBook::shipped().find(None, "gemini-2.5-flash", NOW).unwrap();
    let mut usage = usage(&exchange["expect"]);
    usage.cache_write_5m = Some(0);
    let own = cost(&usage, &Extras::default(), price).unwrap();
    // 2,161 tokens at $0.0833333 a million for storing them.
    let storing = NanoUsd::new(180_084);
    let sum = own.checked_add(storing).unwrap();
    assert_eq!(sum, nano(&exchange["expect"]["reported_cost_usd"].to_string()));
}

/// Checks our count of a recorded request of plain text against the provider's.
#[track_caller]
fn check_count(name: &str, more_per_message: u64) {
    let Some(exchange) = exchange(name) else { return };
    let request = &exchange["request"];
    let words = Value::Array(vec![serde_json::json!({"role": "user", "content": request["input"]})]);
    let said = [&request["messages"], &request["input"], &words].into_iter().find_map(Value::as_array).unwrap();
    let messages: Vec<Message<'_>> = said
        .iter()
        .map(|message| Message {
            role: message["role"].as_str().unwrap(),
            text: message["content"].as_str().unwrap(),
            name: None,
        })
        .collect();
    let model = exchange["expect"]["model"].as_str().unwrap();
    let more = more_per_message * u64::try_from(messages.len()).unwrap();
    let ours = count_chat(model, &messages, &mut || true).unwrap() + more;
    let theirs = exchange["expect"]["input_tokens"].as_u64().unwrap();
    println!("{name}: {model}: ours {ours}, the provider's {theirs}");
    assert_eq!(ours, theirs, "{name}: {model}");
}
#[test]
fn the_local_count_is_the_providers_on_plain_text() {
    // The snapshot of March 2023 framed a message in 4 tokens, as the recipe says, and every later one in 3.
    check_count("openai-chat-002-json.json", 1);
    check_count("openai-chat-012-stream.json", 0);
    check_count("openai-chat-028-json.json", 0);
    check_count("openai-chat-030-json.json", 0);
    check_count("openai-responses-002-stream.json", 0);
    check_count("openai-responses-004-json.json", 0);
    check_count("openai-responses-020-json.json", 0);
}

/// What shows that a body holds more than text, or that the provider's tools go on sampling.
const NOT_ONLY_TEXT: [&str; 13] = [
    "image",
    "audio",
    "inlineData",
    "inline_data",
    "fileData",
    "file_data",
    "file_id",
    "document",
    "web_search",
    "previous_response_id\":\"",
    "_20",
    "googleSearch",
    "urlContext",
];

/// The roughest reading of a body: all of it is text.
fn roughly(request: &Value) -> Shape {
    let text = request.to_string();
    let count = |name: &str| request[name].as_array().map_or(1, Vec::len);
    let long = |count: usize| u64::try_from(count).unwrap();
    Shape {
        text_bytes: long(text.len()),
        text_bytes_nfkc: long(text_bytes_nfkc(&text)),
        messages: long(count("messages") + count("input") + count("contents")),
        tools: long(count("tools") + count("functions")),
        ..Shape::default()
    }
}

#[test]
fn no_recorded_request_of_text_had_more_input_than_its_bound() {
    let Ok(files) = std::fs::read_dir(folder()) else { return println!("skipped: the recordings are not here") };
    let (mut seen, mut tightest) = (0, (0, 1));
    for file in files.map(|file| file.unwrap().file_name().into_string().unwrap()) {
        let Some(exchange) = file.ends_with(".json").then(|| exchange(&file)).flatten() else { continue };
        let (request, expect) = (&exchange["request"], &exchange["expect"]);
        let body = request.to_string();
        let is_whole = request.is_object() && exchange["request_elided"] != true;
        if !is_whole || NOT_ONLY_TEXT.iter().any(|mark| body.contains(mark)) || expect["input_tokens"].is_null() {
            continue;
        }
        let free = crate::Price::free();
        let bound = bound(&roughly(request), &free, &BoundSettings::default()).unwrap();
        let truth = usage(expect).input_total();
        assert!(truth <= bound.input_tokens_max, "{file}: {truth} of {}", bound.input_tokens_max);
        seen += 1;
        if truth * tightest.1 > tightest.0 * bound.input_tokens_max {
            tightest = (truth, bound.input_tokens_max);
        }
    }
    println!("{seen} recorded requests of text; the tightest had {} of {} tokens", tightest.0, tightest.1);
    assert!(seen > 30);
}
