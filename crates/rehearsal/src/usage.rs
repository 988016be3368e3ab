//! What a rehearsed call uses: exact, and simple enough to check by hand.

use serde_json::Value;

/// Bytes of text to a token of input.
const BYTES_PER_TOKEN: u64 = 4;

/// The blocks that are media: their bytes are no text.
const MEDIA: [&str; 8] =
    ["image", "document", "image_url", "input_audio", "input_file", "input_image", "file", "video_url"];

/// The members whose texts say what something is, and are not read by a model.
const NOT_READ: [&str; 8] = ["type", "role", "id", "call_id", "status", "tool_use_id", "tool_call_id", "cache_control"];

/// The members of a request that a model reads, in any dialect.
const READ: [&str; 4] = ["system", "instructions", "messages", "tools"];

/// What a call used, as the answer tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) input: u64,
    pub(crate) output: u64,
}

/// The input tokens of a request: a quarter of the bytes of its texts, rounded up.
pub(crate) fn input_tokens(request: &Value) -> u64 {
    let bytes = READ.iter().map(|name| text_bytes(&request[*name])).sum::<u64>();
    bytes.div_ceil(BYTES_PER_TOKEN)
}

fn text_bytes(value: &Value) -> u64 {
    match value {
        Value::String(text) => count(text.len()),
        Value::Array(items) => items.iter().map(text_bytes).sum(),
        Value::Object(members) if !is_media(value) => {
            let read = members.iter().filter(|(name, _)| !NOT_READ.contains(&name.as_str()));
            read.map(|(_, value)| text_bytes(value)).sum()
        }
        _ => 0,
    }
}

fn is_media(block: &Value) -> bool {
    block["type"].as_str().is_some_and(|kind| MEDIA.contains(&kind))
}

/// The words of a text, which are its tokens of output.
pub(crate) fn words(text: &str) -> u64 {
    count(text.split_whitespace().count())
}

/// The text up to and with its `most`-th word.
pub(crate) fn first_words(text: &str, most: u64) -> &str {
    let mut left = most;
    let mut inside = false;
    for (at, letter) in text.char_indices() {
        let begins = !inside && !letter.is_whitespace();
        inside = !letter.is_whitespace();
        if begins && left == 0 {
            return text[..at].trim_end();
        }
        left -= u64::from(begins);
    }
    text
}

/// A length as a count; a length never passes what 64 bits can count.
fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
