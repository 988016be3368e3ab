//! What the provider reads of a request.

use serde_json::Value;

use super::Dialect;

/// The cap of a chat request that names none.
const CAP_DEFAULT: u64 = 4_096;

/// What every model is told beside what the request says.
const HIDDEN: u64 = 500;

/// Bytes of text to a token of input, rounded up.
const BYTES_PER_TOKEN: u64 = 3;

/// A request that is understood.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) model: String,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    pub(super) cap: u64,
    pub(super) choices: u64,
    pub(super) input: u64,
}

impl Wanted {
    /// Reads a request, or says what a provider would say about it.
    pub(super) fn read(dialect: Dialect, body: &[u8]) -> Result<Self, String> {
        let request: Value = serde_json::from_slice(body).map_err(|fault| format!("the body is not JSON: {fault}"))?;
        let model = request["model"].as_str().ok_or("model: Field required")?.to_owned();
        if request["messages"].as_array().is_none_or(Vec::is_empty) {
            return Err("messages: at least one message is required".to_owned());
        }
        Ok(Self {
            model,
            stream: request["stream"] == true,
            include_usage: request["stream_options"]["include_usage"] == true,
            cap: cap(dialect, &request)?,
            choices: request["n"].as_u64().unwrap_or(1).max(1),
            input: input(&request),
        })
    }
}

fn cap(dialect: Dialect, request: &Value) -> Result<u64, String> {
    let asked = match dialect {
        Dialect::CountTokens => return Ok(0),
        Dialect::Messages => request["max_tokens"].as_u64().ok_or("max_tokens: Field required")?,
        Dialect::Chat => ["max_completion_tokens", "max_tokens"]
            .iter()
            .find_map(|name| request[*name].as_u64())
            .unwrap_or(CAP_DEFAULT),
    };
    if asked == 0 { Err("max_tokens: must be at least 1".to_owned()) } else { Ok(asked) }
}

/// The tokens of input that are billed.
fn input(request: &Value) -> u64 {
    let bytes: u64 = ["system", "messages", "tools"].iter().map(|part| bytes(&request[*part])).sum();
    bytes.div_ceil(BYTES_PER_TOKEN) + HIDDEN
}

fn bytes(value: &Value) -> u64 {
    match value {
        Value::String(text) => u64::try_from(text.len()).unwrap_or(u64::MAX),
        Value::Array(items) => items.iter().map(bytes).sum(),
        Value::Object(members) => members.iter().filter(|(name, _)| is_read(name)).map(|(_, value)| bytes(value)).sum(),
        _ => 0,
    }
}

/// Whether a model reads what stands under this name, which it does not where that only says what something is.
fn is_read(name: &str) -> bool {
    !matches!(name, "type" | "role" | "id" | "tool_use_id" | "tool_call_id" | "cache_control" | "source" | "image_url")
}
