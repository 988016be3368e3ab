//! A request of either dialect, read liberally: what the rehearsal does not need, it does not judge.

use serde_json::Value;

use crate::fault::Fault;
use crate::usage;

/// The most choices one request may ask for.
const CHOICES_MAX: u64 = 8;

/// What the rehearsal has to know of a request.
pub(crate) struct Prompt {
    pub(crate) stream: bool,
    /// Whether a chat stream is to end with a chunk of usage.
    pub(crate) include_usage: bool,
    /// How many words the answer may have.
    pub(crate) cap: Option<u64>,
    pub(crate) choices: u64,
    pub(crate) input_tokens: u64,
    /// How many messages there are.
    pub(crate) messages: usize,
    /// What the user wrote last.
    pub(crate) text: String,
    /// How many answers came since.
    pub(crate) turns: usize,
    /// What the last tool said, if it spoke last.
    pub(crate) tool_result: Option<String>,
    pub(crate) tools: Vec<Tool>,
    /// Sixteen digits that differ for different requests, for the ids of the answer.
    pub(crate) digest: String,
}

/// A tool that the answer may call.
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) schema: Value,
}

impl Prompt {
    /// Reads a body, which `translate` puts into words that are known here.
    pub(crate) fn read(body: &[u8], translate: impl FnOnce(Value) -> Value) -> Result<Self, Fault> {
        let request = serde_json::from_slice(body)
            .map_err(|fault| Fault::bad_request(format!("the body is not JSON that can be read: {fault}")))?;
        let request = translate(request);
        expect_model(&request)?;
        let messages = request["messages"]
            .as_array()
            .filter(|messages| !messages.is_empty())
            .ok_or_else(|| Fault::bad_request("`messages` must be a list with at least one message"))?;
        let (text, turns) = last_text(messages);
        Ok(Self {
            stream: request["stream"] == true,
            include_usage: request["stream_options"]["include_usage"] == true,
            cap: cap(&request)?,
            choices: choices(&request)?,
            input_tokens: usage::input_tokens(&request),
            messages: messages.len(),
            text,
            turns,
            tool_result: tool_result(messages),
            tools: tools(&request),
            digest: digest(body),
        })
    }

    /// The tool of that name.
    pub(crate) fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name)
    }
}

fn expect_model(request: &Value) -> Result<(), Fault> {
    match request["model"].as_str() {
        Some(crate::MODEL) => Ok(()),
        Some(model) => Err(Fault::unknown_model(model)),
        None => Err(Fault::bad_request("`model` must name a model")),
    }
}

/// The cap on output: the newer name rules where both stand.
fn cap(request: &Value) -> Result<Option<u64>, Fault> {
    for name in ["max_output_tokens", "max_completion_tokens", "max_tokens"] {
        match &request[name] {
            Value::Null => {}
            value => return positive(name, value).map(Some),
        }
    }
    Ok(None)
}

fn choices(request: &Value) -> Result<u64, Fault> {
    match &request["n"] {
        Value::Null => Ok(1),
        value => match positive("n", value)? {
            n @ 1..=CHOICES_MAX => Ok(n),
            n => Err(Fault::bad_request(format!("`n` is {n}; the rehearsal gives at most {CHOICES_MAX} choices"))),
        },
    }
}

fn positive(name: &str, value: &Value) -> Result<u64, Fault> {
    value
        .as_u64()
        .filter(|number| *number > 0)
        .ok_or_else(|| Fault::bad_request(format!("`{name}` is {value}; it must be a whole number of at least 1")))
}

/// What the user wrote last, and how many answers came since.
fn last_text(messages: &[Value]) -> (String, usize) {
    let mut turns = 0;
    for message in messages.iter().rev() {
        match message["role"].as_str() {
            Some("assistant") => turns += 1,
            Some("user") if result_block(message).is_none() => {
                let text = without_reminders(&plain_text(&message["content"]));
                if !text.trim().is_empty() {
                    return (text, turns);
                }
            }
            _ => {}
        }
    }
    (String::new(), turns)
}

/// What the last tool said, where nobody but the system spoke after it.
fn tool_result(messages: &[Value]) -> Option<String> {
    let last =
        messages.iter().rev().find(|message| !matches!(message["role"].as_str(), Some("system" | "developer")))?;
    match last["role"].as_str() {
        Some("tool") => Some(plain_text(&last["content"])),
        _ => result_block(last).map(|block| plain_text(&block["content"])),
    }
}

fn result_block(message: &Value) -> Option<&Value> {
    message["content"].as_array()?.iter().rev().find(|block| block["type"] == "tool_result")
}

/// The text of a content that is a string, or a list of blocks of which some are text.
fn plain_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => blocks.iter().filter_map(|block| block["text"].as_str()).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

/// The text without what a coding agent slips into its user's words.
fn without_reminders(text: &str) -> String {
    let (open, close) = ("<system-reminder>", "</system-reminder>");
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(open) {
        kept.push_str(before);
        rest = after.split_once(close).map_or("", |(_, after)| after);
    }
    kept + rest
}

/// The tools of either dialect: a chat tool keeps its name and schema one level deeper, under another word.
fn tools(request: &Value) -> Vec<Tool> {
    let listed = request["tools"].as_array().map_or(&[][..], Vec::as_slice);
    listed
        .iter()
        .filter_map(|tool| {
            let own = if tool["type"] == "function" { "parameters" } else { "input_schema" };
            read_tool(tool, own).or_else(|| read_tool(&tool["function"], "parameters"))
        })
        .collect()
}

fn read_tool(tool: &Value, schema: &str) -> Option<Tool> {
    Some(Tool { name: tool["name"].as_str()?.to_owned(), schema: tool[schema].clone() })
}

/// FNV-1a in 64 bits: ids must be alike for like requests, and nothing more.
fn digest(body: &[u8]) -> String {
    let hash = body
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}
