//! What the provider reads of a request.

use hyper::Uri;
use serde_json::Value;

use super::Dialect;

/// The cap of a chat request that names none.
const CAP_DEFAULT: u64 = 4_096;

/// The cap of a request to Gemini that names none.
const CAP_GEMINI: u64 = 65_536;

/// How much Ollama writes that is given no end: all that anybody waits for.
const CAP_ENDLESS: u64 = 100_000;

/// What every model is told beside what the request says.
const HIDDEN: u64 = 500;

/// Bytes of text to a token of input, rounded up.
const BYTES_PER_TOKEN: u64 = 3;

/// How a body lies in its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One object.
    Whole,
    /// Server-sent events.
    Events,
    /// The objects of one array.
    Array,
    /// An object a line.
    Lines,
}

impl Form {
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Whole => "application/json",
            Self::Events => "text/event-stream; charset=utf-8",
            Self::Array => "application/json; charset=UTF-8",
            Self::Lines => "application/x-ndjson",
        }
    }
}

/// A request that is understood.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) model: String,
    pub(super) form: Form,
    pub(super) include_usage: bool,
    pub(super) cap: u64,
    pub(super) choices: u64,
    pub(super) input: u64,
}

impl Wanted {
    /// Reads a request, or says what a provider would say about it.
    pub(super) fn read(dialect: Dialect, uri: &Uri, body: &[u8]) -> Result<Self, String> {
        let request: Value = serde_json::from_slice(body).map_err(|fault| format!("the body is not JSON: {fault}"))?;
        match dialect {
            Dialect::Gemini => return Self::of_gemini(uri, &request),
            Dialect::Ollama => return Self::of_ollama(&request),
            _ => {}
        }
        let model = request["model"].as_str().ok_or("model: Field required")?.to_owned();
        let (member, may_be_text) = match dialect {
            Dialect::Responses => ("input", false),
            Dialect::Embeddings => ("input", true),
            Dialect::Completions => ("prompt", true),
            _ => ("messages", false),
        };
        let asked = &request[member];
        if asked.as_array().is_none_or(Vec::is_empty) && !(may_be_text && asked.is_string()) {
            return Err("messages: at least one message is required".to_owned());
        }
        Ok(Self {
            model,
            form: if request["stream"] == true { Form::Events } else { Form::Whole },
            include_usage: request["stream_options"]["include_usage"] == true,
            cap: cap(dialect, &request)?,
            choices: request["n"].as_u64().unwrap_or(1).max(1) * if may_be_text { texts(asked) } else { 1 },
            input: input(&request),
        })
    }

    fn of_gemini(uri: &Uri, request: &Value) -> Result<Self, String> {
        let (model, method) = method(uri.path()).ok_or("model is not found")?;
        if request["contents"].as_array().is_none_or(Vec::is_empty) {
            return Err("contents is not specified".to_owned());
        }
        let config = &request["generationConfig"];
        let sse = uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "alt=sse"));
        Ok(Self {
            model: model.to_owned(),
            form: match (method, sse) {
                ("streamGenerateContent", true) => Form::Events,
                ("streamGenerateContent", false) => Form::Array,
                _ => Form::Whole,
            },
            include_usage: true,
            cap: config["maxOutputTokens"].as_u64().filter(|cap| *cap > 0).unwrap_or(CAP_GEMINI),
            choices: config["candidateCount"].as_u64().unwrap_or(1).max(1),
            input: input(request),
        })
    }

    fn of_ollama(request: &Value) -> Result<Self, String> {
        let model = request["model"].as_str().ok_or("model is required")?;
        let cap = request["options"]["num_predict"].as_u64().filter(|cap| *cap > 0);
        Ok(Self {
            model: model.to_owned(),
            form: if request["stream"] == false { Form::Whole } else { Form::Lines },
            include_usage: true,
            cap: cap.unwrap_or(CAP_ENDLESS),
            choices: 1,
            input: input(request),
        })
    }

    pub(super) fn streams(&self) -> bool {
        self.form != Form::Whole
    }
}

/// How many texts there are.
fn texts(asked: &Value) -> u64 {
    asked.as_array().map_or(1, |texts| u64::try_from(texts.len()).unwrap_or(u64::MAX))
}

/// The model and the method that a path of Gemini's names.
pub(super) fn method(path: &str) -> Option<(&str, &str)> {
    let model = ["/v1beta/models/", "/v1/models/"].iter().find_map(|start| path.strip_prefix(start))?;
    model.split_once(':')
}

fn cap(dialect: Dialect, request: &Value) -> Result<u64, String> {
    let asked = match dialect {
        Dialect::CountTokens | Dialect::Gemini | Dialect::Ollama | Dialect::Embeddings => return Ok(0),
        Dialect::Messages => request["max_tokens"].as_u64().ok_or("max_tokens: Field required")?,
        Dialect::Responses => request["max_output_tokens"].as_u64().unwrap_or(CAP_DEFAULT),
        Dialect::Chat | Dialect::Completions => ["max_completion_tokens", "max_tokens"]
            .iter()
            .find_map(|name| request[*name].as_u64())
            .unwrap_or(CAP_DEFAULT),
    };
    if asked == 0 { Err("max_tokens: must be at least 1".to_owned()) } else { Ok(asked) }
}

/// The tokens of input that are billed.
fn input(request: &Value) -> u64 {
    let parts = ["system", "messages", "instructions", "input", "prompt", "systemInstruction", "contents", "tools"];
    let bytes: u64 = parts.iter().map(|part| bytes(&request[*part])).sum();
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
